"""The trainer process: kept warm, trains when told to, and answers while it does.

    python -m instrument.trainer --engine HOST:PORT

It speaks OSC over UDP on this machine only. In come `/train` (job, project folder, outputs with
commas between, none for all), `/study` (job, project folder) and `/cancel` (job). Out to the engine,
under `/instrument/trainer/`, go `hello` (port, process id, job in hand) once it is warm and every half second from
then on, and for each job `progress` (job, output, step, steps, loss, score; -1 where nothing is held
out), and in the end `done` (job, summary as JSON) or `failed` (job, reason, and 1 where it may go well
later just as it is, as when the disk was full). After `done` it goes on
to draw what the models see, and sends `mapped` (job), and to find out what to record next, and sends
`coached` (job, what it found as JSON), unless another job comes first; `/study` asks for these alone,
of models that are there already. What does not come from the engine's own socket is dropped. It ends
on SIGTERM, and when its standard input closes because the supervisor that held the other end is gone.
"""

import signal

if __name__ == "__main__":  # before the rest: Ctrl-C reaches every process, also one that still imports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor ends this one

import argparse
import json
import logging
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instrument.clock import Clock, now_s
from instrument.kernels.threads import use_one_thread
from instrument.osc import Argument, OscError, decode, encode, parse_host_port
from instrument.priority import lower_priority

if TYPE_CHECKING:  # these import numpy, which must not come before use_one_thread()
    from instrument.models.fitting import Progress
    from instrument.training import ProjectTraining

log = logging.getLogger(__name__)

HELLO_EVERY_S = 0.5
MOST_SUMMARY_BYTES = 8000
MOST_REASON_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    number: int
    folder: Path
    outputs: tuple[str, ...]
    is_study: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)


_Last = tuple[str, int, str] | tuple[str, int, str, int]


