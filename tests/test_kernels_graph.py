"""Buckets of rows and the swap of models, with buckets that are plain Python instead of CUDA graphs."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from packed_networks import drawn_network

from instrument.kernels.cpu import dequantised, forward
from instrument.kernels.packing import FloatArray, PackedNetwork
from instrument.kernels.triton.graph import BUCKETS, BucketRunner

FIRST, SECOND, THIRD = (drawn_network(7, 5, 3, bits=8, seed=seed) for seed in range(3))


class PlainBucket:
    """Runs on whatever lies in its buffers, as a graph does."""

    def __init__(self, network: PackedNetwork, size: int) -> None:
        self.rows: FloatArray = np.full((size, 7), np.nan, dtype=np.float32)
        self.given: FloatArray = np.full((size, 3), np.nan, dtype=np.float32)
        self._layers = dequantised(network)

    def run(self) -> None:
        self.given[...] = forward(self._layers, self.rows)


def rows_of(count: int) -> FloatArray:
    return np.random.default_rng(count).standard_normal((count, 7), dtype=np.float32)


def answer(network: PackedNetwork, rows: FloatArray) -> FloatArray:
    return forward(dequantised(network), rows)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 17, 31, 32])
def test_rows_go_through_the_smallest_bucket_that_holds_them(count: int) -> None:
    made: dict[int, PlainBucket] = {}

    def capture(network: PackedNetwork, size: int) -> PlainBucket:
        made[size] = PlainBucket(network, size)
        return made[size]

    runner = BucketRunner(FIRST, capture)
    assert tuple(made) == BUCKETS
    rows = rows_of(count)
    np.testing.assert_allclose(runner(rows), answer(FIRST, rows), rtol=1e-5, atol=1e-6)
    used = [size for size, bucket in made.items() if not np.isnan(bucket.rows).all()]
    assert used == [min(size for size in BUCKETS if size >= count)]


def test_too_many_rows_are_refused_and_none_give_none() -> None:
    runner = BucketRunner(FIRST, PlainBucket)
    with pytest.raises(ValueError, match=r"33 rows; allowed: 1\.\.32"):
        runner(rows_of(33))
    assert runner(rows_of(0)).shape == (0, 3)


def test_a_new_network_is_prepared_beside_the_old_one_and_then_takes_over() -> None:
    go = threading.Event()

    def capture(network: PackedNetwork, size: int) -> PlainBucket:
        if network is not FIRST:
            go.wait(5)
        return PlainBucket(network, size)

    runner, rows = BucketRunner(FIRST, capture), rows_of(3)
    thread = runner.replace(SECOND)
    np.testing.assert_allclose(runner(rows), answer(FIRST, rows), rtol=1e-5, atol=1e-6)
    go.set()
    thread.join(5)
    np.testing.assert_allclose(runner(rows), answer(SECOND, rows), rtol=1e-5, atol=1e-6)


def test_of_two_networks_under_way_the_newer_stays_even_if_it_is_ready_first() -> None:
    slow = threading.Event()

    def capture(network: PackedNetwork, size: int) -> PlainBucket:
        if network is SECOND:
            slow.wait(5)
        return PlainBucket(network, size)

    runner, rows = BucketRunner(FIRST, capture), rows_of(2)
    older = runner.replace(SECOND)
    runner.replace(THIRD).join(5)
    slow.set()
    older.join(5)
    np.testing.assert_allclose(runner(rows), answer(THIRD, rows), rtol=1e-5, atol=1e-6)


def test_none_of_this_needs_torch() -> None:
    code = "import instrument.kernels.triton.graph, sys; sys.exit(bool({'torch', 'triton'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
