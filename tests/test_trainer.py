"""The trainer process and what it says to the engine."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from instrument.kernels.packing import PackedNetwork
from instrument.models.fitting import Cancelled, Progress
from instrument.models.quantize import round_to_nearest
from instrument.models.trained import TrainedModel, load_model
from instrument.osc import decode, encode
from instrument.priority import NICENESS
from instrument.project import Project
from instrument.signals import LandmarkSequence
from instrument.takes import TakeStore, WholeTake
from instrument.trainer import MOST_SUMMARY_BYTES, Trainer, coaching_text, summary
from instrument.training import ProjectTraining

MODEL = TrainedModel(
    output="pose",
    kind="class",
    classes=("rest", "up"),
    feature_names=("a",),
    feature_fingerprint="f00d",
    hidden=(),
    seed=0,
    network=PackedNetwork(
        shift=np.zeros(1, dtype=np.float32),
        gain=np.ones(1, dtype=np.float32),
        layers=(round_to_nearest(np.zeros((1, 2)), np.zeros(2), bits=8),),
    ),
    training={"examples": 7, "notes": ["a note " * 20]},
)
TRAINED = ProjectTraining(models={"pose": MODEL}, refused={"cutoff": "no takes"}, seconds=0.25)


class Engine:
    """The other end: a socket that waits for what the trainer says."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10.0)
        self.address: tuple[str, int] = self.socket.getsockname()

    def wait(self, name: str) -> tuple[object, ...]:
        """The arguments of the next message of that name; others are passed over."""
        while True:
            for address, arguments in decode(self.socket.recv(65536)):
                if address == f"/instrument/trainer/{name}":
                    return arguments

    def end(self) -> tuple[object, ...]:
        """The name and arguments of the next message that ends a job."""
        while True:
            for address, arguments in decode(self.socket.recv(65536)):
                name = address.rpartition("/")[2]
                if name in ("done", "failed"):
                    return name, *arguments

    def send(self, port: int, address: str, *arguments: int | float | str) -> None:
        self.socket.sendto(encode(address, arguments), ("127.0.0.1", port))


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine that listens."""
    engine = Engine()
    yield engine
    engine.socket.close()


@pytest.fixture
def serve(engine: Engine) -> Iterator[Callable[..., Trainer]]:
    """Gives a trainer that serves with the training function given."""
    running = []

    def start(train: Callable[..., ProjectTraining]) -> Trainer:
        trainer = Trainer(engine=engine.address, train=train)
        thread = threading.Thread(target=trainer.serve)
        thread.start()
        running.append((trainer, thread))
        return trainer

    yield start
    for trainer, thread in running:
        trainer.stop()
        thread.join(timeout=10)
        assert not thread.is_alive()


def at_once(*_: object, **__: object) -> ProjectTraining:
    return TRAINED


def never(*_: object, **__: object) -> ProjectTraining:
    raise RuntimeError("was not asked for")


def until_cancelled(started: threading.Event) -> Callable[..., ProjectTraining]:
    """Trains project `long` until it is cancelled, and anything else at once."""

    def train(folder: Path, *, is_cancelled: Callable[[], bool], **_: object) -> ProjectTraining:
        if folder.name == "long":
            started.set()
            while not is_cancelled():
                threading.Event().wait(0.001)
            raise Cancelled
        return TRAINED

    return train


def test_hello_names_port_and_process(engine: Engine, serve: Callable[..., Trainer]) -> None:
    trainer = serve(at_once)
    assert engine.wait("hello") == (trainer.port, os.getpid(), 0)


def test_a_job_is_answered_with_a_summary(engine: Engine, serve: Callable[..., Trainer]) -> None:
    engine.send(serve(at_once).port, "/train", 5, "project", "")
    number, text = engine.wait("done")
    assert number == 5
    described = json.loads(str(text))
    assert described["outputs"]["pose"]["model_id"] == MODEL.model_id
    assert described["refused"] == {"cutoff": "no takes"}


def test_folder_and_outputs_are_passed_on(engine: Engine, serve: Callable[..., Trainer]) -> None:
    seen: list[object] = []

    def train(folder: Path, *, outputs: tuple[str, ...], **_: object) -> ProjectTraining:
        seen.append((folder, outputs))
        return TRAINED

    port = serve(train).port
    for outputs in ("", "pose,cutoff"):
        engine.send(port, "/train", 1, "some/project", outputs)
        engine.wait("done")
    assert seen == [(Path("some/project"), ()), (Path("some/project"), ("pose", "cutoff"))]


def test_progress_is_passed_on_with_minus_one_for_no_score(engine: Engine, serve: Callable[..., Trainer]) -> None:
    def train(_: Path, *, on_progress: Callable[[str, Progress], None], **__: object) -> ProjectTraining:
        on_progress("pose", Progress(step=10, steps=300, loss=np.float64(0.5), validation=None))
        return TRAINED

    engine.send(serve(train).port, "/train", 2, "project", "")
    assert engine.wait("progress") == (2, "pose", 10, 300, 0.5, -1.0)


def test_a_job_can_be_cancelled(engine: Engine, serve: Callable[..., Trainer]) -> None:
    started = threading.Event()
    port = serve(until_cancelled(started)).port
    engine.send(port, "/train", 3, "long", "")
    assert started.wait(10)
    engine.send(port, "/cancel", 3)
    assert engine.end() == ("failed", 3, "cancelled")


def test_cancelling_another_job_changes_nothing(engine: Engine, serve: Callable[..., Trainer]) -> None:
    port = serve(at_once).port
    engine.send(port, "/cancel", 99)
    engine.send(port, "/train", 4, "project", "")
    assert engine.end()[:2] == ("done", 4)


def test_what_was_found_is_said_with_as_much_as_one_message_holds() -> None:
    long = [[step, 0.5, None] for step in range(MOST_SUMMARY_BYTES // 10)]
    found = {"pose": {"curve": long, "learning_curve": long, "by_take": {"accuracy": 0.9}, "advice": ["record"]}}
    assert json.loads(coaching_text(found)) == {"pose": {"by_take": {"accuracy": 0.9}, "advice": ["record"]}}


def test_a_study_is_answered_with_what_was_found_and_nothing_is_trained(engine: Engine) -> None:
    def look(folder: Path, **_: object) -> ProjectTraining:
        return ProjectTraining(models={}, refused={str(folder): "was looked at"}, seconds=0.0)

    trainer = Trainer(
        engine=engine.address, train=never, study=lambda training, _: {"pose": dict(training.refused)}, look=look
    )
    thread = threading.Thread(target=trainer.serve)
    thread.start()
    engine.send(trainer.port, "/study", 3, "project")
    assert engine.wait("coached") == (3, '{"pose": {"project": "was looked at"}}')
    trainer.stop()
    thread.join(timeout=10)


def test_a_study_that_fails_ends_with_nothing_found(engine: Engine) -> None:
    trainer = Trainer(engine=engine.address, train=never, study=lambda *_: {}, look=never)
    thread = threading.Thread(target=trainer.serve)
    thread.start()
    engine.send(trainer.port, "/study", 4, "project")
    assert engine.wait("coached") == (4, "{}")
    trainer.stop()
    thread.join(timeout=10)


def test_a_new_job_cancels_the_one_in_hand(engine: Engine, serve: Callable[..., Trainer]) -> None:
    started = threading.Event()
    port = serve(until_cancelled(started)).port
    engine.send(port, "/train", 1, "long", "")
    assert started.wait(10)
    engine.send(port, "/train", 2, "short", "")
    assert engine.end() == ("failed", 1, "cancelled")
    assert engine.end()[:2] == ("done", 2)


def test_a_job_from_before_the_engine_restarted_does_not_answer_for_its_namesake(
    engine: Engine, serve: Callable[..., Trainer]
) -> None:
    started = threading.Event()
    port = serve(until_cancelled(started)).port
    engine.send(port, "/train", 1, "long", "")
    assert started.wait(10)
    engine.send(port, "/train", 1, "short", "")
    assert engine.end()[:2] == ("done", 1)


def test_hello_names_the_job_in_hand(engine: Engine, serve: Callable[..., Trainer]) -> None:
    started = threading.Event()
    trainer = serve(until_cancelled(started))
    engine.send(trainer.port, "/train", 7, "long", "")
    assert started.wait(10)
    engine.wait("hello")  # of the start
    assert engine.wait("hello")[2] == 7


def test_hello_goes_on_while_it_trains(engine: Engine, serve: Callable[..., Trainer]) -> None:
    started = threading.Event()
    trainer = serve(until_cancelled(started))
    engine.send(trainer.port, "/train", 1, "long", "")
    assert started.wait(10)
    assert [engine.wait("hello")[0] for _ in range(2)] == [trainer.port] * 2  # the first was sent at the start


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("what\0ever \ud800"), "RuntimeError: whatever ?"),
        (MemoryError(), "MemoryError: "),
        (ValueError("x" * 9000), "ValueError: " + "x" * 1988),
    ],
)
def test_whatever_goes_wrong_is_answered_and_the_next_job_trains(
    engine: Engine, serve: Callable[..., Trainer], error: Exception, reason: str
) -> None:
    def train(folder: Path, **_: object) -> ProjectTraining:
        if folder.name == "broken":
            raise error
        return TRAINED

    port = serve(train).port
    engine.send(port, "/train", 1, "broken", "")
    assert engine.end() == ("failed", 1, reason)
    engine.send(port, "/train", 2, "whole", "")
    assert engine.end()[:2] == ("done", 2)


def test_rubbish_and_wrong_types_are_passed_over(engine: Engine, serve: Callable[..., Trainer]) -> None:
    port = serve(at_once).port
    for datagram in (b"rubbish", b"\x00" * 8, encode("/train", ["1", "project", ""]), encode("/else", [1])):
        engine.socket.sendto(datagram, ("127.0.0.1", port))
    engine.send(port, "/train", 7, "project", "")
    assert engine.end()[:2] == ("done", 7)


def test_a_job_from_anyone_but_the_engine_is_dropped(engine: Engine, serve: Callable[..., Trainer]) -> None:
    trainer, stranger = serve(at_once), Engine()
    stranger.send(trainer.port, "/train", 1, "project", "")
    stranger.socket.close()
    engine.send(trainer.port, "/train", 2, "project", "")
    assert engine.end()[:2] == ("done", 2)
    assert trainer.strangers == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])  # noqa: S104  (it only names it)
def test_an_engine_is_known_however_its_host_is_written(engine: Engine, host: str) -> None:
    trainer = Trainer(engine=(host, engine.address[1]), train=at_once)
    thread = threading.Thread(target=trainer.serve)
    thread.start()
    engine.send(trainer.port, "/train", 1, "project", "")
    assert engine.end()[:2] == ("done", 1)
    trainer.stop()
    thread.join(timeout=10)


def test_it_listens_on_this_machine_only(serve: Callable[..., Trainer]) -> None:
    assert serve(at_once)._socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("count", [1, 30, 200])
def test_a_summary_fits_into_its_message(count: int) -> None:
    models = {f"output{number}": MODEL for number in range(count)}
    refused = {f"other{number}": "a reason " * 20 for number in range(count)}
    text = summary(ProjectTraining(models=models, refused=refused, seconds=1.0))
    assert len(text.encode()) <= MOST_SUMMARY_BYTES
    assert set(json.loads(text)["outputs"]) == set(models)


@pytest.fixture
def process(engine: Engine) -> Iterator["subprocess.Popen[bytes]"]:
    """The trainer as the supervisor starts it."""
    host, port = engine.address
    process = subprocess.Popen(
        [sys.executable, "-m", "instrument.trainer", "--engine", f"{host}:{port}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with process:
        yield process
        process.kill()


def test_the_process_trains_a_project_at_low_priority_and_ends_with_its_supervisor(
    engine: Engine, process: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    project = Project(tmp_path)
    project.patch_file.write_text('[listen]\nsource = "osc"\n[[output]]\nname = "pose"\n', encoding="utf-8")
    with TakeStore.open(project.takes_file) as store:
        for name, at in (("rest", 0.0), ("up", 3.0)):
            rows = np.random.default_rng(0).normal(at, 0.1, (20, 3)).astype(np.float32)
            sequence = LandmarkSequence(times_s=np.arange(20) / 30, aspect=np.ones(20, np.float32), numbers=rows)
            store.add([WholeTake(created_at="2026", source="osc", targets={"pose": name}, landmarks=sequence)], "add")
    port, pid, _ = engine.wait("hello")
    assert pid == process.pid
    assert isinstance(port, int)
    if sys.platform == "win32":
        assert psutil.Process(pid).nice() == psutil.BELOW_NORMAL_PRIORITY_CLASS
    else:
        assert psutil.Process(pid).nice() == max(psutil.Process().nice(), NICENESS)

    engine.send(port, "/train", 1, str(tmp_path), "")
    ending, _, text = engine.end()
    assert ending == "done"
    model_id = json.loads(str(text))["outputs"]["pose"]["model_id"]
    assert load_model(project.model_file("pose")).model_id == model_id

    project.patch_file.write_text("not a patch", encoding="utf-8")
    engine.send(port, "/train", 2, str(tmp_path), "")
    ending, _, reason = engine.end()
    assert ending == "failed"
    assert "patch.toml" in str(reason)

    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=10) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can answer")
def test_the_process_ends_on_sigterm_without_a_word(engine: Engine, process: "subprocess.Popen[bytes]") -> None:
    engine.wait("hello")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


INTERRUPTED = """
import runpy, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name not in ("instrument", "instrument.trainer"):
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; a job in the background ignores it
sys.argv = ["trainer", "--engine", "127.0.0.1:9"]
sys.meta_path.insert(0, Interrupt())
runpy.run_module("instrument.trainer", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_is_nothing_to_the_process_at_any_of_its_imports() -> None:
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert (run.returncode, run.stderr) == (0, b"")
