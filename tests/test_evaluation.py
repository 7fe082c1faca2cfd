"""Scores of a table, a file of takes or a project."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playing import NUMBERS_PATCH
from typer.testing import CliRunner

from instrument import evaluation, projects
from instrument.cli import app
from instrument.datasets import Dataset
from instrument.evaluation import Scored, cross_validate, evaluate, split, train_and_score, value_errors
from instrument.exchange import read_takes
from instrument.models.fitting import Examples
from instrument.patch_file import parse_patch
from instrument.scored import ScoredError, read_scorable
from instrument.signals import FloatArray, LandmarkSequence
from instrument.takes import TakeStore, WholeTake
from instrument.training import train_output


def table(folder: Path, *, header: str = "", labels_last: bool = False, rows: int = 120) -> Path:
    """Four numbers and a label a row, in runs of ten."""
    rng = np.random.default_rng(0)
    lines = [header] if header else []
    for row in range(rows):
        label = "up" if row // 10 % 2 else "down"
        numbers = [f"{number:.4f}" for number in rng.standard_normal(4) + 3 * (label == "up")]
        lines.append(",".join([*numbers, label] if labels_last else [label, *numbers]))
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def scored(path: Path, *options: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["evaluate", str(path), "--runs", "2", "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)["outputs"][0]


@pytest.mark.parametrize(
    ("header", "labels_last", "options"),
    [("", False, []), ("", True, []), ("a,b,c,d,what", True, []), ("", False, ["--label-column", "1"])],
)
def test_a_table_is_read_with_its_labels_first_or_last(
    tmp_path: Path, header: str, labels_last: bool, options: list[str]
) -> None:
    found = scored(table(tmp_path, header=header, labels_last=labels_last), *options)
    assert found["classes"] == {"down": 60, "up": 60}
    assert found["accuracy"] > 0.95  # type: ignore[operator]
    assert found["held_out"] == 36


def test_few_examples_of_each_class_are_learned_from_and_all_others_held_out(tmp_path: Path) -> None:
    found = scored(table(tmp_path), "--few", "5")
    assert (found["learned_from"], found["held_out"]) == (10, 110)


def test_the_report_says_what_flatters(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(table(tmp_path)), "--runs", "2"])
    assert "frames held out" in result.output
    assert "learning curve" in result.output
    found = scored(table(tmp_path))
    is_flattered = found["accuracy"] >= found["beside"]["accuracy"]  # type: ignore[index]
    assert ("that flatters" in result.output) == (found["warning"] is not None) == is_flattered


def test_frames_that_score_lower_than_blocks_are_not_said_to_flatter() -> None:
    assert evaluation.flattery(0.8, 0.9) is None
    assert "flatters" in str(evaluation.flattery(0.9, 0.8))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--landmarks", "face"], "allowed: pose, hand"),
        (["--landmarks", "hand"], "landmarks of a hand are 42 or 63"),
        (["--split", "days"], "allowed: takes, blocks, frames"),
        (["--split", "takes"], "allowed: blocks, frames"),
        (["--label-column", "9"], "allowed: 1..5"),
        (["--label-column", "2"], "is the label in another column?"),
        (["--few", "60"], "60 of each class learned from leave none to hold out: the largest has 60"),
    ],
)
def test_what_cannot_be_scored_is_said(tmp_path: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(table(tmp_path)), *options])
    assert result.exit_code in (1, 2)
    assert said in result.output


@pytest.mark.parametrize("labels", [("0", "1", "2"), ("1.5", "2.5", "3.5"), ("up", "down", "rest")])
def test_a_header_tells_which_column_holds_the_labels(tmp_path: Path, labels: tuple[str, ...]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,Class,y\n" + "".join(f"{row}.5,{labels[row % 3]},{row}.25\n" for row in range(60)))
    ((_, _, dataset),) = read_scorable(path)
    assert dataset.classes == labels
    assert dataset.examples.values.shape == (60, 2)


def test_columns_that_can_hardly_be_labels_are_said(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("".join(f"{row % 3},{row}.5\n" for row in range(60)))
    with pytest.raises(ScoredError, match=r"column 2 holds 60 different labels in 60 rows.* --label-column N"):
        read_scorable(path)
    assert read_scorable(path, label_column=1)[0][2].classes == ("0", "1", "2")
    path.write_text("label,x,class\n" + "".join(f"{row % 3},{row}.5,{row % 2}\n" for row in range(60)))
    with pytest.raises(ScoredError, match=r"columns 1 \(label\), 3 \(class\) could be the labels"):
        read_scorable(path)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a;b;label\n0,5;1;left\n0,75;;left\n3;-,5;right\n", [[0.5, 1.0], [3.0, -0.5]]),
        ("0,5\t1\tleft\n0,75\tNaN\tleft\n3\t2\tright\n", [[0.5, 1.0], [3.0, 2.0]]),
        ("a,b,label,\n0.5,1,left,\n0.75,?,left,\n3,2,right,\n", [[0.5, 1.0], [3.0, 2.0]]),
    ],
)
def test_tables_as_spreadsheets_write_them_are_read(tmp_path: Path, text: str, values: list[list[float]]) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    ((_, _, dataset),) = read_scorable(path)
    assert dataset.examples.values.tolist() == values
    assert dataset.notes == ("1 row with missing numbers left out",)
    assert [len(take.landmarks) for take in read_takes(path, label_column=3)] == [2, 1]


@pytest.mark.parametrize(
    ("cell", "said"), [("hello", "line 3, column 'b': 'hello'"), ("1e99", "numbers that fit 32 bits")]
)
def test_a_cell_that_is_no_number_is_named(tmp_path: Path, cell: str, said: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"a,b,label\n1,2,left\n1,{cell},left\n3,4,right\n")
    with pytest.raises(ScoredError, match=said):
        read_scorable(path)


def test_rows_that_contradict_each_other_and_columns_that_say_nothing_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b,c,label\n1,2,7,left\n1,2,7,right\n1,2,7,left\n3,4,7,right\n3,4,7,right\n")
    ((_, _, dataset),) = read_scorable(path)
    assert dataset.notes == (
        "3 rows with the numbers of another, but not its label",
        "1 column with the same number in every row: c",
    )


def test_a_table_of_single_examples_is_too_small_whatever_is_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("1,2,a\n3,4,b\n")
    assert "record more" in CliRunner().invoke(app, ["evaluate", str(path), "--few", "1"]).output


@pytest.mark.parametrize("options", [["--label-column", "1"], ["--landmarks", "pose"]])
def test_what_only_a_table_needs_is_refused_for_a_project(tmp_path: Path, options: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path), *options])
    assert result.exit_code == 1
    assert f"{options[0]} is for tables of numbers" in result.output


def test_rows_with_missing_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text() + "up,nan,1,2,3\n")
    ((_, _, dataset),) = read_scorable(path)
    assert len(dataset.examples) == 120
    assert dataset.notes == ("1 row with missing numbers left out",)


@pytest.mark.parametrize("others", [(), range(11)])
def test_a_class_with_a_single_example_has_no_recall(tmp_path: Path, others: Iterable[int]) -> None:
    path = table(tmp_path)
    more = "".join(f"other{number},{number},2,{number},2\n" * 4 for number in others)
    path.write_text(f"{path.read_text()}{more}once,9,9,9,9\n")
    assert scored(path)["recall"]["once"] is None  # type: ignore[index]
    said = CliRunner().invoke(app, ["evaluate", str(path), "--runs", "2"])
    assert said.exit_code == 0
    lines = [line.split() for line in said.output.splitlines() if line.strip().startswith("once")]
    assert [line[:2] for line in lines] == ([] if others else [["once", "untested"]])


def test_a_class_that_was_never_tested_is_said_to_be(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text() + "rare,9,9,9,9\n")
    assert scored(path)["recall"]["rare"] is None  # type: ignore[index]
    said = CliRunner().invoke(app, ["evaluate", str(path), "--runs", "2"]).output
    assert "rare untested" in said
    assert "note: 1 of 3 classes never tested, for want of examples to hold out: rare; record more of these" in said


def test_a_row_without_a_label_is_named(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text() + ",1,2,3,4\n")
    with pytest.raises(ScoredError, match="line 121, column '1': an empty cell; allowed: a label in every line"):
        read_scorable(path)


@pytest.mark.parametrize("content", ["x,y,label\n1,2,up\n".encode("utf-16"), bytes(range(256))])
def test_a_file_that_is_no_text_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ScoredError, match=r"table\.csv: not UTF-8 text .*; save it as text in UTF-8"):
        read_scorable(path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("a,1,2\na,2,3\n")
    with pytest.raises(ScoredError, match="1 class;"):
        read_scorable(path)


def test_a_project_is_scored_by_whole_takes(tmp_path: Path) -> None:
    (tmp_path / "patch.toml").write_text(NUMBERS_PATCH)
    rng = np.random.default_rng(0)
    takes = []
    for number in range(8):
        values = rng.standard_normal((15, 2)).astype(np.float32) + 4 * (number % 2)
        takes.append(
            WholeTake(
                created_at="",
                source="",
                targets={"side": ("left", "right")[number % 2]},
                landmarks=LandmarkSequence(
                    times_s=np.arange(15) / 30, aspect=np.ones(15, dtype=np.float32), numbers=values
                ),
            )
        )
    with TakeStore.open(tmp_path / "takes.sqlite") as store:
        store.add(takes, "test")
    found = scored(tmp_path)
    assert (found["split"], found["takes"], found["accuracy"]) == ("takes", 8, 1.0)
    ((patch, output, dataset),) = read_scorable(tmp_path)
    is_seen, is_held = split(dataset, "takes", np.random.default_rng(0))
    assert not set(dataset.examples.takes[is_seen]) & set(dataset.examples.takes[is_held])
    assert len(cross_validate(patch, output, dataset, "takes").rows) == len(dataset.examples)
    assert evaluate(patch, output, dataset, kind="takes", runs=1)["beside"]["split"] == "frames"


def test_a_ready_made_patch_is_scored_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects.platformdirs, "user_data_dir", lambda *_, **__: str(tmp_path / "user data"))
    monkeypatch.chdir(tmp_path)
    assert scored(Path("three-postures"))["output"] == "posture"
    said = CliRunner().invoke(app, ["evaluate", "four-postures"])
    assert said.exit_code == 1
    assert "three-postures" in said.output


def test_landmarks_known_to_be_landmarks_are_told_apart_from_five_of_each(shared_recordings: Path) -> None:
    for name, landmarks, least in (("body_pose", "pose", 0.9), ("hand_keypoint", "hand", 0.88)):
        ((patch, output, dataset),) = read_scorable(
            shared_recordings / "landmarks" / f"{name}.csv", landmarks=landmarks
        )
        accuracies = []
        for seed in range(2):
            is_seen, is_held = split(dataset, "frames", np.random.default_rng(seed), few=5)
            accuracies.append(train_and_score(patch, output, dataset, is_seen, is_held).accuracy)
        assert np.mean(accuracies) > least


def test_a_continuous_output_is_scored_by_takes_with_frames_beside_it(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "patch.toml").write_text(NUMBERS_PATCH)
    rng = np.random.default_rng(0)
    takes = []
    for number in range(8):
        value = number / 7
        numbers = (value + 0.02 * rng.standard_normal((10, 2))).astype(np.float32)
        landmarks = LandmarkSequence(times_s=np.arange(10) / 30, aspect=np.ones(10, dtype=np.float32), numbers=numbers)
        takes.append(
            WholeTake(created_at="2026-01-01T00:00:00Z", source="test", targets={"amount": value}, landmarks=landmarks)
        )
    with TakeStore.open(project / "takes.sqlite") as store:
        store.add(takes, "test")
    result = scored(project)
    assert result["output"] == "amount"
    assert result["split"] == "takes"
    assert result["rmse"] < 0.5 * result["rmse_of_the_mean"]
    assert result["beside"]["split"] == "frames"
    assert result["beside"]["rmse"] < result["rmse"]
    said = CliRunner().invoke(app, ["evaluate", str(project)])
    assert "off (root mean square) with takes held out" in said.output


def poses(*values: float, names: tuple[str, ...], frames: int = 10) -> Dataset:
    """A take for each value, at that value in every feature, with a little noise."""
    rng = np.random.default_rng(0)
    shown = np.repeat(values, frames).astype(np.float32)
    numbers = (shown[:, None] + 0.02 * rng.standard_normal((len(shown), len(names)))).astype(np.float32)
    count = len(values)
    sequence = LandmarkSequence(times_s=np.arange(frames) / 30, aspect=np.ones(frames, dtype=np.float32))
    return Dataset(
        examples=Examples(values=numbers, targets=shown, takes=np.repeat(np.arange(count), frames), class_count=0),
        classes=(),
        take_ids=tuple(range(1, count + 1)),
        feature_names=names,
        frames=((sequence, np.arange(frames)),) * count,
        notes=(),
    )


def test_values_are_scored_with_the_features_that_the_model_that_plays_learns_from() -> None:
    patch = parse_patch(
        '[listen]\nsource = "osc"\ninputs = 4\n[[output]]\nname = "amount"\nkind = "continuous"\n',
        Path("patch.toml"),
    )
    (output,) = patch.outputs
    plays = poses(0.0, 0.3, 0.6, 1.0, names=("numbers.1", "numbers.2"))
    offered = poses(0.9, 0.1, 0.8, 0.2, names=("number_path.length",)).examples.values
    dataset = replace(
        plays,
        examples=replace(plays.examples, values=np.hstack([plays.examples.values, offered])),
        feature_names=(*plays.feature_names, "number_path.length"),
    )
    assert train_output(patch, output, dataset).feature_names == plays.feature_names
    for kind in ("takes", "blocks", "frames"):
        assert np.array_equal(value_errors(output, dataset, kind)[0], value_errors(output, plays, kind)[0])


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_a_value_with_two_takes_is_never_held_out_whole(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = parse_patch(NUMBERS_PATCH, Path("patch.toml"))
    learned: list[set[float]] = []

    def learn_nothing(output: object, examples: Examples, *_: object) -> Callable[[FloatArray], FloatArray]:
        learned.append(set(examples.targets.tolist()))
        return lambda values: np.zeros((len(values), 1), dtype=np.float32)

    monkeypatch.setattr(evaluation, "_learn", learn_nothing)
    values = np.linspace(0.0, 1.0, count)
    for order in (np.repeat(values, 2), np.tile(values, 2)):
        dataset = poses(*order.tolist(), names=("numbers.1", "numbers.2"))
        for seed in range(5):
            value_errors(patch.output("amount"), dataset, "takes", seed=seed)
    assert learned
    assert all(len(shown) == count for shown in learned)


def changing(takes: int, frames: int = 10) -> Dataset:
    """Takes that each begin with one class and end with the other."""
    rng = np.random.default_rng(0)
    targets = np.tile(np.repeat([0, 1], frames // 2), takes)
    dataset = poses(*np.zeros(takes), names=("numbers.1", "numbers.2"), frames=frames)
    values = (targets[:, None] + 0.1 * rng.standard_normal((len(targets), 2))).astype(np.float32)
    examples = replace(dataset.examples, values=values, targets=targets, class_count=2)
    return replace(dataset, examples=examples, classes=("left", "right"))


def test_a_take_whose_class_changes_is_scored_by_a_model_that_never_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    patch = parse_patch(NUMBERS_PATCH, Path("patch.toml"))
    dataset = changing(6)
    takes = dataset.examples.takes
    shared: list[set[int]] = []
    scores = train_and_score

    def watched(*given: Any, **options: Any) -> Scored:
        *_, is_seen, is_held = given
        shared.append(set(takes[is_seen].tolist()) & set(takes[is_held].tolist()))
        return scores(*given, **options)

    monkeypatch.setattr(evaluation, "train_and_score", watched)
    scored = cross_validate(patch, patch.output("side"), dataset, "takes")
    assert scored.rows.tolist() == list(range(60))
    assert shared == [set()] * 5


@pytest.mark.parametrize("few", [0, 7])
def test_a_take_whose_class_changes_is_not_split(few: int) -> None:
    dataset = changing(6)
    takes, targets = dataset.examples.takes, dataset.examples.targets
    for seed in range(5):
        is_seen, is_held = split(dataset, "takes", np.random.default_rng(seed), few=few)
        assert not set(takes[is_seen].tolist()) & set(takes[is_held].tolist())
        assert np.bincount(targets[is_seen]).tolist() == ([few] * 2 if few else [20, 20])
        assert is_held.sum() == 20


def test_outputs_that_are_not_scored_are_said(tmp_path: Path) -> None:
    (tmp_path / "patch.toml").write_text(NUMBERS_PATCH + '[[output]]\nname = "swing"\nkind = "trigger"\n')
    landmarks = LandmarkSequence(
        times_s=np.arange(10) / 30, aspect=np.ones(10, dtype=np.float32), numbers=np.zeros((10, 2), dtype=np.float32)
    )
    takes = [
        WholeTake(created_at="", source="", targets={"side": side}, landmarks=landmarks)
        for side in ("left", "right") * 2
    ]
    with TakeStore.open(tmp_path / "takes.sqlite") as store:
        store.add(takes, "test")
    notes = " ".join(scored(tmp_path)["notes"])  # type: ignore[arg-type]
    assert "output 'amount': no takes to learn from" in notes
    assert "output 'swing' is a trigger, and movements are not scored here; play the project, and `instrument" in notes
