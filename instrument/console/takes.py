"""Reads a project's takes for the page, straight from its file: lists, and skeletons to draw as a strip."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from instrument.project import Project
from instrument.report import take_row
from instrument.run_through import run_through
from instrument.takes import TakeStore

STRIP_FRAMES = 8
SHOWN_HZ = 15.0
MOST_SHOWN = 600
"""Frames of one stretch of a recording: 40 s of SHOWN_HZ."""
_SHOWN_PARTS = ("pose", "left_hand", "right_hand", "numbers")
MOST_FRAMES = 600
"""Of a take that is played back: 20 s with every frame, longer ones with fewer."""


def take_rows(folder: Path) -> list[dict[str, Any]]:
    """Every take of the project in that folder, oldest first.

    Raises TakesError.
    """
    with TakeStore.open(Project(folder).takes_file, readonly=True) as store:
        return [take_row(take) for take in store.takes()]


def take_strip(folder: Path, take: int, frames: int = STRIP_FRAMES) -> dict[str, Any]:
    """At most that many frames at even distances along the whole of a take, trimmed or not.

    Their `frames` numbers of `count`, their `times_s`, and for each part (frames, points, 2), or None where it was
    not seen. Raises TakesError.
    """
    with TakeStore.open(Project(folder).takes_file, readonly=True) as store:
        sequence = store.landmarks(take, trimmed=False)
    count = len(sequence)
    chosen = np.unique(np.linspace(0, max(count - 1, 0), min(frames, MOST_FRAMES, count)).round().astype(int))
    strip: dict[str, Any] = {
        "aspect": float(sequence.aspect[0]) if count else 4 / 3,
        "count": count,
        "frames": chosen.tolist(),
        "times_s": sequence.times_s[chosen].round(3).tolist(),
    }
    for part in _SHOWN_PARTS:
        points = getattr(sequence, part)
        if points is not None:
            shown = points[chosen] if part == "numbers" else points[chosen][..., :2]
            strip[part] = [None if np.isnan(one).any() else one.round(4).tolist() for one in shown.astype(float)]
    return strip


def take_frames(folder: Path, take: int, from_s: float, to_s: float) -> dict[str, Any]:
    """Skeletons between two times of a recording, SHOWN_HZ of them a second: times and, for each part, its numbers.

    Of the body x, y, 0 and how visible for each point, of hands x, y, 0, as a flat list; None where it was not seen.
    Raises TakesError.
    """
    with TakeStore.open(Project(folder).takes_file, readonly=True) as store:
        sequence = store.landmarks(take, between_s=(from_s, to_s))
    times_s = sequence.times_s
    # The first frame of every tick, so that neighbouring stretches are decimated alike.
    ticks = np.floor(times_s * SHOWN_HZ)
    chosen = np.flatnonzero(np.diff(ticks, prepend=-1.0) > 0)[:MOST_SHOWN]
    found: dict[str, Any] = {
        "aspect": float(sequence.aspect[0]) if len(sequence) else 4 / 3,
        "times_s": times_s[chosen].round(3).tolist(),
    }
    for part in _SHOWN_PARTS:
        points = getattr(sequence, part)
        if points is not None:
            shown = points[chosen].astype(float)
            if part != "numbers":
                shown[..., 2] = 0.0
            shown = shown.reshape(len(chosen), -1)
            found[part] = [None if np.isnan(one).any() else one.round(3).tolist() for one in shown]
    return found


class RunThroughs:
    """What models say along recordings, worked out one at a time; the latest is kept until a model or it changes."""

    def __init__(self) -> None:
        self._working = threading.Lock()
        self._kept: tuple[object, dict[str, Any]] = ((), {})

    def of(self, folder: Path, take: int, is_cancelled: Callable[[], bool]) -> dict[str, Any]:
        """What `run_through` gives; takes seconds for minutes. Raises what it raises."""
        project = Project(folder)
        with self._working:
            with TakeStore.open(project.takes_file, readonly=True) as store:
                revision = store.take(take).revision
            files = [project.patch_file, *sorted(project.models_folder.glob("*.json"))]
            key = (folder, take, revision, [(file.name, file.stat().st_mtime_ns) for file in files])
            if self._kept[0] != key:
                self._kept = (key, run_through(project, take, is_cancelled))
            return self._kept[1]
