"""What is strange counts as none of the classes, but not for a single frame."""

from instrument.gate import RELEASE_S, Gate


def test_what_is_familiar_is_meant_at_once() -> None:
    gate: Gate[str] = Gate()
    assert gate.update("up", 0.0, is_familiar=False) is None
    assert gate.update("up", 0.01, is_familiar=True) == "up"
    assert gate.update("wide", 0.02, is_familiar=True) == "wide"


def test_a_single_strange_frame_does_not_end_a_gesture() -> None:
    gate: Gate[str] = Gate()
    gate.update("up", 0.0, is_familiar=True)
    assert gate.update("up", 0.03, is_familiar=False) == "up"


def test_a_strange_frame_does_not_pass_for_another_class_meanwhile() -> None:
    gate: Gate[str] = Gate()
    gate.update("up", 0.0, is_familiar=True)
    assert gate.update("wide", 0.03, is_familiar=False) == "up"
    assert gate.update("wide", RELEASE_S + 0.01, is_familiar=False) is None


def test_what_is_strange_for_long_is_none_of_the_classes() -> None:
    gate: Gate[str] = Gate()
    gate.update("up", 0.0, is_familiar=True)
    assert gate.update("up", RELEASE_S + 0.01, is_familiar=False) is None
    assert gate.update("up", RELEASE_S + 0.02, is_familiar=False) is None


def test_a_clock_that_goes_back_ends_a_gesture() -> None:
    gate: Gate[str] = Gate()
    gate.update("up", 10.0, is_familiar=True)
    assert gate.update("up", 0.0, is_familiar=False) is None
