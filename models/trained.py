"""A trained model and its two files: packed weights in `NAME.safetensors`, all that they mean in `NAME.json`.

Opening a stranger's model cannot run code: the files hold numbers and text, and whatever does not
fit together is refused before memory is taken for it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from instrument.kernels.cpu import dequantised, forward
from instrument.kernels.packing import FloatArray, PackedLinear, PackedNetwork, PackingError, from_tensors, most_bytes
from instrument.models.familiarity import MOST_FACTORS, Density, Familiarity, Units, units_of
from instrument.models.fitting import RowsForward
from instrument.models.learner_names import CLASS_LEARNERS, CONTINUOUS_LEARNERS, NETWORK
from instrument.models.learners import MOST_EXAMPLES, Learned, learn
from instrument.models.mlp import parameter_count
from instrument.models.whitening import standardised

FORMAT = 2
"""1 kept weights as float32."""
_MOST_JSON_BYTES = 1 << 24
_MOST_PARAMETERS = 1 << 26
_MOST_HEADER_BYTES = 1 << 20
_MOST_ENSEMBLE = 16


class CannotWrite(OSError):
    """The disk does not take a file now; later it may."""


class ModelError(Exception):
    """A model that cannot be used; the text says which file, why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A network with all that is needed to play it, and where it came from."""

    output: str
    kind: str
    """`class` or `continuous`."""
    classes: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    """What the network's 0 and 1 stand for in a continuous output."""
    feature_names: tuple[str, ...]
    feature_fingerprint: str
    hidden: tuple[int, ...]
    activation: str = "relu"
    seed: int
    network: PackedNetwork | None = None
    """What is played: packed weights, standardisation included. None for a learner of another kind."""
    learned: Learned | None = None
    """What that other learner makes itself from."""
    familiarity: Familiarity | None = None
    """Of a class output: how like what was recorded a frame is, if enough was recorded to say."""
    ensemble: tuple[PackedNetwork, ...] = ()
    """Networks that learned the same and disagree where the takes say too little, where the patch asks for them."""
    rehearsal: Mapping[str, Any] | None = None
    """What a rehearsal told: `least`, the familiarity 0..1 below which a frame is none of the classes, and evidence."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained, to be shown only: examples, takes, loss, validation, bits, drift, notes."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Features, hidden widths, outputs."""
        return (len(self.feature_names), *self.hidden, len(self.classes) or 1)

    @property
    def model_id(self) -> str:
        """16 hexadecimal digits that change with the weights and with what they mean."""
        digest = hashlib.sha256(json.dumps(_meaning(self), sort_keys=True).encode())
        for array in self.tensors().values():
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def units(self) -> Units | None:
        """What its familiarity looks at: hidden units of a network, the standardised inputs of another learner."""
        if self.familiarity is None:
            return None
        _, blocks, count = self.familiarity.density.centres.shape
        if self.network is not None:
            shift, gain, layers = self.network.shift, self.network.gain, dequantised(self.network)
        elif self.learned is not None:
            view = standardised(self.learned.values)
            shift, gain, layers = view.mean, view.scale, []
        return units_of(layers, shift=shift, gain=gain, blocks=blocks, units=count)

    def on_rows(self) -> RowsForward:
        """What gives for rows of features (N, F) what is said of them: (N, C), or (N, 1) of 0..1.

        A learner of another kind learns again first. Raises TrainingError where that is not possible.
        """
        if self.network is None:
            assert self.learned is not None
            return learn(self.learned)
        return partial(forward, dequantised(self.network))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All its numbers as named arrays."""
        kept = self.network or self.learned
        named = kept.tensors() if kept else {}
        if self.familiarity is not None:
            density = self.familiarity.density
            named |= {
                "familiarity.centres": density.centres,
                "familiarity.factors": density.factors,
                "familiarity.curve": self.familiarity.curve,
                "familiarity.usual": np.array([self.familiarity.usual], dtype=np.float32),
            }
        outsiders = self.familiarity.outsiders if self.familiarity else ()
        for kind, networks in (("ensemble", self.ensemble), ("outsider", outsiders)):
            for number, network in enumerate(networks):
                named |= {f"{kind}{number}.{name}": array for name, array in network.tensors().items()}
        return named


def save_model(model: TrainedModel, path: Path) -> None:
    """Writes the weights to `path` and the rest beside it, each whole or not at all.

    Should only one of the two be replaced (power cut), `load_model` notices, as `model_id` covers both.
    """
    tensors = {name: np.ascontiguousarray(array) for name, array in model.tensors().items()}
    described = {
        **_meaning(model),
        "model_id": model.model_id,
        "rehearsal": model.rehearsal,
        "training": model.training,
    }
    write_files(path, tensors, described)


def write_files(path: Path, tensors: dict[str, NDArray[Any]], described: Mapping[str, Any]) -> None:
    """Writes tensors to `path` and what they mean beside it."""
    text = json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = safetensors.numpy.save(tensors, metadata={"model_id": described["model_id"]})
    replace_files({path: weights, path.with_suffix(".json"): text.encode()})


def keep_before(path: Path, before: Path, after: Mapping[str, Any]) -> None:
    """Copies the model at `path` to `before`, unless its description already says what `after` does.

    So training the same again does not make a model its own predecessor. A model that cannot be read is not kept.
    """
    try:
        described = read_json(path.with_suffix(".json"))
        if any(described.get(name) != value for name, value in after.items()):
            copy_model(path, before)
    except (ModelError, OSError):
        return


def copy_model(source: Path, target: Path) -> None:
    """Copies the two files of a model, both or neither. Raises OSError."""
    suffixes = (".safetensors", ".json")
    replace_files({target.with_suffix(suffix): source.with_suffix(suffix).read_bytes() for suffix in suffixes})


def load_model(path: Path) -> TrainedModel:
    """The model whose weights are in that file.

    Raises ModelError for files that are missing, damaged, hostile or do not belong together.
    """
    described = read_json(path.with_suffix(".json"))
    fields = Fields(path.with_suffix(".json"), described)
    if described.get("format") != FORMAT:
        fields.fail("format", f"{FORMAT}; another version of this program has written it")
    kind = fields.text("kind")
    if kind not in ("class", "continuous"):
        fields.fail("kind", "class or continuous")
    if fields.text("activation") != "relu":
        fields.fail("activation", "relu")
    classes = fields.texts("classes")
    if bool(classes) != (kind == "class"):
        fields.fail("classes", "at least one class, and none for a continuous output")
    hidden, of_ensemble, of_outsiders = (
        fields.widths(key) if key in described or key == "hidden" else () for key in ("hidden", "ensemble", "outsiders")
    )
    low, high = fields.number("low"), fields.number("high")
    if low >= high:
        fields.fail("high", "more than low")
    training = described.get("training")
    if not isinstance(training, dict):
        fields.fail("training", "a table")
    rehearsal = described.get("rehearsal")
    if rehearsal is not None and not (isinstance(rehearsal, dict) and _is_share(rehearsal.get("least"))):
        fields.fail("rehearsal", "null, or a table with a `least` of 0..1")
    feature_names = fields.texts("feature_names")
    inputs, outputs = len(feature_names), len(classes) or 1
    widths, ensemble_widths = (inputs, *hidden, outputs), (inputs, *of_ensemble, outputs)
    outsider_widths = (inputs, *of_outsiders, outputs + 1)
    allowed = (NETWORK, *(CLASS_LEARNERS if classes else CONTINUOUS_LEARNERS))
    if (learner := described.get("learner", NETWORK)) not in allowed:
        fields.fail("learner", ", ".join(allowed))
    seed = fields.integer("seed")
    is_network = learner == NETWORK
    tensors = read_tensors(path, widths, beside=(ensemble_widths, outsider_widths), is_network=is_network)
    model = TrainedModel(
        output=fields.text("output"),
        kind=kind,
        classes=classes,
        low=low,
        high=high,
        feature_names=feature_names,
        feature_fingerprint=fields.text("feature_fingerprint"),
        hidden=hidden,
        seed=seed,
        network=take_network(path, tensors, "", widths) if is_network else None,
        learned=None if is_network else _take_learned(path, tensors, learner, inputs, len(classes), seed),
        familiarity=_take_familiarity(path, tensors, widths, outsider_widths),
        ensemble=_take_networks(path, tensors, "ensemble", ensemble_widths) if is_network else (),
        rehearsal=rehearsal,
        training=training,
    )
    if tensors:
        raise ModelError(f"{path}: tensors that do not belong there: {', '.join(sorted(tensors)[:5])}; train again")
    if model.model_id != described.get("model_id"):
        raise ModelError(f"{path}: the weights do not belong to the .json beside it; train again")
    return model


def too_large(widths: tuple[int, ...]) -> str | None:
    """Why a network of these widths is refused, in words."""
    count = parameter_count(widths)
    if count <= _MOST_PARAMETERS:
        return None
    return f"a network of {' - '.join(map(str, widths))} has {count:,} weights; allowed: {_MOST_PARAMETERS:,}"


def _meaning(model: TrainedModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "output": model.output,
        "kind": model.kind,
        "classes": model.classes,
        "low": model.low,
        "high": model.high,
        "feature_names": model.feature_names,
        "feature_fingerprint": model.feature_fingerprint,
        "hidden": model.hidden,
        "activation": model.activation,
        "seed": model.seed,
        **({"learner": model.learned.learner} if model.learned else {}),
        **({"ensemble": model.ensemble[0].widths[1:-1]} if model.ensemble else {}),
        **(
            {"outsiders": model.familiarity.outsiders[0].widths[1:-1]}
            if model.familiarity and model.familiarity.outsiders
            else {}
        ),
    }


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Writes these files, all of them or none.

    Raises CannotWrite.
    """
    # No fsync: a model can be trained again, and the wait would be longer than the training.
    drafts = {path: path.with_name(path.name + ".tmp") for path in contents}
    path = next(iter(contents))
    try:
        for path, content in contents.items():
            drafts[path].write_bytes(content)
        for path, draft in drafts.items():
            draft.replace(path)
    except OSError as error:
        raise CannotWrite(f"{path}: cannot be written ({error.strerror or error}); make room there") from None
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise ModelError(f"{path}: {size:,} bytes; allowed: {most_bytes:,}; train again")
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; train first") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error})") from None


