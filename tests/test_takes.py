import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import (
    BODY,
    assert_same_landmarks,
    assert_same_take,
    body,
    body_rows,
    nobody,
    numbers,
    record,
    sequence,
)

from instrument.signals import landmark_sequence
from instrument.takes import (
    TakesBusyError,
    TakesDamagedError,
    TakesError,
    TakeStore,
    WholeTake,
    frame_row,
)
from instrument.takes_file import FORMAT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "takes.sqlite"


@pytest.fixture
def store(path: Path):
    with TakeStore.open(path) as store:
        yield store


def test_a_finished_take_says_what_it_holds(store):
    take = store.take(record(store, 31, {"posture": "arms up", "volume": 0.25}))
    assert take.parts == BODY
    assert take.targets == {"posture": "arms up", "volume": 0.25}
    assert (take.frame_count, take.duration_s, take.tracked_fraction) == (31, pytest.approx(1.0), 1.0)
    assert take.is_complete
    assert not take.is_deleted
    assert take.refused is None


def test_landmarks_come_back_as_they_were_recorded(store):
    seen = [body(0), nobody(1), body(2), body(3), body(4)]
    take_id = store.begin(source="test", parts=BODY, targets={"posture": "rest"})
    store.append(take_id, [frame_row(one, BODY, 0, 0.0) for one in seen])
    store.finish(take_id)
    assert_same_landmarks(store.landmarks(take_id), landmark_sequence(seen, BODY))


def test_numbers_of_another_count_are_stored_as_not_found(store):
    take_id = store.begin(source="osc", parts=["numbers"], number_count=2, targets={"x": 0.5})
    rows = [frame_row(one, ["numbers"], 2, 0.0) for one in (numbers(0), numbers(1, 1, 2, 3), numbers(2), numbers(3))]
    store.append(take_id, rows)
    take = store.finish(take_id)
    assert take is not None
    assert take.tracked_fraction == 0.75
    np.testing.assert_array_equal(store.landmarks(take_id).numbers, [[0, 0.5], [np.nan, np.nan], [2, 0.5], [3, 0.5]])


def test_a_missing_file_reads_as_no_takes_and_is_not_made(path):
    with TakeStore.open(path, readonly=True) as reader:
        assert reader.takes() == ()
    assert not path.exists()


def test_a_reader_sees_takes_while_the_writer_has_the_file(store, path):
    take_id = record(store)
    with TakeStore.open(path, readonly=True) as reader:
        assert [take.id for take in reader.takes()] == [take_id]
        assert len(reader.landmarks(take_id)) == 5


def test_a_reader_cannot_change_takes(store, path):
    record(store)
    with TakeStore.open(path, readonly=True) as reader, pytest.raises(TakesError, match="reading only"):
        reader.delete_all()


def test_a_snapshot_does_not_see_what_happens_meanwhile(store, path):
    record(store)
    with TakeStore.open(path, readonly=True) as reader:
        with reader.snapshot():
            assert len(reader.takes()) == 1
            record(store)
            assert len(reader.takes()) == 1
        assert len(reader.takes()) == 2


def test_a_second_writer_is_refused(store, path):
    with pytest.raises(TakesBusyError, match="another program"):
        TakeStore.open(path)


def test_a_second_writing_program_is_refused(store, path):
    code = "import sys, pathlib; from instrument.takes import TakeStore; TakeStore.open(pathlib.Path(sys.argv[1]))"
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "TakesBusyError" in run.stderr


def test_a_take_being_recorded_is_listed_only_when_asked_for(store):
    take_id = store.begin(source="test", parts=BODY, targets={})
    assert store.takes() == ()
    assert [take.id for take in store.takes(include_incomplete=True)] == [take_id]


def test_takes_and_performances_are_told_apart(store):
    taught, played = record(store), record(store, kind="performance", targets={})
    assert [take.id for take in store.takes(kind="take")] == [taught]
    assert [take.id for take in store.takes(kind="performance")] == [played]


def test_an_unknown_take_is_named_with_those_there_are(store):
    record(store)
    with pytest.raises(TakesError, match="no take 7; there are: 1"):
        store.take(7)


@pytest.mark.parametrize("target", [float("nan"), float("inf"), "", None, True, [1]])
def test_a_target_that_is_neither_class_nor_number_is_refused(store, target):
    with pytest.raises(TakesError, match="allowed"):
        store.begin(source="test", parts=BODY, targets={"posture": target})


