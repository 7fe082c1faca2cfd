"""What models see, drawn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from instrument.datasets import Dataset
from instrument.drawing import HEIGHT, WIDTH, draw, draw_project
from instrument.model_map import NONE, ModelMap, load_map
from instrument.models.fitting import Cancelled, Examples
from instrument.models.trained import TrainedModel
from instrument.patch import Patch
from instrument.patch_file import parse_patch
from instrument.signals import LandmarkSequence
from instrument.training import ProjectTraining, train_output

PATCH = parse_patch(
    '[listen]\nsource = "osc"\ninputs = 5\n[[output]]\nname = "side"\nfeatures = ["numbers"]\nreject = 0.05\n',
    Path("patch.toml"),
)
VALUES = parse_patch(
    '[listen]\nsource = "osc"\ninputs = 5\n[[output]]\nname = "side"\nkind = "continuous"\nfeatures = ["numbers"]\n',
    Path("patch.toml"),
)


def dataset(targets: Sequence[str | float], frames: int = 20) -> Dataset:
    """A take for each target; the first numbers of a class, or a value, are around a place of its own."""
    rng = np.random.default_rng(0)
    classes = tuple(dict.fromkeys(str(one) for one in targets if isinstance(one, str)))
    shown = np.array([classes.index(one) if isinstance(one, str) else one for one in targets])
    centres = np.random.default_rng(5).standard_normal((max(len(classes), 1), 5)) if classes else np.ones((1, 5))
    at = 4 * centres[shown] if classes else shown[:, None] * np.arange(1, 6)
    values = np.repeat(at, frames, axis=0) + 0.4 * rng.standard_normal((len(targets) * frames, 5))
    nothing = LandmarkSequence(times_s=np.arange(frames) / 30, aspect=np.ones(frames, dtype=np.float32))
    return Dataset(
        examples=Examples(
            values=values.astype(np.float32),
            targets=np.repeat(shown, frames) if classes else np.repeat(shown, frames).astype(np.float32),
            takes=np.repeat(np.arange(len(targets)), frames),
            class_count=len(classes),
        ),
        classes=classes,
        take_ids=tuple(range(11, 11 + len(targets))),
        feature_names=tuple(f"numbers.{number}" for number in range(1, 6)),
        frames=tuple((nothing, np.arange(frames)) for _ in targets),
        notes=(),
    )


def trained(patch: Patch, learned: Dataset) -> TrainedModel:
    return train_output(patch, patch.outputs[0], learned)


def drawn(patch: Patch, learned: Dataset, before: ModelMap | None = None) -> ModelMap:
    return draw(patch.outputs[0], trained(patch, learned), learned, before)


def said_at(one: ModelMap) -> np.ndarray:
    """(N,): what the regions say where the examples are."""
    columns = (one.examples["x"].astype(int) * WIDTH // 65536, one.examples["y"].astype(int) * HEIGHT // 65536)
    return one.regions[columns[1], columns[0], 0]


THREE = dataset(["left", "right", "up"] * 2)


def test_the_regions_agree_with_the_model_where_the_examples_are() -> None:
    found = drawn(PATCH, THREE)
    assert (said_at(found) == found.examples["said"]).mean() == pytest.approx(found.agreement, abs=0.02)
    assert found.agreement > 0.98


def test_every_class_has_a_region() -> None:
    assert set(np.unique(drawn(PATCH, THREE).regions[..., 0])) >= {0, 1, 2}


def test_what_is_like_nothing_recorded_is_none_of_the_classes() -> None:
    found = drawn(PATCH, THREE)
    assert 0.05 < (found.regions[..., 0] == NONE).mean() < 0.95


def test_examples_know_their_takes_and_what_they_show() -> None:
    found = drawn(PATCH, THREE)
    assert found.take_ids == (11, 12, 13, 14, 15, 16)
    assert found.examples["shown"].tolist() == THREE.examples.targets.tolist()
    assert found.examples["take"].tolist() == THREE.examples.takes.tolist()
    assert found.example_count == 120


def test_the_same_model_is_drawn_the_same() -> None:
    one, other = drawn(PATCH, THREE), drawn(PATCH, THREE)
    assert np.array_equal(one.examples, other.examples)
    assert np.array_equal(one.regions, other.regions)


def test_a_picture_stays_like_the_one_before() -> None:
    before = drawn(PATCH, THREE)
    after = drawn(PATCH, dataset(["left", "right", "up"] * 3), before)
    for name in ("x", "y"):
        apart = after.examples[name][:120].astype(int) - before.examples[name]
        assert np.abs(apart).mean() < 0.1 * 65535


def test_a_picture_before_of_other_features_does_not_matter() -> None:
    before = drawn(PATCH, THREE)
    other = draw(PATCH.outputs[0], trained(PATCH, THREE), THREE, None)
    renamed = ModelMap(**{name: getattr(before, name) for name in ModelMap.__slots__} | {"feature_names": ("a",) * 5})
    assert np.array_equal(drawn(PATCH, THREE, renamed).examples, other.examples)


def test_values_rise_from_left_to_right() -> None:
    found = drawn(VALUES, dataset([0.0, 0.25, 0.5, 0.75, 1.0] * 2))
    assert found.classes == ()
    assert np.corrcoef(found.examples["x"], found.examples["shown"])[0, 1] > 0.9
    assert np.corrcoef(np.arange(WIDTH), found.regions[..., 0].mean(axis=0))[0, 1] > 0.9
    assert found.agreement > 0.9


def test_a_single_value_can_be_drawn() -> None:
    found = drawn(VALUES, dataset([0.5, 0.5]))
    assert np.abs(found.regions[..., 0].astype(int) - 128).max() < 60


def test_very_many_examples_are_thinned_but_all_counted() -> None:
    many = dataset(["left", "right"] * 2, frames=1000)
    found = drawn(PATCH, many)
    assert len(found.examples) < 1600
    assert found.example_count == 4000


def test_a_class_with_a_single_example_is_in_the_picture() -> None:
    found = drawn(PATCH, dataset(["left", "right", "up"], frames=1))
    assert found.examples["shown"].tolist() == [0, 1, 2]


def test_a_learner_of_scikit_learn_is_asked_as_well() -> None:
    pytest.importorskip("sklearn")
    patch = parse_patch(
        '[listen]\nsource = "osc"\ninputs = 5\n[[output]]\nname = "side"\nfeatures = ["numbers"]\nlearner = "knn"\n',
        Path("patch.toml"),
    )
    assert drawn(patch, THREE).agreement > 0.98


def test_drawing_is_cut_short_when_it_is_cancelled() -> None:
    with pytest.raises(Cancelled):
        draw(PATCH.outputs[0], trained(PATCH, THREE), THREE, None, lambda: True)


def training_of(learned: Dataset, patch: Patch = PATCH) -> ProjectTraining:
    models = {"side": trained(patch, learned)}
    return ProjectTraining(models=models, refused={}, seconds=0.0, datasets={"side": learned}, patch=patch)


def test_every_output_of_a_training_is_drawn_into_the_project(tmp_path: Path) -> None:
    training = training_of(THREE)
    draw_project(tmp_path, training, lambda: False)
    found = load_map(tmp_path / "models" / "side.map.safetensors")
    assert found.model_id == training.models["side"].model_id


def test_what_has_been_drawn_is_not_drawn_again_until_something_changes(tmp_path: Path) -> None:
    draw_project(tmp_path, training_of(THREE), lambda: False)
    file = tmp_path / "models" / "side.map.safetensors"
    before = file.stat().st_ino, file.stat().st_mtime_ns
    draw_project(tmp_path, training_of(THREE), lambda: False)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == before
    draw_project(tmp_path, training_of(dataset(["left", "right", "up"] * 3)), lambda: False)
    assert load_map(file).example_count == 180


def test_a_damaged_picture_is_drawn_again(tmp_path: Path) -> None:
    file = tmp_path / "models" / "side.map.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"no")
    draw_project(tmp_path, training_of(THREE), lambda: False)
    assert load_map(file).example_count == 120


def test_a_model_that_the_patch_does_not_play_is_not_drawn(tmp_path: Path) -> None:
    other = parse_patch(
        '[listen]\nsource = "osc"\ninputs = 4\n[[output]]\nname = "side"\nfeatures = ["numbers"]\n', Path("patch.toml")
    )
    training = ProjectTraining(
        models={"side": trained(PATCH, THREE)}, refused={}, seconds=0.0, datasets={"side": THREE}, patch=other
    )
    draw_project(tmp_path, training, lambda: False)
    assert not (tmp_path / "models").exists()


def test_a_model_that_learned_other_classes_than_are_shown_now_is_not_drawn(tmp_path: Path) -> None:
    training = ProjectTraining(
        models={"side": trained(PATCH, THREE)},
        refused={},
        seconds=0.0,
        datasets={"side": dataset(["left", "down", "right", "up"])},
        patch=PATCH,
    )
    draw_project(tmp_path, training, lambda: False)
    assert not (tmp_path / "models").exists()
