"""Learns to follow movements: a small network that says which movement is under way, and how far.

It sees the recent past (`models.recent_past`), says one distribution over "nothing" and every part of every
movement, and how long ago the movement began. It is trained by gradient descent on performances
made up from the takes (`models.staging`): time is warped there instead of when playing, as dynamic time
warping does. `models.follower` makes events of what it says. docs/learning.md has what each choice is worth.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer, forward
from instrument.kernels.packing import FloatArray
from instrument.models.descent import BATCH, Lesson, Task, descend, layers_of, noise_for
from instrument.models.fitting import Cancelled, Progress, TrainingError
from instrument.models.members import side_by_side
from instrument.models.mlp import beginnings
from instrument.models.recent_past import Liveliness, RecentPast, liveliness, recent_past_of, unit_of, usual_of
from instrument.models.staging import NOTHING, Performance, Run, more_for, perform

PARTS = 8
"""Into how many parts the progress of a movement is divided."""
MEMBERS = 2
_ROWS = 20_000
_STEPS = 1000
_PEAK_RATE = 0.01
_NOISE = 0.15
_SMOOTHING = 0.05
_FARTHEST = 8.0
"""Standard deviations beyond which what is seen is cut off."""
_PROGRESS_REPORTS = 24
_SHORTEST_REST_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementTake:
    """One take: a movement with stillness around it, or a stretch in which nothing is meant."""

    times_s: NDArray[np.float64]
    """(T,) rising"""
    values: FloatArray
    """(T, F)"""
    target: int
    """Class number, or NOTHING."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """A trained network and all that playing it needs."""

    past: RecentPast
    layers: tuple[Layer, ...]
    """What runs on what the past shows."""
    bare: tuple[Layer, ...]
    """The same network on (inputs - shift) * gain. Outputs: 1 + C * PARTS logits, and the elapsed share of the
    window, as a square root."""
    shift: FloatArray
    gain: FloatArray
    rows: FloatArray
    """(R, width): some of what it was trained on."""
    durations_s: FloatArray
    """(C,): how long takes of each movement usually last."""
    prior: FloatArray
    """(1 + C * PARTS,): how often each part was shown in training."""
    trimmed_s: tuple[float, ...]
    """How much of each take was still, and cut."""
    liveliness: float
    """How fast takes mostly are where they move most, places a second, of the liveliest movement."""
    loss: float
    steps: int


def fit_following(
    takes: Sequence[MovementTake],
    class_count: int,
    *,
    hidden: tuple[int, ...],
    seed: int,
    is_scaled: bool,
    effort: float = 1.0,
    on_progress: Callable[[Progress], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Following:
    """A network that follows the movements of these takes; the same arguments give the same weights.

    `is_scaled` makes features count alike whatever their unit; `effort` multiplies the steps.
    Raises TrainingError, and Cancelled once `is_cancelled` says so.
    """

    def check() -> None:
        if is_cancelled():
            raise Cancelled

    past, runs, trimmed_s = _runs(takes, is_scaled)
    meant = [one for one in takes if one.target != NOTHING]
    durations_s = np.array(
        [
            math.exp(np.mean([math.log(max(one.times_s[-1], 0.05)) for one in runs if one.target == target]))
            for target in range(class_count)
        ],
        dtype=np.float32,
    )
    performance = perform(runs, class_count, np.random.default_rng([seed, 11]), check)
    more = more_for(len(meant))
    count = round(_ROWS * more)
    rows, wanted, elapsed = _examples(past, performance, class_count, count, np.random.default_rng([seed, 12]))
    prior = wanted.mean(axis=0)
    shift, deviation = rows.mean(axis=0), rows.std(axis=0)
    gain = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6)
    seen = np.clip((rows - shift) * gain, -_FARTHEST, _FARTHEST)
    wanted = wanted * np.float32(1 - _SMOOTHING) + np.float32(_SMOOTHING) * prior
    steps = max(2, round(effort * _STEPS * more**2))
    task = _task(seen, wanted, hidden, steps, [np.random.default_rng([seed, 13, one]) for one in range(MEMBERS)])
    every = max(1, steps // _PROGRESS_REPORTS)
    recent: list[float] = []

    def report(step: int, losses: NDArray[np.float64]) -> None:
        recent.append(float(losses.mean()))
        if step == 0 or (step + 1) % every == 0 or step + 1 == steps:
            on_progress(Progress(step=step + 1, steps=steps, loss=sum(recent) / len(recent), validation=None))
            recent.clear()

    losses = descend(task, check=check, on_step=report)
    bare = _with_elapsed(side_by_side([layers_of(own, task.widths) for own in task.parameters]), seen, elapsed)
    if not all(np.isfinite(array).all() for layer in bare for array in layer):
        raise TrainingError("training ran away; look for a feature with enormous values")
    weights, biases = bare[0]
    return Following(
        past=past,
        layers=((weights * gain[:, None], biases - (shift * gain) @ weights), *bare[1:]),
        bare=bare,
        shift=shift,
        gain=gain,
        rows=rows[:: max(1, len(rows) // 2000)],
        durations_s=durations_s,
        prior=prior,
        trimmed_s=trimmed_s,
        liveliness=max(_usual([_lively(one, past.places(one.values)) for one in meant]).values()),
        loss=float(losses[-max(1, steps // 10) :].mean()),
        steps=steps,
    )


def said_of_take(following: Following, take: MovementTake) -> FloatArray:
    """(C,): how much a whole take, from its beginning to its end, is like each movement; the sum is 1.

    The evidence of moments over the length of what moves in it. How far a movement is at each of them is nearly
    known, so parts far from there count little.
    """
    class_count = len(following.durations_s)
    places = following.past.places(take.values)
    times_s = _without_rests(take.times_s, places, following.liveliness)
    moments = np.unique(np.linspace(0, len(times_s) - 1, 2 * PARTS).round().astype(np.intp))
    asked_s = np.maximum(times_s[moments][:, None] - following.past.lags_s, times_s[0])
    past = np.stack([np.interp(asked_s, take.times_s, column) for column in places.T], axis=2)
    given = forward(following.layers, following.past.inputs(past.astype(np.float32)))[:, :-1]
    given = np.exp(given - given.max(axis=1, keepdims=True))
    given /= given.sum(axis=1, keepdims=True)
    progress = moments / max(moments[-1], 1)
    off = (progress[:, None] * PARTS - 0.5).clip(0, PARTS - 1) - np.arange(PARTS)
    by_class = np.einsum("mcp,mp->mc", given[:, 1:].reshape(len(moments), class_count, PARTS), np.exp(-0.5 * off**2))
    evidence = np.log(np.maximum(by_class, 1e-3)).sum(axis=0)
    likely = np.exp(evidence - evidence.max())
    return np.asarray(likely / likely.sum(), dtype=np.float32)


def _without_rests(times_s: NDArray[np.float64], places: FloatArray, usual: float) -> NDArray[np.float64]:
    """(T,): the times of a take without its still ends, as far as these are long enough to be meant."""
    first, last = liveliness(times_s, places).moving_part(usual)
    begins = first if times_s[first] - times_s[0] >= _SHORTEST_REST_S else 0
    ends = last if times_s[-1] - times_s[last - 1] >= _SHORTEST_REST_S else len(times_s)
    return times_s[begins:ends]


def _lively(take: MovementTake, values: FloatArray) -> tuple[int, Liveliness]:
    """Which movement a take is, and how much it moves in what has been made of its values."""
    return take.target, liveliness(take.times_s, values)


def _usual(lively: Sequence[tuple[int, Liveliness]]) -> dict[int, float]:
    """How lively takes of each movement mostly are."""
    targets = {target for target, _ in lively}
    return {target: usual_of(how for of, how in lively if of == target) for target in targets}


def _runs(takes: Sequence[MovementTake], is_scaled: bool) -> tuple[RecentPast, list[Run], tuple[float, ...]]:
    """The takes as places over time without their still ends, which become stretches of nothing."""
    meant = [one for one in takes if one.target != NOTHING]
    unit = unit_of(np.concatenate([one.values for one in meant]), is_scaled=is_scaled)
    lively = [_lively(one, one.values * unit) for one in meant]
    usual = _usual(lively)
    parts = (how.moving_part(usual[target]) for target, how in lively)
    bounds = [(0, len(one.times_s)) if one.target == NOTHING else next(parts) for one in takes]
    moving = [(one, first, last) for one, (first, last) in zip(takes, bounds, strict=True) if one.target != NOTHING]
    rows = np.concatenate([one.values[first:last] for one, first, last in moving])
    lengths_s = [float(one.times_s[last - 1] - one.times_s[first]) for one, first, last in moving]
    if max(lengths_s) <= 0:
        raise TrainingError("the takes are shorter than two frames; record the whole movement")
    past = recent_past_of(rows[:: max(1, len(rows) // 4000)], unit, float(np.quantile(lengths_s, 0.9)))
    runs, trimmed_s = [], []
    for one, (first, last) in zip(takes, bounds, strict=True):
        places = past.places(one.values)

        def run(first: int, last: int, target: int, one: MovementTake = one, places: FloatArray = places) -> Run:
            times_s = one.times_s[first:last] - one.times_s[first]
            return Run(times_s=times_s, places=places[first:last], target=target)

        runs.append(run(first, last, one.target))
        rests = [run(*ends, NOTHING) for ends in ((0, first), (last, len(places))) if ends[1] - ends[0] > 1]
        runs += [rest for rest in rests if rest.times_s[-1] >= _SHORTEST_REST_S]
        trimmed_s.append(float(sum(rest.times_s[-1] for rest in rests)))
    return past, runs, tuple(trimmed_s)


def _examples(
    past: RecentPast, performance: Performance, class_count: int, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """At most `count` frames of a performance, half of them nothing.

    (R, width) what is seen, (R, 1 + C * PARTS) what should be said, (R,) elapsed share of the window or NaN.
    """
    is_meant = performance.targets != NOTHING
    rows = np.concatenate([rng.permutation(np.flatnonzero(one))[: count // 2] for one in (is_meant, ~is_meant)])
    at = np.maximum(rows[:, None] - past.lags_s / performance.frame_s, 0.0)
    before = at.astype(np.intp)
    share = (at - before).astype(np.float32)[..., None]
    places = performance.places
    seen = places[before]
    seen += (places[np.minimum(before + 1, len(places) - 1)] - seen) * share
    targets, progress = performance.targets[rows], performance.progress[rows]
    wanted = np.zeros((len(rows), 1 + class_count * PARTS), dtype=np.float32)
    wanted[targets == NOTHING, 0] = 1.0
    # Progress lies between the middles of two parts, and is shared by both.
    meant = np.flatnonzero(targets != NOTHING)
    part = np.clip(progress[meant] * PARTS - 0.5, 0, PARTS - 1)
    lower = np.minimum(part.astype(np.intp), PARTS - 2)
    column = 1 + targets[meant] * PARTS + lower
    wanted[meant, column] = 1 - (part - lower)
    wanted[meant, column + 1] = part - lower
    elapsed = np.where(targets == NOTHING, np.nan, performance.elapsed_s[rows] / past.window_s)
    return past.inputs(seen), wanted, elapsed.astype(np.float32)


def _task(
    seen: FloatArray, wanted: FloatArray, hidden: tuple[int, ...], steps: int, rngs: Sequence[np.random.Generator]
) -> Task:
    """Networks that learn what is `wanted` (R, C) of what is `seen` (R, F), each in an order of its own."""
    count, width = seen.shape
    widths = (width, *hidden, wanted.shape[1])
    parameters = beginnings(widths, rngs)
    lessons = []
    for rng in rngs:
        rounds = -(-steps * BATCH // count)
        drawn = np.concatenate([rng.permutation(count) for _ in range(rounds)])[: steps * BATCH]
        draws = drawn.reshape(steps, BATCH)
        noise, starts = noise_for(width, _NOISE, steps, rng)
        lessons.append(Lesson(values=seen, targets=wanted, draws=draws, wanted=draws, noise=noise, noise_starts=starts))
    return Task(parameters=parameters, widths=widths, loss="cross_entropy", peak_rate=_PEAK_RATE, lessons=lessons)


def _with_elapsed(layers: tuple[Layer, ...], seen: FloatArray, elapsed: FloatArray) -> tuple[Layer, ...]:
    """The network with one output more: the root of the elapsed share, by ridge regression on its last hidden layer.

    What began just now counts most, for the moment of entering a movement tells its onset.
    """
    units = seen[np.isfinite(elapsed)]
    for weights, biases in layers[:-1]:
        units = np.maximum(units @ weights + biases, 0.0)
    wanted = np.sqrt(elapsed[np.isfinite(elapsed)].astype(np.float64))
    weight = 1.0 / (0.05 + wanted)
    mean = units.mean(axis=0, dtype=np.float64)
    usual = float((wanted * weight).sum() / weight.sum())
    rows = (units - mean) * weight[:, None]
    square = rows.T @ rows
    square[np.diag_indices(len(square))] += 1e-2 * np.trace(square) / len(square) + 1e-9
    solved = np.linalg.solve(square, rows.T @ ((wanted - usual) * weight))
    weights, biases = layers[-1]
    column = solved[:, None].astype(np.float32)
    last = np.concatenate([weights, column], axis=1), np.append(biases, np.float32(usual - mean @ solved))
    return (*layers[:-1], last)
