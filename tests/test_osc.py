"""OSC in and out, against literal bytes, python-osc and liblo's oscdump."""

import contextlib
import logging
import math
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from clients import PATIENCE_S, messages, oscdump, wait_until
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from instrument.osc import MAX_BUNDLE_DEPTH, OscError, OscSender, decode, encode, parse_host_port

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
arguments = st.lists(
    st.one_of(finite, st.integers(-(2**31), 2**31 - 1), texts, st.binary(min_size=1, max_size=20)), max_size=8
)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5.0)
        yield listening


def bundle(*elements: bytes) -> bytes:
    sized = b"".join(struct.pack(">i", len(element)) + element for element in elements)
    return b"#bundle\0" + struct.pack(">Q", 1) + sized


def test_floats_leave_as_wekinator_sends_them() -> None:
    assert encode("/wek/outputs", (1.0, 0.5)) == b"/wek/outputs\0\0\0\0,ff\0\x3f\x80\0\0\x3f\0\0\0"


def test_a_text_and_a_whole_number_keep_their_types() -> None:
    assert encode("/posture", ("arms up", 3)) == b"/posture\0\0\0\0,si\0arms up\0\0\0\0\x03"


@pytest.mark.parametrize(
    "argument",
    [math.nan, math.inf, -math.inf, 1e39, 2**31, -(2**31) - 1, True, None, [1.0], "a\0b", "\ud800"],
    ids=repr,
)
def test_what_not_every_client_reads_is_refused(argument: object) -> None:
    with pytest.raises(OscError, match="/a"):
        encode("/a", (argument,))  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["", "a", "/a\0b"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(OscError, match="address"):
        encode(address, ())


@given(arguments)
def test_python_osc_reads_what_is_encoded(sent: list[float | int | str | bytes]) -> None:
    assert list(OscMessage(encode("/some/address", sent))) == sent


@given(arguments)
def test_decoding_gives_back_what_was_encoded(sent: list[float | int | str | bytes]) -> None:
    assert decode(encode("/some/address", sent)) == [("/some/address", tuple(sent))]


def test_numbers_of_every_width_and_truth_values_are_read() -> None:
    builder = OscMessageBuilder("/a")
    for tag, value in (("i", 1), ("f", 0.5), ("d", 0.1), ("h", 2**40), ("T", True), ("F", False)):
        builder.add_arg(value, tag)
    assert decode(builder.build().dgram) == [("/a", (1, 0.5, 0.1, 2**40, 1, 0))]


def test_a_message_without_type_tags_has_no_arguments() -> None:
    assert decode(b"/a\0\0") == [("/a", ())]


def test_nested_bundles_are_opened_in_order() -> None:
    inner = bundle(encode("/b", (2,)), encode("/c", ()))
    assert [address for address, _ in decode(bundle(encode("/a", ()), inner, encode("/d", ())))] == [
        "/a",
        "/b",
        "/c",
        "/d",
    ]


def test_bundles_may_nest_only_so_deep() -> None:
    packet = encode("/a", ())
    for _ in range(MAX_BUNDLE_DEPTH):
        packet = bundle(packet)
    assert decode(packet) == [("/a", ())]
    with pytest.raises(OscError, match="nested"):
        decode(bundle(packet))


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"/",
        b"/abc",
        b"abc\0",
        b"/a\0\0,f\0\0",
        b"/a\0\0,f\0\0\0\0",
        b"/a\0\0,i\0\0\0\0\0\x01\0\0\0\0",
        b"/a\0\0f\0\0\0",
        b"/a\0\0,[f]\0\0\0\0\0\0\0\0",
        b"/a\0\0,s\0\0abcd",
        b"/a\0\0,s\0\0\xff\0\0\0",
        b"/a\0\0,b\0\0\x7f\xff\xff\xff",
        b"/a\0\0,b\0\0\xff\xff\xff\xff",
        b"#bundle\0",
        b"#bundle\0" + bytes(8) + b"\0\0\0\0",
        b"#bundle\0" + bytes(8) + b"\0\0\0\x08/a\0\0",
        b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xfc/a\0\0",
    ],
    ids=repr,
)
def test_a_malformed_datagram_is_an_osc_error(datagram: bytes) -> None:
    with pytest.raises(OscError):
        decode(datagram)


fragments = st.sampled_from([b"#bundle\0", b"/a\0\0", b",f\0\0", b",ifsb\0\0\0", b"\0\0\0\x04", b"\xff" * 4, bytes(8)])


@given(st.lists(fragments | st.binary(max_size=12), max_size=12).map(b"".join))
def test_no_datagram_raises_anything_but_an_osc_error(datagram: bytes) -> None:
    try:
        decoded = decode(datagram)
    except OscError:
        return
    assert all(address.startswith("/") for address, _ in decoded)


