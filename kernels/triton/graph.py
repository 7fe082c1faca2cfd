"""Launching for nothing: a CUDA graph per model and number of rows, with pinned buffers on both sides.

A launch through Python costs 5 to 9 us and a node of a graph about 1.3. A graph wants the same addresses
every time, so there is one per bucket of rows (1, 2, 4, 8, 16, 32), each with its own buffers; rows that do
not fill a bucket are padded by what was there before, and not given back.

`BucketRunner` decides which bucket runs and swaps all of them when a new model arrives; it knows no CUDA, so that
its logic is tested anywhere. `CudaBucket` is the one part that needs a GPU.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from instrument.kernels.packing import FloatArray, PackedNetwork

BUCKETS = (1, 2, 4, 8, 16, 32)


class Bucket(Protocol):
    """A network captured for a number of rows."""

    rows: FloatArray
    """(bucket, F), pinned: what the next run reads."""
    given: FloatArray
    """(bucket, C), pinned: what the last run gave."""

    def run(self) -> None:
        """Copies in, runs, copies out, and waits until `given` is there."""
        ...


class BucketRunner:
    """Runs a network on 1 to 32 rows; a new network is prepared beside it and swapped in between two calls."""

    def __init__(
        self,
        network: PackedNetwork,
        capture: Callable[[PackedNetwork, int], Bucket],
        buckets: tuple[int, ...] = BUCKETS,
    ) -> None:
        """`capture` makes a bucket; it is called once for each size, here and for every new network."""
        self._capture = capture
        self._sizes = tuple(sorted(buckets))
        self._wanted = 0
        self._lock = threading.Lock()
        self._ready: Mapping[int, Bucket] = self._prepare(network)

    def __call__(self, rows: FloatArray) -> FloatArray:
        """(R, C) for `rows` (R, F), R at most the largest bucket; overwritten by the next call of that bucket.

        Raises ValueError.
        """
        ready = self._ready  # once: a swap between here and the end must not mix two networks
        count = len(rows)
        size = next((size for size in self._sizes if size >= count), None)
        if size is None:
            raise ValueError(f"{count} rows; allowed: 1..{self._sizes[-1]}")
        if not count:
            return np.empty((0, ready[size].given.shape[1]), dtype=np.float32)
        bucket = ready[size]
        bucket.rows[:count] = rows
        bucket.run()
        return bucket.given[:count]

    def replace(self, network: PackedNetwork) -> threading.Thread:
        """Captures that network in a thread of its own and swaps it in; of several under way the newest stays."""
        with self._lock:
            self._wanted += 1
            number = self._wanted

        def build() -> None:
            prepared = self._prepare(network)
            with self._lock:
                if number == self._wanted:
                    self._ready = prepared

        thread = threading.Thread(target=build, name="cuda graphs", daemon=True)
        thread.start()
        return thread

    def _prepare(self, network: PackedNetwork) -> dict[int, Bucket]:
        return {size: self._capture(network, size) for size in self._sizes}


class CudaBucket:
    """A `Bucket` on the current CUDA (or HIP) device, on a stream of its own."""

    def __init__(self, network: PackedNetwork, size: int) -> None:
        import torch

        from instrument.kernels.triton.network import DeviceNetwork

        inputs, *_, outputs = network.widths
        # Its own copy: the workspace of split sums belongs to one stream.
        on_device = DeviceNetwork([network], "cuda")
        pinned_rows = torch.zeros((size, inputs), dtype=torch.float32).pin_memory()
        pinned_given = torch.zeros((size, outputs), dtype=torch.float32).pin_memory()
        rows = torch.zeros((size, inputs), dtype=torch.float32, device="cuda")
        given = torch.zeros((1, size, outputs), dtype=torch.float32, device="cuda")
        self._stream = torch.cuda.Stream()
        self._graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            on_device(rows, given)  # compiles, and makes the workspace before its address is captured
        self._stream.synchronize()
        # thread_local: the other threads of this process may use the GPU meanwhile.
        with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
            rows.copy_(pinned_rows, non_blocking=True)
            on_device(rows, given)
            pinned_given.copy_(given[0], non_blocking=True)
        self._kept = (on_device, pinned_rows, pinned_given, rows, given)
        self.rows: FloatArray = pinned_rows.numpy()
        self.given: FloatArray = pinned_given.numpy()

    def run(self) -> None:
        """Replays on its stream and waits."""
        import torch

        with torch.cuda.stream(self._stream):
            self._graph.replay()
        self._stream.synchronize()


class GraphForward:
    """One frame through a network by CUDA graph: a backend for `kernels/cpu.py` to measure against the others."""

    def __init__(self, network: PackedNetwork) -> None:
        self._runner = BucketRunner(network, CudaBucket, buckets=(1,))

    def __call__(self, values: FloatArray) -> FloatArray:
        """(C,): what the network gives for `values` (F,); overwritten by the next call."""
        return self._runner(values[None, :])[0]
