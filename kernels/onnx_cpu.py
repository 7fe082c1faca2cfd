"""A packed network as one ONNX graph for onnxruntime on the CPU, 2 to 3 times faster than numpy when it is wide.

onnxruntime's MatMulNBits multiplies packed weights with activations it rounds to 8 bits per block, which
alone would move what comes out by 1 %. So each row x goes in as two: `high`, which is x rounded to 8
bits in the very same blocks, and `low`, what that leaves. Both are rounded again inside; for `high` that
changes nothing, and for `low` it is lost in the noise. The sum is as good as 15-bit activations, and
reading the weights is what takes the time, so the second row is nearly free.

Each operation costs some 5 us when it comes once in a frame. So the first layer of 8 bits, whose inputs are
standardised, does not look for the largest of a block: its last place holds a sentinel, of weight 0, that makes
the step the same in every block, a fifth of a deviation. What of a value is beyond 25 deviations goes into `low`,
which makes that block coarser: outputs are then off by up to 1 % of the largest.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.onnx_graph import Graph, Node
from instrument.kernels.packing import GROUP, FloatArray, PackedLinear, PackedNetwork, dequantise, unpack

WIDE = 1 << 16
"""Layers with fewer weights than this stay float32: there is nothing to gain in them."""
_STEPS = 5.0
"""Steps of the first rounding in a standard deviation."""
_SENTINEL = 127.4999
"""In steps: 127 whole ones, so that one of the 127 that fit a byte is one step, and half of one."""
_ONE = np.float32(1.0)
_BLOCK = {8: 256, 4: GROUP}
"""Activations that are rounded together. 8 bits have one scale per output, so the block is free; 256 is fastest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedGraph:
    """A graph, and how a row lies in what it takes: in blocks, of which the first `used` places are values."""

    graph: Graph
    block: int
    used: int
    values: int
    template: FloatArray
    """A row without values."""

    def room(self, rows: int) -> FloatArray:
        """What the graph takes, for so many rows without values."""
        shape = [rows if size < 0 else size for size in self.graph.inputs]
        return np.tile(self.template, rows).reshape(shape)


def float_graph(network: PackedNetwork) -> PackedGraph:
    """The network with its weights dequantised."""
    return _graph(network, wide=1 << 62)


def packed_graph(network: PackedNetwork, wide: int = WIDE) -> PackedGraph:
    """The network with layers of at least `wide` weights packed."""
    return _graph(network, wide)


class OnnxNet:
    """Runs one of these graphs on one thread, a frame at a time into buffers made once."""

    def __init__(self, graph: PackedGraph) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = graph.graph.to_bytes()
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._plan = graph
        self._row = graph.room(1)
        self._given = np.zeros((1, graph.graph.outputs), dtype=np.float32)
        self._binding = self._session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, "x", self._row),
            (self._binding.bind_output, "y", self._given),
        ):
            bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        # Views to write a frame through: whole blocks, and what is left of the last.
        blocks = self._row.reshape(-1, graph.block)
        self._whole = graph.values // graph.used
        self._blocks = blocks[: self._whole, : graph.used]
        self._rest = blocks[self._whole :, : graph.used].reshape(-1)[: graph.values % graph.used]

    def __call__(self, values: FloatArray) -> FloatArray:
        """(C,): what the network gives for `values` (F,); overwritten by the next call."""
        end = self._blocks.size
        self._blocks[...] = values[:end].reshape(self._blocks.shape)
        if self._rest.size:
            self._rest[...] = values[end:]
        self._session.run_with_iobinding(self._binding)
        return self._given[0]

    def rows(self, rows: FloatArray) -> FloatArray:
        """(R, C) for `rows` (R, F)."""
        room = self._plan.room(len(rows))
        room.reshape(len(rows), -1)[:, _places(self._plan.values, self._plan.block, self._plan.used)] = rows
        return self._session.run(None, {"x": room})[0]


