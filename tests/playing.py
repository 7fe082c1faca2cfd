"""An engine playing in this process, with a real trainer in a thread and a socket that hears what is sent."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bodies import moving_body
from clients import PATIENCE_S, RecordingMidi, wait_until

from instrument import osc
from instrument.client import Client
from instrument.datasets import FeatureCache
from instrument.engine import Engine, EngineOptions
from instrument.protocol import Value
from instrument.takes import TakeStore, frame_row
from instrument.trainer import Trainer, draw_project, study_project
from instrument.training import train_project, trained_before

NUMBERS_PATCH = """
name = "Numbers"
[listen]
source = "osc"
inputs = 2
[[output]]
name = "side"
classes = ["left", "right"]
[[output]]
name = "amount"
kind = "continuous"
"""
BODY_PATCH = """
name = "Body"
[listen]
source = "take:1"
[[output]]
name = "posture"
[destination.synth]
midi = "virtual"
[[route]]
from = "posture.up"
midi = "note"
number = 60
when_lost = { hold_s = 0.1 }
"""


class Heard:
    """A UDP socket that keeps every message."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self.datagrams: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def messages(self, address: str) -> list[tuple[Value, ...]]:
        found = [message for datagram in list(self.datagrams) for message in osc.decode(datagram)]
        return [arguments for name, arguments in found if name == address]

    def wait_for(self, address: str, *, count: int = 1) -> list[tuple[Value, ...]]:
        wait_until(lambda: len(self.messages(address)) >= count, f"{count} x {address}")
        return self.messages(address)

    def _listen(self) -> None:
        try:
            while True:
                self.datagrams.append(self._socket.recv(65536))
        except OSError:
            pass

    def close(self) -> None:
        self._socket.close()


class Playing:
    """What a test needs of a playing engine."""

    def __init__(self, engine: Engine, client: Client, heard: Heard, midi: RecordingMidi) -> None:
        self.engine = engine
        self.client = client
        self.heard = heard
        self.midi = midi

    def ask(self, address: str, *arguments: Value) -> list[Value]:
        return self.client.ask(f"/instrument/{address}", *arguments, timeout_s=PATIENCE_S)

    def ask_remotely(self, address: str, *arguments: Value) -> list[Value]:
        """Asks as if from another computer."""
        return self.ask("remote", f"/instrument/{address}", *arguments)

    def status(self) -> dict[str, Any]:
        return json.loads(str(self.ask("status")[0]))

    def takes(self) -> list[dict[str, Any]]:
        return json.loads(str(self.ask("takes")[0]))

    def inputs(self, *values: float, count: int = 1) -> None:
        for _ in range(count):
            self.client.send("/wek/inputs", *(float(value) for value in values))

    def record_numbers(self, rows: list[tuple[float, ...]], *pairs: Value) -> list[Value]:
        """Records one take of these rows; what the answer to `record/stop` carries."""
        self.ask("record", *pairs)
        before = self.status()["source"]["frames"]
        for row in rows:
            self.inputs(*row)
        wait_until(lambda: self.status()["source"]["frames"] >= before + len(rows), "the numbers to arrive")
        wait_until(lambda: self.status()["recording"]["frames"] >= len(rows), "the numbers to be recorded")
        return self.ask("record/stop")

    def teach_sides(self) -> None:
        """Two takes of each side: small numbers are left, large ones right."""
        for shift in (0.0, 0.05):
            low = [(0.1 + shift + 0.01 * n, 0.2) for n in range(12)]
            high = [(0.8 + shift + 0.01 * n, 0.9) for n in range(12)]
            self.record_numbers(low, "side", "left", "amount", 0.0)
            self.record_numbers(high, "side", "right", "amount", 1.0)


@contextmanager
def playing(folder: Path, patch: str = NUMBERS_PATCH, *, has_trainer: bool = True, **options: Any) -> Iterator[Playing]:
    """An engine that plays that patch in that folder, its destination `out` being `heard`."""
    folder.mkdir(exist_ok=True)
    file = folder / "patch.toml"
    if not file.exists():
        file.write_text(patch, encoding="utf-8")
    heard, midi = Heard(), RecordingMidi()
    engine = Engine(EngineOptions(folder=folder, out=heard.address, in_port=0, **options), midi=midi)
    run = threading.Thread(target=engine.run)
    run.start()
    train, look = (partial(one, cache=FeatureCache()) for one in (train_project, trained_before))
    after = {"draw": draw_project, "study": study_project, "look": look}
    trainer = Trainer(engine=engine.server.address, train=train, **after) if has_trainer else None
    serving = threading.Thread(target=trainer.serve) if trainer else None
    if serving:
        serving.start()
    try:
        with Client(port=engine.server.address[1]) as client:
            yield Playing(engine, client, heard, midi)
    finally:
        engine.is_quitting = True
        if trainer and serving:
            trainer.stop()
            serving.join(PATIENCE_S)
        run.join(PATIENCE_S)
        heard.close()
        assert not run.is_alive()


def body_project(folder: Path) -> Path:
    """A project whose source is a recorded body that is there for 1 s, then gone for 1 s."""
    folder.mkdir()
    (folder / "patch.toml").write_text(BODY_PATCH, encoding="utf-8")
    parts = ("pose", "pose_world")
    with TakeStore.open(folder / "takes.sqlite") as store:
        there = moving_body(frames=30, lift=1.0)
        gone = [type(there[0])(frame_number=n, captured_at_s=1 + n / 30) for n in range(30)]
        performance = store.begin(source="test", parts=parts, targets={}, kind="performance")
        store.append(performance, [frame_row(one, parts, 0, 0.0) for one in [*there, *gone]])
        store.finish(performance)
        for seed in (1, 2):
            for posture, lift in (("up", 1.0), ("down", 0.0)):
                take = store.begin(source="test", parts=parts, targets={"posture": posture})
                frames = moving_body(frames=15, lift=lift, seed=seed)
                store.append(take, [frame_row(one, parts, 0, 0.0) for one in frames])
                store.finish(take)
    return folder


def notes(instrument: Playing) -> list[str]:
    """The MIDI messages that left, in hex."""
    return [one[1] for one in instrument.midi.told if isinstance(one, tuple)]
