"""What the file formats share: takes as tables of named columns, and tables as takes.

One row per frame, one column per number of a landmark. The texts of float32 numbers are the
shortest that read back the same.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from instrument.signals import (
    HAND_LANDMARKS,
    LANDMARK_PARTS,
    PART_SHAPES,
    POSE_LANDMARKS,
    FloatArray,
    LandmarkSequence,
)
from instrument.takes import KINDS, Target, WholeTake, checked_targets, part_floats, utc_now

MAX_NUMBERS = 4096
MAX_TIME_S = 1e7
PLAIN_RATE_HZ = 30.0
"""Rows of a table without times are this far apart."""

_POINTS = {
    "pose": POSE_LANDMARKS,
    "pose_world": POSE_LANDMARKS,
    "left_hand": HAND_LANDMARKS,
    "right_hand": HAND_LANDMARKS,
}
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class ExchangeError(Exception):
    """A file that cannot be written or read; its text says where, what came and what is allowed."""


def not_text(path: Path, error: UnicodeDecodeError) -> ExchangeError:
    """What is said of a file that should be text, and is none."""
    return ExchangeError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as text in UTF-8")


def part_columns(part: str, number_count: int) -> list[str]:
    """The name of each float of that part: `pose.left_wrist.x`, `number.1`."""
    if part == "numbers":
        return [f"number.{index + 1}" for index in range(number_count)]
    axes = ("x", "y", "z", "visibility")[: PART_SHAPES[part][1]]
    return [f"{part}.{point}.{axis}" for point in _POINTS[part] for axis in axes]


BODY_COLUMNS = tuple(name for part in _POINTS for name in part_columns(part, 0))


@dataclass(frozen=True, slots=True)
class Table:
    """The columns that hold every landmark of some takes, in order."""

    parts: tuple[str, ...]
    number_count: int

    @property
    def names(self) -> list[str]:
        return [name for part in self.parts for name in part_columns(part, self.number_count)]

    def rows(self, take: WholeTake) -> FloatArray:
        """(T, columns), NaN where the take has none."""
        count = len(take.landmarks)
        columns = []
        for part in self.parts:
            wide = np.full((count, part_floats(part, self.number_count)), np.nan, dtype=np.float32)
            found: FloatArray | None = getattr(take.landmarks, part)
            if found is not None:
                found = found.reshape(count, -1)
                wide[:, : found.shape[1]] = found
            columns.append(wide)
        return np.concatenate(columns, axis=1) if columns else np.empty((count, 0), dtype=np.float32)


def table_of(takes: Iterable[WholeTake]) -> tuple[Table, dict[str, set[str]], list[str]]:
    """The columns for those takes; the outputs taught by class, with their names; those taught by value."""
    parts: set[str] = set()
    number_count = 0
    classes: dict[str, set[str]] = {}
    values: dict[str, None] = {}
    for take in takes:
        parts |= {part for part in LANDMARK_PARTS if getattr(take.landmarks, part) is not None}
        if take.landmarks.numbers is not None:
            number_count = max(number_count, take.landmarks.numbers.shape[1])
        for output, target in take.targets.items():
            for one in {target, *take.moving.get(output, ())}:
                if isinstance(one, str):
                    classes.setdefault(output, set()).add(one)
                else:
                    values[output] = None
    return Table(tuple(part for part in LANDMARK_PARTS if part in parts), number_count), classes, list(values)


def target_columns(take: WholeTake) -> dict[str, Sequence[Target]]:
    """For each output, its target in every frame."""
    count = len(take.landmarks)
    return {output: take.moving.get(output, (target,) * count) for output, target in take.targets.items()}


def texts(values: NDArray[Any], decimals: int | None = None, missing: str = "") -> list[list[str]]:
    """Each float32 as the shortest text that reads back as the same; NaN as `missing`."""
    short = values.astype(np.float64).round(decimals) + 0.0 if decimals is not None else _shortest(values)
    return [[missing if value != value else repr(value) for value in row] for row in short.tolist()]


def _shortest(values: FloatArray) -> NDArray[np.float64]:
    """The doubles whose shortest text is also the shortest for those float32s."""
    flat = values.astype(np.float64).ravel()
    left = np.flatnonzero(np.isfinite(flat) & (flat != 0))
    exact = flat[left]
    exponents = np.floor(np.log10(np.abs(exact))).astype(int)
    for digits in range(6, 10):
        places = digits - 1 - exponents
        up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
        rounded = np.rint(exact * up / down) * down / up
        fits = rounded.astype(np.float32) == exact.astype(np.float32)
        flat[left[fits]] = rounded[fits]
        left, exact, exponents = left[~fits], exact[~fits], exponents[~fits]
    return flat.reshape(values.shape)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something is, for messages."""

    path: Path
    line: int
    column: str = ""

    def fail(self, came: str, allowed: str) -> NoReturn:
        column = f", column '{self.column}'" if self.column else ""
        shown = came if len(came) <= 80 else came[:77] + "..."
        raise ExchangeError(f"{self.path}, line {self.line}{column}: {shown}; allowed: {allowed}")


