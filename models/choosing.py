"""Which features to learn from, found out in a few milliseconds, before anything is trained."""

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import FloatArray
from instrument.models.whitening import standardised

_ROWS = 320
_COSINES = 160
_PENALTY = 0.005
_NEARER = 0.5


def are_points(numbers: FloatArray, dimensions: int) -> bool:
    """Whether (N, inputs) numbers read as points of so many coordinates, one point near the next.

    Then a number is much nearer to the one `dimensions` places on, which is the same coordinate of
    the next point, than to its neighbour, which is another coordinate.
    """
    if numbers.shape[1] < 2 * dimensions:
        return False
    rows = numbers[:: max(1, len(numbers) // _ROWS)].astype(np.float64)
    to_neighbour = float(np.square(rows[:, 1:] - rows[:, :-1]).mean())
    to_next_point = float(np.square(rows[:, dimensions:] - rows[:, :-dimensions]).mean())
    return to_next_point < _NEARER * to_neighbour


def separation_error(values: FloatArray, targets: NDArray[np.intp], class_count: int) -> float:
    """The mean squared error of telling each example's class from the others (0: perfect).

    Leave-one-out error, in closed form, of ridge regression on random cosines of the standardised
    features (Rahimi and Recht 2007, algorithm 1), over at most a few hundred examples.
    """
    rng = np.random.default_rng(0)
    rows = _balanced(targets, rng)
    view = standardised(values)
    seen = view.of(values[rows], farthest=10.0)
    pairs = rng.integers(len(seen), size=(2, 1000))
    distance = float(np.median(np.square(seen[pairs[0]] - seen[pairs[1]]).sum(axis=1))) + 1e-9
    directions = rng.standard_normal((seen.shape[1], _COSINES), dtype=np.float32) * np.float32((0.6 / distance) ** 0.5)
    phases = rng.uniform(0, 2 * np.pi, _COSINES).astype(np.float32)
    cosines = np.concatenate([np.cos(seen @ directions + phases), np.ones((len(seen), 1), np.float32)], axis=1)
    wanted = np.eye(class_count, dtype=np.float32)[targets[rows]]
    gram = cosines.T @ cosines + np.float32(_PENALTY * len(seen)) * np.eye(_COSINES + 1, dtype=np.float32)
    solved = np.linalg.solve(gram, cosines.T)
    own = (cosines * solved.T).sum(axis=1)
    left_out = (wanted - cosines @ (solved @ wanted)) / np.maximum(1.0 - own, 1e-3)[:, None]
    return float(np.square(left_out).mean())


def _balanced(targets: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """A few hundred rows, of every class about equally many."""
    classes = np.unique(targets)
    each = max(2, _ROWS // len(classes))
    picked = [rng.permutation(np.flatnonzero(targets == one))[:each] for one in classes]
    return np.concatenate(picked)
