"""How a command is applied and answered, and what several of them need."""

import ipaddress
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instrument.assets import AssetError
from instrument.models.movement_model import load_of_kind
from instrument.models.trained import ModelError, copy_model
from instrument.patch import Output
from instrument.patch_edit import TomlValue
from instrument.patch_file import parse_patch
from instrument.patch_keeper import PatchKeeper
from instrument.protocol import Value
from instrument.server import Call
from instrument.takes import TakesError, TakeStore, Target
from instrument.targets import checked_target

if TYPE_CHECKING:
    from instrument.engine import Engine

log = logging.getLogger(__name__)


class Later:
    """Says that the answer comes when the work has ended."""


LATER = Later()
Answer = list[Value] | Later | None

REFUSALS = (ValueError, KeyError, TakesError, ModelError, AssetError, OSError)
"""What a command may raise to say no."""


class CommandBase:
    """Applies calls to one engine, in the engine's thread, between two frames; commands are methods of its heirs."""

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
        except REFUSALS as error:
            self.fail(call, error.args[0] if isinstance(error, KeyError) else str(error))
            return
        except Exception as error:  # on stage nothing stops
            self._break(call, error)
            return
        if not isinstance(answer, Later):
            self.done(call, *(answer or []))

    def _break(self, call: Call | None, error: Exception) -> None:
        """Answers that something happened that nobody thought of."""
        address = "a command" if call is None else call.command.address
        self._engine.complain("command", f"{address} failed: {error!r}", error)
        self.fail(call, f"the instrument could not do this: {error!r}")

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
        enabled = frozenset(self._engine.predictor.enabled)
        self._engine.enable_outputs(enabled | {output.name} if is_on else enabled - {output.name})

    def _edit(self, change: Callable[[TakeStore], Any], answer: Callable[[Any], list[Value]] = lambda _: []) -> Later:
        """Has the takes' one writer make the change, and answers when it is on disk. Frames do not wait for it."""
        return self._answer_after(self._engine.recorder.edit(change), answer, is_change=True)

    def _answer_after(
        self, work: Future[Any], answer: Callable[[Any], list[Value]], *, is_change: bool = False
    ) -> Later:
        """Answers whoever calls now when the work is done; `is_change` says that it changes takes."""
        call = self._call

        def finish(future: Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                self.fail(call, str(error))
            else:
                done = future.result()
                if is_change and done is not None:
                    self._engine.teaching.note_change()
                try:
                    values = answer(done)
                except Exception as unforeseen:
                    self._break(call, unforeseen)
                else:
                    self.done(call, *values)

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

        engine.teaching.train(outputs, answer, is_run_after=is_run_after)

    @property
    def _patch(self) -> PatchKeeper:
        return self._engine.patch_keeper

    def _change_patch(self, text: str, *, edit: str = "") -> None:
        """As `PatchKeeper.change`."""
        self._may_play(text)
        self._patch.change(text, edit=edit)

    def _may_play(self, text: str) -> None:
        """Raises where that patch shows other pictures, which only programs on this computer may say."""
        if not self._is_local():
            source = parse_patch(text, self._engine.project.patch_file).listen.source
            if source not in ("phone", self._engine.patch.listen.source):
                self._must_be_local()

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
        if source.resolve() != target.resolve():
            copy_model(source, target)
