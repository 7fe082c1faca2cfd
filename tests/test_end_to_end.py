"""The whole chain as a performer uses it: the demo video, OSC commands, real receivers.

`instrument play` runs as a program of its own; postures are recorded from given frames of the
demo, trained, and must be heard at the right times by liblo, Pure Data and FluidSynth.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import (
    PATIENCE_S,
    SOUND_FONT,
    Client,
    free_tcp_port,
    free_udp_port,
    jack_server,
    loudness_of,
    oscdump,
    pure_data,
    require_client,
    wait_until,
)

from instrument import osc
from instrument.client import Client as Instrument
from instrument.client import CommandFailed

ROUND = 180
"""Frames of the demo there and back."""
REST = [(78, 102)]
UP = [(20, 29), (55, 64), (116, 125), (151, 160)]
"""In which frames of a round the performer's arms hang, or are up."""
EDGE = 3
"""Frames at either end of a span in which the posture is still being taken up."""
MOSTLY = 0.9
"""Of the frames inside: on its way between two postures a body is neither, and a busy machine sees fewer frames."""

PATCH = """
name = "Scripted session"
[listen]
source = "demo"
[[output]]
name = "posture"
classes = ["rest", "arms up"]
[destination.pd]
osc = "127.0.0.1:{pd_port}"
[destination.synth]
midi = "fluidsynth"
[[route]]
from = "posture"
osc = "/posture"
[[route]]
from = "posture"
to = "pd"
osc = "/posture"
[[route]]
from = "posture.arms up"
to = "synth"
midi = "note"
number = 69
"""

PD = """#N canvas 0 0 450 300 10;
#X obj 10 10 netreceive -u -b {port};
#X obj 10 40 oscparse;
#X obj 10 70 list trim;
#X obj 10 100 route posture ready;
#X obj 10 130 print posture;
#X obj 90 130 print ready;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 2 0 3 0;
#X connect 3 0 4 0;
#X connect 3 1 5 0;
"""


