"""The GPU kernels without a GPU: run in Triton's interpreter, and compiled for every chip, each in its own process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
if not all(importlib.util.find_spec(name) for name in ("torch", "triton")):
    pytest.skip("torch and triton are not installed (extra `test`, on Linux)", allow_module_level=True)

SHORT = (
    "gemv W{}, 4 rows, fp32",
    "W{}, tiles of 64 rows, fp16",
    "gradient W{}, fp32",
    "mlp_frame W{}",
    "mlp_batch W{}, fp16",
    "wide mlp W{}, 4",
)
"""One variant of every kernel for each number of bits; without arguments `ahead` compiles all of them."""


def test_every_kernel_gives_what_the_reference_gives() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "interpreted_kernels.py")]
    run = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


def test_every_kernel_compiles_for_every_chip_without_spilling() -> None:
    names = [name.format(bits) for name in SHORT for bits in (8, 4)]
    command = [sys.executable, "-m", "instrument.kernels.triton.ahead", *names]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-4000:]
    header, _, *rows = run.stdout.splitlines()
    assert header.split(" | ")[1:] == ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120", "gfx942 |"]
    assert len(rows) == len(SHORT) * 2
