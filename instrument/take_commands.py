"""Commands that record takes and rehearsals, and change them."""

import json
import logging
from concurrent.futures import Future
from functools import partial
from typing import Any

from instrument.command_base import LATER, Answer, CommandBase, Later
from instrument.exchange import NO_TAKES, export_takes, read_takes
from instrument.protocol import Value
from instrument.recorder import Outcome
from instrument.report import take_row
from instrument.server import Call
from instrument.takes import TakeStore, WholeTake

log = logging.getLogger(__name__)

MOST_TIMES = 100


class TakeCommands(CommandBase):
    """See `Commands`."""

    def record(self, *pairs: Value) -> Answer:
        targets = self._targets(pairs)
        self._engine.recordings.start(targets)
        return [", ".join(f"{name} {target}" for name, target in targets.items()), self._engine.recordings.number]

    def record_timed(self, count_in_s: float, length_s: float, *pairs: Value) -> Answer:
        if not 0 <= count_in_s <= 3600 or not 0 <= length_s <= 24 * 3600:
            raise ValueError(f"count-in {count_in_s:g} s, length {length_s:g} s; allowed: 0..3600 s and 0..86400 s")
        self._engine.recordings.start(self._targets(pairs), count_in_s=count_in_s, length_s=length_s or None)
        assert self._call is not None
        self._engine.recordings.answer(self._call)
        return LATER

    def record_toggle(self, *pairs: Value) -> Answer:
        if self._engine.recordings.stop(None):
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
                    self.fail(call, engine.recordings.refusal(outcome))

            engine.recordings.start(targets, count_in_s=count_in_s, length_s=length_s, then=finished)

        record(times)
        return LATER

    def record_stop(self, number: int = 0) -> Answer:
        if number and number != self._engine.recordings.number:
            raise ValueError("that recording has ended already; another one is newer")
        if not self._engine.recordings.stop(self._call):
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
        self._engine.recordings.start({}, kind="performance")
        return None

    def rehearse(self) -> Answer:
        if self._engine.recordings.kind == "rehearsal":
            raise ValueError("a rehearsal is being recorded already; `rehearse stop` ends it")
        self._engine.recordings.start({}, kind="rehearsal")
        return None

    def rehearse_stop(self) -> Answer:
        engine, call = self._engine, self._call
        if engine.recordings.kind != "rehearsal":
            raise ValueError("no rehearsal is being recorded")
        engine.recordings.stop(None)
        return self._rehearsed(call)

    def rehearse_use(self, take: int, nothing_meant: int) -> Answer:
        engine, call = self._engine, self._call

        def finish(done: Future[str | None]) -> None:
            if (error := done.exception()) is not None:
                self.fail(call, str(error))
                return
            if done.result() is not None:
                engine.teaching.note_change()
            self._rehearsed(call)

        engine.after(engine.recorder.edit(lambda store: store.mean_nothing(take, bool(nothing_meant))), finish)
        return LATER

    def _rehearsed(self, call: Call | None) -> Later:
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

        engine.teaching.train((), answer, is_run_after=False)
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

        return LATER if self._engine.recordings.stop(None, dropped) else self._undo()

    def _undo(self) -> Answer:
        return self._edit(lambda store: store.undo(), lambda what: [what or "nothing to undo"])

    def redo(self) -> Answer:
        return self._edit(lambda store: store.redo(), lambda what: [what or "nothing to redo"])
