"""Where frames come from: one small protocol, and the words that choose a source.

A source runs by itself and keeps only the newest frame; whoever is slower than it loses the
older ones, which are counted. This room knows nothing of what is found in a frame.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from instrument import clock
from instrument.signals import FloatArray, Frame, Landmarks


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """How a source is doing."""

    name: str
    state: str
    """`starting`, `playing`, `lost` (being retried) or `ended`."""
    detail: str = ""
    """Why, in words, when not playing."""
    frames: int = 0
    """Frames that arrived."""
    dropped: int = 0
    """Frames that a newer one replaced before anybody looked."""
    losses: int = 0
    """How often the source was lost."""
    delay_ms: float | None = None
    """How old its pictures are when they arrive here, where that can be known: a phone's are."""


class Source(Protocol):
    """Something that gives frames. `on_frame` is called from any thread when there is a new one."""

    def latest(self) -> Frame | None:
        """The newest frame not yet given, or None; never waits."""
        ...

    def status(self) -> SourceStatus: ...

    def close(self) -> None: ...


log = logging.getLogger(__name__)

OnFrame = Callable[[], None]


def ignore() -> None:
    """An `on_frame` for those who would rather ask."""


@dataclass
class NewestFrame:
    """A place for one frame: putting replaces, taking empties."""

    on_frame: OnFrame = ignore
    frames: int = 0
    dropped: int = 0
    _frame: Frame | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, frame: Frame) -> None:
        with self._lock:
            self.frames += 1
            self.dropped += self._frame is not None
            self._frame = frame
        self.on_frame()

    def take(self) -> Frame | None:
        with self._lock:
            frame, self._frame = self._frame, None
        return frame


class NumbersSource:
    """Plain numbers pushed in by the OSC server, as Wekinator's inputs.

    Every message is answered by one output and may be an example, so they are queued; `drop_before` drops some.
    """

    def __init__(
        self,
        *,
        quiet_s: float = math.inf,
        on_frame: OnFrame = ignore,
        now_s: clock.Clock = clock.now_s,
        queue_length: int = 4096,
    ) -> None:
        """Without numbers for `quiet_s` they count as lost."""
        self._quiet_s = quiet_s
        self._newest_s = math.inf
        self._losses = 0
        self._on_frame = on_frame
        self._now_s = now_s
        self._queue: deque[Frame] = deque(maxlen=queue_length)
        self._frames = 0
        self._dropped = 0

    def push(self, values: FloatArray) -> None:
        """Takes in (N,) numbers that arrived now."""
        captured_at_s = self._now_s()
        self._losses += self._is_quiet(captured_at_s)
        self._newest_s = captured_at_s
        landmarks = Landmarks(frame_number=self._frames, captured_at_s=captured_at_s, numbers=values)
        self._dropped += len(self._queue) == self._queue.maxlen
        self._queue.append(Frame(number=self._frames, captured_at_s=captured_at_s, landmarks=landmarks))
        self._frames += 1
        self._on_frame()

    def is_waiting_since(self, time_s: float) -> bool:
        """Whether numbers that came before that time have not been given yet."""
        try:
            return self._queue[0].captured_at_s < time_s
        except IndexError:
            return False

    def drop_before(self, time_s: float) -> int:
        """Drops numbers that came before that time, but for the newest; how many."""
        late = 0
        while len(self._queue) > 1 and self._queue[0].captured_at_s < time_s:
            self._queue.popleft()
            late += 1
        self._dropped += late
        return late

    def latest(self) -> Frame | None:
        try:
            return self._queue.popleft()
        except IndexError:
            return None

    def status(self) -> SourceStatus:
        is_quiet = self._is_quiet(self._now_s())
        state = "lost" if is_quiet else "playing" if self._frames else "starting"
        return SourceStatus(
            name="osc",
            state=state,
            detail="" if state == "playing" else "waiting for /wek/inputs",
            frames=self._frames,
            dropped=self._dropped,
            losses=self._losses + is_quiet,
        )

    def _is_quiet(self, now_s: float) -> bool:
        return now_s - self._newest_s > self._quiet_s

    def close(self) -> None:
        pass


class SourceError(ValueError):
    """A source that cannot be opened; its text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneLine:
    """Where the console hands over a phone's pictures: a TCP port of this computer, and the secret of both."""

    port: int
    secret: str


def open_source(
    name: str,
    *,
    width_px: int = 640,
    is_once: bool = False,
    on_frame: OnFrame = ignore,
    takes_file: Path | None = None,
    phone_line: PhoneLine | None = None,
    quiet_s: float = math.inf,
) -> Source:
    """The source of that name, already running.

    `auto` (camera 0, else the demo), `demo`, `camera`, `camera:N` or `N`, `phone` (the console's
    Camera page), `take:N` (recorded landmarks), `osc` (plain numbers), an http:, https: or rtsp:
    URL, or a video file.
    With `is_once`, files, takes and the demo end instead of starting over.

    Raises SourceError.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(f"source {name!r}: the name is not UTF-8; rename the file") from None
    from instrument import camera, phone, replay  # OpenCV is not needed for numbers alone

    if name == "auto":
        name = "camera:0" if camera.is_there(0) else "demo"
        log.info("listening to %s", name if name != "demo" else "the demo performer, for there is no camera")
    if name == "osc":
        return NumbersSource(quiet_s=quiet_s, on_frame=on_frame)
    if name == "demo":
        return replay.open_demo(width_px=width_px, is_once=is_once, on_frame=on_frame)
    if name == "phone":
        if phone_line is None:
            raise SourceError("source 'phone': there is no console to bring its pictures; start `instrument play`")
        return phone.PhoneSource(port=phone_line.port, secret=phone_line.secret, width_px=width_px, on_frame=on_frame)
    if name.startswith("take:"):
        return replay.open_take(takes_file, name, is_once=is_once, on_frame=on_frame)
    if name.isdigit() or name == "camera" or name.startswith("camera:"):
        index = name.removeprefix("camera").removeprefix(":") or "0"
        if not index.isdigit():
            raise SourceError(f"source '{name}': '{index}' is not a camera number; try camera:0")
        return camera.LiveSource(int(index), width_px=width_px, on_frame=on_frame)
    if name.split(":")[0] in ("http", "https", "rtsp", "rtsps", "rtmp", "udp"):
        return camera.LiveSource(name, width_px=width_px, on_frame=on_frame)
    path = Path(name).expanduser()
    if path.is_file():
        return replay.open_file(path, width_px=width_px, is_once=is_once, on_frame=on_frame)
    raise SourceError(
        f"source '{name}': no such file, and not one of auto, demo, camera:N, phone, take:N, osc, http://..., rtsp://..."
    )
