"""Routes of trigger outputs: what is sent when a movement begins, counts as played, goes on and ends."""

from pathlib import Path

import numpy as np
import pytest

from instrument.mapping import RouteMap
from instrument.patch import PatchError
from instrument.patch_file import parse_patch
from instrument.signals import Control, MidiSend, MovementEvent, OscSend, Prediction, TriggerPrediction

HEAD = """
[wekinator]
outputs = false
[[output]]
name = "move"
kind = "trigger"
classes = ["circle", "zigzag"]
[destination.synth]
midi = "somewhere"
"""
NOTE = '[[route]]\nfrom = "move.circle"\nto = "synth"\nmidi = "note"\nnumber = 60\n'


def routes(*tables: str, head: str = HEAD) -> RouteMap:
    return RouteMap(parse_patch("\n".join([head, *tables]), Path("patch.toml")))


def event(what: str, movement: str = "circle", velocity: float = 0.5, onset_s: float = 0.0) -> MovementEvent:
    return MovementEvent(what=what, movement=movement, onset_s=onset_s, velocity=velocity)


def seen(*events: MovementEvent, current: str | None = None, progress: float = 0.0) -> Prediction:
    output = TriggerPrediction(
        classes=("circle", "zigzag"),
        confidences=np.array([0.75, 0.25], dtype=np.float32),
        current=current,
        progress=progress,
        events=events,
    )
    return Prediction(frame_number=0, captured_at_s=0.0, outputs={"move": output}, is_tracked=True)


NOBODY = Prediction(frame_number=0, captured_at_s=0.0, outputs={}, is_tracked=False)


def osc(controls: list[Control]) -> list[tuple[str, tuple[float | int | str, ...]]]:
    return [(one.address, one.arguments) for one in controls if isinstance(one, OscSend)]


def midi(controls: list[Control]) -> list[str]:
    return [bytes(one.bytes).hex(" ") for one in controls if isinstance(one, MidiSend)]


def test_a_movement_played_sends_its_name_and_velocity() -> None:
    one = routes('[[route]]\nfrom = "move"\nosc = "/move"')
    assert osc(one.update(seen(event("begin")), 0.0)) == []
    assert osc(one.update(seen(event("hit")), 0.1)) == [("/move", ("circle", 0.5))]


def test_a_route_of_one_movement_sends_its_velocity_and_nothing_of_others() -> None:
    one = routes('[[route]]\nfrom = "move.zigzag"\nosc = "/zigzag"\nrange = [0, 10]')
    assert osc(one.update(seen(event("hit"), event("hit", "zigzag")), 0.0)) == [("/zigzag", (5.0,))]


def test_begin_and_end_send_the_name() -> None:
    one = routes(
        '[[route]]\nfrom = "move"\nosc = "/begin"\nwhen = "begin"',
        '[[route]]\nfrom = "move"\nosc = "/end"\nwhen = "end"',
    )
    assert osc(one.update(seen(event("begin")), 0.0)) == [("/begin", ("circle",))]
    assert osc(one.update(seen(event("end")), 1.0)) == [("/end", ("circle",))]


def test_where_one_movement_ends_as_another_begins_the_end_is_sent_first() -> None:
    one = routes(
        '[[route]]\nfrom = "move"\nosc = "/begin"\nwhen = "begin"',
        '[[route]]\nfrom = "move"\nosc = "/end"\nwhen = "end"',
    )
    one.update(seen(event("begin", "zigzag")), 0.0)
    both = seen(event("end", "zigzag"), event("begin", onset_s=1.0))
    assert osc(one.update(both, 1.0)) == [("/end", ("zigzag",)), ("/begin", ("circle",))]


def test_progress_is_a_controller_that_falls_back() -> None:
    one = routes('[[route]]\nfrom = "move.circle"\nto = "synth"\nmidi = "cc"\nnumber = 1')
    assert midi(one.update(seen(current="circle", progress=0.5), 0.0)) == ["b0 01 40"]
    assert midi(one.update(seen(current="zigzag", progress=0.9), 0.1)) == ["b0 01 00"]


