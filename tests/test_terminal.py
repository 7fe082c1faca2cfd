import re
from pathlib import Path

import pytest

from instrument.patch import Patch
from instrument.patch_file import parse_patch, read_patch
from instrument.project import Project
from instrument.projects import patches_folder
from instrument.protocol import COMMANDS, parse_line
from instrument.terminal import LiveLine, command_words, help_text, introduction, next_steps


def patch(text: str) -> Patch:
    return parse_patch(text, Path("patch.toml"))


@pytest.fixture
def three_postures() -> Patch:
    return read_patch(patches_folder() / "three-postures" / "patch.toml")


def test_the_introduction_says_what_is_heard_learned_and_sent_where(three_postures: Patch) -> None:
    text = introduction(Project(Path("mine")), three_postures, source="demo", in_port=6448)
    assert text.splitlines()[0] == "Three postures  (mine)"
    assert "hears    demo (pose); commands on port 6448" in text
    assert "learns   posture: rest, wide, up" in text
    assert "learns   lift: a value" in text
    assert "sends    OSC to 127.0.0.1:12000: /wek/outputs, /posture, /lift" in text
    assert "note 60 channel 1" in text


def test_with_numbers_for_a_source_it_says_so(three_postures: Patch) -> None:
    text = introduction(Project(Path("mine")), three_postures, source="osc", in_port=7000)
    assert "hears    numbers, as /wek/inputs; commands on port 7000" in text


def test_a_destination_nothing_goes_to_is_left_out() -> None:
    quiet = patch('[wekinator]\noutputs = false\n[[output]]\nname = "a"\n[destination.synth]\nmidi = "virtual"\n')
    assert "sends" not in introduction(Project(Path("mine")), quiet, source="osc", in_port=6448)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ('name = "posture"\nclasses = ["rest", "up"]', "record timed 3 2 posture rest"),
        ('name = "posture"\nclasses = ["arms up"]', "record timed 3 2 posture 'arms up'"),
        ('name = "posture"', "record timed 3 2 posture wave"),
        ('name = "lift"\nkind = "continuous"\nrange = [0, 5]', "record timed 3 2 lift 5"),
    ],
)
def test_what_to_type_next_is_a_line_that_is_understood(output: str, line: str) -> None:
    text = next_steps(patch(f"[[output]]\n{output}\n"))
    assert line in text
    command, values = parse_line(line)
    assert command.address == "/instrument/record/timed"
    assert values[:3] == [3.0, 2.0, line.split()[4]]


@pytest.mark.parametrize(
    ("line", "address", "values"),
    [
        ("status", "/instrument/status", []),
        ("record posture up lift 0.5", "/instrument/record", ["posture", "up", "lift", 0.5]),
        ("record stop", "/instrument/record/stop", []),
        ("takes delete 1 2", "/instrument/takes/delete", [1, 2]),
        ("run 1", "/instrument/run", [1]),
        ("patch set route.1.curve -2", "/instrument/patch/set", ["route.1.curve", -2]),
        ("source 0", "/instrument/source", ["0"]),
        ("train", "/instrument/train", []),
        ("/wek/inputs 1 0.5", "/wek/inputs", [1.0, 0.5]),
        ("/wekinator/control/startRecording 1", "/wekinator/control/startRecording", []),
    ],
)
def test_a_typed_line_is_a_command_with_spaces_for_slashes(line: str, address: str, values: list[object]) -> None:
    command, arguments = parse_line(line)
    assert (command.address, arguments) == (address, values)
    assert [type(one) for one in arguments] == [type(one) for one in values]


@pytest.mark.parametrize("name", ["007", "nan", "infinity", "1e5", "1_000", "+3"])
def test_a_class_that_only_nearly_looks_like_a_number_keeps_its_name(name: str) -> None:
    assert parse_line(f"record posture {name}")[1] == ["posture", name]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rec posture up", "perhaps: record, "),
        ("dance", "type help"),
        ("", "type help"),
        ("record 'posture up", "No closing quotation"),
        ("record posture", r"takes \[output:s target:v\] \.\.\.; 1 argument came"),
        ("run yes", "on must be a whole number, 'yes' came"),
        ("/wek/inputs loud", "value must be a number"),
        ("/no/such", r"no such command: /no/such; .*docs/protocol\.md"),
    ],
)
def test_a_line_that_means_nothing_is_refused_with_what_could_be_meant(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_line(line)


def test_help_has_every_command_a_player_types_and_no_type_tags() -> None:
    text = help_text("all")
    for words in command_words():
        assert f"\n  {words}" in text
    assert ":s" not in text
    assert "trainer" not in text
    assert max(len(line) for line in text.splitlines()) <= 90


def test_help_alone_names_every_command_on_one_screen() -> None:
    text = help_text()
    for words in command_words():
        assert re.search(rf"\b{words}\b", text)
    assert len(text.splitlines()) <= 50
    assert max(len(line) for line in text.splitlines()) <= 90


def test_help_about_one_word_is_short() -> None:
    assert "record timed" in help_text("record")
    assert "panic" not in help_text("record")
    assert "nothing about 'hello'" in help_text("hello")


def test_every_typed_command_is_one_of_the_table() -> None:
    assert {"/instrument/" + words.replace(" ", "/") for words in command_words()} <= set(COMMANDS)


@pytest.fixture
def live() -> LiveLine:
    """A live line nobody sends to."""
    line = LiveLine.__new__(LiveLine)
    line._seen, line._played, line._latency, line._source, line._recording = {}, {}, "", "", ""
    return line


def test_the_live_line_shows_the_movement_played_last(live: LiveLine) -> None:
    live._take("/instrument/prediction", ["move", "circle", 0.5])
    live._take("/instrument/movement", ["move", "hit", "circle", 0.62])
    live._take("/instrument/movement", ["move", "end", "circle", 0.0])
    assert live.text() == "move: circle 0.50 (played circle 0.62)"


def test_the_live_line_shows_what_each_output_sees_and_the_latency(live: LiveLine) -> None:
    assert live.text() == "starting ..."
    live._take("/instrument/prediction", ["posture", "up", 0.987])
    live._take("/instrument/prediction", ["lift", 0.5])
    live._take("/instrument/latency", ["track", 15.0, 20.0])
    live._take("/instrument/latency", ["total", 17.25, 20.0])
    assert live.text() == "posture: up 0.99   lift: 0.50   17.25 ms from picture to sound"


def test_the_live_line_shows_recording_while_it_lasts_and_a_lost_source(live: LiveLine) -> None:
    live._take("/instrument/recording", ["count_in", 2.0])
    assert live.text() == "GET READY 2.00 s"
    live._take("/instrument/recording", ["idle", 0.0])
    live._take("/instrument/source/state", ["lost", "camera 0 was pulled out"])
    assert live.text() == "SOURCE LOST: camera 0 was pulled out"
    live._take("/instrument/source/state", ["playing", ""])
    assert live.text() == "starting ..."


def test_pedals_are_introduced_and_how_to_learn_those_that_are_not() -> None:
    pedals = '[[pedal]]\npress = "undo"\nmidi = "cc"\nnumber = 64\n[[pedal]]\nname = "go"\npress = "run toggle"\n'
    patch = parse_patch(pedals, Path("patch.toml"))
    lines = introduction(Project(Path("here")), patch, source="demo", in_port=6448).splitlines()
    assert [line.split(maxsplit=1) for line in lines[-2:]] == [
        ["pedal", "undo: cc 64"],
        ["pedal", "go: not learned yet: pedal learn 2"],
    ]
