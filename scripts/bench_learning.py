#!/usr/bin/env python3
"""How well and how fast the instrument learns, beside scikit-learn's learners and a plain PyTorch loop.

    .venv/bin/python scripts/bench_learning.py [--runs 10] [--only plain,landmarks,...] [--json FILE]

All learn from the same rows in the same process, on one thread, at their default settings, and are
scored on the same rows held out. scikit-learn is in the extra `learners`, PyTorch in `gpu` and
`test`; what is missing is left out. The recordings are looked for in ../shared/data/landmarks.
"""

# ruff: noqa: E402  (numpy reads how many threads it may use when it is imported)

import argparse
import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from numpy.typing import NDArray

from instrument.client import Client, NoAnswer
from instrument.datasets import Dataset, FeatureCache
from instrument.enrichment import with_features_that_help, with_variations
from instrument.evaluation import split, subset, train_and_score
from instrument.features import body_length, extract, feature_columns
from instrument.kernels.cpu import FrameForward, dequantised, forward
from instrument.models.crossfit import softmax
from instrument.models.fitting import Examples, fit
from instrument.patch import REJECTED, Listen, Smoothing
from instrument.rehearsal import familiarities
from instrument.replay import there_and_back
from instrument.scored import Scorable, dataset_of, read_scorable
from instrument.signals import FloatArray, Frame, LandmarkSequence
from instrument.smoothing import OneEuroFilter
from instrument.supervisor import Supervisor
from instrument.takes import TakeStore, WholeTake, utc_now
from instrument.tracker import MediaPipeTracker
from instrument.training import train_output, train_project

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "landmarks"
SETS = ("body_pose", "body_pose, centred", "hand_keypoint", "finger_trajectory")
WAYS = (("20 per class", "frames", 20), ("70/30 at random", "frames", 0), ("blocks held out", "blocks", 0))
LANDMARKS = (("body_pose", "pose"), ("hand_keypoint", "hand"))
THREE = ("body_pose", "hand_keypoint", "finger_trajectory")

