from dataclasses import replace
from typing import Any

import pytest

from instrument.patch import Patch, Pedal
from instrument.pedals import Pedals, Step, Stroke, Strokes, stroke_of

PEDALS = (
    Pedal(name="hold", press="record posture up", release="record stop", midi="cc", number=64, port="nano"),
    Pedal(name="undo", press="undo", release="", midi="note", number=36, channel=0),
    Pedal(name="scene", press="scene next", release="", midi="program", number=3),
    Pedal(name="new", press="train", release=""),
)
NANO = "nanoKONTROL2:port 20:0"


class Board:
    """Pedals with a clock that stands still, and all that they tell."""

    def __init__(self, *pedals: Pedal) -> None:
        self.now_s = 0.0
        self.told: list[tuple[Any, ...]] = []
        self.listened: list[list[str]] = []
        self.pedals = Pedals(self.patch(*pedals), listen=self.listened.append, telemetry=self, now_s=lambda: self.now_s)  # type: ignore[arg-type]

    def publish(self, topic: str, *words: Any) -> None:
        self.told.append((topic, *words))

    def patch(self, *pedals: Pedal) -> Patch:
        return Patch(path=None, name="test", pedals=pedals)  # type: ignore[arg-type]

    def lines(self, *messages: tuple[int, ...], port: str = NANO) -> list[str]:
        return [step.line for message in messages for step in self.pedals.hear(port, message)]


@pytest.fixture
def board() -> Board:
    return Board(*PEDALS)


def test_a_pedal_records_as_long_as_it_is_held(board: Board) -> None:
    assert board.pedals.hear(NANO, (0xB0, 64, 127)) == [Step(number=1, line="record posture up")]
    assert board.pedals.hear(NANO, (0xB0, 64, 0)) == [Step(number=1, line="record stop")]


def test_a_pedal_that_sends_every_position_on_its_way_counts_once(board: Board) -> None:
    way = [(0xB0, 64, value) for value in (10, 63, 64, 90, 127, 100, 64, 63, 20, 0)]
    assert board.lines(*way) == ["record posture up", "record stop"]


@pytest.mark.parametrize(
    "message", [(0x91, 36, 100), (0x90, 37, 100), (0xB0, 36, 127), (0xE0, 0, 64), (0xB0, 123, 127)]
)
def test_what_is_another_key_or_channel_does_nothing(board: Board, message: tuple[int, ...]) -> None:
    assert board.lines(message) == []


def test_a_pedal_without_a_channel_is_heard_on_every_one(board: Board) -> None:
    assert board.lines((0xB5, 64, 127)) == ["record posture up"]


def test_a_pedal_of_another_port_does_nothing(board: Board) -> None:
    assert board.lines((0xB0, 64, 127), port="Piano") == []


@pytest.mark.parametrize("end", [(0x80, 36, 64), (0x90, 36, 0)])
def test_a_key_that_is_let_go_of_may_be_pressed_again(board: Board, end: tuple[int, ...]) -> None:
    assert board.lines((0x90, 36, 100), (0x90, 36, 90), end, (0x90, 36, 100)) == ["undo", "undo"]


def test_a_program_has_no_end(board: Board) -> None:
    assert board.lines((0xC0, 3), (0xC0, 3)) == ["scene next", "scene next"]


def test_what_fires_is_told_and_so_is_what_is_no_pedal_yet(board: Board) -> None:
    board.lines((0x90, 36, 100), (0x90, 99, 100))
    assert [one for one in board.told if one[0] == "pedal"] == [
        ("pedal", 2, "press", "undo"),
        ("pedal", 0, "press", f"note 99 ch 1 {NANO}"),
    ]


def test_only_the_inputs_that_pedals_name_are_listened_to(board: Board) -> None:
    assert board.listened == [["", "nano"]]
    assert Board(PEDALS[0]).listened == [["nano"]]
    assert Board(PEDALS[3]).listened == [[]]


