"""Landmarks become features: named, body-relative float32 numbers, never NaN.

Where the body stands in the picture, and how large it is, make no difference: points are
measured from the body's own centre, in its own length. One `FeatureExtractor` serves the live
frame (a sequence of one) and whole takes, so both give the same numbers.

This room knows nothing of takes, models or outputs beyond the feature groups they name.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.patch import HAND_FEATURES, NUMBER_FEATURES, POSE_FEATURES, Output, Patch, Smoothing
from instrument.signals import (
    EXCHANGED_POSE,
    HAND_LANDMARKS,
    POSE_LANDMARKS,
    Features,
    FloatArray,
    Landmarks,
    LandmarkSequence,
    landmark_sequence,
)
from instrument.skeletons import Skeleton, skeleton_of
from instrument.smoothing import OneEuroFilter

VERSION = 3
"""Grows whenever a feature changes its meaning; models of another version are trained again."""

FORGET_AFTER_S = 0.3
"""A gap in tracking longer than this starts smoothing, velocities and windows afresh."""

DYNAMIC_FEATURES = (
    *("velocities", "energy", "windowed", "differences"),
    *("hand_velocities", "hand_windowed", "hand_differences"),
    *("number_velocities", "number_windowed", "number_differences"),
)
"""Groups that depend on the frames before."""

VELOCITY_SPAN_S = 0.1
"""Velocities are measured over this long, so that jitter in frame times does not show."""

DEPTH = 0.5
"""How much the tracker's z counts beside x and y in the angles of a body: it is there, but it wavers."""

LIMIT = 5.0
"""Positions and distances are clipped to this many body lengths, velocities to ten times it."""


def _pose_index(*names: str) -> list[int]:
    return [POSE_LANDMARKS.index(name) for name in names]


_SHOULDERS = _pose_index("left_shoulder", "right_shoulder")
_HIPS = _pose_index("left_hip", "right_hip")


def _both(*names: str) -> list[str]:
    return [f"{side}_{name}" for name in names for side in ("left", "right")]


_POINTS = {
    "full": ["nose", *_both("ear", "shoulder", "elbow", "wrist", "index", "hip", "knee", "ankle", "foot_index")],
    "upper": ["nose", *_both("eye", "ear", "shoulder", "elbow", "wrist", "index", "thumb", "pinky")],
}
_JOINTS = {
    "full": {
        **{f"{s}_elbow": (f"{s}_shoulder", f"{s}_elbow", f"{s}_wrist") for s in ("left", "right")},
        **{f"{s}_shoulder": (f"{s}_hip", f"{s}_shoulder", f"{s}_elbow") for s in ("left", "right")},
        **{f"{s}_hip": (f"{s}_shoulder", f"{s}_hip", f"{s}_knee") for s in ("left", "right")},
        **{f"{s}_knee": (f"{s}_hip", f"{s}_knee", f"{s}_ankle") for s in ("left", "right")},
    },
    "upper": {
        **{f"{s}_elbow": (f"{s}_shoulder", f"{s}_elbow", f"{s}_wrist") for s in ("left", "right")},
        "left_shoulder": ("right_shoulder", "left_shoulder", "left_elbow"),
        "right_shoulder": ("left_shoulder", "right_shoulder", "right_elbow"),
    },
}
_LIMBS = {
    "full": [
        (f"{s}_{a}", f"{s}_{b}")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
        for s in ("left", "right")
    ],
    "upper": [
        *((f"{s}_{a}", f"{s}_{b}") for a, b in (("shoulder", "elbow"), ("elbow", "wrist")) for s in ("left", "right")),
        ("left_shoulder", "right_shoulder"),
        ("left_ear", "right_ear"),
    ],
}
_PAIRS = {
    "full": [
        ("left_wrist", "right_wrist"),
        *((f"{s}_wrist", other) for other in ("nose",) for s in ("left", "right")),
        *((f"{s}_wrist", f"{s}_{other}") for other in ("shoulder", "hip", "knee", "ankle") for s in ("left", "right")),
        ("left_wrist", "right_shoulder"),
        ("right_wrist", "left_shoulder"),
        ("left_elbow", "right_elbow"),
        ("left_knee", "right_knee"),
        ("left_ankle", "right_ankle"),
        ("left_hip", "left_ankle"),
        ("right_hip", "right_ankle"),
    ],
    "upper": [
        ("left_wrist", "right_wrist"),
        ("left_elbow", "right_elbow"),
        *((f"{s}_wrist", other) for other in ("nose",) for s in ("left", "right")),
        *((f"{s}_wrist", f"{s}_{other}") for other in ("shoulder", "ear") for s in ("left", "right")),
        ("left_wrist", "right_shoulder"),
        ("right_wrist", "left_shoulder"),
        ("left_index", "left_thumb"),
        ("right_index", "right_thumb"),
    ],
}
_MOVING = {
    "full": ["nose", *_both("elbow", "wrist", "hip", "knee", "ankle")],
    "upper": ["nose", *_both("shoulder", "elbow", "wrist", "index")],
}
_TRAILED = {"full": ["nose", *_both("elbow", "wrist", "ankle")], "upper": ["nose", *_both("elbow", "wrist")]}
POINT_DIMENSIONS = {"number_path": 2, "number_shape": 3}
"""Groups that read numbers as points, and how many coordinates each has."""
LANDMARK_READINGS = ("number_hand", "number_body")
"""Groups that read numbers as the points of a hand or a body."""
_FEWEST_POINTS = 4
_MOST_PATH_INPUTS = 1024
"""More numbers than this, or fewer points, are not offered as a path or a shape."""
_SLOWEST = np.float32(0.3)
"""A step of a path shorter than this share of the mean step has hardly a direction."""
_STATISTICS = ("mean", "sd", "min", "max")
_TIPS = ("wrist", "thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip")
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_HAND_PAIRS = np.triu_indices(len(HAND_LANDMARKS), k=1)
_HAND_BENDS = np.array([(0 if k == 0 else 4 * f + k, 4 * f + k + 1, 4 * f + k + 2) for f in range(5) for k in range(3)])
_HAND_NAMES = (
    *(f"{finger}_bend{k}" for finger in _FINGERS for k in (1, 2, 3)),
    "palm.right",
    "palm.down",
    *(f"{HAND_LANDMARKS[a]}-{HAND_LANDMARKS[b]}" for a, b in zip(*_HAND_PAIRS, strict=True)),
)
_HAND_TIPS = np.array([HAND_LANDMARKS.index(name) for name in _TIPS])


