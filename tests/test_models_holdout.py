"""What is held out for validation."""

import numpy as np
import pytest

from instrument.models.holdout import hold_out, whole_takes


def held(groups: list[int], takes: list[int]) -> list[int]:
    return np.flatnonzero(hold_out(np.array(groups), np.array(takes)).is_held).tolist()


def test_of_two_takes_the_later_is_held_out_whole() -> None:
    assert held([0, 0, 0, 0], [3, 3, 5, 5]) == [2, 3]


def test_one_take_in_four_is_held_out() -> None:
    assert held([0] * 8, list(range(8))) == [6, 7]


def test_every_group_has_something_held_out() -> None:
    assert held([0, 0, 1, 1], [0, 1, 2, 3]) == [1, 3]


def test_of_a_single_take_the_last_quarter_is_held_out_and_said_so() -> None:
    split = hold_out(np.zeros(40, dtype=np.intp), np.zeros(40, dtype=np.intp))
    assert np.flatnonzero(split.is_held).tolist() == list(range(30, 40))
    assert split.by_block == (0,)


def test_frames_next_to_a_held_out_block_are_not_learned_from() -> None:
    split = hold_out(np.zeros(40, dtype=np.intp), np.zeros(40, dtype=np.intp))
    assert np.flatnonzero(split.is_seen).tolist() == list(range(28))


def test_a_take_too_short_to_cut_is_learned_from_whole() -> None:
    split = hold_out(np.zeros(7, dtype=np.intp), np.zeros(7, dtype=np.intp))
    assert not split.is_held.any()
    assert split.is_seen.all()


def test_something_of_every_group_is_left_to_learn_from() -> None:
    rng = np.random.default_rng(0)
    groups, takes = rng.integers(5, size=300), rng.integers(20, size=300)
    split = hold_out(groups, takes)
    assert set(groups[split.is_seen].tolist()) == set(range(5))
    assert not (split.is_seen & split.is_held).any()


def shown(*takes: str) -> tuple[list[int], list[int]]:
    """Groups and takes of examples: a letter for each example of each take."""
    groups = [ord(letter) - ord("a") for letters in takes for letter in letters]
    return groups, np.repeat(np.arange(len(takes)), [len(letters) for letters in takes]).tolist()


def test_a_take_that_shows_several_groups_is_held_out_whole() -> None:
    assert held(*shown("aa", "aabb", "bb")) == [2, 3, 4, 5]


def test_a_take_goes_to_another_part_where_a_group_would_be_in_one_only() -> None:
    groups, takes = map(np.array, shown("aab", "aa", "aab"))
    part = whole_takes(np.array([0, 0, 0, 1, 1, 0, 0, 1]), groups, takes)
    assert part.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_groups_that_whole_takes_cannot_spread_are_apart_all_the_same() -> None:
    groups, takes = map(np.array, shown("ac", "ab", "bc"))
    is_held = hold_out(groups, takes).is_held
    assert [len(np.unique(is_held[groups == group])) for group in range(3)] == [2, 2, 2]


def test_stretches_of_a_groups_only_take_stay_apart() -> None:
    groups, takes = map(np.array, shown("aabbbb", "aa"))
    part = np.array([0, 0, 0, 1, 2, 3, 1, 1])
    assert whole_takes(part, groups, takes).tolist() == part.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_take_is_either_learned_from_or_held_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, takes = rng.integers(5, size=300), rng.integers(20, size=300)
    split = hold_out(groups, takes)
    assert not set(takes[split.is_seen].tolist()) & set(takes[split.is_held].tolist())
    assert set(groups[split.is_held].tolist()) == set(range(5))
