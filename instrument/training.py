"""Takes become trained models: gathers each output's examples, fits a network, writes its files.

Knows the project's folder, not processes or messages: the trainer process calls `train_project`.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.clock import Clock, now_s
from instrument.features import (
    LANDMARK_READINGS,
    LIMIT,
    POINT_DIMENSIONS,
    extract,
    feature_columns,
    feature_fingerprint,
    feature_names,
    smoothed,
    with_inputs,
)
from instrument.kernels.cpu import dequantised
from instrument.kernels.packing import PackedNetwork
from instrument.models.choosing import are_points, separation_error
from instrument.models.crossfit import cross_fit, familiarity, familiarity_of_inputs, parts, temperature, tempered
from instrument.models.familiarity import LEAST_HELD_OUT
from instrument.models.fitting import Cancelled, Examples, Progress, TrainingError, Validation, fit, keeping
from instrument.models.glitches import without_glitches
from instrument.models.learner_names import NETWORK
from instrument.models.learners import learn, learned_from, microseconds_a_frame, validated, why_slow
from instrument.models.movement_model import MovementModel, load_of_kind, save_movements
from instrument.models.outsiders import fit_outsiders
from instrument.models.quantize import calibrate
from instrument.models.trained import ModelError, TrainedModel, keep_before, save_model, too_large
from instrument.models.whitening import standardised
from instrument.movement import MovementDataset, movement_dataset, train_movements
from instrument.patch import HAND_FEATURES, NO_CLASS, NUMBER_FEATURES, POSE_FEATURES, Output, Patch
from instrument.patch_file import playing_patch
from instrument.project import Project
from instrument.rehearsal import Stream, rehearse
from instrument.signals import LANDMARK_PARTS, FloatArray, LandmarkSequence
from instrument.skeletons import skeleton_of
from instrument.strangers import MOST_STRANGERS, strangers
from instrument.takes import Take, TakeStore
from instrument.variation import COPIES, FEWEST_VARIATIONS, MOST_VARIATIONS, is_body, variations

_NO_NUMBER = 1e30
"""Infinite, or as good as that."""
_READ_AS = {
    "number_path": "points along a path",
    "number_shape": "points in space",
    "number_hand": "the points of a hand",
    "number_body": "the points of a body",
}
_AS_LANDMARKS = 0.6
"""Of what error is left, so much counts if numbers are learned from as a hand or a body alone: that can be varied,
and is the same elsewhere and at any size, which examples held out do not show."""
_HARDLY_ANY = 0.01
"""Errors of less than this are beside the point, there."""
_REACH = 5.0
_PARTS_NEEDED = (("pose", POSE_FEATURES), ("left_hand", HAND_FEATURES), ("numbers", NUMBER_FEATURES))


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeFeatures:
    """The features of one take."""

    values: FloatArray
    """(T, F)"""
    is_usable: NDArray[np.bool_]
    """(T,): whether a body was found, and every feature is a number that something can measure."""
    sequence: LandmarkSequence
    """The landmarks that they show, smoothed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What one output learns from."""

    examples: Examples
    classes: tuple[str, ...]
    """The name of each class number; empty for a continuous output."""
    take_ids: tuple[int, ...]
    """The take behind each take number."""
    feature_names: tuple[str, ...]
    """(F,)"""
    frames: tuple[tuple[LandmarkSequence, NDArray[np.intp]], ...]
    """For each take its landmarks, smoothed, and which of its frames are the examples."""
    notes: tuple[str, ...]
    """What was left out or changed, in plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectTraining:
    """What came of training a project."""

    models: Mapping[str, TrainedModel | MovementModel]
    """By output; their files are in place."""
    refused: Mapping[str, str]
    """Why an output got no new model, in plain words; the one it had is untouched."""
    seconds: float
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    """By output, what each learned from."""
    movements: Mapping[str, MovementDataset] = field(default_factory=dict)
    """The same of trigger outputs."""
    patch: Patch | None = None
    takes: tuple[Take, ...] = ()


