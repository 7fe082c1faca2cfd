import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from clients import free_udp_port
from playing import NUMBERS_PATCH, Playing, playing
from recordings import assert_same_take
from typer.testing import CliRunner

from instrument import __version__, projects
from instrument.cli import app
from instrument.takes import TakeStore

COMMANDS = (
    "play",
    "new",
    "patches",
    "send",
    "status",
    "report",
    "doctor",
    "takes",
    "export",
    "import",
    "export-model",
    "script",
    "bench",
)
DONE, REFUSED, WRONG_WORDS, NO_ANSWER = range(4)


@pytest.fixture(autouse=True)
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder, for this test only."""
    folder = tmp_path / "user data"
    monkeypatch.setattr(projects.platformdirs, "user_data_dir", lambda *_, **__: str(folder))
    return folder


def instrument(*words: object) -> tuple[int, str]:
    """Exit code and everything that was printed by `instrument WORDS`."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "100", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def process(*words: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The same as a program of its own."""
    environment = os.environ | {"XDG_DATA_HOME": str(folder), "HOME": str(folder), "COLUMNS": "100"}
    command = [sys.executable, "-m", "instrument", *map(str, words)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=folder, timeout=60)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A project made from the three postures, through the command."""
    assert instrument("new", tmp_path / "mine", "--from", "three-postures")[0] == DONE
    return tmp_path / "mine"


# Help


def test_help_names_every_command_and_every_one_has_help_of_its_own() -> None:
    code, text = instrument("--help")
    assert code == DONE
    for name in COMMANDS:
        assert re.search(rf"\b{name}  +[A-Z]", text), name
        assert instrument(name, "--help")[0] == DONE


def commands() -> Iterator[tuple[str, Any]]:
    """Every command, those of `bench` too, as click knows it."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield name, command
        yield from getattr(command, "commands", {}).items()


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_no_command_option_or_argument_is_without_a_word_of_help(name: str, command: Any) -> None:
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name}"


def test_without_words_help_is_shown() -> None:
    assert "Begin with" in instrument()[1]


def test_the_version_is_printed() -> None:
    assert instrument("--version") == (DONE, f"{__version__}\n")


# Exit codes of the real program


def test_the_exit_code_says_whether_it_was_done_refused_misunderstood_or_unheard(tmp_path: Path) -> None:
    port = free_udp_port()
    assert process("patches", folder=tmp_path).returncode == DONE
    refused = process("takes", "nowhere", folder=tmp_path)
    assert refused.returncode == REFUSED
    assert refused.stderr.startswith("instrument: nowhere: no project here")
    assert process("dance", folder=tmp_path).returncode == WRONG_WORDS
    unheard = process("status", "--port", port, folder=tmp_path)
    assert unheard.returncode == NO_ANSWER
    assert "start it with `instrument play`" in unheard.stderr
    for one in (refused, unheard):
        assert one.stdout == ""
        assert "Traceback" not in one.stderr


# Projects and takes


def test_the_ready_made_patches_are_listed_with_what_they_are() -> None:
    code, text = instrument("patches")
    assert code == DONE
    assert re.search(r"^three-postures +Arms down, wide or up", text, re.MULTILINE)


def test_a_new_project_says_where_it_is_and_how_to_play_it(tmp_path: Path) -> None:
    code, text = instrument("new", tmp_path / "mine", "--from", "three-postures")
    assert code == DONE
    assert f"{tmp_path / 'mine'} is made" in text
    assert f"instrument play {tmp_path / 'mine'}" in text
    assert instrument("new", tmp_path / "mine")[0] == REFUSED
    assert instrument("new", tmp_path / "other", "--from", "no such patch")[0] == REFUSED


def test_takes_are_listed_with_what_they_teach(mine: Path) -> None:
    code, text = instrument("takes", mine)
    assert code == DONE
    assert re.search(r"^ +1 +\d+ +\d\.\d\d +100%  lift = 0\.0, posture = rest$", text, re.MULTILINE)


def test_a_project_without_takes_says_so(tmp_path: Path) -> None:
    (tmp_path / "patch.toml").write_text('name = "x"', encoding="utf-8")
    assert instrument("takes", tmp_path) == (DONE, "no takes yet\n")


