"""The packed format: what goes in comes out, as numbers, arrays and GPTQ words, and nothing else is accepted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instrument.kernels import reference
from instrument.kernels.packing import (
    GROUP,
    PackedLinear,
    PackedNetwork,
    PackingError,
    dequantise,
    from_gptq,
    from_tensors,
    group_count,
    most_bytes,
    pack,
    to_gptq,
    to_tensors,
    unpack,
)

SIZES = st.integers(1, 70) | st.sampled_from([127, 128, 129, 333, 1001])


def drawn(inputs: int, outputs: int, bits: int, seed: int = 0) -> tuple[PackedLinear, np.ndarray]:
    """A layer of random codes, and those codes less their zeros."""
    rng = np.random.default_rng(seed)
    groups = group_count(inputs, bits)
    scales = rng.standard_normal((outputs, groups)).astype(np.float32)
    biases = rng.standard_normal(outputs).astype(np.float32)
    if bits == 8:
        codes = rng.integers(-128, 128, (inputs, outputs))
        return pack(codes, scales, None, biases, bits=8), codes
    codes = rng.integers(0, 16, (inputs, outputs))
    zeros = rng.integers(0, 17, (outputs, groups))
    steps = codes - np.repeat(zeros.T, GROUP, axis=0)[:inputs]
    return pack(codes, scales, zeros, biases, bits=4), steps


@given(SIZES, SIZES, st.sampled_from([8, 4]), st.integers(0, 99))
@settings(max_examples=150)
def test_codes_come_back_as_they_were_packed(inputs: int, outputs: int, bits: int, seed: int) -> None:
    layer, steps = drawn(inputs, outputs, bits, seed)
    assert (unpack(layer) == steps).all()
    again = from_tensors(to_tensors(layer))
    assert (unpack(again) == steps).all()
    assert (again.bits, again.inputs, again.outputs) == (bits, inputs, outputs)
    network = PackedNetwork(shift=np.zeros(inputs, np.float32), gain=np.ones(inputs, np.float32), layers=(layer,))
    assert sum(array.nbytes for array in network.tensors().values()) <= most_bytes((inputs, outputs))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("inputs", "outputs"), [(4099, 511), (6336, 513)])
def test_large_odd_layers_come_back(inputs: int, outputs: int, bits: int) -> None:
    layer, steps = drawn(inputs, outputs, bits)
    assert (unpack(from_tensors(to_tensors(layer))) == steps).all()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (31, 3), (33, 2), (70, 9)])
def test_every_weight_is_where_the_format_says(inputs: int, outputs: int, bits: int) -> None:
    layer, _ = drawn(inputs, outputs, bits)
    np.testing.assert_array_equal(dequantise(layer), reference.weights(layer).astype(np.float32))


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40)
def test_gptq_s_layout_is_read_word_by_word(eights: int, output_eights: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, outputs = 8 * eights, 8 * output_eights
    groups = group_count(inputs, 4)
    qweight = rng.integers(-(2**31), 2**31, (eights, outputs)).astype(np.int32)
    qzeros = rng.integers(-(2**31), 2**31, (groups, output_eights)).astype(np.int32)
    scales = rng.standard_normal((groups, outputs)).astype(np.float16)
    layer = from_gptq(qweight, qzeros, scales, group_size=32)
    for k, n in [(0, 0), (inputs - 1, outputs - 1), (inputs // 2, outputs // 3)]:
        code = int(qweight[k // 8, n]) >> 4 * (k % 8) & 15
        zero = (int(qzeros[k // 32, n // 8]) >> 4 * (n % 8) & 15) + 1
        assert reference.weight(layer, k, n) == (code - zero) * float(scales[k // 32, n])
    words, zeros, kept = to_gptq(layer)
    np.testing.assert_array_equal(words, qweight)
    np.testing.assert_array_equal(zeros, qzeros)
    np.testing.assert_array_equal(kept, scales)


def test_gptq_s_groups_of_128_become_four_of_32() -> None:
    rng = np.random.default_rng(0)
    qweight = rng.integers(-(2**31), 2**31, (32, 16)).astype(np.int32)
    qzeros = rng.integers(-(2**31), 2**31, (2, 2)).astype(np.int32)
    scales = rng.standard_normal((2, 16)).astype(np.float16)
    layer = from_gptq(qweight, qzeros, scales, group_size=128, g_idx=np.arange(256) // 128)
    assert (layer.scales[:, :4] == layer.scales[:, :1]).all()
    code, zero = int(qweight[30, 5]) & 15, (int(qzeros[1, 0]) >> 20 & 15) + 1
    assert reference.weight(layer, 240, 5) == (code - zero) * float(scales[1, 5])


def test_gptq_s_last_group_may_be_cut_short() -> None:
    scales = np.array([[1.0] * 8, [2.0] * 8], dtype=np.float16)
    qweight, qzeros = np.full((24, 8), 0x22222222, np.int32), np.zeros((2, 1), np.int32)
    layer = from_gptq(qweight, qzeros, scales, group_size=128)
    assert [reference.weight(layer, k, 0) for k in (0, 127, 128, 191)] == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"group_size": 16}, "2 groups of 16 do not hold 64 inputs"),
        ({"g_idx": np.arange(64) % 2}, "act-order"),
        ({"scales": np.ones((2, 7), np.float16)}, "do not agree"),
        (
            {"group_size": 16, "scales": np.ones((4, 8), np.float16), "qzeros": np.zeros((4, 1), np.int32)},
            "groups of 16 inputs",
        ),
    ],
)
def test_gptq_that_cannot_be_kept_is_refused(changed: dict[str, Any], said: str) -> None:
    given = {
        "qweight": np.zeros((8, 8), np.int32),
        "qzeros": np.zeros((2, 1), np.int32),
        "scales": np.ones((2, 8), np.float16),
        "group_size": 32,
    }
    with pytest.raises(PackingError, match=said):
        from_gptq(**{**given, **changed})


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("format", np.array([2, 4, 32, 40, 3], np.int32), "format 2; allowed: 1"),
        ("format", np.array([1, 3, 32, 40, 3], np.int32), "3 bits"),
        ("format", np.array([1, 4, 64, 40, 3], np.int32), "groups of 64"),
        ("format", np.array([1, 8, 32, 40, 3], np.int32), "has biases, codes"),
        ("format", np.array([1, 4, 32, 400, 3], np.int32), "codes are uint8"),
        ("format", np.array([1, 4, 32, 40], np.int32), "five whole numbers"),
        ("format", np.array([1, 4, 32, 2**31 - 1, 2**31 - 1], np.int32), "codes are"),
        ("codes", np.zeros((3, 32), np.int8), "int8"),
        ("scales", np.full((3, 2), np.nan, np.float32), "not finite"),
        ("scales", np.full((3, 2), 1e38, np.float32), "give weights that are not"),
        ("scales", np.ones((3, 2), np.float64), "float64"),
        ("zeros", np.full((3, 2), 17, np.uint8), "zero of 17"),
        ("biases", np.full(3, np.inf, np.float32), "biases that are not finite"),
        ("extra", np.zeros(1, np.float32), "extra"),
    ],
)
def test_arrays_that_are_no_layer_are_refused(name: str, wrong: np.ndarray, said: str) -> None:
    named = to_tensors(drawn(40, 3, 4)[0])
    with pytest.raises(PackingError, match=said):
        from_tensors({**named, name: wrong})


@pytest.mark.parametrize("missing", ["format", "codes", "scales", "zeros", "biases"])
def test_a_layer_without_all_its_arrays_is_refused(missing: str) -> None:
    named = to_tensors(drawn(40, 3, 4)[0])
    del named[missing]
    with pytest.raises(PackingError):
        from_tensors(named)


def test_codes_out_of_range_are_refused() -> None:
    with pytest.raises(PackingError, match=r"0..16; allowed: 0..15"):
        pack(np.array([[0], [16]]), np.ones((1, 1)), np.ones((1, 1)), np.zeros(1), bits=4)
