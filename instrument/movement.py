"""Trigger outputs: takes of movements become a model, and a model becomes events while one plays.

Knows the patch's outputs and takes' features, not processes, routes or messages.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instrument.clock import Clock, now_s
from instrument.features import FORGET_AFTER_S, feature_fingerprint
from instrument.kernels import cpu
from instrument.kernels.cpu import Layer
from instrument.kernels.packing import dequantise
from instrument.models.fitting import Progress, TrainingError, keeping
from instrument.models.follower import Follower, Moment
from instrument.models.following import Following, MovementTake, fit_following, said_of_take
from instrument.models.movement_model import MovementModel
from instrument.models.quantize import Calibration, calibrate, controls
from instrument.models.staging import NOTHING
from instrument.patch import NO_CLASS, Output, Patch
from instrument.signals import FloatArray, MovementEvent, TriggerPrediction
from instrument.takes import Take

if TYPE_CHECKING:
    from instrument.datasets import TakeFeatures

_FEWEST_FRAMES = 3
_HIGHEST_RATE_HZ = 240
_STILL = 0.15
"""Of a movement's mean speed: slower than this is not yet moving."""
_ONSET_REACH = 0.15
"""How far, of what has been played, the stillness before a movement is looked for around where it seemed to begin."""
_NEAR_S = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementDataset:
    """What one trigger output learns from."""

    takes: tuple[MovementTake, ...]
    take_ids: tuple[int, ...]
    classes: tuple[str, ...]
    feature_names: tuple[str, ...]
    notes: tuple[str, ...]


def movement_dataset(
    output: Output,
    shown: Sequence[tuple[Take, "TakeFeatures"]],
    columns: NDArray[np.intp],
    names: Sequence[str],
    notes: Sequence[str] = (),
) -> MovementDataset:
    """What that output learns from these takes and their features, of which it uses some columns.

    Takes labelled `none`, and those that teach nothing, show what is not meant.

    Raises TrainingError when there is no movement in them.
    """
    recorded = dict.fromkeys(str(take.targets.get(output.name, NO_CLASS)) for take, _ in shown)
    classes = tuple(name for name in output.classes or recorded if name in recorded and name != NO_CLASS)
    if not classes:
        raise TrainingError("no takes of a movement to learn from; record at least one, from its beginning to its end")
    takes, ids, said = [], [], list(notes)
    for take, features in shown:
        rows = np.flatnonzero(features.is_usable)
        if len(rows) < _FEWEST_FRAMES:
            found = "all numbers came" if "numbers" in take.parts else "a body was found"
            said.append(f"take {take.id} left out: {found} in {len(rows)} frames, a movement needs {_FEWEST_FRAMES}")
            continue
        name = str(take.targets.get(output.name, NO_CLASS))
        takes.append(
            MovementTake(
                times_s=features.sequence.times_s[rows],
                values=features.values[np.ix_(rows, columns)],
                target=NOTHING if name == NO_CLASS else classes.index(name),
            )
        )
        ids.append(take.id)
    missing = [name for index, name in enumerate(classes) if all(one.target != index for one in takes)]
    if missing:
        raise TrainingError(f"no usable take of '{missing[0]}' ({'; '.join(said)}); record it again")
    return MovementDataset(
        takes=tuple(takes),
        take_ids=tuple(ids),
        classes=classes,
        feature_names=tuple(names[column] for column in columns),
        notes=tuple(said),
    )


