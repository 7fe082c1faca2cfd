"""Landmarks as they would have been, seen a little differently: what few takes cannot show.

Every frame is turned about its upright axis (as if the camera stood elsewhere), tilted, stretched
and shaken at the joints. A class is mirrored as well, but only where its own takes are their
mirror image already, and a body seen from the side where both its sides do the same: a raised left
arm never becomes a raised right one. Place and size need nothing, as features do not know them.
Numbers that are read as the points of a hand or a body are varied as such. docs/learning.md has
what each is worth.
"""

import dataclasses
from collections.abc import Collection
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from instrument.features import (
    DYNAMIC_FEATURES,
    LANDMARK_READINGS,
    body_length,
    extract,
    feature_names,
    mirror,
    palm_length,
)
from instrument.patch import HAND_FEATURES, NUMBER_FEATURES, POSE_FEATURES, Output, Patch, Smoothing
from instrument.signals import LANDMARK_PARTS, POSE_LANDMARKS, FloatArray, LandmarkSequence
from instrument.skeletons import Skeleton, skeleton_of

TURN_RAD = 0.2
TILT_RAD = 0.12
STRETCH = 0.08
"""Deviation of the logarithm of width and of height."""
SHAKE = 0.05
"""Deviation of every joint in x and y, in body (or palm) lengths."""
COPIES = 50
MOST_VARIATIONS, FEWEST_VARIATIONS = 4000, 1500
"""At most so many times the examples, and so many in all of a few examples, and of a thousand and more."""

_COMPARED = 60
_AS_NEAR = 1.5
"""Mirror images may be so much farther from their class than its takes are from each other."""
_AS_OFTEN = 0.3
"""If so many more examples, as a share, are nearest to another class once that is mirrored, they are left and right."""
_NEARER = 2.5
"""So many times nearer is a class of a single take to another's mirror image than to the other, if they are that."""
_FROM_SIDE = 0.35
"""Shoulders and hips of a body seen from the side are nearer to each other than this, in body lengths."""
_ALIKE = 0.5
"""So near are all joints to those of the other side where both do the same, seen from the side."""
_HIPS = [POSE_LANDMARKS.index("left_hip"), POSE_LANDMARKS.index("right_hip")]
_LEFT, _RIGHT = (
    [POSE_LANDMARKS.index(f"{side}_{name}") for name in ("shoulder", "hip", "elbow", "wrist", "knee", "ankle")]
    for side in ("left", "right")
)


def varied(sequence: LandmarkSequence, rng: np.random.Generator, is_upper: bool = False) -> LandmarkSequence:
    """The frames of that sequence, each seen a little differently, and each for itself."""
    aspect = sequence.aspect[:, None]
    parts: dict[str, FloatArray] = {}
    if sequence.pose is not None:
        pose = sequence.pose.copy()
        points = pose[:, :, :3] * np.stack([aspect, np.ones_like(aspect), aspect], axis=2)
        centre = points[:, _HIPS].mean(axis=1, keepdims=True)
        points = _moved(points - centre, body_length(points[:, :, :2], is_upper), rng) + centre
        pose[:, :, :3] = points / np.stack([aspect, np.ones_like(aspect), aspect], axis=2)
        parts["pose"] = pose
    for name in ("left_hand", "right_hand"):
        hand: FloatArray | None = getattr(sequence, name)
        if hand is not None:
            scale = np.stack([aspect, np.ones_like(aspect), aspect], axis=2)
            points = hand * scale
            wrist = points[:, :1]
            parts[name] = (_moved(points - wrist, palm_length(points[:, :, :2]), rng) + wrist) / scale
    return dataclasses.replace(_apart(sequence), **parts)  # type: ignore[arg-type]


def variations(
    patch: Patch,
    output: Output,
    names: tuple[str, ...],
    sequence: LandmarkSequence,
    values: FloatArray,
    targets: NDArray[np.intp],
    takes: NDArray[np.intp],
    *,
    copies: int,
    seed: int,
) -> FloatArray:
    """(copies x T, F): the features called `names` of variations of T frames.

    `values` (T, F) are theirs as they were recorded; features of movement are left as they were.
    """
    rng = np.random.default_rng([seed, 1])
    restaging = Restaging(patch, output, names, sequence, values)
    shown = restaging.shown
    may_be_mirrored = np.zeros(len(targets), dtype=bool)
    if shown.pose is not None and not patch.features.mirror:
        mirrored = restaging.rows(mirror(shown))[:, restaging.at]
        symmetric, exchanged = symmetric_classes(values[:, restaging.at], mirrored, targets, takes)
        may_be_mirrored = np.isin(targets, symmetric) | is_alike_from_side(shown, patch.features.body == "upper")
        may_be_mirrored &= ~np.isin(targets, exchanged)
    restaging = Restaging(patch, output, names, _tiled(sequence, copies), np.tile(values, (copies, 1)))
    frames = varied(restaging.shown, rng, patch.features.body == "upper")
    is_mirrored = np.repeat(np.arange(copies) % 2 == 0, len(targets)) & np.tile(may_be_mirrored, copies)
    return restaging.rows(either(is_mirrored, mirror(frames), frames))


