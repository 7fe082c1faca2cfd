"""How well movements are followed: accuracy beside DTW, streams, time.

    python scripts/bench_movements.py [--data ../shared/data] [--runs 3]

Prints tables in Markdown. Accuracy is of whole takes, held out. DTW is the nearest neighbour by dynamic time
warping (dtaidistance, in C; `pip install 'instrument[dtw]'`), on the same rows in the same run. Streams are made of
movements held out, played at several speeds, with standing still, drifting about and walking in a line between
them, none of it as training makes it up. Slips of the tracker are nearly as training makes them up: they show that it
helps, not how a real tracker slips. Drawn movements come with noise in the numbers, and much standing still between.
A real body: the demo performer raises and lowers their arms twice; one take each is learned, the other one played,
with their real standing about between.
"""

# ruff: noqa: E402  (numpy reads how many threads it may use when it is imported)

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from instrument.kernels.threads import use_one_thread

use_one_thread()

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import plain
from instrument.models.following import MovementTake, fit_following, said_of_take
from instrument.models.movement_model import MovementModel
from instrument.models.quantize import calibrate
from instrument.models.recent_past import liveliness
from instrument.movement import MovementRunner
from instrument.signals import MovementEvent

HERE = Path(__file__).resolve().parent
MOUSE_HZ, FINGER_HZ, STREAM_HZ = 60, 30, 30
ONSET_S = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data", help="the recordings")
    parser.add_argument("--runs", type=int, default=3, help="seeds of each cell")
    options = parser.parse_args()
    folder = options.data / "landmarks"
    finger, mouse = finger_takes(folder / "finger_trajectory.csv"), mouse_takes(folder / "mouse_gestures.grt")
    isolated(finger, mouse, options.runs)
    streams(mouse, options.runs)
    noisy(options.runs)
    body(options.runs)


def finger_takes(path: Path) -> list[MovementTake]:
    """Histories of a fingertip, in the order recorded."""
    rows = [line.split(",") for line in path.read_text().splitlines() if line]
    names = list(dict.fromkeys(row[0] for row in rows))
    times_s = np.arange(16) / FINGER_HZ
    return [
        MovementTake(
            times_s=times_s, values=np.array(row[1:], dtype=np.float32).reshape(16, 2), target=names.index(row[0])
        )
        for row in rows
    ]


def mouse_takes(path: Path) -> list[MovementTake]:
    """Letters written with a mouse, without their still ends."""
    takes: list[MovementTake] = []
    target = 0
    rows: list[list[float]] | None = None
    for line in [*path.read_text().splitlines(), "*"]:
        if rows is not None and not line[:1].isdigit():
            values = np.array(rows, dtype=np.float32)
            times_s = np.arange(len(values)) / MOUSE_HZ
            first, last = liveliness(times_s, values).moving_part()
            takes.append(MovementTake(times_s=times_s[first:last], values=values[first:last], target=target))
            rows = None
        if line.startswith("ClassID:"):
            target = int(line.split(":")[1]) - 1
        elif line.startswith("TimeSeriesData"):
            rows = []
        elif rows is not None:
            rows.append([float(word) for word in line.split()])
    return takes


# Accuracy of whole takes


