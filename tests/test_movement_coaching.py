"""What to record next of movements."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from movements import circle, held, still, zigzag
from test_movement import PATCH, TAKES, dataset, take

from instrument.models.fitting import Cancelled
from instrument.models.following import MovementTake
from instrument.movement_coaching import coach_movements

THIRD = take(held(circle(1.1, seed=5)), 0)


def report(takes: tuple[MovementTake, ...]) -> dict[str, Any]:
    said = coach_movements(PATCH, PATCH.outputs[0], dataset(takes), [], trimmed_s={})
    json.dumps(said, allow_nan=False)
    return said


def advice(takes: tuple[MovementTake, ...]) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in report(takes)["advice"]}


def test_movements_are_scored_by_takes_that_were_not_learned_from() -> None:
    said = report(TAKES)
    assert said["by_take"]["of"] == "takes"
    assert np.sum(said["by_take"]["confusion"]) == len(TAKES)
    assert said["is_ready"]


def test_a_movement_with_a_single_take_is_named() -> None:
    assert advice(TAKES[:3])["few"]["evidence"] == {"class": "zigzag", "takes": 1}


def test_a_movement_of_which_no_take_was_held_out_has_no_recall() -> None:
    by_take = report(TAKES[:3])["by_take"]
    assert by_take["recall"] == {"circle": 1.0, "zigzag": None}
    assert by_take["confusion"] == [[2, 0], [0, 0]]


def test_a_take_of_another_movement_is_found_and_its_label_guessed() -> None:
    found = advice((*TAKES, THIRD, take(held(zigzag(1.2, seed=20)), 0)))
    assert found["outlier"]["evidence"] == {"take": 6, "class": "circle", "looks_like": "zigzag", "relabel": "zigzag"}


def test_a_take_that_is_too_short_to_follow_is_named_once() -> None:
    said = advice((*TAKES, THIRD, take(zigzag(0.2), 0)))
    assert "outlier" not in said
    found = advice((*TAKES, take(circle(0.2), 0)))["length"]
    assert found["evidence"]["take"] == 5
    assert "too short" in found["text"]


def test_a_take_of_another_length_than_the_others_is_named() -> None:
    found = advice((*TAKES, take(circle(5.0), 0)))["length"]
    assert found["evidence"]["take"] == 5
    assert "the others of 'circle' about 2.0 s" in found["text"]


@pytest.mark.parametrize("others", [0, 4])
def test_a_take_in_which_nothing_moves_is_named_alone(others: int) -> None:
    found = report((take(still(2.0, np.zeros(2)), 0), *TAKES[:others]))["advice"]
    (said,) = [one for one in found if one["kind"] != "few"]
    assert said["text"] == "nothing moves in take 1 of 'circle'; delete it, or record the movement again"


def test_a_movement_that_is_small_beside_the_others_is_not_taken_for_none() -> None:
    small = tuple(take(held(circle(1.0, size=0.03, seed=seed)), 0) for seed in (3, 4))
    found = report((*small, *(one for one in TAKES if one.target == 1)))["advice"]
    assert not [one for one in found if "nothing moves" in one["text"]]


def test_a_single_movement_is_not_scored() -> None:
    circles = replace(dataset(TAKES[::2]), classes=("circle",))
    said = coach_movements(PATCH, PATCH.outputs[0], circles, [], trimmed_s={})
    assert "nothing can be held out" in said["not_scored"]


def test_a_new_job_cuts_it_short() -> None:
    with pytest.raises(Cancelled):
        coach_movements(PATCH, PATCH.outputs[0], dataset(), [], trimmed_s={}, is_cancelled=lambda: True)
