"""The learners people know from elsewhere, through scikit-learn: nearest neighbours, forests and the rest.

What is kept of one is what it learned from, as arrays, and it learns that again wherever it is played: a
scikit-learn model can only be saved in ways that run code when they are opened. Numbers that only have to be
learned again are harmless, and a seed makes it the same model. scikit-learn is imported when a learner is made.
"""

import importlib.util
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.kernels.packing import FloatArray
from instrument.models.fitting import (
    Examples,
    RowsForward,
    TrainingError,
    Validation,
    balanced_groups,
    rows_of,
    validate,
)
from instrument.models.holdout import hold_out
from instrument.models.learner_names import CLASS_LEARNERS, CONTINUOUS_LEARNERS, NETWORK
from instrument.models.whitening import standardised

INSTALL = "pip install 'scikit-learn>=1.4' (the extra `learners`), in the environment the instrument runs in"
MOST_EXAMPLES = 4000
"""More than these are thinned, evenly: they are in the model's file, and learned again when it is opened."""
SLOW_US = 2000.0
"""A frame that costs more is worth a warning: at 60 frames a second it is an eighth of the time there is."""
_ROUNDS = 9
_PAUSE_S = 0.002
_FARTHEST = 10.0
_LEAST = 1e-6
_SURENESS = 2.0
"""How much surer a class is for one more unit of margin, where too few examples are there to find that out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """What a learner learned from: all that is needed to make it again."""

    learner: str
    values: FloatArray
    """(N, F)"""
    targets: NDArray[np.float32]
    """(N,): class numbers, or values 0..1."""
    class_count: int
    seed: int

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays, for a file."""
        return {"examples.values": self.values, "examples.targets": self.targets}


class LearnerMissing(TrainingError):
    """scikit-learn is not installed; the text says how to get it."""


