"""What to record next for a trigger output, whose takes are movements: found out from takes it did not learn from."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.coaching import READY, Advice, class_scores, colliding, never_shown, ready, report, tracking
from instrument.evaluation import least_recalled
from instrument.models.following import fit_following, said_of_take
from instrument.models.recent_past import liveliness, unit_of
from instrument.models.staging import NOTHING
from instrument.movement import MovementDataset
from instrument.patch import Output, Patch
from instrument.takes import Take

_FOLDS = 3
_EFFORT = 0.4
"""Of a training: enough to tell movements apart."""
_SHORTEST_S = 1 / 3
_FARTHEST = 2.0
"""Movements are followed at half to double the speed of their takes."""
_LIKE = 0.75
_HARDLY = 0.1
"""Of how lively takes of a movement mostly are."""


def coach_movements(
    patch: Patch,
    output: Output,
    dataset: MovementDataset,
    takes: Sequence[Take],
    *,
    trimmed_s: dict[int, float],
    is_cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Scores by take, and what to do, as `coaching.coach` has it of other outputs.

    `trimmed_s` is how much stillness was cut off each take. Raises Cancelled.
    """
    targets = np.array([one.target for one in dataset.takes])
    numbers = [int(np.sum(targets == target)) for target in range(len(dataset.classes))]
    advice = [*tracking(output, takes), *never_shown(output, dataset.classes, takes)]
    for name, number in zip(dataset.classes, numbers, strict=True):
        if number < 2:
            text = f"'{name}' has a single take: record another, a little faster or slower"
            advice.append(Advice(kind="few", text=text, evidence={"class": name, "takes": number}))
    still = _still(dataset, is_scaled=patch.listen.is_numbers)
    advice += [*still, *_lengths(dataset, trimmed_s, without={one.evidence["take"] for one in still})]
    if len(dataset.classes) < 2 or max(numbers) < 2:
        what = "there is a single movement" if len(dataset.classes) < 2 else "no movement has two takes"
        scores: dict[str, Any] = {"not_scored": f"{what}, so nothing can be held out; record more"}
    else:
        said = _said_without_them(patch, output, dataset, targets, is_cancelled)
        counts = _counts(dataset, targets, said)
        scores = {"by_take": class_scores(dataset.classes, counts, "takes")}
        named = [one.evidence["take"] for one in advice if one.kind == "length"]
        others = np.where(np.isin(dataset.take_ids, named), -1, said)
        advice += _collisions(dataset, _counts(dataset, targets, others), targets, others)
        advice += _outliers(dataset, targets, others)
        accuracy = scores["by_take"]["accuracy"]
        if accuracy >= READY and not advice:
            advice = [ready(accuracy)]
        elif not advice:
            weakest = dataset.classes[least_recalled(counts)]
            text = f"{accuracy:.0%} of takes it had not learned from are recognised: record more, '{weakest}' first"
            advice = [Advice(kind="more", text=text, evidence={"class": weakest, "all": accuracy})]
    return report(output, scores, advice, is_ready=[one.kind for one in advice] == ["ready"])


def _said_without_them(
    patch: Patch,
    output: Output,
    dataset: MovementDataset,
    targets: NDArray[np.intp],
    is_cancelled: Callable[[], bool],
) -> NDArray[np.intp]:
    """(N,) what each take is to a model that did not learn from it; -1 for the only ones and those not meant."""
    fold = np.full(len(targets), -1)
    for target in range(len(dataset.classes)):
        rows = np.flatnonzero(targets == target)
        if len(rows) > 1:
            fold[rows] = np.arange(len(rows)) % _FOLDS
    said = np.full(len(targets), -1)
    for number in range(fold.max() + 1):
        following = fit_following(
            [one for one, of in zip(dataset.takes, fold, strict=True) if of != number],
            len(dataset.classes),
            hidden=output.hidden,
            seed=output.seed,
            is_scaled=patch.listen.is_numbers,
            effort=_EFFORT,
            is_cancelled=is_cancelled,
        )
        for held in np.flatnonzero(fold == number):
            said[held] = said_of_take(following, dataset.takes[held]).argmax()
    return said


def _counts(dataset: MovementDataset, targets: NDArray[np.intp], said: NDArray[np.intp]) -> NDArray[np.intp]:
    """(C, C): how many takes of each movement are taken for which."""
    counts = np.zeros((len(dataset.classes), len(dataset.classes)), dtype=np.intp)
    np.add.at(counts, (targets[said >= 0], said[said >= 0]), 1)
    return counts


