"""The engine: the one loop that turns frames into controls, and the only corridor between rooms.

It plays on when everything else is gone: trainer, console, synthesiser, camera. Commands arrive
between two frames, through `commands.py`; nothing else changes what it does.
"""

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from instrument import assets, clock
from instrument.assets import AssetError
from instrument.broadcast import Broadcast
from instrument.commands import Commands
from instrument.desk import Desk
from instrument.features import FeatureExtractor, with_inputs
from instrument.health import EVERY_S as HEALTH_EVERY_S
from instrument.health import Health
from instrument.kernels.cpu import Choice
from instrument.latency import Latencies
from instrument.midi import Midi
from instrument.models.movement_model import MovementModel, load_of_kind
from instrument.models.trained import ModelError, TrainedModel
from instrument.outputs import Outputs
from instrument.patch import Listen, Patch, PatchError, Scene
from instrument.patch_file import FoundPatch, find_patch, find_played, read_patch
from instrument.patch_keeper import PatchKeeper
from instrument.pedals import Pedals
from instrument.predictor import Predictor
from instrument.project import Project
from instrument.recorder import Recorder
from instrument.recordings import Recordings
from instrument.server import Server
from instrument.signals import (
    ContinuousPrediction,
    Control,
    FloatArray,
    Frame,
    OscSend,
    Prediction,
)
from instrument.source import NumbersSource, PhoneLine, Source, SourceError, SourceStatus, open_source
from instrument.takes import TakeStore
from instrument.targets import first_targets, still_allowed
from instrument.teaching import Teaching
from instrument.telemetry import Telemetry
from instrument.tracker import MediaPipeTracker, RecordedTracker, Tracker
from instrument.training_job import TrainerLink

log = logging.getLogger(__name__)

IDLE_S = 0.05
"""How often the loop turns when no frame comes."""
LOST_S = 0.3
"""Without a frame for this long, routes are told that the body is lost."""
AGAIN_WITHIN_S, LASTING_S = 1.0, 3.0
"""What goes wrong so soon again, for so long, does not pass by itself."""
SAME_AGAIN_S = 60.0
"""A fault that goes on is not logged again for so long."""
PANIC = "/instrument/panic"
MISFITS = 10
"""So many messages of another count of numbers, one after the other, come from another sender."""
MISFITS_AGAIN = 1000
"""After so many more it is looked at again whether a take says how many there are, which reads two files."""
NEWS_S = 2.0
"""What was wrong so short a time ago explains why nothing was recorded."""
BACKLOG_S = 2.0
"""Numbers that have waited longer than this are dropped, unless they are being recorded."""
ORDER_S = 0.5
"""Commands wait for the numbers that came before them; longer than this only while these are being recorded."""
COMMANDS_S = 0.002
"""Commands that take longer together wait for the next frame, so that a flood cannot hold one up for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What `play` was asked for; None leaves it to the patch."""

    folder: Path
    source: str | None = None
    out: tuple[str, int] | None = None
    listen_host: str = "127.0.0.1"
    in_port: int = 6448
    is_once: bool = False
    is_running: bool | None = None
    """What the engine before this one did, after a restart."""
    auto_source: str | None = None
    """What `auto` meant to that engine: a camera that is away for a moment is still the camera."""
    secret: str = field(default="", repr=False)
    """What the console knows the engine by when it hands over a phone's pictures; empty: there is no console."""
    scene: str = ""
    """The scene that engine played."""


