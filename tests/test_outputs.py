"""Controls leave for their destinations, each on its own."""

import logging
import math
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import RecordingMidi

from instrument.osc import encode
from instrument.outputs import Outputs
from instrument.patch import Destination, Patch
from instrument.signals import MidiSend, OscSend


class Play:
    """Outputs of a patch with a receiver that listens, one that does not, and a synthesiser."""

    def __init__(self) -> None:
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(("127.0.0.1", 0))
        self.receiver.settimeout(5.0)
        self.time_s = 0.0
        self.midi = RecordingMidi()
        destinations = (
            Destination(name="out", osc=self.receiver.getsockname()),
            Destination(name="nowhere", osc=("fe80::1", 9)),
            Destination(name="synth", midi="FLUID"),
            Destination(name="page", is_page=True),
        )
        patch = Patch(path=Path("patch.toml"), name="test", destinations={one.name: one for one in destinations})
        self.outputs = Outputs(patch, self.midi, clock=lambda: self.time_s)


@pytest.fixture
def play() -> Iterator[Play]:
    play = Play()
    yield play
    play.outputs.close()
    play.receiver.close()


def test_controls_reach_their_destinations_in_order(play: Play) -> None:
    play.outputs.send(
        [
            OscSend(destination="out", address="/a", arguments=(1.0,)),
            MidiSend(destination="synth", bytes=(0x90, 60, 100)),
            OscSend(destination="out", address="/b", arguments=("x",)),
        ]
    )
    assert [play.receiver.recv(100), play.receiver.recv(100)] == [encode("/a", (1.0,)), encode("/b", ("x",))]
    assert play.midi.told == [{}, {"synth": "FLUID"}, ("synth", "90 3c 64")]


def test_a_destination_that_fails_never_stops_the_others(play: Play) -> None:
    play.outputs.send([OscSend(destination=name, address="/a", arguments=()) for name in ("nowhere", "out")])
    assert play.receiver.recv(100) == encode("/a", ())
    status = play.outputs.status()
    assert (status["nowhere"].sent, status["nowhere"].dropped) == (0, 1)
    assert (status["out"].sent, status["out"].dropped) == (1, 0)
    assert status["nowhere"].reason


def test_the_time_the_last_message_left_is_given(play: Play) -> None:
    play.time_s = 7.0
    assert play.outputs.send([OscSend(destination="out", address="/a", arguments=())]) == 7.0
    assert play.outputs.last_sent_at_s == 7.0


def test_without_a_message_there_is_no_time(play: Play) -> None:
    assert play.outputs.send([]) is None
    assert play.outputs.send([OscSend(destination="out", address="/a", arguments=(math.nan,))]) is None
    assert play.outputs.last_sent_at_s is None


def test_a_destination_that_does_not_exist_is_counted_out_loud(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert play.outputs.send([OscSend(destination="gone", address="/a", arguments=())]) is None
    assert "gone" in caplog.text


def test_panic_silences_the_synthesisers(play: Play) -> None:
    play.outputs.panic()
    assert play.midi.told[-1] == "release all"


def test_closing_releases_and_leaves_the_ports_to_their_owner(play: Play) -> None:
    play.outputs.close()
    assert play.midi.told[-1] == "release all"


def test_what_goes_to_the_page_leaves_by_no_socket_and_no_port(play: Play) -> None:
    osc = OscSend(destination="page", address="/chord", arguments=("up", 1.0))
    assert play.outputs.send([osc, MidiSend(destination="page", bytes=(0x90, 60, 100))]) is not None
    assert play.midi.told == [{}, {"synth": "FLUID"}]
    assert (play.outputs.status()["page"].kind, play.outputs.status()["page"].sent) == ("page", 2)
    assert all(one.sent == 0 for name, one in play.outputs.status().items() if name != "page")
