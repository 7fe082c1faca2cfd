"""Takes: recorded runs of examples, kept in one SQLite file per project.

One writer (the engine) and any number of readers (trainer, command line, console) share the
file. A take keeps landmarks and their times, so features can change later. Nothing recorded is
ever overwritten: deleting marks, and every edit is logged, so undo and redo have no limit and
outlive the program. This module knows no patch, no camera and no features.
"""

# ruff: noqa: S608  (the names put into statements are constants of this module; values are always bound)

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from instrument.signals import LANDMARK_PARTS, PART_SHAPES, FloatArray, Landmarks, LandmarkSequence
from instrument.takes_file import TakesBusyError as TakesBusyError
from instrument.takes_file import TakesDamagedError as TakesDamagedError
from instrument.takes_file import TakesError as TakesError
from instrument.takes_file import (
    WriterLock,
    beside,
    connect,
    damage_named,
    move_aside,
    nonsense_named,
    open_for_reading,
    open_for_writing,
)

KINDS = ("take", "performance", "rehearsal")

Target = str | float
"""A class name, or the value of a continuous output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One recorded run of examples, without its frames.

    Counts and times are of the part left by `trim`.
    """

    id: int
    kind: str
    """`take`; `performance`: a whole show, which teaches nothing; `rehearsal`: nothing in it is meant."""
    created_at: str
    """ISO 8601, UTC."""
    source: str
    parts: tuple[str, ...]
    """Which of LANDMARK_PARTS its frames keep."""
    number_count: int
    """How many numbers a frame has, if it keeps `numbers`."""
    targets: Mapping[str, Target]
    """What it teaches: the target at its start for each output; it says nothing about others."""
    moving: frozenset[str]
    """Outputs whose target moves from frame to frame: see `TakeStore.frame_targets`."""
    trim: tuple[int, int] | None
    """First and last frame used, counted from 0; None uses all."""
    is_deleted: bool
    refused: str | None
    """Why it was refused when it was recorded; None if it was not, or if undo took it back in."""
    is_complete: bool
    """False while it is being recorded."""
    revision: int
    """Grows with every change to this take."""
    frame_count: int
    duration_s: float
    tracked_fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """One frame as it is stored."""

    captured_at_s: float
    """Since the first frame of the take."""
    aspect: float
    is_tracked: bool
    packed: bytes
    """The take's parts in order as little-endian float32; NaN where a part was not found."""
    targets: Mapping[str, Target] | None = None
    """Targets that change with this frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeTake:
    """All a take keeps, whichever file it is in: what export writes and import reads."""

    kind: str = "take"
    created_at: str
    source: str
    targets: Mapping[str, Target]
    moving: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    """For each output whose target moves, its target in each of the T frames."""
    trim: tuple[int, int] | None = None
    landmarks: LandmarkSequence
    """All T frames, trimmed or not."""


def part_floats(part: str, number_count: int) -> int:
    """How many floats that part of a frame has."""
    return number_count if part == "numbers" else math.prod(PART_SHAPES[part])


def frame_row(
    landmarks: Landmarks,
    parts: Sequence[str],
    number_count: int,
    started_at_s: float,
    targets: Mapping[str, Target] | None = None,
) -> FrameRow:
    """Those landmarks as a row of a take that began at `started_at_s`.

    Numbers of another count than the take's are stored as not found.
    """
    packed, is_tracked = [], False
    for name in parts:
        part: FloatArray | None = getattr(landmarks, name)
        size = part_floats(name, number_count)
        if part is None or part.size != size:
            part = np.full(size, np.nan, dtype=np.float32)
        else:
            is_tracked = True
        packed.append(part.astype("<f4", copy=False).tobytes())
    return FrameRow(
        captured_at_s=landmarks.captured_at_s - started_at_s,
        aspect=landmarks.aspect,
        is_tracked=is_tracked,
        packed=b"".join(packed),
        targets=targets,
    )


def checked_targets(targets: Mapping[str, Target]) -> dict[str, Target]:
    """Those targets with every number a float; raises TakesError for what no take can teach."""
    checked: dict[str, Target] = {}
    for output, target in targets.items():
        is_number = isinstance(target, int | float) and not isinstance(target, bool) and math.isfinite(target)
        if not _is_name(output) or not (is_number or _is_name(target)):
            raise TakesError(f"output {output!r}: target is {target!r}; allowed: a class name, or a finite number")
        checked[output] = target if isinstance(target, str) else float(target)
    return checked


def target_text(target: Target) -> str:
    """A class name, or a value as the shortest text that is the same in 32 bits, as values come over OSC."""
    if isinstance(target, str):
        return target
    with np.errstate(over="ignore"):
        short = np.float32(target)
    return str(short) if np.isfinite(short) else str(target)


def _is_name(value: object) -> bool:
    """Whether it is a text that is not empty and can be stored: a lone surrogate cannot."""
    return isinstance(value, str) and value != "" and value == _storable(value)


def _storable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def check_layout(kind: str, parts: Sequence[str]) -> None:
    """Raises TakesError unless there can be a take of that kind with those parts."""
    if kind not in KINDS:
        raise TakesError(f"kind is '{kind}'; allowed: {', '.join(KINDS)}")
    if not parts or any(name not in LANDMARK_PARTS for name in parts):
        raise TakesError(f"parts are {', '.join(parts) or 'none'}; allowed: any of {', '.join(LANDMARK_PARTS)}")


def refusal(frame_count: int, tracked_count: int) -> str | None:
    """Why a take with so many frames, of which so many were tracked, teaches nothing; None if it does."""
    if tracked_count * 2 < frame_count:
        return f"tracking was lost for {100 * (1 - tracked_count / frame_count):.0f} % of the take"
    if tracked_count < 3:
        return f"only {tracked_count} tracked frames; a take needs at least 3"
    return None


_TAKE_COLUMNS = (
    "id, kind, created_at, source, parts, number_count, targets, moving, trim_first, trim_last,"
    " is_deleted, refused, is_complete, revision"
)
_FRAME_COLUMNS = "take, number, captured_at_s, aspect, is_tracked, packed, targets"
_EDITABLE = ("kind", "targets", "moving", "trim_first", "trim_last", "is_deleted", "refused")


class TakeStore:
    """The takes in one file.

    Readers open it, read and close it. Every method raises TakesDamagedError when it meets damage;
    `sqlite3.OperationalError` (disk full, locked) comes through as it is, with nothing changed.
    """

    def __init__(self, path: Path, database: sqlite3.Connection, lock: WriterLock | None) -> None:
        self.path = path
        self.moved_aside: Path | None = None
        """Where a damaged file was moved when this one was begun in its place."""
        self.salvaged: tuple[Take, ...] = ()
        """Takes that could be read from it, and are in this one."""
        self.recovered: tuple[Take, ...] = ()
        """Takes that were being recorded when the last writer was killed, finished now."""
        self._database = database
        self._lock = lock

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False, busy_timeout_s: float = 1.0) -> "TakeStore":
        """The store at that path, begun if there is none; for a reader, no file is no takes.

        Raises TakesBusyError for a second writer, TakesDamagedError for a reader of a damaged file, and
        TakesError for a file of a newer program or one that cannot be opened.
        """
        if readonly:
            return cls(path, _sensible(path, open_for_reading(path, busy_timeout_s)), None)
        lock = WriterLock(path)
        try:
            moved_aside = None
            try:
                database = _sensible(path, open_for_writing(path, busy_timeout_s))
            except TakesDamagedError:
                moved_aside = move_aside(path)
                database = open_for_writing(path, busy_timeout_s)
            store = cls(path, database, lock)
            if moved_aside is not None:
                store.moved_aside = moved_aside
                store.salvaged = store._salvage(moved_aside)
            store.recovered = store._finish_interrupted()
        except BaseException:
            lock.release()
            raise
        return store

    def close(self) -> None:
        """Lets go of the file; closing twice does nothing."""
        self._database.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "TakeStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading

    def takes(
        self, *, kind: str | None = None, include_deleted: bool = False, include_incomplete: bool = False
    ) -> tuple[Take, ...]:
        """The takes there are, oldest first."""
        where = ["kind = ?"] if kind else []
        where += [] if include_deleted else ["NOT is_deleted"]
        where += [] if include_incomplete else ["is_complete"]
        return self._takes(" AND ".join(where) or "1", (kind,) if kind else ())

    def take(self, take_id: int) -> Take:
        """The take of that number, deleted or not.

        Raises TakesError if there never was one.
        """
        found = self._takes("id = ?", (take_id,))
        if not found:
            there = ", ".join(str(take.id) for take in self.takes()) or "none"
            raise TakesError(f"no take {take_id}; there are: {there}")
        return found[0]

    def present_take(self, take_id: int) -> Take:
        """The take of that number. Raises TakesError if there is none, or it is deleted."""
        take = self.take(take_id)
        if take.is_deleted:
            raise TakesError(f"take {take_id} is deleted; `undo` or `redo` brings it back")
        return take

    def landmarks(
        self, take_id: int, *, trimmed: bool = True, between_s: tuple[float, float] | None = None
    ) -> LandmarkSequence:
        """The T frames of a take, or those between two times, both included.

        Times are seconds since its first frame, trimmed away or not.
        """
        take = self.take(take_id)
        rows = self._frames(take, "captured_at_s, aspect, packed", trimmed, between_s)
        with nonsense_named(self.path):
            widths = {name: part_floats(name, take.number_count) for name in take.parts}
            packed = np.frombuffer(b"".join(row[2] for row in rows), dtype="<f4").astype(np.float32)
            packed = packed.reshape(len(rows), sum(widths.values()))
            parts, start = {}, 0
            for name, width in widths.items():
                shape = PART_SHAPES[name] or (width,)
                parts[name] = packed[:, start : start + width].reshape(len(rows), *shape)
                start += width
            return LandmarkSequence(
                times_s=np.array([row[0] for row in rows], dtype=np.float64),
                aspect=np.array([row[1] for row in rows], dtype=np.float32),
                **parts,
            )

    def frame_targets(self, take_id: int, *, trimmed: bool = True) -> dict[str, tuple[Target, ...]]:
        """For each output the take teaches, its target in each of the frames `landmarks` gives."""
        take = self.take(take_id)
        first, last = self._bounds(take, trimmed)
        if not take.moving:
            return {output: (target,) * (last - first + 1) for output, target in take.targets.items()}
        current = dict(take.targets)
        columns: dict[str, list[Target]] = {output: [] for output in current}
        with nonsense_named(self.path):
            for number, (changes,) in enumerate(self._frames(take, "targets", trimmed=False)):
                changed = json.loads(changes) if changes else {}
                current |= {output: target for output, target in changed.items() if output in take.moving}
                if first <= number <= last:
                    for output, column in columns.items():
                        column.append(current[output])
        return {output: tuple(column) for output, column in columns.items()}

    def whole(self, take_id: int) -> WholeTake:
        """All that take keeps."""
        take = self.take(take_id)
        per_frame = self.frame_targets(take_id, trimmed=False)
        moving = {output: per_frame[output] for output in sorted(take.moving) if per_frame[output]}
        return WholeTake(
            kind=take.kind,
            created_at=take.created_at,
            source=take.source,
            targets=dict(take.targets) | {output: values[0] for output, values in moving.items()},
            moving=moving,
            trim=take.trim,
            landmarks=self.landmarks(take_id, trimmed=False),
        )

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside see the takes as they were at the first of them, whatever the writer does."""
        if self._database.in_transaction:
            yield
            return
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.rollback()

    # Recording

    def begin(
        self,
        *,
        source: str,
        parts: Sequence[str],
        targets: Mapping[str, Target],
        number_count: int = 0,
        kind: str = "take",
        created_at: str | None = None,
    ) -> int:
        """The number of a new take, to which `append` adds frames until `finish`."""
        checked = checked_targets(targets)
        check_layout(kind, parts)
        if number_count < 0 or ("numbers" in parts) != (number_count > 0):
            raise TakesError(f"number_count is {number_count}; allowed: 1 or more with `numbers`, else 0")
        ordered = [name for name in LANDMARK_PARTS if name in parts]
        with self.transaction():
            cursor = self._database.execute(
                "INSERT INTO take (kind, created_at, source, parts, number_count, targets) VALUES (?, ?, ?, ?, ?, ?)",
                (kind, created_at or utc_now(), _storable(source), " ".join(ordered), number_count, _json(checked)),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def append(self, take_id: int, rows: Sequence[FrameRow]) -> None:
        """Adds frames to a take that is being recorded, all or none."""
        with self.transaction():
            take = self._rows("SELECT targets, moving, is_complete FROM take WHERE id = ?", (take_id,))
            if not take or take[0][2]:
                raise TakesError(f"take {take_id} is not being recorded")
            number = self._rows("SELECT COALESCE(MAX(number) + 1, 0) FROM frame WHERE take = ?", (take_id,))[0][0]
            self._database.executemany(
                f"INSERT INTO frame ({_FRAME_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (take_id, number + index, row.captured_at_s, row.aspect, row.is_tracked, row.packed, changes)
                    for index, row in enumerate(rows)
                    for changes in [_json(checked_targets(row.targets)) if row.targets else None]
                ),
            )
            moved = {output for row in rows for output in row.targets or ()} & json.loads(take[0][0]).keys()
            moving = set(json.loads(take[0][1]))
            if not moved <= moving:
                self._set(take_id, "moving", _json(sorted(moving | moved)))

    def finish(self, take_id: int, *, refused: str | None = None, text: str = "record") -> Take | None:
        """The finished take; None if it had no frame, and then it is gone.

        A take in which tracking was lost is refused, as is one with a reason in `refused`: it is
        marked and deleted, so that undo brings it back.
        """
        with self.transaction():
            take = self.take(take_id)
            if not take.frame_count:
                self._database.execute("DELETE FROM take WHERE id = ?", (take_id,))
                return None
            is_seen = take.parts != ("numbers",)  # numbers cannot be lost, and one of them is an example
            if take.kind == "take" and refused is None and is_seen:
                refused = refusal(take.frame_count, round(take.tracked_fraction * take.frame_count))
            self._set(take_id, "is_complete", 1)
            self._log(f"{text} take {take_id}{_in_words(take.targets)}", [(take_id, "is_deleted", 1, 0)])
            if refused is not None:
                self._edit(
                    f"refuse take {take_id}: {refused}", [(take_id, "is_deleted", 1), (take_id, "refused", refused)]
                )
            return self.take(take_id)

    def add(self, takes: Iterable[WholeTake], text: str | None) -> tuple[int, ...]:
        """The numbers of those takes, added complete, all or none, as one edit described by `text`.

        Without a text they were there from the beginning: undo does not take them away.
        """
        with self.transaction():
            added = tuple(self._add(take) for take in takes)
            if added and text is not None:
                self._log(text, [(take_id, "is_deleted", 1, 0) for take_id in added])
        return added

    # Editing

    def delete(self, take_ids: Iterable[int]) -> str | None:
        """Deletes those takes; says what was done, None if nothing was to do."""
        takes = [self.take(take_id) for take_id in take_ids]
        return self._edit(f"delete {_takes_in_words(takes)}", [(take.id, "is_deleted", 1) for take in takes])

    def delete_all(self) -> str | None:
        """Deletes every take; performances stay."""
        return self.delete(take.id for take in self.takes(kind="take"))

    def delete_last(self) -> str | None:
        """Deletes the newest take."""
        return self.delete([take.id for take in self.takes(kind="take")][-1:])

    def delete_output(self, output: str) -> str | None:
        """Takes that output out of what every take teaches."""
        takes = [take for take in self.takes(kind="take") if output in take.targets]
        return self._relabel(takes, {output: None}, f"delete all examples of {output}")

    def relabel(self, take_ids: Iterable[int], targets: Mapping[str, Target | None]) -> str | None:
        """Makes those takes teach those targets (None: nothing) for those outputs, in every frame."""
        takes = [self.present_take(take_id) for take_id in take_ids]
        for take in takes:
            if take.kind != "take":
                raise TakesError(
                    f"take {take.id} is a {take.kind} and teaches nothing; takes/cut makes a take of a part"
                )
        return self._relabel(takes, targets, f"relabel {_takes_in_words(takes)}{_in_words(targets)}")

    def trim(self, take_id: int, first: int, last: int) -> str | None:
        """Uses only frames `first` to `last` of a take, counted from 0 in all of it."""
        count = self._count(self.present_take(take_id))
        if not 0 <= first <= last < count:
            raise TakesError(f"take {take_id}: cannot trim to frames {first}..{last}; it has 0..{count - 1}")
        is_whole = (first, last) == (0, count - 1)
        return self._edit(
            f"trim take {take_id} to frames {first}..{last}",
            [(take_id, "trim_first", None if is_whole else first), (take_id, "trim_last", None if is_whole else last)],
        )

    def cut(self, take_id: int, from_s: float, to_s: float, targets: Mapping[str, Target]) -> Take:
        """A new take that teaches those targets: what a take or performance shows between two times, which stays.

        Raises TakesError where there is too little to learn from.
        """
        self.present_take(take_id)
        whole = self.landmarks(take_id, between_s=(from_s, to_s))
        where = f"{from_s:.2f}..{to_s:.2f} s of take {take_id}"
        reason = refusal(len(whole), int(whole.is_tracked.sum())) if len(whole) else "nothing was recorded there"
        if reason is not None:
            raise TakesError(f"{where}: {reason}; choose another span")
        cut = WholeTake(
            created_at=utc_now(),
            source=f"take:{take_id}",
            targets=targets,
            landmarks=replace(whole, times_s=whole.times_s - whole.times_s[0]),
        )
        (made,) = self.add([cut], f"take {where}{_in_words(targets)}")
        return self.take(made)

    def mean_nothing(self, take_id: int, is_nothing_meant: bool) -> str | None:
        """Takes a performance for a rehearsal, or a rehearsal for a performance again.

        Raises TakesError for a take that teaches something.
        """
        take = self.take(take_id)
        if take.kind == "take":
            raise TakesError(f"take {take_id} teaches something; only performances and rehearsals can be either")
        kind = "rehearsal" if is_nothing_meant else "performance"
        return self._edit(f"take {take_id} is a {kind}", [(take_id, "kind", kind)])

    def undo(self) -> str | None:
        """What was undone, in words; None if nothing is left to undo."""
        return self._step("id = (SELECT MAX(id) FROM edit WHERE NOT is_undone)", "before", 1)

    def redo(self) -> str | None:
        """What was done again, in words; None if nothing was undone."""
        return self._step("id = (SELECT MIN(id) FROM edit WHERE is_undone)", "after", 0)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes inside happen all or not at all; nested ones join the outer."""
        if self._database.in_transaction:
            yield
            return
        if self._lock is None:
            raise TakesError(f"{self.path}: opened for reading only")
        with damage_named(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                self._database.rollback()
                raise

    def _rows(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        with damage_named(self.path):
            return self._database.execute(statement, arguments).fetchall()

    def _takes(self, where: str, arguments: Sequence[Any]) -> tuple[Take, ...]:
        columns = ", ".join(f"take.{name.strip()}" for name in _TAKE_COLUMNS.split(","))
        rows = self._rows(
            f"SELECT {columns}, COUNT(number), MAX(captured_at_s) - MIN(captured_at_s), SUM(is_tracked)"
            " FROM take LEFT JOIN frame INDEXED BY frame_order ON frame.take = take.id"
            " AND number BETWEEN COALESCE(trim_first, 0) AND COALESCE(trim_last, 1 << 60)"
            f" WHERE {where} GROUP BY take.id ORDER BY take.id",
            arguments,
        )
        with nonsense_named(self.path):
            return tuple(_take_of(row) for row in rows)

    def _count(self, take: Take) -> int:
        return int(self._rows("SELECT COUNT(*) FROM frame WHERE take = ?", (take.id,))[0][0])

    def _bounds(self, take: Take, trimmed: bool) -> tuple[int, int]:
        return take.trim if take.trim is not None and trimmed else (0, self._count(take) - 1)

    def _frames(
        self, take: Take, columns: str, trimmed: bool, between_s: tuple[float, float] | None = None
    ) -> list[Any]:
        when = "" if between_s is None else " AND captured_at_s BETWEEN ? AND ?"
        return self._rows(
            f"SELECT {columns} FROM frame WHERE take = ? AND number BETWEEN ? AND ?{when} ORDER BY number",
            (take.id, *self._bounds(take, trimmed), *(between_s or ())),
        )

    def _add(self, whole: WholeTake) -> int:
        sequence = whole.landmarks
        parts = [name for name in LANDMARK_PARTS if getattr(sequence, name) is not None]
        number_count = 0 if sequence.numbers is None else sequence.numbers.shape[1]
        take_id = self.begin(
            source=whole.source,
            parts=parts,
            targets=whole.targets,
            number_count=number_count,
            kind=whole.kind,
            created_at=whole.created_at,
        )
        arrays = [getattr(sequence, name).reshape(len(sequence), -1) for name in parts]
        packed = np.concatenate(arrays, axis=1).astype("<f4")
        self.append(
            take_id,
            [
                FrameRow(
                    captured_at_s=float(sequence.times_s[index]),
                    aspect=float(sequence.aspect[index]),
                    is_tracked=bool(is_tracked),
                    packed=packed[index].tobytes(),
                    targets={
                        output: values[index]
                        for output, values in whole.moving.items()
                        if index == 0 or values[index] != values[index - 1]
                    },
                )
                for index, is_tracked in enumerate(sequence.is_tracked)
            ],
        )
        first, last = whole.trim or (None, None)
        self._database.execute(
            "UPDATE take SET is_complete = 1, trim_first = ?, trim_last = ? WHERE id = ?", (first, last, take_id)
        )
        return take_id

    def _relabel(self, takes: Sequence[Take], targets: Mapping[str, Target | None], text: str) -> str | None:
        taught = checked_targets({output: target for output, target in targets.items() if target is not None})
        changes: list[tuple[int, str, Any]] = []
        for take in takes:
            kept = {output: target for output, target in take.targets.items() if output not in targets}
            changes.append((take.id, "targets", _json(kept | taught)))
            changes.append((take.id, "moving", _json(sorted(take.moving - targets.keys()))))
        return self._edit(text, changes)

    def _edit(self, text: str, changes: Sequence[tuple[int, str, Any]]) -> str | None:
        """Makes and logs those changes (take, field, new value); None if all are as they were."""
        with self.transaction():
            done = []
            for take_id, name, after in changes:
                before = self._rows(f"SELECT {name} FROM take WHERE id = ?", (take_id,))[0][0]
                if before != after:
                    self._set(take_id, name, after)
                    done.append((take_id, name, before, after))
            if done:
                self._log(text, done)
        return text if done else None

    def _log(self, text: str, changes: Sequence[tuple[int, str, Any, Any]]) -> None:
        self._database.execute("DELETE FROM edit WHERE is_undone")
        edit_id = self._database.execute("INSERT INTO edit (text) VALUES (?)", (text,)).lastrowid
        self._database.executemany(
            "INSERT INTO change (edit, take, field, before, after) VALUES (?, ?, ?, ?, ?)",
            [(edit_id, *change) for change in changes],
        )

    def _step(self, which: str, side: str, is_undone: int) -> str | None:
        with self.transaction():
            edits = self._rows(f"SELECT id, text FROM edit WHERE {which}")
            if not edits:
                return None
            edit_id, text = edits[0]
            changes = self._rows(f"SELECT take, field, {side} FROM change WHERE edit = ?", (edit_id,))
            for take_id, name, value in changes:
                self._set(take_id, name, value)
            self._database.execute("UPDATE edit SET is_undone = ? WHERE id = ?", (is_undone, edit_id))
            return str(text)

    def _set(self, take_id: int, name: str, value: Any) -> None:
        if name not in (*_EDITABLE, "is_complete"):
            raise TakesDamagedError(f"{self.path}: its edit log names a field '{name}' that takes do not have")
        self._database.execute(f"UPDATE take SET {name} = ?, revision = revision + 1 WHERE id = ?", (value, take_id))

    def _finish_interrupted(self) -> tuple[Take, ...]:
        interrupted = self._rows("SELECT id FROM take WHERE NOT is_complete ORDER BY id")
        finished = [self.finish(take_id, text="recover") for (take_id,) in interrupted]
        return tuple(take for take in finished if take is not None)

    def _salvage(self, damaged: Path) -> tuple[Take, ...]:
        """Copies every take that can still be read in full, with its number and its marks."""
        try:
            has_log = beside(damaged, "-wal").exists()
            old = connect(damaged, "mode=ro" if has_log else "immutable=1", 1.0)
        except sqlite3.Error:
            return ()
        saved = []
        with contextlib.closing(old):
            for take_id in _readable_ids(old):
                try:
                    with self.transaction():
                        self._copy(old, take_id)
                        saved.append(self.take(take_id))
                except (sqlite3.Error, ValueError, TypeError, AttributeError, TakesError):
                    continue
        return tuple(saved)

    def _copy(self, old: sqlite3.Connection, take_id: int) -> None:
        row = old.execute(f"SELECT {_TAKE_COLUMNS} FROM take WHERE id = ?", (take_id,)).fetchone()
        take = _take_of((*row, 0, 0.0, 0))
        frames = old.execute(
            f"SELECT {_FRAME_COLUMNS} FROM frame WHERE take = ? ORDER BY number", (take_id,)
        ).fetchall()
        size = 4 * sum(part_floats(name, take.number_count) for name in take.parts)
        if any(frame[1] != number or len(frame[5]) != size for number, frame in enumerate(frames)):
            raise TakesDamagedError(f"take {take_id} has lost frames")
        marks = ", ".join("?" * len(row))
        self._database.execute(f"INSERT INTO take ({_TAKE_COLUMNS}) VALUES ({marks})", row)
        self._database.executemany(f"INSERT INTO frame ({_FRAME_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", frames)


def utc_now() -> str:
    """The wall-clock time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _sensible(path: Path, database: sqlite3.Connection) -> sqlite3.Connection:
    """That database, once every take in it has been read: whole pages may still hold nonsense."""
    try:
        with nonsense_named(path):
            for row in database.execute(f"SELECT {_TAKE_COLUMNS} FROM take"):
                _take_of((*row, 0, 0.0, 0))
    except BaseException:
        database.close()
        raise
    return database


