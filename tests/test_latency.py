import numpy as np
import pytest

from instrument.latency import STAGES, Latencies

STEADY_MS = {stage: 2.0**-number for number, stage in enumerate(STAGES)}


def frame(at_s: float, **stages_ms: float) -> tuple[float, ...]:
    """A frame that arrived then, whose stages took so long; those not named took no time."""
    ends_ms = np.cumsum([0.0, *(stages_ms.get(stage, 0.0) for stage in STAGES)])
    return tuple((at_s + ends_ms / 1000.0).tolist())


def test_before_the_first_frame_there_is_nothing_to_say() -> None:
    assert Latencies().summary() == {}
    assert Latencies().rate_hz(5.0) == 0.0


def test_each_stage_is_the_time_between_the_end_of_the_one_before_and_its_own() -> None:
    latencies = Latencies()
    latencies.add(frame(5.0, **STEADY_MS))
    summary = latencies.summary()
    assert {stage: summary[stage].p50_ms for stage in STAGES} == pytest.approx(STEADY_MS, abs=1e-6)


def test_the_total_is_all_stages_and_beyond_tracking_leaves_out_tracking_and_the_wait_for_it() -> None:
    latencies = Latencies()
    latencies.add(frame(5.0, wait=30.0, capture=1.0, track=20.0, features=0.5, send=0.25))
    assert latencies.summary()["total"].p50_ms == pytest.approx(51.75)
    assert latencies.summary()["beyond_tracking"].p50_ms == pytest.approx(1.75)


def test_percentiles_maximum_and_jitter_are_those_of_the_frames() -> None:
    latencies = Latencies()
    track_ms = [float(number) for number in range(1, 101)]
    for number, one_ms in enumerate(track_ms):
        latencies.add(frame(number / 30, track=one_ms))
    track = latencies.summary()["track"]
    assert track.p50_ms == pytest.approx(50.5)
    assert track.p99_ms == pytest.approx(np.percentile(track_ms, 99))
    assert track.max_ms == pytest.approx(100.0)
    assert track.jitter_ms == pytest.approx(np.std(track_ms))


def test_only_the_newest_frames_count() -> None:
    latencies = Latencies(length=4)
    latencies.add(frame(0.0, capture=1000.0))
    for number in range(1, 5):
        latencies.add(frame(number / 30, capture=1.0))
    assert latencies.summary()["capture"].max_ms == pytest.approx(1.0)
    assert len(latencies.stages_ms()) == 4


@pytest.mark.parametrize("count", [50, 300])
def test_the_rate_is_that_of_the_last_seconds(count: int) -> None:
    latencies = Latencies(length=128)
    for number in range(200):
        latencies.add(frame(number * 0.5))
    for number in range(count):
        latencies.add(frame(1000.0 + number / 25))
    newest_s = 1000.0 + (count - 1) / 25
    assert latencies.rate_hz(newest_s) == pytest.approx(25.0, abs=0.5)
    assert latencies.rate_hz(newest_s + 1.0) < 20
    assert latencies.rate_hz(newest_s + 10.0) == 0


def test_clearing_begins_afresh() -> None:
    latencies = Latencies()
    latencies.add(frame(5.0, **STEADY_MS))
    latencies.clear()
    assert latencies.summary() == {}
