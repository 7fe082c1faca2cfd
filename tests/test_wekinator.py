"""A sketch made for Wekinator finds one: its datagrams, byte by byte, and what must come back.

What is expected is Wekinator's own source (OSCControlReceiver, OSCController, InputManager, OutputManager,
SupervisedLearningManager).
"""

import math
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clients import wait_until
from playing import NUMBERS_PATCH, Playing, playing

from instrument.protocol import SECTIONS
from instrument.takes import TakeStore

DONE_TRAINING = b"/wekinator/status/done-training\x00,\x00\x00\x00"


def outputs(*values: float) -> bytes:
    """/wek/outputs as Wekinator writes it: floats, big-endian."""
    return b"/wek/outputs\x00\x00\x00\x00" + padded("," + "f" * len(values)) + struct.pack(f">{len(values)}f", *values)


def padded(text: str) -> bytes:
    return text.encode() + bytes(4 - len(text.encode()) % 4)


def datagram(address: str, *arguments: float | int | str) -> bytes:
    """An OSC message as oscP5 and javaosc write it, made here without the code under test."""
    tags, body = ",", b""
    for one in arguments:
        if isinstance(one, str):
            tags, body = tags + "s", body + padded(one)
        else:
            tags, body = (
                tags + "fi"[isinstance(one, int)],
                body + struct.pack(">i" if isinstance(one, int) else ">f", one),
            )
    return padded(address) + padded(tags) + body


