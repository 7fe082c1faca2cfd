"""Scores: how well the instrument learns a set of examples that it is only shown part of.

Everything is trained as it is for playing, with default settings, and scored on examples held
out. What is held out makes the score: whole takes tell how the next performance will go,
stretches nearly so, and single frames flatter, as their neighbours were learned from.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.datasets import Dataset
from instrument.enrichment import with_features_that_help, with_variations
from instrument.kernels.cpu import forward
from instrument.kernels.packing import FloatArray
from instrument.models.fitting import Cancelled, Examples, RowsForward, fit, rows_of
from instrument.models.holdout import whole_takes
from instrument.models.learner_names import NETWORK
from instrument.models.learners import learn, learned_from
from instrument.patch import Output, Patch

SPLITS = ("takes", "blocks", "frames")
_FLATTERY = "single frames held out have neighbours that were learned from: that flatters"
_BLOCKS = 10
_SEEN = 0.7
_FOLDS = 5
_CURVE = (0.25, 0.5, 1.0)
_CURVE_RUNS = 3
_MOST_NAMED = 5


class EvaluationError(Exception):
    """Nothing to score; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What was said about examples that were held out."""

    truth: NDArray[np.intp]
    """(N,)"""
    said: NDArray[np.intp]
    """(N,)"""
    probabilities: NDArray[np.float32]
    """(N, C)"""
    rows: NDArray[np.intp]
    """(N,): which examples these are."""
    seconds: float
    """How long training took."""

    @property
    def accuracy(self) -> float:
        return float((self.truth == self.said).mean())


def confusion(scores: Sequence[Scored], class_count: int) -> NDArray[np.intp]:
    """(C, C): how often examples of the class of each row were taken for that of each column."""
    counts = np.zeros((class_count, class_count), dtype=np.intp)
    for one in scores:
        np.add.at(counts, (one.truth, one.said), 1)
    return counts


def recalls(counts: NDArray[np.intp]) -> list[float | None]:
    """For each class the share of its examples that were recognised; None where none was held out."""
    return [float(row[index] / row.sum()) if row.any() else None for index, row in enumerate(counts)]


def least_recalled(counts: NDArray[np.intp]) -> int:
    """The class of which the smallest share was recognised, of those held out."""
    return int(np.nanargmin(np.array(recalls(counts), dtype=np.float64)))


def flattery(by_frame: float, otherwise: float) -> str | None:
    """Why a score of single frames, at least as good as that of takes or blocks, says too much; else None.

    Of both, more is better.
    """
    return _FLATTERY if by_frame >= otherwise else None


def train_and_score(
    patch: Patch,
    output: Output,
    dataset: Dataset,
    is_seen: NDArray[np.bool_],
    is_held: NDArray[np.bool_],
    *,
    seed: int = 0,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Scored:
    """What a model that learned from the examples seen says about those held out."""
    started_s = time.perf_counter()
    seen = with_variations(with_features_that_help(subset(dataset, is_seen), output), patch, output)
    said = _learn(output, seen.examples, output.seed + seed, is_cancelled)
    seconds = time.perf_counter() - started_s
    place = {name: column for column, name in enumerate(dataset.feature_names)}
    columns = np.array([place[name] for name in seen.feature_names], dtype=np.intp)
    rows = np.flatnonzero(is_held)
    given = said(dataset.examples.values[np.ix_(rows, columns)])
    given = np.exp(given - given.max(axis=1, keepdims=True))
    return Scored(
        truth=dataset.examples.targets[rows].astype(np.intp),
        said=given.argmax(axis=1),
        probabilities=given / given.sum(axis=1, keepdims=True),
        rows=rows,
        seconds=seconds,
    )


def _learn(output: Output, examples: Examples, seed: int, is_cancelled: Callable[[], bool]) -> RowsForward:
    if output.learner != NETWORK:
        if is_cancelled():
            raise Cancelled
        return learn(learned_from(output.learner, examples, seed))
    fitted = fit(examples, hidden=output.hidden, seed=seed, is_validated=False, is_cancelled=is_cancelled)
    return partial(forward, fitted.layers)


def subset(dataset: Dataset, rows: NDArray[np.bool_]) -> Dataset:
    """The dataset with those examples only."""
    frames, start = [], 0
    for sequence, of_take in dataset.frames:
        frames.append((sequence, of_take[rows[start : start + len(of_take)]]))
        start += len(of_take)
    return replace(dataset, examples=rows_of(dataset.examples, rows), frames=tuple(frames))


def split(
    dataset: Dataset, kind: str, rng: np.random.Generator, *, few: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N,) what is learned from and (N,) what is held out: three tenths of every class, by takes, blocks or frames.

    With `few`, only so many examples of each class are learned from, and with `frames` all others held out.
    A class with a single take is held out by blocks where takes are wanted.
    """
    targets, takes = dataset.examples.targets, dataset.examples.takes
    part = np.full(len(targets), -1, dtype=np.intp)
    drawn = []
    for one in np.unique(targets):
        rows = np.flatnonzero(targets == one)
        pieces = _pieces(rows, takes, kind)
        order = rng.permutation(len(pieces))
        share = few if few and kind == "frames" else max(1, min(len(pieces) - 1, round(_SEEN * len(pieces))))
        seen = np.concatenate([pieces[index] for index in order[:share]])
        held = np.concatenate([rows[:0], *(pieces[index] for index in order[share:])])
        part[seen], part[held] = 0, 1
        drawn.append(np.concatenate([rng.permutation(seen) if few else seen, held]))
    if kind == "takes":
        part = whole_takes(part, targets.astype(np.intp), takes)
    is_seen = np.zeros(len(targets), dtype=bool)
    for rows in drawn:
        is_seen[rows[part[rows] == 0][: few or None]] = True
    return is_seen, part == 1


