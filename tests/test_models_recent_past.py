import numpy as np
from movements import HZ, circle, held, still

from instrument.models.recent_past import EVEN, LAGS, RecentPast, moving_part, recent_past_of, unit_of, usual_liveliness


def times(places: np.ndarray) -> np.ndarray:
    return np.arange(len(places)) / HZ


def test_the_still_ends_of_a_take_are_cut() -> None:
    places = held(circle(1.0), 0.8, 1.2)
    first, last = moving_part(times(places), places)
    assert abs(first / HZ - 0.8) < 0.15
    assert abs((len(places) - last) / HZ - 1.2) < 0.15


def test_a_take_in_which_nothing_moves_is_left_whole() -> None:
    places = still(2.0, np.zeros(2))
    assert moving_part(times(places), places) == (0, len(places))


def test_a_slip_of_the_tracker_does_not_make_the_rest_of_a_take_look_still() -> None:
    places = held(circle(1.0), 0.3, 0.3)
    slipped = places.copy()
    slipped[20:22] += 20.0
    usual = usual_liveliness((times(one), one) for one in (places, slipped))
    alone = moving_part(times(slipped), slipped)
    assert alone[1] - alone[0] < 12, "a slip that would not matter shows nothing"
    assert moving_part(times(slipped), slipped, usual) == moving_part(times(places), places)


def test_takes_too_short_to_be_trimmed_say_nothing_of_how_lively_others_are() -> None:
    assert usual_liveliness([(np.zeros(1), np.zeros((1, 2), np.float32))]) == np.inf


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
