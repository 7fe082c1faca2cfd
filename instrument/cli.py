"""The `instrument` command. Exit codes: 0 done, 1 refused or failed, 2 wrong words, 3 nobody answered."""

import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from instrument import __version__
from instrument.project import Project
from instrument.protocol import DEFAULT_PORT
from instrument.words import counted

if TYPE_CHECKING:
    from instrument.client import Client
    from instrument.takes import WholeTake

app = typer.Typer(
    help="A musical instrument played with the body: show it each gesture a few times, let it learn, play. "
    "It sends OSC and MIDI.",
    epilog="Begin with `instrument play`. Make a project of your own with `instrument new mine`, and play that. "
    "Exit codes: 0 done, 1 refused or failed, 2 not understood, 3 nobody answered.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench = typer.Typer(help="Measure how fast this computer plays and learns.", no_args_is_help=True)
app.add_typer(bench, name="bench")

REFUSED, WRONG_WORDS, NO_ANSWER = 1, 2, 3

ProjectArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="PROJECT", help="A project's folder, or the name of a ready-made patch. Without it: three-postures."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite files that are there already.")]
PortOption = Annotated[
    int, typer.Option("--port", metavar="PORT", help="The port that instrument listens on.", min=1, max=65535)
]
LabelColumnOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Which column of a table holds the labels; 1 is the first. Without it: the one so named, or with words.",
        min=1,
    ),
]
JsonFileOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures into this file.")
]


def _fail(reason: object, exit_code: int = REFUSED) -> NoReturn:
    typer.echo(f"instrument: {reason}", err=True)
    raise typer.Exit(exit_code)


def _version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


@app.command()
def play(
    project: ProjectArgument = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="What to watch instead of what the patch says: auto (the camera, else the demo), demo, camera:0, "
            "phone (the page's Camera), a video file, http://... or rtsp://..., take:1 (a recorded take), "
            "osc (numbers, no camera).",
        ),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="No page and no line to type into, only a log: for installations.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End when the video ends instead of starting it over.")] = False,
    seconds: Annotated[float | None, typer.Option(metavar="N", help="End after so many seconds.", min=0.0)] = None,
    in_port: Annotated[
        int, typer.Option(metavar="PORT", help="Listen for commands and /wek/inputs on this port.", min=1, max=65535)
    ] = DEFAULT_PORT,
    out: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Send OSC there instead of where the patch says.")
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST", help="0.0.0.0 lets every computer in the network give commands.")
    ] = "127.0.0.1",
    console_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Serve the page there. Without it: 6480, or the next free one.", min=1, max=65535
        ),
    ] = None,
    console_listen: Annotated[
        str,
        typer.Option(metavar="HOST", help="0.0.0.0 lets other computers open the page, with the link that is printed."),
    ] = "127.0.0.1",
    page: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A Python file that makes one more page (docs/own-page.md). It is run: know whose it is.",
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page, only print its link.")
    ] = False,
) -> None:
    """Play, until Ctrl-C: from the camera, or the demo performer, to OSC and MIDI."""
    from instrument.logs import set_up_logging
    from instrument.osc import parse_host_port
    from instrument.patch import PatchError
    from instrument.patch_file import find_patch
    from instrument.projects import ProjectError, find_project
    from instrument.server import PortInUse, check_port
    from instrument.supervisor import ConsoleOptions, Supervisor
    from instrument.terminal import introduction, next_steps

    try:
        out_address = parse_host_port(out) if out else None
    except ValueError as error:
        _fail(error, WRONG_WORDS)
    for file in page or ():
        if headless:
            _fail("--page is for the console, which --headless leaves out", WRONG_WORDS)
        if file.suffix != ".py" or not file.is_file():
            _fail(f"--page {file}: no such Python file; see docs/own-page.md", WRONG_WORDS)
    try:
        found = find_project(project, source=source)
        patch = find_patch(found.patch_file).patch.sending_to(out_address)
    except (ProjectError, PatchError, OSError) as error:
        _fail(error)
    options: dict[str, Any] = {
        "folder": str(found.folder),
        "source": source,
        "out": out_address,
        "listen_host": listen,
        "in_port": in_port,
        "is_once": once,
    }
    set_up_logging()
    is_interactive = not headless and sys.stdin.isatty() and sys.stdout.isatty()
    console = ConsoleOptions(
        on_page=partial(_show_page, is_opened=not no_browser),
        on_network=_show_network,
        listen_host=console_listen,
        port=console_port,
        own_pages=[file.absolute() for file in page or ()],
    )
    supervisor = Supervisor(options, say=print if is_interactive else None, console=None if headless else console)
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: supervisor.stop())
    try:
        check_port(listen, in_port)
    except PortInUse as error:  # said before anything that looks like playing
        _fail(error)
    typer.echo(introduction(found, patch, source=source or patch.listen.source, in_port=in_port))
    if is_interactive:
        typer.echo(next_steps(patch))
        raise typer.Exit(REFUSED if _play_with_prompt(supervisor, in_port, seconds) else 0)
    raise typer.Exit(REFUSED if supervisor.run(seconds=seconds) else 0)


