"""Numbers that are the points of a hand or a body: whether they are, and where each point lies.

Many programs send such points over OSC, in the order in which their tracker gives them. Read as what
they are, they say more. But their count alone proves nothing, so it is looked at how they lie.
"""

import functools
from dataclasses import dataclass

import numpy as np

from instrument.signals import HAND_LANDMARKS, POSE_LANDMARKS, FloatArray

_NEARER = 0.5
_ROWS = 320
_COCO = (
    "nose",
    *(
        f"{side}_{name}"
        for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)
"""The 17 points of PoseNet and MoveNet (ml5, p5), those of COCO."""
_STAND_INS = {
    **{f"mouth_{side}": "nose" for side in ("left", "right")},
    **{f"{side}_eye_{edge}": f"{side}_eye" for edge in ("inner", "outer") for side in ("left", "right")},
    **{f"{side}_{finger}": f"{side}_wrist" for finger in ("pinky", "index", "thumb") for side in ("left", "right")},
    **{f"{side}_{end}": f"{side}_ankle" for end in ("heel", "foot_index") for side in ("left", "right")},
}
"""The point of those 17 that is nearest to a landmark they lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """The order of the points of a hand or a body in numbers."""

    part: str
    """`pose` or `hand`."""
    each: int
    """How many numbers a point has: x, y, then z or how sure the tracker is of it."""
    has_z: bool
    names: tuple[str, ...]
    """The landmark that each point is."""
    near: tuple[tuple[int, int], ...]
    """Points that lie near each other, though other points are between them in the order, ..."""
    far: tuple[tuple[int, int], ...]
    """... and points that follow one another, but mostly lie far apart."""

    def lies_in(self, numbers: FloatArray) -> bool:
        """Whether (N, inputs) numbers can be such points."""
        points = self._split(numbers[:: max(1, len(numbers) // _ROWS)].astype(np.float64))[:, :, :2]
        scale = points.var(axis=1).sum(axis=1)
        points = points[scale > 0] / np.sqrt(scale[scale > 0])[:, None, None]
        if not len(points):
            return False
        near = _apart(points, self.near)
        return all(near < _NEARER * _apart(points, (pair,)) for pair in self.far)

    def landmarks(self, numbers: FloatArray) -> FloatArray:
        """(T, 33, 4) or (T, 21, 3): those of (T, inputs) numbers, in the order and with the columns of ours."""
        points = self._split(numbers)[:, _order(self.part, self.names)]
        found = np.ones((*points.shape[:2], 4 if self.part == "pose" else 3), dtype=np.float32)
        found[:, :, :2] = points[:, :, :2]
        found[:, :, 2] = points[:, :, 2] if self.has_z else 0.0
        return found

    def numbers(self, landmarks: FloatArray, like: FloatArray) -> FloatArray:
        """(T, inputs): the numbers of those landmarks; what else a point has is as in `like` (T, inputs)."""
        order = POSE_LANDMARKS if self.part == "pose" else HAND_LANDMARKS
        points = self._split(like).copy()
        kept = 3 if self.has_z else 2
        points[:, :, :kept] = landmarks[:, [order.index(name) for name in self.names], :kept]
        return points.reshape(like.shape)

    def _split(self, numbers: FloatArray) -> FloatArray:
        return numbers.reshape(len(numbers), len(self.names), self.each)


def skeleton_of(inputs: int) -> Skeleton | None:
    """What that many numbers may be the points of, if anything: no two have the same count."""
    return _SKELETONS.get(inputs)


@functools.cache
def _order(part: str, names: tuple[str, ...]) -> list[int]:
    """For each of our landmarks the point that it is, or that stands in for it."""
    wanted = POSE_LANDMARKS if part == "pose" else HAND_LANDMARKS
    return [names.index(name if name in names else _STAND_INS[name]) for name in wanted]


def _apart(points: FloatArray, pairs: tuple[tuple[int, int], ...]) -> float:
    ones, others = np.array(pairs).T
    return float(np.square(points[:, ones] - points[:, others]).sum(axis=2).mean())


_HAND = {
    "part": "hand",
    "names": HAND_LANDMARKS,
    "near": ((5, 9), (9, 13), (13, 17), (3, 4), (7, 8), (11, 12), (15, 16), (19, 20)),
    "far": ((4, 5), (8, 9), (12, 13), (16, 17)),
}
_POSE = {
    "part": "pose",
    "names": POSE_LANDMARKS,
    "near": (
        *((0, 3), (0, 6), (15, 17), (15, 19), (15, 21), (16, 18), (16, 20), (16, 22)),
        *((27, 29), (27, 31), (28, 30), (28, 32)),
    ),
    "far": ((10, 11), (22, 23)),
}
_POSE_17 = {
    "part": "pose",
    "names": _COCO,
    "near": ((0, 1), (0, 2), (1, 3), (2, 4)),
    "far": ((4, 5), (10, 11)),
}
_SKELETONS: dict[int, Skeleton] = {
    len(order["names"]) * each: Skeleton(**order, each=each, has_z=has_z)  # type: ignore[arg-type]
    for order, each, has_z in (
        (_HAND, 2, False),
        (_HAND, 3, True),
        (_POSE, 2, False),
        (_POSE, 3, True),
        (_POSE, 4, True),
        (_POSE_17, 2, False),
        (_POSE_17, 3, False),
    )
}