class Sketch:
    """A sketch's one socket, towards the instrument's port; what the instrument sends out is `heard`."""

    def __init__(self, instrument: Playing) -> None:
        self.instrument = instrument
        self.engine = instrument.engine
        self.heard = instrument.heard
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)

    def send(self, packet: bytes) -> None:
        """Sends it, and returns when the engine has acted on it."""
        self.socket.sendto(packet, self.engine.server.address)
        self.instrument.ask("ping")

    def control(self, word: str, *arguments: float | int | str) -> None:
        self.send(datagram(f"/wekinator/control/{word}", *arguments))

    def inputs(self, *values: float | int | str, count: int = 1) -> None:
        """Sends inputs so often, and returns when they have been played."""
        wanted = self.engine.latencies.frames + count
        for _ in range(count):
            self.socket.sendto(datagram("/wek/inputs", *values), self.engine.server.address)
        wait_until(lambda: self.engine.latencies.frames == wanted, "the inputs to be played")

    def wrong_inputs(self, *values: float | int | str) -> None:
        """Sends inputs that must be dropped, and returns when they have been."""
        wanted = self.engine.errors["inputs"] + 1
        self.socket.sendto(datagram("/wek/inputs", *values), self.engine.server.address)
        wait_until(lambda: self.engine.errors["inputs"] == wanted, "the inputs to be dropped")

    def sent(self) -> list[bytes]:
        """What the instrument has sent to 12000, so to speak, up to now."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"last", self.heard.address)
        wait_until(lambda: self.heard.datagrams[-1:] == [b"last"], "what was sent")
        found = [one for one in self.heard.datagrams if one != b"last"]
        self.heard.datagrams.clear()
        return found

    def record(self, targets: tuple[float, ...], *rows: tuple[float, ...]) -> None:
        """Records these inputs for these outputs."""
        self.control("outputs", *targets)
        self.control("startRecording")
        for row in rows:
            self.inputs(*row)
        self.control("stopRecording")

    def train(self) -> None:
        self.control("train")
        wait_until(lambda: DONE_TRAINING in self.heard.datagrams, "the training to end")
        self.sent()

    def teach(self) -> None:
        """Small numbers are class 1 and 0.0, large ones class 2 and 1.0; trained."""
        for shift in (0.0, 0.05):
            self.record((1.0, 0.0), *[(0.1 + shift + 0.01 * n, 0.2) for n in range(8)])
            self.record((2.0, 1.0), *[(0.8 + shift + 0.01 * n, 0.9) for n in range(8)])
        self.train()


LOW, HIGH = (0.12, 0.2), (0.85, 0.9)


@pytest.fixture
def sketch(tmp_path: Path) -> Iterator[Sketch]:
    with playing(tmp_path / "project") as instrument:
        yield Sketch(instrument)


@pytest.fixture
def untaught(tmp_path: Path) -> Iterator[Sketch]:
    """Without a trainer, for what needs none."""
    with playing(tmp_path / "project", has_trainer=False) as instrument:
        yield Sketch(instrument)


def nothing_came_back(sketch: Sketch) -> bool:
    try:
        return not sketch.socket.recv(1000)
    except BlockingIOError:
        return True


def classes_of(packets: list[bytes]) -> list[float]:
    """The first output of every /wek/outputs with two of them."""
    assert all(one[:20] == outputs(0.0, 0.0)[:20] for one in packets)
    return [struct.unpack(">2f", one[20:])[0] for one in packets]


def test_a_whole_session_of_a_sketch(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("startRunning")
    sketch.inputs(*LOW, count=3)
    sketch.inputs(*HIGH, count=2)
    sent = sketch.sent()
    assert classes_of(sent) == [1.0, 1.0, 1.0, 2.0, 2.0]
    assert struct.unpack(">f", sent[0][24:])[0] == pytest.approx(0.0, abs=0.2)
    assert struct.unpack(">f", sent[4][24:])[0] == pytest.approx(1.0, abs=0.2)
    sketch.control("stopRunning")
    sketch.inputs(*LOW)
    assert sketch.sent() == []
    assert nothing_came_back(sketch)


def test_the_end_of_training_is_said_in_wekinators_bytes_and_once(sketch: Sketch) -> None:
    sketch.record((1.0, 0.0), *[LOW] * 4)
    sketch.record((2.0, 1.0), *[HIGH] * 4)
    sketch.sent()
    sketch.control("train")
    wait_until(lambda: sketch.heard.datagrams, "the training to end")
    assert sketch.sent() == [DONE_TRAINING]


def test_training_does_not_start_running(sketch: Sketch) -> None:
    sketch.teach()
    sketch.inputs(*LOW)
    assert sketch.sent() == []


def test_training_goes_on_running_if_it_ran(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("startRunning")
    sketch.train()
    sketch.inputs(*HIGH)
    assert classes_of(sketch.sent()) == [2.0]


def test_training_without_examples_does_not_end_because_it_does_not_begin(sketch: Sketch) -> None:
    sketch.control("train")
    wait_until(lambda: sketch.engine.errors["/wekinator/control/train"], "the refusal")
    assert sketch.sent() == []


def test_running_without_a_model_sends_nothing(untaught: Sketch) -> None:
    untaught.control("startRunning")
    untaught.inputs(*LOW, count=3)
    assert untaught.sent() == []


def test_recording_halts_running_and_running_ends_recording(sketch: Sketch) -> None:
    sketch.teach()
    before = len(sketch.instrument.takes())
    sketch.control("startRunning")
    sketch.control("startRecording")
    sketch.inputs(*HIGH, count=5)
    assert sketch.sent() == []
    sketch.control("startRunning")
    sketch.inputs(*HIGH)
    assert len(sketch.sent()) == 1
    wait_until(lambda: len(sketch.instrument.takes()) == before + 1, "the take")
    assert sketch.instrument.takes()[-1]["frames"] == 5


def wait_for_takes(sketch: Sketch, count: int) -> list[dict[str, object]]:
    wait_until(lambda: len(sketch.instrument.takes()) == count, f"{count} takes")
    return [row["targets"] for row in sketch.instrument.takes()]


def test_classes_count_from_1_and_values_are_values(untaught: Sketch) -> None:
    untaught.record((2.0, 0.25), *[LOW] * 3)
    assert wait_for_takes(untaught, 1) == [{"side": "right", "amount": 0.25}]


def test_recording_without_outputs_sent_teaches_class_1_and_the_low_end(untaught: Sketch) -> None:
    untaught.control("startRecording")
    untaught.inputs(*LOW, count=3)
    untaught.control("stopRecording")
    assert wait_for_takes(untaught, 1) == [{"side": "left", "amount": 0.0}]


@pytest.mark.parametrize("illegal", [(3.0, 0.25), (0.0, 0.25), (1.5, 0.25), (-1.0, 0.25), (math.nan, 0.25)])
def test_an_illegal_class_keeps_the_old_one_and_the_legal_value_beside_it_is_taken(
    untaught: Sketch, illegal: tuple[float, float]
) -> None:
    untaught.control("outputs", 2.0, 0.5)
    untaught.record(illegal, *[LOW] * 3)
    kept = 0.5 if math.isnan(illegal[0]) else 0.25  # a message with NaN is dropped whole
    assert wait_for_takes(untaught, 1) == [{"side": "right", "amount": kept}]


def test_an_illegal_value_keeps_the_old_one(untaught: Sketch) -> None:
    untaught.control("outputs", 1.0, 0.5)
    untaught.record((2.0, 1.5), *[LOW] * 3)
    assert wait_for_takes(untaught, 1) == [{"side": "right", "amount": 0.5}]


def test_outputs_of_the_wrong_number_change_nothing(untaught: Sketch) -> None:
    untaught.control("outputs", 2.0, 0.5)
    untaught.control("outputs", 1.0)
    untaught.control("outputs", 1.0, 0.0, 0.0)
    untaught.control("startRecording")
    untaught.inputs(*LOW, count=3)
    untaught.control("stopRecording")
    assert wait_for_takes(untaught, 1) == [{"side": "right", "amount": 0.5}]


def test_outputs_sent_while_recording_hold_from_then_on(sketch: Sketch) -> None:
    sketch.control("outputs", 1.0, 0.0)
    sketch.control("startRecording")
    sketch.inputs(*LOW, count=6)
    sketch.control("outputs", 2.0, 1.0)
    sketch.inputs(*HIGH, count=6)
    sketch.control("stopRecording")
    sketch.record((1.0, 0.0), *[LOW] * 6)
    sketch.train()
    sketch.control("startRunning")
    sketch.inputs(*HIGH)
    sketch.inputs(*LOW)
    assert classes_of(sketch.sent()) == [2.0, 1.0]


def test_numbers_come_as_floats_or_ints_as_max_and_touchosc_send_them(untaught: Sketch) -> None:
    untaught.control("disableModelRecording", 2.0)
    untaught.control("outputs", 2, 1)
    untaught.control("startRecording", 1.0)
    untaught.inputs(*LOW, count=3)
    untaught.control("stopRecording", 0.0)
    assert wait_for_takes(untaught, 1) == [{"side": "right"}]


def test_commands_in_bundles_are_done(untaught: Sketch) -> None:
    packets = [datagram("/wekinator/control/outputs", 2.0, 1.0), datagram("/wekinator/control/startRecording")]
    body = b"".join(struct.pack(">i", len(one)) + one for one in packets)
    untaught.send(b"#bundle\0" + struct.pack(">Q", 1) + body)
    untaught.inputs(*LOW, count=3)
    untaught.control("stopRecording")
    assert wait_for_takes(untaught, 1) == [{"side": "right", "amount": 1.0}]


def test_inputs_of_the_wrong_number_are_dropped(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("startRunning")
    sketch.wrong_inputs(0.1)
    sketch.wrong_inputs(0.1, 0.2, 0.3)
    assert sketch.sent() == []
    sketch.inputs(*LOW)
    assert len(sketch.sent()) == 1


def test_inputs_that_are_not_floats_count_as_0(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("startRunning")
    sketch.inputs(1, 1)
    sketch.inputs(0.0, 0.0)
    sent = sketch.sent()
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_recording_is_switched_off_and_on_per_output(untaught: Sketch) -> None:
    untaught.control("disableModelRecording", 1)
    untaught.record((1.0, 0.5), *[LOW] * 3)
    untaught.control("enableModelRecording", 1)
    untaught.control("disableModelRecording", 2)
    untaught.record((1.0, 0.5), *[LOW] * 3)
    assert wait_for_takes(untaught, 2) == [{"amount": 0.5}, {"side": "left"}]


def test_switching_names_several_outputs_and_none_of_them_if_one_is_wrong(untaught: Sketch) -> None:
    untaught.control("disableModelRecording", 1, 3)
    untaught.control("disableModelRecording", 0)
    untaught.record((1.0, 0.5), *[LOW] * 3)
    untaught.control("disableModelRecording", 1, 2)
    untaught.control("startRecording")
    assert untaught.instrument.status()["recording"]["state"] == "idle"
    assert wait_for_takes(untaught, 1) == [{"side": "left", "amount": 0.5}]


def test_an_output_that_does_not_run_repeats_its_value(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("startRunning")
    sketch.inputs(*HIGH)
    sketch.control("disableModelRunning", 1)
    sketch.inputs(*LOW)
    assert classes_of(sketch.sent()) == [2.0, 2.0]
    sketch.control("enableModelRunning", 1)
    sketch.inputs(*LOW)
    assert classes_of(sketch.sent()) == [1.0]


def test_deleting_all_examples_leaves_nothing_to_learn_from(untaught: Sketch) -> None:
    untaught.record((1.0, 0.0), *[LOW] * 3)
    untaught.record((2.0, 0.0), *[HIGH] * 3)
    wait_for_takes(untaught, 2)
    untaught.control("deleteAllExamples")
    assert wait_for_takes(untaught, 0) == []


def test_deleting_the_examples_of_one_output_leaves_the_other_its_own(untaught: Sketch) -> None:
    untaught.record((1.0, 0.5), *[LOW] * 3)
    wait_for_takes(untaught, 1)
    untaught.control("deleteExamplesForOutput", 1)
    wait_until(lambda: untaught.instrument.takes()[0]["targets"] == {"amount": 0.5}, "the deletion")
    untaught.control("deleteExamplesForOutput", 3)
    assert untaught.instrument.takes()[0]["targets"] == {"amount": 0.5}


def test_an_output_learns_from_the_inputs_selected_for_it(sketch: Sketch) -> None:
    sketch.control("selectInputsForOutput", 1, 2)
    sketch.teach()
    sketch.control("startRunning")
    sketch.inputs(LOW[0], HIGH[1])
    sketch.inputs(HIGH[0], LOW[1])
    assert classes_of(sketch.sent()) == [2.0, 1.0]


@pytest.mark.parametrize("arguments", [(1,), (3, 1), (1, 3), (1, 0), (1, "x")])
def test_inputs_or_outputs_there_are_not_cannot_be_selected(untaught: Sketch, arguments: tuple[int | str, ...]) -> None:
    untaught.control("selectInputsForOutput", *arguments)
    assert untaught.engine.patch.outputs[0].inputs == ()


def test_names_are_kept_and_what_is_trained_plays_on(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("startRunning")
    sketch.control("setInputNames", "x", "y")
    sketch.control("setOutputNames", "where", "how much")
    assert sketch.engine.patch.listen.input_names == ("x", "y")
    assert sketch.engine.patch.wekinator_output_names == ("where", "how much")
    sketch.inputs(*HIGH)
    assert classes_of(sketch.sent()) == [2.0]


@pytest.mark.parametrize("word", ["setInputNames", "setOutputNames"])
@pytest.mark.parametrize("names", [("x",), ("x", "x"), ("x", "y", "z"), ("x", 1)])
def test_names_must_be_as_many_as_there_are_and_each_different(
    untaught: Sketch, word: str, names: tuple[str, ...]
) -> None:
    untaught.control(word, *names)
    patch = untaught.engine.patch
    assert (patch.listen.input_names, patch.wekinator_output_names) == ((), ())


def test_a_model_saved_to_a_file_comes_back_from_it(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("saveModelToFile", 1, "kept/first.xml")
    sketch.control("deleteAllExamples")
    sketch.record((2.0, 0.0), *[LOW] * 8)
    sketch.record((1.0, 1.0), *[HIGH] * 8)
    sketch.train()
    sketch.control("startRunning")
    sketch.inputs(*LOW)
    sketch.control("loadModelFromFile", 1, "kept/first.xml", "WITHOUTDATA")
    sketch.inputs(*LOW)
    assert classes_of(sketch.sent()) == [2.0, 1.0]


def test_a_model_goes_to_any_folder_when_only_this_computer_gives_commands(sketch: Sketch, tmp_path: Path) -> None:
    sketch.teach()
    sketch.control("saveModelToFile", 1, str(tmp_path / "elsewhere" / "model"))
    assert (tmp_path / "elsewhere" / "model.safetensors").is_file()
    (tmp_path / "letter.json").write_text("mine", encoding="utf-8")
    sketch.control("saveModelToFile", 1, str(tmp_path / "letter"))
    assert (tmp_path / "letter.json").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "letter.safetensors").exists()


def test_a_model_stays_inside_the_project_when_other_computers_give_commands(tmp_path: Path) -> None:
    with playing(tmp_path / "project", listen_host="0.0.0.0") as instrument:  # noqa: S104
        instrument.engine.server.address = ("0.0.0.0", instrument.engine.server.address[1])  # noqa: S104
        sketch = Sketch(instrument)
        sketch.teach()
        for file in (str(tmp_path / "model"), "../model"):
            sketch.control("saveModelToFile", 1, file)
        assert list(tmp_path.glob("model*")) == []
        sketch.control("saveModelToFile", 1, "model")
        assert (tmp_path / "project" / "model.safetensors").is_file()


@pytest.mark.parametrize("arguments", [(1, "nothing"), (3, "nothing"), (1, 7), ("x", "y")])
def test_a_model_that_is_not_there_leaves_the_one_that_plays(sketch: Sketch, arguments: tuple[int | str, ...]) -> None:
    sketch.teach()
    sketch.control("loadModelFromFile", *arguments)
    sketch.control("startRunning")
    sketch.inputs(*HIGH)
    assert classes_of(sketch.sent()) == [2.0]


def test_a_model_of_another_output_is_not_taken(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("saveModelToFile", 2, "amount")
    sketch.control("loadModelFromFile", 1, "amount")
    sketch.control("startRunning")
    sketch.inputs(*HIGH)
    assert classes_of(sketch.sent()) == [2.0]


def test_dtw_is_ignored_and_nothing_breaks(untaught: Sketch) -> None:
    untaught.control("startDtwRecording", 1)
    untaught.control("stopDtwRecording")
    untaught.control("runNewProject", "somewhere.wekproj")
    assert untaught.instrument.takes() == []


def test_probabilities_follow_the_outputs_when_asked_for(tmp_path: Path) -> None:
    with playing(tmp_path / "project", NUMBERS_PATCH + "[wekinator]\nprobabilities = true\n") as instrument:
        sketch = Sketch(instrument)
        sketch.teach()
        sketch.control("startRunning")
        sketch.inputs(*HIGH)
        values, probabilities = sketch.sent()
        assert classes_of([values]) == [2.0]
        assert probabilities[:16] == b"/outputs-1\0\0,ff\0"
        left, right = struct.unpack(">2f", probabilities[16:])
        assert left + right == pytest.approx(1.0)
        assert right > 0.5


@pytest.mark.parametrize("arguments", [(), (1,), (9.5, "x"), ("x", "y", "z")], ids=str)
def test_nothing_is_ever_answered(untaught: Sketch, arguments: tuple[float | int | str, ...]) -> None:
    for command in SECTIONS["Wekinator"]:
        untaught.send(datagram(command.address, *arguments))
    untaught.control("nonsense", *arguments)
    assert nothing_came_back(untaught)


def burst(sketch: Sketch, *packets: bytes) -> None:
    """Sends those as fast as they go, in one datagram after the other."""
    for packet in packets:
        sketch.socket.sendto(packet, sketch.engine.server.address)


def test_a_file_of_examples_sent_at_full_speed_is_learned_with_its_own_outputs(sketch: Sketch) -> None:
    examples = [(1.0, LOW), (2.0, HIGH)] * 100
    burst(sketch, datagram("/wekinator/control/startRecording"))
    for number, row in examples:
        burst(sketch, datagram("/wekinator/control/outputs", number, 0.5), datagram("/wek/inputs", *row))
    burst(sketch, datagram("/wekinator/control/stopRecording"))
    wait_for_takes(sketch, 1)
    assert sketch.instrument.takes()[0]["frames"] == 200
    with TakeStore.open(sketch.engine.project.takes_file, readonly=True) as store:
        assert store.frame_targets(1)["side"] == ("left", "right") * 100
        np.testing.assert_array_equal(store.landmarks(1).numbers, np.float32([row for _, row in examples]))


def test_a_recording_may_be_a_single_example(sketch: Sketch) -> None:
    sketch.record((1.0, 0.0), LOW)
    sketch.record((2.0, 1.0), HIGH)
    assert wait_for_takes(sketch, 2) == [{"side": "left", "amount": 0.0}, {"side": "right", "amount": 1.0}]
    sketch.train()
    sketch.control("startRunning")
    sketch.inputs(*LOW)
    sketch.inputs(*HIGH)
    assert classes_of(sketch.sent()) == [1.0, 2.0]


def test_a_class_there_is_not_is_left_out_and_said(sketch: Sketch, caplog: pytest.LogCaptureFixture) -> None:
    sketch.control("outputs", 7.0, 0.25)
    assert sketch.engine.targets == {"side": "left", "amount": 0.25}
    assert "side 7" in caplog.text


def test_outputs_sent_while_running_are_what_an_output_that_does_not_run_says(sketch: Sketch) -> None:
    sketch.teach()
    sketch.control("disableModelRunning", 1)
    sketch.control("startRunning")
    sketch.control("outputs", 2.0, 0.5)
    sketch.inputs(*LOW)
    sketch.control("stopRunning")
    sketch.control("startRunning")
    sketch.inputs(*LOW)
    assert classes_of(sketch.sent()) == [2.0, 2.0]
