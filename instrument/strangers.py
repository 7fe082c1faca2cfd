"""Bodies, hands and paths that nobody showed: those of the takes, held or bent otherwise.

What is none of the classes is mostly the same performer before the same camera, doing something else. How a
stranger looks nobody has recorded, but how one differs is known: arms, legs or fingers are somewhere else, while
face, proportions, camera and tracker are the same. So features of made-up strangers tell a network in what
directions a gesture may not change, beside variations (`instrument.variation`), which tell in what it may.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instrument.features import body_length, palm_length
from instrument.patch import Output, Patch
from instrument.signals import POSE_LANDMARKS, FloatArray, LandmarkSequence
from instrument.variation import Restaging, either, varied

MOST_STRANGERS = 6000
"""So many are made, as many of each example."""
TURN_RAD = 0.9
"""Deviation of how far a limb is turned in the picture."""
TILT_RAD = 0.5
"""Deviation of how far it points to or from the camera, which makes it shorter in the picture."""
APART_RAD = 0.15
"""Deviation of each side from the other, where both do the same."""
ONE_SIDED = 0.15
"""Share of strangers of whom one arm or leg only is held otherwise; mostly both do the same."""
FINGER_RAD = 0.3
"""Deviation of where a finger points."""
ALL_FINGERS = 0.3
"""Share of hands of which all fingers are bent alike."""

BEND_RAD = 2 * np.pi
"""Deviation of how much more, or the other way, a path turns from its beginning to its end."""
CORNERS = 0.5
"""Share of paths that have a corner as well, somewhere."""
LENGTHEN = 0.4
"""Deviation of the logarithm of a path's length."""

_SEEN = 1e-3
"""A feature that changes by less was rounded."""
_ARMS, _LEGS = 0, 1


@dataclass(frozen=True, slots=True)
class _Limb:
    of: int
    """Arms or legs."""
    length: float
    """In torso lengths."""
    joint: str
    moved: tuple[str, ...]
    """Its end, and what hangs on it."""

    def on(self, side: str) -> tuple[int, NDArray[np.intp]]:
        """Its joint, and what moves."""
        joint, *moved = (POSE_LANDMARKS.index(f"{side}_{name}") for name in (self.joint, *self.moved))
        return joint, np.array(moved)


_HAND = ("wrist", "pinky", "index", "thumb")
_FOOT = ("ankle", "heel", "foot_index")
_LIMBS = (
    _Limb(_ARMS, 0.62, "shoulder", ("elbow", *_HAND)),
    _Limb(_ARMS, 0.52, "elbow", _HAND),
    _Limb(_LEGS, 0.85, "hip", ("knee", *_FOOT)),
    _Limb(_LEGS, 0.85, "knee", _FOOT),
)
_PHALANGES = ((0.45, 0.33, 0.26), (0.45, 0.27, 0.20), (0.50, 0.31, 0.22), (0.46, 0.29, 0.22), (0.37, 0.22, 0.19))
"""Of each finger, in palm lengths."""
_BENT, _STRAIGHT = np.array([0.2, -0.8, -1.0]), np.array([1.1, 1.1, 1.1])
"""How long a phalanx can look in the picture beside its length, bent back on the one before or stretched out."""


def strangers(
    patch: Patch,
    output: Output,
    names: tuple[str, ...],
    sequence: LandmarkSequence,
    values: FloatArray,
    *,
    seed: int,
) -> tuple[FloatArray, NDArray[np.intp]]:
    """The features (M, F) called `names` of strangers made of T frames, and (M,) which frame each is made of.

    `values` (T, F) are features as recorded; those of movement are left as they were. Of a frame in which there is
    nothing that can be held otherwise there is none; half of them are also seen a little differently.
    """
    rng = np.random.default_rng([seed, 3])
    is_upper = patch.features.body == "upper"
    restaging = Restaging(patch, output, names, sequence, values)
    shown = otherwise(restaging.shown, rng, is_upper)
    is_there = _is_there(restaging.shown)
    if output.inputs:  # what was held otherwise may be nothing that these features see
        is_there &= (np.abs(restaging.rows(shown) - values) > _SEEN).any(axis=1)
    if shown.numbers is None:
        shown = either(rng.random(len(shown)) < 0.5, varied(shown, rng, is_upper), shown)
    return restaging.rows(shown)[is_there], np.flatnonzero(is_there)


def _is_there(shown: LandmarkSequence) -> NDArray[np.bool_]:
    """(T,): whether there is anything to hold otherwise."""
    is_there = np.full(len(shown), shown.numbers is not None)  # a path
    for part in (shown.pose, shown.left_hand, shown.right_hand):
        if part is not None:
            is_there |= np.isfinite(part).all(axis=(1, 2))
    return is_there


