"""Edits the text of a `patch.toml`, keeping its comments and order.

Gives new text and checks nothing of its meaning: that is what `parse_patch` is for.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Comment, Null, Table, Whitespace

from instrument.patch_file import route_names

_ARRAYS = ("output", "route", "scene", "pedal")
_TEXTS = (
    *("name", "about", "source", "osc", "midi", "from", "to", "press", "release", "port", "key", "route"),
    *("kind", "learner", "body", "when", "value"),
)

TomlValue = str | float | int | list[str] | list[int]


class _Draft:
    """The text of a patch, read to be edited. What stands above a table, comments and empty lines, stays above it.

    tomlkit takes it for the end of the table before. Raises ValueError for what is not TOML.
    """

    def __init__(self, text: str) -> None:
        try:
            self.toml = tomlkit.parse(text)
        except TOMLKitError as error:
            raise ValueError(f"patch.toml is not valid TOML: {error}") from None
        self._tables = _as_written(list(_with_header(self.toml)), text)
        self._above: dict[int, str] = {}
        self._below = ""
        for first in self._tables[:1]:
            self._above[id(first)] = _pop_above(self.toml.body, is_file=True)
        for before, table in pairwise(self._tables):
            self._above[id(table)] = _pop_above(before.value.body)

    def dumps(self) -> str:
        """The text, edited."""
        there = {id(table): table for table in _with_header(self.toml)}
        orphaned = self._below
        for table in self._tables:
            above = self._above.pop(id(table), "")
            if id(table) in there:
                self._above[id(table)] = orphaned + above
                orphaned = ""
            else:
                orphaned += _heading(above)
        self._tables, self._below = list(there.values()), orphaned
        indents = {key: table.trivia.indent for key, table in there.items()}
        for key, table in there.items():
            table.trivia.indent = self._above.get(key, "") + indents[key]
        text = tomlkit.dumps(self.toml) + self._below
        for key, table in there.items():  # tomlkit indents what is added to a table as its header is
            table.trivia.indent = indents[key]
        return text


def _with_header(container: Container) -> Iterator[Table]:
    """The tables that have a line of their own, `[x]` or `[[x]]`, those of an array one after the other."""
    for key, item in container.body:
        tables = item.body if isinstance(item, AoT) else [item] if isinstance(item, Table) else []
        for table in tables:
            if isinstance(item, AoT) or not (table.is_super_table() or (key is not None and key.is_dotted())):
                yield table
            yield from _with_header(table.value)


def _as_written(tables: list[Table], text: str) -> list[Table]:
    """Those tables as they stand in the text, where those of an array may stand apart."""
    waiting: dict[str, list[Table]] = {}
    for table in tables:
        waiting.setdefault(table.display_name or "", []).append(table)
    names = re.findall(r"^[ \t]*\[+([^\[\]\n]+)\]", text, re.MULTILINE)
    found = [waiting[name].pop(0) for name in names if waiting.get(name)]
    return found if len(found) == len(tables) else tables


def _pop_above(body: list[Any], *, is_file: bool = False) -> str:
    """Takes out the comments and empty lines above the first table in there, else at the end.

    Where they begin the file, what an empty line keeps apart stays.
    """
    tables = (at for at, (key, item) in enumerate(body) if isinstance(item, Table | AoT) and not key.is_dotted())
    start = end = next(tables, len(body))
    while start and isinstance(body[start - 1][1], Whitespace | Comment):
        start -= 1
    if is_file and not start:
        start = next((at + 1 for at in reversed(range(end)) if isinstance(body[at][1], Whitespace)), 0)
    text = "".join(item.as_string() for _, item in body[start:end])
    is_end = end == len(body)
    body[start:end] = [] if is_end else [(None, Null())] * (end - start)  # tomlkit finds what follows by its place
    return text


def _heading(above: str) -> str:
    """Of what stands above a table what is not about it alone: what an empty line keeps apart from it."""
    heading = re.match(r"(?s)(.*\n)[ \t]*\n", above)
    return heading[1] if heading is not None and heading[1].strip() else ""


class LastRead:
    """What the last edit left, so that the edit after it, as in a drag, need not read it again."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._draft: _Draft | None = None

    def take(self, text: str) -> _Draft:
        """That text read. It is given away: what an edit that fails leaves of it is not given again."""
        draft, known = self._draft, self._text == text
        self._draft = self._text = None
        return draft if known and draft is not None else _Draft(text)

    def keep(self, draft: _Draft) -> str:
        """The text of an edited draft."""
        self._draft, self._text = draft, draft.dumps()
        return self._text


def set_values(text: str, pairs: Iterable[tuple[str, TomlValue]], last: LastRead | None = None) -> str:
    """The text with each of those values set at its key: `smoothing.beta`, `route.2.curve`, `route.1.range.2`.

    Where a text is wanted a number becomes one; elsewhere `true` and `false` become booleans and what starts with [ a
    list as JSON. With an empty text the value is as if it had never been set. Scenes go on naming a route whose name
    changes with it. Raises ValueError for a key that leads nowhere.
    """
    last = last or LastRead()
    draft = last.take(text)
    names = _names(draft.toml)
    for key, value in pairs:
        _set(draft.toml, key, value)
    _rename(draft.toml, names)
    return last.keep(draft)


