"""The one format trained weights are kept, sent and run in: 8 bits per channel, or 4 bits in groups of 32.

Format 1. A layer of K inputs and N outputs is

    codes   8 bits: int8 (N, K'), K' the next multiple of 16; weight = code * scale
            4 bits: uint8 (N, 16 * groups); weight = (code - zero) * scale. Byte j of a group holds input j
            of its 32 in the low half and input j + 16 in the high half, so that a kernel loads each byte
            once and has two runs of 16 neighbours
    scales  float32 (N, groups); 8 bits have one group
    zeros   uint8 (N, groups), 0..16; 4 bits only
    biases  float32 (N,)

and what is past input K is never used. Inputs lie next to each other for each output: one row
of activations reads them in order, and a tensor core takes them as its transposed operand. Every array
is kept beside a line of integers that says all of this, so that a file describes itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

FORMAT = 1
GROUP = 32
"""Inputs that share a scale and a zero, with 4 bits."""
_HALF = GROUP // 2
_ROW_BYTES = 16
_HIGHEST_ZERO = 16
"""GPTQ keeps zeros minus one in four bits, which makes them 1..16."""


class PackingError(ValueError):
    """Arrays that are no packed layer; the text says what came and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedLinear:
    """One layer as it is kept and run."""

    bits: int
    inputs: int
    outputs: int
    codes: NDArray[Any]
    scales: FloatArray
    zeros: NDArray[np.uint8] | None
    biases: FloatArray

    @property
    def nbytes(self) -> int:
        """What a kernel reads to run it once."""
        zeros = 0 if self.zeros is None else self.zeros.nbytes
        return self.codes.nbytes + self.scales.nbytes + zeros + self.biases.nbytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedNetwork:
    """A multilayer perceptron, ReLU between its layers, run on (values - shift) * gain.

    Standardisation stays outside the weights: folded in, a feature that hardly moves has weights so
    large that those of its neighbours are lost in rounding.
    """

    shift: FloatArray
    """(F,)"""
    gain: FloatArray
    """(F,)"""
    layers: tuple[PackedLinear, ...]

    @property
    def bits(self) -> int:
        """Those of its widest layer's weights."""
        return self.layers[0].bits

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, hidden widths, outputs."""
        return (self.layers[0].inputs, *(layer.outputs for layer in self.layers))

    @property
    def weight_count(self) -> int:
        return sum(layer.inputs * layer.outputs for layer in self.layers)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, for a file."""
        named: dict[str, NDArray[Any]] = {"input.shift": self.shift, "input.gain": self.gain}
        for index, layer in enumerate(self.layers):
            named |= {f"layer{index}.{name}": array for name, array in to_tensors(layer).items()}
        return named


