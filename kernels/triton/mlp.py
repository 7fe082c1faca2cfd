"""A whole small network in one launch: for one model or hundreds, one row or a picture full of them.

Between layers nothing leaves the chip, which is what counts here: the weights of 99-128-64-8 are 21 KB, so
the floor is the launch itself (a CUDA-graph node is about 1.3 us), and three launches are three times that.
After tiny-cuda-nn's fully fused networks, which keep a layer's output in shared memory; in Triton that follows
from using one result as the operand of the next.

Networks of one to three layers, ReLU between them, on (x - shift) * gain. BLOCK_F is 32, a group of 4-bit codes.
"""

import triton
import triton.language as tl

from instrument.kernels.triton.split import sum_parts, write_part
from instrument.kernels.triton.tiles import load_group, load_w4_scales, load_w8, load_weights


@triton.jit
def _weights_of(codes, scales, zeros, n, k, N, K, stride, GROUPS, BITS: tl.constexpr):
    """(len(n), len(k)) float32: as `load_weights`, outputs first."""
    return load_weights(codes, scales, zeros, n[:, None], k[None, :], N, K, stride, GROUPS, BITS)


@triton.jit
def _next_of_frame(values, codes, scales, zeros, biases, k, n, K, N, stride, GROUPS, BITS: tl.constexpr):
    """(len(n),): `values` (len(k),) through a layer that fits into one tile; no activation."""
    weights = _weights_of(codes, scales, zeros, n, k, N, K, stride, GROUPS, BITS)
    return tl.sum(weights * values[None, :], axis=1) + tl.load(biases + n, mask=n < N, other=0.0)


