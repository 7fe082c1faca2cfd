"""The recorder: puts the frames of a performance into takes without ever holding up the frame loop.

The engine's thread calls `start`, `offer`, `stop` and `poll`, which only queue; one writer thread
owns the store and commits at least every quarter of a second. What the disk does not take waits in
memory, up to a limit, and is said in `problems`. This module knows no patch and no features.
"""

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from instrument.clock import Clock
from instrument.signals import Landmarks
from instrument.takes import (
    FrameRow,
    Take,
    TakesError,
    TakeStore,
    Target,
    check_layout,
    checked_targets,
    frame_row,
    utc_now,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

COMMIT_EVERY_S = 0.2
RETRY_AFTER_S = 0.5
LATE_FRAMES_S = 0.5
"""How long a timed take waits for frames captured before its end that are still being tracked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderState:
    """What the recorder is doing."""

    phase: str
    """`idle`, `counting in` or `recording`."""
    remaining_s: float | None = None
    """Until the count-in or the timed take is over; None when nothing ends by itself."""
    recorded_s: float = 0.0
    frame_count: int = 0
    tracked_fraction: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one recording."""

    take: Take | None
    """None when no frame came."""
    refused: str | None
    """Why the take teaches nothing; undo brings it back all the same."""
    lost_frames: int = 0
    """Frames that could not be kept because the disk took none for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begin:
    source: str
    kind: str
    parts: tuple[str, ...]
    number_count: int
    targets: Mapping[str, Target]
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finish:
    lost_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit:
    change: Callable[[TakeStore], Any]
    future: Future[Any]


class _Close:
    pass


@dataclass(slots=True, kw_only=True)
class _Recording:
    """The recording under way, as the engine's thread sees it."""

    begin: _Begin
    begins_at_s: float
    is_counted_in: bool
    """Whether frames captured before `begins_at_s` are the count-in; else the next frame is the first."""
    length_s: float | None
    is_begun: bool = False
    started_at_s: float = 0.0
    ends_at_s: float | None = None
    targets: dict[str, Target]
    frame_count: int = 0
    tracked_count: int = 0
    recorded_s: float = 0.0
    lost_frames: int = 0


class Recorder:
    """Records takes into the store at `path`; call `poll` once per turn of the engine's loop.

    Raises what `TakeStore.open` raises. Takes are changed through `edit`, and read by opening the
    store once more, for reading.
    """

    def __init__(
        self, path: Path, clock: Clock, *, max_waiting_frames: int = 12_000, busy_timeout_s: float = 1.0
    ) -> None:
        self._store = TakeStore.open(path, busy_timeout_s=busy_timeout_s)
        self.moved_aside = self._store.moved_aside
        """Where a damaged file was moved, if it was."""
        self.salvaged = self._store.salvaged
        self.recovered = self._store.recovered
        """Takes that were being recorded when the last program was killed."""
        self.dropped_frames = 0
        """Frames lost since the start of the program because too many waited for the disk."""
        self._clock = clock
        self._max_waiting_frames = max_waiting_frames
        self._recording: _Recording | None = None
        self._problem: str | None = None
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._queue: queue.SimpleQueue[_Begin | FrameRow | _Finish | _Edit | _Close] = queue.SimpleQueue()
        # Each counter has one writing thread, so their difference needs no lock.
        self._queued_frames = 0
        self._written_frames = 0
        self._hurry = threading.Event()
        self._is_closing = threading.Event()
        self._give_up_at_s = 0.0
        self._take_id: int | None = None
        self._thread = threading.Thread(target=self._write, name="takes", daemon=True)
        self._thread.start()

    def start(
        self,
        targets: Mapping[str, Target],
        *,
        source: str,
        parts: Sequence[str],
        kind: str = "take",
        number_count: int = 0,
        count_in_s: float = 0.0,
        length_s: float | None = None,
    ) -> None:
        """Begins a recording after the count-in; it ends by itself after `length_s`, if given.

        A recording under way is finished first. With `number_count` 0, the first numbers that
        come say how many there are.
        """
        check_layout(kind, parts)
        checked = checked_targets(targets)
        self.stop()
        begin = _Begin(
            source=source,
            kind=kind,
            parts=tuple(parts),
            number_count=number_count,
            targets=checked,
            created_at="",
        )
        self._recording = _Recording(
            begin=begin,
            begins_at_s=self._clock() + count_in_s,
            is_counted_in=count_in_s > 0,
            length_s=length_s,
            targets=dict(checked),
        )

    def offer(self, landmarks: Landmarks, targets: Mapping[str, Target] | None = None) -> None:
        """Records this frame if a recording is under way; never waits.

        `targets` are those that hold now, for outputs whose target may move while recording.
        """
        recording = self._recording
        if recording is None:
            return
        if recording.is_counted_in and landmarks.captured_at_s < recording.begins_at_s:
            return
        if recording.ends_at_s is not None and landmarks.captured_at_s >= recording.ends_at_s:
            self.stop()
            return
        changed = checked_targets(
            {
                output: target
                for output, target in (targets or {}).items()
                if recording.targets.get(output, target) != target
            }
        )
        recording.targets |= changed
        if not recording.is_begun:
            if not self._begin(recording, landmarks):
                return
            changed = {}
        begin = recording.begin
        row = frame_row(landmarks, begin.parts, begin.number_count, recording.started_at_s, changed or None)
        if self._queued_frames - self._written_frames >= self._max_waiting_frames:
            recording.lost_frames += 1
            self.dropped_frames += 1
            return
        self._queued_frames += 1
        self._queue.put(row)
        recording.frame_count += 1
        recording.tracked_count += row.is_tracked
        recording.recorded_s = row.captured_at_s

    def stop(self) -> bool:
        """Ends the recording; whether there was one. Its outcome comes from `poll`, once it is on disk."""
        recording, self._recording = self._recording, None
        if recording is None:
            return False
        if recording.is_begun:
            self._put(_Finish(lost_frames=recording.lost_frames))
        else:
            self._outcomes.put(Outcome(take=None, refused="no frame came while recording"))
        return True

    def poll(self) -> list[Outcome]:
        """The outcomes of recordings finished since the last call, oldest first."""
        recording = self._recording
        if recording is not None and recording.length_s is not None:
            ends_at_s = recording.ends_at_s
            if ends_at_s is None:
                ends_at_s = recording.begins_at_s + recording.length_s
            # Frames end a timed take; this is for when they stop coming.
            if self._clock() >= ends_at_s + LATE_FRAMES_S:
                self.stop()
        return _drained(self._outcomes)

    @property
    def state(self) -> RecorderState:
        """What is going on at this moment of the clock."""
        recording = self._recording
        if recording is None:
            return RecorderState(phase="idle")
        now_s = self._clock()
        if not recording.is_begun and now_s < recording.begins_at_s:
            return RecorderState(phase="counting in", remaining_s=recording.begins_at_s - now_s)
        remaining_s = recording.length_s
        if recording.ends_at_s is not None:
            remaining_s = max(recording.ends_at_s - now_s, 0.0)
        return RecorderState(
            phase="recording",
            remaining_s=remaining_s,
            recorded_s=recording.recorded_s,
            frame_count=recording.frame_count,
            tracked_fraction=recording.tracked_count / max(recording.frame_count, 1),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong now, in words; empty when all is well."""
        problem = self._problem
        if problem is None:
            return ()
        waiting = self._queued_frames - self._written_frames
        lost = f", {self.dropped_frames} lost" if self.dropped_frames else ""
        return (f"takes cannot be written ({problem}): {waiting} frames wait in memory{lost}; trying again",)

    def edit(self, change: Callable[[TakeStore], T]) -> Future[T]:
        """What `change` returns when called with the store by its only writer, after what is queued.

        An exception it raises is the future's; a change that fails half-way changes nothing.
        """
        future: Future[T] = Future()
        if self._is_closing.is_set():
            future.set_exception(TakesError("the takes are closed"))
        else:
            self._put(_Edit(change=change, future=future))
        return future

    def close(self, timeout_s: float = 5.0) -> list[Outcome]:
        """Ends the recording, writes what waits and lets go of the file; the last outcomes."""
        self.stop()
        self._give_up_at_s = time.monotonic() + timeout_s
        self._is_closing.set()
        self._put(_Close())
        self._thread.join(timeout_s + 2.0)
        if unwritten := self._queued_frames - self._written_frames:
            logger.error("takes: %d frames could not be written before the end", unwritten)
        return _drained(self._outcomes)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, recording: _Recording, landmarks: Landmarks) -> bool:
        begin = replace(recording.begin, targets=dict(recording.targets), created_at=utc_now())
        if "numbers" in begin.parts and not begin.number_count:
            if landmarks.numbers is None:
                return False
            begin = replace(begin, number_count=landmarks.numbers.size)
        recording.begin = begin
        recording.is_begun = True
        recording.started_at_s = landmarks.captured_at_s
        if recording.length_s is not None:
            recording.ends_at_s = landmarks.captured_at_s + recording.length_s
        self._put(begin)
        return True

    def _put(self, order: _Begin | _Finish | _Edit | _Close) -> None:
        self._queue.put(order)
        self._hurry.set()

    # From here on: the writer's thread

    def _write(self) -> None:
        waiting: deque[_Begin | FrameRow | _Finish | _Edit | _Close] = deque()
        while True:
            if not waiting:
                waiting.append(self._queue.get())
            self._hurry.wait(RETRY_AFTER_S if self._problem else COMMIT_EVERY_S)
            self._hurry.clear()
            waiting.extend(_drained(self._queue))
            try:
                if self._work_off(waiting):
                    break
                self._problem = None
            except (sqlite3.Error, OSError, TakesError) as error:
                if self._problem is None:
                    logger.error("takes cannot be written: %s", error)
                self._problem = str(error)
                if self._is_closing.is_set() and time.monotonic() > self._give_up_at_s:
                    break
        waiting.extend(_drained(self._queue))
        for order in waiting:
            if isinstance(order, _Edit):
                order.future.set_exception(TakesError("the takes are closed"))
        self._store.close()

    def _work_off(self, waiting: "deque[_Begin | FrameRow | _Finish | _Edit | _Close]") -> bool:
        """Does what waits, in order, leaving what could not be done; True when it is time to close."""
        while waiting:
            order = waiting[0]
            if isinstance(order, FrameRow):
                self._append_frames(waiting)
                continue
            if isinstance(order, _Begin):
                self._take_id = self._store.begin(
                    source=order.source,
                    parts=order.parts,
                    targets=order.targets,
                    number_count=order.number_count,
                    kind=order.kind,
                    created_at=order.created_at,
                )
            elif isinstance(order, _Finish):
                self._finish(order)
            elif isinstance(order, _Edit):
                self._apply(order)
            else:
                return True
            waiting.popleft()
        return False

    def _append_frames(self, waiting: "deque[Any]") -> None:
        rows = []
        for order in waiting:
            if not isinstance(order, FrameRow):
                break
            rows.append(order)
        assert self._take_id is not None
        self._store.append(self._take_id, rows)
        self._written_frames += len(rows)
        for _ in rows:
            waiting.popleft()

    def _finish(self, order: _Finish) -> None:
        assert self._take_id is not None
        take = self._store.finish(self._take_id)
        self._take_id = None
        refused = take.refused if take is not None else "no frame came while recording"
        self._outcomes.put(Outcome(take=take, refused=refused, lost_frames=order.lost_frames))

    def _apply(self, order: _Edit) -> None:
        if not order.future.set_running_or_notify_cancel():
            return
        try:
            with self._store.transaction():
                result = order.change(self._store)
        except Exception as error:  # whoever asked for the change hears of it
            order.future.set_exception(error)
        else:
            order.future.set_result(result)


def _drained(source: "queue.SimpleQueue[T]") -> list[T]:
    found = []
    with contextlib.suppress(queue.Empty):
        while True:
            found.append(source.get_nowait())
    return found
