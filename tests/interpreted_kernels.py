"""The GPU kernels against the naive truth, in Triton's interpreter; `test_kernels_triton.py` runs this.

In a process of its own, as the interpreter is chosen when kernels are decorated, and with one huge tile, as
the interpreter pays per program. What it cannot show: races, timing, and what bf16 does in a product.
Tolerances, of the largest number wanted: float32 1e-5, float16 3e-3, bfloat16 2e-2.
"""

import os

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from packed_networks import drawn_network, golden_networks, largest_error

from instrument.kernels import reference
from instrument.kernels.packing import PackedLinear, from_gptq
from instrument.kernels.triton.baselines import atomic_gemv, course_qlinear
from instrument.kernels.triton.linear import DeviceLayer, Tiles, launch, launch_input_gradient, linear, rounded
from instrument.kernels.triton.network import DeviceNetwork
from instrument.models.quantize import round_to_nearest

TOLERANCE = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
GUARD = 64
assert os.environ.get("TRITON_INTERPRET") == "1"
ODD = [(1, 1, 1), (1, 99, 128), (2, 33, 7), (3, 75, 17), (4, 31, 5), (5, 97, 33), (19, 130, 70), (4096, 40, 9)]


def drawn(inputs: int, outputs: int, bits: int) -> PackedLinear:
    rng = np.random.default_rng(inputs)
    return round_to_nearest(
        rng.standard_normal((inputs, outputs)) / np.sqrt(inputs), rng.standard_normal(outputs), bits=bits
    )


def rows_of(count: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(count).standard_normal((count, width))).to(dtype)


def guarded(tensor: torch.Tensor, around: float) -> torch.Tensor:
    """The tensor, with `around` on either side of it in memory."""
    room = torch.full((tensor.numel() + 2 * GUARD,), around, dtype=tensor.dtype)
    inside = room[GUARD:-GUARD].view(tensor.shape)
    inside.copy_(tensor)
    return inside


def is_untouched(tensor: torch.Tensor, around: float) -> bool:
    room = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
    return bool((room[:GUARD] == around).all() and (room[-GUARD:] == around).all())


def on_device(layer: PackedLinear) -> DeviceLayer:
    """The layer between guards that would spoil any sum they got into."""
    device = DeviceLayer(layer, "cpu")
    device.codes = guarded(device.codes, 113)
    device.scales = guarded(device.scales, float("nan"))
    device.biases = guarded(device.biases, float("nan"))
    device.zeros = guarded(device.zeros, 113) if layer.bits == 4 else device.codes
    return device


def huge(rows: int, inputs: int, outputs: int, splits: int = 1) -> Tiles:
    """One tile for everything, or one for each split."""
    least_rows = 1 if rows <= 4 else 16
    depth = max(32, triton.next_power_of_2(-(-inputs // splits)))
    width = max(16, triton.next_power_of_2(outputs))
    return Tiles(
        rows=max(least_rows, triton.next_power_of_2(rows)),
        outputs=width,
        inputs=depth,
        splits=splits,
        warps=4,
        stages=1,
    )


def run(layer: PackedLinear, x: torch.Tensor, activation: str = "identity", splits: int = 1) -> torch.Tensor:
    """What the kernel gives, from between guards, into poisoned memory between guards."""
    out = guarded(torch.full((len(x), layer.outputs), float("nan"), dtype=x.dtype), 77.0)
    launch(guarded(x, float("nan")), on_device(layer), out, activation, huge(*x.shape, layer.outputs, splits))
    assert is_untouched(out, 77.0)
    return out


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), ODD)
def test_a_layer_gives_what_the_reference_gives(rows: int, inputs: int, outputs: int, bits: int) -> None:
    layer, x = drawn(inputs, outputs, bits), rows_of(rows, inputs)
    assert largest_error(run(layer, x).numpy(), reference.qlinear(x.numpy(), layer)) < 1e-5


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [3, 18])
@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_an_activation_is_the_reference_s(activation: str, rows: int, bits: int) -> None:
    layer, x = drawn(45, 19, bits), 3 * rows_of(rows, 45)
    assert largest_error(run(layer, x, activation).numpy(), reference.qlinear(x.numpy(), layer, activation)) < 1e-5


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activations_stay_finite_far_out(activation: str) -> None:
    layer = round_to_nearest(np.ones((1, 1)), np.zeros(1), bits=8)
    x = torch.tensor([[-1e4], [-90.0], [90.0], [1e4]])
    np.testing.assert_allclose(
        run(layer, x, activation).numpy(), reference.qlinear(x.numpy(), layer, activation), rtol=1e-5
    )


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("rows", "dtype"), [(2, torch.float16), (2, torch.bfloat16), (21, torch.float16)])
def test_half_precision_stays_within_its_own(rows: int, dtype: torch.dtype, bits: int) -> None:
    layer, x = drawn(130, 37, bits), rows_of(rows, 130, dtype)
    wanted = reference.qlinear(x.double().numpy(), layer, "relu")
    assert largest_error(run(layer, x, "relu").double().numpy(), wanted) < TOLERANCE[dtype]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [1, 3, 17])
