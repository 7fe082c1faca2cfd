import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from clients import PATIENCE_S, free_udp_port, wait_until
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from instrument import osc
from instrument.client import Client, CommandFailed
from instrument.server import QUEUE_LENGTH, PortInUse, Server


class Listening:
    """A server, what it took in, and a socket to talk to it."""

    def __init__(self, **how: Any) -> None:
        self.clock_s = 100.0
        self.inputs: list[list[float]] = []
        on_inputs = how.pop("on_inputs", lambda values: self.inputs.append(values.tolist()))
        self.server = Server(
            "127.0.0.1", 0, on_call=lambda: None, on_inputs=on_inputs, now_s=lambda: self.clock_s, **how
        )
        self.server.start()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.server.address)
        self.socket.settimeout(PATIENCE_S)

    def send(self, address: str, *arguments: osc.Argument) -> None:
        self.socket.send(osc.encode(address, arguments))

    def answer(self) -> tuple[str, tuple[osc.Argument, ...]]:
        [message] = osc.decode(self.socket.recv(65536))
        return message

    def addresses(self) -> list[str]:
        return [call.command.address for call in self.server.calls]

    def settle(self) -> None:
        """Returns when everything sent so far has been dealt with."""
        self.send("/instrument/no/such/command")
        assert self.answer() == (
            "/fail",
            ("/instrument/no/such/command", "no such command; see docs/protocol.md"),
        )


@contextmanager
def listening(**how: Any) -> Iterator[Listening]:
    one = Listening(**how)
    try:
        yield one
    finally:
        one.server.close()
        one.socket.close()


@pytest.fixture
def served() -> Iterator[Listening]:
    with listening() as one:
        yield one


def bundle(*packets: bytes) -> bytes:
    return b"#bundle\0" + bytes(8) + b"".join(struct.pack(">i", len(one)) + one for one in packets)


def test_a_command_waits_for_the_engine_with_its_arguments_in_the_types_it_wants(served: Listening) -> None:
    served.send("/instrument/record/timed", 3, 2.5, "posture", "up")
    served.settle()
    [call] = served.server.calls
    assert call.command.address == "/instrument/record/timed"
    assert call.arguments == [3.0, 2.5, "posture", "up"]
    assert call.sender == served.socket.getsockname()


@pytest.mark.parametrize(
    "datagram",
    [
        b"nonsense",
        b"/instrument/ping",
        b"/instrument/run\0,i\0\0",
        b"/instrument/run\0,q\0\0\0\0\0\0",
        b"#bundle\0" + bytes(8) + b"\x7f\xff\xff\xff",
        b"\xff" * 2000,
    ],
)
def test_a_malformed_datagram_is_dropped_and_counted(served: Listening, datagram: bytes) -> None:
    served.socket.send(datagram)
    served.settle()
    assert served.server.dropped["malformed"] == 1
    assert not served.server.calls


def test_bundles_within_bundles_give_their_commands_in_order(served: Listening) -> None:
    ping, panic, run = (
        osc.encode("/instrument/ping", ()),
        osc.encode("/instrument/panic", ()),
        b"/instrument/undo\0\0\0\0",
    )
    served.socket.send(bundle(ping, bundle(panic, bundle(run)), ping))
    served.settle()
    assert served.addresses() == [f"/instrument/{word}" for word in ("ping", "panic", "undo", "ping")]


def test_one_of_ours_that_is_wrong_is_answered_with_the_reason(served: Listening) -> None:
    served.send("/instrument/run", "yes")
    assert served.answer() == (
        "/fail",
        ("/instrument/run", "/instrument/run takes on:i: on must be a whole number, 'yes' came"),
    )
    assert served.server.dropped == {"wrong arguments": 1}


def test_one_of_wekinators_that_is_wrong_is_not_answered(served: Listening) -> None:
    served.send("/wekinator/control/outputs", "loud")
    served.send("/wekinator/control/noSuchThing")
    served.send("/somewhere/else", 1)
    served.settle()  # the first answer that comes is for the command after them
    assert served.server.dropped == {"wrong arguments": 1, "unknown": 3}


def test_inputs_go_to_the_source_at_once_and_not_into_the_queue(served: Listening) -> None:
    served.send("/wek/inputs", 0.25, 0.5)
    served.settle()
    assert served.inputs == [[0.25, 0.5]]
    assert not served.server.calls


