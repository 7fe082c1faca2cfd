"""Predictions become controls: every route of a patch, and `/wek/outputs` as Wekinator sends it.

A route takes an output's prediction and gives a level (a confidence or a value, shaped), a note,
or the class decided on. What a route remembers lives in its own small object here; this room
opens no socket and no port, and knows no clock but the `now_s` it is given.

When the body is lost a route holds for `hold_s`, then does what its patch says: lets go (note off,
no class, the low end), holds on, or sends a value. A body that returns resumes at once. What is none of the classes
counts as another class, `none`: notes end, levels fall, without waiting.
"""

import math
import struct
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from instrument.patch import FAINTEST, NO_CLASS, Output, Patch, Route, WhenLost
from instrument.signals import (
    ClassPrediction,
    ContinuousPrediction,
    Control,
    MidiSend,
    MovementEvent,
    OscSend,
    Prediction,
    TriggerPrediction,
)

NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE = 0x80, 0x90, 0xB0, 0xC0

Note = tuple[str, int, int]
"""Destination, channel 0..15, note number."""
Seen = Mapping[str, float] | float | TriggerPrediction
"""What an output says in one frame: confidences by class name, a value, or what happened. All finite."""


class RouteMap:
    """Every route of one patch with what it remembers; call `update` once a frame while running."""

    def __init__(self, patch: Patch) -> None:
        self._patch = patch
        self._settled = patch.routes
        self._sounding: Counter[Note] = Counter()  # how many routes hold each note
        self._muted: frozenset[int] = frozenset()
        self._routes: list[_AnyRoute] = []
        self._tried: _Tried | None = None
        self.wekinator_values = {one.name: 1.0 if one.kind == "class" else one.low for one in patch.outputs}
        """What Wekinator says for each output now: predicted, or set from outside as the value to record."""
        self.reset()

    def update(self, prediction: Prediction, now_s: float) -> list[Control]:
        """The controls that leave for this frame: Wekinator's, ends of movements, the rest in the patch's order."""
        seen = _seen(prediction)
        controls: list[Control] = []
        tried = self._tried
        if tried is not None and tried.is_alone:
            return controls
        if self._wekinator is not None:
            controls += self._wekinator.update(seen, self.wekinator_values)
        _reject(prediction, seen)
        rest: list[Control] = []
        for index, route in enumerate(self._routes):
            if index not in self._muted and (tried is None or tried.index != index):
                # A movement may begin in the frame in which another ends: what one switches off the other switches on.
                is_end = isinstance(route, _MomentRoute) and route.route.when == "end"
                (controls if is_end else rest).extend(route.update(seen.get(route.source), now_s))
        return controls + rest

    def mute(self, indices: Collection[int]) -> list[Control]:
        """Silences those routes (0 is the first) and no others; gives the note offs and ends of movements now due."""
        controls: list[Control] = []
        for index in set(indices) - self._muted:
            route = self._routes[index]
            if isinstance(route, _NoteRoute | _HitRoute):
                controls += route.release()
            elif isinstance(route, _MomentRoute):
                controls += route.let_go()
        self._muted = frozenset(indices)
        return controls

    def settle(self, patch: Patch, routes: Sequence[Route]) -> list[Control]:
        """Goes on with these routes; those that go where they went keep what they remember. Gives the note offs due.

        The outputs of `patch` must be those there were. Mutes stay with their routes.
        """
        tried, is_tried = self._tried, None if self._tried is None else self._routes[self._tried.index]
        controls: list[Control] = []
        self._patch, self._settled = patch, tuple(routes)
        left: dict[tuple[object, ...], list[tuple[bool, _AnyRoute]]] = {}
        for index, one in enumerate(self._routes):
            left.setdefault(_goal(one.route), []).append((index in self._muted, one))
        self._routes = []
        muted = set()
        for index, route in enumerate(routes):
            if there := left.get(_goal(route)):
                is_muted, one = there.pop(0)
                one.settle(route, patch.output(route.output))
                if is_muted:
                    muted.add(index)
            else:
                one = _routed(route, patch, self._sounding)
            if tried is not None and one is is_tried:
                tried.index = len(self._routes)
                tried.route.settle(_as_tried(route), patch.output(route.output))
            self._routes.append(one)
        self._muted = frozenset(muted)
        if tried is not None and is_tried not in self._routes:
            controls += self._drop_try()
        for one in (one for there in left.values() for _, one in there if isinstance(one, _NoteRoute | _HitRoute)):
            controls += one.release()
        return controls

    def try_out(self, index: int, share: float, now_s: float, *, is_alone: bool = False) -> list[Control]:
        """What that route (0 is the first) sends for an input so far up its range (0..1), whatever is seen.

        It is that route's only input until `end_try`; with `is_alone` nothing else is sent meanwhile.
        """
        controls: list[Control] = []
        if self._tried is None or self._tried.index != index:
            controls += self.end_try()
            for number, one in enumerate(self._routes):
                if isinstance(one, _NoteRoute | _HitRoute) and (is_alone or number == index):
                    controls += one.release()
            route = _routed(_as_tried(self._routes[index].route), self._patch, self._sounding)
            self._tried = _Tried(index=index, route=route, is_alone=is_alone)
        tried = self._tried
        tried.strokes += share >= 0.5 > tried.share
        tried.share = share
        seen = _swept(tried.route.route, self._patch.output(tried.route.route.output), share, tried.strokes)
        return controls + tried.route.update(seen, now_s)

    def end_try(self) -> list[Control]:
        """Ends `try_out`; the route says anew what it says. Gives what lets go of what was tried."""
        if self._tried is None:
            return []
        index = self._tried.index
        self._routes[index] = _routed(self._routes[index].route, self._patch, self._sounding)
        return self._drop_try()

    def _drop_try(self) -> list[Control]:
        tried, self._tried = self._tried, None
        if tried is None:
            return []
        return tried.route.release() if isinstance(tried.route, _NoteRoute | _HitRoute) else tried.route.let_go()

    def let_go_of(self, outputs: Collection[str]) -> list[Control]:
        """Ends notes and movements of these outputs, which are switched off, though the patch says to hold them.

        Their levels and classes do what they do without a body.
        """
        controls: list[Control] = []
        for index, route in enumerate(self._routes):
            if route.route.output not in outputs:
                continue
            if isinstance(route, _NoteRoute):
                controls += route.switch_off()
            elif isinstance(route, _HitRoute):
                controls += route.release()
            elif isinstance(route, _MomentRoute):
                ended = route.let_go()
                controls += [] if index in self._muted else ended
        return controls

    def release_all(self) -> list[Control]:
        """What lets go of everything: note offs, and for other routes what a lost body makes them send.

        A note stays off until its class has been gone once.
        """
        controls: list[Control] = []
        controls += self.end_try()
        for index, route in enumerate(self._routes):
            if isinstance(route, _NoteRoute | _HitRoute):
                route.disarm()
            elif index not in self._muted:
                controls += route.let_go()
        return [*self._note_offs(), *controls]

    def due(self, now_s: float) -> list[Control]:
        """The note offs of movements that are due, where no frame comes."""
        return [one for route in self._routes if isinstance(route, _HitRoute) for one in route.due(now_s)]

    def reset(self) -> list[Control]:
        """Forgets everything, as a new RouteMap; gives the note offs that were still due."""
        controls = self._note_offs()
        self._tried = None
        self._routes = [_routed(route, self._patch, self._sounding) for route in self._settled]
        out = self._patch.destinations.get("out")
        has_wekinator = self._patch.is_wekinator and out is not None and out.osc is not None
        self._wekinator = _WekinatorOutputs(self._patch) if has_wekinator and self._patch.outputs else None
        return controls

    def _note_offs(self) -> list[Control]:
        controls: list[Control] = [_note_off(note) for note, holders in self._sounding.items() if holders]
        self._sounding.clear()
        return controls


