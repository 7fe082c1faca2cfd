"""What to record next, and what that rests on."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import wait_until
from playing import playing

from instrument import evaluation
from instrument.coaching import coach, telling_apart, thinned
from instrument.datasets import Dataset, FeatureCache
from instrument.evaluation import subset, value_errors
from instrument.models.fitting import Cancelled, Examples
from instrument.patch import Output, Patch
from instrument.patch_file import parse_patch
from instrument.projects import new_project
from instrument.signals import LandmarkSequence
from instrument.takes import Take, TakeStore
from instrument.trainer import study_project
from instrument.training import train_project

PATCH: Patch = parse_patch(
    '[listen]\nsource = "osc"\ninputs = 5\n[[output]]\nname = "side"\nfeatures = ["numbers"]\nhidden = [16]\n',
    Path("patch.toml"),
)

LIFT: Patch = parse_patch(
    '[listen]\nsource = "osc"\ninputs = 5\n[[output]]\nname = "lift"\nkind = "continuous"\n'
    'features = ["numbers"]\nrange = [0.0, 8.0]\n',
    Path("patch.toml"),
)


def dataset(*centres: tuple[str, float], frames: int = 20) -> Dataset:
    """A take for each (class, centre): numbers 1 and 2 are around the centre, the others are noise."""
    rng = np.random.default_rng(0)
    classes = tuple(dict.fromkeys(name for name, _ in centres))
    values = rng.standard_normal((len(centres) * frames, 5)).astype(np.float32)
    values[:, :2] *= 0.3
    values[:, :2] += np.repeat([centre for _, centre in centres], frames)[:, None]
    return Dataset(
        examples=Examples(
            values=values,
            targets=np.repeat([classes.index(name) for name, _ in centres], frames),
            takes=np.repeat(np.arange(len(centres)), frames),
            class_count=len(classes),
        ),
        classes=classes,
        take_ids=tuple(range(1, len(centres) + 1)),
        feature_names=tuple(f"numbers.{number}" for number in range(1, 6)),
        frames=tuple((_nothing(frames), np.arange(frames)) for _ in centres),
        notes=(),
    )


def _nothing(count: int) -> LandmarkSequence:
    return LandmarkSequence(times_s=np.arange(count) / 30, aspect=np.ones(count, dtype=np.float32))


def take(number: int, *, tracked: float = 1.0) -> Take:
    return Take(
        id=number,
        kind="take",
        created_at="",
        source="",
        parts=("pose",),
        number_count=0,
        targets={"side": "left"},
        moving=frozenset(),
        trim=None,
        is_deleted=False,
        refused=None,
        is_complete=True,
        revision=1,
        frame_count=20,
        duration_s=1.0,
        tracked_fraction=tracked,
    )


def advice(examples: Dataset, *takes: Take) -> dict[str, dict[str, Any]]:
    report = coach(PATCH, PATCH.outputs[0], examples, takes)
    json.dumps(report, allow_nan=False)
    return {one["kind"]: one for one in report["advice"]}


APART = [("left", -3.0), ("right", 3.0)] * 3


def test_a_class_of_the_patch_that_no_take_shows_keeps_it_from_being_ready() -> None:
    listed = dataclasses.replace(PATCH.outputs[0], classes=("left", "right", "top"))
    renamed = dataclasses.replace(take(9), targets={"side": "up"})
    report = coach(PATCH, listed, dataset(*APART), [take(1), renamed])
    assert not report["is_ready"]
    text = "'top' has no take, so it is never said: record one, or relabel takes of 'up', which the patch does not list"
    assert [one["text"] for one in report["advice"]] == [text]
    assert report["advice"][0]["evidence"] == {"class": "top", "takes": 0, "unlisted": ["up"]}


def test_with_nothing_left_to_do_it_is_ready_to_play() -> None:
    report = coach(PATCH, PATCH.outputs[0], dataset(*APART), [take(1)])
    assert report["is_ready"]
    assert report["advice"][0]["text"].startswith("ready to play: 100%")
    assert report["by_take"]["confusion"] == [[60, 0], [0, 60]]
    assert "flatters" in report["by_frame"]["warning"]


def test_classes_that_collide_are_named_with_what_tells_them_apart() -> None:
    found = advice(dataset(*[("left", 0.0), ("right", 0.3)] * 3))
    assert found["collision"]["evidence"]["classes"] == ("left", "right")
    assert set(found["collision"]["evidence"]["told_apart_by"]) <= {"input 1", "input 2"}
    assert "'left' and 'right' are taken for each other" in found["collision"]["text"]


def test_a_take_with_the_wrong_label_is_found_and_its_label_guessed() -> None:
    found = advice(dataset(*APART, ("left", 3.0)))
    assert found["outlier"]["evidence"]["take"] == 7
    assert "relabel it 'right'" in found["outlier"]["text"]


def test_a_take_half_of_which_is_recognised_looks_like_another_class_and_not_like_its_own() -> None:
    examples = dataset(*APART, ("left", -3.0))
    examples.examples.values[-10:, :2] += 6.0
    found = advice(examples)
    assert found["outlier"]["evidence"]["recognised"] == 0.5
    assert found["outlier"]["evidence"]["looks_like"] == "right"


def test_a_class_with_a_single_take_is_named() -> None:
    assert advice(dataset(*APART, ("up", 9.0)))["few"]["evidence"] == {"class": "up", "takes": 1}


def test_a_score_says_when_parts_of_takes_were_held_out_for_want_of_another_take() -> None:
    found = [coach(PATCH, PATCH.outputs[0], dataset(*pairs), [take(1)]) for pairs in (APART, [*APART, ("up", 9.0)])]
    assert [one["by_take"]["split"] for one in found] == ["takes", "blocks"]


def test_a_class_with_far_fewer_frames_is_named() -> None:
    examples = dataset(*APART)
    rows = (examples.examples.targets == 0) | (np.arange(120) % 10 == 0)
    assert advice(subset(examples, rows))["unbalanced"]["evidence"]["class"] == "right"


@pytest.mark.parametrize(("shown", "least"), [(6, 12), (100, 50)])
def test_a_small_class_among_large_ones_keeps_enough_to_be_scored(shown: int, least: int) -> None:
    examples = dataset(*[("left", -3.0), ("right", 3.0), ("up", 9.0)] * 2, frames=3000)
    is_up = examples.examples.targets == 2
    thin = thinned(subset(examples, ~is_up | (np.arange(18000) % 3000 < shown)), 600)
    counts = np.bincount(thin.examples.targets)
    assert counts[2] >= least
    assert sum(counts) < 700
    assert np.bincount(thin.examples.takes[thin.examples.targets == 2])[[2, 5]].min() >= least // 2 - 1


def test_many_classes_are_thinned_all_the_same() -> None:
    examples = dataset(*((str(number), 0.0) for number in range(100)), frames=40)
    assert len(thinned(examples, 400).examples) <= 800


def test_a_take_in_which_tracking_was_bad_is_named() -> None:
    assert advice(dataset(*APART), take(1), take(2, tracked=0.6))["tracking"]["evidence"]["takes"] == [2]


def test_badly_tracked_takes_are_named_together() -> None:
    found = advice(dataset(*APART), take(1, tracked=0.8), take(2, tracked=0.6))["tracking"]
    assert found["evidence"] == {"takes": [1, 2], "tracked": [0.8, 0.6]}
    assert found["text"].startswith("takes 1, 2: the body was found in only 60%")


def test_takes_that_lack_numbers_are_told_as_such() -> None:
    found = advice(dataset(*APART), dataclasses.replace(take(1, tracked=0.6), parts=("numbers",)))["tracking"]
    assert found["text"] == "take 1: all numbers came in 60% of its frames only; record it again while they all arrive"


def test_values_are_not_ready_beside_takes_to_be_mended() -> None:
    values = dataset(*[("low", 0.0), ("high", 8.0)] * 3)
    shown = np.repeat(np.tile([0.0, 1.0], 3), 20).astype(np.float32)
    values = dataclasses.replace(
        values, classes=(), examples=dataclasses.replace(values.examples, targets=shown, class_count=0)
    )
    bad = dataclasses.replace(take(7, tracked=0.5), targets={"lift": 1.0})
    assert coach(LIFT, LIFT.outputs[0], values, [])["is_ready"]
    assert [one["kind"] for one in coach(LIFT, LIFT.outputs[0], values, [bad])["advice"]] == ["tracking"]


def test_classes_that_collide_come_with_the_take_of_each_that_is_mistaken_most() -> None:
    found = advice(dataset(*APART, ("left", 3.0)))["collision"]
    assert found["evidence"]["takes"][0] == 7


VALUES = [(0.0, -3.0), (0.5, 0.0), (1.0, 3.0)] * 3


def values(*shown: tuple[float, float], frames: int = 20) -> Dataset:
    """A take for each (value, centre)."""
    whole = dataset(*((str(value), centre) for value, centre in shown), frames=frames)
    targets = np.repeat([value for value, _ in shown], frames).astype(np.float32)
    return dataclasses.replace(
        whole, classes=(), examples=dataclasses.replace(whole.examples, targets=targets, class_count=0)
    )


def value_report(examples: Dataset) -> dict[str, Any]:
    report = coach(LIFT, LIFT.outputs[0], examples, [])
    json.dumps(report, allow_nan=False)
    return report


def test_a_continuous_output_is_scored_in_its_own_unit_by_take_and_by_frame() -> None:
    report = value_report(values(*VALUES))
    assert 0 < report["by_take"]["rmse"] < 1 < report["by_take"]["of_the_mean"]
    assert report["by_take"]["split"] == "takes"
    assert "flatters" in report["by_frame"]["warning"]
    assert len(report["by_take"]["worst_takes"]) == 3


def test_values_with_a_single_take_are_scored_by_blocks() -> None:
    assert value_report(values(*VALUES[:3]))["by_take"]["split"] == "blocks"


def test_blocks_hold_out_no_value_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    learn = evaluation._learn

    def spied(output: Output, examples: Examples, *others: Any) -> Any:
        shown.append(len(np.unique(examples.targets)))
        return learn(output, examples, *others)

    monkeypatch.setattr(evaluation, "_learn", spied)
    examples = values(*[(number / 11, float(number)) for number in range(12)])
    value_errors(LIFT.outputs[0], examples, "blocks")
    assert shown == [12] * 5


def test_a_take_with_the_wrong_value_is_found() -> None:
    found = value_report(values(*VALUES, (0.0, 3.0)))["advice"]
    assert [(one["kind"], one["evidence"]["take"]) for one in found] == [("outlier", 10)]
    assert "unlike the other takes of 0" in found[0]["text"]


def test_a_take_is_not_unlike_the_others_because_the_one_most_like_it_was_held_out_too() -> None:
    both_ways = [(0.0, 9.0), *[(0.0, -3.0)] * 4, (0.0, 9.0), (0.0, -3.0)]  # the first and the sixth are of one fold
    found = value_report(values(*both_ways, *[(0.5, 0.0)] * 3, *[(1.0, 3.0)] * 3))
    assert {one["take"] for one in found["by_take"]["worst_takes"][:2]} == {1, 6}
    assert "outlier" not in [one["kind"] for one in found["advice"]]


def test_the_end_of_the_range_that_no_take_shows_is_named() -> None:
    (found,) = value_report(values((0.0, -3.0), (0.2, 0.0)))["advice"]
    assert (found["kind"], found["evidence"]["value"]) == ("few", 8.0)


def test_too_little_to_score_is_said_rather_than_raised() -> None:
    report = coach(PATCH, PATCH.outputs[0], dataset(("left", -3.0), ("right", 3.0), frames=1), [])
    assert "single example" in report["not_scored"]


def test_a_new_job_cuts_it_short() -> None:
    with pytest.raises(Cancelled):
        coach(PATCH, PATCH.outputs[0], dataset(*APART), [], is_cancelled=lambda: True)


def test_features_are_told_by_the_landmark_they_are_of() -> None:
    examples = dataset(*APART)
    names = ("positions.left_wrist.y", "angles.left_elbow", "positions.nose.x", "positions.nose.y", "angles.left_knee")
    assert set(telling_apart(dataclasses.replace(examples, feature_names=names), 0, 1)) == {"left wrist", "left elbow"}


def test_the_length_of_a_path_is_told_as_such() -> None:
    examples = dataset(*APART)
    names = ("number_path.length", "number_path.3.speed", "numbers.1", "numbers.2", "numbers.3")
    found = telling_apart(dataclasses.replace(examples, feature_names=names), 0, 1)
    assert set(found) == {"the length of the path", "point 3"}


def test_classes_are_told_apart_by_what_the_model_takes_only() -> None:
    offered = dataset(*[("left", 0.0), ("right", 0.3)] * 3)
    offered.examples.values[:, 4] = 3 * offered.examples.targets
    names = (*offered.feature_names[:4], "number_path.length")
    patch = parse_patch('[listen]\nsource = "osc"\ninputs = 4\n[[output]]\nname = "side"\n', Path("patch.toml"))
    report = coach(patch, patch.outputs[0], dataclasses.replace(offered, feature_names=names), [])
    (collision,) = (one for one in report["advice"] if one["kind"] == "collision")
    assert set(collision["evidence"]["told_apart_by"]) <= {"input 1", "input 2"}


def test_advice_comes_after_training_over_the_protocol_and_in_status(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        wait_until(lambda: "side" in instrument.status()["coaching"], "advice")
        found = json.loads(str(instrument.ask("coaching")[0]))
        assert found["side"]["by_take"]["accuracy"] == 1.0
        assert found["side"]["is_ready"]
        assert found["amount"]["advice"][0]["text"] == "ready to play: takes show 0 to 1"


def test_after_a_restart_the_takes_are_studied_without_training(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        wait_until(lambda: "side" in instrument.status()["coaching"], "advice")
        before = instrument.status()
    with playing(tmp_path / "project") as instrument:
        wait_until(lambda: "side" in instrument.status()["coaching"], "advice")
        after = instrument.status()
    assert after["coaching"] == before["coaching"]
    assert after["coaching"]["side"]["curve"][-1][0] > 100
    assert [one["model"] for one in after["outputs"]] == [one["model"] for one in before["outputs"]]


def test_an_output_that_could_not_learn_is_told_why_beside_one_that_could(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        for shift in (0.0, 0.1):
            instrument.record_numbers([(0.1 + shift, 0.2)] * 12, "side", "left")
            instrument.record_numbers([(0.8 + shift, 0.9)] * 12, "side", "right")
        wait_until(lambda: "side" in instrument.status()["coaching"], "advice")
        (advice,) = instrument.status()["coaching"]["amount"]["advice"]
    assert advice["kind"] == "refused"
    assert "no takes to learn from" in advice["text"]


def test_a_bad_take_is_named_and_not_the_good_ones_that_it_makes_look_bad(tmp_path: Path) -> None:
    project = new_project(tmp_path / "mine", "three-postures")
    with TakeStore.open(project.takes_file) as store:
        whole = [store.whole(take.id) for take in store.takes(kind="take")]
        by_class = [[one for one in whole if one.targets["posture"] == name] for name in ("rest", "wide", "up")]
        shown = [one.landmarks for takes in by_class for one in takes[:3]]
        count = sum(map(len, shown))
        landmarks = dataclasses.replace(
            shown[0],
            times_s=np.arange(count) / 30,
            aspect=np.concatenate([one.aspect for one in shown]),
            pose=np.concatenate([one.pose for one in shown if one.pose is not None]),
            pose_world=None,
        )
        (bad,) = store.add(
            [dataclasses.replace(whole[0], landmarks=landmarks, targets={"posture": "rest"})], "all of them"
        )
    found = study_project(train_project(project.folder, cache=FeatureCache()), lambda: False)["posture"]["advice"]
    assert [one["evidence"]["take"] for one in found if one["kind"] == "outlier"] == [bad]
