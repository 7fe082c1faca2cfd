import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recordings import BODY, body, nobody, numbers

from instrument.recorder import Outcome, Recorder
from instrument.takes import TakesError, TakeStore


class FakeClock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "takes.sqlite"


@pytest.fixture
def recorder(path, clock):
    with Recorder(path, clock, busy_timeout_s=0.02) as recorder:
        yield recorder


def perform(recorder: Recorder, clock: FakeClock, first: int, last: int, seen: Callable = body, **options) -> None:
    """Offers frames of 1/30 s while the clock runs with them."""
    for number in range(first, last):
        clock.s = number / 30
        recorder.offer(seen(number), **options)


def outcome_of(recorder: Recorder) -> Outcome:
    """The outcome of the recording that was just stopped, once it is on disk."""
    recorder.edit(lambda store: None).result(timeout=5)
    [outcome] = recorder.poll()
    return outcome


def test_what_is_offered_between_start_and_stop_becomes_a_take(recorder, clock, path):
    perform(recorder, clock, 0, 5)
    recorder.start({"posture": "rest"}, source="camera:0", parts=BODY)
    perform(recorder, clock, 5, 15)
    assert recorder.stop()
    perform(recorder, clock, 15, 20)
    take = outcome_of(recorder).take
    assert (take.frame_count, take.source, take.targets) == (10, "camera:0", {"posture": "rest"})
    with TakeStore.open(path, readonly=True) as store:
        np.testing.assert_array_equal(store.landmarks(take.id).pose[:, 0, 0], np.arange(5, 15))
        np.testing.assert_allclose(store.landmarks(take.id).times_s, np.arange(10) / 30)


def test_stop_without_a_recording_says_so(recorder):
    assert not recorder.stop()
    assert recorder.poll() == []


def test_start_while_recording_ends_the_first_take(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 5)
    recorder.start({"posture": "up"}, source="test", parts=BODY)
    perform(recorder, clock, 5, 9)
    recorder.stop()
    recorder.edit(lambda store: None).result(timeout=5)
    assert [(one.take.targets["posture"], one.take.frame_count) for one in recorder.poll()] == [("rest", 5), ("up", 4)]


def test_outcomes_come_in_the_order_the_recordings_were_ended(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 5)
    recorder.start({"posture": "up"}, source="test", parts=BODY)
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 5, 9)
    recorder.stop()
    recorder.edit(lambda store: None).result(timeout=5)
    assert [one.take and one.take.frame_count for one in recorder.poll()] == [5, None, 4]


