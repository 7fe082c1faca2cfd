"""The desk: which routes play, muted, solo, tried by hand, or as a scene has them.

The engine's own room for what stands between predictions and outputs. One thread only: the engine's.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from instrument import clock
from instrument.mapping import RouteMap
from instrument.patch import Patch, Scene
from instrument.scenes import SETTINGS, Scenes, previous
from instrument.signals import Control, Prediction
from instrument.telemetry import Telemetry

log = logging.getLogger(__name__)

SWEEP_S = 2.0
"""How long a route that is tried takes once up and down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A route whose control goes up and down by itself."""

    number: int
    """1 is the first."""
    is_alone: bool
    began_s: float
    length_s: float


class Desk:
    """The routes of one patch, and what the performer does to them while they play."""

    routes: RouteMap
    scenes: Scenes

    def __init__(
        self,
        patch: Patch,
        *,
        send: Callable[[Sequence[Control]], None],
        enable: Callable[[frozenset[str]], None],
        telemetry: Telemetry,
        now_s: clock.Clock,
    ) -> None:
        """`send` takes the controls that leave; `enable` the outputs a scene wants on, all others being off."""
        self._send = send
        self._enable = enable
        self._telemetry = telemetry
        self._now_s = now_s
        self.open(patch)

    def open(self, patch: Patch) -> None:
        """Begins afresh with that patch."""
        self._patch = patch
        self.routes, self.scenes = RouteMap(patch), Scenes(patch)
        self.muted: set[int] = set()
        """Numbers of routes, 1 is the first."""
        self.solo: set[int] = set()
        """Where there are any, all others are silent."""
        self.tried: Tried | None = None

    def rebuild(self, patch: Patch) -> None:
        """Makes the routes anew for other outputs or destinations; `follow` then goes on with what is kept."""
        kept = self.routes.wekinator_values
        self.routes = RouteMap(patch)
        values = self.routes.wekinator_values
        values |= {name: value for name, value in kept.items() if name in values}

    def follow(self, patch: Patch) -> None:
        """Plays on with other routes and scenes; routes that go where they went keep what they remember."""
        were = previous(self._patch.routes, patch.routes)
        self.muted, self.solo = (
            {number for number, was in enumerate(were, start=1) if was is not None and was + 1 in numbers}
            for numbers in (self.muted, self.solo)
        )
        if (tried := self.tried) is not None:
            if tried.number - 1 in were:
                self.tried = replace(tried, number=were.index(tried.number - 1) + 1)
            else:
                self.stop_trying()
        edited = self.scenes.follow(patch)
        self._patch = patch
        self._send(self.routes.settle(patch, self.scenes.routes))
        if edited is not None:
            self._switch_to(edited)
        self._apply_mutes()

    def restate(self, number: int, key: str) -> None:
        """Plays what the patch says of a route (1 is the first) under that key, whatever scene plays."""
        settings = {"low", "high"} if key == "range" else {key} & set(SETTINGS)
        if settings:
            self.scenes.restate(number - 1, settings)
            self._send(self.routes.settle(self._patch, self.scenes.routes))
            self._telemetry.publish("changes", "routes")

    def has_strayed(self, enabled: Collection[str]) -> bool:
        """Whether something was changed since the scene that plays was recalled, so that its next recall undoes it.

        `enabled` are the outputs that play.
        """
        scene = self.scenes.playing
        if scene is None or self.scenes.is_fading:
            return False
        are_outputs_as_said = scene.outputs is None or set(scene.outputs) == set(enabled)
        return self.scenes.routes != scene.routes or self.muted != set(scene.muted) or not are_outputs_as_said

    def mute(self, numbers: set[int]) -> None:
        """Silences these routes (1 is the first) and no others."""
        self.muted = numbers
        self._apply_mutes()

    def solo_only(self, numbers: set[int]) -> None:
        """Silences all routes but these; none of them ends it."""
        self.solo = numbers
        self._apply_mutes()

    def cued(self, prediction: Prediction) -> Scene | None:
        """The scene that what is seen now recalls."""
        return self.scenes.cued(prediction, self._now_s())

    def recall(self, scene: Scene, fade_s: float) -> None:
        """Goes to that scene, at once or over that time."""
        log.info("scene: %s", scene.name or "none")
        self.scenes.recall(scene, fade_s, self._now_s())
        self._telemetry.publish("scene", scene.name, fade_s)
        self._follow_scene()

    def try_route(self, number: int, length_s: float, *, is_alone: bool) -> None:
        """Sends what that route (1 is the first) sends, up and down, by itself; nothing else with `is_alone`."""
        self.stop_trying()
        self.tried = Tried(number=number, is_alone=is_alone, began_s=self._now_s(), length_s=length_s)
        self._telemetry.publish("changes", "routes")

    def stop_trying(self) -> None:
        """Ends what `try_route` began."""
        if self.tried is not None:
            self.tried = None
            self._send(self.routes.end_try())
            self._telemetry.publish("changes", "routes")

    def attend(self) -> None:
        """Does what time has brought: a cross-fade goes on, and a route that is tried."""
        self._follow_scene()
        self._try_out()

    def reset(self) -> None:
        """Ends every note, and begins again with what is seen now."""
        self.tried = None
        self._send(self.routes.reset())

    def release(self) -> None:
        """Sends what ends the sound: note offs, no class, low ends."""
        self.tried = None
        self._send(self.routes.release_all())

    def _follow_scene(self) -> None:
        if (step := self.scenes.step(self._now_s())) is None:
            return
        if step.switched is not None:
            self._switch_to(step.switched)
            self._apply_mutes()
        self._send(self.routes.settle(self._patch, step.routes))
        if not self.scenes.is_fading:
            self._telemetry.publish("changes", "routes")

    def _switch_to(self, scene: Scene) -> None:
        self.muted = set(scene.muted)
        if scene.outputs is not None:
            self._enable(frozenset(scene.outputs))

    def _apply_mutes(self) -> None:
        count = len(self._patch.routes)
        silent = {number for number in self.muted if number <= count}
        if self.solo:
            silent |= set(range(1, count + 1)) - self.solo
        self._send(self.routes.mute({number - 1 for number in silent}))
        self._telemetry.publish("changes", "routes")

    def _try_out(self) -> None:
        if (tried := self.tried) is None:
            return
        now_s = self._now_s()
        at_s = now_s - tried.began_s
        if at_s >= tried.length_s:
            self.stop_trying()
            return
        share = 1.0 - abs(1.0 - at_s % SWEEP_S / (SWEEP_S / 2.0))
        self._send(self.routes.try_out(tried.number - 1, share, now_s, is_alone=tried.is_alone))