class Frames:
    """Which frame of the demo was playing when, as the instrument says it."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[float, int]] = []
        self._port = port
        self._closing = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_for(self, *wanted: int) -> None:
        """Returns once one of these frames of a round plays, or has since the call."""
        began = max(len(self.seen) - 1, 0)
        wait_until(lambda: any(n % ROUND in wanted for _, n in self.seen[began:]), f"frame {wanted} of the demo")

    def between(self, spans: list[tuple[int, int]], since_s: float) -> list[float]:
        """When frames well inside these spans of a round played."""
        inside = [(first + EDGE, last - EDGE) for first, last in spans]
        return [at_s for at_s, n in list(self.seen) if at_s > since_s and any(a <= n % ROUND <= b for a, b in inside)]

    def close(self) -> None:
        self._closing.set()

    def _listen(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(OSError), Instrument(port=self._port) as client:
                while not self._closing.is_set():  # by one socket, so that no frame is missed in between
                    client.send("/instrument/subscribe", "frame")
                    for address, values in client.messages(5.0):
                        if address == "/instrument/frame":
                            self.seen.append((time.monotonic(), int(values[0])))
            self._closing.wait(0.1)


def is_shown(instrument: Instrument, frames: Frames, name: str, span: tuple[int, int]) -> bool:
    """Records that posture while it is held; drops a take that was begun or ended late, as a player would."""
    first, last = span
    frames.wait_for(*range(first, first + 3))
    instrument.ask("/instrument/record", "posture", name)
    frames.wait_for(*range(last - 1, last + 3))
    try:
        count = int(instrument.ask("/instrument/record/stop")[1])
    except CommandFailed:  # too short
        return False
    if count > last - first + 4:
        instrument.ask("/instrument/undo")
        return False
    return True


def class_at(changes: list[tuple[float, str]], at_s: float) -> str | None:
    """The class last heard of before that moment."""
    before = [name for changed_at_s, name in changes if changed_at_s <= at_s]
    return before[-1] if before else None


def known_postures(frames: Frames, since_s: float) -> list[tuple[float, str]]:
    """When frames played whose posture is known, and which it is."""
    known = [(at_s, "rest") for at_s in frames.between(REST, since_s)]
    return known + [(at_s, "arms up") for at_s in frames.between(UP, since_s)]


def share_right(changes: list[tuple[float, str]], known: list[tuple[float, str]]) -> float:
    """In how many of the frames whose posture is known the receiver had heard of the right class."""
    return sum(class_at(changes, at_s) == name for at_s, name in known) / len(known)


@contextlib.contextmanager
def playing(*arguments: str, port: int) -> Iterator[Client]:
    command = [sys.executable, "-m", "instrument", "play", *arguments, "--headless", "--in-port", str(port)]
    with Client(command) as program:
        try:
            yield program
        finally:
            program.process.terminate()
            program.process.wait(PATIENCE_S)


@contextlib.contextmanager
def fluidsynth(sound: Path, server: str) -> Iterator[Client]:
    """FluidSynth as a JACK MIDI client, its sound in a raw file."""
    require_client("fluidsynth")
    options = [f"audio.file.name={sound}", "audio.file.type=raw", "audio.file.format=s16", f"midi.jack.server={server}"]
    options.append(f"shell.port={free_tcp_port()}")
    settings = [word for option in options for word in ("-o", option)]
    flags = ["-is", "-a", "file", "-m", "jack", "-r", "44100", "-R", "0", "-C", "0"]
    with Client(["fluidsynth", *flags, *settings, str(SOUND_FONT)]) as client:
        wait_until(lambda: sound.exists() and sound.stat().st_size > 20_000, "FluidSynth to run")
        yield client


def test_a_session_on_the_demo_video_is_heard_by_liblo_pure_data_and_fluidsynth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = f"instrument-session-{os.getpid()}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server)
    port, pd_port = free_udp_port(), free_udp_port()
    sound = tmp_path / "sound.raw"
    (tmp_path / "listen.pd").write_text(PD.format(port=pd_port))
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "patch.toml").write_text(PATCH.format(pd_port=pd_port))
    with (
        jack_server(server),
        fluidsynth(sound, server),
        oscdump() as (dump, dump_port),
        pure_data(tmp_path / "listen.pd") as pd,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock,
        playing(str(tmp_path / "project"), "--out", f"127.0.0.1:{dump_port}", port=port),
        Instrument(port=port) as instrument,
    ):

        def pd_listens() -> bool:
            knock.sendto(osc.encode("/ready", ()), ("127.0.0.1", pd_port))
            return any(line.startswith("ready") for line in pd.lines)

        wait_until(pd_listens, "Pure Data to listen")
        frames = Frames(port)
        for name, span in [("rest", REST[0]), *(("arms up", span) for span in UP), ("rest", REST[0])]:
            while not is_shown(instrument, frames, name, span):
                pass
        instrument.ask("/instrument/train", timeout_s=PATIENCE_S)
        trained_at_s = time.monotonic()
        frames.wait_for(*range(66, 75))  # whatever is heard first, later changes are all the new model's
        since_s = time.monotonic()

        frames.wait_for(*range(120, 125))
        wait_until(lambda: loudness_of(sound) > 0.002, "the note")  # a busy machine is a moment late
        frames.wait_for(*range(95, 99))
        assert loudness_of(sound) < 0.001
        wait_until(lambda: len(known_postures(frames, since_s)) > 50, "frames whose posture is known")
        frames.wait_for(*range(66, 75))

        by_liblo = [
            (at_s, line.split('"')[1])
            for at_s, line in zip(dump.heard_at_s, list(dump.lines), strict=False)
            if " /posture sf " in line and '"none"' not in line and at_s > trained_at_s
        ]
        by_pd = [
            (at_s, "arms up" if "arms" in line else "rest")
            for at_s, line in zip(pd.heard_at_s, list(pd.lines), strict=False)
            if line.startswith("posture:") and "none" not in line and at_s > trained_at_s
        ]
        known = known_postures(frames, since_s)
        assert share_right(by_liblo, known) > MOSTLY
        assert share_right(by_pd, known) > MOSTLY

        frames.wait_for(*range(120, 125))
        wait_until(lambda: loudness_of(sound) > 0.002, "the note")
        instrument.ask("/instrument/quit")
        wait_until(lambda: loudness_of(sound) < 0.001, "silence after the end")
        frames.close()


def test_the_ready_made_project_plays_postures_at_once(tmp_path: Path) -> None:
    port = free_udp_port()
    made = [sys.executable, "-m", "instrument", "new", str(tmp_path / "mine"), "--from", "three-postures"]
    subprocess.run(made, check=True, capture_output=True)
    with (
        oscdump() as (dump, dump_port),
        playing(str(tmp_path / "mine"), "--source", "demo", "--out", f"127.0.0.1:{dump_port}", port=port),
    ):
        for name in ("rest", "wide", "up"):
            dump.wait_for(f'/posture sf "{name}"')
        dump.wait_for("/wek/outputs ff [123]")