def _show_page(url: str, *, is_opened: bool) -> None:
    """Prints the link, and opens it where there is a screen."""
    import os
    import webbrowser

    typer.echo(f"  page     {url}")
    has_screen = sys.platform in ("win32", "darwin") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    if is_opened and has_screen:
        webbrowser.open(url)


def _show_network(url: str, fingerprint: str) -> None:
    typer.echo(f"  network  {url}  (keep it to yourself: whoever has it can play)")
    typer.echo(f"           its certificate is this program's own, SHA-256 {fingerprint}")


def _play_with_prompt(supervisor: Any, port: int, seconds: float | None) -> int:
    """Runs the supervisor beside the prompt; the prompt needs a thread that a signal can leave behind."""
    import threading

    from instrument.terminal import prompt

    threading.Thread(target=prompt(port, stop=supervisor.stop), name="prompt", daemon=True).start()
    return int(supervisor.run(seconds=seconds))


@app.command()
def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The folder to make.")],
    from_: Annotated[
        str,
        typer.Option("--from", metavar="PATCH", help="A ready-made patch (see `patches`), or a project to copy."),
    ] = "three-postures",
) -> None:
    """Make a project of your own: a folder with a patch to edit, and its takes."""
    from instrument.projects import ProjectError, new_project
    from instrument.takes import TakesError, TakeStore

    try:
        project = new_project(name.expanduser(), from_)
        with TakeStore.open(project.takes_file, readonly=True) as store:
            count = len(store.takes())
    except (ProjectError, TakesError, OSError) as error:
        _fail(error)
    typer.echo(
        f"{project.folder} is made, with {counted(count, 'take')}. Edit its patch.toml; "
        f"play it with: instrument play {name}"
    )


@app.command()
def patches() -> None:
    """List the ready-made patches to begin from."""
    from instrument.patch_file import read_patch
    from instrument.projects import patch_names, patches_folder

    for name in patch_names():
        typer.echo(f"{name.ljust(20)} {read_patch(patches_folder() / name / 'patch.toml').about}")


@app.command(context_settings={"ignore_unknown_options": True})
def send(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Such as /instrument/train, or train; all are in docs/protocol.md.")
    ],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Such as posture up.")] = None,
    port: PortOption = DEFAULT_PORT,
    timeout: Annotated[float, typer.Option(metavar="N", help="Wait this many seconds for the answer.", min=0.0)] = 60.0,
) -> None:
    """Send one command to an instrument that plays, and wait for its answer."""
    from instrument.client import Client, CommandFailed, NoAnswer
    from instrument.protocol import typed_command
    from instrument.report import answer_text

    try:
        command, values = typed_command([address, *(arguments or [])])
    except ValueError as error:
        _fail(error, WRONG_WORDS)
    with Client(port=port) as client:
        if not command.is_answered:
            client.send(command.address, *values)
            return
        try:
            answer = client.ask(command.address, *values, timeout_s=timeout)
        except CommandFailed as error:
            _fail(error)
        except NoAnswer as error:
            _fail("; ".join([str(error), *_problems(client)]), NO_ANSWER)
    typer.echo(answer_text(command.address, answer))


def _problems(client: "Client") -> list[str]:
    """What keeps an instrument from answering, as far as it says so."""
    from instrument.client import CommandFailed, NoAnswer

    try:
        found = json.loads(str(client.ask("/instrument/status", timeout_s=2.0)[0]))
    except (CommandFailed, NoAnswer):
        return []
    return [*found["takes"]["problems"]]


