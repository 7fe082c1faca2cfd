"""What to record next, in plain sentences, each with the evidence it rests on.

Everything is found out from what a model says about takes it did not learn from. Runs in the
trainer after the new models play, so that it may take a second without anybody waiting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.datasets import Dataset
from instrument.enrichment import with_features_that_help
from instrument.evaluation import (
    EvaluationError,
    Scored,
    confusion,
    cross_validate,
    flattery,
    learning_curve,
    least_recalled,
    recalls,
    subset,
    value_errors,
    value_errors_of,
)
from instrument.features import LANDMARK_READINGS
from instrument.models.learners import why_slow
from instrument.patch import NO_CLASS, Output, Patch
from instrument.takes import Take

READY = 0.9
"""Accuracy on takes not learned from at which there is nothing left to do."""
_COLLIDING = 0.05
_UNLIKE = 0.5
_LIKE = 0.75
_ANOTHER_CLASS = 0.8
_MOST_SUSPECTS = 6
"""Of several outliers, so many at most are tried out: each takes five trainings."""
_UNBALANCED = 0.25
_TRACKED = 0.9
_STILL_RISING = 0.02
_SAME_VALUE = 0.05
"""Of the range: takes of values this near show the same."""
_FAR_OFF = 0.25
"""Of the range: how far off a take is whose value seems wrong."""
_MOST_EXAMPLES = 3000
_FEWEST_OF_CLASS = 50
"""Of a class that has them, so many examples are kept when others are left out."""
_MOST_SENTENCES = 12
_MOST_WORST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing to do, and why."""

    kind: str
    """`collision`, `outlier`, `few`, `unbalanced`, `tracking`, `length`, `more`, `flattery`, `slow` or `ready`."""
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
    advice = [*tracking(output, takes), *never_shown(output, dataset.classes, takes), *_amounts(dataset)]
    thin = thinned(dataset, _MOST_EXAMPLES)
    scores: dict[str, Any] = {}
    try:
        if dataset.classes:
            scores, found = _score_classes(patch, output, thin, is_cancelled)
            advice += found
        else:
            scores, found = _score_values(output, thin, is_cancelled)
            advice += found or [one for one in _values(output, dataset) if one.kind != "ready" or not advice]
    except EvaluationError as error:
        scores = {"not_scored": str(error)}
    accuracy = scores.get("by_take", {}).get("accuracy")
    if accuracy is not None and accuracy >= READY and not advice:
        advice = [ready(accuracy)]
    is_ready = [one.kind for one in advice] == ["ready"]
    if slow := why_slow(output.learner, frame_us):
        advice.insert(0, Advice(kind="slow", text=slow, evidence={"learner": output.learner, "frame_us": frame_us}))
    return report(output, scores, advice, is_ready=is_ready)


def report(output: Output, scores: dict[str, Any], advice: Sequence[Advice], *, is_ready: bool) -> dict[str, Any]:
    """All that is said of one output."""
    told = [{"kind": one.kind, "text": one.text, "evidence": one.evidence} for one in advice[:_MOST_SENTENCES]]
    return {"output": output.name, **scores, "is_ready": is_ready, "advice": told}


def refused(output: str, reason: str) -> dict[str, Any]:
    """What is said of an output that could not learn."""
    return {
        "output": output,
        "is_ready": False,
        "advice": [{"kind": "refused", "text": reason, "evidence": {}}],
    }


def ready(accuracy: float) -> Advice:
    text = f"ready to play: {accuracy:.0%} of what it had not learned from is recognised"
    return Advice(kind="ready", text=text, evidence={"accuracy": round(accuracy, 4)})


def class_scores(classes: Sequence[str], counts: NDArray[np.intp], of: str) -> dict[str, Any]:
    """Accuracy, recall and confusion (rows: what was shown) of `counts`, which count that: `frames` or `takes`.

    The recall of a class of which nothing was held out is None.
    """
    recall = (one if one is None else round(one, 4) for one in recalls(counts))
    return {
        "accuracy": round(float(np.trace(counts) / max(counts.sum(), 1)), 4),
        "of": of,
        "classes": list(classes),
        "recall": dict(zip(classes, recall, strict=True)),
        "confusion": counts.tolist(),
    }


