import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import assert_same_take, record, sequence

from instrument.exchange import FORMATS, export_takes, import_takes, read_takes
from instrument.exchange_table import ExchangeError, texts
from instrument.signals import LANDMARK_PARTS, PART_SHAPES, LandmarkSequence
from instrument.takes import TakeStore, WholeTake

WEKINATOR_FILE = """\
@relation dataset

@attribute ID numeric
@attribute Time date 'yyyy/MM/dd HH:mm:ss:SSS'
@attribute 'Training round' numeric
@attribute inputs-1 numeric
@attribute inputs-2 numeric
@attribute Tilt {0,1,2,3}
@attribute Swing numeric

@data
1,'2018/02/15 12:05:55:949',1,16,0.333333,1,0
2,'2018/02/15 12:05:55:984',1,-32,0.5,1,0.25
3,'2018/02/15 12:05:55:985',1,-32,0.5,3,0.25
4,'2018/02/15 12:06:01:000',2,0,-1.5,?,0.5
5,'2018/02/15 12:06:01:040',2,0,-1.5,?,0.75
"""


@pytest.fixture
def store(tmp_path: Path):
    with TakeStore.open(tmp_path / "takes.sqlite") as store:
        yield store


def round_trip(takes: list[WholeTake], folder: Path, file_format: str) -> list[WholeTake]:
    """Those takes after a store, a file and another store."""
    path = folder / f"takes.{file_format}"
    with TakeStore.open(folder / "one.sqlite") as store:
        store.add(takes, "made up")
        assert export_takes(store, path) == len(takes)
    with TakeStore.open(folder / "two.sqlite") as store:
        return [store.whole(take_id) for take_id in import_takes(store, path)]


def take_of(landmarks: LandmarkSequence, **fields) -> WholeTake:
    return WholeTake(
        **(
            {
                "created_at": "2026-11-23T08:00:00.123+00:00",
                "source": "camera:0",
                "targets": {"posture": "arms up"},
                "landmarks": landmarks,
            }
            | fields
        )
    )


# Ours, there and back

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
values = st.floats(width=64, allow_nan=False, allow_infinity=False)
floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def made_up_takes(draw: st.DrawFn) -> WholeTake:
    count, random = draw(st.integers(1, 4)), np.random.default_rng(draw(st.integers(0, 99)))
    parts = {}
    for name in draw(st.lists(st.sampled_from(LANDMARK_PARTS), min_size=1, unique=True)):
        shape = PART_SHAPES[name] or (draw(st.integers(1, 3)),)
        array = random.standard_normal((count, *shape), dtype=np.float32)
        array.flat[: draw(st.integers(0, 3))] = draw(floats32)
        array[draw(st.lists(st.integers(0, count - 1)))] = np.nan
        parts[name] = array
    outputs = draw(st.lists(names, max_size=3, unique=True))
    targets = {output: draw(st.one_of(names, values)) for output in outputs}
    moving = {}
    for output, target in targets.items():
        column = (target, *(draw(names if isinstance(target, str) else values) for _ in range(count - 1)))
        if set(column) != {target}:
            moving[output] = column
    steps = draw(st.lists(st.floats(0, 10), min_size=count, max_size=count))
    last = draw(st.integers(0, count - 1))
    trim = draw(st.sampled_from([None, (draw(st.integers(0, last)), last)]))
    return WholeTake(
        kind=draw(st.sampled_from(["take", "performance"])),
        created_at=draw(st.datetimes()).isoformat(),
        source=draw(st.one_of(names, st.just(""))),
        targets=targets,
        moving=moving,
        trim=trim,
        landmarks=LandmarkSequence(
            times_s=np.cumsum(steps), aspect=np.full(count, draw(st.sampled_from([4 / 3, 1.7])), np.float32), **parts
        ),
    )


@pytest.mark.parametrize("file_format", FORMATS)
@given(takes=st.lists(made_up_takes(), min_size=1, max_size=3))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_whatever_is_exported_comes_back_equal(tmp_path_factory, file_format, takes):
    back = round_trip(takes, tmp_path_factory.mktemp("exchange"), file_format)
    assert len(back) == len(takes)
    for one, other in zip(takes, back, strict=True):
        assert_same_take(one, other)


