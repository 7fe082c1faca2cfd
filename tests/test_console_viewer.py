import json
import struct

from instrument.console.viewer import MOST_ANSWERS, MOST_CONTROLS, MOST_UNDER_WAY, Moving, Viewer


def frame(number: int, **more: object) -> Moving:
    return Moving(frame=(number, 1), **more)  # type: ignore[arg-type]


def header(message: str | bytes) -> dict:
    assert isinstance(message, bytes)
    (length,) = struct.unpack_from("<I", message)
    return json.loads(message[4 : 4 + length])


def blobs(message: str | bytes) -> dict[str, bytes]:
    assert isinstance(message, bytes)
    at = 4 + struct.unpack_from("<I", message)[0]
    found = {}
    for name, size in header(message)["blobs"]:
        found[name] = message[at : at + size]
        at += size
    assert at == len(message)
    return found


def test_a_frame_arrives_with_its_predictions_controls_and_landmarks() -> None:
    viewer = Viewer()
    moving = frame(7, predictions={"posture": ("up", 0.9)}, blobs={"pose": b"12345678"})
    moving.controls.append(("out", "/lift", 0.5))
    viewer.move(moving)
    (message,) = viewer.due()
    assert header(message)["frame"] == [7, 1]
    assert header(message)["predictions"] == {"posture": ["up", 0.9]}
    assert header(message)["controls"] == [["out", "/lift", 0.5]]
    assert blobs(message) == {"pose": b"12345678"}


def test_blobs_begin_at_a_multiple_of_four_so_that_floats_can_be_read_in_place() -> None:
    viewer = Viewer()
    viewer.move(frame(1234567, blobs={"pose": b"1234"}))
    (message,) = viewer.due()
    assert (len(message) - 4) % 4 == 0


def test_a_page_that_draws_nothing_is_sent_two_messages_and_no_more() -> None:
    viewer = Viewer()
    counts = []
    for number in range(5):
        viewer.move(frame(number))
        counts.append(len(viewer.due()))
    assert counts == [1] * MOST_UNDER_WAY + [0] * (5 - MOST_UNDER_WAY)


def test_a_slow_page_gets_the_newest_frame_and_every_control_since() -> None:
    viewer = Viewer()
    for number in range(5):
        moving = frame(number, predictions={"posture": (f"class {number}", 1.0)})
        moving.controls.append(("out", "/n", number))
        viewer.move(moving)
        viewer.due()
    viewer.acknowledge()
    (message,) = viewer.due()
    assert header(message)["frame"] == [4, 1]
    assert header(message)["predictions"] == {"posture": ["class 4", 1.0]}
    assert [control[2] for control in header(message)["controls"]] == [2, 3, 4]


def test_a_page_that_sleeps_misses_the_oldest_controls_rather_than_queueing_them() -> None:
    viewer = Viewer()
    for number in range(MOST_CONTROLS + 50):
        moving = frame(number)
        moving.controls.append(("out", "/n", number))
        viewer.move(moving)
    (message,) = viewer.due()
    assert [control[2] for control in header(message)["controls"]] == list(range(50, MOST_CONTROLS + 50))


def test_a_part_that_is_not_found_any_more_is_not_shown_from_before() -> None:
    viewer = Viewer()
    viewer.move(frame(1, blobs={"pose": b"1234", "left_hand": b"5678"}))
    viewer.move(frame(2, blobs={"pose": b"abcd"}))
    (message,) = viewer.due()
    assert blobs(message) == {"pose": b"abcd"}


def test_a_picture_waits_for_the_frame_after_it_when_the_page_is_slow() -> None:
    viewer = Viewer()
    viewer.move(Moving(picture=3, blobs={"preview": b"jpeg"}))
    viewer.move(frame(4))
    (message,) = viewer.due()
    assert (header(message)["picture"], header(message)["frame"]) == (3, [4, 1])
    assert blobs(message) == {"preview": b"jpeg"}


def test_the_state_is_sent_once_with_the_newest_of_each_value() -> None:
    viewer = Viewer()
    viewer.state({"engine": "starting", "takes": []})
    viewer.state({"engine": "here"})
    assert [json.loads(message) for message in viewer.due()] == [{"state": {"engine": "here", "takes": []}}]
    assert viewer.due() == []


def test_an_answer_is_sent_to_the_question_it_belongs_to() -> None:
    viewer = Viewer()
    viewer.answer(4, fail="no such take")
    assert json.loads(viewer.due()[0]) == {"answer": 4, "fail": "no such take"}


def test_a_page_that_asks_and_takes_no_answer_is_deaf() -> None:
    viewer = Viewer()
    for number in range(MOST_ANSWERS + 1):
        assert not viewer.is_deaf
        viewer.answer(number, done=[])
    assert viewer.is_deaf


def test_a_blob_in_an_answer_is_told_apart_from_a_text() -> None:
    viewer = Viewer()
    viewer.answer(1, done=["text", b"\x00\xff"])
    (message,) = viewer.due()
    assert json.loads(message) == {"answer": 1, "done": ["text", {"blob": "AP8="}]}
