"""What to record next, in plain sentences, each with the evidence it rests on.

Everything is found out from what a model says about takes it did not learn from. Runs in the
trainer after the new models play, so that it may take a second without anybody waiting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.evaluation import (
    FLATTERY,
    EvaluationError,
    Scored,
    confusion,
    cross_validate,
    learning_curve,
    recalls,
    subset,
)
from instrument.models.learners import why_slow
from instrument.patch import Output, Patch
from instrument.takes import Take
from instrument.training import Dataset

READY = 0.9
"""Accuracy on takes not learned from at which there is nothing left to do."""
_COLLIDING = 0.05
_UNLIKE = 0.5
_LIKE = 0.75
_ANOTHER_CLASS = 0.8
_UNBALANCED = 0.25
_TRACKED = 0.9
_STILL_RISING = 0.02
_MOST_EXAMPLES = 3000
_MOST_SENTENCES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing to do, and why."""

    kind: str
    """`collision`, `outlier`, `few`, `unbalanced`, `tracking`, `more`, `flattery`, `slow` or `ready`."""
    text: str
    evidence: dict[str, Any]


def coach(
    patch: Patch,
    output: Output,
    dataset: Dataset,
    takes: Sequence[Take],
    *,
    frame_us: float = 0.0,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Scores by take and by frame, the learning curve, and what to do; all of it fit for JSON.

    `frame_us` is what the model takes to say something about a frame, where that was measured.
    Raises Cancelled.
    """
    advice = [*_tracking(output, takes), *_amounts(dataset)]
    report: dict[str, Any] = {"output": output.name}
    accuracy = None
    if dataset.classes:
        thin = thinned(dataset, _MOST_EXAMPLES)
        try:
            by_take = cross_validate(patch, output, thin, "takes", is_cancelled=is_cancelled)
            by_frame = cross_validate(patch, output, thin, "frames", is_cancelled=is_cancelled)
            curve = learning_curve(patch, output, thin, "takes", is_cancelled=is_cancelled)
        except EvaluationError as error:
            report["not_scored"] = str(error)
        else:
            accuracy = by_take.accuracy
            counts = confusion([by_take], len(dataset.classes))
            report |= {
                "by_take": {
                    "accuracy": round(by_take.accuracy, 4),
                    "recall": dict(zip(dataset.classes, (round(one, 4) for one in recalls(counts)), strict=True)),
                    "confusion": counts.tolist(),
                },
                "by_frame": {"accuracy": round(by_frame.accuracy, 4), "warning": FLATTERY},
                "learning_curve": [{"examples": size, "accuracy": round(score, 4)} for size, score in curve],
            }
            advice += _collisions(thin, counts)
            advice += _outliers(thin, by_take)
            advice += _rising(curve)
            advice += _flattered(by_take.accuracy, by_frame.accuracy)
    if not dataset.classes:
        advice += _values(output, dataset)
    if accuracy is not None and accuracy >= READY and not advice:
        text = f"ready to play: {accuracy:.0%} of what it had not learned from is recognised"
        advice = [Advice(kind="ready", text=text, evidence={"accuracy": round(accuracy, 4)})]
    report["is_ready"] = [one.kind for one in advice] == ["ready"]
    if slow := why_slow(output.learner, frame_us):
        advice.insert(0, Advice(kind="slow", text=slow, evidence={"learner": output.learner, "frame_us": frame_us}))
    report["advice"] = [
        {"kind": one.kind, "text": one.text, "evidence": one.evidence} for one in advice[:_MOST_SENTENCES]
    ]
    return report


def thinned(dataset: Dataset, most: int) -> Dataset:
    """The dataset with at most about so many examples, evenly from every take."""
    every = -(-len(dataset.examples) // most)
    if every <= 1:
        return dataset
    rows = np.zeros(len(dataset.examples), dtype=bool)
    rows[::every] = True
    for take in np.unique(dataset.examples.takes):  # none loses its last frame
        rows[np.flatnonzero(dataset.examples.takes == take)[0]] = True
    return subset(dataset, rows)


def _tracking(output: Output, takes: Sequence[Take]) -> list[Advice]:
    return [
        Advice(
            kind="tracking",
            text=f"take {take.id}: the body was found in {take.tracked_fraction:.0%} of its frames only; "
            "record it again with all of you in view",
            evidence={"take": take.id, "tracked": round(take.tracked_fraction, 3)},
        )
        for take in takes
        if output.name in take.targets and take.tracked_fraction < _TRACKED
    ]


def _amounts(dataset: Dataset) -> list[Advice]:
    """Classes with a single take, and classes with far fewer frames than the others."""
    if not dataset.classes:
        return []
    targets, takes = dataset.examples.targets, dataset.examples.takes
    found = []
    counts = np.bincount(targets, minlength=len(dataset.classes))
    for index, name in enumerate(dataset.classes):
        number = len(np.unique(takes[targets == index]))
        if number < 2:
            text = f"'{name}' has a single take: record another, a little differently"
            found.append(Advice(kind="few", text=text, evidence={"class": name, "takes": number}))
        elif counts[index] < _UNBALANCED * np.median(counts):
            text = (
                f"'{name}' has {counts[index]} frames where the others have about {np.median(counts):.0f}: record more"
            )
            evidence = {"class": name, "frames": int(counts[index]), "median": float(np.median(counts))}
            found.append(Advice(kind="unbalanced", text=text, evidence=evidence))
    return found


def _values(output: Output, dataset: Dataset) -> list[Advice]:
    """How much of a continuous output's range the takes show."""
    targets = dataset.examples.targets
    low, high = (output.low + (output.high - output.low) * float(one) for one in (targets.min(), targets.max()))
    evidence = {"low": low, "high": high}
    if high - low < 0.5 * (output.high - output.low):
        text = f"takes show {low:g} to {high:g} of {output.low:g} to {output.high:g}: record takes of other values"
        return [Advice(kind="few", text=text, evidence=evidence)]
    return [Advice(kind="ready", text=f"ready to play: takes show {low:g} to {high:g}", evidence=evidence)]


def _collisions(dataset: Dataset, counts: NDArray[np.intp]) -> list[Advice]:
    """Pairs of classes that are taken for each other, worst first, and where they differ most."""
    pairs = []
    for one in range(len(counts)):
        for other in range(one + 1, len(counts)):
            wrong = int(counts[one, other] + counts[other, one])
            share = wrong / max(int(counts[one].sum() + counts[other].sum()), 1)
            if share >= _COLLIDING:
                pairs.append((share, wrong, one, other))
    found = []
    for share, wrong, one, other in sorted(pairs, reverse=True)[:3]:
        names = dataset.classes[one], dataset.classes[other]
        where = telling_apart(dataset, one, other)
        advised = (
            f"they differ most at {' and '.join(where)}: make more of that, or" if where else "they look the same:"
        )
        found.append(
            Advice(
                kind="collision",
                text=f"'{names[0]}' and '{names[1]}' are taken for each other in {share:.0%} of frames; "
                f"{advised} record a take of each with a clearer difference",
                evidence={"classes": names, "frames": wrong, "share": round(share, 4), "told_apart_by": where},
            )
        )
    return found


def telling_apart(dataset: Dataset, one: int, other: int, most: int = 2) -> list[str]:
    """The landmarks (or inputs) whose features differ most between two classes, beside how they vary; best first."""
    values, targets = dataset.examples.values, dataset.examples.targets
    a, b = values[targets == one], values[targets == other]
    spread = np.sqrt((a.var(axis=0) + b.var(axis=0)) / 2) + 1e-6 * (1 + np.abs(values).mean(axis=0))
    gaps = np.abs(a.mean(axis=0) - b.mean(axis=0)) / spread
    best: dict[str, float] = {}
    for name, gap in zip(dataset.feature_names, gaps.tolist(), strict=True):
        place = _place(name)
        best[place] = max(best.get(place, 0.0), gap)
    ranked = sorted(best, key=lambda place: -best[place])
    return [place for place in ranked[:most] if best[place] >= 0.5]


def _place(feature: str) -> str:
    """The landmark, joint or input a feature is about."""
    group, _, rest = feature.partition(".")
    words = rest.split(".")
    if group.startswith("number"):
        return f"input {words[0]}" if group not in ("number_path", "number_shape") else f"point {words[0]}"
    if group.startswith("hand"):
        return " ".join(words[:2]).replace("_", " ")
    return words[0].replace("_", " ")


def _outliers(dataset: Dataset, scored: Scored) -> list[Advice]:
    """Takes that a model made from the others does not recognise, where it recognises those."""
    takes, targets = dataset.examples.takes, dataset.examples.targets
    right = np.zeros(len(targets), dtype=bool)
    right[scored.rows] = scored.truth == scored.said
    said = np.full(len(targets), -1, dtype=np.intp)
    said[scored.rows] = scored.said
    found = []
    for index, name in enumerate(dataset.classes):
        numbers = np.unique(takes[targets == index])
        shares = {int(one): float(right[(takes == one) & (targets == index)].mean()) for one in numbers}
        for number, share in shares.items():
            others = [value for other, value in shares.items() if other != number]
            if len(others) < 2 or share > _UNLIKE or np.median(others) < _LIKE:
                continue
            rows = (takes == number) & (targets == index) & (said >= 0)
            taken_for = np.bincount(said[rows], minlength=len(dataset.classes))
            likely = int(taken_for.argmax())
            as_likely = taken_for[likely] / max(taken_for.sum(), 1)
            take_id = dataset.take_ids[number]
            cure = (
                f"relabel it '{dataset.classes[likely]}', or delete it" if as_likely >= _ANOTHER_CLASS else "delete it"
            )
            found.append(
                Advice(
                    kind="outlier",
                    text=f"take {take_id} is unlike the other takes of '{name}': {as_likely:.0%} of it looks like "
                    f"'{dataset.classes[likely]}' to a model made from the others; {cure}, or record more like it",
                    evidence={
                        "take": take_id,
                        "class": name,
                        "recognised": round(share, 4),
                        "others": round(float(np.median(others)), 4),
                        "looks_like": dataset.classes[likely],
                    },
                )
            )
    return found


def _rising(curve: Sequence[tuple[int, float]]) -> list[Advice]:
    (_, half), (_, whole) = curve[-2:]
    if whole - half < _STILL_RISING or whole >= 1.0 - _STILL_RISING:
        return []
    text = f"more takes would help: half of them give {half:.0%}, all of them {whole:.0%}"
    return [Advice(kind="more", text=text, evidence={"half": round(half, 4), "all": round(whole, 4)})]


def _flattered(by_take: float, by_frame: float) -> list[Advice]:
    if by_take >= READY or by_frame - by_take < 0.05:
        return []
    text = (
        f"{by_take:.0%} recognised in takes it had not learned from, {by_frame:.0%} in frames of takes it had: "
        "takes differ more from each other than they show; record more, each a little differently"
    )
    return [Advice(kind="flattery", text=text, evidence={"by_take": round(by_take, 4), "by_frame": round(by_frame, 4)})]
