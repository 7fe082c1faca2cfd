"""OSC 1.0 as every client reads it: datagrams out to one destination, datagrams in to messages.

Out go only `i f s` (and `b` for the preview picture), never a number that is not finite. In come
`i f s d h T F b`, in bundles too; whatever else arrives raises `OscError` and nothing but that.
This room knows no address of ours and opens no port to listen on.
"""

import ipaddress
import logging
import math
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any

from pythonosc.osc_message_builder import BuildError, OscMessageBuilder

from instrument.clock import Clock, now_s

log = logging.getLogger(__name__)
traffic = logging.getLogger("instrument.osc.out")

Argument = float | int | str | bytes
Message = tuple[str, tuple[Argument, ...]]

MAX_BUNDLE_DEPTH = 8
LOOK_UP_EVERY_S = 5.0
LOOK_UP_AGAIN_S = 30.0
"""How often a host that is known is looked up again."""
LOG_AGAIN_S = 60.0
"""How long trouble that goes on is not spoken of again."""
_TYPE_TAGS: dict[type, str] = {float: "f", int: "i", str: "s", bytes: "b"}


class OscError(ValueError):
    """A message that cannot be sent as every client reads it, or a datagram that is not OSC."""


def encode(address: str, arguments: Sequence[Argument]) -> bytes:
    """The datagram of one message: `f` for float, `i` for int, `s` for str, `b` for bytes.

    Raises OscError for any other type, a number that is not finite or does not fit, or a text
    with a NUL in it.
    """
    if not address.startswith("/") or "\0" in address:
        raise OscError(f"OSC address {address!r}; allowed: a text that starts with / and has no NUL")
    builder = OscMessageBuilder(address)
    for argument in arguments:
        tag = _TYPE_TAGS.get(type(argument))
        if tag is None:
            raise OscError(f"{address}: a {type(argument).__name__}; allowed: float, int, str, bytes")
        if isinstance(argument, float) and not math.isfinite(argument):
            raise OscError(f"{address}: {argument}; allowed: finite numbers")
        if isinstance(argument, str) and "\0" in argument:
            raise OscError(f"{address}: {argument!r}; allowed: a text without NUL")
        builder.add_arg(argument, tag)
    try:
        return bytes(builder.build().dgram)
    except (BuildError, OverflowError, struct.error, UnicodeError) as error:
        raise OscError(f"{address}: {tuple(arguments)} does not fit into OSC: {error}") from None


def decode(datagram: bytes) -> list[Message]:
    """The messages of a datagram in order, bundles opened and their times ignored.

    `T` and `F` become 1 and 0. Floats may be NaN: what a sender says is the receiver's to judge.

    Raises OscError, never anything else.
    """
    messages: list[Message] = []
    _decode_packet(datagram, messages, depth=0)
    return messages


def parse_host_port(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `:PORT` or `PORT`.

    Raises ValueError.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"'{text}' is not HOST:PORT with a port of 1..65535, such as 127.0.0.1:12000")
    return host or "127.0.0.1", int(port)


def _decode_packet(packet: bytes, messages: list[Message], *, depth: int) -> None:
    if not packet.startswith(b"#bundle\0"):
        messages.append(_decode_message(packet))
        return
    if depth >= MAX_BUNDLE_DEPTH:
        raise OscError(f"bundles nested {depth + 1} deep; allowed: {MAX_BUNDLE_DEPTH}")
    at = 16
    if len(packet) < at:
        raise OscError("a bundle that ends inside its time tag")
    while at < len(packet):
        size, at = _number("i", packet, at)
        if size <= 0 or size % 4 or at + size > len(packet):
            raise OscError(f"a bundle element of {size} bytes where {len(packet) - at} are left")
        _decode_packet(packet[at : at + size], messages, depth=depth + 1)
        at += size


def _decode_message(packet: bytes) -> Message:
    address, at = _text(packet, 0)
    if not address.startswith("/"):
        raise OscError(f"address {address[:40]!r}; allowed: one that starts with /")
    if at == len(packet):  # old senders leave out an empty list of type tags
        return address, ()
    tags, at = _text(packet, at)
    if not tags.startswith(","):
        raise OscError(f"{address[:40]}: type tags {tags[:40]!r}; allowed: a comma, then any of ifsdhTFb")
    arguments: list[Argument] = []
    for tag in tags[1:]:
        argument: Argument
        if tag in _NUMBERS:
            argument, at = _number(tag, packet, at)
        elif tag == "s":
            argument, at = _text(packet, at)
        elif tag == "b":
            size, at = _number("i", packet, at)
            if size < 0 or at + size > len(packet):
                raise OscError(f"{address[:40]}: a blob of {size} bytes where {len(packet) - at} are left")
            argument, at = packet[at : at + size], at + (size + 3) // 4 * 4
        elif tag in "TF":
            argument = int(tag == "T")
        else:
            raise OscError(f"{address[:40]}: type tag {tag!r}; allowed: i f s d h T F b")
        arguments.append(argument)
    if at != len(packet):
        raise OscError(f"{address[:40]}: {len(packet)} bytes where its type tags {tags[:40]!r} make {at}")
    return address, tuple(arguments)


