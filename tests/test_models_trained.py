"""A model's two files: what is written is what is read, and nothing else is accepted."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from instrument.kernels.packing import PackedNetwork
from instrument.models.familiarity import Density, Familiarity
from instrument.models.quantize import round_to_nearest
from instrument.models.trained import CannotWrite, ModelError, TrainedModel, load_model, save_model

NETWORK = PackedNetwork(
    shift=np.arange(3, dtype=np.float32),
    gain=np.ones(3, dtype=np.float32),
    layers=(
        round_to_nearest(np.arange(12).reshape(3, 4), np.ones(4), bits=8),
        round_to_nearest(np.arange(8).reshape(4, 2), np.zeros(2), bits=4),
    ),
)
OUTSIDER = PackedNetwork(
    shift=np.zeros(3, dtype=np.float32),
    gain=np.ones(3, dtype=np.float32),
    layers=(
        round_to_nearest(np.arange(15).reshape(3, 5), np.ones(5), bits=8),
        round_to_nearest(np.arange(15).reshape(5, 3), np.zeros(3), bits=8),
    ),
)
"""Of two classes, and strangers."""
MODEL = TrainedModel(
    output="pose",
    kind="class",
    classes=("rest", "arms up"),
    feature_names=("a", "b", "c"),
    feature_fingerprint="f00d",
    hidden=(4,),
    seed=3,
    network=NETWORK,
    training={"examples": 7, "notes": ["ärmel"]},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where MODEL is saved."""
    path = tmp_path / "models" / "pose.safetensors"
    save_model(MODEL, path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    change(described)
    path.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")


def reweigh(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path)


def test_a_model_comes_back_as_it_was_saved(path: Path) -> None:
    loaded = load_model(path)
    assert replace(loaded, network=NETWORK) == MODEL
    came, wanted = loaded.network.tensors(), NETWORK.tensors()
    assert came.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (came[name].dtype, came[name].shape) == (array.dtype, array.shape)
        assert came[name].tobytes() == array.tobytes()
    assert loaded.model_id == MODEL.model_id


def test_saving_twice_gives_the_same_bytes(path: Path) -> None:
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    save_model(MODEL, path)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before


def test_saving_leaves_nothing_else_behind(path: Path) -> None:
    assert sorted(file.name for file in path.parent.iterdir()) == ["pose.json", "pose.safetensors"]


def test_both_files_are_written_or_none(path: Path) -> None:
    save_model(MODEL, path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    in_the_way = path.with_name(path.stem + ".json.tmp")
    in_the_way.mkdir()
    with pytest.raises(CannotWrite, match=r"json: cannot be written .*make room"):
        save_model(replace(MODEL, seed=MODEL.seed + 1), path)
    in_the_way.rmdir()
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_both_files_name_the_model(path: Path) -> None:
    with safetensors.safe_open(path, framework="np") as weights:
        assert weights.metadata() == {"model_id": MODEL.model_id}
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["model_id"] == MODEL.model_id


def test_the_id_changes_with_the_weights_and_with_their_meaning() -> None:
    other = replace(MODEL, network=replace(NETWORK, shift=NETWORK.shift + 1))
    renamed = replace(MODEL, classes=("arms up", "rest"))
    assert len({MODEL.model_id, other.model_id, renamed.model_id}) == 3


def test_weights_of_another_model_are_refused(path: Path) -> None:
    reweigh(path, lambda tensors: tensors["layer0.codes"].__imul__(-1))
    with pytest.raises(ModelError, match="the weights do not belong"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_says_to_train(path: Path, suffix: str) -> None:
    path.with_suffix(suffix).unlink()
    with pytest.raises(ModelError, match="no such file; train first"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 9, b"[" * 100_000, b"\xff" * 64, b'"text"', b"9" * 5000, pickle.dumps({"a": 1})],
    ids=["empty", "zeros", "brackets", "ones", "text", "digits", "pickle"],
)
def test_files_of_rubbish_are_refused(path: Path, suffix: str, content: bytes) -> None:
    path.with_suffix(suffix).write_bytes(content)
    with pytest.raises(ModelError):
        load_model(path)


@pytest.mark.parametrize("key", ["output", "kind", "classes", "low", "high", "feature_names", "hidden", "seed"])
@pytest.mark.parametrize("value", [None, True, 1e999, 10**400, "", "\ud800", [None], ["a", "a"], [-3], [1e9], {}])
def test_a_field_of_the_wrong_kind_is_refused_by_name(path: Path, key: str, value: object) -> None:
    rewrite(path, lambda described: described.update({key: value}))
    with pytest.raises(ModelError, match=f"{key} is"):
        load_model(path)


@pytest.mark.parametrize("hidden", [[65536] * 3, [60000, 60000], [1] * 10_000])
def test_a_network_too_large_is_refused_before_memory_is_taken(path: Path, hidden: list[int]) -> None:
    rewrite(path, lambda described: described.update(hidden=hidden))
    with pytest.raises(ModelError):
        load_model(path)


def test_a_weights_file_larger_than_its_network_is_not_read(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelError, match="bytes; allowed"):
        load_model(path)


def test_a_header_that_promises_huge_tensors_is_refused(path: Path) -> None:
    header = b'{"layer0.codes":{"dtype":"F32","shape":[4000000000,4000000000],"data_offsets":[0,64]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x00" * 64)
    with pytest.raises(ModelError, match="not safetensors"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("layer1.biases"), "layer 1: has codes"),
        (lambda tensors: tensors.pop("layer0.format"), "layer 0: there is no `format`"),
        (lambda tensors: tensors.pop("input.gain"), "input.gain: nothing"),
        (lambda tensors: tensors["input.gain"].fill(np.nan), "input.gain has numbers that are not finite"),
        (lambda tensors: tensors.update({"input.shift": np.zeros(2, np.float32)}), r"allowed: float32 \(3,\)"),
        (lambda tensors: tensors["layer0.format"].__setitem__(3, 2), "layer 0 is 2 x 4; allowed: 3 x 4"),
        (lambda tensors: tensors["layer0.format"].__setitem__(0, 9), "packed as format 9"),
        (lambda tensors: tensors["layer1.zeros"].fill(200), "zero of 200"),
        (lambda tensors: tensors.update(extra=np.zeros(1, dtype=np.float32)), "extra"),
        (lambda tensors: tensors.update({"layer0.biases": np.zeros(4)}), "float64"),
        (lambda tensors: tensors.update({"layer0.biases": np.zeros(5, dtype=np.float32)}), r"\(5,\)"),
        (lambda tensors: tensors["layer0.biases"].fill(np.nan), "not finite"),
        (lambda tensors: tensors["layer1.scales"].fill(np.inf), "not finite"),
    ],
)
def test_weights_that_are_not_the_network_s_are_refused(path: Path, change: Callable[[Any], object], said: str) -> None:
    reweigh(path, change)
    with pytest.raises(ModelError, match=said):
        load_model(path)


