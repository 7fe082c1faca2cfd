"""The one table of everything the instrument can be told over OSC.

Each row is a command: its address, the type tags of its arguments, whether it answers at once
or later, and what the answer carries. The server checks datagrams against it, the engine looks
its methods up by it, `docs/protocol.md` is generated from it and the tests walk through it.

Commands under /instrument are answered `/done <address> ...` or `/fail <address> <reason>` to
wherever they came from. Commands under /wek and /wekinator are Wekinator's own and, as there,
never answered, and arguments too many do not matter: a TouchOSC button sends 1.0 with everything.
"""

import re
import reprlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

Value = int | float | str | bytes

DEFAULT_PORT = 6448
PREFIX = "/instrument/"

_TAGS = {
    "i": "a whole number",
    "f": "a number",
    "s": "a text",
    "v": "a text or a number",
}
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_LARGEST_INT = 2**31 - 1
_LARGEST_FLOAT = 3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: `tag` is i, f (an int will do), s, or v (any of them)."""

    name: str
    tag: str

    def check(self, value: Value) -> Value:
        """The value in the type the command wants.

        Raises ValueError.
        """
        if isinstance(value, str) and self.tag in "sv":
            return value
        if not isinstance(value, str | bytes) and abs(value) <= _LARGEST_FLOAT:  # which NaN is not
            if self.tag == "i" and abs(value) <= _LARGEST_INT and float(value).is_integer():
                return int(value)
            if self.tag in "fv" and (isinstance(value, float) or abs(value) <= _LARGEST_INT):
                return float(value) if self.tag == "f" else value
        raise ValueError(f"{self.name} must be {_TAGS[self.tag]}, {reprlib.repr(value)} came")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the table."""

    address: str
    arguments: tuple[Argument, ...]
    optional: int
    """How many arguments at the end may be left out."""
    repeats: int
    """How many arguments at the end may come again, as a group, any number of times."""
    about: str
    done: str
    """What follows the address in `/done`; empty for nothing."""
    is_later: bool
    """Whether the answer comes when the work has ended rather than at once."""

    @property
    def method(self) -> str:
        """The name of the method that does it: /instrument/takes/delete is takes_delete."""
        return "_".join(self.address.strip("/").split("/")[1:])

    @property
    def is_answered(self) -> bool:
        return self.address.startswith("/instrument/") and not self.is_internal

    @property
    def is_internal(self) -> bool:
        """Whether it is between the instrument's own processes."""
        return self.address.startswith("/instrument/trainer/")

    @property
    def signature(self) -> str:
        """The arguments as people read them, such as `count_in_s:f [output:s target:v] ...`."""
        words = [f"{one.name}:{one.tag}" for one in self.arguments]
        if self.optional:
            words[-self.optional :] = [f"[{' '.join(words[-self.optional :])}]"]
        return " ".join([*words, "..."] if self.repeats else words)

    def check(self, values: Sequence[Value]) -> list[Value]:
        """The arguments, each in its type.

        Raises ValueError with what is wanted.
        """
        wanted = self.wanted(len(values))
        if not self.is_answered:
            values = values[: len(wanted)]
        least = len(self.arguments) - self.optional
        is_whole = not self.repeats or (len(values) - least) % self.repeats == 0
        if not least <= len(values) <= len(wanted) or not is_whole:
            came = f"{len(values)} argument{'' if len(values) == 1 else 's'} came"
            raise ValueError(f"{self.address} takes {self.signature or 'no arguments'}; {came}")
        try:
            return [argument.check(value) for argument, value in zip(wanted, values, strict=False)]
        except ValueError as error:
            raise ValueError(f"{self.address} takes {self.signature}: {error}") from None

    def wanted(self, count: int) -> list[Argument]:
        """The arguments there would be if so many came: those at the end as often as need be."""
        wanted = list(self.arguments)
        while self.repeats and len(wanted) < count:
            wanted += self.arguments[-self.repeats :]
        return wanted


def _row(
    address: str,
    arguments: str,
    about: str,
    *,
    done: str = "",
    later: bool = False,
    optional: int = 0,
    repeats: int = 0,
) -> Command:
    names = tuple(Argument(*word.split(":")) for word in arguments.split())
    return Command(
        address=address,
        arguments=names,
        optional=optional,
        repeats=repeats,
        about=about,
        done=done,
        is_later=later,
    )


