"""Makes up performances from a few takes: what a network that follows movements is trained on.

Movements are played at half to double speed, evenly or not, a little larger or smaller, out of and into
everything else that happens on a stage: standing still, wandering about, a movement begun and left,
the way back, one played backwards, parts of movements in an order nobody meant, and whatever was recorded with
nothing meant. All of that is "nothing". Now and then the tracker slips: for a frame or three it sees the body
elsewhere.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import FloatArray

NOTHING = -1
"""The class number of what is not meant."""
SLOWEST, FASTEST = 0.45, 2.2
"""A little beyond half and double."""
_FRAMES = 60_000
"""How long a performance is, of a hundred takes or fewer."""
_MANY_TAKES = 100
_FEWEST_ROUNDS, _MOST_ROUNDS = 4, 5000
_WARP = 0.3
"""Deviation of the logarithm of speed within a movement."""
_SCALE = 0.15
"""Deviation of the logarithm of a movement's size."""
_DRIFT = 0.5
"""How far a movement is moved, in deviations of where takes of the same movement are."""
_BEND = 0.1
"""How far a movement's path is bent, of its size."""
_SHAKE = 0.3
"""How shaky a place is, in steps between the stillest frames."""
_ROUGHNESS = 0.2533 * math.sqrt(20)
"""Below what a fifth of third differences is, of noise whose deviation is 1."""
_VARIED_FULLY = 5
"""With more takes of each movement than this less is varied: they show it themselves."""
_LEADS = 0.35
"""A movement leads from here to there if its ends miss both by less than this share of the way, together."""
_SLIPS = 0.003
"""How often a tracker's slip begins, of frames."""
_LONGEST_SLIP = 3
"""Frames."""
_IDLENESS = {"still": 0.25, "wander": 0.2, "leave": 0.15, "backwards": 0.1, "recorded": 0.15, "cut up": 0.15}
"""What happens between movements, and how often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Places of a body over time, and which movement they are."""

    times_s: NDArray[np.float64]
    """(T,) from 0"""
    places: FloatArray
    """(T, D)"""
    target: int
    """Class number, or NOTHING."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A made-up performance at an even frame rate."""

    frame_s: float
    places: FloatArray
    """(T, D)"""
    targets: NDArray[np.intp]
    """(T,): class numbers, or NOTHING."""
    progress: FloatArray
    """(T,): 0..1 within a movement."""
    elapsed_s: FloatArray
    """(T,): since the movement began."""


