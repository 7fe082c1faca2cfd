import numpy as np
import pytest
from movements import HZ, circle, held, still, swipe

from instrument.models.recent_past import EVEN, LAGS, RecentPast, liveliness, recent_past_of, unit_of, usual_of


def times(places: np.ndarray) -> np.ndarray:
    return np.arange(len(places)) / HZ


def moving_part(places: np.ndarray, usual: float = np.inf) -> tuple[float, float]:
    """From when to when, in seconds, something moves."""
    first, last = liveliness(times(places), places).moving_part(usual)
    return first / HZ, last / HZ


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0])
def test_the_still_ends_of_a_take_are_cut(seconds: float, noise: float) -> None:
    places = held(circle(seconds), 0.8, 1.2)
    places += np.random.default_rng(0).normal(0, noise, places.shape).astype(np.float32)
    first, last = moving_part(places)
    assert abs(first - 0.8) < 0.2
    assert abs(last - 0.8 - seconds) < 0.2


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_not_taken_for_a_movement_that_begins_and_ends_slowly(seed: int) -> None:
    places = held(swipe(1.5), 0.8, 1.2)
    places += np.random.default_rng(seed).normal(0, 0.03, places.shape).astype(np.float32)
    assert moving_part(places) == pytest.approx((0.8, 2.3), abs=0.3)


def test_a_gesture_of_two_strokes_is_kept_whole() -> None:
    pause = still(0.5, swipe(0.8)[-1])
    places = held(np.concatenate([swipe(0.8), pause, pause[-1] + 0.3 * swipe(0.6)]), 0.8, 0.8)
    assert moving_part(places) == pytest.approx((0.8, 0.8 + 0.8 + 0.5 + 0.6), abs=0.15)


