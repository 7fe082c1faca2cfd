"""Trained weights become packed ones: rounding, GPTQ or training on, and what a player would hear of it.

Weights here are (inputs, outputs), of the network that runs on standardised values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer, forward
from instrument.kernels.packing import (
    GROUP,
    FloatArray,
    PackedLinear,
    PackedNetwork,
    dequantise,
    group_count,
    pack,
)
from instrument.models.adam import Adam, one_cycle_rate
from instrument.models.mlp import Mlps, beginnings, layer_views

MOST_WORST_JUMP = 0.02
"""Of a control's range: more than this is heard as a step, and 4 bits that give it are refused."""
_UNHEARD = 0.005
"""A worst jump that is not worth what GPTQ takes: 2 ms at 80 inputs, 15 at 300, 200 at 1,024."""
_MOST_GPTQ_INPUTS = 1024
"""GPTQ inverts a matrix of inputs x inputs: too slow for a performer who waits, beyond this."""
_GPTQ_ROWS = 4096
_QAT_STEPS = 300
_QAT_ROWS = 128
_CHUNK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a packed network's controls are from the trained one's, of their range."""

    rms: float
    worst_jump: float
    """The largest difference of any control in any frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A network packed as well as it could be."""

    network: PackedNetwork
    method: str
    """`round`, `gptq` or `qat`."""
    drift: Drift
    notes: tuple[str, ...]
    """What the performer should know, in plain words."""


def round_to_nearest(weights: NDArray[Any], biases: NDArray[Any], *, bits: int) -> PackedLinear:
    """Each weight as the nearest code: 8 bits symmetric per output, 4 bits between the ends of each group."""
    scales, zeros = _grid(weights, bits)
    return pack(_codes(weights, scales, zeros, bits), scales, zeros, biases, bits=bits)


def gptq(weights: NDArray[Any], biases: NDArray[Any], rows: NDArray[Any], *, bits: int) -> PackedLinear:
    """Codes chosen one input after the other, each making up for the errors before it, on those `rows` (R, K).

    Frantar et al. 2022, algorithm 1, with 1 % damping and without reordering.
    """
    count = weights.shape[0]
    sample = rows[:: max(1, len(rows) // _GPTQ_ROWS)].astype(np.float64)
    curvature = sample.T @ sample
    curvature[np.diag_indices(count)] += 0.01 * max(float(np.trace(curvature)) / count, 1e-12)
    # Upper triangle U with inverse(curvature) = U^T U: row k says how an error at k is spread over later inputs.
    spread = np.linalg.cholesky(np.linalg.inv(curvature)).T
    left = weights.astype(np.float64)
    scales, zeros = _grid(left, bits)
    codes = np.zeros(weights.shape, dtype=np.int16)
    block = GROUP
    for start in range(0, count, block):
        end = min(start + block, count)
        if bits == 4:  # the group as the errors before it have left it
            group_scales, group_zeros = _grid(left[start:end], 4)
            scales[:, start // GROUP], zeros[:, start // GROUP] = group_scales[:, 0], group_zeros[:, 0]
        errors = np.zeros((end - start, weights.shape[1]))
        for k in range(start, end):
            group = k // GROUP if bits == 4 else 0
            scale, zero = scales[:, group].astype(np.float64), zeros[:, group].astype(np.float64)
            codes[k] = _nearest(left[k], scale, zero, bits)
            error = (left[k] - (codes[k] - zero) * scale) / spread[k, k]
            left[k + 1 : end] -= spread[k, k + 1 : end, None] * error
            errors[k - start] = error
        left[end:] -= spread[start:end, end:].T @ errors
    return pack(codes, scales, zeros, biases, bits=bits)


def train_on(
    layers: Sequence[Layer],
    rows: FloatArray,
    *,
    bits: int,
    seed: int,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> tuple[PackedLinear, ...]:
    """Quantisation-aware training: packed layers that give what `layers` give on `rows`, as nearly as they can.

    The forward pass uses rounded weights; their gradient goes to the exact ones as if rounding were not
    there (the straight-through estimator of Bengio, Leonard and Courville 2013). The same arguments give
    the same codes.
    """
    rng = np.random.default_rng(seed)
    wanted = forward(layers, rows)
    spread = max(float(wanted.std()), 1e-6)
    widths = (rows.shape[1], *(len(biases) for _, biases in layers))
    played = beginnings(widths, [rng])
    network = Mlps(played, widths, loss="squared_error", rows=_QAT_ROWS)
    rounded = _alone(network.layers)
    exact = np.zeros_like(played)
    views = _alone(layer_views(exact, widths))
    for (weights, biases), (from_weights, from_biases) in zip(views, layers, strict=True):
        weights[...], biases[...] = from_weights, from_biases
    # The last layer gives its outputs in deviations, so that one rate suits every task.
    views[-1][0][...] /= spread
    views[-1][1][...] /= spread
    adam = Adam(exact)
    peak = 2e-3 * min(1.0, (200 / widths[0]) ** 0.5)
    best, least = None, np.inf
    recent = 0.0
    for step in range(_QAT_STEPS):
        if is_cancelled():
            break
        _copy_rounded(views, rounded, bits)
        draw = rng.integers(len(rows), size=_QAT_ROWS)
        (loss,) = network.losses_and_gradient(rows[None, draw], wanted[None, draw] / spread)
        recent = 0.9 * recent + 0.1 * float(loss)
        if step >= _QAT_STEPS * 2 // 3 and recent < least:
            best, least = exact.copy(), recent
        adam.step(network.gradient, one_cycle_rate(step, _QAT_STEPS, peak))
    final = _alone(layer_views(exact if best is None else best, widths))
    packed = []
    for index, (weights, biases) in enumerate(final):
        factor = spread if index == len(final) - 1 else 1.0
        packed.append(round_to_nearest(weights * np.float32(factor), biases * np.float32(factor), bits=bits))
    return tuple(packed)


def calibrate(
    layers: Sequence[Layer],
    shift: FloatArray,
    gain: FloatArray,
    values: FloatArray,
    *,
    is_class: bool,
    bits: int,
    insist: bool = False,
    seed: int = 0,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Calibration:
    """The packed network that stays nearest to `layers` on the takes' `values` (N, F).

    8 bits are rounded, or GPTQ where that is heard less. 4 bits are rounded, then GPTQ, then trained on, until the
    worst jump is within MOST_WORST_JUMP; when it never is, the network gets 8 bits and a note why, unless the user
    insists.
    """
    rows = (values - shift) * gain
    exact = controls(layers, rows, is_class=is_class)

    def attempt(method: str, packed: tuple[PackedLinear, ...]) -> Calibration:
        network = PackedNetwork(shift=shift, gain=gain, layers=packed)
        played = controls([(dequantise(layer), layer.biases) for layer in packed], rows, is_class=is_class)
        return Calibration(network=network, method=method, drift=_drift(exact, played), notes=())

    def without_training(bits: int, enough: float) -> Calibration:
        best = attempt("round", tuple(round_to_nearest(*layer, bits=bits) for layer in layers))
        is_small = max(len(weights) for weights, _ in layers) <= _MOST_GPTQ_INPUTS
        if best.drift.worst_jump > enough and is_small:
            best = min(best, attempt("gptq", _gptq_all(layers, rows, bits)), key=_worst)
        return best

    if bits == 8:
        return without_training(8, _UNHEARD)
    best = without_training(4, MOST_WORST_JUMP)
    if best.drift.worst_jump > MOST_WORST_JUMP:
        trained = train_on(layers, rows, bits=bits, seed=seed, is_cancelled=is_cancelled)
        best = min(best, attempt("qat", trained), key=_worst)
    if best.drift.worst_jump <= MOST_WORST_JUMP:
        return best
    said = (
        f"4 bits move a control by {best.drift.worst_jump:.1%} of its range at worst (allowed: {MOST_WORST_JUMP:.0%})"
    )
    if insist:
        return Calibration(
            network=best.network, method=best.method, drift=best.drift, notes=(f"{said}, and you insist on them",)
        )
    plain = without_training(8, _UNHEARD)
    note = f"{said}, so this plays with 8 bits; `insist = true` in its [[output]] plays 4 bits all the same"
    return Calibration(network=plain.network, method=plain.method, drift=plain.drift, notes=(note,))


def controls(layers: Sequence[Layer], rows: FloatArray, *, is_class: bool) -> FloatArray:
    """(N, C): what is heard of each row, 0..1: confidences of classes, or the value kept within its range."""
    parts = []
    for start in range(0, len(rows), _CHUNK):
        given = forward(layers, rows[start : start + _CHUNK])
        if is_class:
            given = np.exp(given - given.max(axis=1, keepdims=True))
            given /= given.sum(axis=1, keepdims=True)
        else:
            given = np.clip(given, 0.0, 1.0)
        parts.append(given)
    return np.concatenate(parts)


def _worst(calibration: Calibration) -> float:
    return calibration.drift.worst_jump


def _drift(exact: FloatArray, played: FloatArray) -> Drift:
    apart = np.abs(played.astype(np.float64) - exact)
    return Drift(rms=float(np.sqrt(np.square(apart).mean())), worst_jump=float(apart.max()))


def _gptq_all(layers: Sequence[Layer], rows: FloatArray, bits: int) -> tuple[PackedLinear, ...]:
    """Each layer on what the packed ones before it give."""
    packed = []
    for weights, biases in layers:
        packed.append(gptq(weights, biases, rows, bits=bits))
        rows = rows @ dequantise(packed[-1])
        rows += biases
        np.maximum(rows, 0.0, out=rows)
    return tuple(packed)


def _grid(weights: NDArray[Any], bits: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scales and zeros (N, groups) that cover the weights; 8 bits have zeros of 0."""
    inputs, outputs = weights.shape
    if bits == 8:
        scales = np.abs(weights).max(axis=0) / 127.0
        return scales[:, None].astype(np.float32), np.zeros((outputs, 1), dtype=np.uint8)
    groups = group_count(inputs, 4)
    padded = np.zeros((groups * GROUP, outputs), dtype=np.float64)
    padded[:inputs] = weights
    by_group = padded.reshape(groups, GROUP, outputs)
    low = np.minimum(by_group.min(axis=1), 0.0)
    high = np.maximum(by_group.max(axis=1), 0.0)
    scales = ((high - low) / 15.0).astype(np.float32)
    zeros = np.clip(np.rint(-low / np.where(scales > 0, scales, 1.0)), 0, 15)
    return scales.T.copy(), zeros.T.astype(np.uint8)