def otherwise(sequence: LandmarkSequence, rng: np.random.Generator, is_upper: bool = False) -> LandmarkSequence:
    """The frames of that sequence with limbs and fingers held otherwise, or numbers as a path bent otherwise, in each
    for itself."""
    aspect = sequence.aspect
    heights = np.stack([aspect, np.ones_like(aspect), aspect], axis=1)[:, None]
    parts: dict[str, FloatArray] = {}
    if sequence.pose is not None:
        pose = sequence.pose.copy()
        pose[:, :, :3] = _limbs_moved(pose[:, :, :3] * heights, rng, is_upper) / heights
        parts["pose"] = pose
    which = rng.integers(3, size=len(sequence))  # the left, the right, or both
    hands = (sequence.left_hand, sequence.right_hand)
    is_found = [None if hand is None else np.isfinite(hand).all(axis=(1, 2)) for hand in hands]
    for side, name in enumerate(("left_hand", "right_hand")):
        if (part := hands[side]) is not None:
            hand: FloatArray = part.copy()
            other = is_found[1 - side]
            rows = (which != 1 - side) | (True if other is None else ~other)
            flat = heights[rows, :, :2]
            hand[rows, :, :2] = _fingers_moved(hand[rows, :, :2] * flat, rng) / flat
            parts[name] = hand
    if sequence.numbers is not None:
        parts["numbers"] = _bent(sequence.numbers.reshape(len(sequence), -1, 2), rng).reshape(len(sequence), -1)
    return dataclasses.replace(sequence, **parts)  # type: ignore[arg-type]


def _limbs_moved(points: FloatArray, rng: np.random.Generator, is_upper: bool) -> FloatArray:
    """(T, 33, 3) bodies with arms, legs or both held otherwise."""
    points = points.copy()
    count = len(points)
    torso = body_length(points, is_upper)
    which = rng.integers(1 if is_upper else 3, size=count)  # arms, legs, or both
    alone = np.where(rng.random(count) < ONE_SIDED, rng.integers(2, size=count), -1)
    for limb in _LIMBS:
        turn = TURN_RAD * rng.standard_normal(count)
        tilt = TILT_RAD * rng.standard_normal(count)
        for side, name in enumerate(("left", "right")):
            joint, moved = limb.on(name)
            apart = APART_RAD * rng.standard_normal(count)
            rows = np.flatnonzero((which != 1 - limb.of) & (alone != 1 - side))
            along = points[rows, moved[0]] - points[rows, joint]
            angle = np.arctan2(along[:, 1], along[:, 0])
            wanted = angle + turn[rows] + apart[rows]
            shown = np.abs(np.cos(tilt[rows]))
            direction = np.stack([shown * np.cos(wanted), shown * np.sin(wanted), np.sin(tilt[rows])], axis=1)
            end = points[rows, joint] + (limb.length * torso[rows])[:, None] * direction
            from_end = points[np.ix_(rows, moved)] - points[rows, None, moved[0]]
            from_end[:, :, :2] = _turned(from_end[:, :, :2], wanted - angle)
            points[np.ix_(rows, moved)] = from_end + end[:, None]
    return points


def _fingers_moved(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(T, 21, 2) hands with some fingers bent or stretched otherwise."""
    points = points.copy()
    count = len(points)
    palm = palm_length(points)
    is_moved = rng.random((count, 5)) < 0.5
    is_moved[np.arange(count), rng.integers(5, size=count)] = True
    alike = rng.random(count) < ALL_FINGERS
    is_moved |= alike[:, None]
    shown = rng.uniform(_BENT, _STRAIGHT, (count, 5, 3))
    together = rng.uniform(_BENT, _STRAIGHT, (count, 1, 3)) + 0.1 * rng.standard_normal((count, 5, 3))
    shown = np.where(alike[:, None, None], together, shown)
    for finger, phalanges in enumerate(_PHALANGES):
        rows = np.flatnonzero(is_moved[:, finger])
        first = 4 * finger + 1
        along = points[rows, first] - points[rows, 0]
        angle = np.arctan2(along[:, 1], along[:, 0]) + FINGER_RAD * rng.standard_normal(len(rows))
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        lengths = palm[rows, None] * np.array(phalanges) * shown[rows, finger]
        steps = np.cumsum(lengths, axis=1)[:, :, None] * direction[:, None]
        points[rows, first + 1 : first + 4] = points[rows, None, first] + steps
    return points


def _bent(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(T, P, 2) paths that begin where they did, with another bend, some with a corner, longer or shorter."""
    steps = np.diff(points, axis=1)
    count, moments = steps.shape[:2]
    turn = BEND_RAD * rng.standard_normal((count, 1)) * np.linspace(-0.5, 0.5, moments)
    is_after = np.arange(moments) >= rng.integers(1, moments, size=(count, 1))
    has_corner = rng.random((count, 1)) < CORNERS
    turn = turn + np.where(is_after & has_corner, rng.uniform(-np.pi, np.pi, (count, 1)), 0.0)
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y = steps[..., 0], steps[..., 1]
    steps = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=2)
    steps *= np.exp(LENGTHEN * rng.standard_normal((count, 1, 1)))
    along = np.cumsum(np.concatenate([points[:, :1], steps], axis=1), axis=1)
    return along.astype(np.float32)


def _turned(points: FloatArray, angle: FloatArray) -> FloatArray:
    """(T, P, 2) turned by (T,) about their origin."""
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=2)
