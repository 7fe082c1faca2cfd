"""Trains many small networks at once, to learn where they disagree: there the takes say too little.

The members see the same examples in other orders from other beginnings (deep ensembles, Lakshminarayanan et
al. 2017). All of them go through one batched product per layer, so that ten cost less than ten fits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer
from instrument.kernels.packing import FloatArray, PackedNetwork
from instrument.models.adam import Adam, one_cycle_rate
from instrument.models.fitting import (
    BATCH,
    Cancelled,
    Examples,
    Recipe,
    TrainingError,
    balanced_draws,
    of_features,
    recipe_for,
    with_varied,
)
from instrument.models.mlp import parameter_count
from instrument.models.quantize import round_to_nearest
from instrument.models.whitening import standardised, varying, widened

_FARTHEST = 10.0
_NOISE_PLACES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Networks that learned the same."""

    members: tuple[tuple[Layer, ...], ...]
    """Each on (values - shift) * gain."""
    shift: FloatArray
    gain: FloatArray
    losses: tuple[float, ...]
    """Of each member: mean over the last tenth of the steps."""

    def packed(self) -> tuple[PackedNetwork, ...]:
        """The members as they are kept and played, in 8 bits."""
        return tuple(
            PackedNetwork(
                shift=self.shift,
                gain=self.gain,
                layers=tuple(round_to_nearest(*layer, bits=8) for layer in member),
            )
            for member in self.members
        )


