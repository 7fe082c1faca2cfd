"""What one route makes of its output, and what it remembers for it: a level, a note, the class decided on, a movement.

When the body is lost a route holds for `hold_s`, then does what its patch says: lets go (note off,
no class, the low end), holds on, or sends a value. A body that returns resumes at once. What is none of the classes
counts as another class, `none`: notes end, levels fall, without waiting.
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from instrument.patch import FAINTEST, NO_CLASS, Output, Patch, Route, WhenLost
from instrument.signals import Control, MidiSend, MovementEvent, OscSend, TriggerPrediction

NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE = 0x80, 0x90, 0xB0, 0xC0

Note = tuple[str, int, int]
"""Destination, channel 0..15, note number."""
Seen = Mapping[str, float] | float | TriggerPrediction
"""What an output says in one frame: confidences by class name, a value, or what happened. All finite."""


@dataclass(slots=True)
class _Absence:
    """Follows how long an output has said nothing."""

    hold_s: float
    since_s: float | None = None

    def update(self, seen: Seen | None, now_s: float) -> bool:
        """True while nothing has been seen for longer than the route holds."""
        if seen is not None:
            self.since_s = None
            return False
        if self.since_s is None:
            self.since_s = now_s
        return now_s - self.since_s >= self.hold_s


class LevelRoute:
    """One class's confidence or a continuous value -> an OSC float or a MIDI controller."""

    def __init__(self, route: Route, output: Output) -> None:
        of = "progress" if output.kind == "trigger" else route.value
        self.source = route.output if of == "said" else f"{route.output} {of}"
        self._absence = _Absence(route.when_lost.hold_s)
        self._target: float | None = None
        self._value: float | None = None
        self._updated_at_s = 0.0
        self._sent: float | None = None
        self.settle(route, output)

    def settle(self, route: Route, output: Output) -> None:
        """Other settings, from now on."""
        self.route = route
        is_share = route.class_name is not None or self.source != route.output
        self._input_low, self._input_high = (0.0, 1.0) if is_share else (output.low, output.high)
        self._absence.hold_s = route.when_lost.hold_s
        self._lost_target = _stand_in(route.when_lost, released=route.low)

    def update(self, seen: Seen | None, now_s: float) -> list[Control]:
        route = self.route
        if seen is not None and not isinstance(seen, TriggerPrediction):
            value = seen.get(route.class_name or "", 0.0) if isinstance(seen, Mapping) else seen
            self._target = self._shaped(value)
        is_lost = self._absence.update(seen, now_s)
        if self._target is None:  # nothing seen yet: nothing to hold and nothing to let go
            return []
        if is_lost and self._lost_target is not None:
            self._target = self._lost_target
        self._value = self._smoothed(self._target, now_s)
        return self._send(self._value)

    def let_go(self) -> list[Control]:
        """At once what a lost body leads to, if anything was sent."""
        if self._sent is None or self._lost_target is None:
            return []
        self._target = self._value = self._lost_target
        return self._send(self._lost_target)

    def _send(self, value: float) -> list[Control]:
        route = self.route
        sendable = _midi_value(value) if route.midi else float32(value)
        if sendable is None or (route.change_only and sendable == self._sent):
            return []
        self._sent = sendable
        if route.osc is not None:
            return [OscSend(destination=route.destination, address=route.osc, arguments=(sendable,))]
        message = (CONTROL_CHANGE | route.channel, route.number, int(sendable))
        return [MidiSend(destination=route.destination, bytes=message)]

    def _shaped(self, value: float) -> float:
        return _ranged(self.route, (value - self._input_low) / (self._input_high - self._input_low))

    def _smoothed(self, target: float, now_s: float) -> float:
        """A one-pole low-pass whose time constant does not depend on the frame rate."""
        elapsed_s = max(0.0, now_s - self._updated_at_s)
        self._updated_at_s = now_s
        if self._value is None or self.route.smooth_s <= 0.0:
            return target
        rest = (self._value - target) * math.exp(-elapsed_s / self.route.smooth_s)
        arrived = abs(rest) <= 1e-4 * abs(self.route.high - self.route.low)
        return target if arrived else target + rest