def test_learning_takes_the_next_stroke_from_any_input_and_does_nothing_else() -> None:
    board, heard = Board(PEDALS[0]), []
    board.pedals.learn(1, 15.0, lambda *words: heard.append(words))
    assert board.listened[-1] == ["", "nano"]
    assert board.lines((0xB0, 64, 0), (0xB0, 123, 127), port="Piano") == []
    assert board.lines((0x92, 40, 100), port="Piano") == []
    assert heard == [("Piano", Stroke(midi="note", number=40, channel=2, is_down=True))]
    assert board.listened[-1] == ["nano"]
    assert board.lines((0xB0, 64, 127)) == ["record posture up"]


def test_learning_ends_when_nothing_is_pressed(board: Board) -> None:
    heard: list[Any] = []
    board.pedals.learn(1, 15.0, lambda *words: heard.append(words))
    board.now_s = 14.0
    board.pedals.attend()
    assert not heard
    board.now_s = 15.0
    board.pedals.attend()
    assert heard == [("", None)]


def test_a_pedal_that_is_held_while_another_one_is_edited_is_still_held(board: Board) -> None:
    board.lines((0xB0, 64, 127), (0x90, 36, 100))
    board.pedals.follow(board.patch(PEDALS[0], replace(PEDALS[1], press="redo")))
    assert [row["is_down"] for row in board.pedals.described()["pedals"]] == [True, False]
    assert board.lines((0x80, 36, 0), (0xB0, 64, 0)) == ["record stop"]


def test_a_pedal_that_is_held_ends_what_it_began_though_renamed_moved_or_another_one_learned(board: Board) -> None:
    board.lines((0xB0, 64, 127))
    board.pedals.follow(board.patch(PEDALS[1], replace(PEDALS[0], name="left foot")))
    board.pedals.learn(1, 15.0, lambda *_: None)
    assert board.lines((0xB0, 64, 0)) == ["record stop"]
    board.lines((0x90, 40, 100))
    assert board.lines((0xB0, 64, 127)) == ["record posture up"]


def test_a_pedal_whose_cable_is_pulled_while_it_is_held_comes_up(board: Board) -> None:
    board.pedals.ports = {"nano": (NANO, ""), "": (f"Piano, {NANO}", "")}
    board.pedals.attend()
    board.lines((0xB0, 64, 127))
    board.pedals.ports = {"nano": ("", "gone"), "": ("Piano", "")}
    assert board.pedals.attend() == [Step(number=1, line="record stop")]
    assert board.pedals.attend() == []


def test_ports_that_come_or_go_are_told(board: Board) -> None:
    board.pedals.attend()
    before = len(board.told)
    board.pedals.ports = {"nano": (NANO, "")}
    board.pedals.attend()
    board.pedals.attend()
    assert board.told[before:] == [("changes", "pedals")]
    assert board.pedals.described()["ports"] == [{"wanted": "nano", "port": NANO, "reason": ""}]


def test_channels_count_from_1_where_people_see_them(board: Board) -> None:
    stroke = stroke_of((0x9F, 36, 1))
    assert stroke is not None
    assert stroke.words == "note 36 ch 16"
    assert [row["channel"] for row in board.pedals.described()["pedals"]] == [None, 1, None, None]


def test_of_a_controller_that_moves_all_the_time_only_its_strokes_are_let_through() -> None:
    strokes = Strokes()
    way = [(0xB0, 64, value) for value in (0, 10, 63, 64, 90, 127, 100, 63, 20, 0)]
    assert [message[2] for message in way if strokes.is_new(NANO, message)] == [0, 64, 63]
    assert strokes.is_new("Piano", (0xB0, 64, 0))
    assert not strokes.is_new(NANO, (0xE0, 0, 64))
    assert all(strokes.is_new(NANO, (0x90, 36, 100)) for _ in range(2))
