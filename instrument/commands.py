"""What each command of the protocol does to the engine: one method per row of the table.

A method is named after its address (/instrument/takes/delete is `takes_delete`) and gives what
its `/done` carries, or LATER when somebody will answer when the work has ended. What it raises
becomes the reason in `/fail`.
"""

import dataclasses
import ipaddress
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instrument import __version__
from instrument.assets import AssetError
from instrument.exchange import NO_TAKES, export_takes, read_takes
from instrument.midi import is_channel_message
from instrument.midi_in import plain_port
from instrument.model_map import answer as map_answer
from instrument.models.movement_model import load_of_kind
from instrument.models.trained import ModelError
from instrument.patch import Output, PatchError, Route, Scene
from instrument.patch_edit import TomlValue, add_table, remove_value, save_scene
from instrument.patch_file import parse_patch
from instrument.patch_keeper import PatchKeeper
from instrument.pedals import Step, Stroke
from instrument.projects import new_project, patch_names
from instrument.protocol import COMMANDS, Value, parse_line
from instrument.recorder import Outcome
from instrument.report import take_row
from instrument.server import Call
from instrument.source import NumbersSource, SourceError
from instrument.status import status_of
from instrument.takes import TakesError, TakeStore, Target, WholeTake
from instrument.targets import checked_target, wekinator_target
from instrument.telemetry import LEASE_S

if TYPE_CHECKING:
    from instrument.engine import Engine

log = logging.getLogger(__name__)


class _Later:
    """Says that the answer comes when the work has ended."""


LATER = _Later()
TEST_S, LEARN_S, PEDAL_S = 2.0, 10.0, 15.0
MOST_TIMES = 100
NOBODY = ("127.0.0.1", 0)
"""Who asks when a pedal does: none that could be answered."""
Answer = list[Value] | _Later | None

_REFUSALS = (ValueError, KeyError, PatchError, SourceError, TakesError, ModelError, AssetError, OSError)
"""What a command may raise to say no."""


