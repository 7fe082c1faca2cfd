"""What the models would have done along a recording, and what is made of it: rehearsals, and takes cut out of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from clients import wait_until
from movements import HZ, circle, held, stream, zigzag
from playing import NUMBERS_PATCH, playing
from typer.testing import CliRunner

from instrument.cli import app
from instrument.client import CommandFailed
from instrument.datasets import FeatureCache
from instrument.gate import RELEASE_S
from instrument.models.trained import load_model
from instrument.project import Project
from instrument.report import run_through_text
from instrument.run_through import count_triggers, run_through
from instrument.signals import LandmarkSequence
from instrument.takes import TakesError, TakeStore, WholeTake, utc_now
from instrument.training import train_project


def numbers(centre: float, kind: str = "take", *, count: int = 30, **targets: str | float) -> WholeTake:
    rows = centre + 0.02 * np.random.default_rng(0).standard_normal((count, 2))
    return WholeTake(
        kind=kind,
        created_at=utc_now(),
        source="test",
        targets=targets,
        landmarks=LandmarkSequence(
            times_s=np.arange(count) / 30, aspect=np.ones(count, dtype=np.float32), numbers=rows.astype(np.float32)
        ),
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Left is near 0 (takes 1, 2), right near 1 (3, 4); take 5, a performance, goes from left to right after 1 s."""
    project = Project(tmp_path)
    project.patch_file.write_text(NUMBERS_PATCH, encoding="utf-8")
    left, right = numbers(0.0), numbers(1.0)
    assert left.landmarks.numbers is not None
    assert right.landmarks.numbers is not None
    performance = WholeTake(
        kind="performance",
        created_at=utc_now(),
        source="test",
        targets={},
        landmarks=LandmarkSequence(
            times_s=np.arange(60) / 30,
            aspect=np.ones(60, dtype=np.float32),
            numbers=np.concatenate([left.landmarks.numbers, right.landmarks.numbers]),
        ),
    )
    with TakeStore.open(project.takes_file) as store:
        for _ in range(2):
            store.add([numbers(0.0, side="left", amount=0.0)], "test")
            store.add([numbers(1.0, side="right", amount=1.0)], "test")
        store.add([performance], "test")
    train(project)
    return project


def train(project: Project) -> None:
    train_project(project.folder, cache=FeatureCache())


def test_a_run_through_says_what_is_seen_when(project: Project) -> None:
    side, amount = run_through(project, 5)["outputs"]
    assert [name for _, _, name in side["now"]["spans"]] == ["left", "right"]
    assert side["now"]["spans"][1][0] == pytest.approx(1.0, abs=0.05)
    assert amount["now"]["curve"][0][1] == pytest.approx(0.0, abs=0.1)
    assert amount["now"]["curve"][-1][1] == pytest.approx(1.0, abs=0.1)
    assert side["before"] is None


def test_it_is_told_in_words(project: Project) -> None:
    said = CliRunner().invoke(app, ["along", "5", str(project.folder)]).output
    assert "performance 5, 2.0 s" in said
    assert "side, now: 2 triggers, 61" in said
    assert "side, before: no other model" in said
    assert "no take 9" in CliRunner().invoke(app, ["along", "9", str(project.folder)]).output


def test_what_was_said_before_is_only_told_where_it_differs() -> None:
    said = {"spans": [[0.0, 1.0, "left"]], "triggers": 1}
    output = {"name": "side", "now": said | {"model": "b"}, "before": said | {"model": "a"}}
    found = {"kind": "take", "take": 5, "seconds": 1.0, "outputs": [output]}
    assert run_through_text(found).endswith("0.00 .. 1.00 s  left\nside, before: the same")
    output["before"] = said | {"model": "a", "triggers": 2}
    assert "side, before: 2 triggers" in run_through_text(found)


def test_a_learner_of_scikit_learn_is_waited_for(project: Project) -> None:
    pytest.importorskip("sklearn")
    project.patch_file.write_text(NUMBERS_PATCH.replace('"side"\n', '"side"\nlearner = "knn"\n'), encoding="utf-8")
    train(project)
    side = run_through(project, 5)["outputs"][0]
    assert [name for _, _, name in side["now"]["spans"]] == ["left", "right"]
    assert "learned by network" in side["before"]["reason"]


