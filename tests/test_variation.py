"""Landmarks seen a little differently, and which classes may be mirrored."""

from pathlib import Path

import numpy as np
from bodies import pose

from instrument.features import extract, feature_names, mirror
from instrument.patch_file import parse_patch
from instrument.signals import FloatArray, LandmarkSequence
from instrument.variation import is_alike_from_side, symmetric_classes, variations, varied

PATCH = parse_patch('[listen]\ntrack = ["pose"]\n[[output]]\nname = "a"\n', Path("patch.toml"))
OUTPUT = PATCH.outputs[0]
ARMS = {"left": (0.9, 0.0), "right": (0.0, 0.9), "rest": (0.05, 0.05), "both": (0.9, 0.9)}


def takes_of(*names: str) -> tuple[LandmarkSequence, FloatArray, np.ndarray, np.ndarray]:
    """Three takes of six frames of each class, a little shaky and of bodies that stand a little differently."""
    rng = np.random.default_rng(0)
    poses, targets, takes = [], [], []
    for number in range(3 * len(names)):
        left, right = ARMS[names[number // 3]]
        body, other = pose(left + 0.02 * rng.standard_normal()), pose(right + 0.02 * rng.standard_normal())
        for part in (12, 14, 16, 18, 20, 22):
            body[part] = other[part]
        for _ in range(6):
            poses.append(body + 0.004 * rng.standard_normal(body.shape) * np.array([1, 1, 0, 0]))
            targets.append(number // 3)
            takes.append(number)
    sequence = LandmarkSequence(
        times_s=10.0 * np.arange(len(poses)),
        aspect=np.full(len(poses), 4 / 3, dtype=np.float32),
        pose=np.array(poses, dtype=np.float32),
    )
    return sequence, extract(PATCH, sequence), np.array(targets), np.array(takes)


def symmetric(*names: str) -> set[str]:
    sequence, values, targets, takes = takes_of(*names)
    own, exchanged = symmetric_classes(values, extract(PATCH, mirror(sequence)), targets, takes)
    return {names[index] for index in np.setdiff1d(own, exchanged)}


def test_poses_that_are_their_own_mirror_image_may_be_mirrored() -> None:
    assert symmetric("rest", "both") == {"rest", "both"}


def test_left_and_right_never_become_the_same_gesture() -> None:
    assert symmetric("left", "right", "rest") == {"rest"}


def test_a_left_arm_is_not_mirrored_even_where_nothing_is_on_the_right() -> None:
    assert symmetric("left", "rest") == {"rest"}
    assert symmetric("left", "both") == {"both"}


def from_the_side(faces: float, knees: float, *, left_arm: float = 0.0) -> np.ndarray:
    """(33, 4): a body that faces the right (1) or the left (-1) of the picture, its knees bent, an arm before it."""
    points = pose(0.02)
    middle = points[[23, 24], 0].mean()
    points[:, 0] = middle + 0.1 * (points[:, 0] - middle)
    points[[*range(7), 9, 10, 31, 32], 0] += 0.06 * faces
    points[[29, 30], 0] -= 0.03 * faces
    points[[25, 26], 0] += 0.15 * faces * knees
    points[[25, 26], 1] -= 0.1 * knees
    points[[13, 15, 17, 19, 21], 0] += np.array([0.1, 0.2, 0.22, 0.22, 0.22]) * faces * left_arm
    points[[15, 17, 19, 21], 1] -= 0.2 * left_arm
    return points


def mirrored_share(*classes: list[np.ndarray], takes: int) -> float:
    """Of classes shown facing one way, the share of variations that face the other."""
    rng = np.random.default_rng(0)
    shown = np.concatenate([np.repeat(np.array(bodies), 12 // len(bodies), axis=0) for bodies in classes])
    shown = shown + 0.003 * rng.standard_normal(shown.shape) * np.array([1, 1, 0, 0])
    targets = np.repeat(np.arange(len(classes)), 12)
    sequence = LandmarkSequence(
        times_s=10.0 * np.arange(len(shown)),
        aspect=np.full(len(shown), 4 / 3, dtype=np.float32),
        pose=shown.astype(np.float32),
    )
    names = feature_names(PATCH)
    values = extract(PATCH, sequence)
    numbers = targets * takes + np.tile(np.arange(12) % takes, len(classes))
    found = variations(PATCH, OUTPUT, names, sequence, values, targets, numbers, copies=8, seed=0)
    nose = names.index("positions.nose.x")
    # Each beside the frame that it is a variation of: whatever a class faces is no class's way for all.
    ways = np.sign(np.tile(values[:, nose], 8)) != np.sign(found[:, nose])
    return float(ways.mean())


def test_what_both_sides_do_is_the_same_seen_from_the_other_side() -> None:
    for takes in (1, 3):
        assert mirrored_share([from_the_side(1, 0.0)], [from_the_side(1, 1.0)], takes=takes) > 0.4


def test_facing_left_and_facing_right_stay_two_gestures() -> None:
    for takes in (1, 3):
        assert mirrored_share([from_the_side(1, 0.0)], [from_the_side(-1, 0.0)], takes=takes) < 0.1


def test_an_arm_before_a_body_seen_from_the_side_stays_that_arm() -> None:
    shown = np.array([from_the_side(1, 0.5), from_the_side(1, 0.0, left_arm=1.0), pose(0.02)])
    sequence = LandmarkSequence(
        times_s=np.arange(3.0), aspect=np.full(3, 4 / 3, dtype=np.float32), pose=shown.astype(np.float32)
    )
    assert is_alike_from_side(sequence).tolist() == [True, False, False]


def test_variations_differ_a_little_and_move_nothing_that_is_not_there() -> None:
    sequence, _, _, _ = takes_of("left", "rest")
    assert sequence.pose is not None
    sequence.pose[3] = np.nan
    seen = varied(sequence, np.random.default_rng(0))
    assert seen.pose is not None
    assert np.isnan(seen.pose[3]).all()
    moved = np.abs(seen.pose - sequence.pose)[:, :, :2]
    assert 0.001 < np.nanmean(moved) < 0.05
    assert (seen.pose[4:, :, 3] == sequence.pose[4:, :, 3]).all()


def test_variations_are_the_same_for_the_same_seed() -> None:
    sequence, values, targets, takes = takes_of("left", "rest")
    names = feature_names(PATCH)
    one, other = (
        variations(PATCH, OUTPUT, names, sequence, values, targets, takes, copies=2, seed=4) for _ in range(2)
    )
    assert one.shape == (2 * len(values), values.shape[1])
    assert one.tobytes() == other.tobytes()
    assert np.isfinite(one).all()


def test_features_of_movement_are_left_as_they_were() -> None:
    patch = parse_patch(
        '[listen]\ntrack = ["pose"]\n[[output]]\nname = "a"\nfeatures = ["positions", "energy"]\n', Path("patch.toml")
    )
    sequence, _, targets, takes = takes_of("left", "rest")
    values = extract(patch, sequence)
    found = variations(
        patch, patch.outputs[0], feature_names(patch), sequence, values, targets, takes, copies=1, seed=0
    )
    is_energy = np.array([name.startswith("energy") for name in feature_names(patch)])
    assert (found[:, is_energy] == values[:, is_energy]).all()
    assert (found[:, ~is_energy] != values[:, ~is_energy]).any()
