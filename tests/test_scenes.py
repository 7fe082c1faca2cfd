"""Scenes: fading, switching, being cued by a class, and staying true through edits of the patch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instrument.patch import Patch, Scene
from instrument.patch_edit import remove_value, set_values
from instrument.patch_file import parse_patch
from instrument.scenes import Scenes, blend
from instrument.signals import ClassPrediction, MovementEvent, Prediction, TriggerPrediction

TEXT = """
name = "test"
[[output]]
name = "posture"
classes = ["rest", "up"]
[[output]]
name = "lift"
kind = "continuous"
[[route]]
from = "lift"
osc = "/lift"
range = [0, 100]
[[route]]
from = "posture"
osc = "/posture"
[[scene]]
name = "high"
outputs = ["lift"]
routes = [{ route = "/lift", range = [100, 200], invert = true }, { route = "/posture", muted = true }]
[[scene]]
name = "armed"
from = "posture.up"
hold_s = 1
"""


def parsed(text: str = TEXT) -> Patch:
    return parse_patch(text, Path("patch.toml"))


def seen(up: float) -> Prediction:
    said = ClassPrediction(classes=("rest", "up"), confidences=np.array([1 - up, up], dtype=np.float32))
    return Prediction(frame_number=0, captured_at_s=0.0, outputs={"posture": said}, is_tracked=True)


def test_a_scene_without_a_fade_is_there_at_once() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("high"), 0.0, 5.0)
    step = scenes.step(5.0)
    assert step is not None
    assert (step.routes[0].low, step.routes[0].high, step.routes[0].invert) == (100.0, 200.0, True)
    assert step.switched is not None
    assert step.switched.muted == {2}
    assert scenes.step(6.0) is None


def test_numbers_move_through_a_fade_and_switches_flip_once_in_its_middle() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("high"), 4.0, 0.0)
    steps = [scenes.step(now_s) for now_s in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)]
    assert [step and step.routes[0].low for step in steps] == [0.0, 25.0, 50.0, 75.0, 100.0, None]
    assert [step and step.routes[0].invert for step in steps] == [False, False, True, True, True, None]
    assert [step and step.switched is not None for step in steps] == [False, False, True, False, False, None]


def test_a_fade_begins_where_another_was_left() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("high"), 2.0, 0.0)
    scenes.step(1.0)
    scenes.recall(parsed().scene("armed"), 2.0, 1.0)
    step = scenes.step(2.0)
    assert step is not None
    assert step.routes[0].low == 25.0


def test_a_velocity_moves_in_whole_steps() -> None:
    text = TEXT + '[destination.synth]\nmidi = "virtual"\n[[route]]\nfrom = "posture.up"\nto = "synth"\nmidi = "note"\n'
    before = parsed(text).routes[2]
    after = parsed(text + "velocity = 127\n").routes[2]
    assert blend(before, after, 0.5).velocity == 114


def test_a_class_recalls_its_scene_once_it_was_seen_long_enough() -> None:
    scenes = Scenes(parsed())
    cued = [scenes.cued(seen(up), now_s) for now_s, up in ((0.0, 0.9), (0.9, 0.45), (1.0, 0.9), (2.0, 0.9))]
    assert [scene and scene.name for scene in cued] == [None, None, "armed", None]


def test_a_movement_recalls_its_scene_when_it_is_played() -> None:
    text = TEXT.replace('classes = ["rest", "up"]', 'kind = "trigger"\nclasses = ["up", "swipe"]')
    scenes = Scenes(parsed(text.replace('from = "posture.up"', 'from = "posture.swipe"')))
    cued = []
    for what, movement in (("hit", "up"), ("begin", "swipe"), ("hit", "swipe")):
        event = MovementEvent(what=what, movement=movement, onset_s=0.0, velocity=0.5)
        said = TriggerPrediction(
            classes=(), confidences=np.zeros(0, dtype=np.float32), current=None, progress=0.0, events=(event,)
        )
        prediction = Prediction(frame_number=0, captured_at_s=0.0, outputs={"posture": said}, is_tracked=True)
        cued.append(scenes.cued(prediction, 0.0))
    assert [scene and scene.name for scene in cued] == [None, None, "armed"]


def test_a_class_that_was_gone_too_soon_recalls_nothing() -> None:
    scenes = Scenes(parsed())
    assert [scenes.cued(seen(up), now_s) for now_s, up in ((0.0, 0.9), (0.5, 0.1), (1.2, 0.9))] == [None] * 3


def test_a_class_is_still_seen_while_a_strange_frame_is_taken_for_another() -> None:
    scenes = Scenes(parsed())
    scenes.cued(seen(0.9), 0.0)
    held, strange = (seen(up).outputs["posture"] for up in (0.9, 0.1))
    outputs = {"posture": replace(strange, held=held)}  # type: ignore[call-arg]
    assert scenes.cued(Prediction(frame_number=0, captured_at_s=0.0, outputs=outputs, is_tracked=True), 0.5) is None
    cued = scenes.cued(seen(0.9), 1.2)
    assert cued is not None
    assert cued.name == "armed"


def test_a_class_does_not_recall_the_scene_that_plays() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("armed"), 0.0, 0.0)
    assert [scenes.cued(seen(0.9), now_s) for now_s in (0.0, 2.0)] == [None, None]


def test_what_is_edited_is_heard_whatever_scene_plays() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("high"), 0.0, 0.0)
    scenes.step(0.0)
    scenes.follow(parsed(TEXT.replace("range = [0, 100]", "range = [0, 7]")))
    assert (scenes.routes[0].low, scenes.routes[0].high, scenes.routes[0].invert) == (100.0, 7.0, True)


def test_an_edit_of_the_scene_that_plays_is_heard() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("high"), 0.0, 0.0)
    scenes.step(0.0)
    edited = scenes.follow(parsed(TEXT.replace("[100, 200]", "[1, 2]")))
    assert edited is not None
    assert scenes.routes[0].high == 2.0


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: set_values(text, [("route.1.osc", "/raised")]),
        lambda text: set_values(text, [("route.2.name", "said")]),
        lambda text: remove_value(text, "route.2"),
        lambda text: remove_value(remove_value(text, "scene.2"), "output.1"),
    ],
)
def test_an_edit_that_only_renames_or_removes_what_a_scene_names_changes_nothing_else(
    edit: Callable[[str], str],
) -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("high"), 0.0, 0.0)
    scenes.step(0.0)
    strayed = TEXT.replace("range = [0, 100]", "range = [0, 7]")
    scenes.follow(parsed(strayed))
    assert scenes.follow(parsed(edit(strayed))) is None
    assert (scenes.routes[0].low, scenes.routes[0].high) == (100.0, 7.0)


def test_a_scene_that_is_removed_no_longer_plays() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("armed"), 0.0, 0.0)
    scenes.follow(parsed(TEXT.partition('[[scene]]\nname = "armed"')[0]))
    assert scenes.current == ""


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('route = "/lift"', 'route = "/lifft"', r"line 19: scene.1.routes.1.route: .*did you mean '/lift'"),
        ('route = "/posture"', 'route = "/lift"', "'/lift' twice"),
        ("range = [100, 200]", "range = [1, 1]", "two different numbers"),
        ("invert = true", "loud = true", "unknown 'loud'"),
        ('outputs = ["lift"]', 'outputs = ["left"]', "did you mean 'lift'"),
        ('from = "posture.up"', 'from = "lift"', "one class, as output.class"),
        ('from = "posture.up"', 'key = "F1"', "one letter a..z or digit 0..9"),
        ('name = "armed"', 'name = "high"', r"line 21: scene.2.name: name 'high' is there twice"),
    ],
)
def test_a_scene_that_is_wrong_is_refused_with_what_is_allowed(before: str, after: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parsed(TEXT.replace(before, after))


def test_a_scene_left_in_a_fade_lets_go_of_its_mutes_although_the_patch_is_edited_meanwhile() -> None:
    scenes = Scenes(parsed())
    scenes.recall(parsed().scene("high"), 0.0, 0.0)
    scenes.step(0.0)
    scenes.recall(Scene(name="", routes=parsed().routes), 4.0, 1.0)
    scenes.step(2.0)
    left = scenes.follow(parsed(TEXT.replace("[0, 100]", "[0, 99]")))
    assert left is not None
    assert not left.muted


def test_a_cue_is_held_by_what_is_seen_not_by_time_that_passes_without_a_frame() -> None:
    scenes = Scenes(parsed())
    assert scenes.cued(seen(1.0), 0.0) is None
    assert scenes.cued(seen(1.0), 10.0) is None
    assert scenes.cued(seen(1.0), 10.5) is None
    assert scenes.cued(seen(1.0), 11.0) == parsed().scene("armed")


def test_a_cue_with_a_band_wider_than_its_threshold_recalls_again() -> None:
    patch = parsed(TEXT.replace("hold_s = 1", "hold_s = 0\nthreshold = 0.1"))
    scenes = Scenes(patch)
    for now_s in (0.0, 10.0):
        assert scenes.cued(seen(0.0), now_s) is None
        assert scenes.cued(seen(1.0), now_s + 1) == patch.scene("armed")
