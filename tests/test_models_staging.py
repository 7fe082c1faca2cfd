import numpy as np
import pytest
from movements import HZ, circle, zigzag

from instrument.models.staging import NOTHING, Run, perform


def run(places: np.ndarray, target: int) -> Run:
    return Run(times_s=np.arange(len(places)) / HZ, places=places, target=target)


RAISED = np.stack([np.zeros(HZ), np.linspace(0, 1, HZ)], axis=1).astype(np.float32)


def test_movements_come_about_equally_often_and_nothing_between() -> None:
    performance = perform([run(circle(1.0), 0), run(zigzag(1.0), 1)], 2, np.random.default_rng(0))
    shares = [np.mean(performance.targets == target) for target in (NOTHING, 0, 1)]
    assert min(shares) > 0.15
    assert 0.7 < shares[1] / shares[2] < 1.4


@pytest.mark.parametrize(("count", "seconds"), [(80, 8), (120, 20)])
def test_every_take_of_a_movement_is_played(count: int, seconds: int) -> None:
    along = np.eye(count, dtype=np.float32)[:, None] * np.linspace(0, 1, seconds * HZ, dtype=np.float32)[:, None]
    performance = perform([run(one, 0) for one in along], 1, np.random.default_rng(0))
    pieces = np.split(np.arange(len(performance.places)), np.flatnonzero(performance.elapsed_s == 0)[1:])
    played = {
        int(np.median(performance.places[one], axis=0).argmax()) for one in pieces if performance.targets[one[0]] == 0
    }
    assert played == set(range(count))


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_made_up_stillness_is_as_noisy_as_rests_that_were_recorded(noise: float) -> None:
    rng = np.random.default_rng(0)

    def noisy(places: np.ndarray, target: int) -> Run:
        return run((places + rng.normal(0, noise, places.shape)).astype(np.float32), target)

    takes = [noisy(circle(1.0, seed=seed), 0) for seed in range(3)]
    performance = perform([*takes, *(noisy(np.zeros((HZ, 2)), NOTHING) for _ in range(3))], 1, rng)
    steps = np.diff(performance.places, axis=0)[performance.targets[1:] == NOTHING]
    stillest = np.quantile(np.abs(steps), 0.2)
    assert noise / 8 < stillest < noise / 2 + 0.01


def test_progress_rises_from_0_to_1_in_a_movement_and_is_0_elsewhere() -> None:
    performance = perform([run(circle(1.0), 0)], 1, np.random.default_rng(0))
    assert not performance.progress[performance.targets == NOTHING].any()
    assert performance.progress.max() == 1.0
    steps = np.diff(performance.progress)[(performance.targets[1:] == 0) & (performance.elapsed_s[1:] > 0)]
    assert steps.min() >= 0


def test_what_is_another_movement_backwards_is_never_shown_as_nothing() -> None:
    performance = perform([run(RAISED, 0), run(RAISED[::-1].copy(), 1)], 2, np.random.default_rng(0))
    lowered = performance.places[performance.targets == 1]
    assert lowered[:, 1].max() > 0.8
    # A way from up to down is a lowering: hardly any step of "nothing" goes down as steadily as that.
    downwards = np.diff(performance.places[:, 1]) < -0.02
    assert np.mean(performance.targets[1:][downwards] == 1) > 0.5


def test_the_same_seed_makes_up_the_same_performance() -> None:
    one, other = (perform([run(circle(1.0), 0)], 1, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.places, other.places)
