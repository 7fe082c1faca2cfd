from pathlib import Path

import pytest
from recordings import record

from instrument import projects
from instrument.patch_file import read_patch
from instrument.projects import ProjectError, find_project, new_project, patch_names, patches_folder, ready_made_project
from instrument.takes import TakeStore


@pytest.fixture(autouse=True)
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder, for this test only."""
    folder = tmp_path / "user data"
    monkeypatch.setattr(projects.platformdirs, "user_data_dir", lambda *_, **__: str(folder))
    return folder


def take_count(folder: Path) -> int:
    with TakeStore.open(folder / "takes.sqlite", readonly=True) as store:
        return len(store.takes())


def test_every_ready_made_patch_can_be_read_and_says_what_it_is() -> None:
    assert "three-postures" in patch_names()
    for name in patch_names():
        assert read_patch(patches_folder() / name / "patch.toml").about


def test_a_new_project_has_its_own_patch_and_the_takes_that_ship_with_it(tmp_path: Path) -> None:
    project = new_project(tmp_path / "mine", "three-postures")
    assert project.folder == tmp_path / "mine"
    assert read_patch(project.patch_file).name == "Three postures"
    assert take_count(project.folder) > 0
    assert not (project.folder / "takes.csv").exists()
    assert not (tmp_path / "mine.new").exists()


def test_undo_leaves_a_new_project_the_takes_it_came_with(tmp_path: Path) -> None:
    first = new_project(tmp_path / "first", "three-postures")
    second = new_project(tmp_path / "second", str(first.folder))
    for project in (first, second):
        with TakeStore.open(project.takes_file) as store:
            before = len(store.takes())
            record(store)
            assert store.undo() is not None
            assert store.undo() is None
            assert len(store.takes()) == before


def test_a_project_can_be_made_from_another_with_its_takes_and_without_its_models(tmp_path: Path) -> None:
    first = new_project(tmp_path / "first", "three-postures")
    with TakeStore.open(first.takes_file) as store:
        before = len(store.takes())
        record(store)
    first.models_folder.mkdir()
    (first.models_folder / "posture.json").write_text("{}", encoding="utf-8")
    (first.folder / "sound.pd").write_text("#N canvas;", encoding="utf-8")
    second = new_project(tmp_path / "second", str(first.folder))
    assert take_count(second.folder) == before + 1
    assert (second.folder / "sound.pd").is_file()
    assert not second.models_folder.exists()


def test_an_empty_folder_may_become_the_project(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert new_project(tmp_path / "mine", "three-postures").patch_file.is_file()


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear", encoding="utf-8")
    (tmp_path / "file").write_text("dear", encoding="utf-8")
    for name in ("mine", "file"):
        with pytest.raises(ProjectError, match="there already; choose another name"):
            new_project(tmp_path / name, "three-postures")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "mine"]


def test_the_folder_one_stands_in_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProjectError, match="choose another name"):
        new_project(Path(), "three-postures")


def test_a_patch_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no patch 'seven'; there are: .*three-postures"):
        new_project(tmp_path / "mine", "seven")
    assert not (tmp_path / "mine").exists()


def test_takes_that_cannot_be_read_leave_no_half_made_project(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "patch.toml").write_text('name = "x"', encoding="utf-8")
    (tmp_path / "broken" / "takes.csv").write_text("no takes at all", encoding="utf-8")
    with pytest.raises(ProjectError, match=r"the takes of .*broken cannot be used"):
        new_project(tmp_path / "mine", str(tmp_path / "broken"))
    assert [one.name for one in tmp_path.iterdir()] == ["broken"]


def test_without_a_name_the_default_project_is_made_once_and_kept(user_data: Path) -> None:
    project = find_project(None)
    assert project.folder == user_data / "three-postures"
    with TakeStore.open(project.takes_file) as store:
        store.delete_all()
    assert take_count(find_project(None).folder) == 0


def test_a_ready_made_patch_is_found_by_its_name(
    user_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_project(Path("three-postures")) == ready_made_project("three-postures")


def test_a_folder_of_that_name_comes_before_the_ready_made_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = new_project(tmp_path / "three-postures", "three-postures")
    assert find_project(Path("three-postures")) == mine


def test_a_project_is_found_by_its_folder_or_its_patch(tmp_path: Path) -> None:
    mine = new_project(tmp_path / "mine", "three-postures")
    assert find_project(mine.folder) == mine
    assert find_project(mine.patch_file) == mine


def test_a_folder_without_a_patch_is_refused_with_how_to_make_a_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no patch\.toml.*instrument new .*nowhere --from PATCH.*three-postures"):
        find_project(tmp_path / "nowhere")
