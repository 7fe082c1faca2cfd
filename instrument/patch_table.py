"""A table of a `patch.toml` as it is read; complaints name the file, the line, what came and what is allowed."""

import difflib
import re
from pathlib import Path
from typing import Any, NoReturn

from instrument.patch import PatchError


class Table:
    """A TOML table being read: each method takes a key out, checked; `end` complains of the rest."""

    def __init__(self, *, path: Path, text: str, table: dict[str, Any], where: tuple[str | int, ...]) -> None:
        self.path = path
        self.source_text = text
        self.where = where
        self._rest = dict(table)
        self._known: list[str] = []

    def take(self, key: str, *, default: Any = None) -> Any:
        self._known.append(key)
        return self._rest.pop(key, default)

    def text(self, key: str, *, default: str | None = None) -> str:
        value = self.take(key, default=default)
        if value is None:
            self.fail_key(key, f"no '{key}'", f'{key} = "..."')
        if not isinstance(value, str):
            self.fail_key(key, repr(value), "a text in quotes")
        return str(value)

    def name(self, key: str) -> str:
        value = self.text(key)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            self.fail_key(key, f"'{value}'", "letters, digits, - and _ only, because it becomes part of OSC addresses")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self.take(key, default=default)
        if not isinstance(value, bool):
            self.fail_key(key, repr(value), "true or false")
        return bool(value)

    def number(self, key: str, *, default: float, low: float, high: float) -> float:
        value = self.take(key, default=default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fail_key(key, repr(value), f"a number {low:g}..{high:g}")
        return float(value)

    def integer(self, key: str, *, default: int, low: int, high: int) -> int:
        value = self.take(key, default=default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail_key(key, repr(value), f"a whole number {low}..{high}")
        return int(value)

    def integers(self, key: str, *, default: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
        value = self.take(key, default=list(default))
        if not isinstance(value, list) or any(
            isinstance(one, bool) or not isinstance(one, int) or not low <= one <= high for one in value
        ):
            self.fail_key(key, repr(value), f"a list of whole numbers {low}..{high}")
        return tuple(value)

    def texts(self, key: str, *, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.take(key, default=list(default))
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            self.fail_key(key, repr(value), "a list of texts in quotes")
        return tuple(value)

    def choice(self, key: str, *, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(key, default=default)
        if value not in allowed and value != default:
            self.fail_key(key, f"'{value}'", f"one of {', '.join(allowed)}{did_you_mean(value, allowed)}")
        return value

    def has(self, key: str) -> bool:
        """Whether that key is there and has not been taken yet."""
        return key in self._rest

    def peek(self, key: str) -> Any:
        """What is there, unchecked and not taken; None when nothing is."""
        return self._rest.get(key)

    def choices(self, key: str, *, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
        values = self.texts(key, default=default)
        for value in values:
            if value not in allowed:
                self.fail_key(key, f"'{value}'", f"any of {', '.join(allowed)}{did_you_mean(value, allowed)}")
        return tuple(dict.fromkeys(values))

    def range(self, key: str, *, default: tuple[float, float]) -> tuple[float, float]:
        value = self.take(key, default=list(default))
        if (
            not isinstance(value, list)
            or len(value) != 2
            or any(isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) <= 1e9 for one in value)
            or value[0] == value[1]
        ):
            self.fail_key(key, repr(value), "two different numbers, [low, high]")
        return float(value[0]), float(value[1])

    def table(self, key: str) -> "Table":
        value = self.take(key, default={})
        if not isinstance(value, dict):
            self.fail_key(key, repr(value), f"a table, [{key}]")
        return self._child(value, (*self.where, key))

    def tables(self, key: str) -> "list[Table]":
        value = self.take(key, default=[])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.fail_key(key, repr(value), f"tables, each headed [[{key}]]")
        return [self._child(one, (*self.where, key, index)) for index, one in enumerate(value)]

    def named_tables(self, key: str) -> "list[Table]":
        value = self.take(key, default={})
        if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
            self.fail_key(key, repr(value), f"tables, each headed [{key}.NAME]")
        return [self._child(one, (*self.where, key, name)) for name, one in value.items()]

    def end(self) -> None:
        """Complains of the first key nobody asked for."""
        for key in self._rest:
            self.fail_key(key, f"unknown '{key}'", f"{', '.join(self._known)}{did_you_mean(key, self._known)}")

    def line(self, key: str) -> int:
        return _line_of(self.source_text, (*self.where, key))

    def fail_key(self, key: str, came: str, allowed: str) -> NoReturn:
        self.fail((*self.where, key), came, allowed)

    def fail(self, where: tuple[str | int, ...], came: str, allowed: str) -> NoReturn:
        name = ".".join(str(part + 1) if isinstance(part, int) else part for part in where)
        raise PatchError(f"{self.path}, line {_line_of(self.source_text, where)}: {name}: {came}; allowed: {allowed}")

    def _child(self, table: dict[str, Any], where: tuple[str | int, ...]) -> "Table":
        return Table(path=self.path, text=self.source_text, table=table, where=where)


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-.\"']+)\s*=")


def _line_of(text: str, where: tuple[str | int, ...]) -> int:
    """The line (from 1) that sets `where`, else the line of the nearest table around it."""
    counts: dict[str, int] = {}
    current: tuple[str | int, ...] = ()
    best_line, best_depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            names = tuple(part.strip("\"' ") for part in header[2].split("."))
            current = names
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                current = (*names, counts[header[2]])
            found = current
        elif key := _KEY.match(line):
            found = (*current, *(part.strip("\"'") for part in key[1].split(".")))
        else:
            continue
        depth = len(found)
        if found == where[:depth] and depth > best_depth:
            best_line, best_depth = number, depth
    return best_line


def did_you_mean(value: str, allowed: "tuple[str, ...] | list[str]") -> str:
    close = difflib.get_close_matches(value, allowed, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