class FeatureExtractor:
    """Turns landmarks into the features that any output of the patch uses, frame by frame."""

    def __init__(self, patch: Patch) -> None:
        self._patch = patch
        self._groups = _groups(patch)
        self.names = feature_names(patch)
        self._plain = _Extraction(patch, self._groups)
        self._mirrored = _Extraction(patch, self._groups) if patch.features.mirror else None

    def reset(self) -> None:
        """Forgets what came before, as at the start of a take."""
        self._plain.reset()
        if self._mirrored:
            self._mirrored.reset()

    def update(self, landmarks: Landmarks) -> Features:
        """The features of one live frame."""
        values = None
        if landmarks.is_tracked:
            values = self.extract(landmark_sequence([landmarks], _parts(self._patch)))[0]
        return Features(frame_number=landmarks.frame_number, captured_at_s=landmarks.captured_at_s, values=values)

    def extract(self, sequence: LandmarkSequence) -> FloatArray:
        """(T, F): the features of T more frames; rows without a body are 0."""
        values = self._plain.extract(sequence)
        if self._mirrored is not None:
            other = self._mirrored.extract(mirror(sequence))
            # The mean and the difference of a gesture and its mirror image are the same for both.
            values = np.concatenate([(values + other) / 2, np.abs(values - other) / 2], axis=1)
        return _finite(values)


def extract(patch: Patch, sequence: LandmarkSequence) -> FloatArray:
    """(T, F): the features of a whole take."""
    return FeatureExtractor(patch).extract(sequence)


def with_inputs(patch: Patch, count: int) -> Patch:
    """The patch with the count of its plain numbers settled, for patches that take what comes."""
    return dataclasses.replace(patch, listen=dataclasses.replace(patch.listen, inputs=count))


def feature_names(patch: Patch) -> tuple[str, ...]:
    """(F,): the name of every feature, such as `positions.left_wrist.y`."""
    names = [f"{group}.{name}" for group in _groups(patch) for name in _group_names(patch, group)]
    if patch.features.mirror:
        return (*(f"{name}.even" for name in names), *(f"{name}.odd" for name in names))
    return tuple(names)


