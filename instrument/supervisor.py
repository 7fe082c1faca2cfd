"""Starts engine, trainer and console, restarts one that dies, and ends them all together.

The supervisor touches no takes, no models and no frames. It does hold the MIDI ports: the engine
writes its messages to a pipe, so when it is killed the notes that sound are released at once,
and the ports, with whatever is plugged into them, outlive it.
"""

import contextlib
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from instrument import osc
from instrument.engine_process import EXIT_CANNOT_START
from instrument.midi import MidiPipeReader, MidiPorts
from instrument.midi_in import MidiInputs
from instrument.osc import parse_host_port
from instrument.pedals import Strokes
from instrument.picture_stream import SECRET_VARIABLE

log = logging.getLogger(__name__)

DEFAULT_CONSOLE_PORT = 6480
POLL_S = 0.02
GRACE_S = 4.0
"""How long a process may take to end when asked before it is killed."""
BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before starting a process again that keeps dying; one that lived a while starts over at 0."""
LIVED_S = 10.0
FROZEN_S = 120.0
"""A process that gave signs of life, and gives none for so long, hangs. Opening a large project takes long, too."""
PING_EVERY_S = 1.0


# Ctrl-C is for the supervisor, which then ends the others in order.
_OUT_OF_REACH_OF_CTRL_C: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleOptions:
    """Where the page is served, and who is told."""

    on_page: Callable[[str], None]
    """Called once, with the link, as soon as the page can be opened."""
    listen_host: str = "127.0.0.1"
    port: int | None = None
    """None: DEFAULT_CONSOLE_PORT, or the next one that is free. The network's is the one after it."""
    own_pages: Sequence[Path] = ()
    """Files that make one more page each. They are run."""
    on_network: Callable[[str, str], None] = lambda *_: None
    """Called once, with the link for other computers and the certificate's fingerprint, if they may come in."""


