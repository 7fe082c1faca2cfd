"""Sources made of what was recorded before: video files, the demo performer, takes of landmarks."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instrument import clock
from instrument.camera import fit_width
from instrument.signals import Frame, LandmarkSequence
from instrument.source import NewestFrame, OnFrame, Source, SourceError, SourceStatus, ignore

DEMO_FRAMES = 91
"""The first 3 s of the demo video, in which the performer raises their arms twice."""
DEMO_RATE_HZ = 30.0
JPEG_QUALITY = 92
READY_S = 0.015
"""Frames are made ready this long before they are due: they arrive as from a camera, and decoding
them does not compete with the engine for the one before."""


class PacedSource:
    """Frames made one by one, each when it is due."""

    def __init__(
        self,
        name: str,
        *,
        make: Callable[[int], Frame | None],
        due_s: Callable[[int], float],
        on_frame: OnFrame = ignore,
    ) -> None:
        """`make(number)` gives a frame, or None when there are no more; `due_s(number)`, seconds after the start."""
        self.name = name
        self._make = make
        self._due_s = due_s
        self._newest = NewestFrame(on_frame)
        self._closing = threading.Event()
        self._state, self._detail = "starting", ""
        self._thread = threading.Thread(target=self._play, name="replay", daemon=True)
        self._thread.start()

    def latest(self) -> Frame | None:
        return self._newest.take()

    def status(self) -> SourceStatus:
        return SourceStatus(
            name=self.name,
            state=self._state,
            detail=self._detail,
            frames=self._newest.frames,
            dropped=self._newest.dropped,
        )

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=2.0)

    def _play(self) -> None:
        started_at_s = clock.now_s()
        number = 0
        try:
            while not self._closing.is_set():
                due_at_s = started_at_s + self._due_s(number)
                self._closing.wait(max(due_at_s - READY_S - clock.now_s(), 0.0))
                frame = self._make(number)
                if frame is None:
                    break
                self._closing.wait(max(due_at_s - clock.now_s(), 0.0))
                self._newest.put(arrived(frame, clock.now_s()))
                self._state = "playing"
                number += 1
        except Exception as error:  # a source that breaks must say so, not vanish
            self._detail = str(error)
        self._state = "ended"
        self._newest.on_frame()


def arrived(frame: Frame, captured_at_s: float) -> Frame:
    """The frame, stamped with the time it arrives."""
    landmarks = frame.landmarks and replace(frame.landmarks, captured_at_s=captured_at_s)
    return replace(frame, captured_at_s=captured_at_s, landmarks=landmarks)


class Clip:
    """The first `count` pictures of a video, each reachable at any time.

    Video can only be decoded forwards; pictures seen once are kept as JPEG, a tenth of their size.
    """

    def __init__(self, path: Path, *, count: int, width_px: int) -> None:
        self._capture = cv2.VideoCapture(str(path))
        self._count = count
        self._width_px = width_px
        self._jpegs: list[NDArray[np.uint8]] = []

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        while len(self._jpegs) <= index:
            is_read, image = self._capture.read()
            if not is_read:
                raise SourceError(f"the video has {len(self._jpegs)} pictures, {self._count} were expected")
            _, jpeg = cv2.imencode(".jpg", fit_width(image, self._width_px), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            self._jpegs.append(jpeg)
        image = cv2.imdecode(self._jpegs[index], cv2.IMREAD_COLOR)
        assert image is not None
        return image


def there_and_back(number: int, count: int) -> int:
    """Which of `count` pictures to show as frame `number` when playing 0 1 2 ... 2 1 0 1 2 ..."""
    place = number % (2 * count - 2)
    return place if place < count else 2 * count - 2 - place


def open_demo(*, width_px: int = 640, is_once: bool = False, on_frame: OnFrame = ignore) -> Source:
    """The demo performer, raising their arms there and back for ever (`is_once`: there only).

    Raises SourceError when the video was not fetched.
    """
    from instrument import assets

    try:
        clip = Clip(assets.path("demo.mp4"), count=DEMO_FRAMES, width_px=width_px)
    except assets.AssetMissing as error:
        raise SourceError(str(error)) from None

    def make(number: int) -> Frame | None:
        if is_once and number >= DEMO_FRAMES:
            return None
        return Frame(number=number, captured_at_s=0.0, image_bgr=clip[there_and_back(number, DEMO_FRAMES)])

    return PacedSource("demo", make=make, due_s=lambda number: number / DEMO_RATE_HZ, on_frame=on_frame)


def open_file(path: Path, *, width_px: int = 640, is_once: bool = False, on_frame: OnFrame = ignore) -> Source:
    """A video file at its own speed, from the start again at its end unless `is_once`.

    Raises SourceError when OpenCV cannot read it.
    """
    capture = cv2.VideoCapture(str(path))
    is_read, first = capture.read()
    if not is_read:
        raise SourceError(f"{path}: not a video that OpenCV can read; try converting it to .mp4 (H.264)")
    rate_hz = capture.get(cv2.CAP_PROP_FPS) or 30.0
    pictures = _pictures(capture, path, first, is_once=is_once)

    def make(number: int) -> Frame | None:
        image = next(pictures, None)
        return None if image is None else Frame(number=number, captured_at_s=0.0, image_bgr=fit_width(image, width_px))

    return PacedSource(str(path), make=make, due_s=lambda number: number / rate_hz, on_frame=on_frame)


def _pictures(capture: cv2.VideoCapture, path: Path, first: Any, *, is_once: bool) -> Iterator[Any]:
    """The pictures of an open video whose first one has been read, once or for ever."""
    yield first
    while True:
        is_read, image = capture.read()
        if not is_read:
            if is_once:
                break
            if not capture.set(cv2.CAP_PROP_POS_FRAMES, 0):
                capture.open(str(path))
            is_read, image = capture.read()
            if not is_read:
                raise SourceError(f"{path}: cannot be read any more")
        yield image
    capture.release()


def open_take(takes_file: Path | None, name: str, *, is_once: bool = False, on_frame: OnFrame = ignore) -> Source:
    """The landmarks of `take:N`, at the speed they were recorded.

    Raises SourceError when there is no such take.
    """
    from instrument.takes import TakeStore

    number = name.removeprefix("take:")
    if takes_file is None or not takes_file.exists():
        raise SourceError(f"source '{name}': this project has no takes yet; record one, or play a camera")
    with TakeStore.open(takes_file, readonly=True) as store:
        there = [take.id for take in store.takes()]
        if not number.isdigit() or int(number) not in there:
            raise SourceError(f"source '{name}': no such take; this project has {there}")
        sequence = store.landmarks(int(number))
    return replay_landmarks(sequence, name=name, is_once=is_once, on_frame=on_frame)


def replay_landmarks(
    sequence: LandmarkSequence, *, name: str = "landmarks", is_once: bool = False, on_frame: OnFrame = ignore
) -> Source:
    """Recorded landmarks as a live source.

    Raises SourceError when there are none.
    """
    count = len(sequence)
    if not count:
        raise SourceError(f"source '{name}': it has no frames")
    offsets_s = sequence.times_s - sequence.times_s[0]
    step_s = offsets_s[-1] / max(count - 1, 1) or 1 / 30
    round_s = offsets_s[-1] + step_s

    def make(number: int) -> Frame | None:
        if is_once and number >= count:
            return None
        landmarks = replace(sequence[number % count], frame_number=number)
        return Frame(number=number, captured_at_s=0.0, landmarks=landmarks)

    def due_s(number: int) -> float:
        return float(number // count * round_s + offsets_s[number % count])

    return PacedSource(name, make=make, due_s=due_s, on_frame=on_frame)