def _still(dataset: MovementDataset, *, is_scaled: bool) -> list[Advice]:
    """Takes of a movement in which nothing moves, or hardly anything beside others of the same."""
    meant = [number for number, one in enumerate(dataset.takes) if one.target != NOTHING]
    unit = unit_of(np.concatenate([dataset.takes[number].values for number in meant]), is_scaled=is_scaled)
    lively = {
        number: liveliness(dataset.takes[number].times_s, dataset.takes[number].values * unit) for number in meant
    }
    found = []
    for number, one in lively.items():
        target = dataset.takes[number].target
        usual = np.median([other.most for of, other in lively.items() if dataset.takes[of].target == target])
        if len(one.energy) and (one.is_still or one.most < _HARDLY * usual):
            take_id, name = dataset.take_ids[number], dataset.classes[target]
            text = f"nothing moves in take {take_id} of '{name}'; delete it, or record the movement again"
            evidence = {"take": take_id, "class": name, "seconds": 0.0}
            found.append(Advice(kind="length", text=text, evidence=evidence))
    return found


def _lengths(dataset: MovementDataset, trimmed_s: dict[int, float], without: set[int]) -> list[Advice]:
    """Takes that are too short to follow, or of another length than those of the same movement."""
    found = []
    seconds = np.array(
        [
            one.times_s[-1] - one.times_s[0] - trimmed_s.get(take_id, 0.0)
            for one, take_id in zip(dataset.takes, dataset.take_ids, strict=True)
        ]
    )
    for index, name in enumerate(dataset.classes):
        rows = [
            number
            for number, one in enumerate(dataset.takes)
            if one.target == index and dataset.take_ids[number] not in without
        ]
        if not rows:
            continue
        usual_s = float(np.median(seconds[rows]))
        for number in rows:
            take_id, length_s = dataset.take_ids[number], float(seconds[number])
            if length_s < _SHORTEST_S:
                cure = "too short to follow; make the movement larger or slower, and record it again"
            elif len(rows) > 2 and not usual_s / _FARTHEST <= length_s <= usual_s * _FARTHEST:
                cure = f"the others of '{name}' about {usual_s:.1f} s; trim it to the movement, or record it again"
            else:
                continue
            evidence = {"take": take_id, "class": name, "seconds": round(length_s, 2), "usual_s": round(usual_s, 2)}
            text = f"take {take_id} moves for {length_s:.1f} s, {cure}"
            found.append(Advice(kind="length", text=text, evidence=evidence))
    return found


def _collisions(
    dataset: MovementDataset, counts: NDArray[np.intp], targets: NDArray[np.intp], said: NDArray[np.intp]
) -> list[Advice]:
    found = []
    for share, wrong, one, other in colliding(counts):
        names = dataset.classes[one], dataset.classes[other]
        of = int(counts[one].sum() + counts[other].sum())
        text = (
            f"'{names[0]}' and '{names[1]}' are taken for each other in {wrong} of {of} takes: "
            "record a take of each that differs from its beginning on"
        )
        is_wrong = ((targets == one) & (said == other)) | ((targets == other) & (said == one))
        mistaken = [dataset.take_ids[number] for number in np.flatnonzero(is_wrong)]
        evidence = {"classes": names, "takes": mistaken, "share": round(share, 4)}
        found.append(Advice(kind="collision", text=text, evidence=evidence))
    return found


def _outliers(dataset: MovementDataset, targets: NDArray[np.intp], said: NDArray[np.intp]) -> list[Advice]:
    """Takes that a model made from the others takes for another movement, where it recognises those."""
    found = []
    for number in np.flatnonzero((said >= 0) & (said != targets) & (targets != NOTHING)):
        others = (targets == targets[number]) & (said >= 0)
        others[number] = False
        if np.sum(others) < 2 or np.mean(said[others] == targets[others]) < _LIKE:
            continue
        name, likely = dataset.classes[targets[number]], dataset.classes[said[number]]
        take_id = dataset.take_ids[number]
        found.append(
            Advice(
                kind="outlier",
                text=f"take {take_id} is unlike the other takes of '{name}': to a model made from the others it looks "
                f"like '{likely}'; relabel it '{likely}', delete it, or record more like it",
                evidence={"take": take_id, "class": name, "looks_like": likely, "relabel": likely},
            )
        )
    return found