FAMILIAR = replace(
    MODEL,
    familiarity=Familiarity(
        density=Density(centres=np.zeros((2, 1, 4), dtype=np.float32), factors=np.ones((2, 1, 4, 4), dtype=np.float32)),
        curve=np.array([[0.0, 0.0], [1.0, -3.0]], dtype=np.float32),
        outsiders=(OUTSIDER, OUTSIDER),
    ),
    ensemble=(NETWORK, NETWORK),
    rehearsal={"least": 0.2},
)


def test_familiarity_ensemble_and_rehearsal_come_back_as_saved(path: Path) -> None:
    save_model(FAMILIAR, path)
    loaded = load_model(path)
    assert loaded.model_id == FAMILIAR.model_id
    assert loaded.rehearsal == {"least": 0.2}
    assert len(loaded.ensemble) == 2
    assert loaded.familiarity is not None
    assert len(loaded.familiarity.outsiders) == 2
    for name, array in FAMILIAR.tensors().items():
        np.testing.assert_array_equal(loaded.tensors()[name], array)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("familiarity.curve"), "not all there"),
        (lambda tensors: tensors["familiarity.factors"].fill(np.nan), "does not fit"),
        (lambda tensors: tensors["familiarity.curve"].fill(0), "does not fit"),
        (lambda tensors: tensors.update({"familiarity.centres": np.zeros((2, 1, 9), np.float32)}), "does not fit"),
        (lambda tensors: tensors.update({"familiarity.factors": np.zeros((3, 1, 4, 4), np.float32)}), "does not fit"),
        (lambda tensors: tensors["ensemble1.layer0.biases"].fill(np.nan), "ensemble1.layer 0"),
        (lambda tensors: tensors.pop("ensemble0.input.shift"), "do not belong"),
        (lambda tensors: tensors["outsider1.layer1.scales"].fill(np.inf), "outsider1.layer 1"),
        (lambda tensors: tensors.update({"outsider0.layer1.biases": np.zeros(2, np.float32)}), "outsider0.layer 1"),
        (lambda tensors: tensors.pop("outsider0.input.gain"), "outsider0.input.gain"),
    ],
)
def test_a_familiarity_that_does_not_fit_is_refused(path: Path, change: Callable[[Any], object], said: str) -> None:
    save_model(FAMILIAR, path)
    reweigh(path, change)
    with pytest.raises(ModelError, match=said):
        load_model(path)


@pytest.mark.parametrize("rehearsal", [{}, {"least": 2}, {"least": True}, [0.1]])
def test_a_rehearsal_without_a_share_is_refused(path: Path, rehearsal: object) -> None:
    rewrite(path, lambda described: described.update(rehearsal=rehearsal))
    with pytest.raises(ModelError, match="rehearsal is"):
        load_model(path)


@pytest.mark.parametrize("there", [1, 3])
def test_another_format_is_refused_by_number(path: Path, there: int) -> None:
    rewrite(path, lambda described: described.update(format=there))
    with pytest.raises(ModelError, match=f"format is {there}; allowed: 2"):
        load_model(path)
