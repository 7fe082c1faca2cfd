"""Trains a small network on examples in a fraction of a second.

Batches of 64 in which every class comes equally often, Adam with a one-cycle rate, noise on the
inputs and smoothed labels against overconfidence. Three members are trained and their outputs
averaged: one sees every feature standardised, the others see features that move together
decorrelated a little as well (`models.whitening`). All of that folds into the weights, so that
what plays is one plain network: the members side by side, with nothing between them but zeros.
docs/learning.md has what each choice is worth.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer, forward
from instrument.kernels.packing import FloatArray
from instrument.models.descent import BATCH, Lesson, Task, descend, layers_of, noise_for
from instrument.models.holdout import Holdout, hold_out
from instrument.models.members import side_by_side
from instrument.models.mlp import beginnings, layer_views, parameter_count
from instrument.models.ridge_head import beside, pose_count, ridge_head
from instrument.models.whitening import View, standardised, varying, whitened, widened

_PROGRESS_REPORTS = 24
_FARTHEST = 10.0
"""Standard deviations beyond which an input is a glitch, and is learned from as if it were there."""
_HIGHEST_LOSS = 1e3
"""Inputs are within `_FARTHEST` and targets within 0..1, so a loss this high has run away."""
_WIDE = 200
"""More features than this want smaller steps, as each step moves a unit by the sum over all of them."""
_MOST_WEIGHTS = 300_000
"""Several networks side by side have at most so many: a tenth of a millisecond a frame."""
_FEW_POSES = 200
"""Values shown in fewer poses than this are learned in closed form; gradient descent adds nothing yet."""
_FEW = 100
"""With more examples than this the noise on the inputs is less."""

RowsForward = Callable[[FloatArray], FloatArray]
"""What a model says about rows: (N, F) to (N, C), logits or logarithms of confidences, or to (N, 1) values."""


class TrainingError(Exception):
    """Nothing can be learned; the text says why and what to do."""


class Cancelled(Exception):
    """Training was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What one output learns from, in the order recorded."""

    values: FloatArray
    """(N, F), finite."""
    targets: NDArray[np.intp] | FloatArray
    """(N,): class numbers, or values 0..1."""
    takes: NDArray[np.intp]
    """(N,): number of the take each is from."""
    class_count: int = 0
    """0 when the targets are values."""
    variations: FloatArray | None = None
    """(M, F): what examples would have been, seen a little differently; learned from, never scored on."""
    variations_of: NDArray[np.intp] | None = None
    """(M,): which example each is a variation of."""
    strangers: FloatArray | None = None
    """(S, F): what is none of the classes, made of examples; only what is strange is learned from it."""
    strangers_of: NDArray[np.intp] | None = None
    """(S,): which example each is made of."""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train."""

    steps: int
    peak_rate: float = 0.02
    noise: float = 0.25
    """Standard deviation of the noise on the inputs, in standard deviations of the feature."""
    smoothing: float = 0.1
    """Share of a label's probability that is spread over all classes."""
    members: int = 3
    """How many networks are trained and averaged; all but the first see their features decorrelated a little."""
    head: float = 0.0
    """Values: share of the ridge head (`models.ridge_head`) in what is said; 1 is all, and nothing else is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far training is."""

    step: int
    steps: int
    loss: float
    """The mean of all steps since it was last told."""
    validation: float | None
    """Accuracy (classes) or root mean square error (values, of 0..1) on what is held out."""


