"""MIDI in: the inputs that are wanted, by name, opened, listened to, and looked for again when they are gone.

Knows no patch and no command: what comes in is handed on, from a thread of its own. The supervisor owns it, so that
neither an engine that is killed nor one that is busy loses what the performer plays.
"""

import contextlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from instrument.midi import (
    CLIENT_NAME,
    LOOK_S,
    RTMIDI_ERRORS,
    VIRTUAL,
    MidiError,
    is_channel_message,
    jack_server,
    matching_port,
    midi_systems,
)

log = logging.getLogger(__name__)
traffic = logging.getLogger("instrument.midi.in")

NO_PEDALS = "Midi Through"
"""What is sent to this port comes back by it: listened to only by its name."""
MOST_PAUSE = 4
"""How many times `retry_s` the pause becomes while something that is wanted stays away."""
_ENDING = re.compile(r" \d+(:\d+)?$")

Hear = Callable[[str, Sequence[int]], None]


def plain_port(name: str) -> str:
    """A port's name without the numbers that ALSA and Windows put after it, which change whenever it is plugged in."""
    return _ENDING.sub("", name)


class MidiInputs:
    """Open MIDI inputs; `hear` gets each channel message with the name of the port it came by.

    `wanted` names are parts of a port's name, "" all there are, `virtual` a port of our own named `pedals`.
    `system` is one of `midi.SYSTEMS`, else the one named in the variable INSTRUMENT_MIDI, else any.
    """

    def __init__(self, hear: Hear, *, system: str | None = None, retry_s: float = 1.0) -> None:
        self._hear = hear
        self._system = system or os.environ.get("INSTRUMENT_MIDI") or None
        self._retry_s = retry_s
        self._wanted: list[str] = []
        self._open: dict[tuple[str, str], _Input] = {}
        self._found: dict[str, list[tuple[str, str]]] = {}
        self._status: dict[str, tuple[str, str]] = {}
        self._came: queue.SimpleQueue[tuple[str, Sequence[int]] | None] = queue.SimpleQueue()
        self._bell = threading.Event()
        self._is_closing = False
        self._threads: list[threading.Thread] = []

    def connect(self, wanted: Iterable[str]) -> None:
        """Listens to these inputs from soon on, and to no others. Does not wait for them."""
        self._wanted = list(wanted)
        if self._wanted and not self._threads:
            self._threads = [
                threading.Thread(target=one, name=f"midi inputs {one.__name__}", daemon=True)
                for one in (self._watch, self._hand_on)
            ]
            for thread in self._threads:
                thread.start()
        self._bell.set()

    def status(self) -> dict[str, tuple[str, str]]:
        """For each name that is wanted: the ports there are, and why there is none."""
        return self._status

    def close(self) -> None:
        self._is_closing = True
        self._bell.set()
        self._came.put(None)
        for thread in self._threads:
            thread.join(timeout=2.0)

    def tend(self) -> bool:
        """Closes what is gone or no longer wanted, opens what has come; whether all that is wanted is there."""
        wanted, systems = list(self._wanted), self._systems() if self._wanted else {}
        there = {name: self._names(name) for name, reason in systems.items() if not reason}
        found = {one: _meant(one, there) for one in wanted}
        chosen = {key for keys in found.values() for key in keys}
        self._drop_gone()
        for key in self._open.keys() - chosen:
            self._open.pop(key).close()
        reasons = [reason for reason in systems.values() if reason]
        for key in sorted(chosen - self._open.keys()):
            try:
                self._open[key] = _Input(*key, came=self._came.put)
                log.info("MIDI in: listening to %s", key[1])
            except NotImplementedError:
                reasons.append(f"{key[0]} has no ports of our own: install loopMIDI and name its port in the patch")
            except RTMIDI_ERRORS as error:
                reasons.append(f"{key[1]}: {error}")
        status = {}
        for one, keys in found.items():
            ports = ", ".join(key[1] for key in keys if key in self._open)
            names = ", ".join(name for each in there.values() for name in each) or "none"
            missing = (
                f"no MIDI input whose name contains '{one}'; there are: {names}" if one else "no MIDI input is there"
            )
            status[one] = (ports, "" if ports else "; ".join([*reasons, *([missing] if there and not keys else [])]))
            if status[one][1] and status[one] != self._status.get(one):
                log.warning("MIDI in: %s; looking for it again", status[one][1])
        self._status, self._found = status, found
        return all(ports for ports, _ in status.values())

    def _drop_gone(self, *, is_quick: bool = False) -> bool:
        """Closes what is gone and says so; whether anything was. The quick way asks only what the systems list."""
        gone = [key for key, port in self._open.items() if not (port.is_listed() if is_quick else port.is_alive())]
        for key in gone:
            self._open.pop(key).close()
            log.warning("MIDI in: %s is gone; looking for it again", key[1])
        self._status = self._status | {
            one: (", ".join(key[1] for key in keys if key in self._open), f"{gone[0][1]} is gone")
            for one, keys in self._found.items()
            if any(key in gone for key in keys)
        }
        return bool(gone)

    def _systems(self) -> dict[str, str]:
        systems = midi_systems()
        if self._system is not None:
            systems = {self._system: systems.get(self._system, f"not one of {', '.join(systems)}")}
        return systems or {"": "python-rtmidi was built without any MIDI system"}

    def _names(self, system: str) -> list[str]:
        """The inputs of that system but our own, asked of one that is open already where there is one."""
        for (one, _), port in self._open.items():
            if one == system and port.is_alive():
                return port.names()
        try:
            probe = _rtmidi_in(system)
            try:
                return _others(probe.get_ports())
            finally:
                probe.delete()
        except RTMIDI_ERRORS as error:
            log.debug("%s: %s", system, error)
            return []

    def _watch(self) -> None:
        pause = 1
        while not self._is_closing:
            try:
                pause = 1 if self.tend() else min(2 * pause, MOST_PAUSE)
            except Exception:  # whatever a MIDI system does, the next look may find it well again
                log.exception("MIDI in")
            tended_at_s = time.monotonic()
            while time.monotonic() - tended_at_s < self._retry_s * pause:
                look_s = min(self._retry_s, LOOK_S)
                if self._bell.wait(look_s) or self._drop_gone(is_quick=True):
                    self._bell.wait(look_s)  # who hears how the inputs fare has to hear that one was away
                    pause = 1
                    break
            self._bell.clear()
        for port in self._open.values():
            port.close()

    def _hand_on(self) -> None:
        while (one := self._came.get()) is not None:
            port, message = one
            if is_channel_message(message):
                traffic.debug("%s %s", port, bytes(message).hex(" "))
                self._hear(port, message)


