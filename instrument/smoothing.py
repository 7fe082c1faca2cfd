"""The 1 euro filter: steady when still, quick when moving.

Casiez, Roussel and Vogel, "1 euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input
in Interactive Systems", CHI 2012.
"""

import math

import numpy as np

from instrument.patch import Smoothing
from instrument.signals import FloatArray


class OneEuroFilter:
    """Filters an array of points over time; forgets everything on `reset`.

    Speed is measured in body lengths a second, so that a performer far from the camera is
    smoothed as one near it.
    """

    def __init__(self, options: Smoothing) -> None:
        self._options = options
        self._filtered: FloatArray | None = None
        self._speed: FloatArray | None = None
        self._time_s = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it changes anything."""
        return self._options.min_cutoff_hz > 0.0

    def reset(self) -> None:
        self._filtered = None

    def update(self, points: FloatArray, *, time_s: float, body_length: float) -> FloatArray:
        """The filtered points; `points` are in the unit of `body_length`."""
        options = self._options
        elapsed_s = time_s - self._time_s
        if not self.is_on:
            return points
        if self._filtered is None or self._speed is None or self._filtered.shape != points.shape:
            self._filtered = points.copy()
            self._speed = np.zeros_like(points)
            self._time_s = time_s
            return self._filtered
        if elapsed_s <= 0.0:
            return self._filtered
        raw_speed = (points - self._filtered) / np.float32(elapsed_s * max(body_length, 1e-6))
        self._speed = self._speed + _alpha(options.derivative_cutoff_hz, elapsed_s) * (raw_speed - self._speed)
        cutoff_hz = options.min_cutoff_hz + options.beta * np.abs(self._speed)
        rate = np.float32(2.0 * math.pi * elapsed_s) * cutoff_hz
        self._filtered = self._filtered + rate / (rate + np.float32(1.0)) * (points - self._filtered)
        self._time_s = time_s
        return self._filtered


def _alpha(cutoff_hz: float, elapsed_s: float) -> np.float32:
    rate = 2.0 * math.pi * cutoff_hz * elapsed_s
    return np.float32(rate / (rate + 1.0))
