"""What is learned when: the trainings that are asked for, those that come by themselves, and what was found out."""

import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from instrument.takes import TakeStore, Target
from instrument.training_job import SUPERSEDED

if TYPE_CHECKING:
    from instrument.engine import Engine

log = logging.getLogger(__name__)

AGAIN_AFTER_S, MOST_AGAIN_AFTER_S = 20.0, 640.0
"""A training that the disk stopped is tried again after so long, after twice that, and so on."""


class Teaching:
    """Has one engine's trainer train, and knows what it found out about the takes."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.coaching: dict[str, Any] = {}
        """What the trainer found out about the takes after the last training."""
        self.is_run_when_trained = False
        """Whether the next training that succeeds starts playing; whoever says `run` decides otherwise."""
        self._is_stale = False
        """Whether takes have changed since the last training of all outputs began."""
        self._is_catching_up = False
        """Whether that training, which came by itself, is under way."""
        self._again_at_s: float | None = None
        """When what failed is tried again, as what it met may have passed."""
        self._again_after_s = AGAIN_AFTER_S
        self._asked = 0
        """Trainings under way that somebody waits for; those that come by themselves wait for them."""

    def open(self, *, is_run_when_trained: bool) -> None:
        """Another project plays: trains what it has takes for and no model."""
        self.is_run_when_trained = is_run_when_trained
        self._is_stale, self._again_at_s, self.coaching = False, None, {}
        self.train_untrained()

    def forget_all_but(self, outputs: Collection[str]) -> None:
        """Keeps what was found out about these outputs only."""
        self.coaching = {name: found for name, found in self.coaching.items() if name in outputs}

    def attend(self) -> None:
        """Trains what has changed, once nobody waits for another training."""
        if self._again_at_s is not None and self._engine.now_s() >= self._again_at_s:
            self._again_at_s, self._is_stale = None, self._engine.patch.training.always
        if self._is_stale and not self._asked:
            self._train_always()

    def train(
        self,
        outputs: Sequence[str],
        answer: Callable[[dict[str, Any] | None, str | None], None],
        *,
        is_run_after: bool = True,
        is_asked: bool = True,
    ) -> None:
        """Trains those outputs, or all; `answer` gets the summary once the new models play, or why they do not.

        With `is_asked`, somebody waits for it, and no training that comes by itself cuts it short. Told to stop
        meanwhile, the engine does not play afterwards.
        """
        engine = self._engine
        self._asked += is_asked
        self.is_run_when_trained |= is_asked and is_run_after
        # What this cuts short for other outputs is done afterwards.
        is_due = self._is_stale or self._is_catching_up or self._again_at_s is not None
        self._is_stale, self._again_at_s = bool(outputs) and is_due, None
        self._is_catching_up &= bool(outputs)

        def finished(summary: dict[str, Any] | None, reason: str | None) -> None:
            self._asked -= is_asked
            if summary is None and engine.trainer.may_pass:
                self._try_again_later()
            if summary is not None:
                self._again_after_s = AGAIN_AFTER_S
                engine.load_models()
                if is_run_after and self.is_run_when_trained:
                    engine.set_running(True)
            answer(summary, reason)

        # What is being written to disk now is learned too.
        written = engine.recorder.edit(lambda _: None)
        engine.after(written, lambda _: engine.trainer.train(engine.project.folder, outputs, finished))

    def note_change(self) -> None:
        """Takes have changed: where the patch wants it, there will be a new model without anybody asking."""
        engine = self._engine
        self.coaching = {}
        engine.trainer.outdate()
        engine.telemetry.publish("changes", "takes")
        self._is_stale = engine.patch.training.always

    def _try_again_later(self) -> None:
        """The disk stopped a training: all is trained once more, where takes are learned without asking."""
        if self._engine.patch.training.always:
            self._is_stale = False
            self._again_at_s = self._engine.now_s() + self._again_after_s
            log.warning("what could not be trained is tried again in %g s", self._again_after_s)
            self._again_after_s = min(2 * self._again_after_s, MOST_AGAIN_AFTER_S)

    def _train_always(self) -> None:
        def answer(summary: dict[str, Any] | None, reason: str | None) -> None:
            if reason == SUPERSEDED:
                return
            self._is_catching_up = False
            if summary is None:
                advice: dict[str, Any] = {"kind": "refused", "text": reason, "evidence": {}}
                self.take_coaching({"training": {"is_ready": False, "advice": [advice]}})

        self.train((), answer, is_asked=False)
        self._is_catching_up = True

    def train_untrained(self) -> None:
        """Trains what has takes but no model that fits, as a project that was just made; else studies what was not."""
        engine = self._engine
        with TakeStore.open(engine.project.takes_file, readonly=True) as store:
            taught: dict[str, set[Target]] = {}
            for take in store.takes(kind="take"):
                for name, target in take.targets.items():
                    taught.setdefault(name, set()).add(target)
        names = {output.name for output in engine.patch.outputs}
        untrained = [
            one.output
            for output, one in zip(engine.patch.outputs, engine.predictor.status(), strict=True)
            if one.output in taught
            and not (one.is_running and taught[one.output] & set(output.classes) <= set(one.classes))
        ]
        if untrained:
            log.info("training %s from the project's takes", ", ".join(untrained))

            def answer(_: dict[str, Any] | None, reason: str | None) -> None:
                if reason is not None:
                    log.warning("training: %s", reason)

            self.train(untrained, answer, is_asked=False)
        elif taught and not names <= self.coaching.keys() and not self._is_stale and not engine.trainer.has_job:
            engine.trainer.study(engine.project.folder)

    def take_coaching(self, found: dict[str, Any]) -> None:
        """Keeps what the trainer found out about the takes, and tells whoever listens."""
        engine = self._engine
        running = {one.output for one in engine.predictor.status() if one.is_running}
        for name, one in found.items():
            for advice in one.get("advice", ()):
                if advice["kind"] == "refused" and running and (name in running or name not in engine.targets):
                    advice["text"] += "; until then it plays what it learned before"
        self.coaching = found
        engine.telemetry.publish("coaching", json.dumps(found))
        for name, one in found.items():
            for advice in one.get("advice", ()):
                log.info("%s: %s", name, advice["text"])
