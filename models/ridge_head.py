"""What a few poses say about all others: ridge regression on random units, which is itself a small network.

Units with random weights and only the last layer learned, in closed form, are regression with the arc-cosine kernel
(Cho and Saul 2009, equation 6): nearly straight between examples, and back towards their mean far from all of them.
The directions of the units are at right angles, which spreads few of them better (Yu et al. 2016, *Orthogonal random
features*). How much to trust the examples is not decided but averaged over, each answer counting as much as it makes
the examples likely (Rasmussen and Williams 2006, equation 5.8): a handful of poses cannot tell.
From 8 poses this is far better than gradient descent; from many, the mean of both is better than either.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.cpu import Layer
from instrument.kernels.packing import FloatArray
from instrument.models.members import diagonal

_MOST_UNITS, _FEWEST_UNITS = 2048, 64
_MOST_WEIGHTS = 300_000
"""Many features have fewer units, so that a frame stays quick."""
_NOISES = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])
"""Candidates for the variance of the noise on the targets, of the variance of what the units explain."""
_SURE = 1e-3
_UNLIKELY = 1e-3
"""Answers that count for less than that are not worked out."""
_TOO_FEW = 6
"""Fewer poses than this tell nothing about noise: each is then believed."""
_MOST_COMPARED = 256
_MOST_ROWS = 1000


def ridge_head(seen: FloatArray, targets: FloatArray, takes: NDArray[np.intp], seed: int) -> tuple[Layer, Layer]:
    """Two layers from standardised features `seen` (N, F) to the value; a take that shows one value counts once."""
    rng = np.random.default_rng([seed, 4])
    count = min(_MOST_UNITS, max(_FEWEST_UNITS, _MOST_WEIGHTS // max(seen.shape[1], 1)))
    varying = np.any(seen != seen[0], axis=0)
    directions = _directions(rng, seen.shape[1] + 1, count).astype(np.float32)
    hidden = (directions[:-1] / np.float32(np.sqrt(max(varying.sum(), 1))), directions[-1])
    rows, weights, poses, values = _by_take(seen, targets, takes)
    mean = float(np.average(targets[rows], weights=weights))
    likely, scale = _likely(_units(poses, hidden), values - mean)
    trusted = np.sqrt(weights)
    solved = _solved(_units(seen[rows], hidden) * trusted[:, None], (targets[rows] - mean) * trusted, likely, scale)
    return hidden, (solved.astype(np.float32)[:, None], np.array([mean], dtype=np.float32))


def pose_count(targets: FloatArray, takes: NDArray[np.intp]) -> int:
    """How many poses are shown: a take that shows one value counts once, another as often as it has frames."""
    _, number, frames = np.unique(takes, return_inverse=True, return_counts=True)
    low, high = np.full(len(frames), np.inf), np.full(len(frames), -np.inf)
    np.minimum.at(low, number, targets)
    np.maximum.at(high, number, targets)
    return int(np.where(low == high, 1, frames).sum())


def beside(head: tuple[Layer, Layer], layers: tuple[Layer, ...], share: float) -> tuple[Layer, ...]:
    """One network that gives that share of what the head gives, and of a network with hidden layers the rest."""
    (units, unit_biases), (out, mean) = head
    out, mean = out * np.float32(share), mean * np.float32(share)
    (first, first_biases), *rest = layers
    joined = [(np.concatenate([units, first], axis=1), np.concatenate([unit_biases, first_biases]))]
    both, both_biases = np.concatenate([out, -out], axis=1), np.concatenate([mean, -mean])
    for weights, biases in rest[:-1]:  # on through ReLU as what is above 0 and what is below
        joined.append((diagonal([both, weights]), np.concatenate([both_biases, biases])))
        both, both_biases = np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.float32)
    weights, biases = rest[-1]
    last, last_biases = (out, mean) if len(rest) == 1 else (np.array([[1], [-1]], np.float32), np.zeros(1, np.float32))
    rest_share = np.float32(1 - share)
    return *joined, (np.concatenate([last, weights * rest_share]), last_biases + biases * rest_share)


def _by_take(
    seen: FloatArray, targets: FloatArray, takes: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float64], FloatArray, FloatArray]:
    """Rows to learn from with their weights; poses and their values to judge by: a mean of each steady take."""
    every = max(1, -(-len(seen) // _MOST_ROWS))
    rows, weights, poses, values = [], [], [], []
    for take in np.unique(takes):
        of_take = np.flatnonzero(takes == take)
        is_steady = targets[of_take].min() == targets[of_take].max()
        some = of_take[::every]
        rows.append(some)
        weights.append(np.full(len(some), 1 / len(some) if is_steady else 1.0))
        poses.append(seen[of_take].mean(axis=0, keepdims=True) if is_steady else seen[some])
        values.append(targets[of_take[:1]] if is_steady else targets[some])
    compared, shown = np.concatenate(poses), np.concatenate(values)
    few = slice(None, None, -(-len(compared) // _MOST_COMPARED))
    return np.concatenate(rows), np.concatenate(weights), compared[few], shown[few]


def _units(seen: FloatArray, hidden: Layer) -> NDArray[np.float64]:
    weights, biases = hidden
    return np.maximum(seen @ weights + biases, 0.0).astype(np.float64)


def _solved(
    units: NDArray[np.float64], wanted: NDArray[np.floating[Any]], likely: dict[float, float], scale: float
) -> NDArray[np.float64]:
    """(U,): what `units` (N, U) count for, the mean over those variances of noise."""
    is_wide = len(units) < units.shape[1]  # the same then follows from a smaller matrix
    gram = units @ units.T if is_wide else units.T @ units
    right = wanted if is_wide else units.T @ wanted
    ridge = scale * np.eye(len(gram))
    solved = np.sum([share * np.linalg.solve(gram + noise * ridge, right) for noise, share in likely.items()], axis=0)
    return np.asarray(units.T @ solved if is_wide else solved)


def _directions(rng: np.random.Generator, size: int, count: int) -> NDArray[np.float64]:
    """(size, count): as if drawn from a normal distribution, but as many as can be at right angles to each other."""
    blocks = []
    for start in range(0, count, size):
        across = min(size, count - start)
        turned, _ = np.linalg.qr(rng.standard_normal((size, across)))
        blocks.append(turned * np.sqrt(rng.chisquare(size, across)))
    return np.concatenate(blocks, axis=1)


def _likely(units: NDArray[np.float64], values: FloatArray) -> tuple[dict[float, float], float]:
    """How likely each variance of noise is, given those values, and the variance of which they are shares."""
    covariance = units @ units.T
    scale = float(np.trace(covariance)) / len(units) or 1.0
    if len(values) < _TOO_FEW:
        return {_SURE: 1.0}, scale
    variances, directions = np.linalg.eigh(covariance / scale)
    explained = np.maximum(variances, 0.0) + _NOISES[:, None]
    squares = np.square(directions.T @ values)
    against = len(values) * np.log((squares / explained).mean(axis=1) + 1e-9) + np.log(explained).sum(axis=1)
    likely = np.exp((against.min() - against) / 2)
    likely[likely < _UNLIKELY] = 0.0
    shares = likely / likely.sum()
    return {float(noise): float(share) for noise, share in zip(_NOISES, shares, strict=True) if share}, scale
