"""Pictures of what the engine sees, as JPEG, for whoever subscribed to them.

They are made in a thread of their own, so that no frame waits for one; while one is being made,
the newest waits, and those between are left out.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import cv2

from instrument.camera import fit_width
from instrument.server import Address

log = logging.getLogger(__name__)

WIDTH_PX = 640
QUALITIES = (70, 40, 10)
MOST_BYTES = 60_000
"""What fits into one datagram, with room for the rest of the message."""

SendPicture = Callable[[Address, int, bytes], None]


class Previews:
    """Makes and sends pictures from `offer` to `close`; the thread starts with the first one."""

    def __init__(self, send: SendPicture) -> None:
        """`send(subscriber, frame number, jpeg)` is called in the thread."""
        self._send = send
        self._newest: tuple[int, Any, Sequence[Address]] | None = None
        self._bell = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def offer(self, number: int, image: Any, subscribers: Sequence[Address]) -> None:
        """Has that picture sent to them, unless a newer one comes first; never waits."""
        with self._bell:
            self._newest = (number, image, subscribers)
            self._bell.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._make, name="previews", daemon=True)
            self._thread.start()

    def close(self) -> None:
        with self._bell:
            self._is_closing = True
            self._bell.notify()
        if self._thread is not None:
            self._thread.join(1.0)

    def _make(self) -> None:
        while True:
            with self._bell:
                self._bell.wait_for(lambda: self._newest is not None or self._is_closing)
                if self._is_closing or self._newest is None:
                    return
                number, image, subscribers = self._newest
                self._newest = None
            try:
                picture = jpeg(image)
                for subscriber in subscribers:
                    self._send(subscriber, number, picture)
            except Exception as error:  # a picture that cannot be made must not end those after it
                log.warning("no preview of frame %d: %s", number, error)


def jpeg(image: Any) -> bytes:
    """The picture as a JPEG that fits into one datagram."""
    small = fit_width(image, WIDTH_PX)
    for quality in QUALITIES:
        _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(encoded) <= MOST_BYTES:
            break
    return bytes(encoded.tobytes())
