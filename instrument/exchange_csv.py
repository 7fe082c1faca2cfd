"""Takes as CSV: one line per frame, every column named, for spreadsheets and other programs.

`target:OUTPUT` columns hold class names, `value:OUTPUT` columns numbers. An empty cell is a
landmark that was not found, or an output that the take does not teach.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from instrument.exchange_plain import (
    Hints,
    PlainTable,
    label_cells,
    label_columns,
    number_cells,
    output_name,
    plain_table,
    read_rows,
)
from instrument.exchange_table import (
    BODY_COLUMNS,
    PLAIN_RATE_HZ,
    Draft,
    Place,
    PlainRow,
    check_names,
    check_width,
    floats,
    iso_time,
    kind_of,
    labels_of,
    number_columns,
    number_in,
    parts_of,
    parts_text,
    picker,
    plain_columns,
    plain_takes,
    table_of,
    target_columns,
    texts,
    whole_number,
)
from instrument.takes import Target, WholeTake

_ABOUT_COLUMNS = ("take", "kind", "created_at", "source", "parts", "trim_first", "trim_last")
_QUOTE = '"'
_NEEDS_QUOTES = re.compile('[,"\\r\\n]')


def write_csv(path: Path, takes: Callable[[], Iterable[WholeTake]], decimals: int | None) -> None:
    """Writes those takes; landmarks rounded to `decimals` places, if given."""
    table, classes, values = table_of(takes())
    with path.open("w", encoding="utf-8", newline="\n") as file:
        targets = [*(f"target:{output}" for output in classes), *(f"value:{output}" for output in values)]
        file.write(_line([*_ABOUT_COLUMNS, "time_s", "aspect", *targets, *table.names]))
        for number, take in enumerate(takes(), start=1):
            about = [str(number), take.kind, take.created_at, take.source, parts_text(take.landmarks)]
            about += [str(index) for index in take.trim] if take.trim else ["", ""]
            aspects = texts(take.landmarks.aspect.reshape(-1, 1))
            columns = target_columns(take)
            for index, row in enumerate(texts(table.rows(take), decimals)):
                now = {output: column[index] for output, column in columns.items()}
                labels = [label if isinstance(label := now.get(output), str) else "" for output in classes]
                labels += [repr(value) if isinstance(value := now.get(output), float) else "" for output in values]
                time_s = repr(float(take.landmarks.times_s[index]))
                file.write(_line([*about, time_s, *aspects[index], *labels, *row]))


def _line(cells: Iterable[str]) -> str:
    # Not csv.writer: with lines that end in \n alone it leaves \r in a name unquoted.
    return (
        ",".join(f'"{cell.replace(_QUOTE, 2 * _QUOTE)}"' if _NEEDS_QUOTES.search(cell) else cell for cell in cells)
        + "\n"
    )


def read_csv(path: Path, hints: Hints) -> list[WholeTake]:
    """The takes in that file: ours, or plain rows of numbers with labels, of which the hints may tell."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = read_rows(path, file)
        first = next(lines, None)
        if first is None:
            return []
        _, header = first
        if {"take", "time_s"} <= set(header):
            return _csv_takes(path, header, lines)
        return _csv_plain_takes(plain_table(path, [first, *lines], hints), hints)


def _csv_takes(path: Path, header: list[str], lines: Iterable[tuple[Place, list[str]]]) -> list[WholeTake]:
    place = Place(path, 1)
    check_names(place, header)
    at = {name: index for index, name in enumerate(header)}
    numbers = [name for name in header if name.startswith("number.")]
    known = {*BODY_COLUMNS, *number_columns(len(numbers), place)} if numbers else set(BODY_COLUMNS)
    columns = [name for name in header if name in known]
    classes = {name.removeprefix("target:"): at[name] for name in header if name.startswith("target:")}
    values = {name.removeprefix("value:"): at[name] for name in header if name.startswith("value:")}
    for name in header:
        if name not in known and name.partition(":")[0] not in (*_ABOUT_COLUMNS, "time_s", "aspect", "target", "value"):
            close = difflib.get_close_matches(name, [*_ABOUT_COLUMNS, *known], n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            place.fail(f"unknown column '{name}'", f"columns as `instrument export` names them{hint}")
    about_at = [at[name] for name in _ABOUT_COLUMNS if name in at]
    pick_about, pick_row = picker(about_at), picker([at[name] for name in columns])
    drafts: dict[str, Draft] = {}
    for place, cells in lines:
        check_width(place, cells, len(header))
        about = tuple(pick_about(cells))
        draft = drafts.get(cells[at["take"]])
        if draft is None:
            named = {header[index]: cells[index] for index in about_at}
            draft = drafts[cells[at["take"]]] = _csv_draft(place, about, named, len(numbers))
        elif about != draft.about:
            place.fail(f"take {cells[at['take']]} differs from its first line", "the same in every line of a take")
        aspect = 4 / 3
        if "aspect" in at:
            aspect = number_in(Place(path, place.line, "aspect"), cells[at["aspect"]], "a number above 0")
        targets: dict[str, Target] = {output: cells[index] for output, index in classes.items() if cells[index]}
        for output, index in values.items():
            if cells[index]:
                if output in targets:
                    place.fail(f"both a class and a value for '{output}'", "one of them")
                targets[output] = number_in(Place(path, place.line, f"value:{output}"), cells[index])
        time_s = number_in(Place(path, place.line, "time_s"), cells[at["time_s"]])
        draft.add(place, time_s, aspect, targets, floats(place, columns, pick_row(cells), ""))
    return [draft.take(columns) for draft in drafts.values()]


def _csv_draft(place: Place, about: tuple[str, ...], named: Mapping[str, str], number_count: int) -> Draft:
    draft = Draft(place, about, None, number_count, source=named.get("source", place.path.name))
    if created_at := named.get("created_at"):
        draft.created_at = iso_time(Place(place.path, place.line, "created_at"), created_at)
    if parts := named.get("parts"):
        draft.parts, draft.number_count = parts_of(Place(place.path, place.line, "parts"), parts)
    draft.kind = kind_of(Place(place.path, place.line, "kind"), named.get("kind") or "take")
    if named.get("trim_first") or named.get("trim_last"):
        first, last = (
            whole_number(Place(place.path, place.line, name), named.get(name, ""))
            for name in ("trim_first", "trim_last")
        )
        draft.trim = (first, last)
    return draft


def _csv_plain_takes(table: PlainTable, hints: Hints) -> list[WholeTake]:
    """Rows of numbers with labels, 30 a second."""
    check_names(table.place, table.names)
    labelled = label_columns(table, hints)
    inputs = [column for column in range(table.width) if column not in labelled]
    if table.names:
        columns = plain_columns([table.names[column] for column in inputs], table.place)
        names: Sequence[str] = [table.names[column] for column in inputs]
    else:
        names = columns = number_columns(len(inputs), table.place)
    pick = picker(inputs)
    labels: dict[str, list[Target]] = {}
    for column in labelled:
        output = output_name(table, column, hints)
        labels[output] = labels_of(label_cells(table, column), hints.kinds.get(output))
    rows = (
        PlainRow(
            place,
            0,
            index / PLAIN_RATE_HZ,
            number_cells(place, names, pick(cells)),
            {output: column[index] for output, column in labels.items()},
        )
        for index, (place, cells) in enumerate(table.rows)
    )
    return plain_takes(rows, columns)