@pytest.mark.parametrize("file_format", FORMATS)
def test_takes_with_different_parts_share_a_file(tmp_path, file_format):
    takes = [take_of(sequence(3, ("pose",))), take_of(sequence(2, ("numbers", "left_hand")))]
    takes[1] = take_of(
        LandmarkSequence(times_s=np.array([0, 0.1]), aspect=np.ones(2, np.float32), numbers=np.ones((2, 3), np.float32))
    )
    back = round_trip(takes, tmp_path, file_format)
    assert_same_take(back[0], takes[0])
    assert_same_take(back[1], takes[1])


@pytest.mark.parametrize("file_format", FORMATS)
def test_no_takes_make_a_file_without_takes(tmp_path, store, file_format):
    path = tmp_path / f"none.{file_format}"
    assert export_takes(store, path) == 0
    assert import_takes(store, path) == ()


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_import_is_one_edit(tmp_path, store, file_format):
    record(store)
    record(store)
    path = tmp_path / f"takes.{file_format}"
    export_takes(store, path)
    import_takes(store, path)
    assert len(store.takes()) == 4
    assert store.undo() == f"import takes.{file_format}"
    assert len(store.takes()) == 2


def test_deleted_takes_are_not_exported(tmp_path, store):
    store.delete([record(store)])
    kept = record(store, targets={"posture": "kept"})
    export_takes(store, tmp_path / "takes.csv")
    assert [take.targets for take in read_takes(tmp_path / "takes.csv")] == [store.take(kept).targets]


def test_decimals_make_a_file_small_and_stay_close(tmp_path, store):
    rng = np.random.default_rng(0)
    landmarks = LandmarkSequence(
        times_s=np.arange(50) / 30, aspect=np.ones(50, np.float32), pose=rng.random((50, 33, 4), dtype=np.float32)
    )
    store.add([take_of(landmarks)], "made up")
    export_takes(store, tmp_path / "exact.csv")
    export_takes(store, tmp_path / "small.csv", decimals=4)
    [take] = read_takes(tmp_path / "small.csv")
    assert (tmp_path / "small.csv").stat().st_size < 0.75 * (tmp_path / "exact.csv").stat().st_size
    np.testing.assert_allclose(take.landmarks.pose, landmarks.pose, atol=0.5e-4)


@given(st.lists(floats32, min_size=1))
def test_a_float_is_written_as_the_shortest_text_that_reads_back(values):
    written = np.array(values, dtype=np.float32)
    for value, [text] in zip(written, texts(written.reshape(-1, 1)), strict=True):
        assert np.float32(text) == value
        if 1e-4 <= abs(value) < 1e16:
            assert text == np.format_float_positional(value, trim="0")


def test_a_tenth_is_written_as_a_tenth():
    assert texts(np.array([[0.1, np.nan, 3, 1e-7]], dtype=np.float32)) == [["0.1", "", "3.0", "1e-07"]]


# CSV


def test_a_csv_is_readable(tmp_path, store):
    record(store, 3, {"posture": "arms up", "volume": 0.5})
    export_takes(store, tmp_path / "takes.csv")
    header, first, *_ = (tmp_path / "takes.csv").read_text().splitlines()
    assert header.startswith(
        "take,kind,created_at,source,parts,trim_first,trim_last,time_s,aspect,target:posture,value:volume,pose.nose.x,"
    )
    assert ",pose.left_wrist.visibility," in header
    assert ",test,pose pose_world,,,0.0,1.3333334,arms up,0.5,0.0,0.0," in first


