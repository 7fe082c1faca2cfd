"""The `instrument` command. Exit codes: 0 done, 1 refused or failed, 2 wrong words, 3 nobody answered."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from instrument import __version__
from instrument.protocol import COMMANDS, DEFAULT_PORT

app = typer.Typer(
    help="A musical instrument played with the body. Show it a few takes of each gesture, train, play: OSC and MIDI.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench = typer.Typer(help="Measure this machine.", no_args_is_help=True)
app.add_typer(bench, name="bench")

REFUSED, NO_ANSWER = 1, 3

ProjectArgument = Annotated[Path | None, typer.Argument(help="A project's folder. Default: the ready-made one.")]
PortOption = Annotated[int, typer.Option("--port", help="The port the instrument listens on.", min=1, max=65535)]


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
        typer.Option(help="auto, demo, camera:0, a video file, http://... or rtsp://..., take:1, osc (numbers only)"),
    ] = None,
    headless: Annotated[bool, typer.Option(help="No terminal line, logs only: for installations.")] = False,
    once: Annotated[bool, typer.Option(help="End with the source instead of starting it over.")] = False,
    seconds: Annotated[float | None, typer.Option(help="End after so many seconds.", min=0.0)] = None,
    in_port: Annotated[int, typer.Option(help="Port for commands and /wek/inputs.", min=1, max=65535)] = DEFAULT_PORT,
    out: Annotated[str | None, typer.Option(help="HOST:PORT for the destination 'out' instead of the patch's.")] = None,
    listen: Annotated[
        str, typer.Option(help="Address to listen on. 0.0.0.0 lets the whole network give commands.")
    ] = "127.0.0.1",
) -> None:
    """Play: from the camera to OSC and MIDI, until Ctrl-C."""
    from instrument.patch import PatchError, parse_host_port, read_patch
    from instrument.projects import ProjectError, find_project
    from instrument.supervisor import Supervisor
    from instrument.terminal import introduction, next_steps

    try:
        found = find_project(project)
        patch = read_patch(found.patch_file)
        out_address = parse_host_port(out) if out else None
    except (ProjectError, PatchError, ValueError) as error:
        _fail(error)
    options: dict[str, Any] = {
        "folder": str(found.folder),
        "source": source,
        "out": out_address,
        "listen_host": listen,
        "in_port": in_port,
        "is_once": once,
    }
    is_interactive = not headless and sys.stdin.isatty() and sys.stdout.isatty()
    supervisor = Supervisor(options, say=print if is_interactive else None)
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: supervisor.stop())
    typer.echo(introduction(found, patch, source=source or patch.listen.source, in_port=in_port))
    if is_interactive:
        typer.echo(next_steps(patch))
        raise typer.Exit(_play_with_prompt(supervisor, in_port, seconds))
    raise typer.Exit(supervisor.run(seconds=seconds))


def _play_with_prompt(supervisor: Any, port: int, seconds: float | None) -> int:
    """Runs the supervisor beside the prompt; the prompt needs a thread that a signal can leave behind."""
    import threading

    from instrument.terminal import prompt

    threading.Thread(target=prompt(port, stop=supervisor.stop), name="prompt", daemon=True).start()
    return int(supervisor.run(seconds=seconds))


@app.command()
def new(
    name: Annotated[Path, typer.Argument(help="The project's folder, which is made.")],
    from_: Annotated[str, typer.Option("--from", help="A ready-made patch, or a folder with a patch.toml.")],
) -> None:
    """Make a project of your own from a patch."""
    from instrument.projects import ProjectError, new_project

    try:
        project = new_project(name.expanduser(), from_)
    except (ProjectError, OSError) as error:
        _fail(error)
    typer.echo(f"{project.folder} is made. Its patch.toml is yours to edit; play it with: instrument play {name}")


@app.command()
def patches() -> None:
    """List the ready-made patches."""
    from instrument.patch import read_patch
    from instrument.projects import patch_names, patches_folder

    for name in patch_names():
        typer.echo(f"{name.ljust(20)} {read_patch(patches_folder() / name / 'patch.toml').about}")


@app.command(context_settings={"ignore_unknown_options": True})
def send(
    address: Annotated[str, typer.Argument(help="A command such as /instrument/train; see docs/protocol.md.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its arguments.")] = None,
    port: PortOption = DEFAULT_PORT,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.", min=0.0)] = 60.0,
) -> None:
    """Send one command to a playing instrument, and wait for its answer."""
    from instrument.client import Client, CommandFailed, NoAnswer
    from instrument.terminal import fit_arguments, readable, typed_value

    command = COMMANDS.get(address)
    if command is None:
        _fail(f"no command {address}; they are listed in docs/protocol.md", exit_code=2)
    try:
        values = fit_arguments(command, [typed_value(word) for word in arguments or []])
    except ValueError as error:
        _fail(error, exit_code=2)
    with Client(port=port) as client:
        if not command.is_answered:
            client.send(address, *values)
            return
        try:
            answer = client.ask(address, *values, timeout_s=timeout)
        except CommandFailed as error:
            _fail(error)
        except NoAnswer as error:
            _fail(error, NO_ANSWER)
    typer.echo(readable(command, answer))


@app.command()
def status(
    port: PortOption = DEFAULT_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Show what a playing instrument is doing."""
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
    from instrument.takes import TakesError, TakeStore

    try:
        with TakeStore.open(find_project(project).takes_file, readonly=True) as store:
            found = store.takes()
    except (ProjectError, TakesError) as error:
        _fail(error)
    if not found:
        typer.echo("no takes yet")
        return
    typer.echo("  take  frames  seconds  tracked  teaches")
    for take in found:
        targets = ", ".join(f"{name} = {target}" for name, target in take.targets.items()) or take.kind
        typer.echo(
            f"{take.id:6d}  {take.frame_count:6d}  {take.duration_s:7.2f}  {take.tracked_fraction:7.0%}  {targets}"
        )


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="What to write: .csv, .npz or Wekinator's .arff.")],
    project: ProjectArgument = None,
) -> None:
    """Write all takes into a file other programs read."""
    from instrument.exchange import ExchangeError, export_takes
    from instrument.projects import ProjectError, find_project
    from instrument.takes import TakesError, TakeStore

    try:
        with TakeStore.open(find_project(project).takes_file, readonly=True) as store:
            count = len(store.takes())
            export_takes(store, file)
    except (ProjectError, TakesError, ExchangeError, OSError) as error:
        _fail(error)
    typer.echo(f"{file}: {count} takes")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .csv, .npz or .arff file with takes.")],
    project: ProjectArgument = None,
) -> None:
    """Add the takes of a file to a project; `undo` takes them out again."""
    from instrument.exchange import ExchangeError, import_takes
    from instrument.projects import ProjectError, find_project
    from instrument.takes import TakesError, TakeStore

    try:
        with TakeStore.open(find_project(project).takes_file) as store:
            added = import_takes(store, file)
    except (ProjectError, TakesError, ExchangeError, OSError) as error:
        _fail(error)
    typer.echo(f"{len(added)} takes added")


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(help="A table (CSV), a file of takes, or a project's folder.")],
    label_column: Annotated[
        int | None,
        typer.Option(
            help="Which column of a table holds the labels; 1 is the first. Default: the first or last.", min=1
        ),
    ] = None,
    landmarks: Annotated[
        str | None, typer.Option(help="A table's numbers are body points: pose (33) or hand (21), x y [z].")
    ] = None,
    few: Annotated[int, typer.Option(help="Learn from so many examples of each class only.", min=0)] = 0,
    split: Annotated[
        str | None, typer.Option(help="What is held out: takes (default for takes), blocks, or frames (tables).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first run; the others count on from it.", min=0)] = 0,
    runs: Annotated[int, typer.Option(help="How often to hold out and train.", min=1)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Score what the instrument learns from examples, on others that it has not seen."""
    from instrument.kernels.threads import use_one_thread

    if "numpy" not in sys.modules:
        use_one_thread()
    from instrument.evaluation import SPLITS, EvaluationError
    from instrument.evaluation import evaluate as score
    from instrument.report import evaluation_text
    from instrument.scored import LANDMARKS, ScoredError, read_scorable

    for name, value, allowed in (("--landmarks", landmarks, LANDMARKS), ("--split", split, SPLITS)):
        if value is not None and value not in allowed:
            _fail(f"{name} is '{value}'; allowed: {', '.join(allowed)}", exit_code=2)
    if not path.exists():
        _fail(f"{path}: no such file or folder")
    results = []
    try:
        for patch, output, dataset in read_scorable(path, label_column=label_column, landmarks=landmarks):
            is_table = not path.is_dir() and len(dataset.frames) == 1
            kind = split or ("frames" if is_table or few else "takes")
            results.append(score(patch, output, dataset, kind=kind, few=few, seed=seed, runs=runs))
    except (ScoredError, EvaluationError) as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps({"path": str(path), "landmarks": landmarks, "outputs": results}, indent=2))
        return
    typer.echo("\n\n".join(evaluation_text(one) for one in results))


@app.command()
def blame(
    take: Annotated[int, typer.Argument(help="The number of a take or performance.")],
    project: ProjectArgument = None,
    at: Annotated[float, typer.Option(help="The moment, in seconds from its start.", min=0.0)] = 0.0,
    output: Annotated[str | None, typer.Option(help="Which class output. Default: the first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Tell which takes made the model say what it says at a moment of a rehearsal."""
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


@bench.command("latency")
def bench_latency(
    source: Annotated[str, typer.Option(help="A video file, or `demo`.")] = "demo",
    seconds: Annotated[float, typer.Option(help="How long to measure.", min=1.0)] = 20.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """Measure every stage from a frame's arrival to the datagram, and bare MediaPipe beside it."""
    from instrument.bench import BenchError, latency

    try:
        figures = latency(source, seconds)
    except BenchError as error:
        _fail(error)
    _report_figures(figures, json_file)


@bench.command("training")
def bench_training(
    examples: Annotated[int, typer.Option(help="How many frames to learn from.", min=10)] = 1000,
    runs: Annotated[int, typer.Option(help="How often to train.", min=1)] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
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