def _score_classes(
    patch: Patch, output: Output, thin: Dataset, is_cancelled: Callable[[], bool]
) -> tuple[dict[str, Any], list[Advice]]:
    by_take = cross_validate(patch, output, thin, "takes", is_cancelled=is_cancelled)
    by_frame = cross_validate(patch, output, thin, "frames", is_cancelled=is_cancelled)
    curve = learning_curve(patch, output, thin, "takes", is_cancelled=is_cancelled)
    counts = confusion([by_take], len(thin.classes))
    weakest = thin.classes[least_recalled(counts)]
    scores = {
        "by_take": {**class_scores(thin.classes, counts, "frames"), "split": _split(thin)},
        "by_frame": {
            "accuracy": round(by_frame.accuracy, 4),
            "warning": flattery(by_frame.accuracy, by_take.accuracy),
        },
        "learning_curve": [{"examples": size, "accuracy": round(score, 4)} for size, score in curve],
    }
    outliers = _culprits(patch, output, thin, _outliers(thin, by_take), is_cancelled)
    advice = [*_collisions(output, thin, by_take, counts), *outliers, *_rising(curve, weakest)]
    return scores, advice + _flattered(by_take.accuracy, by_frame.accuracy, weakest)


def _split(dataset: Dataset) -> str:
    """What is held out whole: `takes`, or `blocks` where a class has a single take, of which parts must do."""
    examples = dataset.examples
    counts = [len(np.unique(examples.takes[examples.targets == one])) for one in np.unique(examples.targets)]
    return "takes" if min(counts) > 1 else "blocks"


