"""What a page may send, and what somebody who means ill might: nothing may be written where it does not belong."""

import asyncio
import io
import stat
import struct
import urllib.error
import urllib.request
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import Program, open_page
from clients import require_client, wait_until

from instrument import assets
from instrument.console import uploads
from instrument.console.uploads import UploadError, check_video, plain_name, receive, unpack_project, unused
from instrument.projects import new_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATCH = b'name = "Sent"\n[listen]\nsource = "osc"\n[[output]]\nname = "side"\nclasses = ["left", "right"]\n'


def packed(files: Mapping[str | zipfile.ZipInfo, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def unpack(tmp_path: Path, content: bytes, name: str = "mine.zip") -> Path:
    file = tmp_path / "sent.zip"
    file.write_bytes(content)
    return unpack_project(file, tmp_path / "projects", name)


def is_untouched(tmp_path: Path) -> bool:
    """Whether there is nothing but the .zip and an empty folder for projects."""
    return {one.name for one in tmp_path.rglob("*")} <= {"sent.zip", "projects"}


# Projects


def test_a_packed_project_is_a_project(tmp_path: Path) -> None:
    folder = unpack(tmp_path, packed({"patch.toml": PATCH, "models/side.json": b"{}"}))
    assert folder == tmp_path / "projects" / "mine"
    assert (folder / "patch.toml").read_bytes() == PATCH
    assert (folder / "models" / "side.json").read_bytes() == b"{}"


def test_a_folder_around_the_project_and_what_systems_add_are_left_out(tmp_path: Path) -> None:
    folder = unpack(
        tmp_path,
        packed({"piece/": b"", "piece/patch.toml": PATCH, "__MACOSX/piece/._patch.toml": b"", ".DS_Store": b""}),
    )
    assert [one.name for one in folder.iterdir()] == ["patch.toml"]


def test_a_project_of_the_same_name_is_not_replaced(tmp_path: Path) -> None:
    names = [unpack(tmp_path, packed({"patch.toml": PATCH})).name for _ in range(3)]
    assert names == ["mine", "mine-2", "mine-3"]


def test_no_file_can_be_run_afterwards(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("run.sh")
    info.external_attr = (stat.S_IFREG | 0o4777) << 16
    folder = unpack(tmp_path, packed({"patch.toml": PATCH, info: b"#!/bin/sh\n"}))
    assert not (folder / "run.sh").stat().st_mode & 0o7111


BAD_NAMES = [
    "../out.txt",
    "a/../../out.txt",
    "/tmp/out.txt",  # noqa: S108
    "//server/out.txt",
    "C:/out.txt",
    "c:out.txt",
    "..\\out.txt",
    "a\\..\\..\\out.txt",
    "./patch2.toml",
    "a//b",
    "nul",
    "models/CON.json",
    "name.",
    "line\nbreak",
    "a" * 300,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(UploadError, match="no name for a file inside a project"):
        unpack(tmp_path, packed({"patch.toml": PATCH, zipfile.ZipInfo(name): b"out"}))
    assert is_untouched(tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("models")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(UploadError, match="link or a device"):
        unpack(tmp_path, packed({"patch.toml": PATCH, info: b"/etc"}))
    assert is_untouched(tmp_path)


def test_two_files_of_one_name_are_refused_whatever_their_case(tmp_path: Path) -> None:
    with pytest.raises(UploadError, match="same name"):
        unpack(tmp_path, packed({"patch.toml": PATCH, "a.txt": b"1", "A.TXT": b"2"}))
    assert is_untouched(tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = packed({"patch.toml": PATCH, "takes.sqlite": bytes(64 * uploads.MB)})
    assert len(bomb) < uploads.MB
    with pytest.raises(UploadError, match="unpacks to more than"):
        unpack(tmp_path, bomb)
    assert is_untouched(tmp_path)


def test_a_bomb_that_lies_about_its_size_is_not_unpacked_either(tmp_path: Path) -> None:
    content = 64 * uploads.MB
    bomb = packed({"patch.toml": PATCH, "takes.sqlite": bytes(content)})
    assert bomb.count(struct.pack("<I", content)) >= 2
    with pytest.raises(UploadError):
        unpack(tmp_path, bomb.replace(struct.pack("<I", content), struct.pack("<I", 1000)))
    assert is_untouched(tmp_path)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many = {f"{number}.txt": b"" for number in range(uploads.MOST_FILES + 1)}
    with pytest.raises(UploadError, match="at most 2000"):
        unpack(tmp_path, packed({"patch.toml": PATCH, **many}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04 no zip", "cannot be read"),
        (packed({"patch.toml": PATCH})[:-20], "cannot be read"),
        (packed({"readme.txt": b"hello"}), "no patch.toml"),
        (packed({"a/patch.toml": PATCH, "b/patch.toml": PATCH}), "several folders"),
        (packed({"patch.toml": b"name = "}), "patch.toml"),
        (packed({"patch.toml": b"\xff"}), "patch.toml"),
    ],
    ids=["empty", "not a zip", "cut off", "no patch", "two projects", "bad patch", "no text"],
)
def test_what_is_no_project_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UploadError, match=reason) as refused:
        unpack(tmp_path, content)
    assert str(tmp_path) not in str(refused.value)
    assert is_untouched(tmp_path)


# Files


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_no_more_is_written_than_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(UploadError, match="larger than"):
        asyncio.run(receive(chunks(b"12345", b"6"), tmp_path / "file", 5))
    assert (tmp_path / "file").stat().st_size <= 5


def test_a_full_disk_is_told_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SPARE_BYTES", 1 << 60)
    with pytest.raises(UploadError, match="disk is too full"):
        asyncio.run(receive(chunks(b"1"), tmp_path / "file", 5))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("My Piece.zip", "My-Piece"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot"),
        ("clip.MP4", "clip.mp4"),
        ("a.b.c.mov", "a-b-c.mov"),
        ("con.mp4", "file-con.mp4"),
        ("", "file"),
        ("...", "file"),
        ("クリップ.mp4", "file.mp4"),
        ("x" * 200 + ".mp4", "x" * 60 + ".mp4"),
    ],
)
def test_a_name_becomes_a_plain_one(name: str, plain: str) -> None:
    assert plain_name(name, default="file") == plain


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clip-2.mp4").symlink_to(tmp_path / "nowhere")
    assert unused(tmp_path, "clip.mp4").name == "clip-3.mp4"


@pytest.mark.parametrize(
    "content",
    [b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile '/etc/passwd'\n", b"", b"#!/bin/sh\n"],
    ids=["playlist", "list of files", "empty", "script"],
)
def test_what_only_has_a_videos_name_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(UploadError, match="is no video"):
        check_video(file, "clip.mp4")


# The page


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    require_client("chromium")
    project = new_project(tmp_path_factory.mktemp("projects") / "piece", "three-postures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user data")))
        with Program(project.folder, "--source", "demo") as program:
            yield program


def test_a_video_that_is_sent_is_watched_from_the_projects_folder(browser: "Browser", program: Program) -> None:
    page = open_page(browser, f"{program.url}/health")
    page.locator("input[data-kind=video]").set_input_files(assets.path("demo.mp4"))
    page.get_by_text("The instrument watches demo.mp4").wait_for()
    status = program.status()
    assert status["source"]["name"] == str(Path(status["project"]) / "videos" / "demo.mp4")
    page.close()


def test_what_cannot_be_played_is_refused_on_the_page_and_not_kept(
    browser: "Browser", program: Program, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(1000))
    videos = Path(program.status()["project"]) / "videos"
    videos.mkdir(exist_ok=True)
    before = sorted(videos.iterdir())
    page = open_page(browser, f"{program.url}/health")
    page.locator("input[data-kind=video]").set_input_files(broken)
    page.get_by_text("not a video that OpenCV can read").wait_for()
    assert sorted(videos.iterdir()) == before
    page.close()


def post(program: Program, path: str, content: bytes, **headers: str) -> int:
    request = urllib.request.Request(program.url + path, data=content, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_only_the_consoles_own_page_may_send(program: Program) -> None:
    zipped = packed({"patch.toml": PATCH})
    assert post(program, "/uploads/project?name=x.zip", zipped, Origin="https://evil.example") == 403
    assert post(program, "/uploads/project?name=x.zip", packed({"../patch.toml": PATCH})) == 422
    assert post(program, "/uploads/program?name=x.exe", b"MZ") == 404


def test_a_project_that_is_sent_is_played(browser: "Browser", program: Program, tmp_path: Path) -> None:
    patch = (Path(program.status()["project"]) / "patch.toml").read_text(encoding="utf-8")
    file = tmp_path / "my piece.zip"
    file.write_bytes(packed({"my piece/patch.toml": patch.replace("Three postures", "Sent").encode()}))
    page = open_page(browser, f"{program.url}/health")
    page.locator("input[data-kind=project]").set_input_files(file)
    page.get_by_text("my-piece plays").wait_for()
    wait_until(lambda: program.status()["patch"] == "Sent", "the project")
    page.close()
