"""Which takes a prediction comes from."""

import json
from pathlib import Path

import numpy as np
import pytest
from playing import NUMBERS_PATCH
from typer.testing import CliRunner

from instrument.cli import app
from instrument.datasets import FeatureCache
from instrument.project import Project
from instrument.signals import LandmarkSequence
from instrument.takes import TakeStore, WholeTake
from instrument.training import train_project


def recorded(rows: np.ndarray, label: str | None = None) -> WholeTake:
    """A second of these numbers: a take of that side, or a performance."""
    return WholeTake(
        kind="take" if label else "performance",
        created_at="",
        source="",
        targets={"side": label} if label else {},
        landmarks=LandmarkSequence(
            times_s=np.arange(20) / 20, aspect=np.ones(20, dtype=np.float32), numbers=rows.astype(np.float32)
        ),
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Left is learned from takes 1 and 2, at two places; right from takes 3 and 4. Take 5 is a performance."""
    (tmp_path / "patch.toml").write_text(NUMBERS_PATCH)
    rng = np.random.default_rng(0)

    def take(centre: tuple[float, float], label: str | None) -> WholeTake:
        return recorded(np.array(centre) + 0.05 * rng.standard_normal((20, 2)), label)

    takes = [
        take((0, 0), "left"),
        take((0, 2), "left"),
        take((2, 0), "right"),
        take((2, 2), "right"),
        take((0, 2), None),
    ]
    with TakeStore.open(tmp_path / "takes.sqlite") as store:
        store.add(takes, "test")
    train_project(tmp_path, outputs=["side"], cache=FeatureCache())
    return Project(tmp_path)


def test_a_moment_is_put_down_to_the_take_it_resembles(project: Project) -> None:
    result = CliRunner().invoke(app, ["blame", "5", str(project.folder), "--at", "0.5", "--json"])
    found = json.loads(result.output)
    assert (found["said"], found["at_s"]) == ("left", 0.5)
    assert found["because_of"][0]["take"] == 2
    assert found["because_of"][0]["share"] > 0.9
    assert sum(one["share"] for one in found["because_of"]) == pytest.approx(1.0, abs=1e-3)


def test_an_output_that_learns_a_value_is_refused_with_those_that_learn_classes(project: Project) -> None:
    result = CliRunner().invoke(app, ["blame", "5", str(project.folder), "--output", "amount"])
    assert result.exit_code == 1
    assert "'amount' is continuous, which names no class; allowed: side" in result.output


def test_it_is_said_in_words(project: Project) -> None:
    result = CliRunner().invoke(app, ["blame", "5", str(project.folder)])
    assert "side is 'left'" in result.output
    assert "because of take 2" in result.output


@pytest.mark.parametrize(
    ("take", "at", "said"),
    [
        (5, "500", "take 5 lasts 0.9 s; choose a moment from 0 to 0.9"),
        (6, "0.5", "nobody is in view in take 6 at 0.5 s"),
        (7, "0", "take 7 cannot show it: it has 5 numbers, the patch 2"),
    ],
)
def test_a_moment_that_nothing_can_be_said_of_is_refused(project: Project, take: int, at: str, said: str) -> None:
    lost = np.zeros((20, 2), dtype=np.float32)
    lost[5:15] = np.nan
    with TakeStore.open(project.takes_file) as store:
        store.add([recorded(lost), recorded(np.zeros((20, 5), dtype=np.float32))], "test")
    result = CliRunner().invoke(app, ["blame", str(take), str(project.folder), "--at", at])
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())


def test_the_end_may_be_rounded(project: Project) -> None:
    result = CliRunner().invoke(app, ["blame", "5", str(project.folder), "--at", "1.0", "--json"])
    assert json.loads(result.output)["at_s"] == 0.95


@pytest.mark.parametrize(("arguments", "said"), [(["9"], "no take 9"), (["5", "--output", "up"], "no output 'up'")])
def test_what_is_not_there_is_said(project: Project, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["blame", arguments[0], str(project.folder), *arguments[1:]])
    assert result.exit_code == 1
    assert said in result.output
