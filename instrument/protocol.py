"""The one table of everything the instrument can be told over OSC.

Each row is a command: its address, the type tags of its arguments, whether it answers at once
or later, and what the answer carries. The server checks datagrams against it, the engine looks
its methods up by it, `docs/protocol.md` is generated from it and the tests walk through it.

Commands under /instrument are answered `/done <address> ...` or `/fail <address> <reason>` to
wherever they came from. Commands under /wek and /wekinator are Wekinator's own and, as there,
never answered, and arguments too many do not matter: a TouchOSC button sends 1.0 with everything.
"""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

Value = int | float | str | bytes

DEFAULT_PORT = 6448

_TAGS = {
    "i": "a whole number",
    "f": "a number",
    "s": "a text",
    "v": "a text or a number",
}
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
        if not isinstance(value, str | bytes) and math.isfinite(value):
            if self.tag == "i" and float(value).is_integer() and abs(value) <= _LARGEST_INT:
                return int(value)
            if self.tag in "fv" and abs(value) <= (_LARGEST_FLOAT if isinstance(value, float) else _LARGEST_INT):
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
        return self.address.startswith("/instrument/")

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
        _row("/instrument/status", "", "Everything about the present state, as JSON.", done="json:s"),
        _row("/instrument/panic", "", "Releases every note and stops running until told to run."),
        _row("/instrument/run", "on:i", "Starts (1) or stops (0) sending what the models say."),
        _row("/instrument/latency/reset", "", "Measures latencies afresh from here."),
        _row("/instrument/quit", "", "Ends the program, releasing every note."),
        _row("/instrument/trainer/hello", "port:i pid:i", "The trainer's heartbeat, twice a second."),
        _row(
            "/instrument/trainer/progress",
            "job:i output:s step:i steps:i loss:f validation:f",
            "How far the trainer is.",
        ),
        _row("/instrument/trainer/done", "job:i json:s", "The trainer has put new models in place."),
        _row("/instrument/trainer/failed", "job:i reason:s", "The trainer could not."),
        _row("/instrument/trainer/coached", "job:i json:s", "What the trainer found out about the takes since."),
    ),
    "Project and patch": (
        _row("/instrument/project/open", "folder:s", "Plays another project, or this one again.", done="name:s"),
        _row("/instrument/project/reload", "", "Reads patch.toml again, after an edit by hand.", done="name:s"),
        _row(
            "/instrument/patch/set",
            "key:s value:v",
            "Sets one value in patch.toml, keeping comments and order, and plays on with it. Keys are written "
            "`smoothing.beta`, `route.2.curve`, `output.posture.seed`; lists as `range.1`.",
        ),
        _row("/instrument/patch/remove", "key:s", "Removes a value or a whole table from patch.toml."),
        _row(
            "/instrument/patch/add",
            "table:s json:s",
            "Adds a table to patch.toml: `route`, `output` or `destination.NAME`, its keys given as a JSON object.",
        ),
        _row("/instrument/routes", "", "The routes, what each last sent and how often, as JSON.", done="json:s"),
        _row("/instrument/route/mute", "route:i muted:i", "Silences one route (1 is the first), releasing its notes."),
        _row("/instrument/output/classes", "output:s class:s", "Sets the classes an output may have.", repeats=1),
        _row("/instrument/output/enable", "output:s on:i", "Whether an output's model runs."),
    ),
    "Source and performer": (
        _row(
            "/instrument/source",
            "source:s",
            "Listens to another source, as `play --source` names them.",
            done="source:s",
        ),
        _row("/instrument/performer/forget", "", "Follows whoever is found next."),
    ),
    "Takes": (
        _row(
            "/instrument/record",
            "output:s target:v",
            "Records a take that teaches those outputs: a class name, or a value. Without arguments, all outputs "
            "enabled by `record/mask`, with the targets set by `target`.",
            optional=2,
            repeats=2,
        ),
        _row(
            "/instrument/record/timed",
            "count_in_s:f length_s:f output:s target:v",
            "The same, after a count-in, stopping by itself after `length_s` (0: until stopped). Answers when the "
            "take is in, with its number.",
            done="take:i frames:i",
            later=True,
            optional=2,
            repeats=2,
        ),
        _row(
            "/instrument/record/stop",
            "",
            "Ends the take. Fails, with the reason, when the take is refused; a refused take can be had back by undo.",
            done="take:i frames:i",
            later=True,
        ),
        _row("/instrument/record/mask", "output:s on:i", "Whether recording without arguments teaches an output."),
        _row("/instrument/target", "output:s target:v", "Sets an output's target for recording."),
        _row(
            "/instrument/performance/record",
            "",
            "Records a whole performance, which teaches nothing but can be replayed.",
        ),
        _row("/instrument/takes", "", "The takes, as JSON.", done="json:s"),
        _row("/instrument/takes/delete", "take:i", "Deletes takes.", done="takes:i", repeats=1),
        _row("/instrument/takes/delete_last", "", "Deletes the newest take.", done="takes:i"),
        _row("/instrument/takes/delete_all", "", "Deletes every take.", done="takes:i"),
        _row("/instrument/takes/relabel", "take:i output:s target:v", "Gives a take another target.", repeats=0),
        _row("/instrument/takes/trim", "take:i first:i last:i", "Uses only these frames of a take (0 is the first)."),
        _row(
            "/instrument/undo", "", "Undoes the last edit of takes, recording included; without limit.", done="what:s"
        ),
        _row("/instrument/redo", "", "Does again what was undone.", done="what:s"),
    ),
    "Training": (
        _row(
            "/instrument/train",
            "output:s",
            "Trains these outputs, or all. Answers when the new models play, with a summary as JSON.",
            done="json:s",
            later=True,
            optional=1,
            repeats=1,
        ),
        _row("/instrument/train/cancel", "", "Stops training; the models that play stay."),
        _row(
            "/instrument/coaching",
            "",
            "What to record next, as JSON: for each output its scores by take and by frame, a learning curve, and "
            "sentences of advice with their evidence. Comes a moment after each training; empty until then.",
            done="json:s",
        ),
    ),
    "Telemetry": (
        _row(
            "/instrument/subscribe",
            "topic:s",
            "Sends these topics to whoever asks, for 10 s; ask again to go on. Topics: see below.",
            done="seconds:i",
            repeats=1,
        ),
        _row("/instrument/unsubscribe", "", "Stops that."),
    ),
    "Wekinator": (
        _row(
            "/wek/inputs",
            "value:f",
            "The inputs, any number of them (arguments that are not floats are ignored).",
            repeats=1,
        ),
        _row("/wekinator/control/outputs", "value:f", "Sets the targets: classes count from 1.", repeats=1),
        _row("/wekinator/control/startRecording", "", "Starts recording; stops running."),
        _row("/wekinator/control/stopRecording", "", "Stops recording."),
        _row("/wekinator/control/startDtwRecording", "gesture:i", "Ignored: no output of this kind yet."),
        _row("/wekinator/control/stopDtwRecording", "", "Ignored."),
        _row("/wekinator/control/train", "", "Trains; `/wekinator/status/done-training` says when it is over."),
        _row("/wekinator/control/cancelTrain", "", "Stops training."),
        _row("/wekinator/control/startRunning", "", "Starts running; ends recording."),
        _row("/wekinator/control/stopRunning", "", "Stops running."),
        _row("/wekinator/control/deleteAllExamples", "", "Deletes all takes (undo brings them back)."),
        _row("/wekinator/control/deleteExamplesForOutput", "output:i", "Deletes one output's examples."),
        _row("/wekinator/control/enableModelRecording", "output:i", "Records for these outputs.", repeats=1),
        _row("/wekinator/control/disableModelRecording", "output:i", "Does not record for these outputs.", repeats=1),
        _row("/wekinator/control/enableModelRunning", "output:i", "Runs these outputs.", repeats=1),
        _row("/wekinator/control/disableModelRunning", "output:i", "Does not run these outputs.", repeats=1),
        _row("/wekinator/control/setInputNames", "name:s", "Names the inputs.", repeats=1),
        _row("/wekinator/control/setOutputNames", "name:s", "Names the outputs.", repeats=1),
        _row("/wekinator/control/selectInputsForOutput", "output:i input:i", "What an output learns from.", repeats=1),
        _row("/wekinator/control/loadModelFromFile", "output:i file:s", "Loads a model saved before."),
        _row("/wekinator/control/saveModelToFile", "output:i file:s", "Saves an output's model."),
    ),
}

