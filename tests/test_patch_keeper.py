import os
from pathlib import Path

import pytest

from instrument.patch import Patch, PatchError
from instrument.patch_file import find_patch, playing_patch
from instrument.patch_keeper import LOOK_EVERY_S, ONE_EDIT_S, PatchKeeper
from instrument.source import SourceError

TEXT = """name = "Test"
[smoothing]
beta = 1.0
"""


class Playing:
    """What plays, with time that stands still until it is set."""

    def __init__(self, file: Path) -> None:
        self.now_s = 0.0
        self.betas: list[float] = []
        self.told: list[str] = []
        self.is_refusing = False
        file.write_text(TEXT)
        self.keeper = PatchKeeper(file, find_patch(file), play=self.play, on_change=self.tell, now_s=lambda: self.now_s)

    def play(self, patch: Patch) -> None:
        if self.is_refusing:
            raise SourceError("no camera")
        self.betas.append(patch.smoothing.beta)

    def tell(self) -> None:
        self.told.append(self.keeper.problem)

    def set_beta(self, beta: float) -> None:
        self.keeper.change(self.keeper.with_values([("smoothing.beta", beta)]), edit="smoothing.beta")

    def attend(self) -> None:
        self.now_s += LOOK_EVERY_S
        self.keeper.attend()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "patch.toml"


@pytest.fixture
def playing(file: Path) -> Playing:
    return Playing(file)


def saved_by_an_editor(file: Path, text: str) -> None:
    file.write_text(text)
    stamp_ns = file.stat().st_mtime_ns + 1_000_000_000
    os.utime(file, ns=(stamp_ns, stamp_ns))


def test_what_is_changed_plays_and_stands_on_disk(playing: Playing, file: Path) -> None:
    playing.set_beta(2.5)
    assert playing.betas == [2.5]
    assert file.read_text() == TEXT.replace("1.0", "2.5")


def test_a_patch_that_is_wrong_or_cannot_be_played_changes_nothing(playing: Playing, file: Path) -> None:
    with pytest.raises(PatchError, match="beta"):
        playing.set_beta(-1.0)
    playing.is_refusing = True
    with pytest.raises(SourceError, match="no camera"):
        playing.set_beta(2.0)
    assert playing.betas == []
    assert file.read_text() == TEXT
    assert [one.name for one in file.parent.iterdir()] == ["patch.toml"]
    with pytest.raises(ValueError, match="nothing of the patch to undo"):
        playing.keeper.undo()


def test_edits_of_one_value_that_follow_each_other_soon_are_undone_together(playing: Playing) -> None:
    for beta in (2.0, 3.0):
        playing.set_beta(beta)
    playing.now_s += ONE_EDIT_S
    playing.set_beta(4.0)
    playing.keeper.undo()
    playing.keeper.undo()
    playing.keeper.redo()
    assert playing.betas == [2.0, 3.0, 4.0, 3.0, 1.0, 3.0]


def test_what_an_editor_saves_plays_once_two_looks_agree_and_can_be_undone(playing: Playing, file: Path) -> None:
    saved_by_an_editor(file, TEXT.replace("1.0", "5.0"))
    playing.attend()
    assert playing.betas == []
    playing.attend()
    playing.attend()
    assert playing.betas == [5.0]
    playing.keeper.undo()
    assert file.read_text() == TEXT


def test_a_patch_saved_wrong_is_said_until_it_is_right_again(playing: Playing, file: Path) -> None:
    saved_by_an_editor(file, TEXT.replace("1.0", '"much"'))
    playing.attend()
    playing.attend()
    assert "line 3: smoothing.beta" in playing.keeper.problem
    saved_by_an_editor(file, TEXT)
    playing.attend()
    playing.attend()
    assert playing.keeper.problem == ""
    assert [bool(one) for one in playing.told] == [True, False]
    assert playing.betas == []


@pytest.mark.parametrize(
    ("saved", "said"),
    [(b"", "empty; a patch has at least one"), (TEXT.encode() + b"# gr\xf6\xdfe", "line 4: not UTF-8; save it as")],
)
def test_a_file_that_is_no_patch_at_all_is_refused_like_any_other_mistake(
    playing: Playing, file: Path, saved: bytes, said: str
) -> None:
    file.write_bytes(saved)
    playing.attend()
    playing.attend()
    assert said in playing.keeper.problem
    assert playing.betas == []


