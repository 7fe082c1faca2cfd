"""Which examples to keep back for validation: whole takes where there are enough of them.

Neighbouring frames of one take are nearly alike, so frames held out at random flatter: a hand set
that reads 99.9 % that way reads 87 to 96 % when whole stretches are held out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PART = 4
"""One in so many is held out."""
_SHORTEST_BLOCK = 2
"""A take of fewer than this many times `_PART` frames is not worth cutting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """What is held out for validation, and how."""

    is_held: NDArray[np.bool_]
    """(N,)"""
    by_block: tuple[int, ...]
    """The groups that have a single take, from which its last quarter is held out instead."""
    is_seen: NDArray[np.bool_]
    """(N,): what may be learned from meanwhile: not held out, nor right before something held out."""


def hold_out(groups: NDArray[np.intp], takes: NDArray[np.intp]) -> Holdout:
    """One take in four of every group, at least one and the latest; of a single take its last quarter.

    `groups` (N,) and `takes` (N,) number what each example shows and the take it is from, in the
    order recorded. A single take too short to cut has nothing held out.
    """
    is_held = np.zeros(len(groups), dtype=bool)
    is_seen = np.ones(len(groups), dtype=bool)
    by_block = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        numbers = list(dict.fromkeys(takes[rows].tolist()))
        if len(numbers) > 1:
            latest = numbers[-max(1, len(numbers) // _PART) :]
            is_held[rows[np.isin(takes[rows], latest)]] = True
        elif len(rows) >= _PART * _SHORTEST_BLOCK:
            size = len(rows) // _PART
            is_held[rows[-size:]] = True
            is_seen[rows[-size - max(1, size // _PART) : -size]] = False
            by_block.append(int(group))
    return Holdout(is_held=is_held, by_block=tuple(by_block), is_seen=is_seen & ~is_held)
