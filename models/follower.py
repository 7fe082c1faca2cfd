"""Makes events of what a network that follows movements says, frame by frame.

A hidden Markov model of "nothing" and the parts of every movement, passed in order: the network's posteriors
divided by its priors are its likelihoods (Bourlard and Morgan 1994, *Connectionist speech recognition*, chapter
7), the forward recursion its memory (Rabiner 1989, equation 20). So what looks like the end of a movement is
one only after its beginning, and counts once.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import FloatArray

_MEMORY_S = 0.1
"""Frames this far apart count as independent; nearer ones count for less."""
_ENTER_HZ = 0.4
"""How often a movement is expected to begin."""
_LEAVE = 0.15
"""How often a movement is left, in its duration."""
_ENTRIES = (0.7, 0.3)
"""A movement is noticed in its first part or its second."""
_MOST_STEPS = 5
"""Of a frame: from one part to one less than so many further."""
_STEPS = np.arange(_MOST_STEPS)
_FACTORIALS = np.array([math.factorial(step) for step in _STEPS], dtype=np.float64)
_BEGINS, _COUNTS, _ENDS = 0.5, 0.5, 0.3
"""Probabilities at which a movement has begun, may count as played, and has ended."""
_HANGS = 2.0
"""Durations after which a movement that gets no further has ended: at half speed each of its parts is over sooner."""
_STIRS = 1.5
"""Parts by which such a movement gets on, or begins anew, before it is one again."""
_STRONGEST = math.exp(7.0)
"""Likelihood ratio of one frame at most, for a network can be sure and wrong."""
_FORGET_AFTER_S = 0.5
_TICK_S = 0.0005
"""To which the time between frames is rounded, so that what it makes likely is computed once for many frames."""
_MOST_KEPT = 64
"""Such times, a few for each frame rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened to a movement in this frame: it has begun, counts as played, or has ended."""

    what: str
    """`begin`, `hit` or `end`."""
    movement: int
    onset_s: float
    """When it began, as far as can be told now."""
    speed: float = 0.0
    """Of a hit: 1 as fast as the takes, 2 twice as fast."""


class Follower:
    """Follows movements through one performance."""

    def __init__(self, durations_s: FloatArray, prior: FloatArray, *, at: float) -> None:
        """`durations_s` (C,), `prior` (1 + C * P,), and the progress `at` which a movement counts as played."""
        self._durations_s = durations_s.astype(np.float64)
        self._prior = prior.astype(np.float64) + 1e-4
        self._parts = (len(prior) - 1) // len(durations_s)
        between = np.arange(self._parts) - np.arange(self._parts)[:, None]
        # From a part to an earlier one, or too far, is the last column of shares: none.
        self._steps_between = np.where((between >= 0) & (between < _MOST_STEPS), between, _MOST_STEPS)
        self._entries = np.array(_ENTRIES) / len(durations_s)
        self._middles = (np.arange(self._parts) + 0.5) / self._parts
        # The middle of the last part is as far as progress can be seen to go.
        self._at = min(at, float(self._middles[-1]) - 0.02) - 0.5 / self._parts
        self._travels: dict[int, NDArray[np.float64]] = {}
        self.reset()

    def reset(self) -> None:
        """Forgets what came before: nothing is under way."""
        self._nothing = 1.0
        # (C, 2, P): how likely each part is, and that times its mean onset.
        self._states = np.zeros((len(self._durations_s), 2, self._parts))
        self._by_movement = np.zeros(len(self._durations_s))
        self._updated_at_s = -math.inf
        self._unticked_s = 0.0
        self._current: int | None = None
        self._has_counted = False
        self._counted_at_s = -math.inf
        self._progress = 0.0
        self._got_to, self._got_there_at_s = 0.0, -math.inf
        self._hung: tuple[int, float] | None = None  # which movement, and how far it was

    @property
    def confidences(self) -> FloatArray:
        """(C,): how likely each movement is under way."""
        return self._by_movement.astype(np.float32)

    @property
    def current(self) -> int | None:
        """The movement under way."""
        return self._current

    @property
    def progress(self) -> float:
        """How far it is, 0..1; never goes back."""
        return self._progress

    def update(self, time_s: float, given: NDArray[np.floating], elapsed_s: float) -> list[Moment]:
        """What happens in this frame, from the network's logits (1 + C * P,) and the time since a movement began."""
        if time_s - self._updated_at_s > _FORGET_AFTER_S:
            ended = self.let_go()
            self.reset()
            self._updated_at_s = time_s
            return ended
        passed_s = max(time_s - self._updated_at_s, 1e-4)
        self._updated_at_s = time_s
        self._advance(passed_s, time_s - elapsed_s)
        posteriors = np.exp(given - given.max())
        ratios = posteriors / (posteriors.sum() * self._prior)
        likelihoods = ratios.clip(1 / _STRONGEST, _STRONGEST) ** min(1.0, passed_s / _MEMORY_S)
        self._nothing *= likelihoods[0]
        self._states *= likelihoods[1:].reshape(-1, 1, self._parts)
        by_movement = self._states[:, 0].sum(axis=1)
        total = self._nothing + by_movement.sum()
        self._nothing /= total
        self._states /= total
        self._by_movement = by_movement / total
        return self._moments(time_s)

    def let_go(self) -> list[Moment]:
        """Ends the movement under way, if there is one."""
        if self._current is None:
            return []
        ended = Moment(what="end", movement=self._current, onset_s=self._onset_s(self._current))
        self._current, self._has_counted, self._progress = None, False, 0.0
        return [ended]

    def _advance(self, passed_s: float, entered_s: float) -> None:
        """Time passes: some leave, some enter, and all that are under way travel."""
        ticks = round((passed_s + self._unticked_s) / _TICK_S)
        self._unticked_s += passed_s - ticks * _TICK_S
        self._states = self._states @ self._travel(ticks)
        left = 1.0 - self._nothing - self._states[:, 0].sum()
        entering = self._nothing * min(0.5, _ENTER_HZ * passed_s)
        self._nothing += max(left, 0.0) - entering
        enter = entering * self._entries
        self._states[:, 0, : len(enter)] += enter
        self._states[:, 1, : len(enter)] += enter * entered_s

    def _travel(self, ticks: int) -> NDArray[np.float64]:
        """(C, P, P): from which part to which in that time; steps are a Poisson process, and some leave."""
        if (kept := self._travels.get(ticks)) is not None:
            return kept
        if len(self._travels) == _MOST_KEPT:
            self._travels.clear()
        passed_s = ticks * _TICK_S
        steps = passed_s * self._parts / self._durations_s
        shares = np.zeros((len(steps), _MOST_STEPS + 1))
        shares[:, :_MOST_STEPS] = np.exp(-steps)[:, None] * steps[:, None] ** _STEPS / _FACTORIALS
        shares *= (1 - np.minimum(0.5, _LEAVE * passed_s / self._durations_s))[:, None]
        self._travels[ticks] = shares[:, self._steps_between]
        return self._travels[ticks]

    def _moments(self, time_s: float) -> list[Moment]:
        moments: list[Moment] = []
        by_movement = self._by_movement
        best = int(by_movement.argmax())
        if (current := self._current) is not None:
            is_other = best != current and by_movement[best] > _BEGINS
            is_anew = self._has_counted and self._mean_progress(current) < 0.5 and self._is_new(current)
            is_hanging = time_s - self._got_there_at_s > _HANGS * self._durations_s[current]
            if is_hanging:
                self._hung = current, self._mean_progress(current)
            if by_movement[current] < _ENDS or is_other or is_anew or is_hanging:
                moments += self.let_go()
        if self._hung is not None and not self._hangs(*self._hung):
            self._go_on(*self._hung, time_s)
            self._hung = None
        is_free = self._hung is None or self._hung[0] != best
        if self._current is None and by_movement[best] > _BEGINS and self._is_new(best) and is_free:
            self._current, self._got_to, self._got_there_at_s = best, 0.0, time_s
            moments.append(Moment(what="begin", movement=best, onset_s=self._onset_s(best)))
        if (current := self._current) is not None:
            progress = self._mean_progress(current)
            self._progress = max(self._progress, progress)
            if self._progress > self._got_to + 1 / self._parts:
                self._got_to, self._got_there_at_s = self._progress, time_s
            if not self._has_counted and by_movement[current] > _COUNTS and progress >= self._at:
                onset_s = self._onset_s(current)
                speed = progress * float(self._durations_s[current]) / max(time_s - onset_s, 1e-3)
                self._has_counted, self._counted_at_s = True, time_s
                moments.append(Moment(what="hit", movement=current, onset_s=onset_s, speed=speed))
        return moments

    def _hangs(self, movement: int, progress: float) -> bool:
        """Whether that movement, which ended as it got no further than that, still is where it was."""
        now = self._mean_progress(movement)
        is_there = abs(now - progress) < _STIRS / self._parts and (now < self._at or progress >= self._at)
        return is_there and bool(self._by_movement[movement] >= _ENDS)

    def _go_on(self, movement: int, progress: float, time_s: float) -> None:
        """What hung and gets further began as if it had come here at its usual speed: standing still was no part."""
        now = self._mean_progress(movement)
        if now > progress and self._is_new(movement):
            onset_s = time_s - now * self._durations_s[movement]
            self._states[movement, 1] = self._states[movement, 0] * onset_s

    def _is_new(self, movement: int) -> bool:
        """Whether it began after the last one had counted, or nearly so."""
        return self._onset_s(movement) > self._counted_at_s - 0.3 * self._durations_s[movement]

    def _onset_s(self, movement: int) -> float:
        likely, onsets_s = self._states[movement].sum(axis=1)
        return float(onsets_s / max(likely, 1e-300))

    def _mean_progress(self, movement: int) -> float:
        likely = self._states[movement, 0]
        return float(likely @ self._middles / max(likely.sum(), 1e-300))
