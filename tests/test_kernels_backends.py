"""Running packed networks on the CPU: the same numbers from every backend, and the fastest of them is taken."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from packed_networks import drawn_network, golden_networks, largest_error

from instrument.kernels import cpu, reference
from instrument.kernels.onnx_cpu import OnnxNet, float_graph, packed_graph
from instrument.kernels.packing import FloatArray, PackedNetwork

TOLERANCE = 3e-4
"""Of the largest output: what the activations of `packed_graph` lose."""
SHAPES = [(5, 3), (1, 1, 1), (33, 17, 2), (300, 70, 9), (257, 64, 1), (99, 128, 64, 8)]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("widths", SHAPES)
def test_every_backend_gives_what_the_reference_gives(widths: tuple[int, ...], bits: int) -> None:
    network = drawn_network(*widths, bits=bits)
    rows = 3 * np.random.default_rng(1).standard_normal((4, widths[0]), dtype=np.float32)
    wanted = reference.network(rows, network)
    layers = cpu.dequantised(network)
    frame = cpu.FrameForward(layers)
    packed, plain = OnnxNet(packed_graph(network, wide=1)), OnnxNet(float_graph(network))
    assert largest_error(cpu.forward(layers, rows), wanted) < 1e-5
    assert largest_error(np.array([frame(row).copy() for row in rows]), wanted) < 1e-5
    assert largest_error(np.array([plain(row).copy() for row in rows]), wanted) < 1e-5
    assert largest_error(np.array([packed(row).copy() for row in rows]), wanted) < TOLERANCE
    assert largest_error(packed.rows(rows), wanted) < TOLERANCE


@pytest.mark.parametrize("name", ["8 bits", "4 bits"])
def test_golden_vectors_come_out_as_written_down(name: str) -> None:
    network, rows, wanted = golden_networks()[name]
    assert largest_error(reference.network(rows, network), wanted) < 1e-12
    assert largest_error(cpu.forward(cpu.dequantised(network), rows), wanted) < 1e-5
    assert largest_error(OnnxNet(packed_graph(network, wide=1)).rows(rows), wanted) < TOLERANCE


def test_a_value_that_never_changed_counts_for_nothing() -> None:
    network = drawn_network(40, 9, 2, bits=8)
    network.gain[7] = 0.0
    rows = np.random.default_rng(1).standard_normal((2, 40), dtype=np.float32)
    moved = rows.copy()
    moved[:, 7] = 1e6
    for way in (cpu.FrameForward(cpu.dequantised(network)), OnnxNet(packed_graph(network, wide=1))):
        np.testing.assert_allclose(way(moved[0]).copy(), way(rows[0]).copy(), rtol=1e-5)


@pytest.mark.parametrize("deviations", [30.0, 100.0, 1e4])
def test_a_glitch_costs_the_packed_backend_little_of_what_it_moves(deviations: float) -> None:
    network = drawn_network(300, 70, 9, bits=8)
    row = network.shift + np.random.default_rng(1).standard_normal(300, dtype=np.float32) / network.gain
    row[7] += np.float32(deviations) / network.gain[7]
    wanted = cpu.FrameForward(cpu.dequantised(network))(row)
    assert largest_error(OnnxNet(packed_graph(network, wide=1))(row), wanted) < 1e-2


class Fake:
    """A backend that takes so long on the clock that the test moves."""

    def __init__(self, clock: list[float], takes_s: float, gives: Callable[[FloatArray], FloatArray]) -> None:
        self._clock, self._takes_s, self._gives = clock, takes_s, gives

    def __call__(self, values: FloatArray) -> FloatArray:
        self._clock[0] += self._takes_s
        return self._gives(values)


def choose(network: PackedNetwork, takes_s: float, wrong: float = 0.0) -> cpu.Choice:
    clock = [0.0]
    exact = cpu.FrameForward(cpu.dequantised(network))
    fake = Fake(clock, takes_s, lambda values: exact(values) * np.float32(1 + wrong))
    return cpu.choose(network, {"fake": lambda: fake}, clock=lambda: clock[0], pause=lambda _: None)


def test_the_fastest_is_taken() -> None:
    network = drawn_network(5, 3, bits=8)
    assert choose(network, takes_s=1.0).backend == "numpy"
    assert choose(network, takes_s=-1.0).backend == "fake"
    assert choose(network, takes_s=1.0).microseconds == {"numpy": 0.0, "fake": 1e6}


def test_one_that_gives_other_numbers_is_refused_and_says_so() -> None:
    choice = choose(drawn_network(5, 3, bits=8), takes_s=-1.0, wrong=0.01)
    assert choice.backend == "numpy"
    assert "differs by 0.01" in choice.refused["fake"]


def test_one_that_fails_is_refused_and_says_so() -> None:
    def broken() -> cpu.Forward:
        raise RuntimeError("no such instruction")

    choice = cpu.choose(drawn_network(5, 3, bits=8), {"fake": broken}, pause=lambda _: None)
    assert choice.backend == "numpy"
    assert choice.refused == {"fake": "RuntimeError: no such instruction"}


def test_only_wide_networks_are_in_question() -> None:
    assert cpu.candidates(drawn_network(99, 128, 64, 8, bits=8)) == {}
    assert "onnxruntime packed" in cpu.candidates(drawn_network(6336, 64, 2, bits=8))


def test_without_onnxruntime_a_wide_network_is_numpy_s() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None; sys.path.insert(0, 'tests')\n"
        "from packed_networks import drawn_network\n"
        "from instrument.kernels import cpu\n"
        "network = drawn_network(6336, 64, 2, bits=8)\n"
        "print(cpu.choose(network, cpu.candidates(network)).backend)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "numpy", run.stderr
