"""Multilayer perceptrons side by side, a row of parameters each, and the gradients of their losses.

In numpy because these networks are tiny: on one core a step costs a third to a sixth of the same
step in PyTorch, and nothing of 200 MB has to be imported. Several at once because half of a step of
one is the overhead of its calls, which they share: four cost as much as two and a half alone.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
Loss = Literal["cross_entropy", "squared_error"]


def parameter_count(widths: tuple[int, ...]) -> int:
    """How many weights and biases a network of these widths has, inputs first."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def beginnings(
    widths: tuple[int, ...], rngs: Sequence[np.random.Generator], dtype: type[np.floating[Any]] = np.float32
) -> FloatArray:
    """(M, P): parameters of M networks before they have learned anything: He et al. 2015, equation 10."""
    parameters = np.zeros((len(rngs), parameter_count(widths)), dtype)
    for member, rng in enumerate(rngs):
        for weights, _ in layer_views(parameters, widths):
            weights[member] = rng.standard_normal(weights.shape[1:]) * np.sqrt(2.0 / weights.shape[1])
    return parameters


def layer_views(parameters: FloatArray, widths: tuple[int, ...]) -> list[tuple[FloatArray, FloatArray]]:
    """(weights (M, inputs, outputs), biases (M, 1, outputs)) of each layer, as views of parameters (M, P)."""
    views, start = [], 0
    for inputs, outputs in pairwise(widths):
        middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
        weights, biases = parameters[:, start:middle], parameters[:, middle:end]
        views.append((weights.reshape(-1, inputs, outputs), biases.reshape(-1, 1, outputs)))
        start = end
    return views


class Mlps:
    """M networks of the same widths with ReLU between their layers; each learns from batches of `rows` of its own."""

    def __init__(self, parameters: FloatArray, widths: tuple[int, ...], *, loss: Loss, rows: int) -> None:
        """`parameters` (M, P) stay the caller's, and what changes there changes here."""
        count, dtype = len(parameters), parameters.dtype
        self.layers = layer_views(parameters, widths)
        self.gradient = np.zeros_like(parameters)
        self._loss = loss
        self._gradients = layer_views(self.gradient, widths)
        self._outputs = [np.empty((count, rows, width), dtype) for width in widths[1:-1]]
        self._deltas = [np.empty_like(output) for output in self._outputs]
        self._passes = [np.empty(output.shape, dtype=bool) for output in self._outputs]
        # Of the last layer one output after the other: few columns are slow to sum along.
        self._given = np.empty((count, widths[-1], rows), dtype)
        self._slope = np.empty_like(self._given)
        self._ones = np.ones((1, rows), dtype)
        self._zero = np.zeros((), dtype)

    def losses_and_gradient(self, inputs: FloatArray, targets: FloatArray) -> NDArray[np.float64]:
        """(M,) mean losses over a batch each; fills `gradient`.

        `inputs` (M, rows, F); `targets` (M, rows, C): probabilities for cross-entropy, else values.
        """
        below = [inputs, *self._outputs]
        for index, output in enumerate(self._outputs):
            weights, biases = self.layers[index]
            np.matmul(below[index], weights, out=output)
            output += biases
            np.maximum(output, self._zero, out=output)
        weights, biases = self.layers[-1]
        np.matmul(weights.transpose(0, 2, 1), below[-1].transpose(0, 2, 1), out=self._given)
        self._given += biases.transpose(0, 2, 1)
        losses = self._losses_and_slope(targets.transpose(0, 2, 1))
        self._last_gradient(below[-1])
        for index in reversed(range(len(self._outputs))):
            delta, passes = self._deltas[index], self._passes[index]
            np.greater(self._outputs[index], self._zero, out=passes)
            delta *= passes
            weights_gradient, biases_gradient = self._gradients[index]
            np.matmul(below[index].transpose(0, 2, 1), delta, out=weights_gradient)
            np.matmul(self._ones, delta, out=biases_gradient)
            if index:
                np.matmul(delta, self.layers[index][0].transpose(0, 2, 1), out=self._deltas[index - 1])
        return losses

    def _losses_and_slope(self, targets: FloatArray) -> NDArray[np.float64]:
        """The losses over `targets` (M, C, rows), and their slope at what the networks gave."""
        given, slope = self._given, self._slope
        count, outputs, rows = given.shape
        if self._loss == "squared_error":
            np.subtract(given, targets, out=slope)
            flat = slope.reshape(count, -1)
            losses = np.vecdot(flat, flat) / (outputs * rows)
            slope *= 2.0 / (outputs * rows)
            return losses.astype(np.float64)
        given -= np.maximum.reduce(given, axis=1, keepdims=True)
        np.exp(given, out=slope)
        total = np.add.reduce(slope, axis=1, keepdims=True)
        given *= targets
        losses = np.log(total).reshape(count, -1).sum(axis=1) - given.reshape(count, -1).sum(axis=1)
        slope /= total
        slope -= targets
        slope *= 1.0 / rows
        return losses.astype(np.float64) / rows

    def _last_gradient(self, below: FloatArray) -> None:
        """Of the last layer, and what it hands down to `below` (M, rows, inputs), what it was given."""
        slope = self._slope
        weights_gradient, biases_gradient = self._gradients[-1]
        np.matmul(below.transpose(0, 2, 1), slope.transpose(0, 2, 1), out=weights_gradient)
        np.add.reduce(slope, axis=2, out=biases_gradient[:, 0])
        if self._deltas:
            np.matmul(slope.transpose(0, 2, 1), self.layers[-1][0].transpose(0, 2, 1), out=self._deltas[-1])
