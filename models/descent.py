"""Gradient descent of several networks at once, each on noisy batches of examples of its own.

Adam with a one-cycle rate. The noise is read from a pool, from another place each step, for fresh noise costs more
than the gradient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer
from instrument.kernels.packing import FloatArray
from instrument.models.adam import Adam, one_cycle_rate
from instrument.models.mlp import Mlps

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


def noise_for(
    features: int, deviation: float, steps: int, rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.int64]]:
    """A pool of noise for batches of so many features, and where each step reads it."""
    noise = rng.standard_normal(_NOISE_PLACES + BATCH * features, dtype=np.float32)
    noise *= deviation
    return noise, rng.integers(_NOISE_PLACES, size=steps)


class Descent:
    """Networks on their way, each learning its lesson."""

    def __init__(self, networks: Mlps, lessons: Sequence[Lesson], *, peak_rate: float) -> None:
        self._networks, self._lessons, self._peak_rate = networks, lessons, peak_rate
        self._adam = Adam(networks.parameters)
        self._batch = np.empty((len(lessons), BATCH, networks.widths[0]), dtype=np.float32)
        self._wanted = np.empty((len(lessons), BATCH, networks.widths[-1]), dtype=np.float32)

    def step(self, number: int) -> NDArray[np.float64]:
        """(M,): the loss of each network's next batch, from which it learns."""
        for lesson, batch, wanted in zip(self._lessons, self._batch, self._wanted, strict=True):
            # Other modes than "clip" make a copy first.
            lesson.values.take(lesson.draws[number], axis=0, out=batch, mode="clip")
            start = lesson.noise_starts[number]
            batch += lesson.noise[start : start + batch.size].reshape(batch.shape)
            lesson.targets.take(lesson.wanted[number], axis=0, out=wanted, mode="clip")
        losses = self._networks.losses_and_gradient(self._batch, self._wanted)
        rate = one_cycle_rate(number, len(self._lessons[0].draws), self._peak_rate)
        self._adam.step(self._networks.gradient, rate)
        return losses

    def layers(self, member: int) -> tuple[Layer, ...]:
        """That network as it is now."""
        return tuple((weights[member].copy(), biases[member, 0].copy()) for weights, biases in self._networks.layers)
