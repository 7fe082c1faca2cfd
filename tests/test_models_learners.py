"""scikit-learn's learners, made again from what they learned from."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from clients import wait_until
from playing import NUMBERS_PATCH, playing

from instrument.datasets import Dataset, FeatureCache
from instrument.evaluation import evaluate
from instrument.models import learners
from instrument.models.crossfit import familiarity_of_inputs
from instrument.models.familiarity import FrameFamiliarity, units_of
from instrument.models.fitting import Examples, TrainingError
from instrument.models.learner_names import CLASS_LEARNERS, CONTINUOUS_LEARNERS
from instrument.models.learners import MOST_EXAMPLES, learn, learned_from, why_slow
from instrument.models.onnx_file import onnx_bytes
from instrument.models.trained import ModelError, TrainedModel, load_model, save_model
from instrument.models.whitening import standardised
from instrument.patch import Patch, PatchError
from instrument.patch_file import parse_patch, read_patch
from instrument.predictor import ModelStatus, Predictor
from instrument.project import Project
from instrument.scored import read_scorable
from instrument.signals import ClassPrediction, Features, LandmarkSequence
from instrument.takes import TakeStore, WholeTake
from instrument.training import train_output, train_project

pytest.importorskip("sklearn")

PATCH = """
[listen]
source = "osc"
inputs = 3
[[output]]
name = "learned"
kind = "{kind}"
learner = "{learner}"
"""
KINDS = [*(("class", name) for name in CLASS_LEARNERS), *(("continuous", name) for name in CONTINUOUS_LEARNERS)]


def project_of(folder: Path, kind: str, learner: str) -> Project:
    """Two takes each of numbers around 0 and around 1, which teach those values or their names."""
    project = Project(folder)
    project.patch_file.write_text(PATCH.format(kind=kind, learner=learner))
    rng = np.random.default_rng(0)
    takes = [
        WholeTake(
            created_at=f"2026-01-01T00:00:0{number}Z",
            source="test",
            targets={"learned": ["low", "high"][number % 2] if kind == "class" else float(number % 2)},
            landmarks=LandmarkSequence(
                times_s=np.arange(20) / 30,
                aspect=np.ones(20, dtype=np.float32),
                numbers=(number % 2 + 0.1 * rng.standard_normal((20, 3))).astype(np.float32),
            ),
        )
        for number in range(4)
    ]
    with TakeStore.open(project.takes_file) as store:
        store.add(takes, "test")
    return project


def trained(folder: Path, kind: str = "class", learner: str = "knn") -> tuple[Patch, Path]:
    """Its patch, and the file of its model."""
    project = project_of(folder, kind, learner)
    train_project(folder, cache=FeatureCache())
    return read_patch(project.patch_file), project.model_file("learned")


def said_by(patch: Patch, model: TrainedModel, *values: float) -> np.ndarray:
    """The confidences or the value a fresh predictor gives for all inputs at each of these values."""
    predictor = Predictor(patch)
    predictor.replace({"learned": model})
    wait_until(lambda: status(predictor).backend_us or status(predictor).reason, "the learner to be made")
    found = []
    for value in values:
        row = Features(frame_number=0, captured_at_s=0.0, values=np.full(3, value, dtype=np.float32))
        given = predictor.predict(row, True).outputs["learned"]
        found.append(given.confidences if isinstance(given, ClassPrediction) else [given.value])
    return np.array(found)


def status(predictor: Predictor) -> ModelStatus:
    return predictor.status()[0]


@pytest.mark.parametrize(("kind", "learner"), KINDS)
def test_every_learner_tells_apart_what_it_was_shown(tmp_path: Path, kind: str, learner: str) -> None:
    patch, file = trained(tmp_path, kind, learner)
    low, high = said_by(patch, load_model(file), 0.0, 1.0)
    assert high[-1] - low[-1] > 0.4


@pytest.mark.parametrize(("kind", "learner"), KINDS)
def test_every_learner_says_the_same_after_it_is_saved_and_opened(tmp_path: Path, kind: str, learner: str) -> None:
    patch, file = trained(tmp_path, kind, learner)
    probes = np.linspace(-0.5, 1.5, 9)
    once, again = (said_by(patch, load_model(file), *probes) for _ in range(2))
    project = Project(tmp_path)
    model = train_project(tmp_path, cache=FeatureCache()).models["learned"]
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(once, said_by(patch, model, *probes))
    assert model.model_id == load_model(project.model_file("learned")).model_id


@pytest.mark.parametrize(("kind", "learner"), KINDS)
def test_every_learner_has_a_score_by_take(tmp_path: Path, kind: str, learner: str) -> None:
    project_of(tmp_path, kind, learner)
    validation = train_project(tmp_path, cache=FeatureCache()).models["learned"].training["validation"]
    assert validation["split"] == "takes"
    assert validation["score"] > 0.9 if kind == "class" else validation["score"] < 0.3


def test_many_classes_of_many_features_are_opened_as_saved(tmp_path: Path) -> None:
    patch = parse_patch(PATCH.format(kind="class", learner="knn").replace("inputs = 3", "inputs = 130"), tmp_path)
    classes, each = 20, 200
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.standard_normal((classes, 130)), each, axis=0)
    rows = (centres + 0.1 * rng.standard_normal(centres.shape)).astype(np.float32)
    sequence = LandmarkSequence(
        times_s=np.arange(len(rows)) / 30, aspect=np.ones(len(rows), dtype=np.float32), numbers=rows
    )
    dataset = Dataset(
        examples=Examples(
            values=rows,
            targets=np.repeat(np.arange(classes), each),
            takes=np.arange(len(rows)) // (each // 2),
            class_count=classes,
        ),
        classes=tuple(f"class {number}" for number in range(classes)),
        take_ids=tuple(range(1, 2 * classes + 1)),
        feature_names=tuple(f"numbers.{number}" for number in range(1, 131)),
        frames=((sequence, np.arange(len(rows))),),
        notes=(),
    )
    model = train_output(patch, patch.outputs[0], dataset)
    save_model(model, tmp_path / "learned.safetensors")
    assert load_model(tmp_path / "learned.safetensors").model_id == model.model_id


@pytest.mark.parametrize("learner", ["forest", "knn", "boosting"])
def test_a_learner_gives_up_no_more_true_gestures_than_it_promises(learner: str) -> None:
    centres = 0.6 * np.random.default_rng(0).standard_normal((6, 20))

    def recorded(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eight takes of each class, each a little apart from the others: rows, classes, takes."""
        rng = np.random.default_rng(seed)
        takes = np.repeat(np.arange(48), 15)
        apart = 0.5 * rng.standard_normal((48, 20))
        rows = centres[takes // 8] + apart[takes] + 0.7 * rng.standard_normal((len(takes), 20))
        return rows.astype(np.float32), takes // 8, takes

    rows, targets, takes = recorded(1)
    examples = Examples(values=rows, targets=targets, takes=takes, class_count=6)
    learned = learned_from(learner, examples, 0)
    familiar = familiarity_of_inputs(examples, standardised(learned.values))
    assert familiar is not None
    view = standardised(learned.values)
    units = units_of((), shift=view.mean, gain=view.scale, blocks=1, units=familiar.density.centres.shape[2])
    one = FrameFamiliarity(familiar, units)
    new, _, _ = recorded(2)
    given = np.exp(learn(learned)(new))
    given /= given.sum(axis=1, keepdims=True)
    found = [one(row, int(said.argmax()), float(said.max())) for row, said in zip(new, given, strict=True)]
    assert np.mean(np.array(found) < 0.05) < 0.08


@pytest.mark.parametrize("learner", CLASS_LEARNERS)
def test_examples_that_are_all_alike_are_anything(learner: str) -> None:
    examples = Examples(
        values=np.ones((20, 2), dtype=np.float32), targets=np.arange(20) % 2, takes=np.arange(20) // 5, class_count=2
    )
    said = np.exp(learn(learned_from(learner, examples, 0))(np.array([[1, 1], [2, 0]], dtype=np.float32)))
    np.testing.assert_allclose(said / said.sum(axis=1, keepdims=True), 0.5)


def test_of_more_poses_than_are_kept_evenly_spaced_ones_are() -> None:
    values = np.linspace(0, 1, MOST_EXAMPLES + 10, dtype=np.float32)
    learned = learned_from(
        "knn", Examples(values=values[:, None], targets=values, takes=np.arange(len(values))), seed=0
    )
    assert 1 < len(learned.values) <= MOST_EXAMPLES
    assert np.ptp(learned.targets) > 0.99


def test_a_learner_is_evaluated_with_the_same_scores(tmp_path: Path) -> None:
    project_of(tmp_path, "class", "svm")
    ((patch, output, dataset),) = read_scorable(tmp_path)
    result = evaluate(patch, output, dataset, kind="takes", runs=1)
    assert result["accuracy"] == 1.0
    assert result["confusion"] == [[20, 0], [0, 20]]


def test_a_learner_plays_trains_and_comes_back_in_an_engine(tmp_path: Path) -> None:
    patch = NUMBERS_PATCH.replace('name = "side"', 'name = "side"\nlearner = "knn"')
    for is_first in (True, False):
        with playing(tmp_path / "project", patch) as instrument:
            if is_first:
                instrument.teach_sides()
                instrument.ask("train")
            wait_until(lambda: instrument.status()["outputs"][0]["backend_us"], "the learner to be made")
            instrument.ask("subscribe", "prediction")
            instrument.inputs(0.85, 0.9)
            heard = next(values for address, values in instrument.client.messages(5.0) if values[0] == "side")
            assert heard[1] == "right"
            assert instrument.status()["outputs"][0]["backend"] == "scikit-learn knn"


@pytest.mark.parametrize(
    ("kind", "learner", "said"),
    [
        ("class", "polynomial", "learner: 'polynomial'; allowed: for a class output: network, knn"),
        ("continuous", "bayes", "network, knn, svm, forest, boosting, linear, polynomial"),
        ("class", "forrest", "did you mean 'forest'"),
    ],
)
def test_a_learner_there_is_not_is_refused_with_those_there_are(kind: str, learner: str, said: str) -> None:
    with pytest.raises(PatchError) as refused:
        parse_patch(PATCH.format(kind=kind, learner=learner), Path("patch.toml"))
    assert said in str(refused.value)


def without_sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners.importlib.util, "find_spec", lambda _: None)