class NoteRoute:
    """One class's presence -> a MIDI note, sounding as long as the class is there."""

    def __init__(self, route: Route, sounding: "Counter[Note]") -> None:
        self.source = route.output
        self._note: Note = (route.destination, route.channel, route.number)
        self._sounding = sounding
        self._absence = _Absence(route.when_lost.hold_s)
        self._is_on = False
        self._is_armed = True
        self._is_switched_off = False
        self._on_at_s = 0.0
        self.settle(route)

    def settle(self, route: Route, _: Output | None = None) -> None:
        """Other settings, from now on."""
        self.route = route
        self._absence.hold_s = route.when_lost.hold_s
        self._lost_confidence = _stand_in(route.when_lost, released=0.0)

    def update(self, seen: Seen | None, now_s: float) -> list[Control]:
        route = self.route
        confidence = seen.get(route.class_name or "", 0.0) if isinstance(seen, Mapping) else None
        self._is_switched_off &= seen is None
        if self._absence.update(seen, now_s) and not self._is_switched_off:
            confidence = self._lost_confidence
        if confidence is None:
            return []
        if self._is_on:
            # However wide the band, what is hardly there, or not at all, is gone.
            is_gone = (
                confidence < max(route.threshold - route.hysteresis, min(route.threshold, FAINTEST)) or confidence <= 0
            )
            return self._off() if is_gone and now_s - self._on_at_s >= route.min_hold_s else []
        if confidence < route.threshold or confidence <= 0:
            self._is_armed = True
            return []
        return self._on(now_s) if self._is_armed else []

    def switch_off(self) -> list[Control]:
        """Ends the note, if it sounds; silent until its output says something again, whatever a lost body means."""
        self._is_switched_off = True
        return self._off() if self._is_on else []

    def release(self) -> list[Control]:
        """Ends the note, if it sounds; silent until the class has been gone once."""
        controls = self._off() if self._is_on else []
        self.disarm()
        return controls

    def disarm(self) -> None:
        """Silent until the class has been gone once."""
        self._is_on = False
        self._is_armed = False

    def _on(self, now_s: float) -> list[Control]:
        self._is_on = True
        self._on_at_s = now_s
        self._sounding[self._note] += 1
        if self._sounding[self._note] > 1:  # another route holds this very note
            return []
        destination, channel, number = self._note
        return [MidiSend(destination=destination, bytes=(NOTE_ON | channel, number, self.route.velocity))]

    def _off(self) -> list[Control]:
        self._is_on = False
        self._sounding[self._note] -= 1
        return [] if self._sounding[self._note] else [note_off(self._note)]


class MomentRoute:
    """What happens to movements -> OSC: name and velocity of one played, name of one begun or ended."""

    def __init__(self, route: Route) -> None:
        self.source = route.output
        self.route = route
        self._absence = _Absence(route.when_lost.hold_s)
        self._under_way: str | None = None
        self._was: MovementEvent | None = None

    def settle(self, route: Route, _: Output) -> None:
        """Other settings, from now on."""
        self.route = route
        self._absence.hold_s = route.when_lost.hold_s

    def update(self, seen: Seen | None, now_s: float) -> list[Control]:
        controls: list[Control] = []
        if self._absence.update(seen, now_s):
            return self.let_go() if self.route.when_lost.then != "hold" else controls
        for event in seen.events if isinstance(seen, TriggerPrediction) else ():
            if self.route.class_name not in (None, event.movement):
                continue
            was_under_way = self._under_way is not None
            self._under_way = None if event.what == "end" else event.movement
            if event.what == self.route.when and (was_under_way or event.what != "end"):
                controls += self._controls(event)
        return controls

    def let_go(self) -> list[Control]:
        """A movement that was under way ends."""
        movement, self._under_way = self._under_way, None
        if movement is None or self.route.when != "end":
            return []
        self._was = None  # when it began is not known here, so it looks like any other that was let go
        return self._controls(MovementEvent(what="end", movement=movement, onset_s=0.0, velocity=0.0))

    def _controls(self, event: MovementEvent) -> list[Control]:
        route, is_again = self.route, _is_same(event, self._was)
        self._was = event
        if is_again:
            return []
        arguments: tuple[float | str, ...] = (event.movement,)
        if event.what == "hit":
            velocity = float32(_ranged(route, event.velocity)) or 0.0
            arguments = (velocity,) if route.class_name else (event.movement, velocity)
        return [OscSend(destination=route.destination, address=route.osc or "", arguments=arguments)]


