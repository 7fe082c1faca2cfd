"""What a model sees, as a picture: examples in two dimensions, and behind them what the model says at every place.

The trainer draws it (`drawing.py`) after each training, when the new model plays already; it is kept beside the
model, and given to whoever asks (`/instrument/model/map`). Opening a stranger's cannot run code.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from instrument.features import feature_fingerprint, feature_names
from instrument.models.projection import Projection
from instrument.models.trained import Fields, ModelError, replace_files
from instrument.patch import Output, Patch
from instrument.protocol import Value

NONE = 255
"""Instead of the number of a class: none of them."""
_MOST_FILE_BYTES = 1 << 23
_MOST_ANSWER_BYTES = 60_000
"""Of the 65,507 a datagram may have."""
_EXAMPLE = np.dtype([("x", "<u2"), ("y", "<u2"), ("take", "<u2"), ("shown", "u1"), ("said", "u1")])


class NoMap(ValueError):
    """There is no picture to give; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelMap:
    """The picture of one output's model. What is said is the number of a class, or 0..255 of an output's range."""

    output: str
    classes: tuple[str, ...]
    """Empty for a continuous output."""
    model_id: str
    least_familiarity: float | None
    """Below which it said that something is none of the classes."""
    feature_names: tuple[str, ...]
    feature_fingerprint: str
    projection: Projection
    take_ids: tuple[int, ...]
    example_count: int
    """How many there are; of very many, not all are in the picture."""
    agreement: float
    """0..1: at how many examples the picture has what the model says of the example."""
    examples: NDArray[Any]
    """(N,) of `x`, `y` (0..65535 from the left and the bottom), `take` (a place in `take_ids`), `shown` and `said`."""
    regions: NDArray[np.uint8]
    """(height, width, 2): what the model says at each place, from the bottom left, and how sure it is, of 255."""


def as_examples(
    places: NDArray[np.float64], takes: NDArray[np.intp], shown: NDArray[np.uint8], said: NDArray[np.uint8]
) -> NDArray[Any]:
    """Examples as `ModelMap` has them; `places` (N, 2) are 0..1, and those outside of the picture come to its edge."""
    found = np.zeros(len(places), dtype=_EXAMPLE)
    whole = np.clip(places, 0.0, 1.0) * 65535
    found["x"], found["y"], found["take"], found["shown"], found["said"] = *whole.round().T, takes, shown, said
    return found


def save_map(drawn: ModelMap, path: Path) -> None:
    """Writes it, whole or not at all."""
    described = {
        "output": drawn.output,
        "classes": drawn.classes,
        "model_id": drawn.model_id,
        "least_familiarity": drawn.least_familiarity,
        "feature_names": drawn.feature_names,
        "feature_fingerprint": drawn.feature_fingerprint,
        "takes": drawn.take_ids,
        "examples": drawn.example_count,
        "agreement": drawn.agreement,
    }
    tensors = {
        "weights": drawn.projection.weights,
        "edges": np.stack([drawn.projection.offset, drawn.projection.low, drawn.projection.high]),
        "examples": drawn.examples.view(np.uint8).reshape(-1, _EXAMPLE.itemsize),
        "regions": drawn.regions,
    }
    text = json.dumps(described, ensure_ascii=False, allow_nan=False)
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, metadata={"map": text}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_files({path: content})


