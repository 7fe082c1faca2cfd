#!/usr/bin/env python3
"""How often left is taken for right, by the tracker alone and with what `instrument/sides.py` does about it.

    .venv/bin/python scripts/bench_sides.py [--rounds 6]

Films of people who face the camera throughout are played there and back. Counted are frames in which the left
shoulder and hip are on the left. The film beside the demo is looked for in ../shared/data/video.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from instrument import assets
from instrument.patch import Listen
from instrument.replay import DEMO_FRAMES, Clip, there_and_back
from instrument.sides import Sides
from instrument.signals import FloatArray, Frame
from instrument.tracker import MediaPipeTracker

FILMS = Path(__file__).resolve().parents[2] / "shared" / "data" / "video"
LEFT, RIGHT = [11, 23], [12, 24]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    rounds = parser.parse_args().rounds
    print("film, frames a second: frames, of them exchanged by the tracker alone -> put right")
    films = ((assets.path("demo.mp4"), DEMO_FRAMES, 30.0), (FILMS / "balance_front.mp4", 100, 60.0))
    for film, count, rate_hz in films:
        if not film.is_file():
            print(f"{film.name} is not there")
            continue
        clip = Clip(film, count=count, width_px=Listen().width_px)
        for every in (1, 2):
            with mock.patch.object(Sides, "are_exchanged", return_value=False):
                found = list(_track(clip, range(0, 2 * rounds * (count - 1), every), count, rate_hz))
            sides = Sides()
            before, after = [], []
            for pose, aspect, at_s in found:
                is_exchanged = bool((pose[LEFT, 0] - pose[RIGHT, 0]).sum() < 0)
                before.append(is_exchanged)
                after.append(is_exchanged != sides.are_exchanged(pose, aspect, at_s))
            print(f"{film.name}, {rate_hz / every:.0f}: {len(found)}, {np.mean(before):.3f} -> {np.mean(after):.3f}")


def _track(clip: Clip, frames: range, count: int, rate_hz: float) -> Iterator[tuple[FloatArray, float, float]]:
    """Each pose found (33, 4), the picture's aspect, and when in s."""
    tracker = MediaPipeTracker(Listen(), pose_model=assets.path("pose.task"), hand_model=None)
    for number in frames:
        image = clip[there_and_back(number, count)]
        found = tracker.track(Frame(number=number, captured_at_s=number / rate_hz, image_bgr=image))
        if found.pose is not None:
            yield found.pose, found.aspect, found.captured_at_s
    tracker.close()


if __name__ == "__main__":
    main()
