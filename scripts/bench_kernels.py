#!/usr/bin/env python3
"""Times packed layers and networks on this machine, against what else could run them.

Every figure is the median of paced calls, one every --pace-ms, as live use calls: back to back they read 2 to
20 times lower. Competitors take turns of six calls, after two that are not counted. The floor is bytes over
memory bandwidth; what lies in a cache beats it. Where there is no GPU, rows of the CPU only. GPU times are from
events around CUDA-graph replays, the caches cleared in between by writing something large.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is imported, whose libraries read them once

import numpy as np  # noqa: E402

from instrument.kernels import cpu  # noqa: E402
from instrument.kernels.onnx_cpu import OnnxNet, float_graph, packed_graph  # noqa: E402
from instrument.kernels.packing import FloatArray, PackedLinear, PackedNetwork, to_gptq  # noqa: E402
from instrument.models.quantize import round_to_nearest  # noqa: E402

Call = Callable[[], object]

LIVE = ((99, 128, 64, 8), (6336, 512, 64, 8))
"""Networks, one frame at a time."""
LAYERS = ((1024, 1024), (4096, 4096), (6336, 512), (6336, 4096))
ROWS = (1, 4, 16, 64)
BLOCK, SKIPPED = 8, 2
ENSEMBLE, ENSEMBLE_WIDTHS = 500, (99, 64, 32, 4)
PICTURE_ROWS, PICTURE_WIDTHS = 256 * 256, (99, 128, 64, 8)
GB_PER_S = {"H200": 4800, "H100": 3350, "A100": 2039, "L40S": 864, "4090": 1008, "5090": 1792, "B200": 8000}
"""Memory bandwidth, from the makers' data sheets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Something to run, in several ways."""

    name: str
    ways: Mapping[str, Call]
    base: str
    """The way the ratios are against."""
    weight_bytes: Mapping[str, int]
    """What each way has to read at least."""


def drawn(*widths: int, bits: int, seed: int = 0) -> PackedNetwork:
    """A random packed network."""
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in pairwise(widths):
        weights = rng.standard_normal((inputs, outputs), dtype=np.float32) / np.float32(np.sqrt(inputs))
        layers.append(round_to_nearest(weights, np.zeros(outputs), bits=bits))
    ones = np.ones(widths[0], dtype=np.float32)
    return PackedNetwork(shift=0 * ones, gain=ones, layers=tuple(layers))


def cpu_cases() -> Iterator[Case]:
    """Everything the CPU is asked to do."""
    for widths in LIVE:
        yield _live(widths)
    for sizes in LAYERS:
        for count in ROWS:
            yield _layer(sizes, count)
    members = [drawn(*ENSEMBLE_WIDTHS, bits=8, seed=seed) for seed in range(ENSEMBLE)]
    frame = _rows(1, ENSEMBLE_WIDTHS[0])[0]
    together = cpu.EnsembleForward(members)
    alone = [cpu.FrameForward(cpu.dequantised(member)) for member in members]
    yield Case(
        name=f"ensemble of {ENSEMBLE} x {_text(ENSEMBLE_WIDTHS)}, 1 row",
        ways={
            "numpy, one by one": lambda: [way(frame) for way in alone],
            "numpy, together": lambda: together(frame),
        },
        base="numpy, one by one",
        weight_bytes={},
    )
    network, rows = drawn(*PICTURE_WIDTHS, bits=8), _rows(PICTURE_ROWS, PICTURE_WIDTHS[0])
    layers = cpu.dequantised(network)
    plain = OnnxNet(float_graph(network))
    yield Case(
        name=f"decision picture, {PICTURE_ROWS} rows of {_text(PICTURE_WIDTHS)}",
        ways={"numpy fp32": lambda: cpu.forward(layers, rows), "onnxruntime fp32": lambda: plain.rows(rows)},
        base="numpy fp32",
        weight_bytes={},
    )