def keeping(curve: list[list[float | None]], on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Reports on, and keeps (step, loss, validation) of each report in `curve`, which a new attempt empties."""

    def report(progress: Progress) -> None:
        if curve and progress.step <= (curve[-1][0] or 0):
            curve.clear()
        validation = None if progress.validation is None else round(float(progress.validation), 4)
        curve.append([progress.step, round(float(progress.loss), 5), validation])
        on_progress(progress)

    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """How well a network trained without them does on the examples held out."""

    by_block: tuple[int, ...]
    """Classes that have a single take, whose last quarter was held out instead: that flatters. Values: 0."""
    score: float
    """Accuracy, or root mean square error of 0..1."""
    examples: int
    by_take: Mapping[int, float]
    """The score on each take that has something held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained network."""

    layers: tuple[Layer, ...]
    """What runs on values as they come: the standardisation is in the first layer."""
    bare: tuple[Layer, ...]
    """The same network on (values - shift) * gain."""
    shift: FloatArray
    """(F,)"""
    gain: FloatArray
    """(F,); 0 for a feature that never changes."""
    loss: float
    """Mean over the last tenth of the steps, noise and smoothing included."""
    steps: int
    members: int
    """How many networks stand side by side in it."""
    validation: Validation | None
    notes: tuple[str, ...]
    """What the performer should know, in plain words."""


def recipe_for(examples: Examples, hidden: tuple[int, ...]) -> Recipe:
    """Enough steps up to 1,000 examples, then nearly as many times more as there are more examples.

    Networks so wide that several side by side would take long to play stay alone.
    """
    steps = round(220 * (max(len(examples), 1000) / 1000) ** 0.9)
    peak_rate = 0.02 * min(1.0, math.sqrt(_WIDE / max(examples.values.shape[1], 1)))
    if examples.class_count:
        noise = 0.3 * min(1.0, max(_FEW / max(len(examples), 1), 1 / 40) ** 0.25)
        if examples.variations is not None:  # which are a better noise
            noise /= 3
        members = Recipe(steps=steps).members
        widths = (examples.values.shape[1], *(members * width for width in hidden), examples.class_count)
        if parameter_count(widths) > _MOST_WEIGHTS:
            members = 1
        return Recipe(steps=steps, peak_rate=peak_rate, noise=noise, members=members)
    is_few = bool(hidden) and pose_count(examples.targets.astype(np.float32), examples.takes) < _FEW_POSES
    steps = 1 if is_few else round(900 * math.sqrt(max(len(examples), 1000) / 1000))
    head = 0.0 if not hidden else 1.0 if is_few else 0.5
    return Recipe(steps=steps, peak_rate=peak_rate, noise=0.2, smoothing=0.0, members=1, head=head)


def fit(
    examples: Examples,
    *,
    hidden: tuple[int, ...],
    seed: int,
    recipe: Recipe | None = None,
    is_validated: bool = True,
    on_progress: Callable[[Progress], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Fitted:
    """A network trained on all examples and, if `is_validated`, how well one trained on part does on the rest.

    The same examples, widths, seed and recipe give the same weights, bit for bit.
    Raises TrainingError, and Cancelled once `is_cancelled` says so, which is asked at every step.
    """
    if not len(examples):
        raise TrainingError("no examples; record at least one take")
    used, count = varying(examples.values), examples.values.shape[1]
    if 0 < len(used) < count:
        narrow = fit(
            of_features(examples, used),
            hidden=hidden,
            seed=seed,
            recipe=recipe,
            is_validated=is_validated,
            on_progress=on_progress,
            is_cancelled=is_cancelled,
        )
        return _widened(narrow, used, examples.values)
    recipe = recipe or recipe_for(examples, hidden)
    notes: list[str] = []
    for _ in range(4):
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # seen in the loss
                return _fit(examples, hidden, seed, recipe, is_validated, notes, on_progress, is_cancelled)
        except _Diverged as error:
            recipe = replace(recipe, peak_rate=recipe.peak_rate / 10)
            notes.append(f"training ran away ({error}); tried again with a smaller step, {recipe.peak_rate:g}")
    raise TrainingError("training ran away however small its step; look for a feature with enormous values")


def of_features(examples: Examples, used: NDArray[np.intp]) -> Examples:
    """The examples as some of their features show them."""

    def picked(rows: FloatArray | None) -> FloatArray | None:
        return None if rows is None else np.ascontiguousarray(rows[:, used])

    return replace(
        examples,
        values=np.ascontiguousarray(examples.values[:, used]),
        variations=picked(examples.variations),
        strangers=picked(examples.strangers),
    )


def _widened(fitted: Fitted, used: NDArray[np.intp], values: FloatArray) -> Fitted:
    """The same network for all features of `values` (N, F), of which it has learned from those `used`."""
    count = values.shape[1]

    def whole(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        (weights, biases), *rest = layers
        return (widened(weights, used, count), biases), *rest

    return replace(
        fitted,
        layers=whole(fitted.layers),
        bare=whole(fitted.bare),
        shift=standardised(values).mean,
        gain=widened(fitted.gain, used, count),
    )


class _Diverged(Exception):
    pass


def _fit(
    examples: Examples,
    hidden: tuple[int, ...],
    seed: int,
    recipe: Recipe,
    is_validated: bool,
    notes: list[str],
    on_progress: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
) -> Fitted:
    def check() -> None:
        if is_cancelled():
            raise Cancelled

    check()
    held = hold_out(balanced_groups(examples), examples.takes)
    unseen = rows_of(examples, held.is_held)
    trial: list[_Learner] = []
    if is_validated and len(unseen):  # one is only scored, also on the way
        trial = _learners(rows_of(examples, held.is_seen), seed, replace(recipe, members=1))
    learners = [*trial, *_learners(examples, seed, recipe)]
    widths = (examples.values.shape[1], *hidden, examples.class_count or 1)
    parameters = beginnings(widths, [one.rng for one in learners])
    if recipe.head:
        layer_views(parameters, widths)[-1][0][...] = 0.0  # they begin with no opinion
    networks = [_Network(one, own, widths, recipe.head) for one, own in zip(learners, parameters, strict=True)]
    tried, finals = networks[: len(trial)], networks[len(trial) :]
    every = max(1, recipe.steps // _PROGRESS_REPORTS)
    recent: list[float] = []

    def report(step: int, losses: NDArray[np.float64]) -> None:
        if not (np.abs(losses) < _HIGHEST_LOSS).all():
            raise _Diverged(f"loss {losses.max():g} at step {step + 1}")
        recent.append(float(losses[len(trial) :].mean()))
        if step == 0 or (step + 1) % every == 0 or step + 1 == recipe.steps:
            score = _score(tried[0].said, unseen) if tried else None
            loss = sum(recent) / len(recent)
            on_progress(Progress(step=step + 1, steps=recipe.steps, loss=loss, validation=score))
            recent.clear()

    if recipe.head == 1.0:  # and nothing is left to learn
        losses = np.array([[one.head_loss(step) for one in learners] for step in range(recipe.steps)])
        for step in range(recipe.steps):
            check()
            report(step, losses[step])
    else:
        task = Task(
            parameters=parameters,
            widths=widths,
            loss="cross_entropy" if examples.class_count else "squared_error",
            peak_rate=recipe.peak_rate,
            lessons=[one.lesson for one in learners],
        )
        losses = descend(task, check=check, on_step=report)
    layers = side_by_side([one.layers() for one in finals])
    if not all(np.isfinite(array).all() for layer in layers for array in layer):
        raise _Diverged("weights that are not finite")
    if _has_died(layers, examples.values):
        raise _Diverged("a layer in which no unit answers to anything")
    return Fitted(
        layers=layers,
        bare=side_by_side([one.bare() for one in finals]),
        shift=finals[0].view.mean,
        gain=finals[0].view.scale,
        loss=float(losses[-max(1, recipe.steps // 10) :, len(trial) :].mean()),
        steps=recipe.steps,
        members=recipe.members,
        validation=validate(tried[0].said, unseen, held) if tried else None,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learner:
    """How one network sees its features, and what it learns from."""

    view: View
    lesson: Lesson
    rng: np.random.Generator
    head: tuple[Layer, Layer] | None

    def head_loss(self, step: int) -> float:
        """What is off in a batch where the head is all there is."""
        assert self.head is not None
        lesson = self.lesson
        given = forward(self.head, lesson.values[lesson.draws[step]])
        return float(np.square(given - lesson.targets[lesson.wanted[step]]).mean())


def _learners(examples: Examples, seed: int, recipe: Recipe) -> list[_Learner]:
    """One for each member of the recipe; all but the first see their features decorrelated a little."""
    views = [standardised(examples.values)]
    if recipe.members > 1:
        views.append(whitened(examples.values, views[0]))
    values, groups, origins = with_varied(examples)
    seen = [view.of(values, farthest=_FARTHEST) for view in views]
    targets, shown = target_table(examples, recipe.smoothing)
    learners = []
    for member in range(recipe.members):
        rng, which = np.random.default_rng([seed, member]), min(member, 1)
        draws = balanced_draws(groups, recipe.steps * BATCH, rng).reshape(recipe.steps, BATCH)
        noise, starts = noise_for(values.shape[1], recipe.noise, recipe.steps, rng)
        lesson = Lesson(
            values=seen[which],
            targets=targets,
            draws=draws,
            wanted=shown[origins[draws]],
            noise=noise,
            noise_starts=starts,
        )
        head = ridge_head(seen[which], targets[:, 0], examples.takes, seed) if recipe.head else None
        learners.append(_Learner(view=views[which], lesson=lesson, rng=rng, head=head))
    return learners


class _Network:
    """One learner's network, with the head beside it and the view of its features in its first layer."""

    def __init__(self, learner: _Learner, parameters: FloatArray, widths: tuple[int, ...], head_share: float) -> None:
        self.view = learner.view
        self._head, self._head_share = learner.head, head_share
        self._parameters, self._widths = parameters, widths

    def said(self, rows: FloatArray) -> FloatArray:
        """(N, C) of rows (N, F), as it is now."""
        return forward(self.layers(), rows)

    def layers(self) -> tuple[Layer, ...]:
        """What runs on values as they come."""
        return self._joined(self.view.folded)

    def bare(self) -> tuple[Layer, ...]:
        """What runs on standardised features."""
        return self._joined(lambda weights, biases: (self.view.turned(weights), biases))

    def _joined(self, fold: Callable[..., tuple[NDArray[Any], NDArray[Any]]]) -> tuple[Layer, ...]:
        layers = layers_of(self._parameters, self._widths)
        if self._head is not None:
            layers = self._head if self._head_share == 1.0 else beside(self._head, layers, self._head_share)
        weights, biases = fold(*layers[0])
        return (weights.astype(np.float32), biases.astype(np.float32)), *layers[1:]


def _has_died(layers: tuple[Layer, ...], values: FloatArray) -> bool:
    """Whether some hidden layer gives 0 for everything, as ReLU does for good after a step too large."""
    rows = values[:: max(1, len(values) // 1000)]
    return any(not np.any(rows := np.maximum(forward([layer], rows), 0.0)) for layer in layers[:-1])


def target_table(examples: Examples, smoothing: float) -> tuple[FloatArray, NDArray[np.intp]]:
    """(K, C) what may be learned, smoothed probabilities or values, and (N,) which of it each example shows."""
    if not examples.class_count:
        return examples.targets.astype(np.float32)[:, None], np.arange(len(examples))
    shown = examples.targets.astype(np.intp)
    if shown.max() >= examples.class_count:
        raise ValueError(f"class {shown.max()} is none of {examples.class_count}, counted from 0")
    table = np.full((examples.class_count,) * 2, smoothing / examples.class_count, dtype=np.float32)
    table[np.diag_indices(examples.class_count)] += 1.0 - smoothing
    return table, shown


def with_varied(examples: Examples) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.intp]]:
    """What is learned from: (M, F) examples and variations; (M,) balanced groups; (M,) which example each shows."""
    groups, origins = balanced_groups(examples), np.arange(len(examples))
    if examples.variations is None or examples.variations_of is None:
        return examples.values, groups, origins
    origins = np.concatenate([origins, examples.variations_of])
    return np.concatenate([examples.values, examples.variations]), groups[origins], origins


def balanced_groups(examples: Examples) -> NDArray[np.intp]:
    """(N,): what is balanced and held out apart: classes, or for values the takes that show the same one."""
    if examples.class_count:
        return examples.targets.astype(np.intp)
    groups = np.zeros(len(examples), dtype=np.intp)
    for take in np.unique(examples.takes):
        rows = examples.takes == take
        values = examples.targets[rows]
        is_steady = values.min() == values.max()
        groups[rows] = 1 + round(float(values[0]) * 1e6) if is_steady else 0
    return groups


def balanced_draws(groups: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(count,) rows in random order, every group equally often, every row of a group equally often."""
    names = np.unique(groups)
    each = -(-count // len(names))
    columns = []
    for name in names:
        rows = np.flatnonzero(groups == name)
        again = np.tile(rows, (-(-each // len(rows)), 1))
        columns.append(rng.permuted(again, axis=1).reshape(-1)[:each])
    rounds = np.stack(columns, axis=1)
    if len(names) > BATCH:  # a batch holds only some of them: not always the same neighbours
        rounds = rng.permuted(rounds, axis=1)
    return rounds.reshape(-1)[:count]


def rows_of(examples: Examples, rows: NDArray[np.bool_]) -> Examples:
    """Those examples, and the variations and strangers made of them."""
    place = np.cumsum(rows) - 1

    def kept(made: FloatArray | None, of: NDArray[np.intp] | None) -> tuple[FloatArray | None, NDArray[np.intp] | None]:
        return (None, None) if made is None or of is None else (made[rows[of]], place[of[rows[of]]])

    variations, variations_of = kept(examples.variations, examples.variations_of)
    strangers, strangers_of = kept(examples.strangers, examples.strangers_of)
    return replace(
        examples,
        values=examples.values[rows],
        targets=examples.targets[rows],
        takes=examples.takes[rows],
        variations=variations,
        variations_of=variations_of,
        strangers=strangers,
        strangers_of=strangers_of,
    )


def enough_rows(targets: NDArray[np.intp], most: int = 3000) -> NDArray[np.intp]:
    """Which of (N,) examples are enough to see how each class lies: about `most`, evenly spaced, if there are more."""
    order = np.argsort(targets, kind="stable")
    starts = np.cumsum([0, *np.bincount(targets)])
    every = -(-len(targets) // most)
    return np.sort(np.concatenate([order[a:b:every] for a, b in pairwise(starts.tolist())]))


def _errors(said: RowsForward, examples: Examples) -> FloatArray:
    """(N,): 1 where the class is wrong and 0 where it is right, or the squared error of the value."""
    given = said(examples.values)
    if examples.class_count:
        return (given.argmax(axis=1) != examples.targets).astype(np.float32)
    return np.square(np.clip(given[:, 0], 0.0, 1.0) - examples.targets)


def _score(said: RowsForward, examples: Examples) -> float:
    mean = float(_errors(said, examples).mean())
    return 1.0 - mean if examples.class_count else math.sqrt(mean)


def validate(said: RowsForward, examples: Examples, held: Holdout) -> Validation:
    """How well what is said about those examples, held out as `held` says, agrees with them."""
    takes = np.unique(examples.takes).tolist()
    return Validation(
        by_block=held.by_block if examples.class_count else (0,) * bool(held.by_block),
        score=_score(said, examples),
        examples=len(examples),
        by_take={take: _score(said, rows_of(examples, examples.takes == take)) for take in takes},
    )