class FeatureCache:
    """Keeps the features of takes, so that training after one more take extracts only that one."""

    def __init__(self, most_bytes: int = 1 << 28) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[object, ...], TakeFeatures] = OrderedDict()

    def features(self, patch: Patch, store: TakeStore, take: Take) -> TakeFeatures:
        """The features of that take; those longest unused make room for them."""
        # Frames are never overwritten: only trimming changes what a take shows.
        meaning = (feature_names(patch), patch.smoothing, patch.features)
        key = (store.path, take.id, take.created_at, take.frame_count, take.trim, meaning)
        found = self._kept.pop(key, None)
        if found is None:
            sequence = store.landmarks(take.id)
            values = extract(patch, sequence)
            is_usable = sequence.is_tracked & (np.abs(values) < _NO_NUMBER).all(axis=1)
            shown = smoothed(patch, replace(sequence, pose_world=None))
            found = TakeFeatures(values=values, is_usable=is_usable, sequence=shown)
            self._bytes += _size(found)
        self._kept[key] = found
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)
        return found


def _size(features: TakeFeatures) -> int:
    return features.values.nbytes + sum(
        part.nbytes for name in LANDMARK_PARTS if (part := getattr(features.sequence, name)) is not None
    )


def train_project(
    folder: Path,
    *,
    outputs: Sequence[str] = (),
    cache: FeatureCache,
    on_progress: Callable[[str, Progress], None] = lambda *_: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    clock: Clock = now_s,
) -> ProjectTraining:
    """Trains those outputs (none: all) from the project's takes and replaces their model files, all at the end.

    Raises TrainingError when not one output can learn, Cancelled, and what reading the patch and
    the takes raises (PatchError, TakesError, sqlite3.Error, OSError); the models in place then stay.
    """
    started_s = clock()
    project = Project(folder)
    patch = playing_patch(project.patch_file)
    with TakeStore.open(project.takes_file, readonly=True) as store, store.snapshot():
        takes = store.takes(kind="take")
        patch = with_inputs_of(patch, takes)
        wanted = _wanted(patch, outputs)
        datasets, movements, refused = _gather_all(patch, wanted, takes, store, cache, is_cancelled)
        recorded = store.takes(kind="rehearsal")
        rehearsals = {
            output.name: [cache.features(patch, store, take) for take in recorded if lacks(take, patch, output) is None]
            for output in wanted
            if output.name in datasets
        }
    models: dict[str, TrainedModel | MovementModel] = {}
    how: dict[str, Any] = {"on_progress": on_progress, "is_cancelled": is_cancelled, "clock": clock}
    for output in wanted:
        try:
            if output.name in datasets:
                models[output.name] = train_output(patch, output, datasets[output.name], **how)
            elif output.name in movements:
                models[output.name] = train_movements(patch, output, movements[output.name], **how)
        except TrainingError as error:
            refused[output.name] = str(error)
    if not models:
        raise TrainingError("; ".join(f"output '{name}': {reason}" for name, reason in refused.items()))
    for name, model in models.items():
        if is_cancelled():
            raise Cancelled
        if isinstance(model, TrainedModel) and rehearsals[name]:
            models[name] = rehearsed(patch, model, rehearsals[name])
    if is_cancelled():
        raise Cancelled
    for name, model in models.items():
        file, before = project.model_file(name), project.model_before(name)
        if isinstance(model, MovementModel):
            keep_before(file, before, {"model_id": model.model_id})
            save_movements(model, file)
        else:
            keep_before(file, before, {"model_id": model.model_id, "rehearsal": model.rehearsal})
            save_model(model, file)
    return ProjectTraining(
        models=models,
        refused=refused,
        seconds=clock() - started_s,
        datasets=datasets,
        movements=movements,
        patch=patch,
        takes=takes,
    )


