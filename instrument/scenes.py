"""Scenes: what routes do together, recalled at once, gradually, or by a class that is seen.

Gives the routes as they are to be played now; sends nothing and knows no clock but the `now_s` it is given.
"""

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from instrument.patch import FAINTEST, NO_CLASS, Patch, Route, Scene
from instrument.signals import ClassPrediction, Prediction, TriggerPrediction

GRADUAL = ("low", "high", "curve", "smooth_s", "threshold", "hysteresis", "min_hold_s")
"""What moves in a cross-fade; a velocity moves too, in whole steps, and the rest switches at its middle."""
SETTINGS = (*GRADUAL, "velocity", "invert")
CUE_HYSTERESIS = 0.1
_GAP_S = 2.0
"""After so long without a frame nothing has been seen all along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a moment changes."""

    routes: tuple[Route, ...]
    switched: Scene | None = None
    """The scene whose mutes and outputs apply from now on: once in each cross-fade."""


class Scenes:
    """Which scene of a patch plays, and how far it has come."""

    def __init__(self, patch: Patch) -> None:
        self.current = ""
        """The scene recalled last; empty for the routes as the patch has them."""
        self.routes = patch.routes
        """The routes as they are played now."""
        self._patch = patch
        self._fade: _Fade | None = None
        self._seen_since_s: dict[str, float] = {}
        self._disarmed: set[str] = set()
        self._looked_at_s = -math.inf

    @property
    def is_fading(self) -> bool:
        return self._fade is not None

    @property
    def playing(self) -> Scene | None:
        """The scene recalled last, if the patch has it."""
        return next((one for one in self._patch.scenes if one.name == self.current), None)

    def enter(self, name: str) -> None:
        """That scene plays already: it was saved just now."""
        self.current = name
        if (scene := self.playing) is not None:
            self.routes = scene.routes  # as they were written, which rounds

    def recall(self, scene: Scene, fade_s: float, now_s: float) -> None:
        """Goes to that scene from whatever plays now; `step` says what this changes."""
        self.current = scene.name
        self._fade = _Fade(self.routes, scene, now_s, fade_s)

    def step(self, now_s: float) -> Step | None:
        """What is to be changed now; None when nothing is."""
        fade = self._fade
        if fade is None:
            return None
        share = 1.0 if fade.length_s <= 0.0 else min((now_s - fade.began_s) / fade.length_s, 1.0)
        self.routes = tuple(blend(*pair, share) for pair in zip(fade.routes, fade.scene.routes, strict=True))
        switched = fade.scene if share >= 0.5 and not fade.has_switched else None
        fade.has_switched |= switched is not None
        if share >= 1.0:
            self._fade = None
        return Step(routes=self.routes, switched=switched)

    def cued(self, prediction: Prediction, now_s: float) -> Scene | None:
        """The scene recalled now: by a class seen for long enough and gone before, or by a movement played."""
        if now_s - self._looked_at_s > _GAP_S:
            self._seen_since_s.clear()
        self._looked_at_s = now_s
        for scene in self._patch.scenes:
            if scene.output is None:
                continue
            said = prediction.outputs.get(scene.output) if prediction.is_tracked else None
            if isinstance(said, TriggerPrediction):
                is_hit = any((one.what, one.movement) == ("hit", scene.class_name) for one in said.events)
                if is_hit and scene.name != self.current:
                    return scene
                continue
            confidence = 0.0
            if isinstance(said, ClassPrediction) and said.is_none:
                confidence = float(scene.class_name == NO_CLASS)
            elif isinstance(said, ClassPrediction) and scene.class_name in said.meant.classes:
                confidence = float(said.meant.confidences[said.meant.classes.index(scene.class_name)])
            is_there = scene.name in self._seen_since_s
            least = max(scene.threshold - CUE_HYSTERESIS * is_there, min(scene.threshold, FAINTEST))
            if confidence < least or not math.isfinite(confidence):
                self._seen_since_s.pop(scene.name, None)
                self._disarmed.discard(scene.name)
                continue
            since_s = self._seen_since_s.setdefault(scene.name, now_s)
            if scene.name not in self._disarmed and now_s - since_s >= scene.hold_s:
                self._disarmed.add(scene.name)
                if scene.name != self.current:
                    return scene
        return None

    def follow(self, patch: Patch) -> Scene | None:
        """Goes on with an edited patch: a setting that was edited is heard, whatever scene plays; a fade is at its end.

        The scene that plays, where it was edited itself: its mutes and outputs then apply.
        """
        now = self.routes if self._fade is None else self._fade.scene.routes
        were = previous(self._patch.routes, patch.routes)
        self.routes = tuple(
            route if was is None else _carried(route, self._patch.routes[was], now[was])
            for route, was in zip(patch.routes, were, strict=True)
        )
        before, old = self._patch, {scene.name: scene for scene in self._patch.scenes}
        self._patch, was_fading, self._fade = patch, self._fade, None
        if (scene := self.playing) is None:
            self.current = ""
        elif scene.name in old and not _says_the_same(scene, old[scene.name], patch, before, were):
            self.routes = scene.routes
            return scene
        if was_fading is None or was_fading.has_switched:
            return None
        return scene if was_fading.scene.name else was_fading.scene

    def restate(self, index: int, settings: Collection[str]) -> None:
        """Plays these settings of a route (0 is the first) as the patch has them, whatever scene plays."""
        if self._fade is None and index < len(self.routes):
            patched = {name: getattr(self._patch.routes[index], name) for name in settings}
            changed = replace(self.routes[index], **patched)
            self.routes = (*self.routes[:index], changed, *self.routes[index + 1 :])


