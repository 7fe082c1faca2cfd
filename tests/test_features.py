import dataclasses
from pathlib import Path

import numpy as np
import pytest
from bodies import moving_body, moving_hands, sequence_of
from hypothesis import given
from hypothesis import strategies as st

from instrument.features import (
    FORGET_AFTER_S,
    FeatureExtractor,
    extract,
    feature_columns,
    feature_fingerprint,
    feature_names,
    smoothed,
    with_inputs,
)
from instrument.patch import HAND_FEATURES, NUMBER_FEATURES, POSE_FEATURES, Patch
from instrument.patch_file import parse_patch
from instrument.signals import LANDMARK_PARTS, FloatArray, Landmarks, LandmarkSequence, landmark_sequence

GROUPS = {"pose": POSE_FEATURES, "hands": HAND_FEATURES, "osc": NUMBER_FEATURES}


def patch_of(kind: str = "pose", *, body: str = "full", mirror: bool = False, extra: str = "") -> Patch:
    listen = 'source = "osc"\ninputs = 3' if kind == "osc" else f'track = ["{kind}"]'
    return parse_patch(
        f"[listen]\n{listen}\n[features]\nbody = '{body}'\nmirror = {str(mirror).lower()}\n"
        f"[[output]]\nname = 'all'\nfeatures = {list(GROUPS[kind])}\n{extra}",
        Path("patch.toml"),
    )


def moved(sequence: LandmarkSequence, *, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> LandmarkSequence:
    """The same performance elsewhere in the picture, and larger or smaller."""
    parts: dict[str, FloatArray | None] = {}
    for name in ("pose", "left_hand", "right_hand"):
        part = getattr(sequence, name)
        if part is not None:
            part = part.copy()
            part[..., :3] *= scale
            part[..., 0] += x
            part[..., 1] += y
        parts[name] = part
    return LandmarkSequence(times_s=sequence.times_s, aspect=sequence.aspect, **parts)


def mirrored(sequence: LandmarkSequence) -> LandmarkSequence:
    """The same performance in a mirror, as a tracker would see it: left and right exchanged, too."""
    pose = None
    if sequence.pose is not None:
        order = [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + (1 if i % 2 else -1) for i in range(11, 33))]
        pose = sequence.pose[:, order].copy()
        pose[..., 0] = 1.0 - pose[..., 0]
    hands = []
    for hand in (sequence.right_hand, sequence.left_hand):
        if hand is not None:
            hand = hand.copy()
            hand[..., 0] = 1.0 - hand[..., 0]
        hands.append(hand)
    return LandmarkSequence(
        times_s=sequence.times_s, aspect=sequence.aspect, pose=pose, left_hand=hands[0], right_hand=hands[1]
    )


@pytest.mark.parametrize("body", ["full", "upper"])
@given(scale=st.floats(0.4, 2.0), x=st.floats(-2.0, 2.0), y=st.floats(-2.0, 2.0))
def test_where_a_body_stands_and_how_large_it_is_make_no_difference(
    body: str, scale: float, x: float, y: float
) -> None:
    patch = patch_of("pose", body=body)
    here = sequence_of(moving_body(frames=12))
    np.testing.assert_allclose(extract(patch, moved(here, scale=scale, x=x, y=y)), extract(patch, here), atol=5e-3)