@pytest.mark.parametrize(
    "wrong", [{"kind": "song"}, {"parts": ("feet",)}, {"parts": ()}, {"number_count": 3}, {"parts": ("numbers",)}]
)
def test_a_take_that_cannot_be_is_refused(store, wrong):
    with pytest.raises(TakesError, match="allowed"):
        store.begin(**({"source": "test", "parts": BODY, "targets": {}} | wrong))


def test_frames_are_not_added_to_a_finished_take(store):
    take_id = record(store)
    with pytest.raises(TakesError, match="not being recorded"):
        store.append(take_id, body_rows(1))


# Refusing


def finished(store: TakeStore, tracked: int, lost: int, kind: str = "take"):
    take_id = store.begin(source="test", parts=BODY, targets={"posture": "rest"}, kind=kind)
    seen = [body(number) for number in range(tracked)] + [nobody(tracked + number) for number in range(lost)]
    store.append(take_id, [frame_row(one, BODY, 0, 0.0) for one in seen])
    return store.finish(take_id)


def test_a_take_mostly_without_a_body_is_refused_and_says_how_much_was_lost(store):
    take = finished(store, tracked=4, lost=6)
    assert take.refused == "tracking was lost for 60 % of the take"
    assert store.takes() == ()


def test_a_take_lost_for_exactly_half_is_kept(store):
    assert finished(store, tracked=5, lost=5).refused is None


def test_a_take_of_two_tracked_frames_is_refused(store):
    assert "2 tracked frames" in finished(store, tracked=2, lost=0).refused


def test_a_performance_is_never_refused(store):
    assert finished(store, tracked=1, lost=50, kind="performance").refused is None


def test_undo_brings_a_refused_take_back_and_redo_refuses_it_again(store):
    take = finished(store, tracked=4, lost=6)
    assert "refuse take 1" in store.undo()
    assert store.takes()[0].refused is None
    store.redo()
    assert store.take(take.id).refused == take.refused
    assert store.takes() == ()


def test_a_recording_without_frames_leaves_nothing(store):
    take_id = store.begin(source="test", parts=BODY, targets={})
    assert store.finish(take_id) is None
    assert store.takes(include_deleted=True, include_incomplete=True) == ()
    assert store.undo() is None


# Targets that move


def test_targets_that_move_are_kept_per_frame(store):
    take_id = store.begin(source="test", parts=BODY, targets={"volume": 0.0, "posture": "rest"})
    changes = [None, {"volume": 0.5}, None, {"volume": 0.75, "other": 1.0}]
    store.append(take_id, [frame_row(body(n), BODY, 0, 0.0, change) for n, change in enumerate(changes)])
    store.finish(take_id)
    assert store.take(take_id).moving == {"volume"}
    assert store.frame_targets(take_id) == {"volume": (0.0, 0.5, 0.5, 0.75), "posture": ("rest",) * 4}


def test_trimming_keeps_the_targets_with_their_frames(store):
    take_id = store.begin(source="test", parts=BODY, targets={"volume": 0.0})
    store.append(take_id, [frame_row(body(n), BODY, 0, 0.0, {"volume": n / 10}) for n in range(6)])
    store.finish(take_id)
    store.trim(take_id, 2, 4)
    assert store.frame_targets(take_id) == {"volume": (0.2, 0.3, 0.4)}
    np.testing.assert_array_equal(store.landmarks(take_id).pose[:, 0, 0], [2, 3, 4])
    assert store.take(take_id).frame_count == 3


def test_relabelling_stops_a_target_from_moving_and_undo_lets_it_move_again(store):
    take_id = store.begin(source="test", parts=BODY, targets={"volume": 0.0})
    store.append(take_id, [frame_row(body(n), BODY, 0, 0.0, {"volume": n / 10}) for n in range(3)])
    store.finish(take_id)
    store.relabel([take_id], {"volume": 0.9})
    assert store.frame_targets(take_id) == {"volume": (0.9, 0.9, 0.9)}
    store.undo()
    assert store.frame_targets(take_id) == {"volume": (0.0, 0.1, 0.2)}


# Editing, undo, redo


def test_undo_takes_a_recording_away_and_redo_brings_it_back(store):
    record(store)
    assert store.undo() == "record take 1 (posture: rest)"
    assert store.takes() == ()
    assert store.redo() == "record take 1 (posture: rest)"
    assert len(store.takes()) == 1


