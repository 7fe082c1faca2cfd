"""MIDI ports on a pretended rtmidi, and the pipe between the engine and the process that has the ports."""

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import BinaryIO

import pytest
from clients import RecordingMidi, wait_until
from hypothesis import given
from hypothesis import strategies as st

from instrument.midi import (
    MidiPipeReader,
    MidiPorts,
    PipedMidi,
    PortStatus,
    Standing,
    is_channel_message,
    midi_systems,
    port_names,
)

NEVER_S = 1e6


class FakeRtmidi(SimpleNamespace):
    """Stands in for the rtmidi module: ports that come and go, and all that was sent to each."""

    def __init__(self) -> None:
        fake = self
        super().__init__(API_LINUX_ALSA=2, API_UNIX_JACK=3, API_MACOSX_CORE=1, API_WINDOWS_MM=4)
        self.there = ["Midi Through 14:0", "FLUID Synth (123):port 128:0"]
        self.sent: list[tuple[str, str]] = []
        self.closed: list[str] = []
        self.has_virtual = True

        class MidiOut:
            def __init__(self, api: int, name: str) -> None:
                assert (api, name) == (1, "instrument")
                self.port = ""

            def get_ports(self) -> list[str]:
                return list(fake.there)

            def open_port(self, index: int, name: str) -> None:
                self.port = fake.there[index]

            def open_virtual_port(self, name: str) -> None:
                if not fake.has_virtual:
                    raise NotImplementedError("no virtual ports")
                self.port = name

            def send_message(self, message: Sequence[int]) -> None:
                if self.port == "broken":
                    raise OSError("the port is broken")
                fake.sent.append((self.port, bytes(message).hex(" ")))

            def close_port(self) -> None:
                fake.closed.append(self.port)

            def delete(self) -> None:
                self.port = "deleted"

        self.MidiOut = MidiOut

    def get_compiled_api(self) -> list[int]:
        return [1]


@pytest.fixture
def rtmidi(monkeypatch: pytest.MonkeyPatch) -> FakeRtmidi:
    fake = FakeRtmidi()
    monkeypatch.setitem(sys.modules, "rtmidi", fake)
    monkeypatch.delenv("INSTRUMENT_MIDI", raising=False)
    return fake


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reading, os.fdopen(write_end, "wb", buffering=0) as writing:
        yield reading, writing


@pytest.mark.parametrize("message", [(0x90, 60, 100), (0x8F, 0, 0), (0xB0, 7, 127), (0xC0, 5), (0xE0, 0, 64)])
def test_a_whole_channel_message_is_one(message: tuple[int, ...]) -> None:
    assert is_channel_message(message)


@pytest.mark.parametrize(
    "message", [(), (60, 100), (0x90,), (0x90, 60), (0x90, 60, 128), (0xC0, 5, 0), (0xF0, 1, 0xF7), (0xFF,)]
)
def test_anything_else_is_no_channel_message(message: tuple[int, ...]) -> None:
    assert not is_channel_message(message)


def test_releasing_turns_off_what_sounds_then_silences_the_channels_used() -> None:
    standing = Standing()
    for message in ((0x91, 60, 100), (0x91, 62, 100), (0x81, 60, 0), (0x92, 64, 1), (0x92, 64, 0), (0xB3, 1, 1)):
        standing.follow("synth", message)
    assert standing.release("synth") == [
        (0x81, 62, 0),
        *((0xB1, 123, 0), (0xB1, 64, 0)),
        *((0xB2, 123, 0), (0xB2, 64, 0)),
        *((0xB3, 123, 0), (0xB3, 64, 0)),
    ]


def test_released_notes_are_not_released_twice() -> None:
    standing = Standing()
    standing.follow("synth", (0x90, 60, 100))
    standing.release("synth")
    assert standing.release("synth") == [(0xB0, 123, 0), (0xB0, 64, 0)]


def test_who_has_just_come_is_silenced_then_told_settings_in_their_order_then_notes() -> None:
    standing = Standing()
    played: list[tuple[int, ...]] = [
        *((0xC0, 4), (0xB0, 32, 1), (0xC0, 5)),  # a bank counts for the program after it
        *((0xB0, 7, 10), (0xE1, 0, 64), (0xB0, 7, 90), (0xB0, 123, 0), (0xA0, 60, 1)),
        *((0x90, 60, 100), (0x91, 62, 90), (0x90, 64, 80), (0x80, 64, 0)),
    ]
    for message in played:
        standing.follow("synth", message)
    silence = [(kind, number, 0) for kind in (0xB0, 0xB1) for number in (123, 64)]
    assert standing.chase("synth") == [
        *((0x80, 60, 0), (0x81, 62, 0)),
        *silence,
        *((0xB0, 32, 1), (0xC0, 5), (0xE1, 0, 64), (0xB0, 7, 90)),
        *((0x90, 60, 100), (0x91, 62, 90)),
    ]


