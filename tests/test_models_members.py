"""Several networks as one, and how each sees its features."""

from itertools import pairwise

import numpy as np

from instrument.kernels.cpu import Layer, forward
from instrument.models.choosing import are_points, separation_error
from instrument.models.members import side_by_side
from instrument.models.whitening import standardised, whitened


def network(seed: int, *widths: int) -> tuple[Layer, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        (
            rng.standard_normal((above, below)).astype(np.float32),
            rng.standard_normal(below).astype(np.float32),
        )
        for above, below in pairwise(widths)
    )


def test_members_side_by_side_give_the_mean_of_what_they_give() -> None:
    rows = np.random.default_rng(9).standard_normal((7, 5)).astype(np.float32)
    for hidden in ((), (4,), (4, 3, 6)):
        members = [network(seed, 5, *hidden, 2) for seed in range(3)]
        mean = np.mean([forward(member, rows) for member in members], axis=0)
        np.testing.assert_allclose(forward(side_by_side(members), rows), mean, rtol=1e-4, atol=1e-4)


def test_a_view_folded_into_a_layer_gives_what_it_gave_outside() -> None:
    rng = np.random.default_rng(0)
    values = (100 + 7 * rng.standard_normal((60, 4)) @ rng.standard_normal((4, 4))).astype(np.float32)
    weights, biases = network(1, 4, 3)[0]
    for view in (standardised(values), whitened(values, standardised(values))):
        outside = view.of(values, farthest=10.0) @ weights + biases
        np.testing.assert_allclose(forward([view.folded(weights, biases)], values), outside, rtol=1e-3, atol=1e-3)


def test_whitening_makes_the_smallest_direction_larger() -> None:
    rng = np.random.default_rng(0)
    together = rng.standard_normal((500, 1))
    values = (together + 0.05 * rng.standard_normal((500, 2))).astype(np.float32)
    views = standardised(values), whitened(values, standardised(values))
    plain, decorrelated = (np.linalg.eigvalsh(np.cov(view.of(values, farthest=10.0).T)) for view in views)
    assert decorrelated[0] / decorrelated[1] > 1.2 * plain[0] / plain[1]


def test_features_that_tell_classes_apart_leave_less_error_than_noise() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 30)
    told = (targets[:, None] + 0.1 * rng.standard_normal((90, 4))).astype(np.float32)
    noise = rng.standard_normal((90, 4)).astype(np.float32)
    assert separation_error(told, targets, 3) < 0.2 * separation_error(noise, targets, 3)


def test_numbers_are_points_where_the_same_coordinate_of_the_next_one_is_nearer_than_another_coordinate() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[5.0, -3.0]]) + np.cumsum(0.2 * rng.standard_normal((50, 8, 2)), axis=1)
    assert are_points(places.reshape(50, 16).astype(np.float32), 2)
    assert not are_points(places.reshape(50, 16).astype(np.float32), 3)
    assert not are_points(rng.standard_normal((50, 16)).astype(np.float32), 2)
    assert not are_points(np.ones((3, 16), dtype=np.float32), 2)