COMMANDS: dict[str, Command] = {row.address: row for rows in SECTIONS.values() for row in rows}

TOPICS: dict[str, tuple[str, str, str]] = {
    "frame": (
        "/instrument/frame",
        "number:i tracked:i",
        "Every frame: its number in the source, whether a body was found.",
    ),
    "prediction": (
        "/instrument/prediction",
        "output:s class:s confidence:f | output:s value:f",
        "What each output says, every frame.",
    ),
    "features": ("/instrument/features", "values:b", "The features, float32 little-endian, every frame."),
    "landmarks": (
        "/instrument/landmarks",
        "part:s values:b",
        "`pose` (33 x 4), `left_hand`, `right_hand` (21 x 3), float32 little-endian, every frame.",
    ),
    "source": ("/instrument/source/state", "state:s detail:s", "When a source is lost or back."),
    "latency": (
        "/instrument/latency",
        "stage:s p50_ms:f p99_ms:f",
        "Twice a second, for capture, track, features, predict, map, send and total.",
    ),
    "training": (
        "/instrument/training",
        "output:s step:i steps:i loss:f validation:f",
        "While training; validation is accuracy (class) or RMSE (continuous) on held-out takes.",
    ),
    "coaching": ("/instrument/coaching", "json:s", "A moment after each training: scores, and what to record next."),
    "recording": ("/instrument/recording", "state:s seconds:f", "`count_in`, `recording`, `idle`, and how long."),
    "preview": ("/instrument/preview", "jpeg:b", "The picture, at most ten a second, at most 60 kB."),
}
"""What can be subscribed to: address, what it carries, when it comes."""