class Engine:
    """One playing instrument. Raises PatchError, SourceError, PortInUse or TakesError when it cannot start."""

    # The rooms, made by `_move_in` and `_build`
    source: Source
    tracker: Tracker
    extractor: FeatureExtractor
    predictor: Predictor
    outputs: Outputs

    def __init__(
        self,
        options: EngineOptions,
        *,
        midi: Midi,
        report: Callable[[dict[str, Any]], object] = lambda _: None,
        listen: Callable[[list[str]], object] = lambda _: None,
        now_s: clock.Clock = clock.now_s,
    ) -> None:
        """`report` is told what the next engine needs to go on where this one was killed, `listen` which MIDI inputs
        are to be heard; what they bring comes back as commands."""
        self.options = options
        self.now_s = now_s
        self.started_at_s = now_s()
        self.latencies = Latencies()
        self.health = Health()
        self._health_at_s = now_s()
        self.errors: Counter[str] = Counter()
        self.is_quitting = False
        self.is_ended = False
        """Whether the source has played to its end, with `is_once`."""
        self._midi = midi
        self._report = report
        self._bell = threading.Event()
        self.clerk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clerk")
        """Does one after the other what takes long and concerns no frame: reading and writing files."""
        self._results: deque[tuple[Future[Any], Callable[[Future[Any]], None]]] = deque()
        self._frame_at_s = self._free_at_s = now_s()
        self._logged: dict[str, tuple[str, float]] = {}
        """The last words of each kind of fault, and when they were logged."""
        self._failing: dict[str, tuple[float, float]] = {}
        """What goes wrong, since when and when last."""
        self._wanted_source = ""
        self._source_state = ""
        self._random = np.random.default_rng()
        self._made_learners: dict[str, Choice] = {}

        self.project = Project(options.folder)
        self._misfits = (0, 0)
        """How many numbers came that are not as many as there are inputs, and how often in a row."""
        self._misfit = "", 0.0
        """What was wrong with the last of them, and when that was."""
        self.at_random: set[str] = set()
        """Outputs whose values at random are being heard: a pose that suits them teaches these only."""
        self.server = Server(
            options.listen_host, options.in_port, on_call=self._bell.set, on_inputs=self._take_numbers, now_s=now_s
        )
        try:
            self.telemetry = Telemetry(self.server.reply, now_s)
            self.broadcast = Broadcast(self.telemetry, self.server, self.latencies, now_s)
            self.trainer = TrainerLink(self.server.reply, now_s)
            self.teaching = Teaching(self)
            self.recordings = Recordings(self)
            find_patch(self.project.patch_file)  # where there is none, nothing is to be made
            self.recorder = self._open_recorder(self.project)
            found, source, tracker = self._find(self.project)
            self.patch = found.patch
            self.targets = first_targets(self.patch)
            self.recording_mask = {output.name for output in self.patch.outputs}
            self._move_in(source, tracker, options.source or self.patch.listen.source)
            self._build(self.patch)
            self.desk = Desk(
                self.patch, send=self._send, enable=self.enable_outputs, telemetry=self.telemetry, now_s=now_s
            )
            self.pedals = Pedals(self.patch, listen=listen, telemetry=self.telemetry, now_s=now_s)
        except BaseException:
            self.server.close()
            raise
        self.load_models()
        has_models = any(status.is_running for status in self.predictor.status())
        self.is_running = has_models if options.is_running is None else options.is_running
        if options.is_running is False:
            log.warning("not playing, as before the restart: `run 1` starts it")
        self.teaching.is_run_when_trained = not has_models and options.is_running is None
        self.patch_keeper = PatchKeeper(
            self.project.patch_file,
            found,
            play=self.change_patch,
            on_change=lambda: self.telemetry.publish("changes", "patch"),
            now_s=now_s,
        )
        self.commands = Commands(self)
        if options.scene in [scene.name for scene in self.patch.scenes]:
            self.recall_scene(self.patch.scene(options.scene), 0.0)
        self.report_session()
        self.teaching.train_untrained()
        self.server.start()

    # The loop

    def run(self) -> None:
        """Plays until told to quit, or until the source ends."""
        try:
            while not self.is_quitting:
                self._bell.wait(IDLE_S)
                self._bell.clear()
                while self.step() and not self.is_quitting:
                    pass
        finally:
            self.close()

    def step(self) -> bool:
        """Does what has come since the last call: commands, then the newest frame; whether there was one."""
        self.carefully(self._apply_commands)
        self._attend()
        if isinstance(self.source, NumbersSource) and self.recorder.state.phase == "idle":
            dropped = self.source.drop_before(self.now_s() - BACKLOG_S)
            if dropped:
                so_far = self.source.status().dropped
                self.complain("late", f"numbers come faster than they can be played; {so_far} were dropped so far")
        frame = self.source.latest()
        if frame is None:
            self.carefully(self._idle)
            return False
        if isinstance(self.source, NumbersSource):
            while self.server.calls and self.server.calls[0].received_at_s < frame.captured_at_s:
                self.commands.apply(self.server.calls.popleft())
        try:
            self._play(frame)
        except Exception as error:  # on stage nothing stops: one bad frame is not the end
            self.complain("frame", f"a frame could not be played: {error}", error)
        return True

    def _play(self, frame: Frame) -> None:
        free_at_s = max(self._free_at_s, frame.captured_at_s)
        taken_at_s = self.now_s()
        landmarks = self.tracker.track(frame)
        tracked_at_s = self._free_at_s = self.now_s()
        self.health.note(landmarks.is_tracked)
        if landmarks.numbers is not None and not self._settle_inputs(landmarks.numbers):
            return
        features = self.extractor.update(landmarks)
        self.recorder.offer(landmarks, self.targets)
        featured_at_s = self.now_s()
        prediction = self.predictor.predict(features, landmarks.is_tracked)
        predicted_at_s = self.now_s()
        if self.is_running and (cued := self.desk.cued(prediction)) is not None:
            self.recall_scene(cued, cued.fade_s)
            prediction = self.predictor.without_disabled(prediction)
        controls = self.desk.routes.update(prediction, predicted_at_s) if self.is_running else []
        mapped_at_s = self.now_s()
        self.outputs.send(controls)  # telling others what was sent must not count as sending it
        self._frame_at_s = taken_at_s  # frames that cannot be played count as none: routes let go after a while
        sent_at_s = self.now_s()
        self.latencies.add(
            (
                frame.captured_at_s,
                free_at_s,
                taken_at_s,
                tracked_at_s,
                featured_at_s,
                predicted_at_s,
                mapped_at_s,
                sent_at_s,
            )
        )
        if self.telemetry.subscribers:
            self.broadcast.frame(frame, landmarks, features.values, prediction, controls)

    def _idle(self) -> None:
        """Without frames, routes still let go of what a lost body held."""
        now_s = self.now_s()
        self._send(self.desk.routes.due(now_s))
        if self.source.status().state == "ended" and not self.is_ended:
            self.is_ended = True
            log.info("the source has come to its end")
            if self.options.is_once:
                self.is_quitting = True
        quiet_s = self.patch.listen.quiet_s or math.inf
        lost_s = quiet_s if isinstance(self.source, NumbersSource) else LOST_S
        if self.is_running and now_s - self._frame_at_s > lost_s:
            nobody = Prediction(frame_number=-1, captured_at_s=now_s, outputs={}, is_tracked=False)
            self._send([one for one in self.desk.routes.update(nobody, now_s) if not _is_wekinator(one)])

    def _apply_commands(self) -> None:
        """Does what was asked; numbers that came before a command are played before it, panic comes first."""
        calls, ends_at_s = self.server.calls, self.now_s() + COMMANDS_S
        while calls and (now_s := self.now_s()) < ends_at_s:
            is_patient = self.recorder.state.phase != "idle" or now_s - calls[0].received_at_s < ORDER_S
            if is_patient and self._has_numbers_since(calls[0].received_at_s):
                panics = [place for place in range(len(calls)) if calls[place].command.address == PANIC]
                for place in reversed(panics):
                    call = calls[place]
                    del calls[place]
                    self.commands.apply(call)
                break
            self.commands.apply(calls.popleft())
        if calls:
            self._bell.set()

    def _has_numbers_since(self, time_s: float) -> bool:
        return isinstance(self.source, NumbersSource) and self.source.is_waiting_since(time_s)

    def _attend(self) -> None:
        """Looks after what goes on by itself, and what other threads and processes have finished."""
        for work in (
            self.desk.attend,
            self._take_pedals,
            self.patch_keeper.attend,
            self.server.attend,
            self._take_results,
            self.recordings.attend,
            self.teaching.attend,
            self.trainer.attend,
            self._look_around,
        ):
            self.carefully(work)

    def _take_pedals(self) -> None:
        self.commands.step(self.pedals.attend())

    def _take_results(self) -> None:
        for _ in range(len(self._results)):
            future, then = self._results.popleft()
            if future.done():
                self.carefully(then, future)
            else:
                self._results.append((future, then))

    def _look_around(self) -> None:
        """Says what goes wrong, how it fares and how the source does."""
        for problem in self.recorder.problems:
            self.complain("takes", problem)
        state = self.source.status()
        if self.now_s() - self._health_at_s >= HEALTH_EVERY_S:
            self._write_health(state)
        if state.state != self._source_state:
            self._source_state = state.state
            self.telemetry.publish("source", state.state, state.detail)

    def carefully(self, work: Callable[..., object], *arguments: Any) -> None:
        """Does that. On stage nothing stops: where something goes wrong, that is said, and all else goes on.

        What goes wrong again and again ends the engine, which is then started afresh with every note released.
        """
        try:
            work(*arguments)
        except Exception as error:
            name, now_s = getattr(work, "__qualname__", repr(work)), self.now_s()
            since_s, last_s = self._failing.get(name, (now_s, now_s))
            if now_s - last_s > AGAIN_WITHIN_S:
                since_s = now_s
            self._failing[name] = since_s, now_s
            if now_s - since_s > LASTING_S:
                raise
            self.complain(name, f"{name} went wrong, and all else goes on: {error!r}", error)

    # What commands do: each raises ValueError (or one of its kind) with a reason, and then changes nothing

    def open_project(self, folder: Path) -> None:
        """Plays another project, or this one afresh.

        Raises PatchError, SourceError or TakesError; the old one then plays on.
        """
        project = Project(folder)
        is_other = project != self.project
        find_patch(project.patch_file)  # where there is none, nothing is to be made
        recorder = self._open_recorder(project) if is_other else self.recorder
        try:
            found, source, tracker = self._find(project)
        except BaseException:
            if is_other:
                recorder.close()
            raise
        patch = found.patch
        self.trainer.cancel("another project was opened")
        self.desk.release()
        self._move_in(source, tracker, self.options.source or patch.listen.source)
        if is_other:
            self.recordings.finish_all(self.recorder.close())
        self.project, self.recorder = project, recorder
        self.targets = first_targets(patch)
        self.at_random = set()
        self.recording_mask = {output.name for output in patch.outputs}
        self._build(patch)
        self.desk.open(patch)
        self.pedals.follow(patch)
        self.patch_keeper.open(project.patch_file, found)
        self.load_models()
        self.is_running = any(status.is_running for status in self.predictor.status())
        self.report_session()
        self.teaching.open(is_run_when_trained=not self.is_running)

    def change_patch(self, patch: Patch) -> None:
        """Plays on with an edited patch of the same project; only what differs is made anew.

        Raises SourceError or AssetError; the old one then plays on.
        """
        old, patch = self.patch, patch.sending_to(self.options.out)
        if patch.listen.is_numbers and not patch.listen.inputs:
            patch = with_inputs(patch, old.listen.inputs)
        if patch != old and _beside_routes(patch) == _beside_routes(old):
            self._follow(patch)
            return
        wanted = self.options.source or patch.listen.source
        source, tracker = self._prepare(wanted, patch, self.project)
        self.desk.release()
        self._move_in(source, tracker, wanted)
        self.targets = first_targets(patch) | still_allowed(patch, self.targets)
        old_names, names = ({output.name for output in one.outputs} for one in (old, patch))
        self.recording_mask = (self.recording_mask & names) | (names - old_names)
        enabled = self.predictor.enabled
        self._build(patch)
        self.predictor.enabled = (enabled & names) | (names - old_names)
        self.desk.rebuild(patch)
        kept = {output.name for output in patch.outputs if output in old.outputs}
        self.teaching.forget_all_but(kept)
        self._follow(patch)
        self.load_models()
        if patch.training.always:
            self.teaching.train_untrained()

    def change_source(self, name: str) -> None:
        """Listens to another source until the next start.

        Raises SourceError or AssetError; the old one then plays on.
        """
        self._move_in(*self._prepare(name, self.patch, self.project), name)
        self.options = replace(self.options, source=name)
        self.extractor.reset()
        self.is_ended = False
        self.report_session()

    def _follow(self, patch: Patch) -> None:
        self.patch = patch
        self.desk.follow(patch)
        self.pedals.follow(patch)
        self.telemetry.publish("changes", "patch")

    def enable_outputs(self, names: frozenset[str]) -> None:
        """Has these outputs play, and no others; what those switched off let sound ends."""
        gone = self.predictor.enabled - names
        self.predictor.enabled = set(names)
        self._send(self.desk.routes.let_go_of(gone))
        self.telemetry.publish("changes", "routes")

    def recall_scene(self, scene: Scene, fade_s: float) -> None:
        """Goes to that scene, at once or over that time."""
        self.desk.recall(scene, fade_s)
        self.report_session()

    def try_route(self, number: int, length_s: float, *, is_alone: bool) -> None:
        """As `Desk.try_route`, from the next turn of the loop on."""
        self.desk.try_route(number, length_s, is_alone=is_alone)
        self._bell.set()

    def load_models(self) -> None:
        """Takes the project's trained models in, between two frames; says which do not fit."""
        models: dict[str, TrainedModel | MovementModel] = {}
        for output in self.patch.outputs:
            file = self.project.model_file(output.name)
            if file.exists():
                try:
                    models[output.name] = load_of_kind(output.kind, file)
                except ModelError as error:
                    log.warning("output '%s': %s", output.name, error)
        self.predictor.replace(models)
        self.telemetry.publish("changes", "models")
        for status in self.predictor.status():
            if status.model_id is not None and not status.is_running:
                log.warning("output '%s' is silent: %s", status.output, status.reason)

    def set_running(self, is_running: bool) -> None:
        self.teaching.is_run_when_trained = False
        if is_running != self.is_running:
            if is_running:
                self.at_random = set()
                self.desk.reset()
            else:
                self.desk.release()
        self.is_running = is_running
        self.telemetry.publish("changes", "running")
        self.report_session()

    def randomise(self, outputs: Sequence[str]) -> dict[str, float]:
        """Targets at random for these continuous outputs, or all, sent as if they were seen; playing stops.

        Raises ValueError where there is none.
        """
        values = {
            output.name: float(self._random.uniform(output.low, output.high))
            for output in self.patch.outputs
            if output.kind == "continuous" and (output.name in outputs or not outputs)
        }
        if not values:
            raise ValueError("this patch has no continuous output")
        self.set_running(False)
        self.targets |= values
        self.at_random = set(values)
        now_s = self.now_s()
        said = {name: ContinuousPrediction(value=value) for name, value in values.items()}
        shown = Prediction(frame_number=-1, captured_at_s=now_s, outputs=said, is_tracked=True)
        self._send(self.desk.routes.update(shown, now_s))
        return values

    def panic(self) -> None:
        """Silence: every note off, and nothing is sent until `run`."""
        self.desk.stop_trying()
        self.set_running(False)
        self.outputs.panic()

    def after(self, future: Future[Any], then: Callable[[Future[Any]], None]) -> None:
        """Calls `then` in the engine's thread once the future is done."""
        self._results.append((future, then))
        future.add_done_callback(lambda _: self._bell.set())

    def send_done_training(self) -> None:
        """As Wekinator says it."""
        self._send([OscSend(destination="out", address="/wekinator/status/done-training", arguments=())])

    def _write_health(self, source: SourceStatus) -> None:
        self._health_at_s = now_s = self.now_s()
        destinations = self.outputs.status().values()
        self.health.write(
            now_s,
            time.time(),
            self.latencies,
            {"memory_mb": round(psutil.Process().memory_info().rss / 1e6, 1), "delay_ms": source.delay_ms},
            dropped=source.dropped,
            source_losses=source.losses,
            sent=sum(one.sent for one in destinations),
            unsent=sum(one.dropped for one in destinations),
            errors=sum(self.errors.values()),
            refused=sum(self.server.dropped.values()),
        )

    def complain(self, kind: str, text: str, error: BaseException | None = None) -> None:
        """Counts a fault, and logs it at most once a second, the same words at most once a minute."""
        self.errors[kind] += 1
        now_s = self.now_s()
        was, logged_at_s = self._logged.get(kind, ("", -math.inf))
        if now_s - logged_at_s >= (SAME_AGAIN_S if text == was else 1.0):
            self._logged[kind] = text, now_s
            log.error(text, exc_info=error if log.isEnabledFor(logging.DEBUG) else None)

    def report_session(self) -> None:
        session = {"folder": str(self.project.folder), "source": self.options.source, "is_running": self.is_running}
        self._report({**session, "scene": self.desk.scenes.current})

    def close(self) -> None:
        """Releases every note, and ends. Closing twice does nothing."""
        if self.commands.is_closed:
            return
        self.commands.is_closed = True
        self.desk.release()
        self.outputs.panic()
        self.clerk.shutdown(wait=False, cancel_futures=True)
        self.source.close()
        self.recordings.finish_all(self.recorder.close())
        self.outputs.close()
        self.tracker.close()
        self.broadcast.close()
        self.server.close()

    # Building rooms

    def _find(self, project: Project) -> tuple[FoundPatch, Source, Tracker]:
        """The patch of that project, with source and tracker for it.

        While what an editor saved cannot be played, that is the one that played before. Raises PatchError, SourceError
        or AssetError, and then leaves nothing open.
        """

        def prepared(found: FoundPatch) -> tuple[FoundPatch, Source, Tracker]:
            patch = found.patch.sending_to(self.options.out)
            wanted = self.options.source or patch.listen.source
            return replace(found, patch=patch), *self._prepare(wanted, patch, project)

        found = find_patch(project.patch_file)
        try:
            ready = prepared(found)
        except (SourceError, AssetError) as error:
            played = None if found.problem else find_played(project.patch_file, str(error))
            if played is None:
                raise
            ready = prepared(played)
        if ready[0].problem:
            log.error("patch.toml cannot be played; the one that played before it does: %s", ready[0].problem)
        return ready

    def _prepare(self, wanted: str, patch: Patch, project: Project) -> tuple[Source, Tracker]:
        """Source and tracker for that patch: those there are, where they serve, else new ones.

        Raises SourceError or AssetError, and then leaves nothing open.
        """
        source, tracker = getattr(self, "source", None), getattr(self, "tracker", None)
        is_same = wanted == self._wanted_source and all(
            getattr(patch.listen, key) == getattr(self.patch.listen, key) for key in ("width_px", "quiet_s")
        )
        if source is None or not is_same or wanted.startswith("take:"):
            if (wanted == "osc") != patch.listen.is_numbers and not wanted.startswith("take:"):
                kind = "numbers over OSC" if patch.listen.is_numbers else "a body"
                raise SourceError(f"source '{wanted}': this patch learns from {kind}")
            name = self.options.auto_source if wanted == "auto" and self.options.auto_source else wanted
            source = open_source(
                name,
                width_px=patch.listen.width_px,
                is_once=self.options.is_once,
                on_frame=self._bell.set,
                takes_file=project.takes_file,
                phone_line=PhoneLine(port=self.server.address[1], secret=self.options.secret)
                if self.options.secret
                else None,
                quiet_s=patch.listen.quiet_s or math.inf,
            )
        is_recorded = wanted == "osc" or wanted.startswith("take:")
        if tracker is not None and self._serves(tracker, patch, is_recorded):
            return source, tracker
        try:
            return source, RecordedTracker() if is_recorded else self._open_tracker(patch)
        except BaseException:
            if source is not getattr(self, "source", None):
                source.close()
            raise

    def _serves(self, tracker: Tracker, patch: Patch, is_recorded: bool) -> bool:
        """Whether the tracker there is finds what that patch wants found."""
        if isinstance(tracker, RecordedTracker) or is_recorded:
            return isinstance(tracker, RecordedTracker) and is_recorded
        return _of_tracker(patch.listen) == _of_tracker(self.patch.listen)

    def _move_in(self, source: Source, tracker: Tracker, wanted: str) -> None:
        """Plays with these from now on."""
        old_source, old_tracker = getattr(self, "source", source), getattr(self, "tracker", tracker)
        self.source, self.tracker, self._wanted_source = source, tracker, wanted
        if old_tracker is not tracker:
            old_tracker.close()
        if old_source is not source:
            old_source.close()
            tracker.forget()

    @staticmethod
    def _open_tracker(patch: Patch) -> Tracker:
        track = patch.listen.track
        return MediaPipeTracker(
            patch.listen,
            pose_model=assets.path("pose.task") if "pose" in track else None,
            hand_model=assets.path("hand.task") if "hands" in track else None,
        )

    def _open_recorder(self, project: Project) -> Recorder:
        recorder = Recorder(project.takes_file, self.now_s)
        if recorder.moved_aside is not None:
            log.warning(
                "the takes file was damaged and has been kept as %s; %d takes could be read from it",
                recorder.moved_aside,
                len(recorder.salvaged),
            )
        for take in recorder.recovered:
            log.warning("take %d was cut off and has been kept: %d frames", take.id, take.frame_count)
        return recorder

    def _build(self, patch: Patch) -> None:
        """Makes the rooms after the tracker for that patch, and plays it; nothing here can fail."""
        if patch.listen.is_numbers and not patch.listen.inputs:
            patch = with_inputs(patch, self._recorded_inputs())
        if not hasattr(self, "outputs"):
            self.outputs = Outputs(patch, self._midi)
        elif patch.destinations != self.patch.destinations:
            self.outputs.close()
            self.outputs = Outputs(patch, self._midi)
        self.patch = patch
        self.extractor = FeatureExtractor(patch)
        self.predictor = Predictor(patch, self._made_learners)
        self.telemetry.publish("changes", "patch")

    def _recorded_inputs(self) -> int:
        """How many numbers the newest take has; 0 when there is none."""
        with TakeStore.open(self.project.takes_file, readonly=True) as store:
            counts = [take.number_count for take in store.takes() if take.number_count]
        return counts[-1] if counts else 0

    # What arrives

    def _take_numbers(self, values: FloatArray) -> None:
        """Called by the server's thread for every /wek/inputs."""
        source = self.source
        if isinstance(source, NumbersSource):
            source.push(values)

    def _settle_inputs(self, numbers: FloatArray) -> bool:
        """Whether these numbers are as many as the patch wants; the first ones say how many that is."""
        wanted = self.patch.listen.inputs
        if len(numbers) == wanted:
            self._misfits = (0, 0)
            return True
        if not len(numbers) or (wanted and not self._is_another_sender(len(numbers))):
            came = f"/wek/inputs carried {len(numbers)} floats, this project has {wanted} inputs"
            self.complain("inputs", came)
            self._misfit = came, self.now_s()
            return False
        enabled = self.predictor.enabled
        self.patch = with_inputs(self.patch, len(numbers))
        self.extractor = FeatureExtractor(self.patch)
        self.predictor = Predictor(self.patch, self._made_learners)
        self.predictor.enabled = enabled
        self.load_models()
        return True

    def _is_another_sender(self, count: int) -> bool:
        """Whether so many numbers keep coming where the patch leaves it open and no take says how many there are."""
        known, times = self._misfits
        times = times + 1 if count == known else 1
        self._misfits = count, times
        if times != MISFITS and times % MISFITS_AGAIN:
            return False
        with suppress(PatchError):
            is_open = not read_patch(self.project.patch_file).listen.inputs
            return is_open and self.recorder.state.phase == "idle" and not self._recorded_inputs()
        return False

    @property
    def misfit(self) -> str:
        """What is wrong with the numbers that come now, in words; empty where nothing is."""
        came, at_s = self._misfit
        return came if self.now_s() - at_s < NEWS_S else ""

    def _send(self, controls: Sequence[Control]) -> None:
        """Sends them, and tells whoever follows what is sent."""
        self.outputs.send(controls)
        self.broadcast.controls(controls)


def _beside_routes(patch: Patch) -> Patch:
    """The patch without what may change while everything else goes on."""
    return replace(patch, routes=(), scenes=(), pedals=())


def _of_tracker(listen: Listen) -> Listen:
    """Of where frames come from, what matters to the tracker."""
    return replace(listen, source="", width_px=0, quiet_s=0.0)


def _is_wekinator(control: Any) -> bool:
    return isinstance(control, OscSend) and control.address == "/wek/outputs"
