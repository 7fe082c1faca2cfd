import numpy as np
import pytest

from instrument.models.follower import Follower, Moment

PARTS = 8
HZ = 30
DURATION_S = 1.0


def follower(at: float = 0.8) -> Follower:
    prior = np.full(1 + 2 * PARTS, 1 / (1 + 2 * PARTS), dtype=np.float32)
    return Follower(np.full(2, DURATION_S, dtype=np.float32), prior, at=at)


def logits(state: int) -> np.ndarray:
    given = np.zeros(1 + 2 * PARTS)
    given[state] = 6.0
    return given


def nothing(seconds: float) -> list[int]:
    return [0] * round(seconds * HZ)


def movement(number: int, seconds: float, *, first: float = 0.0, last: float = 1.0) -> list[int]:
    progress = np.linspace(first, last, round((last - first) * seconds * HZ), endpoint=False)
    return [1 + number * PARTS + int(one * PARTS) for one in progress]


def followed(states: list[int], at: float = 0.8) -> list[Moment]:
    """What happens while the network is sure of these states, one a frame; it tells how long each has gone on."""
    one, moments, began = follower(at), [], 0
    for number, state in enumerate(states):
        if not state or state < states[number - 1] or not states[number - 1]:
            began = number
        moments += one.update(number / HZ, logits(state), (number - began) / HZ)
    return moments


def words(moments: list[Moment]) -> list[tuple[str, int]]:
    return [(one.what, one.movement) for one in moments]


@pytest.mark.parametrize("hz", [24, 60, 240, 1500, 2400])
def test_a_movement_is_followed_as_fast_as_it_goes_at_any_frame_rate(hz: int) -> None:
    one = follower()
    for number in range(hz):
        one.update(number / hz, logits(0), 0.0)
    for number in range(hz // 2):  # nothing to be seen for half a movement
        one.update(1 + number / hz, logits(1) if number < hz // 8 else np.zeros(len(logits(0))), number / hz)
    assert one.confidences[0] > 0.5
    assert one.progress == pytest.approx(0.44, abs=0.015)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0])
def test_a_movement_begins_counts_once_and_ends_at_half_to_double_speed(seconds: float) -> None:
    moments = followed(nothing(1) + movement(1, seconds) + nothing(1))
    assert words(moments) == [("begin", 1), ("hit", 1), ("end", 1)]
    assert moments[1].onset_s == pytest.approx(1.0, abs=0.1)
    assert moments[1].speed == pytest.approx(DURATION_S / seconds, rel=0.25)


def test_a_movement_that_is_left_half_way_does_not_count() -> None:
    assert words(followed(nothing(1) + movement(0, 1.0, last=0.5) + nothing(1))) == [("begin", 0), ("end", 0)]


def test_an_end_without_a_beginning_does_not_count() -> None:
    assert ("hit", 0) not in words(followed(nothing(1) + movement(0, 1.0, first=0.8) + nothing(1)))


def test_a_movement_twice_without_a_pause_counts_twice() -> None:
    moments = words(followed(nothing(1) + movement(0, 1.0) + movement(0, 1.0) + nothing(1)))
    assert moments.count(("hit", 0)) == 2


def test_staying_at_the_end_of_a_movement_does_not_count_again() -> None:
    stays = [1 + PARTS - 1] * (3 * HZ)
    assert words(followed(nothing(1) + movement(0, 1.0) + stays)).count(("hit", 0)) == 1


@pytest.mark.parametrize("part", [0, 4, PARTS - 1])
def test_a_movement_that_gets_no_further_ends_and_does_not_begin_again_where_it_is(part: int) -> None:
    stays = movement(0, 1.0, last=(part + 1) / PARTS)
    moments = followed(nothing(1) + stays + stays[-1:] * (10 * HZ) + nothing(1))
    assert [one for one in words(moments) if one[0] != "hit"] == [("begin", 0), ("end", 0)]


def test_a_movement_that_hung_counts_once_when_it_goes_on_and_again_when_it_is_played_again() -> None:
    stays = movement(0, 1.0, last=0.4)
    moments = followed(nothing(1) + stays + stays[-1:] * (3 * HZ) + movement(0, 1.0, first=0.4) + nothing(1))
    assert words(moments) == [("begin", 0), ("end", 0), ("begin", 0), ("hit", 0), ("end", 0)]
    assert moments[2].onset_s == pytest.approx(4.0, abs=0.1), "standing still was no part of it"
    assert moments[3].speed == pytest.approx(1.0, abs=0.3)
    stays = movement(0, 1.0)
    moments = followed(nothing(1) + stays + stays[-1:] * (3 * HZ) + movement(0, 1.0) + nothing(1))
    assert words(moments) == [("begin", 0), ("hit", 0), ("end", 0)] * 2


@pytest.mark.parametrize(("at", "last"), [(1.0, 0.8), (0.9, 0.8), (0.8, 0.7), (0.5, 0.6)])
def test_a_movement_that_hung_at_any_place_counts_once_in_all(at: float, last: float) -> None:
    stays = movement(0, 1.0, last=last)
    moments = followed(nothing(1) + stays + stays[-1:] * (5 * HZ) + movement(0, 1.0, first=last) + nothing(1), at)
    assert [what for what, _ in words(moments)].count("hit") == 1


def test_a_gap_ends_what_was_under_way() -> None:
    one = follower()
    for number, state in enumerate(nothing(1) + movement(0, 1.0, last=0.6)):
        one.update(number / HZ, logits(state), 0.0)
    assert words(one.update(10.0, logits(0), 0.0)) == [("end", 0)]
    assert one.current is None
