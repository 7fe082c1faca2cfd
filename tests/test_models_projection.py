"""A picture of examples in two dimensions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from instrument.models.projection import Projection, Surface, project

Drawn = tuple[NDArray[np.float32], NDArray[np.intp]]


def examples(classes: int, features: int = 12, each: int = 20, seed: int = 0) -> Drawn:
    """Each class around a place of its own."""
    rng = np.random.default_rng(seed)
    centres = 6 * np.random.default_rng(99).standard_normal((classes, features))
    groups = np.repeat(np.arange(classes), each)
    return (centres[groups] + rng.standard_normal((len(groups), features))).astype(np.float32), groups


def gap(projection: Projection, values: NDArray[np.float32], groups: NDArray[np.intp]) -> float:
    """How far the two nearest groups are from each other, in deviations of a group."""
    places = projection.of(values)
    means = np.stack([places[groups == one].mean(axis=0) for one in np.unique(groups)])
    apart = np.linalg.norm(means[:, None] - means, axis=2) + 1e9 * np.eye(len(means))
    deviation = np.mean([places[groups == one].std(axis=0) for one in np.unique(groups)])
    return float(apart.min() / deviation)


def test_the_same_examples_give_the_same_picture() -> None:
    one, other = (project(*examples(4), 4) for _ in range(2))
    assert np.array_equal(one.weights, other.weights)
    assert np.array_equal(one.offset, other.offset)


@pytest.mark.parametrize(
    ("classes", "features", "each"), [(2, 12, 20), (3, 12, 5), (4, 300, 9), (200, 64, 4), (6, 2, 9)]
)
def test_examples_fill_the_picture(classes: int, features: int, each: int) -> None:
    values, groups = examples(classes, features, each)
    places = project(values, groups, classes).in_picture(values)
    assert (np.quantile(places, 0.05, axis=0) >= 0).all()
    assert (np.quantile(places, 0.95, axis=0) <= 1).all()
    assert (np.ptp(places, axis=0) > 0.4).all()


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_classes_that_are_apart_are_apart_in_the_picture(classes: int) -> None:
    values, groups = examples(classes)
    assert gap(project(values, groups, classes), values, groups) > 3


def test_the_nearest_classes_are_held_apart_where_fishers_discriminant_lays_them_on_each_other() -> None:
    """Two pairs far from each other, the two of each pair near, and each pair in a direction of its own."""
    rng = np.random.default_rng(0)
    centres = np.zeros((4, 8))
    centres[:, 0] = [-60, -60, 60, 60]
    centres[:, 1] = [0, 30, 30, 0]
    centres[:, 2] = [-4, 4, 0, 0]
    centres[:, 3] = [0, 0, -4, 4]
    groups = np.repeat(np.arange(4), 40)
    values = (centres[groups] + rng.standard_normal((160, 8))).astype(np.float32)
    assert gap(project(values, groups, 4), values, groups) > 6


def test_with_one_feature_all_are_in_a_line() -> None:
    values, groups = examples(2, features=1)
    places = project(values, groups, 2).in_picture(values)
    assert np.ptp(places[:, 0]) > 0.4
    assert np.ptp(places[:, 1]) < 1e-6


def test_features_that_never_change_count_for_nothing() -> None:
    values, groups = examples(3)
    values[:, 4] = 1e6
    found = project(values, groups, 3)
    assert not found.weights[4].any()
    assert np.isfinite(found.in_picture(values)).all()


@pytest.mark.parametrize("count", [1, 3])
def test_examples_that_are_all_alike_are_in_one_place(count: int) -> None:
    values = np.ones((count, 5), dtype=np.float32)
    found = project(values, np.zeros(count, dtype=np.intp), 1)
    assert np.allclose(found.in_picture(values), 0.5)


def test_groups_without_examples_do_not_matter() -> None:
    values, groups = examples(3)
    assert np.isfinite(project(values, groups + 2, 6).in_picture(values)).all()


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_take_more_moves_the_picture_only_a_little(classes: int) -> None:
    values, groups = examples(classes)
    before = project(values, groups, classes)
    more, more_groups = examples(classes, each=4, seed=7)
    after = project(np.concatenate([values, more]), np.concatenate([groups, more_groups]), classes, before)
    assert np.abs(after.in_picture(values) - before.in_picture(values)).mean() < 0.05


def test_a_picture_is_turned_and_mirrored_to_be_like_the_one_before() -> None:
    values, groups = examples(3)
    found = project(values, groups, 3)
    mirrored = Projection(
        weights=found.weights[:, ::-1] * np.float32(-1),
        offset=found.offset[::-1] * np.float32(-1),
        low=-found.high[::-1],
        high=-found.low[::-1],
    )
    after = project(values, groups, 3, mirrored)
    assert np.allclose(after.in_picture(values), mirrored.in_picture(values), atol=1e-3)


def test_an_example_far_out_does_not_press_the_others_together() -> None:
    values, groups = examples(3, each=40)
    values[0] += 500
    places = project(values, groups, 3).in_picture(values[1:])
    assert (np.ptp(places, axis=0) > 0.2).all()


def test_what_a_place_stands_for_is_projected_to_that_place() -> None:
    values, groups = examples(4)
    found = project(values, groups, 4)
    places = np.random.default_rng(1).random((50, 2))
    assert np.allclose(found.in_picture(Surface(found, values).features(places)), places, atol=1e-3)


def test_the_place_of_an_example_stands_for_nearly_that_example() -> None:
    values, groups = examples(3, each=6)
    found = project(values, groups, 3)
    off = Surface(found, values).features(found.in_picture(values)) - values
    assert np.abs(off).mean() < 0.1


def test_a_picture_of_a_single_example_stands_for_it_everywhere() -> None:
    values = np.arange(5, dtype=np.float32)[None]
    found = project(values, np.zeros(1, dtype=np.intp), 1)
    assert np.allclose(Surface(found, values).features(np.array([[0.1, 0.9]])), values)