class HitRoute:
    """A movement played, or begun -> a MIDI note with its velocity, for a while or until the movement ends."""

    def __init__(self, route: Route, sounding: "Counter[Note]") -> None:
        self.source = route.output
        self.route = route
        self._note: Note = (route.destination, route.channel, route.number)
        self._sounding = sounding
        self._absence = _Absence(route.when_lost.hold_s)
        self._on_at_s: float | None = None
        self._has_ended = False
        """Whether the movement that began the note is over."""
        self._was: MovementEvent | None = None

    def settle(self, route: Route, _: Output) -> None:
        """Other settings, from now on."""
        self.route = route
        self._absence.hold_s = route.when_lost.hold_s

    def update(self, seen: Seen | None, now_s: float) -> list[Control]:
        route = self.route
        controls = self.due(now_s)
        if self._absence.update(seen, now_s):
            return controls if route.when_lost.then == "hold" else [*controls, *self.release()]
        for event in seen.events if isinstance(seen, TriggerPrediction) else ():
            if event.movement != route.class_name:
                continue
            self._has_ended = event.what == "end"
            if event.what == route.when and not _is_same(event, self._was):
                controls += self._on(event, now_s)
            elif event.what == "end" and not route.length_s:
                controls += self.release()
            self._was = event if event.what in (route.when, "end") else self._was
        return controls

    def due(self, now_s: float) -> list[Control]:
        """The note off of a note that has sounded for its length, or as long as its movement."""
        if self._on_at_s is None:
            return []
        length_s = self.route.length_s
        is_over = now_s - self._on_at_s >= length_s if length_s > 0 else self._has_ended
        return self.release() if is_over else []

    def release(self) -> list[Control]:
        """Ends the note, if it sounds."""
        if self._on_at_s is None:
            return []
        self._on_at_s = None
        self._sounding[self._note] -= 1
        return [] if self._sounding[self._note] else [note_off(self._note)]

    def disarm(self) -> None:
        """Forgets the note, which somebody else ends."""
        self._on_at_s = None

    def _on(self, event: MovementEvent, now_s: float) -> list[Control]:
        route = self.route
        destination, channel, number = self._note
        velocity = _midi_value(_ranged(route, event.velocity)) if event.what == "hit" else route.velocity
        again: list[Control] = [note_off(self._note)] if self._sounding[self._note] else []
        self._sounding[self._note] += self._on_at_s is None
        self._on_at_s = now_s
        return [*again, MidiSend(destination=destination, bytes=(NOTE_ON | channel, number, max(velocity or 1, 1)))]


def _is_same(event: MovementEvent, other: MovementEvent | None) -> bool:
    """Whether that has been told already: one movement counts once."""
    return other is not None and (event.what, event.onset_s) == (other.what, other.onset_s)


