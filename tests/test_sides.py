import numpy as np
from bodies import pose

from instrument.sides import Sides
from instrument.signals import EXCHANGED_POSE

HZ = 30
LIFTS = np.linspace(0.2, 0.9, HZ)


def exchanged(sides: Sides, frames: range, *, at_s: float = 0.0) -> list[bool]:
    """What is said of arms that rise, with left taken for right in these frames."""
    said = []
    for number, lift in enumerate(LIFTS):
        shown = pose(float(lift))
        shown = shown[EXCHANGED_POSE] if number in frames else shown
        said.append(sides.are_exchanged(shown, 4 / 3, at_s + number / HZ))
    return said


def test_sides_exchanged_for_some_frames_are_noticed() -> None:
    assert exchanged(Sides(), range(10, 16)) == [number in range(10, 16) for number in range(HZ)]


def test_a_body_that_stays_exchanged_has_turned() -> None:
    said = exchanged(Sides(), range(5, HZ))
    assert said[5]
    assert not said[-1]


def test_the_first_pose_is_believed() -> None:
    assert not any(exchanged(Sides(), range(HZ)))


def test_after_a_gap_the_pose_is_believed() -> None:
    sides = Sides()
    exchanged(sides, range(0))
    assert not any(exchanged(sides, range(HZ), at_s=5.0))
