"""Undoes what trackers do to arms in front of the face: for some frames left is taken for right, and right for left.

How far the left side is from the right across the picture tells which way a body faces. One that turns takes its
time from being seen half as wide as before to being seen from the other side; what is quicker is a slip of the
tracker, and is undone as long as it lasts. A body that stays exchanged has turned all the same, and is believed.
"""

import numpy as np

from instrument.signals import FloatArray

_TURN_S = 0.11
"""A body takes longer from half its width to `_SEEN` on the other side: half a turn takes half a second."""
_SEEN = 0.1
"""Torso lengths between left and right from which on it is clear which is which."""
_MOST_S = 0.5
"""A slip that lasts longer is none; and what has not been believed for so long is given up at once."""
_WIDTH_S = 1.0
"""In about this time a body that has turned sideways is no longer expected to be as wide as it was."""
_FORGET_AFTER_S = 0.3

_LEFT_SHOULDER, _RIGHT_SHOULDER, _LEFT_HIP, _RIGHT_HIP = 11, 12, 23, 24


class Sides:
    """Remembers which side is which from frame to frame."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next pose is believed as it is."""
        self._facing = 0.0
        """1 with the left side on the right of the picture, as of somebody who faces the camera, or -1."""
        self._width = 0.0
        self._last_s = self._clear_s = self._facing_since_s = 0.0
        self._slipped_s: float | None = None

    def are_exchanged(self, pose: FloatArray, aspect: float, now_s: float) -> bool:
        """Whether the sides of that pose (33, 4) are exchanged."""
        across = _left_of_right(pose, aspect)
        passed_s = now_s - self._last_s
        self._last_s = now_s
        if not self._facing or passed_s > _FORGET_AFTER_S:
            self._believe(across, now_s)
            return False
        seen = across * self._facing
        if self._slipped_s is not None:
            if seen < 0 and now_s - self._slipped_s <= _MOST_S:
                return True
            if seen < 0:
                self._believe(across, now_s)
            else:
                self._clear_s, self._slipped_s = now_s, None
            return False
        self._width = max(seen, self._width * float(np.exp(-passed_s / _WIDTH_S)))
        if seen > self._width / 2:
            self._clear_s = now_s
        elif seen < -_SEEN:
            is_quick = now_s - self._clear_s <= _TURN_S
            if is_quick and now_s - self._facing_since_s > _MOST_S:
                self._slipped_s = now_s
                return True
            self._believe(across, now_s)
        return False

    def _believe(self, across: float, now_s: float) -> None:
        self._facing = 1.0 if across > 0 else -1.0
        self._facing_since_s = now_s
        self._width = abs(across)
        self._clear_s, self._slipped_s = now_s, None


def _left_of_right(pose: FloatArray, aspect: float) -> float:
    """How far the left shoulder and hip are from the right ones, square to the torso, in torso lengths.

    Positive where a body that is seen from the front has them.
    """
    points = pose[:, :2] * np.array([aspect, 1.0], dtype=np.float32)
    shoulder = points[_LEFT_SHOULDER] - points[_RIGHT_SHOULDER]
    hip = points[_LEFT_HIP] - points[_RIGHT_HIP]
    up = (points[_LEFT_SHOULDER] + points[_RIGHT_SHOULDER] - points[_LEFT_HIP] - points[_RIGHT_HIP]) / 2
    left = (shoulder + hip) / 2
    torso = max(float(np.hypot(*up)), float(np.hypot(*shoulder)), 1e-6)
    return float(up[0] * left[1] - up[1] * left[0]) / torso**2
