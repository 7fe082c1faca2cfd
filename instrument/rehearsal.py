"""How strict to be: learned from a recorded stream in which nothing is meant.

A rehearsal is a take that teaches no class. On its first half the least familiarity is found at which
the model would fire too seldom to matter; the second half, which had no say in it, tells how often it would.
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.gate import RELEASE_S, Gate
from instrument.models.crossfit import softmax
from instrument.models.trained import TrainedModel
from instrument.patch import Output
from instrument.signals import FloatArray

MOST_PER_MINUTE = 1.0
"""False triggers a performer can live with."""
_AIM = 0.5
"""Of those, on the part that sets the threshold: what is found there to be just enough is too little elsewhere."""
_STRICTEST = 0.95
_FEW_KEPT = 0.8
_LONG_ENOUGH_MIN = 3.0
"""What 95 % sure of at most one a minute takes, if none is seen."""
NOBODY = -1
"""Instead of a class, in frames in which there is nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Features of a recording, frame after frame."""

    times_s: NDArray[np.float64]
    """(T,)"""
    values: FloatArray
    """(T, F): those the model learned from."""
    is_usable: NDArray[np.bool_]
    """(T,): whether there is somebody to take for something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a model makes of a recording, frame after frame."""

    times_s: NDArray[np.float64]
    """(T,)"""
    familiar: NDArray[np.float64]
    """(T,): 0..1."""
    said: NDArray[np.intp]
    """(T,): the class each is taken for, or NOBODY."""


def familiarities(
    model: TrainedModel, values: FloatArray, given: FloatArray | None = None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(T,) how familiar each of `values` (T, F) is, and (T,) the class it is taken for.

    `given` (T, C) is what the model gives for them, where that is known. Raises ValueError for a model without a
    familiarity.
    """
    units = model.units()
    if model.familiarity is None or units is None:
        raise ValueError(f"output '{model.output}': its model cannot tell what is familiar; record more takes")
    surely = softmax(model.on_rows()(values) if given is None else given)
    said = surely.argmax(axis=1)
    confidences = surely.max(axis=1) if units.is_hidden else None
    strange = model.familiarity.strangeness(values, units.of(values), said, confidences)
    return np.nan_to_num(model.familiarity.of(strange)).astype(np.float64), said


def rehearse(model: TrainedModel, output: Output, streams: Sequence[Stream]) -> Mapping[str, Any] | None:
    """What those recordings tell about a class output, for `TrainedModel.rehearsal`; None when nothing is rejected."""
    if model.familiarity is None or not output.reject or not any(len(one.times_s) > 1 for one in streams):
        return None
    idle = [index for index, name in enumerate(model.classes) if name in output.idle]
    halves: tuple[list[Seen], list[Seen]] = ([], [])
    for stream in streams:
        times_s = stream.times_s
        if len(times_s) < 2:
            continue
        familiar = np.zeros(len(times_s))
        said = np.full(len(times_s), NOBODY, dtype=np.intp)
        if stream.is_usable.any():
            familiar[stream.is_usable], said[stream.is_usable] = familiarities(model, stream.values[stream.is_usable])
        middle = (times_s[0] + times_s[-1]) / 2
        for half, is_in in zip(halves, (times_s < middle, times_s >= middle), strict=True):
            half.append(Seen(times_s=times_s[is_in], familiar=familiar[is_in], said=said[is_in]))
    set_on_s, measured_on_s = (float(sum(np.ptp(one.times_s) for one in half if len(one.times_s))) for half in halves)
    ranges = np.concatenate([triggers(one, idle) for one in halves[0]])
    allowed = int(_AIM * MOST_PER_MINUTE * set_on_s / 60)
    least = round(threshold(ranges, allowed, at_least=output.reject), 4)
    count, by_default = (
        sum(false_triggers(one, idle, strictness) for one in halves[1]) for strictness in (least, output.reject)
    )
    minutes = max(measured_on_s / 60, 1e-9)
    found = {
        "least": least,
        "set_on_s": round(set_on_s, 1),
        "measured_on_s": round(measured_on_s, 1),
        "false_triggers": count,
        "per_minute": round(count / minutes, 3),
        "per_minute_by_default": round(by_default / minutes, 3),
        "at_most_per_minute": round(most_likely_at_most(count) / minutes, 3),
        "gestures_kept": round(1.0 - least, 4),
    }
    return found | {"text": _in_words(found)}


