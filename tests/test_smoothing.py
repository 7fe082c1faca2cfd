import math

import numpy as np

from instrument.patch import Smoothing
from instrument.smoothing import OneEuroFilter


def filtered(
    values: list[float], *, options: Smoothing, rate_hz: float = 30.0, body_length: float = 1.0
) -> list[float]:
    smoother = OneEuroFilter(options)
    return [
        float(smoother.update(np.array([value], dtype=np.float32), time_s=t / rate_hz, body_length=body_length)[0])
        for t, value in enumerate(values)
    ]


def test_the_first_value_passes_as_it_is() -> None:
    assert filtered([3.0], options=Smoothing()) == [3.0]


def test_a_step_follows_the_published_formula() -> None:
    options = Smoothing(min_cutoff_hz=1.0, beta=0.5, derivative_cutoff_hz=1.0)
    elapsed = 1 / 30
    speed_alpha = 1 / (1 + 1 / (2 * math.pi * 1.0 * elapsed))
    cutoff = 1.0 + 0.5 * speed_alpha * (1.0 / elapsed)
    alpha = 1 / (1 + 1 / (2 * math.pi * cutoff * elapsed))
    assert math.isclose(filtered([0.0, 1.0], options=options)[1], alpha, rel_tol=1e-5)


def test_jitter_of_a_still_point_shrinks() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, 300)
    assert np.std(filtered(list(noise), options=Smoothing())[30:]) < 0.5 * np.std(noise)


def test_higher_beta_lags_less_behind_a_movement() -> None:
    ramp = [t / 30 for t in range(60)]
    slow = filtered(ramp, options=Smoothing(beta=0.0))[-1]
    quick = filtered(ramp, options=Smoothing(beta=5.0))[-1]
    assert slow < quick <= ramp[-1] + 1e-6


def test_smoothing_is_the_same_at_any_size_in_the_picture() -> None:
    rng = np.random.default_rng(1)
    values = list(np.cumsum(rng.normal(0, 0.05, 100)))
    near = filtered(values, options=Smoothing())
    far = filtered([value / 4 for value in values], options=Smoothing(), body_length=0.25)
    np.testing.assert_allclose(np.array(far) * 4, near, rtol=1e-3, atol=1e-4)


def test_zero_cutoff_turns_it_off() -> None:
    assert filtered([0.0, 1.0, 5.0], options=Smoothing(min_cutoff_hz=0.0)) == [0.0, 1.0, 5.0]