_NUMBERS = {tag: struct.Struct(layout) for tag, layout in (("i", ">i"), ("f", ">f"), ("d", ">d"), ("h", ">q"))}


def _number(tag: str, packet: bytes, at: int) -> tuple[Any, int]:
    layout = _NUMBERS[tag]
    end = at + layout.size
    if end > len(packet):
        raise OscError(f"{len(packet)} bytes, where a number up to byte {end} was announced")
    return layout.unpack_from(packet, at)[0], end


def _text(packet: bytes, at: int) -> tuple[str, int]:
    nul = packet.find(b"\0", at)
    end = (nul + 4) // 4 * 4
    if nul < 0 or end > len(packet):
        raise OscError("a text that does not end inside the datagram")
    try:
        return packet[at:nul].decode("utf-8"), end
    except UnicodeDecodeError:
        raise OscError(f"a text that is not UTF-8: {packet[at:nul][:40]!r}") from None


class OscSender:
    """Datagrams to one host and port, sent at once or not at all; it never waits.

    A host name is looked up in a thread, again every few seconds while that fails, then now and again,
    for its address may change; until it is known, messages are counted as dropped. That nobody listens
    is no error for UDP: it is counted as `refused` where the system tells. Trouble is logged when it
    changes, at most once a second.
    """

    def __init__(self, host: str, port: int, *, clock: Clock = now_s) -> None:
        self.host = host
        self.port = port
        self.sent = 0
        self.refused = 0
        self.dropped = 0
        self.reason = ""
        """Why the latest message did not arrive; empty when nothing speaks against it."""
        self._clock = clock
        self._logged_at_s = -math.inf
        self._logged_reason = ""
        self._opened_at_s = -math.inf
        self._address = _numeric(host)
        self._socket: socket.socket | None = None
        self._connected_to: str | None = None
        self._closing = threading.Event()
        if self._address is None:
            self.reason = f"looking up '{host}'"
            threading.Thread(target=self._look_up, name=f"look up {host}", daemon=True).start()

    def send(self, address: str, arguments: Sequence[Argument]) -> bool:
        """Sends one message; True when it has left."""
        try:
            datagram = encode(address, arguments)
        except OscError as error:
            return self._drop(str(error))
        if traffic.isEnabledFor(logging.DEBUG):
            traffic.debug("%s:%d %s %s", self.host, self.port, address, " ".join(map(str, arguments)))
        return self.send_datagram(datagram)

    def send_datagram(self, datagram: bytes) -> bool:
        """Sends what is OSC already; True when it has left."""
        try:
            if self._socket is not None and self._address != self._connected_to:
                self._forget_socket()
                self._opened_at_s = -math.inf
            connected = self._socket or self._open()
            if connected is None:
                return self._drop(self.reason)
            try:
                connected.send(datagram)
                self.reason = ""
            except ConnectionError:  # the answer to an earlier datagram; this one has not been sent
                self.refused += 1
                self._complain("nobody listens there")
                connected.send(datagram)
        except BlockingIOError:
            return self._drop("the system's send buffer is full")
        except OSError as error:  # such as a network that went away: a new socket finds the way again
            self._forget_socket()
            return self._drop(str(error))
        self.sent += 1
        return True

    def close(self) -> None:
        self._closing.set()
        self._address = None
        self._forget_socket()
        self.reason = "closed"

    def _open(self) -> socket.socket | None:
        """A fresh socket, at most one a second; None while the address is not known."""
        address = self._address
        if address is None or self._clock() - self._opened_at_s < 1.0:
            return None
        self._opened_at_s = self._clock()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._connected_to = address
        self._socket.connect((address, self.port))  # so that the system tells when nobody listens
        return self._socket

    def _forget_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _drop(self, reason: str) -> bool:
        self.dropped += 1
        self._complain(reason)
        return False

    def _complain(self, reason: str) -> None:
        self.reason = reason
        silence_s = 1.0 if reason != self._logged_reason else LOG_AGAIN_S
        if self._clock() - self._logged_at_s >= silence_s:
            self._logged_at_s = self._clock()
            self._logged_reason = reason
            counts = f"{self.refused} refused, {self.dropped} dropped so far"
            log.warning("OSC to %s:%d: %s (%s)", self.host, self.port, reason, counts)

    def _look_up(self) -> None:
        while not self._closing.is_set():
            wait_s = LOOK_UP_EVERY_S
            try:
                found = [str(one[4][0]) for one in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)]
                # Of several it stays with the one it has: they may come in another order each time.
                if self._address not in found and not self._closing.is_set():
                    if self._address is not None:
                        log.info("OSC to %s:%d: it is at %s now", self.host, self.port, found[0])
                    self._address = found[0]
                wait_s = LOOK_UP_AGAIN_S
            except (OSError, UnicodeError) as error:
                if self._address is None:
                    self.reason = f"host '{self.host}' is not known: {error}"
            self._closing.wait(wait_s)


def _numeric(host: str) -> str | None:
    """The address, when the host is one already and needs no looking up."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
