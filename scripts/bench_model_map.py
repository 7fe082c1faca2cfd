#!/usr/bin/env python3
"""How far the picture of what a model sees can be believed, and what drawing it takes.

    .venv/bin/python scripts/bench_model_map.py [--runs 5]

A model learns from 20 examples of each class, or from seven tenths of all at random. The share of examples is
printed for which the ground has what the model says of them: of those it learned from, and of others, as a performer
is. Beside our projection stand Fisher's discriminant as scikit-learn has it and principal components, with everything
else the same. The recordings are looked for in ../shared/data/landmarks; the other tables come with scikit-learn.
"""

# ruff: noqa: E402  (numpy reads how many threads it may use when it is imported)

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from instrument.drawing import Says, draw, region_at, regions_of
from instrument.evaluation import split, subset
from instrument.models.projection import Projection, Surface, project
from instrument.models.whitening import standardised
from instrument.scored import Scorable, dataset_of, read_scorable
from instrument.signals import FloatArray
from instrument.training import train_output

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "landmarks"
MOST = 1500

Way = Callable[[FloatArray, NDArray[np.intp]], Projection]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    warnings.filterwarnings("ignore")
    ways: dict[str, Way] = {"ours": _ours, "Fisher": _fisher, "principal": _principal}
    print(f"mean of {runs} runs: learned / others for {', '.join(ways)}; milliseconds a picture takes (least)")
    for name, (patch, output, dataset) in sets():
        for few in (20, 0):
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            taken_ms = []
            for run in range(runs):
                is_seen, is_held = split(dataset, "frames", np.random.default_rng(run), few=few)
                learned = subset(dataset, is_seen)
                model = train_output(patch, output, learned)
                started_s = time.perf_counter()
                draw(output, model, learned)
                taken_ms.append(1000 * (time.perf_counter() - started_s))
                place = {one: column for column, one in enumerate(dataset.feature_names)}
                columns = [place[one] for one in model.feature_names]
                seen = learned.examples.values[:, columns][:: -(-len(learned.examples) // MOST)]
                targets = learned.examples.targets.astype(np.intp)[:: -(-len(learned.examples) // MOST)]
                others = np.random.default_rng(run).permutation(dataset.examples.values[is_held][:, columns])[:MOST]
                says = Says(model, output)
                for way, make in ways.items():
                    projection = make(seen, targets)
                    regions = regions_of(says, Surface(projection, seen))
                    agreed = (
                        float((region_at(regions, projection.in_picture(one)) == says(one)[0]).mean())
                        for one in (seen, others)
                    )
                    found[way].append(tuple(agreed))  # type: ignore[arg-type]
            means = "  ".join("{:.2f} / {:.2f}".format(*np.mean(found[way], axis=0)) for way in ways)
            title = f"{name}, {'20 per class' if few else '70/30'}"
            print(f"  {title.ljust(36)} {means}  {min(taken_ms):.0f}", flush=True)


def sets() -> Iterator[tuple[str, Scorable]]:
    """The tables, by name."""
    for name, landmarks in (("body_pose", "pose"), ("hand_keypoint", "hand"), ("finger_trajectory", None)):
        if (file := RECORDINGS / f"{name}.csv").exists():
            yield name, read_scorable(file, landmarks=landmarks)[0]
    for load in (load_digits, load_wine, load_iris):
        table = load()
        labels = [f"class {one}" for one in table.target]
        yield load.__name__[5:], dataset_of(Path(load.__name__), table.data.astype(np.float32), labels, None)


def _ours(values: FloatArray, targets: NDArray[np.intp]) -> Projection:
    return project(values, targets, int(targets.max()) + 1)


def _fisher(values: FloatArray, targets: NDArray[np.intp]) -> Projection:
    view = standardised(values)
    seen = view.of(values, farthest=10.0)
    axes = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(seen, targets).scalings_[:, :2]
    return _of_axes(values, axes * view.scale[:, None])


def _principal(values: FloatArray, _: NDArray[np.intp]) -> Projection:
    view = standardised(values)
    axes = PCA(2).fit(view.of(values, farthest=10.0)).components_.T
    return _of_axes(values, axes * view.scale[:, None])


def _of_axes(values: FloatArray, axes: FloatArray) -> Projection:
    places = values @ axes
    low, high = places.min(axis=0), places.max(axis=0)
    edge = 0.1 * (high - low)
    return Projection(weights=axes, offset=np.zeros(2, dtype=np.float32), low=low - edge, high=high + edge)


if __name__ == "__main__":
    main()
