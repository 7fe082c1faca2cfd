"""How a network sees its features: moved and scaled, so that no unit of measurement matters.

Both ways of seeing are linear, so they fold into a network's first layer and cost nothing to play.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer
from instrument.kernels.packing import FloatArray

STRENGTH = 0.25
"""How much is decorrelated: 0 is not at all, 1 makes every direction equally large (Kessy et al. 2018)."""
SHRINKAGE = 0.5
"""Share of the mean variance added to every direction, as few examples make small ones look smaller."""
WIDEST = 256
"""More features than this are only standardised: decorrelating costs their number cubed."""
_ROWS = 4000
"""So many examples are enough to say how features move together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Values minus `mean` times `scale`, then `rotated` by a matrix, if there is one."""

    mean: FloatArray
    """(F,)"""
    scale: FloatArray
    """(F,): 0 for a feature that never changes, which is thereby ignored."""
    rotated: FloatArray | None = None
    """(F, F), or (F, K) for a view with fewer dimensions."""

    def of(self, values: FloatArray, *, farthest: float) -> FloatArray:
        """(N, F): `values` as the network sees them, glitches beyond `farthest` deviations brought back there."""
        seen = np.clip((values - self.mean) * self.scale, -farthest, farthest)
        return seen if self.rotated is None else seen @ self.rotated

    def turned(self, weights: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """A first layer's weights for standardised values, from those for values as seen."""
        return weights if self.rotated is None else self.rotated @ weights

    def folded(self, weights: NDArray[np.floating[Any]], biases: NDArray[np.floating[Any]]) -> Layer:
        """A first layer for values as they come, from one for values as seen."""
        scaled = self.turned(weights) * self.scale[:, None].astype(np.float64)
        moved = biases - self.mean.astype(np.float64) @ scaled
        return scaled.astype(np.float32), moved.astype(np.float32)


def varying(values: FloatArray) -> NDArray[np.intp]:
    """Which of the features of (N, F) ever change: no other can teach anything, such as those of a hand never shown."""
    return np.flatnonzero(standardised(values).scale)


def widened(rows: FloatArray, used: NDArray[np.intp], count: int) -> FloatArray:
    """(count, ...): what `rows` say of the features `used`, and 0 for all others."""
    whole = np.zeros((count, *rows.shape[1:]), dtype=rows.dtype)
    whole[used] = rows
    return whole


def standardised(values: FloatArray) -> View:
    """The view in which every feature has mean 0 and deviation 1."""
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(np.square(values - mean).mean(axis=0))
    is_constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-3)
    scale = np.where(is_constant, 0.0, 1.0 / np.where(is_constant, 1.0, deviation))
    return View(mean=mean.astype(np.float32), scale=scale.astype(np.float32))


def whitened(values: FloatArray, view: View) -> View:
    """The view in which features that move together are decorrelated a little, beside standardised as in `view`.

    Small differences between features that nearly agree then count for more. A power of the
    correlation matrix, as in ZCA whitening, with its eigenvalues shrunk towards their mean.
    """
    if values.shape[1] > WIDEST or len(values) < 3:
        return view
    rows = values[:: max(1, len(values) // _ROWS)]
    seen = view.of(rows, farthest=10.0).astype(np.float64)
    variances, directions = np.linalg.eigh(seen.T @ seen / len(seen))
    variances = np.maximum(variances, 0.0)
    mean = variances.mean()
    if not mean > 0.0:
        return view
    powers = (variances + SHRINKAGE * mean) ** (-STRENGTH / 2)
    powers /= np.sqrt((variances * powers**2).mean() / mean)
    return View(mean=view.mean, scale=view.scale, rotated=((directions * powers) @ directions.T).astype(np.float32))
