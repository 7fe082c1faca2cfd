"""MIDI out: ports by name, notes that never hang, and a pipe that outlives a killed engine.

`MidiPorts` owns the ports: it opens them by part of their name or offers its own, goes on without
those that are missing, looks for them again every second, and tells those that come what stands.
Under `instrument play` the supervisor owns it, so that a killed engine's notes still get their note off: the engine's
`PipedMidi` writes every message as a line to a pipe, the supervisor's `MidiPipeReader` performs
it, and releases all that sounds when the pipe ends. This room knows no patch and no prediction.
"""

import contextlib
import json
import logging
import math
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote, unquote

from instrument.clock import Clock, now_s

log = logging.getLogger(__name__)
traffic = logging.getLogger("instrument.midi.out")

CLIENT_NAME = "instrument"
VIRTUAL = "virtual"
SYSTEMS = ("LINUX_ALSA", "UNIX_JACK", "MACOSX_CORE", "WINDOWS_MM")
"""rtmidi's names for what carries MIDI, in the order they are tried."""
JACK_RING_BYTES = 16384
"""What rtmidi holds for JACK. Full with no server to empty it, a send spins for ever."""
JACK_ROUNDS_S = 0.15
"""rtmidi waits until JACK has taken what was sent; closed in that very moment, who listens may not hear it any more."""
_MESSAGE_BYTES = {0x80: 3, 0x90: 3, 0xA0: 3, 0xB0: 3, 0xC0: 2, 0xD0: 2, 0xE0: 3}
_KEY_PRESSURE, _CONTROL_CHANGE = 0xA0, 0xB0
_SUSTAIN, _FIRST_MODE, _ALL_NOTES_OFF = 64, 120, 123
LOOK_S = 0.2
"""How often open ports are looked at. One that goes and is back in between cannot be told from one that stayed."""