def either(is_one: NDArray[np.bool_], one: LandmarkSequence, other: LandmarkSequence) -> LandmarkSequence:
    """The landmarks of `one` in the frames (T,) where that is said, and of `other` in all others."""
    parts = {}
    for name in ("pose", "left_hand", "right_hand"):
        part, otherwise = getattr(one, name), getattr(other, name)
        if part is not None and otherwise is not None:
            parts[name] = np.where(is_one[:, None, None], part, otherwise)
    return dataclasses.replace(other, **parts)


class Restaging:
    """Makes the features of frames whose landmarks are changed."""

    def __init__(
        self, patch: Patch, output: Output, names: tuple[str, ...], sequence: LandmarkSequence, values: FloatArray
    ) -> None:
        """`values` (T, F) are the features called `names` of the frames of `sequence`."""
        groups = tuple(group for group in output.features if group not in DYNAMIC_FEATURES)
        self._still = dataclasses.replace(
            patch,
            smoothing=Smoothing(min_cutoff_hz=0.0),
            outputs=(dataclasses.replace(output, features=groups, inputs=()),),
        )
        place = {name: column for column, name in enumerate(feature_names(self._still))}
        self.at = np.array([index for index, name in enumerate(names) if name in place], dtype=np.intp)
        """Which features change: those of movement stay as they were recorded."""
        self.groups = {names[index].partition(".")[0] for index in self.at}
        """Those they belong to."""
        self._columns = np.array([place[names[index]] for index in self.at], dtype=np.intp)
        self._values = values
        numbers = sequence.numbers
        self._skeleton = None
        self._numbers = numbers
        self.shown = _apart(_only(sequence, self.groups))
        """What the features are made of, its frames so far apart in time that none is smoothed with another; of numbers
        the body they are read as."""
        if numbers is not None and self.groups.intersection(LANDMARK_READINGS):
            self._skeleton = skeleton = skeleton_of(numbers.shape[1])
            assert skeleton is not None
            part = {"pose" if skeleton.part == "pose" else "right_hand": skeleton.landmarks(numbers)}
            aspect = np.ones_like(sequence.aspect)
            self.shown = dataclasses.replace(self.shown, numbers=None, aspect=aspect, **part)  # type: ignore[arg-type]

    def rows(self, frames: LandmarkSequence) -> FloatArray:
        """(T, F): the features, those frames being shown instead."""
        if self._skeleton is not None and self._numbers is not None:
            frames = dataclasses.replace(frames, numbers=_where_it_was(self._skeleton, frames, self._numbers))
            frames = dataclasses.replace(frames, pose=None, right_hand=None)
        rows = self._values.copy()
        rows[:, self.at] = extract(self._still, frames)[:, self._columns]
        return rows


def is_body(names: tuple[str, ...]) -> bool:
    """Whether some of the features called `names` are those of a hand or a body, which can be varied."""
    groups = {name.partition(".")[0] for name in names}
    return any(group in LANDMARK_READINGS or not group.startswith("number") for group in groups)


def is_alike_from_side(sequence: LandmarkSequence, is_upper: bool = False) -> NDArray[np.bool_]:
    """(T,): whether a body is seen from the side and both its sides do the same: mirrored, it faces the other way."""
    assert sequence.pose is not None
    points = sequence.pose[:, :, :2] * np.stack([sequence.aspect, np.ones_like(sequence.aspect)], axis=1)[:, None]
    apart = np.linalg.norm(points[:, _LEFT] - points[:, _RIGHT], axis=2) / body_length(points, is_upper)[:, None]
    seen = apart[:, :4] if is_upper else apart  # legs may be out of the picture
    return np.asarray((apart[:, :2] < _FROM_SIDE).all(axis=1) & (seen < _ALIKE).all(axis=1))