class _Input:
    """One open input. Raises MidiError, or one of rtmidi's errors, when it cannot be opened."""

    def __init__(self, system: str, name: str, *, came: Callable[[tuple[str, Sequence[int]]], None]) -> None:
        self._server = jack_server() if system == "UNIX_JACK" else None
        self._in = _rtmidi_in(system)
        self._name = name
        try:
            # Called in a thread of the system's, which must not be held up.
            self._in.set_callback(lambda event, _: came((name, event[0])))
            if name == VIRTUAL:
                self._in.open_virtual_port(f"{CLIENT_NAME} pedals" if system == "MACOSX_CORE" else "pedals")
            else:
                there = self._in.get_ports()
                if name not in there:
                    raise MidiError("it has just gone")
                self._in.open_port(there.index(name), name="pedals")
        except BaseException:
            self._in.delete()
            raise

    def names(self) -> list[str]:
        return _others(self._in.get_ports())

    def is_alive(self) -> bool:
        if self._server is not None and jack_server() != self._server:
            return False
        return self.is_listed()

    def is_listed(self) -> bool:
        """Whether its system has it: asked for little, as long as the system itself is there."""
        try:
            return self._name == VIRTUAL or self._name in self._in.get_ports()
        except RTMIDI_ERRORS:
            return False

    def close(self) -> None:
        with contextlib.suppress(*RTMIDI_ERRORS):
            self._in.cancel_callback()
            self._in.close_port()
        self._in.delete()


def _meant(wanted: str, there: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The inputs that name stands for, each with its system."""
    if wanted == VIRTUAL:
        return [(system, VIRTUAL) for system in list(there)[:1]]
    if not wanted:
        return [(system, name) for system, names in there.items() for name in names if NO_PEDALS not in name]
    for system, names in there.items():
        with contextlib.suppress(MidiError):
            return [(system, matching_port(wanted, names))]
    return []


def _others(names: list[str]) -> list[str]:
    """Without what this program itself sends by."""
    return [name for name in names if not name.casefold().startswith(CLIENT_NAME)]


def _rtmidi_in(system: str) -> Any:
    import rtmidi

    return rtmidi.MidiIn(getattr(rtmidi, f"API_{system}"), name=CLIENT_NAME)
