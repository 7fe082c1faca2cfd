"""What flows through the instrument: one frozen value per arrow of the data flow.

    Frame -> Landmarks -> Features -> Prediction -> Control -> OSC / MIDI

Every value carries the number and the capture time of the frame it came from, so latency can
be measured at any point. This module knows no other room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

POSE_LANDMARKS = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)
"""MediaPipe's 33 pose landmarks, in its order; left and right are the performer's own."""

EXCHANGED_POSE = [
    POSE_LANDMARKS.index(name.replace("left", "#").replace("right", "left").replace("#", "right"))
    for name in POSE_LANDMARKS
]
"""For each landmark the same one on the other side: left_eye <-> right_eye."""

HAND_LANDMARKS = (
    "wrist",
    "thumb_cmc",
    "thumb_mcp",
    "thumb_ip",
    "thumb_tip",
    "index_mcp",
    "index_pip",
    "index_dip",
    "index_tip",
    "middle_mcp",
    "middle_pip",
    "middle_dip",
    "middle_tip",
    "ring_mcp",
    "ring_pip",
    "ring_dip",
    "ring_tip",
    "pinky_mcp",
    "pinky_pip",
    "pinky_dip",
    "pinky_tip",
)
"""MediaPipe's 21 hand landmarks, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks:
    """The body points found in one frame; a part that was not found is None.

    Picture coordinates run from 0 to 1 across the width (x) and the height (y, downwards); z is
    in the unit of x, smaller is nearer. World coordinates are metres from the hip centre
    (hands: from the hand's centre).
    """

    frame_number: int
    captured_at_s: float
    aspect: float = 4 / 3
    """Width of the picture divided by its height."""
    pose: FloatArray | None = None
    """(33, 4): x, y, z, visibility 0..1."""
    pose_world: FloatArray | None = None
    """(33, 3): x, y, z in metres."""
    left_hand: FloatArray | None = None
    """(21, 3): x, y, z."""
    right_hand: FloatArray | None = None
    """(21, 3): x, y, z."""
    numbers: FloatArray | None = None
    """(N,): plain numbers that came over OSC instead of a body."""

    @property
    def is_tracked(self) -> bool:
        """Whether anything at all was found."""
        return (
            self.pose is not None
            or self.left_hand is not None
            or self.right_hand is not None
            or self.numbers is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LandmarkSequence:
    """The landmarks of T frames as arrays, oldest first; a part not found in a frame is NaN there.

    A part that no frame could have (hands in a take of poses) is None.
    """

    times_s: NDArray[np.float64]
    """(T,): capture times; only their differences mean anything."""
    aspect: FloatArray
    """(T,)"""
    pose: FloatArray | None = None
    """(T, 33, 4)"""
    pose_world: FloatArray | None = None
    """(T, 33, 3)"""
    left_hand: FloatArray | None = None
    """(T, 21, 3)"""
    right_hand: FloatArray | None = None
    """(T, 21, 3)"""
    numbers: FloatArray | None = None
    """(T, N)"""

    def __len__(self) -> int:
        return len(self.times_s)

    def __getitem__(self, index: int) -> Landmarks:
        """The landmarks of one frame, numbered by its place in the sequence."""
        parts = {name: _present(getattr(self, name), index) for name in LANDMARK_PARTS}
        return Landmarks(
            frame_number=index,
            captured_at_s=float(self.times_s[index]),
            aspect=float(self.aspect[index]),
            **parts,
        )

    @property
    def is_tracked(self) -> NDArray[np.bool_]:
        """(T,): whether anything was found in each frame."""
        found = np.zeros(len(self), dtype=bool)
        for name in LANDMARK_PARTS:
            part = getattr(self, name)
            if part is not None:
                found |= ~np.isnan(part).reshape(len(self), -1).any(axis=1)
        return found


def landmark_sequence(landmarks: Sequence[Landmarks], parts: Sequence[str]) -> LandmarkSequence:
    """Those landmarks as arrays with the parts named (of LANDMARK_PARTS), NaN where one is missing."""
    arrays: dict[str, FloatArray | None] = dict.fromkeys(LANDMARK_PARTS)
    for name in parts:
        found = [getattr(one, name) for one in landmarks]
        shape = PART_SHAPES[name] or max((one.shape for one in found if one is not None), default=(0,))
        rows = np.full((len(landmarks), *shape), np.nan, dtype=np.float32)
        for row, one in zip(rows, found, strict=True):
            if one is not None and one.shape == shape:
                row[...] = one
        arrays[name] = rows
    return LandmarkSequence(
        times_s=np.array([one.captured_at_s for one in landmarks], dtype=np.float64),
        aspect=np.array([one.aspect for one in landmarks], dtype=np.float32),
        **arrays,
    )


def _present(part: FloatArray | None, index: int) -> FloatArray | None:
    if part is None or np.isnan(part[index]).any():
        return None
    return part[index]


LANDMARK_PARTS = ("pose", "pose_world", "left_hand", "right_hand", "numbers")
PART_SHAPES: dict[str, tuple[int, ...]] = {
    "pose": (33, 4),
    "pose_world": (33, 3),
    "left_hand": (21, 3),
    "right_hand": (21, 3),
    "numbers": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture with the time it arrived, or what stands in for a picture.

    Live and filmed sources fill `image_bgr`; recorded landmarks and plain numbers fill
    `landmarks` and need no tracking.
    """

    number: int
    captured_at_s: float
    """When the frame arrived, before any conversion."""
    image_bgr: NDArray[np.uint8] | None = None
    """(height, width, 3)."""
    landmarks: Landmarks | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The numbers learned from: (F,) float32, never NaN; None when no body was in view."""

    frame_number: int
    captured_at_s: float
    values: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrediction:
    """Which class an output sees: (C,) confidences that sum to 1, and their names."""

    classes: tuple[str, ...]
    confidences: FloatArray
    familiarity: float | None = None
    """0..1: the share of true gestures at least as strange as this frame; None where nobody can say."""
    is_none: bool = False
    """Whether it is none of the classes: too strange to be meant."""
    held: "ClassPrediction | None" = None
    """What counts instead of a strange frame for a moment: the last familiar one."""
    disagreement: float | None = None
    """0..1: how far an ensemble is from one opinion; None without one."""

    @property
    def best(self) -> int:
        """Index of the most confident class."""
        return int(self.confidences.argmax())

    @property
    def meant(self) -> "ClassPrediction":
        """What counts, unless it is none of the classes."""
        return self.held or self


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousPrediction:
    """The value an output gives, in the range its patch states."""

    value: float
    disagreement: float | None = None
    """0..1: how far an ensemble is from one opinion; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementEvent:
    """Something that happened to a movement."""

    what: str
    """`begin`, `hit` (it counts as played: once for every movement) or `end`."""
    movement: str
    onset_s: float
    """When the movement began, on the clock of the frames."""
    velocity: float
    """Of a hit, 0..1: half its speed beside the takes, so 0.5 is as fast as they are and 1 twice as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerPrediction:
    """Which movement is under way, how far, and what happened in this frame."""

    classes: tuple[str, ...]
    confidences: FloatArray
    """(C,): how likely each is under way; what is missing to 1 is how likely none is."""
    current: str | None
    progress: float
    """Of the current one, 0..1."""
    events: tuple[MovementEvent, ...]
    is_finite: bool = True
    """False when the model gave no finite number, or is gone: only `events` say something then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the models say for one frame; an output without a model or a body is absent."""

    frame_number: int
    captured_at_s: float
    outputs: Mapping[str, ClassPrediction | ContinuousPrediction | TriggerPrediction]
    is_tracked: bool
    """False when no body was in view: routes then hold, and release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OscSend:
    """One OSC message to one destination; arguments are float, int or str only."""

    destination: str
    address: str
    arguments: tuple[float | int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MidiSend:
    """One MIDI message (its bytes, status first) to one destination."""

    destination: str
    bytes: tuple[int, ...]


Control = OscSend | MidiSend
"""A named number or event after mapping, ready to leave."""