def train_movements(
    patch: Patch,
    output: Output,
    dataset: MovementDataset,
    *,
    on_progress: Callable[[str, Progress], None] = lambda *_: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    clock: Clock = now_s,
) -> MovementModel:
    """The model of one trigger output, the same for the same takes; its files are not written.

    Raises TrainingError and Cancelled.
    """
    started_s = clock()
    curve: list[list[float | None]] = []

    def fit(takes: Sequence[MovementTake], effort: float) -> Following:
        return fit_following(
            takes,
            len(dataset.classes),
            hidden=output.hidden,
            seed=output.seed,
            is_scaled=patch.listen.is_numbers,
            effort=effort,
            on_progress=keeping(curve, lambda progress: on_progress(output.name, progress)),
            is_cancelled=is_cancelled,
        )

    validation = _validation(dataset, fit)
    following = fit(dataset.takes, 1.0)
    packed = calibrate(
        following.bare,
        following.shift,
        following.gain,
        following.rows,
        is_class=True,
        bits=output.bits,
        insist=output.insist,
        seed=output.seed,
        is_cancelled=is_cancelled,
    )
    counts = np.bincount([one.target for one in dataset.takes if one.target != NOTHING])
    drift_rms, drift_worst = _drift(following, packed)
    training = {
        "takes": len(dataset.takes),
        "examples": sum(len(one.times_s) for one in dataset.takes),
        "class_counts": {name: int(count) for name, count in zip(dataset.classes, counts, strict=True)},
        "durations_s": {
            name: round(float(one), 3) for name, one in zip(dataset.classes, following.durations_s, strict=True)
        },
        "trimmed_s": {
            str(number): round(one, 3) for number, one in zip(dataset.take_ids, following.trimmed_s, strict=True)
        },
        "window_s": round(following.past.window_s, 3),
        "steps": following.steps,
        "loss": round(following.loss, 6),
        "curve": curve,
        "validation": validation,
        "bits": packed.network.bits,
        "packed_by": packed.method,
        "drift": {"rms": round(drift_rms, 6), "worst_jump": round(drift_worst, 6)},
        "seconds": round(clock() - started_s, 4),
        "notes": [*dataset.notes, *packed.notes],
    }
    return MovementModel(
        output=output.name,
        classes=dataset.classes,
        feature_names=dataset.feature_names,
        feature_fingerprint=feature_fingerprint(patch, output),
        past=following.past,
        durations_s=following.durations_s,
        prior=following.prior,
        hidden=tuple(len(biases) for _, biases in following.layers[:-1]),
        seed=output.seed,
        network=packed.network,
        training=training,
    )


def _validation(
    dataset: MovementDataset, fit: Callable[[Sequence[MovementTake], float], Following]
) -> dict[str, Any] | None:
    """How many takes are recognised by a network that has not seen them: the latest of each movement; None with few."""
    targets = np.array([one.target for one in dataset.takes])
    held = [np.flatnonzero(targets == target)[-1] for target in range(len(dataset.classes))]
    if len(dataset.classes) < 2 or min(np.sum(targets == target) for target in range(len(dataset.classes))) < 2:
        return None
    following = fit([one for number, one in enumerate(dataset.takes) if number not in held], 0.4)
    right = {
        str(dataset.take_ids[number]): float(
            said_of_take(following, dataset.takes[number]).argmax() == dataset.takes[number].target
        )
        for number in held
    }
    return {
        "measure": "accuracy",
        "score": round(sum(right.values()) / len(right), 6),
        "examples": len(right),
        "split": "takes",
        "by_take": right,
    }


def _drift(following: Following, packed: Calibration) -> tuple[float, float]:
    """(rms, worst): how far packing puts the confidences, without the output that tells the elapsed time."""
    rows = (following.rows - following.shift) * following.gain

    def said(layers: Sequence[Layer]) -> FloatArray:
        weights, biases = layers[-1]
        return controls([*layers[:-1], (weights[:, :-1], biases[:-1])], rows, is_class=True)

    network = packed.network
    played = said([(dequantise(layer), layer.biases) for layer in network.layers])
    apart = np.subtract(said(following.bare), played, dtype=np.float64)
    return float(np.sqrt(np.square(apart).mean())), float(np.abs(apart).max())


