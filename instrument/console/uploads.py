"""Takes in projects (a .zip) and videos that a page sends, as files and nothing else: bounded, and where they belong.

Nothing of them is run, no name of theirs leads out of the folder made for them, links are refused,
and what unpacks to far more than it says or should is left. What goes wrong leaves nothing behind.
"""

import asyncio
import json
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

import platformdirs

from instrument.client import CommandFailed, NoAnswer
from instrument.console.hub import Hub
from instrument.patch import PatchError
from instrument.patch_file import read_patch

MB = 1 << 20
MOST_PROJECT_BYTES, MOST_VIDEO_BYTES = 256 * MB, 1024 * MB
MOST_UNPACKED_BYTES = 512 * MB
MOST_RATIO, FREE_OF_RATIO_BYTES = 50, 20 * MB
"""How many times larger than the .zip its files may be together, once they are larger than that."""
MOST_FILES = 2000
SPARE_BYTES = 200 * MB
"""What stays free on the disk, for takes."""
PATIENCE_S = 30.0
"""How long the engine may take to open what was sent."""
VIDEO_KINDS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mjpeg")
_CHUNK = 1 << 16
_NAMES_OF_WINDOWS = {"con", "prn", "aux", "nul", *(f"{one}{n}" for one in ("com", "lpt") for n in range(10))}
_LEFT_OUT = ("__MACOSX", ".DS_Store", "__pycache__")


class UploadError(ValueError):
    """What was sent cannot be taken; the text says why, and what would be."""


def uploaded_projects() -> Path:
    """Where projects go that were sent: apart from those made here, so that none takes the place of another."""
    return Path(platformdirs.user_data_dir("instrument", appauthor=False)) / "uploaded"


async def take_project(hub: Hub, chunks: AsyncIterator[bytes], name: str, projects: Path) -> Path:
    """Takes a project in and has the engine play it; gives its folder.

    Raises UploadError, CommandFailed with the engine's reason, NoAnswer or OSError, and then leaves nothing behind.
    """
    projects.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=projects) as inbox:
        archive = Path(inbox) / "project.zip"
        await receive(chunks, archive, MOST_PROJECT_BYTES)
        folder = await asyncio.to_thread(unpack_project, archive, projects, name)
    try:
        await hub.ask("/instrument/project/open", str(folder), timeout_s=PATIENCE_S)
    except (CommandFailed, NoAnswer):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


async def take_video(hub: Hub, chunks: AsyncIterator[bytes], name: str) -> Path:
    """Takes a video into the project's folder `videos` and has the engine watch it; gives the file.

    Raises UploadError, CommandFailed with the engine's reason, NoAnswer or OSError, and then leaves nothing behind.
    """
    answer = await hub.ask("/instrument/status", timeout_s=PATIENCE_S)
    videos = Path(json.loads(str(answer[0]))["project"]) / "videos"
    videos.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=videos) as inbox:
        draft = Path(inbox) / "video"
        await receive(chunks, draft, MOST_VIDEO_BYTES)
        check_video(draft, name)
        file = unused(videos, plain_name(name, default="video"))
        draft.rename(file)
    try:
        await hub.ask("/instrument/source", str(file), timeout_s=PATIENCE_S)
    except (CommandFailed, NoAnswer):
        file.unlink(missing_ok=True)
        raise
    return file


async def receive(chunks: AsyncIterator[bytes], file: Path, most_bytes: int) -> None:
    """Writes what comes into that file, which is not there yet.

    Raises UploadError when it is too much, or the disk too full; OSError.
    """
    room = shutil.disk_usage(file.parent).free - SPARE_BYTES
    count = 0
    with file.open("xb") as stream:
        async for chunk in chunks:
            count += len(chunk)
            if count > most_bytes:
                raise UploadError(f"the file is larger than {most_bytes // MB} MB, which is the most that is taken")
            if count > room:
                raise UploadError("the disk is too full for this file; make room, then send it again")
            stream.write(chunk)
    if not count:
        raise UploadError("the file is empty")


