"""Always trained: a new model after every take and every edit of takes, without asking."""

import socket
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from clients import PATIENCE_S, wait_until
from playing import NUMBERS_PATCH, Playing, playing

from instrument import osc


def model_of(instrument: Playing) -> str | None:
    return next(one["model"] for one in instrument.status()["outputs"] if one["name"] == "side")


def wait_for_another(instrument: Playing, model: str | None) -> str:
    wait_until(lambda: model_of(instrument) not in (None, model), "a new model")
    found = model_of(instrument)
    assert found is not None
    return found


def test_every_take_and_every_edit_gives_a_new_model_without_asking(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        first = wait_for_another(instrument, None)
        wait_until(lambda: instrument.status()["running"], "it to play")
        instrument.record_numbers([(0.3 + 0.01 * n, 0.3) for n in range(12)], "side", "left")
        second = wait_for_another(instrument, first)
        instrument.ask("takes/relabel", 5, "side", "right")
        third = wait_for_another(instrument, second)
        instrument.ask("undo")
        wait_for_another(instrument, third)


def test_a_model_that_could_not_be_written_is_trained_again_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instrument.teaching.AGAIN_AFTER_S", 0.5)
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        first = wait_for_another(instrument, None)
        in_the_way = tmp_path / "project" / "models" / "side.safetensors.tmp"
        in_the_way.mkdir()
        instrument.record_numbers([(0.3 + 0.01 * n, 0.3) for n in range(12)], "side", "left")
        wait_until(lambda: "cannot be written" in str(instrument.status()["coaching"]), "the complaint")
        assert model_of(instrument) == first
        in_the_way.rmdir()
        wait_for_another(instrument, first)


def test_what_plays_although_its_takes_are_gone_is_said(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        instrument.ask("train")
        model = model_of(instrument)
        instrument.ask("takes/delete_all")

        def advice() -> str:
            return " ".join(str(one) for one in instrument.status()["coaching"].values())

        wait_until(lambda: "until then it plays what it learned before" in advice(), "what is said")
        assert "no takes to learn from" in advice()
        assert model_of(instrument) == model


def test_a_patch_can_turn_that_off(tmp_path: Path) -> None:
    with playing(tmp_path / "project", NUMBERS_PATCH + "[training]\nalways = false\n") as instrument:
        instrument.teach_sides()
        assert not instrument.status()["trainer"]["training"]
        instrument.ask("train")
        model = model_of(instrument)
        instrument.ask("undo")
        assert not instrument.status()["trainer"]["training"]
        assert model_of(instrument) == model


def test_a_training_that_was_asked_for_is_answered_though_a_take_comes_in(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        instrument.ask("train")
        instrument.client.send("/instrument/train")
        instrument.client.send("/instrument/takes/delete", 4)
        answers = {values[0]: address for address, values in islice(instrument.client.messages(20.0), 2)}
        assert answers == {"/instrument/takes/delete": "/done", "/instrument/train": "/done"}


def test_what_a_training_of_one_output_cuts_short_is_done_afterwards(tmp_path: Path) -> None:
    with (
        playing(tmp_path / "project", has_trainer=False) as instrument,
        socket.socket(type=socket.SOCK_DGRAM) as trainer,
    ):
        trainer.bind(("127.0.0.1", 0))
        trainer.settimeout(0.2)
        in_hand = 0

        def told(wanted: str) -> str:
            """The outputs of the next such message to the trainer, which takes the job on."""
            nonlocal in_hand
            for _ in range(round(PATIENCE_S / 0.2)):
                instrument.client.send("/instrument/trainer/hello", trainer.getsockname()[1], 111, in_hand)
                with suppress(TimeoutError):
                    ((address, (number, *rest)),) = osc.decode(trainer.recv(65536))
                    if address == wanted:
                        in_hand = int(number)
                        return str(rest[-1])
            raise AssertionError(f"no {wanted}")

        instrument.record_numbers([(0.1, 0.2)] * 12, "side", "left", "amount", 0.0)
        assert told("/train") == ""
        instrument.client.send("/instrument/train", "side")
        assert told("/train") == "side"
        assert instrument.ask("coaching") == ["{}"]
        instrument.client.send("/instrument/trainer/done", in_hand, "{}")
        assert told("/train") == ""


def test_a_class_that_is_allowed_again_is_learned_again(tmp_path: Path) -> None:
    def classes() -> list[str]:
        found = instrument.status()["outputs"][0]
        return list(found["classes"]) if found["running"] else []

    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        instrument.ask("patch/set", "output.1.classes", '["left", "right", "middle"]')
        instrument.record_numbers([(0.45, 0.5)] * 12, "side", "middle")
        wait_until(lambda: classes() == ["left", "right", "middle"], "three classes")
        instrument.ask("patch/set", "output.1.classes", '["left", "right"]')
        wait_until(lambda: classes() == ["left", "right"], "two classes")
        instrument.ask("patch/set", "output.1.classes", '["right", "middle", "left"]')
        wait_until(lambda: sorted(classes()) == ["left", "middle", "right"], "three classes again")


def test_what_is_known_of_an_output_is_forgotten_when_it_is_edited(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        wait_until(lambda: len(instrument.status()["coaching"]) == 2, "the coaching")
        instrument.ask("patch/set", "training.always", "false")
        instrument.ask("patch/set", "output.1.classes", '["up", "down"]')
        assert list(instrument.status()["coaching"]) == ["amount"]
        assert not instrument.status()["outputs"][0]["running"]


def test_stopping_on_purpose_is_respected(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.ask("run", 0)
        instrument.teach_sides()
        wait_for_another(instrument, None)
        assert not instrument.status()["running"]
