"""Readings that cannot be meant."""

import numpy as np
import pytest

from instrument.models.glitches import without_glitches


def around(centre: float, count: int, seed: int = 0) -> np.ndarray:
    return (centre + 0.2 * np.random.default_rng(seed).standard_normal((count, 3))).astype(np.float32)


@pytest.mark.parametrize("count", [20, 80, 5000])
@pytest.mark.parametrize("reading", [100.0, -1e4, 3e38])
def test_a_glitch_is_brought_back_among_the_others(count: int, reading: float) -> None:
    values = np.concatenate([around(0.0, count // 2), around(1.0, count // 2, seed=1)])
    damaged = values.copy()
    damaged[7, 1] = reading
    mended, is_glitch = without_glitches(damaged, np.arange(len(damaged)) // 10)
    assert np.argwhere(is_glitch).tolist() == [[7, 1]]
    others = np.delete(values[:, 1], 7)
    assert others.min() <= mended[7, 1] <= others.max()
    np.testing.assert_array_equal(np.delete(mended, 7, axis=0), np.delete(values, 7, axis=0))
    assert damaged[7, 1] == np.float32(reading)


def test_a_button_that_is_seldom_pressed_is_no_glitch() -> None:
    values = around(0.0, 2000)
    values[:, 2] = 0.0
    values[1500:1505, 2] = 1.0
    assert not without_glitches(values, np.arange(len(values)) // 10)[1].any()


def test_a_class_of_which_little_was_recorded_is_no_glitch() -> None:
    values = np.concatenate([around(0.0, 900), around(50.0, 100)])
    assert not without_glitches(values, np.arange(len(values)) // 10)[1].any()


def test_of_a_few_examples_nobody_can_say() -> None:
    values = around(0.0, 10)
    values[3, 0] = 1e6
    assert not without_glitches(values, np.arange(len(values)) // 10)[1].any()


@pytest.mark.parametrize("frames", [1, 5])
def test_a_take_that_shows_it_throughout_is_meant(frames: int) -> None:
    values = around(0.0, 2000)
    values[-frames:] = 50.0
    takes = np.repeat([0, 1, 2], [1000, 1000 - frames, frames])
    assert not without_glitches(values, takes)[1].any()
