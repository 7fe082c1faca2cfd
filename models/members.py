"""Several networks as one: their units side by side, their outputs averaged."""

from collections.abc import Sequence

import numpy as np

from instrument.kernels.cpu import Layer
from instrument.kernels.packing import FloatArray


def side_by_side(members: Sequence[tuple[Layer, ...]]) -> tuple[Layer, ...]:
    """One network that gives the mean of what the members give; they have equally many layers, inputs and outputs."""
    if len(members) == 1:
        return members[0]
    layers: list[Layer] = []
    last = len(members[0]) - 1
    for depth, together in enumerate(zip(*members, strict=True)):
        weights = [layer[0] for layer in together]
        biases = [layer[1] for layer in together]
        if depth == last:
            share = np.float32(1 / len(members))
            joined = sum(weights[1:], weights[0]) if last == 0 else np.concatenate(weights)
            layers.append((joined * share, sum(biases[1:], biases[0]) * share))
        else:
            joined = np.concatenate(weights, axis=1) if depth == 0 else diagonal(weights)
            layers.append((joined, np.concatenate(biases)))
    return tuple(layers)


def diagonal(blocks: Sequence[FloatArray]) -> FloatArray:
    """Those matrices along the diagonal of one, zeros elsewhere."""
    rows, columns = (sum(block.shape[axis] for block in blocks) for axis in range(2))
    joined = np.zeros((rows, columns), dtype=np.float32)
    row = column = 0
    for block in blocks:
        joined[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return joined
