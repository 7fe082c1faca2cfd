"""`linear`: a packed layer for torch, with the gradients that exist.

Chooses tiles and launches what is in `qlinear.py`. Tensors on a CPU work where TRITON_INTERPRET=1 was set before
triton was imported.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from instrument.kernels.packing import PackedLinear
from instrument.kernels.triton import qlinear
from instrument.kernels.triton.tiles import ACTIVATIONS

COMPUTE = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
"""What products are made of, by the type of the rows; sums are always float32."""
PRECISION = "ieee" if torch.version.hip else "tf32x3"
"""How tensor cores multiply float32 so that it stays float32; other types are not asked."""
GEMV_ROWS = 4
"""Up to here `gemv`, above it `gemm`."""
_PROCESSORS = 132
"""Of an H100 or H200: how many programs make use of all of it. Others differ by less than a factor of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """How a launch is cut up."""

    rows: int
    outputs: int
    inputs: int
    splits: int
    warps: int
    stages: int


class DeviceLayer:
    """A packed layer on a device, and the workspace of its launches: one stream at a time."""

    def __init__(self, layer: PackedLinear, device: torch.device | str) -> None:
        self.bits = layer.bits
        self.inputs = layer.inputs
        self.outputs = layer.outputs
        self.codes = torch.from_numpy(layer.codes).to(device)
        self.scales = torch.from_numpy(layer.scales).to(device)
        # 8 bits have no zeros; a pointer must be given all the same, and is not read.
        self.zeros = self.codes if layer.zeros is None else torch.from_numpy(layer.zeros).to(device)
        self.biases = torch.from_numpy(layer.biases).to(device)
        self.stride = layer.codes.shape[1]
        self.groups = layer.scales.shape[1]
        self._parts = torch.empty(0, dtype=torch.float32, device=device)
        self._arrivals = torch.zeros(0, dtype=torch.int32, device=device)

    def workspace(self, parts: int, tiles: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Room for that many numbers and counts. It only grows: what a CUDA graph was captured with stays."""
        if len(self._parts) < parts:
            self._parts = torch.empty(parts, dtype=torch.float32, device=self.codes.device)
        if len(self._arrivals) < tiles:
            self._arrivals = torch.zeros(tiles, dtype=torch.int32, device=self.codes.device)
        return self._parts, self._arrivals


def tiles_for(rows: int, inputs: int, outputs: int, *, is_float32: bool) -> Tiles:
    """Tiles that fill a large GPU with this shape; K is split when there are too few of them."""
    if rows <= GEMV_ROWS:
        tile_rows, tile_outputs, tile_inputs = triton.next_power_of_2(rows), 4, 512
        stages = 2
    else:
        tile_rows = min(max(triton.next_power_of_2(rows), 16), 32 if is_float32 else 64)
        tile_outputs, tile_inputs = 64, 32 if is_float32 else 64
        stages = 3
    programs = triton.cdiv(rows, tile_rows) * triton.cdiv(outputs, tile_outputs)
    steps = triton.cdiv(inputs, tile_inputs)
    splits = max(1, min(2 * _PROCESSORS // programs, steps, 16))
    warps = 8 if tile_rows > 16 else 4
    return Tiles(rows=tile_rows, outputs=tile_outputs, inputs=tile_inputs, splits=splits, warps=warps, stages=stages)


def launch(
    x: torch.Tensor, layer: DeviceLayer, out: torch.Tensor, activation: str = "identity", tiles: Tiles | None = None
) -> None:
    """out (M, N) = activation(x @ W + biases) for `x` (M, K), into a tensor made before."""
    rows = x.shape[0]
    if x.stride(1) != 1 or out.stride(1) != 1:
        raise ValueError("the numbers of a row must be neighbours; call .contiguous() first")
    if x.shape[1] != layer.inputs or out.shape != (rows, layer.outputs):
        raise ValueError(f"{tuple(x.shape)} to {tuple(out.shape)}; the layer is {layer.inputs} to {layer.outputs}")
    if not rows:
        return
    tiles = tiles or tiles_for(rows, layer.inputs, layer.outputs, is_float32=x.dtype == torch.float32)
    per_split = triton.cdiv(triton.cdiv(layer.inputs, tiles.splits), tiles.inputs) * tiles.inputs
    splits = triton.cdiv(layer.inputs, per_split)  # none of them empty
    grid = (triton.cdiv(layer.outputs, tiles.outputs), splits, triton.cdiv(rows, tiles.rows))
    is_split = splits > 1
    parts, arrivals = layer.workspace(splits * rows * layer.outputs * is_split, grid[0] * grid[2] * is_split)
    common: dict[str, Any] = {
        "BITS": layer.bits,
        "ACTIVATION": ACTIVATIONS[activation],
        "SPLITS": splits,
        "BLOCK_N": tiles.outputs,
        "BLOCK_K": tiles.inputs,
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
    }
    if rows <= GEMV_ROWS:
        kernel = qlinear.gemv
        common |= {"ROWS": tiles.rows}
    else:
        kernel = qlinear.gemm
        common |= {"BLOCK_M": tiles.rows, "COMPUTE": COMPUTE[x.dtype], "PRECISION": PRECISION}
    kernel[grid](
        x, layer.codes, layer.scales, layer.zeros, layer.biases, out, parts, arrivals,
        rows, layer.inputs, layer.outputs, x.stride(0), layer.stride, layer.groups, out.stride(0), per_split,
        **common,
    )  # fmt: skip


def launch_input_gradient(
    slope: torch.Tensor, layer: DeviceLayer, gradient: torch.Tensor, tiles: Tiles | None = None
) -> None:
    """gradient (M, K) = slope (M, N) @ W transposed."""
    rows = slope.shape[0]
    if not rows:
        return
    block_m = min(max(triton.next_power_of_2(rows), 16), 32 if slope.dtype == torch.float32 else 64)
    tiles = tiles or Tiles(rows=block_m, outputs=32, inputs=64, splits=1, warps=4, stages=3)
    grid = (triton.cdiv(layer.inputs, tiles.inputs), triton.cdiv(rows, tiles.rows))
    qlinear.input_gradient[grid](
        slope, layer.codes, layer.scales, layer.zeros, gradient,
        rows, layer.inputs, layer.outputs, slope.stride(0), layer.stride, layer.groups, gradient.stride(0),
        BITS=layer.bits, COMPUTE=COMPUTE[slope.dtype], PRECISION=PRECISION,
        BLOCK_M=tiles.rows, BLOCK_N=tiles.outputs, BLOCK_K=tiles.inputs, num_warps=tiles.warps, num_stages=tiles.stages,
    )  # fmt: skip


class QLinear(torch.autograd.Function):
    """activation(x @ W + biases): gradients for x and the biases. Packed weights are whole numbers and have none."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, biases: torch.Tensor, layer: DeviceLayer, activation: str, tiles: Tiles | None
    ) -> torch.Tensor:
        rows = x.reshape(-1, layer.inputs).contiguous()
        out = torch.empty((len(rows), layer.outputs), dtype=x.dtype, device=x.device)
        # GELU is the one whose slope cannot be told from what it gives.
        is_apart = activation == "gelu" and any(ctx.needs_input_grad)
        launch(rows, layer, out, "identity" if is_apart else activation, tiles)
        ctx.save_for_backward(out)
        ctx.layer, ctx.activation, ctx.shape, ctx.bias_type = layer, activation, x.shape, biases.dtype
        given = torch.nn.functional.gelu(out) if is_apart else out
        return given.reshape(*x.shape[:-1], layer.outputs)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (out,) = ctx.saved_tensors
        slope = (slopes[0].reshape(out.shape) * _derivative(out, ctx.activation)).contiguous()
        gradient = bias_gradient = None
        if ctx.needs_input_grad[0]:
            gradient = torch.empty((len(out), ctx.layer.inputs), dtype=out.dtype, device=out.device)
            launch_input_gradient(slope, ctx.layer, gradient)
            gradient = gradient.reshape(ctx.shape)
        if ctx.needs_input_grad[1]:
            bias_gradient = slope.sum(dim=0, dtype=torch.float32).to(ctx.bias_type)
        return gradient, bias_gradient, None, None, None


