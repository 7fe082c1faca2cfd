"""Landmarks as they would have been, seen a little differently: what few takes cannot show.

Every frame is turned about its upright axis (as if the camera stood elsewhere), tilted, stretched
and shaken at the joints. A class is mirrored as well, but only where its own takes are their
mirror image already: a raised left arm never becomes a raised right one. Place and size need
nothing, as features do not know them. Numbers that are read as the points of a hand or a body
are varied as such. docs/learning.md has what each is worth.
"""

import dataclasses
from collections.abc import Collection

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
_AS_OFTEN = 0.4
"""So many more of them, as a share, may be nearest to another class than are examples as recorded."""
_HIPS = [POSE_LANDMARKS.index("left_hip"), POSE_LANDMARKS.index("right_hip")]


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
    symmetric = np.zeros(0, dtype=np.intp)
    if shown.pose is not None and not patch.features.mirror:
        mirrored = restaging.rows(mirror(shown))
        symmetric = symmetric_classes(values[:, restaging.at], mirrored[:, restaging.at], targets, takes)
    restaging = Restaging(patch, output, names, _tiled(sequence, copies), np.tile(values, (copies, 1)))
    frames = varied(restaging.shown, rng, patch.features.body == "upper")
    is_mirrored = np.repeat(np.arange(copies) % 2 == 0, len(targets)) & np.tile(np.isin(targets, symmetric), copies)
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


def symmetric_classes(
    values: FloatArray, mirrored: FloatArray, targets: NDArray[np.intp], takes: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The classes whose mirror images are as near to their examples as these are to each other.

    `values` (T, F) and `mirrored` (T, F) are the features of frames and of their mirror images.
    """
    deviation = values.std(axis=0) + np.float32(1e-3)
    rng = np.random.default_rng(0)
    classes = np.unique(targets)
    rows = np.concatenate([rng.permutation(np.flatnonzero(targets == one))[:_COMPARED] for one in classes])
    ours, theirs, shows, take = values[rows] / deviation, mirrored[rows] / deviation, targets[rows], takes[rows]
    to_mirrored, to_ours = _distances(theirs, ours), _distances(ours, ours)
    np.fill_diagonal(to_ours, np.inf)
    found = []
    for one in classes:
        is_one = shows == one
        among = to_ours[np.ix_(is_one, is_one)].copy()
        if len(np.unique(take[is_one])) > 1:
            among[take[is_one][:, None] == take[is_one]] = np.inf
        is_own = shows[to_ours[is_one].argmin(axis=1)] == one
        is_still_own = shows[to_mirrored[is_one].argmin(axis=1)] == one
        as_recorded = np.median(among.min(axis=1))
        as_mirrored = np.median(to_mirrored[np.ix_(is_one, is_one)].min(axis=1))
        is_near = np.isfinite(as_recorded) and as_mirrored <= _AS_NEAR * as_recorded
        if is_near and is_still_own.mean() >= is_own.mean() - _AS_OFTEN:
            found.append(one)
    return np.array(found, dtype=np.intp)


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
