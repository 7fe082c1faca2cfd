"""The whole program as a user starts it, with processes killed under it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from clients import PATIENCE_S, free_udp_port, wait_until
from playing import NUMBERS_PATCH, Heard, playing

from instrument import supervisor
from instrument.client import Client, NoAnswer
from instrument.supervisor import ConsoleOptions, Supervisor

WHO = {"engine": "instrument.engine_process", "trainer": "instrument.trainer"}


class Program:
    """`instrument play` on a numbers project, fed with numbers all the time."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.heard = Heard()
        self.port = free_udp_port()
        out = "{}:{}".format(*self.heard.address)
        command = [sys.executable, "-m", "instrument", "play", str(folder), "--headless"]
        self.process = subprocess.Popen(
            [*command, "--in-port", str(self.port), "--out", out, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.said = b""
        threading.Thread(target=self._read, daemon=True).start()
        self._closing = threading.Event()
        threading.Thread(target=self._feed, daemon=True).start()

    def child(self, name: str) -> psutil.Process | None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if WHO[name] in child.cmdline():
                    return child
        return None

    def status(self) -> dict:
        try:
            with Client(port=self.port) as client:
                return json.loads(str(client.ask("/instrument/status", timeout_s=0.5)[0]))
        except (NoAnswer, ConnectionError):
            return {}

    def wait_until_sending(self) -> None:
        before = len(self.heard.datagrams)
        wait_until(lambda: len(self.heard.datagrams) > before + 2, "more datagrams")

    def close(self) -> None:
        self._closing.set()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(20)
        finally:  # one that hangs must not be in the way of the tests after it
            if self.process.poll() is None:
                for one in (*psutil.Process(self.process.pid).children(recursive=True), self.process):
                    one.kill()
            self.heard.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.said += line

    def _feed(self) -> None:
        with Client(port=self.port) as client:
            while not self._closing.wait(0.02):
                with contextlib.suppress(OSError):
                    client.send("/wek/inputs", 0.9, 0.9)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has learned its sides."""
    folder = tmp_path_factory.mktemp("projects") / "sides"
    with playing(folder, NUMBERS_PATCH) as instrument:
        instrument.teach_sides()
        instrument.ask("train")
    return folder


@pytest.fixture
def program(project: Path) -> Iterator[Program]:
    program = Program(project)
    try:
        wait_until(lambda: len(program.heard.datagrams) > 2, "the first datagrams")
        wait_until(lambda: program.child("trainer"), "the trainer")
        yield program
    finally:
        program.close()


def test_a_killed_engine_comes_back_with_the_same_project_and_model_still_running(program: Program) -> None:
    before = program.status()
    engine = program.child("engine")
    assert engine is not None
    engine.kill()
    wait_until(lambda: program.status().get("pid", engine.pid) != engine.pid, "another engine")
    program.wait_until_sending()
    after = program.status()
    assert after["project"] == before["project"]
    assert after["running"]
    assert [one["model"] for one in after["outputs"]] == [one["model"] for one in before["outputs"]]


def test_an_engine_that_was_stopped_from_running_stays_stopped_when_it_comes_back(program: Program) -> None:
    with Client(port=program.port) as client:
        client.ask("/instrument/run", 0)
    engine = program.child("engine")
    assert engine is not None
    engine.kill()
    wait_until(lambda: program.status().get("pid", engine.pid) != engine.pid, "another engine")
    assert not program.status()["running"]


def test_a_killed_trainer_comes_back_and_trains(program: Program) -> None:
    trainer = program.child("trainer")
    assert trainer is not None
    wait_until(lambda: program.status()["trainer"]["alive"], "the trainer's hello")
    trainer.kill()
    wait_until(lambda: program.status()["trainer"]["pid"] not in (0, trainer.pid), "another trainer")
    program.wait_until_sending()
    with Client(port=program.port) as client:
        assert client.ask("/instrument/train", timeout_s=20.0)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
def test_no_process_is_left_behind(program: Program, name: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"no {name} here")
    children = psutil.Process(program.process.pid).children(recursive=True)
    assert len(children) == 2
    os.kill(program.process.pid, getattr(signal, name))
    program.process.wait(20)
    wait_until(lambda: not any(child.is_running() for child in children), "the children to end")
    assert program.process.returncode == (0 if name != "SIGKILL" else -9)


def test_quit_ends_everything(program: Program) -> None:
    with Client(port=program.port) as client:
        client.ask("/instrument/quit")
    assert program.process.wait(20) == 0


def test_it_can_be_asked_to_end_at_any_moment() -> None:
    child = SimpleNamespace(
        name="none", pid=None, restarts=0, start=lambda: None, tend=lambda: None, end=lambda: None, tell=lambda _: None
    )
    for moment in range(1, 61):
        asked = Supervisor({"in_port": 1})
        asked.engine = asked.trainer = child  # type: ignore[assignment]
        passed = 0

        def as_a_signal(frame: Any, event: str, _: Any, asked: Supervisor = asked, moment: int = moment) -> Any:
            nonlocal passed
            if frame.f_code.co_filename in (supervisor.__file__, threading.__file__):
                passed += 1
                if passed == moment:
                    asked.stop()
            return as_a_signal

        def run(asked: Supervisor = asked, trace: Any = as_a_signal) -> None:
            sys.settrace(trace)
            asked.run()

        running = threading.Thread(target=run, daemon=True)
        running.start()
        running.join(PATIENCE_S)
        assert not running.is_alive()


def test_seconds_end_everything(project: Path) -> None:
    program = Program(project, "--seconds", "1.5")
    assert program.process.wait(20) == 0
    program.close()


def test_a_port_in_use_ends_the_program_with_the_reason(program: Program, tmp_path: Path) -> None:
    (tmp_path / "patch.toml").write_text(NUMBERS_PATCH, encoding="utf-8")
    command = [sys.executable, "-m", "instrument", "play", str(tmp_path), "--headless", "--in-port", str(program.port)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert second.returncode != 0
    assert f"port {program.port} is in use by" in second.stderr
    assert second.stdout == ""
    assert "Traceback" not in second.stderr


def test_a_source_that_the_patch_cannot_hear_ends_the_program_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "patch.toml").write_text(NUMBERS_PATCH, encoding="utf-8")
    command = [sys.executable, "-m", "instrument", "play", str(tmp_path), "--headless", "--source", "nothing.mp4"]
    command += ["--in-port", str(free_udp_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "'nothing.mp4': this patch learns from numbers" in done.stderr


def test_a_broken_patch_ends_the_program_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "patch.toml").write_text('name = "x"\n[listen]\ntrack = ["face"]\n', encoding="utf-8")
    command = [sys.executable, "-m", "instrument", "play", str(tmp_path), "--headless"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "line 3" in done.stderr


def test_a_patch_broken_while_it_plays_does_not_end_the_program_when_the_engine_is_killed(
    project: Path, program: Program
) -> None:
    patch = (project / "patch.toml").read_text(encoding="utf-8")
    engine = program.child("engine")
    assert engine is not None
    try:
        (project / "patch.toml").write_text(patch + "[broken", encoding="utf-8")
        engine.kill()
        wait_until(lambda: b"not valid TOML" in program.said, "the complaint")
        assert program.process.poll() is None
    finally:
        (project / "patch.toml").write_text(patch, encoding="utf-8")
    program.wait_until_sending()


def test_an_engine_killed_while_a_mistake_stands_in_the_patch_plays_what_played_before_it(
    project: Path, program: Program
) -> None:
    patch = (project / "patch.toml").read_text(encoding="utf-8")
    try:
        (project / "patch.toml").write_text(patch + "[broken", encoding="utf-8")
        wait_until(lambda: b"the one before plays on" in program.said, "the complaint")
        engine = program.child("engine")
        assert engine is not None
        engine.kill()
        wait_until(lambda: b"the one that played before it does" in program.said, "the engine to start again")
        program.wait_until_sending()
        assert "not valid TOML" in program.status()["patch_problem"]
    finally:
        (project / "patch.toml").write_text(patch, encoding="utf-8")
    wait_until(lambda: program.status().get("patch_problem") == "", "the mended patch")


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be stopped there")
@pytest.mark.parametrize("name", ["engine", "trainer", "console"])
def test_a_process_that_hangs_is_killed_and_started_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(supervisor, "FROZEN_S", 6.0)
    said: list[str] = []
    options = {"folder": str(project), "in_port": free_udp_port()}
    console = ConsoleOptions(on_page=said.append) if name == "console" else None
    one = Supervisor(options, say=said.append, console=console)
    thread = threading.Thread(target=one.run)
    thread.start()
    try:
        child = getattr(one, name)
        wait_until(lambda: child.is_heard, f"the {name} to live")
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: child.pid != first and child.is_heard, f"another {name} to live")
        assert child.restarts == 1
        assert one.engine.restarts + one.trainer.restarts == (0 if name == "console" else 1)
    finally:
        one.stop()
        thread.join(PATIENCE_S)
    assert not psutil.pid_exists(first)


def test_a_process_for_which_the_system_has_no_room_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def start() -> Any:
        tried.append(len(tried))
        if len(tried) in (2, 3):
            raise OSError(12, "Cannot allocate memory")
        return SimpleNamespace(pid=len(tried), poll=lambda: -9, stdin=None)

    now_s = 0.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now_s)
    child = supervisor._Child("trainer", start)
    for number in range(200):
        now_s = number * supervisor.POLL_S
        child.tend()
        if len(tried) == 4:
            break
    assert (tried, child.restarts, child.pid) == ([0, 1, 2, 3], 1, 4)