def unpack_project(archive: Path, projects: Path, name: str) -> Path:
    """Makes a project's folder among `projects` out of a .zip that has a `patch.toml`, and gives it.

    Raises UploadError or OSError, and then leaves nothing behind.
    """
    projects.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".upload-", dir=projects))
    try:
        try:
            with zipfile.ZipFile(archive) as files:
                _unpack(files, draft, archive.stat().st_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
            raise UploadError(f"the .zip cannot be read: {error}") from None
        try:
            read_patch(draft / "patch.toml")
        except PatchError as error:
            raise UploadError(str(error).replace(str(draft / "patch.toml"), "patch.toml")) from None
        folder = unused(projects, plain_name(name, default="project"))
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder


def _unpack(files: zipfile.ZipFile, folder: Path, size_bytes: int) -> None:
    wanted = [one for one in files.infolist() if not one.is_dir() and not _is_left_out(one.filename)]
    if len(wanted) > MOST_FILES:
        raise UploadError(f"the .zip has {len(wanted)} files; at most {MOST_FILES} are taken")
    names = [_checked(one) for one in wanted]
    if not any(name.name == "patch.toml" and len(name.parts) <= 2 for name in names):
        raise UploadError("the .zip has no patch.toml: send a project's folder, packed")
    tops = {name.parts[0] for name in names}
    if PurePosixPath("patch.toml") not in names:
        if len(tops) > 1:
            raise UploadError("the .zip has several folders; send one project's")
        names = [PurePosixPath(*name.parts[1:]) for name in names]
    if len({str(name).lower() for name in names}) < len(names):
        raise UploadError("two files of the .zip have the same name")
    left = min(MOST_UNPACKED_BYTES, max(FREE_OF_RATIO_BYTES, MOST_RATIO * size_bytes))
    left = min(left, shutil.disk_usage(folder).free - SPARE_BYTES)
    if sum(one.file_size for one in wanted) > left:
        raise UploadError(
            f"the .zip unpacks to more than {max(left, 0) // MB} MB, which is the most that is taken of it"
        )
    for info, name in zip(wanted, names, strict=True):
        left -= _write(files, info, folder / name, left)


def _write(files: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, most_bytes: int) -> int:
    """Writes one file; gives its size, whatever the .zip says it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with files.open(info) as packed, target.open("xb") as stream:
        while chunk := packed.read(_CHUNK):
            count += len(chunk)
            if count > most_bytes:
                raise UploadError("the .zip unpacks to more than it says")
            stream.write(chunk)
    return count


def _checked(info: zipfile.ZipInfo) -> PurePosixPath:
    """The file's name, when it is one that leads nowhere else and that every system takes.

    Raises UploadError.
    """
    name, mode = info.filename, info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise UploadError(f"'{name[:80]}' in the .zip is a link or a device; only files are taken")
    if info.flag_bits & 1:
        raise UploadError("the .zip has a password; send it without")
    parts = name.split("/")
    is_plain = all(
        part not in ("", ".", "..")
        and part.isprintable()
        and not set(part) & set('\\:*?"<>|')
        and part == part.rstrip(". ")
        and part.partition(".")[0].lower() not in _NAMES_OF_WINDOWS
        for part in parts
    )
    if not is_plain or len(name) > 200:
        raise UploadError(f"'{name[:80]}' in the .zip is no name for a file inside a project")
    return PurePosixPath(name)


def _is_left_out(name: str) -> bool:
    return bool(set(name.split("/")) & set(_LEFT_OUT))


def check_video(file: Path, name: str) -> None:
    """Looks whether the file is a video, by its name and its first bytes: a list of other files' names is none.

    Raises UploadError.
    """
    with file.open("rb") as stream:
        head = stream.read(16)
    is_video = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or head.startswith(
        (b"\x1a\x45\xdf\xa3", b"\xff\xd8\xff")
    )
    is_video |= head.startswith(b"RIFF") and head[8:12] == b"AVI "
    if not is_video or not name.lower().endswith(VIDEO_KINDS):
        raise UploadError(f"'{name[:80]}' is no video; allowed: {', '.join(VIDEO_KINDS)}")


def plain_name(name: str, *, default: str) -> str:
    """A name of letters, digits, `-` and `_` made from a file's, with a video's ending if it had one."""
    path = PurePosixPath(name.replace("\\", "/"))
    stem = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "-" for one in path.stem)[:60].strip(
        "-"
    )
    if not stem or stem.lower() in _NAMES_OF_WINDOWS:
        stem = f"{default}-{stem}".strip("-")
    return stem + (path.suffix.lower() if path.suffix.lower() in VIDEO_KINDS else "")


def unused(folder: Path, name: str) -> Path:
    """A path in that folder that is not there yet: NAME, else NAME-2, NAME-3 ..."""
    path, number = folder / name, 2
    while path.exists() or path.is_symlink():
        path = folder / f"{PurePosixPath(name).stem}-{number}{PurePosixPath(name).suffix}"
        number += 1
    return path
