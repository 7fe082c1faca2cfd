"""A session as a script trains the same models again, to the last bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from movements import HZ, circle, held, zigzag
from typer.testing import CliRunner

from instrument.cli import app
from instrument.models.trained import load_model
from instrument.project import Project
from instrument.projects import new_project
from instrument.signals import LandmarkSequence
from instrument.takes import TakeStore, WholeTake, utc_now

AS_THE_TRAINER = """
import sys
from instrument.kernels.threads import use_one_thread
use_one_thread()
from pathlib import Path
from instrument.datasets import FeatureCache
from instrument.training import train_project
train_project(Path(sys.argv[1]), cache=FeatureCache())
"""


def python(*arguments: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=120)


def instrument(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def moved(rows: np.ndarray, kind: str = "take", **targets: str) -> WholeTake:
    """A take or rehearsal of a point."""
    count = len(rows)
    landmarks = LandmarkSequence(
        times_s=np.arange(count) / HZ, aspect=np.ones(count, dtype=np.float32), numbers=rows.astype(np.float32)
    )
    return WholeTake(kind=kind, created_at=utc_now(), source="test", targets=targets, landmarks=landmarks)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The three postures after a session in which takes were deleted, trimmed and relabelled, trained."""
    folder = tmp_path_factory.mktemp("projects")
    project = new_project(folder / "mine", "three-postures")
    with TakeStore.open(project.takes_file) as store:
        ids = [take.id for take in store.takes()]
        store.delete(ids[:1])
        store.trim(ids[-1], 1, store.take(ids[-1]).frame_count - 2)
        store.relabel(ids[1:2], {"lift": 0.25})
    ran = python("-c", AS_THE_TRAINER, project.folder, folder=folder)
    assert ran.returncode == 0, ran.stderr
    return project


def test_the_script_makes_the_same_files_bit_for_bit(trained: Project, tmp_path: Path) -> None:
    code, text = instrument("script", tmp_path / "evening.py", trained.folder)
    assert code == 0, text
    ran = python(tmp_path / "evening.py", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for name in ("posture", "lift"):
        weights = (tmp_path / "evening-models" / f"{name}.safetensors").read_bytes()
        assert weights == trained.model_file(name).read_bytes()
        assert f"{name} {load_model(trained.model_file(name)).model_id} as played" in ran.stdout


def test_movements_learn_from_rehearsals_in_the_script_too(tmp_path: Path) -> None:
    project = Project(tmp_path / "mine")
    project.folder.mkdir()
    project.patch_file.write_text(
        '[listen]\nsource = "osc"\ninputs = 2\n[[output]]\nname = "move"\nkind = "trigger"\n', encoding="utf-8"
    )
    with TakeStore.open(project.takes_file) as store:
        store.add([moved(np.cumsum(np.random.default_rng(1).normal(0, 0.05, (300, 2)), axis=0), "rehearsal")], "test")
        store.add([moved(held(circle()), move="circle"), moved(held(zigzag()), move="zigzag")], "test")
    ran = python("-c", AS_THE_TRAINER, project.folder, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    code, text = instrument("script", tmp_path / "evening.py", project.folder)
    assert code == 0, text
    ran = python(tmp_path / "evening.py", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "as played" in ran.stdout


def test_a_script_whose_takes_are_others_says_that_its_models_differ(trained: Project, tmp_path: Path) -> None:
    changed = new_project(tmp_path / "changed", str(trained.folder))
    changed.models_folder.mkdir()
    for file in trained.models_folder.iterdir():
        (changed.models_folder / file.name).write_bytes(file.read_bytes())
    with TakeStore.open(changed.takes_file) as store:
        store.delete([store.takes()[-1].id])
    assert instrument("script", tmp_path / "evening.py", changed.folder)[0] == 0
    ran = python(tmp_path / "evening.py", folder=tmp_path)
    assert ran.returncode == 1
    assert "differs" in ran.stdout


def test_the_script_is_short_and_needs_nothing_of_the_project(trained: Project, tmp_path: Path) -> None:
    assert instrument("script", tmp_path / "evening.py", trained.folder)[0] == 0
    text = (tmp_path / "evening.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 50
    assert str(trained.folder) not in text
    assert {file.name for file in tmp_path.iterdir()} == {"evening.py", "evening.npz", "evening.toml"}


def test_a_project_that_was_not_trained_is_told_to_train(tmp_path: Path) -> None:
    project = new_project(tmp_path / "mine", "three-postures")
    code, text = instrument("script", tmp_path / "evening.py", project.folder)
    assert code == 1
    assert "play it once" in text
    assert not (tmp_path / "evening.npz").exists()


@pytest.mark.parametrize("name", ["evening", "patch.py"])
def test_a_name_that_would_overwrite_something_else_is_refused(trained: Project, name: str) -> None:
    before = trained.patch_file.read_bytes()
    code, text = instrument("script", trained.folder / name, trained.folder)
    assert code == 1
    assert "allowed" in text or "choose another name" in text
    assert trained.patch_file.read_bytes() == before


def test_files_that_are_there_are_overwritten_only_when_told_to(trained: Project, tmp_path: Path) -> None:
    (tmp_path / "evening.toml").write_text("mine")
    code, text = instrument("script", tmp_path / "evening.py", trained.folder)
    assert code == 1
    assert "evening.toml: there already" in text
    assert (tmp_path / "evening.toml").read_text() == "mine"
    assert instrument("script", tmp_path / "evening.py", trained.folder, "--force")[0] == 0


def test_a_model_whose_takes_are_gone_is_named(trained: Project, tmp_path: Path) -> None:
    gone = new_project(tmp_path / "gone", str(trained.folder))
    gone.models_folder.mkdir()
    for file in trained.models_folder.iterdir():
        (gone.models_folder / file.name).write_bytes(file.read_bytes())
    with TakeStore.open(gone.takes_file) as store:
        store.delete_all()
    code, text = instrument("script", tmp_path / "evening.py", gone.folder)
    assert code == 1
    assert "its takes are gone" in text
    assert not (tmp_path / "evening.npz").exists()
