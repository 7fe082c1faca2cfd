"""Many programs for one sum, always in the same order.

A layer with few rows and few outputs has too few tiles to fill a GPU, so K is split too (split-K, as in
arXiv 2402.00025). Adding the parts with atomics gives another sum in every run, as float addition does not
commute across roundings: fp16 outputs moved by 3.9e-3 when the order was shuffled. Here every program writes
its part to a workspace and counts itself; whoever comes last adds the parts in the order of their
numbers, finishes the tile, and sets the count back to 0. So the same inputs give the same bits, nothing has
to be cleared between launches, and a CUDA graph can replay it.
"""

import triton
import triton.language as tl


@triton.jit
def write_part(part, parts, arrivals, tile, split, m, n, M, N, expected):
    """Keeps this program's part (rows, outputs) of a tile; whether it was the last of those expected.

    `parts` (splits, M, N) float32, `arrivals` (tiles,) int32 zeros.
    """
    inside = (m[:, None] < M) & (n[None, :] < N)
    tl.store(parts + (split * M + m[:, None]) * N + n[None, :], part, mask=inside)
    # One thread counts for all, so all must have written; acq_rel then shows their parts to whoever is last.
    tl.debug_barrier()
    arrived = tl.atomic_add(arrivals + tile, 1, sem="acq_rel")
    return arrived == expected - 1


@triton.jit
def sum_parts(parts, m, n, M, N, SPLITS: tl.constexpr):
    """The sum of all parts at rows `m` and outputs `n`, of shapes that go together, in the order of the parts."""
    inside = (m < M) & (n < N)
    here = parts + m * N + n
    # .cg: from the cache that all processors share; this one's own may hold what was there before
    total = tl.load(here, mask=inside, other=0.0, cache_modifier=".cg")
    for split in range(1, SPLITS):
        total += tl.load(here + split * M * N, mask=inside, other=0.0, cache_modifier=".cg")
    return total
