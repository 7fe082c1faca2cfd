"""Datasets with more than their examples show: further readings of numbers, variations, and strangers."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instrument.datasets import Dataset
from instrument.features import LANDMARK_READINGS, LIMIT, POINT_DIMENSIONS
from instrument.models.choosing import are_points, separation_error
from instrument.patch import Output, Patch
from instrument.signals import LANDMARK_PARTS, FloatArray, LandmarkSequence
from instrument.skeletons import skeleton_of
from instrument.strangers import MOST_STRANGERS, strangers
from instrument.variation import COPIES, FEWEST_VARIATIONS, MOST_VARIATIONS, is_body, variations

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


def _spread(targets: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(at most `most`,) rows in order, of every class as many as of any other, or all it has."""
    if len(targets) <= most:
        return np.arange(len(targets))
    classes = np.unique(targets)
    each = max(1, most // len(classes))
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(targets == one))[:each] for one in classes]))


def _within_reach(made: FloatArray, values: FloatArray) -> FloatArray:
    """(M, F) features made of landmarks as they came, not far beyond the examples (N, F): these have no glitches.

    Features of bodies and hands are never so far out, however still the performer stood.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    reach = _REACH * (high - low) + np.float32(2 * LIMIT)
    return np.clip(made, low - reach, high + reach)