@dataclass(slots=True)
class _Fade:
    routes: tuple[Route, ...]
    scene: Scene
    began_s: float
    length_s: float
    has_switched: bool = False


def previous(old: Sequence[Route], new: Sequence[Route]) -> list[int | None]:
    """For each of the new routes, which of the old ones it was: that of its name, or the one it stands in place of."""
    old_names, new_names = [route.name for route in old], [route.name for route in new]
    return [
        old_names.index(name)
        if name in old_names
        else index
        if index < len(old) and old_names[index] not in new_names
        else None
        for index, name in enumerate(new_names)
    ]


def _says_the_same(new: Scene, old: Scene, patch: Patch, before: Patch, were: Sequence[int | None]) -> bool:
    """Whether the scene says the same of the routes and outputs that there still are, whatever they are called now."""
    was_called = {
        route.name: before.routes[was].name for route, was in zip(patch.routes, were, strict=True) if was is not None
    }
    (new_rows, new_outputs), (old_rows, old_outputs) = json.loads(new.written), json.loads(old.written)
    said_now = {was_called.get(row["route"], ""): {**row, "route": ""} for row in new_rows or ()}
    said_before = {row["route"]: {**row, "route": ""} for row in old_rows or () if row["route"] in was_called.values()}
    there = {output.name for output in patch.outputs}
    are_outputs_the_same = (old_outputs is None) == (new_outputs is None) and set(new_outputs or ()) == (
        set(old_outputs or ()) & there
    )
    return said_now == said_before and are_outputs_the_same


def blend(before: Route, after: Route, share: float) -> Route:
    """The route so far on its way from one to the other: 0 is `before`, 1 is `after`."""
    if share >= 1.0:
        return after
    values: dict[str, Any] = {name: _between(getattr(before, name), getattr(after, name), share) for name in GRADUAL}
    values["velocity"] = round(_between(before.velocity, after.velocity, share))
    return replace(after, invert=(before if share < 0.5 else after).invert, **values)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _carried(new: Route, old: Route, played: Route) -> Route:
    """The route as it was played, but for what was edited."""
    kept: dict[str, Any] = {
        name: getattr(played, name) for name in SETTINGS if getattr(new, name) == getattr(old, name)
    }
    return replace(new, **kept)