OUTGOING: tuple[tuple[str, str, str], ...] = (
    ("/wek/outputs", "f x M", "Every frame (or input message) while running; classes are 1, 2, ..."),
    ("/outputs-1 ...", "f x K", "Class probabilities, after /wek/outputs, with `[wekinator] probabilities = true`."),
    ("/wekinator/status/done-training", "", "Training has ended."),
    ("what the routes say", "", "See the patch."),
)
"""What leaves to the patch's destinations."""


def reference() -> str:
    """The reference page, `docs/protocol.md`, as Markdown."""
    lines = [
        "# Protocol",
        "",
        "<!-- Made from instrument/protocol.py by `python3 scripts/make_docs.py`; edit there. -->",
        "",
        f"OSC over UDP, to port {DEFAULT_PORT} (`play --in-port` chooses another), on 127.0.0.1 unless `--listen` says",
        "otherwise. Commands under `/instrument` are answered to the port they came from: `/done address ...`, or",
        "`/fail address reason`. *Later* means the answer comes when the work has ended. Type tags: `i` int, `f` float",
        "(an int will do), `s` string, `v` any of them, `b` blob; `[ ]` may be left out, `...` may come again.",
        "Whatever is malformed or of the wrong type is dropped, counted in `status`, and logged once a second.",
        "",
        "From a shell, `instrument send ADDRESS ARGS...` sends any of these and waits for the answer.",
    ]
    for title, rows in SECTIONS.items():
        lines += ["", f"## {title}", "", "| address | arguments | what it does | answer |", "|---|---|---|---|"]
        for row in rows:
            answer = "–"
            if row.is_answered:
                answer = f"{row.done or 'done'}{' (later)' if row.is_later else ''}"
            arguments = f"`{row.signature}`" if row.arguments else ""
            lines.append(f"| `{row.address}` | {arguments} | {row.about} | {answer} |")
    lines += ["", "## Topics to subscribe to", "", "| topic | address | carries | when |", "|---|---|---|---|"]
    for topic, (address, carries, when) in TOPICS.items():
        lines.append(
            f"| `{topic}` | `{address}` | `{carries}` | {when} |".replace(" | output:s value", " or output:s value")
        )
    lines += ["", "## What leaves", "", "| address | arguments | when |", "|---|---|---|"]
    lines += [f"| `{address}` | {arguments} | {when} |" for address, arguments, when in OUTGOING]
    return "\n".join(lines) + "\n"
