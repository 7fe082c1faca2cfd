"""Real people on video, and a second one who must not become the performer."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from bodies import pose

from instrument import assets
from instrument.camera import fit_width
from instrument.patch import Listen
from instrument.replay import DEMO_FRAMES, Clip, there_and_back
from instrument.signals import Frame, Landmarks
from instrument.tracker import (
    Follower,
    MediaPipeTracker,
    RecordedTracker,
    Sighting,
    Window,
    search_windows,
    sighting,
)

FRAME_S = 1 / 30


def tracked(
    video: Path, *, track: tuple[str, ...] = ("pose",), first: int = 0, last: int = 10_000
) -> Iterator[Landmarks]:
    tracker = MediaPipeTracker(
        Listen(track=track), pose_model=assets.path("pose.task"), hand_model=assets.path("hand.task")
    )
    capture = cv2.VideoCapture(str(video))
    for number in range(last):
        is_read, image = capture.read()
        if not is_read:
            break
        if number >= first:
            image = fit_width(image, 640)
            yield tracker.track(Frame(number=number, captured_at_s=10 + number * FRAME_S, image_bgr=image))
    tracker.close()


def middle(landmarks: Landmarks) -> Sighting:
    assert landmarks.pose is not None
    return sighting(landmarks.pose, landmarks.aspect, landmarks.captured_at_s)


@pytest.fixture(scope="module")
def demo_landmarks() -> list[Landmarks]:
    return list(tracked(assets.path("demo.mp4")))


def test_the_demo_performer_is_found_in_nearly_every_frame_of_the_demo(demo_landmarks: list[Landmarks]) -> None:
    assert sum(one.is_tracked for one in demo_landmarks[:91]) >= 85


def test_their_arms_go_up_and_down(demo_landmarks: list[Landmarks]) -> None:
    def lifted(number: int) -> float:
        points = demo_landmarks[number].pose
        assert points is not None
        return float((points[[11, 12], 1] - points[[15, 16], 1]).mean())  # how far wrists are above shoulders

    assert lifted(22) > 0.05
    assert lifted(57) > 0.05
    assert lifted(41) < -0.05
    assert lifted(80) < -0.05


def test_left_and_right_are_not_taken_for_each_other_while_arms_pass_the_face() -> None:
    tracker = MediaPipeTracker(Listen(), pose_model=assets.path("pose.task"), hand_model=None)
    clip = Clip(assets.path("demo.mp4"), count=DEMO_FRAMES, width_px=640)
    left_of_right = []
    for number in range(4 * DEMO_FRAMES):  # they face the camera throughout
        image = clip[there_and_back(number, DEMO_FRAMES)]
        found = tracker.track(Frame(number=number, captured_at_s=10 + number * FRAME_S, image_bgr=image)).pose
        if found is not None:
            left_of_right.append(found[11, 0] - found[12, 0] + found[23, 0] - found[24, 0])
    tracker.close()
    assert np.mean(np.array(left_of_right) > 0) > 0.97  # by the tracker alone 0.85


def test_world_coordinates_and_visibility_come_along(demo_landmarks: list[Landmarks]) -> None:
    found = demo_landmarks[30]
    assert found.pose is not None
    assert found.pose_world is not None
    assert found.pose.shape == (33, 4)
    assert found.pose_world.shape == (33, 3)
    assert found.pose[:, 3].max() > 0.9
    assert np.linalg.norm(found.pose_world[11] - found.pose_world[12]) == pytest.approx(0.35, abs=0.15)  # metres


def test_the_passer_by_never_becomes_the_performer(demo_landmarks: list[Landmarks]) -> None:
    # The passer-by walks over the grass in the lower left while the performer is on and off the box.
    walking = [middle(one) for one in demo_landmarks[45:200] if one.is_tracked]
    assert len(walking) > 100
    assert all(not (seen.x < 0.6 and seen.y > 0.6) for seen in walking)


def test_the_performer_is_found_again_after_jumping_off(demo_landmarks: list[Landmarks]) -> None:
    landed = [middle(one) for one in demo_landmarks[205:] if one.is_tracked]
    assert len(landed) >= 15
    assert all(seen.x > 1.0 for seen in landed)


@pytest.mark.parametrize("video", ["balance_front.mp4", "two_people.mp4"])
def test_one_of_several_people_is_followed_throughout(video: str, shared_recordings: Path) -> None:
    found = [middle(one) for one in tracked(shared_recordings / "video" / video) if one.is_tracked]
    assert len(found) >= 95
    steps = [np.hypot(b.x - a.x, b.y - a.y) / a.torso for a, b in pairwise(found)]
    assert max(steps) < 0.5


def test_hands_are_the_performers_own_when_the_body_is_tracked_too(shared_recordings: Path) -> None:
    found = list(tracked(shared_recordings / "video" / "two_people.mp4", track=("pose", "hands"), first=50))
    near = []
    for one in found:
        for hand, wrist in ((one.left_hand, 15), (one.right_hand, 16)):
            if hand is not None and one.pose is not None:
                assert hand.shape == (21, 3)
                scale = np.array([one.aspect, 1.0])
                near.append(np.linalg.norm((hand[0, :2] - one.pose[wrist, :2]) * scale) / middle(one).torso)
    assert len(near) >= 10
    assert max(near) <= 0.6


def test_nobody_in_the_picture_is_nobody() -> None:
    tracker = MediaPipeTracker(Listen(), pose_model=assets.path("pose.task"), hand_model=None)
    grey = np.full((360, 640, 3), 128, dtype=np.uint8)
    assert not tracker.track(Frame(number=0, captured_at_s=1.0, image_bgr=grey)).is_tracked
    tracker.close()


def test_a_clock_that_stands_still_does_not_stop_tracking() -> None:
    tracker = MediaPipeTracker(Listen(), pose_model=assets.path("pose.task"), hand_model=None)
    grey = np.full((360, 640, 3), 128, dtype=np.uint8)
    for number in range(3):
        tracker.track(Frame(number=number, captured_at_s=1.0, image_bgr=grey))
    tracker.close()


def test_recorded_landmarks_pass_as_they_are() -> None:
    landmarks = Landmarks(frame_number=0, captured_at_s=0.0, pose=pose(0.5))
    assert RecordedTracker().track(Frame(number=0, captured_at_s=0.0, landmarks=landmarks)) is landmarks


def test_the_first_body_seen_is_the_performer() -> None:
    assert Follower(4.0).accept(Sighting(0.3, 0.5, 0.2, 0.0))


def test_somebody_elsewhere_in_the_next_frame_is_a_stranger() -> None:
    follower = Follower(4.0)
    follower.accept(Sighting(0.3, 0.5, 0.2, 0.0))
    assert not follower.accept(Sighting(1.2, 0.5, 0.2, FRAME_S))


def test_somebody_of_another_size_in_the_same_place_is_a_stranger() -> None:
    follower = Follower(4.0)
    follower.accept(Sighting(0.3, 0.5, 0.1, 0.0))
    assert not follower.accept(Sighting(0.3, 0.5, 0.4, FRAME_S))


def test_a_walking_performer_is_followed() -> None:
    follower = Follower(4.0)
    assert all(follower.accept(Sighting(0.01 * n, 0.5, 0.2, n * FRAME_S)) for n in range(100))


def test_after_a_while_anybody_may_take_over() -> None:
    follower = Follower(4.0)
    follower.accept(Sighting(0.3, 0.5, 0.2, 0.0))
    assert not follower.accept(Sighting(9.0, 0.5, 0.2, 3.9))
    assert follower.accept(Sighting(9.0, 0.5, 0.2, 4.1))


def test_forgetting_lets_anybody_be_the_performer() -> None:
    follower = Follower(4.0)
    follower.accept(Sighting(0.3, 0.5, 0.2, 0.0))
    follower.forget()
    assert follower.accept(Sighting(9.0, 0.5, 0.2, FRAME_S))


def test_a_performer_who_is_small_in_the_picture_is_found_whichever_frame_comes_first() -> None:
    """Shown the whole picture, the detector finds the demo performer in a quarter of these frames."""
    for first in range(5, 75, 10):
        found = list(tracked(assets.path("demo.mp4"), first=first, last=first + 6))
        assert any(one.is_tracked for one in found), f"not found in frames {first} to {first + 5}"


def test_a_window_lies_inside_the_picture_and_has_the_side_asked_for() -> None:
    for x, y in ((0.0, 0.0), (1.7, 1.0), (0.9, 0.5)):
        window = Window.around(x, y, 0.5, 16 / 9)
        assert 0.0 <= window.left < window.right <= 1.0
        assert 0.0 <= window.top < window.bottom <= 1.0
        assert window.bottom - window.top == pytest.approx(0.5)
        assert (window.right - window.left) * 16 / 9 == pytest.approx(0.5)


def test_points_found_in_a_window_are_placed_in_the_picture() -> None:
    window = Window(0.5, 0.2, 0.75, 0.7)
    placed = window.in_picture(np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.4, 0.5]], dtype=np.float32))
    np.testing.assert_allclose(placed, [[0.5, 0.2, 0.0, 1.0], [0.75, 0.7, 0.1, 0.5]], rtol=1e-6)


def test_a_window_stays_while_the_performer_is_well_inside_and_follows_when_not() -> None:
    window = Window().following(Sighting(0.9, 0.5, 0.1, 0.0), 16 / 9)
    assert window.following(Sighting(0.95, 0.5, 0.1, 0.1), 16 / 9) is window
    assert window.following(Sighting(1.4, 0.5, 0.1, 0.2), 16 / 9) is not window


def test_a_window_that_grows_ends_up_as_the_whole_picture() -> None:
    window = Window.around(0.9, 0.5, 0.3, 16 / 9)
    for _ in range(20):
        window = window.grown(16 / 9)
    assert window.is_whole


@pytest.mark.parametrize("aspect", [16 / 9, 4 / 3, 1.0, 9 / 16])
def test_searching_looks_everywhere(aspect: float) -> None:
    windows = search_windows(aspect)
    assert windows[0].is_whole
    smallest = windows[-1].bottom - windows[-1].top
    tiles = [one for one in windows if one.bottom - one.top == pytest.approx(smallest)]
    for x, y in np.random.default_rng(0).random((200, 2)):
        assert any(one.left <= x <= one.right and one.top <= y <= one.bottom for one in tiles)