def linear(
    x: torch.Tensor, layer: DeviceLayer, activation: str = "identity", tiles: Tiles | None = None
) -> torch.Tensor:
    """(..., N) for `x` (..., K): float32, float16 or bfloat16. Gradients reach x and `layer.biases`.

    Raises ValueError for what cannot be run.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation '{activation}'; allowed: {', '.join(ACTIVATIONS)}")
    if x.dtype not in COMPUTE:
        raise ValueError(f"rows are {x.dtype}; allowed: {', '.join(str(one) for one in COMPUTE)}")
    if x.shape[-1] != layer.inputs:
        raise ValueError(f"rows have {x.shape[-1]} numbers; the layer takes {layer.inputs}")
    return QLinear.apply(x, layer.biases, layer, activation, tiles)


class StraightThrough(torch.autograd.Function):
    """Weights as 8- or 4-bit codes would say them, with a gradient as if they had not been rounded.

    For quantisation-aware training in torch (Bengio, Leonard and Courville 2013); the same grid as
    models/quantize.py, which does it in numpy. Weights are (N, K), as torch keeps them.
    """

    @staticmethod
    def forward(_: Any, weights: torch.Tensor, bits: int) -> torch.Tensor:
        if bits == 8:
            scale = weights.abs().amax(dim=1, keepdim=True) / 127.0
            return torch.round(weights / torch.where(scale > 0, scale, 1.0)).clamp(-127, 127) * scale
        outputs, inputs = weights.shape
        grouped = torch.nn.functional.pad(weights, (0, -inputs % 32)).reshape(outputs, -1, 32)
        low = grouped.amin(dim=2, keepdim=True).clamp(max=0.0)
        scale = (grouped.amax(dim=2, keepdim=True).clamp(min=0.0) - low) / 15.0
        step = torch.where(scale > 0, scale, 1.0)
        zero = torch.round(-low / step).clamp(0, 15)
        codes = (torch.round(grouped / step) + zero).clamp(0, 15)
        return ((codes - zero) * scale).reshape(outputs, -1)[:, :inputs]

    @staticmethod
    def backward(_: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        return slopes[0], None


def rounded(weights: torch.Tensor, bits: int) -> torch.Tensor:
    """(N, K): `weights` (N, K) as they will be played, trainable."""
    return StraightThrough.apply(weights, bits)


def _derivative(out: torch.Tensor, activation: str) -> torch.Tensor:
    """The slope of an activation where it gave `out`; for GELU, where it was given `out`."""
    match activation:
        case "relu":
            return (out > 0).to(out.dtype)
        case "tanh":
            return 1.0 - out * out
        case "sigmoid":
            return out * (1.0 - out)
        case "gelu":
            at = out.to(torch.float32)
            below = 0.5 * (1.0 + torch.erf(at * 0.7071067811865476))
            density = torch.exp(-0.5 * at * at) * 0.3989422804014327
            return (below + at * density).to(out.dtype)
    return torch.ones_like(out)