def _seen(prediction: Prediction) -> dict[str, Seen]:
    """What each output says; one without a body, a model or finite numbers is not there."""
    seen: dict[str, Seen] = {}
    if not prediction.is_tracked:
        return seen
    for name, output in prediction.outputs.items():
        if isinstance(output, ContinuousPrediction):
            if (value := _float32(output.value)) is not None:
                seen[name] = value
            continue
        if isinstance(output, TriggerPrediction):
            seen[name] = output
            under_way = {} if output.current is None else dict.fromkeys((output.current, ""), output.progress)
            seen[f"{name} progress"] = under_way
            continue
        confidences = output.confidences.tolist()
        if confidences and all(map(math.isfinite, confidences)):
            seen[name] = dict(zip(output.classes, confidences, strict=True))
    return seen


def _reject(prediction: Prediction, seen: dict[str, Seen]) -> None:
    """Has routes hear what counts, `none` included, and adds how familiar it is and how far an ensemble disagrees.

    Wekinator knows no such thing: its outputs come before.
    """
    for name in list(seen):
        output = prediction.outputs.get(name)
        if output is None or isinstance(output, TriggerPrediction):
            continue
        if output.disagreement is not None:
            seen[f"{name} disagreement"] = output.disagreement
        if isinstance(output, ClassPrediction):
            if output.familiarity is not None:
                seen[f"{name} familiarity"] = output.familiarity
            if output.is_none:
                seen[name] = {**dict.fromkeys(output.classes, 0.0), NO_CLASS: 1.0}
            elif output.held is not None:
                seen[name] = dict(zip(output.held.classes, output.held.confidences.tolist(), strict=True))


