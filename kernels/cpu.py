"""The forward pass of a small multilayer perceptron on the CPU, in one thread.

While it is trained, a network is a sequence of (weights, biases), weights (inputs, outputs), all float32, with
ReLU between layers and nothing after the last. What is played is a `PackedNetwork`: small ones run in numpy
on weights dequantised once, wide ones in onnxruntime, or on a GPU, where that is there and faster here and now.
"""

import importlib
import importlib.util
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from instrument.kernels.packing import FloatArray, PackedNetwork, dequantise

log = logging.getLogger(__name__)

Layer = tuple[FloatArray, FloatArray]

WIDE = 1 << 18
"""Networks with fewer weights than this are numpy's: nothing else was ever faster, called once in 5 ms."""
TOLERANCE = 1e-3
"""How far a backend may be from numpy's answer, of the largest output; one further away is not used."""
_ROUNDS = 9
_PAUSE_S = 0.002
"""Between two calls while measuring: live use calls once per frame, and caches cool down in between."""


_DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd")
"""What NVIDIA's and AMD's drivers for Linux show."""


class Forward(Protocol):
    """Runs a network on one frame."""

    def __call__(self, values: FloatArray) -> FloatArray:
        """(C,): what the network gives for `values` (F,); overwritten by the next call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The fastest way to run a network on this machine, as measured."""

    forward: Forward
    backend: str
    """`numpy`, `onnxruntime packed`, `onnxruntime float`, or `triton`."""
    microseconds: Mapping[str, float]
    """Median of each backend that was tried, called now and then as live use does; empty when there was one."""
    refused: Mapping[str, str]
    """Why a backend was not taken although it is there, in words."""


def forward(layers: Sequence[Layer], rows: FloatArray) -> FloatArray:
    """(N, C): what the last layer gives for each of `rows` (N, F)."""
    for weights, biases in layers[:-1]:
        rows = rows @ weights
        rows += biases
        np.maximum(rows, 0.0, out=rows)
    weights, biases = layers[-1]
    return rows @ weights + biases


def dequantised(network: PackedNetwork) -> list[Layer]:
    """The layers of a packed network, its standardisation folded into the first."""
    layers = [(dequantise(layer), layer.biases) for layer in network.layers]
    weights, biases = layers[0]
    moved = biases - (network.shift.astype(np.float64) * network.gain) @ weights
    with np.errstate(over="ignore"):  # seen in what comes out
        return [(weights * network.gain[:, None], moved.astype(np.float32)), *layers[1:]]


class FrameForward:
    """The forward pass of one frame in numpy, into buffers made once."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        # Outputs first: each is then one dot product along memory, and a cold call takes half the time.
        self._layers = [
            (np.ascontiguousarray(weights.T), biases, np.empty(len(biases), dtype=np.float32))
            for weights, biases in layers
        ]

    def __call__(self, values: FloatArray) -> FloatArray:
        """(C,): what the last layer gives for `values` (F,); overwritten by the next call."""
        last = self._layers[-1][2]
        for weights, biases, buffer in self._layers:
            np.dot(weights, values, out=buffer)
            buffer += biases
            if buffer is not last:
                np.maximum(buffer, 0.0, out=buffer)
            values = buffer
        return last


class EnsembleForward:
    """The forward pass of one frame through networks of equal widths at once."""

    def __init__(self, networks: Sequence[PackedNetwork]) -> None:
        if len({network.widths for network in networks}) != 1:
            raise ValueError("the networks of an ensemble must have the same widths")
        by_layer = zip(*(dequantised(network) for network in networks), strict=True)
        # Outputs first, as in FrameForward; those of all members of the first layer are one tall matrix.
        stacked = [
            (np.stack([np.ascontiguousarray(weights.T) for weights, _ in layers]), np.stack([b for _, b in layers]))
            for layers in by_layer
        ]
        (self._first, self._first_biases), *self._rest = stacked

    def __call__(self, values: FloatArray) -> FloatArray:
        """(M, C): what the last layer of each gives for `values` (F,)."""
        members, outputs, inputs = self._first.shape
        given = (self._first.reshape(-1, inputs) @ values).reshape(members, outputs) + self._first_biases
        for weights, biases in self._rest:
            np.maximum(given, 0.0, out=given)
            given = np.matmul(weights, given[:, :, None])[:, :, 0] + biases
        return given


Candidates = Mapping[str, Callable[[], Forward]]
"""What makes each backend that could run a network beside numpy, by name."""


def choose(
    network: PackedNetwork,
    candidates: Candidates,
    *,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], None] = time.sleep,
) -> Choice:
    """The backend that runs that network fastest, a frame now and then; takes a quarter of a second.

    One that answers otherwise than numpy, by more than TOLERANCE, or fails, is not taken.
    """
    numpy_way = FrameForward(dequantised(network))
    row = _typical_row(network)
    wanted = numpy_way(row).copy()
    ways: dict[str, Forward] = {"numpy": numpy_way}
    refused: dict[str, str] = {}
    for name, make in candidates.items():
        try:
            way = make()
            apart = float(np.abs(way(row) - wanted).max() / max(np.abs(wanted).max(), 1e-6))
        except Exception as error:  # another library's: numpy is always there
            log.warning("backend %s cannot run this network: %s", name, error)
            refused[name] = f"{type(error).__name__}: {str(error)[:200]}"
            continue
        if apart <= TOLERANCE:
            ways[name] = way
        else:
            refused[name] = f"its answer differs by {apart:.2g} (allowed: {TOLERANCE:g})"
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            pause(_PAUSE_S)
            started_s = clock()
            way(row)
            times[name].append(clock() - started_s)
    medians = {name: round(float(np.median(taken)) * 1e6, 1) for name, taken in times.items()}
    backend = min(medians, key=lambda name: medians[name])
    return Choice(forward=ways[backend], backend=backend, microseconds=medians, refused=refused)


def plain(network: PackedNetwork) -> Choice:
    """numpy, without asking."""
    return Choice(forward=FrameForward(dequantised(network)), backend="numpy", microseconds={}, refused={})


def candidates(network: PackedNetwork) -> Candidates:
    """What else may run that network here; nothing for a small one."""
    found: dict[str, Callable[[], Forward]] = {}
    if network.weight_count >= WIDE and importlib.util.find_spec("onnxruntime"):
        from instrument.kernels.onnx_cpu import OnnxNet, float_graph, packed_graph

        found["onnxruntime packed"] = lambda: OnnxNet(packed_graph(network))
        found["onnxruntime float"] = lambda: OnnxNet(float_graph(network))
    if network.weight_count >= WIDE and has_gpu() and importlib.util.find_spec("triton"):
        found["triton"] = partial(_on_gpu, network)
    return found


def has_gpu() -> bool:
    """Whether there is a driver for a GPU that the kernels could run on; imports nothing to find out."""
    return any(Path(driver).exists() for driver in _DRIVERS)


def _on_gpu(network: PackedNetwork) -> Forward:
    return importlib.import_module("instrument.kernels.triton.graph").GraphForward(network)


def _typical_row(network: PackedNetwork) -> FloatArray:
    """(F,) values as far from their means as values are."""
    drawn = np.random.default_rng(0).standard_normal(len(network.shift), dtype=np.float32)
    moves = network.gain != 0
    return network.shift + np.divide(drawn, network.gain, out=np.zeros_like(drawn), where=moves)