def perform(
    runs: Sequence[Run],
    class_count: int,
    rng: np.random.Generator,
    check: Callable[[], None] = lambda: None,
) -> Performance:
    """A performance in which every movement comes equally often, and every take of one.

    `check` is called between them, and may raise.
    """
    stage = _Stage(runs, rng)
    by_class = [[n for n, one in enumerate(stage.meant) if one.target == target] for target in range(class_count)]
    usual = stage.usual_s / stage.frame_s
    fewest = max(_FEWEST_ROUNDS, *map(len, by_class))
    rounds = int(max(fewest, _FRAMES * more_for(len(stage.meant)) / (2.5 * usual * class_count)))
    rounds = min(rounds, _MOST_ROUNDS)
    decks = [np.concatenate([rng.permutation(one) for _ in range(-(-rounds // len(one)))]) for one in by_class]
    for number in range(rounds):
        for target in rng.permutation(class_count):
            stage.play(int(decks[target][number]))
        check()
    return stage.performance()


def more_for(takes: int) -> float:
    """How many times more there is to learn from so many takes than from a hundred or fewer; at most 3."""
    return min(3.0, math.sqrt(max(1.0, takes / _MANY_TAKES)))


class _Stage:
    def __init__(self, runs: Sequence[Run], rng: np.random.Generator) -> None:
        self._rng = rng
        self.meant = [one for one in runs if one.target != NOTHING]
        self._recorded = [one for one in runs if one.target == NOTHING]
        targets = np.array([one.target for one in self.meant])
        steps = np.concatenate([np.diff(one.places, axis=0) for one in self.meant])
        gaps_s = np.concatenate([np.diff(one.times_s) for one in self.meant])
        self.frame_s = float(np.median(gaps_s[gaps_s > 0]))  # imported times may repeat
        self.usual_s = max(self.frame_s, float(np.mean([one.times_s[-1] for one in self.meant])))
        self._longest_s = max(self.frame_s, float(np.quantile([one.times_s[-1] for one in self.meant], 0.9)))
        self._spread = np.concatenate([one.places for one in self.meant]).std(axis=0)
        fewest = min(np.bincount(targets)[np.unique(targets)])
        self._variety = min(1.0, math.sqrt(_VARIED_FULLY / fewest))
        self._shake = _SHAKE * self._variety * np.quantile(np.abs(steps), 0.2, axis=0) + 0.001
        self._noise = np.maximum(self._shake, _noise_of(self._recorded)) if self._recorded else self._shake
        means = np.stack([one.places.mean(axis=0) for one in self.meant])
        apart = [means[targets == one] - means[targets == one].mean(axis=0) for one in np.unique(targets)]
        self._drift = _DRIFT * self._variety * np.concatenate(apart).std(axis=0)
        kinds = dict(_IDLENESS)
        if not self._recorded:
            kinds["still"] += kinds.pop("recorded")
        if not self._reversible:
            kinds["wander"] += kinds.pop("backwards")
        self._kinds, self._weights = list(kinds), list(kinds.values())
        self._starts = np.stack([one.places[0] for one in self.meant])
        self._ends = np.stack([one.places[-1] for one in self.meant])
        self._pieces: list[tuple[FloatArray, int, FloatArray]] = []
        self._here = self.meant[0].places[0]

    @cached_property
    def _reversible(self) -> list[int]:
        """Which takes, played backwards, are nobody's movement: not nearly as like one as takes of it are alike."""
        shapes = np.stack(
            [one.places[np.linspace(0, len(one.places) - 1, 12).round().astype(int)] for one in self.meant]
        )
        targets = np.array([one.target for one in self.meant])
        picked = np.arange(len(shapes))[:: max(1, len(shapes) // 60)]
        known = shapes[picked].reshape(len(picked), -1)
        between = np.linalg.norm(known[:, None] - known[None], axis=2)
        alike = (targets[picked][:, None] == targets[picked][None]) & ~np.eye(len(picked), dtype=bool)
        nearest = np.where(alike, between, np.inf).min(axis=1)
        usual = float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.3
        backwards = shapes[picked, ::-1].reshape(len(picked), -1)
        far = np.linalg.norm(backwards[:, None] - known[None], axis=2).min(axis=1)
        return [int(number) for number in picked[far > 1.5 * usual + 0.2]]

    def play(self, number: int) -> None:
        """That take, with something before and after."""
        rng = self._rng
        places, progress = self._anew(self.meant[number])
        if rng.random() < 0.3:
            self._idle()
        self._go_to(places[0])
        if rng.random() < 0.6:
            self._still(rng.uniform(0.1, 1.0) * self._longest_s)
        self._add(places, self.meant[number].target, progress)
        if rng.random() < 0.6:
            self._idle()

    def performance(self) -> Performance:
        lengths = [len(places) for places, _, _ in self._pieces]
        frames = np.concatenate([np.arange(length) for length in lengths])
        places = np.concatenate([places for places, _, _ in self._pieces])
        self._slip(places)
        return Performance(
            frame_s=self.frame_s,
            places=places,
            targets=np.repeat([target for _, target, _ in self._pieces], lengths).astype(np.intp),
            progress=np.concatenate([progress for _, _, progress in self._pieces]),
            elapsed_s=(frames * self.frame_s).astype(np.float32),
        )

    def _slip(self, places: FloatArray) -> None:
        rng = self._rng
        for first in rng.integers(len(places), size=rng.poisson(_SLIPS * len(places))):
            away = (
                rng.standard_normal(places.shape[1]) * self._spread * math.exp(rng.uniform(math.log(0.5), math.log(4)))
            )
            places[first : first + rng.integers(1, _LONGEST_SLIP + 1)] += away.astype(np.float32)

    def _add(
        self,
        places: NDArray[np.floating],
        target: int = NOTHING,
        progress: FloatArray | None = None,
        *,
        is_made_up: bool = False,
    ) -> None:
        """Plays these places, made up as shaky as recorded rests, recorded ones a little more than they were."""
        if not len(places):
            return
        shake = self._noise if is_made_up else self._shake
        shaken = self._rng.standard_normal(places.shape) * shake * self._rng.uniform(0.2, 1.5)
        shown = np.zeros(len(places), dtype=np.float32) if progress is None else progress
        self._pieces.append(((places + shaken).astype(np.float32), target, shown))
        self._here = places[-1].astype(np.float32)

    def _anew(self, run: Run, *, backwards: bool = False) -> tuple[FloatArray, FloatArray]:
        """(T, D) places of a take played as it might be another time, and (T,) its progress."""
        rng = self._rng
        speed = math.exp(rng.uniform(math.log(SLOWEST), math.log(FASTEST)))
        count = max(3, round(max(float(run.times_s[-1]), self.frame_s) / speed / self.frame_s))
        pace = np.exp(rng.normal(0, _WARP, 5))
        progress = np.concatenate(
            [[0.0], np.cumsum(np.interp(np.linspace(0, 1, count), np.linspace(0, 1, 5), pace)[1:])]
        )
        progress /= progress[-1]
        at_s = (progress[::-1] if backwards else progress) * run.times_s[-1]
        places = _at(run, at_s)
        centre, deviation = places.mean(axis=0), _SCALE * self._variety
        size = np.exp(rng.normal(0, deviation) + rng.normal(0, deviation / 2, places.shape[1]))
        places = centre + (places - centre) * size + rng.normal(0, 1, places.shape[1]) * self._drift
        places += _curve(rng.normal(0, _BEND * self._variety, (4, places.shape[1])), count)
        return places.astype(np.float32), progress.astype(np.float32)

    def _still(self, seconds: float) -> None:
        self._add(np.repeat(self._here[None], self._count(seconds), axis=0), is_made_up=True)

    def _go_to(self, place: FloatArray) -> None:
        """By a movement that leads there, where there is one: arms that were raised are lowered. Else smoothly."""
        apart = np.linalg.norm(self._starts - self._here, axis=1) + np.linalg.norm(self._ends - place, axis=1)
        leading = np.flatnonzero(apart < _LEADS * np.linalg.norm(place - self._here))
        if len(leading):
            run = self.meant[int(self._rng.choice(leading))]
            places, progress = self._anew(run)
            self._link(places[0])
            self._add(places, run.target, progress)
        self._link(place)

    def _link(self, place: FloatArray) -> None:
        """Smoothly (Flash and Hogan 1985, minimum jerk), along a bow."""
        rng = self._rng
        way = place - self._here
        far = float(np.linalg.norm(way))
        seconds = self.usual_s * math.exp(rng.uniform(math.log(0.15), math.log(1.2))) * min(1.0, 0.2 + far)
        s = np.linspace(0, 1, self._count(seconds))[1:, None]
        bow = rng.normal(0, 0.15 * far, len(place)) * np.sin(np.pi * s)
        self._add(self._here + way * s**3 * (10 - 15 * s + 6 * s**2) + bow, is_made_up=True)

    def _idle(self) -> None:
        """Something between movements."""
        rng = self._rng
        seconds = rng.uniform(0.2, 1.4) * self._longest_s
        match self._kinds[rng.choice(len(self._kinds), p=self._weights)]:
            case "still":
                self._still(seconds)
            case "wander":
                self._wander(seconds)
            case "leave":
                number = int(rng.integers(len(self.meant)))
                places, progress = self._anew(self.meant[number])
                kept = max(2, round(rng.uniform(0.15, 0.6) * len(places)))
                self._go_to(places[0])
                self._add(places[:kept], self.meant[number].target, progress[:kept])
                self._go_to((self._somewhere() + rng.normal(0, 0.3, places.shape[1])).astype(np.float32))
            case "backwards":
                places, _ = self._anew(self.meant[int(rng.choice(self._reversible))], backwards=True)
                self._go_to(places[0])
                self._add(places)
            case "recorded":
                run = self._recorded[int(rng.integers(len(self._recorded)))]
                begin_s = rng.uniform(0, max(0.0, run.times_s[-1] - seconds))
                at_s = np.minimum(begin_s + np.arange(self._count(seconds)) * self.frame_s, run.times_s[-1])
                shown = _at(run, at_s).astype(np.float32)
                self._go_to(shown[0])
                self._add(shown)
            case "cut up":
                for _ in range(rng.integers(2, 4)):
                    places, _ = self._anew(self.meant[int(rng.integers(len(self.meant)))])
                    length = max(2, int(len(places) * rng.uniform(0.2, 0.45)))
                    first = int(rng.integers(min(len(places) // 4, len(places) - length), len(places) - length + 1))
                    cut = places[first : first + length]
                    self._add(cut - (cut[0] - self._here) * rng.uniform(0.5, 1.0))

    def _wander(self, seconds: float) -> None:
        rng = self._rng
        every_s = self.usual_s * math.exp(rng.uniform(math.log(0.1), math.log(0.8)))
        size = math.exp(rng.uniform(math.log(0.05), math.log(1.5)))
        count = max(3, int(seconds / every_s) + 2)
        turns = rng.normal(0, size, (count, len(self._here))) * self._spread + self._somewhere()
        self._add(_curve(np.concatenate([self._here[None], turns]), self._count(seconds)), is_made_up=True)

    def _somewhere(self) -> FloatArray:
        """A place that some movement passes."""
        places = self.meant[self._rng.integers(len(self.meant))].places
        return places[self._rng.integers(len(places))]

    def _count(self, seconds: float) -> int:
        return max(2, round(seconds / self.frame_s))


def _noise_of(runs: Sequence[Run]) -> NDArray[np.float64]:
    """(D,): deviation of the noise in places, from third differences, in which little of a movement is left."""
    rough = np.concatenate([np.diff(one.places, 3, axis=0) for one in runs])
    return np.asarray(np.quantile(np.abs(rough), 0.2, axis=0) / _ROUGHNESS) if len(rough) else np.zeros(rough.shape[1])


def _curve(knots: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """(count, D): smoothly from each knot (K, D) to the next."""
    at = np.linspace(0, len(knots) - 1.001, count)
    before = at.astype(int)
    share = (0.5 - 0.5 * np.cos(np.pi * (at - before)))[:, None]
    return knots[before] * (1 - share) + knots[before + 1] * share


def _at(run: Run, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, D): where that run is at those times."""
    return np.stack([np.interp(times_s, run.times_s, column) for column in run.places.T], axis=1)
