"""Edits the text of a `patch.toml`, keeping its comments and order.

Gives new text and checks nothing of its meaning: that is what `parse_patch` is for.
"""

import json
from typing import Any

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Table

_ARRAYS = ("output", "route")


def set_value(text: str, key: str, value: str | float | int | list[str] | list[int]) -> str:
    """The text with that value set. Keys are written `smoothing.beta`, `route.2.curve`, `route.1.range.2`.

    Text `true` and `false` become booleans, text that starts with [ is a list as JSON. Raises
    ValueError for a key that leads nowhere.
    """
    document = _parse(text)
    *path, last = key.split(".")
    place: Any = _walk(document, path, key, is_made=True)
    if isinstance(value, str) and (value in ("true", "false") or value.startswith("[")):
        value = _from_json(value, key)
    if isinstance(place, Array):
        place[_index(last, len(place), key)] = value
    elif isinstance(place, AoT):
        raise ValueError(f"{key}: that is a whole table; name a value in it")
    else:
        old = place.get(last)
        if isinstance(old, Table | AoT):
            raise ValueError(f"{key}: that is a whole table; name a value in it")
        if isinstance(old, int | float) and not isinstance(old, bool) and isinstance(value, float):
            value = int(value) if isinstance(old, int) and value.is_integer() else value
        elif old is None and isinstance(value, float) and value.is_integer():
            value = int(value)
        place[last] = value
    return tomlkit.dumps(document)


def remove_value(text: str, key: str) -> str:
    """The text without that value or table.

    Raises ValueError when it is not there.
    """
    document = _parse(text)
    *path, last = key.split(".")
    place = _walk(document, path, key, is_made=False)
    if isinstance(place, AoT | Array):
        del place[_index(last, len(place), key)]
    elif last in place:
        del place[last]
    else:
        raise ValueError(f"{key}: the patch does not have it")
    return tomlkit.dumps(document)


def add_table(text: str, name: str, values: str) -> str:
    """The text with one more table: `route`, `output` or `destination.NAME`; `values` is a JSON object.

    Raises ValueError.
    """
    given = _from_json(values, name)
    if not isinstance(given, dict):
        raise ValueError(f"{name}: a JSON object is wanted, {type(given).__name__} came")
    document = _parse(text)
    table = tomlkit.table()
    for key, value in given.items():
        table.add(key, value)
    if name in _ARRAYS:
        tables = document.get(name)
        if not isinstance(tables, AoT):
            tables = tomlkit.aot()
            document[name] = tables
        tables.append(table)
    elif name.startswith("destination.") and name.count(".") == 1:
        parent: Any = document.setdefault("destination", tomlkit.table(is_super_table=True))
        if name.split(".")[1] in parent:
            raise ValueError(f"{name}: there is one of that name already")
        parent[name.split(".")[1]] = table
    else:
        raise ValueError(f"table '{name}'; allowed: route, output, destination.NAME")
    return tomlkit.dumps(document)


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ValueError(f"patch.toml is not valid TOML: {error}") from None


def _from_json(text: str, key: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{key}: not JSON: {error}") from None


def _walk(document: tomlkit.TOMLDocument, path: list[str], key: str, *, is_made: bool) -> Any:
    place: Any = document
    for part in path:
        if isinstance(place, AoT | Array):
            place = place[_index(part, len(place), key)]
        elif isinstance(place, Table | Container) or hasattr(place, "keys"):
            if part not in place:
                if not is_made or part in _ARRAYS or place is not document:
                    raise ValueError(f"{key}: the patch has no '{part}'")
                place[part] = tomlkit.table()
            place = place[part]
        else:
            raise ValueError(f"{key}: '{part}' leads nowhere")
    if not isinstance(place, AoT | Array) and not hasattr(place, "keys"):
        raise ValueError(f"{key}: leads nowhere")
    return place


def _index(part: str, count: int, key: str) -> int:
    if not part.isdigit() or not 1 <= int(part) <= count:
        raise ValueError(f"{key}: '{part}'; allowed: 1..{count}")
    return int(part) - 1