def test_a_port_is_found_by_part_of_its_name(rtmidi: FakeRtmidi) -> None:
    ports = MidiPorts({"synth": "fluid"}, retry_s=NEVER_S)
    assert ports.send("synth", (0x90, 60, 100))
    assert rtmidi.sent == [("FLUID Synth (123):port 128:0", "90 3c 64")]
    assert ports.status()["synth"] == PortStatus(wanted="fluid", port="FLUID Synth (123):port 128:0", sent=1)
    ports.close()


def test_a_virtual_port_is_offered_under_the_destinations_name(rtmidi: FakeRtmidi) -> None:
    ports = MidiPorts({"synth": "virtual"}, retry_s=NEVER_S)
    ports.send("synth", (0xB0, 1, 2))
    assert rtmidi.sent == [("instrument synth", "b0 01 02")]
    ports.close()


def test_a_system_without_virtual_ports_says_what_to_install(rtmidi: FakeRtmidi) -> None:
    rtmidi.has_virtual = False
    ports = MidiPorts({"synth": "virtual"}, retry_s=NEVER_S)
    assert not ports.send("synth", (0x90, 60, 100))
    assert "loopMIDI" in ports.status()["synth"].reason
    ports.close()


@pytest.mark.usefixtures("rtmidi")
def test_a_missing_port_is_named_with_those_there_are_and_dropped_messages_are_counted() -> None:
    ports = MidiPorts({"synth": "Moog"}, retry_s=NEVER_S)
    assert not ports.send("synth", (0x90, 60, 100))
    status = ports.status()["synth"]
    assert (status.port, status.sent, status.dropped) == ("", 0, 1)
    assert "'Moog'" in status.reason
    assert "Midi Through" in status.reason
    ports.close()


def test_a_port_that_comes_later_is_picked_up(rtmidi: FakeRtmidi) -> None:
    ports = MidiPorts({"synth": "Moog"}, retry_s=0.01)
    rtmidi.there.append("Moog 1")
    wait_until(lambda: ports.status()["synth"].port == "Moog 1", "the port")
    ports.close()


def test_a_port_that_goes_for_half_a_second_is_opened_anew(rtmidi: FakeRtmidi) -> None:
    ports = MidiPorts({"synth": "FLUID"})
    gone = rtmidi.there.pop()
    wait_until(lambda: rtmidi.closed, "it to be noticed")
    rtmidi.there.append(gone)
    wait_until(lambda: ports.send("synth", (0xB0, 1, 2)), "the port")
    ports.close()


def test_a_port_that_went_and_came_back_is_silenced_and_told_what_stands(rtmidi: FakeRtmidi) -> None:
    ports = MidiPorts({"synth": "FLUID"}, retry_s=NEVER_S)
    ports.send("synth", (0xC0, 19))
    ports.send("synth", (0x90, 60, 100))
    rtmidi.there[1:] = []
    ports.tend()
    assert ports.status()["synth"].port == ""
    assert not ports.send("synth", (0x80, 60, 0))
    assert not ports.send("synth", (0x90, 62, 100))
    rtmidi.there.append("FLUID Synth (456):port 129:0")
    ports.tend()
    assert [message for port, message in rtmidi.sent if "456" in port] == [
        *("80 3e 00", "80 3c 00", "b0 7b 00", "b0 40 00"),
        *("c0 13", "90 3e 64"),
    ]
    ports.close()


def test_other_destinations_leave_an_open_port_open(rtmidi: FakeRtmidi) -> None:
    ports = MidiPorts({"synth": "FLUID", "lights": "Through"}, retry_s=NEVER_S)
    ports.send("lights", (0x90, 1, 1))
    ports.connect({"synth": "FLUID", "drums": "virtual"})
    assert rtmidi.closed == ["Midi Through 14:0"]
    assert ("Midi Through 14:0", "80 01 00") in rtmidi.sent
    assert list(ports.status()) == ["synth", "drums"]
    ports.close()


def test_a_port_that_fails_never_stops_another(rtmidi: FakeRtmidi) -> None:
    rtmidi.there.append("broken")
    ports = MidiPorts({"bad": "broken", "good": "FLUID"}, retry_s=NEVER_S)
    assert not ports.send("bad", (0x90, 60, 100))
    assert ports.send("good", (0x90, 60, 100))
    assert ports.status()["bad"].reason == "the port is broken"
    ports.release_all()
    assert ("FLUID Synth (123):port 128:0", "80 3c 00") in rtmidi.sent
    ports.close()