def load_map(path: Path) -> ModelMap:
    """The picture in that file.

    Raises ModelError where there is none, or it is damaged or hostile.
    """
    try:
        if (size := path.stat().st_size) > _MOST_FILE_BYTES:
            raise ModelError(f"{path}: {size:,} bytes; allowed: {_MOST_FILE_BYTES:,}; train again")
        content = path.read_bytes()
        named = safetensors.numpy.load(content)
        tensors = [named[name] for name in ("weights", "edges", "examples", "regions")]
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        described = json.loads(header["__metadata__"]["map"])
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; train again") from None
    except (OSError, safetensors.SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: not a picture of a model ({error}); train again") from None
    if not isinstance(described, dict):
        raise ModelError(f"{path}: not a picture of a model; train again")
    fields = Fields(path, described)
    weights, edges, examples, regions = tensors
    names, classes = fields.texts("feature_names"), fields.texts("classes")
    take_ids, least = described.get("takes"), described.get("least_familiarity")
    if not isinstance(take_ids, list) or not all(type(one) is int and 0 <= one < 1 << 31 for one in take_ids):
        fields.fail("takes", "a list of numbers of takes")
    is_sound = (
        (weights.dtype, weights.shape) == (np.float32, (len(names), 2))
        and (edges.dtype, edges.shape) == (np.float32, (3, 2))
        and (examples.dtype, examples.ndim, examples.shape[1:]) == (np.uint8, 2, (_EXAMPLE.itemsize,))
        and (regions.dtype, regions.ndim, regions.shape[2:]) == (np.uint8, 3, (2,))
        and regions.size > 0
        and len(classes) < NONE
        and bool(np.isfinite(weights).all() and np.isfinite(edges).all() and (edges[1] < edges[2]).all())
    )
    shown = np.ascontiguousarray(examples).view(_EXAMPLE).reshape(-1) if is_sound else np.zeros(0, dtype=_EXAMPLE)
    if not is_sound or (shown["take"] >= len(take_ids)).any():
        raise ModelError(f"{path}: its parts do not fit together; train again")
    return ModelMap(
        output=fields.text("output"),
        classes=classes,
        model_id=fields.text("model_id"),
        least_familiarity=None if least is None else fields.number("least_familiarity"),
        feature_names=names,
        feature_fingerprint=fields.text("feature_fingerprint"),
        projection=Projection(weights=weights, offset=edges[0], low=edges[1], high=edges[2]),
        take_ids=tuple(take_ids),
        example_count=fields.integer("examples"),
        agreement=fields.number("agreement"),
        examples=shown,
        regions=regions,
    )


def answer(path: Path, patch: Patch, output: Output) -> list[Value]:
    """What `/instrument/model/map` carries: JSON, the projection, the examples and the regions.

    Raises NoMap.
    """
    if output.kind == "trigger":
        raise NoMap(f"output '{output.name}' follows movements, which are not places in a picture")
    try:
        drawn = load_map(path)
    except ModelError as error:
        reason = error if path.exists() else "it is drawn a moment after a training of fewer than 255 classes"
        raise NoMap(f"output '{output.name}': no picture ({reason})") from None
    place = {name: row for row, name in enumerate(feature_names(patch))}
    if drawn.feature_fingerprint != feature_fingerprint(patch, output) or not place.keys() >= set(drawn.feature_names):
        raise NoMap(f"output '{output.name}': the patch has other features than the picture; train again")
    size = drawn.projection.high - drawn.projection.low
    weights = np.zeros((len(place) + 1, 2), dtype="<f4")
    weights[[place[name] for name in drawn.feature_names]] = drawn.projection.weights / size
    weights[-1] = (drawn.projection.offset - drawn.projection.low) / size
    described = {
        "output": drawn.output,
        "kind": output.kind,
        "classes": drawn.classes,
        "range": [output.low, output.high],
        "model": drawn.model_id,
        "takes": drawn.take_ids,
        "examples": drawn.example_count,
        "grid": [drawn.regions.shape[1], drawn.regions.shape[0]],
        "agreement": drawn.agreement,
    }
    text = json.dumps(described, ensure_ascii=False, separators=(",", ":"))
    room = _MOST_ANSWER_BYTES - len(text.encode()) - weights.nbytes - drawn.regions.nbytes
    if room < 0:
        raise NoMap(
            f"output '{output.name}': a picture of {len(place)} features and {len(drawn.take_ids)} takes is too large"
        )
    every = max(1, -(-drawn.examples.nbytes // max(room, 1)))
    return [text, weights.tobytes(), drawn.examples[::every].tobytes(), drawn.regions.tobytes()]