def test_without_scikit_learn_training_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project_of(tmp_path, "class", "knn")
    without_sklearn(monkeypatch)
    with pytest.raises(TrainingError, match=r"pip install 'scikit-learn"):
        train_project(tmp_path, cache=FeatureCache())


def test_without_scikit_learn_the_output_is_silent_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, file = trained(tmp_path)
    without_sklearn(monkeypatch)
    predictor = Predictor(patch)
    predictor.replace({"learned": load_model(file)})
    assert not status(predictor).is_running
    assert "pip install" in str(status(predictor).reason)


def test_scikit_learn_is_not_imported_until_a_learner_is_made() -> None:
    import subprocess

    code = "import sys, instrument.engine, instrument.training; print('sklearn' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "False"


def test_the_old_model_plays_until_the_new_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, file = trained(tmp_path)
    model = load_model(file)
    predictor = Predictor(patch)
    predictor.replace({"learned": model})
    wait_until(lambda: status(predictor).backend_us, "the learner to be made")
    monkeypatch.setattr("instrument.predictor._settle", lambda _: None)
    (tmp_path / "patch.toml").write_text((tmp_path / "patch.toml").read_text() + "seed = 1\n")
    newer = train_project(tmp_path, cache=FeatureCache()).models["learned"]
    predictor.replace({"learned": newer})
    row = Features(frame_number=0, captured_at_s=0.0, values=np.ones(3, dtype=np.float32))
    assert "learned" in predictor.predict(row, True).outputs