class ClassRoute:
    """The class decided on -> its name and confidence over OSC, or a MIDI program change.

    A class is left only for another whose confidence passes `threshold` and is ahead by
    `hysteresis`, and not before `min_hold_s`.
    """

    def __init__(self, route: Route, output: Output) -> None:
        self.source = route.output
        self._absence = _Absence(route.when_lost.hold_s)
        self._decided: str | None = None
        self._decided_at_s = 0.0
        self._sent_program: int | None = None
        self.settle(route, output)

    def settle(self, route: Route, output: Output) -> None:
        """Other settings, from now on."""
        self.route = route
        self._classes = output.classes
        self._absence.hold_s = route.when_lost.hold_s

    def update(self, seen: Seen | None, now_s: float) -> list[Control]:
        if self._absence.update(seen, now_s):
            return self.let_go()
        if not isinstance(seen, Mapping):
            return []
        has_changed = self._decide(seen, now_s)
        if self._decided is None or (self.route.change_only and not has_changed):
            return []
        return self._controls(self._decided, seen.get(self._decided, 0.0), self._classes or tuple(seen))

    def _decide(self, confidences: Mapping[str, float], now_s: float) -> bool:
        """Whether another class has been decided on."""
        best = max(confidences, key=confidences.__getitem__)
        if best == self._decided or confidences[best] < self.route.threshold:
            return False
        if self._decided is not None:
            lead = confidences[best] - confidences.get(self._decided, 0.0)
            if lead < self.route.hysteresis or now_s - self._decided_at_s < self.route.min_hold_s:
                return False
        self._decided = best
        self._decided_at_s = now_s
        return True

    def let_go(self) -> list[Control]:
        """No class any more; a value to send stands where the confidence, or the program, did."""
        then = self.route.when_lost.then
        value = _stand_in(self.route.when_lost, released=0.0)
        if value is None or self._decided is None:
            return []
        self._decided = None
        if self.route.osc is not None:
            return self._controls(NO_CLASS, value, ())
        return [] if then == "release" else self._program(_midi_value(value))

    def _controls(self, name: str, confidence: float, classes: tuple[str, ...]) -> list[Control]:
        route = self.route
        if route.osc is not None:
            return [OscSend(destination=route.destination, address=route.osc, arguments=(name, confidence))]
        if name not in classes:
            return []
        return self._program(_midi_value(route.low + classes.index(name)))

    def _program(self, number: int | None) -> list[Control]:
        route = self.route
        if number is None or (route.change_only and number == self._sent_program):
            return []
        self._sent_program = number
        return [MidiSend(destination=route.destination, bytes=(PROGRAM_CHANGE | route.channel, number))]


AnyRoute = LevelRoute | NoteRoute | ClassRoute | MomentRoute | HitRoute


def routed(route: Route, patch: Patch, sounding: "Counter[Note]") -> AnyRoute:
    """That route of the patch, remembering nothing yet; `sounding` counts how many routes hold each note."""
    output = patch.output(route.output)
    if output.kind == "trigger" and route.when != "progress":
        return HitRoute(route, sounding) if route.midi else MomentRoute(route)
    if route.midi == "note":
        return NoteRoute(route, sounding)
    if output.kind == "class" and route.class_name is None and route.value == "said":
        return ClassRoute(route, output)
    return LevelRoute(route, output)


def _stand_in(policy: WhenLost, *, released: float) -> float | None:
    """What stands in for the value of a lost body; None to hold the last one."""
    if policy.then == "hold":
        return None
    given = released if policy.then == "release" else float32(float(policy.then))
    return released if given is None else given


def _ranged(route: Route, share: float) -> float:
    """What 0..1 becomes in a route's range."""
    share = min(max(share, 0.0), 1.0)
    if route.invert:
        share = 1.0 - share
    return route.low + (route.high - route.low) * share**route.curve


def note_off(note: Note) -> MidiSend:
    destination, channel, number = note
    return MidiSend(destination=destination, bytes=(NOTE_OFF | channel, number, 0))


def _midi_value(value: float) -> int | None:
    """The nearest of 0..127; None for what is no number."""
    return min(max(round(value), 0), 127) if math.isfinite(value) else None


def float32(value: float) -> float | None:
    """The value as OSC carries it; None when it cannot."""
    try:
        rounded = float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return None
    return rounded if math.isfinite(rounded) else None