def symmetric_classes(
    values: FloatArray, mirrored: FloatArray, targets: NDArray[np.intp], takes: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The classes that are their own mirror image, and those that are the mirror image of another.

    `values` (T, F) and `mirrored` (T, F) are the features of frames and of their mirror images. A class is its own
    if these are as near to its examples as those of its takes are to each other.
    """
    deviation = values.std(axis=0) + np.float32(1e-3)
    rng = np.random.default_rng(0)
    classes = np.unique(targets)
    picked = [rng.permutation(np.flatnonzero(targets == one))[:_COMPARED] for one in classes]
    starts, rows = np.cumsum([0, *map(len, picked)]), np.concatenate(picked)
    ours, theirs, take = values[rows] / deviation, mirrored[rows] / deviation, takes[rows]
    to_ours, to_images = _distances(ours, ours), _distances(ours, theirs)
    np.fill_diagonal(to_ours, np.inf)
    to_class, to_image = (np.minimum.reduceat(one, starts[:-1], axis=1) for one in (to_ours, to_images))
    apart, images_apart = _middles_apart(values[rows], mirrored[rows], starts)
    is_own, is_other = np.zeros(len(classes), dtype=bool), np.zeros(len(classes), dtype=bool)
    for number in range(len(classes)):
        of_class = slice(starts[number], starts[number + 1])
        among = to_ours[of_class, of_class].copy()
        is_in_takes = len(np.unique(take[of_class])) > 1
        if is_in_takes:
            among[take[of_class][:, None] == take[of_class]] = np.inf
        to_own = among.min(axis=1)
        as_mirrored = np.median(to_images[of_class, of_class].min(axis=0))
        is_own[number] = np.isfinite(to_own).any() and as_mirrored <= _AS_NEAR * np.median(to_own)
        others, images = to_class[of_class], to_image[of_class]
        if is_in_takes:
            stay, would_stay = (to_own[:, None] < one for one in (others, np.minimum(others, images)))
            is_image = stay.mean(axis=0) - would_stay.mean(axis=0) >= _AS_OFTEN
        else:  # frames of one take are next to each other whatever the others are
            is_image = _NEARER * images_apart[number] <= apart[number]
        is_image[number] = False
        is_other |= is_image
        is_other[number] |= is_image.any()
    return classes[is_own], classes[is_other]


def _middles_apart(
    values: FloatArray, mirrored: FloatArray, starts: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C, C): how far the mean of the rows of each class is from those of others, and from their mirror images."""
    middles, images = (
        np.stack([one[first:last].mean(axis=0) for first, last in pairwise(starts.tolist())])
        for one in (values, mirrored)
    )
    return _distances(middles, middles), _distances(middles, images)


def _moved(points: FloatArray, length: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(T, L, 3) points around a centre: turned, tilted, stretched and shaken."""
    count = len(points)
    turn = TURN_RAD * rng.standard_normal((count, 1), dtype=np.float32)
    tilt = TILT_RAD * rng.standard_normal((count, 1), dtype=np.float32)
    stretch = np.exp(STRETCH * rng.standard_normal((count, 1, 2), dtype=np.float32))
    x = points[..., 0] * np.cos(turn) + points[..., 2] * np.sin(turn)
    z = points[..., 2] * np.cos(turn) - points[..., 0] * np.sin(turn)
    flat = np.stack([x, points[..., 1]], axis=2) * stretch
    flat += SHAKE * length[:, None, None] * rng.standard_normal(flat.shape, dtype=np.float32)
    x = flat[..., 0] * np.cos(tilt) - flat[..., 1] * np.sin(tilt)
    y = flat[..., 0] * np.sin(tilt) + flat[..., 1] * np.cos(tilt)
    return np.stack([x, y, z], axis=2)


def _where_it_was(skeleton: Skeleton, shown: LandmarkSequence, numbers: FloatArray) -> FloatArray:
    """(T, inputs): the numbers of a hand or a body that was changed, which came as `numbers` (T, inputs)."""
    points = shown.pose if skeleton.part == "pose" else shown.right_hand
    assert points is not None
    if skeleton.part == "pose":  # mirrored, it is on the other side of the picture
        to_right = skeleton.landmarks(numbers)[:, _HIPS, 0].mean(axis=1) - points[:, _HIPS, 0].mean(axis=1)
        points = points.copy()
        points[:, :, 0] += to_right[:, None]
    return skeleton.numbers(points, numbers)


def _only(sequence: LandmarkSequence, groups: Collection[str]) -> LandmarkSequence:
    """The parts of the sequence that features of those groups are made of."""
    has_pose, has_hands, has_numbers = (
        bool(set(of).intersection(groups)) for of in (POSE_FEATURES, HAND_FEATURES, NUMBER_FEATURES)
    )
    return dataclasses.replace(
        sequence,
        pose=sequence.pose if has_pose else None,
        left_hand=sequence.left_hand if has_hands else None,
        right_hand=sequence.right_hand if has_hands else None,
        numbers=sequence.numbers if has_numbers else None,
    )


def _tiled(sequence: LandmarkSequence, copies: int) -> LandmarkSequence:
    """The same frames, so many times one after the other; times mean nothing."""
    parts = {
        name: np.tile(part, (copies, *[1] * (part.ndim - 1)))
        for name in ("aspect", *LANDMARK_PARTS)
        if (part := getattr(sequence, name)) is not None
    }
    return dataclasses.replace(sequence, times_s=np.tile(sequence.times_s, copies), **parts)


def _apart(sequence: LandmarkSequence) -> LandmarkSequence:
    """The same frames so far apart in time that none is smoothed with another."""
    return dataclasses.replace(sequence, times_s=10.0 * np.arange(len(sequence), dtype=np.float64), pose_world=None)


def _distances(ones: FloatArray, others: FloatArray) -> NDArray[np.float64]:
    squares = np.square(ones).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2 * ones @ others.T
    return np.sqrt(np.maximum(squares, 0.0)).astype(np.float64)