def _graph(network: PackedNetwork, wide: int) -> PackedGraph:
    build = _Builder()
    first = network.layers[0]
    is_fixed = _is_wide(first, wide) and first.bits == 8
    block = _BLOCK[first.bits] if _is_wide(first, wide) else first.inputs
    used = block - 1 if is_fixed else block
    blocks = -(-first.inputs // used)
    shape = (1, -1, blocks * block) if is_fixed else (-1, blocks, block) if _is_wide(first, wide) else (-1, block)
    template = np.zeros(blocks * block, dtype=np.float32)
    if is_fixed:
        template[used::block] = _SENTINEL
    places = _places(first.inputs, block, used)
    # Past the last value the gain is 0; where the sentinels are it is 1.
    shift, gain = np.zeros_like(template), (template != 0).astype(np.float32)
    shift[places], gain[places] = network.shift, network.gain * (_STEPS if is_fixed else 1)
    laid_out = tuple(size for size in shape[1:] if size > 0)
    values = build.add("Sub", "x", build.constant("shift", shift.reshape(laid_out)))
    values = build.add("Mul", values, build.constant("gain", gain.reshape(laid_out)))
    for index, layer in enumerate(network.layers):
        is_last = index == len(network.layers) - 1
        name = f"l{index}."
        if index == 0 and is_fixed:
            values = _product(build, layer, *_fixed_split(build, values), name, used, np.float32(1 / _STEPS))
        elif _is_wide(layer, wide):
            if index:
                values = _in_blocks(build, layer, values, name)
            values = _product(
                build, layer, *_split(build, values, name, math.prod(_blocks(layer))), name, _BLOCK[layer.bits]
            )
        else:
            weights = build.constant(name + "w", dequantise(layer))
            values = build.add("Gemm", values, weights, build.constant(name + "b", layer.biases))
        if not is_last:
            values = build.add("Relu", values)
    build.name_last("y")
    graph = Graph(nodes=build.nodes, constants=build.constants, inputs=shape, outputs=network.widths[-1])
    return PackedGraph(graph=graph, block=block, used=used, values=first.inputs, template=template)


def _places(values: int, block: int, used: int) -> NDArray[np.intp]:
    """(F,): where each value of a row goes."""
    value = np.arange(values)
    return value // used * block + value % used


def _is_wide(layer: PackedLinear, wide: int) -> bool:
    return layer.inputs * layer.outputs >= wide


def _blocks(layer: PackedLinear) -> tuple[int, int]:
    """How many blocks of how many inputs a row is for that layer."""
    block = _BLOCK[layer.bits]
    return -(-layer.inputs // block), block


def _in_blocks(build: "_Builder", layer: PackedLinear, values: str, name: str) -> str:
    """`values` (R, K) as (R, blocks, block), zeros past the last."""
    blocks, block = _blocks(layer)
    if blocks * block != layer.inputs:
        room = np.array([0, 0, 0, blocks * block - layer.inputs])
        values = build.add("Pad", values, build.constant(name + "pad", room))
    return build.add("Reshape", values, build.constant(name + "blocked", np.array([-1, blocks, block])))


def _fixed_split(build: "_Builder", values: str) -> tuple[str, str]:
    """`values` (1, R, K) in steps, to whole steps, 127 at most, and what is left of them."""
    ends = build.constant("fewest", np.float32(-127)), build.constant("most", np.float32(127))
    high = build.add("Clip", build.add("Round", values), *ends)
    return high, build.add("Sub", values, high)


def _split(build: "_Builder", in_blocks: str, name: str, columns: int) -> tuple[str, str]:
    """`in_blocks` (R, blocks, block) to (1, R, columns): rounded to 127ths of the largest of each, and the rest."""
    most = build.add("ReduceMax", build.add("Abs", in_blocks), build.constant(name + "axis", np.array([2])))
    step = build.add("Mul", most, build.constant(name + "127th", np.float32(1 / 127)))
    step = build.add("Max", step, build.constant(name + "tiny", np.float32(1e-30)))
    high = build.add("Mul", build.add("Round", build.add("Div", in_blocks, step)), step)
    low = build.add("Sub", in_blocks, high)
    shape = build.constant(name + "flat", np.array([1, -1, columns]))
    return build.add("Reshape", high, shape), build.add("Reshape", low, shape)


def _product(
    build: "_Builder", layer: PackedLinear, high: str, low: str, name: str, used: int, scale: np.float32 = _ONE
) -> str:
    """(R, N): both parts (1, R, K) through the packed weights, added, with the biases."""
    block = _BLOCK[layer.bits]
    blocks = -(-layer.inputs // used)
    scales = np.repeat(layer.scales, blocks, axis=1) if layer.zeros is None else layer.scales
    parts = build.add(
        "MatMulNBits",
        build.add("Concat", high, low, axis=0),
        build.constant(name + "w", _codes(layer, block, used)),
        build.constant(name + "s", scales * scale),
        build.constant(name + "z", _zeros(layer)) if layer.zeros is not None else "",
        "",
        build.constant(name + "b", layer.biases / 2),  # half for each of the two
        domain="com.microsoft",
        K=blocks * block,
        N=layer.outputs,
        bits=layer.bits,
        block_size=block,
        accuracy_level=4,
    )
    return build.add("ReduceSum", parts, build.constant(name + "first", np.array([0])), keepdims=0)


def _codes(layer: PackedLinear, block: int, used: int) -> NDArray[np.uint8]:
    """(N, blocks, bytes): codes as MatMulNBits wants them: unsigned, neighbours in one byte."""
    outputs, blocks = layer.outputs, -(-layer.inputs // used)
    if layer.zeros is None:
        padded = np.full((outputs, blocks * used), 128, dtype=np.uint8)
        padded[:, : layer.inputs] = unpack(layer).T + 128
        codes = np.full((outputs, blocks, block), 128, dtype=np.uint8)
        codes[:, :, :used] = padded.reshape(outputs, blocks, used)
        return codes
    codes = np.repeat(np.minimum(layer.zeros, 15), GROUP, axis=1)
    codes[:, : layer.inputs] = unpack(layer).T + np.repeat(layer.zeros, GROUP, axis=1)[:, : layer.inputs]
    by_block = codes.reshape(outputs, blocks, block)
    return (by_block[:, :, 0::2] | by_block[:, :, 1::2] << 4).astype(np.uint8, copy=False)


def _zeros(layer: PackedLinear) -> NDArray[np.uint8]:
    """(N * bytes,): zeros of 4-bit groups, neighbours in one byte. Raises ValueError for what does not fit."""
    assert layer.zeros is not None
    if layer.zeros.max() > 15:
        raise ValueError("a zero of 16 does not fit four bits, which is all that MatMulNBits has for one")
    groups = layer.zeros.shape[1]
    even = np.pad(layer.zeros, ((0, 0), (0, groups % 2)))
    return (even[:, 0::2] | even[:, 1::2] << 4).reshape(-1).astype(np.uint8, copy=False)


class _Builder:
    """Operations with names for what they give."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def add(self, operation: str, *inputs: str, domain: str = "", **attributes: int) -> str:
        gives = f"v{len(self.nodes)}"
        self.nodes.append(
            Node(operation=operation, inputs=inputs, outputs=(gives,), attributes=attributes, domain=domain)
        )
        return gives

    def name_last(self, name: str) -> None:
        """Gives what the last operation made that name."""
        self.nodes[-1] = replace(self.nodes[-1], outputs=(name,))