def test_a_note_has_the_velocity_and_ends_after_its_length() -> None:
    one = routes(NOTE)
    assert midi(one.update(seen(event("hit", velocity=1.0)), 0.0)) == ["90 3c 7f"]
    assert midi(one.update(seen(), 0.1)) == []
    assert midi(one.update(seen(), 0.25)) == ["80 3c 00"]


def test_a_note_ends_after_its_length_although_no_frame_comes() -> None:
    one = routes(NOTE)
    one.update(seen(event("hit")), 0.0)
    assert midi(one.due(0.1)) == []
    assert midi(one.due(0.3)) == ["80 3c 00"]


def test_a_note_of_no_length_ends_with_its_movement() -> None:
    one = routes(NOTE + "length_s = 0")
    one.update(seen(event("begin"), event("hit")), 0.0)
    assert midi(one.update(seen(), 5.0)) == []
    assert midi(one.update(seen(event("end")), 6.0)) == ["80 3c 00"]


def test_the_slowest_movement_still_sounds() -> None:
    assert midi(routes(NOTE).update(seen(event("hit", velocity=0.0)), 0.0)) == ["90 3c 01"]


def test_a_note_that_still_sounds_is_struck_again() -> None:
    one = routes(NOTE + "length_s = 9")
    one.update(seen(event("hit", onset_s=1.0)), 0.0)
    assert midi(one.update(seen(event("hit", onset_s=2.0)), 1.0)) == ["80 3c 00", "90 3c 40"]
    assert midi(one.release_all()) == ["80 3c 00"]


def test_a_lost_body_ends_notes_and_movements_after_the_hold() -> None:
    one = routes(NOTE + "length_s = 0", '[[route]]\nfrom = "move"\nosc = "/end"\nwhen = "end"')
    one.update(seen(event("begin"), event("hit")), 0.0)
    assert one.update(NOBODY, 0.5) == []
    given = one.update(NOBODY, 1.6)
    assert midi(given) == ["80 3c 00"]
    assert osc(given) == [("/end", ("circle",))]
    assert osc(one.update(seen(event("end")), 2.0)) == []


def test_muting_ends_a_note_that_sounds() -> None:
    one = routes(NOTE + "length_s = 0")
    one.update(seen(event("hit")), 0.0)
    assert midi(one.mute({0})) == ["80 3c 00"]


def test_muting_tells_the_end_of_a_movement_under_way_at_once_and_only_once() -> None:
    one = routes('[[route]]\nfrom = "move"\nwhen = "end"\nosc = "/end"')
    one.update(seen(event("begin", "zigzag")), 0.0)
    assert osc(one.mute({0})) == [("/end", ("zigzag",))]
    assert osc(one.update(seen(event("end", "zigzag")), 0.1)) == []
    one.mute(set())
    assert osc(one.update(NOBODY, 60.0)) == []
    one.update(seen(event("begin", onset_s=61.0)), 61.0)
    assert osc(one.update(seen(event("end", onset_s=61.0)), 62.0)) == [("/end", ("circle",))]


def test_trying_a_movement_out_plays_it_each_time_it_goes_up() -> None:
    one = routes('[[route]]\nfrom = "move.circle"\nosc = "/circle"')
    assert len([share for share in (0.0, 0.6, 0.9, 0.2, 0.5, 0.4, 0.8) if osc(one.try_out(0, share, 0.0))]) == 3


def test_trying_a_route_out_plays_and_ends_its_note_once() -> None:
    one = routes(NOTE + "length_s = 0")
    sent = [midi(one.try_out(0, share, 0.1 * number)) for number, share in enumerate((0.0, 0.6, 0.9, 0.2))]
    assert sent == [[], ["90 3c 4d"], [], ["80 3c 00"]]
    assert midi(one.end_try()) == []


def test_alone_it_speaks_as_wekinators_dtw() -> None:
    one = routes(head=HEAD.replace("false", "true"))
    given = osc(one.update(seen(event("hit", "zigzag"), current="zigzag"), 0.0))
    assert given == [("/wek/outputs", (0.25, 0.75)), ("/output_2", ())]


