"""MIDI as real programs hear it: FluidSynth's sound, and every byte through JACK."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from browsing import Program
from clients import (
    PATIENCE_S,
    Client,
    FifoMidi,
    dumped_messages,
    jack_midi_dump,
    jack_server,
    wait_until,
)

from instrument.mapping import RouteMap
from instrument.midi import MidiPipeReader, MidiPorts
from instrument.outputs import Outputs
from instrument.patch import Destination, Output, Patch, Route
from instrument.signals import ClassPrediction, Prediction

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="FIFOs, JACK and FluidSynth as on Debian")

CHURCH_ORGAN = 19  # sounds for as long as a key is down
LOUD, SILENT = 0.005, 0.0005

ENGINE = """
import sys, time
from instrument.midi import PipedMidi
midi = PipedMidi(sys.stdout.buffer, {"synth": "virtual"})
midi.send("synth", (0xC0, 19))
midi.send("synth", (0x90, 60, 100))
time.sleep(600)
"""
"""Stands in for the engine: holds a note, until it is killed."""

SENDER = """
import sys, time
from instrument.midi import MidiPorts
ports = MidiPorts({"synth": "virtual"}, system="UNIX_JACK", retry_s=1e6)
print("port", ports.status()["synth"].port)
sys.stdin.readline()
for _ in range(20_000):
    ports.send("synth", (0xB0, 1, 5))
print("still running")
ports.tend()
print("lost", ports.status()["synth"])
while not ports.status()["synth"].port:
    time.sleep(0.01)
    ports.tend()
print("found again", ports.status()["synth"].port)
ports.close()
print("closed")
"""
"""Sends more than fits into rtmidi's buffer for JACK."""


@pytest.fixture
def synth(tmp_path: Path) -> Iterator[FifoMidi]:
    synth = FifoMidi(tmp_path)
    yield synth
    synth.close()


@pytest.fixture
def jack(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"instrument-test-{os.getpid()}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    with jack_server(name):
        yield name


@pytest.fixture
def engine() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def up(confidence: float) -> Prediction:
    confidences = np.array([1.0 - confidence, confidence], dtype=np.float32)
    outputs = {"posture": ClassPrediction(classes=("rest", "up"), confidences=confidences)}
    return Prediction(frame_number=0, captured_at_s=0.0, outputs=outputs, is_tracked=True)


def test_a_posture_sounds_in_fluidsynth_until_it_is_left(synth: FifoMidi) -> None:
    route = Route(source="posture.up", output="posture", class_name="up", destination="synth", midi="note", number=69)
    patch = Patch(
        path=Path("patch.toml"),
        name="test",
        outputs=(Output(name="posture", kind="class", classes=("rest", "up")),),
        destinations={"synth": Destination(name="synth", midi="virtual")},
        routes=(route,),
    )
    synth.send("synth", (0xC0, CHURCH_ORGAN))
    routes, outputs = RouteMap(patch), Outputs(patch, synth)
    assert synth.loudness() < SILENT

    outputs.send(routes.update(up(0.9), 0.0))
    wait_until(lambda: synth.loudness() > LOUD, "the note to sound")
    heard_at_s = synth.seconds()
    wait_until(lambda: synth.seconds() > heard_at_s + 0.5, "half a second of sound")
    assert synth.loudness() > LOUD

    outputs.send(routes.update(up(0.1), 1.0))
    wait_until(lambda: synth.loudness() < SILENT, "silence")


def test_a_killed_engine_leaves_no_note_sounding(synth: FifoMidi, engine: "subprocess.Popen[bytes]") -> None:
    assert engine.stdout is not None
    reader = MidiPipeReader(engine.stdout, synth)
    wait_until(lambda: synth.loudness() > LOUD, "the note to sound")
    engine.send_signal(signal.SIGKILL)
    assert reader.join(timeout_s=PATIENCE_S)
    wait_until(lambda: synth.loudness() < SILENT, "silence")


def begin_to_be_heard(ports: MidiPorts, dump: Client) -> None:
    """What is sent just after connecting may reach nobody: sends on channel 16 until something does."""
    wait_until(lambda: ports.send("synth", (0xBF, 1, 0)) and dumped_messages(dump), "a first message")


def heard_since(dump: Client) -> list[str]:
    return [message for message in dumped_messages(dump) if message[1] != "f"]


def test_every_byte_arrives_through_jack_and_the_release_before_the_port_closes(jack: str) -> None:
    ports = MidiPorts({"synth": "virtual"}, system="UNIX_JACK")
    assert ports.status()["synth"].port == "instrument:synth"
    with jack_midi_dump("instrument:synth", server=jack) as dump:
        played = [(0x90, note, 1 + note % 127) for note in range(60, 72)] + [(0xB3, 7, 127), (0xC5, 19), (0xE0, 0, 64)]
        begin_to_be_heard(ports, dump)
        for message in played:
            assert ports.send("synth", message)
        ports.close()
        note_offs = [f"80 {note:02x} 00" for note in range(60, 72)]
        silenced = [f"b{channel} {number} 00" for channel in (0, 3, 5) for number in ("7b", "40")]
        expected = [bytes(message).hex(" ") for message in played] + note_offs + silenced
        wait_until(lambda: len(heard_since(dump)) >= len(expected), "every message")
        assert heard_since(dump) == expected


def test_a_killed_engines_note_gets_its_note_off_through_jack(jack: str) -> None:
    ports = MidiPorts({"synth": "virtual"}, system="UNIX_JACK")
    with jack_midi_dump("instrument:synth", server=jack) as dump:
        begin_to_be_heard(ports, dump)
        with subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE) as engine:
            assert engine.stdout is not None
            reader = MidiPipeReader(engine.stdout, ports)
            wait_until(lambda: "90 3c 64" in dumped_messages(dump), "the note")
            engine.kill()
            assert reader.join(timeout_s=PATIENCE_S)
            wait_until(lambda: "80 3c 00" in dumped_messages(dump), "its note off")
    assert ports.status()["synth"].port == "instrument:synth"
    ports.close()


