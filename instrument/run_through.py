"""What a project's models would have done along a recording: those that play now, and those before the last training.

A recording is taken through the predictor that plays, frame after frame, as if it came from the camera.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.datasets import lacks, with_inputs_of
from instrument.features import extract
from instrument.gate import RELEASE_S
from instrument.models.fitting import Cancelled
from instrument.models.movement_model import load_of_kind
from instrument.models.trained import ModelError
from instrument.patch import NO_CLASS, Output, Patch
from instrument.patch_file import playing_patch
from instrument.predictor import Model, Predictor
from instrument.project import Project
from instrument.signals import (
    ClassPrediction,
    ContinuousPrediction,
    Features,
    LandmarkSequence,
    Prediction,
    TriggerPrediction,
)
from instrument.takes import TakeStore

_MOST_POINTS = 1200
"""Of a curve."""


def run_through(project: Project, take_id: int, is_cancelled: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """What the models say along a take, performance or rehearsal, as JSON has it; times are seconds from its start.

    For each output `now` and `before` (None where no earlier model is kept; `reason` where one cannot run): `spans`
    of what was seen (start, end, name; None where nobody was in view), `curve` of a continuous output, `hits` of
    movements, and `triggers`, how often something else than nothing began.

    Raises PatchError, TakesError, OSError and Cancelled.
    """
    patch = playing_patch(project.patch_file)
    with TakeStore.open(project.takes_file, readonly=True) as store, store.snapshot():
        take = store.present_take(take_id)
        patch = with_inputs_of(patch, (*store.takes(kind="take"), take))
        sequence = store.landmarks(take_id)
    unfit = {output.name: reason for output in patch.outputs if (reason := lacks(take, patch, output)) is not None}
    times_s = sequence.times_s - sequence.times_s[0] if len(sequence) else sequence.times_s
    generations = []
    for file_of in (project.model_file, project.model_before):
        models: dict[str, Model] = {}
        wrong = {name: f"this recording cannot show it: {reason}" for name, reason in unfit.items()}
        for output in patch.outputs:
            file = file_of(output.name)
            if output.name in wrong or not file.exists():
                continue
            try:
                models[output.name] = load_of_kind(output.kind, file)
            except ModelError as error:
                wrong[output.name] = str(error)
        generations.append(_said(patch, models, wrong, sequence, times_s, is_cancelled))
    now, before = generations
    return {
        "take": take_id,
        "kind": take.kind,
        "seconds": round(float(times_s[-1]), 3) if len(times_s) else 0.0,
        "outputs": [
            {"name": output.name, "kind": output.kind, "now": now.get(output.name), "before": before.get(output.name)}
            for output in patch.outputs
        ],
    }


def _said(
    patch: Patch,
    models: Mapping[str, Model],
    wrong: Mapping[str, str],
    sequence: LandmarkSequence,
    times_s: NDArray[np.float64],
    is_cancelled: Callable[[], bool],
) -> dict[str, dict[str, Any]]:
    """By output, what those models say; nothing of an output without one."""
    predictor = Predictor(patch, is_live=False)
    predictor.replace(models)
    is_tracked = sequence.is_tracked
    predictions: list[Prediction] = []
    if models and len(sequence):
        values = extract(patch, sequence)
        for index, (time_s, is_seen) in enumerate(zip(times_s.tolist(), is_tracked.tolist(), strict=True)):
            if is_cancelled():
                raise Cancelled
            features = Features(frame_number=index, captured_at_s=time_s, values=values[index])
            predictions.append(predictor.predict(features, is_seen))
    reasons = dict(wrong)
    for status in predictor.status():
        if status.output in models and status.reason is not None:
            reasons[status.output] = status.reason
    said: dict[str, dict[str, Any]] = {name: {"reason": reason} for name, reason in reasons.items()}
    for output in patch.outputs:
        if output.name in models and output.name not in reasons:
            heard = [one.outputs.get(output.name) for one in predictions]
            said[output.name] = {"model": models[output.name].model_id, **_of_output(output, heard, times_s)}
    return said


def _of_output(
    output: Output,
    heard: Sequence[ClassPrediction | ContinuousPrediction | TriggerPrediction | None],
    times_s: NDArray[np.float64],
) -> dict[str, Any]:
    if output.kind == "continuous":
        chosen = np.unique(np.linspace(0, len(heard) - 1, min(_MOST_POINTS, len(heard))).round().astype(int)).tolist()
        values = [one.value if isinstance(one, ContinuousPrediction) else None for one in heard]
        return {
            "curve": [
                [round(float(times_s[index]), 3), None if (value := values[index]) is None else round(value, 4)]
                for index in chosen
            ]
        }
    spans = _spans([_name(one) for one in heard], times_s)
    if output.kind == "class":
        return {"spans": spans, "triggers": count_triggers(spans, output.idle)}
    hits = [
        [round(float(time_s), 3), event.movement, round(event.velocity, 3)]
        for time_s, one in zip(times_s, heard, strict=True)
        if isinstance(one, TriggerPrediction)
        for event in one.events
        if event.what == "hit"
    ]
    return {"spans": spans, "hits": hits, "triggers": len(hits)}


def _name(one: ClassPrediction | ContinuousPrediction | TriggerPrediction | None) -> str | None:
    if isinstance(one, ClassPrediction):
        return NO_CLASS if one.is_none else one.meant.classes[one.meant.best]
    return (one.current or NO_CLASS) if isinstance(one, TriggerPrediction) else None


def _spans(names: Sequence[str | None], times_s: NDArray[np.float64]) -> list[list[Any]]:
    """Runs of the same name: start, end (where the next begins), name."""
    starts = [index for index in range(len(names)) if index == 0 or names[index] != names[index - 1]]
    return [
        [round(float(times_s[start]), 3), round(float(times_s[min(end, len(names) - 1)]), 3), names[start]]
        for start, end in pairwise([*starts, len(names)])
    ]


def count_triggers(spans: Sequence[Sequence[Any]], idle: Sequence[str]) -> int:
    """How often something that means anything begins in those spans; losing the body for a moment ends nothing."""
    count, before = 0, NO_CLASS
    for start_s, end_s, name in spans:
        if name is None and end_s - start_s < RELEASE_S:
            continue
        said = NO_CLASS if name is None or name in idle else name
        count += said not in (NO_CLASS, before)
        before = said
    return count
