import queue
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients import PATIENCE_S, wait_until

from instrument.midi_in import MidiInputs, plain_port

KEYS, FEET, OURS = "Keystation:Keystation MIDI 1 20:0", "SoftStep:port 24:0", "instrument:synth 128:0"
THROUGH = "Midi Through:Midi Through Port-0 14:0"
SOON_S = 0.01


class FakeRtmidi:
    """One system with the inputs `there`; `play` is what comes in by one that is open."""

    API_MACOSX_CORE, API_LINUX_ALSA, API_UNIX_JACK, API_WINDOWS_MM = 1, 2, 3, 4

    def __init__(self) -> None:
        self.there = [KEYS, FEET, OURS, THROUGH]
        self.open: dict[str, Callable[[Any, Any], None]] = {}
        fake = self

        class MidiIn:
            def __init__(self, api: int, name: str) -> None:
                self.port = ""

            def get_ports(self) -> list[str]:
                return list(fake.there)

            def set_callback(self, callback: Callable[[Any, Any], None]) -> None:
                self.callback = callback

            def cancel_callback(self) -> None:
                fake.open.pop(self.port, None)

            def open_port(self, number: int, name: str) -> None:
                self.port = fake.there[number]
                fake.open[self.port] = self.callback

            def open_virtual_port(self, name: str) -> None:
                self.port = name
                fake.open[name] = self.callback

            def close_port(self) -> None:
                pass

            def delete(self) -> None:
                pass

        self.MidiIn = MidiIn

    def get_compiled_api(self) -> list[int]:
        return [1]

    def play(self, port: str, *message: int) -> None:
        self.open[port]((list(message), 0.0), None)


@pytest.fixture
def rtmidi(monkeypatch: pytest.MonkeyPatch) -> FakeRtmidi:
    fake = FakeRtmidi()
    monkeypatch.setitem(sys.modules, "rtmidi", fake)
    monkeypatch.delenv("INSTRUMENT_MIDI", raising=False)
    return fake


Heard = "queue.SimpleQueue[tuple[str, list[int]]]"


@pytest.fixture
def heard() -> Heard:
    return queue.SimpleQueue()


@pytest.fixture
def inputs(heard: Heard) -> Iterator[MidiInputs]:
    inputs = MidiInputs(lambda port, message: heard.put((port, list(message))), retry_s=SOON_S)
    yield inputs
    inputs.close()


def test_what_comes_in_by_the_port_that_is_named_is_handed_on(
    rtmidi: FakeRtmidi, inputs: MidiInputs, heard: Heard
) -> None:
    inputs.connect(["softstep"])
    wait_until(lambda: rtmidi.open, "the port")
    assert inputs.status() == {"softstep": (FEET, "")}
    rtmidi.play(FEET, 0xF8)  # the clock
    rtmidi.play(FEET, 0xB0, 64, 127)
    assert heard.get(timeout=PATIENCE_S) == (FEET, [0xB0, 64, 127])


def test_all_inputs_are_all_but_our_own_and_what_loops_back(rtmidi: FakeRtmidi, inputs: MidiInputs) -> None:
    inputs.connect([""])
    wait_until(lambda: len(rtmidi.open) == 2, "the ports")
    assert set(rtmidi.open) == {KEYS, FEET}


def test_a_port_of_our_own_is_offered(rtmidi: FakeRtmidi, inputs: MidiInputs) -> None:
    inputs.connect(["virtual"])
    wait_until(lambda: rtmidi.open, "the port")
    assert inputs.status()["virtual"][1] == ""


def test_an_input_that_is_unplugged_is_heard_again_when_it_is_back_under_another_number(
    rtmidi: FakeRtmidi, inputs: MidiInputs, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    inputs.connect(["softstep"])
    wait_until(lambda: FEET in rtmidi.open, "the port")
    rtmidi.there.remove(FEET)
    wait_until(lambda: not rtmidi.open, "it to be let go of")
    wait_until(lambda: "no MIDI input whose name contains 'softstep'" in inputs.status()["softstep"][1], "the reason")
    again = FEET.replace("24", "28")
    rtmidi.there.append(again)
    wait_until(lambda: again in rtmidi.open, "it to be found")
    rtmidi.play(again, 0x90, 36, 1)
    assert heard.get(timeout=PATIENCE_S)[0] == again
    said = [record.getMessage() for record in caplog.records]
    assert sum("is gone" in line for line in said) == 1
    assert sum("looking for it again" in line and "contains 'softstep'" in line for line in said) == 1


def test_an_input_with_a_loose_plug_was_away_for_a_moment_and_is_opened_anew(rtmidi: FakeRtmidi, heard: Heard) -> None:
    inputs = MidiInputs(lambda port, message: heard.put((port, list(message))))
    inputs.connect(["softstep"])
    wait_until(lambda: inputs.status() == {"softstep": (FEET, "")}, "the port")
    before = rtmidi.open[FEET]
    rtmidi.there.remove(FEET)
    wait_until(lambda: inputs.status()["softstep"][0] == "", "it to be missed")
    rtmidi.there.append(FEET)
    wait_until(lambda: inputs.status() == {"softstep": (FEET, "")}, "the port again")
    assert rtmidi.open[FEET] is not before
    inputs.close()


def test_what_is_wanted_no_more_is_closed(rtmidi: FakeRtmidi, inputs: MidiInputs) -> None:
    inputs.connect([""])
    wait_until(lambda: len(rtmidi.open) == 2, "the ports")
    inputs.connect([])
    wait_until(lambda: not rtmidi.open, "them to be closed")


def test_without_rtmidi_it_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch, inputs: MidiInputs) -> None:
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    inputs.connect([""])
    wait_until(inputs.status, "a look")
    assert "python-rtmidi" in inputs.status()[""][1]


@pytest.mark.parametrize(
    ("name", "plain"),
    [(KEYS, "Keystation:Keystation MIDI 1"), ("nanoKEY2 0", "nanoKEY2"), ("Launchpad Mini", "Launchpad Mini")],
)
def test_a_name_is_kept_without_what_changes_when_it_is_plugged_in_again(name: str, plain: str) -> None:
    assert plain_port(name) == plain
