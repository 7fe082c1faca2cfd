"""What is being recorded, and who waits for what comes of it."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from instrument.recorder import NO_FRAME, Outcome
from instrument.server import Call
from instrument.takes import Target

if TYPE_CHECKING:
    from instrument.engine import Engine

log = logging.getLogger(__name__)

Then = Callable[[Outcome, bool], None]
"""Gets what came of a recording, and whether it was stopped before its time."""


@dataclass(slots=True, kw_only=True)
class _Awaited:
    """A recording whose outcome has not come, and who waits for it."""

    callers: list[Call] = field(default_factory=list)
    then: list[Then] = field(default_factory=list)
    is_stopped: bool = False


class Recordings:
    """Begins and ends what one engine's recorder records, and answers who asked for it."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._awaited: deque[_Awaited] = deque()
        self._kind = "take"
        self.number = 0
        """That of the newest recording, 1 for the first since the start."""
        self._told = ("idle", 0)

    @property
    def kind(self) -> str | None:
        """What kind of take is being recorded, if one is."""
        return None if self._engine.recorder.state.phase == "idle" else self._kind

    def start(
        self,
        targets: dict[str, Target],
        *,
        count_in_s: float = 0.0,
        length_s: float | None = None,
        kind: str = "take",
        then: Then | None = None,
    ) -> None:
        """Records; what was being recorded ends."""
        engine = self._engine
        if self.kind is not None:
            log.info("the %s under way ends, as another recording begins", self.kind)
            self.stop(None)
        engine.targets = engine.targets | targets
        self._kind = kind
        listen = engine.patch.listen
        engine.recorder.start(
            targets,
            source=engine.source.status().name,
            parts=listen.parts,
            kind=kind,
            number_count=listen.inputs if listen.is_numbers else 0,
            count_in_s=count_in_s,
            length_s=length_s,
        )
        self.number += 1
        self._awaited.append(_Awaited(then=[then] if then else []))

    def stop(self, caller: Call | None, then: Then | None = None) -> bool:
        """Ends the recording; `caller` gets the answer, and `then` what came of it, once the take is on disk.

        Whether there was one.
        """
        if not self._engine.recorder.stop():
            return False
        self._awaited[-1].is_stopped = True
        self._awaited[-1].then += [then] if then else []
        if caller is not None:
            self.answer(caller)
        return True

    def answer(self, caller: Call) -> None:
        """Answers `caller` when the newest recording has ended."""
        self._awaited[-1].callers.append(caller)

    def attend(self) -> None:
        """Looks after what the recorder has finished, and tells what it does."""
        recorder, telemetry = self._engine.recorder, self._engine.telemetry
        for outcome in recorder.poll():
            self._finish(outcome)
        state = recorder.state
        is_new = (state.phase, self.number) != self._told
        if is_new or (telemetry.is_wanted("recording") and state.phase != "idle"):
            self._told = state.phase, self.number
            phase = state.phase.replace("counting in", "count_in")
            telemetry.publish("recording", phase, state.remaining_s or state.recorded_s, self.number)

    def finish_all(self, outcomes: Sequence[Outcome]) -> None:
        """These came of the recordings that were not awaited to their end: the recorder was closed."""
        for awaited in self._awaited:
            awaited.is_stopped = True
        for outcome in outcomes:
            self._finish(outcome)

    def refusal(self, outcome: Outcome) -> str:
        """Why nothing was recorded, in words."""
        if outcome.refused == NO_FRAME and (came := self._engine.misfit):
            return f"{NO_FRAME} that fits: {came}"
        return outcome.refused or NO_FRAME

    def _finish(self, outcome: Outcome) -> None:
        awaited = self._awaited.popleft() if self._awaited else _Awaited()
        try:
            self._tell(outcome, awaited.callers)
        except Exception as error:
            self._engine.complain("recording", f"what came of a recording went wrong: {error!r}", error)
            for caller in awaited.callers:
                self._engine.commands.fail(caller, f"what comes after the recording failed: {error!r}")
        for then in awaited.then:
            self._engine.carefully(then, outcome, awaited.is_stopped)

    def _tell(self, outcome: Outcome, callers: Sequence[Call]) -> None:
        engine, take = self._engine, outcome.take
        if outcome.lost_frames:
            log.warning("%d frames of the take are lost: the disk took none for too long", outcome.lost_frames)
        if outcome.refused is not None or take is None:
            reason = self.refusal(outcome)
            log.warning("the take was refused: %s", reason)
            for caller in callers:
                engine.commands.fail(caller, reason)
            return
        log.info("%s %d: %d frames", take.kind, take.id, take.frame_count)
        if take.kind == "performance":
            engine.telemetry.publish("changes", "takes")  # it teaches nothing
        else:
            engine.teaching.note_change()
        for caller in callers:
            engine.commands.done(caller, take.id, take.frame_count)
