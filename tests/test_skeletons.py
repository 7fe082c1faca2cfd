"""Numbers that are the points of a hand or a body."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bodies import hand, pose

from instrument.datasets import Dataset
from instrument.enrichment import with_features_that_help, with_variations
from instrument.evaluation import split, subset, train_and_score
from instrument.features import extract, feature_columns, feature_names
from instrument.patch import Output, Patch
from instrument.patch_file import parse_patch
from instrument.scored import dataset_of, read_scorable
from instrument.signals import FloatArray, LandmarkSequence
from instrument.skeletons import Skeleton, skeleton_of
from instrument.variation import variations

COCO = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
RNG = np.random.default_rng(0)
OTHER_PLACES = RNG.uniform(0.2, 0.8, (60, 1, 2)).astype(np.float32)


def shaky(points: FloatArray) -> FloatArray:
    """The same, as a tracker sees it."""
    return points + 0.004 * np.random.default_rng(1).standard_normal(points.shape).astype(np.float32)


def bodies() -> FloatArray:
    """(60, 33, 3): bodies with their arms at all heights, in picture heights."""
    found = np.array([pose(lift, aspect=1.0) for lift in np.linspace(0, 1, 60)], dtype=np.float32)[:, :, :3]
    found[:, :, :2] += OTHER_PLACES - 0.5
    return shaky(found)


def hands() -> FloatArray:
    """(60, 21, 3): hands from open to fist, in picture heights."""
    found = 0.2 * np.array([hand(bend) for bend in np.linspace(0, 1, 60)], dtype=np.float32)
    found[:, :, :2] += OTHER_PLACES
    return shaky(found)


def with_scores(points: FloatArray) -> FloatArray:
    return np.concatenate([points, RNG.uniform(0.6, 1.0, (*points.shape[:2], 1))], axis=2, dtype=np.float32)


def flat(points: FloatArray) -> FloatArray:
    return points.reshape(len(points), -1)


SENT = {
    "a hand in x, y": hands()[:, :, :2],
    "a hand in x, y, z": hands(),
    "a body in x, y": bodies()[:, :, :2],
    "a body in x, y, z": bodies(),
    "a body in x, y, z, visibility": with_scores(bodies()),
    "a body of 17 points in x, y": bodies()[:, COCO, :2],
    "a body of 17 points in x, y, score": with_scores(bodies()[:, COCO, :2]),
}


def told(inputs: int) -> Skeleton:
    skeleton = skeleton_of(inputs)
    assert skeleton is not None
    return skeleton


def learned(numbers: FloatArray, labels: list[str]) -> tuple[Patch, Output, Dataset]:
    """What training makes of those numbers."""
    patch, output, dataset = dataset_of(Path("numbers.csv"), numbers, labels, None)
    return patch, output, with_features_that_help(dataset, output)


def groups(dataset: Dataset) -> set[str]:
    return {name.partition(".")[0] for name in dataset.feature_names}


@pytest.mark.parametrize("what", SENT)
def test_points_that_come_as_numbers_are_recognised_in_any_unit(what: str) -> None:
    numbers = flat(SENT[what])
    for unit in (0.001, 1.0, 640.0):
        assert told(numbers.shape[1]).lies_in(unit * numbers)


def test_as_many_numbers_that_are_something_else_are_not() -> None:
    for inputs in {flat(points).shape[1] for points in SENT.values()}:
        skeleton = told(inputs)
        points, each = len(skeleton.names), skeleton.each
        rng = np.random.default_rng(inputs)
        noise = rng.standard_normal((60, inputs)).astype(np.float32)
        path = np.cumsum(noise.reshape(60, points, each), axis=1, dtype=np.float32)
        circle = np.linspace(0, 5, points) + rng.uniform(0, 6, (60, 1))
        round_ = np.stack([np.cos(circle), np.sin(circle), *[0 * circle] * (each - 2)], axis=2).astype(np.float32)
        for other in (noise, flat(path), flat(round_), np.zeros_like(noise), np.ones_like(noise)):
            assert not skeleton.lies_in(other)
    for inputs in (1, 2, 12, 21, 33, 40, 100, 1000):
        assert skeleton_of(inputs) is None


def test_several_strokes_in_a_row_are_no_body() -> None:
    rng = np.random.default_rng(3)
    strokes = np.cumsum(0.1 * rng.standard_normal((60, 3, 11, 2)), axis=2) + 5 * rng.standard_normal((1, 3, 1, 2))
    assert not told(66).lies_in(flat(strokes.astype(np.float32)))


def test_points_in_another_order_are_not_taken_for_a_body() -> None:
    order = np.random.default_rng(2).permutation(33)
    assert not told(66).lies_in(flat(bodies()[:, order, :2]))
    assert not told(42).lies_in(flat(hands()[:, np.argsort(-np.arange(21) % 5), :2]))


@pytest.mark.parametrize("what", SENT)
def test_numbers_become_landmarks_and_back(what: str) -> None:
    numbers = flat(SENT[what])
    skeleton = told(numbers.shape[1])
    landmarks = skeleton.landmarks(numbers)
    assert landmarks.shape == ((60, 33, 4) if skeleton.part == "pose" else (60, 21, 3))
    assert np.array_equal(skeleton.numbers(landmarks, numbers), numbers)
    moved = skeleton.numbers(landmarks + np.float32(1.0), numbers).reshape(SENT[what].shape)
    kept = 3 if skeleton.has_z else 2
    assert np.allclose(moved[:, :, :kept], SENT[what][:, :, :kept] + 1)
    assert np.array_equal(moved[:, :, kept:], SENT[what][:, :, kept:])  # scores and visibility are not places


@pytest.mark.parametrize(
    ("what", "tracked", "group", "same"),
    [
        ("a body in x, y", "pose", "number_body", ("positions", "angles")),
        ("a hand in x, y", "hands", "number_hand", ("hands",)),
    ],
)
def test_they_are_read_as_the_tracker_s_own(what: str, tracked: str, group: str, same: tuple[str, ...]) -> None:
    numbers = flat(SENT[what])
    listen = f'[listen]\nsource = "osc"\ninputs = {numbers.shape[1]}\n[[output]]\nname = "a"\n'
    patch = parse_patch(f'{listen}features = ["{group}"]\n', Path("patch.toml"))
    rows = {"times_s": 10.0 * np.arange(60), "aspect": np.ones(60, dtype=np.float32)}
    found = extract(patch, LandmarkSequence(**rows, numbers=640 * numbers + 100))  # type: ignore[arg-type]
    landmarks = told(numbers.shape[1]).landmarks(numbers)
    nothing = np.full_like(landmarks, np.nan)
    part = {"pose": landmarks} if tracked == "pose" else {"right_hand": landmarks, "left_hand": nothing}
    own = parse_patch(f'[listen]\ntrack = ["{tracked}"]\n[[output]]\nname = "a"\n', Path("patch.toml"))
    wanted = extract(own, LandmarkSequence(**rows, **part))  # type: ignore[arg-type]
    of_side = {name.removeprefix("hands.right."): column for column, name in enumerate(feature_names(own))}
    for column, name in enumerate(feature_names(patch)):
        if tracked == "hands":
            other = of_side[name.removeprefix("number_hand.")]
        else:
            rest = name.removeprefix("number_body.")
            other = next(of_side[f"{one}.{rest}"] for one in same if f"{one}.{rest}" in of_side)
        assert np.allclose(found[:, column], wanted[:, other], atol=1e-3), name


def arms(where: float = 0.0) -> tuple[FloatArray, list[str]]:
    """Numbers of bodies anywhere that raise their left arm, or none; `where` moves the first to the left."""
    rows, labels = [], []
    rng = np.random.default_rng(4)
    for number in range(60):
        body = pose(0.05, aspect=1.0)
        lifted = pose(0.05 if where else 0.5 + 0.02 * rng.standard_normal(), aspect=1.0)
        if number % 2:
            body[[11, 13, 15, 17, 19, 21]] = lifted[[11, 13, 15, 17, 19, 21]]
        at = rng.uniform(-0.3, 0.3, 2) if not where else (where * (number % 2) + 0.01 * rng.standard_normal(), 0.0)
        rows.append(body[:, :2] + np.array(at, dtype=np.float32))
        labels.append("left" if number % 2 else "rest")
    return flat(shaky(np.array(rows, dtype=np.float32))), labels


def test_training_reads_a_body_as_such_and_says_so() -> None:
    _, _, dataset = learned(*arms())
    assert "number_body" in groups(dataset)
    assert "the numbers are read as the points of a body" in dataset.notes


def test_a_class_shown_once_takes_nothing_from_the_others() -> None:
    numbers, labels = arms()
    once = np.concatenate([numbers, numbers[:1] + np.float32(0.1)])
    _, _, dataset = learned(once, [*labels, "once"])
    assert "number_body" in groups(dataset)
    assert len(dataset.examples) == 61


def test_a_body_is_recognised_where_gestures_and_their_mirror_images_are_the_same() -> None:
    numbers, labels = arms()
    plain, output, dataset = dataset_of(Path("numbers.csv"), numbers, labels, None)
    patch = replace(plain, features=replace(plain.features, mirror=True))
    ((sequence, _),) = dataset.frames
    values = extract(patch, sequence)
    mirrored = replace(dataset, examples=replace(dataset.examples, values=values), feature_names=feature_names(patch))
    assert "number_body" in groups(with_features_that_help(mirrored, output))


@pytest.mark.parametrize("group", ["number_hand", "number_path"])
def test_inputs_do_not_pick_from_what_has_to_have_all_numbers(group: str) -> None:
    text = f'[listen]\nsource = "osc"\ninputs = 42\n[[output]]\nname = "a"\ninputs = [1, 2]\nfeatures = ["{group}"]\n'
    patch = parse_patch(text, Path("patch.toml"))
    with pytest.raises(ValueError, match=f"`inputs` picks numbers, which `{group}` has to have all of"):
        feature_columns(patch, patch.outputs[0])


def test_where_a_body_stands_can_still_be_what_was_meant() -> None:
    _, _, dataset = learned(*arms(where=0.4))
    assert "numbers" in groups(dataset)


def test_a_body_that_came_as_numbers_is_varied_as_one() -> None:
    patch, output, dataset = learned(*arms())
    examples = with_variations(dataset, patch, output).examples
    assert examples.variations is not None
    assert examples.variations_of is not None
    moved = np.abs(examples.variations - examples.values[examples.variations_of])
    assert 0.001 < np.median(moved[:, examples.values.std(axis=0) > 0]) < 0.3
    _, _, noise = learned(np.random.default_rng(0).standard_normal((60, 66)).astype(np.float32), ["a", "b"] * 30)
    assert with_variations(noise, patch, output).examples.variations is None


def test_a_left_arm_that_came_as_numbers_never_becomes_a_right_one() -> None:
    numbers, labels = arms()
    patch, output, dataset = dataset_of(Path("numbers.csv"), numbers, labels, None)
    names = dataset.feature_names
    wrist = [names.index(f"number_body.{side}_wrist.y") for side in ("left", "right")]
    ((sequence, _),) = dataset.frames
    made = variations(
        patch,
        output,
        names,
        sequence,
        dataset.examples.values,
        dataset.examples.targets.astype(np.intp),
        dataset.examples.takes,
        copies=4,
        seed=0,
    )
    is_left = np.tile(np.array(labels) == "left", 4)
    assert (made[is_left][:, wrist[0]] < made[is_left][:, wrist[1]]).all()  # higher in the picture


def test_what_is_mirrored_stays_where_it_was() -> None:
    numbers, labels = arms(where=0.4)
    patch, output, dataset = dataset_of(Path("numbers.csv"), numbers, labels, None)
    ((sequence, _),) = dataset.frames
    examples = dataset.examples
    rest = np.flatnonzero(examples.targets == 0)
    made = variations(
        patch,
        output,
        dataset.feature_names,
        sequence,
        examples.values,
        examples.targets.astype(np.intp),
        examples.takes,
        copies=2,
        seed=0,
    )
    hip = [dataset.feature_names.index(f"numbers.{1 + 2 * point}") for point in (23, 24)]
    before, after = examples.values[rest][:, hip].mean(axis=1), made[: len(numbers)][rest][:, hip].mean(axis=1)
    assert np.abs(after - before).max() < 0.1


def test_real_hands_and_bodies_are_learned_from_twenty_of_each(shared_recordings: Path) -> None:
    for name, group, least in (("hand_keypoint", "number_hand", 0.9), ("body_pose", "number_body", 0.96)):
        ((patch, output, dataset),) = read_scorable(shared_recordings / "landmarks" / f"{name}.csv")
        is_seen, is_held = split(dataset, "frames", np.random.default_rng(0), few=20)
        assert group in groups(with_features_that_help(subset(dataset, is_seen), output))
        assert train_and_score(patch, output, dataset, is_seen, is_held).accuracy > least