def _live(widths: tuple[int, ...]) -> Case:
    frame = _rows(1, widths[0])[0]
    ways: dict[str, Call] = {}
    weight_bytes: dict[str, int] = {}
    for bits in (8, 4):
        network = drawn(*widths, bits=bits)
        choice = cpu.choose(network, cpu.candidates(network))
        ways[f"ours W{bits} ({choice.backend})"] = partial(choice.forward, frame)
        weight_bytes[f"ours W{bits} ({choice.backend})"] = sum(layer.nbytes for layer in network.layers)
    network = drawn(*widths, bits=8)
    layers = cpu.dequantised(network)
    inputs_first = _InputsFirst(layers)
    ways["numpy fp32, x @ W"] = lambda: inputs_first(frame)
    outputs_first = cpu.FrameForward(layers)
    ways["numpy fp32, W.T @ x"] = lambda: outputs_first(frame)
    plain = OnnxNet(float_graph(network))
    ways["onnxruntime fp32"] = lambda: plain(frame)
    ways["onnxruntime fp32, session.run"] = lambda: plain.rows(frame[None, :])
    return Case(name=f"{_text(widths)}, 1 row", ways=ways, base="numpy fp32, x @ W", weight_bytes=weight_bytes)


def _layer(widths: tuple[int, ...], count: int) -> Case:
    rows = _rows(count, widths[0])
    ways: dict[str, Call] = {}
    weight_bytes: dict[str, int] = {}
    network = drawn(*widths, bits=8)
    (weights, biases), *_ = cpu.dequantised(network)
    ways["numpy fp32"] = lambda: rows @ weights + biases
    plain = OnnxNet(float_graph(network))
    ways["onnxruntime fp32"] = lambda: plain.rows(rows)
    for bits in (8, 4):
        packed = drawn(*widths, bits=bits)
        net = OnnxNet(packed_graph(packed))
        ways[f"ours W{bits} (onnxruntime packed)"] = partial(net.rows, rows)
        weight_bytes[f"ours W{bits} (onnxruntime packed)"] = packed.layers[0].nbytes
    weight_bytes["numpy fp32"] = weight_bytes["onnxruntime fp32"] = 4 * widths[0] * widths[1]
    return Case(name=f"{_text(widths)}, {count} rows", ways=ways, base="numpy fp32", weight_bytes=weight_bytes)


class _InputsFirst:
    """The numpy forward pass as most write it, into buffers made once."""

    def __init__(self, layers: list[cpu.Layer]) -> None:
        self._layers = [(weights, biases, np.empty_like(biases)) for weights, biases in layers]

    def __call__(self, values: FloatArray) -> FloatArray:
        for weights, biases, buffer in self._layers:
            np.dot(values, weights, out=buffer)
            buffer += biases
            if buffer is not self._layers[-1][2]:
                np.maximum(buffer, 0.0, out=buffer)
            values = buffer
        return values


def _rows(count: int, width: int) -> FloatArray:
    return np.random.default_rng(1).standard_normal((count, width), dtype=np.float32)