@triton.jit
def mlp_frame(
    x, shift, gain,
    codes0, scales0, zeros0, biases0, codes1, scales1, zeros1, biases1, codes2, scales2, zeros2, biases2, out,
    M, F, N0, N1, N2, x_stride, x_model_stride, stride0, stride1, stride2, GROUPS0, GROUPS1, GROUPS2,
    LAYERS: tl.constexpr, BITS: tl.constexpr,
    BLOCK_F: tl.constexpr, BLOCK_0: tl.constexpr, BLOCK_1: tl.constexpr, BLOCK_2: tl.constexpr,
):  # fmt: skip
    """out (models, M, C): every row through every model, exactly (float32 throughout).

    Grid (M, models): one program takes one row through one model. The first layer goes in steps of BLOCK_F
    inputs, the others are one tile each. No tensor cores: they take 16 rows at least, and their exact form
    wants more registers than there are. Arrays of several models lie one after the other; x_model_stride is
    0 when all see the same rows.
    """
    m, model = tl.program_id(0), tl.program_id(1)
    n0 = tl.arange(0, BLOCK_0)
    row = x + model * x_model_stride + m * x_stride
    shift += model * F
    gain += model * F
    codes0 += model * N0 * stride0
    scales0 += model * N0 * GROUPS0
    zeros0 += model * N0 * GROUPS0
    biases0 += model * N0
    sums = tl.zeros((BLOCK_0, BLOCK_F), dtype=tl.float32)
    for f0 in range(0, F, BLOCK_F):
        f = f0 + tl.arange(0, BLOCK_F)
        values = tl.load(row + f, mask=f < F, other=0.0).to(tl.float32)
        values = (values - tl.load(shift + f, mask=f < F, other=0.0)) * tl.load(gain + f, mask=f < F, other=0.0)
        weights = load_group(codes0, scales0, zeros0, n0[:, None], f[None, :], f0 // 32, N0, F, stride0, GROUPS0, BITS)
        sums += weights * values[None, :]
    values = tl.sum(sums, axis=1) + tl.load(biases0 + n0, mask=n0 < N0, other=0.0)
    if LAYERS == 1:
        tl.store(out + (model * M + m) * N0 + n0, values, mask=n0 < N0)
    else:
        n1 = tl.arange(0, BLOCK_1)
        codes1 += model * N1 * stride1
        scales1 += model * N1 * GROUPS1
        zeros1 += model * N1 * GROUPS1
        biases1 += model * N1
        values = tl.maximum(values, 0.0)
        values = _next_of_frame(values, codes1, scales1, zeros1, biases1, n0, n1, N0, N1, stride1, GROUPS1, BITS)
        if LAYERS == 2:
            tl.store(out + (model * M + m) * N1 + n1, values, mask=n1 < N1)
        else:
            n2 = tl.arange(0, BLOCK_2)
            codes2 += model * N2 * stride2
            scales2 += model * N2 * GROUPS2
            zeros2 += model * N2 * GROUPS2
            biases2 += model * N2
            values = tl.maximum(values, 0.0)
            values = _next_of_frame(values, codes2, scales2, zeros2, biases2, n1, n2, N1, N2, stride2, GROUPS2, BITS)
            tl.store(out + (model * M + m) * N2 + n2, values, mask=n2 < N2)


@triton.jit
def _next_of_batch(
    values, codes, scales, zeros, biases, k, n, K, N, stride, GROUPS,
    BITS: tl.constexpr, COMPUTE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(rows, len(n)) float32: `values` (rows, len(k)) to outputs `n` of a layer; no activation."""
    weights = load_weights(codes, scales, zeros, n[None, :], k[:, None], N, K, stride, GROUPS, BITS)
    total = tl.dot(values, weights.to(COMPUTE), input_precision=PRECISION)
    return total + tl.load(biases + n, mask=n < N, other=0.0)[None, :]


@triton.jit
def mlp_batch(
    x, shift, gain,
    codes0, scales0, zeros0, biases0, codes1, scales1, zeros1, biases1, codes2, scales2, zeros2, biases2, out,
    M, F, N0, N1, N2, x_stride, x_model_stride, stride0, stride1, stride2, GROUPS0, GROUPS1, GROUPS2,
    LAYERS: tl.constexpr, BITS: tl.constexpr, COMPUTE: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_F: tl.constexpr,
    BLOCK_0: tl.constexpr, BLOCK_1: tl.constexpr, BLOCK_2: tl.constexpr,
):  # fmt: skip
    """The same for many rows, on tensor cores: a program takes BLOCK_M rows through all layers.

    Grid (tiles of M, models). The second layer goes BLOCK_1 outputs at a time, each at once multiplied into the
    third, so that no more of its weights than that is in registers. COMPUTE float32 with PRECISION tf32x3 is as
    good as float32; float16 is for what is looked at, such as a decision picture. Floor: the rows' own bytes /
    bandwidth, 26 MB for 65,536 rows of 99 numbers.
    """
    model = tl.program_id(1)
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    is_row = m[:, None] < M
    n0 = tl.arange(0, BLOCK_0)
    x += model * x_model_stride
    shift += model * F
    gain += model * F
    codes0 += model * N0 * stride0
    scales0 += model * N0 * GROUPS0
    zeros0 += model * N0 * GROUPS0
    biases0 += model * N0
    values = tl.zeros((BLOCK_M, BLOCK_0), dtype=tl.float32)
    for f0 in range(0, F, BLOCK_F):
        f = f0 + tl.arange(0, BLOCK_F)
        rows = tl.load(x + m[:, None] * x_stride + f[None, :], mask=is_row & (f[None, :] < F), other=0.0)
        offsets = tl.load(shift + f, mask=f < F, other=0.0)[None, :]
        gains = tl.load(gain + f, mask=f < F, other=0.0)[None, :]
        rows = ((rows.to(tl.float32) - offsets) * gains).to(COMPUTE)
        weights = load_group(codes0, scales0, zeros0, n0[None, :], f[:, None], f0 // 32, N0, F, stride0, GROUPS0, BITS)
        values = tl.dot(rows, weights.to(COMPUTE), values, input_precision=PRECISION)
    values += tl.load(biases0 + n0, mask=n0 < N0, other=0.0)[None, :]
    if LAYERS == 1:
        inside = is_row & (n0[None, :] < N0)
        tl.store(out + (model * M + m[:, None]) * N0 + n0[None, :], values, mask=inside)
    else:
        first = tl.maximum(values, 0.0).to(COMPUTE)
        codes1 += model * N1 * stride1
        scales1 += model * N1 * GROUPS1
        zeros1 += model * N1 * GROUPS1
        biases1 += model * N1
        n2 = tl.arange(0, BLOCK_2)
        codes2 += model * N2 * stride2
        scales2 += model * N2 * GROUPS2
        zeros2 += model * N2 * GROUPS2
        biases2 += model * N2
        last = tl.zeros((BLOCK_M, BLOCK_2), dtype=tl.float32)
        for start1 in range(0, N1, BLOCK_1):
            n1 = start1 + tl.arange(0, BLOCK_1)
            second = _next_of_batch(
                first, codes1, scales1, zeros1, biases1, n0, n1, N0, N1, stride1, GROUPS1, BITS, COMPUTE, PRECISION
            )
            if LAYERS == 2:
                inside = is_row & (n1[None, :] < N1)
                tl.store(out + (model * M + m[:, None]) * N1 + n1[None, :], second, mask=inside)
            else:
                weights = load_weights(
                    codes2, scales2, zeros2, n2[None, :], n1[:, None], N2, N1, stride2, GROUPS2, BITS
                )
                second = tl.maximum(second, 0.0).to(COMPUTE)
                last = tl.dot(second, weights.to(COMPUTE), last, input_precision=PRECISION)
        if LAYERS == 3:
            last += tl.load(biases2 + n2, mask=n2 < N2, other=0.0)[None, :]
            inside = is_row & (n2[None, :] < N2)
            tl.store(out + (model * M + m[:, None]) * N2 + n2[None, :], last, mask=inside)


@triton.jit
def wide_mlp(
    x, shift, gain,
    codes0, scales0, zeros0, biases0, codes1, scales1, zeros1, biases1, codes2, scales2, zeros2, biases2,
    out, parts, arrivals,
    M, F, N0, N1, N2, x_stride, stride0, stride1, stride2, GROUPS0, GROUPS1, GROUPS2, f_per_split, PROGRAMS,
    LAYERS: tl.constexpr, BITS: tl.constexpr, SPLITS: tl.constexpr, ROWS: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_F: tl.constexpr,
    BLOCK_0: tl.constexpr, BLOCK_1: tl.constexpr, BLOCK_2: tl.constexpr,
):  # fmt: skip
    """out (M, C), M at most ROWS: a network with many inputs, in one launch.

    Grid (tiles of the first layer's outputs, splits of F). The first layer has nearly all the weights, so
    every program reads a slice of it (as `qlinear.gemv`) and writes its part. The last one to arrive of all
    PROGRAMS adds the parts in order, BLOCK_0 outputs at a time, and runs what is left of the network by itself.
    Floor: the first layer's bytes / bandwidth, and one round trip through the shared cache.
    """
    m = tl.arange(0, ROWS)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    start = split * f_per_split
    end = tl.minimum(start + f_per_split, F)
    row = x + m[:, None, None] * x_stride
    is_row = m[:, None, None] < M
    if BITS == 8:
        sums = tl.zeros((ROWS, BLOCK_N, BLOCK_F), dtype=tl.float32)
        for f0 in range(start, end, BLOCK_F):
            f = f0 + tl.arange(0, BLOCK_F)
            weights = load_w8(codes0, n[:, None], f[None, :], N0, end, stride0).to(tl.float32)
            sums += _standardised(row, shift, gain, f, end, is_row) * weights[None, :, :]
    else:
        sums = tl.zeros((ROWS, BLOCK_N, BLOCK_F // 2), dtype=tl.float32)
        for f0 in range(start, end, BLOCK_F):
            place = f0 // 2 + tl.arange(0, BLOCK_F // 2)
            group = place // 16
            f = group * 32 + place % 16
            inside = (n[:, None] < N0) & (f[None, :] < end)
            byte = tl.load(codes0 + n[:, None] * stride0 + place[None, :], mask=inside, other=0)
            scale, zero = load_w4_scales(scales0, zeros0, n[:, None], group[None, :], N0, GROUPS0)
            low = ((byte & 15).to(tl.float32) - zero) * scale
            high = ((byte >> 4).to(tl.float32) - zero) * scale
            sums += _standardised(row, shift, gain, f, end, is_row) * low[None, :, :]
            sums += _standardised(row, shift, gain, f + 16, end, is_row) * high[None, :, :]
    part = tl.sum(sums, axis=2)
    if BITS == 8:
        part *= tl.load(scales0 + n, mask=n < N0, other=0.0)[None, :]
    if write_part(part, parts, arrivals, 0, split, m, n, M, N0, PROGRAMS):
        tl.store(arrivals, 0)
        n1 = tl.arange(0, BLOCK_1)
        for m1 in range(M):
            second = tl.zeros((BLOCK_1, BLOCK_0), dtype=tl.float32)
            for start0 in range(0, N0, BLOCK_0):
                n0 = start0 + tl.arange(0, BLOCK_0)
                first = sum_parts(parts, m1, n0, M, N0, SPLITS)
                first = tl.maximum(first + tl.load(biases0 + n0, mask=n0 < N0, other=0.0), 0.0)
                second += _weights_of(codes1, scales1, zeros1, n1, n0, N1, N0, stride1, GROUPS1, BITS) * first[None, :]
            values = tl.sum(second, axis=1) + tl.load(biases1 + n1, mask=n1 < N1, other=0.0)
            if LAYERS == 2:
                tl.store(out + m1 * N1 + n1, values, mask=n1 < N1)
            else:
                n2 = tl.arange(0, BLOCK_2)
                values = tl.maximum(values, 0.0)
                values = _next_of_frame(
                    values, codes2, scales2, zeros2, biases2, n1, n2, N1, N2, stride2, GROUPS2, BITS
                )
                tl.store(out + m1 * N2 + n2, values, mask=n2 < N2)


@triton.jit
def _standardised(row, shift, gain, f, end, is_row):
    """(rows, 1, len(f)) float32"""
    values = tl.load(row + f[None, None, :], mask=is_row & (f[None, None, :] < end), other=0.0).to(tl.float32)
    offsets = tl.load(shift + f, mask=f < end, other=0.0)
    gains = tl.load(gain + f, mask=f < end, other=0.0)
    return (values - offsets[None, None, :]) * gains[None, None, :]
