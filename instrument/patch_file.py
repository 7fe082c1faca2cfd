"""Reads a `patch.toml`.

`read_patch` gives a checked, frozen `Patch` or raises `PatchError`, whose text names the file,
the line, what came and what is allowed.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from instrument.models.learner_names import CLASS_LEARNERS, CONTINUOUS_LEARNERS, NETWORK
from instrument.osc import parse_host_port
from instrument.patch import (
    HAND_FEATURES,
    NO_CLASS,
    NUMBER_FEATURES,
    PAGE,
    POSE_FEATURES,
    REJECTED,
    Destination,
    FeatureOptions,
    Listen,
    Output,
    Patch,
    PatchError,
    Pedal,
    Route,
    Scene,
    Smoothing,
    Training,
    WhenLost,
)
from instrument.patch_table import Table, did_you_mean
from instrument.protocol import parse_line

OFFERED_NUMBER_FEATURES = ("number_path", "number_shape", "number_hand", "number_body")
DEFAULT_OSC = ("127.0.0.1", 12000)
ROUTE_VALUES = ("said", "familiarity", "disagreement")
MOVEMENT_MOMENTS = ("hit", "begin", "end", "progress")
MIDI_KINDS = ("cc", "note", "program")
NOT_FOR_PEDALS = ("project", "quit", "subscribe", "unsubscribe", "remote", "midi", "trainer")
"""First words of commands that no pedal gives: what would end the piece, and what is for programs."""


def read_patch(path: Path) -> Patch:
    """The patch in that file.

    Raises PatchError with file, line, what came and what is allowed.
    """
    return parse_patch(patch_text(path), path)


def patch_text(path: Path) -> str:
    """What that file says, unchecked.

    Raises PatchError where it says nothing, or is no text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PatchError(f"{path}: no such patch; make a project with `instrument new NAME --from PATCH`") from None
    except OSError as error:
        raise PatchError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PatchError(f"{path}, line {line}: not UTF-8; save it as text in UTF-8") from None
    if not text.strip():
        raise PatchError(f"{path}: empty; a patch has at least one [[output]]")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPatch:
    """A patch as it was found on disk."""

    patch: Patch
    text: str
    stamp: tuple[int, int] | None
    """Of the patch's own file, before it was read."""
    problem: str = ""
    """Why it is not the one in that file: what is wrong with that one."""


def find_patch(path: Path) -> FoundPatch:
    """The patch in that file, else the one that played when what is there became wrong.

    Raises PatchError where there is neither.
    """
    stamp = stamp_of(path)
    try:
        text = patch_text(path)
        return FoundPatch(patch=parse_patch(text, path), text=text, stamp=stamp)
    except PatchError as error:
        if (played := find_played(path, str(error))) is None:
            raise
        return played


def find_played(path: Path, problem: str = "") -> FoundPatch | None:
    """The patch that played when the one in that file became wrong, if it did; `problem` says what is wrong there."""
    stamp = stamp_of(path)
    with suppress(PatchError):
        text = patch_text(played_file(path))
        return FoundPatch(patch=parse_patch(text, path), text=text, stamp=stamp, problem=problem)
    return None


def playing_patch(path: Path) -> Patch:
    """The patch that plays now, for those who work beside an engine. Raises PatchError."""
    played = find_played(path)
    return read_patch(path) if played is None else played.patch


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What differs after every edit of that file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def played_file(path: Path) -> Path:
    """Where the patch that plays lies for as long as the one in `path` cannot be played."""
    return path.with_suffix(".played.toml")


def undone_file(path: Path) -> Path:
    """Where a patch that could not be played lies after it was taken back."""
    return path.with_suffix(".undone.toml")


