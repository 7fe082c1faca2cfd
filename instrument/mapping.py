"""Predictions become controls: every route of a patch, and `/wek/outputs` as Wekinator sends it.

A route takes an output's prediction and gives a level (a confidence or a value, shaped), a note,
or the class decided on. What a route remembers lives in its own small object, of `route_kinds`; this room
opens no socket and no port, and knows no clock but the `now_s` it is given.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from instrument.patch import NO_CLASS, Output, Patch, Route
from instrument.route_kinds import AnyRoute, HitRoute, MomentRoute, Note, NoteRoute, Seen, float32, note_off, routed
from instrument.signals import (
    ClassPrediction,
    ContinuousPrediction,
    Control,
    MovementEvent,
    OscSend,
    Prediction,
    TriggerPrediction,
)


class RouteMap:
    """Every route of one patch with what it remembers; call `update` once a frame while running."""

    def __init__(self, patch: Patch) -> None:
        self._patch = patch
        self._settled = patch.routes
        self._sounding: Counter[Note] = Counter()  # how many routes hold each note
        self._muted: frozenset[int] = frozenset()
        self._routes: list[AnyRoute] = []
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
                is_end = isinstance(route, MomentRoute) and route.route.when == "end"
                (controls if is_end else rest).extend(route.update(seen.get(route.source), now_s))
        return controls + rest

    def mute(self, indices: Collection[int]) -> list[Control]:
        """Silences those routes (0 is the first) and no others; gives the note offs and ends of movements now due."""
        controls: list[Control] = []
        for index in set(indices) - self._muted:
            route = self._routes[index]
            if isinstance(route, NoteRoute | HitRoute):
                controls += route.release()
            elif isinstance(route, MomentRoute):
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
        left: dict[tuple[object, ...], list[tuple[bool, AnyRoute]]] = {}
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
                one = routed(route, patch, self._sounding)
            if tried is not None and one is is_tried:
                tried.index = len(self._routes)
                tried.route.settle(_as_tried(route), patch.output(route.output))
            self._routes.append(one)
        self._muted = frozenset(muted)
        if tried is not None and is_tried not in self._routes:
            controls += self._drop_try()
        for one in (one for there in left.values() for _, one in there if isinstance(one, NoteRoute | HitRoute)):
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
                if isinstance(one, NoteRoute | HitRoute) and (is_alone or number == index):
                    controls += one.release()
            route = routed(_as_tried(self._routes[index].route), self._patch, self._sounding)
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
        self._routes[index] = routed(self._routes[index].route, self._patch, self._sounding)
        return self._drop_try()

    def _drop_try(self) -> list[Control]:
        tried, self._tried = self._tried, None
        if tried is None:
            return []
        return tried.route.release() if isinstance(tried.route, NoteRoute | HitRoute) else tried.route.let_go()

    def let_go_of(self, outputs: Collection[str]) -> list[Control]:
        """Ends notes and movements of these outputs, which are switched off, though the patch says to hold them.

        Their levels and classes do what they do without a body.
        """
        controls: list[Control] = []
        for index, route in enumerate(self._routes):
            if route.route.output not in outputs:
                continue
            if isinstance(route, NoteRoute):
                controls += route.switch_off()
            elif isinstance(route, HitRoute):
                controls += route.release()
            elif isinstance(route, MomentRoute):
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
            if isinstance(route, NoteRoute | HitRoute):
                route.disarm()
            elif index not in self._muted:
                controls += route.let_go()
        return [*self._note_offs(), *controls]

    def due(self, now_s: float) -> list[Control]:
        """The note offs of movements that are due, where no frame comes."""
        return [one for route in self._routes if isinstance(route, HitRoute) for one in route.due(now_s)]

    def reset(self) -> list[Control]:
        """Forgets everything, as a new RouteMap; gives the note offs that were still due."""
        controls = self._note_offs()
        self._tried = None
        self._routes = [routed(route, self._patch, self._sounding) for route in self._settled]
        out = self._patch.destinations.get("out")
        has_wekinator = self._patch.is_wekinator and out is not None and out.osc is not None
        self._wekinator = _WekinatorOutputs(self._patch) if has_wekinator and self._patch.outputs else None
        return controls

    def _note_offs(self) -> list[Control]:
        controls: list[Control] = [note_off(note) for note, holders in self._sounding.items() if holders]
        self._sounding.clear()
        return controls


def _seen(prediction: Prediction) -> dict[str, Seen]:
    """What each output says; one without a body, a model or finite numbers is not there."""
    seen: dict[str, Seen] = {}
    if not prediction.is_tracked:
        return seen
    for name, output in prediction.outputs.items():
        if isinstance(output, ContinuousPrediction):
            if (value := float32(output.value)) is not None:
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
    route: AnyRoute
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