def test_movements_are_hits_with_their_names(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.patch_file.write_text(
        '[listen]\nsource = "osc"\ninputs = 2\n[[output]]\nname = "move"\nkind = "trigger"\n', encoding="utf-8"
    )

    def moved(places: np.ndarray, kind: str = "take", **targets: str) -> WholeTake:
        return WholeTake(
            kind=kind,
            created_at=utc_now(),
            source="test",
            targets=targets,
            landmarks=LandmarkSequence(
                times_s=np.arange(len(places)) / HZ, aspect=np.ones(len(places), dtype=np.float32), numbers=places
            ),
        )

    with TakeStore.open(project.takes_file) as store:
        for seed in (1, 2):
            store.add([moved(held(circle(1.0, seed=seed)), move="circle")], "test")
            store.add([moved(held(zigzag(1.2, seed=10 + seed), 0.3, 0.8), move="zigzag")], "test")
        played = stream([circle(1.0, seed=20), zigzag(1.2, seed=21), circle(1.8, seed=23)]).astype(np.float32)
        (take,) = store.add([moved(played, "performance")], "test")
    train_project(tmp_path, cache=FeatureCache())
    move = run_through(project, take)["outputs"][0]["now"]
    assert [name for _, name, _ in move["hits"]] == ["circle", "zigzag", "circle"]
    assert move["triggers"] == 3


def test_after_a_training_the_model_before_it_is_shown_beside(project: Project) -> None:
    with TakeStore.open(project.takes_file) as store:
        store.relabel([2, 4], {"side": "left"})
        store.relabel([1, 3], {"side": "right"})
    train(project)
    side = run_through(project, 5)["outputs"][0]
    assert [name for _, _, name in side["now"]["spans"]] == ["right", "left"]
    assert [name for _, _, name in side["before"]["spans"]] == ["left", "right"]


def test_learning_the_same_again_leaves_the_model_before_it(project: Project) -> None:
    first = load_model(project.model_file("side")).model_id
    with TakeStore.open(project.takes_file) as store:
        store.add([numbers(0.2, side="left", amount=0.2)], "test")
    train(project)
    train(project)
    assert load_model(project.model_before("side")).model_id == first != load_model(project.model_file("side")).model_id


def test_a_damaged_model_is_no_model_before_and_no_obstacle(project: Project) -> None:
    project.model_file("side").with_suffix(".json").write_text("{", encoding="utf-8")
    train(project)
    assert not project.model_before("side").exists()
    assert load_model(project.model_file("side")).classes == ("left", "right")


def test_a_recording_without_what_an_output_needs_says_so(project: Project) -> None:
    with TakeStore.open(project.takes_file) as store:
        three = numbers(0.0).landmarks
        (made,) = store.add(
            [
                WholeTake(
                    kind="performance",
                    created_at=utc_now(),
                    source="test",
                    targets={},
                    landmarks=LandmarkSequence(
                        times_s=three.times_s, aspect=three.aspect, pose=np.zeros((30, 33, 4), dtype=np.float32)
                    ),
                )
            ],
            "test",
        )
    assert "has no numbers" in run_through(project, made)["outputs"][0]["now"]["reason"]


@pytest.mark.parametrize(
    ("spans", "count"),
    [
        ([(0, 1, "none"), (1, 2, "up"), (2, 3, "none"), (3, 4, "up")], 2),
        ([(0, 1, "up"), (1, 2, "wide")], 2),
        ([(0, 1, "rest"), (1, 2, "up"), (2, 3, "rest")], 1),
        ([(0, 1, "up"), (1, 1 + RELEASE_S / 2, None), (1.1, 2, "up")], 1),
        ([(0, 1, "up"), (1, 2, None), (2, 3, "up")], 2),
    ],
)
def test_triggers_are_what_begins_and_means_something(spans: list[tuple[float, float, str]], count: int) -> None:
    assert count_triggers(spans, ("rest",)) == count


def test_a_span_cut_out_is_a_take_that_teaches_and_can_be_undone(project: Project) -> None:
    with TakeStore.open(project.takes_file) as store:
        cut = store.cut(5, 0.5, 0.9, {"side": "right"})
        assert (cut.kind, cut.targets, cut.frame_count) == ("take", {"side": "right"}, 13)
        assert store.landmarks(cut.id).times_s[0] == 0
        assert np.array_equal(store.landmarks(cut.id).numbers, store.landmarks(5).numbers[15:28])  # type: ignore[index,arg-type]
        assert "0.50..0.90 s of take 5" in str(store.undo())
        assert [take.id for take in store.takes()] == [1, 2, 3, 4, 5]


def test_a_span_too_short_to_learn_from_is_refused(project: Project) -> None:
    with TakeStore.open(project.takes_file) as store:
        for from_s, to_s in ((0.5, 0.55), (7.0, 9.0)):
            with pytest.raises(TakesError, match="choose another span"):
                store.cut(5, from_s, to_s, {"side": "right"})
        assert len(store.takes()) == 5


def test_what_was_performed_is_cut_over_the_protocol_and_learned(tmp_path: Path) -> None:
    with playing(tmp_path / "piece") as instrument:
        instrument.teach_sides()
        instrument.ask("performance/record")
        instrument.inputs(0.5, 0.5, count=40)
        wait_until(lambda: instrument.status()["recording"]["frames"] >= 40, "the numbers to be recorded")
        assert instrument.status()["recording"]["kind"] == "performance"
        take, _ = instrument.ask("record/stop")
        seconds = next(one for one in instrument.takes() if one["id"] == take)["seconds"]
        made, frames = instrument.ask("takes/cut", take, 0.0, seconds + 1, "side", "left")
        assert frames == 40
        assert next(one for one in instrument.takes() if one["id"] == made)["targets"] == {"side": "left"}
        with pytest.raises(CommandFailed, match="allowed"):
            instrument.ask("takes/cut", take, 0.0, 1.0, "side", "up")
        with pytest.raises(CommandFailed, match="before the second"):
            instrument.ask("takes/cut", take, 2.0, 1.0, "side", "left")


def test_a_performance_becomes_a_rehearsal_and_a_performance_again(tmp_path: Path) -> None:
    patch = NUMBERS_PATCH.replace('name = "side"\n', 'name = "side"\nreject = true\n')
    with playing(tmp_path / "piece", patch) as instrument:
        instrument.teach_sides()
        instrument.ask("performance/record")
        instrument.inputs(0.5, 0.5, count=40)
        wait_until(lambda: instrument.status()["recording"]["frames"] >= 40, "the numbers to be recorded")
        take, _ = instrument.ask("record/stop")
        found = json.loads(str(instrument.ask("rehearse/use", take, 1)[0]))
        assert found["side"]["measured_on_s"] >= 0
        assert instrument.takes()[-1]["kind"] == "rehearsal"
        assert json.loads(str(instrument.ask("rehearse/use", take, 0)[0])) == {}
        assert instrument.takes()[-1]["kind"] == "performance"
        with pytest.raises(CommandFailed, match="teaches something"):
            instrument.ask("rehearse/use", 1, 1)