def _text(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def time_on_cpu(case: Case, calls: int, pace_s: float) -> dict[str, list[float]]:
    """Seconds of each call: in turns of BLOCK calls, of which the first find what the others left in the caches."""
    for way in case.ways.values():
        way()
    # The garbage collector's pauses belong to whoever made the garbage, which was not the way being timed.
    gc.disable()
    taken: dict[str, list[float]] = {name: [] for name in case.ways}
    for _ in range(-(-calls // (BLOCK - SKIPPED))):
        for name, way in case.ways.items():
            for call in range(BLOCK):
                time.sleep(pace_s)
                started_s = time.perf_counter()
                way()
                if call >= SKIPPED:
                    taken[name].append(time.perf_counter() - started_s)
    gc.enable()
    return taken


def show(case: Case, taken: Mapping[str, list[float]], gb_per_s: float) -> None:
    """A row per way, as Markdown."""
    base = float(np.median(taken[case.base]))
    for name, times in taken.items():
        median, low, high = (float(np.quantile(times, share)) for share in (0.5, 0.25, 0.75))
        floor = case.weight_bytes.get(name, 0) / (gb_per_s * 1e9)
        share = f"{floor * 1e6:.1f} | {floor / median:.0%}" if floor else " | "
        print(
            f"| {case.name} | {name} | {median * 1e6:.1f} | {low * 1e6:.1f}..{high * 1e6:.1f} "
            f"| {base / median:.2f} x | {share} |",
            flush=True,
        )


def read_bandwidth_gb_per_s() -> float:
    """How fast one thread reads memory, once it no longer fits the caches."""
    block = np.ones(1 << 26, dtype=np.float32)
    best = np.inf
    for _ in range(3):
        started_s = time.perf_counter()
        block.sum()
        best = min(best, time.perf_counter() - started_s)
    return block.nbytes / best / 1e9


def gpu_cases(torch: Any) -> Iterator[Case]:
    """Everything the GPU is asked to do; each way is inside a CUDA graph, except those called eager."""
    for inputs, outputs in LAYERS:
        for rows in ROWS:
            yield _gpu_layer(torch, inputs, outputs, rows)
    yield _gpu_network(torch, LIVE[0], models=1, rows=1, compute="float32")
    yield _gpu_network(torch, LIVE[1], models=1, rows=1, compute="float32")
    yield _gpu_network(torch, ENSEMBLE_WIDTHS, models=ENSEMBLE, rows=1, compute="float32")
    yield _gpu_network(torch, PICTURE_WIDTHS, models=1, rows=PICTURE_ROWS, compute="float16")


def _gpu_layer(torch: Any, inputs: int, outputs: int, rows: int) -> Case:
    launching = importlib.import_module("instrument.kernels.triton.linear")
    x = torch.randn(rows, inputs, device="cuda", dtype=torch.float16)
    full, out = x.float(), torch.empty(rows, outputs, device="cuda", dtype=torch.float16)
    weights = torch.randn(inputs, outputs, device="cuda")
    half = weights.half()
    ways: dict[str, Call] = {
        "cuBLAS fp16, graph": _captured(torch, lambda: x @ half),
        "cuBLAS fp16, eager": lambda: x @ half,
        "cuBLAS fp32, graph": _captured(torch, lambda: full @ weights),
    }
    weight_bytes = {name: (4 if "32" in name else 2) * inputs * outputs for name in ways}
    for bits in (8, 4):
        packed = drawn(inputs, outputs, bits=bits).layers[0]
        layer = launching.DeviceLayer(packed, "cuda")
        ways[f"ours W{bits}, graph"] = _captured(torch, partial(launching.launch, x, layer, out))
        weight_bytes[f"ours W{bits}, graph"] = packed.nbytes
        if bits == 4:
            ways["the course's W4 put right, graph"] = _captured(torch, _course(torch, packed, x, out))
            weight_bytes["the course's W4 put right, graph"] = packed.nbytes
        elif rows == 1:
            ways["W8 by atomics, graph"] = _captured(torch, _by_atomics(torch, layer, x))
            weight_bytes["W8 by atomics, graph"] = packed.nbytes
    name = f"{inputs}-{outputs}, {rows} rows"
    return Case(name=name, ways=ways, base="cuBLAS fp16, graph", weight_bytes=weight_bytes)


def _gpu_network(torch: Any, widths: tuple[int, ...], *, models: int, rows: int, compute: str) -> Case:
    networks = importlib.import_module("instrument.kernels.triton.network")
    computes_in = getattr(importlib.import_module("triton.language"), compute)
    x = torch.randn(rows, widths[0], device="cuda")
    out = torch.empty(models, rows, widths[-1], device="cuda")
    ways: dict[str, Call] = {}
    weight_bytes = {}
    for bits in (8, 4):
        members = [drawn(*widths, bits=bits, seed=seed) for seed in range(models)]
        network = networks.DeviceNetwork(members, "cuda")
        ways[f"ours W{bits}, graph"] = _captured(torch, partial(network, x, out, compute=computes_in))
        weight_bytes[f"ours W{bits}, graph"] = x.nbytes + models * sum(one.nbytes for one in members[0].layers)
    stacks = [torch.randn(models, inputs, outputs, device="cuda").half() for inputs, outputs in pairwise(widths)]

    def by_torch() -> Any:
        values = x.half().expand(models, -1, -1)
        for weights in stacks[:-1]:
            values = torch.relu(torch.matmul(values, weights))
        return torch.matmul(values, stacks[-1])

    ways["torch fp16, graph"], ways["torch fp16, eager"] = _captured(torch, by_torch), by_torch
    name = f"{models} x {_text(widths)}, {rows} rows"
    return Case(name=name, ways=ways, base="torch fp16, graph", weight_bytes=weight_bytes)


def _course(torch: Any, packed: PackedLinear, x: Any, out: Any) -> Call:
    """The course's kernel on the same weights; zeros of 0, which its layout cannot say, become 1."""
    kernel = importlib.import_module("instrument.kernels.triton.baselines").course_qlinear
    assert packed.zeros is not None
    words, zeros, scales = to_gptq(replace(packed, zeros=np.maximum(packed.zeros, 1)))
    arrays = [torch.from_numpy(array).cuda() for array in (words, scales, zeros)]
    rows, inputs, outputs = len(x), packed.inputs, packed.outputs
    grid = (-(-rows // 16), -(-outputs // 32))
    sizes = (rows, outputs, inputs, inputs, outputs, 32)
    return lambda: kernel[grid](x, *arrays, out, *sizes, BLOCK_M=16, BLOCK_N=32, BLOCK_K=32)


def _by_atomics(torch: Any, layer: Any, x: Any) -> Call:
    kernel = importlib.import_module("instrument.kernels.triton.baselines").atomic_gemv
    sums = torch.zeros(layer.outputs, device="cuda")
    splits, block = 8, 512
    per_split = -(-layer.inputs // (splits * block)) * block
    sizes = (layer.inputs, layer.outputs, layer.stride, per_split)

    def run() -> None:
        sums.zero_()
        kernel[(-(-layer.outputs // 4), splits)](x, layer.codes, layer.scales, sums, *sizes, BLOCK_N=4, BLOCK_K=block)

    return run


def _captured(torch: Any, call: Call) -> Call:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()  # compiles, which a capture cannot
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    replay: Call = graph.replay
    return replay


def time_on_gpu(torch: Any, case: Case, calls: int) -> dict[str, list[float]]:
    """Seconds of each call by events, ways interleaved, after something else has been through the caches."""
    other = torch.empty(1 << 28, dtype=torch.int8, device="cuda")
    taken: dict[str, list[float]] = {name: [] for name in case.ways}
    for call in range(calls + 3):
        for name, way in case.ways.items():
            other.zero_()
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            way()
            end.record()
            end.synchronize()
            if call >= 3:
                taken[name].append(start.elapsed_time(end) / 1e3)
    return taken


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=60, help="of each way (default 60)")
    parser.add_argument("--pace-ms", type=float, default=5.0, help="pause before each call (default 5)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    if importlib.util.find_spec("onnxruntime") is None:
        print("onnxruntime is not installed: pip install -e '.[fast]'", file=sys.stderr)
        return 1
    bandwidth = read_bandwidth_gb_per_s()
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    with contextlib.suppress(ImportError):
        versions += f", onnxruntime {importlib.import_module('onnxruntime').__version__}"
    print(f"{_processor()}, one thread, {versions}; memory read at {bandwidth:.0f} GB/s\n")
    titles = ("what", "way", "median us", "middle half us", "against base", "floor us", "of floor")
    header = f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|"
    print(header)
    for case in cpu_cases():
        if options.only in case.name:
            calls = max(6, options.calls // (20 if "picture" in case.name else 1))
            show(case, time_on_cpu(case, calls, options.pace_ms / 1e3), bandwidth)
    if not cpu.has_gpu() or importlib.util.find_spec("triton") is None:
        print("\nNo GPU here: nothing about one was measured.")
        return 0
    torch = importlib.import_module("torch")
    chip = torch.cuda.get_device_name()
    gb_per_s = next((speed for name, speed in GB_PER_S.items() if name in chip), 0) or 1e9
    print(f"\n{chip}, torch {torch.__version__}, triton {importlib.import_module('triton').__version__}\n\n{header}")
    for case in gpu_cases(torch):
        if options.only in case.name:
            show(case, time_on_gpu(torch, case, options.calls), gb_per_s)
    return 0


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