def _score_values(
    output: Output, thin: Dataset, is_cancelled: Callable[[], bool]
) -> tuple[dict[str, Any], list[Advice]]:
    """By take where another take shows the same value; else by blocks, as no model can know what it was never shown."""
    examples, span = thin.examples, output.high - output.low
    takes = np.unique(examples.takes)
    values = np.array([examples.targets[examples.takes == number].mean() for number in takes])
    is_moving = np.array([np.ptp(examples.targets[examples.takes == number]) > _SAME_VALUE for number in takes])
    alike = np.abs(values[:, None] - values) <= _SAME_VALUE
    kind = "takes" if len(takes) > 1 and (is_moving | (alike.sum(axis=1) > 1)).all() else "blocks"
    by_take, _ = value_errors(output, thin, kind, is_cancelled=is_cancelled)
    by_frame, _ = value_errors(output, thin, "frames", is_cancelled=is_cancelled)
    off = np.sqrt([by_take[examples.takes == number].mean() for number in takes])
    worst = np.argsort(-off)[:_MOST_WORST]
    scores = {
        "by_take": {
            "rmse": _rounded(span * float(np.sqrt(by_take.mean()))),
            "of_the_mean": _rounded(span * float(examples.targets.std())),
            "split": kind,
            "worst_takes": [{"take": thin.take_ids[takes[one]], "rmse": _rounded(span * off[one])} for one in worst],
        },
        "by_frame": {
            "rmse": _rounded(span * float(np.sqrt(by_frame.mean()))),
            "warning": flattery(-float(by_frame.mean()), -float(by_take.mean())),
        },
    }
    advice: list[Advice] = []
    for one in worst if kind == "takes" else ():
        others = off[alike[one] & ~is_moving & (np.arange(len(takes)) != one)]
        if is_moving[one] or len(others) < 2 or off[one] < _FAR_OFF or np.median(others) > off[one] / 2:
            continue
        # Others were held out with it, perhaps those that are most like it.
        alone = value_errors_of(output, thin, examples.takes == takes[one], is_cancelled=is_cancelled)
        if (far := float(np.sqrt(alone.mean()))) < _FAR_OFF or np.median(others) > far / 2:
            continue
        shown, take_id = output.low + span * float(values[one]), thin.take_ids[takes[one]]
        text = (
            f"take {take_id} is unlike the other takes of {shown:g}: a model made from the others is "
            f"{span * far:.2g} off in it; give it another value, delete it, or record more like it"
        )
        evidence = {"take": take_id, "value": shown, "rmse": _rounded(span * far)}
        advice.append(Advice(kind="outlier", text=text, evidence=evidence))
    return scores, advice


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def thinned(dataset: Dataset, most: int) -> Dataset:
    """The dataset with at most about so many examples, evenly from every take; more of a class with few."""
    every = -(-len(dataset.examples) // most)
    if every <= 1:
        return dataset
    rows = np.zeros(len(dataset.examples), dtype=bool)
    rows[::every] = True
    for take in np.unique(dataset.examples.takes):  # none loses its last frame
        rows[np.flatnonzero(dataset.examples.takes == take)[0]] = True
    count = len(dataset.classes)
    for index in range(count):  # every class keeps enough to be scored
        of_class = np.flatnonzero(dataset.examples.targets == index)
        least = min(len(of_class), _FEWEST_OF_CLASS, most // count)
        if rows[of_class].sum() < least:
            rows[of_class[np.arange(least) * len(of_class) // least]] = True
    return subset(dataset, rows)


def tracking(output: Output, takes: Sequence[Take]) -> list[Advice]:
    """Which takes hardly show the body, or lack many of the numbers."""
    bad = [take for take in takes if output.name in take.targets and take.tracked_fraction < _TRACKED]
    if not bad:
        return []
    evidence = {"takes": [take.id for take in bad], "tracked": [round(take.tracked_fraction, 3) for take in bad]}
    what, how = "the body was found", "with all of you in view"
    if "numbers" in bad[0].parts:
        what, how = "all numbers came", "while they all arrive"
    if len(bad) == 1:
        text = f"take {bad[0].id}: {what} in {bad[0].tracked_fraction:.0%} of its frames only; record it"
    else:
        numbers = ", ".join(str(take.id) for take in bad)
        worst = min(take.tracked_fraction for take in bad)
        text = f"takes {numbers}: {what} in only {worst:.0%} of the frames of the worst; record them"
    return [Advice(kind="tracking", text=f"{text} again {how}", evidence=evidence)]


def never_shown(output: Output, shown: Sequence[str], takes: Sequence[Take]) -> list[Advice]:
    """Classes of the patch that no take shows, and the takes of what was perhaps renamed."""
    targets = dict.fromkeys(str(one.targets[output.name]) for one in takes if output.name in one.targets)
    unlisted = [name for name in targets if name not in output.classes and name != NO_CLASS]
    also = (
        f", or relabel takes of {' or '.join(map(repr, unlisted))}, which the patch does not list" if unlisted else ""
    )
    return [
        Advice(
            kind="few",
            text=f"'{name}' has no take, so it is never said: record one{also}",
            evidence={"class": name, "takes": 0, "unlisted": unlisted},
        )
        for name in output.classes
        if name not in shown
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
        farther = output.low if low - output.low > output.high - high else output.high
        text = f"takes show {low:g} to {high:g} of {output.low:g} to {output.high:g}: record takes of other values"
        return [Advice(kind="few", text=text, evidence={**evidence, "value": farther})]
    return [Advice(kind="ready", text=f"ready to play: takes show {low:g} to {high:g}", evidence=evidence)]


def colliding(counts: NDArray[np.intp]) -> list[tuple[float, int, int, int]]:
    """(share, how often, one, other): the pairs of classes most taken for each other, worst first."""
    pairs = []
    for one in range(len(counts)):
        for other in range(one + 1, len(counts)):
            wrong = int(counts[one, other] + counts[other, one])
            share = wrong / max(int(counts[one].sum() + counts[other].sum()), 1)
            if share >= _COLLIDING:
                pairs.append((share, wrong, one, other))
    return sorted(pairs, reverse=True)[:3]


def _collisions(output: Output, dataset: Dataset, scored: Scored, counts: NDArray[np.intp]) -> list[Advice]:
    """Pairs of classes that are taken for each other, worst first, and where they differ most."""
    found = []
    pairs = colliding(counts)
    seen = with_features_that_help(dataset, output) if pairs else dataset
    for share, wrong, one, other in pairs:
        names = dataset.classes[one], dataset.classes[other]
        where = telling_apart(seen, one, other)
        advised = (
            f"they differ most at {' and '.join(where)}: make more of that, or" if where else "they look the same:"
        )
        worst = (_most_taken_for(dataset, scored, *pair) for pair in ((one, other), (other, one)))
        found.append(
            Advice(
                kind="collision",
                text=f"'{names[0]}' and '{names[1]}' are taken for each other in {share:.0%} of frames; "
                f"{advised} record a take of each with a clearer difference",
                evidence={
                    "classes": names,
                    "frames": wrong,
                    "share": round(share, 4),
                    "told_apart_by": where,
                    "takes": [take for take in worst if take is not None],
                },
            )
        )
    return found


def _most_taken_for(dataset: Dataset, scored: Scored, shown: int, said: int) -> int | None:
    """The take of one class that was most often taken for another."""
    rows = scored.rows[(scored.truth == shown) & (scored.said == said)]
    return dataset.take_ids[int(np.bincount(dataset.examples.takes[rows]).argmax())] if len(rows) else None


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
    if feature == "number_path.length":
        return "the length of the path"
    if group.startswith("number") and group not in LANDMARK_READINGS:
        return f"input {words[0]}" if group not in ("number_path", "number_shape") else f"point {words[0]}"
    if group.startswith("hand"):
        return " ".join(words[:2]).replace("_", " ")
    return words[0].replace("_", " ")


def _culprits(
    patch: Patch, output: Output, dataset: Dataset, outliers: list[Advice], is_cancelled: Callable[[], bool]
) -> list[Advice]:
    """The outlier without which the fewest others are, then these: one bad take makes good ones look unlike it."""
    if len(outliers) < 2:
        return outliers
    fewest = outliers

    def is_of(one: Advice) -> NDArray[np.bool_]:
        return np.asarray(dataset.examples.takes == dataset.take_ids.index(one.evidence["take"]))

    for suspect in sorted(outliers, key=lambda one: -int(is_of(one).sum()))[:_MOST_SUSPECTS]:
        without = subset(dataset, ~is_of(suspect))
        try:
            scored = cross_validate(patch, output, without, "takes", is_cancelled=is_cancelled)
        except EvaluationError:  # it is all there is of a class, or nearly
            continue
        others = _outliers(without, scored)
        if len(others) < len(fewest) - 1:
            fewest = [suspect, *others]
    return fewest


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
            likely = int(np.delete(np.arange(len(taken_for)), index)[np.delete(taken_for, index).argmax()])
            as_likely = taken_for[likely] / max(taken_for.sum(), 1)
            take_id = dataset.take_ids[number]
            relabel = dataset.classes[likely] if as_likely >= _ANOTHER_CLASS else None
            cure = f"relabel it '{relabel}', or delete it" if relabel else "delete it"
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
                        "relabel": relabel,
                    },
                )
            )
    return found


def _rising(curve: Sequence[tuple[int, float]], weakest: str) -> list[Advice]:
    (_, half), (_, whole) = curve[-2:]
    if whole - half < _STILL_RISING or whole >= 1.0 - _STILL_RISING:
        return []
    text = f"more takes would help: half of them give {half:.0%}, all of them {whole:.0%}; begin with '{weakest}'"
    evidence = {"half": round(half, 4), "all": round(whole, 4), "class": weakest}
    return [Advice(kind="more", text=text, evidence=evidence)]


def _flattered(by_take: float, by_frame: float, weakest: str) -> list[Advice]:
    if by_take >= READY or by_frame - by_take < 0.05:
        return []
    text = (
        f"{by_take:.0%} recognised in takes it had not learned from, {by_frame:.0%} in frames of takes it had: "
        f"takes differ more from each other than they show; record more, each a little differently, '{weakest}' first"
    )
    evidence = {"by_take": round(by_take, 4), "by_frame": round(by_frame, 4), "class": weakest}
    return [Advice(kind="flattery", text=text, evidence=evidence)]
