"""Trains many small networks at once, to learn where they disagree: there the takes say too little.

The members see the same examples in other orders from other beginnings (deep ensembles, Lakshminarayanan et
al. 2017). All of them go through one batched product per layer, so that ten cost less than ten fits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer
from instrument.kernels.packing import FloatArray, PackedNetwork
from instrument.models.descent import BATCH, Lesson, Task, descend, layers_of, noise_for
from instrument.models.fitting import (
    Cancelled,
    Examples,
    Recipe,
    TrainingError,
    balanced_draws,
    of_features,
    recipe_for,
    target_table,
    with_varied,
)
from instrument.models.mlp import Loss, beginnings
from instrument.models.quantize import round_to_nearest
from instrument.models.whitening import standardised, varying, widened

_FARTHEST = 10.0


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
    rngs = [np.random.default_rng(seed) for seed in seeds]
    values, groups, origins = with_varied(examples)
    seen_values = np.clip((values - shift) * gain, -_FARTHEST, _FARTHEST)
    targets, shown = target_table(examples, recipe.smoothing)
    draws = []
    for member, rng in enumerate(rngs):
        rows = np.arange(len(values)) if seen is None else np.flatnonzero(seen[member][origins])
        drawn = balanced_draws(groups[rows], recipe.steps * BATCH, rng)
        draws.append(rows[drawn].reshape(recipe.steps, BATCH))
    widths = (values.shape[1], *hidden, targets.shape[1])
    parameters = beginnings(widths, rngs)
    lessons = []
    for own, rng in zip(draws, rngs, strict=True):
        noise, starts = noise_for(values.shape[1], recipe.noise, recipe.steps, rng)
        lessons.append(
            Lesson(
                values=seen_values,
                targets=targets,
                draws=own,
                wanted=shown[origins[own]],
                noise=noise,
                noise_starts=starts,
            )
        )

    def check() -> None:
        if is_cancelled():
            raise Cancelled

    loss: Loss = "cross_entropy" if examples.class_count else "squared_error"
    task = Task(parameters=parameters, widths=widths, loss=loss, peak_rate=recipe.peak_rate, lessons=lessons)
    losses = descend(task, check=check)
    if not np.isfinite(parameters).all():
        raise TrainingError("training ran away; look for a feature with enormous values")
    return Ensemble(
        members=tuple(layers_of(own, widths) for own in parameters),
        shift=shift,
        gain=gain,
        losses=tuple(losses[-max(1, recipe.steps // 10) :].mean(axis=0).tolist()),
    )
