"""The engine's side of training: knows whether the trainer lives, and gives it one job at a time."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instrument import clock
from instrument.telemetry import Send

log = logging.getLogger(__name__)

SILENT_S = 3.0
"""A trainer not heard of for this long is taken for dead; it says hello twice a second."""
PATIENCE_S = 15.0
"""How long a job waits for a trainer to come (back)."""
FORGOTTEN_S = 1.5
"""A trainer that says so long that it has nothing in hand never got what it was told, or its answer was lost."""
SUPERSEDED = "another training was asked for"

Finished = Callable[[dict[str, Any] | None, str | None], None]
"""Called with the summary, or with why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    number: int
    folder: Path
    outputs: tuple[str, ...]
    finished: Finished
    asked_at_s: float


class TrainerLink:
    """One trainer at most, one job at most. One thread only: the engine's."""

    def __init__(self, send: Send, now_s: clock.Clock) -> None:
        self._send = send
        self._now_s = now_s
        self._port = 0
        self._pid = 0
        self._heard_at_s = -SILENT_S
        self._job: _Job | None = None
        self._sent_to_pid = 0
        self._idle_since_s: float | None = None
        """Since when the trainer has not had the last job in hand."""
        self._folder = Path()
        self._is_study_repeated = False
        self._numbers = 0
        self._study: tuple[int, Path] | None = None
        """What is to be studied once there is a trainer."""
        self.may_pass = False
        """Whether what the last job that failed met may pass, as a full disk does."""
        self.is_studying = False
        """Whether what there is to say about the takes is being found out."""
        self.progress: tuple[str, int, int, float, float] | None = None
        """Output, step, steps, loss, validation of the job in hand."""

    @property
    def is_alive(self) -> bool:
        return self._now_s() - self._heard_at_s < SILENT_S

    @property
    def has_job(self) -> bool:
        """Whether a training is under way, or waits for a trainer."""
        return self._job is not None

    def train(self, folder: Path, outputs: Sequence[str], finished: Finished) -> None:
        """Trains those outputs (all, if none is named) of the project; ends a job in hand first."""
        self.cancel(SUPERSEDED)
        self._folder, self.may_pass = folder, False
        self._job = _Job(
            number=self._numbers, folder=folder, outputs=tuple(outputs), finished=finished, asked_at_s=self._now_s()
        )
        self._sent_to_pid = 0
        self.attend()

    def study(self, folder: Path) -> None:
        """Has it found out what to say about that project as it is trained now; whatever else is asked for ends it."""
        self.cancel("a study was asked for")
        self._study, self._folder = (self._numbers, folder), folder
        self.is_studying = True
        self.attend()

    def cancel(self, reason: str = "cancelled") -> bool:
        """Ends the job in hand; whether there was one. What is still found out about earlier jobs is of no interest."""
        self._numbers += 1
        self._idle_since_s, self._is_study_repeated = None, False
        self._study, self.is_studying = None, False
        job = self._job
        if job is None:
            return False
        if self.is_alive:
            self._send(("127.0.0.1", self._port), "/cancel", job.number)
        self._finish(None, reason)
        return True

    def attend(self) -> None:
        """Hands the job over when there is a trainer; one that died, or does not know of it, gets it again."""
        if self._idle_since_s is not None and self._now_s() - self._idle_since_s > FORGOTTEN_S:
            self._idle_since_s = None
            if self._job is not None:
                self._sent_to_pid = 0
            elif self.is_studying and not self._is_study_repeated:
                self._study, self._is_study_repeated = (self._numbers, self._folder), True
            else:
                self.is_studying = False
        if self._study is not None and self.is_alive:
            number, folder = self._study
            self._study = None
            self._send(("127.0.0.1", self._port), "/study", number, str(folder))
        job = self._job
        if job is None:
            return
        if self.is_alive:
            if self._sent_to_pid != self._pid:
                self._sent_to_pid = self._pid
                self._send(("127.0.0.1", self._port), "/train", job.number, str(job.folder), ",".join(job.outputs))
        elif self._now_s() - max(job.asked_at_s, self._heard_at_s) > PATIENCE_S:
            self._finish(None, "no trainer is running; `instrument play` starts one, see its log for why it ended")

    def hello(self, port: int, pid: int, in_hand: int) -> None:
        """Takes in where the trainer listens, and the number of the job it has in hand."""
        if not 0 < port < 65536:
            return
        if in_hand == self._numbers or (self._job is None and not self.is_studying):
            self._idle_since_s = None
        elif self._idle_since_s is None:
            self._idle_since_s = self._now_s()
        if pid != self._pid:
            log.debug("trainer %d listens on port %d", pid, port)
        self._port, self._pid, self._heard_at_s = port, pid, self._now_s()
        self.attend()

    def advance(self, job: int, output: str, step: int, steps: int, loss: float, validation: float) -> bool:
        """Takes in progress; whether it is that of the job in hand."""
        if self._job is None or self._job.number != job:
            return False
        self.progress = (output, step, steps, loss, validation)
        return True

    def done(self, job: int, summary: str) -> None:
        if self._job is not None and self._job.number == job:
            try:
                described = json.loads(summary)
            except ValueError as error:
                self._finish(None, f"the trainer's answer is not JSON: {error}")
            else:
                self.is_studying = True
                self._finish(described, None)

    def coached(self, job: int) -> bool:
        """Takes in that a study has ended; whether it is that of the last job, and nobody has cancelled since."""
        if not self.is_latest(job):
            return False
        self.is_studying = False
        return True

    def is_latest(self, job: int) -> bool:
        """Whether that is the last job there was, and nobody has cancelled since."""
        return job == self._numbers

    def outdate(self) -> None:
        """Takes have changed: what is being found out about them is of no interest any more."""
        if self._job is None:
            self.cancel()

    def failed(self, job: int, reason: str, *, may_pass: bool = False) -> None:
        """Takes in why; `may_pass` says that the same may go well later."""
        if self._job is not None and self._job.number == job:
            self.may_pass = may_pass
            self._finish(None, reason)

    def status(self) -> dict[str, Any]:
        return {
            "alive": self.is_alive,
            "pid": self._pid,
            "training": self.has_job,
            "studying": self.is_studying and self.is_alive,
            "progress": self.progress,
        }

    def _finish(self, summary: dict[str, Any] | None, reason: str | None) -> None:
        job, self._job, self.progress = self._job, None, None
        if job is not None:
            job.finished(summary, reason)
