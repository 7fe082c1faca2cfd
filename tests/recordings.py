"""Made-up performances for the tests of takes, recorder and exchange."""

from collections.abc import Mapping

import numpy as np

from instrument.signals import LANDMARK_PARTS, Landmarks, LandmarkSequence, landmark_sequence
from instrument.takes import FrameRow, TakeStore, Target, WholeTake, frame_row

BODY = ("pose", "pose_world")


def body(number: int, at_s: float | None = None) -> Landmarks:
    """A pose of which every number tells the frame's."""
    return Landmarks(
        frame_number=number,
        captured_at_s=number / 30 if at_s is None else at_s,
        pose=np.full((33, 4), number, dtype=np.float32),
        pose_world=np.full((33, 3), -number, dtype=np.float32),
    )


def nobody(number: int, at_s: float | None = None) -> Landmarks:
    return Landmarks(frame_number=number, captured_at_s=number / 30 if at_s is None else at_s)


def numbers(number: int, *values: float) -> Landmarks:
    return Landmarks(
        frame_number=number, captured_at_s=number / 30, numbers=np.array(values or (number, 0.5), dtype=np.float32)
    )


def body_rows(count: int, first: int = 0) -> list[FrameRow]:
    return [frame_row(body(number), BODY, 0, first / 30) for number in range(first, first + count)]


def record(store: TakeStore, count: int = 5, targets: Mapping[str, Target] | None = None, kind: str = "take") -> int:
    """The number of a finished take of so many frames."""
    wanted = {"posture": "rest"} if targets is None else targets
    take_id = store.begin(source="test", parts=BODY, targets=wanted, kind=kind)
    store.append(take_id, body_rows(count))
    store.finish(take_id)
    return take_id


def sequence(count: int, parts: tuple[str, ...] = BODY) -> LandmarkSequence:
    return landmark_sequence([body(number) for number in range(count)], parts)


def assert_same_landmarks(one: LandmarkSequence, other: LandmarkSequence) -> None:
    for name in ("times_s", "aspect", *LANDMARK_PARTS):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def assert_same_take(one: WholeTake, other: WholeTake) -> None:
    for name in ("kind", "created_at", "source", "targets", "moving", "trim"):
        assert getattr(one, name) == getattr(other, name), name
    assert_same_landmarks(one.landmarks, other.landmarks)