def test_closing_releases_what_sounds_before_the_port_goes(rtmidi: FakeRtmidi) -> None:
    ports = MidiPorts({"synth": "FLUID"}, retry_s=NEVER_S)
    ports.send("synth", (0x90, 60, 100))
    ports.close()
    assert [message for _, message in rtmidi.sent] == ["90 3c 64", "80 3c 00", "b0 7b 00", "b0 40 00"]
    assert rtmidi.closed == ["FLUID Synth (123):port 128:0"]


def test_without_rtmidi_the_ports_say_so_and_play_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    ports = MidiPorts({"synth": "virtual"}, retry_s=NEVER_S)
    assert not ports.send("synth", (0x90, 60, 100))
    assert "python-rtmidi" in ports.status()["synth"].reason
    ports.close()


@pytest.mark.usefixtures("rtmidi")
def test_a_wanted_system_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_MIDI", "UNIX_JACK")
    ports = MidiPorts({"synth": "virtual"}, retry_s=NEVER_S)
    assert "MACOSX_CORE" in ports.status()["synth"].reason
    ports.close()


def test_systems_and_their_ports_can_be_listed(rtmidi: FakeRtmidi) -> None:
    assert midi_systems() == {"MACOSX_CORE": ""}
    assert port_names("MACOSX_CORE") == rtmidi.there


def test_a_note_whose_end_a_port_did_not_take_ends_with_the_next_release(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, ...]] = []
    is_failing = False

    def send(message: Sequence[int]) -> None:
        if is_failing:
            raise OSError("buffer full")
        taken.append(tuple(message))

    there = {"is_alive": lambda: True, "is_listed": lambda: True}
    port = SimpleNamespace(name="synth", send=send, close=lambda: None, **there)
    monkeypatch.setattr("instrument.midi._find_port", lambda *_: port)
    ports = MidiPorts({"synth": "synth"})
    try:
        ports.send("synth", (0x90, 60, 100))
        is_failing = True
        assert not ports.send("synth", (0x80, 60, 0))
        ports.release_all()
        is_failing = False
        taken.clear()
        ports.release_all()
        assert taken[0] == (0x80, 60, 0)
        taken.clear()
        ports.release_all()
        assert (0x80, 60, 0) not in taken
    finally:
        ports.close()


def test_a_piped_message_is_one_line() -> None:
    stream = io.BytesIO()
    midi = PipedMidi(stream, {"my synth": "virtual"})
    assert midi.send("my synth", (0x90, 60, 100))
    midi.release_all()
    assert stream.getvalue().splitlines() == [
        b'ports {"my synth": "virtual"}',
        b"midi my%20synth 90 3c 64",
        b"panic",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="nobody knows there whether a pipe has room")
