"""Takes as ARFF, as Wekinator saves its examples, so that either program opens the other's.

The attributes are ID, Time, Training round, the inputs, the outputs; `?` is missing; classes are
1 to K. Take for take, what Wekinator does not know stands in comments it skips: class names, exact
times, sources. Without these comments a file comes in as takes of numbers, one per training round
and unbroken run of a label. Format: wekimini/DataManager.java in fiebrink1/wekinator.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from instrument.exchange_plain import Hints
from instrument.exchange_table import (
    PLAIN_RATE_HZ,
    Draft,
    ExchangeError,
    Place,
    PlainRow,
    check_names,
    check_width,
    floats,
    iso_time,
    kind_of,
    number_in,
    parts_of,
    parts_text,
    picker,
    plain_columns,
    plain_takes,
    table_of,
    target_columns,
    texts,
    unique_name,
)
from instrument.takes import Target, WholeTake

MARK = "% instrument takes 1"
_META = ("ID", "Time", "Training round")
_DATE = "%Y/%m/%d %H:%M:%S:%f"
_ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s'"]\S*)\s+(.+)""", re.IGNORECASE)
_NEEDS_QUOTES = re.compile(r"""[\s'"\\%,{}?]|^$""")
_OUR_INPUT = re.compile(r"inputs-([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class _Attribute:
    place: Place
    name: str
    classes: tuple[str, ...] | None
    """The values of a nominal attribute."""


def write_arff(path: Path, takes: Callable[[], Iterable[WholeTake]], decimals: int | None) -> None:
    """Writes those takes; landmarks rounded to `decimals` places, if given."""
    table, class_outputs, value_outputs = table_of(takes())
    outputs: list[tuple[str, list[str] | None]] = [(name, sorted(names)) for name, names in class_outputs.items()]
    outputs += [(name, None) for name in value_outputs]
    inputs = [name.replace("number.", "inputs-") for name in table.names]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{MARK}\n% outputs {json.dumps(outputs)}\n")
        for number, take in enumerate(takes(), start=1):
            file.write(f"% take {json.dumps(_about(number, take))}\n")
        file.write("@relation dataset\n\n@attribute ID numeric\n")
        file.write("@attribute Time date 'yyyy/MM/dd HH:mm:ss:SSS'\n@attribute 'Training round' numeric\n")
        used = {*_META, *inputs}
        for name in inputs:
            file.write(f"@attribute {name} numeric\n")
        for output, names in outputs:
            values = "numeric" if names is None else "{" + ",".join(map(str, range(len(names) + 1))) + "}"
            file.write(f"@attribute {_quoted(unique_name(output, used))} {values}\n")
        file.write("\n@data\n")
        row_id = 0
        for number, take in enumerate(takes(), start=1):
            began = _began(take.created_at)
            columns = target_columns(take)
            for index, row in enumerate(texts(table.rows(take), decimals, "?")):
                row_id += 1
                time = (began + timedelta(seconds=float(take.landmarks.times_s[index]))).strftime(_DATE)[:-3]
                labels = [
                    _label(columns[output][index] if output in columns else None, names) for output, names in outputs
                ]
                file.write(",".join([str(row_id), f"'{time}'", str(number), *row, *labels]) + "\n")


def _about(number: int, take: WholeTake) -> dict[str, Any]:
    aspects = [row[0] for row in texts(take.landmarks.aspect.reshape(-1, 1))]
    return {
        "round": number,
        "kind": take.kind,
        "created_at": take.created_at,
        "source": take.source,
        "parts": parts_text(take.landmarks),
        "trim": take.trim,
        "aspect": [float(text) for text in (aspects[:1] if len(set(aspects)) == 1 else aspects)],
        "times_s": take.landmarks.times_s.tolist(),
    }


def _label(target: Target | None, names: list[str] | None) -> str:
    if isinstance(target, str) and names is not None:
        return str(names.index(target) + 1)
    return repr(target) if isinstance(target, float) and names is None else "?"


def _quoted(name: str) -> str:
    if not _NEEDS_QUOTES.search(name):
        return name
    escaped = name.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _unquoted(name: str) -> str:
    if name[:1] not in ("'", '"'):
        return name
    plain = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\(.)", lambda found: plain.get(found[1], found[1]), name[1:-1])


def _began(created_at: str) -> datetime:
    try:
        return datetime.fromisoformat(created_at).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime(1970, 1, 1, tzinfo=UTC)


def read_arff(path: Path, hints: Hints) -> list[WholeTake]:
    """The takes in that file; the hints name its outputs where that cannot be told from it."""
    with path.open(encoding="utf-8-sig", newline=None) as file:
        lines = enumerate(file, start=1)
        attributes, said, start = _header(path, lines)
        names = [attribute.name for attribute in attributes]
        check_names(Place(path, start), names)
        rows = _rows(path, lines, start, len(names))
        if said:
            return _our_takes(attributes, said, rows)
        return _plain(Place(path, start), attributes, list(rows), hints.outputs)


def _header(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[list[_Attribute], list[tuple[Place, str]], int]:
    """The attributes, our comments if they are there, and the line of `@data`."""
    attributes: list[_Attribute] = []
    said: list[tuple[Place, str]] = []
    for number, line in lines:
        place, text = Place(path, number), line.strip()
        if text.startswith("%"):
            if said or text == MARK:
                said.append((place, text))
        elif text.lower().startswith("@data"):
            return attributes, said, number
        elif text.lower().startswith("@attribute"):
            attributes.append(_attribute(place, text))
        elif text and not text.lower().startswith("@relation"):
            place.fail(f"'{text}'", "@relation, @attribute, @data or a % comment")
    raise ExchangeError(f"{path}: no @data line; allowed: ARFF as Wekinator saves it (current/currentData.arff)")


def _attribute(place: Place, text: str) -> _Attribute:
    found = _ATTRIBUTE.fullmatch(text)
    if found is None:
        place.fail(f"'{text}'", "@attribute NAME numeric, date or {values}")
    name, kind = _unquoted(found[1]), found[2].strip()
    if kind.startswith("{") and kind.endswith("}"):
        values = next(csv.reader([kind[1:-1]], quotechar="'", escapechar="\\", skipinitialspace=True), [])
        return _Attribute(place, name, tuple(value.strip() for value in values))
    if kind.split()[0].lower() not in ("numeric", "real", "integer", "date"):
        place.fail(f"'{name}' is {kind}", "numeric, date or {values}")
    return _Attribute(place, name, None)


def _rows(path: Path, lines: Iterable[tuple[int, str]], start: int, width: int) -> Iterator[tuple[Place, list[str]]]:
    kept = (text for _, text in lines)
    reader = csv.reader(kept, quotechar="'", escapechar="\\", skipinitialspace=True)
    try:
        for cells in reader:
            if cells and not cells[0].startswith("%"):
                place = Place(path, start + reader.line_num)
                check_width(place, cells, width)
                yield place, cells
    except csv.Error as error:
        Place(path, start + reader.line_num).fail(str(error), f"cells of up to {csv.field_size_limit()} characters")


def _our_takes(
    attributes: Sequence[_Attribute], said: Sequence[tuple[Place, str]], rows: Iterable[tuple[Place, list[str]]]
) -> list[WholeTake]:
    outputs: list[tuple[str, list[str] | None]] = []
    abouts: dict[int, tuple[Draft, Any]] = {}
    for place, text in said:
        try:
            if text.startswith("% outputs "):
                outputs = [
                    (str(output), names and [str(one) for one in names]) for output, names in json.loads(text[10:])
                ]
            elif text.startswith("% take "):
                about = json.loads(text[7:])
                abouts[int(about["round"])] = (_draft(place, about), about)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            place.fail(f"this comment ({error})", "comments as `instrument export` writes them, or none of them")
    inputs = [attribute.name for attribute in attributes[len(_META) : len(attributes) - len(outputs)]]
    columns = [_OUR_INPUT.sub(r"number.\1", name) for name in inputs]
    pick = picker(range(len(_META), len(_META) + len(inputs)))
    for place, cells in rows:
        described = abouts.get(int(number_in(place, cells[2])))
        if described is None:
            place.fail(f"training round {cells[2]}", "a round that a `% take` comment describes")
        draft, about = described
        index = len(draft.rows)
        if index >= len(about["times_s"]):
            place.fail("one more line", f"{index} lines in training round {cells[2]}, as its `% take` comment says")
        targets: dict[str, Target] = {}
        for (output, names), cell in zip(outputs, cells[len(_META) + len(inputs) :], strict=True):
            if cell != "?":
                targets[output] = _target(Place(place.path, place.line, output), cell, names)
        aspect = about["aspect"][index if len(about["aspect"]) > 1 else 0]
        draft.add(place, about["times_s"][index], aspect, targets, floats(place, inputs, pick(cells), "?"))
    for draft, about in abouts.values():
        if len(draft.rows) != len(about["times_s"]):
            draft.place.fail(
                f"{len(draft.rows)} lines in training round {about['round']}", f"{len(about['times_s'])}, as said here"
            )
    return [draft.take(columns) for draft, _ in abouts.values()]


def _draft(place: Place, about: Mapping[str, Any]) -> Draft:
    parts, number_count = parts_of(place, about["parts"])
    numbers = [*about["times_s"], *about["aspect"]]
    if not about["times_s"] or len(about["aspect"]) not in (1, len(about["times_s"])):
        raise ValueError("as many aspects as times")
    if not all(isinstance(one, int | float) and abs(one) < 1e9 for one in numbers):
        raise ValueError("times_s and aspect are numbers")
    return Draft(
        place,
        (),
        parts,
        number_count,
        kind=kind_of(place, about["kind"]),
        created_at=iso_time(place, str(about["created_at"])),
        source=str(about["source"]),
        trim=None if about["trim"] is None else (int(about["trim"][0]), int(about["trim"][1])),
    )


def _target(place: Place, cell: str, names: Sequence[str] | None) -> Target:
    if names is None:
        return number_in(place, cell)
    number = number_in(place, cell)
    if number != int(number) or not 1 <= number <= len(names):
        place.fail(f"class {cell}", f"1 to {len(names)}, or ?")
    return names[int(number) - 1]


def _plain(
    place: Place, attributes: Sequence[_Attribute], rows: Sequence[tuple[Place, list[str]]], outputs: Sequence[str]
) -> list[WholeTake]:
    """Takes of a file that Wekinator wrote, or any other ARFF of numbers."""
    names = [attribute.name for attribute in attributes]
    learned = _outputs_of(place, attributes, rows, outputs)
    inputs = [name for name in names if name not in learned and name not in _META]
    columns = plain_columns(inputs, place)
    pick = picker([names.index(name) for name in inputs])
    at = {name: names.index(name) for name in _META if name in names}
    kinds = [(name, names.index(name), attributes[names.index(name)].classes is not None) for name in learned]

    def plain_rows() -> Iterator[PlainRow]:
        for index, (place, cells) in enumerate(rows):
            targets: dict[str, Target] = {}
            for output, column, is_class in kinds:
                # 0 is Wekinator's "no class".
                label = cells[column].strip()
                if label != "?" and not (is_class and label == "0"):
                    targets[output] = label if is_class else number_in(place, label)
            yield PlainRow(
                place,
                int(number_in(place, cells[at["Training round"]])) if "Training round" in at else 0,
                _time(place, cells[at["Time"]]).timestamp() if "Time" in at else index / PLAIN_RATE_HZ,
                floats(place, inputs, pick(cells), "?"),
                targets,
            )

    created_at = ""
    if rows and "Time" in at:
        created_at = _time(rows[0][0], rows[0][1][at["Time"]]).isoformat(timespec="milliseconds")
    return plain_takes(plain_rows(), columns, created_at)


def _time(place: Place, text: str) -> datetime:
    try:
        return datetime.strptime(text, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return place.fail(f"time '{text}'", "times such as 2026/11/23 08:00:00:000")


def _outputs_of(
    place: Place, attributes: Sequence[_Attribute], rows: Sequence[tuple[Place, list[str]]], outputs: Sequence[str]
) -> list[str]:
    """The outputs: those named, else from the first attribute on that can be no input."""
    names = [attribute.name for attribute in attributes]
    if outputs:
        if unknown := [name for name in outputs if name not in names]:
            place.fail(f"no attribute '{unknown[0]}'", ", ".join(names))
        return list(outputs)
    columns = list(zip(*(cells for _, cells in rows), strict=True)) or [()] * len(names)
    has_default_names = any(_OUR_INPUT.fullmatch(name) for name in names)
    for index, attribute in enumerate(attributes):
        if attribute.name in _META:
            continue
        is_named_input = bool(_OUR_INPUT.fullmatch(attribute.name))
        is_output = attribute.classes is not None or attribute.name.startswith("outputs-") or "?" in columns[index]
        if (is_output or has_default_names) and not is_named_input:
            return [name for name in names[index:] if name not in _META]
    return place.fail("no telling inputs from outputs here", f"naming the outputs; there are: {', '.join(names)}")