def parse_patch(text: str, path: Path) -> Patch:
    """The patch that text describes; `path` is where it came from."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PatchError(f"{path}: not valid TOML: {error}") from None
    top = Table(path=path, text=text, table=table, where=())
    name = top.text("name", default=path.parent.name or path.stem)
    about = top.text("about", default="")
    listen = _listen(top.table("listen"))
    smoothing = _smoothing(top.table("smoothing"))
    features = _features(top.table("features"))
    training = _training(top.table("training"))
    outputs = tuple(_output(table, listen) for table in top.tables("output"))
    for index, output in enumerate(outputs):
        # Their models are files, and some systems do not tell capitals apart.
        if output.name.lower() in {other.name.lower() for other in outputs[:index]}:
            top.fail(("output", index, "name"), f"output '{output.name}' is there twice", "each name once")
    destinations = {
        "out": Destination(name="out", osc=DEFAULT_OSC),
        PAGE: Destination(name=PAGE, is_page=True),
    }
    for one in top.named_tables("destination"):
        destination = _destination(one)
        destinations[destination.name] = destination
    tables = top.tables("route")
    names = route_names(table.get("route", ()))
    routes = tuple(_route(one, name, outputs, destinations) for one, name in zip(tables, names, strict=True))
    scenes = tuple(_scene(one, outputs, routes) for one in top.tables("scene"))
    pedals = tuple(_pedal(one) for one in top.tables("pedal"))
    for kind, key, values in (
        ("route", "name", [route.name for route in routes]),
        ("scene", "name", [scene.name for scene in scenes]),
        ("scene", "key", [scene.key for scene in scenes]),
    ):
        for index, value in enumerate(values):
            if value and value in values[:index]:
                top.fail((kind, index, key), f"{key} '{value}' is there twice", f"each {key} once")
    wekinator = top.table("wekinator")
    is_wekinator = wekinator.boolean("outputs", default=True)
    probabilities = wekinator.boolean("probabilities", default=False)
    output_names = wekinator.texts("output_names", default=())
    wekinator.end()
    top.end()
    return Patch(
        path=path,
        name=name,
        about=about,
        listen=listen,
        smoothing=smoothing,
        features=features,
        training=training,
        outputs=outputs,
        destinations=destinations,
        routes=routes,
        scenes=scenes,
        pedals=pedals,
        is_wekinator=is_wekinator,
        wekinator_probabilities=probabilities,
        wekinator_output_names=output_names,
    )


def _listen(table: Table) -> Listen:
    listen = Listen(
        source=table.text("source", default="auto"),
        track=table.choices("track", allowed=("pose", "hands"), default=("pose",)),
        inputs=table.integer("inputs", default=0, low=0, high=10_000),
        input_names=table.texts("input_names", default=()),
        width_px=table.integer("width_px", default=640, low=64, high=4096),
        reacquire_s=table.number("reacquire_s", default=4.0, low=0.0, high=3600.0),
        quiet_s=table.number("quiet_s", default=5.0, low=0.0, high=86_400.0),
    )
    if not listen.track and not listen.is_numbers:
        table.fail_key("track", "nothing is tracked", '"pose", "hands" or both')
    if len(set(listen.input_names)) != len(listen.input_names):
        table.fail_key("input_names", "a name is there twice", "each name once")
    if listen.inputs and listen.input_names and listen.inputs != len(listen.input_names):
        table.fail_key("input_names", f"{len(listen.input_names)} names", f"{listen.inputs} of them, as `inputs` says")
    table.end()
    return listen


def _smoothing(table: Table) -> Smoothing:
    smoothing = Smoothing(
        min_cutoff_hz=table.number("min_cutoff_hz", default=Smoothing().min_cutoff_hz, low=0.0, high=1000.0),
        beta=table.number("beta", default=Smoothing().beta, low=0.0, high=1000.0),
        derivative_cutoff_hz=table.number(
            "derivative_cutoff_hz", default=Smoothing().derivative_cutoff_hz, low=0.001, high=1000.0
        ),
    )
    table.end()
    return smoothing


def _features(table: Table) -> FeatureOptions:
    options = FeatureOptions(
        body=table.choice("body", allowed=("full", "upper"), default="full"),
        mirror=table.boolean("mirror", default=False),
        window_s=table.number("window_s", default=0.5, low=0.05, high=10.0),
    )
    table.end()
    return options


def _training(table: Table) -> Training:
    training = Training(always=table.boolean("always", default=True))
    table.end()
    return training


def _output(table: Table, listen: Listen) -> Output:
    if listen.is_numbers:
        groups, default = list(NUMBER_FEATURES), ["numbers"]
    else:
        groups, default = [], []
        if "pose" in listen.track:
            groups += POSE_FEATURES
            default += ["positions", "angles"]
        if "hands" in listen.track:
            groups += HAND_FEATURES
            default += ["hands"]
    low, high = table.range("range", default=(0.0, 1.0))
    if low >= high:
        table.fail_key("range", f"{low:g}..{high:g}", "low below high (a route can invert)")
    are_named = table.has("features")
    kind = table.choice("kind", allowed=("class", "continuous", "trigger"), default="class")
    has_at = table.has("at")
    if kind == "trigger":
        for key in filter(table.has, ("reject", "idle", "disagreement")):
            table.fail_key(key, f"`{key}` in a trigger output", "none there: takes of 'none' teach what is not meant")
    output = Output(
        name=table.name("name"),
        kind=kind,
        classes=table.texts("classes", default=()),
        low=low,
        high=high,
        features=table.choices("features", allowed=tuple(groups), default=tuple(default)),
        offered=OFFERED_NUMBER_FEATURES if listen.is_numbers and not are_named and kind != "trigger" else (),
        inputs=table.integers("inputs", default=(), low=1, high=10_000),
        learner=table.text("learner", default=NETWORK),
        hidden=table.integers("hidden", default=(64, 32), low=1, high=4096),
        seed=table.integer("seed", default=0, low=0, high=2**31 - 1),
        bits=table.integer("bits", default=8, low=4, high=8),
        insist=table.boolean("insist", default=False),
        reject=_reject(table, is_default=not listen.is_numbers and kind != "trigger"),
        idle=table.texts("idle", default=()),
        disagreement=table.boolean("disagreement", default=False),
        at=table.number("at", default=0.8, low=0.2, high=1.0),
    )
    if has_at and kind != "trigger":
        table.fail_key("at", f"`at` in a {kind} output", 'only with kind = "trigger"')
    if kind == "trigger" and NO_CLASS in output.classes:
        table.fail_key("classes", f"'{NO_CLASS}'", "movements only; takes of 'none' may be recorded all the same")
    of_kind = {"class": CLASS_LEARNERS, "continuous": CONTINUOUS_LEARNERS}.get(output.kind, ())
    learners = (NETWORK, *of_kind)
    if output.learner not in learners:
        allowed = f"for a {output.kind} output: {', '.join(learners)}"
        table.fail_key("learner", f"'{output.learner}'", allowed + did_you_mean(output.learner, learners))
    if output.learner != NETWORK and output.disagreement:
        table.fail_key("learner", f"'{output.learner}' with `disagreement`", 'only learner = "network" can disagree')
    if output.bits not in (4, 8):
        table.fail_key("bits", str(output.bits), "8 or 4")
    if output.classes and (unknown := [name for name in output.idle if name not in output.classes]):
        table.fail_key("idle", f"class '{unknown[0]}'", f"any of {', '.join(output.classes)}")
    if output.kind == "continuous" and output.classes:
        table.fail_key("classes", "a continuous output with classes", 'classes only with kind = "class"')
    if len(set(output.classes)) != len(output.classes):
        table.fail_key("classes", "a class is there twice", "each class once")
    if not output.features:
        table.fail_key("features", "no feature group", f"at least one of {', '.join(groups)}")
    table.end()
    return output


def _reject(table: Table, *, is_default: bool) -> float:
    given = table.take("reject", default=is_default)
    if isinstance(given, bool):
        return REJECTED if given else 0.0
    if not isinstance(given, int | float) or not 0.0 <= given <= 0.5:
        table.fail_key("reject", repr(given), "true, false, or a share of true gestures 0..0.5")
    return float(given)


def _destination(table: Table) -> Destination:
    osc = table.text("osc", default="")
    midi = table.text("midi", default="")
    if bool(osc) == bool(midi):
        table.fail_key("osc", "osc and midi both or neither", 'one of osc = "HOST:PORT" and midi = "PORT NAME"')
    address = None
    if osc:
        try:
            address = parse_host_port(osc)
        except ValueError as error:
            table.fail_key("osc", str(error), "HOST:PORT")
    table.end()
    return Destination(name=str(table.where[-1]), osc=address, midi=midi or None)


def route_names(routes: Sequence[Mapping[str, Any]]) -> list[str]:
    """What scenes call those routes, given as they stand in a patch: their `name`, else their address or MIDI message.

    Of several that would be called alike, those after the first get a number.
    """
    given = [str(one.get("name", "")) for one in routes]
    names: list[str] = []
    for own, one in zip(given, routes, strict=True):
        first = name = own or _described(one)
        number = 1
        while not own and name in (*names, *given):
            number += 1
            name = f"{first} {number}"
        names.append(name)
    return names


def _described(route: Mapping[str, Any]) -> str:
    """`/cutoff`, `cc 74`, `note 60 ch 2`, `program`."""
    kind = route.get("midi")
    if not kind:
        return str(route.get("osc", ""))
    number = "" if kind == "program" else f" {route.get('number', 60 if kind == 'note' else 1)}"
    return f"{kind}{number}" + (f" ch {route['channel']}" if route.get("channel", 1) != 1 else "")


def _route(table: Table, name: str, outputs: tuple[Output, ...], destinations: Mapping[str, Destination]) -> Route:
    source = table.text("from")
    output, class_name = _resolve(table, source, outputs)
    osc = table.text("osc", default="") or None
    midi = table.choice("midi", allowed=MIDI_KINDS, default="") or None
    if (osc is None) == (midi is None):
        table.fail_key("from", "osc and midi both or neither", 'one of osc = "/address" and midi = "cc|note|program"')
    if osc and not re.fullmatch(r"/[^\s#*,?\[\]{}]+", osc):
        table.fail_key("osc", f"address '{osc}'", "an OSC address such as /synth/cutoff, without spaces or #*,?[]{}")
    wanted = "osc" if osc else "midi"
    there = [name for name, one in destinations.items() if getattr(one, wanted) is not None]
    pages = [name for name, one in destinations.items() if one.is_page]
    default = "out" if "out" in there else (there or [""])[0]
    destination = table.choice("to", allowed=(*there, *pages), default=default)
    if not destination:
        allowed = 'a table such as [destination.synth] with midi = "virtual", or to = "page"'
        table.fail_key("midi", "no MIDI destination", allowed)
    is_trigger, is_named = output.kind == "trigger", table.has("when")
    when = table.choice("when", allowed=MOVEMENT_MOMENTS, default="progress" if midi == "cc" else "hit")
    has_length = table.has("length_s")
    length_s = table.number("length_s", default=0.2, low=0.0, high=3600.0)
    midi_moments = {"note": ("hit", "begin"), "cc": ("progress",)}
    if is_trigger and midi and when not in midi_moments.get(midi, ()):
        table.fail_key("when", f"{midi} on {when}", 'notes on "hit" or "begin", controllers on "progress"')
    if is_named and not is_trigger:
        table.fail_key("when", f"`when` with '{source}', which is {output.kind}", "only with a trigger output")
    if has_length and not (is_trigger and midi == "note"):
        table.fail_key("length_s", "a length", "only with notes of a trigger output")
    if midi == "note" and class_name is None:
        table.fail_key("from", f"a note from '{source}'", "one class, as output.class")
    if midi == "program" and output.kind != "class":
        table.fail_key("from", f"program changes from '{source}'", "a class output")
    value = table.choice("value", allowed=ROUTE_VALUES, default="said")
    if value != "said" and (class_name is not None or midi in ("note", "program")):
        table.fail_key("value", f"the {value} of '{source}'", "an output without a class, to osc or cc")
    if value == "familiarity" and output.kind != "class":
        table.fail_key("value", f"the familiarity of '{source}'", "that of a class output")
    if value == "disagreement" and not output.disagreement:
        table.fail_key("value", f"the disagreement of '{source}'", "that of an [[output]] with disagreement = true")
    if midi == "cc" and output.kind == "class" and class_name is None and value == "said":
        table.fail_key("from", f"a controller from '{source}'", "one class, as output.class, or a continuous output")
    table.text("name", default="")
    route = Route(
        source=source,
        output=output.name,
        class_name=class_name,
        value=value,
        destination=destination,
        osc=osc,
        midi=midi,
        when=when if is_trigger else "",
        length_s=length_s,
        channel=table.integer("channel", default=1, low=1, high=16) - 1,
        number=table.integer("number", default=60 if midi == "note" else 1, low=0, high=127),
        low=1.0 if is_trigger and midi == "note" else 0.0,
        high=127.0 if midi else 1.0,
        change_only=table.boolean("change_only", default=True),
        when_lost=_when_lost(table.table("when_lost")),
        name=name,
        line=table.line("from"),
    )
    return _settled(table, route)


def _settled(table: Table, route: Route) -> Route:
    """The route with the settings that table gives: those a scene may change, too."""
    low, high = table.range("range", default=(route.low, route.high))
    lowest = 1 if route.when and route.midi == "note" else 0  # a note on with velocity 0 is a note off
    if route.midi and not lowest <= min(low, high) <= max(low, high) <= 127:
        table.fail_key("range", f"{low:g}..{high:g}", f"{lowest}..127 for MIDI")
    settled = replace(
        route,
        low=low,
        high=high,
        velocity=table.integer("velocity", default=route.velocity, low=1, high=127),
        curve=table.number("curve", default=route.curve, low=0.01, high=100.0),
        invert=table.boolean("invert", default=route.invert),
        smooth_s=table.number("smooth_s", default=route.smooth_s, low=0.0, high=60.0),
        threshold=table.number("threshold", default=route.threshold, low=0.0, high=1.0),
        hysteresis=table.number("hysteresis", default=route.hysteresis, low=0.0, high=1.0),
        min_hold_s=table.number("min_hold_s", default=route.min_hold_s, low=0.0, high=60.0),
    )
    table.end()
    return settled


def _scene(table: Table, outputs: tuple[Output, ...], routes: tuple[Route, ...]) -> Scene:
    name, key = table.text("name"), table.text("key", default="")
    if not name.strip():
        table.fail_key("name", f"'{name}'", "a text to call it by")
    if key and not re.fullmatch(r"[a-z0-9]", key):
        table.fail_key("key", f"'{key}'", "one letter a..z or digit 0..9")
    output, class_name = None, None
    if table.has("from"):
        output, class_name = _resolve(table, table.text("from"), outputs)
        if class_name is None:
            table.fail_key("from", f"'{output.name}'", "one class, as output.class")
    names = tuple(one.name for one in outputs)
    written = json.dumps([table.peek("routes"), table.peek("outputs")], default=str)
    named = {route.name: index for index, route in enumerate(routes)}
    settled, muted, seen = list(routes), set[int](), set[str]()
    for one in table.tables("routes"):
        route_name = one.text("route")
        if route_name not in named or route_name in seen:
            came = f"route '{route_name}'" + (" twice" if route_name in seen else "")
            one.fail_key("route", came, f"{', '.join(named) or 'none'}{did_you_mean(route_name, list(named))}")
        seen.add(route_name)
        index = named[route_name]
        if one.boolean("muted", default=False):
            muted.add(index + 1)
        settled[index] = _settled(one, routes[index])
    scene = Scene(
        name=name,
        fade_s=table.number("fade_s", default=0.0, low=0.0, high=3600.0),
        key=key,
        output=output.name if output else None,
        class_name=class_name,
        hold_s=table.number("hold_s", default=1.0, low=0.0, high=3600.0),
        threshold=table.number("threshold", default=0.5, low=0.0, high=1.0),
        outputs=table.choices("outputs", allowed=names, default=()) if table.has("outputs") else None,
        routes=tuple(settled),
        muted=frozenset(muted),
        written=written,
    )
    table.end()
    return scene


def _pedal(table: Table) -> Pedal:
    press = table.text("press")
    command = _pedal_line(table, "press", press)
    is_recording = command in ("/instrument/record", "/instrument/performance/record")
    release = table.text("release", default="record stop" if is_recording else "")
    if release:
        _pedal_line(table, "release", release)
    midi = table.choice("midi", allowed=MIDI_KINDS, default="")
    pedal = Pedal(
        name=table.text("name", default=press),
        press=press,
        release=release,
        midi=midi,
        number=table.integer("number", default=0, low=0, high=127),
        channel=table.integer("channel", default=1, low=1, high=16) - 1 if table.has("channel") else None,
        port=table.text("port", default=""),
    )
    table.end()
    return pedal


def _pedal_line(table: Table, key: str, line: str) -> str:
    """The address of the command that a typed line gives."""
    try:
        command, _ = parse_line(line)
    except ValueError as error:
        table.fail_key(key, f"'{line}'", f"a command as it is typed, such as record posture up: {error}")
    if not command.is_answered or command.method.partition("_")[0] in NOT_FOR_PEDALS:
        table.fail_key(key, f"'{line}'", f"a command of the performer's; not {', '.join(NOT_FOR_PEDALS)}")
    return command.address


def _resolve(table: Table, source: str, outputs: tuple[Output, ...]) -> tuple[Output, str | None]:
    """The output a route's `from` names, and the class after the dot, if any."""
    for output in outputs:
        if source == output.name:
            return output, None
        if source.startswith(output.name + ".") and output.kind != "continuous":
            class_name = source[len(output.name) + 1 :]
            allowed = (*output.classes, *[NO_CLASS] * (output.reject > 0))
            if output.classes and class_name not in allowed:
                table.fail_key("from", f"class '{class_name}'", f"one of {', '.join(allowed)}")
            return output, class_name
    names = ", ".join(output.name for output in outputs) or "none: add an [[output]]"
    table.fail_key("from", f"output '{source}'", f"one of {names}; or output.class")


def _when_lost(table: Table) -> WhenLost:
    given = table.take("then", default="release")
    is_value = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= 1e9
    if not is_value and given not in ("release", "hold"):
        table.fail_key("then", repr(given), '"release", "hold" or a number to send')
    then = float(given) if is_value else str(given)
    when_lost = WhenLost(hold_s=table.number("hold_s", default=1.0, low=0.0, high=3600.0), then=then)
    table.end()
    return when_lost
