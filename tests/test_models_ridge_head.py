"""Ridge regression on random units: values from a few poses."""

from itertools import pairwise

import numpy as np
import pytest

from instrument.kernels.cpu import forward
from instrument.models import ridge_head as module
from instrument.models.descent import BATCH
from instrument.models.fitting import Cancelled, Examples, balanced_draws, fit, recipe_for
from instrument.models.ridge_head import beside, pose_count, ridge_head

RNG = np.random.default_rng(0)
HIDDEN = (64, 32)


def poses(count: int, features: int = 20) -> np.ndarray:
    return RNG.standard_normal((count, features)).astype(np.float32)


def of_poses(values: np.ndarray, targets: list[float] | np.ndarray) -> Examples:
    """One take of one frame for each."""
    return Examples(values=values, targets=np.asarray(targets, dtype=np.float32), takes=np.arange(len(values)))


@pytest.mark.parametrize("seed", range(20))
def test_between_two_poses_the_value_only_rises(seed: int) -> None:
    ends = np.random.default_rng(seed).standard_normal((2, 60)).astype(np.float32)
    fitted = fit(of_poses(ends, [0, 1]), hidden=HIDDEN, seed=seed)
    way = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
    given = forward(fitted.layers, ends[0] * (1 - way) + ends[1] * way)[:, 0]
    assert (np.diff(given) > -1e-4).all()
    assert given[0] < 0.05
    assert given[-1] > 0.95


def test_a_few_poses_are_enough_for_a_plain_relation() -> None:
    values = poses(60)
    weights = RNG.standard_normal(20).astype(np.float32) / 20
    targets = 0.5 + values @ weights
    fitted = fit(of_poses(values[:40], targets[:40]), hidden=HIDDEN, seed=0)
    error = forward(fitted.layers, values[40:])[:, 0] - targets[40:]
    assert np.sqrt(np.square(error).mean()) < 0.5 * targets.std()


def test_what_is_learned_in_closed_form_is_cancelled_too() -> None:
    with pytest.raises(Cancelled):
        fit(
            of_poses(poses(40), np.linspace(0, 1, 40, dtype=np.float32)),
            hidden=HIDDEN,
            seed=0,
            is_cancelled=lambda: True,
        )


def test_a_take_that_shows_one_value_counts_once() -> None:
    takes = np.array([0, 0, 0, 1, 2, 2])
    assert pose_count(np.array([1, 1, 1, 0, 0.1, 0.2], dtype=np.float32), takes) == 4


def test_a_long_take_does_not_outweigh_a_short_one() -> None:
    one, other = poses(2)
    values = np.concatenate([np.repeat(one[None], 500, axis=0), other[None]])
    targets = np.r_[np.zeros(500), 1].astype(np.float32)
    head = ridge_head(values, targets, np.r_[np.zeros(500), 1].astype(np.intp), seed=0)
    given = forward(head, np.stack([one, other]))[:, 0]
    assert abs(given[0] - (1 - given[1])) < 0.02


def test_a_pose_held_long_says_what_one_frame_of_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # More rows than units are solved the other way round.
    monkeypatch.setattr(module, "_MOST_ROWS", 5000)
    values, targets = poses(30), RNG.uniform(size=30).astype(np.float32)
    short = ridge_head(values, targets, np.arange(30), seed=0)
    long = ridge_head(np.repeat(values, 40, axis=0), np.repeat(targets, 40), np.repeat(np.arange(30), 40), seed=0)
    others = poses(50)
    np.testing.assert_allclose(forward(long, others), forward(short, others), atol=2e-3)


def test_values_that_follow_nothing_are_hardly_believed() -> None:
    believed, doubted = (
        ridge_head(values := poses(200), targets(values), np.arange(200), seed=0)
        for targets in (
            lambda values: values[:, 0],
            lambda values: RNG.standard_normal(len(values)).astype(np.float32),
        )
    )
    others = poses(500)
    assert np.std(forward(believed, others)) > 0.7
    assert np.std(forward(doubted, others)) < 0.3


def test_units_point_in_directions_at_right_angles() -> None:
    directions = module._directions(np.random.default_rng(0), 30, 100)
    assert directions.shape == (30, 100)
    first = directions[:, :30] / np.linalg.norm(directions[:, :30], axis=0)
    np.testing.assert_allclose(first.T @ first, np.eye(30), atol=1e-9)
    assert np.linalg.norm(directions, axis=0).mean() == pytest.approx(np.sqrt(30), rel=0.1)


def test_poses_that_are_all_the_same_give_the_mean() -> None:
    head = ridge_head(np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1], np.float32), np.arange(4), seed=0)
    np.testing.assert_allclose(forward(head, np.zeros((1, 3), np.float32)), 0.5, atol=1e-4)


@pytest.mark.parametrize("hidden", [(8,), (8, 6), (8, 6, 5)])
def test_a_head_beside_a_network_is_one_network_that_says_the_mean(hidden: tuple[int, ...]) -> None:
    values = poses(30)
    head = ridge_head(values, RNG.uniform(size=30).astype(np.float32), np.arange(30), seed=0)
    widths = (20, *hidden, 1)
    network = tuple(
        (RNG.standard_normal((a, b)).astype(np.float32), RNG.standard_normal(b).astype(np.float32))
        for a, b in pairwise(widths)
    )
    wanted = 0.25 * forward(head, values) + 0.75 * forward(network, values)
    np.testing.assert_allclose(forward(beside(head, network, 0.25), values), wanted, rtol=1e-3, atol=1e-3)


def test_few_poses_need_no_gradient_descent_and_many_have_both() -> None:
    few, many = (of_poses(poses(count), RNG.uniform(size=count)) for count in (8, 400))
    assert (recipe_for(few, HIDDEN).steps, recipe_for(few, HIDDEN).head) == (1, 1.0)
    assert recipe_for(many, HIDDEN).head == 0.5
    assert recipe_for(many, ()).head == 0.0


def test_a_batch_of_many_groups_is_not_always_the_same_neighbours() -> None:
    draws = balanced_draws(np.arange(200), 200 * 3, np.random.default_rng(0)).reshape(-1)
    batches = [set(draws[start : start + BATCH].tolist()) for start in (0, 200, 400)]
    assert all(max(batch) - min(batch) > 150 for batch in batches)
    assert batches[0] != batches[1]
    assert sorted(draws[:200].tolist()) == list(range(200))