def learned_from(learner: str, examples: Examples, seed: int) -> Learned:
    """What that learner keeps of the examples and their variations: all, or so many of each class or value."""
    values, targets, groups = examples.values, examples.targets, balanced_groups(examples)
    if examples.variations is not None and examples.variations_of is not None:
        values = np.concatenate([values, examples.variations])
        targets = np.concatenate([targets, targets[examples.variations_of]])
        groups = np.concatenate([groups, groups[examples.variations_of]])
    if len(values) > MOST_EXAMPLES:
        names, sizes = np.unique(groups, return_counts=True)
        fitting = (most for most in range(MOST_EXAMPLES, 0, -1) if np.minimum(sizes, most).sum() <= MOST_EXAMPLES)
        each = next(fitting, 1)
        rng = np.random.default_rng([seed, 3])
        rows = np.sort(np.concatenate([rng.permutation(np.flatnonzero(groups == one))[:each] for one in names]))
        if not examples.class_count:  # of more poses than that, evenly spaced ones
            rows = rows[:: -(-len(rows) // MOST_EXAMPLES)]
        values, targets = values[rows], targets[rows]
    return Learned(
        learner=learner,
        values=np.ascontiguousarray(values, dtype=np.float32),
        targets=targets.astype(np.float32),
        class_count=examples.class_count,
        seed=seed,
    )


def why_missing(learner: str) -> str | None:
    """What has to be installed for that learner, in words; None when it is there."""
    is_there = learner == NETWORK or importlib.util.find_spec("sklearn") is not None
    return None if is_there else f"learner '{learner}' needs scikit-learn: {INSTALL}"


def learn(learned: Learned) -> RowsForward:
    """What the learner says about rows of features, after learning those examples.

    The same examples and seed say the same, with the same scikit-learn. Raises LearnerMissing, and TrainingError
    for what it cannot learn.
    """
    if reason := why_missing(learned.learner):
        raise LearnerMissing(reason)
    warnings.filterwarnings("ignore", module="sklearn")  # a thousand times a minute while it plays
    view = standardised(learned.values)
    seen = view.of(learned.values, farthest=_FARTHEST)
    try:
        if learned.class_count:
            said = _classifier(learned, seen)
        else:
            said = _regressor(learned, seen, learned.targets.astype(np.float64))
    except ValueError as error:
        raise TrainingError(f"learner '{learned.learner}' cannot learn this: {error}") from None
    return lambda rows: said(view.of(rows, farthest=_FARTHEST)).astype(np.float32)


def validated(learner: str, examples: Examples, seed: int) -> Validation | None:
    """How well the learner does on what is held out; None where nothing can be, or too little is left."""
    held = hold_out(balanced_groups(examples), examples.takes)
    seen = rows_of(examples, held.is_seen)
    if not held.is_held.any() or (examples.class_count and len(np.unique(seen.targets)) < examples.class_count):
        return None
    return validate(learn(learned_from(learner, seen, seed)), rows_of(examples, held.is_held), held)


def microseconds_a_frame(said: RowsForward, learned: Learned) -> float:
    """What one frame costs, the median of a few, called now and then as frames come."""
    taken_s = []
    for row in learned.values[:_ROUNDS]:
        time.sleep(_PAUSE_S)
        started_s = time.perf_counter()
        said(row[None])
        taken_s.append(time.perf_counter() - started_s)
    return round(1e6 * float(np.median(taken_s)), 1)


def why_slow(learner: str, microseconds: float) -> str | None:
    """What to do where a frame costs more than it should, in words."""
    if microseconds <= SLOW_US:
        return None
    return f'{learner} takes {microseconds / 1000:.1f} ms a frame; `learner = "network"` takes about 0.01 ms'


def _classifier(learned: Learned, seen: FloatArray) -> RowsForward:
    """Logarithms of confidences for rows of standardised features; a class of which none is there is unlikely."""
    shown, targets = np.unique(learned.targets.astype(np.intp), return_inverse=True)
    if len(shown) == learned.class_count:
        return _told_apart(learned, seen, targets)
    told = _told_apart(learned, seen, targets) if len(shown) > 1 else lambda rows: np.zeros((len(rows), 1), np.float32)

    def said(rows: FloatArray) -> FloatArray:
        given = np.full((len(rows), learned.class_count), np.log(_LEAST), dtype=np.float32)
        given[:, shown] = told(rows)
        return given

    return said


def _told_apart(learned: Learned, seen: FloatArray, targets: NDArray[np.intp]) -> RowsForward:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    counts, seed = np.bincount(targets), learned.seed
    if not seen.any():  # nothing differs between the examples
        return lambda rows: np.zeros((len(rows), len(counts)), dtype=np.float32)
    fewest = int(counts.min())
    match learned.learner:
        case "knn":
            model = KNeighborsClassifier(_neighbours(seen), weights="distance")
        case "svm" if fewest < 2:
            return _margins(SVC(class_weight="balanced", decision_function_shape="ovr").fit(seen, targets))
        case "svm":
            model = CalibratedClassifierCV(SVC(class_weight="balanced"), cv=min(5, fewest), ensemble=False)
        case "forest":
            model = RandomForestClassifier(class_weight="balanced", random_state=seed, n_jobs=1).fit(seen, targets)
            return lambda rows: _logarithms(_mean_of_trees(model.estimators_, "predict_proba", rows))
        case "boosting":
            model = GradientBoostingClassifier(n_estimators=50, max_features="sqrt", random_state=seed)
        case "bayes":
            model = GaussianNB(priors=np.full(len(counts), 1 / len(counts)), var_smoothing=1e-3)
        case "linear":
            model = LogisticRegression(class_weight="balanced", max_iter=300)
        case _:
            raise TrainingError(f"learner '{learned.learner}' for classes; allowed: {', '.join(CLASS_LEARNERS)}")
    model.fit(seen, targets)
    return lambda rows: _logarithms(model.predict_proba(rows))


def _regressor(learned: Learned, seen: FloatArray, targets: NDArray[np.float64]) -> RowsForward:
    """Values for rows of standardised features."""
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import SVR

    seed = learned.seed
    match learned.learner:
        case "knn":
            model = KNeighborsRegressor(_neighbours(seen), weights="distance")
        case "svm":
            model = SVR(epsilon=0.01)
        case "forest":
            model = RandomForestRegressor(max_features="sqrt", random_state=seed, n_jobs=1).fit(seen, targets)
            return lambda rows: _mean_of_trees(model.estimators_, "predict", rows)[:, None]
        case "boosting":
            model = GradientBoostingRegressor(max_features="sqrt", random_state=seed)
        case "linear":
            model = Ridge()
        case "polynomial":  # of degree 2, all products included, without writing them down
            model = KernelRidge(kernel="poly", degree=2, coef0=1.0, alpha=1.0, gamma=1.0 / max(seen.shape[1], 1))
        case _:
            raise TrainingError(f"learner '{learned.learner}' for values; allowed: {', '.join(CONTINUOUS_LEARNERS)}")
    model.fit(seen, targets)
    return lambda rows: np.asarray(model.predict(rows))[:, None]


def _neighbours(seen: FloatArray) -> int:
    return min(5, len(seen))


def _mean_of_trees(trees: list[Any], method: str, rows: FloatArray) -> NDArray[np.floating[Any]]:
    """What the trees of a forest say together; the forest's own way starts a thread pool, which takes 3 ms."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    return np.mean([getattr(tree, method)(rows, check_input=False) for tree in trees], axis=0)


def _margins(model: Any) -> RowsForward:
    def said(rows: FloatArray) -> FloatArray:
        margins = np.asarray(model.decision_function(rows), dtype=np.float32)
        return _SURENESS * (np.stack([-margins, margins], axis=1) if margins.ndim == 1 else margins)

    return said


def _logarithms(confidences: NDArray[np.floating[Any]]) -> FloatArray:
    return np.log(np.maximum(confidences, _LEAST)).astype(np.float32)
