"""A recording program is killed with SIGKILL at random instants; what it recorded must be there."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from recordings import assert_same_take

from instrument.takes import TakeStore, WholeTake

RECORD = """
import sys, time
from pathlib import Path
from recordings import BODY, body
from instrument.clock import now_s
from instrument.recorder import Recorder

number = int(sys.argv[2])
recorder = Recorder(Path(sys.argv[1]), now_s)
began_s = now_s()
for turn in range(10_000):
    if turn % 70 == 0:
        recorder.start({"posture": "rest"}, source="test", parts=BODY)
    recorder.offer(body(number, now_s()))
    print(number, flush=True)
    recorder.poll()
    number += 1
    time.sleep(max(began_s + turn / 100 - now_s(), 0.0))
"""


def killed_while_recording(path: Path, first: int, after_s: float) -> list[tuple[int, float]]:
    """The frames a program had offered, and when, before it was killed."""
    program = subprocess.Popen(
        [sys.executable, "-c", RECORD, str(path), str(first)], stdout=subprocess.PIPE, cwd=Path(__file__).parent
    )
    assert program.stdout is not None
    offered = []
    killed_at_s = None
    for line in program.stdout:
        offered.append((int(line), time.monotonic()))
        killed_at_s = killed_at_s or offered[0][1] + after_s
        if offered[-1][1] >= killed_at_s:
            program.kill()
            break
    program.stdout.close()
    program.wait()
    return offered


def frames_in(takes: list[WholeTake]) -> set[int]:
    for take in takes:
        pose = take.landmarks.pose
        assert pose is not None
        assert take.landmarks.pose_world is not None
        assert (pose == pose[:, :1, :1]).all(), "a frame is torn"
        np.testing.assert_array_equal(-take.landmarks.pose_world[:, 0, 0], pose[:, 0, 0])
    return {int(number) for take in takes for number in take.landmarks.pose[:, 0, 0]}


def test_a_killed_recording_loses_at_most_its_last_second_and_nothing_else(tmp_path):
    path, seed = tmp_path / "takes.sqlite", random.randrange(2**32)
    print(f"instants drawn with seed {seed}")
    random_s = random.Random(seed)
    earlier: dict[int, WholeTake] = {}
    first, offered_ever = 0, 0
    for _ in range(4):
        offered = killed_while_recording(path, first, after_s=random_s.uniform(1.05, 1.8))
        first = offered[-1][0] + 1000
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        with TakeStore.open(path) as store:
            assert store.moved_aside is None
            assert len(store.recovered) <= 1
            takes = {take.id: store.whole(take.id) for take in store.takes(include_deleted=True)}
        for take_id, take in earlier.items():
            assert_same_take(takes[take_id], take)
        due = {number for number, at_s in offered if at_s <= offered[-1][1] - 1.0}
        offered_ever += len(due)
        missing = due - frames_in([take for take_id, take in takes.items() if take_id not in earlier])
        assert not missing
        earlier = takes
    assert offered_ever > 0