def feature_columns(patch: Patch, output: Output) -> NDArray[np.intp]:
    """Which columns of the features that output learns from.

    Raises ValueError when the output picks an input number there is not, or of features that are of all numbers.
    """
    columns: list[int] = []
    start = 0
    taken = output.features if output.inputs else output.features + output.offered
    for group in _groups(patch):
        width = len(_group_names(patch, group))
        if group in taken:
            columns.extend(range(start, start + width))
        start += width
    if output.inputs:
        of_all = (*POINT_DIMENSIONS, *LANDMARK_READINGS)
        whole = [group for group in taken if group in of_all and _group_names(patch, group)]
        if whole:
            raise ValueError(f"output '{output.name}': `inputs` picks numbers, which `{whole[0]}` has to have all of")
        of_input = (lambda name: int(name.split(".")[1])) if patch.listen.is_numbers else None
        names = feature_names(patch)
        if of_input:
            columns = [column for column in columns if of_input(names[column]) in output.inputs]
            there = patch.listen.inputs
        else:
            there = len(columns)
            columns = [columns[number - 1] for number in output.inputs if number <= there]
        if max(output.inputs) > there:
            raise ValueError(f"output '{output.name}': input {max(output.inputs)} picked, but there are {there}")
    if patch.features.mirror:
        columns += [column + start for column in columns]
    return np.array(columns, dtype=np.intp)


def is_optional(output: Output, feature: str) -> bool:
    """Whether training may leave that feature's group out: where groups are offered, it takes what helps."""
    return bool(output.offered) and feature.partition(".")[0] in (*output.offered, "numbers")


