"""The file takes are kept in: what is in it, who may write it, and what happens when it is damaged.

Opened, a file is sure to be of a format this program knows; opened for writing, to be whole, too, and
to have one writer. Checking every page takes half a second per gigabyte, so readers learn of damage
from what they read.
"""

import contextlib
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

FORMAT = 1
"""`user_version` of the files written here; larger ones are left alone."""
APPLICATION_ID = 0x494E5354


class TakesError(Exception):
    """Takes that cannot be read or changed; its text says which, why and what to do."""


class TakesBusyError(TakesError):
    """Another program writes this file."""


class TakesDamagedError(TakesError):
    """The file is damaged; opening it for writing moves it aside and begins a new one."""


SCHEMA = f"""
CREATE TABLE take (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    created_at TEXT NOT NULL,
    source TEXT NOT NULL,
    parts TEXT NOT NULL,
    number_count INTEGER NOT NULL,
    targets TEXT NOT NULL,
    moving TEXT NOT NULL DEFAULT '[]',
    trim_first INTEGER,
    trim_last INTEGER,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    refused TEXT,
    is_complete INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE frame (
    take INTEGER NOT NULL REFERENCES take (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    captured_at_s REAL NOT NULL,
    aspect REAL NOT NULL,
    is_tracked INTEGER NOT NULL,
    packed BLOB NOT NULL,
    targets TEXT
);
-- Covers counting and timing takes, so listing them never reads a landmark.
CREATE INDEX frame_order ON frame (take, number, captured_at_s, is_tracked);
CREATE TABLE edit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL,
    is_undone INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE change (
    edit INTEGER NOT NULL REFERENCES edit (id) ON DELETE CASCADE,
    take INTEGER NOT NULL,
    field TEXT NOT NULL,
    before,
    after
);
CREATE INDEX change_of_edit ON change (edit);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""


class WriterLock:
    """Held by the one writer of a file; the system frees it when its process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: IO[bytes] = beside(path, ".lock").open("ab")
        except OSError as error:
            raise TakesError(
                f"{path}: cannot be written here ({error.strerror}); give a project in a folder that can"
            ) from None
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise TakesBusyError(
                f"{path}: another program is recording into it; stop that one, or send it the command instead"
            ) from None

    def release(self) -> None:
        self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def beside(path: Path, suffix: str) -> Path:
    """The file next to that one which SQLite, or the lock, names after it."""
    return path.with_name(path.name + suffix)


def connect(path: Path, mode: str, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection in that mode, `mode=ro`, `mode=rwc` or `immutable=1`, without automatic transactions."""
    # The store is opened by one thread and used by another, never by two at once.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


def _no_takes() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    database.executescript(SCHEMA)
    return database


def open_for_reading(path: Path, busy_timeout_s: float, *, is_checked: bool = False) -> sqlite3.Connection:
    """The file as it is, once it is sure to be ours; one not there, or empty, has no takes.

    With `is_checked` every page of it is sure to be whole, too.
    """
    if not path.exists():
        return _no_takes()
    with _opening(path):
        database = connect(path, "mode=ro", busy_timeout_s)
        try:
            if not _is_empty(database, path):
                if is_checked:
                    _check_pages(database, path)
                return database
        except BaseException:
            database.close()
            raise
        database.close()
        return _no_takes()


def open_for_writing(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """The file, begun if it is not there, once it is sure to be whole and ours."""
    # Checked by a reader first: a writer would carry the log of a damaged file into it when it closes.
    open_for_reading(path, busy_timeout_s, is_checked=True).close()
    with _opening(path):
        database = connect(path, "mode=rwc", busy_timeout_s)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA foreign_keys = ON")
            if _is_empty(database, path):
                database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            return database
        except BaseException:
            database.close()
            raise


def _is_empty(database: sqlite3.Connection, path: Path) -> bool:
    """Whether nothing is in the file yet; checks that otherwise it is ours and we can read it."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return True
    if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise TakesError(f"{path}: a database, but not one of takes; move it away, or choose another project")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise TakesError(
            f"{path}: written by a newer version of this program (format {version}; this one reads up to {FORMAT});"
            " update the program. The file was left as it is"
        )
    if missing := {"take", "frame", "edit", "change"} - tables:
        raise damage(path, f"it lacks {', '.join(sorted(missing))}")
    return False


def _check_pages(database: sqlite3.Connection, path: Path) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damage(path, found)


def damage(path: Path, why: object) -> TakesDamagedError:
    """What to raise for a damaged file."""
    return TakesDamagedError(
        f"{path}: the takes are damaged ({why}). Start the instrument with this project: it moves the file aside,"
        " keeps it, and saves the takes that can still be read"
    )


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Raises damage met inside as TakesDamagedError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "Could not decode" in str(error):
            raise damage(path, error) from error
        raise
    except UnicodeDecodeError as error:  # in the text of an error about it
        raise damage(path, error) from error


@contextlib.contextmanager
def nonsense_named(path: Path) -> Iterator[None]:
    """Raises damage met inside as TakesDamagedError, and so what is read from whole pages but cannot be."""
    try:
        with damage_named(path):
            yield
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise damage(path, error) from error


@contextlib.contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        with damage_named(path):
            yield
    except sqlite3.Error as error:
        raise TakesError(f"{path}: cannot be opened ({error}); check that the folder can be written to") from error


def move_aside(path: Path) -> Path:
    """Where the file is now, with its log, under a name that says it is damaged and since when."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside, number = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}"), 2
    while aside.exists():
        aside, number = path.with_name(f"{path.stem}.damaged-{stamp}-{number}{path.suffix}"), number + 1
    try:
        # The log goes first: without it the old file is still a whole one, with it a new file would be spoilt.
        for suffix in ("-wal", "-shm", ""):
            if beside(path, suffix).exists():
                beside(path, suffix).rename(beside(aside, suffix))
    except OSError as error:
        raise TakesDamagedError(
            f"{path}: damaged, and cannot be moved aside ({error.strerror}); close what has it open and start again"
        ) from error
    return aside
