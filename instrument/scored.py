"""What can be scored: a table of numbers with labels, a file of takes, or a project.

Each becomes what training learns from: a patch, one of its outputs, and a dataset.
"""

import tempfile
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instrument.datasets import Dataset, FeatureCache, gather, with_inputs_of
from instrument.exchange import read_takes
from instrument.exchange_plain import Hints, is_ours, label_cells, label_columns, number_cells, plain_table, read_rows
from instrument.exchange_table import ExchangeError, not_text
from instrument.features import extract, feature_columns, feature_names
from instrument.models.fitting import Examples, TrainingError
from instrument.patch import Output, Patch, PatchError
from instrument.patch_file import parse_patch, read_patch
from instrument.project import Project
from instrument.signals import POSE_LANDMARKS, FloatArray, LandmarkSequence
from instrument.takes import TakesError, TakeStore
from instrument.words import counted

LANDMARKS = ("pose", "hand")
_MOST_NAMED = 5
_COORDINATES = {"pose": (33, (2, 3, 4)), "hand": (21, (2, 3))}

Scorable = tuple[Patch, Output, Dataset]


class ScoredError(Exception):
    """A file or project with nothing to score; the text says which, why and what to do."""


def read_scorable(path: Path, *, label_column: int | None = None, landmarks: str | None = None) -> list[Scorable]:
    """The outputs of a project, or the labels of a file.

    `label_column` counts from 1; by default labels are in the column that a header names `label`, `class`, `target`
    or `output`, else in one that holds words, else in the last. `landmarks` says that a table's other columns are
    body points: `pose` (33) or `hand` (21), each x and y, with z and visibility if there. Raises ScoredError, also
    when either is given for what is no table.
    """
    try:
        if path.is_file() and path.suffix.lower() in (".csv", ".txt", ".tsv") and not _is_ours(path):
            return [_of_table(path, label_column, landmarks)]
        for option, value in (("--label-column", label_column), ("--landmarks", landmarks)):
            if value is not None:
                raise ScoredError(f"{option} is for tables of numbers (.csv, .txt or .tsv); for {path} leave it out")
        return _of_project(Project(path)) if path.is_dir() else _of_takes(path)
    except UnicodeDecodeError as error:
        raise ScoredError(str(not_text(path, error))) from error
    except (OSError, PatchError, TakesError, ExchangeError, TrainingError) as error:
        raise ScoredError(str(error)) from error


def _is_ours(path: Path) -> bool:
    with path.open(encoding="utf-8-sig") as file:
        return is_ours(file.readline(1 << 20))


def _of_table(path: Path, label_column: int | None, landmarks: str | None) -> Scorable:
    hints = Hints(label_column=label_column)
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = plain_table(path, read_rows(path, file), hints)
    if table.width < 2 or not table.rows:
        raise ScoredError(f"{path}: no table; wanted: rows of numbers and a label")
    label, *others = label_columns(table, hints, is_guessed=True)
    if others:
        named = ", ".join(f"{column + 1} ({table.names[column]})" for column in (label, *others))
        raise ScoredError(f"{path}: any of the columns {named} could be the labels; say which with --label-column N")
    labels = label_cells(table, label)
    if label_column is None and len(set(labels)) > max(2, len(labels) / 2):
        name = f" ({table.names[label]})" if table.names else ""
        raise ScoredError(
            f"{path}: column {label + 1}{name} holds {len(set(labels))} different labels in {len(labels)} rows, "
            "too many to be classes; say which column holds the labels with --label-column N"
        )
    names = list(table.names or map(str, range(1, table.width + 1)))
    others_of = [(place, cells[:label] + cells[label + 1 :]) for place, cells in table.rows]
    try:
        rows = [number_cells(place, names[:label] + names[label + 1 :], cells) for place, cells in others_of]
    except ExchangeError as error:
        raise ScoredError(f"{error}; or is the label in another column? --label-column N says which") from None
    numbers = np.stack(rows)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(numbers).all(axis=1))
    notes = () if finite.all() else (f"{counted(int((~finite).sum()), 'row')} with missing numbers left out",)
    if not finite.any():
        raise ScoredError(f"{path}: in every row a number is missing; nothing can be learned from it")
    kept = [label for label, is_kept in zip(labels, finite.tolist(), strict=True) if is_kept]
    doubts = _doubts(numbers[finite], kept, names[:label] + names[label + 1 :])
    return dataset_of(path, numbers[finite], kept, landmarks, (*notes, *doubts))


def _doubts(numbers: FloatArray, labels: list[str], names: list[str]) -> tuple[str, ...]:
    """What is odd about rows of numbers (N, inputs) with those labels."""
    doubts = []
    rows = [row.tobytes() for row in numbers + 0]  # -0 is 0
    labels_of: dict[bytes, set[str]] = {}
    for row, label in zip(rows, labels, strict=True):
        labels_of.setdefault(row, set()).add(label)
    if torn := sum(len(labels_of[row]) > 1 for row in rows):
        doubts.append(f"{counted(torn, 'row')} with the numbers of another, but not its label")
    is_still = (numbers == numbers[0]).all(axis=0)
    still = [names[column] for column in np.flatnonzero(is_still)]
    if still:
        shown = ", ".join(still[:_MOST_NAMED]) + (", ..." if len(still) > _MOST_NAMED else "")
        doubts.append(f"{counted(len(still), 'column')} with the same number in every row: {shown}")
    return tuple(doubts)


