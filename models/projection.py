"""A picture of examples in two dimensions: where a linear projection puts them, and what a place in it stands for.

The projection is Fisher's discriminant with shrinkage, turned so that the groups nearest to each other are held
apart: with more than three groups the usual one spends both its dimensions on those that are far apart anyway (after
Loog, Duin and Haeb-Umbach 2001, *Multiclass linear dimension reduction by weighted pairwise Fisher criteria*). It
follows the one before it, so that a picture drawn anew does not jump about.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import FloatArray
from instrument.models.familiarity import shrunk
from instrument.models.whitening import standardised

_FARTHEST = 10.0
_WIDEST = 256
"""More features than this are first reduced to so many principal components, found from _ROWS examples."""
_ROWS = 500
_MOST_DIMENSIONS = 24
"""Directions in which groups differ that are looked at: with 200 groups, the largest."""
_STEPS = 200
_AS_GOOD = 1.1
"""How much more crowded groups may be for the picture to stay as it was."""
_NEIGHBOURS = 12
_MARGIN = 0.1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Where examples are in the picture; a unit is about a deviation within a group."""

    weights: FloatArray
    """(F, 2)"""
    offset: FloatArray
    """(2,)"""
    low: FloatArray
    """(2,): the place that is the picture's left and bottom edge."""
    high: FloatArray
    """(2,): right and top."""

    def of(self, values: FloatArray) -> Floats:
        """(N, 2): the places of rows of features (N, F)."""
        return np.asarray(values.astype(np.float64) @ self.weights + self.offset)

    def in_picture(self, values: FloatArray) -> Floats:
        """(N, 2): the same as shares of the picture's width and height, beyond 0..1 outside of it."""
        return (self.of(values) - self.low) / (self.high - self.low)


def project(
    values: FloatArray, groups: NDArray[np.intp], group_count: int, before: Projection | None = None
) -> Projection:
    """The projection of examples (N, F), each of one of the groups 0..; always the same for the same examples.

    `before` is an earlier one of the same features, which it stays near to.
    """
    view = standardised(values)
    seen = view.of(values, farthest=_FARTHEST).astype(np.float64)
    basis = _leading(seen)
    reduced = seen @ basis
    held = np.bincount(groups, minlength=group_count)
    means = np.stack([reduced[groups == one].mean(axis=0) for one in range(group_count) if held[one]])
    within = reduced - means[np.cumsum(held > 0)[groups] - 1]
    spread = shrunk(within)
    size = float(np.trace(spread)) / len(spread)
    variances, directions = np.linalg.eigh(spread + (1e-3 * size if size > 0 else 1.0) * np.eye(len(spread)))
    variances, directions = variances[::-1], directions[:, ::-1]
    whitening = directions / np.sqrt(variances)
    axes_before = None
    if before is not None:  # what it gives for standardised values, in whitened directions
        deviations = np.divide(1.0, view.scale, out=np.zeros_like(view.scale), where=view.scale > 0)
        axes_before = np.sqrt(variances)[:, None] * (directions.T @ (basis.T @ (before.weights * deviations[:, None])))
    axes = _axes((means - means.mean(axis=0)) @ whitening, variances, axes_before)
    weights = basis @ whitening @ axes
    places = seen @ weights
    turn, middle = _orientation(places, groups, None if before is None else before.of(values))
    weights = (weights @ turn) * view.scale[:, None].astype(np.float64)
    offset = middle - places.mean(axis=0) @ turn - view.mean.astype(np.float64) @ weights
    found = Projection(
        weights=weights.astype(np.float32),
        offset=offset.astype(np.float32),
        low=np.zeros(2, dtype=np.float32),
        high=np.ones(2, dtype=np.float32),
    )
    low, high = _edges(found.of(values), before)
    return replace(found, low=low.astype(np.float32), high=high.astype(np.float32))


class Surface:
    """What places in the picture stand for: features that are projected there, like the examples nearest to them.

    An inverse projection as decision maps have it (Rodrigues et al. 2019, *Constructing and visualizing high-quality
    classifier decision boundary maps*): what features are on average at a place is linear (Haufe et al. 2014, *On
    the interpretation of weight vectors of linear models*); what is left over comes from the nearest examples, by the
    inverse square of their distance in the picture, the last of them counting for nothing (Franke and Nielson 1980).
    """

    def __init__(self, projection: Projection, values: FloatArray) -> None:
        self._values = values
        self._places = projection.in_picture(values)
        apart = self._places - self._places.mean(axis=0)
        spread = apart.T @ apart
        spread += (1e-9 + 1e-6 * np.trace(spread)) * np.eye(2)
        self._slopes = np.linalg.solve(spread, apart.T @ (values - values.mean(axis=0)))

    def features(self, places: Floats) -> FloatArray:
        """(M, F): features for places (M, 2) in the picture."""
        across, up = (np.subtract.outer(places[:, axis], self._places[:, axis]) for axis in (0, 1))
        squares = across * across + up * up
        count = min(_NEIGHBOURS, len(self._values))
        nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
        apart = np.sqrt(np.take_along_axis(squares, nearest, axis=1)) + 1e-3
        farthest = apart.max(axis=1, keepdims=True)
        shares = np.square((1.001 * farthest - apart) / apart)
        shares /= shares.sum(axis=1, keepdims=True)
        like = np.einsum("mk,mkf->mf", shares, self._values[nearest])
        left = places - np.einsum("mk,mkd->md", shares, self._places[nearest])
        return np.asarray(like + left @ self._slopes, dtype=np.float32)


