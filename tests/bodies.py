"""Made-up but plausible performers, for tests that need no picture."""

import numpy as np

from instrument.signals import Landmarks, LandmarkSequence, landmark_sequence

# A person seen from the front, in picture heights from the hip centre: x to the right of the picture, y down.
_STANDING = {
    0: (0.0, -0.36),
    **{i: (0.01 * (1 if i < 4 else -1), -0.38) for i in range(1, 7)},
    7: (0.03, -0.37),
    8: (-0.03, -0.37),
    9: (0.01, -0.34),
    10: (-0.01, -0.34),
    11: (0.08, -0.27),
    12: (-0.08, -0.27),
    23: (0.05, 0.0),
    24: (-0.05, 0.0),
    25: (0.05, 0.2),
    26: (-0.05, 0.2),
    27: (0.05, 0.4),
    28: (-0.05, 0.4),
    29: (0.045, 0.42),
    30: (-0.045, 0.42),
    31: (0.07, 0.43),
    32: (-0.07, 0.43),
}


def pose(lift: float, *, x: float = 0.5, y: float = 0.5, aspect: float = 4 / 3) -> np.ndarray:
    """(33, 4): a standing body; `lift` 0 has the arms hanging, 0.5 stretched out, 1 up."""
    points = np.zeros((33, 4), dtype=np.float32)
    for index, point in _STANDING.items():
        points[index, :2] = point
    angle = np.pi * lift
    for side, shoulder, elbow, wrist in ((1, 11, 13, 15), (-1, 12, 14, 16)):
        direction = np.array([side * np.sin(angle), np.cos(angle)])
        points[elbow, :2] = points[shoulder, :2] + 0.14 * direction
        points[wrist, :2] = points[shoulder, :2] + 0.27 * direction
        for finger in (wrist + 2, wrist + 4, wrist + 6):
            points[finger, :2] = points[wrist, :2] + 0.04 * direction
    points[:, 0] = points[:, 0] / aspect + x
    points[:, 1] += y
    points[:, 3] = 0.99
    return points


def moving_body(*, frames: int, lift: float | None = None, start_s: float = 0.0, seed: int = 0) -> list[Landmarks]:
    """A body that raises and lowers its arms at 30 frames a second (or keeps them at `lift`), a little shaky."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(frames):
        lifted = 0.5 - 0.5 * np.cos(number / 10) if lift is None else lift
        points = pose(lifted, x=0.5 + 0.002 * number)
        points[:, :2] += rng.normal(0, 0.001, (33, 2))
        made.append(
            Landmarks(
                frame_number=number,
                captured_at_s=start_s + number / 30,
                pose=points,
                pose_world=np.zeros((33, 3), dtype=np.float32),
            )
        )
    return made


def moving_hands(*, frames: int, seed: int = 0) -> list[Landmarks]:
    """Two hands that open, close and drift."""
    rng = np.random.default_rng(seed)
    shape = rng.normal(0, 0.05, (21, 3)).astype(np.float32)
    made = []
    for number in range(frames):
        left = shape * (1 + 0.3 * np.sin(number / 5)) + np.array([0.3 + 0.004 * number, 0.5, 0], dtype=np.float32)
        right = shape[:, [1, 0, 2]] + np.array([0.7, 0.4 + 0.003 * number, 0], dtype=np.float32)
        made.append(
            Landmarks(
                frame_number=number,
                captured_at_s=number / 30,
                left_hand=left.astype(np.float32),
                right_hand=right.astype(np.float32),
            )
        )
    return made


def sequence_of(frames: list[Landmarks]) -> LandmarkSequence:
    """The frames as a sequence with body and hands."""
    return landmark_sequence(frames, ("pose", "left_hand", "right_hand"))


def hand(bend: float) -> np.ndarray:
    """(21, 3): a hand seen from the palm, in palm lengths from the wrist; `bend` 0 is open, 1 a fist."""
    points = np.zeros((21, 3), dtype=np.float32)
    for finger in range(5):
        spread = 0.35 * (2 - finger)
        length = 0.5 if finger == 0 else 1.0
        place = length * np.array([np.sin(spread), -np.cos(spread)])
        angle = spread
        for joint in range(4):
            points[4 * finger + joint + 1, :2] = place
            angle += bend * (0.6 if finger == 0 else 1.2)
            place = place + (0.35, 0.25, 0.2, 0.0)[joint] * np.array([np.sin(angle), -np.cos(angle)])
    return points
