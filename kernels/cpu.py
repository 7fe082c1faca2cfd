"""The forward pass of a small multilayer perceptron in numpy.

A network is a sequence of (weights, biases), weights (inputs, outputs), all float32, with ReLU
between layers and nothing after the last.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Layer = tuple[FloatArray, FloatArray]


def forward(layers: Sequence[Layer], rows: FloatArray) -> FloatArray:
    """(N, C): what the last layer gives for each of `rows` (N, F)."""
    for weights, biases in layers[:-1]:
        rows = rows @ weights
        rows += biases
        np.maximum(rows, 0.0, out=rows)
    weights, biases = layers[-1]
    return rows @ weights + biases


class FrameForward:
    """The forward pass of one frame, into buffers made once."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._hidden = [(weights, biases, np.empty_like(biases)) for weights, biases in layers[:-1]]
        weights, biases = layers[-1]
        self._last = (weights, biases, np.empty_like(biases))

    def __call__(self, values: FloatArray) -> FloatArray:
        """(C,): what the last layer gives for `values` (F,); overwritten by the next call."""
        for weights, biases, buffer in self._hidden:
            np.dot(values, weights, out=buffer)
            buffer += biases
            values = np.maximum(buffer, 0.0, out=buffer)
        weights, biases, buffer = self._last
        np.dot(values, weights, out=buffer)
        buffer += biases
        return buffer
