"""The patch: what the instrument listens to, learns and sends.

Frozen data; `patch_file.py` reads it from a `patch.toml`. Nothing here opens a device or a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from instrument.models.learner_names import NETWORK

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

REJECTED = 0.05
"""Share of true gestures that `reject = true` gives up to keep strangers out."""
NO_CLASS = "none"
"""What a class output says of a frame that is none of its classes; what takes of a trigger output are labelled
in which no movement is meant."""
FAINTEST = 0.01
"""A confidence below this is gone, however wide the band of hysteresis."""
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

    @property
    def parts(self) -> tuple[str, ...]:
        """What takes of it hold in each frame."""
        if self.is_numbers:
            return ("numbers",)
        pose = ("pose", "pose_world") if "pose" in self.track else ()
        hands = ("left_hand", "right_hand") if "hands" in self.track else ()
        return pose + hands


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
