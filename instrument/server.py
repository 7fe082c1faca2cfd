"""Listens for OSC: one UDP socket, one thread, and a bounded queue that the engine empties.

Every datagram is checked against the protocol's table here, so that the engine only ever sees
commands it knows with arguments of the right types. What does not fit is dropped and counted.
"""

import errno
import logging
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil

from instrument import clock, osc
from instrument.protocol import COMMANDS, Command, Value
from instrument.signals import FloatArray

log = logging.getLogger("instrument.osc.in")

Address = tuple[str, int]

NOT_WAITING = getattr(socket, "MSG_DONTWAIT", 0)
"""So that a slow network never holds up the engine; Windows has no such flag for one datagram."""
QUEUE_LENGTH = 1000
LOG_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """One command that came in, its arguments checked, and where its answer goes."""

    command: Command
    arguments: list[Value]
    sender: Address
    received_at_s: float
    is_remote: bool = False
    """Whether it is done for another computer, wherever it came from."""
    pedal: int = 0
    """The pedal that asks, 1 being the first, rather than a program."""


class PortInUse(OSError):
    """That port cannot be listened on; the text says why (who has it, if that can be known) and what to do."""


class Server:
    """Receives from `start` until closed. `on_call` rings when there is something in `calls`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_call: Callable[[], None],
        on_inputs: Callable[[FloatArray], None],
        now_s: clock.Clock = clock.now_s,
    ) -> None:
        """Raises PortInUse."""
        self._socket = _bind(host, port)
        self.address: Address = self._socket.getsockname()[:2]
        self.calls: deque[Call] = deque()
        self.dropped: Counter[str] = Counter()
        self._on_call = on_call
        self._on_inputs = on_inputs
        self._now_s = now_s
        self._logged_at_s = -LOG_EVERY_S
        self._unlogged: Counter[str] = Counter()
        self._last_drop = ""
        self._dropping = threading.Lock()
        self._is_closing = False
        self._thread = threading.Thread(target=self._receive, name="osc server", daemon=True)

    def start(self) -> None:
        """Begins to receive; what came since the port was opened comes first."""
        self._thread.start()

    def reply(self, sender: Address, address: str, *arguments: Value) -> None:
        """Sends one message back; a sender that is gone is not our trouble."""
        host, port = sender
        if self._socket.family == socket.AF_INET6 and ":" not in host:
            host = f"::ffff:{host}"
        try:
            self._socket.sendto(osc.encode(address, arguments), NOT_WAITING, (host, port))
        except (OSError, OverflowError, osc.OscError) as error:
            if getattr(error, "errno", None) == errno.EMSGSIZE and address == "/done":
                self.reply(sender, "/fail", arguments[0], "the answer is too long for UDP")
            log.debug("could not answer %s:%d: %s", *sender, error)

    def close(self) -> None:
        self._is_closing = True
        try:
            # Wakes the thread; closing a socket another thread waits on does not, everywhere.
            with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", self.address)
        except OSError:
            pass
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        self._socket.close()

    def _receive(self) -> None:
        while not self._is_closing:
            try:
                datagram, sender = self._socket.recvfrom(65536)
            except OSError as error:  # on Windows an answer to a closed port shows here
                if self._is_closing or error.errno == errno.EBADF:
                    return
                continue
            if self._is_closing:
                return
            try:
                messages = osc.decode(datagram)
            except osc.OscError as error:
                self._drop("malformed", f"{error}", sender)
                continue
            for address, arguments in messages:
                try:
                    self._take(address, list(arguments), sender[:2])
                except Exception as error:  # whatever it is, the next command must still get through
                    self._drop("failed", f"{address[:80]!r}: {error!r}", sender)

    def _take(self, address: str, arguments: list[Value], sender: Address) -> None:
        if address == "/wek/inputs":
            # As in Wekinator's InputManager: floats only, and what is none leaves a 0 in its place.
            with np.errstate(over="ignore"):
                values = np.array([one if isinstance(one, float) else 0.0 for one in arguments], dtype=np.float32)
            if not np.isfinite(values).all():
                self._drop("not a number", "/wek/inputs carried NaN or infinity", sender)
                return
            self._on_inputs(values)
            return
        log.debug("%s %s from %s:%d", address, arguments, *sender)
        command = COMMANDS.get(address)
        if command is None:
            self._drop("unknown", f"no command {address[:80]!r}", sender)
            if address.startswith("/instrument/"):
                self.reply(sender, "/fail", address[:200], "no such command; see docs/protocol.md")
            return
        try:
            call = Call(command, command.check(arguments), sender, self._now_s())
        except ValueError as error:
            self._drop("wrong arguments", str(error), sender)
            if command.is_answered:
                self.reply(sender, "/fail", address, str(error))
            return
        if len(self.calls) >= QUEUE_LENGTH:
            reason = "commands come faster than they can be done"
            self._drop("flood", reason, sender)
            if command.is_answered:
                self.reply(sender, "/fail", address, reason)
            return
        self.calls.append(call)
        self._on_call()

    def attend(self) -> None:
        """Logs what was dropped, once a second at most; for the engine's thread, now and then."""
        if not self._unlogged:
            return
        with self._dropping:
            now_s = self._now_s()
            if now_s - self._logged_at_s >= LOG_EVERY_S:
                counts = ", ".join(f"{count} {name}" for name, count in self._unlogged.items())
                log.warning("dropped %s (%s since the last such line)", self._last_drop, counts)
                self._unlogged.clear()
                self._logged_at_s = now_s

    def _drop(self, kind: str, reason: str, sender: Address) -> None:
        with self._dropping:
            self.dropped[kind] += 1
            self._unlogged[kind] += 1
            self._last_drop = f"from {sender[0]}:{sender[1]}: {reason}"
        self.attend()


def check_port(host: str, port: int) -> None:
    """Raises PortInUse when a server could not listen there now."""
    _bind(host, port).close()


def _bind(host: str, port: int) -> socket.socket:
    receiver = None
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        receiver = socket.socket(family, kind, proto)
        # Room for a second of somebody's thousand messages while Python is busy.
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        # macOS lets a datagram be no longer than this; Linux has more by itself.
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        receiver.bind(address)
    except OSError as error:
        if receiver is not None:
            receiver.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} is in use by {port_holder(port) or 'another program'}; end that program, or choose "
                f"another port with --in-port (and tell your sender)"
            ) from None
        advice = "--listen 127.0.0.1 is this computer, 0.0.0.0 the whole network; --in-port chooses another port"
        raise PortInUse(f"cannot listen on {host}, port {port}: {error.strerror or error}; {advice}") from None
    return receiver


def port_holder(port: int) -> str | None:
    """Who listens on that UDP port, as `name (process 123)`, if the system lets us know."""
    try:
        for connection in psutil.net_connections(kind="udp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return None
