"""The patch: what the instrument listens to, learns and sends, read from a `patch.toml`.

`read_patch` gives a checked, frozen `Patch` or raises `PatchError`, whose text names the file,
the line, what came and what is allowed. Nothing here opens a device or a model.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from instrument.models.learner_names import CLASS_LEARNERS, CONTINUOUS_LEARNERS, NETWORK
from instrument.protocol import parse_line

POSE_FEATURES = ("positions", "angles", "distances", "velocities", "energy", "windowed", "differences")
HAND_FEATURES = ("hands", "hand_velocities", "hand_windowed", "hand_differences")
NUMBER_FEATURES = (
    "numbers",
    "number_velocities",
    "number_windowed",
    "number_differences",
    "number_path",
    "number_shape",
    "number_hand",
    "number_body",
)
OFFERED_NUMBER_FEATURES = ("number_path", "number_shape", "number_hand", "number_body")
FEATURE_GROUPS = POSE_FEATURES + HAND_FEATURES + NUMBER_FEATURES

DEFAULT_OSC = ("127.0.0.1", 12000)
ROUTE_VALUES = ("said", "familiarity", "disagreement")
REJECTED = 0.05
"""Share of true gestures that `reject = true` gives up to keep strangers out."""
NO_CLASS = "none"
"""What a class output says of a frame that is none of its classes; what takes of a trigger output are labelled
in which no movement is meant."""
PAGE = "page"
"""The destination that is always there: the voice in the console's page."""