def isolated(finger: Sequence[MovementTake], mouse: Sequence[MovementTake], runs: int) -> None:
    print("| set | ours | DTW | training, s | ours, ms a take | DTW, ms a take |\n|---|---|---|---|---|---|")
    cells: list[tuple[str, Sequence[MovementTake], str, int, int]] = [
        ("finger_trajectory, 20 per class", finger, "few", 20, runs),
        ("finger_trajectory, 70/30 at random", finger, "frames", 0, runs),
        ("finger_trajectory, blocks held out", finger, "blocks", 0, runs),
        ("mouse_gestures, 1 per class", mouse, "few", 1, runs),
        ("mouse_gestures, 2 per class", mouse, "few", 2, runs),
        ("mouse_gestures, 5 per class", mouse, "few", 5, runs),
    ]
    for name, takes, kind, few, count in cells:
        results = []
        for seed in range(count):
            seen, held = split(takes, kind, few, np.random.default_rng(seed))
            held = held[:1500]
            truth = np.array([one.target for one in held])
            started_s = time.perf_counter()
            following = fit_following(seen, int(truth.max()) + 1, hidden=(64, 32), seed=seed, is_scaled=True)
            trained_s = time.perf_counter() - started_s
            started_s = time.perf_counter()
            said = np.array([said_of_take(following, one).argmax() for one in held])
            ours_ms = 1000 * (time.perf_counter() - started_s) / len(held)
            by_dtw, dtw_ms = dtw_says(seen, held)
            results.append((np.mean(said == truth), np.mean(by_dtw == truth), trained_s, ours_ms, dtw_ms))
        ours, other, trained_s, ours_ms, dtw_ms = np.mean(results, axis=0)
        print(f"| {name} | {ours:.3f} | {other:.3f} | {trained_s:.2f} | {ours_ms:.2f} | {dtw_ms:.2f} |", flush=True)


def split(
    takes: Sequence[MovementTake], kind: str, few: int, rng: np.random.Generator
) -> tuple[list[MovementTake], list[MovementTake]]:
    """What is learned from and what is held out, in random order."""
    targets = np.array([one.target for one in takes])
    seen, held = [], []
    for target in np.unique(targets):
        rows = np.flatnonzero(targets == target)
        pieces = np.array_split(rows, 10) if kind == "blocks" else list(rows[:, None])
        order = rng.permutation(len(pieces))
        share = few or round(0.7 * len(pieces))
        seen += [row for piece in order[:share] for row in pieces[piece]]
        held += [row for piece in order[share:] for row in pieces[piece]]
    return [takes[row] for row in seen], [takes[row] for row in rng.permutation(held)]


def dtw_says(seen: Sequence[MovementTake], held: Sequence[MovementTake]) -> tuple[NDArray[np.intp], float]:
    """What the nearest take by DTW is, of each held out, and milliseconds each took."""
    try:
        from dtaidistance import dtw_ndim
    except ImportError:
        return np.full(len(held), -1), math.nan
    series = [(one.values - one.values[0]).astype(np.double) for one in (*held, *seen)]
    started_s = time.perf_counter()
    block = ((0, len(held)), (len(held), len(series)))
    distances = dtw_ndim.distance_matrix_fast(series, block=block, parallel=False)
    spent_s = time.perf_counter() - started_s
    nearest = np.asarray(distances)[: len(held), len(held) :].argmin(axis=1)
    return np.array([seen[index].target for index in nearest]), 1000 * spent_s / len(held)


# Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Movements one after the other, with idleness between."""

    times_s: NDArray[np.float64]
    values: NDArray[np.float32]
    played: tuple[tuple[float, float, int, float], ...]
    """Of each movement its onset and end in seconds, its class and its speed."""


def model_of(takes: Sequence[MovementTake], class_count: int, seed: int, *, is_scaled: bool) -> MovementModel:
    """What would be played: with 8-bit weights."""
    following = fit_following(takes, class_count, hidden=(64, 32), seed=seed, is_scaled=is_scaled)
    packed = calibrate(
        following.bare, following.shift, following.gain, following.rows, is_class=True, bits=8, seed=seed
    )
    return MovementModel(
        output="move",
        classes=tuple(map(str, range(class_count))),
        feature_names=tuple(map(str, range(takes[0].values.shape[1]))),
        feature_fingerprint="",
        past=following.past,
        durations_s=following.durations_s,
        prior=following.prior,
        hidden=tuple(len(biases) for _, biases in following.layers[:-1]),
        seed=seed,
        network=packed.network,
    )