@dataclass(slots=True)
class Draft:
    """A take while its rows are read."""

    place: Place
    about: tuple[str, ...]
    parts: tuple[str, ...] | None
    number_count: int
    kind: str = "take"
    created_at: str = ""
    source: str = ""
    trim: tuple[int, int] | None = None
    times_s: list[float] = field(default_factory=list)
    aspects: list[float] = field(default_factory=list)
    targets: list[dict[str, Target]] = field(default_factory=list)
    rows: list[FloatArray] = field(default_factory=list)

    def add(self, place: Place, time_s: float, aspect: float, targets: dict[str, Target], row: FloatArray) -> None:
        latest_s = self.times_s[-1] if self.times_s else 0.0
        if not latest_s <= time_s <= MAX_TIME_S:
            place.fail(f"time {time_s}", f"seconds since the take began: {latest_s} here, or more")
        if self.targets and targets.keys() != self.targets[0].keys():
            here, there = (", ".join(one) or "nothing" for one in (targets, self.targets[0]))
            place.fail(f"teaches {here} where its take began with {there}", "one set of outputs for all of a take")
        self.times_s.append(time_s)
        self.aspects.append(aspect)
        self.targets.append(targets)
        self.rows.append(row)

    def take(self, columns: Sequence[str]) -> WholeTake:
        """The take; `columns` names the floats of its rows."""
        if self.trim is not None and not 0 <= self.trim[0] <= self.trim[1] < len(self.rows):
            self.place.fail(f"trim is {self.trim[0]}..{self.trim[1]}", f"0..{len(self.rows) - 1}")
        moving = {
            output: tuple(targets[output] for targets in self.targets)
            for output, first in self.targets[0].items()
            if any(targets[output] != first for targets in self.targets)
        }
        return WholeTake(
            kind=self.kind,
            created_at=self.created_at or utc_now(),
            source=self.source,
            targets=checked_targets(self.targets[0]),
            moving=moving,
            trim=self.trim,
            landmarks=self._landmarks(columns),
        )

    def _landmarks(self, columns: Sequence[str]) -> LandmarkSequence:
        rows = np.stack(self.rows)
        at = {name: index for index, name in enumerate(columns)}
        arrays: dict[str, FloatArray] = {}
        for part in LANDMARK_PARTS if self.parts is None else self.parts:
            names = part_columns(part, self.number_count)
            if self.parts is None and not any(name in at and not np.isnan(rows[:, at[name]]).all() for name in names):
                continue
            wide = np.full((len(rows), len(names)), np.nan, dtype=np.float32)
            there = [index for index, name in enumerate(names) if name in at]
            wide[:, there] = rows[:, [at[names[index]] for index in there]]
            arrays[part] = wide.reshape(len(rows), *(PART_SHAPES[part] or (len(names),)))
        if not arrays:
            self.place.fail("a take without landmarks", "at least one landmark or number")
        return LandmarkSequence(
            times_s=np.array(self.times_s, dtype=np.float64), aspect=np.array(self.aspects, dtype=np.float32), **arrays
        )


def number_in(place: Place, text: str, allowed: str = "a number") -> float:
    """The number that text is; nothing but plain decimal digits will do."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        place.fail(f"'{text}'", allowed)
    return value


def whole_number(place: Place, text: str) -> int:
    """The whole number that text is."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        place.fail(f"'{text}'", "a whole number from 0")
    return int(text)