class Commands:
    """Applies calls to one engine, in the engine's thread, between two frames."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._call: Call | None = None
        self.is_closed = False

    def apply(self, call: Call) -> None:
        """Does what the call asks and answers it."""
        self._call = call
        method: Callable[..., Answer] = getattr(self, call.command.method)
        try:
            answer = method(*call.arguments)
        except _REFUSALS as error:
            self.fail(call, error.args[0] if isinstance(error, KeyError) else str(error))
            return
        except Exception as error:  # on stage nothing stops
            self._engine.complain("command", f"{call.command.address} failed: {error!r}", error)
            self.fail(call, f"the instrument could not do this: {error!r}")
            return
        if not isinstance(answer, _Later):
            self.done(call, *(answer or []))

    def done(self, call: Call | None, *values: Value) -> None:
        if call is not None and call.command.is_answered and not call.pedal:
            self._engine.server.reply(call.sender, "/done", call.command.address, *values)

    def fail(self, call: Call | None, reason: str) -> None:
        if call is None:
            return
        if call.pedal:
            log.warning("pedal %d: %s: %s", call.pedal, call.command.address, reason)
            self._engine.telemetry.publish("pedal", call.pedal, "fail", reason)
        elif call.command.is_answered:
            self._engine.server.reply(call.sender, "/fail", call.command.address, reason)
        else:
            self._engine.complain(call.command.address, f"{call.command.address}: {reason}")

    # The instrument itself

    def ping(self) -> Answer:
        return [__version__]

    def status(self) -> Answer:
        return [json.dumps(status_of(self._engine))]

    def health(self, first: int = 0) -> Answer:
        pids = {"engine": os.getpid(), "trainer": self._engine.trainer.status()["pid"]}
        return [json.dumps(self._engine.health.since(first, pids), separators=(",", ":"))]

    def panic(self) -> Answer:
        self._engine.panic()
        return None

    def run(self, is_on: int) -> Answer:
        self._engine.set_running(bool(is_on))
        return None

    def run_toggle(self) -> Answer:
        self._engine.set_running(not self._engine.is_running)
        return [int(self._engine.is_running)]

    def latency_reset(self) -> Answer:
        self._engine.latencies.clear()
        return None

    def quit(self) -> Answer:
        self._engine.is_quitting = True
        return None

    def remote(self, address: str, *arguments: Value) -> Answer:
        call, command = self._call, COMMANDS.get(address)
        if call is None or command is None or not command.is_answered or command is call.command:
            raise ValueError(f"no such command: {address[:80]}")
        self.apply(Call(command, command.check(arguments), call.sender, call.received_at_s, is_remote=True))
        return LATER

    def trainer_hello(self, port: int, pid: int, job: int) -> Answer:
        if self._is_local():
            self._engine.trainer.hello(port, pid, job)
        return LATER

    def trainer_progress(self, job: int, output: str, step: int, steps: int, loss: float, validation: float) -> Answer:
        if self._is_local() and self._engine.trainer.advance(job, output, step, steps, loss, validation):
            self._engine.telemetry.publish("training", output, step, steps, loss, validation)
        return LATER

    def trainer_done(self, job: int, summary: str) -> Answer:
        if self._is_local():
            self._engine.trainer.done(job, summary)
        return LATER

    def trainer_mapped(self, job: int) -> Answer:
        if self._is_local() and self._engine.trainer.is_latest(job):
            self._engine.telemetry.publish("changes", "maps")
        return LATER

    def trainer_coached(self, job: int, found: str) -> Answer:
        if self._is_local() and self._engine.trainer.coached(job):
            self._engine.take_coaching(json.loads(found))
        return LATER

    def trainer_failed(self, job: int, reason: str) -> Answer:
        if self._is_local():
            self._engine.trainer.failed(job, reason)
        return LATER

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
        self._patch.reload()
        return [self._engine.patch.name]

    def patch_set(self, key: str, value: str | float | int, *more: str | float | int) -> Answer:
        pairs = (key, value, *more)
        keys = [str(one) for one in pairs[::2]]
        text = self._patch.with_values(zip(keys, map(_as_typed, pairs[1::2]), strict=True))
        self._change_patch(text, edit=" ".join(keys))
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
        self._patch.undo()
        return None

    def patch_redo(self) -> Answer:
        self._patch.redo()
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
        scenes = [
            {
                "number": number,
                "name": scene.name,
                "fade_s": scene.fade_s,
                "key": scene.key,
                "from": f"{scene.output}.{scene.class_name}" if scene.output else "",
                "hold_s": scene.hold_s,
                "is_current": scene.name == self._engine.desk.scenes.current,
            }
            for number, scene in enumerate(self._engine.patch.scenes, start=1)
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
        outputs = [one.name for one in engine.patch.outputs if one.name in engine.predictor.enabled]
        self._change_patch(save_scene(self._patch.text(), name, outputs, rows))
        engine.desk.scenes.current = name
        engine.report_session()
        engine.telemetry.publish("changes", "routes")
        return None

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
            raise ValueError(
                f"pedal {number} within {length_s:g} s; there are {count} pedals, and 0..600 s are allowed"
            )

        def answer(port: str, stroke: Stroke | None) -> None:
            if stroke is None:
                self.fail(call, "nothing was pressed")
                return
            name = plain_port(port)
            heard = (("port", name), ("midi", stroke.midi), ("channel", stroke.channel + 1), ("number", stroke.number))
            try:
                pairs = [(f"pedal.{number}.{key}", value) for key, value in heard]
                self._change_patch(self._patch.with_values(pairs))
            except _REFUSALS as error:
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

    def output_classes(self, output: str, *classes: str) -> Answer:
        index = self._output_index(output)
        self._set_in_patch(f"output.{index + 1}.classes", list(classes))
        return None

    def output_enable(self, output: str, is_on: int) -> Answer:
        self._enable_running(self._output(output), bool(is_on))
        return None

    # Source and performer

    def source(self, name: str) -> Answer:
        if name != "phone":
            self._must_be_local()
        self._engine.change_source(name)
        return [self._engine.source.status().name]

    def performer_forget(self) -> Answer:
        self._engine.tracker.forget()
        return None

    # Takes

    def record(self, *pairs: Value) -> Answer:
        targets = self._targets(pairs)
        self._engine.start_recording(targets)
        return [", ".join(f"{name} {target}" for name, target in targets.items())]

    def record_timed(self, count_in_s: float, length_s: float, *pairs: Value) -> Answer:
        if not 0 <= count_in_s <= 3600 or not 0 <= length_s <= 24 * 3600:
            raise ValueError(f"count-in {count_in_s:g} s, length {length_s:g} s; allowed: 0..3600 s and 0..86400 s")
        self._engine.start_recording(self._targets(pairs), count_in_s=count_in_s, length_s=length_s or None)
        assert self._call is not None
        self._engine.expect_outcome(self._call)
        return LATER

    def record_toggle(self, *pairs: Value) -> Answer:
        if self._engine.finish_recording(None):
            return [0]
        self.record(*pairs)
        return [1]

    def record_series(self, times: int, count_in_s: float, length_s: float, *pairs: Value) -> Answer:
        if not 1 <= times <= MOST_TIMES or not 0 <= count_in_s <= 3600 or not 0 < length_s <= 3600:
            allowed = f"1..{MOST_TIMES} times, 0..3600 s, more than 0 up to 3600 s"
            raise ValueError(f"{times} times, count-in {count_in_s:g} s, length {length_s:g} s; allowed: {allowed}")
        engine, call, targets = self._engine, self._call, self._targets(pairs)
        kept: list[int] = []

        def record(left: int) -> None:
            def finished(outcome: Outcome, is_stopped: bool) -> None:
                if outcome.take is not None and outcome.refused is None:
                    kept.append(outcome.take.id)
                if left > 1 and not is_stopped:
                    record(left - 1)
                elif kept:
                    self.done(call, len(kept))
                else:
                    self.fail(call, engine.refusal(outcome))

            engine.start_recording(targets, count_in_s=count_in_s, length_s=length_s, then=finished)

        record(times)
        return LATER

    def record_stop(self) -> Answer:
        if not self._engine.finish_recording(self._call):
            raise ValueError("nothing is being recorded")
        return LATER

    def record_mask(self, output: str, is_on: int) -> Answer:
        name = self._output(output).name
        self._mask_recording(name, bool(is_on))
        return None

    def target(self, output: str, target: Value) -> Answer:
        self._engine.targets |= self._targets((output, target))
        if self._engine.at_random:
            self._engine.at_random.add(output)
        return None

    def randomise(self, *outputs: str) -> Answer:
        chosen = [self._output(name) for name in outputs]
        for output in chosen:
            if output.kind != "continuous":
                raise ValueError(f"output '{output.name}' is {output.kind}; only continuous outputs have random values")
        values = self._engine.randomise([output.name for output in chosen])
        return [", ".join(f"{name} {value:g}" for name, value in values.items())]

    def performance_record(self) -> Answer:
        self._engine.start_recording({}, kind="performance")
        return None

    def rehearse(self) -> Answer:
        if self._engine.recording_kind == "rehearsal":
            raise ValueError("a rehearsal is being recorded already; `rehearse stop` ends it")
        self._engine.start_recording({}, kind="rehearsal")
        return None

    def rehearse_stop(self) -> Answer:
        engine, call = self._engine, self._call
        if engine.recording_kind != "rehearsal":
            raise ValueError("no rehearsal is being recorded")
        engine.finish_recording(None)
        return self._rehearsed(call)

    def rehearse_use(self, take: int, nothing_meant: int) -> Answer:
        engine, call = self._engine, self._call

        def finish(done: Future[str | None]) -> None:
            if (error := done.exception()) is not None:
                self.fail(call, str(error))
                return
            if done.result() is not None:
                engine.note_change()
            self._rehearsed(call)

        engine.after(engine.recorder.edit(lambda store: store.mean_nothing(take, bool(nothing_meant))), finish)
        return LATER

    def _rehearsed(self, call: Call | None) -> _Later:
        """Trains, for that sets how strict to be, and answers what was found."""
        engine = self._engine

        def answer(summary: dict[str, Any] | None, reason: str | None) -> None:
            if summary is None:
                self.fail(call, f"the takes are kept, but nothing could be trained: {reason}")
                return
            found = {one.output: dict(one.rehearsal) for one in engine.predictor.status() if one.rehearsal}
            for name, told in found.items():
                log.info("%s: %s", name, told["text"])
            self.done(call, json.dumps(found))

        engine.train((), answer, is_run_after=False)
        return LATER

    def rehearse_forget(self) -> Answer:
        def delete(store: TakeStore) -> int:
            rehearsals = [take.id for take in store.takes(kind="rehearsal")]
            if rehearsals:
                store.delete(rehearsals)
            return len(rehearsals)

        return self._edit(delete, lambda count: [count])

    def takes(self) -> Answer:
        def listed(rows: list[dict[str, Any]]) -> list[Value]:
            text = json.dumps(rows)
            while len(text) > 60_000:  # what fits into a datagram: the newest takes
                rows = rows[len(rows) // 10 + 1 :]
                text = json.dumps(rows)
            return [text]

        # Read where they are written, for opening a large file would hold up a frame.
        rows = self._engine.recorder.edit(lambda store: [take_row(take) for take in store.takes()])
        return self._answer_after(rows, listed)

    def takes_delete(self, *takes: int) -> Answer:
        return self._edit(lambda store: store.delete(takes), lambda _: [len(takes)])

    def takes_delete_last(self) -> Answer:
        return self._edit(lambda store: store.delete_last(), lambda done: [int(done is not None)])

    def takes_delete_all(self) -> Answer:
        def delete(store: TakeStore) -> int:
            count = len(store.takes(kind="take"))
            store.delete_all()
            return count

        return self._edit(delete, lambda count: [count])

    def takes_relabel(self, take: int, output: str, target: Value) -> Answer:
        targets = self._targets((output, target))
        return self._edit(lambda store: store.relabel([take], targets))

    def takes_relabel_many(self, output: str, target: Value, *takes: int) -> Answer:
        targets = self._targets((output, target))
        return self._edit(lambda store: store.relabel(takes, targets), lambda _: [len(takes)])

    def takes_trim(self, take: int, first: int, last: int) -> Answer:
        return self._edit(lambda store: store.trim(take, first, last))

    def takes_cut(self, take: int, from_s: float, to_s: float, output: str, target: Value) -> Answer:
        if not 0 <= from_s <= to_s:
            raise ValueError(f"from {from_s:g} s to {to_s:g} s; the first must be at least 0, and before the second")
        targets = self._targets((output, target))
        return self._edit(
            lambda store: store.cut(take, from_s, to_s, targets), lambda made: [made.id, made.frame_count]
        )

    def takes_export(self, file: str) -> Answer:
        path, takes_file = self._path(file), self._engine.project.takes_file
        if not self._is_inside(path):
            raise ValueError(f"{path} is outside the project; name a file inside {self._engine.project.folder}")

        def export() -> int:
            with TakeStore.open(takes_file, readonly=True) as store:
                return export_takes(store, path)

        return self._answer_after(self._engine.clerk.submit(export), lambda count: [count, str(path)])

    def takes_import(self, file: str) -> Answer:
        path = self._path(file)
        if not self._is_inside(path):
            raise ValueError(f"{path} is outside the project; put it into {self._engine.project.folder}")
        call = self._call

        def add(read: Future[list[WholeTake]]) -> None:
            if (error := read.exception()) is not None:
                self.fail(call, str(error))
                return
            if not read.result():
                self.fail(call, f"{path}: {NO_TAKES}")
                return
            self._call = call
            self._edit(lambda store: store.add(read.result(), f"import {path.name}"), lambda takes: [len(takes)])

        # Reading a large file takes a while, and must not keep what is recorded meanwhile from the disk.
        kinds = {output.name: output.kind for output in self._engine.patch.outputs}
        self._engine.after(self._engine.clerk.submit(partial(read_takes, path, kinds=kinds)), add)
        return LATER

    def undo(self) -> Answer:
        call = self._call

        def dropped(outcome: Outcome, _: bool) -> None:
            self._call = call
            if outcome.take is None or outcome.refused is not None:
                assert call is not None
                self.done(call, "the recording")
            else:
                self._undo()

        return LATER if self._engine.finish_recording(None, dropped) else self._undo()

    def _undo(self) -> Answer:
        return self._edit(lambda store: store.undo(), lambda what: [what or "nothing to undo"])

    def redo(self) -> Answer:
        return self._edit(lambda store: store.redo(), lambda what: [what or "nothing to redo"])

    # Training

    def train(self, *outputs: str) -> Answer:
        self._train([self._output(name).name for name in outputs], is_run_after=True)
        return LATER

    def train_cancel(self) -> Answer:
        if not self._engine.trainer.cancel():
            raise ValueError("nothing is being trained")
        return None

    def model_save(self, output: str, file: str) -> Answer:
        return [str(self._save_model(self._output(output), file))]

    def model_load(self, output: str, file: str) -> Answer:
        self._load_model(self._output(output), file)
        return None

    def model_map(self, name: str = "") -> Answer:
        engine = self._engine
        shown = [one for one in engine.patch.outputs if one.kind != "trigger"]
        if not name and not shown:
            raise ValueError("this patch has no output whose model can be drawn")
        output = self._output(name) if name else shown[0]
        file = engine.project.model_map(output.name)
        return self._answer_after(engine.clerk.submit(map_answer, file, engine.patch, output), lambda found: found)

    def coaching(self) -> Answer:
        return [json.dumps(self._engine.coaching)]

    # Telemetry

    def subscribe(self, *topics: str) -> Answer:
        assert self._call is not None
        self._engine.telemetry.subscribe(self._call.sender, topics)
        return [LEASE_S]

    def unsubscribe(self) -> Answer:
        assert self._call is not None
        self._engine.telemetry.unsubscribe(self._call.sender)
        return None

    # Wekinator's words. Numbers count from 1; what it would ignore is ignored, and logged.

    def control_outputs(self, *values: float) -> Answer:
        outputs = self._engine.patch.outputs
        if len(values) != len(outputs):
            raise ValueError(f"{len(values)} values came, there are {len(outputs)} outputs")
        refused = []
        for output, value in zip(outputs, values, strict=True):
            if (target := wekinator_target(output, value)) is None:
                refused.append(f"{output.name} {value:g}")
                continue
            self._engine.targets[output.name] = target
            self._engine.desk.routes.wekinator_values[output.name] = value
        if refused:
            raise ValueError(f"left as they were, for the patch has no such class or value: {', '.join(refused)}")
        return None

    def control_startRecording(self) -> Answer:  # noqa: N802  (Wekinator's spelling)
        self._engine.set_running(False)
        self._engine.start_recording(self._targets(()))
        return None

    def control_stopRecording(self) -> Answer:  # noqa: N802
        self._engine.finish_recording(None)
        return None

    def control_startDtwRecording(self, gesture: int) -> Answer:  # noqa: N802
        for output in self._engine.patch.outputs:
            if output.kind == "trigger" and (target := wekinator_target(output, gesture)) is not None:
                self._engine.set_running(False)
                self._engine.start_recording({output.name: target})
                return None
        raise ValueError(f"gesture {gesture}: this project has no trigger output with so many movements")

    def control_stopDtwRecording(self) -> Answer:  # noqa: N802
        self._engine.finish_recording(None)
        return None

    def control_train(self) -> Answer:
        self._engine.finish_recording(None)
        self._train([], is_run_after=False)
        return None

    def control_cancelTrain(self) -> Answer:  # noqa: N802
        self._engine.trainer.cancel()
        return None

    def control_startRunning(self) -> Answer:  # noqa: N802
        self._engine.finish_recording(None)
        if all(one.model_id is None for one in self._engine.predictor.status()):
            raise ValueError("nothing is trained yet")  # nor does Wekinator run then
        self._engine.set_running(True)
        return None

    def control_stopRunning(self) -> Answer:  # noqa: N802
        self._engine.set_running(False)
        return None

    def control_deleteAllExamples(self) -> Answer:  # noqa: N802
        return self.takes_delete_all()

    def control_deleteExamplesForOutput(self, number: int) -> Answer:  # noqa: N802
        name = self._numbered(number).name
        return self._edit(lambda store: store.delete_output(name))

    def control_enableModelRecording(self, *numbers: int) -> Answer:  # noqa: N802
        return self._for_numbered(numbers, lambda output: self._mask_recording(output.name, True))

    def control_disableModelRecording(self, *numbers: int) -> Answer:  # noqa: N802
        return self._for_numbered(numbers, lambda output: self._mask_recording(output.name, False))

    def control_enableModelRunning(self, *numbers: int) -> Answer:  # noqa: N802
        return self._for_numbered(numbers, lambda output: self._enable_running(output, True))

    def control_disableModelRunning(self, *numbers: int) -> Answer:  # noqa: N802
        return self._for_numbered(numbers, lambda output: self._enable_running(output, False))

    def control_setInputNames(self, *names: str) -> Answer:  # noqa: N802
        self._set_in_patch("listen.input_names", list(names))
        return None

    def control_setOutputNames(self, *names: str) -> Answer:  # noqa: N802
        if len(names) != len(self._engine.patch.outputs) or len(set(names)) != len(names):
            raise ValueError(f"{len(names)} names came; wanted: {len(self._engine.patch.outputs)}, each different")
        self._set_in_patch("wekinator.output_names", list(names))
        return None

    def control_selectInputsForOutput(self, number: int, *inputs: int) -> Answer:  # noqa: N802
        self._numbered(number)
        there = self._engine.patch.listen.inputs
        if isinstance(self._engine.source, NumbersSource) and there and max(inputs) > there:
            raise ValueError(f"input {max(inputs)} was picked, there are {there}")
        self._set_in_patch(f"output.{number}.inputs", sorted(set(inputs)))
        return None

    def control_loadModelFromFile(self, number: int, file: str) -> Answer:  # noqa: N802
        self._load_model(self._numbered(number), file)
        return None

    def control_saveModelToFile(self, number: int, file: str) -> Answer:  # noqa: N802
        self._save_model(self._numbered(number), file)
        return None

    # What several of them need

    def _is_local(self) -> bool:
        if self._call is None or self._call.is_remote:
            return False
        host = ipaddress.ip_address(self._call.sender[0].split("%")[0])
        return (getattr(host, "ipv4_mapped", None) or host).is_loopback

    def _must_be_local(self) -> None:
        """Raises ValueError when another computer asks for what concerns this one's files and devices."""
        if not self._is_local():
            raise ValueError("only programs on this computer may ask for this")

    def _output(self, name: str) -> Output:
        return self._engine.patch.output(name)

    def _output_index(self, name: str) -> int:
        return self._engine.patch.outputs.index(self._output(name))

    def _numbered(self, number: int) -> Output:
        outputs = self._engine.patch.outputs
        if not 1 <= number <= len(outputs):
            raise ValueError(f"output {number}: there are {len(outputs)}, the first is 1")
        return outputs[number - 1]

    def _for_numbered(self, numbers: tuple[int, ...], change: Callable[[Output], None]) -> Answer:
        for output in [self._numbered(number) for number in numbers]:
            change(output)
        return None

    def _targets(self, pairs: tuple[Value, ...]) -> dict[str, Target]:
        """The targets of output-target pairs; without any, those set before, for the outputs not masked.

        After `randomise` only for those heard at random, and those set since: nobody has said what the others are.

        Raises ValueError for a class or value the output does not allow.
        """
        engine = self._engine
        if not pairs:
            asked = engine.recording_mask & (engine.at_random or engine.recording_mask)
            chosen = {name: target for name, target in engine.targets.items() if name in asked}
            if not chosen:
                raise ValueError("no output is enabled for recording; see /instrument/record/mask")
            return chosen
        return {
            str(name): checked_target(self._output(str(name)), value)
            for name, value in zip(pairs[::2], pairs[1::2], strict=True)
        }

    def _mask_recording(self, name: str, is_on: bool) -> None:
        mask = self._engine.recording_mask
        mask.add(name) if is_on else mask.discard(name)

    def _enable_running(self, output: Output, is_on: bool) -> None:
        enabled = self._engine.predictor.enabled
        enabled.add(output.name) if is_on else enabled.discard(output.name)

    def _edit(self, change: Callable[[TakeStore], Any], answer: Callable[[Any], list[Value]] = lambda _: []) -> _Later:
        """Has the takes' one writer make the change, and answers when it is on disk. Frames do not wait for it."""
        return self._answer_after(self._engine.recorder.edit(change), answer, is_change=True)

    def _answer_after(
        self, work: Future[Any], answer: Callable[[Any], list[Value]], *, is_change: bool = False
    ) -> _Later:
        """Answers whoever calls now when the work is done; `is_change` says that it changes takes."""
        call = self._call

        def finish(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                self.fail(call, str(error))
            else:
                done = future.result()
                if is_change and done is not None:
                    self._engine.note_change()
                self.done(call, *answer(done))

        self._engine.after(work, finish)
        return LATER

    def _train(self, outputs: list[str], *, is_run_after: bool) -> None:
        engine, call = self._engine, self._call

        def answer(summary: dict[str, Any] | None, reason: str | None) -> None:
            if summary is None:
                log.warning("training: %s", reason)
                self.fail(call, reason or "no reason given")
            else:
                self.done(call, json.dumps(summary))
            # A training that could not begin has not ended: Wekinator, too, is silent then.
            if not is_run_after and (summary is not None or reason == "cancelled"):
                engine.send_done_training()

        engine.train(outputs, answer, is_run_after=is_run_after)

    @property
    def _patch(self) -> PatchKeeper:
        return self._engine.patch_keeper

    def _change_patch(self, text: str, *, edit: str = "") -> None:
        """As `PatchKeeper.change`; what pictures come from is only for programs on this computer to say."""
        if not self._is_local():
            source = parse_patch(text, self._engine.project.patch_file).listen.source
            if source not in ("phone", self._engine.patch.listen.source):
                self._must_be_local()
        self._patch.change(text, edit=edit)

    def _set_in_patch(self, key: str, value: TomlValue) -> None:
        self._change_patch(self._patch.with_values([(key, value)]))

    def _path(self, file: str) -> Path:
        """That file, named as seen from the project's folder."""
        return (self._engine.project.folder / file).resolve()

    def _is_inside(self, path: Path) -> bool:
        return path.is_relative_to(self._engine.project.folder.resolve())

    def _model_path(self, file: str) -> Path:
        """Inside the project; elsewhere only when nobody but this machine can ask for it."""
        path = self._path(file)
        if path.is_dir():
            raise ValueError(f"'{file}' is a folder; name a file")
        path = path.with_suffix(".safetensors")
        is_closed = ipaddress.ip_address(self._engine.server.address[0]).is_loopback
        if not self._is_inside(path) and not (is_closed and self._is_local()):
            raise ValueError(f"{path} is outside the project, and other computers may give commands here")
        return path

    def _load_model(self, output: Output, file: str) -> None:
        source = self._model_path(file)
        model = load_of_kind(output.kind, source)  # whatever is wrong with it is said before anything is replaced
        if model.output != output.name:
            raise ValueError(f"{source}: this model is for output '{model.output}', not '{output.name}'")
        self._copy_model(source, self._engine.project.model_file(output.name))
        self._engine.load_models()

    def _save_model(self, output: Output, file: str) -> Path:
        source, target = self._engine.project.model_file(output.name), self._model_path(file)
        if not source.exists():
            raise ValueError(f"output '{output.name}' has no model yet; train first")
        others = [one.name for one in self._engine.patch.outputs if one.name != output.name]
        if target.resolve() in [self._engine.project.model_file(name).resolve() for name in others]:
            raise ValueError(f"{target} is the model of another output; choose another name")
        described = target.with_suffix(".json")
        if described.exists() and not target.exists():
            raise ValueError(f"{described} is there already and belongs to no model; choose another name")
        self._copy_model(source, target)
        return target

    @staticmethod
    def _copy_model(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.resolve() == target.resolve():
            return
        for suffix in (".safetensors", ".json"):
            shutil.copyfile(source.with_suffix(suffix), target.with_suffix(suffix + ".new"))
        for suffix in (".safetensors", ".json"):
            target.with_suffix(suffix + ".new").replace(target.with_suffix(suffix))


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