def test_undo_and_redo_outlive_the_program(path):
    with TakeStore.open(path) as store:
        take_id = record(store)
        store.relabel([take_id], {"posture": "arms up"})
        store.undo()
    with TakeStore.open(path) as store:
        assert store.redo() == "relabel take 1 (posture: arms up)"
        assert store.take(take_id).targets == {"posture": "arms up"}
        store.undo()
        store.undo()
        assert store.takes() == ()


def test_a_new_edit_ends_what_could_be_done_again(store):
    record(store)
    store.undo()
    record(store)
    assert store.redo() is None


def test_with_nothing_to_undo_undo_says_nothing(store):
    assert store.undo() is None
    assert store.redo() is None


def test_an_edit_that_changes_nothing_is_not_an_edit(store):
    take_id = record(store)
    assert store.relabel([take_id], {"posture": "rest"}) is None
    assert store.undo().startswith("record")


def test_only_takes_can_be_relabelled(store):
    taught, performance = record(store), record(store, targets={}, kind="performance")
    with pytest.raises(TakesError, match=f"take {performance} is a performance and teaches nothing"):
        store.relabel([taught, performance], {"posture": "up"})
    assert store.take(taught).targets == {"posture": "rest"}


def test_deleting_an_output_leaves_the_other_outputs_of_a_take(store):
    record(store, targets={"posture": "rest", "volume": 0.5})
    record(store, targets={"volume": 0.5})
    store.delete_output("volume")
    assert [take.targets for take in store.takes()] == [{"posture": "rest"}, {}]
    store.undo()
    assert [take.targets for take in store.takes()] == [{"posture": "rest", "volume": 0.5}, {"volume": 0.5}]


def test_deleting_all_takes_keeps_performances(store):
    record(store)
    record(store, kind="performance", targets={})
    store.delete_all()
    assert [take.kind for take in store.takes()] == ["performance"]


def test_deleting_the_last_take_twice_deletes_two(store):
    first, _, _ = record(store), record(store), record(store)
    store.delete_last()
    store.delete_last()
    assert [take.id for take in store.takes()] == [first]


def test_deleting_the_last_of_no_takes_does_nothing(store):
    assert store.delete_last() is None


def test_an_edit_of_several_takes_happens_to_all_or_none(store):
    take_id = record(store)
    with pytest.raises(TakesError, match="no take 99"):
        store.delete([take_id, 99])
    assert len(store.takes()) == 1


def test_every_change_grows_the_revision_undo_as_well(store):
    take_id = record(store)
    seen = [store.take(take_id).revision]
    for change in (
        lambda: store.relabel([take_id], {"posture": "arms up"}),
        store.undo,
        store.redo,
        lambda: store.trim(take_id, 1, 3),
        lambda: store.delete([take_id]),
    ):
        change()
        seen.append(store.take(take_id).revision)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (3, 2), (0, 5)])
def test_a_trim_outside_the_take_says_what_is_allowed(store, first, last):
    take_id = record(store, 5)
    with pytest.raises(TakesError, match=r"it has 0\.\.4"):
        store.trim(take_id, first, last)


def test_trimming_to_all_of_a_take_is_no_trim(store):
    take_id = record(store, 5)
    store.trim(take_id, 1, 3)
    store.trim(take_id, 0, 4)
    assert store.take(take_id).trim is None


def shown(store: TakeStore) -> list[tuple[object, ...]]:
    return [(one.id, one.targets, one.trim, one.refused) for one in store.takes()]


edits = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from(["rest", "up"])),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("relabel"), st.integers(0, 5), st.sampled_from(["rest", "up", 0.5, None])),
        st.tuples(st.just("trim"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(
            st.just("delete_output"),
        ),
        st.tuples(
            st.just("undo"),
        ),
        st.tuples(
            st.just("redo"),
        ),
    ),
    max_size=14,
)


@given(edits)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undo_and_redo_walk_through_every_state_there_was(tmp_path_factory, made):
    with TakeStore.open(tmp_path_factory.mktemp("undo") / "takes.sqlite") as store:
        states, at = [shown(store)], 0
        for name, *arguments in made:
            ids = [take.id for take in store.takes()]
            done: object = None
            if name == "undo":
                done, at = store.undo(), max(at - 1, 0)
            elif name == "redo":
                done, at = store.redo(), min(at + 1, len(states) - 1)
            else:
                if name == "record":
                    done = record(store, 5, {"posture": arguments[0]})
                elif name == "delete_output":
                    done = store.delete_output("posture")
                elif arguments[0] < len(ids):
                    take_id = ids[arguments[0]]
                    if name == "delete":
                        done = store.delete([take_id])
                    elif name == "relabel":
                        done = store.relabel([take_id], {"posture": arguments[1]})
                    else:
                        done = store.trim(take_id, arguments[1], 3)
                if done is not None:
                    at += 1
                    states[at:] = [shown(store)]
            assert shown(store) == states[at]
        while store.undo():
            at -= 1
            assert shown(store) == states[at]
        assert at == 0
        while store.redo():
            at += 1
            assert shown(store) == states[at]
        assert at == len(states) - 1


