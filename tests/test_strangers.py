"""Bodies, hands and paths that nobody showed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bodies import hand, pose

from instrument.datasets import Dataset
from instrument.enrichment import with_features_that_help, with_strangers
from instrument.features import extract, feature_names
from instrument.models.outsiders import fit_outsiders
from instrument.patch import Patch
from instrument.patch_file import parse_patch
from instrument.rehearsal import familiarities
from instrument.scored import dataset_of
from instrument.signals import POSE_LANDMARKS, FloatArray, LandmarkSequence
from instrument.strangers import otherwise, strangers
from instrument.training import train_output

STILL = 1e-6
RNG = np.random.default_rng(0)
ARMS = [POSE_LANDMARKS.index(f"{side}_{name}") for side in ("left", "right") for name in ("elbow", "wrist", "index")]
LEGS = [POSE_LANDMARKS.index(f"{side}_{name}") for side in ("left", "right") for name in ("knee", "ankle")]
TRUNK = [POSE_LANDMARKS.index(name) for name in ("nose", "left_ear", "left_shoulder", "right_shoulder", "left_hip")]


def frames(**parts: FloatArray) -> LandmarkSequence:
    count = len(next(iter(parts.values())))
    return LandmarkSequence(
        times_s=10.0 * np.arange(count),
        aspect=np.full(count, 1.5, dtype=np.float32),
        **{name: part.astype(np.float32) for name, part in parts.items()},  # type: ignore[arg-type]
    )


def bodies(count: int = 200, lift: float = 0.1) -> FloatArray:
    found = np.array([pose(lift, aspect=1.5) for _ in range(count)], dtype=np.float32)
    found[:, :, :2] += 0.003 * RNG.standard_normal((count, 33, 2))
    return found


def hands(bend: float, count: int = 200) -> FloatArray:
    found = 0.2 * np.array([hand(bend) for _ in range(count)], dtype=np.float32) + np.float32(0.5)
    return np.asarray(found + 0.002 * RNG.standard_normal(found.shape).astype(np.float32))


def moved(before: FloatArray | None, after: FloatArray | None) -> FloatArray:
    """(T, L): how far each landmark went."""
    assert before is not None
    assert after is not None
    return np.asarray(np.linalg.norm((after - before)[:, :, :2], axis=2))


def test_arms_and_legs_are_elsewhere_and_the_rest_is_as_it_was() -> None:
    sequence = frames(pose=bodies())
    far = moved(sequence.pose, otherwise(sequence, np.random.default_rng(0)).pose)
    assert far[:, TRUNK].max() < STILL
    assert np.median(far[:, ARMS].max(axis=1)) > 0.05
    assert (far[:, ARMS + LEGS].max(axis=1) > 0.01).all()
    assert 0.2 < (far[:, LEGS].max(axis=1) < STILL).mean() < 0.5  # arms only


def test_limbs_are_no_longer_than_limbs_are() -> None:
    sequence = frames(pose=bodies())
    shown = otherwise(sequence, np.random.default_rng(0)).pose
    assert shown is not None
    points = shown[:, :, :2] * np.array([1.5, 1.0])
    torso = 0.27
    for joint, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        for side in ("left", "right"):
            a, b = (POSE_LANDMARKS.index(f"{side}_{name}") for name in (joint, end))
            assert np.linalg.norm(points[:, a] - points[:, b], axis=1).max() < 1.1 * torso


def test_a_body_seen_to_the_hips_holds_its_arms_otherwise() -> None:
    sequence = frames(pose=bodies())
    far = moved(sequence.pose, otherwise(sequence, np.random.default_rng(0), is_upper=True).pose)
    assert far[:, LEGS].max() < STILL
    assert (far[:, ARMS].max(axis=1) > 0.01).all()


def test_of_two_hands_those_that_are_there_bend_their_fingers() -> None:
    left, right = hands(0.2), hands(0.2)
    left[:100] = np.nan
    shown = otherwise(frames(left_hand=left, right_hand=right), np.random.default_rng(0))
    assert shown.left_hand is not None
    assert np.isnan(shown.left_hand[:100]).all()
    of_left, of_right = moved(left, shown.left_hand)[100:], moved(right, shown.right_hand)
    assert of_right[:, 0].max() < STILL  # the wrist
    assert (of_right[:100].max(axis=1) > 0.005).all()
    assert 0.2 < (of_right[100:].max(axis=1) < STILL).mean() < 0.5
    assert ((of_left.max(axis=1) > STILL) | (of_right[100:].max(axis=1) > STILL)).all()


def class_patch(text: str) -> Patch:
    return parse_patch(f'[listen]\n{text}\n[[output]]\nname = "a"\n', Path("patch.toml"))


def test_frames_in_which_nothing_can_be_held_otherwise_make_no_strangers() -> None:
    patch = class_patch('track = ["pose"]')
    shown = bodies(20)
    shown[:5] = np.nan
    sequence = frames(pose=shown)
    values = extract(patch, sequence)
    made, origins = strangers(patch, patch.outputs[0], feature_names(patch), sequence, values, seed=0)
    assert set(origins.tolist()) == set(range(5, 20))
    assert made.shape == (15, values.shape[1])
    assert np.isfinite(made).all()
    assert (np.abs(made - values[origins]).max(axis=1) > 0.05).all()
    again, _ = strangers(patch, patch.outputs[0], feature_names(patch), sequence, values, seed=0)
    assert again.tobytes() == made.tobytes()


def test_numbers_that_were_recorded_beside_a_body_are_no_path() -> None:
    patch = class_patch('track = ["pose"]')
    sequence = replace(frames(pose=bodies(20)), numbers=RNG.standard_normal((20, 7)).astype(np.float32))
    assert sequence.pose is not None
    sequence.pose[:5] = np.nan
    values = extract(patch, sequence)
    made, origins = strangers(patch, patch.outputs[0], feature_names(patch), sequence, values, seed=0)
    assert set(origins.tolist()) == set(range(5, 20))
    assert np.isfinite(made).all()


def test_what_the_inputs_picked_do_not_see_makes_no_stranger() -> None:
    patch = class_patch('track = ["pose"]')
    names = feature_names(patch)
    of_arms = [column for column, name in enumerate(names) if name.startswith("positions.left_wrist")]
    output = replace(patch.outputs[0], inputs=tuple(column + 1 for column in of_arms))
    sequence = frames(pose=bodies(200))
    values = extract(patch, sequence)[:, of_arms]
    picked = tuple(names[column] for column in of_arms)
    made, origins = strangers(patch, output, picked, sequence, values, seed=0)
    assert 60 < len(made) < 170  # of the others legs or the right arm alone were moved
    assert (np.abs(made - values[origins]).max(axis=1) > 0).all()


def test_a_glitch_makes_no_stranger_farther_out_than_examples_reach() -> None:
    numbers = np.concatenate([strokes("round", 60, 0), strokes("back", 60, 1)])
    patch, dataset = taught(numbers, ["a"] * 60 + ["b"] * 60)
    ((sequence, _),) = dataset.frames
    assert sequence.numbers is not None
    sequence.numbers[7, 3] = 1e10  # which training has taken out of the examples
    made = with_strangers(dataset, patch, patch.outputs[0]).examples.strangers
    assert made is not None
    span = np.ptp(dataset.examples.values, axis=0)
    assert (made <= dataset.examples.values.max(axis=0) + 5.001 * span + 10.001).all()


def test_strangers_of_a_performer_who_stands_still_hold_their_limbs_elsewhere_all_the_same() -> None:
    still = np.repeat(pose(0.05, aspect=1.0)[None], 40, axis=0)
    still[20:, 7, 1] += np.float32(0.01)  # the second class nods a little
    patch, _, dataset = dataset_of(Path("n.csv"), flat(still[:, :, :3]), ["a"] * 20 + ["b"] * 20, "pose")
    chosen = with_strangers(dataset, patch, patch.outputs[0]).examples
    assert chosen.strangers is not None
    wrist = [dataset.feature_names.index(f"positions.{side}_wrist.y") for side in ("left", "right")]
    assert np.ptp(chosen.values[:, wrist], axis=0).max() < 0.01
    assert np.ptp(chosen.strangers[:, wrist], axis=0).min() > 1.0


def test_features_of_movement_alone_make_no_strangers() -> None:
    patch = parse_patch('[listen]\n[[output]]\nname = "a"\nfeatures = ["velocities", "energy"]\n', Path("patch.toml"))
    sequence = frames(pose=bodies(20))
    values = extract(patch, sequence)
    made, origins = strangers(patch, patch.outputs[0], feature_names(patch), sequence, values, seed=0)
    assert not len(made)
    assert not len(origins)


def strokes(kind: str, count: int, seed: int) -> FloatArray:
    """(count, 32): paths of 16 points, round one way or the other, or straight, anywhere and in any direction."""
    rng = np.random.default_rng(seed)
    bend = {"round": 2 * np.pi, "back": -2 * np.pi, "straight": 0.0}[kind]
    direction = rng.uniform(0, 2 * np.pi, (count, 1)) + bend * np.linspace(0, 1, 15)
    direction += 0.1 * rng.standard_normal((count, 15))
    steps = np.stack([np.cos(direction), np.sin(direction)], axis=2) * rng.uniform(0.8, 1.2, (count, 1, 1))
    path = np.cumsum(np.concatenate([rng.uniform(-5, 5, (count, 1, 2)), steps], axis=1), axis=1)
    return path.reshape(count, -1).astype(np.float32)


def taught(numbers: FloatArray, labels: list[str]) -> tuple[Patch, Dataset]:
    """Plain numbers, in which something may be none of the classes."""
    plain, _, dataset = dataset_of(Path("numbers.csv"), numbers, labels, None)
    patch = replace(plain, outputs=(replace(plain.outputs[0], reject=0.05),))
    return patch, dataset


@pytest.mark.parametrize(("known", "stranger"), [(("round", "straight"), "back"), (("round", "back"), "straight")])
def test_a_path_bent_otherwise_is_none_of_those_shown(known: tuple[str, str], stranger: str) -> None:
    numbers = np.concatenate([strokes(name, 100, seed) for seed, name in enumerate(known)])
    patch, dataset = taught(numbers, [known[row // 100] for row in range(200)])
    output = patch.outputs[0]
    model = train_output(patch, output, dataset)
    assert model.familiarity is not None
    assert model.familiarity.outsiders
    place = [dataset.feature_names.index(name) for name in model.feature_names]

    def shares(kind: str) -> float:
        _, _, other = dataset_of(Path("numbers.csv"), strokes(kind, 200, 9), ["x", "y"] * 100, None)
        return float((familiarities(model, other.examples.values[:, place])[0] >= output.reject).mean())

    assert min(shares(name) for name in known) > 0.85
    assert shares(stranger) < 0.1


def test_an_arm_that_nobody_raised_is_none_of_the_postures() -> None:
    patch = class_patch('track = ["pose"]')
    shown = np.concatenate([bodies(60, lift) for lift in (0.05, 0.95)])
    sequence = frames(pose=shown)
    _, _, dataset = dataset_of(Path("n.csv"), flat(shown), ["down"] * 60 + ["up"] * 60, "pose")
    values = extract(patch, sequence)
    dataset = replace(
        dataset,
        examples=replace(dataset.examples, values=values, takes=np.arange(120) // 15),
        take_ids=tuple(range(8)),
        frames=tuple((frames(pose=shown[15 * take : 15 * take + 15]), np.arange(15)) for take in range(8)),
    )
    output = patch.outputs[0]
    model = train_output(patch, output, dataset)
    one_arm = bodies(100, 0.05)
    one_arm[:, ARMS[:3]] = bodies(100, 0.95)[:, ARMS[:3]]
    strange = familiarities(model, extract(patch, frames(pose=one_arm)))[0]
    assert (familiarities(model, extract(patch, frames(pose=bodies(100, 0.95))))[0] >= output.reject).mean() > 0.8
    assert (strange >= output.reject).mean() < 0.1


def flat(points: FloatArray) -> FloatArray:
    return points.reshape(len(points), -1)


def test_numbers_that_are_no_points_and_outputs_that_reject_nothing_have_no_strangers() -> None:
    noise = RNG.standard_normal((60, 12)).astype(np.float32)
    patch, dataset = taught(noise, ["a", "b"] * 30)
    chosen = with_features_that_help(dataset, patch.outputs[0])
    assert with_strangers(chosen, patch, patch.outputs[0]).examples.strangers is None
    plain, output, strokes_only = dataset_of(
        Path("n.csv"), np.concatenate([strokes("round", 40, 0), strokes("back", 40, 1)]), ["a"] * 40 + ["b"] * 40, None
    )
    model = train_output(plain, output, strokes_only)
    assert model.familiarity is not None
    assert not model.familiarity.outsiders


def test_without_strangers_there_is_nothing_to_learn_beside_what_was_shown() -> None:
    _, _, dataset = dataset_of(Path("n.csv"), RNG.standard_normal((20, 3)).astype(np.float32), ["a", "b"] * 10, None)
    assert fit_outsiders(dataset.examples, np.arange(20) % 4, seed=0) is None
