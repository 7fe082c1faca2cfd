"""Gradients, each network alone, optimiser and learning rate, checked against PyTorch in double precision."""

import numpy as np
import pytest
import torch

from instrument.models.adam import Adam, one_cycle_rate
from instrument.models.mlp import Loss, Mlps, beginnings, layer_views, parameter_count

LOSSES: tuple[Loss, ...] = ("cross_entropy", "squared_error")


def batch(rows: int, features: int, outputs: int, loss: Loss, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, outputs))
    if loss == "cross_entropy":
        targets /= targets.sum(axis=1, keepdims=True)
    return rng.standard_normal((rows, features)), targets


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("widths", [(6, 5, 4, 3), (7, 3), (4, 9, 1), (1, 1, 1)])
def test_the_gradient_of_each_network_is_that_of_autograd(widths: tuple[int, ...], loss: Loss, count: int) -> None:
    rngs = [np.random.default_rng(number) for number in range(count)]
    parameters = beginnings(widths, rngs, np.float64)
    networks = Mlps(parameters, widths, loss=loss, rows=11)
    batches = [batch(11, widths[0], widths[-1], loss, seed) for seed in range(count)]
    inputs, targets = (np.stack(arrays) for arrays in zip(*batches, strict=True))
    losses = networks.losses_and_gradient(inputs, targets)

    tensors = [torch.tensor(array, requires_grad=True) for layer in networks.layers for array in layer]
    rows = torch.tensor(inputs)
    for index in range(0, len(tensors), 2):
        rows = rows @ tensors[index] + tensors[index + 1]
        if index + 2 < len(tensors):
            rows = torch.relu(rows)
    criterion = torch.nn.CrossEntropyLoss() if loss == "cross_entropy" else torch.nn.MSELoss()
    wanted = [criterion(given, torch.tensor(own)) for given, own in zip(rows, targets, strict=True)]
    torch.stack(wanted).sum().backward()

    np.testing.assert_allclose(losses, [one.item() for one in wanted], rtol=1e-12)
    assert networks.gradient.shape == (count, parameter_count(widths))
    found = [array for layer in layer_views(networks.gradient, widths) for array in layer]
    for ours, theirs in zip(found, tensors, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_adam_moves_as_pytorch_s_does() -> None:
    rng = np.random.default_rng(0)
    ours = rng.standard_normal(20)
    theirs = torch.nn.Parameter(torch.tensor(ours))
    adam, reference = Adam(ours), torch.optim.Adam([theirs])
    for rate in (0.1, 0.01, 0.5, 0.001, 0.2):
        gradient = rng.standard_normal(20)
        theirs.grad = torch.tensor(gradient)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        adam.step(gradient, rate)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("steps", [7, 100, 301])
def test_the_rate_goes_as_pytorch_s_one_cycle(steps: int) -> None:
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.02, total_steps=steps)
    for step in range(steps):
        assert one_cycle_rate(step, steps, 0.02) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimiser.step()
        if step + 1 < steps:
            schedule.step()


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_rate_is_positive_however_few_steps_there_are(steps: int) -> None:
    assert all(0 < one_cycle_rate(step, steps, 0.02) <= 0.02 for step in range(steps))
