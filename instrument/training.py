"""What takes teach becomes models: fits a network for each output, calibrates it, and writes its files.

Knows the project's folder, not processes or messages: the trainer process calls `train_project`.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from instrument.clock import Clock, now_s
from instrument.datasets import Dataset, FeatureCache, TakeFeatures, gather, gather_movements, lacks, with_inputs_of
from instrument.enrichment import with_features_that_help, with_strangers, with_variations
from instrument.features import feature_fingerprint, feature_names
from instrument.kernels.cpu import dequantised
from instrument.kernels.packing import PackedNetwork
from instrument.models.crossfit import cross_fit, familiarity, familiarity_of_inputs, parts, temperature, tempered
from instrument.models.familiarity import LEAST_HELD_OUT
from instrument.models.fitting import Cancelled, Progress, TrainingError, Validation, fit, keeping
from instrument.models.learner_names import NETWORK
from instrument.models.learners import learn, learned_from, microseconds_a_frame, validated, why_slow
from instrument.models.movement_model import MovementModel, load_of_kind, save_movements
from instrument.models.outsiders import fit_outsiders
from instrument.models.quantize import calibrate
from instrument.models.trained import ModelError, TrainedModel, keep_before, save_model, too_large
from instrument.models.whitening import standardised
from instrument.movement import MovementDataset, train_movements
from instrument.patch import Output, Patch
from instrument.patch_file import playing_patch
from instrument.project import Project
from instrument.rehearsal import Stream, rehearse
from instrument.takes import Take, TakeStore


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