@app.command()
def status(
    port: PortOption = DEFAULT_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Everything there is to know, as JSON.")] = False,
) -> None:
    """Show what an instrument that plays is doing."""
    from instrument.client import Client, CommandFailed, NoAnswer
    from instrument.report import status_text

    with Client(port=port) as client:
        try:
            text = str(client.ask("/instrument/status", timeout_s=2.0)[0])
        except CommandFailed as error:
            _fail(error)
        except NoAnswer as error:
            _fail(error, NO_ANSWER)
    typer.echo(json.dumps(json.loads(text), indent=2) if as_json else status_text(json.loads(text)))


@app.command()
def report(
    port: PortOption = DEFAULT_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Everything there is to know, as JSON.")] = False,
) -> None:
    """Show how an instrument that plays has fared over the last hour: to keep, or to send with a question."""
    from instrument.client import Client, CommandFailed, NoAnswer
    from instrument.report import report_text

    with Client(port=port) as client:
        try:
            status, health = (
                json.loads(str(client.ask(f"/instrument/{name}", timeout_s=2.0)[0])) for name in ("status", "health")
            )
        except CommandFailed as error:
            _fail(error)
        except NoAnswer as error:
            _fail(error, NO_ANSWER)
    found = {"status": status, "health": health}
    typer.echo(json.dumps(found, indent=2) if as_json else report_text(found))


@app.command()
def doctor() -> None:
    """Check camera, models, MIDI, ports and GPU, and say what to do about what is missing."""
    from instrument.doctor import checks

    marks = {"ok": "ok     ", "warning": "note   ", "problem": "PROBLEM"}
    worst = 0
    for check in checks():
        typer.echo(f"{marks[check.state]} {check.name}: {check.found}")
        if check.advice:
            typer.echo(f"        -> {check.advice}")
        worst |= check.state == "problem"
    raise typer.Exit(int(worst))


@app.command()
def takes(project: ProjectArgument = None) -> None:
    """List a project's takes."""
    from instrument.projects import ProjectError, find_project
    from instrument.report import take_row, takes_text
    from instrument.takes import TakesError, TakeStore

    try:
        with TakeStore.open(find_project(project).takes_file, readonly=True) as store:
            found = store.takes()
    except (ProjectError, TakesError, OSError) as error:
        _fail(error)
    typer.echo(takes_text([take_row(take) for take in found]))


@app.command()
def export(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The file to write; its ending, .csv, .npz or .arff, chooses the kind."),
    ],
    project: ProjectArgument = None,
    force: ForceOption = False,
) -> None:
    """Write a project's takes into a file: CSV, NPZ, or ARFF as Wekinator has it."""
    from instrument.exchange import ExchangeError, export_takes
    from instrument.projects import ProjectError, find_project
    from instrument.takes import TakesError, TakeStore

    if file.exists() and not force:
        _fail(f"{file} is there already; --force overwrites it")
    try:
        with TakeStore.open(find_project(project).takes_file, readonly=True) as store:
            count = export_takes(store, file)
    except (ProjectError, TakesError, ExchangeError, OSError) as error:
        _fail(error)
    typer.echo(f"{file}: {counted(count, 'take')}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .npz or .arff file with takes.")],
    project: ProjectArgument = None,
    label_column: LabelColumnOption = None,
    port: PortOption = DEFAULT_PORT,
) -> None:
    """Add the takes of a file to a project, also while it is being played. `undo` takes them out again."""
    from instrument.exchange import NO_TAKES, ExchangeError, read_takes
    from instrument.imported import not_learned
    from instrument.patch import PatchError
    from instrument.patch_file import read_patch
    from instrument.projects import ProjectError, find_project
    from instrument.takes import TakesBusyError, TakesError, TakeStore

    try:
        found = find_project(project)
        patch = read_patch(found.patch_file)
        takes = read_takes(file, label_column=label_column, kinds={one.name: one.kind for one in patch.outputs})
        if not takes:
            _fail(f"{file}: {NO_TAKES}")
        with TakeStore.open(found.takes_file, readonly=True) as store:
            notes = not_learned(patch, store.takes(kind="take"), takes)
        try:
            with TakeStore.open(found.takes_file) as store:
                count = len(store.add(takes, f"import {file.name}"))
        except TakesBusyError:
            count = _import_while_playing(takes, file.name, found, port)
    except (ProjectError, PatchError, TakesError, ExchangeError, OSError) as error:
        _fail(error)
    typer.echo(f"{counted(count, 'take')} added to {found.folder}")
    for note in notes:
        typer.echo(f"note: {note}")


