"""What a network that follows movements sees: the recent past of a body, at several scales of time.

Where it was at moments ever further back, which way and how fast it went between them, and how much it
moved in the last quarter, half and whole of the window. Times count, not frames, so any frame rate will do.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import FloatArray

LAGS = 14
"""Moments that lie ever further back."""
EVEN = 32
"""Moments evenly over the window."""
_NEAREST = 1 / 48
"""The nearest moment before now, of the window."""
_STRETCHES = (4, 2, 1)
"""Statistics are of the last quarter, half and whole window."""
_MOST_COMPONENTS = 10
_VARIANCE_KEPT = 0.995
MOST_WINDOW_S = 10.0
_ENERGY_SPAN_S = 0.1
_SHORTEST = 8
"""Frames; shorter takes are not trimmed."""
_STILL = 0.1
"""Of a take's range of speed: slower than this is standing still."""


def _mean_of_first(counts: list[int], of: int) -> FloatArray:
    """(S, of): what gives the means of the first so many of them."""
    return np.stack([(np.arange(of) < count) / count for count in counts]).astype(np.float32)


_MEAN_OF_MOMENTS = _mean_of_first([EVEN // part for part in _STRETCHES], EVEN)
_MEAN_OF_STEPS = _mean_of_first([EVEN // part - 1 for part in _STRETCHES], EVEN - 1)


@dataclass(frozen=True)
class RecentPast:
    """How features become places, and places of the recent past what the network sees."""

    mean: FloatArray
    """(F,)"""
    axes: FloatArray
    """(F, D): along what the takes move, in units in which a movement is about 1 large."""
    window_s: float
    """Twice as long as a long movement, so that it fits in at half speed."""

    @cached_property
    def lags_s(self) -> NDArray[np.float64]:
        """(1 + LAGS + EVEN,) how long ago each moment is that is looked at."""
        far = np.concatenate([[0.0], np.geomspace(_NEAREST, 1.0, LAGS), np.arange(EVEN) / EVEN])
        return self.window_s * far

    @cached_property
    def _spans(self) -> FloatArray:
        """(LAGS,) between moments ever further back, of the window."""
        return (np.diff(self.lags_s[: LAGS + 1]) / self.window_s).astype(np.float32)

    @property
    def width(self) -> int:
        """How many numbers the network sees."""
        d = self.axes.shape[1]
        return d + LAGS * (2 * d + 1) + (EVEN - 1) * (d + 1) + EVEN - 2 + len(_STRETCHES) * (2 * d + 1)

    def places(self, values: FloatArray) -> FloatArray:
        """(..., D): where the body is, from features (..., F)."""
        return np.asarray((values - self.mean) @ self.axes, dtype=np.float32)

    def inputs(self, past: FloatArray) -> FloatArray:
        """(R, width): what the network sees of `past` (R, 1 + LAGS + EVEN, D), places so long ago."""
        count = len(past)
        far, even = past[:, : LAGS + 1], past[:, LAGS + 1 :]
        now = far[:, :1]
        steps, lengths = _steps(far)
        directions = steps / (lengths + 0.05 * lengths.max(axis=1, keepdims=True) + np.float32(0.01))[..., None]
        speeds = np.log(lengths / self._spans + np.float32(0.05))
        even_steps, moved = _steps(even)
        even_lengths = moved + np.float32(0.3) * moved.mean(axis=1, keepdims=True) + np.float32(0.003)
        bends = even_steps / even_lengths[..., None]
        straight = np.einsum("rkd,rkd->rk", bends[:, 1:], bends[:, :-1])
        since = even - now
        means = _MEAN_OF_MOMENTS @ since
        spreads = np.sqrt(np.maximum(_MEAN_OF_MOMENTS @ (since * since) - means * means, 0))
        energies = np.log(_MEAN_OF_STEPS @ moved[..., None] + np.float32(0.01))
        stretches = np.concatenate([means, spreads, energies], axis=2)
        seen = [now, far[:, 1:] - now, directions, speeds, bends, np.log(even_lengths), straight, stretches]
        return np.concatenate([one.reshape(count, -1) for one in seen], axis=1, dtype=np.float32)


def _steps(places: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(R, K - 1, D) steps between moments, newest first, and (R, K - 1) how long they are."""
    steps = places[:, :-1] - places[:, 1:]
    return steps, np.sqrt(np.einsum("rkd,rkd->rk", steps, steps))


def unit_of(rows: FloatArray, *, is_scaled: bool) -> FloatArray:
    """(F,): what each feature is multiplied with before any are compared; 0 for one that never changes.

    With `is_scaled` every feature counts alike (numbers of any unit); else all are in one unit already.
    """
    wide = rows.astype(np.float64)
    deviation = wide.std(axis=0)
    moves = deviation > 1e-6 * np.maximum(1e-6, np.abs(wide).max(axis=0))
    unit = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=moves) if is_scaled else moves
    return unit.astype(np.float32)


def recent_past_of(rows: FloatArray, unit: FloatArray, longest_s: float) -> RecentPast:
    """What looks at movements whose frames are `rows` (N, F), the longest of which takes `longest_s`.

    Places are the principal components of the rows that hold nearly all of their variance.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = (rows - mean) * unit
    variances, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    order = np.argsort(variances)[::-1][:_MOST_COMPONENTS]
    total = max(float(variances.clip(0).sum()), 1e-12)
    enough = 1 + int(np.searchsorted(np.cumsum(variances[order]) / total, _VARIANCE_KEPT))
    kept = order[:enough]
    axes = unit[:, None] * vectors[:, kept] / math.sqrt(max(float(variances[kept].sum()), 1e-12))
    return RecentPast(
        mean=mean.astype(np.float32),
        axes=axes.astype(np.float32),
        window_s=min(MOST_WINDOW_S, 2.0 * longest_s),
    )


def usual_liveliness(takes: Iterable[tuple[NDArray[np.float64], FloatArray]]) -> float:
    """How fast takes of a movement, times (T,) and values (T, F), mostly are where they move most, a second.

    Infinite where all are too short to be trimmed.
    """
    found = [np.quantile(_energy(times_s, values), 0.95) for times_s, values in takes if len(times_s) >= _SHORTEST]
    return float(np.quantile(found, 0.5, method="lower")) if found else math.inf


def moving_part(times_s: NDArray[np.float64], values: FloatArray, usual: float = math.inf) -> tuple[int, int]:
    """The first frame that moves and the one after the last: a take's still start and end lie outside.

    All of the take where nothing stands out from the rest. `usual` is how lively such takes are, for beside a
    tracker's slip all the rest of a take looks still.
    """
    count = len(times_s)
    if count < _SHORTEST:
        return 0, count
    energy = _energy(times_s, values)
    floor, peak = np.quantile(energy, [0.05, 0.95])
    peak = min(peak, usual)
    moving = np.flatnonzero(energy > floor + _STILL * (peak - floor))
    if peak < 3 * floor or not len(moving) or moving[-1] - moving[0] < 3:
        return 0, count
    return int(moving[0]), int(moving[-1]) + 2


def _energy(times_s: NDArray[np.float64], values: FloatArray) -> NDArray[np.float64]:
    """(T - 1,): how fast each frame moves, about a tenth of a second."""
    gaps_s = np.maximum(np.diff(times_s), 1e-3)
    speeds = np.linalg.norm(np.diff(values, axis=0), axis=1) / gaps_s
    span = max(1, round(_ENERGY_SPAN_S / float(np.median(gaps_s)))) | 1
    return np.convolve(np.pad(speeds, span // 2, mode="edge"), np.full(span, 1 / span), mode="valid")
