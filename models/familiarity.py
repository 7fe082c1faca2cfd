"""How like what was recorded a frame is: a density of every class in the network's own first layer.

A network answers to anything, surely too: a softmax cannot say that it was shown none of these. What says
so is where the frame lies among the examples of the class it is taken for, as the units of the first hidden
layer see them. Each class is a Gaussian there (Lee et al. 2018, *A simple unified framework for detecting
out-of-distribution samples*), its covariance shrunk towards a sphere (Chen et al. 2010, *Shrinkage algorithms
for MMSE covariance estimation*, equation 23) and partly pooled over the classes (Friedman 1989, *Regularized
discriminant analysis*, equation 17). The distance becomes a familiarity 0..1 through examples that were not
learned from: the share of true gestures that are at least as strange, a conformal p-value (Vovk et al. 2005,
*Algorithmic learning in a random world*, section 2.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import EnsembleForward, Layer, dequantised, forward
from instrument.kernels.packing import FloatArray, PackedNetwork
from instrument.models.outsiders import unlikeness

POOLED = 0.2
"""Share of the covariance that all classes have in common."""
DOUBT = 0.25
"""How much doubt between the classes adds: the power of the confidence that divides the distance."""
UNLIKE = 0.5
"""How much more likely a stranger is adds: the power of those odds that multiplies the distance."""
LEAST_HELD_OUT = 10
"""With fewer examples that were not learned from nobody can say what is familiar."""
_MOST_UNITS = 64
_MOST_WEIGHTS = 1 << 18
"""Of the first layer: wider inputs are seen by fewer units."""
MOST_FACTORS = 1 << 19
"""Numbers kept; with more classes than that allows they share one covariance."""
_NEAREST = 1e-3
"""Deviations that make no difference."""
_SHARES = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002])


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """A Gaussian for each class in each of B blocks of u units; side by side networks are a block each."""

    centres: FloatArray
    """(C, B, u)"""
    factors: FloatArray
    """(C or 1, B, u, u): what makes each class a sphere of deviation 1."""

    @property
    def blocks(self) -> int:
        return int(self.centres.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Familiarity:
    """A density, and how strange what it knows may be."""

    density: Density
    curve: FloatArray
    """(G, 2): logarithms of strangeness, rising, and of the share of true gestures that are at least so strange."""
    outsiders: tuple[PackedNetwork, ...] = ()
    """Networks that tell what was shown from made-up strangers (`models.outsiders`), where those can be made up."""
    usual: float = 0.0
    """How unlike what was shown true gestures are to them; what is less unlike is no more familiar for that."""

    def strangeness(
        self, values: FloatArray, seen: FloatArray, said: NDArray[np.intp], confidences: FloatArray | None
    ) -> FloatArray:
        """(N,) of `values` (N, F), of which the units saw `seen` (N, B, u); the rest as for `strangeness`."""
        far = strangeness(self.density, seen, said, confidences)
        if not self.outsiders:
            return far
        unlike = unlikeness(np.stack([forward(dequantised(one), values) for one in self.outsiders]))
        return more_strange(far, unlike, self.usual)

    def of(self, strangeness: FloatArray) -> FloatArray:
        """0..1 for each: the share of true gestures that are at least so strange; beyond all of them, ever less."""
        logs = np.log(np.maximum(strangeness, _NEAREST))
        places, shares = self.curve.T
        inside = np.interp(logs, places, shares)
        slope = (shares[-1] - shares[0]) / max(float(places[-1] - places[0]), 1e-3)
        return np.asarray(np.exp(np.minimum(inside + slope * np.maximum(logs - places[-1], 0.0), 0.0)))


class Units:
    """What the units of a first layer that a density looks at give."""

    def __init__(self, first: Layer, *, blocks: int, units: int, is_hidden: bool) -> None:
        """`first` runs on values as they come; without a hidden layer its rows are the standardised inputs."""
        weights, biases = first
        columns = _columns(weights.shape[1], blocks, units)
        self._weights = np.ascontiguousarray(weights[:, columns].T)
        self._biases = biases[columns]
        self._blocks, self._is_hidden = blocks, is_hidden

    @property
    def is_hidden(self) -> bool:
        """Whether these are units of a network; its confidence then adds to how strange a frame is.

        Confidences of other learners mean too different things for that: of a forest .4 may be sure.
        """
        return self._is_hidden

    def of(self, rows: FloatArray) -> FloatArray:
        """(N, B, u) of `rows` (N, F), or (B, u) of one row (F,)."""
        given = rows @ self._weights.T if rows.ndim == 2 else self._weights @ rows
        given += self._biases
        if self._is_hidden:
            np.maximum(given, 0.0, out=given)
        return given.reshape(*given.shape[:-1], self._blocks, -1)


def units_of(layers: Sequence[Layer], *, shift: FloatArray, gain: FloatArray, blocks: int, units: int = 0) -> Units:
    """The units a density of that network looks at; `layers` run on values as they come.

    With `units` 0 as many of each block as are worth their time.
    """
    is_hidden = len(layers) > 1
    if is_hidden:
        first = layers[0]
        inputs, width = first[0].shape
        most = max(8, min(_MOST_UNITS, _MOST_WEIGHTS // max(inputs * blocks, 1)))
        return Units(first, blocks=blocks, units=units or min(width // blocks, most), is_hidden=True)
    inputs = len(gain)
    units = units or min(inputs, 2 * _MOST_UNITS, max(8, _MOST_WEIGHTS // inputs))
    columns = _columns(inputs, 1, units)
    weights = np.zeros((inputs, units), dtype=np.float32)
    weights[columns, np.arange(units)] = gain[columns]
    return Units((weights, -(shift * gain)[columns]), blocks=1, units=units, is_hidden=False)


def fit_density(seen: FloatArray, targets: NDArray[np.intp], class_count: int) -> Density | None:
    """The density of what units saw (N, B, u) of examples of each class; None when no example differs from another."""
    counts = np.bincount(targets, minlength=class_count)
    if not counts.all():
        return None
    _, blocks, units = seen.shape
    seen = seen.astype(np.float64)
    scale = np.maximum(seen.std(axis=0), 0.0)
    scale = np.maximum(scale, 0.1 * scale.mean(axis=1, keepdims=True))
    if not (scale > 0).all():
        return None
    seen /= scale
    centres = np.stack([seen[targets == one].mean(axis=0) for one in range(class_count)])
    own = np.zeros((class_count, blocks, units, units))
    for one in range(class_count):
        apart = (seen[targets == one] - centres[one]).transpose(1, 0, 2)
        own[one] = [shrunk(block) for block in apart]
    is_known = counts > 1
    if not is_known.any():
        return None
    pooled = own[is_known].mean(axis=0)
    if not (np.trace(pooled, axis1=1, axis2=2) > 0).all():
        return None
    if own.size > MOST_FACTORS:
        covariances = pooled[None]
    else:
        share = np.where(is_known, POOLED, 1.0)[:, None, None, None]
        covariances = (1.0 - share) * own + share * pooled
    roots = np.linalg.cholesky(covariances + 1e-6 * np.eye(units))
    factors = np.linalg.inv(roots) / scale[:, None, :]
    return Density(centres=(centres * scale).astype(np.float32), factors=factors.astype(np.float32))


def strangeness(
    density: Density, seen: FloatArray, said: NDArray[np.intp], confidences: FloatArray | None = None
) -> FloatArray:
    """(N,): how far each of what the units saw (N, B, u) is from the class `said` (N,), in deviations, more in doubt.

    `confidences` (N,) are those of the class said; without them nothing is in doubt.
    """
    result = np.empty(len(seen), dtype=np.float64)
    for one in np.unique(said):
        rows = said == one
        apart = (seen[rows] - density.centres[one]).transpose(1, 2, 0)
        factor = density.factors[one if len(density.factors) > 1 else 0]
        result[rows] = np.sqrt(np.square(factor @ apart).mean(axis=(0, 1)))
    return np.asarray(result if confidences is None else result * np.maximum(confidences, 1e-6) ** -DOUBT)


def more_strange(far: FloatArray, unlike: FloatArray, usual: float) -> FloatArray:
    """(N,) distances (N,) from the class said, and how much more unlike all that was shown than usual (N,), in one.

    Strangers are made up in some directions only: where they say nothing, the distance has the last word.
    """
    return np.asarray(far * np.exp(UNLIKE * np.maximum(unlike - usual, 0.0)))


def curve_of(held_out: FloatArray) -> FloatArray:
    """What `Familiarity.curve` is for true gestures that strange (N,), none of them learned from."""
    least = 1.0 / (len(held_out) + 1)
    shares = _SHARES[least <= _SHARES]
    places = np.log(np.maximum(np.quantile(held_out, 1.0 - shares), _NEAREST))
    places = np.maximum.accumulate(places) + 1e-4 * np.arange(len(places))
    return np.stack([places, np.log(shares)], axis=1).astype(np.float32)


class FrameFamiliarity:
    """The familiarity of one frame after the other."""

    def __init__(self, familiarity: Familiarity, units: Units) -> None:
        self._familiarity, self._units = familiarity, units
        self._density = familiarity.density
        self._outsiders = EnsembleForward(familiarity.outsiders) if familiarity.outsiders else None

    def __call__(self, values: FloatArray, said: int, confidence: float) -> float:
        """0..1 for `values` (F,) taken for the class `said`."""
        density = self._density
        apart = self._units.of(values) - density.centres[said]
        factor = density.factors[said if len(density.factors) > 1 else 0]
        away = np.matmul(factor, apart[:, :, None])
        doubt = max(confidence, 1e-6) ** -DOUBT if self._units.is_hidden else 1.0
        far = np.sqrt(np.vdot(away, away) / away.size) * doubt
        if self._outsiders is not None:
            far = float(more_strange(far, unlikeness(self._outsiders(values)), self._familiarity.usual))
        return float(self._familiarity.of(far)) if np.isfinite(far) else 0.0


def _columns(width: int, blocks: int, units: int) -> NDArray[np.intp]:
    """Which units of a layer: evenly spaced ones of each block."""
    each = width // blocks
    inside = np.linspace(0, each - 1, units).round().astype(np.intp)
    return (each * np.arange(blocks)[:, None] + inside).reshape(-1)


def shrunk(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """(u, u): the covariance of rows (n, u) of mean 0, shrunk towards a sphere (oracle approximating shrinkage)."""
    count, width = apart.shape
    covariance = apart.T @ apart / count
    trace, square = float(np.trace(covariance)), float(np.square(covariance).sum())
    below = (count + 1 - 2 / width) * (square - trace * trace / width)
    share = 1.0 if below <= 0 else min(1.0, ((1 - 2 / width) * square + trace * trace) / below)
    return np.asarray((1.0 - share) * covariance + share * trace / width * np.eye(width))
