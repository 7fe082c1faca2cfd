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
    order recorded. A take that shows several groups is held out as `whole_takes` has it. A single take
    too short to cut has nothing held out.
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
    is_held = whole_takes(is_held.astype(np.intp), groups, takes) > 0
    return Holdout(is_held=is_held, by_block=tuple(by_block), is_seen=is_seen & ~is_held)


def whole_takes(part: NDArray[np.intp], groups: NDArray[np.intp], takes: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N,): the same parts, but a take that shows several groups is in one part only: that of its first example.

    `part` (N,) has the takes of every group in two parts or more, and so has what is returned: where that needs
    it, a take goes to another part, and only where none may go, those of that group stay as they are. A group
    with a single take, of which stretches are apart, stays as it is.
    """
    names, group = np.unique(groups, return_inverse=True)
    numbers, take = np.unique(takes, return_inverse=True)
    if len(np.unique(take * len(names) + group)) == len(numbers):
        return part
    shows = np.zeros((len(numbers), len(names)), dtype=bool)
    shows[take, group] = True
    shows &= shows.sum(axis=0) > 1
    rows = np.flatnonzero(shows[take, group])
    place = take[rows], group[rows]
    apart, whole = np.zeros(shows.shape, dtype=np.intp), np.zeros(shows.shape, dtype=np.intp)
    apart[place] = part[rows]
    first = rows[np.unique(take[rows], return_index=True)[1]]
    whole[take[first]] = part[first, None]
    choices = np.unique(part[rows]).tolist()

    def is_spread(one: int) -> bool:
        return len(np.unique(whole[shows[:, one], one])) > 1

    def is_moved(number: int) -> bool:
        before = whole[number].copy()
        for choice in choices:
            whole[number] = choice
            if all(is_spread(one) for one in np.flatnonzero(shows[number]).tolist()):
                return True
        whole[number] = before
        return False

    for one in np.flatnonzero(shows.any(axis=0)).tolist():
        latest_first = np.flatnonzero(shows[:, one])[::-1].tolist()
        if not is_spread(one) and not any(is_moved(number) for number in latest_first):
            whole[:, one] = apart[:, one]
    spread = part.copy()
    spread[rows] = whole[place]
    return spread
