"""Routes, scenes and edits of the patch in an engine that plays."""

import json
from pathlib import Path
from typing import Any

import pytest
from clients import wait_until
from playing import Playing, body_project, notes, playing

from instrument.client import CommandFailed

SCENES_PATCH = """# mine
name = "Scenes"
[listen]
source = "osc"
inputs = 2
[[output]]
name = "amount"
kind = "continuous"
[destination.synth]
midi = "virtual"
[[route]]
from = "amount"
osc = "/amount"
range = [0, 10]          # soft
[[route]]
from = "amount"
to = "synth"
midi = "cc"
number = 7
"""


def routes_of(instrument: Playing) -> list[dict[str, Any]]:
    return json.loads(str(instrument.ask("routes")[0]))


def test_scenes_are_saved_recalled_and_faded(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("scene/save", "soft")
        instrument.ask("patch/set", "route.1.range", "[50, 100]")
        instrument.ask("route/mute", 2, 1)
        instrument.ask("scene/save", "loud")
        text = instrument.engine.project.patch_file.read_text(encoding="utf-8")
        assert "# soft" in text
        assert '{route = "cc 7", muted = true, range = [0, 127]' in text
        assert instrument.ask("scene/next") == ["soft"]
        assert [(one["high"], one["is_muted"]) for one in routes_of(instrument)] == [(10.0, False), (127.0, False)]
        assert instrument.ask("scene/recall", "loud", 600.0) == ["loud"]
        wait_until(lambda: 10.0 < routes_of(instrument)[0]["high"] < 100.0, "the fade to move")
        instrument.ask("scene/recall", "loud", 0.0)
        assert [(one["high"], one["is_muted"]) for one in routes_of(instrument)] == [(100.0, False), (127.0, True)]
        assert [one["is_current"] for one in json.loads(str(instrument.ask("scenes")[0]))] == [False, True]
        with pytest.raises(CommandFailed, match="no scene 'quiet'; this patch has: soft, loud"):
            instrument.ask("scene/recall", "quiet")


def test_a_scene_that_mutes_a_sounding_route_ends_its_note(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        instrument.ask("route/mute", 1, 1)
        instrument.ask("scene/save", "silence")
        instrument.ask("scene/leave")
        wait_until(lambda: "90 3c 64" in notes(instrument), "the note")
        instrument.ask("scene/recall", "silence")
        assert notes(instrument).count("90 3c 64") == notes(instrument).count("80 3c 00")


def test_a_class_recalls_a_scene(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        instrument.ask("patch/add", "scene", json.dumps({"name": "arms", "from": "posture.up", "hold_s": 0.1}))
        wait_until(lambda: instrument.engine.desk.scenes.current == "arms", "the scene")


def test_the_scene_that_played_plays_after_a_restart(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("route/mute", 2, 1)
        instrument.ask("scene/save", "half")
    with playing(tmp_path / "project", has_trainer=False, scene="half") as instrument:
        assert [one["is_muted"] for one in routes_of(instrument)] == [False, True]


def test_what_an_editor_writes_into_the_patch_is_played(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        file = instrument.engine.project.patch_file
        file.write_text(SCENES_PATCH.replace("[0, 10]", "[0, 11]"), encoding="utf-8")
        wait_until(lambda: routes_of(instrument)[0]["high"] == 11.0, "the edit to be played")


def test_a_patch_an_editor_broke_is_said_and_the_one_before_plays_on(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        file = instrument.engine.project.patch_file
        file.write_text(SCENES_PATCH.replace("[0, 10]", "[0, 0]"), encoding="utf-8")
        wait_until(lambda: "line 14: route.1.range" in instrument.status()["patch_problem"], "the complaint")
        assert routes_of(instrument)[0]["high"] == 10.0
        file.write_text(SCENES_PATCH, encoding="utf-8")
        wait_until(lambda: instrument.status()["patch_problem"] == "", "the end of the complaint")


def test_what_strays_from_the_scene_that_plays_is_said_and_a_value_the_file_has_is_heard(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:

        def strayed() -> bool:
            rows = json.loads(str(instrument.ask("scenes")[0]))
            return bool(next(one for one in rows if one["is_current"])["has_strayed"])

        instrument.ask("patch/set", "route.1.curve", 1.0 / 3.0)
        instrument.ask("scene/save", "soft")
        assert not strayed()
        instrument.ask("route/mute", 2, 1)
        assert strayed()
        instrument.ask("patch/set", "route.1.range.2", 50.0)
        instrument.ask("scene/save", "soft")
        assert not strayed()
        instrument.ask("patch/set", "route.1.range.2", 70.0)
        instrument.ask("scene/recall", "soft", 0.0)
        wait_until(lambda: routes_of(instrument)[0]["high"] == 50.0, "the scene")
        assert not strayed()
        instrument.ask("patch/set", "route.1.range.2", 70.0)
        assert routes_of(instrument)[0]["high"] == 70.0
        assert strayed()
        instrument.ask("output/enable", "amount", 0)
        instrument.ask("patch/set", "route.1.range.2", 50.0)
        assert strayed()


def test_edits_of_the_patch_are_undone_one_by_one_whoever_made_them(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        file = instrument.engine.project.patch_file
        for high in (20.0, 30.0, 40.0):  # as a hand that drags
            instrument.ask("patch/set", "route.1.range.2", high)
        edited = file.read_text(encoding="utf-8").replace("/amount", "/value")
        file.write_text(edited, encoding="utf-8")
        wait_until(lambda: routes_of(instrument)[0]["osc"] == "/value", "the editor's edit")
        instrument.ask("patch/undo")
        assert (routes_of(instrument)[0]["osc"], routes_of(instrument)[0]["high"]) == ("/amount", 40.0)
        instrument.ask("patch/undo")
        assert file.read_text(encoding="utf-8") == SCENES_PATCH
        with pytest.raises(CommandFailed, match="nothing of the patch to undo"):
            instrument.ask("patch/undo")
        instrument.ask("patch/redo")
        instrument.ask("patch/redo")
        assert file.read_text(encoding="utf-8") == edited


def test_a_route_that_learns_sends_its_controller_and_nothing_else(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("route/learn", 2, 600.0)
        wait_until(lambda: len(set(notes(instrument))) > 5, "the controller to move")
        assert routes_of(instrument)[1]["tried"] == "alone"
        instrument.inputs(0.1, 0.2, count=5)
        wait_until(lambda: instrument.status()["source"]["frames"] >= 5, "the numbers")
        assert instrument.heard.datagrams == []
        instrument.ask("route/learn", 2, 0.0)
        assert routes_of(instrument)[1]["tried"] == ""


def test_a_test_of_a_route_ends_by_itself(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("route/test", 1, 0.2)
        instrument.heard.wait_for("/amount", count=2)
        wait_until(lambda: routes_of(instrument)[0]["tried"] == "", "its end")


def test_a_test_goes_on_with_its_route_where_others_are_removed_and_ends_with_it(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("route/test", 2, 600.0)
        instrument.ask("patch/remove", "route.1")
        assert routes_of(instrument)[0]["tried"] == "beside"
        began = len(notes(instrument))
        wait_until(lambda: len(set(notes(instrument)[began:])) > 5, "the controller to move")
        instrument.ask("patch/remove", "route.1")
        instrument.ask("patch/undo")
        assert routes_of(instrument)[0]["tried"] == ""
        assert instrument.status()["errors"] == {}


def test_panic_ends_a_test(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("route/test", 1, 600.0)
        instrument.ask("panic")
        assert routes_of(instrument)[0]["tried"] == ""


def test_a_solo_route_plays_alone_and_leaves_mutes_as_they_were(tmp_path: Path) -> None:
    with playing(body_project(tmp_path / "project")) as instrument:
        instrument.ask("patch/add", "route", json.dumps({"from": "posture.up", "osc": "/up", "change_only": False}))
        wait_until(lambda: "90 3c 64" in notes(instrument), "the note")
        instrument.ask("route/solo", 2, 1)
        told = len(notes(instrument))
        assert notes(instrument).count("90 3c 64") == notes(instrument).count("80 3c 00")
        before = len(instrument.heard.messages("/up"))
        instrument.heard.wait_for("/up", count=before + 65)
        assert len(notes(instrument)) == told
        instrument.ask("route/solo", 2, 0)
        assert [(one["is_muted"], one["is_solo"]) for one in routes_of(instrument)] == [(False, False)] * 2
        wait_until(lambda: len(notes(instrument)) > told, "the note to come back")


def test_a_route_goes_from_osc_to_midi_in_one_edit(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("patch/set", "route.1.osc", "", "route.1.range", "", "route.1.midi", "cc", "route.1.to", "synth")
        assert (routes_of(instrument)[0]["midi"], routes_of(instrument)[0]["destination"]) == ("cc", "synth")
        instrument.ask("patch/undo")
        assert instrument.engine.project.patch_file.read_text(encoding="utf-8") == SCENES_PATCH


def test_a_number_is_written_into_the_patch_as_it_was_typed(tmp_path: Path) -> None:
    with playing(tmp_path / "project", SCENES_PATCH, has_trainer=False) as instrument:
        instrument.ask("patch/set", "route.1.curve", 0.72, "route.1.smooth_s", 1e-3)
        text = instrument.engine.project.patch_file.read_text(encoding="utf-8")
        assert "curve = 0.72\nsmooth_s = 0.001\n" in text


def test_a_training_that_came_by_itself_goes_on_when_an_output_is_added_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with playing(folder) as instrument:
        instrument.teach_sides()
        instrument.ask("train")
    with playing(folder, has_trainer=False) as instrument:
        instrument.ask("takes/delete", 1)
        wait_until(lambda: instrument.status()["trainer"]["training"], "the training")
        instrument.ask("patch/add", "output", json.dumps({"name": "more", "kind": "continuous"}))
        assert instrument.status()["trainer"]["training"]