def test_a_wrong_start_raises_and_leaves_the_recording_alone(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    with pytest.raises(TakesError, match="finite number"):
        recorder.start({"volume": float("nan")}, source="test", parts=BODY)
    with pytest.raises(TakesError, match="parts are feet"):
        recorder.start({}, source="test", parts=("feet",))
    assert recorder.state.phase == "recording"


def test_frames_of_the_count_in_are_not_recorded(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY, count_in_s=1.0)
    perform(recorder, clock, 0, 60)
    recorder.stop()
    assert outcome_of(recorder).take.frame_count == 30


def test_the_state_tells_what_remains_of_count_in_and_take(recorder, clock):
    assert recorder.state.phase == "idle"
    recorder.start({"posture": "rest"}, source="test", parts=BODY, count_in_s=1.0, length_s=2.0)
    clock.s = 0.25
    assert (recorder.state.phase, recorder.state.remaining_s) == ("counting in", 0.75)
    perform(recorder, clock, 30, 46)
    state = recorder.state
    assert (state.phase, state.frame_count, state.tracked_fraction) == ("recording", 16, 1.0)
    assert (state.remaining_s, state.recorded_s) == (pytest.approx(1.5), pytest.approx(0.5))


def test_a_timed_take_ends_by_itself_on_the_frame_at_its_end(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY, length_s=1.0)
    perform(recorder, clock, 0, 100)
    assert recorder.state.phase == "idle"
    assert outcome_of(recorder).take.frame_count == 30


def test_a_timed_take_ends_even_when_frames_stop_coming(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY, length_s=1.0)
    perform(recorder, clock, 0, 10)
    clock.s = 1.4
    assert recorder.poll() == []
    assert recorder.state.phase == "recording"
    clock.s = 1.6
    recorder.poll()
    assert recorder.state.phase == "idle"
    assert outcome_of(recorder).take.frame_count == 10


def test_a_timed_take_without_a_camera_ends_too(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY, count_in_s=1.0, length_s=1.0)
    clock.s = 2.6
    assert recorder.poll() == []
    assert outcome_of(recorder) == Outcome(take=None, refused="no frame came while recording")


def test_a_take_without_a_body_is_refused_with_the_reason_and_undo_keeps_it(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 2)
    perform(recorder, clock, 2, 10, nobody)
    recorder.stop()
    outcome = outcome_of(recorder)
    assert outcome.refused == "tracking was lost for 80 % of the take"
    recorder.edit(lambda store: store.undo()).result(timeout=5)
    takes = recorder.edit(lambda store: store.takes()).result(timeout=5)
    assert [take.id for take in takes] == [outcome.take.id]


def test_a_performance_keeps_every_frame_and_teaches_nothing(recorder, clock):
    recorder.start({}, source="test", parts=BODY, kind="performance")
    perform(recorder, clock, 0, 20, nobody)
    recorder.stop()
    take = outcome_of(recorder).take
    assert (take.kind, take.frame_count, take.refused) == ("performance", 20, None)


def test_the_first_numbers_that_come_say_how_many_there_are(recorder, clock):
    recorder.start({"x": 0.5}, source="osc", parts=("numbers",))
    recorder.offer(nobody(0))
    perform(recorder, clock, 1, 6, numbers)
    recorder.stop()
    take = outcome_of(recorder).take
    assert (take.number_count, take.frame_count) == (2, 5)


def test_targets_that_move_are_recorded_with_their_frames(recorder, clock, path):
    recorder.start({"volume": 0.0}, source="test", parts=BODY)
    for number, volume in enumerate([0.1, 0.1, 0.4, 0.4]):
        perform(recorder, clock, number, number + 1, targets={"volume": volume, "not recorded": 1.0})
    recorder.stop()
    take = outcome_of(recorder).take
    assert take.targets == {"volume": 0.1}
    with TakeStore.open(path, readonly=True) as store:
        assert store.frame_targets(take.id) == {"volume": (0.1, 0.1, 0.4, 0.4)}


def test_edits_come_after_what_was_recorded_before_them(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 5)
    recorder.stop()
    assert recorder.edit(lambda store: store.delete_last()).result(timeout=5) == "delete take 1"


def test_an_edit_that_fails_says_why_and_changes_nothing(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 5)
    recorder.stop()

    def half_way(store: TakeStore) -> None:
        store.delete_all()
        store.take(99)

    with pytest.raises(TakesError, match="no take 99"):
        recorder.edit(half_way).result(timeout=5)
    assert len(recorder.edit(lambda store: store.takes()).result(timeout=5)) == 1


def test_an_edit_that_keeps_frames_from_the_disk_for_long_is_said(recorder, monkeypatch, caplog):
    monkeypatch.setattr("instrument.recorder.LONG_EDIT_S", -1.0)
    recorder.edit(lambda store: None).result(timeout=5)
    recorder.close()
    assert "an edit kept frames from the disk for 0.0 s" in caplog.text


def test_closing_finishes_the_take_and_later_edits_are_refused(path, clock):
    recorder = Recorder(path, clock)
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 5)
    [outcome] = recorder.close()
    assert outcome.take.frame_count == 5
    with pytest.raises(TakesError, match="closed"):
        recorder.edit(lambda store: store.undo()).result(timeout=5)
    with TakeStore.open(path) as store:
        assert store.recovered == ()


def test_what_the_store_found_is_passed_on(path, clock):
    path.write_bytes(b"garbage " * 1000)
    with Recorder(path, clock) as recorder:
        assert recorder.moved_aside.exists()


# When the disk does not take it


