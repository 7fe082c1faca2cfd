"""Packed networks to test with: drawn at random, or read from the golden vectors."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import PackedNetwork, from_tensors
from instrument.models.quantize import round_to_nearest

GOLDEN = Path(__file__).with_name("golden_vectors.json")


def drawn_network(*widths: int, bits: int, seed: int = 0) -> PackedNetwork:
    rng = np.random.default_rng(seed)
    return PackedNetwork(
        shift=rng.standard_normal(widths[0], dtype=np.float32),
        gain=rng.random(widths[0], dtype=np.float32) + np.float32(0.5),
        layers=tuple(
            round_to_nearest(
                rng.standard_normal((inputs, outputs)) / np.sqrt(inputs), rng.standard_normal(outputs), bits=bits
            )
            for inputs, outputs in pairwise(widths)
        ),
    )


def golden_networks() -> dict[str, tuple[PackedNetwork, NDArray[np.float32], NDArray[np.float64]]]:
    """By name: a network, rows, and what it gives for them, as written down once."""
    read = {}
    for name, case in json.loads(GOLDEN.read_text(encoding="utf-8")).items():
        layers = []
        for layer in case["layers"]:
            named = {
                key: np.frombuffer(bytes.fromhex(text), dtype=kind).reshape(shape)
                for key, (kind, shape, text) in layer.items()
            }
            layers.append(from_tensors(named))
        network = PackedNetwork(
            shift=np.array(case["shift"], dtype=np.float32),
            gain=np.array(case["gain"], dtype=np.float32),
            layers=tuple(layers),
        )
        read[name] = (network, np.array(case["rows"], dtype=np.float32), np.array(case["given"]))
    return read


def largest_error(came: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Of the largest number wanted."""
    return float(np.abs(came - wanted).max() / np.abs(wanted).max())