class Trainer:
    """Takes jobs from the engine, and from nobody else, one at a time; a new one cancels those before it.

    `train` is called as `instrument.training.train_project` without its cache; whatever it raises
    becomes the reason its job failed. Afterwards `draw` draws what the models of a training see into
    its folder, and `study` gives what to say about it; `look` gives a whole project as it is trained
    now, for both of them. `on_hello` is called whenever it tells the engine that it lives.
    Raises OSError for an engine's host that is not known.
    """

    def __init__(
        self,
        *,
        engine: tuple[str, int],
        train: "Callable[..., ProjectTraining]",
        draw: "Callable[[Path, ProjectTraining, Callable[[], bool]], None] | None" = None,
        study: "Callable[[ProjectTraining, Callable[[], bool]], dict[str, Any]] | None" = None,
        look: "Callable[..., ProjectTraining] | None" = None,
        on_hello: "Callable[[], None]" = lambda: None,
        clock: Clock = now_s,
    ) -> None:
        self._engine = _address_here(*engine)
        self._train = train
        self._draw = draw
        self._study = study
        self._look = look
        self._on_hello = on_hello
        self._studied: _Job | None = None
        self._clock = clock
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.strangers = 0
        """Datagrams dropped because they did not come from the engine."""
        self._is_stopped = False
        self._unfinished: list[_Job] = []
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def serve(self) -> None:
        """Answers until `stop`; training goes on in a thread of its own."""
        worker = threading.Thread(target=self._work, name="training", daemon=True)
        worker.start()
        hello_at_s = self._clock()
        while not self._is_stopped:
            if self._clock() >= hello_at_s:
                self._send("hello", self.port, os.getpid(), self._at_work())
                self._on_hello()
                hello_at_s = self._clock() + HELLO_EVERY_S
            self._socket.settimeout(max(hello_at_s - self._clock(), 0.001))
            with suppress(TimeoutError, ConnectionResetError):  # Windows resets when the engine is away
                self._receive(*self._socket.recvfrom(65536))
        self._cancel_all()
        self._waiting.put(None)
        worker.join(timeout=2.0)
        self._socket.close()

    def stop(self) -> None:
        """Makes `serve` return, from any thread or a signal."""
        self._is_stopped = True
        with suppress(OSError):
            self._socket.sendto(b"", ("127.0.0.1", self.port))

    def _receive(self, datagram: bytes, sender: tuple[str, int]) -> None:
        if self._is_stopped:
            return
        if sender != self._engine:
            self.strangers += 1
            if self.strangers == 1:
                log.warning(
                    "dropped a datagram from %s:%d; only the engine, at %s:%d, is listened to", *sender, *self._engine
                )
            return
        try:
            messages = decode(datagram)
        except OscError as error:
            log.warning("dropped a datagram: %s", error)
            return
        for message in messages:
            match message:
                case ("/train", (int(number), str(folder), str(outputs))):
                    self._take_on(_Job(number, Path(folder), tuple(name for name in outputs.split(",") if name)))
                case ("/study", (int(number), str(folder))):
                    self._take_on(_Job(number, Path(folder), (), is_study=True))
                case ("/cancel", (int(number),)):
                    for job in list(self._unfinished):
                        if job.number == number:
                            job.cancelled.set()
                case (address, arguments):
                    log.warning("dropped %s %r; allowed: /train (i s s), /study (i s), /cancel (i)", address, arguments)

    def _take_on(self, job: _Job) -> None:
        self._cancel_all()
        self._unfinished.append(job)
        self._waiting.put(job)

    def _cancel_all(self) -> None:
        for job in list(self._unfinished):
            job.cancelled.set()
        if (studied := self._studied) is not None:
            studied.cancelled.set()

    def _at_work(self) -> int:
        """The number of the job in hand, what is found out about it included; 0 for none."""
        jobs = [*self._unfinished[-1:], self._studied]
        return next((job.number for job in jobs if job is not None), 0)

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            answer, training = (None, None) if job.is_study else self._run(job)
            self._studied = job
            self._unfinished.remove(job)
            # An engine that was restarted counts from 1 again: this answer must not end its new job.
            if all(other.number != job.number for other in list(self._unfinished)):
                if answer is not None:
                    self._send(*answer)
                if job.is_study or training is not None:
                    self._coach(job, training)
            self._studied = None

    def _coach(self, job: _Job, training: "ProjectTraining | None") -> None:
        """Says what to record next; a new job cuts that short. Found out about all outputs, whichever were trained."""
        if self._study is None or job.cancelled.is_set():
            return
        try:
            if (training is None or job.outputs) and self._look is not None:
                training = self._look(job.folder, is_cancelled=job.cancelled.is_set)
            if training is not None:
                self._map(job, training)
            found = self._study(training, job.cancelled.is_set) if training is not None else {}
        except Exception as error:  # the models play; what is known about them is a bonus
            if job.cancelled.is_set():
                return
            log.warning("job %d: no advice (%s)", job.number, error, exc_info=log.isEnabledFor(logging.DEBUG))
            found = {}
        if not job.cancelled.is_set():
            self._send("coached", job.number, coaching_text(found))

    def _map(self, job: _Job, training: "ProjectTraining") -> None:
        """Draws what the models see."""
        if self._draw is None:
            return
        try:
            self._draw(job.folder, training, job.cancelled.is_set)
        except Exception as error:  # whatever it is, there is still something to say
            if not job.cancelled.is_set():
                log.warning("job %d: no picture (%s)", job.number, error, exc_info=log.isEnabledFor(logging.DEBUG))
        else:
            self._send("mapped", job.number)

    def _run(self, job: _Job) -> "tuple[_Last, ProjectTraining | None]":
        """The last message of that job, and what came of it."""
        if job.cancelled.is_set():
            return ("failed", job.number, "cancelled"), None
        try:
            training = self._train(
                job.folder,
                outputs=job.outputs,
                on_progress=partial(self._report, job),
                is_cancelled=job.cancelled.is_set,
            )
        except Exception as error:  # whatever is wrong with a project, the next one must train
            if job.cancelled.is_set():
                return ("failed", job.number, "cancelled"), None
            is_ours = type(error).__module__.startswith("instrument.")
            reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
            if not is_ours:  # of its own errors the engine tells the reason
                log.warning("job %d failed", job.number, exc_info=True)
            sendable = reason.replace("\0", "").encode(errors="replace").decode()[:MOST_REASON_CHARACTERS]
            if isinstance(error, OSError):
                return ("failed", job.number, sendable, 1), None
            return ("failed", job.number, sendable), None
        return ("done", job.number, summary(training)), training

    def _report(self, job: _Job, output: str, progress: "Progress") -> None:
        score = -1.0 if progress.validation is None else progress.validation
        self._send("progress", job.number, output, progress.step, progress.steps, float(progress.loss), score)

    def _send(self, name: str, *arguments: Argument) -> None:
        try:
            self._socket.sendto(encode(f"/instrument/trainer/{name}", arguments), self._engine)
        except (OscError, OSError) as error:
            log.warning("could not send %s to the engine: %s", name, error)


