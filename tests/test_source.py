from pathlib import Path

import numpy as np
import pytest

from instrument.signals import Frame
from instrument.source import NewestFrame, NumbersSource, SourceError, open_source


def frame(number: int) -> Frame:
    return Frame(number=number, captured_at_s=float(number))


def test_the_newest_frame_wins_and_the_rest_are_counted() -> None:
    newest = NewestFrame()
    for number in range(3):
        newest.put(frame(number))
    taken = newest.take()
    assert taken is not None
    assert taken.number == 2
    assert newest.take() is None
    assert (newest.frames, newest.dropped) == (3, 2)


def test_a_frame_that_was_looked_at_is_not_dropped() -> None:
    newest = NewestFrame()
    for number in range(3):
        newest.put(frame(number))
        newest.take()
    assert newest.dropped == 0


def test_every_message_of_numbers_is_kept_in_order() -> None:
    source = NumbersSource(now_s=lambda: 5.0)
    for value in (1.0, 2.0, 3.0):
        source.push(np.array([value], dtype=np.float32))
    frames = [source.latest() for _ in range(3)]
    assert [float(one.landmarks.numbers[0]) for one in frames] == [1.0, 2.0, 3.0]  # type: ignore[union-attr, index]
    assert source.latest() is None


def test_a_flood_of_numbers_is_bounded_and_counted() -> None:
    source = NumbersSource(queue_length=10)
    for value in range(25):
        source.push(np.array([value], dtype=np.float32))
    assert source.status().dropped == 15


def test_numbers_that_stop_are_told_and_counted_as_a_loss() -> None:
    now = [0.0]
    source = NumbersSource(quiet_s=5.0, now_s=lambda: now[0])
    now[0] = 60.0
    assert source.status().state == "starting"
    source.push(np.ones(1, dtype=np.float32))
    now[0] += 4.0
    assert (source.status().state, source.status().losses) == ("playing", 0)
    now[0] += 2.0
    assert (source.status().state, source.status().losses) == ("lost", 1)
    assert source.status().detail == "waiting for /wek/inputs"
    source.push(np.ones(1, dtype=np.float32))
    assert (source.status().state, source.status().losses) == ("playing", 1)


def test_numbers_may_be_silent_for_ever() -> None:
    now = [0.0]
    source = NumbersSource(now_s=lambda: now[0])
    source.push(np.ones(1, dtype=np.float32))
    now[0] = 1e6
    assert source.status().state == "playing"


@pytest.mark.parametrize("name", ["nothing.mp4", "camera:front", "take:1", "take:x", "webcam"])
def test_a_source_there_is_not_says_what_there_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source"):
        open_source(name, takes_file=tmp_path / "takes.sqlite")


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"not a video")
    with pytest.raises(SourceError, match="not a video"):
        open_source(str(tmp_path / "film.mp4"))