def feature_fingerprint(patch: Patch, output: Output) -> str:
    """A short text that changes with everything that changes what this output's features mean."""
    names = feature_names(patch)
    meaning = {
        "version": VERSION,
        "names": [names[column] for column in feature_columns(patch, output)],
        "smoothing": dataclasses.asdict(patch.smoothing),
        "options": dataclasses.asdict(patch.features),
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


def _groups(patch: Patch) -> tuple[str, ...]:
    """The feature groups any output uses, in the order they are listed in the docs."""
    used = {group for output in patch.outputs for group in output.features + output.offered}
    return tuple(group for group in POSE_FEATURES + HAND_FEATURES + NUMBER_FEATURES if group in used)


def _parts(patch: Patch) -> tuple[str, ...]:
    if patch.listen.is_numbers:
        return ("numbers",)
    parts: tuple[str, ...] = ()
    if "pose" in patch.listen.track:
        parts += ("pose",)
    if "hands" in patch.listen.track:
        parts += ("left_hand", "right_hand")
    return parts


def _group_names(patch: Patch, group: str) -> tuple[str, ...]:
    return _names(group, patch.features.body, patch.listen.inputs)


@functools.lru_cache(maxsize=64)
def _names(group: str, body: str, inputs: int) -> tuple[str, ...]:
    trailed = [*_xy(_TRAILED[body]), "speed"]
    angles = [*_JOINTS[body], *(f"{a}-{b}.{axis}" for a, b in _LIMBS[body] for axis in ("right", "down"))]
    skeleton = skeleton_of(inputs)
    tips = [f"{side}.{name}" for side in ("left", "right") for name in _xy(_TIPS)]
    numbers = [f"{number}" for number in range(1, inputs + 1)]
    names: dict[str, list[str]] = {
        "positions": _xy(_POINTS[body]),
        "angles": angles,
        "distances": [f"{a}-{b}" for a, b in _PAIRS[body]],
        "velocities": _xy(_MOVING[body]),
        "energy": ["all", "left", "right"],
        "windowed": _statistics(trailed),
        "differences": _differences(trailed),
        "hands": [f"{side}.{name}" for side in ("left", "right") for name in ("present", *_HAND_NAMES)],
        "hand_velocities": tips,
        "hand_windowed": _statistics(tips),
        "hand_differences": _differences(tips),
        "numbers": numbers,
        "number_velocities": numbers,
        "number_windowed": _statistics(numbers),
        "number_differences": _differences(numbers),
        "number_path": _path_names(inputs),
        "number_shape": _shape_names(inputs),
        "number_hand": [*_HAND_NAMES] if skeleton and skeleton.part == "hand" else [],
        "number_body": [*_xy(_POINTS[body]), *angles] if skeleton and skeleton.part == "pose" else [],
    }
    return tuple(names[group])


def _xy(names: Iterable[str]) -> list[str]:
    return [f"{name}.{axis}" for name in names for axis in ("x", "y")]


def _statistics(names: list[str]) -> list[str]:
    return [f"{name}.{statistic}" for statistic in _STATISTICS for name in names]


def _differences(names: list[str]) -> list[str]:
    return [f"{name}.{order}" for order in ("first", "second") for name in names]


def _path_names(inputs: int) -> list[str]:
    points = inputs // 2
    if inputs % 2 or points < _FEWEST_POINTS or inputs > _MOST_PATH_INPUTS:
        return []
    return [
        *(f"{point}.{axis}" for point in range(2, points + 1) for axis in ("x", "y")),
        *(f"{point}.speed" for point in range(2, points + 1)),
        *(f"{point}.{turn}" for turn in ("straight", "turn") for point in range(2, points)),
        "length",
    ]


def _shape_names(inputs: int) -> list[str]:
    points = inputs // 3
    if inputs % 3 or points < _FEWEST_POINTS or inputs > _MOST_PATH_INPUTS:
        return []
    return [f"{point}.{axis}" for point in range(1, points + 1) for axis in ("x", "y", "z")]


def mirror(sequence: LandmarkSequence) -> LandmarkSequence:
    """The sequence as a mirror shows it: x flipped, left and right exchanged."""
    flip = np.array([-1, 1, 1], dtype=np.float32)
    pose = None
    if sequence.pose is not None:
        pose = sequence.pose[:, EXCHANGED_POSE].copy()
        pose[..., 0] *= -1
    return dataclasses.replace(
        sequence,
        pose=pose,
        left_hand=None if sequence.right_hand is None else sequence.right_hand * flip,
        right_hand=None if sequence.left_hand is None else sequence.left_hand * flip,
    )


def smoothed(patch: Patch, sequence: LandmarkSequence) -> LandmarkSequence:
    """The landmarks of a whole take as its features show them: bodies and hands smoothed where features read them."""
    used = set(_groups(patch))
    scale = np.stack([sequence.aspect, np.ones_like(sequence.aspect), sequence.aspect], axis=1)[:, None]
    parts = {}
    for name in ("pose", "left_hand", "right_hand"):
        part: FloatArray | None = getattr(sequence, name)
        if part is None or not used & set(POSE_FEATURES if name == "pose" else HAND_FEATURES):
            continue
        found = _is_found(part)
        points = _finite(part[:, :, :3]) * scale
        is_upper = patch.features.body == "upper"
        lengths = body_length(points, is_upper) if name == "pose" else palm_length(points[:, :, :2])
        _Smoother(patch.smoothing).smooth(points, found, lengths, sequence.times_s)
        parts[name] = part.copy()
        parts[name][found, :, :3] = (points / scale)[found]
    return dataclasses.replace(sequence, **parts)  # type: ignore[arg-type]


def _is_found(part: FloatArray) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(part).any(axis=(1, 2)))


