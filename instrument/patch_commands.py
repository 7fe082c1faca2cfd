"""Commands that concern projects and their patch: routes, scenes, pedals and outputs."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from instrument.command_base import LATER, REFUSALS, Answer, CommandBase
from instrument.midi import is_channel_message
from instrument.midi_in import plain_port
from instrument.patch import Output, Route, Scene
from instrument.patch_edit import add_table, remove_value, save_scene
from instrument.pedals import Step, Stroke
from instrument.projects import new_project, patch_names
from instrument.protocol import parse_line
from instrument.server import Call

TEST_S, LEARN_S, PEDAL_S = 2.0, 10.0, 15.0
NOBODY = ("127.0.0.1", 0)
"""Who asks when a pedal does: none that could be answered."""


class PatchCommands(CommandBase):
    """See `Commands`."""

    # Project and patch

    def project_open(self, folder: str) -> Answer:
        self._must_be_local()
        self._engine.open_project(Path(folder).expanduser().resolve())
        return [self._engine.patch.name]

    def project_new(self, folder: str, patch: str) -> Answer:
        self._must_be_local()
        if patch not in patch_names():
            raise ValueError(f"no patch '{patch}'; there are: {', '.join(patch_names())}")
        path = Path(folder).expanduser().absolute()
        return self._answer_after(
            self._engine.clerk.submit(new_project, path, patch), lambda project: [str(project.folder)]
        )

    def project_reload(self) -> Answer:
        self._may_play(self._patch.text())
        self._patch.reload()
        return [self._engine.patch.name]

    def patch_set(self, key: str, value: str | float | int, *more: str | float | int) -> Answer:
        pairs = (key, value, *more)
        keys = [str(one) for one in pairs[::2]]
        text = self._patch.with_values(zip(keys, map(_as_typed, pairs[1::2]), strict=True))
        self._change_patch(text, edit=" ".join(keys))
        for key in keys:  # also a value that the file has already, while a scene has another
            if (named := re.match(r"route\.(\d+)\.(\w+)", key)) is not None:
                self._engine.desk.restate(int(named[1]), named[2])
        return None

    def patch_remove(self, key: str) -> Answer:
        muted, solo = set(self._engine.desk.muted), set(self._engine.desk.solo)
        self._change_patch(remove_value(self._patch.text(), key))
        if (removed := re.fullmatch(r"route\.(\d+)", key)) is not None:
            gone = int(removed[1])
            self._engine.desk.mute({one - (one > gone) for one in muted if one != gone})
            self._engine.desk.solo_only({one - (one > gone) for one in solo if one != gone})
        return None

    def patch_add(self, table: str, values: str) -> Answer:
        self._change_patch(add_table(self._patch.text(), table, values))
        return None

    def patch_undo(self) -> Answer:
        self._patch.undo(self._may_play)
        return None

    def patch_redo(self) -> Answer:
        self._patch.redo(self._may_play)
        return None

    def routes(self) -> Answer:
        engine = self._engine
        tried = engine.desk.tried
        rows = []
        for number, route in enumerate(engine.desk.scenes.routes, start=1):
            row = dataclasses.asdict(route)
            row |= {
                "number": number,
                "midi_number": route.number,
                "is_muted": number in engine.desk.muted,
                "is_solo": number in engine.desk.solo,
                "tried": "" if tried is None or tried.number != number else "alone" if tried.is_alone else "beside",
            }
            rows.append(row)
        return [json.dumps(rows)]

    def route_mute(self, number: int, is_muted: int) -> Answer:
        self._route(number)
        muted = self._engine.desk.muted
        self._engine.desk.mute(muted | {number} if is_muted else muted - {number})
        return None

    def route_solo(self, number: int, is_solo: int) -> Answer:
        self._route(number)
        solo = self._engine.desk.solo
        self._engine.desk.solo_only(solo | {number} if is_solo else solo - {number})
        return None

    def route_test(self, number: int, length_s: float = TEST_S) -> Answer:
        self._try_route(number, length_s, is_alone=False)
        return None

    def route_learn(self, number: int, length_s: float = LEARN_S) -> Answer:
        self._try_route(number, length_s, is_alone=True)
        return None

    def _try_route(self, number: int, length_s: float, *, is_alone: bool) -> None:
        self._route(number)
        if not 0 <= length_s <= 600:
            raise ValueError(f"{length_s:g} s; allowed: 0..600 s, 0 to end it")
        if length_s:
            self._engine.try_route(number, length_s, is_alone=is_alone)
        else:
            self._engine.desk.stop_trying()

    def _route(self, number: int) -> Route:
        routes = self._engine.desk.scenes.routes
        if not 1 <= number <= len(routes):
            raise ValueError(f"no route {number}; there are {len(routes)}, the first is 1")
        return routes[number - 1]

    # Scenes

    def scenes(self) -> Answer:
        engine = self._engine
        current, enabled = engine.desk.scenes.current, self._playing_outputs()
        scenes = [
            {
                "number": number,
                "name": scene.name,
                "fade_s": scene.fade_s,
                "key": scene.key,
                "from": f"{scene.output}.{scene.class_name}" if scene.output else "",
                "hold_s": scene.hold_s,
                "is_current": scene.name == current,
                "has_strayed": scene.name == current and engine.desk.has_strayed(enabled),
            }
            for number, scene in enumerate(engine.patch.scenes, start=1)
        ]
        return [json.dumps(scenes)]

    def scene_recall(self, name: str, fade_s: float | None = None) -> Answer:
        return self._recall(self._engine.patch.scene(name), fade_s)

    def scene_next(self) -> Answer:
        return self._step_scene(1)

    def scene_previous(self) -> Answer:
        return self._step_scene(-1)

    def scene_leave(self, fade_s: float = 0.0) -> Answer:
        return self._recall(Scene(name="", routes=self._engine.patch.routes), fade_s)

    def scene_save(self, name: str) -> Answer:
        engine = self._engine
        rows = [
            _scene_row(route, self._output(route.output), is_muted=number in engine.desk.muted)
            for number, route in enumerate(engine.desk.scenes.routes, start=1)
        ]
        self._change_patch(save_scene(self._patch.text(), name, self._playing_outputs(), rows))
        engine.desk.scenes.enter(name)
        engine.report_session()
        engine.telemetry.publish("changes", "routes")
        return None

    def _playing_outputs(self) -> list[str]:
        return [one.name for one in self._engine.patch.outputs if one.name in self._engine.predictor.enabled]

    def _step_scene(self, by: int) -> Answer:
        scenes = self._engine.patch.scenes
        if not scenes:
            raise ValueError("this patch has no scenes; make one with /instrument/scene/save")
        names = [scene.name for scene in scenes]
        current = self._engine.desk.scenes.current
        index = (names.index(current) + by) % len(names) if current in names else min(by, 0)
        return self._recall(scenes[index], None)

    def _recall(self, scene: Scene, fade_s: float | None) -> Answer:
        seconds = scene.fade_s if fade_s is None else fade_s
        if not 0 <= seconds <= 3600:
            raise ValueError(f"a cross-fade of {seconds:g} s; allowed: 0..3600 s")
        self._engine.recall_scene(scene, seconds)
        return [scene.name]

    # Pedals

    def pedals(self) -> Answer:
        return [json.dumps(self._engine.pedals.described())]

    def pedal_learn(self, number: int, length_s: float = PEDAL_S) -> Answer:
        count, call = len(self._engine.patch.pedals), self._call
        if not 1 <= number <= count or not 0 <= length_s <= 600:
            raise ValueError(f"pedal {number} within {length_s:g} s; allowed: pedal 1..{count} of this patch, 0..600 s")

        def answer(port: str, stroke: Stroke | None) -> None:
            if stroke is None:
                self.fail(call, "nothing was pressed")
                return
            name = plain_port(port)
            heard = (("port", name), ("midi", stroke.midi), ("channel", stroke.channel + 1), ("number", stroke.number))
            try:
                pairs = [(f"pedal.{number}.{key}", value) for key, value in heard]
                self._change_patch(self._patch.with_values(pairs))
            except REFUSALS as error:
                self.fail(call, str(error))
            else:
                self.done(call, f"{stroke.words} {name}")

        self._engine.pedals.learn(number, length_s, answer)
        return LATER

    def midi_in(self, port: str, status: int, first: int, second: int = 0) -> Answer:
        message = (status, first) if status & 0xE0 == 0xC0 else (status, first, second)
        if not is_channel_message(message):
            raise ValueError(f"{status} {first} {second} is no channel message of MIDI, such as 144 36 100")
        steps = self._engine.pedals.hear(port, message)
        self.step(steps)
        return [len(steps)]

    def step(self, steps: list[Step]) -> None:
        """Does what pedals ask for."""
        for step in steps:
            command, arguments = parse_line(step.line)
            # As another computer's: whoever may edit the patch is not to reach through it what they may not ask for.
            self.apply(Call(command, arguments, NOBODY, self._engine.now_s(), is_remote=True, pedal=step.number))

    # Outputs

    def output_classes(self, output: str, *classes: str) -> Answer:
        index = self._output_index(output)
        self._set_in_patch(f"output.{index + 1}.classes", list(classes))
        return None

    def output_enable(self, output: str, is_on: int) -> Answer:
        self._enable_running(self._output(output), bool(is_on))
        return None


def _scene_row(route: Route, output: Output, *, is_muted: bool) -> dict[str, Any]:
    """What a scene says of a route: all that a scene may change and that this kind of route heeds."""
    row: dict[str, Any] = {"route": route.name, "muted": is_muted}
    if route.when and route.when != "progress" and not route.midi:
        return row
    is_level = route.class_name is not None or route.value != "said" or output.kind != "class"
    if is_level and (route.midi != "note" or route.when):
        row["range"] = [_plain(route.low), _plain(route.high)]
        return row | {"curve": _plain(route.curve), "invert": route.invert, "smooth_s": _plain(route.smooth_s)}
    row |= {name: _plain(getattr(route, name)) for name in ("threshold", "hysteresis", "min_hold_s")}
    return row | {"velocity": route.velocity} if route.midi == "note" else row


def _as_typed(value: str | float | int) -> str | float | int:
    """A number as it was before OSC made 32 bits of it: 0.72, not 0.7200000286102295."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _plain(value: float) -> float | int:
    """The number as a person would write it."""
    return int(value) if value.is_integer() else round(value, 6)
