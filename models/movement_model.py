"""A trained model of movements and its two files, as `models.trained` has them for classes and values.

`NAME.safetensors` holds the packed network, `NAME.json` all that it means and how to look at the recent past.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from instrument.kernels.packing import FloatArray, PackedNetwork
from instrument.models.following import PARTS
from instrument.models.recent_past import MOST_WINDOW_S, RecentPast
from instrument.models.trained import (
    Fields,
    ModelError,
    TrainedModel,
    load_model,
    read_json,
    read_tensors,
    take_network,
    write_files,
)

FORMAT = 2
_MOST_AXES = 64


@dataclass(frozen=True, kw_only=True)
class MovementModel:
    """A network that follows movements, with all that is needed to play it, and where it came from."""

    output: str
    kind: str = "trigger"
    classes: tuple[str, ...]
    """The movements."""
    feature_names: tuple[str, ...]
    feature_fingerprint: str
    past: RecentPast
    durations_s: FloatArray
    """(C,): how long each movement usually lasts."""
    prior: FloatArray
    """(1 + C * PARTS,): how often each part was shown in training."""
    hidden: tuple[int, ...]
    seed: int
    network: PackedNetwork
    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained, to be shown only."""

    @cached_property
    def model_id(self) -> str:
        """16 hexadecimal digits that change with the weights and with what they mean."""
        digest = hashlib.sha256(json.dumps(_meaning(self), sort_keys=True).encode())
        for array in self.network.tensors().values():
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]


def save_movements(model: MovementModel, path: Path) -> None:
    """Writes the weights to `path` and the rest beside it, each whole or not at all."""
    tensors = {name: np.ascontiguousarray(array) for name, array in model.network.tensors().items()}
    write_files(path, tensors, {**_meaning(model), "model_id": model.model_id, "training": model.training})


def load_movements(path: Path) -> MovementModel:
    """The model whose weights are in that file.

    Raises ModelError for files that are missing, damaged, hostile or do not belong together.
    """
    described = read_json(path.with_suffix(".json"))
    fields = Fields(path.with_suffix(".json"), described)
    if fields.text("kind") != "trigger":
        fields.fail("kind", "trigger")
    if described.get("format") != FORMAT:
        fields.fail("format", f"{FORMAT}; another version of this program has written it")
    classes, feature_names = fields.texts("classes"), fields.texts("feature_names")
    if not classes:
        fields.fail("classes", "at least one movement")
    hidden = fields.widths("hidden")
    window_s = fields.number("window_s")
    if not 0 < window_s <= MOST_WINDOW_S:
        fields.fail("window_s", f"more than 0, at most {MOST_WINDOW_S:g}")
    axes = fields.numbers("axes")
    count = len(axes) // max(len(feature_names), 1)
    if not 1 <= count <= _MOST_AXES or len(axes) != count * len(feature_names):
        fields.fail("axes", f"1..{_MOST_AXES} numbers for each of {len(feature_names)} features")
    outputs = 1 + len(classes) * PARTS
    vectors = {}
    for key, length in (("mean", len(feature_names)), ("durations_s", len(classes)), ("prior", outputs)):
        vectors[key] = fields.numbers(key)
        if len(vectors[key]) != length:
            fields.fail(key, f"{length} numbers")
    if vectors["durations_s"].min() <= 0 or vectors["prior"].min() < 0:
        fields.fail("durations_s", "more than 0, and prior not less")
    training = described.get("training")
    if not isinstance(training, dict):
        fields.fail("training", "a table")
    past = RecentPast(mean=vectors["mean"], axes=axes.reshape(len(feature_names), count), window_s=window_s)
    widths = (past.width, *hidden, outputs + 1)
    tensors = read_tensors(path, widths)
    model = MovementModel(
        output=fields.text("output"),
        classes=classes,
        feature_names=feature_names,
        feature_fingerprint=fields.text("feature_fingerprint"),
        past=past,
        durations_s=vectors["durations_s"],
        prior=vectors["prior"],
        hidden=hidden,
        seed=fields.integer("seed"),
        network=take_network(path, tensors, "", widths),
        training=training,
    )
    if tensors:
        raise ModelError(f"{path}: tensors that do not belong there: {', '.join(sorted(tensors)[:5])}; train again")
    if model.model_id != described.get("model_id"):
        raise ModelError(f"{path}: the weights do not belong to the .json beside it; train again")
    return model


def load_of_kind(kind: str, path: Path) -> TrainedModel | MovementModel:
    """The model in that file, of an output of that kind.

    Raises ModelError.
    """
    return load_movements(path) if kind == "trigger" else load_model(path)


def _meaning(model: MovementModel) -> dict[str, Any]:
    def listed(array: FloatArray) -> list[float]:
        return [float(one) for one in np.asarray(array, dtype=np.float32).reshape(-1)]

    return {
        "format": FORMAT,
        "output": model.output,
        "kind": model.kind,
        "classes": model.classes,
        "feature_names": model.feature_names,
        "feature_fingerprint": model.feature_fingerprint,
        "window_s": model.past.window_s,
        "mean": listed(model.past.mean),
        "axes": listed(model.past.axes),
        "durations_s": listed(model.durations_s),
        "prior": listed(model.prior),
        "hidden": model.hidden,
        "seed": model.seed,
    }
