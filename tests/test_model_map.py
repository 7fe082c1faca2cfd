"""Pictures of what models see: their files, and what of them is sent."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from clients import PATIENCE_S, wait_until
from playing import Playing, playing

from instrument.client import Client, CommandFailed
from instrument.features import feature_fingerprint, feature_names
from instrument.model_map import ModelMap, NoMap, answer, as_examples, load_map, save_map
from instrument.models.projection import Projection
from instrument.models.trained import ModelError
from instrument.patch import Patch
from instrument.patch_file import parse_patch

PATCH = """
[listen]
source = "osc"
inputs = 4
[[output]]
name = "side"
features = ["numbers"]
inputs = [2, 4]
[[output]]
name = "fall"
kind = "trigger"
features = ["numbers"]
"""


def patch_of(text: str = PATCH) -> Patch:
    return parse_patch(text, Path("patch.toml"))


def drawn(count: int = 10, patch: Patch | None = None, names: tuple[str, ...] = ("numbers.2", "numbers.4")) -> ModelMap:
    """A picture of two features."""
    patch = patch or patch_of()
    rng = np.random.default_rng(0)
    return ModelMap(
        output="side",
        classes=("left", "right"),
        model_id="0" * 16,
        least_familiarity=0.05,
        feature_names=names,
        feature_fingerprint=feature_fingerprint(patch, patch.outputs[0]),
        projection=Projection(
            weights=rng.standard_normal((len(names), 2), dtype=np.float32),
            offset=np.array([1, 2], dtype=np.float32),
            low=np.array([-3, -4], dtype=np.float32),
            high=np.array([5, 6], dtype=np.float32),
        ),
        take_ids=(3, 8),
        example_count=count,
        agreement=0.9,
        examples=as_examples(
            rng.random((count, 2)),
            rng.integers(0, 2, count),
            rng.integers(0, 2, count).astype(np.uint8),
            np.zeros(count, dtype=np.uint8),
        ),
        regions=rng.integers(0, 255, (72, 96, 2), dtype=np.uint8),
    )


def test_a_picture_is_read_as_it_was_written(tmp_path: Path) -> None:
    file, one = tmp_path / "models" / "side.map.safetensors", drawn()
    save_map(one, file)
    read = load_map(file)
    for name in ModelMap.__slots__:
        if name not in ("examples", "regions", "projection"):
            assert getattr(read, name) == getattr(one, name)
    assert np.array_equal(read.examples, one.examples)
    assert np.array_equal(read.regions, one.regions)
    assert np.array_equal(read.projection.weights, one.projection.weights)
    assert np.array_equal(read.projection.high, one.projection.high)


def _with(file: Path, tensors: dict[str, Any] | None = None, described: dict[str, Any] | str | None = None) -> None:
    """Writes a picture with other tensors, or another description, than it should have."""
    save_map(drawn(), file)
    text = '{"map": 1}'
    with safetensors.safe_open(file, framework="numpy") as opened:
        kept = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (it is no dict)
        text = opened.metadata()["map"]
    if isinstance(described, dict):
        text = json.dumps(json.loads(text) | described)
    elif described is not None:
        text = described
    kept |= tensors or {}
    file.write_bytes(safetensors.numpy.save(kept, metadata={"map": text}))


@pytest.mark.parametrize(
    "tensors",
    [
        {"weights": np.zeros((3, 2), dtype=np.float32)},
        {"weights": np.full((2, 2), np.nan, dtype=np.float32)},
        {"weights": np.zeros((2, 2), dtype=np.float64)},
        {"edges": np.zeros((3, 2), dtype=np.float32)},
        {"examples": np.zeros((4, 7), dtype=np.uint8)},
        {"examples": np.full((4, 8), 255, dtype=np.uint8)},
        {"examples": np.zeros((), dtype=np.uint8)},
        {"regions": np.zeros((72, 96), dtype=np.uint8)},
        {"regions": np.zeros((0, 0, 2), dtype=np.uint8)},
    ],
)
def test_a_picture_whose_parts_do_not_fit_is_refused(tmp_path: Path, tensors: dict[str, Any]) -> None:
    _with(tmp_path / "a.safetensors", tensors)
    with pytest.raises(ModelError, match="do not fit"):
        load_map(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "described",
    [
        "no JSON",
        "[]",
        "[" * 20000,
        {"takes": "all"},
        {"takes": [1.5]},
        {"classes": ["a", "a"]},
        {"feature_names": None},
        {"agreement": "much"},
        {"least_familiarity": "little"},
        {"classes": [str(one) for one in range(255)]},
    ],
)
def test_a_picture_that_is_described_wrongly_is_refused(tmp_path: Path, described: dict[str, Any] | str) -> None:
    _with(tmp_path / "a.safetensors", described=described)
    with pytest.raises(ModelError):
        load_map(tmp_path / "a.safetensors")


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\xff" * 64])
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="not a picture"):
        load_map(tmp_path / "a.safetensors")


def test_a_frame_is_placed_by_one_product_of_all_its_features(tmp_path: Path) -> None:
    one, patch = drawn(), patch_of()
    save_map(one, tmp_path / "a")
    weights = np.frombuffer(bytes(answer(tmp_path / "a", patch, patch.outputs[0])[1]), dtype="<f4").reshape(-1, 2)  # type: ignore[arg-type]
    assert len(weights) == len(feature_names(patch)) + 1
    values = np.array([9.0, 0.25, 9.0, -1.5], dtype=np.float32)
    assert not weights[[0, 2]].any()
    assert np.allclose(
        values @ weights[:-1] + weights[-1], one.projection.in_picture(values[None, [1, 3]])[0], atol=1e-5
    )


def test_of_very_many_examples_as_many_are_sent_as_fit_into_a_datagram(tmp_path: Path) -> None:
    patch = patch_of()
    save_map(drawn(20_000), tmp_path / "a")
    found = answer(tmp_path / "a", patch, patch.outputs[0])
    assert sum(len(one) for one in found if isinstance(one, bytes | str)) < 60_000
    assert len(bytes(found[2])) > 20_000  # type: ignore[arg-type]


def test_more_features_than_fit_are_refused_in_words(tmp_path: Path) -> None:
    patch = patch_of(PATCH.replace("inputs = 4", "inputs = 9000"))
    save_map(drawn(patch=patch), tmp_path / "a")
    with pytest.raises(NoMap, match="9000 features and 2 takes is too large"):
        answer(tmp_path / "a", patch, patch.outputs[0])


def test_a_picture_of_features_with_another_meaning_is_refused(tmp_path: Path) -> None:
    patch = patch_of()
    save_map(replace(drawn(), feature_fingerprint="f00d"), tmp_path / "a")
    with pytest.raises(NoMap, match="other features than the picture; train again"):
        answer(tmp_path / "a", patch, patch.outputs[0])


def test_without_a_picture_it_says_when_there_will_be_one(tmp_path: Path) -> None:
    patch = patch_of()
    with pytest.raises(NoMap, match="a moment after a training"):
        answer(tmp_path / "a", patch, patch.outputs[0])


def test_movements_have_no_picture(tmp_path: Path) -> None:
    patch = patch_of()
    with pytest.raises(NoMap, match="follows movements"):
        answer(tmp_path / "a", patch, patch.output("fall"))


# In a playing instrument


def pictured(one: Playing, *output: str) -> dict[str, Any]:
    """The JSON of an output's picture, once it is that of the model that plays."""
    found: dict[str, Any] = {}

    def is_there() -> bool:
        try:
            found.update(json.loads(str(one.ask("model/map", *output)[0])))
        except CommandFailed:
            return False
        return found["model"] == next(
            each["model"] for each in one.status()["outputs"] if each["name"] == found["output"]
        )

    wait_until(is_there, "the picture")
    return found


def test_a_moment_after_each_training_there_is_a_picture_and_whoever_listens_is_told(tmp_path: Path) -> None:
    with playing(tmp_path / "played") as one:
        one.teach_sides()
        with Client(port=one.engine.server.address[1]) as listener:
            listener.ask("/instrument/subscribe", "changes")
            one.ask("train")
            assert any(values == ["maps"] for _, values in listener.messages(PATIENCE_S))
        assert pictured(one)["classes"] == ["left", "right"]
        assert pictured(one, "side")["examples"] == 48
        assert pictured(one, "amount")["range"] == [0, 1]


def test_an_output_there_is_not_has_no_picture(tmp_path: Path) -> None:
    with (
        playing(tmp_path / "played", has_trainer=False) as one,
        pytest.raises(CommandFailed, match="no output 'elbow'"),
    ):
        one.ask("model/map", "elbow")
