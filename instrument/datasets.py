"""Takes become what outputs learn from: the features of their frames, beside what each frame shows."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.features import extract, feature_columns, feature_names, smoothed, with_inputs
from instrument.models.fitting import Cancelled, Examples, TrainingError
from instrument.models.glitches import without_glitches
from instrument.movement import MovementDataset, movement_dataset
from instrument.patch import HAND_FEATURES, NO_CLASS, NUMBER_FEATURES, POSE_FEATURES, Output, Patch
from instrument.signals import LANDMARK_PARTS, FloatArray, LandmarkSequence
from instrument.takes import Take, TakeStore

_NO_NUMBER = 1e30
"""Infinite, or as good as that."""
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
