"""What is held out for validation."""

import numpy as np

from instrument.models.holdout import hold_out


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
