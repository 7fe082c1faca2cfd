"""A page in a browser as the camera: pictures that the console hands over, see picture_stream.py.

One thread listens on 127.0.0.1, decodes and keeps the newest picture. Nobody waits for it, and it
waits for nobody: a page that vanishes is noticed and picked up when it is back, as a camera is.
"""

import logging
import os
import secrets
import socket
import threading

import cv2
import numpy as np

from instrument import clock
from instrument.camera import STALL_S, fit_width
from instrument.picture_stream import (
    CHALLENGE_BYTES,
    HEAD,
    MOST_BYTES,
    MOST_PIXELS,
    PROOF_BYTES,
    TAKEN,
    is_proven,
    jpeg_size,
    proof,
)
from instrument.signals import Frame
from instrument.source import NewestFrame, OnFrame, SourceStatus, ignore

log = logging.getLogger(__name__)

POLL_S = 0.1
INTRODUCTION_S = 1.0
"""Who has not proven by then that they are the console is shut out."""
RETRY_S = 0.25
NOBODY = "open the Camera page of the console on the phone, and start its camera there"


class PhoneSource:
    """The camera of whatever device has the console's Camera page open."""

    def __init__(
        self,
        *,
        port: int,
        secret: str,
        width_px: int = 640,
        on_frame: OnFrame = ignore,
        now_s: clock.Clock = clock.now_s,
    ) -> None:
        self._port = port
        self._secret = secret
        self._width_px = width_px
        self._now_s = now_s
        self._newest = NewestFrame(on_frame)
        self._heard_at_s: float | None = None
        self._delay_ms: float | None = None
        self._is_lost = False
        self._losses = 0
        self._trouble = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="phone", daemon=True)
        self._thread.start()

    def latest(self) -> Frame | None:
        return self._newest.take()

    def status(self) -> SourceStatus:
        state = "lost" if self._is_lost else "starting" if self._heard_at_s is None else "playing"
        detail = {"playing": "", "starting": NOBODY, "lost": "no picture comes from the phone"}[state]
        return SourceStatus(
            name="phone",
            state=state,
            detail=self._trouble or detail,
            frames=self._newest.frames,
            dropped=self._newest.dropped,
            losses=self._losses,
            delay_ms=self._delay_ms,
        )

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=2.0)

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                with _door(self._port) as door:
                    self._trouble = ""
                    self._welcome(door)
            except OSError as error:  # the source before this one may still have it
                self._trouble = f"port {self._port} (TCP) of 127.0.0.1 cannot be listened on: {error.strerror}"
                self._closing.wait(RETRY_S)

    def _welcome(self, door: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = door.accept()
            except TimeoutError:
                self._watch()
                continue
            with connection:
                connection.settimeout(POLL_S)
                try:
                    self._serve(connection)
                except (OSError, ValueError) as error:
                    log.debug("phone: %s", error)

    def _serve(self, connection: socket.socket) -> None:
        """Takes pictures in until the connection ends, by an OSError, or a ValueError for what is not right."""
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        connection.sendall(challenge)
        answer = self._receive(connection, PROOF_BYTES + CHALLENGE_BYTES, until_s=self._now_s() + INTRODUCTION_S)
        if not is_proven(self._secret, "console", challenge, answer[:PROOF_BYTES]):
            raise ValueError("somebody who is not the console")
        connection.sendall(proof(self._secret, "engine", answer[PROOF_BYTES:]))
        while True:
            length, delay_ms = HEAD.unpack(self._receive(connection, HEAD.size))
            if length > MOST_BYTES:
                raise ValueError(f"a picture of {length} bytes; at most {MOST_BYTES}")
            picture = self._receive(connection, length)
            self._take(picture, delay_ms)
            connection.sendall(TAKEN)

    def _receive(self, connection: socket.socket, count: int, *, until_s: float = float("inf")) -> bytes:
        received = bytearray()
        while len(received) < count:
            if self._closing.is_set() or self._now_s() > until_s:
                raise ConnectionAbortedError
            self._watch()
            try:
                part = connection.recv(count - len(received))
            except TimeoutError:
                continue
            if not part:
                raise ConnectionResetError
            received += part
        return bytes(received)

    def _take(self, picture: bytes, delay_ms: int) -> None:
        captured_at_s = self._now_s()
        width, height = jpeg_size(picture) or (0, 0)
        if not 0 < width * height <= MOST_PIXELS:
            raise ValueError(f"a picture of {width} x {height} pixels; allowed: a JPEG of 1..{MOST_PIXELS}")
        image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("a picture that cannot be decoded")
        if self._is_lost:
            log.info("the phone is back")
        self._is_lost, self._heard_at_s = False, captured_at_s
        self._delay_ms = float(delay_ms) if delay_ms >= 0 else None
        image = fit_width(image, self._width_px)
        self._newest.put(Frame(number=self._newest.frames, captured_at_s=captured_at_s, image_bgr=image))

    def _watch(self) -> None:
        """Notices that no picture has come for too long."""
        if self._heard_at_s is not None and not self._is_lost and self._now_s() - self._heard_at_s > STALL_S:
            self._is_lost = True
            self._losses += 1
            log.warning("no picture comes from the phone; waiting for it")


def _door(port: int) -> socket.socket:
    """A listening socket on that port of 127.0.0.1.

    Raises OSError.
    """
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would let two programs have the same port
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", port))
        door.listen(4)
    except OSError:
        door.close()
        raise
    door.settimeout(POLL_S)
    return door
