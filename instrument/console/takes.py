"""Reads a project's takes for the page, straight from its file: lists, and skeletons to draw as a strip."""

from pathlib import Path
from typing import Any

import numpy as np

from instrument.project import Project
from instrument.report import take_row
from instrument.takes import TakeStore

STRIP_FRAMES = 8
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
    for part in ("pose", "left_hand", "right_hand", "numbers"):
        points = getattr(sequence, part)
        if points is not None:
            shown = points[chosen] if part == "numbers" else points[chosen][..., :2]
            strip[part] = [None if np.isnan(one).any() else one.round(4).tolist() for one in shown.astype(float)]
    return strip