@pytest.mark.parametrize("ending", ["csv", "npz", "arff"])
def test_takes_written_to_a_file_come_back_equal(mine: Path, tmp_path: Path, ending: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "patch.toml").write_text((mine / "patch.toml").read_text(encoding="utf-8"), encoding="utf-8")
    file = tmp_path / f"takes.{ending}"
    with TakeStore.open(mine / "takes.sqlite") as there:
        count = len(there.takes())
    assert instrument("export", file, mine) == (DONE, f"{file}: {count} takes\n")
    assert instrument("import", file, tmp_path / "empty") == (DONE, f"{count} takes added to {tmp_path / 'empty'}\n")
    with TakeStore.open(mine / "takes.sqlite") as there, TakeStore.open(tmp_path / "empty" / "takes.sqlite") as here:
        for one, other in zip(there.takes(), here.takes(), strict=True):
            assert_same_take(there.whole(one.id), here.whole(other.id))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("export", "takes.txt"), "format is 'txt'; allowed: csv, npz, arff"),
        (("export", "nowhere/takes.csv"), "cannot be written"),
        (("export", "patch.toml"), "is there already; --force overwrites it"),
        (("import", "nothing.csv"), "no such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_why(mine: Path, words: tuple[str, str], reason: str) -> None:
    code, text = instrument(words[0], mine / words[1], mine)
    assert code == REFUSED
    assert reason in text.replace("\n", "")


# With an instrument that plays


@pytest.fixture
def played(tmp_path: Path) -> Iterator[tuple[Playing, int]]:
    with playing(tmp_path / "played", has_trainer=False) as one:
        yield one, one.engine.server.address[1]


def test_status_is_shown_as_text_and_as_json(played: tuple[Playing, int]) -> None:
    _, port = played
    code, text = instrument("status", "--port", port)
    assert code == DONE
    assert text.startswith("Numbers  (")
    assert json.loads(instrument("status", "--port", port, "--json")[1])["patch"] == "Numbers"


def test_a_command_that_is_sent_prints_its_answer(played: tuple[Playing, int]) -> None:
    _, port = played
    assert instrument("send", "/instrument/ping", "--port", port) == (DONE, f"{__version__}\n")
    assert instrument("send", "/instrument/target", "side", "right", "--port", port) == (DONE, "done\n")


def test_a_refusal_prints_its_reason(played: tuple[Playing, int]) -> None:
    _, port = played
    code, text = instrument("send", "/instrument/target", "side", "up", "--port", port)
    assert (code, text) == (REFUSED, "instrument: output 'side': class 'up'; allowed: left, right\n")


def test_numbers_below_zero_and_words_that_look_like_numbers_are_sent_as_wanted(played: tuple[Playing, int]) -> None:
    one, port = played
    code, text = instrument("send", "/instrument/target", "amount", "-0.5", "--port", port)
    assert (code, text) == (REFUSED, "instrument: output 'amount': -0.5; allowed: a number 0..1\n")
    instrument("send", "/wek/inputs", "1", "-2", "--port", port)
    instrument("send", "/instrument/output/classes", "side", "1", "2", "--port", port)
    assert one.status()["source"]["frames"] == 1
    assert one.engine.patch.outputs[0].classes == ("1", "2")


def test_commands_are_sent_as_they_are_typed_too(played: tuple[Playing, int]) -> None:
    one, port = played
    assert instrument("send", "target", "amount", "0.5", "--port", port) == (DONE, "done\n")
    assert instrument("send", "output", "classes", "side", "a", "b", "--port", port) == (DONE, "done\n")
    assert one.engine.patch.outputs[0].classes == ("a", "b")
    assert instrument("send", "redo", "--port", port) == (DONE, "nothing to redo\n")
    code, text = instrument("send", "remote", "/instrument/ping", "--port", port)
    assert (code, text) == (DONE, f"{__version__}\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("/instrument/dance",), "no such command: /instrument/dance; type help, or see docs/protocol.md"),
        (("/instrument/run", "yes"), "on must be a whole number, 'yes' came"),
        (("/instrument/takes/delete", "99999999999"), "take must be a whole number"),
        (("/instrument/record", "side"), "1 argument came"),
    ],
)
def test_words_that_are_no_command_are_not_sent(words: tuple[str, ...], reason: str) -> None:
    code, text = instrument("send", *words, "--port", free_udp_port())
    assert code == WRONG_WORDS
    assert reason in text


def test_nobody_there_is_said_and_has_its_own_exit_code() -> None:
    port = free_udp_port()
    for words in (("send", "/instrument/ping"), ("status",)):
        code, text = instrument(*words, "--port", port)
        assert code == NO_ANSWER
        assert f"nothing listens on 127.0.0.1:{port}" in text


def other_takes(tmp_path: Path) -> Path:
    """A file with one take of numbers."""
    file = tmp_path / "brought.csv"
    with playing(tmp_path / "other", has_trainer=False) as one:
        one.record_numbers([(0.1, 0.2)] * 4, "side", "left")
    assert instrument("export", file, tmp_path / "other")[0] == DONE
    return file


