import json

import numpy as np
import pytest

from instrument.health import COARSE, FINE, KEYS, MERGED, Health, Row, Rows, merged
from instrument.latency import STAGES, Latencies

NOTHING = {"memory_mb": 200.0, "delay_ms": None}


def row(**values: float) -> Row:
    return tuple(values.get(key) for key in KEYS)


def column(rows: list[Row], key: str) -> list[float | None]:
    return [one[KEYS.index(key)] for one in rows]


def frame(at_s: float, track_ms: float) -> tuple[float, ...]:
    ends_ms = np.cumsum([0.0, *(track_ms if stage == "track" else 0.0 for stage in STAGES)])
    return tuple((at_s + ends_ms / 1000.0).tolist())


def test_a_night_of_rows_is_an_hour_in_all_and_takes_no_more_room() -> None:
    rows = Rows()
    for number in range(12 * 60 * 10):
        rows.add(row(at_s=number * 5.0))
    kept = column(rows.all(), "at_s")
    assert len(kept) <= COARSE + MERGED + FINE
    assert kept == sorted(kept)
    assert 3500 < kept[-1] - kept[0] < 3700
    assert kept[-FINE:] == [(7200 - FINE + number) * 5.0 for number in range(FINE)]


def test_rows_that_were_merged_lose_nothing_that_was_counted() -> None:
    rows = Rows()
    for number in range(FINE + 40):
        rows.add(row(at_s=number, sent=2.0))
    assert sum(column(rows.all(), "sent")) == 2.0 * (FINE + 40)


def test_merging_adds_what_was_counted_keeps_the_worst_and_means_the_rest() -> None:
    one = merged([row(at_s=5, dropped=2, total_p50=10.0, total_p99=30.0), row(at_s=10, dropped=3, total_p99=20.0)])
    assert dict(zip(KEYS, one, strict=True)) | {"at_s": 10} == {
        **dict.fromkeys(KEYS),
        "at_s": 10,
        "dropped": 5,
        "total_p50": 10.0,
        "total_p99": 30.0,
    }


def test_only_new_rows_are_given_to_who_has_the_others() -> None:
    rows = Rows()
    for number in range(FINE + 20):
        rows.add(row(at_s=number))
    assert column(rows.since(FINE + 18), "at_s") == [FINE + 18, FINE + 19]
    assert rows.since(FINE + 20) == []
    assert len(rows.since(3)) == FINE  # those before have been merged
    assert len(rows.since(0)) == FINE + 20 - MERGED + 1


def test_a_row_is_about_the_time_since_the_one_before() -> None:
    health, latencies = Health(), Latencies()
    health.write(0.0, 1000.0, latencies, NOTHING, sent=100)
    for number in range(50):
        latencies.add(frame(number / 10, track_ms=20.0))
        health.note(is_tracked=number % 10 != 5)
    health.write(5.0, 1005.0, latencies, NOTHING, sent=130)
    for number in range(10):
        latencies.add(frame(5 + number / 10, track_ms=40.0))
        health.note(is_tracked=True)
    health.write(10.0, 1010.0, latencies, NOTHING, sent=130)
    rows = health.rows.all()
    assert column(rows, "sent") == [100, 30, 0]
    assert column(rows, "rate_hz") == [None, 10.0, 2.0]
    assert column(rows, "tracked") == [None, 0.9, 1.0]
    assert column(rows, "tracking_losses") == [0, 5, 0]
    assert column(rows, "track_p50")[1:] == pytest.approx([20.0, 40.0])
    assert column(rows, "total_p99")[1:] == pytest.approx([20.0, 40.0])


def test_a_source_that_counts_from_nothing_again_is_counted_on() -> None:
    health = Health()
    for dropped in (7, 9, 2):
        health.write(0.0, 0.0, Latencies(), NOTHING, dropped=dropped)
    assert column(health.rows.all(), "dropped") == [7, 2, 2]


def test_latencies_that_were_cleared_in_between_are_of_the_frames_since() -> None:
    health, latencies = Health(), Latencies()
    for number in range(10):
        latencies.add(frame(number, track_ms=20.0))
    health.write(0.0, 0.0, latencies, NOTHING)
    latencies.clear()
    latencies.add(frame(11, track_ms=50.0))
    health.write(5.0, 5.0, latencies, NOTHING)
    assert column(health.rows.all(), "track_p50") == pytest.approx([20.0, 50.0])


def test_the_last_hour_fits_into_one_datagram() -> None:
    health = Health()
    for number in range(2000):
        health.rows.add(tuple(1790000000.0 + number * 5 if key == "at_s" else 1234.56 for key in KEYS))
    said = json.dumps(health.since(0, {"engine": 1, "trainer": 2}), separators=(",", ":"))
    assert len(said) < 65_000