def _goal(route: Route) -> tuple[object, ...]:
    """Two routes that are alike in this send the same kind of thing from the same source to the same place."""
    return route.source, route.value, route.when, route.destination, route.osc, route.midi, route.channel, route.number


@dataclass(slots=True, kw_only=True)
class _Tried:
    """What `try_out` plays instead of one of the routes."""

    index: int
    route: "_AnyRoute"
    is_alone: bool
    share: float = 0.0
    strokes: int = 0
    """How many times the input has gone to the upper half of its range."""


def _as_tried(route: Route) -> Route:
    """Without what makes it follow its input late."""
    return replace(route, smooth_s=0.0, min_hold_s=0.0)


def _swept(route: Route, output: Output, share: float, strokes: int) -> Seen:
    """What an output would say for a route's input to be so far up its range (0..1), there for so many times."""
    if route.value != "said":
        return share
    if output.kind == "trigger":
        return _as_if_played(route, output, share, strokes)
    if output.kind == "continuous":
        return output.low + share * (output.high - output.low)
    if route.class_name is not None:
        return {route.class_name: share if route.midi != "note" else float(share >= 0.5)}
    classes = output.classes or ("1",)
    return {classes[min(int(share * len(classes)), len(classes) - 1)]: 1.0}


def _as_if_played(route: Route, output: Output, share: float, strokes: int) -> Seen:
    """A movement that begins and counts as played in the upper half of the range, and has ended in the lower one."""
    movement = route.class_name or (output.classes or ("1",))[0]
    if route.when == "progress":
        return {route.class_name or "": share}
    happens = ("begin", "hit") if share >= 0.5 else ("end",)
    onset_s = float(strokes)  # one movement, as those who count them know it, for each time it is played
    events = tuple(MovementEvent(what=what, movement=movement, onset_s=onset_s, velocity=share) for what in happens)
    confidences = np.zeros(0, dtype=np.float32)
    return TriggerPrediction(classes=(), confidences=confidences, current=None, progress=share, events=events)


def _routed(route: Route, patch: Patch, sounding: "Counter[Note]") -> "_AnyRoute":
    output = patch.output(route.output)
    if output.kind == "trigger" and route.when != "progress":
        return _HitRoute(route, sounding) if route.midi else _MomentRoute(route)
    if route.midi == "note":
        return _NoteRoute(route, sounding)
    if output.kind == "class" and route.class_name is None and route.value == "said":
        return _ClassRoute(route, output)
    return _LevelRoute(route, output)


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


class _LevelRoute:
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
        sendable = _midi_value(value) if route.midi else _float32(value)
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


class _NoteRoute:
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
        return [] if self._sounding[self._note] else [_note_off(self._note)]


class _MomentRoute:
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
            velocity = _float32(_ranged(route, event.velocity)) or 0.0
            arguments = (velocity,) if route.class_name else (event.movement, velocity)
        return [OscSend(destination=route.destination, address=route.osc or "", arguments=arguments)]


