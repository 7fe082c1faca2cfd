"""Undoes what trackers do to fast arms: for some frames left is taken for right, and right for left.

A body cannot change its sides between two frames, so of the pose and the pose with its sides exchanged the
one is believed that is nearer to the frame before. A body that has really turned stays exchanged, and is
believed after a while.
"""

import numpy as np

from instrument.signals import EXCHANGED_POSE, FloatArray

_NEARER = 0.7
"""Exchanged, a pose must be this much nearer to the frame before: a body seen from the side is as near either way."""
_MOST_S = 0.5
"""An exchange that lasts longer is no slip."""
_FORGET_AFTER_S = 0.3


class Sides:
    """Remembers which side is which from frame to frame."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next pose is believed as it is."""
        self._last: FloatArray | None = None
        self._last_s = self._right_s = 0.0

    def are_exchanged(self, pose: FloatArray, aspect: float, now_s: float) -> bool:
        """Whether the sides of that pose (33, 4) are exchanged."""
        points = pose[:, :2] * np.array([aspect, 1.0], dtype=np.float32)
        exchanged = points[EXCHANGED_POSE]
        if self._last is None or now_s - self._last_s > _FORGET_AFTER_S:
            self._last, self._right_s = points, now_s
        apart, apart_exchanged = (np.linalg.norm(one - self._last, axis=1).sum() for one in (points, exchanged))
        is_exchanged = bool(apart_exchanged < _NEARER * apart) and now_s - self._right_s <= _MOST_S
        if not is_exchanged:
            self._right_s = now_s
        self._last, self._last_s = exchanged if is_exchanged else points, now_s
        return is_exchanged