# Whole takes


def test_whole_takes_are_added_as_one_edit(store, path):
    take_id = record(store, 4, {"posture": "rest"})
    store.trim(take_id, 1, 2)
    whole = store.whole(take_id)
    first, second = store.add([whole, whole], "import two")
    assert_same_take(store.whole(first), whole)
    assert_same_take(store.whole(second), whole)
    assert store.undo() == "import two"
    assert len(store.takes()) == 1


def test_when_one_of_several_takes_is_wrong_none_is_added(store):
    good = WholeTake(created_at="2026-11-23", source="test", targets={"posture": "rest"}, landmarks=sequence(4))
    bad = WholeTake(created_at="2026-11-23", source="test", targets={"posture": ""}, landmarks=sequence(4))
    with pytest.raises(TakesError):
        store.add([good, bad], "import")
    assert store.takes(include_deleted=True, include_incomplete=True) == ()


# Killed, damaged, foreign, newer


def interrupt(path: Path, tracked: int, lost: int = 0) -> None:
    """Leaves a take that was being recorded, as a killed program does."""
    with TakeStore.open(path) as store:
        take_id = store.begin(source="test", parts=BODY, targets={"posture": "rest"})
        seen = [body(number) for number in range(tracked)] + [nobody(tracked + number) for number in range(lost)]
        store.append(take_id, [frame_row(one, BODY, 0, 0.0) for one in seen])


def test_a_take_left_by_a_kill_is_finished_said_so_and_undoable(path):
    interrupt(path, tracked=9)
    with TakeStore.open(path) as store:
        assert [(take.id, take.frame_count, take.is_complete) for take in store.recovered] == [(1, 9, True)]
        assert store.undo() == "recover take 1 (posture: rest)"
        assert store.takes() == ()


def test_a_take_left_by_a_kill_is_refused_if_mostly_untracked(path):
    interrupt(path, tracked=3, lost=9)
    with TakeStore.open(path) as store:
        assert store.recovered[0].refused == "tracking was lost for 75 % of the take"


def test_a_take_left_by_a_kill_before_its_first_frame_is_gone(path):
    interrupt(path, tracked=0)
    with TakeStore.open(path) as store:
        assert store.recovered == ()
        assert store.takes(include_deleted=True, include_incomplete=True) == ()