def _codes(weights: NDArray[Any], scales: FloatArray, zeros: NDArray[np.uint8], bits: int) -> NDArray[np.int16]:
    """(K, N)"""
    if bits == 8:
        return _nearest(weights, scales[:, 0], zeros[:, 0], 8)
    inputs = len(weights)
    spread = [np.repeat(array.T, GROUP, axis=0)[:inputs] for array in (scales, zeros)]
    return _nearest(weights, spread[0], spread[1], 4)


def _nearest(weights: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any], bits: int) -> NDArray[np.int16]:
    steps = np.rint(weights / np.where(scale > 0, scale, 1.0)) + zero
    return np.clip(steps, *((-127, 127) if bits == 8 else (0, 15))).astype(np.int16)


def _alone(layers: Sequence[Layer]) -> list[Layer]:
    """The layers of the only one of networks side by side."""
    return [(weights[0], biases[0, 0]) for weights, biases in layers]


def _copy_rounded(views: Sequence[Layer], into: Sequence[Layer], bits: int) -> None:
    for (weights, biases), (to_weights, to_biases) in zip(views, into, strict=True):
        scales, zeros = _grid(weights, bits)
        steps = _codes(weights, scales, zeros, bits).astype(np.float32)
        if bits == 8:
            np.multiply(steps, scales[:, 0], out=to_weights)
        else:
            steps -= np.repeat(zeros.T, GROUP, axis=0)[: len(weights)]
            np.multiply(steps, np.repeat(scales.T, GROUP, axis=0)[: len(weights)], out=to_weights)
        to_biases[...] = biases