def fit_ensemble(
    examples: Examples,
    *,
    hidden: tuple[int, ...],
    seeds: Sequence[int],
    seen: Sequence[NDArray[np.bool_]] | None = None,
    recipe: Recipe | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Ensemble:
    """One member for each seed; the same seed gives the same member, whatever its neighbours.

    `seen` says for each member which examples (N,) it learns from, with their variations; left out: all.
    Raises TrainingError, and Cancelled once `is_cancelled` says so.
    """
    if not len(examples) or not seeds:
        raise TrainingError("no examples, or no members; record at least one take")
    used, features = varying(examples.values), examples.values.shape[1]
    if 0 < len(used) < features:
        narrow = fit_ensemble(
            of_features(examples, used), hidden=hidden, seeds=seeds, seen=seen, recipe=recipe, is_cancelled=is_cancelled
        )
        return replace(
            narrow,
            members=tuple(((widened(one[0][0], used, features), one[0][1]), *one[1:]) for one in narrow.members),
            shift=standardised(examples.values).mean,
            gain=widened(narrow.gain, used, features),
        )
    recipe = recipe or recipe_for(examples, hidden)
    view = standardised(examples.values)
    shift, gain = view.mean, view.scale
    count = len(seeds)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    values, groups, origins = with_varied(examples)
    values = np.clip((values - shift) * gain, -_FARTHEST, _FARTHEST)
    targets = _targets(examples, recipe)[origins]
    draws = np.empty((recipe.steps, count, BATCH), dtype=np.intp)
    for member, rng in enumerate(rngs):
        rows = np.arange(len(values)) if seen is None else np.flatnonzero(seen[member][origins])
        drawn = balanced_draws(groups[rows], recipe.steps * BATCH, rng)
        draws[:, member] = rows[drawn].reshape(recipe.steps, BATCH)
    widths = (values.shape[1], *hidden, targets.shape[1])
    network = BatchedMlps(widths, rngs, is_class=examples.class_count > 0)
    adam = Adam(network.parameters)
    losses = np.zeros((recipe.steps, count))
    batch = np.empty((count, BATCH, widths[0]), dtype=np.float32)
    # A pool of noise each, read from another place each step: fresh noise costs more than the gradient.
    size = BATCH * widths[0]
    pools = [rng.standard_normal(_NOISE_PLACES + size, dtype=np.float32) * np.float32(recipe.noise) for rng in rngs]
    starts = [rng.integers(_NOISE_PLACES, size=recipe.steps) for rng in rngs]
    for step in range(recipe.steps):
        if is_cancelled():
            raise Cancelled
        rows = draws[step]
        values.take(rows, axis=0, out=batch, mode="clip")  # other modes make a copy first
        for own, pool, places in zip(batch, pools, starts, strict=True):
            own += pool[places[step] : places[step] + size].reshape(own.shape)
        losses[step] = network.losses_and_gradient(batch, targets[rows])
        adam.step(network.gradient, one_cycle_rate(step, recipe.steps, recipe.peak_rate))
    if not np.isfinite(network.parameters).all():
        raise TrainingError("training ran away; look for a feature with enormous values")
    return Ensemble(
        members=tuple(
            tuple((weights[member].copy(), biases[member, 0].copy()) for weights, biases in network.layers)
            for member in range(count)
        ),
        shift=shift,
        gain=gain,
        losses=tuple(losses[-max(1, recipe.steps // 10) :].mean(axis=0).tolist()),
    )


class BatchedMlps:
    """Networks of equal widths, ReLU between layers, with all parameters in one flat buffer."""

    def __init__(self, widths: tuple[int, ...], rngs: Sequence[np.random.Generator], *, is_class: bool) -> None:
        count = len(rngs)
        self.parameters = np.zeros(count * parameter_count(widths), dtype=np.float32)
        self.gradient = np.zeros_like(self.parameters)
        self.layers = _views(self.parameters, count, widths)
        self._gradients = _views(self.gradient, count, widths)
        self._is_class = is_class
        for member, rng in enumerate(rngs):
            for weights, _ in self.layers:  # He et al. 2015, equation 10
                weights[member] = rng.standard_normal(weights.shape[1:]) * np.sqrt(2.0 / weights.shape[1])

    def losses_and_gradient(self, rows: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        """(M,) mean losses over `rows` (M, R, F) and `targets` (M, R, C); fills `gradient`."""
        outputs = [rows]
        for index, (weights, biases) in enumerate(self.layers):
            given = np.matmul(outputs[-1], weights)
            given += biases
            if index < len(self.layers) - 1:
                np.maximum(given, 0.0, out=given)
            outputs.append(given)
        last = outputs[-1]
        if self._is_class:
            last -= last.max(axis=2, keepdims=True)
            slope = np.exp(last)
            total = slope.sum(axis=2, keepdims=True)
            losses = (np.log(total).sum(axis=(1, 2)) - (last * targets).sum(axis=(1, 2))) / rows.shape[1]
            slope /= total
            slope -= targets
            slope /= rows.shape[1]
        else:
            slope = last - targets
            size = slope.shape[1] * slope.shape[2]
            losses = np.square(slope).sum(axis=(1, 2)) / size
            slope *= 2.0 / size
        for index in reversed(range(len(self.layers))):
            weights_gradient, biases_gradient = self._gradients[index]
            below = outputs[index]
            np.matmul(below.transpose(0, 2, 1), slope, out=weights_gradient)
            slope.sum(axis=1, keepdims=True, out=biases_gradient)
            if index:
                slope = np.matmul(slope, self.layers[index][0].transpose(0, 2, 1))
                slope *= below > 0
        return losses.astype(np.float64)


def _targets(examples: Examples, recipe: Recipe) -> FloatArray:
    """(N, C): smoothed probabilities, or the values."""
    if not examples.class_count:
        return examples.targets.astype(np.float32)[:, None]
    off = recipe.smoothing / examples.class_count
    table = np.full((examples.class_count,) * 2, off, dtype=np.float32)
    table[np.diag_indices(examples.class_count)] += 1.0 - recipe.smoothing
    return table[examples.targets.astype(np.intp)]


def _views(flat: FloatArray, count: int, widths: tuple[int, ...]) -> list[tuple[FloatArray, FloatArray]]:
    """(weights (M, inputs, outputs), biases (M, 1, outputs)) of each layer, as views of a flat buffer."""
    views, start = [], 0
    for inputs, outputs in pairwise(widths):
        middle = start + count * inputs * outputs
        end = middle + count * outputs
        views.append((flat[start:middle].reshape(count, inputs, outputs), flat[middle:end].reshape(count, 1, outputs)))
        start = end
    return views