def filled(path: Path, takes: int = 20) -> None:
    with TakeStore.open(path) as store:
        for number in range(takes):
            record(store, 20, {"posture": f"class {number}"})


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def flip_a_page(path: Path) -> None:
    # Root pages are among the first; this one is among the frames.
    with path.open("r+b") as file:
        file.seek(4096 * (path.stat().st_size // 4096 // 2))
        page = file.read(4096)
        file.seek(-4096, os.SEEK_CUR)
        file.write(bytes(255 - byte for byte in page))


def write_garbage(path: Path) -> None:
    path.write_bytes(b"this was never a database. " * 400)


def write_zeros_and_junk(path: Path) -> None:
    path.write_bytes(b"\0" * 5000 + b"junk")


def flip_a_label(path: Path) -> None:
    # Every page stays a whole one; what it says is no longer text.
    path.write_bytes(path.read_bytes().replace(b'"class 7"', b'"cl\xffss 7"'))


def shorten_a_frame(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE frame SET packed = x'00' WHERE take = 7 AND number = 3")
    database.close()


def garble_a_target(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("""UPDATE take SET moving = '["posture"]' WHERE id = 7""")
        database.execute("UPDATE frame SET targets = '{' WHERE take = 7 AND number = 3")
    database.close()


DAMAGES = [flip_a_label, truncate, flip_a_page, write_garbage, write_zeros_and_junk]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_moved_aside_unchanged_and_a_new_one_is_begun(path, damage):
    filled(path)
    damage(path)
    damaged = path.read_bytes()
    with TakeStore.open(path) as store:
        assert store.moved_aside is not None
        assert store.moved_aside.name.startswith("takes.damaged-")
        assert store.moved_aside.read_bytes() == damaged
        record(store)
    with TakeStore.open(path) as store:
        assert store.moved_aside is None


@pytest.mark.parametrize("damage", [*DAMAGES, shorten_a_frame, garble_a_target])
def test_a_reader_that_meets_damage_is_told_what_to_do_and_touches_nothing(path, damage):
    filled(path)
    damage(path)
    damaged = path.read_bytes()

    def read_everything() -> None:
        with TakeStore.open(path, readonly=True) as store:
            for take in store.takes():
                store.whole(take.id)

    with pytest.raises(TakesDamagedError, match="Start the instrument"):
        read_everything()
    assert path.read_bytes() == damaged


def test_only_a_writer_reads_every_page_before_it_begins(path, monkeypatch):
    checked = []
    monkeypatch.setattr("instrument.takes_file._check_pages", lambda *_: checked.append("checked"))
    filled(path, 1)
    TakeStore.open(path, readonly=True).close()
    assert checked == []
    TakeStore.open(path).close()
    assert checked == ["checked"]


def test_the_log_of_a_damaged_file_moves_with_it_unchanged(path, tmp_path):
    filled(path)
    with TakeStore.open(path) as store:
        record(store)
        log = path.with_name("takes.sqlite-wal")
        for name in (path, log):  # as a kill leaves them
            shutil.copy(name, tmp_path / f"copy-{name.name}")
    for name in (path, log):
        shutil.move(tmp_path / f"copy-{name.name}", name)
    flip_a_page(path)
    damaged, written = path.read_bytes(), log.read_bytes()
    with TakeStore.open(path) as store:
        aside = store.moved_aside
        assert aside.read_bytes() == damaged
        assert aside.with_name(aside.name + "-wal").read_bytes() == written


def test_two_damaged_files_are_both_kept(path):
    for text in (b"one " * 2000, b"two " * 2000):
        path.write_bytes(text)
        TakeStore.open(path).close()
    kept = path.parent.glob("takes.damaged-*.sqlite")
    assert {file.read_bytes()[:4] for file in kept} == {b"one ", b"two "}


def test_takes_that_can_still_be_read_are_saved_from_a_damaged_file(path):
    filled(path)
    with TakeStore.open(path, readonly=True) as store:
        before = {take.id: store.whole(take.id) for take in store.takes()}
    flip_a_page(path)
    with TakeStore.open(path) as store:
        saved = {take.id for take in store.salvaged}
        assert len(saved) >= 15
        for take_id in saved:
            assert_same_take(store.whole(take_id), before[take_id])


def test_an_empty_file_is_a_new_one(path):
    path.touch()
    with TakeStore.open(path, readonly=True) as reader:
        assert reader.takes() == ()
    with TakeStore.open(path) as store:
        assert store.moved_aside is None
        record(store)


def test_a_file_of_a_newer_program_is_left_alone(path):
    filled(path, 1)
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()
    before = path.read_bytes()
    for readonly in (True, False):
        with pytest.raises(TakesError, match=f"newer version.*format {FORMAT + 1}"):
            TakeStore.open(path, readonly=readonly)
    assert path.read_bytes() == before


def test_somebody_elses_database_is_left_alone(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (title)")
    database.close()
    with pytest.raises(TakesError, match="not one of takes"):
        TakeStore.open(path)
    assert list(path.parent.glob("*damaged*")) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TakesError, match="cannot be written here"):
        TakeStore.open(tmp_path / "nowhere" / "takes.sqlite")


def test_a_failed_change_changes_nothing(store):
    take_id = store.begin(source="test", parts=BODY, targets={})
    store.append(take_id, body_rows(3))
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.append(take_id, body_rows(100))
    assert store.take(take_id).frame_count == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda store, take_id: store.cut(take_id, 0.1, 0.8, {"posture": "up"}),
        lambda store, take_id: store.trim(take_id, 1, 5),
        lambda store, take_id: store.relabel([take_id], {"posture": "up"}),
    ],
)
def test_a_deleted_take_is_not_changed_but_brought_back(store, change):
    take_id = record(store, 31, {"posture": "rest"})
    store.undo()
    with pytest.raises(TakesError, match=r"take 1 is deleted; `undo` or `redo` brings it back"):
        change(store, take_id)
    store.redo()
    assert change(store, take_id)
