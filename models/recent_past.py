"""What a network that follows movements sees: the recent past of a body, at several scales of time.

Where it was at moments ever further back, which way and how fast it went between them, and how much it
moved in the last quarter, half and whole of the window. Times count, not frames, so any frame rate will do.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

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
_SLIP_S, _SLIP_FRAMES = 0.12, 3
"""For so long, in so many frames at most, a tracker slips."""
_STEP_OF_NOISE = 0.954
"""Standard deviations by which two frames of noise differ, mostly."""
_FLICKER = 0.1
"""Of how far a take gets where it moves most: a stretch that gets less far is noise."""
_TOO_LIVELY = 4.0
"""Times what is usual: more than tempo explains."""


def _mean_of_first(counts: list[int], of: int) -> FloatArray:
    """(S, of): what gives the means of the first so many of them."""
    return np.stack([(np.arange(of) < count) / count for count in counts]).astype(np.float32)


MEAN_OF_MOMENTS = _mean_of_first([EVEN // part for part in _STRETCHES], EVEN)
MEAN_OF_STEPS = np.ascontiguousarray(_mean_of_first([EVEN // part - 1 for part in _STRETCHES], EVEN - 1).T)


def _one_after_the_other(*counts: int) -> tuple[slice, ...]:
    ends = [0, *accumulate(counts)]
    return tuple(slice(*bounds) for bounds in pairwise(ends))


_VECTOR_PARTS = _one_after_the_other(1, LAGS, LAGS, EVEN - 1, len(_STRETCHES), len(_STRETCHES))
"""Where it is; from there to where it was; which way it went, far back and evenly; mean and spread of stretches."""
_SCALAR_PARTS = _one_after_the_other(LAGS, EVEN - 1, len(_STRETCHES), EVEN - 2)
"""How fast it went far back; how far evenly, and in stretches; how straight."""
_VECTORS, _SCALARS = _VECTOR_PARTS[-1].stop, _SCALAR_PARTS[-1].stop
_LOGARITHMS = slice(0, _SCALAR_PARTS[-1].start)
"""Of all but how straight."""


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
    def spans(self) -> FloatArray:
        """(LAGS,) between moments ever further back, of the window."""
        return (np.diff(self.lags_s[: LAGS + 1]) / self.window_s).astype(np.float32)

    @property
    def width(self) -> int:
        """How many numbers the network sees."""
        return _VECTORS * self.axes.shape[1] + _SCALARS

    def places(self, values: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """(..., D): where the body is, from features (..., F)."""
        return np.matmul(values - self.mean, self.axes, out=out)

    def inputs(self, past: FloatArray) -> FloatArray:
        """(R, width): what the network sees of `past` (R, 1 + LAGS + EVEN, D), places so long ago.

        In few calls: for a single frame each costs more than what it computes.
        """
        count, _, d = past.shape
        seen = np.empty((count, self.width), dtype=np.float32)
        vectors = seen[:, : _VECTORS * d].reshape(count, _VECTORS, d)
        now, far, directions, bends, means, spreads = (vectors[:, part] for part in _VECTOR_PARTS)
        speeds, lengths, energies, straight = (seen[:, _VECTORS * d :][:, part] for part in _SCALAR_PARTS)
        steps = past[:, :-1] - past[:, 1:]
        moved = np.sqrt(np.vecdot(steps, steps))
        moved_far, moved_even = moved[:, :LAGS], moved[:, LAGS + 1 :]

        now[...] = past[:, :1]
        np.subtract(past[:, 1 : LAGS + 1], now, out=far)
        slack = moved_far.max(axis=1, keepdims=True) * 0.05 + 0.01
        np.divide(steps[:, :LAGS], (moved_far + slack)[..., None], out=directions)
        np.divide(moved_far, self.spans, out=speeds)
        speeds += 0.05

        np.matmul(moved_even, MEAN_OF_STEPS, out=energies)
        np.add(moved_even, energies[:, -1:] * 0.3 + 0.003, out=lengths)
        np.divide(steps[:, LAGS + 1 :], lengths[..., None], out=bends)
        np.vecdot(bends[:, 1:], bends[:, :-1], out=straight)
        energies += 0.01
        logarithms = seen[:, _VECTORS * d :][:, _LOGARITHMS]
        np.log(logarithms, out=logarithms)

        since = past[:, LAGS + 1 :] - now
        np.matmul(MEAN_OF_MOMENTS, since, out=means)
        np.matmul(MEAN_OF_MOMENTS, since * since, out=spreads)
        spreads -= means * means
        np.sqrt(np.maximum(spreads, 0.0, out=spreads), out=spreads)
        return seen


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveliness:
    """How much a take moves."""

    count: int
    """Frames."""
    energy: NDArray[np.float64]
    """(T - 1,): how far it gets in about a tenth of a second, a second; empty for takes too short to be trimmed."""
    reach: int = 0
    """So many frames before something moves, and after, that already shows in it."""
    least: float = 0.0
    most: float = 0.0
    is_still: bool = False
    """Whether it only trembles where it is."""

    @property
    def stands_out(self) -> bool:
        """Whether some of it moves and some of it does not."""
        return not self.is_still and self.most > 3 * self.least

    def moving_part(self, usual: float = math.inf) -> tuple[int, int]:
        """The first frame that moves and the one after the last: a take's still start and end lie outside.

        All of the take where nothing stands out from the rest. `usual` is how lively such takes are: one far beyond
        it shows a tracker that slipped, beside which all the rest looks still. Takes may differ as much as in tempo.
        """
        most = usual if self.most > _TOO_LIVELY * usual else self.most
        above = self.energy - self.least - _STILL * (most - self.least)
        stretches = np.flatnonzero(np.diff(above > 0, prepend=False, append=False)).reshape(-1, 2)
        if self.stands_out and len(stretches):
            # A slip gets farther in a frame than anybody does.
            far = np.array([np.minimum(above[begin:end], most - self.least).sum() for begin, end in stretches])
            stretches = stretches[far >= _FLICKER * far.max()]
        if not self.stands_out or not len(stretches) or stretches[-1, 1] - stretches[0, 0] < 2 * self.reach + 4:
            return 0, self.count
        # Not a frame of standing still too much: it would teach that standing still is how the movement begins.
        first, last = int(stretches[0, 0]), int(stretches[-1, 1]) + 1
        return first and first + self.reach, self.count if last == self.count else last - self.reach


def liveliness(times_s: NDArray[np.float64], values: FloatArray) -> Liveliness:
    """How much a take with values (T, F) at times (T,) moves; slips of a tracker are over too soon to count."""
    count = len(times_s)
    if count < _SHORTEST:
        return Liveliness(count=count, energy=np.zeros(0))
    gaps_s = np.maximum(np.diff(times_s), 1e-3)
    gap_s = float(np.median(gaps_s))
    span = max(1, round(_ENERGY_SPAN_S / gap_s)) | 1
    slip = min(_SLIP_FRAMES, round(_SLIP_S / gap_s))
    # Of so many frames around each, the middle one counts, that is neither high nor low.
    steady = np.sort(_around(values, 2 * slip + 1), axis=-1)[..., slip]
    # Where it is on average, for where it is in a frame may be noise, which gets nowhere.
    speeds = np.linalg.norm(np.diff(_around(steady, span).mean(axis=-1), axis=0), axis=1) / gaps_s
    energy = np.convolve(np.pad(speeds, span // 2, mode="edge"), np.full(span, 1 / span), mode="valid")
    least, most = np.quantile(energy, [0.05, 0.95])
    jitter = np.square(np.median(np.abs(np.diff(values, axis=0)), axis=0) / _STEP_OF_NOISE).sum()
    return Liveliness(
        count=count,
        energy=energy,
        reach=2 * (span // 2),
        least=float(least),
        most=float(most),
        is_still=bool(steady.var(axis=0).sum() <= jitter),
    )


def usual_of(takes: Iterable[Liveliness]) -> float:
    """How lively takes of a movement mostly are where they move most; infinite where all are too short to tell.

    Where something stands out in at least half of them, the others were recorded amiss.
    """
    long = [one for one in takes if len(one.energy)]
    lively = [one for one in long if one.stands_out]
    counted = [one.most for one in (lively if 2 * len(lively) >= len(long) else long)]
    return float(np.quantile(counted, 0.5, method="lower")) if counted else math.inf


def _around(values: NDArray[Any], span: int) -> NDArray[Any]:
    """(T, ..., span): what is around each of (T, ...) values; beyond the ends it goes on as it went."""
    ends = [(span // 2, span // 2), *[(0, 0)] * (values.ndim - 1)]
    beyond = np.pad(values, ends, mode="reflect", reflect_type="odd")
    return np.lib.stride_tricks.sliding_window_view(beyond, span, axis=0)