@given(arguments, st.data())
def test_no_damaged_message_raises_anything_but_an_osc_error(sent: list[float], data: st.DataObject) -> None:
    damaged = bytearray(bundle(encode("/a", sent)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(OscError):
        decode(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


def test_a_sent_message_arrives_as_encoded(receiver: socket.socket) -> None:
    sender = OscSender(*receiver.getsockname())
    assert sender.send("/a", (1.5,))
    assert receiver.recv(100) == encode("/a", (1.5,))
    assert (sender.sent, sender.dropped, sender.reason) == (1, 0, "")
    sender.close()


def test_a_number_that_is_none_is_dropped_and_counted(receiver: socket.socket) -> None:
    sender = OscSender(*receiver.getsockname())
    assert not sender.send("/a", (math.nan,))
    assert sender.send("/b", ())
    assert receiver.recv(100) == encode("/b", ())
    assert sender.dropped == 1
    sender.close()


def test_no_message_is_lost_to_the_news_that_nobody_listened_before() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    sender = OscSender(*address)
    sender.send("/nobody", ())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(5.0)
        assert sender.send("/somebody", ())
        assert listening.recv(100) == encode("/somebody", ())
    sender.close()


def test_that_nobody_listens_is_logged_and_a_minute_later_again(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    time_s = [0.0]
    sender = OscSender(*address, clock=lambda: time_s[0])
    with caplog.at_level(logging.WARNING, logger="instrument.osc"):
        wait_until(lambda: sender.send("/a", ()) and sender.refused >= 5, "five refusals")
        assert len(caplog.records) == 1
        time_s[0] = 61.0
        before = sender.refused
        wait_until(lambda: sender.send("/a", ()) and sender.refused > before, "another refusal")
        assert len(caplog.records) == 2
    assert "nobody listens" in caplog.text
    sender.close()


def test_an_unreachable_destination_is_counted_and_tried_again_each_second() -> None:
    time_s = [0.0]
    sender = OscSender("fe80::1", 9000, clock=lambda: time_s[0])  # link-local without a link
    for _ in range(3):
        assert not sender.send("/a", ())
    assert sender.dropped == 3
    assert sender.reason
    sender.close()


def test_an_unknown_host_is_counted_and_never_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(OSError("no such host")))
    sender = OscSender("synth.invalid", 9000)
    assert not sender.send("/a", ())
    wait_until(lambda: "not known" in sender.reason, "the look-up to fail")
    assert sender.dropped == 1
    sender.close()


def test_a_host_name_is_looked_up_in_the_background(monkeypatch: pytest.MonkeyPatch, receiver: socket.socket) -> None:
    host, port = receiver.getsockname()
    found = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sender = OscSender("synth.local", port)
    wait_until(lambda: sender.send("/a", ()), "the look-up")
    assert receiver.recv(100) == encode("/a", ())
    sender.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere 127.0.0.2 is not this machine")
def test_a_host_that_is_at_another_address_is_followed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        other.bind(("127.0.0.2", port))
        for each in (one, other):
            each.settimeout(PATIENCE_S)
        found = ["127.0.0.1"]

        def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
            if not found:
                raise OSError("the network is away")
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, port)) for host in found]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        monkeypatch.setattr("instrument.osc.LOOK_UP_AGAIN_S", 0.01)
        monkeypatch.setattr("instrument.osc.LOOK_UP_EVERY_S", 0.01)
        sender = OscSender("synth.local", port)
        wait_until(lambda: sender.send("/one", ()), "the look-up")
        assert one.recv(100) == encode("/one", ())
        found[:] = ["127.0.0.2"]

        def arrives() -> bool:
            sender.send("/other", ())
            return bool(select.select([other], [], [], 0.01)[0])

        wait_until(arrives, "the other address to be known")
        found[:] = ["127.0.0.1", "127.0.0.2"]
        time.sleep(0.1)
        found.clear()
        assert sender.send("/still", ())
        wait_until(lambda: other.recv(100) == encode("/still", ()), "the last message")
        assert sender.reason == ""
        sender.close()


def test_oscdump_prints_what_was_sent() -> None:
    with oscdump() as (client, port):
        sender = OscSender("127.0.0.1", port)
        sender.send("/wek/outputs", (2.0, 0.25))
        sender.send("/posture", ("arms up", 0.75))
        sender.send("/count", (7, -7))
        sender.send("/nothing", ())
        client.wait_for("/nothing")
        assert messages(client) == [
            "/wek/outputs ff 2.000000 0.250000",
            '/posture sf "arms up" 0.750000',
            "/count ii 7 -7",
            "/nothing ",
        ]
        sender.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9000", ("127.0.0.1", 9000)), ("9000", ("127.0.0.1", 9000)), ("[::1]:9", ("::1", 9))],
)
def test_host_and_port_are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_host_port(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:0", "host:65536", "host:-1", "host:9x"])
def test_a_wrong_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"1\.\.65535"):
        parse_host_port(text)