def test_while_the_file_is_wrong_what_plays_lies_beside_it_for_an_engine_that_starts_again(
    playing: Playing, file: Path
) -> None:
    playing.set_beta(2.5)
    saved_by_an_editor(file, "[[route")
    playing.attend()
    playing.attend()
    found = find_patch(file)
    assert (found.patch.smoothing.beta, found.text) == (2.5, TEXT.replace("1.0", "2.5"))
    assert "not valid TOML" in found.problem
    again = PatchKeeper(file, find_patch(file), play=playing.play, on_change=playing.tell, now_s=lambda: playing.now_s)
    assert "not valid TOML" in again.problem
    assert file.read_text() == "[[route"
    again.change(TEXT)
    assert again.problem == ""
    assert [one.name for one in file.parent.iterdir()] == ["patch.toml"]


def test_undo_puts_back_what_plays_where_a_mistake_was_saved(playing: Playing, file: Path) -> None:
    playing.set_beta(2.5)
    saved_by_an_editor(file, "[[route")
    playing.attend()
    playing.attend()
    playing.keeper.undo()
    assert file.read_text() == TEXT.replace("1.0", "2.5")
    assert file.with_name("patch.undone.toml").read_text() == "[[route"
    assert playing.keeper.problem == ""
    playing.keeper.undo()
    assert file.read_text() == TEXT


def test_what_an_editor_saved_a_moment_before_an_undo_is_kept(playing: Playing, file: Path) -> None:
    playing.set_beta(2.5)
    saved_by_an_editor(file, TEXT.replace("1.0", "7.0"))
    playing.keeper.undo()
    assert file.read_text() == TEXT
    assert file.with_name("patch.undone.toml").read_text() == TEXT.replace("1.0", "7.0")


def test_what_may_not_play_is_not_brought_back(playing: Playing, file: Path) -> None:
    def refuse(text: str) -> None:
        raise ValueError(f"not {text[:4]}")

    playing.set_beta(2.5)
    with pytest.raises(ValueError, match="not"):
        playing.keeper.undo(refuse)
    assert file.read_text() == TEXT.replace("1.0", "2.5")
    playing.keeper.undo()
    with pytest.raises(ValueError, match="not"):
        playing.keeper.redo(refuse)
    assert file.read_text() == TEXT


def test_undo_puts_back_a_patch_that_was_deleted(playing: Playing, file: Path) -> None:
    file.unlink()
    playing.attend()
    playing.attend()
    assert playing.keeper.problem
    playing.keeper.undo()
    assert file.read_text() == TEXT


def test_who_works_beside_an_engine_knows_the_patch_that_plays(playing: Playing, file: Path) -> None:
    playing.is_refusing = True
    saved_by_an_editor(file, TEXT.replace("1.0", "9.0"))
    playing.attend()
    playing.attend()
    assert "no camera" in playing.keeper.problem
    assert playing_patch(file).smoothing.beta == 1.0
    playing.is_refusing = False
    playing.set_beta(3.0)
    assert playing_patch(file).smoothing.beta == 3.0


def test_line_ends_of_another_system_stay_one(playing: Playing, file: Path) -> None:
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert playing.keeper.text() == TEXT


@pytest.mark.parametrize(("mixed", "end"), [(0, b"\r\n"), (1, b"\r\n"), (2, b"\n"), (3, b"\n")])
def test_an_edit_and_its_undo_keep_the_line_ends_that_most_lines_have(
    playing: Playing, file: Path, mixed: int, end: bytes
) -> None:
    file.write_bytes(TEXT.encode().replace(b"\n", b"\r\n").replace(b"\r\n", b"\n", mixed))
    playing.set_beta(2.0)
    assert file.read_bytes() == TEXT.replace("1.0", "2.0").encode().replace(b"\n", end)
    playing.keeper.undo()
    assert file.read_bytes() == TEXT.encode().replace(b"\n", end)


def test_without_a_patch_that_played_a_wrong_one_is_refused(file: Path) -> None:
    file.write_text("[[route")
    with pytest.raises(PatchError, match="not valid TOML"):
        find_patch(file)


def test_a_patch_that_is_gone_is_said_and_plays_on(playing: Playing, file: Path) -> None:
    file.unlink()
    playing.attend()
    playing.attend()
    assert "patch.toml" in playing.keeper.problem
    saved_by_an_editor(file, TEXT)
    playing.attend()
    playing.attend()
    assert playing.keeper.problem == ""
    assert playing.betas == []


def test_another_project_is_opened_without_the_edits_of_the_one_before(playing: Playing, tmp_path: Path) -> None:
    playing.set_beta(2.0)
    other = tmp_path / "other.toml"
    other.write_text(TEXT.replace("1.0", "7.0"))
    playing.keeper.open(other, find_patch(other))
    assert playing.keeper.text() == other.read_text()
    with pytest.raises(ValueError, match="nothing of the patch to undo"):
        playing.keeper.undo()
