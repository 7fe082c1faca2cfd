"""Real clients for tests, headless: oscdump, Pure Data, FluidSynth, JACK, Chromium."""

import array
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest

from instrument.midi import PortStatus, Standing
from instrument.osc import encode

PATIENCE_S = 45.0
"""How long anything is waited for: far longer than it takes, for machines that are busy."""
PACKAGES = {
    "pd": "puredata-core",
    "oscdump": "liblo-tools",
    "fluidsynth": "fluidsynth timgm6mb-soundfont",
    "jackd": "jackd2",
    "jack_midi_dump": "jackd2",
    "chromium": "chromium",
}
SOUND_FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
SAMPLE_RATE_HZ = 44100


def require_client(*programs: str) -> None:
    """Skips the test without those programs; fails it where INSTRUMENT_REQUIRE_CLIENTS=1, as in CI."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    reason = f"needs {', '.join(missing)}: apt install {' '.join(PACKAGES.get(one, one) for one in missing)}"
    if os.environ.get("INSTRUMENT_REQUIRE_CLIENTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = PATIENCE_S) -> None:
    """Returns as soon as the condition holds; fails, saying what never came, when it does not."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_at:
            pytest.fail(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.01)


def free_udp_port() -> int:
    return _free_port(socket.SOCK_DGRAM)


def free_tcp_port() -> int:
    """The one after it is free as well: the page is served to others there."""
    return _free_port(socket.SOCK_STREAM)


def _free_port(kind: socket.SocketKind) -> int:
    """Not one that systems give to whoever asks for any: it might be given away before it is used."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), socket.socket(type=kind) as probe, socket.socket(type=kind) as after:
            probe.bind(("127.0.0.1", port))
            after.bind(("127.0.0.1", port + 1))
            return port


class Client:
    """A running program whose output (both streams) is collected line by line."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.command = list(command)
        self._stop_signal = stop_signal
        self.lines: list[str] = []
        self.heard_at_s: list[float] = []
        """When each line came, by `time.monotonic`."""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, *, count: int = 1, timeout_s: float = PATIENCE_S) -> list[str]:
        """The lines that match, once there are `count` of them."""
        expression = re.compile(pattern)
        matching: list[str] = []

        def are_there() -> bool:
            matching[:] = [line for line in list(self.lines) if expression.search(line)]
            return len(matching) >= count

        give_up_at = time.monotonic() + timeout_s
        while not are_there():
            if time.monotonic() > give_up_at:
                said = "\n".join(self.lines[-20:])
                pytest.fail(f"{self.command[0]} did not say {pattern!r} {count} times in {timeout_s:g} s, but:\n{said}")
            time.sleep(0.01)
        return matching

    def say(self, line: str) -> None:
        """Writes a line to the program's input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self._stop_signal)
        try:
            self.process.wait(timeout=15.0)  # JACK waits 6 s for clients that just died
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(timeout=5.0)
        if self.process.stdin is not None:
            self.process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.heard_at_s.append(time.monotonic())
                self.lines.append(line.decode("utf-8", errors="replace").rstrip("\n"))


@contextmanager
def oscdump(port: int | None = None) -> Iterator[tuple[Client, int]]:
    """liblo's oscdump, listening on the port given with it; `messages` reads what it printed."""
    require_client("oscdump")
    port = port or free_udp_port()
    with Client(["oscdump", "-L", str(port)]) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:

        def answers() -> bool:
            knock.sendto(encode("/ready", ()), ("127.0.0.1", port))
            return any("/ready" in line for line in client.lines)

        wait_until(answers, "oscdump to listen")
        yield client, port


def messages(client: Client) -> list[str]:
    """What oscdump received, without its time stamps: address, type tags, arguments."""
    return [line.split(" ", 1)[1] for line in list(client.lines) if "/ready" not in line and " " in line]


@contextmanager
def pure_data(patch: Path) -> Iterator[Client]:
    """Pd running that patch without sound, MIDI or window; its [print] lines are the client's lines."""
    require_client("pd")
    with Client(["pd", "-nogui", "-noaudio", "-nomidi", "-noprefs", "-stderr", str(patch)]) as client:
        yield client


@contextmanager
def jack_server(name: str) -> Iterator[Client]:
    """A JACK server without sound card under that name; its clients need JACK_DEFAULT_SERVER set to it."""
    require_client("jackd", "jack_midi_dump", "stdbuf")
    command = ["jackd", "-r", "-S", "-n", name, "-d", "dummy", "-r", "48000", "-p", "512"]
    environment = {**os.environ, "JACK_DEFAULT_SERVER": name}  # jack_lsp's own option for it corrupts its memory

    def answers() -> bool:
        return subprocess.run(["jack_lsp"], capture_output=True, env=environment).returncode == 0

    with Client(command) as server:
        wait_until(answers, "the JACK server")
        try:
            yield server
        finally:
            server.stop()
            for left in Path("/dev/shm").glob(f"jack_*{name}_*"):  # noqa: S108  what a killed server leaves
                left.unlink(missing_ok=True)


