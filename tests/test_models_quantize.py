"""Packing what was trained: each method beats the one before it, and what is heard of it is said."""

import numpy as np
import pytest

from instrument.kernels.cpu import Layer, forward
from instrument.kernels.packing import FloatArray, dequantise
from instrument.models import quantize
from instrument.models.fitting import Examples, Recipe, fit
from instrument.models.quantize import calibrate, controls, gptq, round_to_nearest, train_on

RNG = np.random.default_rng(0)


def correlated(count: int, features: int) -> FloatArray:
    """(count, features) that move together, as the points of a body do."""
    mix = RNG.standard_normal((features, features)) @ np.diag(np.linspace(1, 0.02, features))
    return (RNG.standard_normal((count, features)) @ mix / np.sqrt(features)).astype(np.float32)


def a_fit(classes: int = 0) -> tuple[Examples, tuple[Layer, ...], FloatArray, FloatArray]:
    values = correlated(600, 40) * 5 + 100
    wave = np.sin(values[:, 0] / 3) * 0.4 + 0.5
    targets = np.minimum(wave * classes, classes - 1).astype(np.intp) if classes else wave.astype(np.float32)
    examples = Examples(values=values, targets=targets, takes=np.arange(600) // 100, class_count=classes)
    fitted = fit(examples, hidden=(32, 16), seed=0, recipe=Recipe(steps=150, noise=0.1))
    return examples, fitted.bare, fitted.shift, fitted.gain


FIT = a_fit()


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_is_off_by_half_a_step_at_most(bits: int) -> None:
    weights = RNG.standard_normal((75, 6)).astype(np.float32)
    layer = round_to_nearest(weights, np.zeros(6), bits=bits)
    steps = layer.scales.T if bits == 8 else np.repeat(layer.scales.T, 32, axis=0)[:75]
    ends = 1.0 if bits == 4 else 0.5  # the zero of a group is rounded too, which can cost its ends another half
    assert (np.abs(dequantise(layer) - weights) <= steps * (ends + 1e-4)).all()


@pytest.mark.parametrize("weights", [np.zeros((3, 2)), np.full((40, 1), 1e-30), np.array([[1e30], [-1e-30]])])
@pytest.mark.parametrize("bits", [8, 4])
def test_weights_of_any_size_are_packed(weights: np.ndarray, bits: int) -> None:
    got = dequantise(round_to_nearest(weights, np.zeros(weights.shape[1]), bits=bits))
    np.testing.assert_allclose(got, weights, atol=np.abs(weights).max() / 15)


@pytest.mark.parametrize("inputs", [7, 32, 75])
def test_gptq_gives_outputs_nearer_than_rounding(inputs: int) -> None:
    rows = correlated(500, inputs)
    weights = RNG.standard_normal((inputs, 12)).astype(np.float32)
    wanted = rows @ weights
    apart = [
        np.square(rows @ dequantise(layer) - wanted).mean()
        for layer in (
            round_to_nearest(weights, np.zeros(12), bits=4),
            gptq(weights, np.zeros(12), rows, bits=4),
        )
    ]
    assert apart[1] < 0.8 * apart[0]


def test_training_on_gives_outputs_nearer_than_rounding_and_always_the_same() -> None:
    examples, layers, shift, gain = FIT
    rows = (examples.values - shift) * gain
    wanted = forward(layers, rows)
    rounded = [round_to_nearest(*layer, bits=4) for layer in layers]
    trained = train_on(layers, rows, bits=4, seed=1)
    apart = [
        np.square(forward([(dequantise(one), one.biases) for one in packed], rows) - wanted).mean()
        for packed in (rounded, trained)
    ]
    assert apart[1] < 0.5 * apart[0]
    again = train_on(layers, rows, bits=4, seed=1)
    assert all((one.codes == other.codes).all() for one, other in zip(trained, again, strict=True))


@pytest.mark.parametrize("classes", [0, 3])
def test_drift_is_measured_on_what_is_heard(classes: int) -> None:
    examples, layers, shift, gain = a_fit(classes)
    done = calibrate(layers, shift, gain, examples.values, is_class=classes > 0, bits=8)
    rows = (examples.values - shift) * gain
    played = [(dequantise(layer), layer.biases) for layer in done.network.layers]
    apart = controls(played, rows, is_class=classes > 0) - controls(layers, rows, is_class=classes > 0)
    assert done.drift.worst_jump == pytest.approx(np.abs(apart).max(), rel=1e-4)
    assert done.drift.rms == pytest.approx(np.sqrt(np.square(apart).mean()), rel=1e-4)
    assert done.drift.worst_jump < 0.05


def test_four_bits_that_are_heard_are_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MOST_WORST_JUMP", 1e-6)
    examples, layers, shift, gain = FIT
    done = calibrate(layers, shift, gain, examples.values, is_class=False, bits=4)
    assert done.network.bits == 8
    assert "4 bits move a control by" in done.notes[0]
    assert "`insist = true`" in done.notes[0]


def test_who_insists_gets_four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MOST_WORST_JUMP", 1e-6)
    examples, layers, shift, gain = FIT
    done = calibrate(layers, shift, gain, examples.values, is_class=False, bits=4, insist=True)
    assert done.network.bits == 4
    assert "you insist" in done.notes[0]


def test_four_bits_that_are_not_heard_are_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MOST_WORST_JUMP", 1.0)
    examples, layers, shift, gain = FIT
    done = calibrate(layers, shift, gain, examples.values, is_class=False, bits=4)
    assert (done.network.bits, done.method, done.notes) == (4, "round", ())


def test_a_feature_that_hardly_moves_does_not_blur_the_others() -> None:
    examples, _, _, _ = FIT
    values = examples.values.copy()
    values[:, 39] = 1000 + values[:, 39] * 1e-4
    fitted = fit(
        Examples(values=values, targets=examples.targets, takes=examples.takes),
        hidden=(32, 16),
        seed=0,
        recipe=Recipe(steps=150, noise=0.1),
    )
    done = calibrate(fitted.bare, fitted.shift, fitted.gain, values, is_class=False, bits=8)
    assert done.drift.worst_jump < 0.05
