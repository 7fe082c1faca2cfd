"""From takes to model files."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from bodies import moving_body

from instrument import datasets, features
from instrument.datasets import FeatureCache, gather
from instrument.kernels.cpu import dequantised, forward
from instrument.models.fitting import Cancelled, Progress, TrainingError
from instrument.models.trained import load_model
from instrument.patch import PatchError, Smoothing
from instrument.patch_file import read_patch
from instrument.predictor import Predictor
from instrument.project import Project
from instrument.signals import (
    ClassPrediction,
    ContinuousPrediction,
    Features,
    LandmarkSequence,
    landmark_sequence,
)
from instrument.takes import TakesError, TakeStore, WholeTake
from instrument.training import ProjectTraining, train_project

CLASSES = """
[listen]
source = "osc"
[[output]]
name = "pose"
"""
TWO_OUTPUTS = (
    CLASSES
    + """
[[output]]
name = "cutoff"
kind = "continuous"
range = [100, 300]
"""
)


@dataclass
class TakeWriter:
    """A project whose takes of three numbers are written in a line each."""

    project: Project

    def patch(self, text: str) -> None:
        self.project.patch_file.write_text(text, encoding="utf-8")

    def take(
        self,
        targets: Mapping[str, str | float],
        *,
        at: float,
        frames: int = 20,
        numbers: int = 3,
        lost: int = 0,
        moving: Mapping[str, Sequence[str | float]] | None = None,
    ) -> None:
        """A take of numbers around `at`, of which the first `lost` frames have none."""
        rng = np.random.default_rng(round(1e5 + at * 1000))
        rows = (at + 0.1 * rng.standard_normal((frames, numbers))).astype(np.float32)
        rows[:lost] = np.nan
        self._add(targets, _numbers(rows), moving or {})

    def body(self, target: str, *, lift: float | None, frames: int = 20, lost: int = 0) -> None:
        """A take of a body, its arms at `lift` (None: they rise and fall), not in view in the first `lost` frames."""
        sequence = landmark_sequence(moving_body(frames=frames, lift=lift), ("pose",))
        assert sequence.pose is not None
        sequence.pose[:lost] = np.nan
        self._add({"pose": target}, sequence, {})

    def sweep(self, output: str, low: float, high: float, frames: int = 60) -> None:
        """A take in which the numbers go from -1 to 1 while the target goes from low to high."""
        rows = np.repeat(np.linspace(-1, 1, frames, dtype=np.float32)[:, None], 3, axis=1)
        values = np.linspace(low, high, frames).tolist()
        self._add({output: low}, _numbers(rows), {output: values})

    def _add(
        self,
        targets: Mapping[str, str | float],
        sequence: LandmarkSequence,
        moving: Mapping[str, Sequence[str | float]],
    ) -> None:
        whole = WholeTake(
            created_at="2026-11-23T10:00:00Z",
            source="osc",
            targets=targets,
            moving={name: tuple(values) for name, values in moving.items()},
            landmarks=sequence,
        )
        with TakeStore.open(self.project.takes_file) as store:
            store.add([whole], "add")

    def train(self, **options: object) -> ProjectTraining:
        return train_project(self.project.folder, **({"cache": FeatureCache()} | options))  # type: ignore[arg-type]


def _numbers(rows: np.ndarray) -> LandmarkSequence:
    """Rows of numbers at 30 a second."""
    return LandmarkSequence(
        times_s=np.arange(len(rows)) / 30, aspect=np.ones(len(rows), dtype=np.float32), numbers=rows
    )


@pytest.fixture
def written(tmp_path: Path) -> TakeWriter:
    """A project with one class output and no takes."""
    writer = TakeWriter(Project(tmp_path))
    writer.patch(CLASSES)
    return writer


def test_a_trained_project_has_model_files_that_predict(written: TakeWriter) -> None:
    written.patch(CLASSES.replace('"osc"', '"osc"\ninputs = 3'))
    for name, at in (("rest", 0.0), ("up", 3.0)):
        written.take({"pose": name}, at=at)
    result = written.train()
    model = load_model(written.project.model_file("pose"))
    assert model.model_id == result.models["pose"].model_id
    predictor = Predictor(read_patch(written.project.patch_file))
    predictor.replace({"pose": model})
    up = Features(frame_number=0, captured_at_s=0.0, values=np.full(3, 3.0, dtype=np.float32))
    pose = predictor.predict(up, True).outputs["pose"]
    assert not isinstance(pose, ContinuousPrediction)
    assert pose.classes[pose.best] == "up"


def test_the_files_say_how_training_went(written: TakeWriter) -> None:
    for name, at in (("rest", 0.0), ("up", 3.0)) * 2:
        written.take({"pose": name}, at=at)
    written.train()
    described = json.loads(written.project.model_file("pose").with_suffix(".json").read_text(encoding="utf-8"))
    summary = described["training"]
    assert (summary["examples"], summary["takes"]) == (80, 4)
    assert summary["class_counts"] == {"rest": 40, "up": 40}
    assert summary["validation"]["split"] == "takes"
    assert summary["validation"]["by_take"] == {"3": 1.0, "4": 1.0}
    assert summary["notes"] == []
    assert (summary["bits"], summary["packed_by"]) == (8, "round")
    assert 0 <= summary["drift"]["rms"] <= summary["drift"]["worst_jump"] < 0.02


@pytest.mark.parametrize(("insist", "bits"), [("false", 8), ("true", 4)])
def test_four_bits_that_would_be_heard_need_insisting(
    written: TakeWriter, monkeypatch: pytest.MonkeyPatch, insist: str, bits: int
) -> None:
    monkeypatch.setattr("instrument.models.quantize.MOST_WORST_JUMP", 1e-9)
    written.patch(CLASSES.replace("[[output]]", f"[[output]]\nbits = 4\ninsist = {insist}"))
    for name, at in (("rest", 0.0), ("up", 3.0)) * 2:
        written.take({"pose": name}, at=at)
    model = written.train().models["pose"]
    assert model.network.bits == model.training["bits"] == bits
    assert "4 bits move a control by" in model.training["notes"][0]


def test_training_again_gives_the_same_weights(written: TakeWriter) -> None:
    for name, at in (("rest", 0.0), ("up", 3.0)):
        written.take({"pose": name}, at=at)
    written.train()
    before = written.project.model_file("pose").read_bytes()
    written.train()
    assert written.project.model_file("pose").read_bytes() == before


def test_outputs_of_both_kinds_learn_from_their_own_takes(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS)
    written.take({"pose": "rest"}, at=0.0)
    written.take({"pose": "up", "cutoff": 250.0}, at=3.0)
    written.take({"cutoff": 150.0}, at=-3.0)
    models = written.train().models
    assert models["pose"].training["takes"] == 2
    assert models["cutoff"].training["takes"] == 2


def test_only_the_outputs_named_are_trained(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS)
    written.take({"pose": "rest", "cutoff": 100.0}, at=0.0)
    written.take({"pose": "up", "cutoff": 300.0}, at=3.0)
    assert set(written.train(outputs=["cutoff"]).models) == {"cutoff"}
    assert not written.project.model_file("pose").exists()


def test_an_output_that_cannot_learn_leaves_the_others_alone(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS)
    written.take({"pose": "rest"}, at=0.0)
    written.take({"pose": "up"}, at=3.0)
    result = written.train()
    assert set(result.models) == {"pose"}
    assert "no takes to learn from; record" in result.refused["cutoff"]


def test_an_output_that_picks_an_input_there_is_not_leaves_the_others_alone(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS + "inputs = [9]\n")
    for name, at in (("rest", 0.0), ("up", 3.0)):
        written.take({"pose": name, "cutoff": 100.0 + at}, at=at)
    result = written.train()
    assert list(result.models) == ["pose"]
    assert "input 9 picked, but there are 3" in result.refused["cutoff"]


def test_classes_come_in_the_order_first_recorded(written: TakeWriter) -> None:
    for name, at in (("zebra", 0.0), ("ant", 3.0)):
        written.take({"pose": name}, at=at)
    assert written.train().models["pose"].classes == ("zebra", "ant")


def test_classes_come_in_the_order_of_the_patch_where_it_lists_them(written: TakeWriter) -> None:
    written.patch(CLASSES + 'classes = ["up", "down", "rest"]\n')
    for name, at in (("rest", 0.0), ("up", 3.0)):
        written.take({"pose": name}, at=at)
    assert written.train().models["pose"].classes == ("up", "rest")


def test_a_take_of_a_class_not_listed_is_left_out_and_said_so(written: TakeWriter) -> None:
    written.patch(CLASSES + 'classes = ["up", "rest"]\n')
    for name, at in (("rest", 0.0), ("up", 3.0), ("other", 9.0)):
        written.take({"pose": name}, at=at)
    model = written.train().models["pose"]
    assert model.classes == ("up", "rest")
    assert "take 3 left out: its class 'other' is not one of up, rest" in model.training["notes"]


def test_another_number_of_classes_can_be_trained_at_any_time(written: TakeWriter) -> None:
    for name, at in (("a", 0.0), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    written.train()
    written.take({"pose": "c"}, at=6.0)
    assert written.train().models["pose"].classes == ("a", "b", "c")


def test_a_sweep_teaches_the_value_of_each_frame(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS)
    written.sweep("cutoff", 100.0, 300.0)
    written.sweep("cutoff", 100.0, 300.0)
    validation = written.train().models["cutoff"].training["validation"]
    assert validation["measure"] == "rmse"
    assert validation["score"] < 0.1


def test_a_class_that_changes_within_a_take_teaches_each_frame_its_own(written: TakeWriter) -> None:
    written.take({"pose": "a"}, at=0.0, moving={"pose": ["a"] * 5 + ["b"] * 15})
    assert written.train().models["pose"].training["class_counts"] == {"a": 5, "b": 15}


def test_frames_that_lack_a_number_are_left_out_and_counted(written: TakeWriter) -> None:
    written.take({"pose": "a"}, at=0.0, lost=10)
    written.take({"pose": "b"}, at=3.0)
    summary = written.train().models["pose"].training
    assert summary["class_counts"] == {"a": 10, "b": 20}
    said = "a number is missing in 10 of 40 frames, which were left out; record again while all numbers arrive"
    assert said in summary["notes"]


def test_frames_without_a_body_are_left_out_and_counted(written: TakeWriter) -> None:
    written.patch(CLASSES.replace('"osc"', '"camera"'))
    written.body("a", lift=0.0, lost=10)
    written.body("b", lift=1.0)
    written.body("b", lift=0.9, lost=20)
    summary = written.train().models["pose"].training
    assert summary["class_counts"] == {"a": 10, "b": 20}
    assert summary["notes"][:2] == [
        "take 3 left out: no body was found in any frame of it; record it again with all of you in view",
        "no body was found in 30 of 60 frames, which were left out; record again with all of you in view",
    ]


def test_a_take_without_all_numbers_in_any_frame_is_left_out_and_said_so(written: TakeWriter) -> None:
    written.take({"pose": "a"}, at=0.0, lost=20)
    for name, at in (("a", 0.1), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    said = "take 1 left out: a number is missing in every frame of it; record it again while all numbers arrive"
    assert said in written.train().models["pose"].training["notes"]


def test_a_take_whose_changing_class_is_not_listed_any_more_is_left_out_and_said_so(written: TakeWriter) -> None:
    written.patch(CLASSES + 'classes = ["up", "rest"]\n')
    for name, at in (("up", 0.0), ("rest", 3.0)):
        written.take({"pose": name}, at=at)
    written.take({"pose": "wide"}, at=9.0, moving={"pose": ["wide"] * 5 + ["high"] * 15})
    written.take({"pose": "up"}, at=9.0, lost=5, moving={"pose": ["up"] * 5 + ["high"] * 15})
    notes = written.train().models["pose"].training["notes"]
    said = "it shows wide, high, but the classes are up, rest; relabel it, or add those to `classes`"
    assert f"take 3 left out: {said}" in notes
    said = "a number is missing in every frame of it that shows up; record it again while all numbers arrive"
    assert f"take 4 left out: {said}" in notes


def test_a_movement_of_which_numbers_are_missing_is_refused_and_told_so(written: TakeWriter) -> None:
    written.patch(CLASSES + 'kind = "trigger"\n')
    written.take({"pose": "a"}, at=0.0, lost=18)
    with pytest.raises(TrainingError, match="all numbers came in 2 frames, a movement needs 3"):
        written.train()


def test_one_impossible_reading_spoils_nothing_and_is_told(written: TakeWriter) -> None:
    written.patch(CLASSES.replace('"osc"', '"osc"\ninputs = 3'))
    for name, at in (("rest", 0.0), ("up", 1.0)):
        written.take({"pose": name}, at=at)
    rows = np.full((20, 3), 1.0, dtype=np.float32)
    rows[4, 1], rows[5, 1] = 1e4, np.inf
    written._add({"pose": "up"}, _numbers(rows), {})
    result = written.train()
    model = result.models["pose"]
    assert model.training["class_counts"] == {"rest": 20, "up": 39}
    (note,) = [one for one in model.training["notes"] if "far beyond" in one]
    assert "in 1 frame," in note
    assert "10000 (numbers.2) in take 3" in note
    predictor = Predictor(read_patch(written.project.patch_file))
    predictor.replace({"pose": model})
    for at, name in ((0.0, "rest"), (1.0, "up")):
        row = Features(frame_number=0, captured_at_s=0.0, values=np.full(3, at, dtype=np.float32))
        said = predictor.predict(row, True).outputs["pose"]
        assert isinstance(said, ClassPrediction)
        assert said.classes[int(np.argmax(said.confidences))] == name
        assert max(said.confidences) > 0.9


def test_a_class_shown_once_among_thousands_of_frames_is_learned(written: TakeWriter) -> None:
    written.patch(CLASSES.replace('"osc"', '"osc"\ninputs = 3'))
    written.take({"pose": "rest"}, at=0.0, frames=3000)
    written.take({"pose": "up"}, at=9.0, frames=1)
    model = written.train().models["pose"]
    predictor = Predictor(read_patch(written.project.patch_file))
    predictor.replace({"pose": model})
    row = Features(frame_number=0, captured_at_s=0.0, values=np.full(3, 9.0, dtype=np.float32))
    said = predictor.predict(row, True).outputs["pose"]
    assert isinstance(said, ClassPrediction)
    assert said.classes[said.best] == "up"
    assert not any("far beyond" in note for note in model.training["notes"])


def test_takes_of_another_count_of_numbers_are_left_out(written: TakeWriter) -> None:
    written.take({"pose": "a"}, at=9.0, numbers=5)
    for name, at in (("a", 0.0), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    model = written.train().models["pose"]
    assert len(model.feature_names) == 3
    assert "take 1 left out: it has 5 numbers, the patch 3" in model.training["notes"]


def test_a_score_from_the_end_of_single_takes_says_so(written: TakeWriter) -> None:
    for name, at in (("a", 0.0), ("b", 3.0), ("b", 3.1)):
        written.take({"pose": name}, at=at)
    summary = written.train().models["pose"].training
    assert summary["validation"]["split"] == "blocks"
    assert any("score of a comes from the end of a single take" in note for note in summary["notes"])


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([], "output 'pose': no takes to learn from; record at least one take"),
        (["a"], "there are takes of 'a' only; record a take of another class"),
        ([0.5, 0.7], "take 1 left out: its target is 0.5, but the output is class"),
    ],
)
def test_nothing_to_learn_is_said_with_what_to_do(written: TakeWriter, targets: list[str | float], said: str) -> None:
    written.patch(CLASSES.replace('"osc"', '"osc"\ninputs = 3'))
    for target in targets:
        written.take({"pose": target}, at=0.0)
    with pytest.raises(TrainingError, match=said):
        written.train()


def test_one_value_only_is_learned_and_said_so(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS)
    written.take({"cutoff": 200.0}, at=0.0)
    notes = written.train().models["cutoff"].training["notes"]
    assert any("every take shows 200, so that is all it can say" in note for note in notes)


def test_values_from_few_poses_know_where_they_disagree(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS + "disagreement = true\n")
    for value, at in ((100.0, 0.0), (200.0, 1.0), (300.0, 2.0), (150.0, 0.5), (250.0, 1.5)):
        written.take({"cutoff": value}, at=at)
    model = written.train().models["cutoff"]
    loaded = load_model(written.project.model_file("cutoff"))
    assert loaded.model_id == model.model_id
    ensemble = [partial(forward, dequantised(network)) for network in loaded.ensemble]
    near, far = (np.full((1, 3), at, dtype=np.float32) for at in (1.0, 20.0))
    disagreement = [float(np.std([said(rows) for said in ensemble])) for rows in (near, far)]
    assert disagreement[0] < 0.2 < disagreement[1]


def test_values_beyond_the_range_are_taken_as_its_ends(written: TakeWriter) -> None:
    written.patch(TWO_OUTPUTS)
    written.take({"cutoff": 1000.0}, at=0.0)
    written.take({"cutoff": 100.0}, at=3.0)
    assert "targets beyond 100..300 were taken as its ends" in written.train().models["cutoff"].training["notes"]


def test_a_network_too_large_is_refused_with_what_to_do(written: TakeWriter) -> None:
    written.patch(CLASSES + "hidden = [4096, 4096, 4096, 4096, 4096, 4096]\n")
    for name, at in (("a", 0.0), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    with pytest.raises(TrainingError, match="make `hidden` smaller"):
        written.train()


def test_an_output_there_is_not_is_named(written: TakeWriter) -> None:
    with pytest.raises(TrainingError, match="no output 'nose'; this patch has: pose"):
        written.train(outputs=["nose"])


def test_cancelling_leaves_the_model_in_place(written: TakeWriter) -> None:
    for name, at in (("a", 0.0), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    written.train()
    before = written.project.model_file("pose").read_bytes()
    written.take({"pose": "c"}, at=6.0)
    with pytest.raises(Cancelled):
        written.train(is_cancelled=iter([False] * 50 + [True] * 9).__next__)
    assert written.project.model_file("pose").read_bytes() == before


def test_progress_names_the_output(written: TakeWriter) -> None:
    for name, at in (("a", 0.0), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    seen: list[tuple[str, Progress]] = []
    written.train(on_progress=lambda output, progress: seen.append((output, progress)))
    assert {output for output, _ in seen} == {"pose"}
    assert seen[-1][1].step == seen[-1][1].steps


def test_what_is_varied_is_what_features_show_of_a_body_that_moves(written: TakeWriter) -> None:
    written.patch(CLASSES.replace('source = "osc"', 'track = ["pose"]'))
    written.body("moves", lift=None, frames=60)
    written.body("hangs", lift=0.0)
    patch = read_patch(written.project.patch_file)
    with TakeStore.open(written.project.takes_file, readonly=True) as store:
        dataset = gather(patch, patch.outputs[0], store.takes(), store, FeatureCache())
    as_it_is = replace(patch, smoothing=Smoothing(min_cutoff_hz=0.0))
    columns = features.feature_columns(patch, patch.outputs[0])
    shown = np.concatenate([features.extract(as_it_is, one)[np.ix_(rows, columns)] for one, rows in dataset.frames])
    np.testing.assert_allclose(shown, dataset.examples.values, atol=2e-3)


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the length of every take that features are extracted from."""
    lengths: list[int] = []
    original: Callable[..., np.ndarray] = features.extract

    def extract(patch: object, sequence: LandmarkSequence) -> np.ndarray:
        lengths.append(len(sequence))
        return original(patch, sequence)

    monkeypatch.setattr(datasets, "extract", extract)
    return lengths