Predict = Callable[[FloatArray], NDArray[Any]]
Learner = Callable[[FloatArray, NDArray[np.intp], int, int], tuple[Predict, int]]
"""Takes values (N, F), targets, how many classes, a seed; gives what predicts (N,), and its size in bytes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="plain,landmarks,elsewhere,none,values,time")
    parser.add_argument("--peers", default="all", help="names with commas between, or none")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not RECORDINGS.is_dir():
        sys.exit(f"no recordings in {RECORDINGS}")
    warnings.filterwarnings("ignore")
    peers = {
        name: one for name, one in learners().items() if options.peers == "all" or name in options.peers.split(",")
    }
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "plain": lambda: plain(options.runs, peers),
        "landmarks": lambda: landmarks(options.runs, peers),
        "elsewhere": lambda: elsewhere(max(options.runs // 2, 1), peers),
        "none": lambda: none_of_these(max(options.runs // 3, 1)),
        "video": lambda: video(options.runs, peers),
        "values": lambda: values_from_few(options.runs),
        "time": times,
    }
    figures = {}
    for name in options.only.split(","):
        figures[name] = parts[name]()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def learners() -> dict[str, Learner]:
    """What a performer or a student would pick instead, by name."""
    found: dict[str, Learner] = {}
    try:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.neural_network import MLPClassifier
        from sklearn.svm import SVC
    except ImportError:
        print("scikit-learn is not there: pip install 'instrument[learners]'")
    else:
        found |= {
            "kNN": _scikit(lambda _: KNeighborsClassifier()),
            "SVM": _scikit(lambda _: SVC()),
            "forest": _scikit(lambda seed: RandomForestClassifier(random_state=seed)),
            "logistic": _scikit(lambda _: LogisticRegression(max_iter=300)),
            "sklearn MLP": _scikit(lambda seed: MLPClassifier(random_state=seed)),
        }
    try:
        import torch
    except ImportError:
        print("PyTorch is not there: its plain loop is left out")
    else:
        torch.set_num_threads(1)
        found["PyTorch loop"] = _torch_loop
    return found


def _scikit(make: Callable[[int], Any]) -> Learner:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def learn(values: FloatArray, targets: NDArray[np.intp], _: int, seed: int) -> tuple[Predict, int]:
        import pickle

        model = make_pipeline(StandardScaler(), make(seed)).fit(values, targets)
        return model.predict, len(pickle.dumps(model))

    return learn


def _torch_loop(values: FloatArray, targets: NDArray[np.intp], classes: int, seed: int) -> tuple[Predict, int]:
    """The loop a student writes: Adam, batches of 32, 50 epochs."""
    import torch

    torch.manual_seed(seed)
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-6
    x = torch.tensor((values - mean) / deviation)
    y = torch.tensor(targets)
    model = torch.nn.Sequential(
        torch.nn.Linear(values.shape[1], 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, classes),
    )
    optimiser = torch.optim.Adam(model.parameters())
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True)
    for _ in range(50):
        for rows, wanted in batches:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(rows), wanted).backward()
            optimiser.step()

    def predict(rows: FloatArray) -> NDArray[Any]:
        with torch.no_grad():
            return model(torch.tensor((rows - mean) / deviation)).argmax(dim=1).numpy()

    return predict, sum(4 * one.numel() for one in model.parameters())


def plain(runs: int, peers: dict[str, Learner]) -> dict[str, Any]:
    """Tables of plain numbers: accuracy and milliseconds of training of ours and of the peers."""
    figures: dict[str, Any] = {}
    print(f"\nPLAIN NUMBERS: accuracy (milliseconds to train), mean (median) of {runs} runs")
    for name in SETS:
        scorable, numbers = _table(name)
        patch, output, dataset = scorable
        targets = dataset.examples.targets.astype(np.intp)
        for way, kind, few in WAYS:
            row: dict[str, list[tuple[float, float]]] = {}
            for run in range(runs):
                is_seen, is_held = split(dataset, kind, np.random.default_rng(run), few=few)
                ours = train_and_score(patch, output, dataset, is_seen, is_held, seed=run)
                row.setdefault("ours", []).append((ours.accuracy, 1000 * ours.seconds))
                for peer, learn in peers.items():
                    started_s = time.perf_counter()
                    predict, _ = learn(numbers[is_seen], targets[is_seen], len(dataset.classes), run)
                    took_ms = 1000 * (time.perf_counter() - started_s)
                    accuracy = float((predict(numbers[is_held]) == targets[is_held]).mean())
                    row.setdefault(peer, []).append((accuracy, took_ms))
            figures[f"{name}, {way}"] = _row(f"{name}, {way}", row)
    print("\nPREDICTION AND SIZE (hand_keypoint, 70/30): microseconds a frame back to back, kilobytes")
    figures["prediction"] = _prediction(peers)
    return figures


def landmarks(runs: int, peers: dict[str, Learner]) -> dict[str, Any]:
    """The same recordings known to be landmarks; peers get the raw coordinates."""
    figures: dict[str, Any] = {}
    print(f"\nLANDMARKS KNOWN TO BE LANDMARKS: accuracy (milliseconds), mean of {runs} runs; peers see coordinates")
    for name, what in LANDMARKS:
        ((patch, output, dataset),) = read_scorable(RECORDINGS / f"{name}.csv", landmarks=what)
        _, numbers = _table(f"{name}, centred" if what == "pose" else name)
        targets = dataset.examples.targets.astype(np.intp)
        for few in (5, 20):
            row: dict[str, list[tuple[float, float]]] = {}
            for run in range(runs):
                is_seen, is_held = split(dataset, "frames", np.random.default_rng(run), few=few)
                ours = train_and_score(patch, output, dataset, is_seen, is_held, seed=run)
                row.setdefault("ours", []).append((ours.accuracy, 1000 * ours.seconds))
                for peer, learn in peers.items():
                    started_s = time.perf_counter()
                    predict, _ = learn(numbers[is_seen], targets[is_seen], len(dataset.classes), run)
                    took_ms = 1000 * (time.perf_counter() - started_s)
                    row.setdefault(peer, []).append(
                        (float((predict(numbers[is_held]) == targets[is_held]).mean()), took_ms)
                    )
            figures[f"{name}, {few} per class"] = _row(f"{name}, {few} per class", row)
    return figures


def elsewhere(runs: int, peers: dict[str, Learner]) -> dict[str, Any]:
    """Learned as recorded, tested moved by up to 30 % of the picture, 0.5 to 2 times as large, tilted up to 15 deg."""
    figures: dict[str, Any] = {}
    print(f"\nTHE SAME GESTURE ELSEWHERE: accuracy where it was recorded -> elsewhere, 70/30, mean of {runs} runs")
    for name, what in LANDMARKS:
        ((patch, output, dataset),) = read_scorable(RECORDINGS / f"{name}.csv", landmarks=what)
        ((sequence, _),) = dataset.frames
        targets = dataset.examples.targets.astype(np.intp)
        points = sequence.pose if sequence.pose is not None else sequence.right_hand
        assert points is not None
        here = points[:, :, :2].reshape(len(points), -1)
        scores: dict[str, list[tuple[float, float]]] = {}
        for run in range(runs):
            rng = np.random.default_rng(run)
            is_seen, is_held = split(dataset, "frames", rng)
            moved = reframed(points, rng)
            there_values = extract(patch, _with_points(sequence, moved))[:, feature_columns(patch, output)]
            seen = with_variations(with_features_that_help(subset(dataset, is_seen), output), patch, output)
            fitted = fit(seen.examples, hidden=output.hidden, seed=run, is_validated=False)
            both = [
                float((forward(fitted.layers, values[is_held]).argmax(axis=1) == targets[is_held]).mean())
                for values in (dataset.examples.values, there_values)
            ]
            scores.setdefault("ours", []).append((both[0], both[1]))
            there = moved[:, :, :2].reshape(len(moved), -1)
            for peer, learn in peers.items():
                predict, _ = learn(here[is_seen], targets[is_seen], len(dataset.classes), run)
                both = [float((predict(one[is_held]) == targets[is_held]).mean()) for one in (here, there)]
                scores.setdefault(peer, []).append((both[0], both[1]))
        print(f"  {name}")
        figures[name] = {}
        for learner, pairs in scores.items():
            before, after = np.mean(pairs, axis=0)
            figures[name][learner] = {"here": before, "elsewhere": after}
            print(f"    {learner.ljust(14)} {before:.4f} -> {after:.4f}  ({100 * (after - before):+.1f} points)")
    return figures


def video(runs: int, peers: dict[str, Learner]) -> dict[str, Any]:
    """The same camera re-framed: pictures moved, scaled and tilted before the real tracker sees them.

    What it says is smoothed as it is when played, for the peers as well. Nobody has labelled these films, so the
    classes are how high the wrists are, low, middle or high thirds without the frames between, by the median of what
    the tracker says of the film as it is and of all framings. Each framing is one camera, in whose picture the whole
    performer stays. What is learned are frames as they are; blocks are held out.
    """
    figures: dict[str, Any] = {}
    print(f"\nTHE SAME CAMERA RE-FRAMED: accuracy as filmed -> re-framed, blocks held out, mean of {runs} runs")
    for name in ("balance_front.mp4", "two_people.mp4"):
        file = RECORDINGS.parent / "video" / name
        if not file.is_file():
            print(f"  {name} is not there")
            continue
        here = _tracked(file, None)
        rng = np.random.default_rng(0)
        turns = [_framing(here, rng) for _ in range(_FRAMINGS)]
        theres = [_tracked(file, turn) for turn in turns]
        found = [here, *(_moved_back(there, turn) for there, turn in zip(theres, turns, strict=True))]
        each = np.stack([_wrist_heights(one) for one in found])
        heights = np.median(each, axis=0)
        low, high = np.nanpercentile(heights, [33.3, 66.7])
        gap = 0.1 * (np.nanpercentile(heights, 95) - np.nanpercentile(heights, 5))
        labels = np.digitize(heights, [low, high])
        is_clear = (np.abs(heights - low) > gap / 2) & (np.abs(heights - high) > gap / 2)
        is_found = np.all([np.isfinite(one).all(axis=(1, 2)) for one in (here, *theres)], axis=0)
        rows = np.flatnonzero(is_clear & is_found)
        before, afters = here[rows], [one[rows] for one in theres]
        flat = [one[:, :, :3].reshape(len(rows), -1) for one in (before, *afters)]
        patch, output, dataset = dataset_of(file, flat[0], [str(labels[row]) for row in rows], "pose")
        ((sequence, _),) = dataset.frames
        ones = np.ones((len(rows), 33, 1), np.float32)
        there_values = [
            extract(patch, _with_points(sequence, np.concatenate([one[:, :, :3], ones], axis=2)))[
                :, feature_columns(patch, output)
            ]
            for one in afters
        ]
        targets = dataset.examples.targets.astype(np.intp)
        scores: dict[str, list[tuple[float, float]]] = {}
        for run in range(runs):
            is_seen, is_held = split(dataset, "blocks", np.random.default_rng(run))
            seen = with_variations(subset(dataset, is_seen), patch, output)
            fitted = fit(seen.examples, hidden=output.hidden, seed=run, is_validated=False)
            one, *others = (
                float((forward(fitted.layers, some[is_held]).argmax(axis=1) == targets[is_held]).mean())
                for some in (dataset.examples.values, *there_values)
            )
            scores.setdefault("ours", []).append((one, float(np.mean(others))))
            for peer, learn in peers.items():
                predict, _ = learn(flat[0][is_seen], targets[is_seen], len(dataset.classes), run)
                one, *others = (float((predict(some[is_held]) == targets[is_held]).mean()) for some in flat)
                scores.setdefault(peer, []).append((one, float(np.mean(others))))
        agrees = float(np.mean(np.digitize(each[1:], [low, high])[:, rows] == labels[rows]))
        print(f"  {name}: {len(rows)} of {len(here)} frames, found in all; re-framed, the wrists themselves")
        print(f"    are low, middle or high as they should be in {agrees:.4f}")
        figures[name] = {"frames": len(rows), "labels_agree": agrees}
        for learner, pairs in scores.items():
            first, second = np.mean(pairs, axis=0)
            figures[name][learner] = {"here": first, "elsewhere": second}
            print(f"    {learner.ljust(14)} {first:.4f} -> {second:.4f}  ({100 * (second - first):+.1f} points)")
    return figures


_FRAMINGS = 12
_PICTURE = (540, 960)
_FILM_HZ = 60


def _framing(here: FloatArray, rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, 3) moves, scales and tilts a picture about the performer, who stays in it."""
    import cv2

    points = here[np.isfinite(here).all(axis=(1, 2))][:, :, :2].reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    for _ in range(1000):
        size, tilt = float(np.exp(rng.uniform(np.log(0.5), np.log(2.0)))), rng.uniform(-15, 15)
        turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), tilt, size)
        turn[:, 2] += rng.uniform(-0.3, 0.3, 2) * _PICTURE
        corners = np.array([low, high, [low[0], high[1]], [high[0], low[1]]]) @ turn[:, :2].T + turn[:, 2]
        if (corners >= 0).all() and (corners <= _PICTURE).all():
            break
    return turn


