import inspect
import math
import re
from pathlib import Path

import pytest

from instrument.commands import Commands
from instrument.protocol import COMMANDS, SECTIONS, TOPICS, Argument, Command, reference

ROOT = Path(__file__).resolve().parents[1]
BY_THE_SERVER = {"/wek/inputs"}
"""Goes to the source without waiting for the engine, so no method of Commands does it."""


def read_signature(text: str) -> tuple[list[str], int, int]:
    """The arguments, how many of them may be left out, and how many may come again, as a reader takes it."""
    words = re.findall(r"[\[\].\w:]+", text)
    has_dots = words[-1:] == ["..."]
    words = words[: len(words) - has_dots]
    opened = [index for index, word in enumerate(words) if word.startswith("[")]
    optional = len(words) - opened[0] if opened else 0
    return [word.strip("[]") for word in words], optional, (optional or 1) if has_dots else 0


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda one: one.address)
def test_every_command_is_done_by_a_method_that_takes_its_arguments(command: Command) -> None:
    if command.address in BY_THE_SERVER:
        assert not hasattr(Commands, command.method)
        return
    parameters = list(inspect.signature(getattr(Commands, command.method)).parameters.values())[1:]
    single = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    if command.repeats:
        assert parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL
        assert len(single) == len(command.arguments) - command.repeats
    else:
        assert single == parameters
        assert len(single) == len(command.arguments)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda one: one.address)
def test_every_signature_reads_back_as_what_it_was_made_from(command: Command) -> None:
    names, optional, repeats = read_signature(command.signature)
    assert names == [f"{one.name}:{one.tag}" for one in command.arguments]
    assert (optional, repeats) == (command.optional, command.repeats)


def test_no_address_is_there_twice_and_no_two_have_the_same_method() -> None:
    rows = [row for rows in SECTIONS.values() for row in rows]
    assert len({row.address for row in rows}) == len(rows)
    assert len({row.method for row in rows}) == len(rows)


def test_every_row_of_wekinators_protocol_is_in_the_table_and_none_is_answered() -> None:
    rows = SECTIONS["Wekinator"]
    assert {row.address.removeprefix("/wekinator/control/") for row in rows} == {
        "/wek/inputs",
        *(
            "outputs",
            "startRecording",
            "stopRecording",
            "startDtwRecording",
            "stopDtwRecording",
            "train",
            "cancelTrain",
        ),
        *("startRunning", "stopRunning", "deleteAllExamples", "deleteExamplesForOutput"),
        *("enableModelRecording", "disableModelRecording", "enableModelRunning", "disableModelRunning"),
        *("setInputNames", "setOutputNames", "selectInputsForOutput", "loadModelFromFile", "saveModelToFile"),
    }
    assert not any(row.is_answered for row in rows)


def test_all_of_ours_are_answered_except_what_engine_and_trainer_tell_each_other() -> None:
    ours = [row for row in COMMANDS.values() if row.address.startswith("/instrument/")]
    assert [row.address for row in ours if not row.is_answered] == [
        f"/instrument/trainer/{word}" for word in ("hello", "progress", "done", "failed", "mapped", "coached")
    ]


@pytest.mark.parametrize(
    ("tag", "came", "wanted"),
    [("i", 2.0, 2), ("f", 2, 2.0), ("s", "up", "up"), ("v", "up", "up"), ("v", 2, 2), ("v", 0.5, 0.5)],
)
def test_a_number_comes_as_the_type_that_is_wanted(tag: str, came: float | str, wanted: float | str) -> None:
    checked = Argument("value", tag).check(came)
    assert checked == wanted
    assert type(checked) is type(wanted)


@pytest.mark.parametrize(
    ("tag", "came", "wanted"),
    [
        ("i", 0.5, "a whole number"),
        ("i", "1", "a whole number"),
        ("i", 2**31, "a whole number"),
        ("i", math.nan, "a whole number"),
        ("i", 10**400, "a whole number"),
        ("f", "0.5", "a number"),
        ("f", math.inf, "a number"),
        ("f", 1e300, "a number"),
        ("s", 1, "a text"),
        ("v", b"\x00", "a text or a number"),
        ("v", math.nan, "a text or a number"),
        ("v", 2**40, "a text or a number"),
    ],
)
def test_what_is_no_such_value_is_refused_with_what_is_wanted(tag: str, came: float | str | bytes, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"amount must be {wanted}, .* came"):
        Argument("amount", tag).check(came)


def test_arguments_that_repeat_may_come_any_number_of_times() -> None:
    assert COMMANDS["/instrument/takes/delete"].check([1, 2.0, 3]) == [1, 2, 3]
    pairs = ["posture", "up", "lift", 1]
    assert COMMANDS["/instrument/record"].check(pairs) == pairs
    assert COMMANDS["/instrument/record/timed"].check([3, 2, *pairs]) == [3.0, 2.0, *pairs]


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/instrument/ping", [1]),
        ("/instrument/run", []),
        ("/instrument/record", ["posture"]),
        ("/instrument/record", ["posture", "up", "lift"]),
        ("/instrument/record/timed", [3.0]),
        ("/instrument/record/timed", [3.0, 2.0, "posture"]),
        ("/instrument/takes/delete", []),
        ("/instrument/takes/relabel", [1, "posture"]),
        ("/wekinator/control/deleteExamplesForOutput", []),
    ],
)
def test_the_wrong_number_of_arguments_is_refused_with_what_the_command_takes(address: str, values: list[str]) -> None:
    signature = re.escape(COMMANDS[address].signature or "no arguments")
    with pytest.raises(ValueError, match=f"{address} takes {signature}; {len(values)} arguments? came"):
        COMMANDS[address].check(values)


def test_a_wekinator_command_does_not_mind_arguments_too_many() -> None:
    assert COMMANDS["/wekinator/control/startRecording"].check([1.0]) == []
    assert COMMANDS["/wekinator/control/loadModelFromFile"].check([1, "m.xml", "WITHDATA"]) == [1, "m.xml"]


def test_the_reference_in_docs_is_that_of_the_table() -> None:
    written = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert written == reference(), "run scripts/make_docs.py"


def test_the_reference_names_every_command_and_topic() -> None:
    page = reference()
    for address in [*COMMANDS, *(topic[0] for topic in TOPICS.values())]:
        assert f"| `{address}` |" in page


def test_every_row_of_the_reference_has_as_many_cells_as_its_table() -> None:
    width = 0
    for line in reference().splitlines():
        cells = line.count("|")
        if not cells:
            width = 0
        elif not width:
            width = cells
        assert cells == width, line
