import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import PATIENCE_S, RecordingMidi, wait_until
from playing import BODY_PATCH, NUMBERS_PATCH, Playing, body_project, notes, playing

from instrument import engine
from instrument.client import Client, CommandFailed
from instrument.engine import Engine, EngineOptions
from instrument.patch import PatchError
from instrument.server import PortInUse
from instrument.signals import Features, Prediction

ROW = [(0.5, 0.5)] * 5


@pytest.fixture
def instrument(tmp_path: Path) -> Iterator[Playing]:
    with playing(tmp_path / "project") as instrument:
        yield instrument


def test_recorded_takes_are_listed_with_what_they_teach(instrument: Playing) -> None:
    take, frames = instrument.record_numbers(ROW, "side", "left")
    assert (take, frames) == (1, 5)
    [row] = instrument.takes()
    assert row["targets"] == {"side": "left"}
    assert row["frames"] == 5


def test_what_was_shown_is_recognised_after_training(instrument: Playing) -> None:
    instrument.teach_sides()
    summary = json.loads(str(instrument.ask("train")[0]))
    assert summary
    for numbers, side, amount in (((0.12, 0.2), 1.0, 0.0), ((0.85, 0.9), 2.0, 1.0)):
        instrument.inputs(*numbers)
        said = (side, pytest.approx(amount, abs=0.2))
        wait_until(lambda said=said: instrument.heard.messages("/wek/outputs")[-1:] == [said], f"{said}")


def test_listing_takes_changes_nothing_and_trains_nothing(instrument: Playing) -> None:
    instrument.teach_sides()
    instrument.ask("train")
    model = instrument.status()["outputs"][0]["model"]
    instrument.takes()
    assert not instrument.engine.teaching._is_stale
    assert instrument.status()["outputs"][0]["model"] == model


def test_training_again_with_another_class_takes_over(instrument: Playing) -> None:
    instrument.teach_sides()
    instrument.ask("train")
    instrument.ask("output/classes", "side", "left", "right", "middle")
    for _ in range(2):
        instrument.record_numbers([(0.5, 5.0 + 0.01 * n) for n in range(12)], "side", "middle")
    instrument.ask("train", "side")
    assert instrument.status()["outputs"][0]["classes"] == ["left", "right", "middle"]
    instrument.inputs(0.5, 5.05)
    wait_until(lambda: [m[0] for m in instrument.heard.messages("/wek/outputs")][-1:] == [3.0], "the new class")


def test_training_without_takes_says_what_to_do(instrument: Playing) -> None:
    with pytest.raises(CommandFailed, match=r"(?i)record|take"):
        instrument.ask("train")


def test_a_model_that_no_longer_fits_is_silent_and_says_why(instrument: Playing) -> None:
    instrument.teach_sides()
    instrument.ask("train")
    instrument.ask("patch/set", "output.1.features", '["number_velocities"]')
    [side, amount] = instrument.status()["outputs"]
    assert not side["running"]
    assert "features" in side["why_not"]
    assert amount["running"]


