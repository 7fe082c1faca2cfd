"""Which takes a prediction comes from: for any moment of a rehearsal, the takes most like it to the network.

An example counts for as much as it is near the moment in the network's last hidden layer, where
classes are told apart by planes; a trained network's output is a sum over its examples of just such
likenesses (Yeh et al. 2018, *Representer point selection*, with a smoother likeness).
"""

from typing import Any

import numpy as np

from instrument.datasets import FeatureCache, gather, lacks, with_inputs_of
from instrument.features import extract, feature_names
from instrument.kernels.cpu import Layer, dequantised, forward
from instrument.kernels.packing import FloatArray
from instrument.models.fitting import TrainingError
from instrument.models.learners import learn
from instrument.models.trained import load_model
from instrument.models.whitening import standardised
from instrument.patch_file import playing_patch
from instrument.predictor import fits
from instrument.project import Project
from instrument.takes import TakeStore

_ROUNDED_S = 0.1
"""Lengths are told in tenths of a second."""


def blame(project: Project, take_id: int, at_s: float, output_name: str | None = None) -> dict[str, Any]:
    """What the model of a class output says at that moment of a take or performance, and because of which takes.

    Raises PatchError, TakesError, ModelError, KeyError (no such output) and TrainingError (no takes, nobody in view at
    that moment, or a recording that ends before it or lacks what the output learns from).
    """
    patch = playing_patch(project.patch_file)
    with TakeStore.open(project.takes_file, readonly=True) as store, store.snapshot():
        takes = store.takes(kind="take")
        patch = with_inputs_of(patch, takes)
        names = [one.name for one in patch.outputs if one.kind == "class"]
        if not names:
            raise TrainingError(f"{patch.path}: no output that learns classes")
        output = patch.output(output_name or names[0])
        if output.kind != "class":
            raise TrainingError(
                f"output '{output.name}' is {output.kind}, which names no class; allowed: {', '.join(names)}"
            )
        model = load_model(project.model_file(output.name))
        if reason := fits(model, patch, output):
            raise TrainingError(f"output '{output.name}': {reason}")
        if reason := lacks(store.take(take_id), patch, output):
            raise TrainingError(f"take {take_id} cannot show it: {reason}; choose another recording")
        sequence = store.landmarks(take_id)
        dataset = gather(patch, output, takes, store, FeatureCache())
    if not len(sequence):
        raise TrainingError(f"take {take_id} has no frames")
    times_s = sequence.times_s - sequence.times_s[0]
    if not 0.0 <= at_s <= times_s[-1] + _ROUNDED_S:
        raise TrainingError(f"take {take_id} lasts {times_s[-1]:.1f} s; choose a moment from 0 to {times_s[-1]:.1f}")
    frame = int(np.abs(times_s - at_s).argmin())
    if not sequence.is_tracked[frame]:
        raise TrainingError(f"nobody is in view in take {take_id} at {times_s[frame]:.1f} s; choose another moment")
    place = {name: column for column, name in enumerate(feature_names(patch))}
    moment = extract(patch, sequence)[frame : frame + 1, [place[name] for name in model.feature_names]]
    place = {name: column for column, name in enumerate(dataset.feature_names)}
    learned = dataset.examples.values[:, [place[name] for name in model.feature_names]]
    if model.learned:
        layers: tuple[Layer, ...] = ()
        view = standardised(model.learned.values)
        given = learn(model.learned)(moment)[0]
        moment, learned = view.of(moment, farthest=10.0), view.of(learned, farthest=10.0)
    else:
        assert model.network is not None
        layers = tuple(dequantised(model.network))
        given = forward(layers, moment)[0]
    confidences = np.exp(given - given.max())
    confidences /= confidences.sum()
    said = model.classes[int(confidences.argmax())]
    shows = np.array(dataset.classes)[dataset.examples.targets.astype(np.intp)] == said
    likeness = _likeness(layers, learned, moment) * shows
    total = float(likeness.sum()) or 1.0
    numbers = np.unique(dataset.examples.takes[shows])
    shares = {int(number): float(likeness[dataset.examples.takes == number].sum()) / total for number in numbers}
    return {
        "output": output.name,
        "take": take_id,
        "at_s": round(float(times_s[frame]), 3),
        "said": said,
        "confidence": round(float(confidences.max()), 4),
        "because_of": [
            {"take": dataset.take_ids[number], "share": round(shares[number], 4)}
            for number in sorted(shares, key=lambda one: -shares[one])
        ],
    }


def _likeness(layers: tuple[Layer, ...], learned: FloatArray, moment: FloatArray) -> FloatArray:
    """(N,): how like the moment (1, F) each example (N, F) is in the last hidden layer, if any; 1 for the nearest."""
    hidden = np.maximum(forward(layers[:-1], np.concatenate([learned, moment])), 0.0) if layers[:-1] else learned
    here = hidden[-1] if layers[:-1] else moment[0]
    squares = np.square(hidden[: len(learned)] - here).sum(axis=1)
    width = np.partition(squares, min(9, len(squares) - 1))[min(9, len(squares) - 1)] + 1e-12
    return np.exp(-(squares - squares.min()) / width)