def test_takes_are_exported_and_imported_while_the_project_is_played(
    played: tuple[Playing, int], tmp_path: Path
) -> None:
    one, port = played
    file = other_takes(tmp_path)
    project = one.engine.project.folder
    assert instrument("import", file, project, "--port", port) == (DONE, f"1 take added to {project}\n")
    assert [row["frames"] for row in one.takes()] == [4]
    assert one.ask("undo") == ["import brought.csv"]
    assert one.takes() == []
    one.ask("redo")
    assert instrument("export", tmp_path / "out.npz", project) == (DONE, f"{tmp_path / 'out.npz'}: 1 take\n")
    assert np.load(tmp_path / "out.npz")
    assert sorted(path.name for path in project.iterdir() if path.name.startswith(".import")) == []


def test_a_wrong_file_is_refused_by_its_own_name_while_the_project_is_played(
    played: tuple[Playing, int], tmp_path: Path
) -> None:
    one, port = played
    code, text = instrument("import", tmp_path / "nothing.csv", one.engine.project.folder, "--port", port)
    assert code == REFUSED
    assert f"{tmp_path / 'nothing.csv'}: no such file" in text


def test_import_into_a_project_somebody_plays_elsewhere_says_what_to_do(
    played: tuple[Playing, int], tmp_path: Path
) -> None:
    one, _ = played
    file = other_takes(tmp_path)
    code, text = instrument("import", file, one.engine.project.folder, "--port", free_udp_port())
    assert code == NO_ANSWER
    assert "is being played by another instrument; give its port with --port" in text
    with playing(tmp_path / "third", has_trainer=False) as third:
        other_port = third.engine.server.address[1]
        assert instrument("import", file, one.engine.project.folder, "--port", other_port)[0] == REFUSED
        assert third.takes() == []


def test_the_commands_for_takes_in_files_keep_to_the_projects_folder(
    played: tuple[Playing, int], tmp_path: Path
) -> None:
    one, port = played
    one.record_numbers([(0.1, 0.2)] * 4, "side", "left")
    assert instrument("send", "/instrument/takes/export", "kept.csv", "--port", port)[0] == DONE
    assert instrument("send", "/instrument/takes/import", "kept.csv", "--port", port) == (DONE, "1\n")
    assert len(one.takes()) == 2
    for command in ("export", "import"):
        for file in ("../out.csv", tmp_path / "out.csv"):
            code, text = instrument("send", f"/instrument/takes/{command}", file, "--port", port)
            assert code == REFUSED
            assert "outside the project" in text
    assert instrument("send", "/instrument/takes/export", "patch.toml", "--port", port)[0] == REFUSED
    assert not (tmp_path / "out.csv").exists()


def test_a_project_is_made_by_a_command_and_can_be_opened(played: tuple[Playing, int], tmp_path: Path) -> None:
    one, port = played
    made = tmp_path / "made"
    make = ("send", "--port", port, "/instrument/project/new")
    assert instrument(*make, made, "three-postures") == (DONE, f"{made}\n")
    assert instrument(*make, made, "three-postures")[0] == REFUSED
    code, text = instrument(*make, tmp_path / "other", made)
    assert code == REFUSED
    assert "there are: three-postures" in text
    (made / "patch.toml").write_text(NUMBERS_PATCH, encoding="utf-8")
    assert instrument("send", "--port", port, "/instrument/project/open", made) == (DONE, "Numbers\n")
    assert one.engine.project.folder == made


# Playing


@pytest.mark.parametrize("out", ["nowhere", "127.0.0.1:0", "127.0.0.1:99999"])
def test_playing_to_an_address_that_is_none_is_refused_before_anything_starts(mine: Path, out: str) -> None:
    code, text = instrument("play", mine, "--out", out)
    assert code == WRONG_WORDS
    assert "is not HOST:PORT" in text


def test_playing_a_broken_patch_says_where_it_is_broken(mine: Path) -> None:
    (mine / "patch.toml").write_text('name = "x"\nspeed = 3\n', encoding="utf-8")
    code, text = instrument("play", mine)
    assert code == REFUSED
    assert "patch.toml, line 2: speed" in text.replace("\n", "")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A project that listens to numbers."""
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "patch.toml").write_text(NUMBERS_PATCH, encoding="utf-8")
    return tmp_path / "second"


def test_playing_on_a_port_that_is_taken_fails_and_names_who_has_it(
    played: tuple[Playing, int], second: Path, tmp_path: Path
) -> None:
    _, port = played
    run = process("play", second, "--in-port", port, "--headless", "--seconds", "20", folder=tmp_path)
    assert run.returncode == REFUSED
    assert f"port {port} is in use by" in run.stderr


def test_playing_for_some_seconds_ends_by_itself_and_says_what_it_plays(second: Path, tmp_path: Path) -> None:
    words = ("play", second, "--in-port", free_udp_port(), "--headless", "--seconds", "0.1")
    run = process(*words, folder=tmp_path)
    assert run.returncode == DONE, run.stderr
    assert run.stdout.startswith("Numbers  (")
    assert "Traceback" not in run.stderr
