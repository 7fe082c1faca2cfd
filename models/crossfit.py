"""Finds out from examples that were not learned from how sure a network may be, and what is strange to it.

A few small networks are trained at once, each without one part of the takes: a cross-validation ensemble
(Krogh and Vedelsby 1995, *Neural network ensembles, cross validation, and active learning*). What each says
about the part it never saw calibrates the network that plays, and where they disagree, the takes say too little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer, forward
from instrument.kernels.packing import FloatArray
from instrument.models.ensemble import Ensemble, fit_ensemble
from instrument.models.familiarity import (
    LEAST_HELD_OUT,
    Density,
    Familiarity,
    curve_of,
    fit_density,
    more_strange,
    strangeness,
    units_of,
)
from instrument.models.fitting import Examples, Fitted, Recipe, balanced_groups, enough_rows, recipe_for
from instrument.models.holdout import whole_takes
from instrument.models.outsiders import held_out_unlikeness
from instrument.models.whitening import View

MEMBERS = 4
_MOST_STEPS = 200
_MOST_WIDTH = 1 << 17
"""Weights of a first layer; several larger ones would keep the performer waiting, so they are made narrower."""
_COLDEST, _HOTTEST = 0.2, 5.0
_MOST_SURPRISE = 27.6
"""Of one example, -log(1e-12): one that is said to be impossible does not count for all others."""
_MOST_ROWS = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """What networks say about the examples each did not learn from."""

    ensemble: Ensemble
    fold: NDArray[np.intp]
    """(N,): the member that did not learn from each example; -1 where all did."""
    rows: NDArray[np.intp]
    """(H,): the examples looked at below."""
    outputs: FloatArray
    """(H, C): before the softmax."""
    spread: float
    """Deviation of the members' outputs on what they learned from."""
    temperature: float
    """What their outputs are divided by for confidences that are how often they are right."""