def stream(takes: Sequence[MovementTake], rng: np.random.Generator, speed: float) -> Stream:
    """These movements in random order at that speed (0: anything from half to double), idling between."""
    spread = float(np.linalg.norm(np.concatenate([one.values for one in takes]).std(axis=0)))
    paths = [
        float(np.linalg.norm(np.diff(one.values, axis=0), axis=1).sum() / (one.times_s[-1] - one.times_s[0]))
        for one in takes
    ]
    usual = float(np.median(paths))
    here = takes[0].values[0].astype(np.float64)
    pieces: list[NDArray[np.float64]] = []
    played = []
    for index in rng.permutation(len(takes)):
        take = takes[index]
        left_s = rng.uniform(1.0, 4.0)
        while left_s > 0:
            seconds = min(left_s, rng.uniform(0.5, 2.0))
            left_s -= seconds
            pieces.append(idle(here, seconds, 2 * spread, usual, rng))
            here = pieces[-1][-1]
        start = take.values[0].astype(np.float64)
        way_s = max(0.15, float(np.linalg.norm(start - here)) / (usual * rng.uniform(0.5, 1.5)))
        pieces.append(line(here, start, way_s))
        pieces.append(np.repeat(start[None], round(rng.uniform(0.1, 0.6) * STREAM_HZ), axis=0))
        at_speed = speed or math.exp(rng.uniform(math.log(0.5), math.log(2.0)))
        frames = max(3, round((take.times_s[-1] - take.times_s[0]) / at_speed * STREAM_HZ))
        at_s = np.linspace(take.times_s[0], take.times_s[-1], frames)
        begins = sum(map(len, pieces))
        pieces.append(np.stack([np.interp(at_s, take.times_s, column) for column in take.values.T], axis=1))
        played.append((begins / STREAM_HZ, (begins + frames) / STREAM_HZ, take.target, at_speed))
        here = pieces[-1][-1]
    pieces.append(np.repeat(here[None], 2 * STREAM_HZ, axis=0))
    values = np.concatenate(pieces).astype(np.float32)
    return Stream(times_s=np.arange(len(values)) / STREAM_HZ, values=values, played=tuple(played))


def slipping(shown: Stream, hz: float, rng: np.random.Generator) -> Stream:
    """The same with so many slips of a tracker a second, somewhere else for one to three frames."""
    values, spread = shown.values.copy(), shown.values.std(axis=0)
    for first in rng.integers(len(values), size=rng.poisson(hz * len(values) / STREAM_HZ)):
        values[first : first + rng.integers(1, 4)] += rng.normal(0, 1.5, values.shape[1]) * spread
    return replace(shown, values=values)