def _pieces(rows: NDArray[np.intp], takes: NDArray[np.intp], kind: str) -> list[NDArray[np.intp]]:
    """The rows of a class in the pieces that are held out whole."""
    if kind == "frames":
        return list(rows[:, None])
    numbers = np.unique(takes[rows])
    if kind == "takes" and len(numbers) > 1:
        return [rows[takes[rows] == number] for number in numbers]
    return [piece for piece in np.array_split(rows, _BLOCKS) if len(piece)]


def cross_validate(
    patch: Patch,
    output: Output,
    dataset: Dataset,
    kind: str,
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Scored:
    """What is said about every example by a model that did not learn from its take (block, frame).

    Raises EvaluationError when there are too few.
    """
    targets, takes = dataset.examples.targets, dataset.examples.takes
    rng = np.random.default_rng(0)
    fold = np.zeros(len(targets), dtype=np.intp)
    most = 2
    for one in np.unique(targets):
        rows = np.flatnonzero(targets == one)
        pieces = _pieces(rows, takes, kind)
        if kind != "frames" and len(np.unique(takes[rows])) == 1:
            pieces = [piece for piece in np.array_split(rows, _FOLDS) if len(piece)]
        if len(pieces) < 2:
            raise EvaluationError("a class has a single example; record more of it")
        most = max(most, len(pieces))
        for place, piece in enumerate(rng.permutation(len(pieces))):
            fold[pieces[piece]] = place % _FOLDS
    if kind == "takes":
        fold = whole_takes(fold, targets.astype(np.intp), takes)
    scores = []
    for number in range(min(_FOLDS, most)):
        is_held = fold == number
        if len(np.unique(targets[~is_held])) == len(np.unique(targets)) and is_held.any():
            scores.append(train_and_score(patch, output, dataset, ~is_held, is_held, is_cancelled=is_cancelled))
    if not scores:
        raise EvaluationError("too few takes to hold any out; record more")
    order = np.argsort(np.concatenate([one.rows for one in scores]))
    return Scored(
        truth=np.concatenate([one.truth for one in scores])[order],
        said=np.concatenate([one.said for one in scores])[order],
        probabilities=np.concatenate([one.probabilities for one in scores])[order],
        rows=np.concatenate([one.rows for one in scores])[order],
        seconds=sum(one.seconds for one in scores),
    )


def learning_curve(
    patch: Patch,
    output: Output,
    dataset: Dataset,
    kind: str,
    *,
    runs: int = _CURVE_RUNS,
    seed: int = 0,
    few: int = 0,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> list[tuple[int, float]]:
    """(examples learned from, accuracy on the same held out) for a quarter, a half and all that may be seen."""
    points = []
    for share in _CURVE:
        sizes, accuracies = [], []
        for run in range(runs):
            rng = np.random.default_rng([seed + run, 7])
            is_seen, is_held = split(dataset, kind, rng, few=few)
            part = _share(dataset, is_seen, kind, share, rng)
            if not is_held.any() or is_cancelled():
                raise Cancelled if is_cancelled() else EvaluationError("too few examples to hold any out")
            scored = train_and_score(patch, output, dataset, part, is_held, seed=run, is_cancelled=is_cancelled)
            sizes.append(int(part.sum()))
            accuracies.append(scored.accuracy)
        points.append((round(float(np.mean(sizes))), float(np.mean(accuracies))))
    return points


def _share(
    dataset: Dataset, is_seen: NDArray[np.bool_], kind: str, share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """That share of what is seen of every class, in the pieces it is held out by; at least one of each."""
    part = np.zeros_like(is_seen)
    for one in np.unique(dataset.examples.targets):
        rows = np.flatnonzero(is_seen & (dataset.examples.targets == one))
        pieces = _pieces(rows, dataset.examples.takes, kind)
        wanted = rng.permutation(len(pieces))[: max(1, math.ceil(share * len(pieces)))]
        part[np.concatenate([pieces[index] for index in wanted])] = True
    return part


def evaluate(
    patch: Patch, output: Output, dataset: Dataset, *, kind: str, few: int = 0, seed: int = 0, runs: int = 10
) -> dict[str, Any]:
    """The scores of one class output, as `instrument evaluate` reports them.

    Raises EvaluationError when nothing can be held out.
    """
    count = len(dataset.classes)
    scores = _scores(patch, output, dataset, kind, few, seed, runs)
    counts = confusion(scores, count)
    accuracies = [one.accuracy for one in scores]
    accuracy = float(np.mean(accuracies))
    beside: dict[str, Any] | None = None
    warning = _FLATTERY if kind == "frames" else None
    if not few:
        other = "frames" if kind != "frames" else "blocks"
        of_other = _mean(_scores(patch, output, dataset, other, 0, seed, min(runs, 3)))
        beside = {"split": other, "accuracy": of_other}
        warning = flattery(accuracy, of_other) if kind == "frames" else flattery(of_other, accuracy)
    curve = learning_curve(patch, output, dataset, kind, seed=seed, few=few)
    features = with_features_that_help(dataset, output).feature_names
    recall = dict(zip(dataset.classes, recalls(counts), strict=True))
    untested = [name for name, one in recall.items() if one is None]
    return {
        "output": output.name,
        "examples": len(dataset.examples),
        "takes": len(dataset.take_ids),
        "features": len(features),
        "feature_groups": list(dict.fromkeys(name.partition(".")[0] for name in features)),
        "classes": {
            name: int(number)
            for name, number in zip(
                dataset.classes, np.bincount(dataset.examples.targets, minlength=count), strict=True
            )
        },
        "split": kind,
        "few": few,
        "runs": runs,
        "seed": seed,
        "learned_from": round(float(np.mean([len(dataset.examples) - len(one.rows) for one in scores])))
        if not few
        else few * count,
        "held_out": round(float(np.mean([len(one.rows) for one in scores]))),
        "accuracy": accuracy,
        "deviation": float(np.std(accuracies)),
        "worst": min(accuracies),
        "recall": recall,
        "confusion": counts.tolist(),
        "beside": beside,
        "warning": warning,
        "learning_curve": [{"examples": number, "accuracy": score} for number, score in curve],
        "train_ms": 1000 * float(np.median([one.seconds for one in scores])),
        "notes": [
            *with_features_that_help(dataset, output).notes,
            *([_never_tested(untested, len(dataset.classes))] if untested else []),
        ],
    }


def _never_tested(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    return (
        f"{len(names)} of {count} classes never tested, for want of examples to hold out: {shown}; record more of these"
    )


def evaluate_values(output: Output, dataset: Dataset, *, kind: str, seed: int = 0) -> dict[str, Any]:
    """The errors of one continuous output, in its own unit: by takes, blocks or frames, and by frames beside it.

    Five folds; every example is scored by a model that did not learn from its take (block, frame).
    Raises EvaluationError when there are not two pieces to hold out.
    """
    other = "frames" if kind != "frames" else "blocks"
    span = output.high - output.low
    errors, seconds = value_errors(output, dataset, kind, seed=seed)
    beside, _ = value_errors(output, dataset, other, seed=seed)
    off, off_beside = _root_mean(errors), _root_mean(beside)
    numbers = np.unique(dataset.examples.takes)
    spread = float(np.std(dataset.examples.targets))
    return {
        "output": output.name,
        "kind": output.kind,
        "learner": output.learner,
        "examples": len(dataset.examples),
        "takes": len(dataset.take_ids),
        "range": [output.low, output.high],
        "split": kind,
        "seed": seed,
        "rmse": span * off,
        "rmse_of_the_mean": span * spread,
        "worst_takes": [
            {"take": dataset.take_ids[number], "rmse": span * _root_mean(errors[dataset.examples.takes == number])}
            for number in sorted(numbers, key=lambda one: -_root_mean(errors[dataset.examples.takes == one]))[:3]
        ],
        "beside": {"split": other, "rmse": span * off_beside},
        "warning": flattery(-off, -off_beside) if kind == "frames" else flattery(-off_beside, -off),
        "train_ms": 1000 * seconds,
        "notes": list(dataset.notes),
    }


def value_errors(
    output: Output,
    dataset: Dataset,
    kind: str,
    *,
    seed: int = 0,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> tuple[FloatArray, float]:
    """(N,) squared errors of 0..1 of models that did not learn from the take (block, frame), and seconds a training.

    Takes of the same value are held out apart. Blocks are parts of every take; a single take is held out by blocks.
    Raises EvaluationError and Cancelled.
    """
    examples = with_features_that_help(dataset, output).examples
    fold = _value_folds(examples, kind, np.random.default_rng([seed, 5]))
    folds = int(fold.max()) + 1
    if folds < 2:
        raise EvaluationError("a single example; record more")
    errors = np.zeros(len(examples), dtype=np.float32)
    started_s = time.perf_counter()
    for number in range(folds):
        is_held = fold == number
        errors[is_held] = _value_errors_of(output, examples, is_held, seed, is_cancelled)
    return errors, (time.perf_counter() - started_s) / folds


def value_errors_of(
    output: Output, dataset: Dataset, is_held: NDArray[np.bool_], *, is_cancelled: Callable[[], bool] = lambda: False
) -> FloatArray:
    """(H,) squared errors of 0..1 in those examples (N,) of a model that learned from all others; raises Cancelled."""
    return _value_errors_of(output, with_features_that_help(dataset, output).examples, is_held, 0, is_cancelled)


def _value_errors_of(
    output: Output, examples: Examples, is_held: NDArray[np.bool_], seed: int, is_cancelled: Callable[[], bool]
) -> FloatArray:
    said = _learn(output, rows_of(examples, ~is_held), output.seed + seed, is_cancelled)
    given = np.clip(said(examples.values[is_held])[:, 0], 0.0, 1.0)
    return np.asarray(np.square(given - examples.targets[is_held]))


def _value_folds(examples: Examples, kind: str, rng: np.random.Generator) -> NDArray[np.intp]:
    """(N,): in which of at most `_FOLDS` folds each example is held out."""
    fold = np.zeros(len(examples), dtype=np.intp)
    pieces = _pieces(np.arange(len(examples)), examples.takes, kind)
    if kind == "takes" and len(pieces) > 1:  # by value, as neighbours in this order come into different folds
        order = np.argsort([examples.targets[piece].mean() for piece in pieces], kind="stable")
        dealt = [[pieces[index] for index in order]]
    elif kind == "frames":
        dealt = [[pieces[index] for index in rng.permutation(len(pieces))]]
    else:  # parts of every take, or a value that a single one shows would be held out whole
        dealt = []
        for take in np.unique(examples.takes):
            parts = np.array_split(np.flatnonzero(examples.takes == take), _BLOCKS)
            dealt.append([parts[index] for index in rng.permutation(_BLOCKS) if len(parts[index])])
    for first, pile in enumerate(dealt):
        for place, piece in enumerate(pile, start=first):
            fold[piece] = place % _FOLDS
    return fold


def _root_mean(squares: FloatArray) -> float:
    return math.sqrt(float(squares.mean()))


def _scores(patch: Patch, output: Output, dataset: Dataset, kind: str, few: int, seed: int, runs: int) -> list[Scored]:
    scores = []
    for run in range(seed, seed + runs):
        is_seen, is_held = split(dataset, kind, np.random.default_rng(run), few=few)
        if not is_held.any():
            most = np.bincount(dataset.examples.targets).max()
            if few and kind == "frames" and most > 1:
                raise EvaluationError(
                    f"{few} of each class learned from leave none to hold out: the largest has {most}; learn from fewer"
                )
            raise EvaluationError(f"{len(dataset.examples)} examples are too few to hold any out; record more")
        scores.append(train_and_score(patch, output, dataset, is_seen, is_held, seed=run))
    return scores


def _mean(scores: Sequence[Scored]) -> float:
    return float(np.mean([one.accuracy for one in scores]))