def test_a_split_sum_is_the_same_bits_every_time_and_leaves_its_workspace_as_it_was(rows: int, bits: int) -> None:
    layer, x = on_device(drawn(301, 21, bits)), rows_of(rows, 301)
    tiles = huge(rows, 301, 21, splits=5)
    given = []
    for _ in range(3):
        parts, arrivals = layer.workspace(5 * rows * 21, 1)
        parts.fill_(float("nan"))  # nobody has to clear it
        out = torch.full((rows, 21), float("nan"))
        launch(x, layer, out, "relu", tiles)
        assert (arrivals == 0).all()
        given.append(out)
    assert torch.equal(given[0], given[1])
    assert torch.equal(given[0], given[2])
    wanted = reference.qlinear(x.numpy(), drawn(301, 21, bits), "relu")
    assert largest_error(given[0].numpy(), wanted) < 1e-5


@pytest.mark.parametrize("bits", [8, 4])
def test_the_tiles_a_gpu_is_given_agree_with_one_huge_tile(bits: int) -> None:
    layer, x = on_device(drawn(70, 37, bits)), rows_of(5, 70)
    out = torch.full((5, 37), float("nan"))
    launch(x, layer, out)
    assert largest_error(out.numpy(), reference.qlinear(x.numpy(), drawn(70, 37, bits))) < 1e-5


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_gradients_are_those_of_float64(activation: str, bits: int) -> None:
    layer = drawn(45, 19, bits)
    device = DeviceLayer(layer, "cpu")
    device.biases.requires_grad_()
    x = rows_of(6, 45).reshape(2, 3, 45).requires_grad_()
    slope = rows_of(7, 19)[:6].reshape(2, 3, 19)
    linear(x, device, activation, huge(6, 45, 19)).backward(slope)
    exact = x.detach().double().requires_grad_()
    biases = torch.from_numpy(layer.biases).double().requires_grad_()
    before = exact @ torch.from_numpy(reference.weights(layer)) + biases
    after = {
        "identity": before, "relu": before.relu(), "tanh": before.tanh(), "sigmoid": before.sigmoid(),
        "gelu": torch.nn.functional.gelu(before),
    }  # fmt: skip
    after[activation].backward(slope.double())
    assert x.grad is not None
    assert device.biases.grad is not None
    assert largest_error(x.grad.numpy(), exact.grad.numpy()) < 1e-5
    assert largest_error(device.biases.grad.numpy(), biases.grad.numpy()) < 1e-5


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [*ODD[:4], (65, 130, 70)])
def test_the_gradient_of_inputs_keeps_to_its_tensor(rows: int, inputs: int, outputs: int, bits: int) -> None:
    layer, slope = drawn(inputs, outputs, bits), rows_of(rows, outputs)
    gradient = guarded(torch.full((rows, inputs), float("nan")), 77.0)
    tiles = Tiles(
        rows=max(16, triton.next_power_of_2(rows)), outputs=128, inputs=max(32, triton.next_power_of_2(inputs)),
        splits=1, warps=4, stages=1,
    )  # fmt: skip
    launch_input_gradient(guarded(slope, float("nan")), on_device(layer), gradient, tiles)
    assert is_untouched(gradient, 77.0)
    assert largest_error(gradient.numpy(), slope.double().numpy() @ reference.weights(layer).T) < 1e-5


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_learn_through_rounding_as_if_it_were_not_there(bits: int) -> None:
    weights = rows_of(19, 75).requires_grad_()
    played = rounded(weights, bits)
    packed = round_to_nearest(weights.detach().numpy().T, np.zeros(19), bits=bits)
    np.testing.assert_allclose(played.detach().numpy(), reference.weights(packed).T, atol=1e-5)
    slope = rows_of(19, 75)
    played.backward(slope)
    assert torch.equal(weights.grad, slope)


def test_what_cannot_be_run_is_refused() -> None:
    layer = DeviceLayer(drawn(5, 3, 8), "cpu")
    with pytest.raises(ValueError, match="rows have 4 numbers; the layer takes 5"):
        linear(torch.zeros(1, 4), layer)
    with pytest.raises(ValueError, match="activation 'swish'; allowed"):
        linear(torch.zeros(1, 5), layer, "swish")
    with pytest.raises(ValueError, match="float64; allowed"):
        linear(torch.zeros(1, 5, dtype=torch.float64), layer)
    with pytest.raises(ValueError, match="contiguous"):
        launch(torch.zeros(5, 2).T, layer, torch.zeros(2, 3))
    assert linear(torch.zeros(0, 5), layer).shape == (0, 3)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("models", [1, 3])
