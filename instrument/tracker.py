"""Finds the performer's landmarks in a frame, and keeps to the same performer.

MediaPipe's Tasks API does the finding. It follows one body well, but when it loses it, it takes
whoever it finds next, and it hardly finds a body that is small in the picture. So it is shown
only a `Window` around the performer, which grows when they are lost; the `Follower` decides
whether who is found then is still our performer, and a stranger is painted over.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from instrument.patch import Listen
from instrument.sides import Sides
from instrument.signals import EXCHANGED_POSE, FloatArray, Frame, Landmarks

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


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the picture that is searched, as fractions of its width and height."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    SIDE = 7.0
    """Its height and width in torso lengths: a body with room for arms, legs and a step."""
    SLACK = 0.3
    """How far from its middle, as a fraction of its side, the performer may be before it follows."""
    GROW = 1.25
    """How much larger it becomes with each frame in which a lost performer is not found."""

    @classmethod
    def around(cls, x: float, y: float, side: float, aspect: float) -> "Window":
        """A square of that side at (x, y), all in picture heights, pushed inside the picture."""
        width, height = min(side / aspect, 1.0), min(side, 1.0)
        left = min(max(x / aspect - width / 2, 0.0), 1.0 - width)
        top = min(max(y - height / 2, 0.0), 1.0 - height)
        return cls(left, top, left + width, top + height)

    def following(self, seen: Sighting, aspect: float) -> "Window":
        """This window, as long as the performer is well inside it and of its size; else one around them."""
        wanted = self.around(seen.x, seen.y, self.SIDE * seen.torso, aspect)
        width, height = self.right - self.left, self.bottom - self.top
        is_off = abs(wanted.left - self.left) > self.SLACK * width or abs(wanted.top - self.top) > self.SLACK * height
        grown = (wanted.right - wanted.left) * (wanted.bottom - wanted.top) / (width * height)
        return wanted if is_off or not 0.5 < grown < 2.0 else self

    def grown(self, aspect: float) -> "Window":
        """A larger one around the same place."""
        side = max((self.right - self.left) * aspect, self.bottom - self.top) * self.GROW
        x, y = (self.left + self.right) / 2 * aspect, (self.top + self.bottom) / 2
        return self.around(x, y, side, aspect)

    @property
    def is_whole(self) -> bool:
        return self == Window()

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """This part of the picture."""
        height, width = image.shape[:2]
        rows = slice(round(self.top * height), max(round(self.bottom * height), 2))
        columns = slice(round(self.left * width), max(round(self.right * width), 2))
        return np.ascontiguousarray(image[rows, columns])

    def in_picture(self, points: FloatArray) -> FloatArray:
        """Points (x, y, z, ...) found in this part, as points of the whole picture."""
        placed = points.copy()
        placed[:, 0] = self.left + points[:, 0] * (self.right - self.left)
        placed[:, 1] = self.top + points[:, 1] * (self.bottom - self.top)
        placed[:, 2] *= self.right - self.left
        return placed


def search_windows(aspect: float) -> list[Window]:
    """Where to look for a body, one frame after the other: everywhere, then closer in tile by tile.

    The detector sees 224 pixels across whatever it is shown; in a whole wide picture a body a
    third of its height is found in a quarter of the frames, in such a tile in all of them.
    """
    short = min(aspect, 1.0)
    windows = [Window()]
    for side, steps in ((short, 3), (0.6 * short, 4)):
        xs = np.unique(np.linspace(side / 2, aspect - side / 2, steps).clip(0.0, aspect))
        ys = np.unique(np.linspace(side / 2, 1.0 - side / 2, steps).clip(0.0, 1.0))
        windows += [Window.around(float(x), float(y), side, aspect) for y in ys for x in xs]
    return windows


class MediaPipeTracker:
    """Tracks a pose, hands, or both in pictures; about 10-20 ms a frame for a pose on one core."""

    STRANGER_S = 0.5
    """How long the place where a stranger was seen stays painted over."""

    def __init__(self, listen: Listen, *, pose_model: Path | None, hand_model: Path | None) -> None:
        """The models are the `.task` files; the one for a part that is not tracked may be None."""
        self._pose = pose_landmarker(pose_model) if "pose" in listen.track and pose_model else None
        self._hands = hand_landmarker(hand_model) if "hands" in listen.track and hand_model else None
        self._follower = Follower(listen.reacquire_s)
        self._window = Window()
        self._sides = Sides()
        self._was_tracked = False
        self._searches = 0
        self._stranger: tuple[tuple[int, int, int, int], float] | None = None
        self._timestamp_ms = 0
        self.strangers = 0
        """Frames in which somebody else was found and refused."""

    def forget(self) -> None:
        self._follower.forget()
        self._sides.forget()
        self._window = Window()
        self._stranger = None

    def close(self) -> None:
        for landmarker in (self._pose, self._hands):
            if landmarker is not None:
                landmarker.close()

    def track(self, frame: Frame) -> Landmarks:
        if frame.image_bgr is None:
            raise ValueError("a frame without a picture came to MediaPipeTracker")
        height, width = frame.image_bgr.shape[:2]
        rgb = np.ascontiguousarray(frame.image_bgr[:, :, ::-1])
        landmarks = Landmarks(frame_number=frame.number, captured_at_s=frame.captured_at_s, aspect=width / height)
        if self._pose is not None:
            landmarks = self._find_pose(rgb, landmarks)
        if self._hands is not None:
            window = self._window if landmarks.pose is not None else Window()
            found = self._hands.detect_for_video(_image(window.cut(rgb)), self._next_timestamp_ms(landmarks))
            landmarks = _add_hands(landmarks, found, window)
        return landmarks

    def _find_pose(self, rgb: NDArray[np.uint8], landmarks: Landmarks) -> Landmarks:
        assert self._pose is not None
        self._paint_over_stranger(rgb, landmarks.captured_at_s)
        image = _image(self._window.cut(rgb))
        result = self._pose.detect_for_video(image, self._next_timestamp_ms(landmarks))
        if not result.pose_landmarks and self._was_tracked:
            # It looked where the body was; asked again, it searches the whole window.
            result = self._pose.detect_for_video(image, self._next_timestamp_ms(landmarks))
        pose = None
        if result.pose_landmarks:
            points = [(p.x, p.y, p.z, p.visibility) for p in result.pose_landmarks[0]]
            pose = self._window.in_picture(np.array(points, dtype=np.float32))
            seen = sighting(pose, landmarks.aspect, landmarks.captured_at_s)
            if not self._follower.accept(seen):
                self.strangers += 1
                self._stranger = (_box(pose, rgb.shape), landmarks.captured_at_s)
                pose = None
        self._was_tracked = pose is not None
        if pose is None:
            self._window = self._search_on(landmarks.aspect)
            return landmarks
        self._searches = 0
        self._window = self._window.following(seen, landmarks.aspect)
        world = np.array([(p.x, p.y, p.z) for p in result.pose_world_landmarks[0]], dtype=np.float32)
        if self._sides.are_exchanged(pose, landmarks.aspect, landmarks.captured_at_s):
            pose, world = pose[EXCHANGED_POSE], world[EXCHANGED_POSE]
        return replace(landmarks, pose=pose, pose_world=world)

    def _search_on(self, aspect: float) -> Window:
        """Where to look in the next frame: farther around where the performer was, in the end everywhere."""
        if not self._searches and not (wider := self._window.grown(aspect)).is_whole:
            return wider
        windows = search_windows(aspect)
        self._searches += 1
        return windows[(self._searches - 1) % len(windows)]

    def _next_timestamp_ms(self, landmarks: Landmarks) -> int:
        """MediaPipe wants timestamps that grow, whatever the source's clock does."""
        self._timestamp_ms = max(self._timestamp_ms + 1, int(landmarks.captured_at_s * 1000))
        return self._timestamp_ms

    def _paint_over_stranger(self, rgb: NDArray[np.uint8], now_s: float) -> None:
        if self._stranger is None:
            return
        (left, top, right, bottom), seen_at_s = self._stranger
        if now_s - seen_at_s > self.STRANGER_S:
            self._stranger = None
        else:
            rgb[top:bottom, left:right] = 0


def _image(rgb: NDArray[np.uint8]) -> Any:
    from mediapipe.tasks.python.vision.core.image import Image, ImageFormat

    return Image(image_format=ImageFormat.SRGB, data=rgb)


def _box(pose: FloatArray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels around a pose, with room for hair, hands and a step."""
    height, width = shape[:2]
    low, high = pose[:, :2].min(axis=0), pose[:, :2].max(axis=0)
    margin = 0.15 * (high - low).max()
    left, top = np.clip(low - margin, 0.0, 1.0)
    right, bottom = np.clip(high + margin, 0.0, 1.0)
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def _add_hands(landmarks: Landmarks, result: Any, window: Window) -> Landmarks:
    """The hands found, each on its side; with a pose, only hands at the performer's own wrists."""
    found: dict[str, tuple[float, FloatArray]] = {}
    for hand, handedness in zip(result.hand_landmarks, result.handedness, strict=True):
        points = window.in_picture(np.array([(p.x, p.y, p.z) for p in hand], dtype=np.float32))
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