def iso_time(place: Place, text: str) -> str:
    """That text, once it is sure to be a date and time."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        place.fail(f"'{text}'", "a date and time such as 2026-11-23T08:00:00.000+00:00")
    return text


def floats(place: Place, columns: Sequence[str], cells: Sequence[str], missing: str) -> FloatArray:
    """(columns,): the numbers in those cells; `missing` is the text of NaN."""
    try:
        found = _float32([math.nan if cell == missing else float(cell) for cell in cells])
        # float() also takes 'nan', 'inf' and '1_000', which nobody means.
        is_plain = np.isnan(found).sum() == cells.count(missing) and "_" not in "".join(cells)
        if is_plain and not np.isinf(found).any():
            return found
    except ValueError:
        pass
    for column, cell in zip(columns, cells, strict=True):
        where = Place(place.path, place.line, column)
        allowed = f"a number, or {missing or 'an empty cell'} where it was not found"
        if cell != missing and np.isinf(_float32([number_in(where, cell, allowed)])).any():
            where.fail(f"'{cell}'", "numbers that fit 32 bits")
    raise AssertionError("a cell was refused that reads as a number")


def _float32(values: Sequence[float]) -> FloatArray:
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64).astype(np.float32)


def picker(indices: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    """Picks those cells of a row, quickly."""
    if len(indices) > 1:
        return itemgetter(*indices)
    return lambda row: tuple(row[index] for index in indices)


def number_columns(count: int, place: Place) -> list[str]:
    if not 1 <= count <= MAX_NUMBERS:
        place.fail(f"{count} columns of numbers", f"1 to {MAX_NUMBERS}")
    return part_columns("numbers", count)


def plain_columns(names: Sequence[str], place: Place) -> list[str]:
    """Body columns where every name is one, else numbers in order."""
    return list(names) if names and set(names) <= set(BODY_COLUMNS) else number_columns(len(names), place)


@dataclass(frozen=True, slots=True)
class PlainRow:
    place: Place
    round: int
    time_s: float
    values: FloatArray
    targets: dict[str, Target]


def plain_takes(rows: Iterable[PlainRow], columns: Sequence[str], created_at: str = "") -> list[WholeTake]:
    """One take per training round and unbroken run of one label."""

    def run(row: PlainRow) -> object:
        return row.round, [(output, one if isinstance(one, str) else None) for output, one in row.targets.items()]

    takes = []
    number_count = sum(name.startswith("number.") for name in columns)
    for _, together in groupby(rows, run):
        row = next(together)
        began_s = latest_s = row.time_s
        draft = Draft(row.place, (), None, number_count, created_at=created_at, source=row.place.path.name)
        for one in (row, *together):
            # A wall clock may be set back during a recording.
            latest_s = max(latest_s, one.time_s)
            draft.add(one.place, latest_s - began_s, 4 / 3, one.targets, one.values)
        takes.append(draft.take(columns))
    return takes


def labels_of(cells: Sequence[str], kind: str | None = None) -> list[Target]:
    """Labels as class names, or as values if the output of that kind is continuous.

    Where no kind is known they are values if all are numbers and some are not whole.
    """
    if all(NUMBER.fullmatch(cell) for cell in cells):
        numbers = [float(cell) for cell in cells]
        is_whole = all(abs(number) < 1e15 and number == int(number) for number in numbers)
        if is_whole and kind != "continuous":
            return [str(int(number)) for number in numbers]
        if kind in (None, "continuous") and all(map(math.isfinite, numbers)):
            return list(numbers)
    return list(cells)


def parts_text(landmarks: LandmarkSequence) -> str:
    parts = [part for part in LANDMARK_PARTS[:-1] if getattr(landmarks, part) is not None]
    if landmarks.numbers is not None:
        parts.append(f"numbers:{landmarks.numbers.shape[1]}")
    return " ".join(parts)


def parts_of(place: Place, text: str) -> tuple[tuple[str, ...], int]:
    """The parts that text names, and how many numbers."""
    parts, number_count = [], 0
    for word in text.split():
        name, _, count = word.partition(":")
        if name == "numbers" and re.fullmatch("[1-9][0-9]{0,3}", count):
            number_count = int(count)
        elif count or name not in _POINTS:
            place.fail(f"'{word}'", f"{', '.join(_POINTS)}, or numbers:N with N up to 9999")
        parts.append(name)
    return tuple(part for part in LANDMARK_PARTS if part in parts), number_count


def check_names(place: Place, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            place.fail(f"two columns are named '{name}'", "each name once")
        seen.add(name)


def check_width(place: Place, cells: Sequence[str], width: int) -> None:
    if len(cells) != width:
        place.fail(f"{len(cells)} cells", f"{width}, as in the first line")


def kind_of(place: Place, kind: object) -> str:
    if kind not in KINDS:
        place.fail(f"'{kind}'", ", ".join(KINDS))
    return str(kind)


def unique_name(name: str, used: set[str]) -> str:
    """That name, or with a number where it is used already; used from now on."""
    unique, number = name, 2
    while unique in used:
        unique, number = f"{name}-{number}", number + 1
    used.add(unique)
    return unique