def trained_before(
    folder: Path, *, cache: FeatureCache, is_cancelled: Callable[[], bool] = lambda: False
) -> ProjectTraining:
    """The models a project has, beside what they would learn from now; nothing is trained.

    Raises Cancelled, and what reading the patch and the takes raises.
    """
    project = Project(folder)
    patch = playing_patch(project.patch_file)
    with TakeStore.open(project.takes_file, readonly=True) as store, store.snapshot():
        takes = store.takes(kind="take")
        patch = with_inputs_of(patch, takes)
        datasets, movements, refused = _gather_all(patch, patch.outputs, takes, store, cache, is_cancelled)
    models: dict[str, TrainedModel | MovementModel] = {}
    for output in patch.outputs:
        with suppress(ModelError):
            models[output.name] = load_of_kind(output.kind, project.model_file(output.name))
    return ProjectTraining(
        models=models,
        refused=refused,
        seconds=0.0,
        datasets=datasets,
        movements=movements,
        patch=patch,
        takes=takes,
    )


def _gather_all(
    patch: Patch,
    outputs: Sequence[Output],
    takes: Sequence[Take],
    store: TakeStore,
    cache: FeatureCache,
    is_cancelled: Callable[[], bool],
) -> tuple[dict[str, Dataset], dict[str, MovementDataset], dict[str, str]]:
    """What each of those outputs learns from, movements apart, and why others cannot learn."""
    datasets: dict[str, Dataset] = {}
    movements: dict[str, MovementDataset] = {}
    refused: dict[str, str] = {}
    for output in outputs:
        try:
            if output.kind == "trigger":
                movements[output.name] = gather_movements(patch, output, takes, store, cache, is_cancelled)
            else:
                datasets[output.name] = gather(patch, output, takes, store, cache, is_cancelled)
        except TrainingError as error:
            refused[output.name] = str(error)
    return datasets, movements, refused


def rehearsed(patch: Patch, model: TrainedModel, rehearsals: Sequence[TakeFeatures]) -> TrainedModel:
    """The model with what the rehearsals tell about it."""
    place = {name: column for column, name in enumerate(feature_names(patch))}
    columns = np.array([place[name] for name in model.feature_names], dtype=np.intp)
    streams = [
        Stream(times_s=one.sequence.times_s, values=one.values[:, columns], is_usable=one.is_usable)
        for one in rehearsals
    ]
    found = rehearse(model, patch.output(model.output), streams)
    return replace(model, rehearsal=found, training={**model.training, "rehearsal": found})