def false_triggers(seen: Seen, idle: Collection[int], least: float) -> int:
    """How often a class that means something begins, with the gate that plays; to be lost for a moment ends nothing."""
    gate: Gate[int] = Gate()
    before: int | None = None
    lost_at_s: float | None = None
    count = 0
    for now_s, familiar, said in zip(seen.times_s.tolist(), seen.familiar.tolist(), seen.said.tolist(), strict=True):
        if said == NOBODY:
            lost_at_s = now_s if lost_at_s is None else lost_at_s
            continue
        if lost_at_s is not None and now_s - lost_at_s >= RELEASE_S:
            before = None
        lost_at_s = None
        meant = gate.update(said, now_s, is_familiar=familiar >= least)
        if meant in idle:
            meant = None
        count += meant not in (None, before)
        before = meant
    return count


def triggers(seen: Seen, idle: Collection[int]) -> NDArray[np.float64]:
    """(E, 2): the ranges of thresholds, above the first and up to the second, at which each frame begins something.

    All thresholds at once, as `false_triggers` counts at one: a familiar frame begins its class unless the last
    frame that was as familiar, of those a gate still keeps to, was taken for the same.
    """
    times_s, familiar, said = seen.times_s.tolist(), seen.familiar.tolist(), seen.said.tolist()
    ranges: list[tuple[float, float]] = []
    kept: deque[int] = deque()
    for now, one in enumerate(said):
        if one == NOBODY:
            continue
        if kept and times_s[now] - times_s[kept[-1] + 1] >= RELEASE_S:  # lost since the frame after that
            kept.clear()
        while kept and times_s[kept[-1]] - times_s[kept[0]] >= RELEASE_S:
            kept.popleft()
        highest = 0.0
        for earlier in reversed(kept if one not in idle else ()):
            if familiar[earlier] > highest:
                if said[earlier] != one:
                    ranges.append((highest, min(familiar[earlier], familiar[now])))
                highest = familiar[earlier]
            if highest >= familiar[now]:
                break
        if one not in idle and highest < familiar[now]:
            ranges.append((highest, familiar[now]))
        kept.append(now)
    return np.array(ranges, dtype=np.float64).reshape(-1, 2)


def threshold(ranges: NDArray[np.float64], allowed: int, *, at_least: float) -> float:
    """The lowest threshold from which on, however strict, at most `allowed` of those begin something."""
    lows, highs = np.sort(ranges, axis=0).T
    counts = np.searchsorted(lows, highs) - np.searchsorted(highs, highs)
    too_low = highs[(counts > allowed) & (highs >= at_least)]
    found = math.nextafter(too_low[-1], 1.0) + 1e-4 if len(too_low) else at_least
    return min(found, _STRICTEST)


def most_likely_at_most(count: int) -> float:
    """The mean of a Poisson count that is so low only once in twenty: the upper end of a one-sided 95 % interval."""
    low, high = float(count), 3.0 * count + 5.0
    for _ in range(50):
        mean = (low + high) / 2
        term, total = math.exp(-mean), 0.0
        for one in range(count + 1):
            total += term
            term *= mean / (one + 1)
        low, high = (mean, high) if total > 0.05 else (low, mean)
    return high


def _in_words(found: Mapping[str, Any]) -> str:
    text = (
        f"{found['per_minute']:g} false triggers a minute in the second half ({found['measured_on_s']:g} s), which had "
        f"no say in the threshold; {found['per_minute_by_default']:g} without the rehearsal. "
        f"{found['gestures_kept']:.0%} of the frames of true gestures are kept."
    )
    if found["gestures_kept"] < _FEW_KEPT:
        text += (
            " That is few: what was done meanwhile looks like the gestures. Undo the rehearsal if some were meant; "
            "else record more takes, or choose other gestures."
        )
    if found["measured_on_s"] < 60 * _LONG_ENOUGH_MIN:
        text += (
            f" So short a time only shows fewer than {found['at_most_per_minute']:.1f} a minute: rehearse for longer."
        )
    return text
