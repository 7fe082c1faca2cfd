"""A trained model as an ONNX file says in ONNX Runtime what the instrument says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from movements import HZ, circle, stream, zigzag
from packed_networks import drawn_network
from test_movement import PATCH, dataset
from typer.testing import CliRunner

from instrument.cli import app
from instrument.datasets import FeatureCache
from instrument.features import extract, feature_names
from instrument.kernels.cpu import dequantised, forward
from instrument.kernels.packing import FloatArray
from instrument.models.movement_model import save_movements
from instrument.models.onnx_file import onnx_bytes
from instrument.models.trained import TrainedModel, load_model
from instrument.movement import train_movements
from instrument.patch_file import read_patch
from instrument.predictor import Predictor
from instrument.project import Project
from instrument.projects import new_project
from instrument.signals import ClassPrediction, ContinuousPrediction, Features
from instrument.takes import TakeStore
from instrument.training import train_project

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The three postures, trained."""
    project = new_project(tmp_path_factory.mktemp("projects") / "mine", "three-postures")
    train_project(project.folder, cache=FeatureCache())
    return project


def instrument(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def opened(model: Path | bytes) -> Any:
    content = model if isinstance(model, bytes) else model.read_bytes()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def metadata(session: Any) -> dict[str, str]:
    return dict(session.get_modelmeta().custom_metadata_map)


def real_features(project: Project) -> tuple[tuple[str, ...], FloatArray]:
    """The names of the features, and those of every frame of every take."""
    patch = read_patch(project.patch_file)
    with TakeStore.open(project.takes_file, readonly=True) as store:
        return feature_names(patch), np.concatenate([extract(patch, store.landmarks(t.id)) for t in store.takes()])


def played(project: Project, output: str, rows: FloatArray) -> FloatArray:
    """(N, C): what the instrument says of that output."""
    patch = read_patch(project.patch_file)
    predictor = Predictor(patch)
    predictor.replace({output: load_model(project.model_file(output))})
    said = []
    for number, values in enumerate(rows):
        features = Features(frame_number=number, captured_at_s=0.0, values=values)
        one = predictor.predict(features, True).outputs[output]
        assert isinstance(one, ClassPrediction | ContinuousPrediction)
        said.append(one.confidences if isinstance(one, ClassPrediction) else [one.value])
    return np.array(said, dtype=np.float32)


@pytest.mark.parametrize("output", ["posture", "lift"])
def test_it_says_of_real_features_what_the_instrument_says(project: Project, tmp_path: Path, output: str) -> None:
    code, text = instrument("export-model", tmp_path / "net.onnx", project.folder, "--output", output)
    assert code == 0, text
    session = opened(tmp_path / "net.onnx")
    names, rows = real_features(project)
    columns = [names.index(name) for name in json.loads(metadata(session)["feature_names"])]
    said = session.run(None, {"features": rows[:, columns]})[0]
    wanted = played(project, output, rows)
    assert np.ptp(wanted) > 0.5
    np.testing.assert_allclose(said, wanted, atol=1e-5)


def test_without_an_output_every_trained_model_gets_a_file(project: Project, tmp_path: Path) -> None:
    code, text = instrument("export-model", tmp_path / "net.onnx", project.folder)
    assert code == 0, text
    assert {file.name for file in tmp_path.iterdir()} == {"net-posture.onnx", "net-lift.onnx"}
    for name in ("posture", "lift"):
        described = metadata(opened(tmp_path / f"net-{name}.onnx"))
        assert described["output"] == name
        assert described["model_id"] == load_model(project.model_file(name)).model_id


def test_an_output_that_is_not_there_is_refused_with_those_that_are(project: Project, tmp_path: Path) -> None:
    code, text = instrument("export-model", tmp_path / "net.onnx", project.folder, "--output", "nose")
    assert code == 1
    assert "nose" in text
    assert "posture" in text
    assert not any(tmp_path.iterdir())


def test_a_project_that_was_not_trained_is_told_to_train(tmp_path: Path) -> None:
    project = new_project(tmp_path / "mine", "three-postures")
    code, text = instrument("export-model", tmp_path / "net.onnx", project.folder)
    assert code == 1
    assert "play it once" in text


def test_a_model_of_movements_says_of_a_recent_past_what_the_instrument_hears(tmp_path: Path) -> None:
    patch = '[listen]\nsource = "osc"\ninputs = 2\n[[output]]\nname = "move"\nkind = "trigger"\n'
    (tmp_path / "patch.toml").write_text(patch, encoding="utf-8")
    model = train_movements(PATCH, PATCH.outputs[0], dataset())
    (tmp_path / "models").mkdir()
    save_movements(model, Project(tmp_path).model_file("move"))
    code, text = instrument("export-model", tmp_path / "net.onnx", tmp_path)
    assert code == 0, text
    session = opened(tmp_path / "net-move.onnx")
    described = {name: json.loads(metadata(session)[name]) for name in ("moments_s", "columns", "classes")}
    assert described["columns"][:2] == ["nothing", "circle.1"]
    places = stream([circle(1.0, seed=20), zigzag(1.2, seed=21)]).astype(np.float32)
    at = np.maximum(np.arange(len(places))[:, None] - HZ * np.array(described["moments_s"]), 0)
    recent = np.stack([np.interp(at, np.arange(len(places)), column) for column in places.T], axis=2)
    said = session.run(["said"], {"features": recent.astype(np.float32)})[0]
    given = forward(dequantised(model.network), model.past.inputs(model.past.places(recent.astype(np.float32))))
    likely = np.exp(given[:, :-1]) / np.exp(given[:, :-1]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(said[:, :-1], likely, atol=1e-4)
    np.testing.assert_allclose(said[:, -1], given[:, -1].clip(0, 1) ** 2 * model.past.window_s, atol=1e-4)
    assert {described["columns"][column].partition(".")[0] for column in said[:, :-1].argmax(axis=1)} == {
        "nothing",
        "circle",
        "zigzag",
    }


def drawn_model(widths: Sequence[int], *, bits: int, classes: tuple[str, ...] = ()) -> TrainedModel:
    return TrainedModel(
        output="drawn",
        kind="class" if classes else "continuous",
        classes=classes,
        low=-3.0,
        high=5.0,
        feature_names=tuple(f"f{number}" for number in range(widths[0])),
        feature_fingerprint="f00d",
        hidden=tuple(widths[1:-1]),
        seed=0,
        network=drawn_network(*widths, bits=bits, seed=1),
    )


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("widths", [(7, 1), (99, 64, 1), (300, 512, 512, 1)])
def test_a_value_lies_in_its_range_at_every_size_and_packing(widths: tuple[int, ...], bits: int) -> None:
    model = drawn_model(widths, bits=bits)
    session = opened(onnx_bytes(model))
    rows = 10 * np.random.default_rng(0).standard_normal((50, widths[0]), dtype=np.float32)
    said = session.run(["value"], {"features": rows})[0]
    assert said.shape == (50, 1)
    assert said.min() >= model.low
    assert said.max() <= model.high
    assert json.loads(metadata(session)["range"]) == [-3.0, 5.0]


def test_names_of_any_language_come_back_from_the_metadata() -> None:
    model = drawn_model((3, 4, 2), bits=8, classes=('ruhe, "still"', "上"))
    assert json.loads(metadata(opened(onnx_bytes(model)))["classes"]) == list(model.classes)


def test_only_operations_every_runtime_knows_are_asked_for() -> None:
    """Nothing but opset 13 of ONNX itself, even for networks wide enough to be packed here."""
    content = onnx_bytes(drawn_model((300, 512, 512, 1), bits=8))
    assert b"com.microsoft" not in content
    assert b"MatMulNBits" not in content
