"""Pedals: which command of the protocol a pedal, a key or a knob stands for, and learning which one that is.

Opens no port and does nothing itself: the engine gives it what came in, and does what it says. One thread only: the
engine's, but for `ports`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from instrument import clock
from instrument.patch import Patch, Pedal
from instrument.telemetry import Telemetry

DOWN = 64
"""A controller from here on is down, as the sustain pedal of the MIDI standard."""
MODES = 120
"""Controllers from here on are channel modes, such as all notes off: no pedal sends them to be heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """A pedal that went down or came up."""

    midi: str
    """`note`, `cc` or `program`."""
    number: int
    channel: int
    """0..15."""
    is_down: bool

    @property
    def words(self) -> str:
        """`cc 64 ch 1`."""
        return f"{self.midi} {self.number} ch {self.channel + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a stroke asks for."""

    number: int
    """Which pedal of the patch; 1 is the first."""
    line: str
    """A command as it is typed."""


def stroke_of(message: Sequence[int]) -> Stroke | None:
    """The stroke in a channel message; None when there is none."""
    kind, channel = message[0] & 0xF0, message[0] & 0x0F
    if kind in (0x80, 0x90):
        return Stroke(midi="note", number=message[1], channel=channel, is_down=kind == 0x90 and message[2] > 0)
    if kind == 0xB0 and message[1] < MODES:
        return Stroke(midi="cc", number=message[1], channel=channel, is_down=message[2] >= DOWN)
    if kind == 0xC0:
        return Stroke(midi="program", number=message[1], channel=channel, is_down=True)
    return None


class Strokes:
    """Lets strokes through: of a controller that moves all the time, only where it goes down or comes up."""

    def __init__(self) -> None:
        self._was_down: dict[tuple[str, int, int], bool] = {}

    def is_new(self, port: str, message: Sequence[int]) -> bool:
        stroke = stroke_of(message)
        if stroke is None or stroke.midi != "cc":
            return stroke is not None
        key = (port, stroke.channel, stroke.number)
        was_down, self._was_down[key] = self._was_down.get(key), stroke.is_down
        return stroke.is_down != was_down


class Pedals:
    """The pedals of one patch, which of them are down, and the one that is being learned."""

    def __init__(
        self, patch: Patch, *, listen: Callable[[list[str]], object], telemetry: Telemetry, now_s: clock.Clock
    ) -> None:
        """`listen` is told parts of the names of the MIDI inputs to listen to, whenever that changes; "" is all."""
        self.ports: Mapping[str, tuple[str, str]] = {}
        """For each of those the port there is, and what is wrong; set by whoever listens, from any thread."""
        self._listen = listen
        self._telemetry = telemetry
        self._now_s = now_s
        self._pedals: tuple[Pedal, ...] = ()
        self._down: dict[int, str] = {}  # and the port each was heard from
        self._learning: tuple[int, float, Callable[[str, Stroke | None], None]] | None = None
        self._listened: list[str] | None = None  # an engine before this one may have asked for others
        self._told_ports: Mapping[str, tuple[str, str]] = self.ports
        self.follow(patch)

    def follow(self, patch: Patch) -> None:
        """Plays on with the pedals of that patch."""
        if patch.pedals != self._pedals:
            self._end_learning()
            # Whatever they are called now, and wherever they stand.
            now = [replace(one, name="") for one in patch.pedals]
            down = {replace(self._pedals[index], name=""): port for index, port in self._down.items()}
            self._down = {now.index(pedal): port for pedal, port in down.items() if pedal in now}
            self._pedals = patch.pedals
            self._telemetry.publish("changes", "pedals")
        self._settle()

    def learn(self, number: int, length_s: float, answer: Callable[[str, Stroke | None], None]) -> None:
        """Takes the next stroke for that pedal: `answer` gets the port and it, or None when none came in time."""
        self._end_learning()
        self._learning = (number, self._now_s() + length_s, answer)
        self._settle()
        self._telemetry.publish("changes", "pedals")

    def hear(self, port: str, message: Sequence[int]) -> list[Step]:
        """What is to be done now that this message has come in."""
        stroke = stroke_of(message)
        if stroke is None:
            return []
        if self._learning is not None and stroke.is_down:
            self._end_learning(port, stroke)
            return []
        steps = []
        for index, pedal in enumerate(self._pedals):
            if not _is_meant(pedal, port, stroke) or stroke.is_down == (index in self._down):
                continue
            if not stroke.is_down:
                steps += self._lift(index)
                continue
            if stroke.midi != "program":  # which has no end
                self._down[index] = port
            self._telemetry.publish("pedal", index + 1, "press", pedal.press)
            steps.append(Step(number=index + 1, line=pedal.press))
        if not steps and stroke.is_down:
            self._telemetry.publish("pedal", 0, "press", f"{stroke.words} {port}")
        return steps

    def attend(self) -> list[Step]:
        """What is to be done because a port went away while a pedal was held. Ends learning when the time is up."""
        if self._learning is not None and self._now_s() >= self._learning[1]:
            self._end_learning()
        if self.ports is self._told_ports:
            return []
        before, self._told_ports = self._told_ports, self.ports
        self._telemetry.publish("changes", "pedals")
        gone = [
            index
            for index, port in self._down.items()
            if _is_among(port, before) and not _is_among(port, self._told_ports)
        ]
        return [step for index in gone for step in self._lift(index)]

    def _lift(self, index: int) -> list[Step]:
        del self._down[index]
        line = self._pedals[index].release
        self._telemetry.publish("pedal", index + 1, "release", line)
        return [Step(number=index + 1, line=line)] if line else []

    def described(self) -> dict[str, Any]:
        """The pedals, numbered, and the ports they are heard from, ready for JSON."""
        learning = self._learning[0] if self._learning else 0
        rows = [
            asdict(pedal)
            | {"row": row, "channel": None if pedal.channel is None else pedal.channel + 1}
            | {"is_learning": row == learning, "is_down": row - 1 in self._down}
            for row, pedal in enumerate(self._pedals, start=1)
        ]
        ports = [{"wanted": name, "port": port, "reason": reason} for name, (port, reason) in self.ports.items()]
        return {"pedals": rows, "ports": ports}

    def _end_learning(self, port: str = "", stroke: Stroke | None = None) -> None:
        if self._learning is None:
            return
        (_, _, answer), self._learning = self._learning, None
        answer(port, stroke)
        self._settle()
        self._telemetry.publish("changes", "pedals")

    def _settle(self) -> None:
        wanted = {pedal.port for pedal in self._pedals if pedal.midi}
        if self._learning is not None:
            wanted.add("")
        if sorted(wanted) != self._listened:
            self._listened = sorted(wanted)
            self._listen(self._listened)


def _is_among(port: str, ports: Mapping[str, tuple[str, str]]) -> bool:
    return any(port in names.split(", ") for names, _ in ports.values())


def _is_meant(pedal: Pedal, port: str, stroke: Stroke) -> bool:
    return (
        (pedal.midi, pedal.number) == (stroke.midi, stroke.number)
        and pedal.channel in (None, stroke.channel)
        and pedal.port.casefold() in port.casefold()
    )
