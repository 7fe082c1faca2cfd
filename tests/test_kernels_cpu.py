"""The forward pass in numpy."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from instrument.kernels.cpu import FloatArray, FrameForward, Layer, forward


def layers(*widths: int) -> list[Layer]:
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((inputs, outputs), dtype=np.float32), rng.standard_normal(outputs, dtype=np.float32))
        for inputs, outputs in pairwise(widths)
    ]


def by_hand(network: list[Layer], values: FloatArray) -> list[float]:
    rows = [float(value) for value in values]
    for number, (weights, biases) in enumerate(network):
        rows = [sum(rows[i] * weights[i, j] for i in range(len(rows))) + biases[j] for j in range(len(biases))]
        if number < len(network) - 1:
            rows = [max(0.0, row) for row in rows]
    return rows


@pytest.mark.parametrize("widths", [(7, 5, 3), (3, 1), (1, 1, 1), (33, 17, 9, 2)])
def test_a_frame_and_a_batch_give_what_the_sums_give_by_hand(widths: tuple[int, ...]) -> None:
    network = layers(*widths)
    rows = np.random.default_rng(1).standard_normal((4, widths[0]), dtype=np.float32)
    wanted = np.array([by_hand(network, row) for row in rows])
    frame = FrameForward(network)
    np.testing.assert_allclose(forward(network, rows), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose([frame(row).copy() for row in rows], wanted, rtol=1e-4, atol=1e-4)


def test_no_rows_give_no_rows() -> None:
    assert forward(layers(5, 4, 3), np.zeros((0, 5), dtype=np.float32)).shape == (0, 3)


def test_neither_form_writes_into_what_it_is_given() -> None:
    network = layers(5, 4, 3)
    values = np.ones((1, 5), dtype=np.float32)
    forward(network, values)
    FrameForward(network)(values[0])
    assert (values == 1.0).all()


def test_one_thread_is_refused_once_numpy_is_there() -> None:
    code = "import numpy; from instrument.kernels.threads import use_one_thread; use_one_thread()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "numpy is imported already" in result.stderr