@pytest.mark.parametrize("is_panic", [False, True])
def test_what_ends_a_note_while_the_pipe_is_full_gets_there_once_it_is_read(
    pipe: tuple[BinaryIO, BinaryIO], is_panic: bool
) -> None:
    midi = PipedMidi(pipe[1], {"synth": "virtual"})
    midi.send("synth", (0x90, 60, 100))
    midi.send("synth", (0x90, 62, 100))
    while midi.send("synth", (0xB0, 1, 5)):
        pass
    assert not midi.send("synth", (0x80, 60, 0))
    assert not midi.send("synth", (0x90, 62, 0))
    if is_panic:
        midi.release_all()
    ports = RecordingMidi()
    reader = MidiPipeReader(pipe[0], ports)
    wait_until(lambda: not midi._owed or midi.status() is None, "room in the pipe")
    midi.send("synth", (0xB0, 1, 6))
    pipe[1].close()
    assert reader.join(timeout_s=20.0)
    owed = ["release all"] if is_panic else [("synth", "80 3c 00"), ("synth", "90 3e 00")]
    assert ports.told[-len(owed) - 2 :] == [*owed, ("synth", "b0 01 06"), "release all"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask a pipe whether it has room")
@pytest.mark.parametrize("is_panic", [False, True])
def test_the_newest_of_what_is_told_gets_there_once_a_full_pipe_is_read(
    pipe: tuple[BinaryIO, BinaryIO], is_panic: bool
) -> None:
    midi = PipedMidi(pipe[1], {"synth": "virtual"})
    while midi.send("synth", (0xB0, 1, 5)):
        pass
    midi.connect({"synth": "virtual", "lights": "DMX"})
    midi.connect({"lights": "DMX"})
    assert not midi.tell("inputs", ["one"])
    assert not midi.tell("inputs", ["two"])
    if is_panic:
        midi.release_all()
    ports, others = RecordingMidi(), list[bytes]()
    reader = MidiPipeReader(pipe[0], ports, other_lines=others.append)
    wait_until(lambda: midi.send("lights", (0xB0, 1, 6)), "room in the pipe")
    pipe[1].close()
    assert reader.join(timeout_s=20.0)
    panic = ["release all"] if is_panic else []
    assert ports.told[-3 - len(panic) :] == [{"lights": "DMX"}, *panic, ("lights", "b0 01 06"), "release all"]
    assert {"synth": "virtual", "lights": "DMX"} not in ports.told
    assert others == [b'inputs ["two"]\n']


def test_what_is_no_message_or_has_no_destination_does_not_enter_the_pipe() -> None:
    stream = io.BytesIO()
    midi = PipedMidi(stream, {"synth": "virtual"})
    assert not midi.send("synth", (0x90, 60, 300))
    assert not midi.send("nobody", (0x90, 60, 100))
    assert stream.getvalue().count(b"\n") == 1


def test_the_reader_performs_what_was_piped_and_releases_at_the_end(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    ports = RecordingMidi()
    reader = MidiPipeReader(pipe[0], ports)
    PipedMidi(pipe[1], {"my synth": "virtual"}).send("my synth", (0x90, 60, 100))
    pipe[1].close()
    assert reader.join(timeout_s=20.0)
    assert ports.told == [{}, {"my synth": "virtual"}, ("my synth", "90 3c 64"), "release all"]


def test_lines_that_are_not_midi_are_counted_and_ignored(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    ports = RecordingMidi()
    reader = MidiPipeReader(pipe[0], ports)
    garbage = [
        b"hello",
        b"",
        b"\xff\xfe",
        b"midi out 9g 3c",
        b"ports [1]",
        b"ports {",
        b"panic!",
        b"ports " + b"[" * 9999,
    ]
    pipe[1].write(b"\n".join(garbage) + b"\nmidi out 80 3c 00\n")
    pipe[1].close()
    assert reader.join(timeout_s=20.0)
    assert (reader.performed, reader.ignored) == (1, len(garbage))
    assert ports.told == [{}, ("out", "80 3c 00"), "release all"]


@given(
    st.lists(
        st.sampled_from([b"midi ", b"ports ", b"panic", b"out ", b"90 ", b"3c", b"{", b"\n", b"\xc3"]) | st.binary()
    )
)
def test_no_line_stops_the_reader(pieces: list[bytes]) -> None:
    ports = RecordingMidi()
    reader = MidiPipeReader(io.BytesIO(b"".join(pieces) + b"\nmidi last c0 01\n"), ports)
    assert reader.join(timeout_s=20.0)
    assert ports.told[-2:] == [("last", "c0 01"), "release all"]


def test_other_lines_are_handed_on(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    lines: list[bytes] = []
    reader = MidiPipeReader(pipe[0], RecordingMidi(), other_lines=lines.append)
    pipe[1].write(b"ready\npanic\n")
    pipe[1].close()
    assert reader.join(timeout_s=20.0)
    assert lines == [b"ready\n"]


def test_when_the_reader_is_gone_the_ports_are_opened_here_and_told_what_stands(
    pipe: tuple[BinaryIO, BinaryIO],
) -> None:
    opened: list[RecordingMidi] = []

    def open_ports(destinations: Mapping[str, str]) -> RecordingMidi:
        opened.append(RecordingMidi(destinations))
        return opened[0]

    midi = PipedMidi(pipe[1], {"synth": "FLUID"}, open_ports=open_ports)
    midi.send("synth", (0x90, 60, 100))
    pipe[0].close()
    assert midi.send("synth", (0xB0, 1, 5))
    midi.send("synth", (0x90, 62, 100))
    assert opened[0].told == [
        {"synth": "FLUID"},
        ("synth", "80 3c 00"),
        ("synth", "b0 7b 00"),
        ("synth", "b0 40 00"),
        ("synth", "90 3c 64"),
        ("synth", "b0 01 05"),
        ("synth", "90 3e 64"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask a pipe whether it has room")
def test_a_reader_that_stops_reading_never_stops_the_engine(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    midi = PipedMidi(pipe[1], {"synth": "FLUID"})
    assert not all(midi.send("synth", (0xB0, 1, 5)) for _ in range(100_000))
    assert midi.status()["synth"].dropped == 1


def test_the_destinations_line_is_json() -> None:
    stream = io.BytesIO()
    PipedMidi(stream, {"é": 'a "b"\n'})
    word, _, rest = stream.getvalue().decode("ascii").partition(" ")
    assert word == "ports"
    assert json.loads(rest) == {"é": 'a "b"\n'}