def read_json(path: Path) -> dict[str, Any]:
    """The description of a model in that file; raises ModelError."""
    try:
        described = json.loads(_read(path, _MOST_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON ({error}); train again") from None
    if not isinstance(described, dict):
        raise ModelError(f"{path}: not a description of a model; train again")
    return described


def read_tensors(
    path: Path, widths: tuple[int, ...], *, beside: Sequence[tuple[int, ...]] = (), is_network: bool = True
) -> dict[str, NDArray[Any]]:
    """All tensors of a file that holds a network of these widths, and several of each of those `beside` it.

    Raises ModelError.
    """
    for one in (widths, *beside):
        if reason := too_large(one):
            raise ModelError(f"{path}: {reason}")
    density = 4 * (MOST_FACTORS + (widths[-1] + 1) * (widths[0] + sum(widths[1:-1])))
    examples = 4 * max(MOST_EXAMPLES, widths[-1]) * (widths[0] + 1)
    networks = _MOST_ENSEMBLE * sum(most_bytes(one) for one in beside)
    most = density + networks + (most_bytes(widths) if is_network else examples)
    content = _read(path, most + _MOST_HEADER_BYTES)
    try:
        return dict(safetensors.numpy.load(content))
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not safetensors weights ({error}); train again") from None


def take_network(path: Path, tensors: dict[str, NDArray[Any]], prefix: str, widths: tuple[int, ...]) -> PackedNetwork:
    """The network of those names, taken out."""
    ends = []
    for name in ("input.shift", "input.gain"):
        array = tensors.pop(prefix + name, None)
        if array is None or array.dtype != np.float32 or array.shape != widths[:1]:
            came = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise ModelError(f"{path}: {prefix}{name}: {came}; allowed: float32 {widths[:1]}; train again")
        if not np.isfinite(array).all():
            raise ModelError(f"{path}: {prefix}{name} has numbers that are not finite; train again")
        ends.append(array)
    layers: list[PackedLinear] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        start = f"{prefix}layer{index}."
        named = {name[len(start) :]: tensors.pop(name) for name in list(tensors) if name.startswith(start)}
        try:
            layer = from_tensors(named)
        except PackingError as error:
            raise ModelError(f"{path}: {prefix}layer {index}: {error}; train again") from None
        if (layer.inputs, layer.outputs) != (inputs, outputs):
            came = f"{layer.inputs} x {layer.outputs}"
            raise ModelError(f"{path}: {prefix}layer {index} is {came}; allowed: {inputs} x {outputs}; train again")
        layers.append(layer)
    return PackedNetwork(shift=ends[0], gain=ends[1], layers=tuple(layers))


def _take_networks(
    path: Path, tensors: dict[str, NDArray[Any]], kind: str, widths: tuple[int, ...]
) -> tuple[PackedNetwork, ...]:
    networks: list[PackedNetwork] = []
    while f"{kind}{len(networks)}.input.shift" in tensors and len(networks) < _MOST_ENSEMBLE:
        networks.append(take_network(path, tensors, f"{kind}{len(networks)}.", widths))
    return tuple(networks)


def _take_familiarity(
    path: Path, tensors: dict[str, NDArray[Any]], widths: tuple[int, ...], of_outsiders: tuple[int, ...]
) -> Familiarity | None:
    taken = {name: tensors.pop(f"familiarity.{name}", None) for name in ("centres", "factors", "curve", "usual")}
    if all(array is None for array in taken.values()):
        return None
    centres, factors, curve, usual = taken.values()
    if centres is None or factors is None or curve is None or usual is None:
        raise ModelError(f"{path}: its familiarity is not all there; train again")
    seen = widths[1] if len(widths) > 2 else widths[0]
    is_sound = (
        all(array.dtype == np.float32 and np.isfinite(array).all() for array in (centres, factors, curve, usual))
        and usual.shape == (1,)
        and centres.ndim == 3
        and len(centres) == widths[-1]
        and 0 < centres.shape[1] * centres.shape[2] <= seen
        and seen % centres.shape[1] == 0
        and factors.shape in {(count, *centres.shape[1:], centres.shape[2]) for count in (1, len(centres))}
        and curve.ndim == 2
        and curve.shape[1] == 2
        and 2 <= len(curve) <= 64
        and bool((np.diff(curve[:, 0]) > 0).all() and (curve[:, 1] <= 0).all())
    )
    if not is_sound:
        shapes = ", ".join(f"{array.dtype} {array.shape}" for array in (centres, factors, curve, usual))
        raise ModelError(f"{path}: a familiarity of {shapes} that does not fit the network; train again")
    outsiders = _take_networks(path, tensors, "outsider", of_outsiders)
    return Familiarity(
        density=Density(centres=centres, factors=factors), curve=curve, outsiders=outsiders, usual=float(usual[0])
    )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _take_learned(
    path: Path, tensors: dict[str, NDArray[Any]], learner: str, features: int, class_count: int, seed: int
) -> Learned:
    """What a learner learns again from."""
    most = max(MOST_EXAMPLES, class_count)
    values, targets = tensors.pop("examples.values", None), tensors.pop("examples.targets", None)
    for name, array, shape in (("values", values, (-1, features)), ("targets", targets, (-1,))):
        is_shaped = array is not None and array.dtype == np.float32 and array.ndim == len(shape)
        if array is None or not is_shaped or array.shape[1:] != shape[1:] or not np.isfinite(array).all():
            raise ModelError(f"{path}: examples.{name}: allowed: finite float32 of shape {shape}; train again")
    assert values is not None
    assert targets is not None
    if len(values) != len(targets) or not 0 < len(values) <= most:
        raise ModelError(f"{path}: {len(values)} examples with {len(targets)} targets; allowed: 1..{most}; train again")
    shown = np.unique(targets)
    if not (np.array_equal(shown, np.arange(class_count)) if class_count else 0 <= shown[0] <= shown[-1] <= 1):
        allowed = f"every number 0..{class_count - 1}" if class_count else "values 0..1"
        raise ModelError(f"{path}: examples.targets are {shown[:5]}...; allowed: {allowed}; train again")
    return Learned(learner=learner, values=values, targets=targets, class_count=class_count, seed=seed)


def _is_text(value: object) -> bool:
    """Whether that is a text that can be sent on: not empty, and valid Unicode."""
    return isinstance(value, str) and bool(value) and not any("\ud800" <= one <= "\udfff" for one in value)


class Fields:
    """The fields of a description, checked as they are taken out."""

    def __init__(self, path: Path, described: dict[str, Any]) -> None:
        self._path = path
        self._described = described

    def text(self, key: str) -> str:
        value = self._described.get(key)
        if not _is_text(value):
            self.fail(key, "a text")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._described.get(key)
        if not isinstance(value, list) or not all(_is_text(one) for one in value):
            self.fail(key, "a list of texts")
        if len(set(value)) != len(value):
            self.fail(key, "each text once")
        return tuple(value)

    def integer(self, key: str) -> int:
        value = self._described.get(key)
        if type(value) is not int or not 0 <= value < 1 << 63:
            self.fail(key, "a whole number")
        return value

    def number(self, key: str) -> float:
        value = self._described.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
            self.fail(key, "a number")
        return float(value)

    def numbers(self, key: str) -> FloatArray:
        value = self._described.get(key)
        if not isinstance(value, list) or not all(type(one) in (int, float) and abs(one) <= 1e30 for one in value):
            self.fail(key, "a list of numbers")
        return np.array(value, dtype=np.float32)

    def widths(self, key: str) -> tuple[int, ...]:
        """Of hidden layers."""
        value = self._described.get(key)
        if not isinstance(value, list) or not all(type(width) is int and 0 < width <= 65536 for width in value):
            self.fail(key, "a list of widths 1..65536")
        return tuple(value)

    def fail(self, key: str, allowed: str) -> NoReturn:
        came = repr(self._described.get(key))
        came = came if len(came) <= 60 else came[:60] + "..."
        raise ModelError(f"{self._path}: {key} is {came}; allowed: {allowed}; train again")
