"""Finds the performer's landmarks in a frame, and keeps to the same performer.

MediaPipe's Tasks API does the finding. It follows one body well, but when it loses it, it takes
whoever it finds next; the `Follower` decides whether that is still our performer, and a
stranger is painted over until the performer is found again.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from instrument.patch import Listen
from instrument.signals import FloatArray, Frame, Landmarks

log = logging.getLogger(__name__)

_LEFT_WRIST, _RIGHT_WRIST = 15, 16
_TORSO = [11, 12, 23, 24]


class Tracker(Protocol):
    """Turns a frame into landmarks."""

    def track(self, frame: Frame) -> Landmarks: ...

    def forget(self) -> None:
        """Lets anybody be the performer from now on."""
        ...

    def close(self) -> None: ...


class RecordedTracker:
    """For frames that carry their landmarks: there is nothing to find."""

    def track(self, frame: Frame) -> Landmarks:
        if frame.landmarks is None:
            raise ValueError("a frame without landmarks came to RecordedTracker")
        return frame.landmarks

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where somebody was seen, in picture heights."""

    x: float
    y: float
    torso: float
    time_s: float


class Follower:
    """Decides whether a body just found can be the performer seen last.

    A person moves, and comes nearer, only so fast; the longer ago they were seen the farther
    they may have gone. After `reacquire_s` without them, whoever is there is the performer.
    """

    REACH = 1.5
    """Torso lengths a body may jump between two frames, for tracking is not exact."""
    SPEED = 5.0
    """Torso lengths a second that a body may travel unseen."""
    GROWTH = 2.5
    """Times larger or smaller a body may become, and again for each second unseen."""

    def __init__(self, reacquire_s: float) -> None:
        self._reacquire_s = reacquire_s
        self._last: Sighting | None = None

    def forget(self) -> None:
        self._last = None

    def accept(self, sighting: Sighting) -> bool:
        """Whether this is the performer; if so, they are followed from here."""
        if self._last is not None and not self._could_be(self._last, sighting):
            return False
        self._last = sighting
        return True

    def _could_be(self, last: Sighting, now: Sighting) -> bool:
        unseen_s = max(now.time_s - last.time_s, 0.0)
        if unseen_s > self._reacquire_s:
            return True
        travelled = float(np.hypot(now.x - last.x, now.y - last.y))
        grown = max(now.torso / last.torso, last.torso / now.torso)
        return travelled <= last.torso * (self.REACH + self.SPEED * unseen_s) and grown <= self.GROWTH ** (1 + unseen_s)


def sighting(pose: FloatArray, aspect: float, time_s: float) -> Sighting:
    """Where the middle of that (33, 4) pose's torso is, and how long it is."""
    torso = pose[_TORSO, :2] * np.array([aspect, 1.0], dtype=np.float32)
    x, y = torso.mean(axis=0)
    shoulders, hips = torso[:2].mean(axis=0), torso[2:].mean(axis=0)
    width = float(np.linalg.norm(torso[0] - torso[1]))
    length = max(float(np.linalg.norm(shoulders - hips)), width, 1e-3)
    return Sighting(float(x), float(y), length, time_s)