def folds(groups: NDArray[np.intp], takes: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """(N,): which of `count` parts each example is in: whole takes, of a single take whole stretches; -1 for none.

    A group (N,) with a single example is in none, so that every part's rest shows every group. A take that shows
    several groups is in one part, as `whole_takes` has it.
    """
    part = np.full(len(groups), -1, dtype=np.intp)
    for first, group in enumerate(np.unique(groups)):
        rows = np.flatnonzero(groups == group)
        numbers = list(dict.fromkeys(takes[rows].tolist()))
        pieces = [rows[takes[rows] == number] for number in numbers]
        if len(pieces) == 1:
            pieces = [piece for piece in np.array_split(rows, count) if len(piece)]
        if len(pieces) > 1:
            for place, piece in enumerate(pieces):
                part[piece] = (first + place) % count
    return whole_takes(part, groups, takes)


def cross_fit(
    examples: Examples,
    *,
    hidden: tuple[int, ...],
    seed: int,
    recipe: Recipe | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> CrossFit:
    """Networks that each learned without one part of the examples, and what they say about it.

    Raises TrainingError and Cancelled.
    """
    recipe = recipe or recipe_for(examples, hidden)
    widest = max(8, _MOST_WIDTH // max(examples.values.shape[1], 1))
    hidden = tuple(min(width, widest) for width in hidden)
    fold = parts(examples)
    ensemble = fit_ensemble(
        examples,
        hidden=hidden,
        seeds=[seed * MEMBERS + member for member in range(MEMBERS)],
        seen=[fold != member for member in range(MEMBERS)],
        recipe=replace(
            recipe, steps=_MOST_STEPS if recipe.head == 1.0 else max(1, min(recipe.steps // 2, _MOST_STEPS))
        ),
        is_cancelled=is_cancelled,
    )
    rows = np.flatnonzero(fold >= 0)
    rows = rows[:: max(1, -(-len(rows) // _MOST_ROWS))]
    seen = (examples.values[rows] - ensemble.shift) * ensemble.gain
    outputs = np.empty((len(rows), max(examples.class_count, 1)), dtype=np.float32)
    spreads = []
    for number, member in enumerate(ensemble.members):
        said = forward(member, seen)
        is_held = fold[rows] == number
        outputs[is_held] = said[is_held]
        spreads.append(float(said[~is_held].std()) if not is_held.all() else 0.0)
    return CrossFit(
        ensemble=ensemble,
        fold=fold,
        rows=rows,
        outputs=outputs,
        spread=float(np.mean(spreads)),
        temperature=_temperature(outputs, examples.targets[rows]) if examples.class_count else 1.0,
    )


def temperature(crossed: CrossFit, examples: Examples, fitted: Fitted) -> float:
    """What to divide the outputs of `fitted` by, so that its confidences are how often it is right.

    The networks that did not learn everything answer less or more strongly than the one that plays: their temperature
    is corrected for that.
    """
    if len(crossed.rows) < LEAST_HELD_OUT:
        return 1.0
    own = float(forward(fitted.layers, examples.values[crossed.rows]).std())
    return float(np.clip(crossed.temperature * own / max(crossed.spread, 1e-6), _COLDEST, _HOTTEST))


def tempered(fitted: Fitted, temperature: float) -> Fitted:
    """The same network, its outputs divided by that."""

    def cooled(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        *rest, (weights, biases) = layers
        return *rest, (weights / np.float32(temperature), biases / np.float32(temperature))

    return replace(fitted, layers=cooled(fitted.layers), bare=cooled(fitted.bare))


def familiarity(
    crossed: CrossFit,
    examples: Examples,
    layers: Sequence[Layer],
    fitted: Fitted,
    outsiders: Ensemble | None = None,
) -> Familiarity | None:
    """How like the examples a frame is to the network that plays, `layers`; None when too few are held out to say.

    The members look for themselves how strange what they never saw is, each with a density of the rest, and those of
    `outsiders`, which learned without the same parts, how unlike all that was shown.
    """
    if len(crossed.rows) < LEAST_HELD_OUT:
        return None
    targets, count = examples.targets.astype(np.intp), examples.class_count
    units = units_of(layers, shift=fitted.shift, gain=fitted.gain, blocks=fitted.members)
    enough = enough_rows(targets)
    density = fit_density(units.of(examples.values[enough]), targets[enough], count)
    if density is None:
        return None
    ensemble = crossed.ensemble

    def standardised(rows: NDArray[np.intp]) -> FloatArray:
        return np.asarray((examples.values[rows] - ensemble.shift) * ensemble.gain)

    zero, one = np.zeros_like(ensemble.shift), np.ones_like(ensemble.gain)
    held_out, held_rows = [], []
    for number, member in enumerate(ensemble.members):
        held = crossed.fold[crossed.rows] == number
        rows = crossed.rows[held]
        width = len(member[0][1]) if len(member) > 1 else density.centres.shape[2]
        own = units_of(member, shift=zero, gain=one, blocks=1, units=min(width, density.centres.shape[2]))
        rest = enough[crossed.fold[enough] != number]
        others = fit_density(own.of(standardised(rest)), targets[rest], count)
        if others is None or not len(rows):
            continue
        surely = softmax(crossed.outputs[held] / crossed.temperature)
        seen = own.of(standardised(rows))
        confidences = surely.max(axis=1) if own.is_hidden else None
        held_out.append(strangeness(others, seen, surely.argmax(axis=1), confidences))
        held_rows.append(rows)
    return _familiarity(density, examples, crossed.fold, held_out, held_rows, outsiders)


def familiarity_of_inputs(examples: Examples, view: View, outsiders: Ensemble | None = None) -> Familiarity | None:
    """How like the examples a frame is, for a learner without hidden units: a density of its standardised inputs.

    Each example held out is taken for what it is. None when too few are held out to say.
    """
    targets, count = examples.targets.astype(np.intp), examples.class_count
    fold = parts(examples)
    units = units_of((), shift=view.mean, gain=view.scale, blocks=1)
    enough = enough_rows(targets)
    seen, shown, part = units.of(examples.values[enough]), targets[enough], fold[enough]
    density = fit_density(seen, shown, count)
    held_out, held_rows = [], []
    for number in range(MEMBERS):
        others = fit_density(seen[part != number], shown[part != number], count)
        rows = part == number
        if others is not None and rows.any():
            held_out.append(strangeness(others, seen[rows], shown[rows]))
            held_rows.append(enough[rows])
    return None if density is None else _familiarity(density, examples, fold, held_out, held_rows, outsiders)


def parts(examples: Examples) -> NDArray[np.intp]:
    """(N,): which of the networks each without a part of the examples does not learn each; -1 for none."""
    return folds(balanced_groups(examples), examples.takes, MEMBERS)


def _familiarity(
    density: Density,
    examples: Examples,
    fold: NDArray[np.intp],
    held_out: list[FloatArray],
    held_rows: list[NDArray[np.intp]],
    outsiders: Ensemble | None,
) -> Familiarity | None:
    """With that density, where examples `held_rows` that were held out are as strange as `held_out` says."""
    if sum(map(len, held_out)) < LEAST_HELD_OUT:
        return None
    far, rows = np.concatenate(held_out), np.concatenate(held_rows)
    if outsiders is None:
        return Familiarity(density=density, curve=curve_of(far))
    unlike = held_out_unlikeness(outsiders, examples.values[rows], fold[rows])
    usual = float(np.float32(np.median(unlike)))
    curve = curve_of(more_strange(far, unlike, usual))
    return Familiarity(density=density, curve=curve, outsiders=outsiders.packed(), usual=usual)


def softmax(outputs: FloatArray) -> FloatArray:
    """(N, C) confidences."""
    given = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(given / given.sum(axis=1, keepdims=True))


def _temperature(outputs: FloatArray, targets: NDArray[np.intp] | FloatArray) -> float:
    """The temperature at which what was true surprises least: Guo et al. 2017, *On calibration of modern networks*."""
    if len(targets) < LEAST_HELD_OUT:
        return 1.0
    choices = np.exp(np.linspace(np.log(_COLDEST), np.log(_HOTTEST), 48))
    below = np.ascontiguousarray((outputs - outputs.max(axis=1, keepdims=True)).T)
    of_truth = below[targets.astype(np.intp), np.arange(len(targets))]
    surprises = []
    for one in choices:
        surprise = np.log(np.exp(below / np.float32(one)).sum(axis=0)) - of_truth / np.float32(one)
        surprises.append(float(np.minimum(surprise, _MOST_SURPRISE).mean()))
    return float(choices[np.argmin(surprises)])
