"""Many networks trained at once: each as if it were alone, and they disagree where nothing was shown."""

from dataclasses import replace

import numpy as np
import pytest

from instrument.kernels.cpu import EnsembleForward, FrameForward, dequantised
from instrument.kernels.packing import PackedNetwork
from instrument.models.ensemble import BatchedMlps, fit_ensemble
from instrument.models.fitting import Cancelled, Examples, Recipe
from instrument.models.mlp import Mlp, layer_views
from instrument.models.quantize import round_to_nearest

RNG = np.random.default_rng(0)
RECIPE = Recipe(steps=120, noise=0.1)


def a_task(classes: int) -> Examples:
    values = RNG.standard_normal((200, 6), dtype=np.float32)
    shown = np.tanh(values[:, 0]) * 0.5 + 0.5
    targets = (shown * classes).astype(np.intp) if classes else shown
    return Examples(values=values, targets=targets, takes=np.arange(200) // 50, class_count=classes)


@pytest.mark.parametrize("is_class", [True, False])
def test_the_gradient_of_every_member_is_that_of_a_network_alone(is_class: bool) -> None:
    widths = (6, 5, 4, 3)
    batched = BatchedMlps(widths, [np.random.default_rng(seed) for seed in range(3)], is_class=is_class)
    rows = RNG.standard_normal((3, 8, 6), dtype=np.float32)
    targets = np.full((3, 8, 3), 1 / 3, dtype=np.float32)
    losses = batched.losses_and_gradient(rows, targets)
    for member in range(3):
        loss = "cross_entropy" if is_class else "squared_error"
        alone = Mlp(widths, loss=loss, rows=8, rng=np.random.default_rng(member))
        assert alone.loss_and_gradient(rows[member], targets[member]) == pytest.approx(losses[member], rel=1e-5)
        for (weights, biases), (own_weights, own_biases) in zip(
            layer_views(alone.gradient, widths), batched._gradients, strict=True
        ):
            np.testing.assert_allclose(own_weights[member], weights, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(own_biases[member, 0], biases, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", [0, 3])
def test_features_that_never_change_make_no_difference_to_what_members_learn(classes: int) -> None:
    examples = a_task(classes)
    beside = np.full((200, 2), -3.0, dtype=np.float32)
    wide = replace(examples, values=np.concatenate([beside, examples.values], axis=1))
    plain, found = (fit_ensemble(one, hidden=(8,), seeds=(3, 4), recipe=RECIPE) for one in (examples, wide))
    assert (found.gain == np.concatenate([[0, 0], plain.gain])).all()
    assert (found.shift == np.concatenate([[-3, -3], plain.shift])).all()
    for one, other in zip(found.members, plain.members, strict=True):
        assert not one[0][0][:2].any()
        assert (one[0][0][2:] == other[0][0]).all()
        assert (one[0][1] == other[0][1]).all()


@pytest.mark.parametrize("classes", [0, 3])
def test_a_member_does_not_depend_on_its_neighbours(classes: int) -> None:
    examples = a_task(classes)
    both = fit_ensemble(examples, hidden=(8,), seeds=(3, 4), recipe=RECIPE)
    alone = fit_ensemble(examples, hidden=(8,), seeds=(4,), recipe=RECIPE)
    for (weights, biases), (own, own_biases) in zip(both.members[1], alone.members[0], strict=True):
        np.testing.assert_allclose(weights, own, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(biases, own_biases, rtol=1e-3, atol=1e-4)


def test_members_agree_on_what_was_shown_and_not_on_what_was_not() -> None:
    examples = a_task(0)
    ensemble = fit_ensemble(examples, hidden=(16, 8), seeds=range(8), recipe=RECIPE)
    assert max(ensemble.losses) < 0.05
    networks = [
        PackedNetwork(
            shift=ensemble.shift,
            gain=ensemble.gain,
            layers=tuple(round_to_nearest(*layer, bits=8) for layer in member),
        )
        for member in ensemble.members
    ]
    run = EnsembleForward(networks)
    seen = np.mean([run(row).std(axis=0) for row in examples.values[:50]])
    unseen = np.mean([run(row).std(axis=0) for row in examples.values[:50] * 8])
    assert unseen > 3 * seen
    for network, given in zip(networks, run(examples.values[0]), strict=True):
        np.testing.assert_allclose(given, FrameForward(dequantised(network))(examples.values[0]), rtol=1e-4, atol=1e-5)


def test_it_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        fit_ensemble(a_task(0), hidden=(4,), seeds=(1,), recipe=RECIPE, is_cancelled=lambda: True)