def group_count(inputs: int, bits: int) -> int:
    """How many scales each output has."""
    return -(-inputs // GROUP) if bits == 4 else 1


def code_bytes(inputs: int, bits: int) -> int:
    """How many bytes of codes each output has."""
    return group_count(inputs, 4) * _HALF if bits == 4 else -(-inputs // _ROW_BYTES) * _ROW_BYTES


def most_bytes(widths: Sequence[int]) -> int:
    """What the arrays of a packed network of those widths take at most."""
    total = 8 * widths[0]
    for inputs, outputs in pairwise(widths):
        each = max(code_bytes(inputs, bits) + 5 * group_count(inputs, bits) for bits in (8, 4))
        total += outputs * (each + 4) + 20
    return total


def pack(
    codes: NDArray[Any], scales: NDArray[Any], zeros: NDArray[Any] | None, biases: NDArray[Any], *, bits: int
) -> PackedLinear:
    """The packed form of integer codes.

    `codes` (K, N) are -128..127 (8 bits) or 0..15 (4 bits), `scales` (N, groups), `zeros` (N, groups) 0..16
    or None (8 bits), `biases` (N,). Raises PackingError.
    """
    inputs, outputs = codes.shape
    lowest, highest = (-128, 127) if bits == 8 else (0, 15)
    if codes.size and not (lowest <= codes.min() and codes.max() <= highest):
        raise PackingError(f"codes are {codes.min()}..{codes.max()}; allowed: {lowest}..{highest}")
    if bits == 8:
        packed = np.zeros((outputs, code_bytes(inputs, 8)), dtype=np.int8)
        packed[:, :inputs] = codes.T
    else:
        assert zeros is not None
        groups = group_count(inputs, 4)
        # Past the last input the code is the zero: weight 0, as far as four bits can say it.
        padded = np.repeat(zeros.astype(np.uint8)[:, :, None], GROUP, axis=2).reshape(outputs, groups * GROUP)
        padded = np.minimum(padded, 15)
        padded[:, :inputs] = codes.T
        halves = padded.reshape(outputs, groups, 2, _HALF)
        packed = (halves[:, :, 0] | halves[:, :, 1] << 4).reshape(outputs, groups * _HALF)
    layer = PackedLinear(
        bits=bits,
        inputs=inputs,
        outputs=outputs,
        codes=packed,
        scales=np.ascontiguousarray(scales, dtype=np.float32),
        zeros=None if bits == 8 or zeros is None else np.ascontiguousarray(zeros, dtype=np.uint8),
        biases=np.ascontiguousarray(biases, dtype=np.float32),
    )
    _check(layer)
    return layer


def unpack(layer: PackedLinear) -> NDArray[np.int16]:
    """(K, N) integers: codes as they were packed, less their zeros."""
    if layer.zeros is None:
        return layer.codes[:, : layer.inputs].T.astype(np.int16)
    groups = layer.zeros.shape[1]
    both = layer.codes.reshape(layer.outputs, groups, _HALF)
    halves = np.stack([both & 15, both >> 4], axis=2).astype(np.int16)
    steps = halves.reshape(layer.outputs, groups, GROUP) - layer.zeros[:, :, None]
    return steps.reshape(layer.outputs, groups * GROUP)[:, : layer.inputs].T


def dequantise(layer: PackedLinear) -> FloatArray:
    """(K, N): the weights that the codes stand for."""
    if layer.zeros is None:
        return unpack(layer) * layer.scales[:, 0]
    return unpack(layer) * np.repeat(layer.scales.T, GROUP, axis=0)[: layer.inputs]


def to_tensors(layer: PackedLinear) -> dict[str, NDArray[Any]]:
    """The layer as named arrays."""
    described = np.array([FORMAT, layer.bits, GROUP, layer.inputs, layer.outputs], dtype=np.int32)
    named: dict[str, NDArray[Any]] = {"format": described, "codes": layer.codes, "scales": layer.scales}
    if layer.zeros is not None:
        named["zeros"] = layer.zeros
    return named | {"biases": layer.biases}


def from_tensors(named: Mapping[str, NDArray[Any]]) -> PackedLinear:
    """The layer those arrays are.

    Raises PackingError for anything else, so that what is accepted is safe to run.
    """
    described = named.get("format")
    if described is None or described.dtype != np.int32 or described.shape != (5,):
        raise PackingError("there is no `format` of five whole numbers")
    version, bits, group, inputs, outputs = (int(one) for one in described)
    if version != FORMAT:
        raise PackingError(f"packed as format {version}; allowed: {FORMAT}")
    if bits not in (8, 4) or group != GROUP or inputs < 1 or outputs < 1:
        raise PackingError(f"{bits} bits in groups of {group}, {inputs} x {outputs}; allowed: 8 or 4 in groups of 32")
    wanted = {"format", "codes", "scales", "biases"} | ({"zeros"} if bits == 4 else set())
    if named.keys() != wanted:
        raise PackingError(f"has {', '.join(sorted(named))}; allowed: {', '.join(sorted(wanted))}")
    layer = PackedLinear(
        bits=bits,
        inputs=inputs,
        outputs=outputs,
        codes=named["codes"],
        scales=named["scales"],
        zeros=named.get("zeros"),
        biases=named["biases"],
    )
    _check(layer)
    return layer


def _check(layer: PackedLinear) -> None:
    groups = group_count(layer.inputs, layer.bits)
    code_type = np.int8 if layer.bits == 8 else np.uint8
    shapes: list[tuple[str, NDArray[Any] | None, type[Any], tuple[int, ...]]] = [
        ("codes", layer.codes, code_type, (layer.outputs, code_bytes(layer.inputs, layer.bits))),
        ("scales", layer.scales, np.float32, (layer.outputs, groups)),
        ("biases", layer.biases, np.float32, (layer.outputs,)),
    ]
    if layer.bits == 4:
        shapes.append(("zeros", layer.zeros, np.uint8, (layer.outputs, groups)))
    for name, array, kind, shape in shapes:
        if array is None or array.dtype != kind or array.shape != shape:
            came = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise PackingError(f"{name} are {came}; allowed: {np.dtype(kind)} {shape}")
    if not np.isfinite(layer.biases).all():
        raise PackingError("has biases that are not finite")
    if not (np.abs(layer.scales) < np.finfo(np.float32).max / 256).all():
        raise PackingError("has scales that are not finite, or give weights that are not")
    if layer.zeros is not None and layer.zeros.max() > _HIGHEST_ZERO:
        raise PackingError(f"has a zero of {layer.zeros.max()}; allowed: 0..{_HIGHEST_ZERO}")


def from_gptq(
    qweight: NDArray[np.int32],
    qzeros: NDArray[np.int32],
    scales: NDArray[Any],
    biases: NDArray[Any] | None = None,
    *,
    group_size: int,
    g_idx: NDArray[Any] | None = None,
) -> PackedLinear:
    """A layer in the layout of GPTQ v1 (AutoGPTQ, 4 bits), which is also the course's.

    `qweight` (K / 8, N): eight inputs in each word, the first lowest; `qzeros` (groups, N / 8): eight outputs
    in each word, stored minus one; `scales` (groups, N). Weight = (code - zero) * scale. `group_size` is that of
    its quantize_config.json, -1 for a single group; one larger than 32 becomes several that are equal. Raises
    PackingError.
    """
    inputs, outputs = qweight.shape[0] * 8, qweight.shape[1]
    groups = len(scales)
    if scales.shape != (groups, outputs) or qzeros.shape != (groups, outputs // 8) or outputs % 8:
        raise PackingError(f"qweight {qweight.shape}, qzeros {qzeros.shape} and scales {scales.shape} do not agree")
    size = inputs if group_size == -1 else group_size
    if size < 1 or -(-inputs // size) != groups:
        raise PackingError(f"{groups} groups of {group_size} do not hold {inputs} inputs")
    if size % GROUP and groups > 1:
        raise PackingError(f"groups of {size} inputs; allowed: multiples of {GROUP}, or one group")
    if g_idx is not None and not np.array_equal(g_idx, np.arange(inputs) // size):
        raise PackingError("its inputs are in another order (act-order); allowed: groups of neighbours")
    shifts = np.arange(8, dtype=np.int32) * 4
    codes = (qweight[:, None, :] >> shifts[None, :, None] & 15).reshape(inputs, outputs)
    zeros = (qzeros[:, :, None] >> shifts[None, None, :] & 15).reshape(groups, outputs) + 1
    source = np.minimum(np.arange(group_count(inputs, 4)) * GROUP // size, groups - 1)
    if biases is None:
        biases = np.zeros(outputs, dtype=np.float32)
    return pack(codes, scales[source].T, zeros[source].T, biases, bits=4)


def to_gptq(layer: PackedLinear) -> tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]:
    """`qweight`, `qzeros` and `scales` of GPTQ v1, in groups of 32.

    Raises PackingError when the layer does not have 4 bits, zeros of at least 1 and sizes divisible by 8.
    """
    if layer.zeros is None or layer.inputs % 8 or layer.outputs % 8 or layer.zeros.min() < 1:
        raise PackingError("GPTQ v1 has 4 bits, inputs and outputs divisible by 8, and zeros of 1..16")
    codes = unpack(layer) + np.repeat(layer.zeros.T.astype(np.int16), GROUP, axis=0)[: layer.inputs]
    shifts = np.arange(8, dtype=np.uint32) * 4
    words = codes.astype(np.uint32).reshape(-1, 8, layer.outputs) << shifts[None, :, None]
    kept = (layer.zeros.T.astype(np.uint32) - 1).reshape(-1, layer.outputs // 8, 8) << shifts
    qweight = np.bitwise_or.reduce(words, axis=1).view(np.int32)
    qzeros = np.bitwise_or.reduce(kept, axis=2).view(np.int32)
    return qweight, qzeros, layer.scales.T.copy()