class MidiError(OSError):
    """Why a MIDI port cannot be had; its text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortStatus:
    """How one MIDI destination fares."""

    wanted: str
    port: str = ""
    """The port it goes to; empty while there is none."""
    reason: str = ""
    """Why there is none, or what the latest trouble was."""
    sent: int = 0
    dropped: int = 0


class Midi(Protocol):
    """What plays MIDI messages: `MidiPorts`, or `PipedMidi` that has another process do it."""

    def connect(self, destinations: Mapping[str, str]) -> None: ...
    def send(self, destination: str, message: Sequence[int]) -> bool: ...
    def release_all(self) -> None: ...
    def status(self) -> dict[str, PortStatus]: ...
    def close(self) -> None: ...


def is_channel_message(message: Sequence[int]) -> bool:
    """Whether these are the bytes of one whole channel message, such as a note on."""
    if not message or not 0x80 <= message[0] <= 0xEF or len(message) != _MESSAGE_BYTES[message[0] & 0xF0]:
        return False
    return all(0 <= byte <= 127 for byte in message[1:])


def ends_a_note(message: Sequence[int]) -> bool:
    """Whether that is a note off, also one that is written as a note on without velocity."""
    return message[0] & 0xF0 == 0x80 or (message[0] & 0xF0 == 0x90 and message[2] == 0)


def midi_systems() -> dict[str, str]:
    """What could carry MIDI here, each with why it cannot just now; an empty reason means it can.

    Asks nothing of a system that is not there, whose library would complain on stderr.
    """
    try:
        import rtmidi
    except ImportError as error:
        return {"rtmidi": f"python-rtmidi, which MIDI needs, does not load ({error})"}
    compiled = rtmidi.get_compiled_api()
    systems = {name: "" for name in SYSTEMS if getattr(rtmidi, f"API_{name}") in compiled}
    if "LINUX_ALSA" in systems and not os.access("/dev/snd/seq", os.R_OK | os.W_OK):
        systems["LINUX_ALSA"] = "no ALSA sequencer (/dev/snd/seq): `modprobe snd-seq`, or join the group 'audio'"
    if "UNIX_JACK" in systems and jack_server() is None:
        systems["UNIX_JACK"] = "no JACK server is running"
    return systems


def port_names(system: str) -> list[str]:
    """The ports that can be sent to in one of `midi_systems`.

    Raises MidiError.
    """
    try:
        out = _rtmidi_out(system)
        try:
            return list(out.get_ports())
        finally:
            out.delete()
    except RTMIDI_ERRORS as error:
        raise MidiError(f"{system}: {error}") from None


class Standing:
    """What stands at each destination: notes that sound, and the program, controllers and bend of each channel."""

    def __init__(self) -> None:
        self._notes: dict[str, dict[tuple[int, int], int]] = {}  # velocity by channel and note
        self._not_ended: dict[str, dict[tuple[int, int], None]] = {}  # as ordered sets
        self._settings: dict[str, dict[tuple[int, ...], tuple[int, ...]]] = {}
        self._channels: dict[str, dict[int, None]] = {}

    def follow(self, destination: str, message: Sequence[int]) -> None:
        """Takes in one message on its way out."""
        kind, channel = message[0] & 0xF0, message[0] & 0x0F
        self._channels.setdefault(destination, {})[channel] = None
        if kind <= 0x90:
            note = channel, message[1]
            notes = self._notes.setdefault(destination, {})
            notes.pop(note, None)
            self._not_ended.get(destination, {}).pop(note, None)
            if not ends_a_note(message):
                notes[note] = message[2]
        elif kind != _KEY_PRESSURE and not (kind == _CONTROL_CHANGE and message[1] >= _FIRST_MODE):
            # The order in which they were sent matters: banks come before programs, parameters before their values.
            what = tuple(message[:2]) if kind == _CONTROL_CHANGE else (message[0],)
            settings = self._settings.setdefault(destination, {})
            settings.pop(what, None)
            settings[what] = tuple(message)

    def miss(self, destination: str, message: Sequence[int]) -> None:
        """Takes in that a message did not get out: a note that it was to end sounds on."""
        if ends_a_note(message):
            self._not_ended.setdefault(destination, {})[message[0] & 0x0F, message[1]] = None

    def release(self, destination: str) -> list[tuple[int, ...]]:
        """What silences a destination: note offs, then all notes off and pedal up on its channels."""
        sounding = self._notes.pop(destination, {}) | self._not_ended.pop(destination, {})
        messages: list[tuple[int, ...]] = [(0x80 | channel, note, 0) for channel, note in sounding]
        for channel in self._channels.get(destination, {}):
            messages += [
                (_CONTROL_CHANGE | channel, _ALL_NOTES_OFF, 0),
                (_CONTROL_CHANGE | channel, _SUSTAIN, 0),
            ]
        return messages

    def chase(self, destination: str) -> list[tuple[int, ...]]:
        """What tells one that has just come, and may know nothing or play on what it played, all that stands.

        It is silenced first; settings come in the order they were sent, then the notes that sound.
        """
        settings = list(self._settings.get(destination, {}).values())
        notes = [(0x90 | channel, note, loud) for (channel, note), loud in self._notes.get(destination, {}).items()]
        return [*self.release(destination), *settings, *notes]

    def forget(self, destination: str) -> None:
        """Nothing stands there any more."""
        for one in (self._notes, self._not_ended, self._settings, self._channels):
            one.pop(destination, None)


class MidiPorts:
    """Open MIDI output ports by destination; those that are missing are looked for again and again.

    `destinations` gives for each name part of a port's name, or `virtual` for a port of our own.
    `system` is one of SYSTEMS, else the one named in the variable INSTRUMENT_MIDI,
    else whichever has the port. May be used from several threads.
    """

    def __init__(
        self,
        destinations: Mapping[str, str],
        *,
        system: str | None = None,
        retry_s: float = 1.0,
        clock: Clock = now_s,
    ) -> None:
        self._system = system or os.environ.get("INSTRUMENT_MIDI") or None
        self._retry_s = retry_s
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._standing = Standing()
        self._sending = threading.Lock()
        self._tending = threading.Lock()  # opening a port takes long: never inside `_sending`
        self._closing = threading.Event()
        self._logged_at_s = -math.inf
        self._watcher: threading.Thread | None = None
        self.connect(destinations)

    def connect(self, destinations: Mapping[str, str]) -> None:
        """Opens what is new, closes what is no longer wanted, leaves the rest as it is."""
        with self._tending:
            with self._sending:
                changed = [name for name, slot in self._slots.items() if destinations.get(name) != slot.wanted]
                for name in changed:
                    self._release(name)
                    if name not in destinations:
                        self._standing.forget(name)
                closed = [self._slots.pop(name) for name in changed]
                for name, wanted in destinations.items():
                    self._slots.setdefault(name, _Slot(destination=name, wanted=wanted))
            for slot in closed:
                slot.close()
        self.tend()
        if self._slots and self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="midi ports", daemon=True)
            self._watcher.start()

    def send(self, destination: str, message: Sequence[int]) -> bool:
        """Sends one channel message; True when a port took it. Never raises and never waits."""
        with self._sending:
            return self._send(destination, message)

    def release_all(self) -> None:
        """Note offs for all that sounds, then all notes off and pedal up on every channel used."""
        with self._sending:
            for destination in self._slots:
                self._release(destination)

    def status(self) -> dict[str, PortStatus]:
        with self._sending:
            return {name: slot.status() for name, slot in self._slots.items()}

    def close(self) -> None:
        """Releases what sounds and closes the ports."""
        self._closing.set()
        self.release_all()
        with self._tending:
            for slot in self._slots.values():
                slot.close()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(timeout=2.0)

    def tend(self) -> None:
        """Lets go of ports that are gone and opens those that have come; done every `retry_s` by itself."""
        with self._tending:
            self._drop_gone()
            for slot in list(self._slots.values()):
                if slot.port is None and not self._closing.is_set():
                    self._try_to_open(slot)

    def _drop_gone(self, *, is_quick: bool = False) -> bool:
        """Whether any port was gone; the quick way asks only what the systems list."""
        is_any = False
        for slot in list(self._slots.values()):
            port = slot.port
            if port is not None and not (port.is_listed() if is_quick else port.is_alive()):
                is_any = True
                with self._sending:
                    slot.port = None
                log.warning("MIDI '%s': %s is gone; looking for it again", slot.destination, port.name)
                port.close()
        return is_any

    def _try_to_open(self, slot: "_Slot") -> None:
        try:
            port = _find_port(slot, self._system)
        except MidiError as error:
            if str(error) != slot.reason:
                slot.reason = str(error)
                log.warning("MIDI '%s': %s; playing on without", slot.destination, error)
            return
        with self._sending:
            slot.port, slot.reason = port, ""
            for message in self._standing.chase(slot.destination):
                self._send(slot.destination, message)
        log.info("MIDI '%s' goes to %s", slot.destination, port.name)

    def _watch(self) -> None:
        tended_at_s = self._clock()
        while not self._closing.wait(min(self._retry_s, LOOK_S)):
            with self._tending:
                is_any_gone = self._drop_gone(is_quick=True)
            if is_any_gone or self._clock() - tended_at_s >= self._retry_s:
                self.tend()
                tended_at_s = self._clock()

    def _send(self, destination: str, message: Sequence[int]) -> bool:
        slot = self._slots.get(destination)
        if slot is None or not is_channel_message(message):
            self._complain(f"'{destination}' {list(message)}: not a destination, or not a channel message")
            return False
        self._standing.follow(destination, message)
        if traffic.isEnabledFor(logging.DEBUG):
            traffic.debug("%s %s", destination, bytes(message).hex(" "))
        try:
            if slot.port is None:
                raise MidiError(slot.reason)
            slot.port.send(message)
        except RTMIDI_ERRORS as error:
            self._standing.miss(destination, message)
            slot.dropped += 1
            if slot.port is not None:
                slot.reason = str(error)
                self._complain(f"'{destination}': {error}")
            return False
        slot.sent += 1
        return True

    def _release(self, destination: str) -> None:
        for message in self._standing.release(destination):
            self._send(destination, message)

    def _complain(self, reason: str) -> None:
        if self._clock() - self._logged_at_s >= 1.0:
            self._logged_at_s = self._clock()
            log.warning("MIDI %s", reason)


@dataclass(slots=True, kw_only=True)
class _Slot:
    """One destination and the port it has, if any."""

    destination: str
    wanted: str
    port: "_Port | None" = None
    reason: str = ""
    sent: int = 0
    dropped: int = 0

    def status(self) -> PortStatus:
        return PortStatus(
            wanted=self.wanted,
            port=self.port.name if self.port else "",
            reason=self.reason,
            sent=self.sent,
            dropped=self.dropped,
        )

    def close(self) -> None:
        if self.port is not None:
            self.port.close()
            self.port = None
            self.reason = "closed"


class _Port:
    """One open rtmidi port.

    Raises MidiError, or one of rtmidi's errors, when it cannot be opened.
    """

    def __init__(self, system: str, *, wanted: str, destination: str) -> None:
        self._server = jack_server() if system == "UNIX_JACK" else None
        self._unproved_bytes = 0
        self._out = _rtmidi_out(system)
        try:
            if wanted == VIRTUAL:
                # CoreMIDI shows a port without its client
                self._target = None
                port_name = f"{CLIENT_NAME} {destination}" if system == "MACOSX_CORE" else destination
                self._out.open_virtual_port(port_name)
                self.name = f"{CLIENT_NAME}:{destination}"
            else:
                there = self._out.get_ports()
                self.name = self._target = matching_port(wanted, there)
                self._out.open_port(there.index(self.name), name=destination)
        except BaseException:
            self._out.delete()
            raise

    def send(self, message: Sequence[int]) -> None:
        if self._server is not None:
            # Half the ring between two proofs that a server empties it: it never fills, see JACK_RING_BYTES.
            self._unproved_bytes += len(message) + 4
            if self._unproved_bytes > JACK_RING_BYTES // 2 - 64 and not self.is_alive():
                raise MidiError("the JACK server is gone")
        self._out.send_message(message)

    def is_alive(self) -> bool:
        """Whether what is sent can still arrive.

        rtmidi goes on listing the ports of a JACK server that was killed, so the server itself is asked.
        """
        if self._server is not None and jack_server() != self._server:
            return False
        self._unproved_bytes = 0
        return self.is_listed()

    def is_listed(self) -> bool:
        """Whether its system has that port: asked for little, as long as the system itself is there."""
        try:
            return self._target is None or self._target in self._out.get_ports()
        except RTMIDI_ERRORS:
            return False

    def close(self) -> None:
        """Waits until JACK has taken the last message and handed it on; for a dead server, one second."""
        if self._server is not None and jack_server() == self._server:
            time.sleep(JACK_ROUNDS_S)
        with contextlib.suppress(*RTMIDI_ERRORS):
            self._out.close_port()
        self._out.delete()


def _find_port(slot: _Slot, system: str | None) -> _Port:
    """An open port in the first system that has it. Raises MidiError."""
    systems = midi_systems()
    if system is not None:
        systems = {system: systems.get(system, f"not one of {', '.join(systems)}")}
    reasons = []
    for name, reason in systems.items():
        if not reason:
            try:
                return _Port(name, wanted=slot.wanted, destination=slot.destination)
            except NotImplementedError:
                reason = f"{name} has no ports of our own: install loopMIDI and name its port in the patch"
            except RTMIDI_ERRORS as error:
                reason = str(error)
        reasons.append(reason)
    raise MidiError("; ".join(reasons) or "python-rtmidi was built without any MIDI system")


def matching_port(wanted: str, there: list[str]) -> str:
    for name in there:
        if wanted.casefold() in name.casefold():
            return name
    raise MidiError(f"no port whose name contains '{wanted}'; there are: {', '.join(there) or 'none'}")


def _rtmidi_out(system: str) -> Any:
    import rtmidi

    return rtmidi.MidiOut(getattr(rtmidi, f"API_{system}"), name=CLIENT_NAME)


# rtmidi's own errors are OSErrors, some ValueErrors; a missing ability is a NotImplementedError
RTMIDI_ERRORS = (OSError, RuntimeError, ValueError)


def jack_server() -> tuple[int, int] | None:
    """What tells the running JACK server from any other; None when none listens.

    Its socket is asked instead of its library, which complains on stderr, and stalls.
    """
    if not sys.platform.startswith("linux"):
        return None
    server = os.environ.get("JACK_DEFAULT_SERVER", "default")
    path = Path(f"/dev/shm/jack_{server}_{os.getuid()}_0")  # noqa: S108  (where JACK has it)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.1)
            probe.connect(str(path))
            found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class PipedMidi:
    """MIDI for the engine: each message a line on a pipe to the process that owns the ports.

        midi DESTINATION 90 3c 64      panic      ports {"DESTINATION": "part of a port name"}      WORD JSON

    How its ports fare comes back by `hear`. It never waits for a reader that has stopped: what does
    not fit into the pipe is dropped, unless it ends sound or tells something. When the reader is gone
    it opens the ports itself, with `open_ports`, and begins anew what sounds.
    """

    def __init__(
        self,
        stream: IO[bytes],
        destinations: Mapping[str, str],
        *,
        open_ports: Callable[[Mapping[str, str]], Midi] = MidiPorts,
    ) -> None:
        self._stream = stream
        self._open_ports = open_ports
        self._ports: Midi | None = None  # once the pipe has broken
        self._standing = Standing()
        self._owed: dict[str, None] = {}
        """Lines that end sound or tell something, as an ordered set, for which the pipe had no room yet."""
        self._writing = threading.RLock()
        self._counts: dict[str, list[int]] = {}
        self._heard: dict[str, tuple[str, str]] = {}
        self.connect(destinations)

    def hear(self, ports: Mapping[str, tuple[str, str]]) -> None:
        """Takes in what the owner of the ports says: for each destination its port, and what is wrong with it."""
        self._heard = dict(ports)
        self._pay()

    def connect(self, destinations: Mapping[str, str]) -> None:
        self._destinations = dict(destinations)
        self._counts = {name: self._counts.get(name, [0, 0]) for name in destinations}
        if not self.tell("ports", self._destinations) and self._ports is not None:
            self._ports.connect(destinations)

    def tell(self, word: str, what: Any) -> bool:
        """Passes a line of JSON on, for the reader's `other_lines`; of each word the newest gets there at last.

        True when it has left this process.
        """
        with self._writing:
            self._owed = {line: None for line in self._owed if line.partition(" ")[0] != word}
            return self._write(f"{word} {json.dumps(what)}", is_owed=True)

    def send(self, destination: str, message: Sequence[int]) -> bool:
        """Passes one channel message on; True when it has left this process."""
        if destination not in self._counts or not is_channel_message(message):
            return False
        line = f"midi {quote(destination, safe='')} {bytes(message).hex(' ')}"
        has_left = self._write(line, is_owed=ends_a_note(message))
        if not has_left and self._ports is not None:
            has_left = self._ports.send(destination, message)
        self._standing.follow(destination, message)
        self._counts[destination][0 if has_left else 1] += 1
        return has_left

    def release_all(self) -> None:
        self._standing = Standing()
        with self._writing:
            self._owed = {line: None for line in self._owed if not line.startswith("midi ")}
            is_told = self._write("panic", is_owed=True)
        if not is_told and self._ports is not None:
            self._ports.release_all()

    def status(self) -> dict[str, PortStatus]:
        if self._ports is not None:
            return self._ports.status()
        self._pay()
        status = {}
        for (name, wanted), (sent, dropped) in zip(self._destinations.items(), self._counts.values(), strict=True):
            port, reason = self._heard.get(name, ("", "being opened"))
            status[name] = PortStatus(wanted=wanted, port=port, reason=reason, sent=sent, dropped=dropped)
        return status

    def close(self) -> None:
        self.release_all()
        if self._ports is not None:
            self._ports.close()

    def _pay(self) -> None:
        """Writes what is owed, as far as there is room."""
        with self._writing:
            while self._owed and self._ports is None:
                line = next(iter(self._owed))
                if not self._write_now(line):
                    return
                del self._owed[line]

    def _write(self, line: str, *, is_owed: bool = False) -> bool:
        """Whether the line is in the pipe; one that is `owed` gets there later where there is no room for it now."""
        with self._writing:
            self._pay()
            if not self._owed and self._write_now(line):
                return True
            if is_owed and self._ports is None:
                self._owed[line] = None
            return False

    def _write_now(self, line: str) -> bool:
        if self._ports is not None:
            return False
        try:
            if not _has_room(self._stream):
                return False
            self._stream.write(line.encode("ascii") + b"\n")
            self._stream.flush()
            return True
        except (OSError, ValueError) as error:
            log.warning("the process that holds the MIDI ports is gone (%s); opening them here", error)
            self._ports = self._open_ports(self._destinations)
            for destination in self._destinations:
                for message in self._standing.chase(destination):
                    self._ports.send(destination, message)
            return False


def _has_room(stream: IO[bytes]) -> bool:
    """Whether a line fits into the pipe without waiting; True where that cannot be asked."""
    if sys.platform == "win32":
        return True
    try:
        file_descriptor = stream.fileno()
    except OSError:  # a stream in memory
        return True
    return bool(select.select([], [file_descriptor], [], 0.0)[1])


class MidiPipeReader:
    """Performs on `ports` what a `PipedMidi` writes, and releases everything when the pipe ends.

    The pipe ends with the last process that can write to it: the engine must not hand it on.
    Lines that are not MIDI go to `other_lines`, if given, else they are counted as `ignored`.
    """

    def __init__(self, stream: IO[bytes], ports: Midi, *, other_lines: Callable[[bytes], None] | None = None) -> None:
        self.performed = 0
        self.ignored = 0
        self._stream = stream
        self._ports = ports
        self._other_lines = other_lines
        self._thread = threading.Thread(target=self._read, name="midi pipe", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits for the end of the pipe; True when everything has been released."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            while line := self._stream.readline(65536):
                if self._perform(line):
                    self.performed += 1
                elif self._other_lines is not None:
                    self._other_lines(line)
                else:
                    self.ignored += 1
        except (OSError, ValueError) as error:
            log.warning("the MIDI pipe broke: %s", error)
        finally:
            self._ports.release_all()

    def _perform(self, line: bytes) -> bool:
        """Does what a line says; False when it says nothing about MIDI."""
        word, _, rest = line.decode("utf-8", errors="replace").strip().partition(" ")
        try:
            if word == "midi":
                destination, _, message = rest.partition(" ")
                self._ports.send(unquote(destination), bytes.fromhex(message))
            elif word == "panic" and not rest:
                self._ports.release_all()
            elif word == "ports":
                destinations = json.loads(rest)
                self._ports.connect({str(name): str(wanted) for name, wanted in destinations.items()})
            else:
                return False
        except (ValueError, AttributeError, RecursionError):
            return False
        return True
