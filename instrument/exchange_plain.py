"""Plain tables: rows of numbers with a label, as people and other programs write them.

`import` makes takes of them and `evaluate` scores them; both find the labels here.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from instrument.exchange_table import NUMBER, ExchangeError, Place, floats
from instrument.signals import FloatArray

LABEL_NAMES = ("label", "class", "target", "output")
"""Columns that a header names so hold labels."""
_PREFIXES = ("target:", "value:")
_MISSING = ("nan", "na", "n/a", "null", "?")
"""Beside nothing at all, what stands where there is no number."""
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*", re.ASCII)

Row = tuple[Place, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What is known about a file's labels from elsewhere."""

    outputs: Sequence[str] = ()
    """The names of the columns to learn."""
    label_column: int | None = None
    """The one to learn; 1 is the first."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The outputs of the patch that is to learn, with what each is: `class`, `continuous` or `trigger`."""


@dataclass(frozen=True, slots=True)
class PlainTable:
    """Rows of cells, all of them as long as the first."""

    path: Path
    names: tuple[str, ...]
    """Of the columns; empty without a header."""
    rows: list[Row]

    @property
    def width(self) -> int:
        return len(self.names or self.rows[0][1])

    @property
    def place(self) -> Place:
        return Place(self.path, 1)


def read_rows(path: Path, file: TextIO) -> Iterator[Row]:
    """The lines of a table that are not empty, as cells; commas, semicolons, tabs or spaces divide them.

    Between semicolons and tabs a comma is a decimal point, as spreadsheets write it in half of the world.
    """
    line = file.readline(1 << 20)
    file.seek(0)
    delimiter = "," if is_ours(line) else max(";\t,", key=line.count)
    if delimiter not in line:
        delimiter = " "
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if delimiter in ";\t":
                cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
            if cells:
                yield Place(path, reader.line_num), cells
    except csv.Error as error:
        Place(path, reader.line_num).fail(
            str(error), f"cells of up to {csv.field_size_limit()} characters, quotes closed"
        )


def is_ours(line: str) -> bool:
    """Whether a table that begins with that line is one of takes, as `export` writes it."""
    return {"take", "time_s"} <= set(line.strip().split(","))


def plain_table(path: Path, lines: Iterable[Row], hints: Hints) -> PlainTable:
    """Those lines as a table, whose first line may be a header. Raises ExchangeError."""
    rows = [(place, [cell.strip() for cell in cells]) for place, cells in lines]
    if not rows:
        raise ExchangeError(
            f"{path}: it is empty; wanted: a line that names the columns, then numbers and a label a line"
        )
    while len(rows[0][1]) > 1 and not any(cells[-1:] != [""] for _, cells in rows):  # every line ends with a comma
        rows = [(place, cells[:-1]) for place, cells in rows]
    names = tuple(rows[0][1])
    for place, cells in rows:
        if len(cells) != len(names):
            place.fail(f"{len(cells)} cells", f"{len(names)}, as in the first line")
    if any(NUMBER.fullmatch(cell) for cell in names):
        below = rows[1][1] if len(rows) > 1 else names
        # Some programs number their columns: then the name above the labels tells.
        pairs = zip(names, below, strict=True)
        if not any(_names_labels(name, hints) and NUMBER.fullmatch(cell) for name, cell in pairs):
            return PlainTable(path, (), rows)
    return PlainTable(path, names, rows[1:])


def label_columns(table: PlainTable, hints: Hints, *, is_guessed: bool = False) -> list[int]:
    """Which columns (0 is the first) hold labels: those in the hints, those so named, else one that holds words.

    Where all hold numbers and none is named, it is the last if guessing is wanted. Raises ExchangeError.
    """
    place, width = table.place, table.width
    if hints.label_column is not None:
        if not 1 <= hints.label_column <= width:
            place.fail(f"label column {hints.label_column}", f"1..{width}")
        return [hints.label_column - 1]
    if hints.outputs and table.names:
        if unknown := [name for name in hints.outputs if name not in table.names]:
            place.fail(f"no column '{unknown[0]}'", ", ".join(table.names))
        return [table.names.index(name) for name in hints.outputs]
    if named := [column for column, name in enumerate(table.names) if _names_labels(name, hints)]:
        return named
    first = table.rows[0][1] if table.rows else []
    if words := [column for column, cell in enumerate(first) if _is_word(cell)]:
        return [words[0] if words[0] == 0 else words[-1]]
    if not is_guessed:
        names = ", ".join(dict.fromkeys((*LABEL_NAMES, *hints.kinds)))
        came = f"no column of labels among {', '.join(table.names)}" if table.names else "no names of columns"
        place.fail(came, f"a first line that names the columns, that of the labels one of {names}; or --label-column N")
    return [width - 1]


def label_cells(table: PlainTable, column: int) -> list[str]:
    """The labels in that column, one a row. Raises ExchangeError where there is none."""
    name = table.names[column] if table.names else str(column + 1)
    for place, cells in table.rows:
        if not cells[column]:
            Place(place.path, place.line, name).fail("an empty cell", "a label in every line")
    return [cells[column] for _, cells in table.rows]


def number_cells(place: Place, names: Sequence[str], cells: Sequence[str]) -> FloatArray:
    """(names,): the numbers in those cells, NaN where one is missing. Raises ExchangeError."""
    return floats(place, names, ["" if cell.lower() in _MISSING else cell for cell in cells], "")


def output_name(table: PlainTable, column: int, hints: Hints) -> str:
    """What the labels in that column teach; without a header, the patch's output if it has but one."""
    if not table.names:
        return next(iter(hints.kinds)) if len(hints.kinds) == 1 else "output"
    name = table.names[column]
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def _names_labels(name: str, hints: Hints) -> bool:
    return name in hints.kinds or name.lower() in LABEL_NAMES or name.startswith(_PREFIXES)


def _is_word(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell != ""
    return False
