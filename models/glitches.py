"""Values that cannot be meant: a sensor's reading of 10,000 among ones of 1, which makes all of these look alike."""

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import FloatArray

_SHARE = 100
"""One in so many values of a feature, at either end, may be a glitch."""
_REACH = 10.0
"""It lies farther from all the others than so many times their range."""
_NEVER = 4.3
"""Deviations within which nothing is looked for; of 20 values none can be farther than that."""
_FEWEST = 20
_ROWS = 4000
"""So many examples are enough to say where values usually are."""


def without_glitches(values: FloatArray, takes: NDArray[np.intp]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The same (N, F) with each glitch brought back among the others, and (N, F) which were glitches.

    `takes` (N,) are from 0 on; what half a take shows, or more, is meant: a posture shown once among many of another.
    """
    is_glitch = np.zeros(values.shape, dtype=bool)
    if len(values) < _FEWEST:
        return values, is_glitch
    rows = values[:: max(1, len(values) // _ROWS)]
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    lowest, highest = values.min(axis=0), values.max(axis=0)
    columns = np.flatnonzero(np.maximum(highest - mean, mean - lowest) > _NEVER * deviation)
    few = -(-len(rows) // _SHARE)
    ordered = np.partition(rows[:, columns], (few, len(rows) - 1 - few), axis=0).astype(np.float64)
    low, high = ordered[few], ordered[len(rows) - 1 - few]
    # Where nearly all are the same, what differs is rare, and may be what is meant.
    reach = np.where(high > low, _REACH * (high - low), np.inf)
    shown = values[:, columns]
    is_far = (shown < low - reach) | (shown > high + reach)
    if not is_far.any():
        return values, is_glitch
    often = np.zeros((int(takes.max()) + 1, len(columns)), dtype=np.intp)
    np.add.at(often, takes, is_far)
    is_far &= (2 * often < np.bincount(takes)[:, None])[takes]
    is_glitch[:, columns] = is_far
    values = values.copy()
    values[:, columns] = np.where(is_far, np.clip(shown, low, high), shown)
    return values, is_glitch
