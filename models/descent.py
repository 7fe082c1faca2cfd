"""Gradient descent of several networks at once, each on noisy batches of examples of its own.

Adam with a one-cycle rate. The noise is read from a pool, from another place each step, for fresh noise costs as
much as the gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer
from instrument.kernels.packing import FloatArray
from instrument.models.adam import Adam, one_cycle_rate
from instrument.models.mlp import Loss, Mlps, layer_views

BATCH = 64
_NOISE_PLACES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one network learns from, step by step."""

    values: FloatArray
    """(N, F)"""
    targets: FloatArray
    """(K, C)"""
    draws: NDArray[np.intp]
    """(steps, BATCH) rows of `values`."""
    wanted: NDArray[np.intp]
    """(steps, BATCH) rows of `targets`: what each of those shows."""
    noise: FloatArray
    """(places + BATCH * F,)"""
    noise_starts: NDArray[np.int64]
    """(steps,) places in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Networks to be trained."""

    parameters: FloatArray
    """(M, P): where they begin, and while they learn, how far they are."""
    widths: tuple[int, ...]
    loss: Loss
    peak_rate: float
    lessons: Sequence[Lesson]
    """M"""

    @property
    def steps(self) -> int:
        return len(self.lessons[0].draws)


def noise_for(
    features: int, deviation: float, steps: int, rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.int64]]:
    """A pool of noise for batches of so many features, and where each step reads it."""
    noise = rng.standard_normal(_NOISE_PLACES + BATCH * features, dtype=np.float32)
    noise *= deviation
    return noise, rng.integers(_NOISE_PLACES, size=steps)


def descend(
    task: Task,
    *,
    check: Callable[[], None] = lambda: None,
    on_step: Callable[[int, NDArray[np.float64]], None] = lambda *_: None,
) -> NDArray[np.float64]:
    """(steps, M) losses of the networks of a task, which it trains.

    `check` is called before every step, and `on_step` after it with its number and its losses (M,). What they raise
    ends it.
    """
    networks = Mlps(task.parameters, task.widths, loss=task.loss, rows=BATCH)
    adam = Adam(task.parameters)
    batches = np.empty((len(task.lessons), BATCH, task.widths[0]), dtype=np.float32)
    targets = np.empty((len(task.lessons), BATCH, task.widths[-1]), dtype=np.float32)
    losses = np.empty((task.steps, len(task.lessons)))
    for step in range(task.steps):
        check()
        for lesson, batch, wanted in zip(task.lessons, batches, targets, strict=True):
            # Other modes than "clip" make a copy first.
            lesson.values.take(lesson.draws[step], axis=0, out=batch, mode="clip")
            start = lesson.noise_starts[step]
            batch += lesson.noise[start : start + batch.size].reshape(batch.shape)
            lesson.targets.take(lesson.wanted[step], axis=0, out=wanted, mode="clip")
        losses[step] = networks.losses_and_gradient(batches, targets)
        adam.step(networks.gradient, one_cycle_rate(step, task.steps, task.peak_rate))
        on_step(step, losses[step])
    return losses


def layers_of(parameters: FloatArray, widths: tuple[int, ...]) -> tuple[Layer, ...]:
    """The layers of the network with those parameters (P,)."""
    return tuple((weights[0].copy(), biases[0, 0].copy()) for weights, biases in layer_views(parameters[None], widths))
