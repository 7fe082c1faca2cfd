"""The last room: controls leave as datagrams and MIDI messages, each destination on its own.

Whatever happens to one destination is counted there and never stops another.
"""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass

from instrument.clock import Clock, now_s
from instrument.midi import Midi
from instrument.osc import OscSender
from instrument.patch import Patch
from instrument.signals import Control, MidiSend

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationStatus:
    """How one destination fares."""

    kind: str
    """`osc`, `midi` or `page`."""
    to: str
    """Host and port, or the MIDI port; empty while there is none."""
    sent: int
    dropped: int
    refused: int = 0
    """Datagrams the receiving machine sent back because nobody listens."""
    reason: str = ""
    """What is wrong; empty when nothing is."""


class Outputs:
    """Everywhere a patch sends to. The MIDI ports are lent: `close` releases notes and leaves them open."""

    def __init__(self, patch: Patch, midi: Midi, *, clock: Clock = now_s) -> None:
        self.last_sent_at_s: float | None = None
        """When the latest message left."""
        self._clock = clock
        self._logged_at_s = -math.inf
        self._midi = midi
        self._osc = {
            name: OscSender(*destination.osc, clock=clock)
            for name, destination in patch.destinations.items()
            if destination.osc is not None
        }
        # What goes there is read by the page, from the telemetry of what is sent.
        self._pages = {name: 0 for name, destination in patch.destinations.items() if destination.is_page}
        midi.connect({name: one.midi for name, one in patch.destinations.items() if one.midi is not None})

    def send(self, controls: Iterable[Control]) -> float | None:
        """Sends them in order; when the last of them left, None when none did."""
        has_left = False
        for control in controls:
            if control.destination in self._pages:
                self._pages[control.destination] += 1
                has_left = True
            elif isinstance(control, MidiSend):
                has_left |= self._midi.send(control.destination, control.bytes)
            elif sender := self._osc.get(control.destination):
                has_left |= sender.send(control.address, control.arguments)
            else:
                self._complain(f"no OSC destination '{control.destination}' for {control.address}")
        if not has_left:
            return None
        self.last_sent_at_s = self._clock()
        return self.last_sent_at_s

    def _complain(self, reason: str) -> None:
        if self._clock() - self._logged_at_s >= 1.0:
            self._logged_at_s = self._clock()
            log.warning(reason)

    def panic(self) -> None:
        """Silences every MIDI destination at once."""
        self._midi.release_all()

    def status(self) -> dict[str, DestinationStatus]:
        """How every destination fares, by name."""
        status = {
            name: DestinationStatus(
                kind="osc",
                to=f"{sender.host}:{sender.port}",
                sent=sender.sent,
                dropped=sender.dropped,
                refused=sender.refused,
                reason=sender.reason,
            )
            for name, sender in self._osc.items()
        }
        for name, port in self._midi.status().items():
            status[name] = DestinationStatus(
                kind="midi", to=port.port, sent=port.sent, dropped=port.dropped, reason=port.reason
            )
        for name, sent in self._pages.items():
            if sent:
                status[name] = DestinationStatus(kind="page", to="the console's page", sent=sent, dropped=0)
        return status

    def close(self) -> None:
        """Releases what sounds and closes the sockets."""
        self.panic()
        for sender in self._osc.values():
            sender.close()