class MediaPipeTracker:
    """Tracks a pose, hands, or both in pictures; about 10-20 ms a frame for a pose on one core."""

    STRANGER_S = 0.5
    """How long the place where a stranger was seen stays painted over."""

    def __init__(self, listen: Listen, *, pose_model: Path | None, hand_model: Path | None) -> None:
        """The models are the `.task` files; the one for a part that is not tracked may be None."""
        self._pose = pose_landmarker(pose_model) if "pose" in listen.track and pose_model else None
        self._hands = hand_landmarker(hand_model) if "hands" in listen.track and hand_model else None
        self._follower = Follower(listen.reacquire_s)
        self._stranger: tuple[tuple[int, int, int, int], float] | None = None
        self._timestamp_ms = 0
        self.strangers = 0
        """Frames in which somebody else was found and refused."""

    def forget(self) -> None:
        self._follower.forget()
        self._stranger = None

    def close(self) -> None:
        for landmarker in (self._pose, self._hands):
            if landmarker is not None:
                landmarker.close()

    def track(self, frame: Frame) -> Landmarks:
        from mediapipe.tasks.python.vision.core.image import Image, ImageFormat

        if frame.image_bgr is None:
            raise ValueError("a frame without a picture came to MediaPipeTracker")
        height, width = frame.image_bgr.shape[:2]
        rgb = np.ascontiguousarray(frame.image_bgr[:, :, ::-1])
        # MediaPipe wants timestamps that grow, whatever the source's clock does.
        self._timestamp_ms = max(self._timestamp_ms + 1, int(frame.captured_at_s * 1000))
        landmarks = Landmarks(frame_number=frame.number, captured_at_s=frame.captured_at_s, aspect=width / height)
        if self._pose is not None:
            self._paint_over_stranger(rgb, frame.captured_at_s)
            image = Image(image_format=ImageFormat.SRGB, data=rgb)
            landmarks = self._add_pose(landmarks, self._pose.detect_for_video(image, self._timestamp_ms), rgb.shape)
        if self._hands is not None:
            image = Image(image_format=ImageFormat.SRGB, data=rgb)
            landmarks = _add_hands(landmarks, self._hands.detect_for_video(image, self._timestamp_ms))
        return landmarks

    def _add_pose(self, landmarks: Landmarks, result: Any, shape: tuple[int, ...]) -> Landmarks:
        if not result.pose_landmarks:
            return landmarks
        points = [(p.x, p.y, p.z, p.visibility) for p in result.pose_landmarks[0]]
        pose = np.array(points, dtype=np.float32)
        if not self._follower.accept(sighting(pose, landmarks.aspect, landmarks.captured_at_s)):
            self.strangers += 1
            self._stranger = (_box(pose, shape), landmarks.captured_at_s)
            return landmarks
        world = np.array([(p.x, p.y, p.z) for p in result.pose_world_landmarks[0]], dtype=np.float32)
        return replace(landmarks, pose=pose, pose_world=world)

    def _paint_over_stranger(self, rgb: NDArray[np.uint8], now_s: float) -> None:
        if self._stranger is None:
            return
        (left, top, right, bottom), seen_at_s = self._stranger
        if now_s - seen_at_s > self.STRANGER_S:
            self._stranger = None
        else:
            rgb[top:bottom, left:right] = 0


def _box(pose: FloatArray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels around a pose, with room for hair, hands and a step."""
    height, width = shape[:2]
    low, high = pose[:, :2].min(axis=0), pose[:, :2].max(axis=0)
    margin = 0.15 * (high - low).max()
    left, top = np.clip(low - margin, 0.0, 1.0)
    right, bottom = np.clip(high + margin, 0.0, 1.0)
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def _add_hands(landmarks: Landmarks, result: Any) -> Landmarks:
    """The hands found, each on its side; with a pose, only hands at the performer's own wrists."""
    found: dict[str, tuple[float, FloatArray]] = {}
    for hand, handedness in zip(result.hand_landmarks, result.handedness, strict=True):
        points = np.array([(p.x, p.y, p.z) for p in hand], dtype=np.float32)
        side = str(handedness[0].category_name).lower()
        score = float(handedness[0].score)
        if landmarks.pose is not None:
            own = _wrist_side(points, landmarks)
            if own is None:
                continue
            side = own
        elif side in found:
            side = "left" if side == "right" else "right"
        if side not in found or found[side][0] < score:
            found[side] = (score, points)
    return replace(
        landmarks,
        left_hand=found["left"][1] if "left" in found else None,
        right_hand=found["right"][1] if "right" in found else None,
    )


def _wrist_side(hand: FloatArray, landmarks: Landmarks) -> str | None:
    """Which of the performer's wrists that hand is at, if any."""
    assert landmarks.pose is not None
    scale = np.array([landmarks.aspect, 1.0], dtype=np.float32)
    wrists = landmarks.pose[[_LEFT_WRIST, _RIGHT_WRIST], :2]
    distances = np.linalg.norm((wrists - hand[0, :2]) * scale, axis=1)
    torso = sighting(landmarks.pose, landmarks.aspect, 0.0).torso
    if distances.min() > 0.6 * torso:
        return None
    return ("left", "right")[int(distances.argmin())]


def pose_landmarker(model: Path) -> Any:
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision.core.vision_task_running_mode import VisionTaskRunningMode
    from mediapipe.tasks.python.vision.pose_landmarker import PoseLandmarker, PoseLandmarkerOptions

    return PoseLandmarker.create_from_options(
        PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model)), running_mode=VisionTaskRunningMode.VIDEO
        )
    )


def hand_landmarker(model: Path) -> Any:
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision.core.vision_task_running_mode import VisionTaskRunningMode
    from mediapipe.tasks.python.vision.hand_landmarker import HandLandmarker, HandLandmarkerOptions

    return HandLandmarker.create_from_options(
        HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model)),
            running_mode=VisionTaskRunningMode.VIDEO,
            num_hands=2,
        )
    )