def _wrist_heights(points: FloatArray) -> FloatArray:
    """(N,): how far the wrists of (N, 33, 2 or more) are below the shoulders, in torso lengths."""
    heights = (points[:, [15, 16], 1] - points[:, [11, 12], 1]).mean(axis=1)
    return np.asarray(heights / np.nanmean(np.abs(points[:, [23, 24], 1] - points[:, [11, 12], 1])))


def _moved_back(points: FloatArray, turn: NDArray[np.float64]) -> FloatArray:
    """(N, 33, 2): where those landmarks of a re-framed film are in the film as it is."""
    return np.asarray((points[:, :, :2] - turn[:, 2]) @ np.linalg.inv(turn[:, :2]).T)


def _tracked(file: Path, turn: NDArray[np.float64] | None) -> FloatArray:
    """(N, 33, 4) landmarks in pixels of every frame, smoothed as they are played, NaN where nobody is found.

    With `turn` the film is re-framed. Its first half second is played back and forth for two seconds before it, for
    nobody performs in the moment in which the tracker sees them first.
    """
    import cv2

    from instrument import assets

    film, pictures = cv2.VideoCapture(str(file)), []
    while (read := film.read())[0]:
        picture = cv2.resize(read[1], _PICTURE)
        pictures.append(picture if turn is None else cv2.warpAffine(picture, turn, _PICTURE))
    film.release()
    tracker = MediaPipeTracker(Listen(), pose_model=assets.path("pose.task"), hand_model=None)
    smoother = OneEuroFilter(Smoothing())
    found = np.full((len(pictures), 33, 4), np.nan, np.float32)
    for number in range(-2 * _FILM_HZ, len(pictures)):
        time_s = number / _FILM_HZ + 2
        picture = pictures[number if number >= 0 else there_and_back(-number, _FILM_HZ // 2)]
        frame = Frame(number=number, captured_at_s=time_s, image_bgr=picture)
        if (pose := tracker.track(frame).pose) is not None:
            points = np.asarray(pose * (*_PICTURE, _PICTURE[0], 1), dtype=np.float32)
            length = float(body_length(points[None], is_upper=False)[0])
            points[:, :3] = smoother.update(points[:, :3], time_s=time_s, body_length=length)
            if number >= 0:
                found[number] = points
    tracker.close()
    return found


def values_from_few(runs: int) -> dict[str, Any]:
    """Root mean square error of four values of 0..1 learned from a few poses, at random, on all others."""
    peers = regressors()
    figures: dict[str, Any] = {}
    print(f"\nVALUES FROM A FEW POSES: root mean square error, mean of {runs} runs of 4 values, 3 kinds of relation")
    for name, what in LANDMARKS:
        _, numbers = _table(f"{name}, centred" if what == "pose" else name)
        ((_, _, dataset),) = read_scorable(RECORDINGS / f"{name}.csv", landmarks=what)
        points = numbers.reshape(len(numbers), 33 if what == "pose" else 21, -1)[:, :, :2]
        for view, values in (("features", dataset.examples.values), ("coordinates", numbers)):
            for count in (8, 30, 200):
                errors: dict[str, list[float]] = {}
                for run in range(runs):
                    rows = np.random.default_rng(run).permutation(len(values))
                    seen, held = rows[:count], rows[count : count + 800]
                    wanted = _relations(points, run)
                    for learner, learn in {"ours": _our_values, **peers}.items():
                        for column in wanted.T:
                            said = np.clip(learn(values[seen], column[seen], run)(values[held]), 0, 1)
                            errors.setdefault(learner, []).append(float(np.square(said - column[held]).mean()))
                title = f"{name}, {view}, {count} poses"
                figures[title] = {learner: float(np.sqrt(np.mean(found))) for learner, found in errors.items()}
                print(f"  {title.ljust(40)} {'  '.join(f'{key} {one:.3f}' for key, one in figures[title].items())}")
    return figures | {"between two poses": {name: _between(name, what) for name, what in LANDMARKS}}


def _between(name: str, what: str, pairs: int = 300, steps: int = 50, slack: float = 0.02) -> float:
    """Share of pairs of poses, of values 0 and 1, between which landmarks that go straight never let the value fall."""
    ((patch, output, dataset),) = read_scorable(RECORDINGS / f"{name}.csv", landmarks=what)
    ((sequence, _),) = dataset.frames
    points = sequence.pose if sequence.pose is not None else sequence.right_hand
    assert points is not None
    rng = np.random.default_rng(0)
    rises = []
    for pair in range(pairs):
        ends = rng.choice(len(points), size=2, replace=False)
        way = np.linspace(0, 1, steps, dtype=np.float32)[:, None, None]
        frames = LandmarkSequence(
            times_s=np.arange(steps) / 30.0,
            aspect=np.full(steps, sequence.aspect[ends[0]], dtype=np.float32),
            pose=sequence.pose,
            left_hand=None if sequence.left_hand is None else sequence.left_hand[:steps],
            right_hand=sequence.right_hand,
        )
        moved = _with_points(frames, points[ends[0]] * (1 - way) + points[ends[1]] * way)
        values = extract(patch, moved)[:, feature_columns(patch, output)]
        learned = _our_values(values[[0, -1]], np.array([0, 1], dtype=np.float32), pair)
        said = np.clip(learned(values), 0, 1)
        rises.append(float((np.maximum.accumulate(said) - said).max()) <= slack)
    share = float(np.mean(rises))
    print(f"  {name}, between two poses: {share:.2f} of {pairs} pairs never fall back by more than {slack}")
    return share


def regressors() -> dict[str, Callable[[FloatArray, FloatArray, int], Predict]]:
    """scikit-learn's, by name; each takes values (N, F), targets (N,) and a seed, and gives what predicts."""
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
        from sklearn.linear_model import Ridge
        from sklearn.neighbors import KNeighborsRegressor
        from sklearn.neural_network import MLPRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR
    except ImportError:
        return {}
    kernel = ConstantKernel() * RBF(5.0, (0.5, 200.0)) + WhiteKernel(1e-3, (1e-6, 0.1))
    makers: dict[str, Callable[[int], Any]] = {
        "SVR": lambda _: SVR(),
        "GP": lambda _: GaussianProcessRegressor(kernel, normalize_y=True),
        "ridge": lambda _: Ridge(),
        "kNN": lambda _: KNeighborsRegressor(weights="distance"),
        "MLP": lambda seed: MLPRegressor(random_state=seed),
    }
    return {
        name: lambda values, targets, seed, make=make: (  # type: ignore[misc]
            make_pipeline(StandardScaler(), make(seed)).fit(values, targets).predict
        )
        for name, make in makers.items()
    }


def _our_values(values: FloatArray, targets: FloatArray, seed: int) -> Predict:
    examples = Examples(values=values, targets=targets, takes=np.arange(len(values)))
    fitted = fit(examples, hidden=(64, 32), seed=seed, is_validated=False)
    return lambda rows: forward(fitted.layers, rows)[:, 0]


def _relations(points: FloatArray, seed: int) -> FloatArray:
    """(N, 4) values of 0..1 of points (N, L, 2): a distance, one linear and two bent relations to how they move."""
    rng = np.random.default_rng([seed, 99])
    one, other = rng.choice(points.shape[1], size=2, replace=False)
    flat = points.reshape(len(points), -1)
    directions, _, _ = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    moved = directions[:, :6] * np.sqrt(len(flat)) * np.array([1, 0.8, 0.6, 0.4, 0.3, 0.2])
    bent = np.tanh(moved @ rng.standard_normal((6, 16)) + 0.5 * rng.standard_normal(16)) @ rng.standard_normal((16, 2))
    distance = np.linalg.norm(points[:, one] - points[:, other], axis=1)
    found = np.column_stack([distance, moved @ rng.standard_normal(6), bent])
    low, high = np.percentile(found, [2, 98], axis=0)
    return np.clip((found - low) / (high - low), 0, 1).astype(np.float32)


def reframed(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(N, L, D) points, each frame moved, scaled and tilted as if the performer stood elsewhere."""
    count = len(points)
    flat = points[:, :, :2]
    picture = np.ptp(flat.reshape(-1, 2), axis=0).max()
    centre = flat.mean(axis=1, keepdims=True)
    angle = np.deg2rad(rng.uniform(-15, 15, (count, 1)))
    size = np.exp(rng.uniform(np.log(0.5), np.log(2.0), (count, 1, 1)))
    shift = rng.uniform(-0.3, 0.3, (count, 1, 2)) * picture
    x, y = (flat - centre)[..., 0], (flat - centre)[..., 1]
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=2)
    moved = points.copy()
    moved[:, :, :2] = turned * size + centre + shift
    moved[:, :, 2:3] = points[:, :, 2:3] * size
    return moved


def none_of_these(runs: int) -> dict[str, Any]:
    """One class left out: are its examples told from those of the others? And is confidence how often it is right?

    AUROC; the share of strangers accepted where 95 % of true gestures held out are; and, at the threshold the model has
    set itself, the shares of true gestures and of strangers accepted. Expected calibration error in 15 bins (Guo et al.
    2017), all classes taught. Every class is left out once.
    """
    figures: dict[str, Any] = {}
    for way, kind, few in (("70/30 at random", "frames", 0), ("blocks held out", "blocks", 0), WAYS[0]):
        print(
            f"\nNONE OF THESE, {way}: AUROC, strangers accepted at 95 % of true gestures; mean of every class left out"
        )
        rows: dict[str, dict[str, list[tuple[float, ...]]]] = {}
        errors: dict[str, dict[str, list[float]]] = {}
        for name, scorable, numbers in _rejection_sets():
            patch, plain, dataset = scorable
            output = replace(plain, reject=plain.reject or REJECTED)
            for run in range(runs):
                whole = np.ones(len(dataset.examples), dtype=bool)
                for out in (None, *range(len(dataset.classes))):
                    is_known = whole if out is None else dataset.examples.targets != out
                    known = _without(dataset, out)
                    seen, held = split(known, kind, np.random.default_rng(run), few=few)
                    of_all = np.flatnonzero(is_known)
                    model = train_output(patch, output, subset(known, seen))
                    place = {feature: column for column, feature in enumerate(dataset.feature_names)}
                    values = dataset.examples.values[:, [place[feature] for feature in model.feature_names]]
                    truth = known.examples.targets[held]
                    if out is None:
                        assert model.network is not None
                        said = softmax(forward(dequantised(model.network), values[held]))
                        errors.setdefault("ours", {}).setdefault(name, []).append(calibration_error(said, truth))
                    else:
                        true, strange = (familiarities(model, values[part])[0] for part in (of_all[held], ~is_known))
                        least = output.reject
                        own = (float((true >= least).mean()), float((strange >= least).mean()))
                        rows.setdefault("ours", {}).setdefault(name, []).append((*_told_apart(true, strange), *own))
                    for peer, familiar, surely in _rejecting_peers(
                        numbers[of_all[seen]],
                        known.examples.targets[seen],
                        run,
                        (numbers[of_all[held]], numbers[~is_known]),
                    ):
                        if out is None and surely is not None:
                            errors.setdefault(peer, {}).setdefault(name, []).append(calibration_error(surely, truth))
                        if out is not None:
                            rows.setdefault(peer, {}).setdefault(name, []).append(_told_apart(*familiar))
        figures[way] = {"rejection": {}, "calibration": {}}
        for learner, sets in rows.items():
            means = {name: np.mean(found, axis=0) for name, found in sets.items()}
            three = np.mean([means[name] for name in THREE], axis=0)
            figures[way]["rejection"][learner] = {name: mean.tolist() for name, mean in means.items()}
            each = "  ".join(f"{name} {mean[0]:.3f} {mean[1]:.3f}" for name, mean in means.items())
            its_own = f"  its own threshold: {three[2]:.3f} true, {three[3]:.3f} strangers" if len(three) > 2 else ""
            print(f"  {learner.ljust(16)} first three {three[0]:.3f} {three[1]:.3f}  {each}{its_own}", flush=True)
        print("  expected calibration error, all classes taught")
        for learner, found in errors.items():
            off = {name: float(np.mean(one)) for name, one in found.items()}
            figures[way]["calibration"][learner] = off
            each = "  ".join(f"{name} {one:.3f}" for name, one in off.items())
            mean = float(np.mean([off[name] for name in THREE]))
            print(f"  {learner.ljust(16)} first three {mean:.3f}  {each}", flush=True)
    return figures


def _rejection_sets() -> list[tuple[str, Scorable, FloatArray]]:
    """The recordings as ours learns them, and their plain numbers as peers do; scikit-learn's tables where it is."""
    found = []
    for name, what in (*LANDMARKS, ("finger_trajectory", None)):
        (scorable,) = read_scorable(RECORDINGS / f"{name}.csv", landmarks=what)
        found.append((name, scorable, _table("body_pose, centred" if what == "pose" else name)[1]))
    with contextlib.suppress(ImportError):
        from sklearn.datasets import load_digits, load_iris, load_wine

        for name, load in (("digits", load_digits), ("wine", load_wine), ("iris", load_iris)):
            table = load()
            numbers = table.data.astype(np.float32)
            found.append((name, dataset_of(Path(name), numbers, [f"c{one}" for one in table.target], None), numbers))
    return found


def _without(dataset: Dataset, out: int | None) -> Dataset:
    """The dataset as if that class had never been shown."""
    if out is None:
        return dataset
    rest = subset(dataset, dataset.examples.targets != out)
    targets = rest.examples.targets - (rest.examples.targets > out)
    examples = replace(rest.examples, targets=targets, class_count=len(dataset.classes) - 1)
    return replace(rest, examples=examples, classes=tuple(np.delete(dataset.classes, out).tolist()))


def _rejecting_peers(
    numbers: FloatArray, targets: NDArray[Any], seed: int, parts: tuple[FloatArray, FloatArray]
) -> list[tuple[str, tuple[FloatArray, FloatArray], FloatArray | None]]:
    """What scikit-learn has: for each how familiar the two parts are to it, and its confidences about the first."""
    try:
        from sklearn.ensemble import IsolationForest, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC, OneClassSVM
    except ImportError:
        return []
    true, strange = parts
    strange = strange if len(strange) else true[:1]
    found: list[tuple[str, tuple[FloatArray, FloatArray], FloatArray | None]] = []
    classifiers: tuple[tuple[str, Any], ...] = (
        ("kNN", KNeighborsClassifier()),
        ("SVM", SVC(probability=True, random_state=seed)),
        ("forest", RandomForestClassifier(random_state=seed)),
        ("logistic", LogisticRegression(max_iter=300)),
        ("sklearn MLP", MLPClassifier(random_state=seed)),
    )
    for name, learner in classifiers:
        fitted = make_pipeline(StandardScaler(), learner).fit(numbers, targets)
        surely = [fitted.predict_proba(one) for one in (true, strange)]
        found.append((name, (surely[0].max(axis=1), surely[1].max(axis=1)), surely[0]))
    for name, detector in (
        ("one-class SVM", OneClassSVM()),
        ("isolation forest", IsolationForest(random_state=seed)),
        ("local outliers", LocalOutlierFactor(novelty=True)),
    ):
        fitted = make_pipeline(StandardScaler(), detector).fit(numbers)
        found.append((name, (fitted.decision_function(true), fitted.decision_function(strange)), None))
    return found


def _told_apart(true: NDArray[Any], strange: NDArray[Any]) -> tuple[float, float]:
    """The chance that a true gesture is more familiar than a stranger, and the strangers accepted where 95 % are."""
    ordered = np.sort(strange)
    below = np.searchsorted(ordered, true, "left") + np.searchsorted(ordered, true, "right")
    return float(below.mean() / 2 / len(strange)), float((strange >= np.quantile(true, 0.05)).mean())


def calibration_error(surely: FloatArray, truth: NDArray[Any]) -> float:
    """How far confidence is from how often it is right, on average over 15 bins of it."""
    confidence, is_right = surely.max(axis=1), surely.argmax(axis=1) == truth
    bins = np.minimum((confidence * 15).astype(int), 14)
    return float(
        sum(
            abs(is_right[bins == one].mean() - confidence[bins == one].mean()) * (bins == one).mean()
            for one in np.unique(bins)
        )
    )


def times() -> dict[str, Any]:
    """From takes on disk to models on disk, as the trainer does it: features, training, validation, files."""
    figures: dict[str, Any] = {}
    print("\nINSTANT: 99 numbers, 4 classes, 8 takes; seconds from takes to model files: first (with features), median")
    print(
        "  and, in a playing instrument, from /instrument/train to the first prediction by the new model: median, worst"
    )
    for count, repeats in ((1000, 9), (10_000, 3), (100_000, 1)):
        with tempfile.TemporaryDirectory() as folder:
            _made_up_project(Path(folder), count)
            cache, taken_s = FeatureCache(), []
            for _ in range(1 + repeats):
                started_s = time.perf_counter()
                train_project(Path(folder), cache=cache)
                taken_s.append(time.perf_counter() - started_s)
        played_s = _played(count, repeats)
        figures[str(count)] = {
            "first_s": taken_s[0],
            "median_s": float(np.median(taken_s[1:])),
            "played_median_s": float(np.median(played_s)),
            "played_worst_s": max(played_s),
        }
        said = (taken_s[0], np.median(taken_s[1:]), np.median(played_s), max(played_s))
        print(f"  {count:7d} examples  " + "  ".join(f"{one:.3f}" for one in said), flush=True)
    return figures


def _played(count: int, runs: int) -> list[float]:
    """Seconds from /instrument/train to the first prediction by the new model, in a playing instrument."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _made_up_project(Path(folder), count)
        port = _free_port()
        options = {"folder": folder, "source": None, "out": ("127.0.0.1", _free_port()), "in_port": port}
        supervisor = Supervisor({"listen_host": "127.0.0.1", "is_once": False, **options}, is_quiet=True)
        run = threading.Thread(target=supervisor.run)
        run.start()
        is_over = threading.Event()
        try:
            with Client(port=port) as client, Client(port=port) as hands:
                _wait_until_trained(client)
                feeding = threading.Thread(target=_feed, args=(hands, is_over))
                feeding.start()
                taken_s = []
                for _ in range(runs):
                    time.sleep(1.5)  # the advice about the last model is being found out meanwhile
                    started_s = time.perf_counter()
                    client.ask("/instrument/train", timeout_s=120.0)
                    client.ask("/instrument/subscribe", "prediction")  # not before: a subscription ends after 10 s
                    next(address for address, _ in client.messages(2.0) if address == "/instrument/prediction")
                    taken_s.append(time.perf_counter() - started_s)
        finally:
            is_over.set()
            supervisor.stop()
            run.join()
    return taken_s


def _wait_until_trained(client: Client) -> None:
    for _ in range(240):
        with contextlib.suppress(NoAnswer, ConnectionError):
            status = json.loads(str(client.ask("/instrument/status")[0]))
            if all(one["running"] for one in status["outputs"]):
                return
        time.sleep(0.25)
    sys.exit("the instrument was not playing after a minute")


def _feed(client: Client, is_over: threading.Event) -> None:
    """Sixty times a second, what a sensor would send."""
    values = np.random.default_rng(0).standard_normal(99).tolist()
    while not is_over.wait(1 / 60):
        client.send("/wek/inputs", *values)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prediction(peers: dict[str, Learner]) -> dict[str, Any]:
    (_, output, dataset), numbers = _table("hand_keypoint")
    is_seen, _ = split(dataset, "frames", np.random.default_rng(0))
    targets = dataset.examples.targets.astype(np.intp)
    seen = with_features_that_help(subset(dataset, is_seen), output)
    fitted = fit(seen.examples, hidden=output.hidden, seed=0, is_validated=False)
    run, row = FrameForward(fitted.layers), seen.examples.values[0]
    figures = {"ours": (_each_us(lambda: run(row), 2000), sum(w.nbytes + b.nbytes for w, b in fitted.layers) / 1000)}
    for peer, learn in peers.items():
        predict, size = learn(numbers[is_seen], targets[is_seen], len(dataset.classes), 0)
        figures[peer] = (_each_us(lambda predict=predict: predict(numbers[:1]), 50), size / 1000)  # type: ignore[misc]
    for name, (each_us, kilobytes) in figures.items():
        print(f"  {name.ljust(14)} {each_us:9.1f} us  {kilobytes:9.1f} kB")
    return {name: {"us": each_us, "kB": kilobytes} for name, (each_us, kilobytes) in figures.items()}


def _each_us(call: Callable[[], Any], count: int) -> float:
    call()
    taken = []
    for _ in range(count):
        started_s = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started_s)
    return 1e6 * float(np.median(taken))


def _row(title: str, row: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    cells = {
        name: {
            "accuracy": float(np.mean([one[0] for one in scores])),
            "deviation": float(np.std([one[0] for one in scores])),
            "ms": float(np.median([one[1] for one in scores])),
        }
        for name, scores in row.items()
    }
    said = "  ".join(f"{name} {cell['accuracy']:.4f} ({cell['ms']:.0f})" for name, cell in cells.items())
    print(f"  {title.ljust(36)} {said}", flush=True)
    return cells


def _table(name: str) -> tuple[Scorable, FloatArray]:
    """That set as ours learns it, and its plain numbers as peers do."""
    file = RECORDINGS / f"{name.partition(',')[0]}.csv"
    rows = [line.split(",") for line in file.read_text().splitlines()]
    numbers = np.array([row[1:] for row in rows], dtype=np.float32)
    if "centred" in name:
        points = numbers.reshape(-1, 33, 3)
        hips, shoulders = points[:, 23:25].mean(axis=1), points[:, 11:13].mean(axis=1)
        torso = np.linalg.norm((shoulders - hips)[:, :2], axis=1)
        across = np.linalg.norm((points[:, 11] - points[:, 12])[:, :2], axis=1)
        points = (points - hips[:, None]) / np.maximum(torso, across)[:, None, None]
        numbers = points.reshape(len(numbers), -1).astype(np.float32)
    return dataset_of(file, numbers, [row[0] for row in rows], None), numbers


def _with_points(sequence: LandmarkSequence, points: FloatArray) -> LandmarkSequence:
    return LandmarkSequence(
        times_s=sequence.times_s,
        aspect=sequence.aspect,
        pose=points if sequence.pose is not None else None,
        left_hand=sequence.left_hand,
        right_hand=points if sequence.right_hand is not None else None,
    )


def _made_up_project(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    (folder / "patch.toml").write_text('[listen]\nsource = "osc"\ninputs = 99\n[[output]]\nname = "posture"\n')
    centres = rng.standard_normal((4, 99))
    takes = []
    for number in range(8):
        values = centres[number % 4] + 0.8 * rng.standard_normal((count // 8, 99))
        takes.append(
            WholeTake(
                created_at=utc_now(),
                source="bench",
                targets={"posture": "abcd"[number % 4]},
                landmarks=LandmarkSequence(
                    times_s=np.arange(len(values)) / 30.0,
                    aspect=np.ones(len(values), dtype=np.float32),
                    numbers=values.astype(np.float32),
                ),
            )
        )
    with TakeStore.open(folder / "takes.sqlite") as store:
        store.add(takes, "bench")


if __name__ == "__main__":
    sys.exit(main())