def test_beside_others_it_is_the_number_of_the_movement_under_way() -> None:
    head = HEAD.replace("false", "true").replace(
        "[destination", '[[output]]\nname = "lift"\nkind = "continuous"\n[destination'
    )
    one = routes(head=head)
    assert osc(one.update(seen(current="zigzag"), 0.0)) == [("/wek/outputs", (2.0, 0.0))]
    assert osc(one.update(seen(), 0.1)) == [("/wek/outputs", (0.0, 0.0))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[route]]\nfrom = "move"\nosc = "/move"\nwhen = "midway"', "hit, begin, end, progress"),
        ('[[route]]\nfrom = "move.circle"\nto = "synth"\nmidi = "note"\nwhen = "end"', 'notes on "hit" or "begin"'),
        ('[[route]]\nfrom = "move"\nto = "synth"\nmidi = "program"', 'notes on "hit" or "begin"'),
        ('[[route]]\nfrom = "move"\nto = "synth"\nmidi = "note"', "one class, as output.class"),
        ('[[route]]\nfrom = "move.square"\nosc = "/square"', "one of circle, zigzag"),
        ('[[route]]\nfrom = "move"\nosc = "/move"\nlength_s = 1', "only with notes of a trigger output"),
        (NOTE + "range = [0, 127]", "1..127"),
        ('[[output]]\nname = "side"\nat = 0.5', 'only with kind = "trigger"'),
        ('[[output]]\nname = "side"\nkind = "trigger"\nclasses = ["none"]', "movements only"),
        ('[[output]]\nname = "side"\nkind = "trigger"\nreject = true', "takes of 'none' teach"),
        ('[[output]]\nname = "side"\nkind = "trigger"\nlearner = "knn"', "for a trigger output: network"),
        (
            '[[output]]\nname = "side"\n[[route]]\nfrom = "side"\nosc = "/side"\nwhen = "hit"',
            "only with a trigger output",
        ),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(PatchError) as error:
        routes(text)
    assert said in str(error.value)


def test_a_movement_under_way_ends_when_its_output_is_switched_off_though_nobody_is_seen() -> None:
    held = "when_lost = { then = 'hold' }"
    one = routes(
        f"[[route]]\nfrom = 'move'\nosc = '/end'\nwhen = 'end'\n{held}",
        f"{NOTE}when = 'begin'\nlength_s = 0\n{held}",
    )
    assert midi(one.update(seen(event("begin"), current="circle"), 0.0)) == ["90 3c 64"]
    assert one.update(NOBODY, 9.0) == []
    ended = one.let_go_of({"move"})
    assert osc(ended) == [("/end", ("circle",))]
    assert midi(ended) == ["80 3c 00"]
    assert one.update(seen(event("end")), 10.0) == []  # the model says it too, once somebody is seen


def test_every_movement_that_a_lost_body_cuts_off_is_said_to_end() -> None:
    one = routes('[[route]]\nfrom = "move"\nosc = "/end"\nwhen = "end"')
    sent = []
    for number, movement in enumerate(("circle", "zigzag", "zigzag")):
        one.update(seen(event("begin", movement, onset_s=10.0 * number)), 10.0 * number)
        for now_s in range(1, 9):
            sent += osc(one.update(NOBODY, 10.0 * number + now_s))
    assert sent == [("/end", ("circle",)), ("/end", ("zigzag",)), ("/end", ("zigzag",))]


def test_a_note_that_is_now_to_last_as_long_as_its_movement_ends_if_that_is_over() -> None:
    one = routes(NOTE + "length_s = 5")
    one.update(seen(event("begin"), event("hit"), event("end")), 0.0)
    lasting = parse_patch("\n".join([HEAD, NOTE + "length_s = 0"]), Path("patch.toml"))
    assert one.settle(lasting, lasting.routes) == []
    assert midi(one.due(1.0)) == ["80 3c 00"]