class MovementRunner:
    """Plays one model: the recent past, the network and the follower."""

    def __init__(self, model: MovementModel, forward: cpu.Forward, *, at: float) -> None:
        """`forward` runs the model's network; `at` is the progress at which a movement counts as played."""
        self._model = model
        self._past = model.past
        self._forward = forward
        self._follower = Follower(model.durations_s, model.prior, at=at)
        self._times_s = np.zeros(round(2 * _HIGHEST_RATE_HZ * model.past.window_s) + 64)
        self._places = np.zeros((len(self._times_s), model.past.axes.shape[1]), dtype=np.float32)
        self._numbers = np.arange(len(self._times_s), dtype=np.float64)
        self._count = 0

    def update(self, time_s: float, values: FloatArray) -> TriggerPrediction:
        """What happens in this frame; what is under way ends when the network gives no finite number."""
        events: list[MovementEvent] = []
        if self._count and time_s - self._times_s[self._count - 1] > FORGET_AFTER_S:
            events += self.let_go()
        self._remember(time_s, values)
        past = self._look_back(time_s - self._past.lags_s)
        given = self._forward(self._past.inputs(past[None])[0])
        if not math.isfinite(given.sum()):
            return self._nothing_but([*events, *self.let_go()])
        elapsed_s = float(min(max(given[-1], 0.0), 1.0)) ** 2 * self._past.window_s
        moments = self._follower.update(time_s, given[:-1], elapsed_s)
        events += [self._event(one, time_s) for one in moments]
        current = self._follower.current
        return TriggerPrediction(
            classes=self._model.classes,
            confidences=self._follower.confidences,
            current=None if current is None else self._model.classes[current],
            progress=self._follower.progress,
            events=tuple(events),
        )

    def leave(self) -> TriggerPrediction:
        """The last that is to be said: what was under way ends."""
        return self._nothing_but(self.let_go())

    def let_go(self) -> list[MovementEvent]:
        """Forgets the past; what was under way ends."""
        ended = [self._event(one, 0.0) for one in self._follower.let_go()]
        self._follower.reset()
        self._count = 0
        return ended

    def _nothing_but(self, events: Sequence[MovementEvent]) -> TriggerPrediction:
        classes = self._model.classes
        return TriggerPrediction(
            classes=classes,
            confidences=np.zeros(len(classes), dtype=np.float32),
            current=None,
            progress=0.0,
            events=tuple(events),
            is_finite=False,
        )

    def _remember(self, time_s: float, values: FloatArray) -> None:
        if self._count == len(self._times_s):
            kept = self._count // 2
            self._times_s[:kept] = self._times_s[-kept:].copy()
            self._places[:kept] = self._places[-kept:].copy()
            self._count = kept
        self._times_s[self._count] = time_s
        self._past.places(values, out=self._places[self._count])
        self._count += 1

    def _look_back(self, asked_s: NDArray[np.float64]) -> FloatArray:
        """(K, D): where the body was at these times; before anything is known, where it was first."""
        at = np.interp(asked_s, self._times_s[: self._count], self._numbers[: self._count])
        before = at.astype(np.intp)
        share = (at - before).astype(np.float32)[:, None]
        places = self._places[: self._count]
        start = places.take(before, axis=0)
        before += 1
        return start + (places.take(before, axis=0, mode="clip") - start) * share

    def _event(self, moment: Moment, time_s: float) -> MovementEvent:
        name = self._model.classes[moment.movement]
        if moment.what != "hit":
            return MovementEvent(what=moment.what, movement=name, onset_s=moment.onset_s, velocity=0.0)
        onset_s = self._onset_s(moment.onset_s, time_s)
        speed = moment.speed * (time_s - moment.onset_s) / max(time_s - onset_s, 1e-3)
        return MovementEvent(what="hit", movement=name, onset_s=onset_s, velocity=min(max(speed / 2, 0.0), 1.0))

    def _onset_s(self, seemed_s: float, now_s: float) -> float:
        """Where a movement began: where stillness ended nearest to when it seemed to begin, if it did near that."""
        times_s, places = self._times_s[: self._count], self._places[: self._count]
        reach_s = max(_NEAR_S, _ONSET_REACH * (now_s - seemed_s))
        first, last = np.searchsorted(times_s, [seemed_s - reach_s - _NEAR_S, now_s])
        if last - first < 4:
            return seemed_s
        gaps_s = np.maximum(np.diff(times_s[first:last]), 1e-4)
        speeds = np.linalg.norm(np.diff(places[first:last], axis=0), axis=1) / gaps_s
        speeds = np.convolve(np.pad(speeds, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
        of_movement = speeds[times_s[first : last - 1] >= seemed_s]
        is_still = speeds < _STILL * float(of_movement.mean() if len(of_movement) else speeds.mean())
        begins_s = times_s[first + 1 : last - 1][is_still[:-1] & ~is_still[1:]]
        begins_s = begins_s[np.abs(begins_s - seemed_s) <= reach_s]
        return float(begins_s[np.abs(begins_s - seemed_s).argmin()]) if len(begins_s) else seemed_s
