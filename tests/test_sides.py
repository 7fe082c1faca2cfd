import numpy as np
import pytest
from bodies import pose

from instrument.sides import Sides
from instrument.signals import EXCHANGED_POSE

HZ = 30
LIFTS = np.linspace(0.2, 0.9, 2 * HZ)


def exchanged(sides: Sides, frames: range, *, between: tuple[int, ...] = ()) -> list[bool]:
    """What is said of arms that rise, left taken for right in these frames, and halfway to it in those `between`."""
    said = []
    for number, lift in enumerate(LIFTS):
        shown = pose(float(lift))
        if number in frames:
            shown = shown[EXCHANGED_POSE]
        elif number in between:
            shown = (shown + shown[EXCHANGED_POSE]) / 2
        said.append(sides.are_exchanged(shown, 4 / 3, number / HZ))
    return said


def turned(half_turns: float) -> np.ndarray:
    """The standing body, seen from the front (0), from the side (0.5), from behind (1)."""
    points = pose(0.2)
    points[:, 0] = 0.5 + (points[:, 0] - 0.5) * np.cos(np.pi * half_turns)
    return points


def test_sides_exchanged_for_some_frames_are_noticed() -> None:
    assert exchanged(Sides(), range(30, 36)) == [number in range(30, 36) for number in range(2 * HZ)]


def test_a_tracker_that_slips_by_degrees_and_recovers_is_believed_at_once() -> None:
    assert exchanged(Sides(), range(30, 36), between=(29, 36)) == [number in range(30, 36) for number in range(2 * HZ)]


def test_a_body_that_stays_exchanged_has_turned() -> None:
    said = exchanged(Sides(), range(30, 2 * HZ))
    assert said[30]
    assert not said[-1]


@pytest.mark.parametrize("rate_hz", [15, 30, 60])
@pytest.mark.parametrize("turn_s", [0.5, 2.0])
def test_a_body_that_turns_round_and_back_is_believed_throughout(rate_hz: int, turn_s: float) -> None:
    sides = Sides()
    times_s = np.arange(0.0, 1 + 2 * turn_s, 1 / rate_hz)
    half_turns = np.interp(times_s, [0.5, 0.5 + turn_s, 0.5 + 2 * turn_s], [0.0, 1.0, 0.0])
    assert not any(sides.are_exchanged(turned(a), 4 / 3, t) for a, t in zip(half_turns, times_s, strict=True))


def test_a_body_seen_from_the_side_may_waver() -> None:
    sides = Sides()
    rng = np.random.default_rng(0)
    assert not any(sides.are_exchanged(turned(0.5 + 0.02 * rng.normal()), 4 / 3, n / HZ) for n in range(10 * HZ))


def test_the_first_pose_is_believed() -> None:
    assert not any(exchanged(Sides(), range(2 * HZ)))


def test_a_tracker_that_puts_its_first_poses_right_is_believed_at_once() -> None:
    assert not any(exchanged(Sides(), range(8)))


def test_after_a_gap_the_pose_is_believed() -> None:
    sides = Sides()
    exchanged(sides, range(0))
    assert not sides.are_exchanged(pose(0.2)[EXCHANGED_POSE], 4 / 3, 5.0)