def idle(
    here: NDArray[np.float64], seconds: float, size: float, usual: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Still, in a line somewhere, or drifting about with a velocity that wanders (Uhlenbeck and Ornstein 1930)."""
    frames = max(2, int(seconds * STREAM_HZ))
    match rng.integers(3):
        case 0:
            return np.repeat(here[None], frames, axis=0)
        case 1:
            return line(here, here + rng.normal(0, size / 3, len(here)), seconds)
    forget, speed = 1 / (rng.uniform(0.15, 0.6) * STREAM_HZ), usual * rng.uniform(0.3, 1.2)
    place, velocity, places = here.copy(), np.zeros(len(here)), []
    for _ in range(frames):
        kick = speed * math.sqrt(2 * forget / len(here)) * rng.standard_normal(len(here))
        velocity = velocity * (1 - forget) + kick - (place - here) / STREAM_HZ
        place = place + velocity / STREAM_HZ
        places.append(place)
    return np.array(places)


def line(start: NDArray[np.float64], end: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    share = np.linspace(0, 1, max(2, int(seconds * STREAM_HZ)))[1:, None]
    return start + (end - start) * share


def play(model: MovementModel, shown: Stream) -> tuple[list[tuple[float, MovementEvent]], float]:
    """The events, each with when it came, and the median milliseconds a frame took."""
    runner, events, spent_s = MovementRunner(model, plain(model.network).forward, at=0.8), [], []
    for time_s, values in zip(shown.times_s, shown.values, strict=True):
        started_s = time.perf_counter()
        prediction = runner.update(float(time_s), values)
        spent_s.append(time.perf_counter() - started_s)
        events += [(float(time_s), event) for event in prediction.events]
    return events, 1000 * float(np.median(spent_s))


def paced_ms(model: MovementModel, held: Sequence[MovementTake]) -> tuple[float, float]:
    """Median and 99th percentile of what a frame takes where each comes in its own time, as when playing."""
    shown = stream(held, np.random.default_rng(100), 0.0)
    runner, spent_s = MovementRunner(model, plain(model.network).forward, at=0.8), []
    begun_s = time.perf_counter()
    for number in range(10 * STREAM_HZ):
        time.sleep(max(0.0, begun_s + number / STREAM_HZ - time.perf_counter()))
        started_s = time.perf_counter()
        runner.update(float(shown.times_s[number]), shown.values[number])
        spent_s.append(time.perf_counter() - started_s)
    return 1000 * float(np.median(spent_s)), 1000 * float(np.quantile(spent_s, 0.99))


def scores(shown: Stream, events: Sequence[tuple[float, MovementEvent]]) -> dict[str, float]:
    """F1 of hits (one of the right movement from its onset to half a second after its end), and the rest."""
    hits = [(at_s, event) for at_s, event in events if event.what == "hit"]
    begins = [(at_s, event) for at_s, event in events if event.what == "begin"]
    used: set[int] = set()
    onsets, delays, speeds, noticed = [], [], [], []
    for onset_s, end_s, target, speed in shown.played:
        for number, (at_s, event) in enumerate(hits):
            if number not in used and event.movement == str(target) and onset_s < at_s < end_s + 0.5:
                used.add(number)
                onsets.append(abs(event.onset_s - onset_s))
                delays.append(at_s - end_s)
                speeds.append(2 * event.velocity / min(speed, 2.0))
                break
        began = [at_s - onset_s for at_s, event in begins if event.movement == str(target) and onset_s < at_s < end_s]
        noticed += began[:1]
    false = len(hits) - len(used)
    return {
        "F1": 2 * len(used) / max(1, len(hits) + len(shown.played)),
        "false a minute": 60 * false / float(shown.times_s[-1]),
        "onset off, ms": 1000 * float(np.median(onsets or [math.nan])),
        f"within {1000 * ONSET_S:.0f} ms": float(np.mean([one <= ONSET_S for one in onsets])) if onsets else 0.0,
        "begin after, ms": 1000 * float(np.median(noticed or [math.nan])),
        "hit after end, ms": 1000 * float(np.median(delays or [math.nan])),
        "speed told / played": float(np.median(speeds or [math.nan])),
    }


def report(name: str, rows: Sequence[dict[str, float]], is_first: bool) -> None:
    if is_first:
        print(f"\n| stream | {' | '.join(rows[0])} |\n|---|{'---|' * len(rows[0])}")
    means = {key: float(np.nanmean([row[key] for row in rows])) for key in rows[0]}
    cells = [
        f"{value:.0f}" if key.endswith("ms") and "within" not in key else f"{value:.3f}" for key, value in means.items()
    ]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def streams(mouse: Sequence[MovementTake], runs: int) -> None:
    models, frame_ms = [], []
    for seed in range(runs):
        seen, held = split(mouse, "few", 5, np.random.default_rng(seed))
        models.append((model_of(seen, 3, seed, is_scaled=True), held))
    for number, (name, speed, slips_hz) in enumerate(
        (
            ("as recorded", 1.0, 0.0),
            ("half speed", 0.5, 0.0),
            ("double speed", 2.0, 0.0),
            ("anything between", 0.0, 0.0),
            ("and a slip of the tracker every second", 0.0, 1.0),
            ("and three", 0.0, 3.0),
        )
    ):
        rows = []
        for seed, (model, held) in enumerate(models):
            shown = stream(held, np.random.default_rng(100 + seed), speed)
            shown = slipping(shown, slips_hz, np.random.default_rng(200 + seed))
            events, spent_ms = play(model, shown)
            frame_ms.append(spent_ms)
            rows.append(scores(shown, events))
        report(f"mouse letters, {name}", rows, number == 0)
    print(f"\nA frame takes {np.median(frame_ms):.3f} ms (median, back to back), ", end="")
    print("{:.3f} at the pace of a camera (99 of 100: {:.3f}).".format(*paced_ms(*models[0])))


# Drawn movements, with noise


def noisy(runs: int) -> None:
    """Three takes of each movement, still before and after; then they are played with much standing still between."""
    for number, (size, memory) in enumerate(((0.0, 0.0), (0.01, 0.0), (0.03, 0.0), (0.03, 0.8))):
        rows = []
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            takes = []
            for seconds in (0.6, 1.0, 1.5):
                for target in range(len(DRAWN)):
                    path = drawn(target, seconds)
                    rests = [np.repeat(path[at][None], frames, axis=0) for at, frames in ((0, 12), (-1, 18))]
                    values = with_noise(np.concatenate([rests[0], path, rests[1]]), size, memory, rng)
                    times_s = np.arange(len(values)) / STREAM_HZ
                    takes.append(MovementTake(times_s=times_s, values=values, target=target))
            model = model_of(takes, len(DRAWN), seed, is_scaled=True)
            shown, is_still = standing_much(rng)
            shown = replace(shown, values=with_noise(shown.values, size, memory, rng))
            events, _ = play(model, shown)
            rows.append({"under way while still": under_way(events, shown, is_still)} | scores(shown, events))
        report(f"drawn, noise {size:g}{', wandering' if memory else ''}", rows, number == 0)


def _circle(share: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [0.5 * np.sin(2 * np.pi * share), 0.5 - 0.5 * np.cos(2 * np.pi * share)]


def _there_and_back(share: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [np.sin(np.pi * share), 0 * share]


def _there(share: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [share, 0.25 * share]


DRAWN = (_circle, _there_and_back, _there)


def drawn(target: int, seconds: float) -> NDArray[np.float64]:
    """(T, 2): a movement about 1 large that begins and ends slowly."""
    share = np.linspace(0, 1, round(seconds * STREAM_HZ))
    return np.stack(DRAWN[target](share**2 * (3 - 2 * share)), axis=1)


def with_noise(
    places: NDArray[np.floating], size: float, memory: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The same with noise of that deviation, each frame so much of the one before."""
    noise = rng.standard_normal(places.shape)
    for number in range(1, len(noise)):
        noise[number] = memory * noise[number - 1] + math.sqrt(1 - memory**2) * noise[number]
    return (places + size * noise).astype(np.float32)


def standing_much(rng: np.random.Generator) -> tuple[Stream, NDArray[np.bool_]]:
    """Each movement six times, standing still between, and (T,) where that has been for half a second or longer."""
    pieces: list[NDArray[np.float64]] = []
    still: list[tuple[int, int]] = []
    played = []

    def stand(seconds: float) -> None:
        begins = sum(map(len, pieces))
        pieces.append(np.repeat(pieces[-1][-1:], round(seconds * STREAM_HZ), axis=0))
        still.append((begins + STREAM_HZ // 2, begins + len(pieces[-1])))

    for target in np.tile(np.arange(len(DRAWN)), 6).tolist():
        seconds = float(rng.choice([0.6, 0.8, 1.0, 1.5]))
        path = drawn(target, seconds)
        pieces.append(line(pieces[-1][-1], path[0], 0.8) if pieces else path[:1])
        stand(rng.uniform(0.5, 1.5))
        begins_s = sum(map(len, pieces)) / STREAM_HZ
        pieces.append(path)
        played.append((begins_s, begins_s + len(path) / STREAM_HZ, target, 1.0 / seconds))
        stand(float(rng.choice([1.0, 6.0])))
    values = np.concatenate(pieces)
    is_still = np.zeros(len(values), dtype=bool)
    for begins, ends in still:
        is_still[begins:ends] = True
    shown = Stream(times_s=np.arange(len(values)) / STREAM_HZ, values=values.astype(np.float32), played=tuple(played))
    return shown, is_still


def under_way(events: Sequence[tuple[float, MovementEvent]], shown: Stream, is_still: NDArray[np.bool_]) -> float:
    """The share of the frames in which nothing moves, in which a movement has begun and not ended."""
    count = np.zeros(len(shown.times_s), dtype=int)
    for at_s, event in events:
        if event.what != "hit":
            count[np.searchsorted(shown.times_s, at_s) :] += 1 if event.what == "begin" else -1
    return float((count[is_still] > 0).mean())


# A real body

RAISED_AND_LOWERED = (((3, 29), (27, 44)), ((42, 60), (61, 77)))
"""Frames of the demo in which arms are raised, and lowered, twice."""
HELD_UP, STANDING = ((22, 30), (56, 63)), (78, 120)


def body(runs: int) -> None:
    values = demo_features()
    for number, (name, speed) in enumerate((("as recorded", 1.0), ("anything between", 0.0))):
        rows = []
        for seed in range(runs):
            for learned, played in ((0, 1), (1, 0)):
                takes = [
                    MovementTake(times_s=np.arange(last - first) / STREAM_HZ, values=values[first:last], target=target)
                    for target, (first, last) in enumerate(RAISED_AND_LOWERED[learned])
                ]
                shown = body_stream(values, played, np.random.default_rng(seed), speed)
                rows.append(scores(shown, play(model_of(takes, 2, seed, is_scaled=False), shown)[0]))
        report(f"arms raised and lowered, 1 take each, {name}", rows, number == 0)


def demo_features() -> NDArray[np.float32]:
    """(T, F): what a patch that tracks a body sees of the demo performer."""
    import cv2

    from instrument import assets
    from instrument.features import extract
    from instrument.patch import Listen
    from instrument.patch_file import parse_patch
    from instrument.signals import Frame, landmark_sequence
    from instrument.tracker import MediaPipeTracker

    video, landmarks = cv2.VideoCapture(str(assets.path("demo.mp4"))), []
    tracker = MediaPipeTracker(Listen(), pose_model=assets.path("pose.task"), hand_model=None)
    for number in range(STANDING[1] + 1):
        _, image = video.read()
        frame = Frame(number=number, captured_at_s=number / STREAM_HZ, image_bgr=np.asarray(image, dtype=np.uint8))
        landmarks.append(tracker.track(frame))
    tracker.close()
    patch = parse_patch('[[output]]\nname = "move"\nkind = "trigger"\n', Path("patch.toml"))
    return extract(patch, landmark_sequence(landmarks, ("pose",)))


def body_stream(values: NDArray[np.float32], which: int, rng: np.random.Generator, speed: float) -> Stream:
    """Arms raised and lowered twelve times, with real frames of holding them up and of standing about between."""
    pieces, played = [to_and_fro(values, STANDING, 60, rng)], []
    for _ in range(12):
        for target, (first, last) in enumerate(RAISED_AND_LOWERED[which]):
            at_speed = speed or math.exp(rng.uniform(math.log(0.5), math.log(2.0)))
            at = np.linspace(first, last - 1, max(3, round((last - first) / at_speed)))
            piece = np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)
            begins = sum(map(len, pieces))
            played.append((begins / STREAM_HZ, (begins + len(piece)) / STREAM_HZ, target, at_speed))
            pieces.append(piece)
            seconds = rng.uniform(1, 4) if target else rng.uniform(0.3, 2)
            pieces.append(to_and_fro(values, STANDING if target else HELD_UP[which], round(seconds * STREAM_HZ), rng))
    shown = np.concatenate(pieces)
    shown += rng.normal(0, 0.01, shown.shape)
    return Stream(times_s=np.arange(len(shown)) / STREAM_HZ, values=shown.astype(np.float32), played=tuple(played))


def to_and_fro(
    values: NDArray[np.float32], span: tuple[int, int], frames: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """So many frames of that span, forwards and backwards from anywhere in it."""
    there_and_back = [*range(*span), *range(span[1] - 2, span[0], -1)]
    start = int(rng.integers(len(there_and_back)))
    numbers = [there_and_back[(start + number) % len(there_and_back)] for number in range(frames)]
    return values[numbers].astype(np.float64)


if __name__ == "__main__":
    main()
