"""Learns what was shown beside what nobody showed, to tell one from the other.

A density (`models.familiarity`) knows where examples lie, not in which directions a gesture may change: a
tracker that wavers and an arm that is raised are as far away. Made-up strangers, bodies and hands held
otherwise, show that. A few small networks learn them as one class more (outlier exposure, Hendrycks, Mazeika
and Dietterich 2019, *Deep anomaly detection with outlier exposure*), each without one part of the takes, as in
`models.crossfit`, so that what it says of that part can be trusted.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer, forward
from instrument.kernels.packing import FloatArray
from instrument.models.ensemble import Ensemble, fit_ensemble
from instrument.models.fitting import Examples, Recipe, TrainingError, enough_rows, rows_of
from instrument.models.whitening import View, standardised

HIDDEN = (64, 32)
COMPONENTS = 64
"""More than twice as many features are seen through as many principal components: as good, and three times as fast."""
MOST_UNLIKE = 10.0
"""Logarithms beyond which it makes no difference."""
_STEPS = 400
_NOISE = 0.08
_FARTHEST = 10.0
_ROWS = 800
_MOST_EXAMPLES = 10_000
_LEAST_VARIANCE = 1e-4
"""Beside the largest; smaller components are mostly rounding, which standardising would blow up."""


def fit_outsiders(
    examples: Examples,
    fold: NDArray[np.intp],
    *,
    seed: int,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Ensemble | None:
    """A network for each part of the examples, which `fold` (N,) numbers from 0, that learned all others.

    Their last output, after those of the classes, stands for strangers. None without strangers, and where training
    runs away. Raises Cancelled.
    """
    if examples.strangers is None or examples.strangers_of is None or not len(examples.strangers):
        return None
    if len(examples) > _MOST_EXAMPLES:
        is_enough = np.zeros(len(examples), dtype=bool)
        is_enough[enough_rows(examples.targets.astype(np.intp), _MOST_EXAMPLES)] = True
        examples, fold = rows_of(examples, is_enough), fold[is_enough]
    assert examples.strangers is not None
    assert examples.strangers_of is not None
    count = len(examples)
    origins = np.concatenate([np.arange(count), examples.strangers_of])
    strange = np.full(len(examples.strangers), examples.class_count, dtype=np.intp)
    both = replace(
        examples,
        values=np.concatenate([examples.values, examples.strangers]),
        targets=np.concatenate([examples.targets.astype(np.intp), strange]),
        takes=examples.takes[origins],
        class_count=examples.class_count + 1,
        strangers=None,
        strangers_of=None,
    )
    components = _components(both.values) if examples.values.shape[1] > 2 * COMPONENTS else None
    members = int(fold.max(initial=0)) + 1
    try:
        found = fit_ensemble(
            both if components is None else _through(components, both),
            hidden=HIDDEN,
            seeds=[(seed + 1) * 1009 + member for member in range(members)],
            seen=[fold[origins] != member for member in range(members)],
            recipe=Recipe(steps=_STEPS, noise=_NOISE),
            is_cancelled=is_cancelled,
        )
    except TrainingError:  # the density says alone what is strange
        return None
    return found if components is None else _unfolded(found, components)


def _components(values: FloatArray) -> View:
    """The view of (N, F) values in which they are at most `COMPONENTS` principal components of what is standardised."""
    view = standardised(values)
    rows = np.random.default_rng(0).permutation(len(values))[:_ROWS]
    seen = view.of(values[rows], farthest=_FARTHEST).astype(np.float64)
    is_wide = seen.shape[1] > len(seen)
    variances, directions = np.linalg.eigh(seen @ seen.T if is_wide else seen.T @ seen)
    taken = max(1, min(COMPONENTS, int((variances > _LEAST_VARIANCE * variances[-1]).sum())))
    variances, directions = variances[::-1][:taken], directions[:, ::-1][:, :taken]
    if is_wide:  # of the rows; those of the features follow, at less cost
        directions = seen.T @ directions / np.sqrt(np.maximum(variances, 1e-12))
    return replace(view, rotated=directions.astype(np.float32))


def _through(components: View, examples: Examples) -> Examples:
    """The examples as that view shows them."""
    varied = examples.variations
    return replace(
        examples,
        values=components.of(examples.values, farthest=_FARTHEST),
        variations=None if varied is None else components.of(varied, farthest=_FARTHEST),
    )


def _unfolded(ensemble: Ensemble, components: View) -> Ensemble:
    """The same networks on (values - shift) * gain of the features themselves."""

    def whole(member: tuple[Layer, ...]) -> tuple[Layer, ...]:
        (weights, biases), *rest = member
        weights = weights * ensemble.gain[:, None]
        return (components.turned(weights), biases - ensemble.shift @ weights), *rest

    return replace(
        ensemble,
        members=tuple(whole(member) for member in ensemble.members),
        shift=components.mean,
        gain=components.scale,
    )


def held_out_unlikeness(outsiders: Ensemble, values: FloatArray, fold: NDArray[np.intp]) -> FloatArray:
    """(N,): how unlike what was shown each of `values` (N, F) is to the network that did not learn it.

    `fold` (N,) says which that is; where it is -1 all learned it.
    """
    seen = (values - outsiders.shift) * outsiders.gain
    said = _odds(np.stack([forward(member, seen) for member in outsiders.members]))
    return np.where(fold < 0, said.mean(axis=0), said[fold, np.arange(len(values))])


def unlikeness(given: FloatArray) -> FloatArray:
    """(...): logarithm of how many times likelier a stranger is than any class, the mean of M networks.

    `given` (M, ..., C + 1) are their outputs.
    """
    return np.asarray(_odds(given).mean(axis=0))


def _odds(given: FloatArray) -> FloatArray:
    shown = given[..., :-1]
    highest = shown.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # what is not finite is no gesture, and told so by the density
        of_classes = highest[..., 0] + np.log(np.exp(shown - highest).sum(axis=-1))
        return np.asarray(np.clip(given[..., -1] - of_classes, -MOST_UNLIKE, MOST_UNLIKE))