@pytest.mark.parametrize("hz", [10, 15, 30])
def test_short_movements_are_cut_at_the_pace_of_slow_cameras_too(hz: int) -> None:
    places = held(circle(0.4), 0.8, 1.2)[:: HZ // hz]
    first, last = liveliness(np.arange(len(places)) / hz, places).moving_part()
    assert (first / hz, last / hz) == pytest.approx((0.8, 1.2), abs=0.11)


def test_a_take_in_which_nothing_moves_is_left_whole() -> None:
    places = still(2.0, np.zeros(2))
    assert moving_part(places) == (0.0, 2.0)


def test_a_slip_of_the_tracker_does_not_make_the_rest_of_a_take_look_still() -> None:
    places = held(circle(1.0), 0.3, 0.3)
    for frames in (1, 2, 3):
        slipped = places.copy()
        slipped[20 : 20 + frames] += 20.0
        assert np.allclose(moving_part(slipped), moving_part(places), atol=0.1)


def test_neither_does_a_long_one_beside_takes_without() -> None:
    places = held(circle(1.0), 0.3, 0.3)
    slipped = places.copy()
    slipped[20:26] += 20.0
    usual = usual_of([liveliness(times(one), one) for one in (places, slipped)])
    first, last = moving_part(slipped)
    assert last - first < 0.7, "a slip that would not matter shows nothing"
    assert np.allclose(moving_part(slipped, usual), moving_part(places), atol=0.1)


@pytest.mark.parametrize("hz", [24, 25, 30])
@pytest.mark.parametrize(("frames", "far"), [(3, 5.0), (4, 5.0), (8, 3.0)])
def test_nor_does_a_slip_while_nothing_moves(hz: int, frames: int, far: float) -> None:
    places = held(swipe(1.0), 1.0, 1.0)
    at_s = np.arange(0, len(places) / HZ - 1 / HZ, 1 / hz)
    good = np.stack([np.interp(at_s, times(places), column) for column in places.T], axis=1)
    slipped = good.copy()
    slipped[8 : 8 + frames] += far
    looked = [liveliness(at_s, one) for one in (good, good, slipped)]
    first, last = looked[-1].moving_part(usual_of(looked))
    assert first / hz < 1.2
    assert last / hz > 1.75


def test_a_quick_take_beside_a_slow_one_is_trimmed_as_alone() -> None:
    slow, quick = (held(circle(seconds), 1.0, 1.0) for seconds in (3.0, 0.8))
    usual = usual_of([liveliness(times(one), one) for one in (slow, quick)])
    assert moving_part(quick, usual) == moving_part(quick)
    assert moving_part(quick)[1] - moving_part(quick)[0] < 1.1


def test_a_take_in_which_nothing_moves_does_not_make_others_look_slipped() -> None:
    good, motionless = held(circle(1.0), 0.8, 0.8), still(2.6, np.zeros(2))
    usual = usual_of([liveliness(times(one), one) for one in (good, motionless)])
    assert moving_part(good, usual) == moving_part(good)


def test_trembling_is_told_from_moving() -> None:
    def is_still(places: np.ndarray) -> bool:
        return liveliness(times(places), places).is_still

    assert is_still(still(2.0, np.zeros(2)))
    assert is_still(np.zeros((60, 2), np.float32))
    for seconds in (0.3, 1.0, 4.0):
        assert not is_still(held(circle(seconds), 1.0, 1.0))


def test_takes_too_short_to_be_trimmed_say_nothing_of_how_lively_others_are() -> None:
    assert usual_of([liveliness(np.zeros(1), np.zeros((1, 2), np.float32))]) == np.inf


def test_a_feature_that_never_changes_counts_for_nothing() -> None:
    rows = np.stack([circle(1.0)[:, 0], np.full(HZ, 3.3, dtype=np.float32)], axis=1)
    past = recent_past_of(rows, unit_of(rows, is_scaled=True), 1.0)
    assert np.isfinite(past.axes).all()
    assert not past.axes[1].any()


def test_what_is_seen_has_the_width_it_says() -> None:
    past = RecentPast(mean=np.zeros(5, np.float32), axes=np.eye(5, 3, dtype=np.float32), window_s=2.0)
    seen = past.inputs(np.random.default_rng(0).normal(size=(4, 1 + LAGS + EVEN, 3)).astype(np.float32))
    assert seen.shape == (4, past.width)
    assert np.isfinite(past.inputs(np.zeros((1, 1 + LAGS + EVEN, 3), np.float32))).all()


def some_past(count: int) -> tuple[RecentPast, np.ndarray]:
    past = RecentPast(mean=np.zeros(5, np.float32), axes=np.eye(5, 3, dtype=np.float32), window_s=2.0)
    return past, np.random.default_rng(0).normal(size=(count, 1 + LAGS + EVEN, 3)).astype(np.float32)


def test_a_frame_looks_the_same_alone_and_among_others() -> None:
    past, places = some_past(6)
    assert np.allclose(past.inputs(places[4:5])[0], past.inputs(places)[4], atol=1e-5)


def test_the_same_path_elsewhere_differs_only_in_where_it_is_now() -> None:
    past, places = some_past(2)
    places[1] = places[0] + np.float32([2.0, -1.0, 0.5])
    here, there = past.inputs(places)
    assert np.allclose(there[:3] - here[:3], [2.0, -1.0, 0.5])
    assert np.allclose(there[3:], here[3:], atol=1e-4)


def test_a_straight_line_at_even_speed_looks_straight_and_even() -> None:
    past, places = some_past(1)
    places[0] = -past.lags_s[:, None] * np.float32([0.3, 0.4, 0.0])
    far_s, even_s = past.lags_s[1 : 1 + LAGS], past.lags_s[1 + LAGS :]
    (seen,) = past.inputs(places)
    now_and_since, rest = np.split(seen, [3 * (1 + LAGS)])
    assert np.allclose(now_and_since.reshape(-1, 3)[1:], far_s[:, None] * [-0.3, -0.4, 0.0], atol=1e-6)
    directions = rest[: 3 * LAGS].reshape(-1, 3)
    moved = 0.5 * np.diff(past.lags_s[: 1 + LAGS])
    assert np.allclose(directions, (moved / (moved + 0.05 * moved.max() + 0.01))[:, None] * [0.6, 0.8, 0.0], atol=1e-5)
    speeds = seen[-(LAGS + EVEN - 1 + 3 + EVEN - 2) :][:LAGS]
    assert np.allclose(speeds, np.log(0.5 * past.window_s + 0.05), atol=1e-5), "even speed looks even at every scale"
    step = 0.5 * even_s[1]
    bend = step / (1.3 * step + 0.003)
    assert np.allclose(seen[-(EVEN - 2) :], bend**2, atol=1e-5), "and straight"