@contextmanager
def jack_midi_dump(source: str | None, *, server: str) -> Iterator[Client]:
    """A JACK client that prints, in hex, every MIDI message it gets, from that port if one is given."""
    environment = {"JACK_DEFAULT_SERVER": server}
    # SIGINT is what it takes leave at; a server waits 6 s for clients that just die
    dump = Client(["stdbuf", "-oL", "jack_midi_dump"], environment=environment, stop_signal=signal.SIGINT)
    with dump as client:
        connect = ["jack_connect", str(source), "midi-monitor:input"]

        def connected() -> bool:
            return subprocess.run(connect, capture_output=True, env={**os.environ, **environment}).returncode == 0

        if source is not None:
            wait_until(connected, f"{source} to be connected to jack_midi_dump")
        yield client


def dumped_messages(client: Client) -> list[str]:
    """The MIDI messages jack_midi_dump printed, such as `90 3c 64`."""
    found = (re.match(r"\s*\d+: ([0-9a-f]{2}(?: [0-9a-f]{2})*)", line) for line in list(client.lines))
    return [match[1] for match in found if match]


class RecordingMidi:
    """A `Midi` that only remembers what it was told."""

    def __init__(self, destinations: Mapping[str, str] | None = None) -> None:
        self.told: list[Any] = []
        self.connect(destinations or {})

    def connect(self, destinations: Mapping[str, str]) -> None:
        self.told.append(dict(destinations))

    def send(self, destination: str, message: Sequence[int]) -> bool:
        self.told.append((destination, bytes(message).hex(" ")))
        return True

    def release_all(self) -> None:
        self.told.append("release all")

    def status(self) -> dict[str, PortStatus]:
        return {}

    def close(self) -> None:
        self.told.append("close")


class FifoMidi:
    """FluidSynth playing what is sent, through a FIFO that it takes for an OSS MIDI device.

    Its sound goes to a raw file at the speed of a sound card.
    """

    def __init__(self, folder: Path) -> None:
        require_client("fluidsynth")
        fifo, self._sound = folder / "midi", folder / "sound.raw"
        os.mkfifo(fifo)
        self._fifo = os.open(fifo, os.O_RDWR)
        self._standing = Standing()
        options = {
            "audio.file.name": self._sound,
            "audio.file.type": "raw",
            "audio.file.format": "s16",
            "midi.oss.device": fifo,
            "shell.port": free_tcp_port(),  # without a server it ends at once
        }
        settings = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        flags = ["-is", "-a", "file", "-m", "oss", "-r", str(SAMPLE_RATE_HZ), "-R", "0", "-C", "0"]
        self._client = Client(["fluidsynth", *flags, *settings, str(SOUND_FONT)])
        wait_until(lambda: self.seconds() > 0.1, "FluidSynth to run")

    def connect(self, destinations: Mapping[str, str]) -> None:
        pass

    def send(self, destination: str, message: Sequence[int]) -> bool:
        self._standing.follow(destination, message)
        os.write(self._fifo, bytes(message))
        return True

    def release_all(self) -> None:
        for message in self._standing.release("synth"):
            os.write(self._fifo, bytes(message))

    def status(self) -> dict[str, PortStatus]:
        return {}

    def close(self) -> None:
        self._client.stop()
        os.close(self._fifo)

    def seconds(self) -> float:
        """How much sound there is so far."""
        return self._sound.stat().st_size / 4 / SAMPLE_RATE_HZ if self._sound.exists() else 0.0

    def loudness(self) -> float:
        """Root mean square of the latest 0.2 s, 0..1."""
        return loudness_of(self._sound)


def loudness_of(sound: Path) -> float:
    """Root mean square, 0..1, of the latest 0.2 s of a raw file in 16-bit stereo."""
    size = sound.stat().st_size // 4 * 4
    wanted = int(0.2 * SAMPLE_RATE_HZ) * 4
    with sound.open("rb") as stream:
        stream.seek(max(0, size - wanted))
        samples = array.array("h", stream.read(min(size, wanted)))
    if sys.byteorder == "big":
        samples.byteswap()
    return math.sqrt(sum(sample * sample for sample in samples) / max(1, len(samples))) / 32768
