"""How long each stage of a frame took, for the newest few thousand frames.

Every frame carries its capture time; the engine marks the end of each stage. Nothing here is
guessed, and nothing grows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAGES = ("wait", "capture", "track", "features", "predict", "map", "send")
"""In order: `wait` while the frame before is still being tracked, `capture` until the engine has the
frame in hand, finding landmarks, and so on to the datagram's departure."""

_RATE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Milliseconds of one stage."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    jitter_ms: float
    """Standard deviation."""


class Latencies:
    """A ring of the times of recent frames."""

    def __init__(self, length: int = 4096) -> None:
        self._times_s: NDArray[np.float64] = np.zeros((length, len(STAGES) + 1))
        self.frames = 0

    def add(self, times_s: tuple[float, ...]) -> None:
        """Takes in one frame: when it arrived, then when each stage ended."""
        self._times_s[self.frames % len(self._times_s)] = times_s
        self.frames += 1

    def stages_ms(self) -> NDArray[np.float64]:
        """(frames, stages): how long each stage took."""
        return np.diff(self._times_s[: min(self.frames, len(self._times_s))], axis=1) * 1000.0

    def newest_ms(self, count: int) -> NDArray[np.float64]:
        """The same for the newest frames, in any order."""
        count = min(count, self.frames, len(self._times_s))
        chosen = np.arange(self.frames - count, self.frames) % len(self._times_s)
        return np.diff(self._times_s[chosen], axis=1) * 1000.0

    def summary(self) -> dict[str, Summary]:
        """Each stage, then `total` (arrival to departure) and `beyond_tracking` (the same without tracking
        it, and without the wait for the tracker).

        Empty before the first frame.
        """
        stages = self.stages_ms()
        if not len(stages):
            return {}
        columns = {stage: stages[:, index] for index, stage in enumerate(STAGES)}
        columns["total"] = stages.sum(axis=1)
        columns["beyond_tracking"] = columns["total"] - columns["track"] - columns["wait"]
        return {
            name: Summary(
                p50_ms=float(np.percentile(column, 50)),
                p99_ms=float(np.percentile(column, 99)),
                max_ms=float(column.max()),
                jitter_ms=float(column.std()),
            )
            for name, column in columns.items()
        }

    def rate_hz(self, now_s: float) -> float:
        """Frames a second over the last three seconds."""
        arrived_s = self._times_s[: min(self.frames, len(self._times_s)), 0]
        recent_s = arrived_s[arrived_s > now_s - _RATE_S]
        if len(recent_s) < 2:
            return 0.0
        return (len(recent_s) - 1) / max(now_s - float(recent_s.min()), 1e-3)

    def clear(self) -> None:
        self.frames = 0
