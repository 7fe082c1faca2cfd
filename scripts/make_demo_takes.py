#!/usr/bin/env python3
"""Records the takes that ship with the three-postures patch, from the demo performer.

    .venv/bin/python scripts/make_demo_takes.py

The tracker sees the demo as it is played, there and back; the frames of each posture, picked by
eye, become takes. Writes patches/three-postures/takes.csv.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from instrument import assets
from instrument.exchange import export_takes
from instrument.patch import Listen
from instrument.replay import DEMO_FRAMES, DEMO_RATE_HZ, Clip, there_and_back
from instrument.signals import Frame, Landmarks
from instrument.takes import TakeStore, frame_row
from instrument.tracker import MediaPipeTracker

PATCH = Path(__file__).resolve().parent.parent / "patches" / "three-postures"
POSTURES = {
    "rest": (0.0, [(0, 3), (39, 42), (76, 83), (84, 90)]),
    "wide": (0.5, [(11, 14), (31, 34), (47, 50), (66, 69)]),
    "up": (1.0, [(19, 24), (25, 29), (54, 59), (60, 64)]),
}
"""For each posture: how high the arms are, and first and last frame of each time it is struck."""
PARTS = ("pose", "pose_world")


def main() -> None:
    there_and_back_again = list(track_demo(2 * DEMO_FRAMES - 1))
    with tempfile.TemporaryDirectory() as folder, TakeStore.open(Path(folder) / "takes.sqlite") as store:
        for posture, (lift, spans) in POSTURES.items():
            for first, last in spans:
                there = there_and_back_again[first : last + 1]
                turn = 2 * (DEMO_FRAMES - 1)
                back = there_and_back_again[turn - last : turn - first + 1]
                for landmarks in (there, back):
                    take = store.begin(
                        source="demo",
                        parts=PARTS,
                        targets={"posture": posture, "lift": lift},
                        created_at="2026-11-23T00:00:00.000+00:00",
                    )
                    started_at_s = landmarks[0].captured_at_s
                    store.append(take, [frame_row(one, PARTS, 0, started_at_s) for one in landmarks])
                    store.finish(take)
        export_takes(store, PATCH / "takes.csv", decimals=4)
        print(f"{PATCH / 'takes.csv'}: {len(store.takes())} takes")


def track_demo(count: int) -> Iterator[Landmarks]:
    clip = Clip(assets.path("demo.mp4"), count=DEMO_FRAMES, width_px=Listen().width_px)
    tracker = MediaPipeTracker(Listen(), pose_model=assets.path("pose.task"), hand_model=None)
    for number in range(count):
        image = clip[there_and_back(number, DEMO_FRAMES)]
        yield tracker.track(Frame(number=number, captured_at_s=number / DEMO_RATE_HZ, image_bgr=image))
    tracker.close()


if __name__ == "__main__":
    main()