@given(scale=st.floats(0.4, 2.0), x=st.floats(-2.0, 2.0), y=st.floats(-2.0, 2.0))
def test_where_hands_are_and_how_large_they_are_make_no_difference(scale: float, x: float, y: float) -> None:
    patch = patch_of("hands")
    here = sequence_of(moving_hands(frames=12))
    there = extract(patch, moved(here, scale=scale, x=x, y=y))
    np.testing.assert_allclose(there, extract(patch, here), rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize("kind", ["pose", "hands"])
def test_mirroring_makes_no_difference_when_asked_for(kind: str) -> None:
    here = sequence_of(moving_body(frames=12) if kind == "pose" else moving_hands(frames=12))
    patch = patch_of(kind, mirror=True)
    np.testing.assert_allclose(extract(patch, mirrored(here)), extract(patch, here), atol=1e-2)


def test_mirroring_does_make_a_difference_otherwise() -> None:
    here = sequence_of(moving_body(frames=12))
    patch = patch_of("pose")
    assert np.abs(extract(patch, mirrored(here)) - extract(patch, here)).max() > 0.1


def test_the_posture_does_make_a_difference() -> None:
    down, up = (extract(patch_of("pose"), sequence_of(moving_body(frames=1, lift=lift))) for lift in (0.0, 1.0))
    assert np.abs(down - up).max() > 0.5


@pytest.mark.parametrize("kind", ["pose", "hands"])
def test_live_frames_and_whole_takes_give_the_same_numbers(kind: str) -> None:
    frames = moving_body(frames=40) if kind == "pose" else moving_hands(frames=40)
    patch = patch_of(kind)
    extractor = FeatureExtractor(patch)
    live = [extractor.update(frame).values for frame in frames]
    np.testing.assert_array_equal(np.array(live), extract(patch, sequence_of(frames)))


@st.composite
def rough_landmarks(draw: st.DrawFn) -> list[Landmarks]:
    """Bodies that come and go, partly hidden, with wild coordinates."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    wildness = draw(st.sampled_from([0.0, 1.0, 1e3, 1e30]))
    times_s = np.cumsum(rng.choice([0.0, 0.001, 0.033, 0.5], size=8))
    frames = []
    for number, time_s in enumerate(times_s):
        pose = rng.normal(0.5, 0.2 + wildness, (33, 4)).astype(np.float32) if rng.random() < 0.7 else None
        if pose is not None:
            pose[:, 3] = rng.random(33)
            if rng.random() < 0.3:
                pose[:] = pose[0]  # everything at one point
        hand = rng.normal(0.5, 0.1 + wildness, (21, 3)).astype(np.float32) if rng.random() < 0.7 else None
        frames.append(
            Landmarks(frame_number=number, captured_at_s=float(time_s), pose=pose, left_hand=hand, right_hand=None)
        )
    return frames


@pytest.mark.parametrize("kind", ["pose", "hands"])
@given(frames=rough_landmarks(), mirror=st.booleans(), body=st.sampled_from(["full", "upper"]))
def test_features_are_finite_and_bounded_whatever_the_tracker_gives(
    kind: str, frames: list[Landmarks], mirror: bool, body: str
) -> None:
    with np.errstate(all="ignore"):
        values = extract(patch_of(kind, mirror=mirror, body=body), sequence_of(frames))
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 1000.0


def test_a_forearm_that_points_at_the_camera_is_bent_and_has_hardly_a_direction() -> None:
    patch = patch_of()
    straight = sequence_of(moving_body(frames=1, lift=0.5))
    assert straight.pose is not None
    bent = dataclasses.replace(straight, pose=straight.pose.copy())
    assert bent.pose is not None
    bent.pose[:, 15, 2] = -0.3  # the left wrist; x and y stay where they were
    names = list(feature_names(patch))
    elbow, right = names.index("angles.left_elbow"), names.index("angles.left_elbow-left_wrist.right")
    assert extract(patch, straight)[0, elbow] > 0.95
    assert extract(patch, bent)[0, elbow] < 0.8
    assert extract(patch, bent)[0, right] < extract(patch, straight)[0, right] - 0.2
    assert np.array_equal(extract(patch, bent)[0, :elbow], extract(patch, straight)[0, :elbow])


def test_hidden_legs_do_not_move_the_arms() -> None:
    [frame] = moving_body(frames=1)
    assert frame.pose is not None
    hidden = frame.pose.copy()
    hidden[25:, :2] += 0.5
    hidden[25:, 3] = 0.0
    patch = patch_of("pose", body="upper")
    other = Landmarks(frame_number=0, captured_at_s=frame.captured_at_s, pose=hidden)
    np.testing.assert_array_equal(extract(patch, sequence_of([other])), extract(patch, sequence_of([frame])))


def test_frames_without_a_body_have_no_features() -> None:
    extractor = FeatureExtractor(patch_of("pose"))
    assert extractor.update(Landmarks(frame_number=0, captured_at_s=0.0)).values is None


def test_a_gap_gives_the_same_numbers_live_and_in_a_take() -> None:
    frames = [*moving_body(frames=10), *moving_body(frames=10, start_s=2.0)]
    patch = patch_of("pose")
    extractor = FeatureExtractor(patch)
    live = [extractor.update(frame).values for frame in frames]
    np.testing.assert_array_equal(np.array(live), extract(patch, sequence_of(frames)))


def test_a_long_gap_in_tracking_starts_velocities_afresh() -> None:
    before, after = moving_body(frames=20), moving_body(frames=1, start_s=20 / 30 + FORGET_AFTER_S + 0.1)
    patch = patch_of("pose")
    names = feature_names(patch)
    velocities = [i for i, name in enumerate(names) if name.startswith(("velocities", "energy"))]
    values = extract(patch, sequence_of([*before, *after]))
    assert np.abs(values[19, velocities]).max() > 0.1
    assert np.abs(values[20, velocities]).max() == 0.0


def test_a_hand_moving_right_at_one_palm_a_second_says_so() -> None:
    patch = patch_of("hands")
    still = moving_hands(frames=1)[0]
    assert still.left_hand is not None
    scale = np.array([4 / 3, 1.0])
    palm = max(
        float(np.linalg.norm((still.left_hand[a, :2] - still.left_hand[b, :2]) * scale)) for a, b in ((9, 0), (5, 17))
    )
    frames = []
    for t in range(20):
        hand = still.left_hand.copy()
        hand[:, 0] += palm / (4 / 3) * t / 30
        frames.append(Landmarks(frame_number=t, captured_at_s=t / 30, left_hand=hand))
    unsmoothed = unsmoothed_patch(patch)
    column = feature_names(unsmoothed).index("hand_velocities.left.index_tip.x")
    assert extract(unsmoothed, sequence_of(frames))[-1, column] == pytest.approx(1.0, rel=1e-3)


def unsmoothed_patch(patch: Patch) -> Patch:
    return dataclasses.replace(patch, smoothing=dataclasses.replace(patch.smoothing, min_cutoff_hz=0.0))


@pytest.mark.parametrize(("kind", "body"), [("pose", "full"), ("pose", "upper"), ("hands", "full")])
def test_smoothed_landmarks_are_those_that_features_show(kind: str, body: str) -> None:
    patch = patch_of(kind, body=body)
    sequence = sequence_of((moving_body if kind == "pose" else moving_hands)(frames=60))
    sequence.times_s[40:] += 2 * FORGET_AFTER_S
    for part in (sequence.pose, sequence.left_hand):
        if part is not None:
            part[5:8] = np.nan
    shown = smoothed(patch, sequence)
    np.testing.assert_allclose(extract(unsmoothed_patch(patch), shown), extract(patch, sequence), atol=2e-3)
    assert np.abs(extract(unsmoothed_patch(patch), sequence) - extract(patch, sequence)).max() > 0.02


def test_window_statistics_and_differences_are_those_of_the_window() -> None:
    patch = patch_of("osc")
    numbers = np.array([[1, 0, 0], [2, 0, 0], [4, 0, 0], [8, 0, 0]], dtype=np.float32)
    frames = [Landmarks(frame_number=t, captured_at_s=t * 0.1, numbers=row) for t, row in enumerate(numbers)]
    values = dict(zip(feature_names(patch), extract(patch, landmark_sequence(frames, ("numbers",)))[-1], strict=True))
    assert values["numbers.1"] == 8.0
    assert values["number_windowed.1.mean"] == pytest.approx(3.75)
    assert values["number_windowed.1.sd"] == pytest.approx(np.std([1, 2, 4, 8]))
    assert (values["number_windowed.1.min"], values["number_windowed.1.max"]) == (1.0, 8.0)
    assert values["number_differences.1.first"] == 7.0
    assert values["number_differences.1.second"] == pytest.approx(8 - 2 * 4 + 1)
    assert values["number_velocities.1"] == pytest.approx(40.0, rel=1e-3)


def test_names_are_unique_and_as_many_as_the_columns() -> None:
    for kind in GROUPS:
        for mirror in (False, True):
            patch = patch_of(kind, mirror=mirror)
            names = feature_names(patch)
            assert len(set(names)) == len(names)
            assert len(feature_columns(patch, patch.outputs[0])) == len(names)


def test_each_output_picks_its_own_groups() -> None:
    patch = parse_patch(
        "[[output]]\nname = 'a'\nfeatures = ['angles']\n[[output]]\nname = 'b'\nfeatures = ['positions', 'angles']\n",
        Path("p"),
    )
    names = feature_names(patch)
    picked = [names[column] for column in feature_columns(patch, patch.output("a"))]
    assert picked
    assert all(name.startswith("angles.") for name in picked)
    assert len(feature_columns(patch, patch.output("b"))) == len(names)


def test_an_output_can_pick_single_inputs() -> None:
    patch = patch_of("osc", extra="inputs = [1, 3]")
    names = feature_names(patch)
    picked = {names[column].split(".")[1] for column in feature_columns(patch, patch.outputs[0])}
    assert picked == {"1", "3"}


def test_an_input_there_is_not_cannot_be_picked() -> None:
    patch = patch_of("osc", extra="inputs = [4]")
    with pytest.raises(ValueError, match="input 4 picked, but there are 3"):
        feature_columns(patch, patch.outputs[0])


def test_the_fingerprint_changes_with_what_changes_the_meaning() -> None:
    patch = patch_of("pose")
    output = patch.outputs[0]
    prints = {
        feature_fingerprint(patch, output),
        feature_fingerprint(patch_of("pose", body="upper"), output),
        feature_fingerprint(unsmoothed_patch(patch), output),
        feature_fingerprint(patch, dataclasses.replace(output, features=("angles",))),
    }
    assert len(prints) == 4
    assert feature_fingerprint(patch, dataclasses.replace(output, seed=9)) in prints


def test_numbers_of_another_count_are_refused() -> None:
    frames = [Landmarks(frame_number=0, captured_at_s=0.0, numbers=np.zeros(2, dtype=np.float32))]
    with pytest.raises(ValueError, match="2 numbers came, but this patch has 3 inputs"):
        extract(patch_of("osc"), landmark_sequence(frames, ("numbers",)))


def test_the_count_of_numbers_can_be_settled_later() -> None:
    patch = parse_patch("[listen]\nsource = 'osc'\n[[output]]\nname = 'a'\n", Path("p"))
    assert feature_names(patch) == ()
    assert feature_names(with_inputs(patch, 2)) == ("numbers.1", "numbers.2")


def test_every_part_can_be_put_into_a_sequence_and_taken_out() -> None:
    [frame] = moving_body(frames=1)
    sequence = landmark_sequence([frame], LANDMARK_PARTS)
    assert sequence.is_tracked.tolist() == [True]
    np.testing.assert_array_equal(sequence[0].pose, frame.pose)
    assert sequence[0].left_hand is None
