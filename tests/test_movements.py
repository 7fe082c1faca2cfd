"""A performer teaches two movements over OSC and plays them: one event each, at any speed, and no stuck note."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from clients import wait_until
from movements import HZ, circle, held, stream, zigzag
from playing import Playing, playing

from instrument.models.movement_model import load_movements

PATCH = """
name = "Movements"
[listen]
source = "osc"
inputs = 2
[[output]]
name = "move"
kind = "trigger"
classes = ["circle", "zigzag"]
[destination.synth]
midi = "somewhere"
[[route]]
from = "move"
osc = "/move"
[[route]]
from = "move"
osc = "/begin"
when = "begin"
[[route]]
from = "move"
osc = "/end"
when = "end"
[[route]]
from = "move.circle"
osc = "/circle/progress"
when = "progress"
[[route]]
from = "move.circle"
to = "synth"
midi = "note"
number = 60
[[route]]
from = "move.zigzag"
to = "synth"
midi = "note"
number = 62
length_s = 0
"""


def show(instrument: Playing, places: np.ndarray) -> None:
    """Moves the point through these places, 30 in a second."""
    started_s = time.monotonic()
    for number, place in enumerate(places):
        time.sleep(max(0.0, started_s + number / HZ - time.monotonic()))
        instrument.inputs(*place)


def record(instrument: Playing, places: np.ndarray, movement: str) -> None:
    instrument.ask("record", "move", movement)
    show(instrument, places)
    instrument.ask("record/stop")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Playing, list[tuple[str, float]]]]:
    """An instrument that was taught two movements, and what it said of four played at different speeds."""
    with playing(tmp_path_factory.mktemp("movements") / "piece", PATCH) as instrument:
        record(instrument, held(circle(1.0), 0.4, 0.4), "circle")
        record(instrument, held(zigzag(1.0, seed=3), 0.4, 0.4), "zigzag")
        wait_until(lambda: instrument.status()["outputs"][0]["running"], "the first model")
        instrument.ask("train")
        instrument.client.send("/instrument/subscribe", "movement")
        show(
            instrument,
            stream([circle(1.0, seed=5), zigzag(0.5, seed=6), circle(2.0, seed=7), zigzag(1.0, seed=8)], 0.7),
        )
        wait_until(lambda: len(instrument.heard.messages("/end")) >= 4, "four movements to end", timeout_s=3.0)
        yield instrument, [(str(name), float(velocity)) for name, velocity in instrument.heard.messages("/move")]


Taught = tuple[Playing, list[tuple[str, float]]]


def test_each_movement_is_played_once_at_half_to_double_speed(taught: Taught) -> None:
    assert [name for name, _ in taught[1]] == ["circle", "zigzag", "circle", "zigzag"]


def test_velocity_tells_how_fast_beside_the_takes(taught: Taught) -> None:
    usual, fast, slow, _ = (velocity for _, velocity in taught[1])
    assert slow < usual < fast
    assert usual == pytest.approx(0.5, abs=0.15)


def test_every_movement_played_begins_and_ends(taught: Taught) -> None:
    heard = taught[0].heard
    assert len(heard.messages("/begin")) == len(heard.messages("/end")) >= 4


def test_progress_rises_while_a_movement_happens_and_falls_back(taught: Taught) -> None:
    values = [float(one) for (one,) in taught[0].heard.messages("/circle/progress")]
    assert max(values) > 0.85
    assert values[-1] == 0.0


def test_notes_have_the_velocity_and_end(taught: Taught) -> None:
    sent = [bytes.fromhex(one[1]) for one in taught[0].midi.told if isinstance(one, tuple)]
    ons = [one for one in sent if one[0] & 0xF0 == 0x90]
    offs = [one for one in sent if one[0] & 0xF0 == 0x80]
    assert [one[1] for one in ons] == [60, 62, 60, 62]
    assert len(offs) == 4
    assert ons[0][2] == pytest.approx(1 + 126 * taught[1][0][1], abs=1)


def test_takes_are_trimmed_by_themselves(taught: Taught) -> None:
    model = load_movements(taught[0].engine.project.model_file("move"))
    assert all(0.3 < one < 1.3 for one in model.training["trimmed_s"].values())


def test_another_way_of_counting_needs_no_training(taught: Taught) -> None:
    taught[0].ask("patch/set", "output.1.at", 0.6)
    assert taught[0].status()["outputs"][0]["running"]


def test_a_model_of_other_features_is_refused_with_the_reason_and_learned_again(taught: Taught) -> None:
    instrument = taught[0]
    before = instrument.status()["outputs"][0]["model"]
    instrument.ask("patch/set", "features.window_s", 0.7)
    assert "another meaning" in str(instrument.status()["outputs"][0]["why_not"])
    wait_until(lambda: instrument.status()["outputs"][0]["running"], "a model that fits again")
    assert instrument.status()["outputs"][0]["model"] != before