def test_an_input_that_is_no_float_counts_as_0_as_in_wekinator(served: Listening) -> None:
    served.send("/wek/inputs", 0.25, 7, "x", 0.5)
    served.settle()
    assert served.inputs == [[0.25, 0.0, 0.0, 0.5]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_inputs_that_are_no_numbers_are_dropped_and_counted(served: Listening, value: float) -> None:
    served.socket.send(b"/wek/inputs\0,d\0\0" + struct.pack(">d", value))
    served.settle()
    assert served.inputs == []
    assert served.server.dropped["not a number"] == 1


def test_a_flood_is_dropped_counted_and_answered_while_the_queue_stays_bounded(served: Listening) -> None:
    for _ in range(QUEUE_LENGTH // 100):
        served.socket.send(bundle(*[osc.encode("/instrument/ping", ())] * 100))
    wait_until(lambda: len(served.server.calls) == QUEUE_LENGTH, "a full queue")
    served.send("/instrument/undo")
    assert served.answer() == ("/fail", ("/instrument/undo", "commands come faster than they can be done"))
    assert len(served.server.calls) == QUEUE_LENGTH
    assert served.server.dropped["flood"] == 1


def test_what_is_dropped_is_logged_once_a_second_with_what_was_not_logged(
    served: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            served.socket.send(b"nonsense")
        served.settle()
        assert len(caplog.messages) == 1
        served.clock_s += 1.0
        served.socket.send(b"nonsense")
        served.settle()
        served.settle()
        assert len(caplog.messages) == 2
        assert "50 malformed, 1 unknown since" in caplog.messages[1]
        served.server.attend()
        assert len(caplog.messages) == 2
        served.clock_s += 1.0  # and nothing more comes
        served.server.attend()
        served.server.attend()
    assert len(caplog.messages) == 3
    assert "2 unknown since" in caplog.messages[2]


def test_a_long_address_from_a_stranger_is_neither_logged_nor_echoed_in_full(
    served: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    served.send("/instrument/" + "x\n" * 20_000)
    assert len(str(served.answer()[1][0])) == 200
    assert len(caplog.messages[0]) < 300
    assert "\n" not in caplog.messages[0]


def test_trouble_with_one_message_does_not_make_the_instrument_deaf() -> None:
    def fail(_: np.ndarray) -> None:
        raise AttributeError("no source yet")

    with listening(on_inputs=fail) as served:
        served.send("/wek/inputs", 0.5)
        served.send("/instrument/ping")
        served.settle()
        assert served.addresses() == ["/instrument/ping"]
        assert served.server.dropped["failed"] == 1


ARGUMENTS = st.one_of(
    st.floats(width=32),
    st.integers(-(2**31), 2**31 - 1),
    st.text(st.characters(blacklist_characters="\0")),
    st.binary(),
)
ADDRESSES = st.one_of(
    st.sampled_from(["/wek/inputs", "/instrument/run", "/instrument/record", "/wekinator/control/outputs", "/", "/é"]),
    st.text(st.characters(blacklist_characters="\0")).map(lambda text: "/" + text),
)


@st.composite
def datagrams(draw: st.DrawFn) -> bytes:
    """Bytes at random, messages, bundles of them, and either of these cut off or with bytes changed."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    messages = []
    for address in draw(st.lists(ADDRESSES, min_size=1, max_size=3)):
        try:
            messages.append(osc.encode(address, draw(st.lists(ARGUMENTS, max_size=5))))
        except osc.OscError:
            messages.append(b"/ping\0\0\0")
    packet = messages[0] if len(messages) == 1 else bundle(*messages)
    packet = packet[: draw(st.integers(0, len(packet)))] if draw(st.booleans()) else packet
    for place in draw(st.lists(st.integers(0, max(len(packet) - 1, 0)), max_size=3)) if packet else []:
        packet = packet[:place] + draw(st.binary(min_size=1, max_size=1)) + packet[place + 1 :]
    return packet


def test_nothing_anybody_sends_makes_the_instrument_deaf() -> None:
    with listening() as served:

        @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], database=None)
        @given(st.lists(datagrams(), min_size=1, max_size=5))
        @example([b""])
        @example([bundle()])
        def send_and_be_heard(packets: list[bytes]) -> None:
            served.server.calls.clear()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for packet in packets:
                    stranger.sendto(packet, served.server.address)
            served.send("/instrument/undo")
            served.settle()
            assert served.addresses()[-1:] == ["/instrument/undo"]

        send_and_be_heard()
        assert served.server.dropped["failed"] == 0


def test_an_answer_too_long_for_a_datagram_becomes_a_failure_that_says_so(served: Listening) -> None:
    served.server.reply(served.socket.getsockname(), "/done", "/instrument/status", "x" * 70_000)
    assert served.answer() == ("/fail", ("/instrument/status", "the answer is too long for UDP"))


def test_telemetry_too_long_for_a_datagram_is_left_out(served: Listening) -> None:
    served.server.reply(served.socket.getsockname(), "/instrument/features", bytes(200_000))
    served.settle()


@pytest.mark.parametrize("port", [0, 70_000])
def test_an_answer_that_cannot_be_sent_troubles_nobody(served: Listening, port: int) -> None:
    served.server.reply(("127.0.0.1", port), "/done", "/instrument/ping")
    served.settle()


def test_a_port_in_use_names_who_has_it_and_how_to_choose_another(served: Listening) -> None:
    port = served.server.address[1]
    with pytest.raises(PortInUse, match=rf"port {port} is in use by .*\(process \d+\).*--in-port"):
        Server("127.0.0.1", port, on_call=lambda: None, on_inputs=lambda _: None)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_that_is_not_ours_to_listen_on_is_refused_with_what_would_do(host: str) -> None:
    with pytest.raises(PortInUse, match=rf"cannot listen on {host}.*--listen 127\.0\.0\.1"):
        Server(host, 0, on_call=lambda: None, on_inputs=lambda _: None)


def test_a_closed_server_leaves_its_port_to_others() -> None:
    port = free_udp_port()
    for _ in range(2):
        server = Server("127.0.0.1", port, on_call=lambda: None, on_inputs=lambda _: None)
        server.start()
        with Client(port=port) as client, pytest.raises(CommandFailed, match="no such command"):
            client.ask("/instrument/nothing", timeout_s=PATIENCE_S)
        server.close()


def test_listening_on_all_addresses_of_both_kinds_answers_either() -> None:
    try:
        server = Server("::", 0, on_call=lambda: None, on_inputs=lambda _: None)
    except PortInUse:
        pytest.skip("no IPv6 here")
    server.start()
    with Client(port=server.address[1]) as client, pytest.raises(CommandFailed, match="no such command"):
        client.ask("/instrument/nothing", timeout_s=PATIENCE_S)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trainer:
        trainer.bind(("127.0.0.1", 0))
        trainer.settimeout(PATIENCE_S)
        server.reply(trainer.getsockname(), "/train", 1)
        assert osc.decode(trainer.recv(1000)) == [("/train", (1,))]
    server.close()