def _leading(seen: Floats) -> Floats:
    """(F, at most _WIDEST): directions that hold nearly all of what differs."""
    if seen.shape[1] <= _WIDEST:
        return np.eye(seen.shape[1])
    rows = seen[:: -(-len(seen) // _ROWS)]
    return np.asarray(np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:_WIDEST].T)


def _axes(means: Floats, variances: Floats, before: Floats | None) -> Floats:
    """(r, 2): two directions, at right angles, in which groups of these means (C, r) in whitened directions are apart.

    Where groups differ in less than two, the direction in which examples of a group vary most (`variances` (r,),
    falling) makes up for it. Zeros where there is none.
    """
    sizes, differing = np.linalg.svd(means, full_matrices=False)[1:]
    differing = differing[: min(_MOST_DIMENSIONS, int((sizes > 1e-6 * max(sizes[0], 1e-9)).sum()))].T
    if sizes[0] < 1e-6:
        differing = differing[:, :0]
    if differing.shape[1] > 1:
        one, other = np.triu_indices(len(means), 1)
        apart = (means[one] - means[other]) @ differing
        axes = _held_apart(apart, None)
        if before is not None:
            stayed = _held_apart(apart, differing.T @ before)
            if _crowding(apart, stayed) <= _AS_GOOD * _crowding(apart, axes):
                axes = stayed
        return np.asarray(differing @ axes)
    found = [*differing.T]
    candidates = [*np.eye(len(variances))]
    kept = () if before is None else before.T
    while len(found) < 2:
        left = [_at_right_angles(one, found) for one in candidates]
        best = max(left, key=lambda one: float(variances @ one**2))
        for one in kept:
            old = _at_right_angles(one, found)
            if float(variances @ old**2) > 0.5 * float(variances @ best**2):
                best = old
        found.append(best)
    return np.stack(found, axis=1)


def _at_right_angles(direction: Floats, others: list[Floats]) -> Floats:
    """What is left of the direction, of length 1; zeros where next to nothing is."""
    size = float(np.linalg.norm(direction))
    for other in others:
        direction = direction - other * float(other @ direction)
    left = float(np.linalg.norm(direction))
    return direction / left if left > 0.1 * size else np.zeros_like(direction)


def _held_apart(apart: Floats, start: Floats | None) -> Floats:
    """(q, 2): the directions at right angles in which pairs `apart` by that (P, q) crowd least, begun at `start`."""
    if start is None:
        nearness = np.square(apart).sum(axis=1, keepdims=True) + 1e-12
        start = np.linalg.svd(apart / nearness, full_matrices=False)[2][:2].T
    axes = np.linalg.qr(start)[0]
    least, step = _crowding(apart, axes), 0.1
    scale = float(np.square(apart).sum(axis=1).mean())
    for _ in range(_STEPS):
        shown = apart @ axes
        slope = -apart.T @ (shown / (np.square(shown).sum(axis=1, keepdims=True) + 1e-3 * scale) ** 2)
        slope -= axes @ (axes.T @ slope)
        steepness = float(np.linalg.norm(slope))
        if steepness == 0.0 or step < 1e-5:
            break
        tried = np.linalg.qr(axes - step * slope / steepness)[0]
        crowding = _crowding(apart, tried)
        if crowding < least:
            axes, least, step = tried, crowding, 1.2 * step
        else:
            step /= 2
    return np.asarray(axes)


def _crowding(apart: Floats, axes: Floats) -> float:
    """How near to each other such pairs (P, q) are in the picture: the mean inverse square of their distances."""
    scale = float(np.square(apart).sum(axis=1).mean())
    return float((scale / (np.square(apart @ axes).sum(axis=1) + 1e-3 * scale)).mean())


def _orientation(places: Floats, groups: NDArray[np.intp], before: Floats | None) -> tuple[Floats, Floats]:
    """(2, 2) how to turn (and mirror) the picture, and (2,) where its middle comes.

    As `before` (N, 2), the same examples in the picture before, as well as can be (Procrustes); else the longer side
    across, the first group to the left.
    """
    apart = places - places.mean(axis=0)
    if before is not None:
        middle = before.mean(axis=0)
        left, _, right = np.linalg.svd(apart.T @ (before - middle))
        return np.asarray(left @ right), np.asarray(middle)
    turn = np.linalg.eigh(apart.T @ apart)[1][:, ::-1].copy()
    first = (apart[groups == groups.min()] @ turn).mean(axis=0)
    turn *= np.where(first > 0, -1.0, 1.0)
    return turn, np.zeros(2)


def _edges(places: Floats, before: Projection | None) -> tuple[Floats, Floats]:
    """The picture's edges: around all places but those far out, or those before, while these still fit."""
    common_low, common_high = np.quantile(places, (0.05, 0.95), axis=0)
    reach = 1.5 * (common_high - common_low)
    low = np.maximum(places.min(axis=0), common_low - reach)
    high = np.minimum(places.max(axis=0), common_high + reach)
    size = np.maximum(high - low, 0.1 * max(float((high - low).max()), 1e-6))
    if before is not None:
        wide = (before.high - before.low).astype(np.float64)
        if (low >= before.low).all() and (high <= before.high).all() and (size >= 0.6 * wide).all():
            return before.low.astype(np.float64), before.high.astype(np.float64)
    middle = (low + high) / 2
    return middle - (0.5 + _MARGIN) * size, middle + (0.5 + _MARGIN) * size
