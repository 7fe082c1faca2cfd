"""Many networks trained at once: each as if it were alone, and they disagree where nothing was shown."""

from dataclasses import replace

import numpy as np
import pytest

from instrument.kernels.cpu import EnsembleForward, FrameForward, dequantised
from instrument.kernels.packing import PackedNetwork
from instrument.models.ensemble import fit_ensemble
from instrument.models.fitting import Cancelled, Examples, Recipe
from instrument.models.quantize import round_to_nearest

RNG = np.random.default_rng(0)
RECIPE = Recipe(steps=120, noise=0.1)


def a_task(classes: int) -> Examples:
    values = RNG.standard_normal((200, 6), dtype=np.float32)
    shown = np.tanh(values[:, 0]) * 0.5 + 0.5
    targets = (shown * classes).astype(np.intp) if classes else shown
    return Examples(values=values, targets=targets, takes=np.arange(200) // 50, class_count=classes)


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