def test_a_project_with_takes_but_no_model_trains_by_itself(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
    with playing(tmp_path / "project") as instrument:
        wait_until(lambda: all(one["running"] for one in instrument.status()["outputs"]), "models")


def test_trained_models_play_at_the_next_start(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        instrument.ask("train")
    with playing(tmp_path / "project", has_trainer=False) as instrument:
        assert instrument.status()["running"]
        instrument.inputs(0.9, 0.9)
        assert instrument.heard.wait_for("/wek/outputs")[0][0] == 2.0


def test_a_model_file_that_is_damaged_is_not_run(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        instrument.ask("train")
    (tmp_path / "project" / "models" / "side.safetensors").write_bytes(b"\x80\x04 not weights")
    with playing(tmp_path / "project", has_trainer=False) as instrument:
        [side, amount] = instrument.status()["outputs"]
        assert (side["running"], amount["running"]) == (False, True)


def test_undo_while_recording_takes_back_what_is_being_recorded(instrument: Playing) -> None:
    kept, _ = instrument.record_numbers(ROW, "side", "left")
    instrument.ask("record", "side", "right")
    assert instrument.ask("undo") == ["the recording"]  # no frame had come
    instrument.ask("record", "side", "right")
    instrument.inputs(0.8, 0.9, count=5)
    wait_until(lambda: instrument.status()["recording"]["frames"] >= 5, "the numbers to be recorded")
    assert instrument.ask("undo")[0] != "the recording"
    assert [row["id"] for row in instrument.takes()] == [kept]
    assert instrument.status()["recording"]["state"] == "idle"
    instrument.ask("undo")
    assert instrument.takes() == []


def test_undo_and_redo_take_a_recording_out_and_back_in(instrument: Playing) -> None:
    instrument.record_numbers(ROW, "side", "left")
    instrument.record_numbers(ROW, "side", "right")
    instrument.ask("undo")
    assert [row["id"] for row in instrument.takes()] == [1]
    instrument.ask("redo")
    assert [row["id"] for row in instrument.takes()] == [1, 2]
    assert instrument.ask("redo") == ["nothing to redo"]


def test_takes_are_deleted_relabelled_and_trimmed(instrument: Playing) -> None:
    for _ in range(3):
        instrument.record_numbers(ROW, "side", "left")
    assert instrument.ask("takes/delete", 1) == [1]
    instrument.ask("takes/relabel", 2, "side", "right")
    instrument.ask("takes/trim", 3, 1, 2)
    assert [(row["id"], row["targets"]["side"], row["frames"]) for row in instrument.takes()] == [
        (2, "right", 5),
        (3, "left", 2),
    ]
    assert instrument.ask("takes/delete_all") == [2]
    assert instrument.takes() == []


def test_several_takes_are_relabelled_as_one_step_of_undo(instrument: Playing) -> None:
    for _ in range(3):
        instrument.record_numbers(ROW, "side", "left")
    assert instrument.ask("takes/relabel_many", "side", "right", 1, 3) == [2]
    assert [row["targets"]["side"] for row in instrument.takes()] == ["right", "left", "right"]
    instrument.ask("undo")
    assert [row["targets"]["side"] for row in instrument.takes()] == ["left", "left", "left"]


def test_a_wrong_class_or_value_or_output_is_refused_with_what_is_allowed(instrument: Playing) -> None:
    with pytest.raises(CommandFailed, match="allowed: left, right"):
        instrument.ask("record", "side", "up")
    with pytest.raises(CommandFailed, match=r"allowed: a number 0\.\.1"):
        instrument.ask("record", "amount", 2.0)
    with pytest.raises(CommandFailed, match="this patch has: side, amount"):
        instrument.ask("record", "nose", "left")
    with pytest.raises(CommandFailed, match="nothing is being recorded"):
        instrument.ask("record/stop")


def test_a_take_without_a_frame_is_refused(instrument: Playing) -> None:
    instrument.ask("record", "side", "left")
    with pytest.raises(CommandFailed, match="no frame"):
        instrument.ask("record/stop")


def test_a_timed_take_ends_by_itself(instrument: Playing) -> None:
    instrument.client.send("/instrument/record/timed", 0.0, 0.2, "side", "left")
    answers = instrument.client.messages(20.0)
    for _ in range(10):
        instrument.inputs(0.1, 0.1)
    address, values = next(answers)
    assert (address, values[:2]) == ("/done", ["/instrument/record/timed", 1])


def test_recording_without_arguments_teaches_the_outputs_not_masked(instrument: Playing) -> None:
    instrument.ask("target", "side", "right")
    instrument.ask("record/mask", "amount", 0)
    instrument.record_numbers(ROW)
    assert instrument.takes()[0]["targets"] == {"side": "right"}


def test_random_values_are_heard_and_a_take_teaches_them(instrument: Playing) -> None:
    (said,) = instrument.ask("randomise")
    amount = float(str(said).removeprefix("amount "))
    assert instrument.heard.wait_for("/wek/outputs")[-1][1] == pytest.approx(amount, abs=1e-4)
    instrument.record_numbers([(0.1, 0.2)] * 5)
    assert instrument.takes()[0]["targets"] == {"amount": pytest.approx(amount, abs=1e-4)}
    assert not instrument.status()["running"]
    instrument.ask("target", "side", "right")
    instrument.record_numbers([(0.1, 0.2)] * 5)
    assert instrument.takes()[1]["targets"] == {"side": "right", "amount": pytest.approx(amount, abs=1e-4)}


def test_once_it_plays_on_a_take_teaches_all_again(instrument: Playing) -> None:
    instrument.ask("randomise")
    instrument.ask("run", 1)
    instrument.record_numbers([(0.1, 0.2)] * 5)
    assert instrument.takes()[0]["targets"].keys() == {"side", "amount"}


def test_what_an_output_sent_is_let_go_of_when_an_edit_silences_it(tmp_path: Path) -> None:
    routes = """
[training]
always = false
[[route]]
from = "side"
osc = "/side"
[[route]]
from = "side.right"
osc = "/right"
"""
    with playing(tmp_path / "project", NUMBERS_PATCH + routes) as instrument:
        instrument.teach_sides()
        instrument.ask("train")
        instrument.inputs(0.85, 0.9)
        assert instrument.heard.wait_for("/right")[-1][0] > 0.5
        instrument.ask("patch/set", "output.1.inputs", "[1]")
        assert not instrument.status()["outputs"][0]["running"]
        wait_until(lambda: instrument.heard.messages("/right")[-1] == (0.0,), "the level to fall")
        wait_until(lambda: instrument.heard.messages("/side")[-1] == ("none", 0.0), "no class")


def test_random_values_are_for_continuous_outputs(instrument: Playing) -> None:
    with pytest.raises(CommandFailed, match="output 'side' is class"):
        instrument.ask("randomise", "side")


def test_an_edited_patch_plays_on_and_keeps_its_comments(tmp_path: Path) -> None:
    with playing(tmp_path / "project", "# mine\n" + NUMBERS_PATCH) as instrument:
        instrument.ask("patch/add", "route", json.dumps({"from": "amount", "osc": "/amount"}))
        instrument.ask("patch/set", "route.1.range", "[0, 10]")
        instrument.ask("patch/set", "route.1.range.2", 20.0)
        text = (tmp_path / "project" / "patch.toml").read_text(encoding="utf-8")
        assert text.startswith("# mine")
        [route] = json.loads(str(instrument.ask("routes")[0]))
        assert (route["osc"], route["high"]) == ("/amount", 20.0)


def test_an_edit_that_is_wrong_changes_nothing(instrument: Playing) -> None:
    before = instrument.engine.project.patch_file.read_text(encoding="utf-8")
    with pytest.raises(CommandFailed, match="kind"):
        instrument.ask("patch/set", "output.1.kind", "magic")
    assert instrument.engine.project.patch_file.read_text(encoding="utf-8") == before
    assert instrument.status()["outputs"][0]["kind"] == "class"


def test_another_project_can_be_opened_and_a_broken_one_leaves_this_one_playing(
    instrument: Playing, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "patch.toml").write_text(NUMBERS_PATCH.replace("Numbers", "Other"), encoding="utf-8")
    assert instrument.ask("project/open", str(other)) == ["Other"]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "patch.toml").write_text("name = 3", encoding="utf-8")
    with pytest.raises(CommandFailed, match="line 1"):
        instrument.ask("project/open", str(tmp_path / "broken"))
    assert instrument.status()["patch"] == "Other"
    instrument.record_numbers(ROW, "side", "left")
    assert len(instrument.takes()) == 1


def test_telemetry_reaches_who_subscribed_and_nobody_else(instrument: Playing) -> None:
    assert instrument.ask("subscribe", "frame", "features") == [10]
    instrument.inputs(0.25, 0.5)
    seen = {}
    for address, values in instrument.client.messages(20.0):
        seen[address] = values
        if len(seen) == 2:
            break
    assert seen["/instrument/frame"] == [0, 1]
    assert seen["/instrument/features"] == [b"\x00\x00\x80\x3e\x00\x00\x00\x3f"]
    with pytest.raises(CommandFailed, match="no topic"):
        instrument.ask("subscribe", "secrets")


def test_the_wrong_number_of_inputs_is_dropped_and_counted(instrument: Playing) -> None:
    instrument.inputs(1.0, 2.0, 3.0)
    wait_until(lambda: instrument.status()["errors"].get("inputs") == 1, "the count")


def test_inputs_settle_how_many_there_are_when_the_patch_leaves_it_open(tmp_path: Path) -> None:
    with playing(tmp_path / "project", NUMBERS_PATCH.replace("inputs = 2", "")) as instrument:
        instrument.inputs(1.0, 2.0, 3.0)
        wait_until(lambda: instrument.status()["source"]["frames"] == 1, "the first inputs")
        instrument.record_numbers([(1.0, 2.0, 3.0)] * 5, "side", "left")
        assert instrument.takes()[0]["frames"] == 5


def test_another_sender_settles_anew_how_many_inputs_there_are_while_no_take_says_so(tmp_path: Path) -> None:
    with playing(tmp_path / "project", NUMBERS_PATCH.replace("inputs = 2", "")) as instrument:
        instrument.inputs(1.0, 2.0, 3.0)
        instrument.inputs(0.5, 0.5, count=engine.MISFITS)
        wait_until(lambda: waiting_numbers(instrument) == engine.MISFITS + 1, "the inputs")
        wait_until(lambda: instrument.engine.patch.listen.inputs == 2, "two inputs")
        instrument.record_numbers(ROW, "side", "left")
        instrument.inputs(1.0, 2.0, 3.0, count=2 * engine.MISFITS)
        wait_until(lambda: instrument.status()["errors"].get("inputs", 0) >= 3 * engine.MISFITS - 1, "the misfits")
        assert instrument.engine.patch.listen.inputs == 2


def test_a_recording_of_numbers_that_do_not_fit_says_what_came(instrument: Playing) -> None:
    instrument.ask("record", "side", "left")
    instrument.inputs(1.0, 2.0, 3.0)
    wait_until(lambda: instrument.status()["errors"].get("inputs"), "the misfit")
    with pytest.raises(CommandFailed, match=r"no frame came .* carried 3 floats, this project has 2 inputs"):
        instrument.ask("record/stop")


def test_a_port_in_use_says_how_to_choose_another(instrument: Playing, tmp_path: Path) -> None:
    port = instrument.engine.server.address[1]
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "patch.toml").write_text(NUMBERS_PATCH, encoding="utf-8")
    with pytest.raises(PortInUse, match=rf"port {port} .*--in-port"):
        Engine(EngineOptions(folder=tmp_path / "second", in_port=port), midi=RecordingMidi())


def test_a_broken_patch_stops_the_start_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="line 2"), playing(tmp_path / "project", "name = 'x'\nnonsense = 1\n"):
        pass


