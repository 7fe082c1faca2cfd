"""The one monotonic clock every time in the program is read from.

Anything that needs the time takes a `Clock` in its constructor, so tests can advance it.
"""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Gives seconds on a monotonic clock whose zero means nothing."""

now_s: Clock = time.perf_counter  # on Windows `time.monotonic` moves in steps of 15 ms
