"""How strict to be is learned from a stream in which nothing is meant."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bodies import moving_body
from clients import wait_until
from movements import circle, held
from playing import NUMBERS_PATCH, playing
from typer.testing import CliRunner

from instrument.cli import app
from instrument.datasets import FeatureCache
from instrument.exchange import export_takes
from instrument.gate import Gate
from instrument.models.fitting import Cancelled
from instrument.models.trained import load_model
from instrument.patch_file import parse_patch, read_patch
from instrument.project import Project
from instrument.rehearsal import (
    NOBODY,
    Seen,
    false_triggers,
    familiarities,
    most_likely_at_most,
    rehearse,
    threshold,
    triggers,
)
from instrument.rehearsal_file import RehearsalError, read_rehearsal
from instrument.run_through import count_triggers, run_through
from instrument.signals import LandmarkSequence, landmark_sequence
from instrument.takes import TakeStore, WholeTake, utc_now
from instrument.training import train_project

PATCH = NUMBERS_PATCH.replace('name = "side"\n', 'name = "side"\nreject = true\n')


def numbers(rows: np.ndarray, kind: str = "take", **targets: str | float) -> WholeTake:
    return WholeTake(
        kind=kind,
        created_at=utc_now(),
        source="test",
        targets=targets,
        landmarks=LandmarkSequence(
            times_s=np.arange(len(rows)) / 30,
            aspect=np.ones(len(rows), dtype=np.float32),
            numbers=rows.astype(np.float32),
        ),
    )


def taught(folder: Path, *others: WholeTake, patch: str = PATCH) -> Project:
    """A project with four takes of each side, small numbers left and large ones right, and others."""
    rng = np.random.default_rng(0)
    project = Project(folder)
    project.patch_file.write_text(patch, encoding="utf-8")
    with TakeStore.open(project.takes_file) as store:
        for at, side in ((0.0, "left"), (1.0, "right")) * 4:
            store.add([numbers(at + 0.1 * rng.standard_normal((40, 2)), side=side, amount=at)], "test")
        if others:
            store.add(others, "test")
    return project


def wandering(seconds: float, seed: int = 1) -> np.ndarray:
    """Somebody whose numbers stroll about, through where the sides were taught as well."""
    steps = np.random.default_rng(seed).standard_normal((round(30 * seconds), 2)) * 0.15
    return np.sin(np.cumsum(steps, axis=0)) * 1.5 + 0.5


def made(said: np.ndarray, familiar: np.ndarray) -> Seen:
    return Seen(times_s=np.arange(len(said)) / 30, familiar=familiar, said=said)


def played(seen: Seen, idle: tuple[int, ...], least: float) -> int:
    """How often something begins in what a gate lets through, counted as in a run-through."""
    gate: Gate[int] = Gate()
    names: list[str | None] = []
    for now_s, familiar, said in zip(seen.times_s.tolist(), seen.familiar, seen.said.tolist(), strict=True):
        meant = None if said == NOBODY else gate.update(said, now_s, is_familiar=familiar >= least)
        names.append(None if said == NOBODY else "none" if meant is None else str(meant))
    starts = [index for index in range(len(names)) if index == 0 or names[index] != names[index - 1]]
    ends = [*starts[1:], len(names) - 1]
    spans = [(seen.times_s[a], seen.times_s[b], names[a]) for a, b in zip(starts, ends, strict=True)]
    return count_triggers(spans, [str(one) for one in idle])


@pytest.mark.parametrize("idle", [(), (0,), (0, 2)])
@pytest.mark.parametrize("least", [0.05, 0.3, 0.8])
def test_what_is_counted_at_any_threshold_is_what_is_played(idle: tuple[int, ...], least: float) -> None:
    rng = np.random.default_rng(0)
    said = np.repeat(rng.integers(0, 3, 800), 3)
    for start, length in zip(rng.integers(0, 2390, 60), rng.integers(1, 9, 60), strict=True):
        said[start : start + length] = NOBODY
    seen = made(said, rng.random(2400) ** 3)
    low, high = triggers(seen, idle).T
    expected = played(seen, idle, least)
    assert expected > 50
    assert false_triggers(seen, idle, least) == expected
    assert int(((low < least) & (least <= high)).sum()) == expected


def test_being_taken_for_another_class_fires_again() -> None:
    assert false_triggers(made(np.array([0, 0, 1, 1]), np.full(4, 0.9)), (), 0.5) == 2


def test_what_is_strange_on_the_way_from_rest_does_not_fire() -> None:
    said, familiar = np.zeros(90, dtype=np.intp), np.full(90, 0.6)
    said[30:33], familiar[30:33] = 1, 0.001
    assert false_triggers(made(said, familiar), (0,), 0.05) == 0
    assert false_triggers(made(said, familiar), (0,), 0.001) == 1


def test_the_threshold_is_the_lowest_from_which_on_too_few_fire() -> None:
    ranges = np.array([[0.0, 0.2], [0.0, 0.4], [0.0, 0.6]])
    assert threshold(ranges, 3, at_least=0.05) == 0.05
    assert 0.2 < threshold(ranges, 2, at_least=0.05) < 0.21
    assert 0.6 < threshold(ranges, 0, at_least=0.05) < 0.61


def test_nothing_seen_in_three_minutes_may_still_be_one_a_minute() -> None:
    assert most_likely_at_most(0) / 3 == pytest.approx(1.0, abs=0.01)
    assert most_likely_at_most(3) == pytest.approx(7.75, abs=0.01)


def test_a_rehearsal_makes_false_triggers_rare_on_the_part_that_had_no_say(tmp_path: Path) -> None:
    project = taught(tmp_path, numbers(wandering(240), "rehearsal"))
    found = train_project(tmp_path, cache=FeatureCache()).models["side"].rehearsal
    assert found is not None
    assert found["per_minute_by_default"] > 3
    assert found["per_minute"] <= 1
    assert found["measured_on_s"] == pytest.approx(120, abs=1)
    assert load_model(project.model_file("side")).rehearsal == found


def reaching(times: int) -> np.ndarray:
    """Somebody at rest on the left who reaches every three seconds for where nothing was taught, and back."""
    rng = np.random.default_rng(0)
    way = np.array([[1.2, -0.5], [2.6, -1.0], [4.0, -1.5]])
    rows = [np.concatenate([np.zeros((75, 2)), way, np.repeat(way[2:], 9, axis=0), way[1::-1]])] * times
    return np.concatenate(rows) + 0.05 * rng.standard_normal((89 * times, 2))


@pytest.mark.parametrize("rows", [wandering(240), reaching(20)])
def test_the_false_triggers_of_a_rehearsal_are_those_a_run_through_has(tmp_path: Path, rows: np.ndarray) -> None:
    project = taught(tmp_path, numbers(rows, "rehearsal"), patch=PATCH.replace("reject", 'idle = ["left"]\nreject'))
    found = train_project(tmp_path, cache=FeatureCache()).models["side"].rehearsal
    spans = run_through(project, 9)["outputs"][0]["now"]["spans"]
    half = [span for span in spans if span[0] >= len(rows) / 60]
    assert half[0][2] in ("left", "none")
    assert found is not None
    assert found["false_triggers"] == count_triggers(half, ("left",))


def test_a_strange_frame_taken_for_something_else_ends_nothing_and_begins_nothing(tmp_path: Path) -> None:
    rows = np.full((60, 2), 1.0)
    rows[30:32] = -4.0
    project = taught(tmp_path, numbers(rows, "performance"))
    train_project(tmp_path, cache=FeatureCache())
    spans = run_through(project, 9)["outputs"][0]["now"]["spans"]
    assert [name for _, _, name in spans] == ["right"]


def test_a_rehearsal_survives_more_takes_and_is_asked_anew(tmp_path: Path) -> None:
    project = taught(tmp_path, numbers(wandering(60), "rehearsal"))
    before = train_project(tmp_path, cache=FeatureCache()).models["side"]
    with TakeStore.open(project.takes_file) as store:
        store.add([numbers(np.full((40, 2), 0.1) + wandering(40 / 30) * 0.1, side="left", amount=0.0)], "test")
    after = train_project(tmp_path, cache=FeatureCache()).models["side"]
    assert after.model_id != before.model_id
    assert after.rehearsal is not None
    assert after.rehearsal["set_on_s"] == before.rehearsal["set_on_s"]  # type: ignore[index]


def test_a_forest_rejects_and_rehearses_too(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    taught(tmp_path, numbers(wandering(120), "rehearsal"), patch=PATCH.replace("reject", 'learner = "forest"\nreject'))
    train_project(tmp_path, cache=FeatureCache())
    model = load_model(Project(tmp_path).model_file("side"))
    familiar, _ = familiarities(model, np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [9.0, 9.0]], dtype=np.float32))
    assert familiar[:2].min() > 0.3
    assert familiar[2:].max() < 0.05
    assert model.rehearsal is not None
    assert model.rehearsal["per_minute"] <= model.rehearsal["per_minute_by_default"]


def test_a_short_rehearsal_says_how_little_it_shows(tmp_path: Path) -> None:
    taught(tmp_path, numbers(wandering(20), "rehearsal"))
    found = train_project(tmp_path, cache=FeatureCache()).models["side"].rehearsal
    assert found is not None
    assert "rehearse for longer" in found["text"]


def test_idle_classes_are_no_false_triggers(tmp_path: Path) -> None:
    still = numbers(np.full((3000, 2), 0.0) + 0.05 * wandering(100), "rehearsal")
    strict, idle = tmp_path / "strict", tmp_path / "idle"
    for folder, patch in ((strict, PATCH), (idle, PATCH.replace("reject", 'idle = ["left"]\nreject'))):
        folder.mkdir()
        taught(folder, still, patch=patch)
    least = [train_project(one, cache=FeatureCache()).models["side"].rehearsal["least"] for one in (strict, idle)]  # type: ignore[index]
    assert least[1] == 0.05 < least[0]


def test_a_rehearsal_of_other_numbers_is_passed_over(tmp_path: Path) -> None:
    taught(tmp_path, numbers(np.zeros((90, 5)), "rehearsal"))
    assert train_project(tmp_path, cache=FeatureCache()).models["side"].rehearsal is None


def body(frames: int, kind: str = "take", *, lift: float | None = None, seed: int = 0, **targets: str) -> WholeTake:
    """What a body does, with hands where it teaches a grip."""
    sequence = landmark_sequence(moving_body(frames=frames, lift=lift, seed=seed), ("pose",))
    if "grip" in targets:
        rng = np.random.default_rng(seed)
        hand = 0.5 + rng.normal(0, 0.05, (21, 3)) + 0.002 * rng.standard_normal((frames, 21, 3))
        sequence = replace(sequence, left_hand=hand.astype(np.float32), right_hand=hand.astype(np.float32))
    return WholeTake(kind=kind, created_at=utc_now(), source="test", targets=targets, landmarks=sequence)


def test_a_rehearsal_counts_for_the_outputs_that_can_use_it(tmp_path: Path) -> None:
    Project(tmp_path).patch_file.write_text(
        '[listen]\ntrack = ["pose", "hands"]\n[[output]]\nname = "posture"\nfeatures = ["positions"]\n'
        '[[output]]\nname = "grip"\nfeatures = ["hands"]\n',
        encoding="utf-8",
    )
    with TakeStore.open(Project(tmp_path).takes_file) as store:
        for seed in range(4):
            store.add(
                [body(30, lift=lift, seed=seed, posture=name) for lift, name in ((0.0, "down"), (0.5, "wide"))], ""
            )
            store.add([body(30, lift=0.0, seed=seed % 2, grip=("open", "fist")[seed % 2])], "")
        store.add([body(300, "rehearsal")], "")
    models = train_project(tmp_path, cache=FeatureCache()).models
    assert models["posture"].rehearsal is not None
    assert models["posture"].rehearsal["measured_on_s"] > 4
    assert models["grip"].rehearsal is None


@pytest.mark.parametrize("is_failing", [False, True])
def test_nothing_is_replaced_until_every_rehearsal_has_been_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_failing: bool
) -> None:
    """Cancelled, or failing, while the rehearsal is judged for the second of two outputs."""
    outputs = ("side", "other")
    project = taught(
        tmp_path, numbers(wandering(10), "rehearsal"), patch=PATCH + '[[output]]\nname = "other"\nreject = true\n'
    )

    def teach(seed: int) -> None:
        rng = np.random.default_rng(seed)
        with TakeStore.open(project.takes_file) as store:
            for at, name in ((0.0, "left"), (1.0, "right")) * 2:
                store.add([numbers(at + 0.1 * rng.standard_normal((20, 2)), **dict.fromkeys(outputs, name))], "test")

    teach(1)
    before = {
        name: one.model_id
        for name, one in train_project(tmp_path, outputs=outputs, cache=FeatureCache()).models.items()
    }
    teach(2)
    judged = []

    def judge(*arguments: Any) -> Any:
        judged.append(arguments)
        if is_failing and len(judged) == 2:
            raise MemoryError
        return rehearse(*arguments)

    monkeypatch.setattr("instrument.training.rehearse", judge)
    with pytest.raises(MemoryError if is_failing else Cancelled):
        train_project(
            tmp_path, outputs=outputs, cache=FeatureCache(), is_cancelled=lambda: len(judged) == 2 and not is_failing
        )
    assert len(judged) == 2
    assert {name: load_model(project.model_file(name)).model_id for name in outputs} == before


def test_a_rehearsal_is_recorded_while_playing_and_answered_with_what_it_found(tmp_path: Path) -> None:
    with playing(tmp_path / "project", PATCH) as instrument:
        instrument.teach_sides()
        instrument.ask("rehearse")
        before = instrument.status()["source"]["frames"]
        for row in wandering(4):
            instrument.inputs(*row)
        wait_until(lambda: instrument.status()["source"]["frames"] > before, "the numbers to arrive")
        wait_until(lambda: instrument.status()["recording"]["frames"] > 20, "the numbers to be recorded")
        with pytest.raises(RuntimeError, match="a rehearsal is being recorded already"):
            instrument.ask("rehearse")
        found = json.loads(str(instrument.ask("rehearse/stop")[0]))
        assert found["side"]["least"] >= 0.05
        assert instrument.status()["outputs"][0]["rehearsal"] == found["side"]
        assert [take["kind"] for take in instrument.takes()].count("rehearsal") == 1
        assert instrument.ask("rehearse/forget") == [1]


def test_without_a_rehearsal_there_is_none_to_stop(tmp_path: Path) -> None:
    with (
        playing(tmp_path / "project", PATCH, has_trainer=False) as instrument,
        pytest.raises(RuntimeError, match="no rehearsal is being recorded"),
    ):
        instrument.ask("rehearse/stop")


def test_takes_in_a_file_become_a_rehearsal(tmp_path: Path) -> None:
    project = taught(tmp_path)
    with TakeStore.open(project.takes_file, readonly=True) as store:
        export_takes(store, tmp_path / "takes.csv")
    read = read_rehearsal(tmp_path / "takes.csv", read_patch(project.patch_file))
    assert {take.kind for take in read} == {"rehearsal"}
    assert not any(take.targets for take in read)


def test_a_recording_is_rehearsed_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    project = taught(tmp_path / "project")
    with TakeStore.open(tmp_path / "other.sqlite") as store:
        store.add([numbers(wandering(60), side="left", amount=0.0)], "test")
        export_takes(store, tmp_path / "stroll.npz")
    done = CliRunner().invoke(app, ["rehearse", str(tmp_path / "stroll.npz"), str(project.folder), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["side"] == load_model(project.model_file("side")).rehearsal


def test_a_project_with_movements_can_be_rehearsed_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    patch = PATCH + '[[output]]\nname = "move"\nkind = "trigger"\n'
    project = taught(tmp_path / "project", numbers(held(circle()), move="circle"), patch=patch)
    with TakeStore.open(tmp_path / "other.sqlite") as store:
        store.add([numbers(wandering(20))], "test")
        export_takes(store, tmp_path / "stroll.npz")
    done = CliRunner().invoke(app, ["rehearse", str(tmp_path / "stroll.npz"), str(project.folder), "--json"])
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.output)) == ["side"]


def test_a_project_that_rejects_nothing_has_nothing_to_rehearse(tmp_path: Path) -> None:
    project = taught(tmp_path, patch=NUMBERS_PATCH)
    with TakeStore.open(project.takes_file, readonly=True) as store:
        export_takes(store, tmp_path / "takes.npz")
    done = CliRunner().invoke(app, ["rehearse", str(tmp_path / "takes.npz"), str(project.folder)])
    assert done.exit_code == 1
    assert "no class output rejects" in done.output


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match=r"notes\.txt: no such file"):
        read_rehearsal(tmp_path / "notes.txt", parse_patch(PATCH, tmp_path / "patch.toml"))
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(RehearsalError, match=r"learns from numbers; allowed: \.csv"):
        read_rehearsal(tmp_path / "notes.txt", parse_patch(PATCH, tmp_path / "patch.toml"))
