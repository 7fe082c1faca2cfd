"""Pictures from cameras and network streams, through OpenCV.

A camera is never trusted: reading happens in a thread of its own that is left behind when it
hangs, and the device is opened afresh for as long as it takes.
"""

import logging
import re
import sys
import threading
from pathlib import Path
from typing import Any

import cv2

from instrument import clock
from instrument.signals import Frame
from instrument.source import NewestFrame, OnFrame, SourceStatus, ignore

log = logging.getLogger(__name__)

STALL_S = 1.0
"""No picture for this long means the camera is lost."""
OPEN_S = 8.0
"""A device that has not opened by then is tried again; slow cameras need several seconds."""
STREAM_OPEN_S = 0.75
"""So is a network stream that has played before: one that says nothing may be back for the next caller."""
BACKOFF_S = (0.25, 0.5, 0.75)
"""Pauses between attempts to open it again; the last one is repeated for ever."""
FORGOTTEN_READERS = 6
"""Hung readers that may be left behind before we wait for one of them to end."""


def is_there(index: int) -> bool:
    """Whether that camera opens. May take a second or two."""
    if sys.platform.startswith("linux") and not Path(f"/dev/video{index}").exists():
        return False
    capture = cv2.VideoCapture(index)
    try:
        return bool(capture.isOpened())
    finally:
        capture.release()


def fit_width(image: Any, width_px: int) -> Any:
    """The picture, scaled down to that width if it is wider."""
    height, width = image.shape[:2]
    if width <= width_px:
        return image
    return cv2.resize(image, (width_px, round(height * width_px / width)), interpolation=cv2.INTER_AREA)


class LiveSource:
    """A camera or a network stream, noticed within 1.5 s when it stops and picked up when it is back."""

    def __init__(self, device: int | str, *, width_px: int = 640, on_frame: OnFrame = ignore) -> None:
        # Without user and password, for the name goes into takes, logs and status.
        self.name = f"camera:{device}" if isinstance(device, int) else re.sub(r"//[^/@]*@", "//", device)
        self._device = device
        self._width_px = width_px
        self._newest = NewestFrame(on_frame)
        self._closing = threading.Event()
        self._state, self._detail, self._losses = "starting", "opening", 0
        self._readers: list[_Reader] = []
        self._thread = threading.Thread(target=self._keep_open, name="camera", daemon=True)
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
            losses=self._losses,
        )

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=2.0)

    def _keep_open(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            is_known_stream = isinstance(self._device, str) and self._newest.frames > 0
            open_s = STREAM_OPEN_S if is_known_stream else OPEN_S
            reader = _Reader(self._device, self._width_px, self._newest, open_s)
            self._readers = [one for one in self._readers if one.is_alive()] + [reader]
            reader.start()
            while not self._closing.wait(0.05) and (trouble := reader.trouble()) is None:
                if reader.has_read and self._state != "playing":
                    if self._state == "lost":
                        log.info("%s is back", self.name)
                    self._state, self._detail, attempt = "playing", "", 0
            reader.is_abandoned = True
            if self._closing.is_set():
                return
            if self._state == "playing":
                self._losses += 1
                log.warning("%s: %s; trying to get it back", self.name, trouble)
            elif attempt == 0:
                log.warning("%s: %s; will keep trying", self.name, trouble)
            self._state, self._detail = "lost", str(trouble)
            self._closing.wait(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            attempt += 1
            while sum(one.is_alive() for one in self._readers) > FORGOTTEN_READERS and not self._closing.wait(0.1):
                pass


class _Reader(threading.Thread):
    """One attempt at a device, from opening to the first failure. Ends when abandoned, once it can."""

    def __init__(self, device: int | str, width_px: int, newest: NewestFrame, open_s: float) -> None:
        super().__init__(name="camera reader", daemon=True)
        self._open_s = open_s
        self._device = device
        self._width_px = width_px
        self._newest = newest
        self._heard_at_s = clock.now_s()
        self._trouble: str | None = None
        self.has_read = False
        self.is_abandoned = False

    def trouble(self) -> str | None:
        """What is wrong, or None while all is well."""
        silent_s = clock.now_s() - self._heard_at_s
        if self._trouble is None and silent_s > (STALL_S if self.has_read else self._open_s):
            return f"no picture for {silent_s:.1f} s"
        return self._trouble

    def run(self) -> None:
        capture = _open(self._device)
        try:
            if not capture.isOpened():
                self._trouble = "cannot be opened"
                return
            while not self.is_abandoned:
                if not capture.grab():
                    self._trouble = "stopped giving pictures"
                    return
                captured_at_s = clock.now_s()
                is_read, image = capture.retrieve()
                if not is_read or self.is_abandoned:
                    continue
                self._heard_at_s = captured_at_s
                self.has_read = True
                frame = Frame(
                    number=self._newest.frames,
                    captured_at_s=captured_at_s,
                    image_bgr=fit_width(image, self._width_px),
                )
                self._newest.put(frame)
        except cv2.error as error:
            self._trouble = f"OpenCV gave up: {error}".splitlines()[0]
        finally:
            capture.release()


def _open(device: int | str) -> cv2.VideoCapture:
    if isinstance(device, str):
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 4000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(STALL_S * 1000)]
        return cv2.VideoCapture(device, cv2.CAP_FFMPEG, timeouts)
    capture = cv2.VideoCapture(device)
    if capture.isOpened():
        # Compressed pictures, since raw ones at this size do not fit through USB 2 at 30 a second.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, 640)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, 480)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
