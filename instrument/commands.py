"""What each command of the protocol does to the engine: one method per row of the table.

A method is named after its address (/instrument/takes/delete is `takes_delete`) and gives what
its `/done` carries, or LATER when somebody will answer when the work has ended. What it raises
becomes the reason in `/fail`.
"""

import json
import os

from instrument import __version__
from instrument.command_base import LATER, Answer
from instrument.model_map import answer as map_answer
from instrument.patch_commands import PatchCommands
from instrument.protocol import COMMANDS, Value
from instrument.server import Call
from instrument.status import status_of
from instrument.take_commands import TakeCommands
from instrument.telemetry import LEASE_S
from instrument.wekinator_commands import WekinatorCommands


class Commands(PatchCommands, TakeCommands, WekinatorCommands):
    """Every command of the protocol."""

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
        self._must_be_local()
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
            self._engine.teaching.take_coaching(json.loads(found))
        return LATER

    def trainer_failed(self, job: int, reason: str, again: int = 0) -> Answer:
        if self._is_local():
            self._engine.trainer.failed(job, reason, may_pass=bool(again))
        return LATER

    # Source and performer

    def source(self, name: str) -> Answer:
        if name != "phone":
            self._must_be_local()
        self._engine.change_source(name)
        return [self._engine.source.status().name]

    def performer_forget(self) -> Answer:
        self._engine.tracker.forget()
        return None

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
        return [json.dumps(self._engine.teaching.coaching)]

    # Telemetry

    def subscribe(self, *topics: str) -> Answer:
        assert self._call is not None
        self._engine.telemetry.subscribe(self._call.sender, topics)
        return [LEASE_S]

    def unsubscribe(self) -> Answer:
        assert self._call is not None
        self._engine.telemetry.unsubscribe(self._call.sender)
        return None