def summary(training: "ProjectTraining") -> str:
    """What came of a training as JSON, with as much detail as one message has room for."""
    described: dict[str, dict[str, Any]] = {
        name: {"model_id": model.model_id, "kind": model.kind, "classes": model.classes, **model.training}
        for name, model in training.models.items()
    }
    for one in described.values():
        one.pop("curve", None)  # which has been reported as it came
    text = ""
    for kept in (None, ("model_id", "classes", "examples", "notes"), ("model_id",), ()):
        outputs = {
            name: {key: value for key, value in one.items() if kept is None or key in kept}
            for name, one in described.items()
        }
        refused = training.refused if kept != () else dict.fromkeys(training.refused, "")
        text = json.dumps({"seconds": round(training.seconds, 4), "outputs": outputs, "refused": refused})
        if len(text) <= MOST_SUMMARY_BYTES:
            break
    return text


def _address_here(host: str, port: int) -> tuple[str, int]:
    """Where an engine that listens there sends from, and hears us."""
    family, kind = socket.AF_INET, socket.SOCK_DGRAM
    here = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104  (who listens everywhere listens here)
    return str(socket.getaddrinfo(here, port, family, kind)[0][4][0]), port


def coaching_text(found: dict[str, Any]) -> str:
    """What was found out, as JSON with as much detail as one message has room for."""
    text = ""
    left_out: tuple[str, ...] = ()
    for further in ("", "curve", "learning_curve", "by_take", "by_frame", "advice"):
        left_out += (further,)
        text = json.dumps(
            {name: {key: value for key, value in one.items() if key not in left_out} for name, one in found.items()}
        )
        if len(text) <= MOST_SUMMARY_BYTES:
            break
    return text


def study_project(training: "ProjectTraining", is_cancelled: "Callable[[], bool]") -> dict[str, Any]:
    """What there is to say about each output of a training, by its name."""
    from instrument.coaching import coach, refused
    from instrument.movement_coaching import coach_movements

    if (patch := training.patch) is None:
        return {}
    found = {}
    for output in patch.outputs:
        name = output.name
        how = training.models[name].training if name in training.models else {}
        if name in training.datasets:
            frame_us = how.get("frame_us", 0.0)
            found[name] = coach(
                patch, output, training.datasets[name], training.takes, frame_us=frame_us, is_cancelled=is_cancelled
            )
        elif name in training.movements:
            trimmed_s = {int(take): float(seconds) for take, seconds in how.get("trimmed_s", {}).items()}
            found[name] = coach_movements(
                patch,
                output,
                training.movements[name],
                training.takes,
                trimmed_s=trimmed_s,
                is_cancelled=is_cancelled,
            )
        elif name in training.refused:
            found[name] = refused(name, training.refused[name])
        if name in found and how.get("curve"):
            found[name]["curve"] = how["curve"]
    return found


def draw_project(folder: Path, training: "ProjectTraining", is_cancelled: "Callable[[], bool]") -> None:
    """Draws what the models of a training see."""
    from instrument import drawing

    drawing.draw_project(folder, training, is_cancelled)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a trainer until its supervisor is gone; gives the exit code."""
    parser = argparse.ArgumentParser(prog="instrument.trainer", description="The instrument's trainer process.")
    parser.add_argument("--engine", required=True, type=parse_host_port, help="HOST:PORT the engine listens on")
    engine = parser.parse_args(argv).engine
    lower_priority()  # before any thread is started: on Linux each has its own priority
    use_one_thread()
    train, look = _warm()
    trainer = Trainer(
        engine=engine, train=train, draw=draw_project, study=study_project, look=look, on_hello=_show_life
    )
    signal.signal(signal.SIGTERM, lambda *_: trainer.stop())
    threading.Thread(target=_stop_with_stdin, args=(trainer,), name="stdin", daemon=True).start()
    trainer.serve()
    return 0


def _warm() -> "tuple[Callable[..., ProjectTraining], Callable[..., ProjectTraining]]":
    """`train_project` and `trained_before`, which share a cache, with all they need imported and run once."""
    import numpy as np

    import instrument.drawing
    import instrument.movement_coaching  # noqa: F401  (imported once, now)
    from instrument.datasets import FeatureCache
    from instrument.models.fitting import Examples, Recipe, fit
    from instrument.training import train_project, trained_before

    examples = Examples(
        values=np.eye(2, 100, dtype=np.float32), targets=np.arange(2), takes=np.arange(2), class_count=2
    )
    fit(examples, hidden=(64, 32), seed=0, recipe=Recipe(steps=3))
    cache = FeatureCache()
    return partial(train_project, cache=cache), partial(trained_before, cache=cache)


def _show_life() -> None:
    """Tells the supervisor."""
    with suppress(OSError):
        os.write(1, b"here\n")


def _stop_with_stdin(trainer: Trainer) -> None:
    with suppress(OSError, ValueError):
        while os.read(0, 4096):  # not sys.stdin, whose lock would hang the exit
            pass
    trainer.stop()


if __name__ == "__main__":
    sys.exit(main())
