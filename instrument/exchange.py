"""Takes as files other programs read, and back: CSV, NPZ, and the ARFF that Wekinator saves.

What is exported comes back equal, in all three. Wekinator's own files and plain tables of numbers
come in as takes of numbers. A file is read in full before the first take is added, so a wrong one
changes nothing, and nothing in a file is ever executed.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from instrument.exchange_arff import read_arff, write_arff
from instrument.exchange_csv import read_csv, write_csv
from instrument.exchange_npz import read_npz, write_npz
from instrument.exchange_plain import Hints
from instrument.exchange_table import ExchangeError as ExchangeError
from instrument.exchange_table import not_text
from instrument.takes import TakesError, TakeStore, WholeTake

_WRITERS = {"csv": write_csv, "npz": write_npz, "arff": write_arff}
FORMATS = tuple(_WRITERS)
NO_TAKES = "no takes in it; wanted: a first line that names the columns, and a line for every frame"
MAX_BYTES = 1 << 30
"""Larger files are not read."""


def export_takes(
    store: TakeStore,
    path: Path,
    file_format: str | None = None,
    *,
    take_ids: Sequence[int] | None = None,
    decimals: int | None = None,
) -> int:
    """How many takes were written to that file: those named, else all that are not deleted.

    The format is that of the name's ending unless given. Numbers are exact unless rounded to
    `decimals` places.
    """
    write = _WRITERS[_format_of(path, file_format)]
    with store.snapshot():
        numbers = [take.id for take in store.takes()] if take_ids is None else take_ids
        with _replacing(path) as part:
            write(part, lambda: (store.whole(number) for number in numbers), decimals)
    return len(numbers)


def write_takes(takes: Sequence[WholeTake], path: Path) -> None:
    """Writes those takes into that file, whose ending chooses the format."""
    _WRITERS[_format_of(path, None)](path, lambda: takes, None)


def import_takes(
    store: TakeStore, path: Path, file_format: str | None = None, *, outputs: Sequence[str] = ()
) -> tuple[int, ...]:
    """The numbers of the takes added from that file: all of them, as one edit, or none."""
    return store.add(read_takes(path, file_format, outputs=outputs), f"import {path.name}")


def read_takes(
    path: Path,
    file_format: str | None = None,
    *,
    outputs: Sequence[str] = (),
    label_column: int | None = None,
    kinds: Mapping[str, str] | None = None,
) -> list[WholeTake]:
    """The takes in that file.

    For plain files that do not say: `outputs` names the columns to learn, `label_column` (1 is the first) is the one
    to learn of a table, and `kinds` are the outputs of the patch that is to learn, with what each is. Raises
    ExchangeError with the file, the line, what came and what is allowed.
    """
    read = {"csv": read_csv, "npz": read_npz, "arff": read_arff}[_format_of(path, file_format)]
    try:
        if not path.is_file():
            raise ExchangeError(f"{path}: no such file")
        if path.stat().st_size > MAX_BYTES:
            raise ExchangeError(f"{path}: {path.stat().st_size >> 20} MiB; allowed: up to {MAX_BYTES >> 20}")
        return read(path, Hints(outputs=outputs, label_column=label_column, kinds=kinds or {}))
    except (OSError, TakesError) as error:
        raise ExchangeError(f"{path}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise not_text(path, error) from None


def _format_of(path: Path, file_format: str | None) -> str:
    name = file_format or path.suffix.removeprefix(".").lower()
    if name not in FORMATS:
        raise ExchangeError(f"{path}: format is '{name}'; allowed: {', '.join(FORMATS)} (as ending, or named)")
    return name


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside that one, which takes its place when it is whole."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
