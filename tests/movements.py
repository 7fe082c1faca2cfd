"""Movements of a point, for tests that follow them without a body."""

import numpy as np

HZ = 30


def circle(seconds: float = 1.5, *, size: float = 1.0, seed: int = 0) -> np.ndarray:
    """(T, 2): once around, from the bottom."""
    turn = np.linspace(0, 2 * np.pi, round(seconds * HZ))
    return _shaky(size * np.stack([np.sin(turn), 1 - np.cos(turn)], axis=1), seed)


def zigzag(seconds: float = 1.5, *, size: float = 1.0, seed: int = 0) -> np.ndarray:
    """(T, 2): right, back left higher up, right again."""
    at = np.linspace(0, 3, round(seconds * HZ))
    return _shaky(size * np.stack([np.interp(at, range(4), [0, 2, 0, 2]), at], axis=1), seed)


def swipe(seconds: float = 1.5, *, seed: int = 0) -> np.ndarray:
    """(T, 2): to the right, beginning and ending slowly."""
    share = np.linspace(0, 1, round(seconds * HZ))[:, None]
    return _shaky(share**2 * (3 - 2 * share) * np.array([1.3, 0.3]), seed)


def still(seconds: float, place: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """(T, 2): there."""
    return _shaky(np.repeat(place[None], max(1, round(seconds * HZ)), axis=0), seed)


def way(start: np.ndarray, end: np.ndarray, seconds: float = 0.6) -> np.ndarray:
    """(T, 2): straight from here to there."""
    share = np.linspace(0, 1, round(seconds * HZ))[:, None]
    return start + (end - start) * share


def held(movement: np.ndarray, before_s: float = 0.5, after_s: float = 0.5) -> np.ndarray:
    """(T, 2): the movement as somebody records it, still before and after."""
    return np.concatenate([still(before_s, movement[0], seed=1), movement, still(after_s, movement[-1], seed=2)])


def stream(movements: list[np.ndarray], pause_s: float = 1.5) -> np.ndarray:
    """(T, 2): these movements with pauses and ways between them."""
    pieces = [still(2.0, movements[0][0])]
    for number, movement in enumerate(movements):
        pieces += [way(pieces[-1][-1], movement[0]), still(pause_s, movement[0], seed=number), movement]
        pieces.append(still(pause_s, movement[-1], seed=number + 100))
    return np.concatenate(pieces)


def _shaky(places: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (places + rng.normal(0, 0.005, places.shape)).astype(np.float32)
