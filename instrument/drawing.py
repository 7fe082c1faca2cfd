"""Draws what models see: projects their examples, and asks them what they say at every place of the picture.

A picture has two dimensions and features have many: what a model says at a place is what it really says, of features
like those of the examples nearest to it, and of no others.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.coaching import thinned
from instrument.datasets import Dataset
from instrument.model_map import NONE, ModelMap, as_examples, load_map, save_map
from instrument.models.crossfit import softmax
from instrument.models.fitting import Cancelled
from instrument.models.projection import Surface, project
from instrument.models.trained import ModelError, TrainedModel
from instrument.patch import Output
from instrument.predictor import fits, least_familiarity
from instrument.project import Project
from instrument.rehearsal import familiarities
from instrument.signals import FloatArray
from instrument.training import ProjectTraining

WIDTH, HEIGHT = 96, 72
"""Places across and up at which a model is asked."""
_MOST_EXAMPLES = 1500
_SLICES = 6
_NEAR = 25
"""Of 255: how near two values of a continuous output are that agree."""
_AT_ONCE = 512

Bytes = NDArray[np.uint8]


def draw_project(folder: Path, training: ProjectTraining, is_cancelled: Callable[[], bool]) -> None:
    """Draws what the models of that training see, into the project's folder.

    Movements have no such picture, nor have 255 classes or more. Raises Cancelled, OSError, and TrainingError for a
    learner that cannot learn again.
    """
    if (patch := training.patch) is None:
        return
    for name, dataset in training.datasets.items():
        model, file = training.models.get(name), Project(folder).model_map(name)
        if not isinstance(model, TrainedModel) or fits(model, patch, output := patch.output(name)) is not None:
            continue
        if model.classes != dataset.classes:  # takes of other classes were recorded since it learned
            continue
        if len(model.classes) >= NONE:
            file.unlink(missing_ok=True)
            continue
        before = None
        with suppress(ModelError):
            before = load_map(file)
        if before is not None and _is_of(before, model, output, dataset):
            continue
        save_map(draw(output, model, dataset, before, is_cancelled), file)


def _is_of(drawn: ModelMap, model: TrainedModel, output: Output, dataset: Dataset) -> bool:
    """Whether that is the picture of that model and those examples already."""
    of_now = (model.model_id, least_familiarity(model, output), set(dataset.take_ids), len(dataset.examples))
    return of_now == (drawn.model_id, drawn.least_familiarity, set(drawn.take_ids), drawn.example_count)


def draw(
    output: Output,
    model: TrainedModel,
    dataset: Dataset,
    before: ModelMap | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> ModelMap:
    """What that model sees of the examples it learned from; like the picture `before`, as far as may be."""
    thin = thinned(dataset, _MOST_EXAMPLES).examples
    place = {name: column for column, name in enumerate(dataset.feature_names)}
    values = thin.values[:, [place[name] for name in model.feature_names]]
    groups = thin.targets.astype(np.intp) if dataset.classes else _slices(thin.targets)
    is_like_before = before is not None and before.feature_names == model.feature_names
    projection = project(
        values, groups, int(groups.max()) + 1, before.projection if before is not None and is_like_before else None
    )
    says = Says(model, output)
    regions = regions_of(says, Surface(projection, values), is_cancelled)
    places, said = projection.in_picture(values), says(values)[0]
    near = 0 if dataset.classes else _NEAR
    shown = thin.targets if dataset.classes else np.round(255 * thin.targets)
    takes, of_take = np.unique(thin.takes, return_inverse=True)
    return ModelMap(
        output=output.name,
        classes=model.classes,
        model_id=model.model_id,
        least_familiarity=least_familiarity(model, output),
        feature_names=model.feature_names,
        feature_fingerprint=model.feature_fingerprint,
        projection=projection,
        take_ids=tuple(dataset.take_ids[number] for number in takes.tolist()),
        example_count=len(dataset.examples),
        agreement=round(float((np.abs(region_at(regions, places).astype(int) - said) <= near).mean()), 4),
        examples=as_examples(places, of_take, shown.astype(np.uint8), said),
        regions=regions,
    )


def regions_of(says: "Says", surface: Surface, is_cancelled: Callable[[], bool] = lambda: False) -> Bytes:
    """(HEIGHT, WIDTH, 2): what is said at every place of the picture, and how sure it is. Raises Cancelled."""
    across, up = ((np.arange(count) + 0.5) / count for count in (WIDTH, HEIGHT))
    everywhere = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    regions = np.empty((len(everywhere), 2), dtype=np.uint8)
    for start in range(0, len(everywhere), _AT_ONCE):
        if is_cancelled():
            raise Cancelled
        rows = slice(start, start + _AT_ONCE)
        regions[rows, 0], regions[rows, 1] = says(surface.features(everywhere[rows]))
    return regions.reshape(HEIGHT, WIDTH, 2)


def region_at(regions: Bytes, places: NDArray[np.float64]) -> Bytes:
    """(N,): what is said where these places (N, 2) of the picture are."""
    column, row = np.clip((places * [WIDTH, HEIGHT]).astype(np.intp), 0, [WIDTH - 1, HEIGHT - 1]).T
    return np.asarray(regions[row, column, 0])


class Says:
    """What a model says, as a picture shows it."""

    def __init__(self, model: TrainedModel, output: Output) -> None:
        self._model = model
        self._given = model.on_rows()
        self._least = least_familiarity(model, output)

    def __call__(self, values: FloatArray) -> tuple[Bytes, Bytes]:
        """(N,) the number of a class, NONE, or a value of 255; and (N,) how sure it is of that, of 255."""
        given = np.nan_to_num(self._given(values))
        if not self._model.classes:
            said = np.round(255 * np.clip(given[:, 0], 0.0, 1.0)).astype(np.uint8)
            return said, np.full(len(said), 255, dtype=np.uint8)
        sure = softmax(given)
        said = sure.argmax(axis=1).astype(np.uint8)
        if self._least is not None:
            said[familiarities(self._model, values, given)[0] < self._least] = NONE
        return said, np.round(255 * sure.max(axis=1)).astype(np.uint8)


def _slices(targets: NDArray[Any]) -> NDArray[np.intp]:
    """(N,): in which of a few ranges each target is, from low to high (sliced inverse regression, Li 1991)."""
    distinct = np.unique(targets)
    if len(distinct) > _SLICES:
        distinct = np.unique(np.quantile(targets, np.arange(_SLICES) / _SLICES))
    found = np.searchsorted(distinct, targets, side="right") - 1
    return np.unique(found, return_inverse=True)[1]