@app.command()
def rehearse(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video, or a .csv, .npz or .arff file of takes.")],
    project: ProjectArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    port: PortOption = DEFAULT_PORT,
) -> None:
    """Set how strict a project's class outputs are from a recording in which nothing is meant."""
    from instrument.datasets import FeatureCache
    from instrument.exchange import ExchangeError
    from instrument.models.fitting import TrainingError
    from instrument.models.trained import ModelError, load_model
    from instrument.patch import PatchError
    from instrument.patch_file import read_patch
    from instrument.projects import ProjectError, find_project
    from instrument.rehearsal_file import RehearsalError, read_rehearsal
    from instrument.takes import TakesBusyError, TakesError, TakeStore
    from instrument.training import train_project

    try:
        found = find_project(project)
        patch = read_patch(found.patch_file)
        if not as_json:
            typer.echo(f"looking through {file} ...", err=True)
        takes = read_rehearsal(file, patch)
        try:
            with TakeStore.open(found.takes_file) as store:
                store.add(takes, f"rehearsal {file.name}")
            train_project(found.folder, cache=FeatureCache())
        except TakesBusyError:
            _import_while_playing(takes, "rehearsal.npz", found, port)
            _train_while_playing(port)
        files = [found.model_file(one.name) for one in patch.outputs if one.kind == "class"]
        models = [load_model(file) for file in files if file.exists()]
    except (
        ProjectError,
        PatchError,
        TakesError,
        ExchangeError,
        RehearsalError,
        TrainingError,
        ModelError,
        OSError,
    ) as error:
        _fail(error)
    told = {model.output: model.rehearsal for model in models if model.rehearsal is not None}
    if not told:
        _fail("it says nothing: no class output rejects; see `reject` in docs/patch.md, and record enough takes")
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    for name, one in told.items():
        typer.echo(f"{name}: none of these below familiarity {one['least']:.2f}: {one['text']}")


def _train_while_playing(port: int) -> None:
    from instrument.client import Client, CommandFailed, NoAnswer

    with Client(port=port) as client:
        try:
            client.ask("/instrument/train", timeout_s=300.0)
        except (CommandFailed, NoAnswer) as error:
            _fail(error)


def _import_while_playing(takes: Sequence["WholeTake"], name: str, project: Project, port: int) -> int:
    """Has the instrument that plays the project, and alone may write its takes, import them by that name."""
    from instrument.client import Client, CommandFailed, NoAnswer
    from instrument.exchange import write_takes

    reason = f"{project.folder} is being played by another instrument; give its port with --port"
    with Client(port=port) as client:
        try:
            played = json.loads(str(client.ask("/instrument/status", timeout_s=2.0)[0]))["project"]
            if Path(played).resolve() != project.folder.resolve():
                _fail(reason)
            with tempfile.TemporaryDirectory(prefix=".import-", dir=project.folder) as inbox:
                write_takes(takes, Path(inbox) / name)
                return int(client.ask("/instrument/takes/import", f"{Path(inbox).name}/{name}", timeout_s=300.0)[0])
        except NoAnswer:
            _fail(reason, NO_ANSWER)
        except CommandFailed as error:
            _fail(error)


