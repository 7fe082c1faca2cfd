"""What the kernels are measured against, and nothing plays with: the course's kernel, and sums by atomics.

`course_qlinear` is the kernel of the course's slide with its defects put right: one scale group per step
(BLOCK_K divides the group, where 256 over groups of 128 divided by zero), masks, and tiles that fit shared memory.
Its layout is GPTQ v1 as it stands, eight inputs in each word, so each word is loaded eight times.
`atomic_gemv` is `qlinear.gemv` for one row with the parts added in whatever order they come.
"""

import triton
import triton.language as tl


@triton.jit
def course_qlinear(
    a, b, scales, zeros, out, M, N, K, a_stride, out_stride, GROUP,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out (M, N) = a (M, K) @ W; b int32 (K / 8, N), zeros int32 (groups, N / 8) minus one, scales (groups, N)."""
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    is_output = n < N
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k0 in range(0, K, BLOCK_K):
        k = k0 + tl.arange(0, BLOCK_K)
        rows = tl.load(a + m[:, None] * a_stride + k[None, :], mask=(m[:, None] < M) & (k[None, :] < K), other=0.0)
        inside = (k[:, None] < K) & is_output[None, :]
        words = tl.load(b + (k[:, None] // 8) * N + n[None, :], mask=inside, other=0)
        group = k0 // GROUP
        scale = tl.load(scales + group * N + n, mask=is_output, other=0.0)
        zero = tl.load(zeros + group * (N // 8) + n // 8, mask=is_output, other=0)
        zero = ((zero >> (n % 8) * 4) & 15) + 1
        codes = (words >> (k[:, None] % 8) * 4) & 15
        weights = (codes - zero[None, :]).to(tl.float32) * scale.to(tl.float32)[None, :]
        total = tl.dot(rows, weights.to(rows.dtype), total, input_precision="ieee")
    inside = (m[:, None] < M) & is_output[None, :]
    tl.store(out + m[:, None] * out_stride + n[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def atomic_gemv(
    x, codes, scales, out, K, N, stride, k_per_split, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
):  # fmt: skip
    """out (N,) float32 += x (K,) @ W, 8 bits, without bias; `out` must be cleared before every launch."""
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    start = tl.program_id(1) * k_per_split
    end = tl.minimum(start + k_per_split, K)
    sums = tl.zeros((BLOCK_N, BLOCK_K), dtype=tl.float32)
    for k0 in range(start, end, BLOCK_K):
        k = k0 + tl.arange(0, BLOCK_K)
        inside = (n[:, None] < N) & (k[None, :] < end)
        weights = tl.load(codes + n[:, None] * stride + k[None, :], mask=inside, other=0).to(tl.float32)
        sums += weights * tl.load(x + k, mask=k < end, other=0.0).to(tl.float32)[None, :]
    total = tl.sum(sums, axis=1) * tl.load(scales + n, mask=n < N, other=0.0)
    tl.atomic_add(out + n, total, mask=n < N)
