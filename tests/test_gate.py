"""What is strange counts as none of the classes, but not for a single frame."""

from instrument.gate import RELEASE_S, Gate


def test_what_is_familiar_is_meant_at_once() -> None:
    gate = Gate(0.05)
    assert not gate.update(0.01, 0.0)
    assert gate.update(0.05, 0.01)


def test_a_single_strange_frame_does_not_end_a_gesture() -> None:
    gate = Gate(0.05)
    gate.update(0.5, 0.0)
    assert gate.update(0.01, 0.03)


def test_what_is_strange_for_long_is_none_of_the_classes() -> None:
    gate = Gate(0.05)
    gate.update(0.5, 0.0)
    assert not gate.update(0.01, RELEASE_S + 0.01)
    assert not gate.update(0.01, RELEASE_S + 0.02)


def test_a_clock_that_goes_back_ends_a_gesture() -> None:
    gate = Gate(0.05)
    gate.update(0.5, 10.0)
    assert not gate.update(0.01, 0.0)
