import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from bodies import moving_body, sequence_of
from clients import wait_until
from recordings import record

from instrument.replay import DEMO_FRAMES, Clip, open_demo, open_file, replay_landmarks, there_and_back
from instrument.signals import Frame
from instrument.source import Source, SourceError, open_source
from instrument.takes import TakeStore


def all_frames(open_it: object) -> list[Frame]:
    """Every frame of a source that ends, by looking whenever there is one."""
    frames: list[Frame] = []
    source: list[Source] = []
    opened = threading.Event()

    def look() -> None:
        opened.wait()
        if (frame := source[0].latest()) is not None:
            frames.append(frame)

    source.append(open_it(look))  # type: ignore[operator]
    opened.set()
    wait_until(lambda: source[0].status().state == "ended", "the source to end")
    source[0].close()
    return frames


def test_there_and_back_turns_at_both_ends_without_a_pause() -> None:
    assert [there_and_back(number, 4) for number in range(10)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]


def test_a_clip_shows_the_same_picture_going_back(demo_video: Path) -> None:
    clip = Clip(demo_video, count=4, width_px=320)
    there = [clip[index] for index in range(4)]
    assert there[0].shape == (180, 320, 3)
    np.testing.assert_array_equal(clip[1], there[1])
    assert not np.array_equal(there[0], there[3])


def test_the_demo_played_once_shows_every_picture(demo_video: Path) -> None:
    frames = all_frames(lambda look: open_demo(width_px=320, is_once=True, on_frame=look))
    assert [frame.number for frame in frames] == list(range(DEMO_FRAMES))
    assert all(frame.image_bgr is not None for frame in frames)


def test_recorded_landmarks_come_again_at_their_own_speed() -> None:
    recorded = sequence_of(moving_body(frames=15))
    frames = all_frames(lambda look: replay_landmarks(recorded, is_once=True, on_frame=look))
    assert len(frames) == 15
    for index, frame in enumerate(frames):
        assert frame.landmarks is not None
        np.testing.assert_array_equal(frame.landmarks.pose, recorded[index].pose)
        assert frame.landmarks.captured_at_s == frame.captured_at_s
    elapsed_s = frames[-1].captured_at_s - frames[0].captured_at_s
    assert elapsed_s >= recorded.times_s[-1] - recorded.times_s[0] - 0.05


def test_no_landmarks_are_no_source() -> None:
    with pytest.raises(SourceError, match="no frames"):
        replay_landmarks(sequence_of([]))


def test_a_take_is_a_source(tmp_path: Path) -> None:
    with TakeStore.open(tmp_path / "takes.sqlite") as store:
        take = record(store, count=6)
    frames = all_frames(
        lambda look: open_source(f"take:{take}", is_once=True, on_frame=look, takes_file=tmp_path / "takes.sqlite")
    )
    assert len(frames) == 6


def test_a_video_file_played_once_shows_every_picture_and_ends(demo_video: Path) -> None:
    frames = all_frames(lambda look: open_file(demo_video, width_px=320, is_once=True, on_frame=look))
    assert len(frames) == 230
    assert frames[0].image_bgr is not None
    assert frames[0].image_bgr.shape == (180, 320, 3)


def test_a_video_file_starts_over_at_its_end(tmp_path: Path) -> None:
    file = tmp_path / "short.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (64, 48))
    for shade in (0, 120, 240):
        writer.write(np.full((48, 64, 3), shade, dtype=np.uint8))
    writer.release()
    source = open_file(file)
    wait_until(lambda: source.status().frames > 7, "the third round")
    source.close()
