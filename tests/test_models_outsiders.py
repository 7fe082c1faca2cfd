"""Networks that tell what was shown from what nobody showed."""

from dataclasses import replace

import numpy as np
import pytest

from instrument.kernels.cpu import dequantised, forward
from instrument.models.crossfit import cross_fit, familiarity
from instrument.models.familiarity import UNLIKE, FrameFamiliarity, more_strange, units_of
from instrument.models.fitting import Cancelled, Examples, fit
from instrument.models.outsiders import MOST_UNLIKE, fit_outsiders, held_out_unlikeness, unlikeness


def shown(count: int = 80) -> Examples:
    """Two classes that differ in the first feature, as strangers do in the second; the third wavers in all of them."""
    features = 12
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1], count)
    values = 0.3 * rng.standard_normal((2 * count, features))
    values[:, 0] += 4.0 * targets
    values[:, 2] *= 10.0
    strangers = np.tile(values, (5, 1))
    strangers[:, 1] += rng.choice([-2.0, 2.0], len(strangers)) * rng.uniform(0.5, 1.5, len(strangers))
    return Examples(
        values=values.astype(np.float32),
        targets=targets,
        takes=np.arange(2 * count) // 10,
        class_count=2,
        strangers=strangers.astype(np.float32),
        strangers_of=np.tile(np.arange(2 * count), 5),
    )


def other(examples: Examples, column: int, by: float) -> np.ndarray:
    values = examples.values.copy()
    values[:, column] += by
    return values


@pytest.mark.parametrize("features", [12, 200, 1000])
def test_what_differs_as_strangers_do_is_unlike_and_what_wavers_anyway_is_not(features: int) -> None:
    plain = shown()
    mixed = np.eye(12) if features == 12 else np.random.default_rng(5).standard_normal((12, features))
    assert plain.strangers is not None
    mixing = mixed.astype(np.float32)
    examples = replace(plain, values=plain.values @ mixing, strangers=plain.strangers @ mixing)
    outsiders = fit_outsiders(examples, np.arange(len(examples)) % 4, seed=0)
    assert outsiders is not None
    assert len(outsiders.members) == 4

    def unlike(values: np.ndarray) -> float:
        given = np.stack([forward(dequantised(one), values @ mixing) for one in outsiders.packed()])
        assert given.shape == (4, len(values), 3)
        return float(np.median(unlikeness(given)))

    assert unlike(other(plain, 1, 2.0)) > 1.0
    assert unlike(other(plain, 2, 3.0)) < 0.0
    assert unlike(plain.values) < 0.0


def test_each_network_is_asked_of_what_it_did_not_learn() -> None:
    examples = shown()
    fold = np.repeat(np.arange(4), 40)
    spoilt = replace(examples, strangers=examples.values.copy(), strangers_of=np.arange(len(examples)))
    outsiders = fit_outsiders(spoilt, fold, seed=0)
    assert outsiders is not None
    seen = (examples.values - outsiders.shift) * outsiders.gain
    each = [unlikeness(forward(member, seen)[None]) for member in outsiders.members]
    asked = held_out_unlikeness(outsiders, examples.values, fold)
    for number in range(4):
        assert asked[fold == number] == pytest.approx(each[number][fold == number], abs=1e-4)
    fold[:5] = -1
    assert held_out_unlikeness(outsiders, examples.values, fold)[:5] == pytest.approx(
        np.mean(each, axis=0)[:5], abs=1e-4
    )


def test_of_many_examples_enough_are_learned_from() -> None:
    few = shown()
    assert few.strangers is not None
    times = 80  # 12,800 examples
    many = replace(
        few,
        values=np.tile(few.values, (times, 1)),
        targets=np.sort(np.tile(few.targets, times)),
        takes=np.tile(few.takes, times),
    )
    found = fit_outsiders(many, np.arange(len(many)) % 4, seed=0)
    assert found is not None
    assert all(np.isfinite(array).all() for member in found.members for layer in member for array in layer)


def test_the_same_seed_gives_the_same_networks() -> None:
    fold = np.arange(160) % 4
    one, again, another = (fit_outsiders(shown(), fold, seed=seed) for seed in (1, 1, 2))
    assert one is not None
    assert again is not None
    assert another is not None
    assert all((a[0] == b[0]).all() for a, b in zip(one.members[0], again.members[0], strict=True))
    assert not (one.members[0][0][0] == another.members[0][0][0]).all()


def test_odds_are_bounded_and_numbers_that_are_none_stay_so() -> None:
    given = np.array([[[0.0, 0.0, 1000.0], [0.0, 0.0, -1000.0], [0.0, 0.0, np.nan]]], dtype=np.float32)
    said = unlikeness(given)
    assert said[:2].tolist() == [MOST_UNLIKE, -MOST_UNLIKE]
    assert np.isnan(said[2])


def test_one_that_is_cancelled_stops() -> None:
    with pytest.raises(Cancelled):
        fit_outsiders(shown(), np.arange(160) % 4, seed=0, is_cancelled=lambda: True)


def test_what_is_less_unlike_than_usual_is_no_more_familiar_for_that() -> None:
    far = np.array([2.0, 2.0, 2.0], dtype=np.float32)
    unlike = np.array([-8.0, -3.0, 1.0], dtype=np.float32)
    assert more_strange(far, unlike, -3.0) == pytest.approx([2.0, 2.0, 2.0 * np.exp(4.0 * UNLIKE)], rel=1e-4)


def test_a_frame_is_as_familiar_alone_as_among_others() -> None:
    examples = shown()
    crossed = cross_fit(examples, hidden=(16, 8), seed=0)
    fitted = fit(examples, hidden=(16, 8), seed=0)
    outsiders = fit_outsiders(examples, crossed.fold, seed=0)
    found = familiarity(crossed, examples, fitted.layers, fitted, outsiders)
    assert found is not None
    assert len(found.outsiders) == 4
    units = units_of(
        fitted.layers,
        shift=fitted.shift,
        gain=fitted.gain,
        blocks=found.density.blocks,
        units=found.density.centres.shape[2],
    )
    rows = np.concatenate([examples.values[::20], other(examples, 1, 2.0)[::20]])
    said, sure = np.zeros(len(rows), dtype=np.intp), np.full(len(rows), 0.8, dtype=np.float32)
    together = found.of(found.strangeness(rows, units.of(rows), said, sure))
    alone = FrameFamiliarity(found, units)
    assert [alone(row, 0, 0.8) for row in rows] == pytest.approx(together.tolist(), rel=1e-3)
    true = found.of(found.strangeness(rows[:4], units.of(rows[:4]), said[:4], sure[:4]))
    strange = found.of(found.strangeness(rows[8:12], units.of(rows[8:12]), said[:4], sure[:4]))
    assert strange.max() < 0.05 < true.min()
    with np.errstate(invalid="ignore"):
        assert alone(np.full(12, np.inf, dtype=np.float32), 0, 0.8) == 0.0