def test_a_note_sounds_while_the_posture_is_held_and_ends_when_the_body_is_lost(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        wait_until(lambda: "90 3c 64" in notes(instrument), "the note")
        wait_until(lambda: "80 3c 00" in notes(instrument), "its end")
        assert notes(instrument)[:2] == ["90 3c 64", "80 3c 00"]


def test_a_note_ends_when_its_class_recalls_a_scene_that_switches_its_output_off(tmp_path: Path) -> None:
    more = """
[destination.synth]
midi = "virtual"
[[route]]
from = "side.right"
midi = "note"
number = 60
when_lost = { then = "hold" }
[[scene]]
name = "quiet"
from = "side.right"
hold_s = 0.05
outputs = ["amount"]
"""
    with playing(tmp_path / "project", NUMBERS_PATCH + more) as instrument:
        instrument.teach_sides()
        instrument.ask("train")

        def is_recalled() -> bool:
            instrument.inputs(0.9, 0.9)
            return instrument.engine.desk.scenes.current == "quiet"

        wait_until(is_recalled, "the scene")
        frames = instrument.status()["source"]["frames"]
        instrument.inputs(0.9, 0.9, count=3)
        wait_until(lambda: instrument.status()["source"]["frames"] >= frames + 3, "more frames")
        assert notes(instrument) == ["90 3c 64", "80 3c 00"]


NOTE_WHILE_THERE = (
    NUMBERS_PATCH.replace('source = "osc"', 'source = "osc"\nquiet_s = 1.5')
    + '[destination.synth]\nmidi = "virtual"\n'
    + '[[route]]\nfrom = "side.right"\nmidi = "note"\nnumber = 60\nwhen_lost = { hold_s = 0 }\n'
)


def test_a_note_ends_when_frames_cannot_be_played_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with playing(tmp_path / "project", NOTE_WHILE_THERE) as instrument:
        instrument.teach_sides()
        instrument.ask("train")
        instrument.inputs(0.9, 0.9, count=5)
        wait_until(lambda: "90 3c" in " ".join(notes(instrument)), "the note")

        def broken(*_: object) -> None:
            raise RuntimeError("nobody thought of this")

        def is_over() -> bool:
            instrument.inputs(0.9, 0.9)
            return notes(instrument)[-1].startswith("80 3c")

        monkeypatch.setattr(instrument.engine.predictor, "predict", broken)
        wait_until(is_over, "its end")
        assert instrument.engine.errors["frame"] > 0


@pytest.mark.parametrize("then", ["nothing", "too few numbers"])
def test_a_note_ends_when_the_numbers_that_held_it_stop(tmp_path: Path, then: str) -> None:
    with playing(tmp_path / "project", NOTE_WHILE_THERE) as instrument:
        instrument.teach_sides()
        instrument.ask("train")
        instrument.inputs(0.9, 0.9, count=5)
        wait_until(lambda: "90 3c" in " ".join(notes(instrument)), "the note")

        def is_over() -> bool:
            if then == "too few numbers":
                instrument.inputs(0.9)
            return notes(instrument)[-1].startswith("80 3c")

        wait_until(is_over, "its end")
        source = instrument.status()["source"]
        if then == "nothing":
            assert source["state"] == "lost"
        else:
            assert source["detail"] == "/wek/inputs carried 1 floats, this project has 2 inputs"
        told = len(notes(instrument))
        instrument.inputs(0.9, 0.9, count=5)
        wait_until(lambda: len(notes(instrument)) > told, "the note again")
        assert instrument.status()["source"]["state"] == "playing"


@pytest.fixture
def frame_by_frame(instrument: Playing, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """As slow as can be: each frame is predicted only when this is released."""
    may = threading.Semaphore(0)
    predict = instrument.engine.predictor.predict

    def slowly(features: Features, is_tracked: bool) -> Prediction:
        assert may.acquire(timeout=PATIENCE_S)
        return predict(features, is_tracked)

    monkeypatch.setattr(instrument.engine.predictor, "predict", slowly)
    return may


def waiting_numbers(instrument: Playing) -> int:
    return int(instrument.engine.source.status().frames)


def test_panic_comes_before_numbers_that_wait(instrument: Playing, frame_by_frame: threading.Semaphore) -> None:
    instrument.ask("run", 1)
    instrument.inputs(0.5, 0.5, count=20)
    wait_until(lambda: waiting_numbers(instrument) == 20, "the numbers to come")
    instrument.client.send("/instrument/panic")
    wait_until(lambda: len(instrument.engine.server.calls) == 1, "the panic to come")
    frame_by_frame.release()  # one frame is under way, and is played to its end
    wait_until(lambda: not instrument.engine.is_running, "silence")
    frame_by_frame.release(20)


def test_numbers_that_wait_too_long_are_dropped_but_not_the_newest(
    instrument: Playing, frame_by_frame: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BACKLOG_S", -PATIENCE_S)  # whatever has come has waited too long
    for count in range(1, 21):
        instrument.inputs(count / 20, 0.5)
    wait_until(lambda: waiting_numbers(instrument) == 20, "the numbers to come")
    frame_by_frame.release(20)
    wait_until(lambda: not instrument.engine.source.is_waiting_since(math.inf), "no number to wait")  # type: ignore[union-attr]
    assert instrument.status()["source"]["dropped"] >= 17
    assert instrument.status()["errors"]["late"] >= 1


def test_numbers_that_are_recorded_are_never_dropped(
    instrument: Playing, frame_by_frame: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BACKLOG_S", -PATIENCE_S)
    frame_by_frame.release(20)
    assert instrument.record_numbers(ROW, "side", "left") == [1, 5]


def test_panic_releases_everything_and_stops(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        wait_until(lambda: "90 3c 64" in notes(instrument), "the note")
        instrument.ask("panic")
        assert "release all" in instrument.midi.told
        assert notes(instrument).count("90 3c 64") == notes(instrument).count("80 3c 00")
        assert not instrument.status()["running"]


def test_the_end_of_the_program_releases_everything(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        wait_until(lambda: "90 3c 64" in notes(instrument), "the note")
    assert notes(instrument).count("90 3c 64") == notes(instrument).count("80 3c 00")
    assert "release all" in instrument.midi.told


def test_a_muted_route_is_silent_and_lets_go(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        wait_until(lambda: "90 3c 64" in notes(instrument), "the note")
        instrument.ask("route/mute", 1, 1)
        told = len(notes(instrument))
        assert notes(instrument).count("90 3c 64") == notes(instrument).count("80 3c 00")
        frames = instrument.status()["source"]["frames"]
        wait_until(lambda: instrument.status()["source"]["frames"] > frames + 65, "the body to come back")
        assert len(notes(instrument)) == told
        with pytest.raises(CommandFailed, match="no route 7"):
            instrument.ask("route/mute", 7, 1)


def test_everybody_who_waits_for_a_take_is_answered_and_nobody_for_another(instrument: Playing) -> None:
    with Client(port=instrument.engine.server.address[1]) as other:
        other.send("/instrument/record/timed", 0.0, 600.0, "side", "left")
        instrument.ask("ping")
        instrument.inputs(0.1, 0.1, count=5)
        wait_until(lambda: instrument.status()["recording"]["frames"] == 5, "the frames")
        assert instrument.ask("record/stop") == [1, 5]
        assert next(other.messages(20.0)) == ("/done", ["/instrument/record/timed", 1, 5])
    assert instrument.record_numbers(ROW, "side", "right") == [2, 5]


def test_a_recording_that_ended_as_another_began_does_not_end_that(instrument: Playing) -> None:
    assert instrument.ask("record", "side", "left") == ["side left", 1]
    assert instrument.ask("record", "side", "right") == ["side right", 2]
    instrument.inputs(0.1, 0.1, count=5)
    wait_until(lambda: instrument.status()["recording"]["frames"] == 5, "the frames")
    with pytest.raises(CommandFailed, match="another one is newer"):
        instrument.ask("record/stop", 1)
    assert instrument.ask("record/stop", 2)[1] == 5


def test_an_edit_that_cannot_be_played_leaves_everything_playing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with playing(body_project(tmp_path / "project"), has_trainer=False) as instrument:
        monkeypatch.setenv("INSTRUMENT_CACHE", str(tmp_path / "no models here"))
        with pytest.raises(CommandFailed, match=r"demo\.mp4 is missing"):
            instrument.ask("patch/set", "listen.source", "demo")
        assert "demo" not in instrument.engine.project.patch_file.read_text(encoding="utf-8")
        frames = instrument.status()["source"]["frames"]
        wait_until(lambda: instrument.status()["source"]["frames"] > frames, "frames")
        assert instrument.status()["errors"] == {}


def test_an_edited_patch_does_not_start_again_what_panic_stopped(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        wait_until(lambda: instrument.status()["running"], "the first training")
        instrument.ask("panic")
        model = instrument.status()["outputs"][0]["model"]
        instrument.ask("patch/set", "output.1.features", '["positions"]')
        wait_until(lambda: instrument.status()["outputs"][0]["model"] not in (None, model), "the new training")
        wait_until(lambda: not instrument.status()["trainer"]["training"], "its end")
        assert not instrument.status()["running"]


def test_a_training_does_not_start_again_what_panic_stopped(instrument: Playing) -> None:
    instrument.teach_sides()
    instrument.ask("train")
    assert instrument.status()["running"]
    with Client(port=instrument.engine.server.address[1]) as other:
        other.send("/instrument/train")
        instrument.ask("panic")
        assert next(other.messages(20.0))[1][0] == "/instrument/train"
    assert not instrument.status()["running"]


def test_mutes_stay_with_their_routes_through_edits(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project"), has_trainer=False) as instrument:
        instrument.ask("patch/add", "route", json.dumps({"from": "posture.up", "osc": "/second"}))
        instrument.ask("patch/add", "route", json.dumps({"from": "posture.up", "osc": "/third"}))
        instrument.ask("route/mute", 3, 1)
        instrument.ask("patch/set", "route.2.curve", 2.0)
        instrument.ask("patch/remove", "route.2")
        routes = json.loads(str(instrument.ask("routes")[0]))
        assert [(one["osc"], one["is_muted"]) for one in routes] == [(None, False), ("/third", True)]
        instrument.ask("patch/remove", "route.2")
        instrument.ask("route/mute", 1, 1)
        assert [one["is_muted"] for one in json.loads(str(instrument.ask("routes")[0]))] == [True]


def test_a_body_patch_does_not_listen_to_numbers(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project"), has_trainer=False) as instrument:
        with pytest.raises(CommandFailed, match="learns from a body"):
            instrument.ask("source", "osc")
        assert instrument.status()["source"]["state"] == "playing"


def test_a_changed_smoothing_is_learned_again_by_itself(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        wait_until(lambda: instrument.status()["outputs"][0]["running"], "the first model")
        instrument.ask("patch/set", "smoothing.beta", 1.7)
        wait_until(lambda: instrument.status()["outputs"][0]["running"], "the model of the changed patch")


def test_an_edit_of_a_route_keeps_source_tracker_and_destinations(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project"), has_trainer=False) as instrument:
        engine = instrument.engine
        before = (engine.source, engine.tracker, engine.outputs)
        instrument.ask("patch/set", "route.1.threshold", 0.6)
        # A take is opened afresh, for it may be another project's; a camera or the demo would stay.
        assert (engine.tracker, engine.outputs) == before[1:]


def test_a_model_is_not_saved_over_another_outputs(instrument: Playing) -> None:
    instrument.teach_sides()
    instrument.ask("train")
    with pytest.raises(CommandFailed, match="model of another output"):
        instrument.ask("model/save", "side", "models/amount")
    for folder in ("", ".", "models"):
        with pytest.raises(CommandFailed, match="name a file"):
            instrument.ask("model/save", "side", folder)


def test_a_patch_whose_source_is_gone_gives_way_to_the_one_that_played_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with playing(folder, BODY_PATCH.replace("take:1", "demo"), has_trainer=False) as instrument:
        good = (folder / "patch.toml").read_text(encoding="utf-8")
        (folder / "patch.toml").write_text(good.replace("demo", "demmo"), encoding="utf-8")
        wait_until(lambda: "demmo" in instrument.status()["patch_problem"], "the complaint")
    with playing(folder, has_trainer=False) as instrument:
        assert instrument.status()["source"]["name"] == "demo"
        assert "demmo" in instrument.status()["patch_problem"]
        (folder / "patch.toml").write_text(good, encoding="utf-8")
        wait_until(lambda: not instrument.status()["patch_problem"], "the mended patch")
    assert not list(folder.glob("patch.played*"))


def test_a_folder_without_a_patch_is_left_as_it_is(instrument: Playing, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandFailed, match="no such patch"):
        instrument.ask("project/open", str(tmp_path / "empty"))
    assert list((tmp_path / "empty").iterdir()) == []


def test_another_computer_chooses_no_source_and_no_file_outside_the_project(
    instrument: Playing, tmp_path: Path
) -> None:
    outside = str(tmp_path / "stolen")
    for command in (
        ("source", "take:1"),
        ("patch/set", "listen.source", "/etc/passwd"),
        ("model/save", "side", outside),
        ("model/load", "side", outside),
        ("project/open", outside),
        ("quit",),
    ):
        with pytest.raises(CommandFailed, match=r"only programs on this computer|outside the project"):
            instrument.ask_remotely(*command)
    assert not list(tmp_path.glob("stolen*"))
    instrument.ask_remotely("patch/set", "smoothing.beta", 0.5)
    assert instrument.engine.patch.smoothing.beta == 0.5


def test_a_fault_that_goes_on_is_logged_once_a_minute_and_another_at_once(
    instrument: Playing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = instrument.engine.now_s()
    monkeypatch.setattr(instrument.engine, "now_s", lambda: now_s)
    with caplog.at_level("ERROR"):
        for _ in range(59):
            instrument.engine.complain("takes", "the disk is full")
            now_s += 1.0
        assert caplog.messages == ["the disk is full"]
        now_s += 1.0
        instrument.engine.complain("takes", "the disk is full")
        now_s += 1.0
        instrument.engine.complain("takes", "the disk is gone")
    assert caplog.messages == ["the disk is full", "the disk is full", "the disk is gone"]
    assert instrument.engine.errors["takes"] == 61


@pytest.mark.parametrize(
    "work",
    ["desk.attend", "server.attend", "recordings.attend", "teaching.attend", "_idle", "_take_pedals", "_look_around"],
)
def test_where_something_goes_wrong_all_else_goes_on(
    instrument: Playing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, work: str
) -> None:
    instrument.teach_sides()
    instrument.ask("train")
    *room, name = work.split(".")
    owner = getattr(instrument.engine, room[0]) if room else instrument.engine
    usual, troubles = getattr(owner, name), iter(range(3))

    def broken() -> None:
        if next(troubles, None) is not None:
            raise RuntimeError("nobody thought of this")
        usual()

    with caplog.at_level("ERROR"):
        monkeypatch.setattr(owner, name, broken)
        wait_until(lambda: sum(instrument.engine.errors.values()) == 3, "it to go wrong three times")
    assert [one for one in caplog.messages if "broken went wrong" in one and "nobody thought of this" in one]
    instrument.inputs(0.12, 0.2)
    wait_until(lambda: instrument.heard.messages("/wek/outputs"), "a frame to be played")
    instrument.record_numbers(ROW, "side", "left")
    instrument.ask("train")


def test_what_goes_wrong_for_long_ends_the_engine_so_that_it_is_started_afresh(
    instrument: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = instrument.engine.now_s()
    monkeypatch.setattr(instrument.engine, "now_s", lambda: now_s)

    def broken() -> None:
        raise RuntimeError("nobody thought of this")

    for _ in range(20):  # now and then is not for long
        instrument.engine.carefully(broken)
        now_s += 2.0
    with pytest.raises(RuntimeError):  # noqa: PT012  (it is the last of them that is raised)
        for _ in range(20):
            instrument.engine.carefully(broken)
            now_s += 0.5


def test_a_take_whose_caller_goes_wrong_does_not_put_off_the_answers_to_others(
    instrument: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, troubles = instrument.engine.teaching.note_change, iter(range(1))

    def broken() -> None:
        if next(troubles, None) is not None:
            raise RuntimeError("nobody thought of this")
        usual()

    monkeypatch.setattr(instrument.engine.teaching, "note_change", broken)
    with pytest.raises(CommandFailed, match="what comes after the recording failed: RuntimeError"):
        instrument.record_numbers(ROW, "side", "left")
    take, _ = instrument.record_numbers(ROW, "side", "right")
    assert take == 2


@pytest.mark.parametrize("command", ["remote", "trainer/done", "nothing"])
def test_what_is_no_command_for_others_is_refused(instrument: Playing, command: str) -> None:
    with pytest.raises(CommandFailed, match="no such command"):
        instrument.ask("remote", f"/instrument/{command}")


PEDALS = """
[[pedal]]
press = "record side left"
midi = "cc"
number = 64
port = "nano"
[[pedal]]
press = "source demo"
midi = "note"
number = 36
[[pedal]]
press = "run toggle"
"""
DOWN, UP = (0xB0, 64, 127), (0xB0, 64, 0)


@pytest.fixture
def pedalled(tmp_path: Path) -> Iterator[Playing]:
    with playing(tmp_path / "project", NUMBERS_PATCH + PEDALS, has_trainer=False) as instrument:
        yield instrument


def test_a_pedal_records_while_it_is_held(pedalled: Playing) -> None:
    assert pedalled.ask("midi/in", "nanoKEY", *DOWN) == [1]
    assert pedalled.status()["recording"]["state"] == "recording"
    pedalled.inputs(0.1, 0.2, count=12)
    wait_until(lambda: pedalled.status()["recording"]["frames"] >= 12, "the numbers")
    assert pedalled.ask("midi/in", "nanoKEY", *UP) == [1]
    wait_until(lambda: [one["targets"] for one in pedalled.takes()] == [{"side": "left"}], "the take")


def test_a_pedal_does_no_more_than_another_computer_may_and_says_why_not(pedalled: Playing) -> None:
    pedalled.client.ask("/instrument/subscribe", "pedal")
    pedalled.client.send("/instrument/midi/in", "Piano", 0x90, 36, 1)
    told = [values for address, values in pedalled.client.messages(1.0) if address == "/instrument/pedal"]
    assert told == [[2, "press", "source demo"], [2, "fail", "only programs on this computer may ask for this"]]


def test_a_pedal_is_learned_by_pressing_it_and_kept_in_the_patch(pedalled: Playing, tmp_path: Path) -> None:
    pedalled.client.send("/instrument/pedal/learn", 3)
    wait_until(lambda: json.loads(str(pedalled.ask("pedals")[0]))["pedals"][2]["is_learning"], "learning")
    learner = Client(port=pedalled.engine.server.address[1])
    with learner:
        learner.ask("/instrument/midi/in", "Pedal:Pedal MIDI 1 20:0", 0x91, 40, 100)
    assert 'midi = "note"' in (tmp_path / "project" / "patch.toml").read_text("utf-8")
    kept = pedalled.engine.patch.pedals[2]
    assert (kept.midi, kept.number, kept.channel, kept.port) == ("note", 40, 1, "Pedal:Pedal MIDI 1")
    was_running = pedalled.engine.is_running
    pedalled.ask("midi/in", "Pedal:Pedal MIDI 1 24:0", 0x81, 40, 0)
    assert pedalled.ask("midi/in", "Pedal:Pedal MIDI 1 24:0", 0x91, 40, 100) == [1]
    assert pedalled.engine.is_running is not was_running


def test_learning_that_is_ended_says_that_nothing_was_pressed(pedalled: Playing) -> None:
    with pytest.raises(CommandFailed, match="nothing was pressed"):
        pedalled.ask("pedal/learn", 1, 0)
    with pytest.raises(CommandFailed, match=r"allowed: pedal 1\.\.3"):
        pedalled.ask("pedal/learn", 4)


def test_what_is_no_channel_message_is_refused(pedalled: Playing) -> None:
    with pytest.raises(CommandFailed, match="no channel message"):
        pedalled.ask("midi/in", "nano", 0xF8, 0)


def test_one_command_begins_a_take_and_ends_it(instrument: Playing) -> None:
    assert instrument.ask("record/toggle", "side", "left") == [1]
    instrument.inputs(0.1, 0.2, count=12)
    wait_until(lambda: instrument.status()["recording"]["frames"] >= 12, "the numbers")
    assert instrument.ask("record/toggle", "side", "left") == [0]
    wait_until(lambda: len(instrument.takes()) == 1, "the take")


def test_a_series_records_take_after_take(instrument: Playing) -> None:
    instrument.client.send("/instrument/record/series", 3, 0.0, 0.15, "side", "left")

    def has_taken() -> bool:
        instrument.inputs(0.1, 0.2, count=3)
        return len(instrument.takes()) == 3

    wait_until(has_taken, "three takes")
    assert [one["targets"] for one in instrument.takes()] == [{"side": "left"}] * 3
    wait_until(lambda: instrument.status()["recording"]["state"] == "idle", "the end")


def test_a_series_that_is_told_to_stop_ends_for_good(instrument: Playing) -> None:
    instrument.client.send("/instrument/record/series", 3, 60.0, 1.0, "side", "left")
    wait_until(lambda: instrument.status()["recording"]["state"] == "counting in", "the count-in")
    with pytest.raises(CommandFailed):
        instrument.ask("record/stop")
    assert instrument.status()["recording"]["state"] == "idle"
    assert instrument.takes() == []


def test_values_at_random_are_told_to_whoever_follows_what_is_sent(instrument: Playing) -> None:
    instrument.ask("patch/add", "route", json.dumps({"from": "amount", "to": "page", "osc": "/pitch"}))
    instrument.client.ask("/instrument/subscribe", "control")
    instrument.client.send("/instrument/randomise")
    told = (values[:2] for address, values in instrument.client.messages(5.0) if address == "/instrument/control")
    assert ["page", "/pitch"] in told
