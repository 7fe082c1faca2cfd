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
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer, forward
from instrument.kernels.packing import FloatArray
from instrument.models.adam import Adam, one_cycle_rate
from instrument.models.holdout import Holdout, hold_out
from instrument.models.members import side_by_side
from instrument.models.mlp import Mlp, parameter_count
from instrument.models.ridge_head import beside, pose_count, ridge_head
from instrument.models.whitening import View, standardised, varying, whitened, widened

BATCH = 64
_NOISE_PLACES = 1 << 16
_PROGRESS_REPORTS = 24
_TRIAL_STEPS = 100
"""The network that is only scored takes every second step, if that leaves as many as this."""
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
    finals = [_Fit(examples, hidden, seed, recipe, member) for member in range(recipe.members)]
    held = hold_out(balanced_groups(examples), examples.takes)
    is_tried = is_validated and bool(held.is_held.any())
    stride = 2 if examples.class_count and recipe.steps >= 2 * _TRIAL_STEPS else 1
    shorter = replace(recipe, steps=recipe.steps // stride)
    trial = _Fit(rows_of(examples, held.is_seen), hidden, seed, shorter) if is_tried else None
    unseen = rows_of(examples, held.is_held)
    losses = np.zeros(recipe.steps)
    every = max(1, recipe.steps // _PROGRESS_REPORTS)
    for step in range(recipe.steps):
        if is_cancelled():
            raise Cancelled
        losses[step] = sum(member.step(step) for member in finals) / len(finals)
        if trial and step % stride == 0 and step // stride < shorter.steps:
            trial.step(step // stride)
        if step == 0 or (step + 1) % every == 0 or step + 1 == recipe.steps:
            score = _score(partial(forward, trial.layers()), unseen) if trial else None
            on_progress(Progress(step=step + 1, steps=recipe.steps, loss=losses[step], validation=score))
    layers = side_by_side([member.layers() for member in finals])
    if not all(np.isfinite(array).all() for layer in layers for array in layer):
        raise _Diverged("weights that are not finite")
    if _has_died(layers, examples.values):
        raise _Diverged("a layer in which no unit answers to anything")
    return Fitted(
        layers=layers,
        bare=side_by_side([member.bare() for member in finals]),
        shift=finals[0].view.mean,
        gain=finals[0].view.scale,
        loss=float(losses[-max(1, recipe.steps // 10) :].mean()),
        steps=recipe.steps,
        members=recipe.members,
        validation=validate(partial(forward, trial.layers()), unseen, held) if trial else None,
        notes=tuple(notes),
    )


class _Fit:
    """One network on its way."""

    def __init__(self, examples: Examples, hidden: tuple[int, ...], seed: int, recipe: Recipe, member: int = 0) -> None:
        rng = np.random.default_rng([seed, member])
        self._recipe = recipe
        self.view: View = whitened(examples.values) if member else standardised(examples.values)
        values, groups, origins = with_varied(examples)
        targets = examples.targets[origins]
        self._values = self.view.of(values, farthest=_FARTHEST)
        count, features = self._values.shape
        self._head: tuple[Layer, Layer] | None = None
        if examples.class_count:
            off = recipe.smoothing / examples.class_count
            self._targets = np.full((examples.class_count, examples.class_count), off, dtype=np.float32)
            self._targets[np.diag_indices(examples.class_count)] += 1.0 - recipe.smoothing
            self._target_rows = targets.astype(np.intp)
        else:
            self._targets = targets.astype(np.float32)[:, None]
            if recipe.head:
                self._head = ridge_head(self._values, self._targets[:, 0], examples.takes, seed)
            self._target_rows = np.arange(count)
        self._draws = balanced_draws(groups, recipe.steps * BATCH, rng).reshape(recipe.steps, BATCH)
        # One pool of noise, read from another place each step: fresh noise costs as much as the gradient.
        self._noise = rng.standard_normal(_NOISE_PLACES + BATCH * features, dtype=np.float32)
        self._noise *= recipe.noise
        self._noise_starts = rng.integers(_NOISE_PLACES, size=recipe.steps)
        self._network = Mlp(
            (features, *hidden, self._targets.shape[1]),
            loss="cross_entropy" if examples.class_count else "squared_error",
            rows=BATCH,
            rng=rng,
        )
        if self._head is not None:
            self._network.layers[-1][0][...] = 0.0  # it begins with no opinion
        self._adam = Adam(self._network.parameters)
        self._batch = np.empty((BATCH, features), dtype=np.float32)

    def step(self, number: int) -> float:
        """The loss of the next batch, from which it learns.

        Raises _Diverged.
        """
        rows, batch = self._draws[number], self._batch
        self._values.take(rows, axis=0, out=batch, mode="clip")  # other modes make a copy first
        if self._head is not None and self._recipe.head == 1.0:
            return float(np.square(forward(self._head, batch) - self._targets[rows]).mean())
        start = self._noise_starts[number]
        batch += self._noise[start : start + batch.size].reshape(batch.shape)
        loss = self._network.loss_and_gradient(batch, self._targets[self._target_rows[rows]])
        if not abs(loss) < _HIGHEST_LOSS:
            raise _Diverged(f"loss {loss:g} at step {number + 1}")
        self._adam.step(self._network.gradient, one_cycle_rate(number, self._recipe.steps, self._recipe.peak_rate))
        return loss

    def layers(self) -> tuple[Layer, ...]:
        """The network with the view of its features in its first layer."""
        return self._joined(self.view.folded)

    def bare(self) -> tuple[Layer, ...]:
        """The network on standardised features."""
        return self._joined(lambda weights, biases: (self.view.turned(weights), biases))

    def _joined(self, fold: Callable[..., tuple[NDArray[Any], NDArray[Any]]]) -> tuple[Layer, ...]:
        """The network, the head beside it, with its first layer folded that way."""
        layers: tuple[Layer, ...] = tuple(
            (weights.astype(np.float32), biases.astype(np.float32)) for weights, biases in self._network.layers
        )
        if self._head is not None:
            layers = self._head if self._recipe.head == 1.0 else beside(self._head, layers, self._recipe.head)
        weights, biases = fold(*layers[0])
        return (weights.astype(np.float32), biases.astype(np.float32)), *layers[1:]


def _has_died(layers: tuple[Layer, ...], values: FloatArray) -> bool:
    """Whether some hidden layer gives 0 for everything, as ReLU does for good after a step too large."""
    rows = values[:: max(1, len(values) // 1000)]
    return any(not np.any(rows := np.maximum(forward([layer], rows), 0.0)) for layer in layers[:-1])


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
