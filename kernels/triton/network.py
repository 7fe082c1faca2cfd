"""Whole networks on a device: one, or an ensemble, in as few launches as their shape allows."""

from collections.abc import Sequence

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

from instrument.kernels.packing import PackedNetwork
from instrument.kernels.triton.linear import COMPUTE, PRECISION, DeviceLayer, Tiles, launch
from instrument.kernels.triton.mlp import mlp_batch, mlp_frame, wide_mlp

MOST_FUSED_WIDTH = 128
"""Wider hidden layers do not fit the registers of one program."""
MOST_FUSED_INPUTS = 1024
"""More inputs want more than one program for the first layer."""
MOST_TAIL_WIDTH = 64
WIDE_ROWS = 4
BATCH_WARPS, BATCH_STAGES = (4, 1) if torch.version.hip else (8, 2)
FRAME_ROWS = 16
"""Up to here a program takes one row through the network, above it a tile of them."""


class DeviceNetwork:
    """Networks of equal shape, one after the other in memory; one stream at a time.

    `mlp_frame` and `mlp_batch` run up to three small layers, `wide_mlp` a wide first one and two small, for few
    rows; anything else is a launch per layer.
    """

    def __init__(self, networks: Sequence[PackedNetwork], device: torch.device | str) -> None:
        first = networks[0]
        if any((one.widths, one.bits) != (first.widths, first.bits) for one in networks):
            raise ValueError("the networks of an ensemble must have the same widths and bits")
        if any(layer.bits != first.bits for one in networks for layer in one.layers):
            raise ValueError("all layers must have the same bits")
        self.device = torch.device(device)
        self.widths = first.widths
        self.bits = first.bits
        self.models = len(networks)
        self.shift = self._stacked([one.shift for one in networks])
        self.gain = self._stacked([one.gain for one in networks])
        self.layers = [DeviceLayer(layer, self.device) for layer in first.layers]
        for index, layer in enumerate(self.layers):
            originals = [one.layers[index] for one in networks]
            layer.codes = self._stacked([one.codes for one in originals])
            layer.scales = self._stacked([one.scales for one in originals])
            layer.biases = self._stacked([one.biases for one in originals])
            zeros = [one.zeros for one in originals if one.zeros is not None]
            layer.zeros = self._stacked(zeros) if zeros else layer.codes
        self._parts = torch.empty(0, dtype=torch.float32, device=self.device)
        self._arrivals = torch.zeros(1, dtype=torch.int32, device=self.device)

    def _stacked(self, arrays: Sequence[NDArray[np.generic]]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([np.ascontiguousarray(one) for one in arrays])).to(self.device)

    @property
    def is_fused(self) -> bool:
        """Whether `mlp_frame` and `mlp_batch` can run it."""
        inputs, *hidden, outputs = self.widths
        return (
            len(self.layers) <= 3
            and inputs <= MOST_FUSED_INPUTS
            and max([*hidden, outputs]) <= MOST_FUSED_WIDTH
            and self.widths[-1] <= MOST_TAIL_WIDTH
            and all(width <= MOST_TAIL_WIDTH for width in self.widths[2:])
        )

    def is_wide(self, rows: int) -> bool:
        """Whether `wide_mlp` can run it on that many rows."""
        return (
            self.models == 1
            and rows <= WIDE_ROWS
            and 2 <= len(self.layers) <= 3
            and all(width <= MOST_TAIL_WIDTH for width in self.widths[2:])
        )

    def __call__(
        self, x: torch.Tensor, out: torch.Tensor | None = None, *, compute: tl.dtype = tl.float32, block_m: int = 0
    ) -> torch.Tensor:
        """(models, M, C) float32 for `x` (M, F), the same rows for all, or (models, M, F).

        `compute` float16 lets tensor cores do what float32 rows have no need of.
        """
        rows = x.shape[-2]
        if out is None:
            out = torch.empty((self.models, rows, self.widths[-1]), dtype=torch.float32, device=self.device)
        if not rows:
            return out
        if self.is_fused:
            self._run_fused(x, out, rows, compute, block_m)
        elif self.is_wide(rows):
            self.run_wide(x.reshape(rows, -1), out)
        elif self.models == 1:
            self._run_by_layer(x.reshape(rows, -1), out[0])
        else:
            raise ValueError(f"an ensemble of {self.widths} does not fit one launch; run its models one by one")
        return out

    def _run_fused(self, x: torch.Tensor, out: torch.Tensor, rows: int, compute: tl.dtype, block_m: int) -> None:
        arrays, sizes, strides, groups = self._arguments()
        arguments = (
            x, self.shift, self.gain, *arrays, out,
            rows, self.widths[0], *sizes, x.stride(-2), x.stride(0) if x.dim() == 3 else 0, *strides, *groups,
        )  # fmt: skip
        blocks = {
            "LAYERS": len(self.layers), "BITS": self.bits, "BLOCK_F": 32,
            "BLOCK_0": _block(sizes[0]), "BLOCK_1": _block(sizes[1]), "BLOCK_2": _block(sizes[2]),
        }  # fmt: skip
        # Four bits as three tf32 parts each do not fit the registers.
        is_too_much = self.bits == 4 and compute == tl.float32 and not block_m
        if is_too_much or (rows <= FRAME_ROWS and not block_m):
            mlp_frame[(rows, self.models)](*arguments, **blocks, num_warps=4, num_stages=2)
            return
        block_m = block_m or 32
        blocks["BLOCK_1"] = min(blocks["BLOCK_1"], 16)
        mlp_batch[(triton.cdiv(rows, block_m), self.models)](
            *arguments, **blocks, COMPUTE=compute, PRECISION=PRECISION, BLOCK_M=block_m,
            num_warps=BATCH_WARPS, num_stages=BATCH_STAGES,
        )  # fmt: skip

    def run_wide(self, x: torch.Tensor, out: torch.Tensor, tiles: Tiles | None = None) -> None:
        """`wide_mlp`, with other tiles if need be."""
        rows, inputs = x.shape
        tiles = tiles or Tiles(
            rows=triton.next_power_of_2(rows), outputs=4, inputs=512, splits=_splits(inputs, self.widths[1]), warps=4,
            stages=2,
        )  # fmt: skip
        per_split = triton.cdiv(triton.cdiv(inputs, tiles.splits), tiles.inputs) * tiles.inputs
        splits = triton.cdiv(inputs, per_split)
        arrays, sizes, strides, groups = self._arguments()
        grid = (triton.cdiv(sizes[0], tiles.outputs), splits)
        if len(self._parts) < splits * rows * sizes[0]:
            self._parts = torch.empty(splits * rows * sizes[0], dtype=torch.float32, device=self.device)
        wide_mlp[grid](
            x, self.shift, self.gain, *arrays, out, self._parts, self._arrivals,
            rows, inputs, *sizes, x.stride(0), *strides, *groups, per_split, grid[0] * grid[1],
            LAYERS=len(self.layers), BITS=self.bits, SPLITS=splits, ROWS=tiles.rows,
            BLOCK_N=tiles.outputs, BLOCK_F=tiles.inputs,
            BLOCK_0=min(64, _block(sizes[0])), BLOCK_1=_block(sizes[1]), BLOCK_2=_block(sizes[2]),
            num_warps=tiles.warps, num_stages=tiles.stages,
        )  # fmt: skip

    def _run_by_layer(self, x: torch.Tensor, out: torch.Tensor) -> None:
        values = ((x - self.shift) * self.gain).to(x.dtype if x.dtype in COMPUTE else torch.float32)
        for layer in self.layers[:-1]:
            given = torch.empty((len(x), layer.outputs), dtype=values.dtype, device=self.device)
            launch(values, layer, given, "relu")
            values = given
        launch(values, self.layers[-1], out)

    def _arguments(self) -> tuple[list[torch.Tensor], list[int], list[int], list[int]]:
        """Arrays, outputs, strides and groups of three layers; where there are fewer, the last again."""
        three = [*self.layers, self.layers[-1], self.layers[-1]][:3]
        arrays = [array for one in three for array in (one.codes, one.scales, one.zeros, one.biases)]
        return arrays, [one.outputs for one in three], [one.stride for one in three], [one.groups for one in three]


def _block(width: int) -> int:
    return max(16, triton.next_power_of_2(width))


def _splits(inputs: int, outputs: int) -> int:
    """So many that about four programs per processor of a large GPU read the first layer."""
    return max(1, min(16, 528 * 4 // outputs, triton.cdiv(inputs, 512)))