SECTIONS: dict[str, tuple[Command, ...]] = {
    "The instrument itself": (
        _row("/instrument/ping", "", "Is anybody there?", done="version:s"),
        _row(
            "/instrument/status", "", "What is going on: source, outputs, destinations, latency, errors.", done="json:s"
        ),
        _row(
            "/instrument/health",
            "first:i",
            "The last hour: a row every 5 s, every minute before the last five; `keys` names the columns. With "
            "`first`, only the rows from that one on: ask for `next` then, if `pid` is still the same.",
            done="json:s",
            optional=1,
        ),
        _row("/instrument/run", "on:i", "Starts (1) or stops (0) playing: sending what the models see."),
        _row("/instrument/run/toggle", "", "Starts playing, or stops it; for a pedal.", done="on:i"),
        _row("/instrument/panic", "", "Silence: ends every note and stops playing until `run 1`."),
        _row("/instrument/latency/reset", "", "Forgets the latencies measured so far and measures afresh."),
        _row("/instrument/quit", "", "Ends every note, then the program. Only programs on this computer may ask."),
        _row(
            "/instrument/remote",
            "command:s argument:v",
            "Does that command (its whole address) as if another computer had asked, and answers under that address: "
            "for programs that pass on what others send. What only programs on this computer may ask for is refused.",
            optional=1,
            repeats=1,
        ),
    ),
    "Project and patch": (
        _row(
            "/instrument/project/open",
            "folder:s",
            "Plays the project in that folder instead of this one.",
            done="name:s",
        ),
        _row(
            "/instrument/project/new",
            "folder:s patch:s",
            "Makes a project from a ready-made patch, such as `three-postures`; `project/open` then plays it. "
            "Only programs on this computer may ask.",
            done="folder:s",
            later=True,
        ),
        _row(
            "/instrument/project/reload",
            "",
            "Plays `patch.toml` as it is now, after you have edited it.",
            done="name:s",
        ),
        _row(
            "/instrument/patch/set",
            "key:s value:v key:s value:v",
            "Sets values in `patch.toml`, keeping its comments, and plays on with them. Keys are written "
            "`smoothing.beta`, `route.2.curve` (the second route), `route.2.range.1` (the first of its two numbers, "
            "where it has them; else all of it, `route.2.range` with `[0, 1]`); an empty text takes a value out.",
            optional=2,
            repeats=2,
        ),
        _row(
            "/instrument/patch/remove",
            "key:s",
            "Takes a value, or a whole table such as `route.2`, out of `patch.toml`; an output goes with its routes, "
            "its takes stay.",
        ),
        _row(
            "/instrument/patch/add",
            "table:s json:s",
            "Adds a `route`, `output`, `scene`, `pedal` or `destination.NAME` to `patch.toml`; its keys as a JSON "
            "object.",
        ),
        _row(
            "/instrument/patch/undo",
            "",
            "Takes back the last change of the patch, whether by a command or by an editor, up to 200 times. One that "
            "cannot be played is kept beside it as `patch.undone.toml`.",
        ),
        _row("/instrument/patch/redo", "", "Does again what `patch/undo` took back."),
        _row(
            "/instrument/routes",
            "",
            "The routes, numbered, with their settings and whether they are muted.",
            done="json:s",
        ),
        _row(
            "/instrument/route/mute",
            "route:i muted:i",
            "Mutes (1) or unmutes (0) one route, counted from 1; a note it holds ends.",
        ),
        _row(
            "/instrument/route/solo",
            "route:i on:i",
            "Silences all routes but those that are solo (1), until none is (0). `patch.toml` keeps nothing of it.",
        ),
        _row(
            "/instrument/route/test",
            "route:i seconds:f",
            "Moves one route's control up and down by itself, for 2 s or as long as given; 0 ends it.",
            optional=1,
        ),
        _row(
            "/instrument/route/learn",
            "route:i seconds:f",
            "The same for 10 s while nothing else is sent, so that a synthesiser's own MIDI learn hears only this.",
            optional=1,
        ),
        _row("/instrument/output/classes", "output:s class:s", "Names all the classes an output may have.", repeats=1),
        _row(
            "/instrument/output/enable",
            "output:s on:i",
            "Switches an output on (1) or off (0) while playing; what is off ends its notes and movements.",
        ),
    ),
    "Scenes": (
        _row(
            "/instrument/scenes",
            "",
            "The scenes, in order, which of them plays, and whether something was changed since it was recalled.",
            done="json:s",
        ),
        _row(
            "/instrument/scene/recall",
            "name:s fade_s:f",
            "Goes to that scene, over the time given or else its own: numbers move, switches flip in the middle. Notes "
            "of routes that fall silent end.",
            done="name:s",
            optional=1,
        ),
        _row("/instrument/scene/next", "", "Goes to the scene after this one; for a pedal.", done="name:s"),
        _row("/instrument/scene/previous", "", "Goes to the scene before this one.", done="name:s"),
        _row(
            "/instrument/scene/leave",
            "fade_s:f",
            "Goes back to the routes as their own tables in the patch have them.",
            done="name:s",
            optional=1,
        ),
        _row(
            "/instrument/scene/save",
            "name:s",
            "Keeps what routes do now as the scene of that name in `patch.toml`: settings, mutes, outputs that play.",
        ),
    ),
    "Pedals": (
        _row(
            "/instrument/pedals",
            "",
            "The pedals of the patch, what each does, which are down, and the MIDI inputs they are heard from.",
            done="json:s",
        ),
        _row(
            "/instrument/pedal/learn",
            "pedal:i seconds:f",
            "Makes the next pedal, key or knob that is pressed within 15 s, or as long as given, that pedal of the "
            "patch (1 is the first), and keeps it in `patch.toml`. It does nothing else meanwhile; 0 ends it.",
            done="heard:s",
            later=True,
            optional=1,
        ),
        _row(
            "/instrument/midi/in",
            "port:s status:i first:i second:i",
            "A MIDI message as if it had come in by that port: what a pedal sends. `144 36 100` is note 36, channel 1.",
            done="pedals:i",
            optional=1,
        ),
    ),
    "Source and performer": (
        _row(
            "/instrument/source",
            "source:s",
            "Watches something else: `auto`, `demo`, `camera:0`, `phone`, a video file, `http://...`, `rtsp://...`, "
            "`take:3`, or `osc` for numbers. Programs on other computers may choose `phone` only.",
            done="source:s",
        ),
        _row("/instrument/performer/forget", "", "Lets go of the performer and follows whoever is seen next."),
    ),
    "Takes": (
        _row(
            "/instrument/record",
            "output:s target:v",
            "Records a take that shows each output its target: a class name, or a value. Without arguments it shows "
            "the targets set with `target` to all outputs that `record/mask` has not switched off.",
            done="teaching:s number:i",
            optional=2,
            repeats=2,
        ),
        _row(
            "/instrument/record/timed",
            "count_in_s:f length_s:f output:s target:v",
            "The same after a count-in, ending by itself after `length_s` seconds (0: when told to stop). The answer "
            "comes with the finished take.",
            done="take:i frames:i",
            later=True,
            optional=2,
            repeats=2,
        ),
        _row(
            "/instrument/record/toggle",
            "output:s target:v",
            "Records as `record` does, or ends the take; for a pedal.",
            done="recording:i",
            optional=2,
            repeats=2,
        ),
        _row(
            "/instrument/record/series",
            "times:i count_in_s:f length_s:f output:s target:v",
            "Several timed takes one after the other, each after a count-in. Told to stop, it ends for good. The "
            "answer comes after the last, with how many were kept.",
            done="takes:i",
            later=True,
            optional=2,
            repeats=2,
        ),
        _row(
            "/instrument/record/stop",
            "number:i",
            "Ends the take; with the number that `record` answered, none but that one. A take in which the body was "
            "mostly out of sight is refused with the reason; `undo` keeps it all the same.",
            done="take:i frames:i",
            later=True,
            optional=1,
        ),
        _row(
            "/instrument/record/mask",
            "output:s on:i",
            "Whether `record` without arguments teaches an output (1) or not (0).",
        ),
        _row("/instrument/target", "output:s target:v", "Sets what `record` without arguments teaches an output."),
        _row(
            "/instrument/randomise",
            "output:s",
            "Gives continuous outputs (these, or all) values at random, sends them so that you hear them, and stops "
            "playing: strike a pose that suits them, and `record` without arguments teaches them alone. `train` or "
            "`run 1` plays on.",
            done="values:s",
            optional=1,
            repeats=1,
        ),
        _row(
            "/instrument/performance/record",
            "",
            "Records a whole performance, to be played again with `source take:N`; it teaches nothing. "
            "`record/stop` ends it.",
        ),
        _row(
            "/instrument/rehearse",
            "",
            "Records a rehearsal, in which nothing is meant: walk, talk, play. `rehearse/stop` ends it.",
        ),
        _row(
            "/instrument/rehearse/stop",
            "",
            "Ends the rehearsal and sets how strict class outputs are: at most one false trigger a minute. The answer "
            "says for each what is measured on the half that had no say. It is kept, and holds for later trainings.",
            done="json:s",
            later=True,
        ),
        _row(
            "/instrument/rehearse/use",
            "take:i nothing_meant:i",
            "Takes a recorded performance for a rehearsal (1), or a rehearsal for a performance again (0), and answers "
            "as `rehearse/stop`.",
            done="json:s",
            later=True,
        ),
        _row("/instrument/rehearse/forget", "", "Deletes all rehearsals; `undo` brings them back.", done="takes:i"),
        _row("/instrument/takes", "", "The takes: number, length, what each teaches.", done="json:s"),
        _row("/instrument/takes/delete", "take:i", "Deletes these takes.", done="takes:i", repeats=1),
        _row("/instrument/takes/delete_last", "", "Deletes the newest take.", done="takes:i"),
        _row("/instrument/takes/delete_all", "", "Deletes every take; recorded performances stay.", done="takes:i"),
        _row("/instrument/takes/relabel", "take:i output:s target:v", "Makes a take teach another class or value."),
        _row(
            "/instrument/takes/relabel_many",
            "output:s target:v take:i",
            "The same for several takes, as one step of `undo`.",
            done="takes:i",
            repeats=1,
        ),
        _row(
            "/instrument/takes/trim",
            "take:i first:i last:i",
            "Learns only from these frames of a take, counted from 0.",
        ),
        _row(
            "/instrument/takes/cut",
            "take:i from_s:f to_s:f output:s target:v",
            "Makes a new take of what a performance, or another take, shows between two times: this should have been "
            "that. The performance stays as it is.",
            done="take:i frames:i",
        ),
        _row(
            "/instrument/takes/export",
            "file:s",
            "Writes all takes into a `.csv`, `.npz` or `.arff` file inside the project's folder.",
            done="takes:i file:s",
            later=True,
        ),
        _row(
            "/instrument/takes/import",
            "file:s",
            "Adds the takes of such a file, which must be inside the project's folder.",
            done="takes:i",
            later=True,
        ),
        _row(
            "/instrument/undo",
            "",
            "Takes back the last change of takes, recording included, as often as you like; while recording, what is "
            "being recorded.",
            done="what:s",
        ),
        _row("/instrument/redo", "", "Does again what `undo` took back.", done="what:s"),
    ),
    "Training": (
        _row(
            "/instrument/train",
            "output:s",
            "Learns from the takes: for these outputs, or all. The answer comes when the new models play.",
            done="json:s",
            later=True,
            optional=1,
            repeats=1,
        ),
        _row("/instrument/train/cancel", "", "Stops learning; the models that play stay."),
        _row(
            "/instrument/model/save",
            "output:s file:s",
            "Keeps a copy of an output's model under that name, in the project's folder; "
            "programs on this computer may name another.",
            done="file:s",
        ),
        _row("/instrument/model/load", "output:s file:s", "Plays a model kept with `model/save`."),
        _row(
            "/instrument/model/map",
            "output:s",
            "What an output's model sees, as a picture in two dimensions, drawn a moment after each training. All "
            "numbers are little-endian. `projection`, two float32 for each of the features and two more: a frame is at "
            "the sum of its features times theirs, plus the last two, from 0, 0 (left, bottom) to 1, 1. `examples`: "
            "uint16 x, y (of 65535) and take (a place in the JSON's `takes`), uint8 what it shows and what the model "
            "says of it. `regions`: for each place of the `grid` (columns, rows), from the left and the bottom, uint8 "
            "what the model says there and how sure it is (of 255). Classes are numbered as in `classes`, 255 is none "
            "of them; values are 0..255 of the `range`.",
            done="json:s projection:b examples:b regions:b",
            later=True,
            optional=1,
        ),
        _row(
            "/instrument/coaching",
            "",
            "What to record next, as JSON: for each output its scores by take and by frame, its confusion matrix, how "
            "its loss fell, a learning curve, and sentences of advice with their evidence: see learning.md. Comes a "
            "moment after each training and after the start; empty until then.",
            done="json:s",
        ),
    ),
    "Telemetry": (
        _row(
            "/instrument/subscribe",
            "topic:s",
            "Sends these topics, listed below, to the port that asks, instead of those it asked for before. "
            "It ends after 10 s: ask again to go on.",
            done="seconds:i",
            repeats=1,
        ),
        _row("/instrument/unsubscribe", "", "Sends that port nothing more."),
    ),
    "Wekinator": (
        _row("/wek/inputs", "value:f", "The inputs, as floats; an argument of another type counts as 0.", repeats=1),
        _row(
            "/wekinator/control/outputs",
            "value:f",
            "What to record: one value per output, classes counted from 1. An illegal value leaves the old one.",
            repeats=1,
        ),
        _row("/wekinator/control/startRecording", "", "Starts recording; stops running."),
        _row("/wekinator/control/stopRecording", "", "Stops recording."),
        _row(
            "/wekinator/control/startDtwRecording",
            "gesture:i",
            "Records a take of that movement of the first trigger output; stops running.",
        ),
        _row("/wekinator/control/stopDtwRecording", "", "Ends the take."),
        _row("/wekinator/control/train", "", "Trains; `/wekinator/status/done-training` says when it is over."),
        _row("/wekinator/control/cancelTrain", "", "Stops training."),
        _row("/wekinator/control/startRunning", "", "Starts running, if anything is trained; ends recording."),
        _row("/wekinator/control/stopRunning", "", "Stops running."),
        _row("/wekinator/control/deleteAllExamples", "", "Deletes all takes; `undo` brings them back."),
        _row("/wekinator/control/deleteExamplesForOutput", "output:i", "Deletes one output's examples."),
        _row("/wekinator/control/enableModelRecording", "output:i", "Records for these outputs.", repeats=1),
        _row("/wekinator/control/disableModelRecording", "output:i", "Does not record for these outputs.", repeats=1),
        _row("/wekinator/control/enableModelRunning", "output:i", "Runs these outputs.", repeats=1),
        _row(
            "/wekinator/control/disableModelRunning",
            "output:i",
            "Does not run these outputs: they repeat their value.",
            repeats=1,
        ),
        _row("/wekinator/control/setInputNames", "name:s", "Names the inputs, each differently.", repeats=1),
        _row("/wekinator/control/setOutputNames", "name:s", "Names the outputs, each differently.", repeats=1),
        _row(
            "/wekinator/control/selectInputsForOutput",
            "output:i input:i",
            "The inputs an output learns from; train afterwards.",
            repeats=1,
        ),
        _row("/wekinator/control/loadModelFromFile", "output:i file:s", "Plays a model saved before."),
        _row("/wekinator/control/saveModelToFile", "output:i file:s", "Saves an output's model."),
    ),
    "Between engine and trainer": (
        _row(
            "/instrument/trainer/hello",
            "port:i pid:i job:i",
            "The trainer lives, where it listens, and which job it has in hand, 0 for none; twice a second.",
        ),
        _row(
            "/instrument/trainer/progress",
            "job:i output:s step:i steps:i loss:f validation:f",
            "How far it is.",
        ),
        _row("/instrument/trainer/done", "job:i json:s", "New models are in place."),
        _row(
            "/instrument/trainer/failed",
            "job:i reason:s again:i",
            "It could not, and why; 1 where it may go well later just as it is.",
            optional=1,
        ),
        _row("/instrument/trainer/mapped", "job:i", "It has drawn what the new models see."),
        _row("/instrument/trainer/coached", "job:i json:s", "What it found out about the takes since."),
    ),
}

