"""The naive truth: what every kernel must give, written to be read, in float64 and without haste."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import GROUP, PackedLinear, PackedNetwork

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "gelu")

Truth = NDArray[np.float64]


def weight(layer: PackedLinear, k: int, n: int) -> float:
    """The weight from input `k` to output `n`."""
    if layer.zeros is None:
        return int(layer.codes[n, k]) * float(layer.scales[n, 0])
    group, place = divmod(k, GROUP)
    byte = int(layer.codes[n, group * 16 + place % 16])
    code = byte >> 4 if place >= 16 else byte & 15
    return (code - int(layer.zeros[n, group])) * float(layer.scales[n, group])


def weights(layer: PackedLinear) -> Truth:
    """(K, N)"""
    return np.array([[weight(layer, k, n) for n in range(layer.outputs)] for k in range(layer.inputs)])


def activate(values: Truth, activation: str) -> Truth:
    """One of ACTIVATIONS; GELU is the exact one (Hendrycks and Gimpel 2016), with the error function."""
    match activation:
        case "identity":
            return values
        case "relu":
            return np.maximum(values, 0.0)
        case "tanh":
            return np.tanh(values)
        case "sigmoid":
            return 0.5 * (1.0 + np.tanh(0.5 * values))
        case "gelu":
            return values * 0.5 * (1.0 + np.vectorize(math.erf, otypes=[float])(values / math.sqrt(2.0)))
    raise ValueError(f"activation '{activation}'; allowed: {', '.join(ACTIVATIONS)}")


def qlinear(rows: NDArray[Any], layer: PackedLinear, activation: str = "identity") -> Truth:
    """(R, N): `rows` (R, K) through one layer."""
    return activate(rows.astype(np.float64) @ weights(layer) + layer.biases, activation)


def network(rows: NDArray[Any], packed: PackedNetwork) -> Truth:
    """(R, C): `rows` (R, F) through all of it."""
    values = (rows.astype(np.float64) - packed.shift) * packed.gain
    for layer in packed.layers[:-1]:
        values = qlinear(values, layer, "relu")
    return qlinear(values, packed.layers[-1])