class Supervisor:
    """One engine, one trainer and, if asked for, one console, for as long as `run` runs."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        is_quiet: bool = False,
        say: Callable[[str], None] | None = None,
        console: ConsoleOptions | None = None,
    ) -> None:
        """`options` are EngineOptions as JSON values; `say` gets what the processes log, line by line."""
        self._options = dict(options)
        self._is_quiet = is_quiet
        self._say = say
        self._midi = MidiPorts({})
        self._inputs = MidiInputs(self._hear_midi)
        self._strokes = Strokes()
        host, _ = parse_host_port(self._engine_address())
        self._wire = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._wire.setblocking(False)
        with contextlib.suppress(OSError):  # else it would hear the whole network; the engine says what is wrong
            self._wire.bind((host, 0))
        self._reader: MidiPipeReader | None = None
        self._told: tuple[Mapping[str, Any], int | None] = ({}, None)
        self._is_stopping = False  # no event: a signal's handler that sets one can lock up with whoever waits for it
        self.engine = _Child("engine", self._start_engine)
        self.trainer = _Child("trainer", self._start_trainer)
        self.console = None if console is None else _Child("console", partial(self._start_console, console))
        self._console_port: int | None = None
        """Where the page was; a console that is started again serves it there, for pages wait for it."""
        self._is_network_told = False
        self._has_played = threading.Event()
        self._pinged_before_s = 0.0
        self._secret = secrets.token_hex(32)

    def stop(self) -> None:
        """Asks everything to end; may be called from a signal handler."""
        self._is_stopping = True

    def run(self, *, seconds: float | None = None) -> int:
        """Plays until asked to stop, or for so many seconds; gives the exit code."""
        ends_at_s = None if seconds is None else time.monotonic() + seconds
        exit_code = 0
        try:
            self.engine.start()
            self.trainer.start()
            while not self._is_stopping:
                time.sleep(POLL_S)
                if ends_at_s is not None and time.monotonic() >= ends_at_s:
                    break
                engine_exit = self.engine.tend()
                # It quit, or said why it cannot play; once it has played, it is tried again instead.
                if engine_exit == 0 or (engine_exit == EXIT_CANNOT_START and not self.engine.restarts):
                    exit_code = engine_exit
                    break
                self._ping_engine()
                self.trainer.tend()
                if self.console is not None and self._has_played.is_set():  # the engine comes first
                    self.console.tend()
                self._tell_engine()
        finally:
            # The engine first: it releases its notes while everything else still stands.
            self.engine.end()
            self.trainer.end()
            if self.console is not None:
                self.console.end()
            if self._reader is not None:
                self._reader.join(1.0)
            self._midi.close()
            self._inputs.close()
        return exit_code

    def _ping_engine(self) -> None:
        if self._answers():
            self.engine.heard()
        self._pinged_before_s += POLL_S
        if self._pinged_before_s >= PING_EVERY_S:
            self._pinged_before_s = 0.0
            self._tell_by_wire("/instrument/ping")

    def _answers(self) -> bool:
        """Whether the engine has answered a ping since the last call."""
        is_answer = False
        try:
            while True:
                for address, arguments in osc.decode(self._wire.recv(65536)):
                    is_answer |= (address, *arguments[:1]) == ("/done", "/instrument/ping")
        except (OSError, osc.OscError):  # nothing more, or nobody there
            return is_answer

    def _start_engine(self) -> subprocess.Popen[bytes]:
        arguments = ["--options", json.dumps(self._options), *(["--quiet"] if self._is_quiet else [])]
        engine = self._spawn("instrument.engine_process", arguments, stdout=subprocess.PIPE)
        assert engine.stdout is not None
        if self._reader is not None:
            self._reader.join(1.0)  # what the last engine left sounding is released before the next one plays
        self._reader = MidiPipeReader(engine.stdout, self._midi, other_lines=self._hear_engine)
        self._answers()  # what the last engine answered
        return engine

    def _start_trainer(self) -> subprocess.Popen[bytes]:
        trainer = self._spawn("instrument.trainer", ["--engine", self._engine_address()], stdout=subprocess.PIPE)
        threading.Thread(target=self._hear_trainer, args=(trainer,), name="trainer", daemon=True).start()
        return trainer

    def _hear_trainer(self, trainer: subprocess.Popen[bytes]) -> None:
        assert trainer.stdout is not None
        with trainer.stdout as lines:
            for _ in lines:  # which say no more than that it lives
                self.trainer.heard()

    def _start_console(self, options: ConsoleOptions) -> subprocess.Popen[bytes]:
        port = self._console_port or options.port
        arguments = ["--engine", self._engine_address(), "--listen", options.listen_host]
        arguments += ["--port", str(port or DEFAULT_CONSOLE_PORT), *(["--is-fixed"] if port else [])]
        arguments += [word for file in options.own_pages for word in ("--page", str(file))]
        console = self._spawn("instrument.console.process", arguments, stdout=subprocess.PIPE)
        threading.Thread(target=self._hear_console, args=(console, options), name="console", daemon=True).start()
        return console

    def _hear_console(self, console: subprocess.Popen[bytes], options: ConsoleOptions) -> None:
        assert console.stdout is not None
        assert self.console is not None
        with console.stdout as lines:
            for line in lines:
                self.console.heard()
                word, _, url = line.decode("utf-8", errors="replace").rstrip().partition(" ")
                if word == "page" and self._console_port is None:
                    self._console_port = urlsplit(url).port
                    options.on_page(url)
                elif word == "network" and not self._is_network_told:
                    self._is_network_told = True
                    options.on_network(*url.split(" ", 1))

    def _engine_address(self) -> str:
        """Where this computer reaches the engine."""
        host = str(self._options.get("listen_host", "127.0.0.1"))
        if host in ("0.0.0.0", "::", ""):  # noqa: S104  (listening everywhere includes here)
            host = "127.0.0.1"
        return f"{host}:{self._options['in_port']}"

    def _spawn(
        self, module: str, arguments: Sequence[str], stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=None if self._say is None else subprocess.PIPE,
            # glibc gives every thread its own heap, which would make an engine of many threads grow.
            env=os.environ | {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2", SECRET_VARIABLE: self._secret},
            **_OUT_OF_REACH_OF_CTRL_C,
        )
        if self._say is not None:
            threading.Thread(target=self._pass_on, args=(child.stderr,), name="child log", daemon=True).start()
        return child

    def _pass_on(self, stream: BinaryIO) -> None:
        assert self._say is not None
        for line in stream:
            self._say(line.decode("utf-8", errors="replace").rstrip())

    def _tell_engine(self) -> None:
        """Tells the engine how the MIDI ports fare and what was started again, whenever that changes."""
        ports = {name: (one.port, one.reason) for name, one in self._midi.status().items()}
        children = [one for one in (self.engine, self.trainer, self.console) if one is not None]
        restarts = {one.name: one.restarts for one in children}
        told = ({"midi": ports, "inputs": self._inputs.status(), "restarts": restarts}, self.engine.pid)
        if told != self._told:
            self._told = told
            self._strokes = Strokes()  # a pedal that was down may have come up unheard
            self.engine.tell(json.dumps(told[0]))

    def _hear_engine(self, line: bytes) -> None:
        """What the engine plays now, for the engine after it, and which MIDI inputs it wants heard."""
        word, _, rest = line.partition(b" ")
        try:
            if word == b"session":
                self._has_played.set()
                self._options |= json.loads(rest)
            elif word == b"inputs":
                self._inputs.connect([str(name) for name in json.loads(rest)])
        except (ValueError, TypeError):
            log.warning("the engine wrote %r", line)

    def _hear_midi(self, port: str, message: Sequence[int]) -> None:
        """Passes what a pedal sends on to the engine, as a command."""
        if not self._strokes.is_new(port, message):
            return
        self._tell_by_wire("/instrument/midi/in", port, *message)

    def _tell_by_wire(self, address: str, *arguments: osc.Argument) -> None:
        with contextlib.suppress(OSError):  # such as an engine that is being started again
            self._wire.sendto(osc.encode(address, arguments), parse_host_port(self._engine_address()))


class _Child:
    """One process that is started again whenever it dies."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name = name
        self.restarts = 0
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at_s = 0.0
        self._failures = 0
        self._is_given_up = False
        self._due_at_s: float | None = None
        self._silent_s: float | None = None
        """How long ago it last gave a sign of life; None before the first."""

    @property
    def is_heard(self) -> bool:
        """Whether the process that runs now has given a sign of life."""
        return self._silent_s is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._silent_s = None
        self._process = self._start()
        self._started_at_s = time.monotonic()
        self._due_at_s = None

    def tend(self) -> int | None:
        """Starts it again if it has died and the pause is over; its exit code when it just ended. Every POLL_S."""
        now_s = time.monotonic()
        if self._due_at_s is not None:
            if now_s >= self._due_at_s:
                self._start_or_wait(now_s)
            return None
        if self._process is None:
            self._start_or_wait(now_s)
            return None
        exit_code = self._process.poll()
        if exit_code is None:
            self._watch(self._process)
        if exit_code is None or self._is_given_up:
            return None
        if exit_code == EXIT_CANNOT_START and self.name == "console":
            self._is_given_up = True  # it has said why; the instrument plays on without
        elif exit_code == EXIT_CANNOT_START and self.name == "engine" and not self.restarts:
            pass  # it has said why, and nothing plays
        elif exit_code != 0:
            self._failures = 0 if now_s - self._started_at_s > LIVED_S else self._failures + 1
            pause_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
            log.warning("the %s died (exit code %d); starting it again", self.name, exit_code)
            self._due_at_s = now_s + pause_s
        elif self.name != "engine":
            self._due_at_s = now_s + 1.0
        return exit_code

    def _start_or_wait(self, now_s: float) -> None:
        """Starts it; where the system has no room for another process, later."""
        is_again = self._process is not None
        try:
            self.start()
        except OSError as error:
            self._failures += 1
            self._due_at_s = now_s + BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
            log.warning("the %s cannot be started (%s); trying again", self.name, error)
        else:
            self.restarts += is_again

    def tell(self, line: str) -> None:
        """Writes a line to its stdin; a process that is gone does not hear it."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(line.encode("utf-8") + b"\n")
                self._process.stdin.flush()

    def heard(self) -> None:
        """It has given a sign of life; may be called from any thread."""
        self._silent_s = 0.0

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Kills it if it hangs; one that is still starting is waited for."""
        if self._silent_s is None:
            return
        self._silent_s += POLL_S  # what a computer slept is not counted
        if self._silent_s > FROZEN_S:
            log.warning("the %s has given no sign of life for %g s; killing it", self.name, FROZEN_S)
            self._silent_s = None
            process.kill()

    def end(self) -> None:
        """Asks the process to end by closing its stdin, which every system has, then insists."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            log.warning("the %s did not end within %g s; killing it", self.name, GRACE_S)
            process.kill()
            process.wait()
