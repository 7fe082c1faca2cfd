"""A multilayer perceptron with its parameters in one flat buffer, and the gradient of its loss.

In numpy because these networks are tiny: on one core a step costs a third to a sixth of the same
step in PyTorch, and nothing of 200 MB has to be imported.
"""

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
Loss = Literal["cross_entropy", "squared_error"]


def parameter_count(widths: tuple[int, ...]) -> int:
    """How many weights and biases a network of these widths has, inputs first."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def layer_views(flat: FloatArray, widths: tuple[int, ...]) -> list[tuple[FloatArray, FloatArray]]:
    """(weights (inputs, outputs), biases (outputs,)) of each layer, as views of a flat buffer."""
    views, start = [], 0
    for inputs, outputs in pairwise(widths):
        middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
        views.append((flat[start:middle].reshape(inputs, outputs), flat[middle:end]))
        start = end
    return views


class Mlp:
    """A network with ReLU between its layers, and the gradient of its loss over batches of `rows`."""

    def __init__(
        self,
        widths: tuple[int, ...],
        *,
        loss: Loss,
        rows: int,
        rng: np.random.Generator,
        dtype: type[np.floating[Any]] = np.float32,
    ) -> None:
        self.parameters = np.zeros(parameter_count(widths), dtype)
        self.gradient = np.zeros_like(self.parameters)
        self.layers = layer_views(self.parameters, widths)
        self._loss = loss
        self._gradients = layer_views(self.gradient, widths)
        self._outputs = [np.empty((rows, width), dtype) for width in widths[1:]]
        self._deltas = [np.empty((rows, width), dtype) for width in widths[1:]]
        self._ones = np.ones(rows, dtype)
        for weights, _ in self.layers:  # He et al. 2015, equation 10
            weights[...] = rng.standard_normal(weights.shape) * np.sqrt(2.0 / weights.shape[0])

    def loss_and_gradient(self, inputs: FloatArray, targets: FloatArray) -> float:
        """The mean loss over a batch; fills `gradient`.

        `inputs` (rows, F); `targets` (rows, C): probabilities for cross-entropy, else values.
        """
        loss = self._forward(inputs, targets)
        for index in reversed(range(len(self.layers))):
            weights_gradient, biases_gradient = self._gradients[index]
            delta = self._deltas[index]
            below = self._outputs[index - 1] if index else inputs
            np.dot(below.T, delta, out=weights_gradient)
            np.dot(self._ones, delta, out=biases_gradient)
            if index:
                np.dot(delta, self.layers[index][0].T, out=self._deltas[index - 1])
                self._deltas[index - 1] *= below > 0
        return loss

    def _forward(self, inputs: FloatArray, targets: FloatArray) -> float:
        """The loss; leaves each layer's output, and the loss's slope at the last one."""
        rows = inputs
        for (weights, biases), output in zip(self.layers, self._outputs, strict=True):
            np.dot(rows, weights, out=output)
            output += biases
            rows = output if output is self._outputs[-1] else np.maximum(output, 0.0, out=output)
        count = len(inputs)
        slope = self._deltas[-1]
        if self._loss == "squared_error":
            np.subtract(rows, targets, out=slope)
            loss = float(np.vdot(slope, slope)) / slope.size
            slope *= 2.0 / slope.size
            return loss
        rows -= rows.max(axis=1, keepdims=True)
        np.exp(rows, out=slope)
        total = slope.sum(axis=1, keepdims=True)
        loss = (float(np.log(total).sum()) - float(np.vdot(rows, targets))) / count
        slope /= total
        slope -= targets
        slope /= count
        return loss
