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
from collections.abc import Callable, Iterator, Mapping, Sequence
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

NO_FRAME = "no frame came while recording"
COMMIT_EVERY_S = 0.2
RETRY_AFTER_S = 0.5
LATE_FRAMES_S = 0.5
"""How long a timed take waits for frames captured before its end that are still being tracked."""
LONG_EDIT_S = 0.5
"""An edit that kept frames from the disk for longer is said in the log."""


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
    """None when no frame came, or none could be kept: `refused` says which."""
    refused: str | None
    """Why the take teaches nothing; undo brings it back all the same, if there is one."""
    lost_frames: int = 0
    """Frames that came but are not in the take, because they could not be written; where they were, it has a gap.

    A take is not refused for them, so whoever hears of it must say how many there are.
    """


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


_Order = _Begin | FrameRow | _Finish | _Edit | _Close


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
        self._clock = clock
        self._max_waiting_frames = max_waiting_frames
        self._recording: _Recording | None = None
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._queue: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        # Each counter has one writing thread, so sums and differences need no lock.
        self._queued_frames = 0
        self._done_frames = 0
        self._crowded_out_frames = 0
        self._unwritable_frames = 0
        self._problem: str | None = None
        """What keeps the disk from taking frames now; it is tried again."""
        self._hurry = threading.Event()
        self._is_closing = threading.Event()
        self._give_up_at_s = 0.0
        self._take_id: int | None = None
        self._take_failure: str | None = None
        """Why the take that is being written cannot be kept."""
        self._take_lost_frames = 0
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
        if not recording.is_begun:
            recording.targets |= changed
            if not self._begin(recording, landmarks):
                return
            changed = {}
        if self._waiting_frames >= self._max_waiting_frames:
            recording.lost_frames += 1
            self._crowded_out_frames += 1
            return
        recording.targets |= changed  # not before: what changed with a lost frame comes with the next one kept
        begin = recording.begin
        row = frame_row(landmarks, begin.parts, begin.number_count, recording.started_at_s, changed or None)
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
        # One that never began goes the same way, so that its outcome does not overtake an earlier one's.
        self._put(_Finish(lost_frames=recording.lost_frames))
        return True

    def poll(self) -> list[Outcome]:
        """The outcomes that came since the last call: one for each recording, in the order they were ended."""
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
        problem, failure = self._problem, self._take_failure
        lost = f", {self.dropped_frames} lost" if self.dropped_frames else ""
        said = []
        if failure is not None:
            said.append(f"this take cannot be kept ({failure}){lost}; stop, and record it again")
        if problem is not None:
            waiting = self._waiting_frames
            said.append(f"takes cannot be written ({problem}): {waiting} frames wait in memory{lost}; trying again")
        return tuple(said)

    @property
    def dropped_frames(self) -> int:
        """Frames lost since the start of the program."""
        return self._crowded_out_frames + self._unwritable_frames

    def edit(self, change: Callable[[TakeStore], T]) -> Future[T]:
        """What `change` returns when called with the store by its only writer, after what is queued.

        The change must be quick: until it returns, no frame reaches the disk, and a kill would lose
        them. Read files, write others and compute before or after, with a reader of your own.
        An exception it raises is the future's; a change that fails half-way changes nothing.
        """
        future: Future[T] = Future()
        if self._is_closing.is_set():
            future.set_exception(TakesError("the takes are closed"))
        else:
            self._put(_Edit(change=change, future=future))
        return future

    def close(self, timeout_s: float = 5.0) -> list[Outcome]:
        """Ends the recording, writes what waits and lets go of the file; the last outcomes.

        After `timeout_s` it gives up on a disk that does not take what waits.
        """
        self.stop()
        self._give_up_at_s = time.monotonic() + timeout_s
        self._is_closing.set()
        self._put(_Close())
        self._thread.join(timeout_s + 2.0)
        if unwritten := self._waiting_frames:
            logger.error("takes: %d frames could not be written before the end", unwritten)
        return _drained(self._outcomes)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _waiting_frames(self) -> int:
        return self._queued_frames - self._done_frames

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
        waiting: deque[_Order] = deque()
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
            except (sqlite3.OperationalError, OSError) as error:
                if self._problem is None:
                    logger.error("takes cannot be written: %s", error)
                self._problem = str(error)
                if self._is_closing.is_set() and time.monotonic() > self._give_up_at_s:
                    break
        waiting.extend(_drained(self._queue))
        self._abandon(waiting)
        self._store.close()

    def _work_off(self, waiting: deque[_Order]) -> bool:
        """Does what waits, in order; True when it is time to close.

        What the disk does not take now (sqlite3.OperationalError, OSError: full, locked, gone) stays
        first in line; whatever else goes wrong would go wrong again, so nothing waits behind it.
        """
        while waiting:
            done = 1
            match waiting[0]:
                case _Close():
                    return True
                case _Begin() as begin:
                    self._begin_take(begin)
                case _Finish() as finish:
                    self._finish_take(finish)
                case _Edit() as edit:
                    self._apply(edit)
                case FrameRow():
                    rows = _leading_frames(waiting)
                    self._append(rows)
                    done = len(rows)
            for _ in range(done):
                waiting.popleft()
        return False

    def _begin_take(self, order: _Begin) -> None:
        with self._failing_the_take():
            self._take_id = self._store.begin(
                source=order.source,
                parts=order.parts,
                targets=order.targets,
                number_count=order.number_count,
                kind=order.kind,
                created_at=order.created_at,
            )

    def _append(self, rows: list[FrameRow]) -> None:
        if self._take_failure is None:
            assert self._take_id is not None
            with self._failing_the_take():
                self._store.append(self._take_id, rows)
        # One frame that cannot be written fails its take: those after it may lack a target that came with it.
        if self._take_failure is not None:
            self._take_lost_frames += len(rows)
            self._unwritable_frames += len(rows)
        self._done_frames += len(rows)

    def _finish_take(self, order: _Finish) -> None:
        take = None
        if self._take_id is not None:
            with self._failing_the_take():
                take = self._store.finish(self._take_id, refused=self._take_failure)
        refused = take.refused if take is not None else self._take_failure or NO_FRAME
        lost_frames = order.lost_frames + self._take_lost_frames
        self._take_id, self._take_failure, self._take_lost_frames = None, None, 0
        self._outcomes.put(Outcome(take=take, refused=refused, lost_frames=lost_frames))

    @contextlib.contextmanager
    def _failing_the_take(self) -> Iterator[None]:
        """What would go wrong again inside is why the take that is being written fails."""
        try:
            yield
        except (sqlite3.OperationalError, OSError):
            raise
        except Exception as error:  # whatever it is, the next take must still be recorded
            is_ours = isinstance(error, TakesError)
            reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            logger.error("a take could not be kept: %s", reason, exc_info=not is_ours)
            self._take_failure = self._take_failure or reason

    def _apply(self, order: _Edit) -> None:
        if not order.future.set_running_or_notify_cancel():
            return
        began_at_s = time.monotonic()
        try:
            with self._store.transaction():
                result = order.change(self._store)
        except Exception as error:  # whoever asked for the change hears of it
            order.future.set_exception(error)
        else:
            order.future.set_result(result)
        if (took_s := time.monotonic() - began_at_s) > LONG_EDIT_S:
            logger.warning("an edit kept frames from the disk for %.1f s", took_s)

    def _abandon(self, waiting: deque[_Order]) -> None:
        """Tells whoever waits for what is left that it is not done."""
        for order in waiting:
            if isinstance(order, _Edit) and order.future.set_running_or_notify_cancel():
                order.future.set_exception(TakesError("the takes are closed"))
            elif isinstance(order, _Finish):
                refused = (
                    f"closed before all of it was written ({self._problem}); what was is recovered at the next start"
                )
                self._outcomes.put(Outcome(take=None, refused=refused, lost_frames=order.lost_frames))


def _leading_frames(waiting: deque[_Order]) -> list[FrameRow]:
    rows = []
    for order in waiting:
        if not isinstance(order, FrameRow):
            break
        rows.append(order)
    return rows


def _drained(source: "queue.SimpleQueue[T]") -> list[T]:
    found = []
    with contextlib.suppress(queue.Empty):
        while True:
            found.append(source.get_nowait())
    return found
