"""How the instrument has fared over the last hour: a row every few seconds, fewer for what is longer ago. Never grows.

The engine writes the rows; the console keeps the same rows, so that they outlive an engine.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instrument.latency import STAGES, Latencies

EVERY_S = 5.0
FINE = 60
"""Rows kept as they are: five minutes."""
MERGED = 12
COARSE = 55
"""Rows of a minute kept before those: an hour in all."""

TIMED = (*STAGES, "total", "beyond_tracking")
COUNTED = ("dropped", "tracking_losses", "source_losses", "sent", "unsent", "errors", "refused")
"""What happened since the row before: frames that a newer one replaced, the body lost, the source lost, messages
sent and not sent, faults, commands that were refused."""
KEYS = (
    "at_s",
    "rate_hz",
    "tracked",
    "delay_ms",
    "memory_mb",
    "trainer_mb",
    "console_mb",
    "restarts",
    *COUNTED,
    *(f"{stage}_{figure}" for stage in TIMED for figure in ("p50", "p99", "jitter")),
)
"""The columns of a row: `at_s` is when it was written (seconds since 1970), `tracked` the share of frames with a body,
`delay_ms` how old a phone's pictures were when they came, `memory_mb` the engine's, `trainer_mb` and `console_mb` what
the console knows, `restarts` how many processes were started again in all; then COUNTED, and each stage's
milliseconds."""

Row = tuple[float | None, ...]
"""A value for each of KEYS; None where there is none."""


class Rows:
    """The last hour's rows."""

    def __init__(self) -> None:
        self.coarse: deque[Row] = deque(maxlen=COARSE)
        self.fine: deque[Row] = deque(maxlen=FINE)
        self.count = 0
        """Rows added so far."""
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        """Takes in the newest row; the oldest fine ones become coarse ones."""
        if len(self.fine) == FINE:
            self._waiting.append(self.fine[0])
        self.fine.append(row)
        self.count += 1
        if len(self._waiting) == MERGED:
            self.coarse.append(merged(self._waiting))
            self._waiting.clear()

    def all(self) -> list[Row]:
        """Oldest first."""
        return [*self.coarse, *self._waiting, *self.fine]

    def since(self, number: int) -> list[Row]:
        """The rows from that one on, counted from 0, as far as they are still there; all of them from 0."""
        if number <= 0:
            return self.all()
        return list(self.fine)[max(number - (self.count - len(self.fine)), 0) :]


def merged(rows: Sequence[Row]) -> Row:
    """One row for several: what was counted is added up, of the 99 % the worst is kept, of the rest the mean."""
    row: list[float | None] = []
    for key, values in zip(KEYS, zip(*rows, strict=True), strict=True):
        there = [one for one in values if one is not None]
        if not there:
            row.append(None)
        elif key in COUNTED:
            row.append(sum(there))
        elif key in ("at_s", "restarts"):
            row.append(there[-1])
        elif key.endswith("_p99"):
            row.append(max(there))
        else:
            row.append(round(math.fsum(there) / len(there), 3))
    return tuple(row)


class Health:
    """Writes a row each time it is asked, about the time since it was asked before. One thread only."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.restarts: dict[str, int] = {}
        """How often each process was started again, as the supervisor says."""
        self._frames = 0
        self._tracked = 0
        self._was_tracked = False
        self._losses = 0
        self._counted: dict[str, int] = {}
        self._latency_frames = 0
        self._at_s: float | None = None

    def note(self, is_tracked: bool) -> None:
        """Counts one frame."""
        self._frames += 1
        self._tracked += is_tracked
        self._losses += self._was_tracked and not is_tracked
        self._was_tracked = is_tracked

    def write(
        self, now_s: float, written_at_s: float, latencies: Latencies, levels: Mapping[str, float | None], **counts: int
    ) -> None:
        """Adds a row: `counts` are totals of what COUNTED names, `levels` are taken as they are."""
        counts["tracking_losses"] = self._losses
        row: dict[str, float | None] = {
            "at_s": round(written_at_s, 1),
            "restarts": sum(self.restarts.values()),
            **levels,
        }
        for name, total in counts.items():
            before = self._counted.get(name, 0)
            row[name] = total - before if total >= before else total  # another source counts from 0
        if self._at_s is not None and now_s > self._at_s:
            row["rate_hz"] = round(self._frames / (now_s - self._at_s), 1)
        row["tracked"] = round(self._tracked / self._frames, 3) if self._frames else None
        row |= self._times(latencies)
        self._at_s, self._frames, self._tracked, self._counted = now_s, 0, 0, counts
        self.rows.add(tuple(row.get(key) for key in KEYS))

    def since(self, number: int, pids: Mapping[str, int]) -> dict[str, Any]:
        """What another process needs to keep the rows too; the engine's `pid` tells it that the count began anew."""
        rows = self.rows
        return {
            "pid": pids["engine"],
            "pids": pids,
            "next": rows.count,
            "restarts": self.restarts,
            "keys": KEYS,
            "coarse": len(rows.coarse) if number <= 0 else 0,
            "rows": rows.since(number),
        }

    def _times(self, latencies: Latencies) -> dict[str, float | None]:
        count = latencies.frames - self._latency_frames
        stages = latencies.newest_ms(latencies.frames if count < 0 else count)  # it has been cleared in between
        self._latency_frames = latencies.frames
        if not len(stages):
            return {}
        total = stages.sum(axis=1)
        beyond = total - stages[:, STAGES.index("track")] - stages[:, STAGES.index("wait")]
        columns = np.column_stack((stages, total, beyond))
        p50, p99 = np.percentile(columns, (50, 99), axis=0)
        figures = {"p50": p50, "p99": p99, "jitter": columns.std(axis=0)}
        return {
            f"{stage}_{name}": round(float(value), 2)
            for name, values in figures.items()
            for stage, value in zip(TIMED, values, strict=True)
        }