class _Smoother:
    """Smooths one body or hand, and begins afresh after a gap."""

    def __init__(self, options: Smoothing) -> None:
        self._filter = OneEuroFilter(options)
        self.forget()

    def forget(self) -> None:
        self._last_s = -np.inf

    def smooth(
        self, points: FloatArray, found: NDArray[np.bool_], lengths: FloatArray, times_s: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Smooths, in place, the (T, L, D) points that were found, in the unit of `lengths` (T,).

        Says (T,) where it began afresh.
        """
        is_afresh = np.zeros(len(points), dtype=bool)
        rows = np.flatnonzero(found)
        if not len(rows):
            return is_afresh
        at_s = times_s[rows]
        is_afresh[rows[1:]] = at_s[1:] - at_s[:-1] > FORGET_AFTER_S
        is_afresh[rows[0]] = at_s[0] - self._last_s > FORGET_AFTER_S
        self._last_s = float(at_s[-1])
        for t in rows if self._filter.is_on else ():
            if is_afresh[t]:
                self._filter.reset()
            points[t] = self._filter.update(points[t], time_s=float(times_s[t]), body_length=float(lengths[t]))
        return is_afresh


class _Extraction:
    """The stateful part: smoothing filters and the recent past."""

    def __init__(self, patch: Patch, groups: tuple[str, ...]) -> None:
        self._patch = patch
        self._groups = groups
        self._width = sum(len(_group_names(patch, group)) for group in groups)
        self._pose_smoother = _Smoother(patch.smoothing)
        self._hand_smoothers = (_Smoother(patch.smoothing), _Smoother(patch.smoothing))
        self._window_s = patch.features.window_s
        self._trails = {"pose": _Trail(), "hands": _Trail(), "numbers": _Trail()}
        body = patch.features.body
        self._points = _pose_index(*_POINTS[body])
        self._moving = _pose_index(*_MOVING[body])
        self._trailed = _pose_index(*_TRAILED[body])
        self._joints = np.array([_pose_index(*joint) for joint in _JOINTS[body].values()])
        self._limbs = np.array([_pose_index(*limb) for limb in _LIMBS[body]])
        self._pairs = np.array([_pose_index(*pair) for pair in _PAIRS[body]])
        self._left_moving = [i for i, name in enumerate(_MOVING[body]) if name.startswith("left")]
        self._right_moving = [i for i, name in enumerate(_MOVING[body]) if name.startswith("right")]

    def reset(self) -> None:
        for smoother in (self._pose_smoother, *self._hand_smoothers):
            smoother.forget()
        for trail in self._trails.values():
            trail.clear()

    def extract(self, sequence: LandmarkSequence) -> FloatArray:
        columns: dict[str, FloatArray] = {}
        used = set(self._groups)
        if sequence.pose is not None and used & set(POSE_FEATURES):
            columns |= self._pose_columns(sequence.pose, sequence, used)
        if used & set(HAND_FEATURES) and sequence.left_hand is not None and sequence.right_hand is not None:
            columns |= self._hand_columns((sequence.left_hand, sequence.right_hand), sequence, used)
        if used & set(NUMBER_FEATURES) and sequence.numbers is not None:
            columns |= self._number_columns(sequence.numbers, sequence, used)
        blank = np.zeros((len(sequence), 0), dtype=np.float32)
        for group in self._groups:
            if group not in columns:
                columns[group] = np.zeros((len(sequence), len(_group_names(self._patch, group))), dtype=np.float32)
        return np.concatenate([blank, *(columns[group] for group in self._groups)], axis=1, dtype=np.float32)

    def _pose_columns(self, pose: FloatArray, sequence: LandmarkSequence, used: set[str]) -> dict[str, FloatArray]:
        found = _is_found(pose)
        points = _finite(pose[:, :, :3])
        points[:, :, ::2] *= sequence.aspect[:, None, None]  # from here on x, y and z are in picture heights
        is_upper = self._patch.features.body == "upper"
        is_afresh = self._pose_smoother.smooth(points, found, body_length(points, is_upper), sequence.times_s)
        length = body_length(points, is_upper)
        body = _from_centre(points, length, is_upper)
        columns: dict[str, FloatArray] = {}
        if "positions" in used:
            columns["positions"] = self._positions(body)
        if "angles" in used:
            columns["angles"] = self._angles(body)
        if "distances" in used:
            flat = body[:, :, :2]
            columns["distances"] = _length(flat[:, self._pairs[:, 0]] - flat[:, self._pairs[:, 1]])
        if used & {"velocities", "energy", "windowed", "differences"}:
            # Movement is that of the body in the picture as well as that of its limbs.
            place = points[:, self._moving, :2]
            visibility = _finite(pose[:, self._moving, 3])
            seen = np.clip((visibility - 0.2) / 0.4, 0.0, 1.0)[:, :, None]
            speeds = np.zeros((len(body), len(self._moving), 2), dtype=np.float32)
            trailed = np.zeros((len(body), 2 * len(self._trailed) + 1), dtype=np.float32)
            trailed[:, :-1] = body[:, self._trailed, :2].reshape(len(body), -1)
            dynamic = np.zeros((len(body), 6 * trailed.shape[1]), dtype=np.float32)
            trail = self._trails["pose"]
            for t in np.flatnonzero(found):
                time_s = float(sequence.times_s[t])
                if is_afresh[t]:
                    trail.clear()
                then, then_s = trail.since(time_s - VELOCITY_SPAN_S, "place", default=place[t])
                if time_s > then_s:
                    speeds[t] = (place[t] - then) / (length[t] * np.float32(time_s - then_s))
                np.clip(speeds[t], -10 * LIMIT, 10 * LIMIT, out=speeds[t])
                speeds[t] *= seen[t]
                trailed[t, -1] = _length(speeds[t]).mean()
                trail.append(
                    time_s,
                    self._window_s + VELOCITY_SPAN_S,
                    place=place[t].copy(),
                    trailed=trailed[t].copy(),
                )
                dynamic[t] = trail.statistics(time_s, self._window_s, "trailed")
            speed = _length(speeds)
            columns["velocities"] = speeds.reshape(len(body), -1)
            sides = (slice(None), self._left_moving, self._right_moving)
            columns["energy"] = np.stack([speed[:, side].mean(axis=1) for side in sides], axis=1)
            split = 4 * trailed.shape[1]
            columns["windowed"], columns["differences"] = dynamic[:, :split], dynamic[:, split:]
        if not found.all():
            for column in columns.values():
                column[~found] = 0.0
        return columns

    def _positions(self, body: FloatArray) -> FloatArray:
        return body[:, self._points, :2].reshape(len(body), -1)

    def _angles(self, body: FloatArray) -> FloatArray:
        """(T, A): how far joints are bent, and how far limbs point right and down of their length in space."""
        solid = body * np.array([1.0, 1.0, DEPTH], dtype=np.float32)
        a, b, c = (solid[:, self._joints[:, corner]] for corner in range(3))
        limbs = solid[:, self._limbs[:, 1]] - solid[:, self._limbs[:, 0]]
        directions = limbs[:, :, :2] / (_length(limbs)[..., None] + np.float32(0.05))
        return np.concatenate([_bend(a, b, c), directions.reshape(len(body), -1)], axis=1)

    def _hand_columns(
        self, hands: tuple[FloatArray, FloatArray], sequence: LandmarkSequence, used: set[str]
    ) -> dict[str, FloatArray]:
        count = len(sequence)
        shapes, tips, palms, founds = [], [], [], []
        for side, hand in enumerate(hands):
            found = _is_found(hand)
            points = _finite(hand)
            points[:, :, 0] *= sequence.aspect[:, None]
            points[:, :, 2] *= sequence.aspect[:, None]
            flat = points[:, :, :2].copy()
            self._hand_smoothers[side].smooth(flat, found, palm_length(flat), sequence.times_s)
            length = palm_length(flat)
            shape = np.concatenate([np.ones((count, 1), dtype=np.float32), _hand_shape(flat, length)], axis=1)
            shape[~found] = 0.0
            shapes.append(shape)
            tips.append(np.where(found[:, None, None], flat[:, _HAND_TIPS], 0.0))
            palms.append(length)
            founds.append(found)
        columns = {"hands": np.concatenate(shapes, axis=1)}
        if used & {"hand_velocities", "hand_windowed", "hand_differences"}:
            place = np.concatenate([tip.reshape(count, -1) for tip in tips], axis=1).astype(np.float32)
            here = np.repeat(np.stack(founds, axis=1), place.shape[1] // 2, axis=1)
            unit = np.repeat(np.stack(palms, axis=1), place.shape[1] // 2, axis=1)
            velocity, windowed, differences = self._dynamic_columns("hands", place, here, unit, sequence.times_s)
            columns |= {
                "hand_velocities": velocity,
                "hand_windowed": windowed,
                "hand_differences": differences,
            }
        return columns

    def _number_columns(self, numbers: FloatArray, sequence: LandmarkSequence, used: set[str]) -> dict[str, FloatArray]:
        width = self._patch.listen.inputs
        if numbers.shape[1] != width:
            raise ValueError(f"{numbers.shape[1]} numbers came, but this patch has {width} inputs")
        values = np.nan_to_num(numbers)  # what is infinite stays too large to be a number
        columns = {"numbers": values}
        if "number_path" in used and _group_names(self._patch, "number_path"):
            columns["number_path"] = _path(values)
        if "number_shape" in used and _group_names(self._patch, "number_shape"):
            columns["number_shape"] = _shape(values)
        if used & set(LANDMARK_READINGS) and (skeleton := skeleton_of(width)):
            columns |= self._read_as_body(skeleton, values)
        if used & {"number_velocities", "number_windowed", "number_differences"}:
            here = np.ones_like(values, dtype=bool)
            unit = np.ones_like(values)
            velocity, windowed, differences = self._dynamic_columns("numbers", values, here, unit, sequence.times_s)
            columns |= {
                "number_velocities": velocity,
                "number_windowed": windowed,
                "number_differences": differences,
            }
        return columns

    def _read_as_body(self, skeleton: Skeleton, numbers: FloatArray) -> dict[str, FloatArray]:
        """The hand, or the body, that those numbers are the points of; not smoothed, as numbers never are."""
        with np.errstate(over="ignore", invalid="ignore"):
            points = skeleton.landmarks(numbers)[:, :, :3]
            points = points - points.mean(axis=1, keepdims=True)
            spread = np.sqrt(np.square(points[:, :, :2]).sum(axis=2).mean(axis=1))[:, None, None]
            points = _finite(points / (spread + np.float32(1e-12)))
        if skeleton.part == "hand":
            flat = points[:, :, :2]
            return {"number_hand": _hand_shape(flat, palm_length(flat))}
        is_upper = self._patch.features.body == "upper"
        body = _from_centre(points, body_length(points, is_upper), is_upper)
        return {"number_body": np.concatenate([self._positions(body), self._angles(body)], axis=1)}

    def _dynamic_columns(
        self,
        name: str,
        values: FloatArray,
        here: NDArray[np.bool_],
        unit: FloatArray,
        times_s: NDArray[np.float64],
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Velocities (in `unit` a second), window statistics and differences of (T, V) values; 0 where not `here`.

        The windows of hands run over velocities, since where a hand is in the picture must not matter.
        """
        velocity = np.zeros_like(values)
        dynamic = np.zeros((len(values), 6 * values.shape[1]), dtype=np.float32)
        trail = self._trails[name]
        for t in np.flatnonzero(here.any(axis=1)):
            time_s = float(times_s[t])
            if time_s - trail.newest_s > FORGET_AFTER_S and name != "numbers":
                trail.clear()
            then, then_s = trail.since(time_s - VELOCITY_SPAN_S, "place", default=values[t])
            was_here, _ = trail.since(time_s - VELOCITY_SPAN_S, "here", default=here[t])
            if time_s > then_s:
                velocity[t] = (values[t] - then) / (unit[t] * np.float32(time_s - then_s)) * (here[t] & was_here)
            if name != "numbers":
                np.clip(velocity[t], -10 * LIMIT, 10 * LIMIT, out=velocity[t])
            trailed = values[t] if name == "numbers" else velocity[t]
            trail.append(
                time_s,
                self._window_s + VELOCITY_SPAN_S,
                place=values[t].copy(),
                here=here[t].copy(),
                trailed=trailed.copy(),
            )
            dynamic[t] = trail.statistics(time_s, self._window_s, "trailed")
        split = 4 * values.shape[1]
        return velocity, dynamic[:, :split], dynamic[:, split:]


def _path(numbers: FloatArray) -> FloatArray:
    """(T, 3 N - 8 or so): numbers read as x, y, x, y, ... along a path, whatever its place and size.

    The direction of every step, how fast it is beside the others, how the path bends, and how long it is.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        steps = np.diff(numbers.reshape(len(numbers), -1, 2), axis=1)
        lengths = _length(steps)
        mean = lengths.mean(axis=1, keepdims=True) + np.float32(1e-12)
        directions = steps / (lengths + _SLOWEST * mean)[..., None]
        before, after = directions[:, :-1], directions[:, 1:]
        straight = (before * after).sum(axis=2)
        turn = before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]
        flat = directions.reshape(len(numbers), -1)
        speeds = np.log(lengths / mean + _SLOWEST)
        length = np.log(mean + np.float32(1e-6))
        path = np.concatenate([flat, speeds, straight, turn, length], axis=1, dtype=np.float32)
    return _finite(path)


def _shape(numbers: FloatArray) -> FloatArray:
    """(T, N): x, y, z, x, y, z, ... of points, from their centre and in units of their spread in x and y."""
    with np.errstate(over="ignore", invalid="ignore"):
        points = numbers.reshape(len(numbers), -1, 3)
        points = points - points.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.square(points[:, :, :2]).sum(axis=2).mean(axis=1))[:, None, None]
        shape = np.clip(points / (spread + np.float32(1e-12)), -10 * LIMIT, 10 * LIMIT)
    return _finite(shape.reshape(len(numbers), -1))


class _Trail:
    """The recent past of some arrays, bounded by time."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._times_s: list[float] = []
        self._rows: list[dict[str, NDArray[Any]]] = []

    @property
    def newest_s(self) -> float:
        return self._times_s[-1] if self._times_s else -np.inf

    def append(self, time_s: float, keep_s: float, **row: NDArray[Any]) -> None:
        self._times_s.append(time_s)
        self._rows.append(row)
        while len(self._times_s) > 2 and self._times_s[0] < time_s - keep_s:
            del self._times_s[0], self._rows[0]

    def since(self, time_s: float, name: str, *, default: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """The oldest row not older than `time_s` (else the newest) and its time."""
        if not self._rows:
            return default, np.inf
        index = next((i for i, then_s in enumerate(self._times_s) if then_s >= time_s), len(self._rows) - 1)
        return self._rows[index][name], self._times_s[index]

    def statistics(self, time_s: float, window_s: float, name: str) -> FloatArray:
        """(6 V,): mean, sd, min and max over the window, then its first and second difference."""
        rows = np.stack(
            [row[name] for row, then_s in zip(self._rows, self._times_s, strict=True) if then_s >= time_s - window_s]
        )
        first = rows[-1] - rows[0]
        second = rows[-1] - 2 * rows[len(rows) // 2] + rows[0]
        return np.concatenate([rows.mean(axis=0), rows.std(axis=0), rows.min(axis=0), rows.max(axis=0), first, second])


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.float32(0))


def _length(vectors: FloatArray) -> FloatArray:
    """(...,): of (..., D), in a third of the time of np.linalg.norm."""
    return np.asarray(np.sqrt(np.vecdot(vectors, vectors)))


def _middle(points: FloatArray, pair: list[int]) -> FloatArray:
    left, right = pair
    return (points[:, left] + points[:, right]) / np.float32(2)


def _from_centre(points: FloatArray, length: FloatArray, is_upper: bool) -> FloatArray:
    """(T, 33, 3): the points of a body from its own centre, in its own `length` (T,)."""
    centre = _middle(points, _SHOULDERS if is_upper else _HIPS)
    return np.clip((points - centre[:, None]) / length[:, None, None], -LIMIT, LIMIT)


def _hand_shape(flat: FloatArray, length: FloatArray) -> FloatArray:
    """(T, 227): how (T, 21, 2) fingers bend, where the palm points, and all distances in palm `length` (T,)."""
    palm = np.clip((flat - flat[:, :1]) / length[:, None, None], -LIMIT, LIMIT)
    bends = _bend(*(palm[:, _HAND_BENDS[:, corner]] for corner in range(3)))
    direction = palm[:, 9] / (_length(palm[:, 9])[:, None] + np.float32(0.05))
    x, y = (palm[:, _HAND_PAIRS[0], axis] - palm[:, _HAND_PAIRS[1], axis] for axis in range(2))
    spans = np.sqrt(x * x + y * y)
    return np.concatenate([bends, direction, spans], axis=1)


def body_length(points: FloatArray, is_upper: bool) -> FloatArray:
    """(T,): the torso, in picture heights; what is largest of measures that foreshorten differently."""
    points = points[:, :, :2]
    left, right = _SHOULDERS
    shoulders, middle = _length(points[:, left] - points[:, right]), _middle(points, _SHOULDERS)
    other = 1.5 * _length(points[:, 0] - middle) if is_upper else _length(middle - _middle(points, _HIPS))
    return np.maximum(np.maximum(shoulders, other), 1e-3).astype(np.float32)


def palm_length(flat: FloatArray) -> FloatArray:
    """(T,): wrist to middle knuckle, or the width of the palm where that is foreshortened."""
    along, across = _length(flat[:, 9] - flat[:, 0]), _length(flat[:, 5] - flat[:, 17])
    return np.maximum(np.maximum(along, across), 1e-3).astype(np.float32)


def _bend(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """The angle at b, 0 (folded) to 1 (straight); 0.5 where a limb has no length."""
    u, v = a - b, c - b
    cosine = np.vecdot(u, v) / (_length(u) * _length(v) + np.float32(1e-4))
    return (np.arccos(np.clip(cosine, -1.0, 1.0)) / np.float32(np.pi)).astype(np.float32)