@app.command("export-model")
def export_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .onnx file to write.")],
    project: ProjectArgument = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which output's model. Without it: all, each in a file FILE-OUTPUT.onnx."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write trained models as ONNX files, for other programs: features in, confidences or a value out."""
    from instrument.models.movement_model import MovementModel, load_of_kind
    from instrument.models.onnx_file import onnx_bytes
    from instrument.models.onnx_movements import movement_onnx_bytes
    from instrument.models.trained import ModelError, TrainedModel
    from instrument.patch import PatchError
    from instrument.patch_file import read_patch
    from instrument.projects import ProjectError, find_project

    if file.suffix != ".onnx":
        _fail(f"{file}: allowed: a name that ends in .onnx", WRONG_WORDS)
    try:
        found = find_project(project)
        patch = read_patch(found.patch_file)
        trained = [one for one in patch.outputs if found.model_file(one.name).exists()]
        names = [output] if output else [one.name for one in trained]
        if not names:
            _fail(f"{found.folder}: no trained models; play it once, and it trains them")
        for name in names:
            model = load_of_kind(patch.output(name).kind, found.model_file(name))
            if isinstance(model, TrainedModel) and model.network is None and not output:
                typer.echo(f"{name} is left out: another learner than a network cannot be written as ONNX")
                continue
            written = file if output else file.with_stem(f"{file.stem}-{name}")
            if written.exists() and not force:
                _fail(f"{written} is there already; --force overwrites it")
            if isinstance(model, MovementModel):
                written.write_bytes(movement_onnx_bytes(model))
                says = f"parts of {', '.join(model.classes)}"
            else:
                written.write_bytes(onnx_bytes(model))
                says = (
                    f"confidences of {', '.join(model.classes)}" if model.classes else f"{model.low:g}..{model.high:g}"
                )
            typer.echo(f"{written}: {name}, {len(model.feature_names)} features -> {says}")
    except KeyError as error:
        _fail(error.args[0])
    except (ProjectError, PatchError, ModelError, OSError) as error:
        _fail(error)


@app.command()
def script(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .py file to write; takes and patch go beside it.")],
    project: ProjectArgument = None,
    force: ForceOption = False,
) -> None:
    """Write this session as a script: a short Python file that trains the same models again, bit for bit."""
    from instrument.exchange import ExchangeError
    from instrument.models.trained import ModelError
    from instrument.patch import PatchError
    from instrument.projects import ProjectError, find_project
    from instrument.script import ScriptError, write_script
    from instrument.takes import TakesError

    try:
        written = write_script(find_project(project), file, is_forced=force)
    except (ProjectError, PatchError, TakesError, ModelError, ExchangeError, ScriptError, OSError) as error:
        _fail(error)
    typer.echo(f"{', '.join(map(str, written))} are written; run it with: {sys.executable} {file}")


