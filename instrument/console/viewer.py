"""One open page's end of the live WebSocket: what it is yet to be sent, newest wins, and what it asks for.

    to the page, binary   u32 length of the header, little-endian; the header, JSON; then the blobs it names
    to the page, text     JSON: {"state": {name: value}}, {"answer": id, "done": [...]}, {"answer": id, "fail": why};
                          a blob in an answer is {"blob": base64}
    from the page, text   "+" for each binary message drawn, {"want": [topic]}, {"ask": [address, ...], "id": id}

At most two binary messages are under way; until the page has said "+" to one of them, newer values
replace those that wait. Nothing ever queues, however slow the page is.
"""

import asyncio
import base64
import json
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from instrument.protocol import Value

MOST_UNDER_WAY = 2
MOST_CONTROLS = 256
"""Events are kept in order rather than replaced, but a page that sleeps misses the oldest."""

MOST_ANSWERS = 200


@dataclass(slots=True, kw_only=True)
class Moving:
    """What is new since the last message: about one frame, or several where the page is slow."""

    frame: tuple[int, int] | None = None
    """Number, and whether a body was found."""
    picture: int | None = None
    """The frame that blob `preview` is the picture of."""
    predictions: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    controls: deque[tuple[Value, ...]] = field(default_factory=lambda: deque(maxlen=MOST_CONTROLS))
    movements: deque[tuple[Value, ...]] = field(default_factory=lambda: deque(maxlen=MOST_CONTROLS))
    blobs: dict[str, bytes] = field(default_factory=dict)

    def update(self, newer: "Moving") -> None:
        if newer.frame is not None:
            self.frame = newer.frame
            for part in ("pose", "left_hand", "right_hand", "features"):
                self.blobs.pop(part, None)  # a part that was not found any more
        if newer.picture is not None:
            self.picture = newer.picture
        self.predictions |= newer.predictions
        self.controls += newer.controls
        self.movements += newer.movements
        self.blobs |= newer.blobs

    def encoded(self) -> bytes:
        """The binary message."""
        header: dict[str, Any] = {"blobs": [[name, len(blob)] for name, blob in self.blobs.items()]}
        if self.frame is not None:
            header |= {"frame": self.frame, "predictions": self.predictions, "controls": list(self.controls)}
        elif self.controls:
            header["controls"] = list(self.controls)
        if self.movements:
            header["movements"] = list(self.movements)
        if self.picture is not None:
            header["picture"] = self.picture
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)  # so that numbers in blobs begin where JavaScript wants them to
        return b"".join((struct.pack("<I", len(text)), text, *self.blobs.values()))


class Viewer:
    """What waits to be sent to one page."""

    def __init__(self) -> None:
        self.topics: frozenset[str] = frozenset()
        """What this page wants besides what all get."""
        self.recording: int | None = None
        """The number of the recording that this page began and has not ended; 0 while its number is not known."""
        self._moving: Moving | None = None
        self._state: dict[str, Any] = {}
        self._answers: list[str] = []
        self._under_way = 0
        self._bell = asyncio.Event()

    def move(self, newest: Moving) -> None:
        """Takes in what is new of what moves."""
        if self._moving is None:
            self._moving = Moving()
        self._moving.update(newest)
        if self._under_way < MOST_UNDER_WAY:
            self._bell.set()

    def state(self, changed: dict[str, Any]) -> None:
        """Takes in what is new of the state."""
        self._state |= changed
        self._bell.set()

    def answer(self, to: object, **outcome: Any) -> None:
        """Has the page told what came of what it asked."""
        self._answers.append(json.dumps({"answer": to, **outcome}, default=_blob))
        self._bell.set()

    @property
    def is_deaf(self) -> bool:
        """Whether it asks and asks, and takes no answer."""
        return len(self._answers) > MOST_ANSWERS

    def acknowledge(self) -> None:
        """The page has drawn one message."""
        self._under_way = max(0, self._under_way - 1)
        if self._moving is not None:
            self._bell.set()

    async def next(self) -> list[str | bytes]:
        """What to send now, once there is something."""
        while not (messages := self.due()):
            await self._bell.wait()
            self._bell.clear()
        return messages

    def due(self) -> list[str | bytes]:
        """What to send now, which from then on counts as sent; nothing when nothing is."""
        messages: list[str | bytes] = []
        if self._state:
            messages.append(json.dumps({"state": self._state}))
            self._state = {}
        messages += self._answers
        self._answers = []
        if self._moving is not None and self._under_way < MOST_UNDER_WAY:
            messages.append(self._moving.encoded())
            self._moving = None
            self._under_way += 1
        return messages


def _blob(value: object) -> dict[str, str]:
    """What JSON has in place of bytes."""
    if not isinstance(value, bytes):
        raise TypeError(f"{value!r} cannot be sent to a page; allowed: what JSON has, and bytes")
    return {"blob": base64.b64encode(value).decode()}
