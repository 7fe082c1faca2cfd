"""What every kernel does to a tile: unpack weights, apply an activation.

The packed format (kernels/packing.py) keeps the inputs of one output next to each other, so lanes that
walk along K read memory in order. A byte of 4-bit codes holds two inputs that are 16 apart: loaded once, it
gives two tiles whose inputs are runs of 16 neighbours. (Eight neighbours in one word, as GPTQ keeps them,
would be loaded eight times, or need a shuffle.)
"""

import triton
import triton.language as tl

IDENTITY = tl.constexpr(0)
RELU = tl.constexpr(1)
TANH = tl.constexpr(2)
SIGMOID = tl.constexpr(3)
GELU = tl.constexpr(4)

ACTIVATIONS = {"identity": 0, "relu": 1, "tanh": 2, "sigmoid": 3, "gelu": 4}
"""In the order of kernels/reference.py; kernels are compiled for one of them."""


@triton.jit
def activate(values, ACTIVATION: tl.constexpr):
    """`values`, float32, through the activation. tanh is written with exp: Triton has it in a CUDA library only."""
    if ACTIVATION == RELU:
        values = tl.maximum(values, 0.0)
    elif ACTIVATION == TANH:
        shrunk = tl.exp(-2.0 * tl.abs(values))
        size = (1.0 - shrunk) / (1.0 + shrunk)
        values = tl.where(values < 0, -size, size)
    elif ACTIVATION == SIGMOID:
        values = 1.0 / (1.0 + tl.exp(-values))
    elif ACTIVATION == GELU:
        values = values * 0.5 * (1.0 + tl.erf(values * 0.7071067811865476))
    return values


@triton.jit
def load_w8(codes, n, k, N, K, stride):
    """(len(k), len(n)): 8-bit codes, without their scales; 0 beyond the layer. `n` (1, N), `k` (K, 1), or turned."""
    return tl.load(codes + n * stride + k, mask=(n < N) & (k < K), other=0)


@triton.jit
def load_w4_scales(scales, zeros, n, group, N, GROUPS):
    """The scale and zero, float32, of those groups of those outputs; 0 beyond the layer."""
    inside = (n < N) & (group < GROUPS)
    scale = tl.load(scales + n * GROUPS + group, mask=inside, other=0.0)
    zero = tl.load(zeros + n * GROUPS + group, mask=inside, other=0)
    return scale, zero.to(tl.float32)


@triton.jit
def load_weights(codes, scales, zeros, n, k, N, K, stride, GROUPS, BITS: tl.constexpr):
    """(len(k), len(n)) float32 weights, scales applied; 0 beyond the layer. `n` (1, N), `k` (K, 1), or turned.

    The plain way, for small layers that lie in the cache: with 4 bits each byte is loaded twice.
    """
    if BITS == 8:
        scale = tl.load(scales + n, mask=n < N, other=0.0)
        return load_w8(codes, n, k, N, K, stride).to(tl.float32) * scale
    else:
        inside = (n < N) & (k < K)
        byte = tl.load(codes + n * stride + (k // 32) * 16 + k % 16, mask=inside, other=0).to(tl.int32)
        code = (byte >> ((k // 16) % 2) * 4) & 15
        scale, zero = load_w4_scales(scales, zeros, n, k // 32, N, GROUPS)
        return tl.where(inside, (code.to(tl.float32) - zero) * scale, 0.0)


@triton.jit
def load_group(codes, scales, zeros, n, k, group, N, K, stride, GROUPS, BITS: tl.constexpr):
    """`load_weights` where all of `k` is in that group of 32: one scale and zero per output instead of one each."""
    if BITS == 8:
        scale = tl.load(scales + n, mask=n < N, other=0.0)
        return load_w8(codes, n, k, N, K, stride).to(tl.float32) * scale
    else:
        inside = (n < N) & (k < K)
        byte = tl.load(codes + n * stride + group * 16 + k % 16, mask=inside, other=0).to(tl.int32)
        code = (byte >> ((k // 16) % 2) * 4) & 15
        scale, zero = load_w4_scales(scales, zeros, n, group, N, GROUPS)
        return tl.where(inside, (code.to(tl.float32) - zero) * scale, 0.0)