_BEFORE = {
    "Wekinator": (
        "What a Max, Processing or openFrameworks sketch made for Wekinator sends, on Wekinator's port and with its "
        "meaning. Outputs, inputs and classes count from 1. Nothing here is answered; what cannot be done is logged. "
        "Arguments too many are ignored."
    ),
    "Between engine and trainer": "For the instrument's own processes, from this computer only, and not answered.",
}
"""What is said before the table of a section."""

COMMANDS: dict[str, Command] = {row.address: row for rows in SECTIONS.values() for row in rows}

TOPICS: dict[str, tuple[str, str, str]] = {
    "frame": (
        "/instrument/frame",
        "`number:i tracked:i`",
        "Every frame, after all else that is told of it: its number, and whether a body was found.",
    ),
    "prediction": (
        "/instrument/prediction",
        "`output:s class:s confidence:f [familiarity:f]` or `output:s value:f`",
        "Every frame, for each output that runs. `none` is none of its classes; familiarity: 0..1, where it is known.",
    ),
    "movement": (
        "/instrument/movement",
        "`output:s what:s movement:s velocity:f`",
        "When a movement begins (`begin`), counts as played (`hit`; velocity 0.5: as fast as its takes) or `end`s.",
    ),
    "features": ("/instrument/features", "`values:b`", "Every frame: float32, little-endian."),
    "landmarks": (
        "/instrument/landmarks",
        "`part:s values:b`",
        "Every frame: `pose` (33 x 4), `left_hand` and `right_hand` (21 x 3), float32, little-endian.",
    ),
    "source": ("/instrument/source/state", "`state:s detail:s`", "When the source is lost, or back."),
    "latency": (
        "/instrument/latency",
        "`stage:s p50_ms:f p99_ms:f`",
        "Twice a second, for capture, track, features, predict, map, send, total and beyond_tracking.",
    ),
    "training": (
        "/instrument/training",
        "`output:s step:i steps:i loss:f validation:f`",
        "While learning. Validation is the share right (class) or the usual error (continuous) on takes kept apart.",
    ),
    "coaching": (
        "/instrument/coaching",
        "`json:s`",
        "A moment after each training, and after the start: scores, and what to record next.",
    ),
    "recording": (
        "/instrument/recording",
        "`state:s seconds:f number:i`",
        "`count_in`, `recording` or `idle`, how long, and the number that `record` answered.",
    ),
    "preview": (
        "/instrument/preview",
        "`number:i jpeg:b`",
        "The picture of a frame, a moment after it: at most 640 wide, thirty a second and 60 kB.",
    ),
    "control": (
        "/instrument/control",
        "`destination:s address:s value:v ...` or `destination:s status:i byte:i ...`",
        "Whatever is sent to a destination, when it is sent: OSC, or the bytes of a MIDI message.",
    ),
    "changes": (
        "/instrument/changes",
        "`what:s`",
        "When `takes`, `patch`, `models`, `maps`, `running`, `pedals` or `routes` (mutes, scenes) changed: ask anew.",
    ),
    "pedal": (
        "/instrument/pedal",
        "`pedal:i what:s words:s`",
        "A pedal goes down (`press`) or up (`release`), and what it does; or `fail`, and why. 0: what is no pedal yet.",
    ),
    "scene": ("/instrument/scene", "`name:s fade_s:f`", "When a scene is recalled; an empty name when one is left."),
}
"""What can be subscribed to: address, what it carries, when it comes."""

