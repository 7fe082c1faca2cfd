"""Takes as NPZ: for each take its arrays, as NumPy reads them without pickle.

`1.pose` is the pose of the first take, `1.times_s` its times; `1.about` is the rest of it, as JSON
in UTF-8 bytes.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.exchange_plain import Hints
from instrument.exchange_table import MAX_TIME_S, ExchangeError
from instrument.signals import LANDMARK_PARTS, PART_SHAPES, FloatArray, LandmarkSequence
from instrument.takes import TakesError, WholeTake, check_layout, checked_targets

VERSION = 1
MAX_UNPACKED_BYTES = 1 << 30


def write_npz(path: Path, takes: Callable[[], Iterable[WholeTake]], decimals: int | None) -> None:
    """Writes those takes; landmarks rounded to `decimals` places, if given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, array: NDArray[Any]) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)

        put("format", np.array([VERSION]))
        for number, take in enumerate(takes(), start=1):
            about = {
                "kind": take.kind,
                "created_at": take.created_at,
                "source": take.source,
                "targets": dict(take.targets),
                "moving": dict(take.moving),
                "trim": take.trim,
            }
            put(f"{number}.about", np.frombuffer(json.dumps(about).encode(), dtype=np.uint8))
            put(f"{number}.times_s", take.landmarks.times_s)
            put(f"{number}.aspect", take.landmarks.aspect)
            for part in LANDMARK_PARTS:
                array: FloatArray | None = getattr(take.landmarks, part)
                if array is not None:
                    put(f"{number}.{part}", array if decimals is None else array.round(decimals))


def read_npz(path: Path, _hints: Hints) -> list[WholeTake]:
    """The takes in that file."""
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _arrays(path, archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise ExchangeError(f"{path}: not a readable NPZ file ({error})") from None
    version = arrays.pop("format", None)
    if version is None or version.shape != (1,) or version[0] != VERSION:
        came = "no array 'format'" if version is None else f"format {version.ravel()[:1]}"
        raise ExchangeError(f"{path}: {came}; allowed: takes written by `instrument export` (format {VERSION})")
    takes: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        number, _, rest = name.partition(".")
        takes.setdefault(number, {})[rest] = array
    return [_take(path, number, arrays) for number, arrays in takes.items()]


def _arrays(path: Path, archive: zipfile.ZipFile) -> dict[str, NDArray[Any]]:
    size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_UNPACKED_BYTES:
        raise ExchangeError(f"{path}: unpacks to {size >> 20} MiB; allowed: up to {MAX_UNPACKED_BYTES >> 20}")
    arrays: dict[str, NDArray[Any]] = {}
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename or name in arrays:
            raise ExchangeError(f"{path}: entry '{entry.filename}'; allowed: arrays (.npy), each name once")
        try:
            arrays[name] = _array(archive.read(entry))
        except ValueError as error:
            raise ExchangeError(f"{path}: array '{name}': {error}; allowed: arrays of plain numbers") from None
    return arrays


def _array(packed: bytes) -> NDArray[Any]:
    """The array in an .npy file, whose header may not promise more than is there."""
    file = io.BytesIO(packed)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    if dtype.kind not in "fiu" or is_fortran:
        raise ValueError(f"type {dtype}, Fortran order {is_fortran}")
    if math.prod(shape) * dtype.itemsize != len(packed) - file.tell():
        raise ValueError(f"shape {shape} does not fit its {len(packed)} bytes")
    return np.frombuffer(packed, dtype=dtype, offset=file.tell()).reshape(shape)


def _take(path: Path, number: str, arrays: Mapping[str, NDArray[Any]]) -> WholeTake:
    try:
        about = json.loads(arrays["about"].astype(np.uint8).tobytes())
        times_s = arrays["times_s"].astype(np.float64)
        count = len(times_s)
        if not count or not (times_s[0] >= 0 and times_s[-1] <= MAX_TIME_S and (np.diff(times_s) >= 0).all()):
            raise ValueError(f"times_s does not go from 0 s up to {MAX_TIME_S:g} s without going back")
        parts = {
            name: _floats(name, arrays[name], (count, *(PART_SHAPES[name] or arrays[name].shape[1:2])))
            for name in LANDMARK_PARTS
            if name in arrays
        }
        datetime.fromisoformat(about["created_at"])
        check_layout(about["kind"], tuple(parts))
        targets = checked_targets(dict(about["targets"]))
        moving = {output: tuple(column) for output, column in dict(about["moving"]).items()}
        for output, column in moving.items():
            if len(column) != count or targets.get(output) != column[0]:
                raise ValueError(f"targets of '{output}' do not fit its {count} frames")
            for target in set(column):
                checked_targets({output: target})
        trim = about["trim"]
        if trim is not None:
            first, last = (int(index) for index in trim)
            if not 0 <= first <= last < count:
                raise ValueError(f"trim is {trim}; it has frames 0..{count - 1}")
            trim = (first, last)
        return WholeTake(
            kind=about["kind"],
            created_at=about["created_at"],
            source=str(about["source"]),
            targets=targets,
            moving=moving,
            trim=trim,
            landmarks=LandmarkSequence(times_s=times_s, aspect=_floats("aspect", arrays["aspect"], (count,)), **parts),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError, TakesError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ExchangeError(f"{path}: take '{number}': {said}; allowed: takes as `instrument export` writes") from None


def _floats(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> FloatArray:
    if array.shape != shape or 0 in shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed: {shape}")
    if np.isinf(array).any():
        raise ValueError(f"{name} has infinite numbers")
    return array.astype(np.float32)