class Blocked:
    """Another program holds the file, as a backup or a database browser may."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._database.rollback()
        self._database.close()


def wait_for(condition: Callable[[], object]) -> None:
    """Until what another thread does has happened; fails after 5 s."""
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("never happened")


def test_frames_wait_in_memory_while_the_file_is_locked_and_none_is_lost(recorder, clock, path):
    blocked = Blocked(path)
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 50)
    wait_for(lambda: recorder.problems)
    assert "locked" in recorder.problems[0]
    assert "50 frames wait in memory" in recorder.problems[0]
    blocked.release()
    recorder.stop()
    outcome = outcome_of(recorder)
    assert (outcome.take.frame_count, outcome.lost_frames) == (50, 0)
    wait_for(lambda: not recorder.problems)


def test_when_too_many_wait_the_rest_is_dropped_counted_and_said(path, clock):
    with Recorder(path, clock, max_waiting_frames=20, busy_timeout_s=0.02) as recorder:
        blocked = Blocked(path)
        recorder.start({"posture": "rest"}, source="test", parts=BODY)
        perform(recorder, clock, 0, 50)
        wait_for(lambda: recorder.problems)
        assert recorder.dropped_frames == 30
        assert "30 lost" in recorder.problems[0]
        blocked.release()
        recorder.stop()
        outcome = outcome_of(recorder)
        assert (outcome.take.frame_count, outcome.lost_frames) == (20, 30)


def test_a_target_that_changed_with_a_lost_frame_comes_with_the_next_one_kept(path, clock):
    with Recorder(path, clock, max_waiting_frames=1, busy_timeout_s=0.02) as recorder:
        recorder.start({"volume": 0.0}, source="test", parts=BODY)
        perform(recorder, clock, 0, 1, targets={"volume": 0.1})
        recorder.edit(lambda store: None).result(timeout=5)
        blocked = Blocked(path)
        perform(recorder, clock, 1, 2, targets={"volume": 0.1})
        perform(recorder, clock, 2, 3, targets={"volume": 0.4})
        blocked.release()
        recorder.edit(lambda store: None).result(timeout=5)
        perform(recorder, clock, 3, 4, targets={"volume": 0.4})
        recorder.stop()
        outcome = outcome_of(recorder)
    assert outcome.lost_frames == 1
    with TakeStore.open(path, readonly=True) as store:
        assert store.frame_targets(outcome.take.id) == {"volume": (0.1, 0.1, 0.4)}


def test_a_full_disk_is_said_and_recording_goes_on_when_there_is_room(recorder, clock):
    recorder.edit(lambda store: store._database.execute("PRAGMA max_page_count = 1")).result(timeout=5)
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 60)
    wait_for(lambda: recorder.problems)
    assert "full" in recorder.problems[0]
    # Through the back door: edits wait behind the frames.
    recorder._store._database.execute("PRAGMA max_page_count = 1000000")
    recorder.stop()
    assert outcome_of(recorder).take.frame_count == 60


def test_closing_gives_up_when_the_file_stays_locked_and_keeps_what_is_on_disk(path, clock):
    recorder = Recorder(path, clock, busy_timeout_s=0.02)
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 10)
    recorder.edit(lambda store: None).result(timeout=5)
    blocked = Blocked(path)
    perform(recorder, clock, 10, 20)
    waiting = recorder.edit(lambda store: None)
    cancelled = recorder.edit(lambda store: None)
    assert cancelled.cancel()
    [outcome] = recorder.close(timeout_s=0.1)
    assert outcome.take is None
    assert "closed before all of it was written (database is locked)" in outcome.refused
    with pytest.raises(TakesError, match="closed"):
        waiting.result(timeout=5)
    blocked.release()
    with TakeStore.open(path) as store:
        assert [take.frame_count for take in store.recovered] == [10]


# When something is wrong that trying again would not cure


def record_one(recorder: Recorder, clock: FakeClock, **options) -> Outcome:
    recorder.start({"posture": "rest"}, source="test", parts=BODY, **options)
    perform(recorder, clock, 0, 5)
    recorder.stop()
    return outcome_of(recorder)


def test_a_take_that_cannot_be_begun_is_said_and_the_next_one_is_recorded(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY, number_count=3)
    perform(recorder, clock, 0, 5)
    wait_for(lambda: recorder.problems)
    assert "this take cannot be kept (number_count is 3" in recorder.problems[0]
    recorder.stop()
    outcome = outcome_of(recorder)
    assert (outcome.take, outcome.lost_frames, recorder.dropped_frames) == (None, 5, 5)
    assert "number_count is 3" in outcome.refused
    assert recorder.problems == ()
    assert record_one(recorder, clock).take.frame_count == 5


def test_a_take_that_fails_while_it_is_recorded_is_refused_with_what_it_has(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 5)
    recorder.edit(lambda store: store.finish(1)).result(timeout=5)
    perform(recorder, clock, 5, 9)
    recorder.stop()
    outcome = outcome_of(recorder)
    assert (outcome.take.frame_count, outcome.lost_frames) == (5, 4)
    assert outcome.refused == "take 1 is not being recorded"
    assert record_one(recorder, clock).refused is None


def test_a_take_that_cannot_be_finished_does_not_hold_up_the_next(recorder, clock):
    recorder.start({"posture": "rest"}, source="test", parts=BODY)
    perform(recorder, clock, 0, 5)
    recorder.edit(lambda store: store._database.execute("DELETE FROM take")).result(timeout=5)
    recorder.stop()
    assert outcome_of(recorder) == Outcome(take=None, refused="no take 1; there are: none")
    assert record_one(recorder, clock).take.frame_count == 5


def test_a_fault_of_the_program_is_named_and_the_writer_goes_on(recorder, clock, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("instrument.recorder.TakeStore.begin", lambda *_, **__: 1 / 0)
        assert record_one(recorder, clock).refused == "ZeroDivisionError: division by zero"
    assert record_one(recorder, clock).take.frame_count == 5


def test_a_source_whose_name_is_no_text_is_recorded_with_the_name_spelt_out(recorder, clock):
    recorder.start({}, source="video:\udcff.mp4", parts=BODY)
    perform(recorder, clock, 0, 5)
    recorder.stop()
    assert outcome_of(recorder).take.source == "video:\\udcff.mp4"
