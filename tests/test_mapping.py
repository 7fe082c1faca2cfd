"""Routes: shaping, deciding, holding, letting go; and what Wekinator would have sent."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument.mapping import RouteMap
from instrument.patch import Destination, Output, Patch, Route, WhenLost
from instrument.signals import (
    ClassPrediction,
    ContinuousPrediction,
    Control,
    MidiSend,
    OscSend,
    Prediction,
)

POSTURE = Output(name="posture", kind="class", classes=("rest", "up", "wide"))
HEIGHT = Output(name="height", kind="continuous", low=-1.0, high=3.0)
DESTINATIONS = {
    "out": Destination(name="out", osc=("127.0.0.1", 12000)),
    "synth": Destination(name="synth", midi="virtual"),
}
Said = Mapping[str, Mapping[str, float] | float]
LOST: Said = {}


def patch(*routes: Route, is_wekinator: bool = False, probabilities: bool = False) -> Patch:
    return Patch(
        path=Path("patch.toml"),
        name="test",
        outputs=(POSTURE, HEIGHT),
        destinations=DESTINATIONS,
        routes=routes,
        is_wekinator=is_wekinator,
        wekinator_probabilities=probabilities,
    )


def height(**options: object) -> Route:
    return Route(source="height", output="height", osc="/height", **options)  # type: ignore[arg-type]


def controller(**options: object) -> Route:
    options = {"high": 127.0, **options}
    return Route(source="height", output="height", destination="synth", midi="cc", number=7, **options)  # type: ignore[arg-type]


def note(class_name: str = "up", **options: object) -> Route:
    options = {"number": 60, "channel": 2, **options}
    return Route(
        source=f"posture.{class_name}",
        output="posture",
        class_name=class_name,
        destination="synth",
        midi="note",
        **options,  # type: ignore[arg-type]
    )


def decision(**options: object) -> Route:
    return Route(source="posture", output="posture", **{"osc": "/posture", **options})  # type: ignore[arg-type]


def prediction(said: Said) -> Prediction:
    outputs: dict[str, ClassPrediction | ContinuousPrediction] = {}
    for name, value in said.items():
        if isinstance(value, Mapping):
            confidences = np.array(list(value.values()), dtype=np.float32)
            outputs[name] = ClassPrediction(classes=tuple(value), confidences=confidences)
        else:
            outputs[name] = ContinuousPrediction(value=value)
    return Prediction(frame_number=0, captured_at_s=0.0, outputs=outputs, is_tracked=bool(said))


def up(confidence: float) -> Said:
    return {"posture": {"rest": 1.0 - confidence, "up": confidence, "wide": 0.0}}


def play(routes: RouteMap, *frames: tuple[float, Said]) -> list[Control]:
    """Everything sent for those frames, each a time and what the outputs say."""
    return [control for now_s, said in frames for control in routes.update(prediction(said), now_s)]


def values(controls: Iterable[Control]) -> list[float]:
    """The number each control carries: an OSC message's last argument, a MIDI message's last byte."""
    return [one.arguments[-1] if isinstance(one, OscSend) else one.bytes[-1] for one in controls]  # type: ignore[misc]


def test_a_continuous_value_becomes_an_osc_float_in_the_routes_range() -> None:
    routes = RouteMap(patch(height(low=100.0, high=500.0)))
    assert play(routes, (0.0, {"height": 1.0})) == [OscSend(destination="out", address="/height", arguments=(300.0,))]


def test_a_value_outside_the_outputs_range_stops_at_its_ends() -> None:
    routes = RouteMap(patch(height(low=0.0, high=10.0)))
    assert values(play(routes, (0.0, {"height": 9.0}), (0.1, {"height": -9.0}))) == [10.0, 0.0]


def test_the_curve_bends_before_the_range() -> None:
    routes = RouteMap(patch(height(low=0.0, high=100.0, curve=2.0)))
    assert values(play(routes, (0.0, {"height": 1.0}))) == [25.0]


def test_an_inverted_route_falls_as_its_source_rises() -> None:
    routes = RouteMap(patch(height(low=0.0, high=4.0, invert=True)))
    assert values(play(routes, (0.0, {"height": 2.0}), (0.1, {"height": 3.0}))) == [1.0, 0.0]


def test_a_range_may_run_downwards() -> None:
    routes = RouteMap(patch(height(low=4.0, high=0.0)))
    assert values(play(routes, (0.0, {"height": 2.0}))) == [1.0]


def test_one_class_sends_its_confidence() -> None:
    route = Route(source="posture.up", output="posture", class_name="up", osc="/up", low=0.0, high=2.0)
    assert values(play(RouteMap(patch(route)), (0.0, up(0.25)))) == [0.5]


def test_a_controller_sends_the_nearest_of_128_values() -> None:
    routes = RouteMap(patch(controller(channel=15)))
    assert play(routes, (0.0, {"height": 1.0})) == [MidiSend(destination="synth", bytes=(0xBF, 7, 64))]


def test_a_controller_that_would_send_the_same_byte_is_silent() -> None:
    routes = RouteMap(patch(controller()))
    assert values(play(routes, (0.0, {"height": 1.0}), (0.1, {"height": 1.001}), (0.2, {"height": 1.05}))) == [64, 65]


def test_a_float_that_osc_would_send_alike_is_silent() -> None:
    routes = RouteMap(patch(height(low=0.0, high=4.0)))
    assert len(play(routes, (0.0, {"height": 1.0}), (0.1, {"height": 1.0 + 1e-12}))) == 1


def test_without_change_only_every_frame_sends() -> None:
    routes = RouteMap(patch(height(change_only=False)))
    assert len(play(routes, (0.0, {"height": 1.0}), (0.1, {"height": 1.0}))) == 2


@pytest.mark.parametrize("rate_hz", [10, 30, 1000])
def test_smoothing_takes_the_same_time_at_every_frame_rate(rate_hz: int) -> None:
    routes = RouteMap(patch(height(low=0.0, high=1.0, smooth_s=0.5)))
    play(routes, (0.0, {"height": -1.0}))
    sent = play(routes, *((frame / rate_hz, {"height": 3.0}) for frame in range(1, rate_hz // 2 + 1)))
    assert values(sent)[-1] == pytest.approx(1.0 - math.exp(-1.0), abs=1e-6)


def test_smoothing_arrives_and_then_is_silent() -> None:
    routes = RouteMap(patch(height(low=0.0, high=1.0, smooth_s=0.1)))
    play(routes, (0.0, {"height": -1.0}))
    sent = play(routes, *((frame / 30, {"height": 3.0}) for frame in range(1, 300)))
    assert values(sent)[-1] == 1.0
    assert len(sent) < 50


def test_a_note_sounds_while_its_class_is_there() -> None:
    routes = RouteMap(patch(note(velocity=90)))
    assert play(routes, (0.0, up(0.4)), (0.1, up(0.5)), (0.2, up(0.9)), (0.3, up(0.1))) == [
        MidiSend(destination="synth", bytes=(0x92, 60, 90)),
        MidiSend(destination="synth", bytes=(0x82, 60, 0)),
    ]


def test_a_note_does_not_flutter_around_its_threshold() -> None:
    routes = RouteMap(patch(note(threshold=0.6, hysteresis=0.2)))
    frames = [(frame / 30, up(0.61 if frame % 2 else 0.45)) for frame in range(1, 30)]
    assert len(play(routes, *frames)) == 1


def test_a_note_is_held_for_its_minimum() -> None:
    routes = RouteMap(patch(note(min_hold_s=1.0)))
    play(routes, (0.0, up(0.9)))
    assert play(routes, (0.5, up(0.0)), (0.9, up(0.0))) == []
    assert values(play(routes, (1.0, up(0.0)))) == [0]


def test_the_decided_class_is_sent_by_name_when_it_changes() -> None:
    routes = RouteMap(patch(decision()))
    assert play(routes, (0.0, up(0.25)), (0.1, up(0.0)), (0.2, up(0.75))) == [
        OscSend(destination="out", address="/posture", arguments=("rest", 0.75)),
        OscSend(destination="out", address="/posture", arguments=("up", 0.75)),
    ]


def test_no_class_is_decided_on_below_the_threshold() -> None:
    said: Said = {"posture": {"rest": 0.4, "up": 0.3, "wide": 0.3}}
    assert play(RouteMap(patch(decision())), (0.0, said)) == []


def test_a_class_is_left_only_for_one_that_is_ahead_by_the_hysteresis() -> None:
    routes = RouteMap(patch(decision(hysteresis=0.3)))
    play(routes, (0.0, up(0.0)))
    assert play(routes, (0.1, up(0.6))) == []
    assert len(play(routes, (0.2, up(0.7)))) == 1


def test_a_class_is_not_left_before_its_minimum_hold() -> None:
    routes = RouteMap(patch(decision(min_hold_s=1.0)))
    play(routes, (0.0, up(0.0)))
    assert play(routes, (0.9, up(1.0))) == []
    assert len(play(routes, (1.1, up(1.0)))) == 1


def test_a_decided_class_selects_the_program_counted_from_low() -> None:
    routes = RouteMap(patch(decision(osc=None, midi="program", destination="synth", channel=1, low=10.0, high=127.0)))
    assert play(routes, (0.0, up(0.0)), (0.1, up(1.0))) == [
        MidiSend(destination="synth", bytes=(0xC1, 10)),
        MidiSend(destination="synth", bytes=(0xC1, 11)),
    ]


def test_a_lost_body_holds_then_releases_the_note() -> None:
    routes = RouteMap(patch(note(when_lost=WhenLost(hold_s=1.0))))
    play(routes, (0.0, up(0.9)))
    assert play(routes, (0.1, LOST), (1.0, LOST)) == []
    assert values(play(routes, (1.1, LOST), (1.2, LOST))) == [0]


def test_a_body_that_returns_in_time_keeps_its_note() -> None:
    routes = RouteMap(patch(note(when_lost=WhenLost(hold_s=1.0))))
    assert len(play(routes, (0.0, up(0.9)), (0.1, LOST), (1.0, LOST), (1.05, up(0.9)), (2.0, LOST))) == 1


def test_a_body_that_returns_late_sounds_again() -> None:
    routes = RouteMap(patch(note(when_lost=WhenLost(hold_s=0.0))))
    assert values(play(routes, (0.0, up(0.9)), (0.1, LOST), (0.2, up(0.9)))) == [100, 0, 100]


def test_a_lost_body_brings_a_value_to_its_low_end() -> None:
    routes = RouteMap(patch(height(low=5.0, high=9.0, when_lost=WhenLost(hold_s=1.0))))
    play(routes, (0.0, {"height": 3.0}))
    assert values(play(routes, (0.5, LOST), (1.0, LOST), (1.5, LOST), (2.0, LOST))) == [5.0]


def test_a_lost_body_may_be_held_for_ever() -> None:
    routes = RouteMap(patch(height(when_lost=WhenLost(hold_s=0.0, then="hold")), note(when_lost=WhenLost(then="hold"))))
    play(routes, (0.0, {"height": 3.0, **up(0.9)}))
    assert play(routes, (1.0, LOST), (1e6, LOST)) == []


def test_a_lost_body_may_send_a_value() -> None:
    lost = WhenLost(hold_s=0.0, then=0.25)
    routes = RouteMap(patch(height(when_lost=lost), controller(when_lost=WhenLost(hold_s=0.0, then=300.0))))
    play(routes, (0.0, {"height": 2.0}))
    assert values(play(routes, (0.1, LOST))) == [0.25, 127]


def test_a_lost_body_is_no_class_and_resumes() -> None:
    routes = RouteMap(patch(decision(when_lost=WhenLost(hold_s=0.0))))
    sent = play(routes, (0.0, up(0.0)), (0.1, LOST), (0.2, LOST), (0.3, up(0.0)))
    assert [one.arguments for one in sent if isinstance(one, OscSend)] == [("rest", 1.0), ("none", 0.0), ("rest", 1.0)]


def test_nothing_is_sent_for_a_body_that_never_came() -> None:
    routes = RouteMap(patch(height(), controller(), note(), decision()))
    assert play(routes, (0.0, LOST), (100.0, LOST)) == []


def stranger(frame: int, **options: object) -> Prediction:
    """The network says `up`, and it is none of the classes."""
    said = ClassPrediction(
        classes=POSTURE.classes,
        confidences=np.array([0.05, 0.9, 0.05], dtype=np.float32),
        **{"familiarity": 0.01, "is_none": True, **options},  # type: ignore[arg-type]
    )
    return Prediction(frame_number=frame, captured_at_s=0.0, outputs={"posture": said}, is_tracked=True)


def test_what_is_none_of_the_classes_ends_their_notes_at_once() -> None:
    routes = RouteMap(patch(note()))
    play(routes, (0.0, up(0.9)))
    assert routes.update(stranger(1), 0.03) == [MidiSend(destination="synth", bytes=(0x82, 60, 0))]


def test_what_is_none_of_the_classes_is_decided_on_as_none() -> None:
    routes = RouteMap(patch(decision(threshold=0.6)))
    assert routes.update(stranger(0), 0.0) == [OscSend(destination="out", address="/posture", arguments=("none", 1.0))]


def test_what_is_strange_leaves_things_as_they_were_familiar_last() -> None:
    held = ClassPrediction(classes=POSTURE.classes, confidences=np.array([0.9, 0.05, 0.05], dtype=np.float32))
    routes = RouteMap(patch(note("rest"), note("up", number=61), is_wekinator=True))
    wekinator, *others = routes.update(stranger(0, is_none=False, held=held), 0.0)
    assert others == [MidiSend(destination="synth", bytes=(0x92, 60, 100))]
    assert values([wekinator]) == values(RouteMap(patch(is_wekinator=True)).update(stranger(0), 0.0))


def test_none_of_the_classes_can_play_a_note_itself() -> None:
    routes = RouteMap(patch(note("none")))
    assert routes.update(stranger(0), 0.0) == [MidiSend(destination="synth", bytes=(0x92, 60, 100))]
    assert play(routes, (0.1, up(0.9))) == [MidiSend(destination="synth", bytes=(0x82, 60, 0))]


def test_wekinator_hears_the_class_that_is_nearest_as_ever() -> None:
    routes = RouteMap(patch(is_wekinator=True, probabilities=True))
    rejected = routes.update(stranger(0), 0.0)
    assert rejected == routes.update(stranger(1, is_none=False, familiarity=None), 0.0)
    assert rejected[0].arguments[0] == 2.0


@pytest.mark.parametrize(("value", "sent"), [("familiarity", 0.25), ("disagreement", 0.75)])
def test_familiarity_and_disagreement_are_levels(value: str, sent: float) -> None:
    route = Route(source="posture", output="posture", value=value, osc="/level")
    seen = stranger(0, familiarity=0.25, disagreement=0.75)
    assert RouteMap(patch(route)).update(seen, 0.0) == [OscSend(destination="out", address="/level", arguments=(sent,))]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_prediction_that_is_no_number_counts_as_lost(bad: float) -> None:
    routes = RouteMap(patch(height(), note(), decision(), is_wekinator=True))
    play(routes, (0.0, {"height": 3.0, **up(0.9)}))
    said: Said = {"height": bad, "posture": {"rest": 0.0, "up": bad, "wide": 0.0}}
    assert play(routes, (0.1, said)) == [OscSend(destination="out", address="/wek/outputs", arguments=(2.0, 3.0))]


def test_a_value_too_large_for_osc_counts_as_lost() -> None:
    routes = RouteMap(patch(height(), is_wekinator=True))
    assert values(play(routes, (0.0, {"height": 1e39}))) == [-1.0]


@pytest.mark.parametrize("then", [math.nan, math.inf, 1e300])
def test_a_value_for_lost_bodies_that_osc_cannot_carry_is_the_low_end(then: float) -> None:
    routes = RouteMap(patch(height(low=2.0, high=3.0, smooth_s=0.1, when_lost=WhenLost(hold_s=0.0, then=then))))
    sent = play(routes, (0.0, {"height": 3.0}), (0.1, LOST), (99.0, LOST), (199.0, {"height": 3.0}))
    assert values(sent)[-2:] == [2.0, 3.0]


def test_two_routes_share_one_note_and_the_last_lets_go() -> None:
    routes = RouteMap(patch(note("rest"), note("up", threshold=0.2, hysteresis=0.0)))
    assert values(play(routes, (0.0, up(0.3)), (0.1, up(0.9)), (0.2, LOST), (9.0, LOST))) == [100, 0]


def test_release_all_silences_every_note_once() -> None:
    routes = RouteMap(patch(note("up"), note("up", number=64), note("up", number=64)))
    play(routes, (0.0, up(0.9)))
    assert routes.release_all() == [
        MidiSend(destination="synth", bytes=(0x82, 60, 0)),
        MidiSend(destination="synth", bytes=(0x82, 64, 0)),
    ]
    assert routes.release_all() == []


def test_a_released_note_stays_off_until_its_class_has_been_left() -> None:
    routes = RouteMap(patch(note()))
    play(routes, (0.0, up(0.9)))
    routes.release_all()
    assert play(routes, (0.1, up(0.9)), (0.2, up(0.1))) == []
    assert values(play(routes, (0.3, up(0.9)))) == [100]


def test_reset_starts_over_and_leaves_no_note() -> None:
    routes = RouteMap(patch(note(), height()))
    first = play(routes, (0.0, {"height": 1.0, **up(0.9)}))
    assert values(routes.reset()) == [0]
    assert play(routes, (0.1, {"height": 1.0, **up(0.9)})) == first


def test_wek_outputs_has_every_output_as_a_float() -> None:
    routes = RouteMap(patch(is_wekinator=True))
    sent = play(routes, (0.0, {"height": 2.5, **up(0.9)}))
    assert sent == [OscSend(destination="out", address="/wek/outputs", arguments=(2.0, 2.5))]


def test_wek_outputs_starts_at_class_1_and_the_low_end() -> None:
    assert play(RouteMap(patch(is_wekinator=True)), (0.0, LOST)) == [
        OscSend(destination="out", address="/wek/outputs", arguments=(1.0, -1.0))
    ]


def test_wek_outputs_repeats_what_has_no_new_value() -> None:
    routes = RouteMap(patch(is_wekinator=True))
    sent = play(routes, (0.0, {"height": 2.5}), (0.1, up(0.9)), (0.2, LOST))
    assert [one.arguments for one in sent if isinstance(one, OscSend)] == [(1.0, 2.5), (2.0, 2.5), (2.0, 2.5)]


def test_classes_keep_their_numbers_when_a_model_knows_only_some() -> None:
    routes = RouteMap(patch(is_wekinator=True, probabilities=True))
    said: Said = {"posture": {"wide": 0.75, "rest": 0.25}, "height": 0.0}
    assert play(routes, (0.0, said)) == [
        OscSend(destination="out", address="/wek/outputs", arguments=(3.0, 0.0)),
        OscSend(destination="out", address="/outputs-1", arguments=(0.25, 0.0, 0.75)),
    ]


confidence = st.floats(0.0, 1.0, width=32) | st.just(math.nan)
said_or_lost = st.none() | st.tuples(confidence, confidence, st.floats(width=32))
steps = st.lists(
    st.tuples(st.floats(0.0, 3.0), said_or_lost, st.sampled_from(["play"] * 8 + ["panic", "reset"])), max_size=40
)
note_routes = st.lists(
    st.builds(
        note,
        st.sampled_from(["rest", "up"]),
        number=st.sampled_from([60, 61]),
        threshold=st.floats(0.0, 1.0),
        hysteresis=st.floats(0.0, 1.0),
        min_hold_s=st.floats(0.0, 2.0),
        when_lost=st.builds(
            WhenLost, hold_s=st.floats(0.0, 2.0), then=st.sampled_from(["release", "hold", 0.0, 1.0, math.nan])
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(note_routes, steps)
def test_notes_are_always_paired_and_no_number_is_ever_none(
    routes: list[Route], played: list[tuple[float, tuple[float, float, float] | None, str]]
) -> None:
    route_map = RouteMap(patch(*routes, height(smooth_s=0.2), controller(), decision(), is_wekinator=True))
    sent: list[Control] = []
    now_s = 0.0
    for elapsed_s, said, action in played:
        now_s += elapsed_s
        outputs: Said = {"posture": {"rest": said[0], "up": said[1]}, "height": said[2]} if said else LOST
        sent += route_map.update(prediction(outputs), now_s)
        if action != "play":
            sent += route_map.release_all() if action == "panic" else route_map.reset()
    sent += route_map.release_all()

    sounding: set[tuple[int, int]] = set()
    for control in sent:
        if isinstance(control, OscSend):
            assert all(isinstance(one, str) or math.isfinite(one) for one in control.arguments)
            continue
        assert all(0 <= byte <= 127 for byte in control.bytes[1:])
        key = (control.bytes[0] & 0x0F, control.bytes[1])
        if control.bytes[0] & 0xF0 == 0x90:
            assert key not in sounding
            sounding.add(key)
        elif control.bytes[0] & 0xF0 == 0x80:
            assert key in sounding
            sounding.remove(key)
    assert not sounding


def test_release_all_lets_go_of_classes_and_levels_too() -> None:
    routes = RouteMap(patch(decision(), height(low=10.0, high=20.0), height(high=5.0, when_lost=WhenLost(then="hold"))))
    play(routes, (0.0, {**up(0.9), "height": 3.0}))
    assert routes.release_all() == [
        OscSend(destination="out", address="/posture", arguments=("none", 0.0)),
        OscSend(destination="out", address="/height", arguments=(10.0,)),
    ]
    assert routes.release_all() == []


def test_release_all_sends_nothing_where_nothing_was_sent() -> None:
    assert RouteMap(patch(decision(), height())).release_all() == []


def test_a_route_that_is_edited_goes_on_from_its_value() -> None:
    routes = RouteMap(patch(height(low=0.0, high=1.0, smooth_s=1.0)))
    play(routes, (0.0, {"height": 3.0}))
    edited = patch(height(low=0.0, high=2.0, smooth_s=1.0))
    assert routes.settle(edited, edited.routes) == []
    [value] = values(play(routes, (0.1, {"height": 3.0})))
    assert 1.0 < value < 1.2


def test_a_note_that_sounds_goes_on_through_an_edit_of_another_route() -> None:
    routes = RouteMap(patch(height(), note()))
    play(routes, (0.0, up(1.0)))
    edited = patch(height(curve=2.0), note())
    assert routes.settle(edited, edited.routes) == []
    assert play(routes, (0.1, up(1.0))) == []


def test_a_note_that_sounds_ends_when_its_route_goes_elsewhere_or_away() -> None:
    for edited in (patch(note(number=72)), patch()):
        routes = RouteMap(patch(note()))
        play(routes, (0.0, up(1.0)))
        assert routes.settle(edited, edited.routes) == [MidiSend(destination="synth", bytes=(0x82, 60, 0))]


def test_a_note_that_is_held_for_ever_ends_when_its_output_is_switched_off() -> None:
    routes = RouteMap(patch(note(when_lost=WhenLost(hold_s=0.0, then="hold"))))
    assert values(play(routes, (0.0, up(1.0)), (0.1, LOST))) == [100]
    assert routes.let_go_of({"height"}) == []
    assert values(routes.let_go_of({"posture"})) == [0]
    assert play(routes, (0.2, LOST), (9.0, {"height": 0.0})) == []
    assert values(play(routes, (9.1, up(1.0)))) == [100]


def test_a_mute_stays_with_its_route_when_another_is_removed() -> None:
    routes = RouteMap(patch(height(), controller()))
    routes.mute({1})
    edited = patch(controller())
    routes.settle(edited, edited.routes)
    assert play(routes, (0.0, {"height": 3.0})) == []


def test_a_route_that_is_tried_sends_its_range_whatever_is_seen() -> None:
    routes = RouteMap(patch(height(low=10.0, high=20.0, smooth_s=5.0)))
    sent = [routes.try_out(0, share, 0.0) for share in (0.0, 0.5, 1.0)]
    assert values(one for controls in sent for one in controls) == [10.0, 15.0, 20.0]
    assert play(routes, (0.0, {"height": 3.0})) == []


def test_every_class_and_a_note_is_tried() -> None:
    routes = RouteMap(patch(decision(), note()))
    assert [routes.try_out(0, share, 0.0)[0].arguments for share in (0.0, 0.4, 0.9)] == [  # type: ignore[union-attr]
        ("rest", 1.0),
        ("up", 1.0),
        ("wide", 1.0),
    ]
    routes.end_try()
    tried = [routes.try_out(1, share, 0.0) for share in (0.2, 0.6, 0.9, 0.4)]
    assert [[one.bytes for one in controls] for controls in tried] == [[], [(0x92, 60, 100)], [], [(0x82, 60, 0)]]  # type: ignore[union-attr]


def test_a_trial_goes_on_in_a_cross_fade_and_when_its_route_has_moved() -> None:
    routes = RouteMap(patch(height(), note()))
    assert values(routes.try_out(1, 0.9, 0.0)) == [100]
    edited = patch(note(velocity=50), height())
    assert routes.settle(edited, edited.routes) == []
    assert routes.try_out(0, 0.8, 0.1) == []
    assert values(routes.try_out(0, 0.2, 0.2)) == [0]
    assert values(routes.try_out(0, 0.9, 0.3)) == [50]
    assert values(play(routes, (0.4, {"height": 3.0}))) == [1.0]


def test_a_trial_ends_with_its_route() -> None:
    routes = RouteMap(patch(height(), note()))
    routes.try_out(1, 0.9, 0.0, is_alone=True)
    edited = patch(height())
    assert values(routes.settle(edited, edited.routes)) == [0]
    assert values(play(routes, (0.4, {"height": 3.0}))) == [1.0]


def test_a_note_that_is_tried_ends_with_the_trial_and_with_everything() -> None:
    for end in (RouteMap.end_try, RouteMap.release_all, RouteMap.reset):
        routes = RouteMap(patch(note()))
        routes.try_out(0, 0.9, 0.0)
        assert end(routes) == [MidiSend(destination="synth", bytes=(0x82, 60, 0))]


def test_while_one_route_is_tried_alone_all_others_are_silent() -> None:
    routes = RouteMap(patch(height(), controller(), note(), is_wekinator=True))
    play(routes, (0.0, up(1.0)))
    assert routes.try_out(1, 0.0, 0.0, is_alone=True) == [
        MidiSend(destination="synth", bytes=(0x82, 60, 0)),
        MidiSend(destination="synth", bytes=(0xB0, 7, 0)),
    ]
    assert play(routes, (0.1, {**up(1.0), "height": 3.0})) == []
    routes.end_try()
    assert len(play(routes, (0.2, {"height": 3.0}))) == 3


@pytest.mark.parametrize("threshold", [0.0, 0.005, 0.05, 0.1])
def test_a_note_ends_however_wide_its_band_is(threshold: float) -> None:
    gone = {"posture": {"rest": 1.0, "up": 0.0}}
    there = {"posture": {"rest": 0.0, "up": 1.0}}
    for over in (gone, LOST):
        routes = RouteMap(patch(note(threshold=threshold, hysteresis=0.1)))
        controls = play(routes, (0.0, gone), (0.1, there), *((1.0 + now_s, over) for now_s in range(9)))
        assert [one.bytes[0] & 0xF0 for one in controls if isinstance(one, MidiSend)] == [0x90, 0x80]