def _set(document: tomlkit.TOMLDocument, key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = _walk(document, path, key, is_made=True)
    at: Any = _index(last, len(place), key) if isinstance(place, Array) else last
    if last in _TEXTS or (isinstance(place, Array) and isinstance(place[at], str)):
        value = f"{value:.15g}" if isinstance(value, int | float) else value
    elif isinstance(value, str) and (value in ("true", "false") or value.startswith("[")):
        value = _from_json(value, key)
    if isinstance(place, Array):
        place[at] = value
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
        if value == "":
            place.pop(last, None)
        else:
            place[last] = value


def remove_value(text: str, key: str) -> str:
    """The text without that value or table. An output's routes go with it; scenes no longer name what is gone.

    Raises ValueError when it is not there.
    """
    draft = _Draft(text)
    document = draft.toml
    names = _names(document)
    *path, last = key.split(".")
    place = _walk(document, path, key, is_made=False)
    if isinstance(place, AoT | Array):
        index = _index(last, len(place), key)
        if path == ["output"]:
            _cut_off(document, str(place[index].get("name")), names)
        _remove_from(document, path[0], place, index)
        if path == ["route"]:
            _forget(document, names.pop(index))
    elif last in place:
        del place[last]
    else:
        raise ValueError(f"{key}: the patch does not have it")
    _rename(document, names)
    return draft.dumps()


def add_table(text: str, name: str, values: str) -> str:
    """The text with one more table: `route`, `output`, `scene`, `pedal` or `destination.NAME`; its values as JSON.

    Raises ValueError.
    """
    given = _from_json(values, name)
    if not isinstance(given, dict):
        raise ValueError(f"{name}: a JSON object is wanted, {type(given).__name__} came")
    draft = _Draft(text)
    document = draft.toml
    names = _names(document)
    table = _apart()
    for key, value in given.items():
        table.add(key, value)
    if name in _ARRAYS:
        _tables(document, name).append(table)
    elif name.startswith("destination.") and name.count(".") == 1:
        parent: Any = document.setdefault("destination", tomlkit.table(is_super_table=True))
        if name.split(".")[1] in parent:
            raise ValueError(f"{name}: there is one of that name already")
        table.trivia.indent = ""  # tomlkit puts an empty line before these itself
        parent[name.split(".")[1]] = table
    else:
        raise ValueError(f"table '{name}'; allowed: route, output, scene, pedal, destination.NAME")
    _rename(document, names)
    return draft.dumps()


def save_scene(text: str, name: str, outputs: list[str], rows: list[dict[str, Any]]) -> str:
    """The text in which the scene of that name is this: the outputs that play, and a row for each route.

    A new one comes last, with the first digit that recalls no other. Raises ValueError.
    """
    draft = _Draft(text)
    document = draft.toml
    scenes = _tables(document, "scene")
    scene = next((one for one in scenes if one.get("name") == name), None)
    if scene is None:
        scene = _apart()
        scene["name"] = name
        taken = {one.get("key") for one in scenes}
        key = next((key for key in "123456789" if key not in taken), None)
        if key is not None:
            scene["key"] = key
        scenes.append(scene)
        scene = scenes[-1]
    scene["outputs"] = outputs
    array = tomlkit.array().multiline(True)
    for row in rows:
        table = tomlkit.inline_table()
        table.update(row)
        array.append(table)
    scene["routes"] = array
    return draft.dumps()


def _tables(document: tomlkit.TOMLDocument, name: str) -> AoT:
    """The tables of that name, perhaps none yet, to be added to. Raises ValueError where they are written inline."""
    tables = document.get(name)
    if isinstance(tables, AoT):
        return tables
    if tables:
        raise ValueError(f"{name}: it is written as {name} = [...]; write each as a [[{name}]] table to add to them")
    document[name] = made = tomlkit.aot()
    return made


def _apart() -> Table:
    """A new table, with an empty line before it."""
    table = tomlkit.table()
    table.trivia.indent = "\n"
    return table


def _names(document: tomlkit.TOMLDocument) -> list[str]:
    """What scenes call the routes."""
    routes = document.get("route")
    return route_names(routes) if isinstance(routes, AoT | Array) else []


def _rename(document: tomlkit.TOMLDocument, before: list[str]) -> None:
    """Has scenes call the routes what they are called now."""
    renamed = {old: new for old, new in zip(before, _names(document), strict=False) if old != new}
    for row in _scene_rows(document) if renamed else ():
        row["route"] = renamed.get(row.get("route"), row.get("route"))


def _remove_from(document: tomlkit.TOMLDocument, name: str, place: AoT | Array, index: int) -> None:
    del place[index]
    if isinstance(place, AoT) and not place:
        del document[name]


def _cut_off(document: tomlkit.TOMLDocument, output: str, names: list[str]) -> None:
    """Takes out what comes from that output: routes, whose `names` go too, and what recalls scenes."""
    routes = document.get("route", ())
    for index in reversed(range(len(routes))):
        if str(routes[index].get("from")).partition(".")[0] == output:
            _remove_from(document, "route", routes, index)
            _forget(document, names.pop(index))
    for scene in document.get("scene", ()):
        if str(scene.get("from")).partition(".")[0] == output:
            del scene["from"]
        if output in scene.get("outputs", ()):
            scene["outputs"].remove(output)


def _forget(document: tomlkit.TOMLDocument, name: str) -> None:
    """Takes a route out of every scene."""
    for scene in document.get("scene", ()):
        rows = scene.get("routes", ())
        for index in reversed(range(len(rows))):
            if rows[index].get("route") == name:
                del rows[index]


def _scene_rows(document: tomlkit.TOMLDocument) -> list[Any]:
    return [row for scene in document.get("scene", ()) for row in scene.get("routes", ())]


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
                is_inline = part == "when_lost" and isinstance(place, Table)
                if not is_made or part in _ARRAYS or not (place is document or is_inline):
                    first = f"; set it whole first: {'.'.join(path)} '[0, 1]'" if part == "range" else ""
                    raise ValueError(f"{key}: the patch has no '{part}'{first}")
                place[part] = tomlkit.inline_table() if is_inline else tomlkit.table()
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