def gather(
    patch: Patch,
    output: Output,
    takes: Sequence[Take],
    store: TakeStore,
    cache: FeatureCache,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Dataset:
    """The examples of the takes that teach that output.

    Raises TrainingError when there is nothing to learn from or between, and Cancelled.
    """
    columns = _columns(patch, output)
    notes: list[str] = []
    ids: list[int] = []
    values: list[FloatArray] = []
    targets: list[NDArray[Any]] = []
    frames: list[tuple[LandmarkSequence, NDArray[np.intp]]] = []
    missed = 0
    for take in takes:
        if output.name not in take.targets:
            continue
        if is_cancelled():
            raise Cancelled
        if reason := _unfit(take, patch, output):
            notes.append(f"take {take.id} left out: {reason}")
            continue
        features = cache.features(patch, store, take)
        target = take.targets[output.name]
        if output.name in take.moving:
            shown = np.array(store.frame_targets(take.id)[output.name])
        else:
            shown = np.full(len(features.values), target)
        is_allowed = features.is_usable.copy()
        if output.kind == "class" and output.classes:
            is_allowed &= np.isin(shown, output.classes)
        missed += int((~features.is_usable).sum())
        if is_allowed.any():
            ids.append(take.id)
            values.append(features.values[np.ix_(is_allowed, columns)])
            targets.append(shown[is_allowed])
            frames.append((features.sequence, np.flatnonzero(is_allowed)))
        else:
            notes.append(f"take {take.id} left out: {_why_nothing(patch, output, shown)}")
    if not ids:
        said = f" ({'; '.join(notes)})" if notes else ""
        raise TrainingError(f"no takes to learn from{said}; record at least one take for it")
    shown = np.concatenate(targets)
    if missed > len(shown) / 9:
        frames_missed = f"in {missed} of {missed + len(shown)} frames, which were left out"
        if patch.listen.is_numbers:
            notes.append(f"a number is missing {frames_missed}; record again while all numbers arrive")
        else:
            notes.append(f"no body was found {frames_missed}; record again with all of you in view")
    numbers = np.repeat(np.arange(len(ids)), [len(rows) for rows in values])
    classes: tuple[str, ...] = ()
    if output.kind == "class":
        recorded = list(dict.fromkeys(shown.tolist()))
        classes = tuple(name for name in output.classes if name in recorded) or tuple(recorded)
        if len(classes) == 1:
            left_out = f" ({'; '.join(notes)})" if notes else ""
            raise TrainingError(f"there are takes of '{classes[0]}' only{left_out}; record a take of another class")
        place = {name: index for index, name in enumerate(classes)}
        learned: NDArray[Any] = np.array([place[name] for name in shown.tolist()], dtype=np.intp)
    else:
        scaled = (shown - output.low) / (output.high - output.low)
        learned = np.clip(scaled, 0.0, 1.0).astype(np.float32)
        if (scaled != np.clip(scaled, -1e-6, 1 + 1e-6)).any():
            notes.append(f"targets beyond {output.low:g}..{output.high:g} were taken as its ends")
        if learned.min() == learned.max():
            notes.append(f"every take shows {shown[0]:g}, so that is all it can say; record a take of another value")
    names = feature_names(patch)
    seen, is_glitch = without_glitches(np.concatenate(values), numbers)
    if is_glitch.any():
        row, column = (int(index[0]) for index in np.nonzero(is_glitch))
        count = int(is_glitch.any(axis=1).sum())
        notes.append(
            f"numbers far beyond all others in {count} {'frame' if count == 1 else 'frames'}, such as "
            f"{np.concatenate(values)[row, column]:g} ({names[columns[column]]}) in take {ids[numbers[row]]}, "
            "were taken for the nearest of those; trim or delete the take if it is damaged"
        )
    return Dataset(
        examples=Examples(values=seen, targets=learned, takes=numbers, class_count=len(classes)),
        classes=classes,
        take_ids=tuple(ids),
        feature_names=tuple(names[column] for column in columns),
        frames=tuple(frames),
        notes=tuple(notes),
    )


def gather_movements(
    patch: Patch,
    output: Output,
    takes: Sequence[Take],
    store: TakeStore,
    cache: FeatureCache,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> MovementDataset:
    """The takes that teach a trigger output its movements, and the rehearsals, in which none is meant.

    Raises TrainingError when there is nothing to learn from, and Cancelled.
    """
    columns = _columns(patch, output)
    notes, shown = [], []
    for take in (*takes, *store.takes(kind="rehearsal")):
        if take.kind == "take" and output.name not in take.targets:
            continue
        if is_cancelled():
            raise Cancelled
        if reason := (_unfit if take.kind == "take" else lacks)(take, patch, output):
            notes.append(f"take {take.id} left out: {reason}")
        else:
            shown.append((take, cache.features(patch, store, take)))
    return movement_dataset(output, shown, columns, feature_names(patch), notes)


def _columns(patch: Patch, output: Output) -> NDArray[np.intp]:
    try:
        columns = feature_columns(patch, output)
    except ValueError as error:
        raise TrainingError(str(error)) from None
    if not len(columns):
        if patch.listen.is_numbers and patch.listen.inputs:
            named = " and ".join(f"`{group}`" for group in output.features)
            raise TrainingError(f"{patch.listen.inputs} numbers cannot be read as {named}; name other `features`")
        raise TrainingError("there are no features to learn from; record takes, or set `inputs` in [listen]")
    return columns


def with_variations(dataset: Dataset, patch: Patch, output: Output) -> Dataset:
    """The same examples, and what some of them would have been, seen a little differently.

    Bodies and hands only, also those whose points came as numbers: of others nobody can say what a small difference is.
    """
    examples = dataset.examples
    if not examples.class_count or not is_body(dataset.feature_names):
        return dataset
    targets = examples.targets.astype(np.intp)
    most = max(FEWEST_VARIATIONS, MOST_VARIATIONS - 5 * len(targets) // 2)
    rows = _spread(targets, most, np.random.default_rng([output.seed, 2]))
    copies = min(COPIES, max(1, most // len(rows)))
    varied = variations(
        patch,
        output,
        dataset.feature_names,
        _picked(dataset, rows),
        examples.values[rows],
        targets[rows],
        examples.takes[rows],
        copies=copies,
        seed=output.seed,
    )
    varied = _within_reach(varied, examples.values)
    return replace(dataset, examples=replace(examples, variations=varied, variations_of=np.tile(rows, copies)))


def with_strangers(dataset: Dataset, patch: Patch, output: Output) -> Dataset:
    """The same examples, and strangers made of some of them: bodies, hands and paths that nobody showed."""
    examples = dataset.examples
    is_path = any(name.startswith("number_path.") for name in dataset.feature_names)
    if not examples.class_count or not (is_path or is_body(dataset.feature_names)):
        return dataset
    targets = examples.targets.astype(np.intp)
    rows = _spread(targets, MOST_STRANGERS, np.random.default_rng([output.seed, 4]))
    rows = np.repeat(rows, max(1, MOST_STRANGERS // len(rows)))
    made, origins = strangers(
        patch, output, dataset.feature_names, _picked(dataset, rows), examples.values[rows], seed=output.seed
    )
    made = _within_reach(made, examples.values)
    return replace(dataset, examples=replace(examples, strangers=made, strangers_of=rows[origins]))


def _within_reach(made: FloatArray, values: FloatArray) -> FloatArray:
    """(M, F) features made of landmarks as they came, not far beyond the examples (N, F): these have no glitches.

    Features of bodies and hands are never so far out, however still the performer stood.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    reach = _REACH * (high - low) + np.float32(2 * LIMIT)
    return np.clip(made, low - reach, high + reach)


def _spread(targets: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(at most `most`,) rows in order, of every class as many as of any other, or all it has."""
    if len(targets) <= most:
        return np.arange(len(targets))
    classes = np.unique(targets)
    each = max(1, most // len(classes))
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(targets == one))[:each] for one in classes]))


def _picked(dataset: Dataset, rows: NDArray[np.intp]) -> LandmarkSequence:
    """The landmarks of those examples; times mean nothing."""
    starts = np.cumsum([0, *(len(of_take) for _, of_take in dataset.frames)])
    pieces: dict[str, list[FloatArray]] = {name: [] for name in LANDMARK_PARTS}
    aspects = []
    for number, (sequence, of_take) in enumerate(dataset.frames):
        wanted = of_take[rows[(rows >= starts[number]) & (rows < starts[number + 1])] - starts[number]]
        aspects.append(sequence.aspect[wanted])
        for name in ("pose", "left_hand", "right_hand", "numbers"):
            if (part := getattr(sequence, name)) is not None:
                pieces[name].append(part[wanted])
    whole = {name: np.concatenate(parts) for name, parts in pieces.items() if len(parts) == len(dataset.frames)}
    return LandmarkSequence(times_s=np.arange(len(rows), dtype=np.float64), aspect=np.concatenate(aspects), **whole)


def with_features_that_help(dataset: Dataset, output: Output) -> Dataset:
    """The same examples with those of the offered feature groups that tell its classes apart better.

    Numbers along a path, of points in space, or of a hand or a body, say more when read as such; others say less.
    """
    names = dataset.feature_names
    group_of = np.array([name.partition(".")[0] for name in names])
    is_plain = ~np.isin(group_of, output.offered)
    if is_plain.all():
        return dataset
    examples = dataset.examples
    best, reading = is_plain, ""
    if examples.class_count:
        counts = np.bincount(examples.targets, minlength=examples.class_count)
        rows = counts[examples.targets.astype(np.intp)] > 1  # of a single example nothing can be left out
        values, (names_of, targets) = examples.values[rows], np.unique(examples.targets[rows], return_inverse=True)
        count = len(names_of)
        least = separation_error(values[:, is_plain], targets, count) if count > 1 else 0.0
        numbers = values[:, [name.startswith("numbers.") and not name.endswith(".odd") for name in names]]
        for group in _readings(set(group_of[~is_plain].tolist()), numbers) if count > 1 else ():
            in_group = group_of == group
            for wanted in (is_plain | in_group, in_group):
                error = separation_error(values[:, wanted], targets, count)
                if group in LANDMARK_READINGS and wanted is in_group:
                    is_better = _AS_LANDMARKS * error < max(least, _HARDLY_ANY)
                else:
                    is_better = error < least
                if is_better:
                    best, least, reading = wanted, error, group
    return replace(
        dataset,
        examples=replace(examples, values=np.ascontiguousarray(examples.values[:, best])),
        feature_names=tuple(name for name, is_taken in zip(names, best, strict=True) if is_taken),
        notes=(*dataset.notes, *([f"the numbers are read as {_READ_AS[reading]}"] if reading else [])),
    )


def _readings(offered: set[str], numbers: FloatArray) -> list[str]:
    """Which of those groups (N, inputs) numbers may be read as; if they are a hand or a body, as nothing else."""
    skeleton = skeleton_of(numbers.shape[1])
    if skeleton is not None and are_points(numbers, skeleton.each) and skeleton.lies_in(numbers):
        return [group for group in LANDMARK_READINGS if group in offered]
    return [group for group, each in POINT_DIMENSIONS.items() if group in offered and are_points(numbers, each)]


def train_output(
    patch: Patch,
    output: Output,
    dataset: Dataset,
    *,
    on_progress: Callable[[str, Progress], None] = lambda *_: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    clock: Clock = now_s,
) -> TrainedModel:
    """The model of one output, the same for the same examples; its files are not written.

    Raises TrainingError and Cancelled.
    """
    widths = (len(dataset.feature_names), *output.hidden, len(dataset.classes) or 1)
    if output.learner == NETWORK and (reason := too_large(widths)):
        raise TrainingError(f"{reason}; make `hidden` smaller")
    started_s = clock()
    dataset = with_features_that_help(dataset, output)
    rejects = output.reject or any(one.source == output.name and one.value == "familiarity" for one in patch.routes)
    with ThreadPoolExecutor(1, "strangers") as beside:
        # They are made in large arrays, which leave the interpreter to the small steps of a network.
        making = beside.submit(with_strangers, dataset, patch, output) if rejects else None
        varied = with_variations(dataset, patch, output)

        def whole() -> Dataset:
            made = varied.examples if making is None else making.result().examples
            both = replace(varied.examples, strangers=made.strangers, strangers_of=made.strangers_of)
            return replace(varied, examples=both)

        if output.learner != NETWORK:
            return _learner_model(patch, output, whole(), is_cancelled, clock, started_s)
        return _network_model(patch, output, varied, whole, on_progress, is_cancelled, clock, started_s)


def _network_model(
    patch: Patch,
    output: Output,
    dataset: Dataset,
    with_its_strangers: Callable[[], Dataset],
    on_progress: Callable[[str, Progress], None],
    is_cancelled: Callable[[], bool],
    clock: Clock,
    started_s: float,
) -> TrainedModel:
    """The model of an output that a network learns; what is strange to it is asked for once that is needed."""
    curve: list[list[float | None]] = []
    fitted = fit(
        dataset.examples,
        hidden=output.hidden,
        seed=output.seed,
        on_progress=keeping(curve, lambda progress: on_progress(output.name, progress)),
        is_cancelled=is_cancelled,
    )
    is_class = bool(dataset.classes)
    crossed = None
    if is_class or output.disagreement:
        crossed = cross_fit(dataset.examples, hidden=output.hidden, seed=output.seed, is_cancelled=is_cancelled)
    cooling = temperature(crossed, dataset.examples, fitted) if crossed is not None and is_class else 1.0
    fitted = tempered(fitted, cooling)
    packed = calibrate(
        fitted.bare,
        fitted.shift,
        fitted.gain,
        dataset.examples.values,
        is_class=is_class,
        bits=output.bits,
        insist=output.insist,
        seed=output.seed,
        is_cancelled=is_cancelled,
    )
    familiar = None
    if crossed is not None and is_class:
        outsiders = None
        if len(crossed.rows) >= LEAST_HELD_OUT:
            learned = with_its_strangers().examples
            outsiders = fit_outsiders(learned, crossed.fold, seed=output.seed, is_cancelled=is_cancelled)
        familiar = familiarity(crossed, dataset.examples, dequantised(packed.network), fitted, outsiders)
    ensemble: tuple[PackedNetwork, ...] = ()
    if crossed is not None and output.disagreement:
        ensemble = crossed.ensemble.packed()
    notes = [*fitted.notes, *packed.notes]
    if is_class and familiar is None:
        notes.append("too few frames to tell what is none of these classes, so nothing is rejected; record more takes")
    return TrainedModel(
        output=output.name,
        kind=output.kind,
        classes=dataset.classes,
        low=output.low,
        high=output.high,
        feature_names=dataset.feature_names,
        feature_fingerprint=feature_fingerprint(patch, output),
        hidden=tuple(len(biases) for _, biases in fitted.layers[:-1]),
        seed=output.seed,
        network=packed.network,
        familiarity=familiar,
        ensemble=ensemble,
        training=_summary(dataset, fitted.validation, notes, clock() - started_s)
        | {
            "temperature": round(cooling, 4),
            "steps": fitted.steps,
            "loss": round(fitted.loss, 6),
            "curve": curve,
            "bits": packed.network.bits,
            "packed_by": packed.method,
            "drift": {"rms": round(packed.drift.rms, 6), "worst_jump": round(packed.drift.worst_jump, 6)},
        },
    )


def _learner_model(
    patch: Patch,
    output: Output,
    dataset: Dataset,
    is_cancelled: Callable[[], bool],
    clock: Clock,
    started_s: float,
) -> TrainedModel:
    """The model of an output that one of scikit-learn's learners learns."""
    learned = learned_from(output.learner, dataset.examples, output.seed)
    validation = validated(output.learner, dataset.examples, output.seed)
    if is_cancelled():
        raise Cancelled
    said = learn(learned)  # what it cannot learn is said now, not when the engine makes it again
    frame_us = microseconds_a_frame(said, learned)
    count = len(dataset.examples) + len(dataset.examples.variations if dataset.examples.variations is not None else ())
    notes = [f"learned from {len(learned.values)} of {count} examples"] if len(learned.values) < count else []
    notes += [slow] if (slow := why_slow(output.learner, frame_us)) else []
    familiar = None
    if dataset.classes:
        outsiders = fit_outsiders(
            dataset.examples, parts(dataset.examples), seed=output.seed, is_cancelled=is_cancelled
        )
        familiar = familiarity_of_inputs(dataset.examples, standardised(learned.values), outsiders)
    return TrainedModel(
        output=output.name,
        kind=output.kind,
        classes=dataset.classes,
        low=output.low,
        high=output.high,
        feature_names=dataset.feature_names,
        feature_fingerprint=feature_fingerprint(patch, output),
        hidden=(),
        seed=output.seed,
        learned=learned,
        familiarity=familiar,
        training=_summary(dataset, validation, notes, clock() - started_s)
        | {"learner": output.learner, "frame_us": frame_us},
    )


def _summary(dataset: Dataset, score: Validation | None, found: Sequence[str], seconds: float) -> dict[str, Any]:
    """How training went, as JSON keeps it; `found` are notes beside those of the dataset."""
    examples, notes = dataset.examples, [*dataset.notes, *found]
    validation: dict[str, Any] | None = None
    if score is None:
        of = "class" if dataset.classes else "value"
        notes.append(
            f"no {of} has a second take, and its single take is too short to hold a part out, so there is no score; "
            f"record a second take of each {of}"
        )
    else:
        validation = {
            "measure": "accuracy" if dataset.classes else "rmse",
            "score": round(score.score, 6),
            "examples": score.examples,
            "split": "blocks" if score.by_block else "takes",
            "by_take": {str(dataset.take_ids[number]): round(one, 6) for number, one in score.by_take.items()},
        }
        if score.by_block:
            of = ", ".join(dataset.classes[index] for index in score.by_block) if dataset.classes else ""
            notes.append(
                f"the score{f' of {of}' if of else ''} comes from the end of a single take, which flatters; "
                "record a second take for an honest one"
            )
    counts = np.bincount(examples.targets, minlength=len(dataset.classes)) if dataset.classes else ()
    return {
        "examples": len(examples),
        "takes": len(dataset.take_ids),
        "class_counts": {name: int(count) for name, count in zip(dataset.classes, counts, strict=True)},
        "validation": validation,
        "seconds": round(seconds, 4),
        "notes": notes,
    }


def _wanted(patch: Patch, names: Sequence[str]) -> tuple[Output, ...]:
    if not patch.outputs:
        raise TrainingError(f"{patch.path}: there is no [[output]], so nothing to learn")
    try:
        return tuple(patch.output(name) for name in names) or patch.outputs
    except KeyError as error:
        raise TrainingError(error.args[0]) from None


def with_inputs_of(patch: Patch, takes: Sequence[Take]) -> Patch:
    """The patch with as many input numbers as the latest take has, where it leaves that open."""
    counts = [take.number_count for take in takes if take.number_count]
    if patch.listen.is_numbers and not patch.listen.inputs and counts:
        return with_inputs(patch, counts[-1])
    return patch


def lacks(take: Take, patch: Patch, output: Output) -> str | None:
    """Which of what that output learns from the take does not have, in words."""
    for part, groups in _PARTS_NEEDED:
        if part not in take.parts and any(group in groups for group in output.features):
            return f"it has no {part.removeprefix('left_')} landmarks" if part != "numbers" else "it has no numbers"
    if patch.listen.is_numbers and take.number_count != patch.listen.inputs:
        return f"it has {take.number_count} numbers, the patch {patch.listen.inputs}"
    return None


def _why_nothing(patch: Patch, output: Output, shown: NDArray[Any]) -> str:
    """Why none of the frames of a take, which show that (T,), can teach that output, in words."""
    names = dict.fromkeys(shown.tolist())
    listed = [name for name in names if not output.classes or name in output.classes]
    if names and not listed:
        classes = ", ".join(output.classes)
        return f"it shows {', '.join(names)}, but the classes are {classes}; relabel it, or add those to `classes`"
    part = f" that shows {' or '.join(listed)}" if len(listed) < len(names) else ""
    if patch.listen.is_numbers:
        return f"a number is missing in every frame of it{part}; record it again while all numbers arrive"
    return f"no body was found in any frame of it{part}; record it again with all of you in view"


def _unfit(take: Take, patch: Patch, output: Output) -> str | None:
    """Why that take cannot teach that output, in words."""
    if reason := lacks(take, patch, output):
        return reason
    target = take.targets[output.name]
    if isinstance(target, str) != (output.kind != "continuous"):
        return f"its target is {target!r}, but the output is {output.kind}"
    if output.kind == "trigger" and target == NO_CLASS:
        return None
    if output.name not in take.moving and output.classes and target not in output.classes:
        return f"its class '{target}' is not one of {', '.join(output.classes)}"
    return None
