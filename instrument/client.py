"""Speaks the protocol from outside: the command line, the console and the tests use it."""

import socket
import time
from collections.abc import Iterator

from instrument import osc
from instrument.protocol import DEFAULT_PORT, Value

REMOTE = "/instrument/remote"
"""Answered under the address of the command that it passes on."""


class CommandFailed(RuntimeError):
    """The instrument answered `/fail`; the text is its reason."""


class NoAnswer(TimeoutError):
    """Nobody answered in time."""


class Client:
    """One UDP socket towards a running instrument."""

    def __init__(self, host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((host, port))
        self._where = f"{host}:{port}"
        self._is_refused = False

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, address: str, *arguments: Value) -> None:
        """Sends and does not wait."""
        try:
            self._socket.send(osc.encode(address, arguments))
        except ConnectionError:  # the report of an earlier datagram that found nobody
            self._socket.send(osc.encode(address, arguments))

    def ask(self, address: str, *arguments: Value, timeout_s: float = 5.0) -> list[Value]:
        """Sends a command and gives what its `/done` carries.

        Raises CommandFailed with the reason, or NoAnswer.
        """
        self.send(address, *arguments)
        answered = {address, *arguments[:1]} if address == REMOTE else {address}
        for answer, values in self.messages(timeout_s):
            if answer in ("/done", "/fail") and values and values[0] in answered:
                if answer == "/fail":
                    raise CommandFailed(str(values[1]) if len(values) > 1 else "no reason given")
                return values[1:]
        if self._is_refused:
            raise NoAnswer(f"nothing listens on {self._where}; start it with `instrument play`, or give its --port")
        raise NoAnswer(f"no answer from {self._where} within {timeout_s:g} s")

    def messages(self, timeout_s: float) -> Iterator[tuple[str, list[Value]]]:
        """Whatever arrives, until the time is up or nobody listens there."""
        end_s = time.monotonic() + timeout_s
        self._is_refused = False
        while (left_s := end_s - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                datagram = self._socket.recv(65536)
            except ConnectionError:
                self._is_refused = True
                return
            except TimeoutError:
                return
            try:
                messages = osc.decode(datagram)
            except osc.OscError:  # nothing the instrument sent
                continue
            for answer, values in messages:
                yield answer, list(values)
