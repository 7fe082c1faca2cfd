"""How like what was recorded a frame is."""

import numpy as np
import pytest

from instrument.models.crossfit import cross_fit, familiarity, folds, softmax, temperature, tempered
from instrument.models.familiarity import (
    Density,
    Familiarity,
    FrameFamiliarity,
    curve_of,
    fit_density,
    strangeness,
    units_of,
)
from instrument.models.fitting import Examples, fit

RNG = np.random.default_rng(0)
CENTRES = 3.0 * RNG.standard_normal((4, 12))


def shown(classes: tuple[int, ...], count: int = 60, seed: int = 0) -> Examples:
    """Four takes of each of those classes; the class numbers are places in `classes`."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(len(classes)), count)
    values = CENTRES[np.array(classes)[targets]] + rng.standard_normal((len(targets), 12))
    return Examples(
        values=values.astype(np.float32),
        targets=targets,
        takes=np.arange(len(targets)) // (count // 4),
        class_count=len(classes),
    )


def test_a_density_counts_deviations_from_the_class_said() -> None:
    seen = RNG.normal(5.0, 2.0, (4000, 1, 3)).astype(np.float32)
    density = fit_density(seen, np.zeros(4000, dtype=np.intp), 1)
    assert density is not None
    centre = np.full((1, 1, 3), 5.0, dtype=np.float32)
    away = centre + np.array([[[6.0, 6.0, 6.0]]], dtype=np.float32)
    far = strangeness(density, np.concatenate([centre, away]), np.zeros(2, dtype=np.intp), np.ones(2, dtype=np.float32))
    assert far == pytest.approx([0.0, 3.0], abs=0.15)


def test_doubt_between_classes_is_strange() -> None:
    density = Density(centres=np.zeros((2, 1, 1), dtype=np.float32), factors=np.ones((1, 1, 1, 1), dtype=np.float32))
    ones = np.ones((2, 1, 1), dtype=np.float32)
    sure, unsure = strangeness(density, ones, np.array([0, 0]), np.array([1.0, 0.5], dtype=np.float32))
    assert unsure > sure


def test_a_class_of_one_example_takes_the_shape_of_the_others() -> None:
    seen = RNG.standard_normal((51, 1, 3)).astype(np.float32)
    density = fit_density(seen, np.array([0] * 50 + [1]), 2)
    assert density is not None
    assert np.isfinite(density.factors).all()


def test_examples_that_are_all_alike_have_no_density() -> None:
    assert fit_density(np.ones((20, 1, 3), dtype=np.float32), np.arange(20) % 2, 2) is None


def test_familiarity_is_the_share_of_true_gestures_at_least_as_strange() -> None:
    held_out = np.exp(RNG.standard_normal(2000))
    known = Familiarity(density=a_density(), curve=curve_of(held_out))
    for share in (0.5, 0.05, 0.01):
        assert known.of(np.quantile(held_out, 1 - share)) == pytest.approx(share, rel=0.1)


def test_what_is_stranger_than_any_gesture_is_ever_less_familiar() -> None:
    known = Familiarity(density=a_density(), curve=curve_of(np.linspace(1.0, 2.0, 100)))
    far, farther = known.of(np.array([3.0, 6.0]))
    assert 0.0 < farther < far < 0.01


def a_density() -> Density:
    return Density(centres=np.zeros((1, 1, 1), dtype=np.float32), factors=np.ones((1, 1, 1, 1), dtype=np.float32))


def test_a_class_never_shown_is_less_familiar_than_those_shown() -> None:
    examples, others, strangers = shown((0, 1, 2)), shown((0, 1, 2), seed=1), shown((3,), seed=2)
    fitted = fit(examples, hidden=(16, 8), seed=0, is_validated=False)
    crossed = cross_fit(examples, hidden=(16, 8), seed=0)
    fitted = tempered(fitted, temperature(crossed, examples, fitted))
    known = familiarity(crossed, examples, fitted.layers, fitted)
    assert known is not None
    units = units_of(fitted.layers, shift=fitted.shift, gain=fitted.gain, blocks=fitted.members)
    one = FrameFamiliarity(known, units)
    mine, theirs = ([one(row, *_said(fitted.layers, row)) for row in them.values] for them in (others, strangers))
    assert np.mean(np.array(mine) >= 0.05) > 0.85
    assert np.mean(np.array(theirs) >= 0.05) < 0.05


def _said(layers: tuple, row: np.ndarray) -> tuple[int, float]:
    from instrument.kernels.cpu import forward

    surely = softmax(forward(layers, row[None]))[0]
    return int(surely.argmax()), float(surely.max())


def test_one_frame_is_as_familiar_as_among_many() -> None:
    examples = shown((0, 1))
    fitted = fit(examples, hidden=(16, 8), seed=0, is_validated=False)
    units = units_of(fitted.layers, shift=fitted.shift, gain=fitted.gain, blocks=fitted.members)
    density = fit_density(units.of(examples.values), examples.targets, 2)
    assert density is not None
    known = Familiarity(density=density, curve=curve_of(np.linspace(0.5, 3.0, 200)))
    sure = np.full(len(examples), 0.9, dtype=np.float32)
    together = known.of(strangeness(density, units.of(examples.values), examples.targets, sure))
    one = FrameFamiliarity(known, units)
    alone = [one(row, int(said), 0.9) for row, said in zip(examples.values, examples.targets, strict=True)]
    assert alone == pytest.approx(together, rel=1e-3)


def test_a_network_without_hidden_layers_is_looked_at_through_its_inputs() -> None:
    examples = shown((0, 1))
    fitted = fit(examples, hidden=(), seed=0, is_validated=False)
    known = familiarity(cross_fit(examples, hidden=(), seed=0), examples, fitted.layers, fitted)
    assert known is not None
    assert known.density.centres.shape == (2, 1, 12)


def test_too_few_examples_have_no_familiarity() -> None:
    examples = shown((0, 1), count=4)
    fitted = fit(examples, hidden=(8,), seed=0, is_validated=False)
    assert familiarity(cross_fit(examples, hidden=(8,), seed=0), examples, fitted.layers, fitted) is None


def test_whole_takes_are_held_out_and_of_a_single_take_whole_stretches() -> None:
    part = folds(np.array([0] * 8 + [1] * 8), np.array([0] * 4 + [1] * 4 + [2] * 8), 4)
    assert len(set(part[:4])) == len(set(part[4:8])) == 1
    assert part[0] != part[4]
    assert sorted(part[8:].tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_take_whose_class_changes_is_in_one_part() -> None:
    takes = np.repeat(np.arange(6), 4)
    part = folds(np.tile([0, 0, 1, 1], 6), takes, 4)
    assert all(len(set(part[takes == take].tolist())) == 1 for take in range(6))
    assert set(part.tolist()) == {0, 1, 2, 3}


def test_a_class_of_one_example_is_held_out_by_nobody() -> None:
    assert folds(np.array([0, 0, 1]), np.array([0, 1, 2]), 4).tolist()[2] == -1


def test_confidence_is_how_often_it_is_right() -> None:
    rng = np.random.default_rng(3)
    targets = rng.integers(2, size=600)
    values = (2.0 * targets[:, None] - 1.0) * np.array([0.7, 0.0]) + rng.standard_normal((600, 2))
    examples = Examples(
        values=values[:400].astype(np.float32), targets=targets[:400], takes=np.arange(400) // 20, class_count=2
    )
    fitted = fit(examples, hidden=(16, 8), seed=0, is_validated=False)
    crossed = cross_fit(examples, hidden=(16, 8), seed=0)
    from instrument.kernels.cpu import forward

    def apart(network: tuple) -> float:
        surely = softmax(forward(network, values[400:].astype(np.float32)))
        return abs(float(surely.max(axis=1).mean()) - float((surely.argmax(axis=1) == targets[400:]).mean()))

    assert apart(tempered(fitted, temperature(crossed, examples, fitted)).layers) < 0.06
