"""One layer: activation(x @ W + biases), W packed. Forward in two forms, and the gradient of the inputs.

Shapes: x (M, K), codes (N, stride) as in kernels/packing.py, out (M, N). Every load and store is masked: no
size has to be a multiple of anything.

Floor: the weights have to be read once, so bytes / bandwidth: on an H200 (4.8 TB/s) 3.5 us at 4096 x 4096 with 8
bits and 2.2 us with 4. Below some 4.5 M weights the launch costs more than that.

Sources: the two forms and the split follow gemlite (mobiusml) and arXiv 2402.00025; the course's kernel, in
`baselines.py`, is where it began.
"""

import triton
import triton.language as tl

from instrument.kernels.triton.split import sum_parts, write_part
from instrument.kernels.triton.tiles import activate, load_w4_scales, load_w8


@triton.jit
def finish(total, scales, biases, out, m, n, M, N, out_stride, BITS: tl.constexpr, ACTIVATION: tl.constexpr):
    """The epilogue: scale (8 bits have one per output, so it waits until here), bias, activation, store."""
    if BITS == 8:
        total *= tl.load(scales + n, mask=n < N, other=0.0)[None, :]
    total += tl.load(biases + n, mask=n < N, other=0.0)[None, :]
    total = activate(total, ACTIVATION)
    inside = (m[:, None] < M) & (n[None, :] < N)
    tl.store(out + m[:, None] * out_stride + n[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gemv(
    x, codes, scales, zeros, biases, out, parts, arrivals,
    M, K, N, x_stride, stride, GROUPS, out_stride, k_per_split,
    BITS: tl.constexpr, ACTIVATION: tl.constexpr, SPLITS: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Forward for 1 to 4 rows.

    Grid (tiles of N, splits of K, groups of ROWS rows). A tensor core wants 16 rows; with so few, a program
    multiplies on the ordinary units instead: it walks along K with a tile of BLOCK_N x BLOCK_K weights,
    each loaded once and used for all ROWS rows, and keeps one float32 sum per weight of the tile, so that lanes
    only talk to each other once, at the end. Products and sums are float32 whatever x is.
    """
    tile, split = tl.program_id(0), tl.program_id(1)
    m = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    n = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    start = split * k_per_split
    end = tl.minimum(start + k_per_split, K)
    row = x + m[:, None, None] * x_stride
    is_row = m[:, None, None] < M
    if BITS == 8:
        sums = tl.zeros((ROWS, BLOCK_N, BLOCK_K), dtype=tl.float32)
        for k0 in range(start, end, BLOCK_K):
            k = k0 + tl.arange(0, BLOCK_K)
            weights = load_w8(codes, n[:, None], k[None, :], N, end, stride).to(tl.float32)
            values = tl.load(row + k[None, None, :], mask=is_row & (k[None, None, :] < end), other=0.0)
            sums += values.to(tl.float32) * weights[None, :, :]
    else:
        sums = tl.zeros((ROWS, BLOCK_N, BLOCK_K // 2), dtype=tl.float32)
        for k0 in range(start, end, BLOCK_K):
            place = k0 // 2 + tl.arange(0, BLOCK_K // 2)
            group = place // 16
            k = group * 32 + place % 16
            inside = (n[:, None] < N) & (k[None, :] < end)
            byte = tl.load(codes + n[:, None] * stride + place[None, :], mask=inside, other=0)
            scale, zero = load_w4_scales(scales, zeros, n[:, None], group[None, :], N, GROUPS)
            low = (byte & 15).to(tl.float32) - zero
            high = (byte >> 4).to(tl.float32) - zero
            k = k[None, None, :]
            values = tl.load(row + k, mask=is_row & (k < end), other=0.0)
            sums += values.to(tl.float32) * (low * scale)[None, :, :]
            values = tl.load(row + k + 16, mask=is_row & (k + 16 < end), other=0.0)
            sums += values.to(tl.float32) * (high * scale)[None, :, :]
    total = tl.sum(sums, axis=2)
    if SPLITS > 1:
        which = tl.program_id(2) * tl.num_programs(0) + tile
        if write_part(total, parts, arrivals, which, split, m, n, M, N, SPLITS):
            total = sum_parts(parts, m[:, None], n[None, :], M, N, SPLITS)
            finish(total, scales, biases, out, m, n, M, N, out_stride, BITS, ACTIVATION)
            tl.store(arrivals + which, 0)
    else:
        finish(total, scales, biases, out, m, n, M, N, out_stride, BITS, ACTIVATION)


@triton.jit
def gemm(
    x, codes, scales, zeros, biases, out, parts, arrivals,
    M, K, N, x_stride, stride, GROUPS, out_stride, k_per_split,
    BITS: tl.constexpr, ACTIVATION: tl.constexpr, SPLITS: tl.constexpr,
    COMPUTE: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Forward for more rows, on tensor cores.

    Grid (tiles of N, splits of K, tiles of M). Weights become COMPUTE (x's type) just before the product:
    8-bit codes fit fp16 and bf16 exactly, and their scale waits for the epilogue. float32 rows go through tensor
    cores in three parts (PRECISION tf32x3), as good as float32; AMD's take them whole (ieee). 4 bits take two products
    half as deep, of the low halves of a tile of bytes and of the high ones, so that each byte is loaded once.
    A tile of BLOCK_K never straddles a split: k_per_split is a multiple of it.
    """
    tile, split = tl.program_id(0), tl.program_id(1)
    m = tl.program_id(2) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    start = split * k_per_split
    end = tl.minimum(start + k_per_split, K)
    row = x + m[:, None] * x_stride
    is_row = m[:, None] < M
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    if BITS == 8:
        for k0 in range(start, end, BLOCK_K):
            k = k0 + tl.arange(0, BLOCK_K)
            weights = load_w8(codes, n[None, :], k[:, None], N, end, stride).to(COMPUTE)
            values = tl.load(row + k[None, :], mask=is_row & (k[None, :] < end), other=0.0).to(COMPUTE)
            total = tl.dot(values, weights, total, input_precision=PRECISION)
    else:
        for k0 in range(start, end, BLOCK_K):
            place = k0 // 2 + tl.arange(0, BLOCK_K // 2)
            group = place // 16
            k = group * 32 + place % 16
            inside = (n[None, :] < N) & (k[:, None] < end)
            byte = tl.load(codes + n[None, :] * stride + place[:, None], mask=inside, other=0)
            scale, zero = load_w4_scales(scales, zeros, n[None, :], group[:, None], N, GROUPS)
            low = (((byte & 15).to(tl.float32) - zero) * scale).to(COMPUTE)
            high = (((byte >> 4).to(tl.float32) - zero) * scale).to(COMPUTE)
            values = tl.load(row + k[None, :], mask=is_row & (k[None, :] < end), other=0.0).to(COMPUTE)
            total = tl.dot(values, low, total, input_precision=PRECISION)
            values = tl.load(row + k[None, :] + 16, mask=is_row & (k[None, :] + 16 < end), other=0.0).to(COMPUTE)
            total = tl.dot(values, high, total, input_precision=PRECISION)
    if SPLITS > 1:
        which = tl.program_id(2) * tl.num_programs(0) + tile
        if write_part(total, parts, arrivals, which, split, m, n, M, N, SPLITS):
            total = sum_parts(parts, m[:, None], n[None, :], M, N, SPLITS)
            finish(total, scales, biases, out, m, n, M, N, out_stride, BITS, ACTIVATION)
            tl.store(arrivals + which, 0)
    else:
        finish(total, scales, biases, out, m, n, M, N, out_stride, BITS, ACTIVATION)


@triton.jit
def input_gradient(
    slope, codes, scales, zeros, gradient,
    M, K, N, slope_stride, stride, GROUPS, gradient_stride,
    BITS: tl.constexpr, COMPUTE: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Backward: gradient (M, K) = slope (M, N) @ W transposed.

    Grid (tiles of K, tiles of M); a program walks along N. The same bytes in the same layout, read along K
    again, are the other operand as they are. The scale of 8 bits goes with the slope, as it belongs to n; with 4
    bits the low and the high halves make two tiles of the gradient, 16 inputs apart.
    """
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    is_row = m[:, None] < M
    k0 = tl.program_id(0) * BLOCK_K
    if BITS == 8:
        k = k0 + tl.arange(0, BLOCK_K)
        total = tl.zeros((BLOCK_M, BLOCK_K), dtype=tl.float32)
        for n0 in range(0, N, BLOCK_N):
            n = n0 + tl.arange(0, BLOCK_N)
            slopes = tl.load(slope + m[:, None] * slope_stride + n[None, :], mask=is_row & (n[None, :] < N), other=0.0)
            slopes = slopes.to(tl.float32) * tl.load(scales + n, mask=n < N, other=0.0)[None, :]
            weights = load_w8(codes, n[:, None], k[None, :], N, K, stride).to(COMPUTE)
            total = tl.dot(slopes.to(COMPUTE), weights, total, input_precision=PRECISION)
        here = gradient + m[:, None] * gradient_stride + k[None, :]
        tl.store(here, total.to(gradient.dtype.element_ty), mask=is_row & (k[None, :] < K))
    else:
        place = k0 // 2 + tl.arange(0, BLOCK_K // 2)
        group = place // 16
        k = group * 32 + place % 16
        lows = tl.zeros((BLOCK_M, BLOCK_K // 2), dtype=tl.float32)
        highs = tl.zeros((BLOCK_M, BLOCK_K // 2), dtype=tl.float32)
        for n0 in range(0, N, BLOCK_N):
            n = n0 + tl.arange(0, BLOCK_N)
            slopes = tl.load(slope + m[:, None] * slope_stride + n[None, :], mask=is_row & (n[None, :] < N), other=0.0)
            slopes = slopes.to(COMPUTE)
            inside = (n[:, None] < N) & (k[None, :] < K)
            byte = tl.load(codes + n[:, None] * stride + place[None, :], mask=inside, other=0)
            scale, zero = load_w4_scales(scales, zeros, n[:, None], group[None, :], N, GROUPS)
            low = (((byte & 15).to(tl.float32) - zero) * scale).to(COMPUTE)
            high = (((byte >> 4).to(tl.float32) - zero) * scale).to(COMPUTE)
            lows = tl.dot(slopes, low, lows, input_precision=PRECISION)
            highs = tl.dot(slopes, high, highs, input_precision=PRECISION)
        here = gradient + m[:, None] * gradient_stride + k[None, :]
        tl.store(here, lows.to(gradient.dtype.element_ty), mask=is_row & (k[None, :] < K))
        tl.store(here + 16, highs.to(gradient.dtype.element_ty), mask=is_row & (k[None, :] + 16 < K))