OUTGOING: tuple[tuple[str, str, str], ...] = (
    (
        "`/wek/outputs`",
        "one `f` per output",
        "Every frame, or every `/wek/inputs`, while running; classes are 1, 2, ...",
    ),
    (
        "`/outputs-1`, `/outputs-2` ...",
        "one `f` per class",
        "After `/wek/outputs`, with `[wekinator] probabilities = true`: how sure each class is.",
    ),
    (
        "`/output_1`, `/output_2` ...",
        "",
        "With a trigger output alone, as Wekinator's DTW: played. `/wek/outputs` is then a distance per movement.",
    ),
    ("`/wekinator/status/done-training`", "", "A training that `/wekinator/control/train` began has ended."),
    ("the addresses of the patch's routes", "", "As the patch says."),
)
"""What leaves to the destination `out`."""


def parse_line(line: str) -> tuple[Command, list[Value]]:
    """The command a typed line means, and its arguments.

    Raises ValueError with what could be meant.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"{error} in: {line}") from None
    if not words:
        raise ValueError("nothing was typed; type help")
    return typed_command(words)


def typed_command(typed: Sequence[str]) -> tuple[Command, list[Value]]:
    """The command that words (at least one) begin with, its address or as it is typed, and the rest as it wants them.

    Raises ValueError with what could be meant.
    """
    beginnings = [(count, PREFIX + "/".join(typed[:count])) for count in range(len(typed), 0, -1)]
    if typed[0].startswith("/"):
        beginnings = [(1, typed[0])]
    count, command = next(((count, COMMANDS[name]) for count, name in beginnings if name in COMMANDS), (0, None))
    if command is None:
        names = [row.address.removeprefix(PREFIX).replace("/", " ") for row in COMMANDS.values() if row.is_answered]
        close = [name for name in names if name.startswith(typed[0][:3])]
        meant = f"perhaps: {', '.join(close)}" if close else "type help, or see docs/protocol.md"
        raise ValueError(f"no such command: {' '.join(typed)}; {meant}")
    words = typed[count:]
    wanted = command.wanted(len(words))
    surplus = [Argument("surplus", "v")] * (len(words) - len(wanted))
    return command, command.check(
        [_typed(word, one.tag) for word, one in zip(words, [*wanted, *surplus], strict=False)]
    )


def _typed(word: str, tag: str) -> Value:
    """The word as a number where one is wanted, or may be and it looks like one."""
    if tag == "s" or (tag == "v" and not _NUMBER.fullmatch(word)):
        return word
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def reference() -> str:
    """The reference page, `docs/protocol.md`, as Markdown."""
    lines = [
        "# Protocol",
        "",
        "<!-- Made from instrument/protocol.py by `scripts/make_docs.py`; edit there. -->",
        "",
        "Everything the instrument can do, it can be told over OSC: by Max, Pure Data, a foot pedal, a phone.",
        "",
        f"Send to UDP port {DEFAULT_PORT} of 127.0.0.1. `instrument play --in-port` chooses another port, `--listen",
        "0.0.0.0` lets other computers in. Commands under `/instrument` are answered, to the port they came from,",
        "with `/done ADDRESS ...` or `/fail ADDRESS REASON`; where the table says *later*, when the work is done.",
        "What is malformed, unknown or of the wrong type is dropped, counted in `status`, and logged once a second.",
        "",
        "Types: `i` int, `f` float (an int will do), `s` string, `v` string, float or int, `b` blob. What stands in",
        "`[ ]` may be left out; `...` means that the argument or bracket before it may come again.",
        "",
        "From a shell, `instrument send ADDRESS ARGUMENTS` sends any of these and waits for the answer. While",
        "`instrument play` runs, type them without slashes: `record posture up`; `instrument send record posture up`",
        "does the same.",
    ]
    for title, rows in SECTIONS.items():
        lines += ["", f"## {title}", ""]
        if title in _BEFORE:
            lines += [_BEFORE[title], ""]
        is_answered = any(row.is_answered for row in rows)
        lines += ["| address | arguments | what it does |" + " `/done` carries |" * is_answered]
        lines += ["|---|---|---|" + "---|" * is_answered]
        for row in rows:
            cells = [f"`{row.address}`", f"`{row.signature}`" if row.arguments else "", row.about]
            if is_answered:
                cells.append(" ".join([f"`{row.done}`"] * bool(row.done) + ["*later*"] * row.is_later))
            lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "## Topics to subscribe to",
        "",
        "A slow listener misses messages; nothing waits for it, and nothing queues.",
        "",
        "| topic | address | carries | when |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{name}` | `{topic[0]}` | {topic[1]} | {topic[2]} |" for name, topic in TOPICS.items()]
    lines += [
        "",
        "## What is sent",
        "",
        "To the destination `out` (127.0.0.1:12000 unless the patch or `--out` says otherwise):",
        "",
        "| address | arguments | when |",
        "|---|---|---|",
    ]
    lines += [f"| {address} | {arguments} | {when} |" for address, arguments, when in OUTGOING]
    return "\n".join(lines) + "\n"