def test_an_edited_patch_does_not_wait_for_a_learner_made_before(tmp_path: Path) -> None:
    patch, file = trained(tmp_path)
    made: dict[str, Any] = {}
    first = Predictor(patch, made)
    first.replace({"learned": load_model(file)})
    wait_until(lambda: status(first).backend_us, "the learner to be made")
    second = Predictor(patch, made)
    second.replace({"learned": load_model(file)})
    assert status(second).backend_us


def test_a_patch_that_wants_another_learner_wants_another_model(tmp_path: Path) -> None:
    _, file = trained(tmp_path)
    patch = parse_patch(PATCH.format(kind="class", learner="network"), Path("patch.toml"))
    predictor = Predictor(patch)
    predictor.replace({"learned": load_model(file)})
    assert status(predictor).reason == "the model was learned by knn, the patch wants network; train again"


def test_many_examples_are_thinned_evenly() -> None:
    values = np.zeros((9000, 2), dtype=np.float32)
    targets = np.r_[np.zeros(8990), np.ones(10)].astype(np.intp)
    learned = learned_from("knn", Examples(values=values, targets=targets, takes=targets, class_count=2), seed=0)
    assert len(learned.values) == MOST_EXAMPLES
    assert int(learned.targets.sum()) == 10


@pytest.mark.parametrize("learner", CLASS_LEARNERS)
def test_one_example_of_each_class_is_enough(learner: str) -> None:
    values = np.array([[0, 0], [1, 1]], dtype=np.float32)
    examples = Examples(values=values, targets=np.arange(2), takes=np.arange(2), class_count=2)
    given = learn(learned_from(learner, examples, seed=0))(values)
    assert given.shape == (2, 2)
    assert np.isfinite(given).all()


def test_a_learner_that_takes_long_says_so() -> None:
    assert why_slow("forest", 1999.0) is None
    assert "3.5 ms a frame" in str(why_slow("forest", 3500.0))


def test_another_learner_than_the_network_cannot_be_written_as_onnx(tmp_path: Path) -> None:
    _, file = trained(tmp_path)
    with pytest.raises(ModelError, match="only networks"):
        onnx_bytes(load_model(file))


def reweigh(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = safetensors.numpy.load_file(file)
    change(tensors)
    safetensors.numpy.save_file(tensors, file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.pop("examples.targets"), "examples.targets"),
        (lambda one: one.update(other=np.zeros(1, np.float32)), "do not belong there: other"),
        (lambda one: one.update({"examples.values": one["examples.values"][:, :2].copy()}), "examples.values"),
        (lambda one: one["examples.values"].fill(np.nan), "finite"),
        (lambda one: one["examples.targets"].fill(7), "allowed: every number 0..1"),
        (lambda one: one.update({"examples.targets": one["examples.targets"][:-1].copy()}), "79 targets"),
        (lambda one: one["examples.values"].__iadd__(1), "do not belong"),
    ],
)
def test_examples_that_are_not_the_models_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    _, file = trained(tmp_path)
    reweigh(file, change)
    with pytest.raises(ModelError, match=said):
        load_model(file)


def test_a_learner_nobody_knows_is_refused(tmp_path: Path) -> None:
    _, file = trained(tmp_path)
    described = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps(described | {"learner": "pickle"}))
    with pytest.raises(ModelError, match="learner is 'pickle'; allowed: network, knn"):
        load_model(file)
