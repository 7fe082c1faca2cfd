"""A packed network as one ONNX graph for onnxruntime on the CPU, 2 to 3 times faster than numpy when it is wide.

onnxruntime's MatMulNBits multiplies packed weights with activations it rounds to 8 bits per block, which
alone would move what comes out by 1 %. So each row x goes in as two: `high`, which is x rounded to 8
bits in the very same blocks, and `low`, what that leaves. Both are rounded again inside; for `high` that
changes nothing, and for `low` it is lost in the noise. The sum is as good as 15-bit activations, and
reading the weights is what takes the time, so the second row is nearly free.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.onnx_graph import Graph, Node
from instrument.kernels.packing import GROUP, FloatArray, PackedLinear, PackedNetwork, dequantise, unpack

WIDE = 1 << 16
"""Layers with fewer weights than this stay float32: there is nothing to gain in them."""
_BLOCK = {8: 256, 4: GROUP}
"""Activations that are rounded together. 8 bits have one scale per output, so the block is free; 256 is fastest."""


def float_graph(network: PackedNetwork) -> bytes:
    """The network with its weights dequantised."""
    return _graph(network, wide=1 << 62)


def packed_graph(network: PackedNetwork, wide: int = WIDE) -> bytes:
    """The network with layers of at least `wide` weights packed."""
    return _graph(network, wide)


class OnnxNet:
    """Runs one of these graphs on one thread, a frame at a time into buffers made once."""

    def __init__(self, graph: bytes, inputs: int, outputs: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._row = np.zeros((1, inputs), dtype=np.float32)
        self._given = np.zeros((1, outputs), dtype=np.float32)
        self._binding = self._session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, "x", self._row),
            (self._binding.bind_output, "y", self._given),
        ):
            bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def __call__(self, values: FloatArray) -> FloatArray:
        """(C,): what the network gives for `values` (F,); overwritten by the next call."""
        self._row[0] = values
        self._session.run_with_iobinding(self._binding)
        return self._given[0]

    def rows(self, rows: FloatArray) -> FloatArray:
        """(R, C) for `rows` (R, F)."""
        return self._session.run(None, {"x": np.ascontiguousarray(rows)})[0]


def _graph(network: PackedNetwork, wide: int) -> bytes:
    build = _Builder()
    shift = build.constant("shift", network.shift)
    gain = build.constant("gain", network.gain)
    values = build.add("Mul", build.add("Sub", "x", shift), gain)
    for index, layer in enumerate(network.layers):
        is_last = index == len(network.layers) - 1
        if layer.inputs * layer.outputs >= wide:
            values = _packed_layer(build, layer, values, f"l{index}.")
        else:
            weights = build.constant(f"l{index}.w", dequantise(layer))
            values = build.add("Gemm", values, weights, build.constant(f"l{index}.b", layer.biases))
        if not is_last:
            values = build.add("Relu", values)
    build.add("Identity", values, gives="y")
    inputs, *_, outputs = network.widths
    return Graph(nodes=build.nodes, constants=build.constants, inputs=inputs, outputs=outputs).to_bytes()


def _packed_layer(build: "_Builder", layer: PackedLinear, values: str, name: str) -> str:
    block = _BLOCK[layer.bits]
    blocks = -(-layer.inputs // block)
    padded = blocks * block
    if padded != layer.inputs:
        values = build.add("Pad", values, build.constant(name + "pad", np.array([0, 0, 0, padded - layer.inputs])))
    in_blocks = build.add("Reshape", values, build.constant(name + "blocked", np.array([-1, blocks, block])))
    most = build.add("ReduceMax", build.add("Abs", in_blocks), build.constant(name + "axis", np.array([2])))
    step = build.add("Mul", most, build.constant(name + "127th", np.float32(1 / 127)))
    step = build.add("Max", step, build.constant(name + "tiny", np.float32(1e-30)))
    high = build.add("Mul", build.add("Round", build.add("Div", in_blocks, step)), step)
    low = build.add("Sub", in_blocks, high)
    both = build.add("Concat", high, low, axis=0)
    both = build.add("Reshape", both, build.constant(name + "flat", np.array([-1, padded])))
    parts = build.add(
        "MatMulNBits",
        both,
        *(build.constant(name + part, array) for part, array in _weights(layer, block, blocks).items()),
        domain="com.microsoft",
        K=padded,
        N=layer.outputs,
        bits=layer.bits,
        block_size=block,
        accuracy_level=4,
    )
    first, second = build.add_many("Split", parts, count=2, axis=0, num_outputs=2)
    return build.add("Add", build.add("Add", first, second), build.constant(name + "b", layer.biases))


def _weights(layer: PackedLinear, block: int, blocks: int) -> dict[str, NDArray[Any]]:
    """Codes, scales and zeros as MatMulNBits wants them: unsigned, neighbours in one byte."""
    outputs = layer.outputs
    if layer.zeros is None:
        codes = np.full((outputs, blocks * block), 128, dtype=np.uint8)
        codes[:, : layer.inputs] = unpack(layer).T + 128
        return {"w": codes.reshape(outputs, blocks, block), "s": np.repeat(layer.scales, blocks, axis=1)}
    zeros = np.minimum(layer.zeros, 15)
    codes = np.repeat(zeros, GROUP, axis=1)
    codes[:, : layer.inputs] = unpack(layer).T + np.repeat(layer.zeros, GROUP, axis=1)[:, : layer.inputs]
    by_block = codes.reshape(outputs, blocks, block)
    even = zeros if blocks % 2 == 0 else np.pad(zeros, ((0, 0), (0, 1)))
    return {
        "w": by_block[:, :, 0::2] | by_block[:, :, 1::2] << 4,
        "s": layer.scales,
        "z": (even[:, 0::2] | even[:, 1::2] << 4).reshape(outputs, -1),
    }


class _Builder:
    """Operations with names for what they give."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def add(self, operation: str, *inputs: str, gives: str = "", domain: str = "", **attributes: int) -> str:
        gives = gives or f"v{len(self.nodes)}"
        self.nodes.append(
            Node(operation=operation, inputs=inputs, outputs=(gives,), attributes=attributes, domain=domain)
        )
        return gives

    def add_many(self, operation: str, *inputs: str, count: int, **attributes: int) -> Sequence[str]:
        names = [f"v{len(self.nodes)}.{index}" for index in range(count)]
        self.nodes.append(Node(operation=operation, inputs=inputs, outputs=names, attributes=attributes))
        return names