def test_a_csv_saved_by_a_spreadsheet_in_europe_is_read(tmp_path, store):
    record(store, 3)
    path = tmp_path / "takes.csv"
    export_takes(store, path)
    path.write_text(path.read_text().replace(",", ";").replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    [take] = read_takes(path)
    assert take.landmarks.pose[2, 0, 0] == 2


def test_a_few_columns_are_enough(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("take,time_s,target:posture,left_hand.wrist.x\n1,0,up,0.5\n1,0.1,up,\n")
    [take] = read_takes(path)
    assert take.targets == {"posture": "up"}
    assert take.landmarks.left_hand.shape == (2, 21, 3)
    assert take.landmarks.left_hand[0, 0, 0] == 0.5


WRONG_CSV = {
    "take,time_s,pose.nose.x\n1,0,0.1\n1,0.1,abc\n": r"line 3, column 'pose.nose.x': 'abc'; allowed: a number, or",
    "take,time_s,pose.nose.x\n1,0,nan\n": "line 2, column 'pose.nose.x': 'nan'",
    "take,time_s,pose.nose.x\n1,0,inf\n": "'inf'",
    "take,time_s,pose.nose.x\n1,0,1_000\n": "'1_000'",
    "take,time_s,pose.nose.x\n1,0,1e300\n": "'1e300'",
    "take,time_s,pose.nose.x\n1,0,0x10\n": "'0x10'",
    "take,time_s,pose.nose.x\n1,later,0.1\n": "column 'time_s': 'later'",
    "take,time_s,pose.nose.x\n1,1,0.1\n1,0.5,0.1\n": "line 3: time 0.5; allowed: seconds since the take began: 1.0",
    "take,time_s,pose.nose.x\n1,0,0.1,0.2\n": "line 2: 4 cells; allowed: 3",
    "take,time_s,pose.nose.x,pose.nose.x\n": "line 1: two columns are named 'pose.nose.x'",
    "take,time_s,pose.nise.x\n1,0,0.1\n": "did you mean 'pose.nose.x'",
    "take,time_s,number.2\n1,0,0.1\n": "unknown column 'number.2'",
    "take,time_s,kind,pose.nose.x\n1,0,song,0.1\n": "column 'kind': 'song'; allowed: take, performance",
    "take,time_s,parts,pose.nose.x\n1,0,feet,0.1\n": "column 'parts': 'feet'",
    "take,time_s,created_at,pose.nose.x\n1,0,yesterday,0.1\n": "column 'created_at': 'yesterday'",
    "take,time_s,source,pose.nose.x\n1,0,a,0.1\n1,0,b,0.1\n": "line 3: take 1 differs from its first line",
    "take,time_s,trim_first,trim_last,pose.nose.x\n1,0,0,5,0.1\n": r"trim is 0\.\.5; allowed: 0\.\.0",
    "take,time_s,target:a,pose.nose.x\n1,0,x,0.1\n1,0,,0.1\n": "line 3: teaches nothing where its take began with a",
    "take,time_s,target:a,value:a,pose.nose.x\n1,0,x,1,0.1\n": "both a class and a value for 'a'",
    "take,time_s,target:a\n1,0,x\n": "a take without landmarks",
    "take,time_s,pose.nose.x\n1,0,'0.1\n1,0,\"0.1\n": "line",
    "take,time_s,source,pose.nose.x\n1,0," + "x" * 200_000 + ",0.1\n": "line 2: field larger than field limit",
    "a,b,c\n1,2,3\n": "no column of labels among a, b, c; allowed: a first line that names the columns",
    "1,2,up\n1,up\n": "line 2: 2 cells; allowed: 3",
    "1,2,up\n1,x,up\n": "line 2, column 'number.2': 'x'",
    "1,2,up\n1,2,\n": "line 2, column '3': an empty cell",
    "0,0.1,0.2\n1,0.3,0.4\n": "line 1: no names of columns; allowed: a first line that names",
}


@pytest.mark.parametrize(("text", "said"), WRONG_CSV.items(), ids=range(len(WRONG_CSV)))
def test_a_wrong_csv_is_refused_by_line_and_changes_nothing(tmp_path, store, text, said):
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(ExchangeError, match=said) as raised:
        import_takes(store, path)
    assert str(raised.value).startswith(str(path))
    assert len(str(raised.value)) < 600
    assert store.takes(include_deleted=True, include_incomplete=True) == ()


def test_rows_of_numbers_with_a_label_become_one_take_per_run_of_it(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("0.1,0.2,rest\n0.1,0.3,rest\n0.9,0.8,up\n0.1,0.2,rest\n")
    takes = read_takes(path)
    assert [(take.targets, len(take.landmarks)) for take in takes] == [
        ({"output": "rest"}, 2),
        ({"output": "up"}, 1),
        ({"output": "rest"}, 1),
    ]
    np.testing.assert_array_equal(takes[0].landmarks.numbers, np.array([[0.1, 0.2], [0.1, 0.3]], np.float32))


def test_a_header_names_the_label_and_values_that_are_not_whole_stay_numbers(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("x,Label,y\n1,0.5,2\n3,0.75,4\n")
    [take] = read_takes(path)
    assert take.moving == {"Label": (0.5, 0.75)}
    assert take.landmarks.numbers.tolist() == [[1, 2], [3, 4]]


def test_outputs_name_the_labels_of_a_plain_table(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("x,y,genre\n1,2,1\n3,4,2\n")
    assert [take.targets for take in read_takes(path, outputs=["genre"])] == [{"genre": "1"}, {"genre": "2"}]


def test_a_column_of_words_holds_the_labels_wherever_it_is(tmp_path):
    path = tmp_path / "plain.csv"
    for text in ("up,0.1,0.2\ndown,0.3,0.4\n", "name,x,y\nup,0.1,0.2\ndown,0.3,0.4\n"):
        path.write_text(text)
        takes = read_takes(path)
        assert [list(take.targets.values()) for take in takes] == [["up"], ["down"]]
        assert [take.landmarks.numbers.shape for take in takes] == [(1, 2), (1, 2)]


def test_a_label_column_given_by_number_is_learned(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("0,0.1,0.2\n1,0.3,0.4\n")
    assert [take.targets for take in read_takes(path, label_column=1)] == [{"output": "0"}, {"output": "1"}]
    with pytest.raises(ExchangeError, match=r"label column 4; allowed: 1\.\.3"):
        read_takes(path, label_column=4)


def test_what_the_patch_has_names_the_labels_and_says_what_they_are(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("x,pos,tilt\n0,1.5,1\n1,2.5,0\n")
    takes = read_takes(path, kinds={"pos": "class", "tilt": "continuous"})
    assert [take.targets for take in takes] == [{"pos": "1.5", "tilt": 1.0}, {"pos": "2.5", "tilt": 0.0}]
    path.write_text("up,0.1,0.2\n")
    assert read_takes(path, kinds={"pos": "class"})[0].targets == {"pos": "up"}


# ARFF


def test_a_wekinator_file_becomes_takes_of_numbers_by_round_and_label(tmp_path):
    path = tmp_path / "currentData.arff"
    path.write_text(WEKINATOR_FILE)
    first, second, third = read_takes(path)
    assert first.targets == {"Tilt": "1", "Swing": 0.0}
    assert first.moving == {"Swing": (0.0, 0.25)}
    np.testing.assert_allclose(first.landmarks.times_s, [0, 0.035], atol=1e-6)
    np.testing.assert_array_equal(first.landmarks.numbers, np.array([[16, 0.333333], [-32, 0.5]], np.float32))
    assert second.targets == {"Tilt": "3", "Swing": 0.25}
    assert third.targets == {"Swing": 0.5}
    assert first.created_at == "2018-02-15T12:05:55.949+00:00"


def test_an_arff_has_the_header_wekinator_writes(tmp_path, store):
    landmarks = LandmarkSequence(
        times_s=np.array([0, 0.04]), aspect=np.ones(2, np.float32), numbers=np.array([[1, 0.1], [2, 0.2]], np.float32)
    )
    take = take_of(landmarks, targets={"Tilt it": "up", "Swing": 0.5})
    store.add([take, take_of(landmarks, targets={"Tilt it": "down"})], "made up")
    export_takes(store, tmp_path / "takes.arff")
    lines = [line for line in (tmp_path / "takes.arff").read_text().splitlines() if not line.startswith("%")]
    assert lines == [
        "@relation dataset",
        "",
        "@attribute ID numeric",
        "@attribute Time date 'yyyy/MM/dd HH:mm:ss:SSS'",
        "@attribute 'Training round' numeric",
        "@attribute inputs-1 numeric",
        "@attribute inputs-2 numeric",
        "@attribute 'Tilt it' {0,1,2}",
        "@attribute Swing numeric",
        "",
        "@data",
        "1,'2026/11/23 08:00:00:123',1,1.0,0.1,2,0.5",
        "2,'2026/11/23 08:00:00:163',1,2.0,0.2,2,0.5",
        "3,'2026/11/23 08:00:00:123',2,1.0,0.1,1,?",
        "4,'2026/11/23 08:00:00:163',2,2.0,0.2,1,?",
    ]


def test_what_wekinator_saves_again_without_our_comments_still_has_the_body(tmp_path, store):
    take_id = record(store, 3, {"posture": "rest"})
    path = tmp_path / "takes.arff"
    export_takes(store, path)
    path.write_text("".join(line for line in path.open() if not line.startswith("%")))
    [take] = read_takes(path)
    assert take.targets == {"posture": "1"}
    np.testing.assert_array_equal(take.landmarks.pose, store.landmarks(take_id).pose)


def test_outputs_that_cannot_be_told_from_inputs_are_asked_for(tmp_path):
    path = tmp_path / "plain.arff"
    path.write_text("@relation r\n@attribute x numeric\n@attribute y numeric\n@data\n1,2\n")
    with pytest.raises(ExchangeError, match=r"no telling inputs from outputs here; allowed: .*: x, y"):
        read_takes(path)
    assert read_takes(path, outputs=["y"])[0].targets == {"y": 2.0}


WRONG_ARFF = {
    "hello\n": "line 1: 'hello'; allowed: @relation",
    "@relation r\n": "no @data line",
    "@attribute x string\n@data\n": "line 1: 'x' is string; allowed: numeric, date",
    "@attribute x\n@data\n": "line 1: '@attribute x'",
    "@attribute x numeric\n@attribute x numeric\n@data\n": "two columns are named 'x'",
    WEKINATOR_FILE.replace("16,0.333333", "16,left"): "line 12, column 'inputs-2': 'left'",
    WEKINATOR_FILE.replace("16,0.333333", "16"): "line 12: 6 cells; allowed: 7",
    WEKINATOR_FILE.replace("12:05:55:984", "noon"): "line 13: time '2018/02/15 noon'",
    "% instrument takes 1\n% take {}\n@data\n": "line 2: this comment",
    '% instrument takes 1\n% take {"round": 1' + "[" * 100_000 + "\n@data\n": "line 2: this comment",
}


@pytest.mark.parametrize(("text", "said"), WRONG_ARFF.items(), ids=range(len(WRONG_ARFF)))
def test_a_wrong_arff_is_refused_by_line(tmp_path, text, said):
    path = tmp_path / "wrong.arff"
    path.write_text(text)
    with pytest.raises(ExchangeError, match=said):
        read_takes(path)


def test_a_class_that_our_comment_does_not_name_is_refused(tmp_path, store):
    record(store, 3, {"posture": "rest"})
    path = tmp_path / "takes.arff"
    export_takes(store, path)
    path.write_text(path.read_text().replace(",1\n", ",2\n", 1))
    with pytest.raises(ExchangeError, match="column 'posture': class 2; allowed: 1 to 1"):
        read_takes(path)


def test_lines_that_went_missing_are_noticed(tmp_path, store):
    record(store, 3, {"posture": "rest"})
    path = tmp_path / "takes.arff"
    export_takes(store, path)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ExchangeError, match="2 lines in training round 1; allowed: 3"):
        read_takes(path)


# NPZ


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **({"format": np.array([1])} | arrays))
    return path


def test_an_npz_opens_in_numpy_without_pickle(tmp_path, store):
    take_id = record(store, 3)
    export_takes(store, tmp_path / "takes.npz")
    with np.load(tmp_path / "takes.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["1.pose"], store.landmarks(take_id).pose)


def test_an_npz_with_pickled_objects_is_refused(tmp_path):
    path = npz(tmp_path / "evil.npz", evil=np.array([{}], dtype=object))
    with pytest.raises(ExchangeError, match="array 'evil': type object"):
        read_takes(path)


def test_an_npz_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("instrument.exchange_npz.MAX_UNPACKED_BYTES", 10 << 20)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.pose.npy", bytes(12 << 20))
    with pytest.raises(ExchangeError, match="unpacks to 12 MiB; allowed: up to 10"):
        read_takes(path)


def test_an_array_that_promises_more_than_is_there_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
    path = tmp_path / "liar.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.pose.npy", header.getvalue())
    with pytest.raises(ExchangeError, match="does not fit"):
        read_takes(path)


ABOUT = b'{"kind": "take", "created_at": "2026-11-23", "source": "", "targets": {}, "moving": {}, "trim": null}'


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"format": np.array([2])}, r"format \[2\]"),
        ({"1.times_s": np.array([1.0, 0.5])}, "times_s does not go"),
        ({"1.times_s": np.array([np.nan, 0.5])}, "times_s does not go"),
        ({"1.pose": np.zeros((2, 5, 4), np.float32)}, r"pose has shape \(2, 5, 4\); allowed: \(2, 33, 4\)"),
        ({"1.pose": np.full((2, 33, 4), np.inf, np.float32)}, "infinite"),
        ({"1.aspect": np.zeros(3, np.float32)}, "aspect has shape"),
        ({"1.about": np.frombuffer(b"[]", np.uint8)}, "take '1'"),
        ({"1.about": np.frombuffer(b"[" * 100_000, np.uint8)}, "take '1'"),
        ({"1.about": np.frombuffer(ABOUT.replace(b"null", b"[0, 9]"), np.uint8)}, r"trim is \[0, 9\]"),
        (
            {"1.about": np.frombuffer(ABOUT.replace(b'"targets": {}', b'"targets": {"a": null}'), np.uint8)},
            "output 'a'",
        ),
    ],
)
def test_a_wrong_npz_is_refused(tmp_path, wrong, said):
    right = {
        "1.about": np.frombuffer(ABOUT, np.uint8),
        "1.times_s": np.array([0.0, 0.5]),
        "1.aspect": np.ones(2, np.float32),
        "1.pose": np.zeros((2, 33, 4), np.float32),
    }
    assert len(read_takes(npz(tmp_path / "right.npz", **right))) == 1
    with pytest.raises(ExchangeError, match=said):
        read_takes(npz(tmp_path / "wrong.npz", **(right | wrong)))


# Any file


@pytest.mark.parametrize("file_format", FORMATS)
@given(content=st.binary(max_size=300))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_random_bytes_are_refused_or_read_but_never_crash(tmp_path_factory, file_format, content):
    path = tmp_path_factory.mktemp("random") / f"takes.{file_format}"
    path.write_bytes(content)
    with contextlib.suppress(ExchangeError):
        read_takes(path)


@pytest.mark.parametrize("file_format", FORMATS)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_a_file_with_a_few_bytes_changed_is_refused_or_read_but_never_crashes(tmp_path_factory, file_format, data):
    folder = tmp_path_factory.mktemp("changed")
    path = folder / f"takes.{file_format}"
    landmarks = LandmarkSequence(
        times_s=np.array([0, 0.04]), aspect=np.ones(2, np.float32), numbers=np.array([[1, 0.1], [2, 0.2]], np.float32)
    )
    with TakeStore.open(folder / "takes.sqlite") as store:
        store.add([take_of(landmarks, moving={"posture": ("arms up", "rest")})], "made up")
        export_takes(store, path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with contextlib.suppress(ExchangeError):
            import_takes(store, path)
            return
        assert len(store.takes()) == 1


def test_an_unknown_format_is_named_with_those_there_are(tmp_path, store):
    with pytest.raises(ExchangeError, match="format is 'xls'; allowed: csv, npz, arff"):
        export_takes(store, tmp_path / "takes.xls")
    with pytest.raises(ExchangeError, match="format is ''"):
        read_takes(tmp_path / "takes")


def test_a_file_that_is_not_there_or_a_folder_is_named(tmp_path):
    with pytest.raises(ExchangeError, match="no such file"):
        read_takes(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ExchangeError, match="no such file"):
        read_takes(tmp_path / "folder.csv")


def test_a_name_without_a_folder_is_the_current_one(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record(store)
    export_takes(store, Path("takes.csv"))
    assert len(import_takes(store, Path("takes.csv"))) == 1


def test_a_failed_export_leaves_the_old_file_and_no_other(tmp_path, store):
    record(store)
    path = tmp_path / "takes.csv"
    path.write_text("old")
    with pytest.raises(Exception, match="no take 99"):
        export_takes(store, path, take_ids=[1, 99])
    assert path.read_text() == "old"
    assert list(tmp_path.glob("*.part")) == []