@pytest.mark.parametrize("widths", [(99, 128, 64, 8), (37, 19, 5), (5, 3), (7, 1, 1, 1)])
def test_a_small_network_is_one_launch_for_any_number_of_models(
    widths: tuple[int, ...], models: int, bits: int
) -> None:
    networks = [drawn_network(*widths, bits=bits, seed=seed) for seed in range(models)]
    device = DeviceNetwork(networks, "cpu")
    assert device.is_fused
    for rows, block_m in ((2, 0), (19, 32)):
        x = rows_of(rows, widths[0])
        out = guarded(torch.full((models, rows, widths[-1]), float("nan")), 77.0)
        device(guarded(x, float("nan")), out, block_m=block_m)
        assert is_untouched(out, 77.0)
        for model, network in enumerate(networks):
            assert largest_error(out[model].numpy(), reference.network(x.numpy(), network)) < 1e-5


def test_each_model_of_an_ensemble_may_have_its_own_rows() -> None:
    networks = [drawn_network(9, 6, 2, bits=8, seed=seed) for seed in range(3)]
    x = rows_of(12, 9).reshape(3, 4, 9)
    given = DeviceNetwork(networks, "cpu")(x)
    for model, network in enumerate(networks):
        assert largest_error(given[model].numpy(), reference.network(x[model].numpy(), network)) < 1e-5


def test_a_picture_in_half_precision_is_near_enough() -> None:
    network, x = drawn_network(40, 33, 20, 3, bits=8), rows_of(70, 40)
    given = DeviceNetwork([network], "cpu")(x, compute=tl.float16, block_m=128)
    assert largest_error(given[0].numpy(), reference.network(x.numpy(), network)) < TOLERANCE[torch.float16]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("widths", [(1301, 40, 8), (1999, 130, 33, 5)])
def test_a_wide_network_is_one_launch_and_the_same_bits_every_time(
    widths: tuple[int, ...], rows: int, bits: int
) -> None:
    network, x = drawn_network(*widths, bits=bits), rows_of(rows, widths[0])
    device = DeviceNetwork([network], "cpu")
    assert not device.is_fused
    assert device.is_wide(rows)
    tiles = Tiles(rows=triton.next_power_of_2(rows), outputs=256, inputs=512, splits=4, warps=4, stages=1)
    given = []
    for _ in range(2):
        out = guarded(torch.full((1, rows, widths[-1]), float("nan")), 77.0)
        device.run_wide(guarded(x, float("nan")), out, tiles)
        assert is_untouched(out, 77.0)
        given.append(out[0])
        device._parts.fill_(float("nan"))
    assert torch.equal(given[0], given[1])
    assert largest_error(given[0].numpy(), reference.network(x.numpy(), network)) < 1e-5


def test_other_networks_go_layer_by_layer() -> None:
    network, x = drawn_network(20, 9, 8, 7, 2, bits=8), rows_of(6, 20)
    given = DeviceNetwork([network], "cpu")(x)
    assert largest_error(given[0].numpy(), reference.network(x.numpy(), network)) < 1e-5


@pytest.mark.parametrize("name", ["8 bits", "4 bits"])
def test_golden_vectors_come_out_as_written_down(name: str) -> None:
    network, rows, wanted = golden_networks()[name]
    given = DeviceNetwork([network], "cpu")(torch.from_numpy(rows))
    assert largest_error(given[0].numpy(), wanted) < 1e-5


def test_the_course_s_format_runs_in_its_own_kernel_put_right_and_in_ours() -> None:
    rng = np.random.default_rng(0)
    qweight = rng.integers(-(2**31), 2**31, (32, 16)).astype(np.int32)
    qzeros = rng.integers(-(2**31), 2**31, (2, 2)).astype(np.int32)
    scales = (rng.random((2, 16)) / 100).astype(np.float16)
    layer, x = from_gptq(qweight, qzeros, scales, group_size=128), rows_of(3, 256)
    wanted = reference.qlinear(x.numpy(), layer)
    out = guarded(torch.full((3, 16), float("nan")), 77.0)
    arrays = [torch.from_numpy(array) for array in (qweight, qzeros, scales)]
    course_qlinear[(1, 1)](
        x, arrays[0], arrays[2], arrays[1], out, 3, 16, 256, 256, 16, 128, BLOCK_M=16, BLOCK_N=16, BLOCK_K=128
    )
    assert is_untouched(out, 77.0)
    assert largest_error(out.numpy(), wanted) < 1e-5
    assert largest_error(run(layer, x).numpy(), wanted) < 1e-5


def test_sums_by_atomics_are_the_same_to_within_rounding() -> None:
    layer, x = drawn(301, 21, 8), rows_of(1, 301)
    device, out = on_device(layer), torch.zeros(21)
    atomic_gemv[(1, 3)](x, device.codes, device.scales, out, 301, 21, device.stride, 128, BLOCK_N=32, BLOCK_K=128)
    wanted = reference.qlinear(x.numpy(), layer) - layer.biases
    assert largest_error(out.numpy(), wanted[0]) < 1e-5