def _readable_ids(database: sqlite3.Connection) -> list[int]:
    found: list[int] = []
    # Rows before a damaged page still come; the page itself ends the reading.
    with contextlib.suppress(sqlite3.Error, ValueError):
        found.extend(int(take_id) for (take_id,) in database.execute("SELECT id FROM take ORDER BY id"))
    return found


def _take_of(row: Sequence[Any]) -> Take:
    take = Take(
        id=row[0],
        kind=row[1],
        created_at=row[2],
        source=row[3],
        parts=tuple(row[4].split()),
        number_count=row[5],
        targets=json.loads(row[6]),
        moving=frozenset(json.loads(row[7])),
        trim=None if row[8] is None else (row[8], row[9]),
        is_deleted=bool(row[10]),
        refused=row[11],
        is_complete=bool(row[12]),
        revision=row[13],
        frame_count=row[14],
        duration_s=row[15] or 0.0,
        tracked_fraction=(row[16] or 0) / row[14] if row[14] else 0.0,
    )
    return replace(take, moving=take.moving & take.targets.keys())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _in_words(targets: Mapping[str, Target | None]) -> str:
    said = ", ".join(
        f"{output}: {'nothing' if target is None else target_text(target)}" for output, target in targets.items()
    )
    return f" ({said})" if said else ""


def _takes_in_words(takes: Sequence[Take]) -> str:
    numbers = [str(take.id) for take in takes]
    if len(numbers) == 1:
        return f"take {numbers[0]}"
    return f"{len(numbers)} takes ({', '.join(numbers[:8])}{', ...' if len(numbers) > 8 else ''})"
