"""What `import` says of takes that a project will not learn from."""

from pathlib import Path

import pytest
from playing import NUMBERS_PATCH, playing
from typer.testing import CliRunner

from instrument.cli import app
from instrument.takes import TakeStore

POSTURES = '[listen]\ntrack = ["pose"]\n[[output]]\nname = "side"\n'
TABLE = "x,y,side\n1,2,left\n3,4,right\n"


def brought(folder: Path, text: str, *options: object, patch: str = NUMBERS_PATCH) -> tuple[int, str]:
    """Exit code and output of importing a table of that text into a project in that folder."""
    project, file = folder / "project", folder / "table.csv"
    project.mkdir(exist_ok=True)
    (project / "patch.toml").write_text(patch)
    file.write_text(text)
    result = CliRunner().invoke(app, ["import", str(file), str(project), *map(str, options)])
    return result.exit_code, result.output


def test_what_can_be_learned_is_imported_without_a_word(tmp_path: Path) -> None:
    code, said = brought(tmp_path, "x,amount,side,y\n1,1,left,2\n3,0,right,4\n")
    assert (code, said) == (0, f"2 takes added to {tmp_path / 'project'}\n")
    with TakeStore.open(tmp_path / "project" / "takes.sqlite", readonly=True) as store:
        assert [take.targets for take in store.takes()] == [
            {"amount": 1.0, "side": "left"},
            {"amount": 0.0, "side": "right"},
        ]


@pytest.mark.parametrize(
    ("text", "patch", "note"),
    [
        (
            TABLE.replace("side", "class"),
            NUMBERS_PATCH,
            "2 of 2 takes: no output 'class'; this patch has: side, amount.",
        ),
        (
            TABLE.replace("x,y", "x,y,z").replace(",4,", ",4,5,").replace(",2,", ",2,5,"),
            NUMBERS_PATCH,
            "3 numbers a frame",
        ),
        (TABLE.replace("2", ""), NUMBERS_PATCH, "1 of 2 takes: numbers are missing in some frames"),
        (
            TABLE.replace("left", "up"),
            NUMBERS_PATCH,
            "1 of 2 takes: 'up' for output 'side', whose classes are left, right",
        ),
        (
            TABLE.replace("side", "amount"),
            NUMBERS_PATCH,
            "names for output 'amount', which is continuous and learns values",
        ),
        (TABLE, POSTURES, "2 of 2 takes: no pose landmarks, from which output 'side' learns"),
    ],
)
def test_what_teaches_nothing_is_imported_and_said(tmp_path: Path, text: str, patch: str, note: str) -> None:
    code, said = brought(tmp_path, text, patch=patch)
    assert code == 0
    assert "2 takes added" in said
    assert f"note: {note}" in said or f"takes: {note}" in said
    assert said.count("note: ") == 1


def test_numbers_are_counted_against_the_latest_take_where_the_patch_leaves_them_open(tmp_path: Path) -> None:
    patch = NUMBERS_PATCH.replace("inputs = 2\n", "")
    assert "note" not in brought(tmp_path, TABLE, patch=patch)[1]
    assert "1 number a frame, where this project has 2" in brought(tmp_path, "x,side\n1,left\n", patch=patch)[1]


@pytest.mark.parametrize("text", ["", "x,y,side\n"])
def test_a_file_without_takes_is_refused(tmp_path: Path, text: str) -> None:
    code, said = brought(tmp_path, text)
    assert code == 1
    assert "table.csv: no takes in it; wanted: a first line that names the columns" in said


def test_a_table_is_read_for_the_project_while_that_is_played(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("1,0.5,0.25\n2,0.5,0.25\n")
    with playing(tmp_path / "project", has_trainer=False) as one:
        folder, port = one.engine.project.folder, str(one.engine.server.address[1])
        command = ["import", str(file), str(folder), "--port", port]
        assert CliRunner().invoke(app, command).exit_code == 1
        result = CliRunner().invoke(app, [*command, "--label-column", "1"])
        assert result.exit_code == 0, result.output
        assert "note: 2 of 2 takes: no output 'output'" in result.output
        assert [row["targets"] for row in one.takes()] == [{"output": "1"}, {"output": "2"}]
        (folder / "values.csv").write_text("x,y,amount\n1,2,0\n3,4,1\n")
        assert one.ask("takes/import", "values.csv") == [1]
        assert one.takes()[-1]["targets"] == {"amount": 0.0}
        (folder / "none.csv").write_text("")
        with pytest.raises(Exception, match="no takes in it"):
            one.ask("takes/import", "none.csv")