@app.command()
def evaluate(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|PROJECT",
            help="A table (CSV), a file of takes, a project's folder, or the name of a ready-made patch.",
        ),
    ],
    label_column: LabelColumnOption = None,
    landmarks: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="A table's numbers are body points, x y or x y z: pose (33) or hand (21)."),
    ] = None,
    few: Annotated[int, typer.Option(metavar="N", help="Learn from so many examples of each class only.", min=0)] = 0,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="PIECES",
            help="What is held out: takes (default for takes), blocks, or frames (default for tables).",
        ),
    ] = None,
    learner: Annotated[
        str | None,
        typer.Option(
            metavar="LEARNER", help="What learns: network, knn, svm... Default: network, or as the patch says."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the first run; the others count on from it.", min=0)] = 0,
    runs: Annotated[int, typer.Option(metavar="N", help="How often to hold out and train.", min=1)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Score what the instrument learns from examples, on others that it has not seen."""
    from instrument.kernels.threads import use_one_thread

    if "numpy" not in sys.modules:
        use_one_thread()
    from instrument.evaluation import SPLITS, EvaluationError, evaluate_values
    from instrument.evaluation import evaluate as score
    from instrument.models.fitting import TrainingError
    from instrument.models.learner_names import CLASS_LEARNERS, CONTINUOUS_LEARNERS, NETWORK
    from instrument.projects import patch_names, ready_made_project
    from instrument.report import evaluation_text
    from instrument.scored import LANDMARKS, ScoredError, read_scorable

    choices = (
        ("--landmarks", landmarks, LANDMARKS),
        ("--split", split, SPLITS),
        ("--learner", learner, (NETWORK, *dict.fromkeys(CLASS_LEARNERS + CONTINUOUS_LEARNERS))),
    )
    for name, value, allowed in choices:
        if value is not None and value not in allowed:
            _fail(f"{name} is '{value}'; allowed: {', '.join(allowed)}", exit_code=2)
    if not path.exists() and str(path) in patch_names():
        path = ready_made_project(str(path)).folder
    if not path.exists():
        _fail(
            f"{path}: no such file or folder; give one, or the name of a ready-made patch: {', '.join(patch_names())}"
        )
    results = []
    try:
        for patch, output, dataset in read_scorable(path, label_column=label_column, landmarks=landmarks):
            is_table = not path.is_dir() and len(dataset.frames) == 1
            if is_table and split == "takes":
                _fail(f"--split is 'takes', and {path} tells of none; allowed: blocks, frames", exit_code=2)
            output = dataclasses.replace(output, learner=learner or output.learner)
            kind = split or ("frames" if is_table or few else "takes")
            if output.kind == "continuous":
                results.append(evaluate_values(output, dataset, kind=kind, seed=seed))
                continue
            results.append(score(patch, output, dataset, kind=kind, few=few, seed=seed, runs=runs))
    except (ScoredError, EvaluationError, TrainingError) as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps({"path": str(path), "landmarks": landmarks, "outputs": results}, indent=2))
        return
    typer.echo("\n\n".join(evaluation_text(one) for one in results))


@app.command()
def blame(
    take: Annotated[int, typer.Argument(metavar="TAKE", help="The number of a take or performance.")],
    project: ProjectArgument = None,
    at: Annotated[float, typer.Option(metavar="SECONDS", help="The moment, in seconds from its start.", min=0.0)] = 0.0,
    output: Annotated[str | None, typer.Option(metavar="NAME", help="Which class output. Default: the first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Tell which takes made the model say what it says at a moment of a take or a recording."""
    from instrument.blame import blame as find
    from instrument.models.fitting import TrainingError
    from instrument.models.trained import ModelError
    from instrument.patch import PatchError
    from instrument.projects import ProjectError, find_project
    from instrument.takes import TakesError

    try:
        found = find(find_project(project), take, at, output)
    except KeyError as error:
        _fail(error.args[0])
    except (ProjectError, PatchError, TakesError, ModelError, TrainingError) as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(
        f"take {take} at {found['at_s']:g} s: {found['output']} is '{found['said']}' ({found['confidence']:.0%})"
    )
    for one in found["because_of"][:5]:
        typer.echo(f"  {one['share']:6.1%}  because of take {one['take']}")


@app.command()
def along(
    take: Annotated[int, typer.Argument(metavar="TAKE", help="The number of a performance, rehearsal or take.")],
    project: ProjectArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Tell what the models would have done along a recording, and what those before the last training would have."""
    from instrument.kernels.threads import use_one_thread

    if "numpy" not in sys.modules:
        use_one_thread()
    from instrument.patch import PatchError
    from instrument.projects import ProjectError, find_project
    from instrument.report import run_through_text
    from instrument.run_through import run_through
    from instrument.takes import TakesError

    try:
        found = run_through(find_project(project), take)
    except (ProjectError, PatchError, TakesError, OSError) as error:
        _fail(error)
    typer.echo(json.dumps(found, indent=2) if as_json else run_through_text(found))


@bench.command("latency")
def bench_latency(
    source: Annotated[str, typer.Option(metavar="FILE", help="A video file, or demo.")] = "demo",
    seconds: Annotated[float, typer.Option(metavar="N", help="Measure for so many seconds.", min=1.0)] = 20.0,
    json_file: JsonFileOption = None,
) -> None:
    """Measure every stage from a frame's arrival to the datagram, and bare MediaPipe beside it."""
    from instrument.bench import BenchError, latency

    typer.echo(f"measuring for {seconds:g} s, then MediaPipe alone ...", err=True)
    try:
        figures = latency(source, seconds)
    except BenchError as error:
        _fail(error)
    _report_figures(figures, json_file)


@bench.command("training")
def bench_training(
    examples: Annotated[int, typer.Option(metavar="N", help="Learn from so many frames.", min=10)] = 1000,
    runs: Annotated[int, typer.Option(metavar="N", help="Train so often.", min=1)] = 5,
    json_file: JsonFileOption = None,
) -> None:
    """Measure training, from the command to the first prediction, while the demo performer plays."""
    from instrument.bench import BenchError, training

    try:
        figures = training(examples, runs)
    except BenchError as error:
        _fail(error)
    _report_figures(figures, json_file)


def _report_figures(figures: dict[str, Any], json_file: Path | None) -> None:
    from instrument.report import figures_text

    typer.echo(figures_text(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2), encoding="utf-8")
        typer.echo(f"{json_file} written")