class PatchError(ValueError):
    """A patch that cannot be played; its text says where, what came and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where frames come from and what is tracked in them."""

    source: str = "auto"
    """`auto` (camera, else demo), `demo`, `camera:N`, `phone`, a video file, a URL, `take:N`, or `osc`."""
    track: tuple[str, ...] = ("pose",)
    """`pose`, `hands`, or both; ignored with `source = "osc"`."""
    inputs: int = 0
    """How many numbers `/wek/inputs` carries; 0 takes whatever the first message has."""
    input_names: tuple[str, ...] = ()
    width_px: int = 640
    """Pictures wider than this are scaled down before tracking."""
    reacquire_s: float = 4.0
    """How long a lost performer is waited for before somebody else may take their place."""
    quiet_s: float = 5.0
    """With `source = "osc"`: without numbers for this long, routes are told that the body is lost; 0 is never."""

    @property
    def is_numbers(self) -> bool:
        """Whether this patch learns from numbers over OSC instead of a body."""
        return self.source == "osc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """Parameters of the 1 euro filter on every landmark (Casiez, Roussel and Vogel, 2012)."""

    min_cutoff_hz: float = 2.0
    """Lower is steadier when still. 0 turns smoothing off."""
    beta: float = 1.0
    """Higher lags less when moving; per body length and second."""
    derivative_cutoff_hz: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureOptions:
    """How landmarks become features."""

    body: str = "full"
    """`full` measures from the hips; `upper` from the shoulders, for a webcam at a desk."""
    mirror: bool = False
    """True makes a gesture and its mirror image the same."""
    window_s: float = 0.5
    """Length of the `windowed` groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One thing that is learned."""

    name: str
    kind: str
    """`class`, `continuous` or `trigger`."""
    classes: tuple[str, ...] = ()
    """The classes, or movements, that may be recorded, in order; empty: whichever the takes have."""
    low: float = 0.0
    high: float = 1.0
    """Limits of a continuous output."""
    features: tuple[str, ...] = ()
    """Feature groups it learns from."""
    offered: tuple[str, ...] = ()
    """More groups, of which training takes those that help; none where the patch names its features."""
    inputs: tuple[int, ...] = ()
    """Which numbers (1 is the first) of those groups it learns from; empty: all."""
    learner: str = NETWORK
    """What learns: `network`, or one of scikit-learn's."""
    hidden: tuple[int, ...] = (64, 32)
    """Widths of the network's hidden layers."""
    seed: int = 0
    bits: int = 8
    """Of the weights that are played: 8, or 4 where that is not heard."""
    insist: bool = False
    """Whether 4 bits are played even where they are heard."""
    reject: float = 0.0
    """Share of true gestures 0..1 given up so that strangers are none of the classes; 0 rejects nothing."""
    idle: tuple[str, ...] = ()
    """Classes that mean nothing, such as standing there: in a rehearsal they are no false triggers."""
    disagreement: bool = False
    """Whether a small ensemble learns the same, so that routes can send how far it disagrees."""
    at: float = 0.8
    """The progress at which a movement of a trigger output counts as played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """When to train."""

    always: bool = True
    """Whether there is a new model after every take and every edit of takes, without asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Somewhere controls go: exactly one of `osc`, `midi` and `is_page` is set."""

    name: str
    osc: tuple[str, int] | None = None
    """Host and port."""
    midi: str | None = None
    """Part of a MIDI port's name, or `virtual` to offer a port of our own."""
    is_page: bool = False
    """Whether it is the voice in the console's page, which hears OSC and MIDI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenLost:
    """What a route does when the body is lost: hold for `hold_s`, then do `then`."""

    hold_s: float = 1.0
    then: str | float = "release"
    """`release` (note off; value to the low end), `hold` (for ever), or a value to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where one control goes. `source` names an output, or one class of it as `output.class`."""

    source: str
    output: str
    class_name: str | None = None
    value: str = "said"
    """What of it: `said` (a class and its confidence, or a value), `familiarity` or `disagreement`."""
    destination: str = "out"
    osc: str | None = None
    """OSC address."""
    midi: str | None = None
    """`cc`, `note` or `program`."""
    when: str = ""
    """What of a trigger output: `hit`, `begin`, `end` or `progress`; empty for other outputs."""
    length_s: float = 0.2
    """How long a note of a trigger output sounds; 0 until the movement ends."""
    channel: int = 0
    """0..15 (written 1..16 in the patch)."""
    number: int = 0
    """Controller or note number."""
    velocity: int = 100
    low: float = 0.0
    high: float = 1.0
    """What the input range 0..1 (or the output's range) becomes."""
    curve: float = 1.0
    """Exponent applied to 0..1 before the range: 1 is linear, 2 slow at first, 0.5 fast."""
    invert: bool = False
    smooth_s: float = 0.0
    """Time constant of a one-pole low-pass filter on the value."""
    threshold: float = 0.5
    """Confidence at which a class counts as present, for notes and class changes."""
    hysteresis: float = 0.1
    """How far below `threshold` the confidence must fall before the class counts as gone."""
    min_hold_s: float = 0.0
    """Once a class or note is on it stays on at least this long."""
    change_only: bool = True
    """Send only when what would be sent differs from what was sent last."""
    when_lost: WhenLost = field(default_factory=WhenLost)
    name: str = ""
    """What scenes call it: given, or its address or MIDI message."""
    line: int = field(default=0, compare=False)
    """Line in the patch, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What routes do together, to be recalled at once or over `fade_s`."""

    name: str
    fade_s: float = 0.0
    key: str = ""
    """The key that recalls it in the page: a letter or a digit."""
    output: str | None = None
    class_name: str | None = None
    """The class that recalls it once it has been seen for `hold_s`."""
    hold_s: float = 1.0
    threshold: float = 0.5
    outputs: tuple[str, ...] | None = None
    """The outputs that play; None leaves them as they are."""
    routes: tuple[Route, ...] = ()
    """Every route of the patch, in its order, with the settings it has in this scene."""
    muted: frozenset[int] = frozenset()
    """The routes that are silent in it; 1 is the first."""
    written: str = ""
    """What it says of routes and outputs, as it stands in the patch: whether it was edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pedal:
    """What a pedal, key or knob of a MIDI controller does."""

    name: str
    """What it is called on the page: given, else what it does."""
    press: str
    """The command of the protocol, as it is typed, when it goes down."""
    release: str
    """The one when it comes up again; empty for none."""
    midi: str = ""
    """`note`, `cc` or `program`; empty while it has not been learned."""
    number: int = 0
    channel: int | None = None
    """0..15; None for any."""
    port: str = ""
    """Part of the name of the MIDI input it comes from; empty for any, `virtual` for a port of our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Everything a `patch.toml` says."""

    path: Path
    name: str
    about: str = ""
    listen: Listen = field(default_factory=Listen)
    smoothing: Smoothing = field(default_factory=Smoothing)
    features: FeatureOptions = field(default_factory=FeatureOptions)
    training: Training = field(default_factory=Training)
    outputs: tuple[Output, ...] = ()
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    scenes: tuple[Scene, ...] = ()
    pedals: tuple[Pedal, ...] = ()
    is_wekinator: bool = True
    """Whether every frame also goes out as `/wek/outputs`, as Wekinator sends it."""
    wekinator_probabilities: bool = False
    """Whether `/outputs-1` ... with the class probabilities follow."""
    wekinator_output_names: tuple[str, ...] = ()
    """What a Wekinator client calls the outputs."""

    def output(self, name: str) -> Output:
        """The output of that name.

        Raises KeyError with the names there are.
        """
        for output in self.outputs:
            if output.name == name:
                return output
        there = ", ".join(output.name for output in self.outputs) or "none"
        raise KeyError(f"no output '{name}'; this patch has: {there}")

    def scene(self, name: str) -> Scene:
        """The scene of that name.

        Raises KeyError with the names there are.
        """
        for scene in self.scenes:
            if scene.name == name:
                return scene
        there = ", ".join(scene.name for scene in self.scenes) or "none; make one with /instrument/scene/save"
        raise KeyError(f"no scene '{name}'; this patch has: {there}")

    def sending_to(self, address: tuple[str, int] | None) -> "Patch":
        """This patch with the destination `out` at that host and port; None leaves it where it is."""
        if address is None:
            return self
        return replace(self, destinations={**self.destinations, "out": Destination(name="out", osc=address)})


def read_patch(path: Path) -> Patch:
    """The patch in that file.

    Raises PatchError with file, line, what came and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PatchError(f"{path}: no such patch; make a project with `instrument new NAME --from PATCH`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PatchError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    return parse_patch(text, path)


def parse_patch(text: str, path: Path) -> Patch:
    """The patch that text describes; `path` is where it came from."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PatchError(f"{path}: not valid TOML: {error}") from None
    top = _Table(path=path, text=text, table=table, where=())
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


def parse_host_port(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `:PORT` or `PORT`.

    Raises ValueError.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"'{text}' is not HOST:PORT with a port of 1..65535, such as 127.0.0.1:12000")
    return host or "127.0.0.1", int(port)


def _listen(table: "_Table") -> Listen:
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


def _smoothing(table: "_Table") -> Smoothing:
    smoothing = Smoothing(
        min_cutoff_hz=table.number("min_cutoff_hz", default=Smoothing().min_cutoff_hz, low=0.0, high=1000.0),
        beta=table.number("beta", default=Smoothing().beta, low=0.0, high=1000.0),
        derivative_cutoff_hz=table.number(
            "derivative_cutoff_hz", default=Smoothing().derivative_cutoff_hz, low=0.001, high=1000.0
        ),
    )
    table.end()
    return smoothing


def _features(table: "_Table") -> FeatureOptions:
    options = FeatureOptions(
        body=table.choice("body", allowed=("full", "upper"), default="full"),
        mirror=table.boolean("mirror", default=False),
        window_s=table.number("window_s", default=0.5, low=0.05, high=10.0),
    )
    table.end()
    return options


def _training(table: "_Table") -> Training:
    training = Training(always=table.boolean("always", default=True))
    table.end()
    return training


def _output(table: "_Table", listen: Listen) -> Output:
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
        table.fail_key("learner", f"'{output.learner}'", allowed + _did_you_mean(output.learner, learners))
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


def _reject(table: "_Table", *, is_default: bool) -> float:
    given = table.take("reject", default=is_default)
    if isinstance(given, bool):
        return REJECTED if given else 0.0
    if not isinstance(given, int | float) or not 0.0 <= given <= 0.5:
        table.fail_key("reject", repr(given), "true, false, or a share of true gestures 0..0.5")
    return float(given)


def _destination(table: "_Table") -> Destination:
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


MOVEMENT_MOMENTS = ("hit", "begin", "end", "progress")
_MIDI_KINDS = ("cc", "note", "program")


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


def _route(table: "_Table", name: str, outputs: tuple[Output, ...], destinations: Mapping[str, Destination]) -> Route:
    source = table.text("from")
    output, class_name = _resolve(table, source, outputs)
    osc = table.text("osc", default="") or None
    midi = table.choice("midi", allowed=_MIDI_KINDS, default="") or None
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


def _settled(table: "_Table", route: Route) -> Route:
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


def _scene(table: "_Table", outputs: tuple[Output, ...], routes: tuple[Route, ...]) -> Scene:
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
            one.fail_key("route", came, f"{', '.join(named) or 'none'}{_did_you_mean(route_name, list(named))}")
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


NOT_FOR_PEDALS = ("project", "quit", "subscribe", "unsubscribe", "remote", "midi", "trainer")
"""First words of commands that no pedal gives: what would end the piece, and what is for programs."""


def _pedal(table: "_Table") -> Pedal:
    press = table.text("press")
    command = _pedal_line(table, "press", press)
    is_recording = command in ("/instrument/record", "/instrument/performance/record")
    release = table.text("release", default="record stop" if is_recording else "")
    if release:
        _pedal_line(table, "release", release)
    midi = table.choice("midi", allowed=_MIDI_KINDS, default="")
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


def _pedal_line(table: "_Table", key: str, line: str) -> str:
    """The address of the command that a typed line gives."""
    try:
        command, _ = parse_line(line)
    except ValueError as error:
        table.fail_key(key, f"'{line}'", f"a command as it is typed, such as record posture up: {error}")
    if not command.is_answered or command.method.partition("_")[0] in NOT_FOR_PEDALS:
        table.fail_key(key, f"'{line}'", f"a command of the performer's; not {', '.join(NOT_FOR_PEDALS)}")
    return command.address


def _resolve(table: "_Table", source: str, outputs: tuple[Output, ...]) -> tuple[Output, str | None]:
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


def _when_lost(table: "_Table") -> WhenLost:
    given = table.take("then", default="release")
    is_value = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= 1e9
    if not is_value and given not in ("release", "hold"):
        table.fail_key("then", repr(given), '"release", "hold" or a number to send')
    then = float(given) if is_value else str(given)
    when_lost = WhenLost(hold_s=table.number("hold_s", default=1.0, low=0.0, high=3600.0), then=then)
    table.end()
    return when_lost


class _Table:
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
            self.fail_key(key, f"'{value}'", f"one of {', '.join(allowed)}{_did_you_mean(value, allowed)}")
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
                self.fail_key(key, f"'{value}'", f"any of {', '.join(allowed)}{_did_you_mean(value, allowed)}")
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

    def table(self, key: str) -> "_Table":
        value = self.take(key, default={})
        if not isinstance(value, dict):
            self.fail_key(key, repr(value), f"a table, [{key}]")
        return self._child(value, (*self.where, key))

    def tables(self, key: str) -> "list[_Table]":
        value = self.take(key, default=[])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.fail_key(key, repr(value), f"tables, each headed [[{key}]]")
        return [self._child(one, (*self.where, key, index)) for index, one in enumerate(value)]

    def named_tables(self, key: str) -> "list[_Table]":
        value = self.take(key, default={})
        if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
            self.fail_key(key, repr(value), f"tables, each headed [{key}.NAME]")
        return [self._child(one, (*self.where, key, name)) for name, one in value.items()]

    def end(self) -> None:
        """Complains of the first key nobody asked for."""
        for key in self._rest:
            self.fail_key(key, f"unknown '{key}'", f"{', '.join(self._known)}{_did_you_mean(key, self._known)}")

    def line(self, key: str) -> int:
        return _line_of(self.source_text, (*self.where, key))

    def fail_key(self, key: str, came: str, allowed: str) -> NoReturn:
        self.fail((*self.where, key), came, allowed)

    def fail(self, where: tuple[str | int, ...], came: str, allowed: str) -> NoReturn:
        name = ".".join(str(part + 1) if isinstance(part, int) else part for part in where)
        raise PatchError(f"{self.path}, line {_line_of(self.source_text, where)}: {name}: {came}; allowed: {allowed}")

    def _child(self, table: dict[str, Any], where: tuple[str | int, ...]) -> "_Table":
        return _Table(path=self.path, text=self.source_text, table=table, where=where)


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


def _did_you_mean(value: str, allowed: "tuple[str, ...] | list[str]") -> str:
    close = difflib.get_close_matches(value, allowed, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