def dataset_of(
    path: Path, numbers: FloatArray, labels: list[str], landmarks: str | None, notes: tuple[str, ...] = ()
) -> Scorable:
    """What those rows of numbers (N, inputs) and their labels teach; `path` is named in messages."""
    classes = tuple(dict.fromkeys(labels))
    if len(classes) < 2:
        raise ScoredError(f"{path}: {counted(len(classes), 'class')}; at least 2 can be told apart")
    listen = {"pose": 'track = ["pose"]', "hand": 'track = ["hands"]'}.get(
        landmarks or "", f'source = "osc"\ninputs = {numbers.shape[1]}'
    )
    patch = parse_patch(f'[listen]\n{listen}\n[[output]]\nname = "label"\n', path)
    output = patch.outputs[0]
    sequence = _sequence(path, numbers, landmarks)
    names, columns = feature_names(patch), feature_columns(patch, output)
    values = extract(patch, sequence)[:, columns]
    number = {name: index for index, name in enumerate(classes)}
    # Rows in a run with one label are a take, if there is more than one run of each.
    runs = np.repeat(np.arange(len(list(groupby(labels)))), [len(list(run)) for _, run in groupby(labels)])
    dataset = Dataset(
        examples=Examples(
            values=values,
            targets=np.array([number[label] for label in labels], dtype=np.intp),
            takes=runs,
            class_count=len(classes),
        ),
        classes=classes,
        take_ids=tuple(range(1, int(runs[-1]) + 2)),
        feature_names=tuple(names[column] for column in columns),
        frames=((sequence, np.arange(len(values))),),
        notes=notes,
    )
    return patch, output, dataset


def _sequence(path: Path, numbers: FloatArray, landmarks: str | None) -> LandmarkSequence:
    """Every row a moment of its own, too far from the next for smoothing."""
    count = len(numbers)
    times_s, aspect = 10.0 * np.arange(count, dtype=np.float64), np.ones(count, dtype=np.float32)
    if landmarks is None:
        return LandmarkSequence(times_s=times_s, aspect=aspect, numbers=numbers)
    points, allowed = _COORDINATES[landmarks]
    each, rest = divmod(numbers.shape[1], points)
    if rest or each not in allowed:
        wanted = " or ".join(str(points * one) for one in allowed)
        raise ScoredError(f"{path}: {numbers.shape[1]} numbers a row; landmarks of a {landmarks} are {wanted}")
    found = numbers.reshape(count, points, each)
    if landmarks == "pose":
        assert points == len(POSE_LANDMARKS)
        pose = np.zeros((count, points, 4), dtype=np.float32)
        pose[:, :, 3] = 1.0
        pose[:, :, :each] = found
        return LandmarkSequence(times_s=times_s, aspect=aspect, pose=pose)
    hand = np.zeros((count, points, 3), dtype=np.float32)
    hand[:, :, :each] = found
    return LandmarkSequence(times_s=times_s, aspect=aspect, right_hand=hand, left_hand=np.full_like(hand, np.nan))


def _of_project(project: Project) -> list[Scorable]:
    patch = read_patch(project.patch_file)
    with TakeStore.open(project.takes_file, readonly=True) as store, store.snapshot():
        return _outputs(patch, store, project.folder)


def _outputs(patch: Patch, store: TakeStore, path: Path) -> list[Scorable]:
    """What each output learns from; what is said of those left out stands with the last."""
    takes = store.takes(kind="take")
    patch = with_inputs_of(patch, takes)
    cache = FeatureCache()
    found: list[Scorable] = []
    left_out = []
    for output in patch.outputs:
        if output.kind == "trigger":
            left_out.append(
                f"output '{output.name}' is a trigger, and movements are not scored here; "
                "play the project, and `instrument status` gives its score"
            )
            continue
        try:
            found.append((patch, output, gather(patch, output, takes, store, cache)))
        except TrainingError as error:
            left_out.append(f"output '{output.name}': {error}")
    if not found:
        raise ScoredError(f"{path}: {'; '.join(left_out) or 'no output that learns classes or values'}")
    *others, (_, output, dataset) = found
    return [*others, (patch, output, replace(dataset, notes=(*dataset.notes, *left_out)))]


def _of_takes(path: Path) -> list[Scorable]:
    """A file of takes is scored as a project that has nothing else."""
    takes = [take for take in read_takes(path) if take.kind == "take"]
    outputs = list(dict.fromkeys(name for take in takes for name, value in take.targets.items() if _is_text(value)))
    if not outputs:
        raise ScoredError(f"{path}: no take that teaches a class")
    parts = {name for take in takes for name in ("pose", "right_hand", "numbers") if _has(take.landmarks, name)}
    track = [word for part, word in (("pose", "pose"), ("right_hand", "hands")) if part in parts]
    listen = 'source = "osc"' if "numbers" in parts else f"track = {track}"
    text = f"[listen]\n{listen}\n" + "".join(f'[[output]]\nname = "{name}"\n' for name in outputs)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        TakeStore.open(Path(folder) / "takes.sqlite") as store,
    ):
        store.add(takes, "evaluate")
        return _outputs(parse_patch(text, path), store, path)


def _has(landmarks: LandmarkSequence, part: str) -> bool:
    return getattr(landmarks, part) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str)
