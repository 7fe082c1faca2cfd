import json
import struct
from pathlib import Path

from playing import playing

from instrument.report import _how_it_runs, answer_text, figures_text, status_text, takes_text, training_text
from instrument.words import counted


def test_the_status_of_an_instrument_that_plays_is_text_a_person_reads(tmp_path: Path) -> None:
    with playing(tmp_path / "project", has_trainer=False) as instrument:
        instrument.inputs(0.1, 0.2)
        instrument.inputs(0.1)
        text = status_text(instrument.status())
    assert text.splitlines()[0] == f"Numbers  ({tmp_path / 'project'})"
    assert "  not running, up " in text
    assert "  source    osc: " in text
    assert "  output    side (class): silent: no model yet; it comes with takes that show it" in text
    assert "  to        out: osc 127.0.0.1:" in text
    assert "  trainer   not there" in text


def test_the_status_of_models_that_run_names_their_classes(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        instrument.ask("train")
        instrument.inputs(0.1, 0.2)
        instrument.heard.wait_for("/wek/outputs")
        text = status_text(instrument.status())
    assert "  running, up " in text
    assert "  output    side (class): left, right" in text
    assert "  output    amount (continuous): runs" in text
    assert "ms from frame to datagram" in text


def test_problems_drops_and_errors_are_shown() -> None:
    status = json.loads(STATUS)
    text = status_text(status)
    assert "  recording, 12 frames" in text
    assert "  PROBLEM   the disk is full" in text
    assert "plays on: line 3" in text
    assert "  to        synth: midi (no port), 0 sent, 3 dropped; no port named 'Moog'" in text
    assert "  trainer   ready, training" in text
    assert "  malformed: 4" in text
    assert "  frame: 2" in text


def test_scores_by_take_stand_before_those_by_frame() -> None:
    by_frame = {"accuracy": 0.99, "warning": "that flatters"}
    found = {
        "posture": {"by_take": {"accuracy": 0.9, "of": "frames"}, "by_frame": by_frame},
        "hand": {"by_take": {"accuracy": 1.0, "of": "frames"}, "by_frame": by_frame | {"warning": None}},
        "lift": {"by_take": {"rmse": 0.1, "split": "blocks"}, "by_frame": {"rmse": 0.02, "warning": "that flatters"}},
        "swing": {"by_take": {"accuracy": 0.5, "of": "takes"}},
        "jump": {"not_scored": "record more"},
    }
    lines = status_text(json.loads(STATUS) | {"coaching": found}).splitlines()
    assert [line.strip() for line in lines if line.startswith("  score")] == [
        (
            "score     posture: 90% right in takes it had not learned from "
            "(99% right in single frames held out, which flatters)"
        ),
        "score     hand: 100% right in takes it had not learned from (99% right in single frames held out)",
        (
            "score     lift: 0.1 off in parts of takes it had not learned from "
            "(0.02 off in single frames held out, which flatters)"
        ),
        "score     swing: 50% of takes it had not learned from",
        "score     jump: none; record more",
    ]


STATUS = """{
  "version": "1.0", "project": "/p", "patch": "P", "patch_problem": "line 3",
  "running": true, "uptime_s": 5.0, "memory_mb": 300.0,
  "source": {"name": "demo", "state": "playing", "detail": "", "frames": 9, "dropped": 1, "losses": 0, "rate_hz": 30.0},
  "recording": {"state": "recording", "frames": 12, "seconds": 0.4},
  "takes": {"problems": ["the disk is full"], "dropped_frames": 0},
  "outputs": [],
  "destinations": {"synth": {"kind": "midi", "to": "", "sent": 0, "dropped": 3, "refused": 0,
                             "reason": "no port named 'Moog'"}},
  "trainer": {"alive": true, "pid": 1, "training": true, "progress": null},
  "latency": {}, "dropped_messages": {"malformed": 4}, "errors": {"frame": 2}
}"""


def test_figures_are_a_line_each_and_rows_of_equal_keys_a_table() -> None:
    text = figures_text(
        {"fps": 30.0, "stages": {"track": {"p50": 15.5, "p99": 20.0}, "send": {"p50": 0.1}}, "who": {"a": 1}}
    )
    assert text.splitlines() == [
        "fps".ljust(40) + " 30.000",
        "stages".ljust(24) + "p50".rjust(12) + "p99".rjust(12),
        "  " + "track".ljust(22) + "15.500".rjust(12) + "20.000".rjust(12),
        "  " + "send".ljust(22) + "0.100".rjust(12) + "-".rjust(12),
        "who",
        "  " + "a".ljust(40) + " 1",
    ]


def test_an_answer_is_readable() -> None:
    assert answer_text("/instrument/run", []) == "done"
    assert answer_text("/instrument/source", ["demo"]) == "demo"
    assert answer_text("/instrument/record/stop", [3, 41]) == "take 3: 41 frames"
    assert answer_text("/instrument/takes/delete_all", [23]) == "23 deleted; `undo` brings them back"
    assert answer_text("/instrument/routes", ['{"a": [1]}']) == '{\n  "a": [\n    1\n  ]\n}'
    assert answer_text("/instrument/project/reload", ["[untitled] is no JSON"]) == "[untitled] is no JSON"


def test_a_training_told_in_short_does_not_make_up_figures() -> None:
    summary = {"seconds": 0.1, "outputs": {"side": {"model_id": "a"}, "lift": {"examples": 1}}, "refused": {}}
    assert training_text(summary).splitlines()[1:] == ["  side: trained", "  lift: 1 example"]


def test_a_training_says_what_was_learned_from_how_much_and_how_well() -> None:
    validation = {"measure": "accuracy", "score": 0.875, "examples": 40}
    side = {"examples": 160, "takes": 8, "validation": validation, "notes": ["record more of left"]}
    summary = {"seconds": 0.123, "outputs": {"side": side}, "refused": {"amount": "no takes"}}
    assert training_text(summary).splitlines() == [
        "trained in 0.12 s",
        "  side: 160 examples in 8 takes; 88% right on the 40 kept apart",
        "    record more of left",
        "  amount: not trained: no takes",
    ]


def test_a_real_training_is_readable(tmp_path: Path) -> None:
    with playing(tmp_path / "project") as instrument:
        instrument.teach_sides()
        [summary] = instrument.ask("train")
        text = answer_text("/instrument/train", [summary])
        assert "side: 48 examples in 4 takes" in text
        [takes] = instrument.ask("takes")
        assert answer_text("/instrument/takes", [takes]).count("side = left") == 2


def test_no_takes_are_said_to_be_none() -> None:
    assert takes_text([]) == "no takes yet"


def test_values_of_takes_are_as_short_as_they_came() -> None:
    row = {"id": 1, "kind": "take", "frames": 3, "seconds": 0.1, "tracked": 1.0}
    targets = {"val": struct.unpack("<f", struct.pack("<f", 0.2))[0], "far": 1e300, "side": "left"}
    assert takes_text([{**row, "targets": targets}]).endswith("  val = 0.2, far = 1e+300, side = left")


def test_one_is_said_in_the_singular() -> None:
    assert [counted(count, "take") for count in (0, 1, 2)] == ["0 takes", "1 take", "2 takes"]
    assert counted(3, "class") == "3 classes"
    summary = {"seconds": 0.1, "outputs": {"side": {"examples": 1, "takes": 1}}, "refused": {}}
    assert "side: 1 example in 1 take" in training_text(summary)


def test_an_output_says_what_runs_it_with_how_many_bits_and_what_drift() -> None:
    output = {"backend": "numpy", "bits": 8, "drift": {"rms": 0.0021, "worst_jump": 0.017}}
    assert _how_it_runs(output) == " [numpy, 8 bits, rms drift 0.21%, worst drift 1.70%]"
    assert _how_it_runs(output | {"drift": None}) == " [numpy, 8 bits]"
    assert _how_it_runs({"backend": None}) == ""


def test_what_a_model_sees_is_shown_as_a_picture_of_letters() -> None:
    described = {
        "output": "side",
        "classes": ["left", "right"],
        "range": [0, 1],
        "takes": [3, 8],
        "examples": 2,
        "grid": [4, 8],
        "agreement": 0.5,
    }
    examples = struct.pack("<HHHBB", 100, 100, 0, 0, 0) + struct.pack("<HHHBB", 65535, 65535, 1, 1, 0)
    regions = bytes([0, 255] * 16 + [1, 255, 1, 255, 255, 0, 255, 0] * 4)
    text = answer_text("/instrument/model/map", [json.dumps(described), b"", examples, regions])
    assert text.splitlines() == [
        "|bB|",
        "|Aa|",
        "side: a left, b right",
        "2 examples of 2 takes; what is said at a place is what the model says of 50% of the examples there",
        "taken for something else: take 8 (1 frames)",
    ]


def test_what_a_model_of_values_sees_is_shown_in_figures() -> None:
    described = {"output": "lift", "classes": [], "range": [0, 2], "takes": [3], "examples": 9, "grid": [4, 4]}
    values = [json.dumps(described | {"agreement": 1.0}), b"", b"", bytes([0, 255, 0, 255, 255, 255, 255, 255] * 4)]
    assert answer_text("/instrument/model/map", values).splitlines()[:2] == ["|09|", "lift: 0 is 0, 9 is 2"]
