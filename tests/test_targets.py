from pathlib import Path

import pytest

from instrument.patch_file import parse_patch
from instrument.targets import checked_target, first_targets, still_allowed, wekinator_target

PATCH = parse_patch(
    """
[[output]]
name = "posture"
classes = ["rest", "up"]
[[output]]
name = "free"
[[output]]
name = "lift"
kind = "continuous"
range = [-1, 1]
[[output]]
name = "stroke"
kind = "trigger"
classes = ["clap"]
""",
    Path("patch.toml"),
)


def test_the_first_class_and_the_low_end_are_recorded_until_something_else_is_asked_for() -> None:
    assert first_targets(PATCH) == {"posture": "rest", "free": "1", "lift": -1.0, "stroke": "clap"}


def test_an_edit_of_the_patch_keeps_the_targets_that_it_still_allows() -> None:
    kept = {"posture": "up", "free": "anything", "lift": 0.5, "stroke": "none"}
    assert still_allowed(PATCH, kept) == kept
    assert still_allowed(PATCH, {"posture": "down", "free": 2.0, "lift": 3.0, "stroke": "slap", "gone": 1.0}) == {}
    assert still_allowed(PATCH, {"posture": 1.0, "lift": "up"}) == {}


@pytest.mark.parametrize(("output", "value"), [("posture", "down"), ("posture", 3), ("lift", 1.5), ("lift", "up")])
def test_a_target_that_an_output_does_not_allow_is_refused_with_those_it_does(output: str, value: str | float) -> None:
    with pytest.raises(ValueError, match=f"output '{output}'.*allowed: "):
        checked_target(PATCH.output(output), value)


def test_a_class_may_come_as_a_number() -> None:
    assert checked_target(PATCH.output("free"), 3.0) == "3"
    assert wekinator_target(PATCH.output("posture"), 2.0) == "up"
    assert wekinator_target(PATCH.output("posture"), 3.0) is None
    assert wekinator_target(PATCH.output("posture"), 1.5) is None