def test_after_one_more_take_only_that_one_is_extracted(written: TakeWriter, extracted: list[int]) -> None:
    cache = FeatureCache()
    for name, at in (("a", 0.0), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    written.train(cache=cache)
    written.take({"pose": "b"}, at=3.1, frames=25)
    written.train(cache=cache)
    assert extracted == [20, 20, 25]


def test_a_trimmed_take_is_extracted_again(written: TakeWriter, extracted: list[int]) -> None:
    cache = FeatureCache()
    for name, at in (("a", 0.0), ("b", 3.0)):
        written.take({"pose": name}, at=at)
    written.train(cache=cache)
    with TakeStore.open(written.project.takes_file) as store:
        store.trim(1, 2, 11)
    assert written.train(cache=cache).models["pose"].training["class_counts"] == {"a": 10, "b": 20}
    assert extracted == [20, 20, 10]


def test_the_cache_forgets_the_oldest_when_it_is_full(written: TakeWriter, extracted: list[int]) -> None:
    cache = FeatureCache(most_bytes=2 * 20 * 3 * 4)
    for name, at in (("a", 0.0), ("b", 3.0), ("b", 3.1)):
        written.take({"pose": name}, at=at)
    written.train(cache=cache)
    written.train(cache=cache)
    assert len(extracted) == 6


def test_a_broken_patch_and_damaged_takes_raise_their_own_reasons(written: TakeWriter) -> None:
    written.project.takes_file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(TakesError):
        written.train()
    written.patch("[[output]")
    with pytest.raises(PatchError):
        written.train()


def test_a_class_whose_takes_are_deleted_is_gone_after_training_again(written: TakeWriter) -> None:
    for name, at in (("a", 0.0), ("b", 3.0), ("c", 6.0)):
        written.take({"pose": name}, at=at)
    written.train()
    with TakeStore.open(written.project.takes_file) as store:
        store.delete([2])
    assert written.train().models["pose"].classes == ("a", "c")