class _HitRoute:
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
        return [] if self._sounding[self._note] else [_note_off(self._note)]

    def disarm(self) -> None:
        """Forgets the note, which somebody else ends."""
        self._on_at_s = None

    def _on(self, event: MovementEvent, now_s: float) -> list[Control]:
        route = self.route
        destination, channel, number = self._note
        velocity = _midi_value(_ranged(route, event.velocity)) if event.what == "hit" else route.velocity
        again: list[Control] = [_note_off(self._note)] if self._sounding[self._note] else []
        self._sounding[self._note] += self._on_at_s is None
        self._on_at_s = now_s
        return [*again, MidiSend(destination=destination, bytes=(NOTE_ON | channel, number, max(velocity or 1, 1)))]


def _is_same(event: MovementEvent, other: MovementEvent | None) -> bool:
    """Whether that has been told already: one movement counts once."""
    return other is not None and (event.what, event.onset_s) == (other.what, other.onset_s)


class _ClassRoute:
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


_AnyRoute = _LevelRoute | _NoteRoute | _ClassRoute | _MomentRoute | _HitRoute


@dataclass(slots=True)
class _WekinatorOutputs:
    """`/wek/outputs` for every frame: one float per output, classes as 1..K, the last one repeated
    where there is no new one; then `/outputs-N` with an output's class confidences, if asked for.

    A trigger output is the number of the movement under way, or 0. A patch that has nothing else speaks as
    Wekinator's DTW does: one float per movement, lower is more alike, and `/output_N` when one is played.

    Source: Wekinator's OutputManager and OSCNumericOutput (the first value is the minimum), DtwOutput.
    """

    patch: Patch

    def update(self, seen: Mapping[str, Seen], values: dict[str, float]) -> list[Control]:
        distributions: list[Control] = []
        for index, output in enumerate(self.patch.outputs):
            said = seen.get(output.name)
            if isinstance(said, TriggerPrediction):
                number = {name: 1 + index for index, name in enumerate(output.classes or said.classes)}
                values[output.name] = float(number.get(said.current or "", 0))
                if len(self.patch.outputs) == 1:
                    return _as_dtw(said, number)
            elif isinstance(said, float):
                values[output.name] = said
            elif said is not None:
                classes = output.classes or tuple(said)
                best = max(said, key=said.__getitem__)
                if best in classes:
                    # Classes recorded as Wekinator counts them; other digits there are, such as ², are no numbers.
                    is_number = not output.classes and best.isascii() and best.isdigit() and len(best) < 10
                    values[output.name] = float(best) if is_number else float(classes.index(best) + 1)
                if self.patch.wekinator_probabilities:
                    confidences = tuple(said.get(name, 0.0) for name in classes)
                    distributions.append(
                        OscSend(destination="out", address=f"/outputs-{index + 1}", arguments=confidences)
                    )
        return [OscSend(destination="out", address="/wek/outputs", arguments=tuple(values.values())), *distributions]


def _as_dtw(said: TriggerPrediction, number: Mapping[str, int]) -> list[Control]:
    """What Wekinator's DTW says of it: a distance per movement, then which were played."""
    like = dict(zip(said.classes, said.confidences.tolist(), strict=True))
    distances = tuple(1.0 - like.get(name, 0.0) for name in number)
    played = [number[event.movement] for event in said.events if event.what == "hit"]
    return [
        OscSend(destination="out", address="/wek/outputs", arguments=distances),
        *(OscSend(destination="out", address=f"/output_{one}", arguments=()) for one in played),
    ]


def _stand_in(policy: WhenLost, *, released: float) -> float | None:
    """What stands in for the value of a lost body; None to hold the last one."""
    if policy.then == "hold":
        return None
    given = released if policy.then == "release" else _float32(float(policy.then))
    return released if given is None else given


def _ranged(route: Route, share: float) -> float:
    """What 0..1 becomes in a route's range."""
    share = min(max(share, 0.0), 1.0)
    if route.invert:
        share = 1.0 - share
    return route.low + (route.high - route.low) * share**route.curve


def _note_off(note: Note) -> MidiSend:
    destination, channel, number = note
    return MidiSend(destination=destination, bytes=(NOTE_OFF | channel, number, 0))


def _midi_value(value: float) -> int | None:
    """The nearest of 0..127; None for what is no number."""
    return min(max(round(value), 0), 127) if math.isfinite(value) else None


def _float32(value: float) -> float | None:
    """The value as OSC carries it; None when it cannot."""
    try:
        rounded = float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return None
    return rounded if math.isfinite(rounded) else None
