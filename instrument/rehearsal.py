"""How strict to be: learned from a recorded stream in which nothing is meant.

A rehearsal is a take that teaches no class. On its first half the least familiarity is found at which
the model would fire too seldom to matter; the second half, which had no say in it, tells how often it would.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.gate import RELEASE_S
from instrument.models.crossfit import softmax
from instrument.models.familiarity import strangeness
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Features of a recording, frame after frame."""

    times_s: NDArray[np.float64]
    """(T,)"""
    values: FloatArray
    """(T, F): those the model learned from."""
    is_usable: NDArray[np.bool_]
    """(T,): whether there is somebody to take for something."""


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
    strange = strangeness(
        model.familiarity.density, units.of(values), said, surely.max(axis=1) if units.is_hidden else None
    )
    return np.nan_to_num(model.familiarity.of(strange)).astype(np.float64), said


def rehearse(model: TrainedModel, output: Output, streams: Sequence[Stream]) -> Mapping[str, Any] | None:
    """What those recordings tell about a class output, for `TrainedModel.rehearsal`; None when nothing is rejected."""
    if model.familiarity is None or not output.reject or not any(len(one.times_s) > 1 for one in streams):
        return None
    idle = [index for index, name in enumerate(model.classes) if name in output.idle]
    halves: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    lengths_s = [0.0, 0.0]
    for stream in streams:
        times_s = stream.times_s
        if len(times_s) < 2:
            continue
        seen = np.zeros(len(times_s))
        said = np.full(len(times_s), -1, dtype=np.intp)
        if stream.is_usable.any():
            seen[stream.is_usable], said[stream.is_usable] = familiarities(model, stream.values[stream.is_usable])
        seen[np.isin(said, idle)] = 0.0
        middle = (times_s[0] + times_s[-1]) / 2
        for half, is_in in enumerate((times_s < middle, times_s >= middle)):
            halves[half].append(triggers(times_s[is_in], seen[is_in], said[is_in]))
            lengths_s[half] += float(np.ptp(times_s[is_in])) if is_in.any() else 0.0
    first, second = (np.concatenate(half) for half in halves)
    least = threshold(first, int(_AIM * MOST_PER_MINUTE * lengths_s[0] / 60), at_least=output.reject)
    minutes = max(lengths_s[1] / 60, 1e-9)
    count = count_at(second, least)
    found = {
        "least": round(least, 4),
        "set_on_s": round(lengths_s[0], 1),
        "measured_on_s": round(lengths_s[1], 1),
        "false_triggers": count,
        "per_minute": round(count / minutes, 3),
        "per_minute_by_default": round(count_at(second, output.reject) / minutes, 3),
        "at_most_per_minute": round(most_likely_at_most(count) / minutes, 3),
        "gestures_kept": round(1.0 - least, 4),
    }
    return found | {"text": _in_words(found)}


def triggers(times_s: NDArray[np.float64], seen: NDArray[np.float64], said: NDArray[np.intp]) -> FloatArray:
    """(E, 2): the ranges of thresholds, above the first and up to the second, at which each frame fires something.

    A frame fires when the gate opens with it, or when it is taken for another class than the open one before it.
    """
    ranges = []
    start = 0
    for index in range(len(times_s)):
        while index and times_s[index - 1] - times_s[start] >= RELEASE_S:  # what held the gate open until now
            start += 1
        before = float(seen[start:index].max()) if index else 0.0
        if seen[index] > before:
            ranges.append((before, seen[index]))
        if index and said[index] != said[index - 1] and min(seen[index], seen[index - 1], before) > 0:
            ranges.append((0.0, min(seen[index], before)))
    return np.array(ranges, dtype=np.float32).reshape(-1, 2)


def count_at(ranges: FloatArray, least: float) -> int:
    """How many of those fire at that threshold."""
    return int(((ranges[:, 0] < least) & (least <= ranges[:, 1])).sum())


def threshold(ranges: FloatArray, allowed: int, *, at_least: float) -> float:
    """The lowest threshold from which on, however strict, at most `allowed` fire."""
    found = at_least
    for edge in np.unique(ranges[:, 1])[::-1].tolist():
        if edge < at_least:
            break
        if count_at(ranges, edge) > allowed:
            found = max(found, math.nextafter(edge, 1.0) + 1e-4)
            break
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