def test_a_synth_that_comes_late_and_one_that_is_started_again_are_told_what_stands(jack: str) -> None:
    ports = MidiPorts({"synth": "midi-monitor"}, system="UNIX_JACK")
    for message in ((0xC0, 19), (0xB0, 7, 90), (0x90, 60, 100), (0x90, 64, 100), (0x80, 60, 0)):
        assert not ports.send("synth", message)
    told = ["c0 13", "b0 07 5a", "90 40 64"]
    for _ in range(2):
        with jack_midi_dump(None, server=jack) as dump:
            wait_until(lambda dump=dump: dumped_messages(dump)[-3:] == told, "what stands")
        wait_until(lambda: not ports.status()["synth"].port, "it to be gone")
    ports.close()


def test_a_jack_server_killed_mid_run_is_noticed_survived_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"instrument-killed-{os.getpid()}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    with jack_server(name) as server, Client([sys.executable, "-u", "-c", SENDER]) as sender:
        sender.wait_for("port instrument:synth")
        server.process.kill()
        server.process.wait()
        sender.say("go")
        sender.wait_for("still running")
        sender.wait_for("lost .*port='', reason='no JACK server is running'")
        with jack_server(name):
            sender.wait_for("found again instrument:synth")
            sender.wait_for("closed")


KEYBOARD = """
import sys, rtmidi
out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name="keyboard")
out.open_virtual_port("keys")
print("plugged in")
for line in sys.stdin:
    out.send_message(bytes.fromhex(line))
"""
"""A MIDI keyboard: plays each line that it is told."""

PEDALS = """
name = "Pedals"
[listen]
source = "osc"
inputs = 2
[[output]]
name = "side"
classes = ["left", "right"]
[[pedal]]
press = "record side left"
midi = "cc"
number = 64
port = "keyboard"
[[pedal]]
press = "run toggle"
"""


@contextlib.contextmanager
def keyboard() -> Iterator[Client]:
    with Client([sys.executable, "-u", "-c", KEYBOARD]) as client:
        client.wait_for("plugged in")
        yield client


@pytest.mark.usefixtures("jack")
def test_a_real_keyboard_records_is_learned_and_is_found_again_when_it_was_unplugged(tmp_path: Path) -> None:
    (tmp_path / "patch.toml").write_text(PEDALS, encoding="utf-8")

    def recording() -> str:
        return str(program.status()["recording"]["state"])

    def holds_down(keys: Client) -> bool:
        keys.say("b0 40 7f")  # again and again: a connection just made may lose it, and a held pedal is down once
        return recording() == "recording"

    def heard_from() -> list[str]:
        return [one["port"] for one in json.loads(str(program.ask("pedals")[0]))["ports"]]

    with Program(tmp_path) as program:
        wait_until(program.answers, "the engine")
        with keyboard() as keys:
            wait_until(lambda: heard_from() == ["keyboard:keys"], "the keyboard")
            wait_until(lambda: holds_down(keys), "the take to begin")
            keys.say("b0 40 00")
            wait_until(lambda: recording() == "idle", "the take to end")

            with ThreadPoolExecutor() as pool:
                learning = pool.submit(program.ask, "pedal/learn", 2)
                wait_until(lambda: "keyboard:keys" in heard_from() and len(heard_from()) == 2, "learning")
                while not learning.done():
                    keys.say("90 24 64")
                    wait([learning], timeout=2.0)
                assert learning.result() == ["note 36 ch 1 keyboard:keys"]
            keys.say("80 24 00")
            was_running = program.status()["running"]
            keys.say("90 24 64")
            wait_until(lambda: program.status()["running"] is not was_running, "the pedal")
            keys.say("b0 40 7f")
            wait_until(lambda: recording() == "recording", "another take")
        wait_until(lambda: recording() == "idle", "the take of who was unplugged to end")
        wait_until(lambda: heard_from() == ["", ""], "it to be gone")
        program.kill("engine")
        wait_until(program.answers, "another engine")
        with keyboard() as keys:
            wait_until(lambda: heard_from() == ["keyboard:keys"] * 2, "the keyboard again")
            wait_until(lambda: holds_down(keys), "the take")
    assert any("MIDI in: keyboard:keys is gone" in line for line in program.lines)
