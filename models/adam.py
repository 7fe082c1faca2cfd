"""Adam on a flat buffer, in place, and the one-cycle learning rate."""

import math

import numpy as np

from instrument.models.mlp import FloatArray


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), its averages kept as sums that the size of a step makes up for."""

    def __init__(self, parameters: FloatArray, *, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self._parameters = parameters
        self._beta1 = beta1
        self._beta2 = beta2
        self._steps = 0
        self._sum = np.zeros_like(parameters)
        self._squares = np.zeros_like(parameters)
        self._scratch = np.empty_like(parameters)

    def step(self, gradient: FloatArray, rate: float) -> None:
        """Moves the parameters one step against the gradient, which it overwrites."""
        self._steps += 1
        scratch = self._scratch
        self._sum *= self._beta1
        self._sum += gradient
        self._squares *= self._beta2
        np.multiply(gradient, gradient, out=gradient)
        self._squares += gradient
        mean_share = (1.0 - self._beta1) / (1.0 - self._beta1**self._steps)
        square_share = math.sqrt((1.0 - self._beta2) / (1.0 - self._beta2**self._steps))
        np.sqrt(self._squares, out=scratch)
        scratch += 1e-8 / square_share
        np.divide(self._sum, scratch, out=scratch)
        scratch *= rate * mean_share / square_share
        self._parameters -= scratch


def one_cycle_rate(step: int, steps: int, peak: float) -> float:
    """The rate at `step` of `steps`: up for 3 tenths, then down to almost nothing, along cosines.

    After Smith and Topin 2018, with PyTorch's defaults.
    """
    start, end = peak / 25.0, peak / 25e4
    turn = 0.3 * steps - 1.0
    if step <= turn:
        return _cosine(start, peak, step / turn)
    return _cosine(peak, end, (step - turn) / max(steps - 1.0 - turn, 1.0))


def _cosine(start: float, end: float, position: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * position))
