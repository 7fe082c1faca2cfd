"""Training a network on examples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from instrument.kernels.cpu import forward
from instrument.models.fitting import (
    Cancelled,
    Examples,
    Fitted,
    Progress,
    Recipe,
    TrainingError,
    balanced_draws,
    fit,
    recipe_for,
)

SHORT = Recipe(steps=100)


def blobs(*, classes: int = 3, takes: int = 2, frames: int = 20, features: int = 6) -> Examples:
    """Classes that are well apart, each in several takes."""
    rng = np.random.default_rng(0)
    targets = np.array(takes * [number for number in range(classes) for _ in range(frames)], dtype=np.intp)
    centres = 4 * rng.standard_normal((classes, features))
    values = centres[targets] + rng.standard_normal((len(targets), features))
    return Examples(
        values=values.astype(np.float32),
        targets=targets,
        takes=np.repeat(np.arange(classes * takes), frames),
        class_count=classes,
    )


def of(values: object, targets: object, *, classes: int = 2) -> Examples:
    """One take of those examples."""
    rows = np.array(values, dtype=np.float32)
    wanted: NDArray[Any] = np.array(targets, dtype=np.intp if classes else np.float32)
    return Examples(values=rows, targets=wanted, takes=wanted.astype(np.intp), class_count=classes)


def train(examples: Examples, *, seed: int = 0, recipe: Recipe | None = SHORT) -> Fitted:
    return fit(examples, hidden=(16, 8), seed=seed, recipe=recipe)


def guesses(fitted: Fitted, values: np.ndarray) -> list[int]:
    given = forward(fitted.layers, values.astype(np.float32))
    assert np.isfinite(given).all()
    return given.argmax(axis=1).tolist()


def test_classes_that_are_apart_are_told_apart_on_takes_never_seen() -> None:
    fitted = train(blobs())
    assert fitted.validation is not None
    assert fitted.validation.score == 1.0
    assert fitted.validation.by_block == ()
    assert set(fitted.validation.by_take) == {3, 4, 5}


def test_the_network_takes_features_as_they_come_not_standardised() -> None:
    examples = blobs()
    moved = examples.values * 1000 + 5000
    fitted = train(Examples(values=moved, targets=examples.targets, takes=examples.takes, class_count=3))
    assert guesses(fitted, moved) == examples.targets.tolist()


def test_the_same_seed_gives_the_same_weights_to_the_bit() -> None:
    one, other = ([array.tobytes() for layer in train(blobs(), seed=7).layers for array in layer] for _ in range(2))
    assert one == other


def test_another_seed_gives_other_weights() -> None:
    assert train(blobs(), seed=1).layers[0][0].tobytes() != train(blobs(), seed=2).layers[0][0].tobytes()


def test_a_value_is_learned_from_a_sweep() -> None:
    position = np.linspace(0, 1, 200, dtype=np.float32)
    values = np.stack([np.sin(3 * position), np.cos(3 * position), position**2], axis=1)
    examples = Examples(values=values, targets=position, takes=np.repeat([0, 1], 100))
    fitted = train(examples, recipe=Recipe(steps=300, noise=0.1))
    assert abs(forward(fitted.layers, values)[:, 0] - position).max() < 0.1


def test_validation_of_a_value_is_its_root_mean_square_error() -> None:
    position = np.tile(np.linspace(0, 1, 50, dtype=np.float32), 4)
    examples = Examples(values=position[:, None], targets=position, takes=np.repeat(np.arange(4), 50))
    fitted = train(examples, recipe=Recipe(steps=300, noise=0.0))
    given = forward(fitted.layers, position[:, None])[:, 0]
    assert fitted.validation is not None
    assert fitted.validation.score == pytest.approx(float(np.sqrt(np.square(given - position).mean())), abs=0.03)


def test_a_feature_that_never_changed_is_ignored_when_it_does() -> None:
    examples = blobs()
    values = examples.values.copy()
    values[:, 2] = 0.3
    fitted = train(Examples(values=values, targets=examples.targets, takes=examples.takes, class_count=3))
    elsewhere = values.copy()
    elsewhere[:, 2] = 1e6
    assert (forward(fitted.layers, elsewhere) == forward(fitted.layers, values)).all()


def test_features_that_never_change_make_no_difference_to_what_is_learned() -> None:
    examples = replace(blobs(), variations=blobs().values + np.float32(0.1), variations_of=np.arange(120))
    beside = np.full((120, 3), 7.0, dtype=np.float32)

    def with_constants(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows[:, :2], beside, rows[:, 2:]], axis=1)

    assert examples.variations is not None
    wide = replace(examples, values=with_constants(examples.values), variations=with_constants(examples.variations))
    plain, found = train(examples), train(wide)
    used = [0, 1, 5, 6, 7, 8]
    assert (found.layers[0][0][used] == plain.layers[0][0]).all()
    assert not found.layers[0][0][2:5].any()
    assert not found.bare[0][0][2:5].any()
    assert (found.gain[used] == plain.gain).all()
    assert not found.gain[2:5].any()
    assert (found.shift == np.insert(plain.shift, 2, [7.0] * 3)).all()
    assert found.validation == plain.validation


def test_features_that_are_all_constant_give_a_working_network() -> None:
    assert len(guesses(train(of(np.ones((20, 3)), [0, 1] * 10)), np.ones((1, 3)))) == 1


def test_identical_classes_are_given_half_the_confidence_each() -> None:
    values = np.random.default_rng(0).standard_normal((40, 3))
    fitted = train(of(np.concatenate([values, values]), [0] * 40 + [1] * 40))
    given = forward(fitted.layers, values.astype(np.float32))
    confidence = 1 / (1 + np.exp(given[:, 1] - given[:, 0]))
    assert abs(confidence.mean() - 0.5) < 0.1


def test_one_example_against_ten_thousand_is_still_recognised() -> None:
    values = np.random.default_rng(0).standard_normal((10_001, 3))
    values[0] = 8.0
    fitted = train(of(values, [1] + [0] * 10_000))
    assert guesses(fitted, values[:1]) == [1]
    assert np.mean(guesses(fitted, values[1:])) < 0.01


def test_one_example_of_each_class_is_enough_and_says_it_has_no_score() -> None:
    fitted = train(of([[0.0, 1.0], [1.0, 0.0]], [0, 1]))
    assert guesses(fitted, np.array([[0.0, 1.0], [1.0, 0.0]])) == [0, 1]
    assert fitted.validation is None


def test_one_example_of_a_value_gives_that_value() -> None:
    fitted = train(of([[1.0, 2.0]], [0.25], classes=0))
    assert forward(fitted.layers, np.array([[1.0, 2.0]], dtype=np.float32))[0, 0] == pytest.approx(0.25, abs=0.05)


def test_two_hundred_classes_are_learned() -> None:
    examples = blobs(classes=200, frames=4, features=30)
    fitted = fit(examples, hidden=(64, 32), seed=0)
    assert np.mean(np.array(guesses(fitted, examples.values)) == examples.targets) > 0.95


def test_wide_networks_stay_alone_so_that_playing_stays_quick() -> None:
    examples = blobs()
    assert [recipe_for(examples, hidden).members for hidden in ((), (64, 32), (512, 512))] == [3, 3, 1]


def test_no_examples_are_refused_with_what_to_do() -> None:
    with pytest.raises(TrainingError, match="no examples; record"):
        train(of(np.zeros((0, 3)), []))


def test_a_single_take_of_a_class_is_validated_on_its_end_and_said_so() -> None:
    fitted = train(blobs(takes=1))
    assert fitted.validation is not None
    assert fitted.validation.by_block == (0, 1, 2)


def test_progress_rises_to_the_last_step() -> None:
    seen: list[Progress] = []
    fit(blobs(), hidden=(8,), seed=0, recipe=SHORT, on_progress=seen.append)
    assert [one.step for one in seen] == sorted(one.step for one in seen)
    assert seen[-1].step == seen[-1].steps == 100
    assert seen[-1].loss < seen[0].loss
    assert seen[-1].validation == 1.0


def test_training_stops_at_the_step_it_is_cancelled_in() -> None:
    asked: list[None] = []

    def is_cancelled() -> bool:
        asked.append(None)
        return len(asked) == 5

    with pytest.raises(Cancelled):
        fit(blobs(), hidden=(8,), seed=0, recipe=SHORT, is_cancelled=is_cancelled)
    assert len(asked) == 5


def test_a_step_too_large_is_made_smaller_and_said_so() -> None:
    fitted = train(blobs(), recipe=Recipe(steps=100, peak_rate=50.0))
    assert "ran away" in fitted.notes[0]
    assert fitted.validation is not None
    assert fitted.validation.score == 1.0


def test_training_that_always_runs_away_is_given_up_with_a_reason() -> None:
    with pytest.raises(TrainingError, match="however small its step"):
        train(blobs(), recipe=Recipe(steps=100, peak_rate=1e30))


@pytest.mark.filterwarnings("error")
def test_enormous_values_never_give_weights_that_are_not_finite() -> None:
    examples = blobs()
    values = examples.values.copy()
    values[::2, 1] = 3e38
    values[1::2, 1] = -3e38
    fitted = train(Examples(values=values, targets=examples.targets, takes=examples.takes, class_count=3))
    assert all(np.isfinite(array).all() for layer in fitted.layers for array in layer)


def test_every_class_is_drawn_equally_often_and_every_example_of_it() -> None:
    groups = np.array([0] * 4 + [1] * 50 + [2] * 2)
    draws = balanced_draws(groups, 600, np.random.default_rng(0))
    assert np.bincount(groups[draws]).tolist() == [200, 200, 200]
    assert np.bincount(draws).tolist() == [50] * 4 + [4] * 50 + [100] * 2


@pytest.mark.parametrize(
    ("name", "least"), [("hand_keypoint.csv", 0.89), ("body_pose.csv", 0.92), ("finger_trajectory.csv", 0.93)]
)
def test_real_recordings_are_recognised_in_stretches_held_out(shared_recordings: Path, name: str, least: float) -> None:
    lines = [line.split(",") for line in (shared_recordings / "landmarks" / name).read_text().splitlines()]
    names = list(dict.fromkeys(line[0] for line in lines))
    targets = np.array([names.index(line[0]) for line in lines])
    values = np.array([line[1:] for line in lines], dtype=np.float32)
    takes = np.zeros(len(targets), dtype=np.intp)
    for target in np.unique(targets):  # ten stretches of each class stand for takes
        for number, rows in enumerate(np.array_split(np.flatnonzero(targets == target), 10)):
            takes[rows] = 10 * target + number
    fitted = fit(Examples(values=values, targets=targets, takes=takes, class_count=4), hidden=(64, 32), seed=0)
    assert fitted.validation is not None
    assert fitted.validation.score >= least


def test_two_hundred_classes_are_told_apart() -> None:
    examples = blobs(classes=200, frames=3, features=30)
    fitted = fit(examples, hidden=(64, 32), seed=0, is_validated=False)
    assert np.mean(np.array(guesses(fitted, examples.values)) == examples.targets) > 0.95


def test_contradicting_labels_leave_the_other_examples_right() -> None:
    examples = blobs(classes=2, frames=40)
    targets = examples.targets.copy()
    targets[:4] = 1 - targets[:4]
    fitted = train(replace(examples, targets=targets))
    right = np.array(guesses(fitted, examples.values)) == examples.targets
    assert right[4:].mean() > 0.95


def test_contradicting_values_of_one_pose_give_their_mean() -> None:
    fitted = train(of([[1.0, 2.0]] * 2 + [[3.0, 1.0]], [0.0, 1.0, 0.5], classes=0), recipe=None)
    assert forward(fitted.layers, np.array([[1.0, 2.0]], np.float32))[0, 0] == pytest.approx(0.5, abs=0.05)
