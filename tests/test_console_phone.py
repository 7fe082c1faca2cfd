"""A phone as the camera: a real Chromium whose camera shows the demo performer, 640 x 360, 30 a second."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import SWITCHES, Program, camera_clip, chromium, fake_camera, open_page, ready_made
from clients import require_client, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SENDING = "instrument-phone-camera[data-state=good]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    require_client("chromium")
    with chromium(*fake_camera(camera_clip(tmp_path_factory.mktemp("clips") / "performer.mjpeg"))) as browser:
        yield browser


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with ready_made(tmp_path_factory.mktemp("projects") / "piece", "phone") as program:
        yield program


def started(browser: "Browser", program: Program) -> "Page":
    """The Camera page on a phone, its camera started."""
    page = open_page(browser, f"{program.url}/camera", width_px=390, height_px=844)
    page.get_by_role("button", name="Start this camera").click()
    return page


def source(program: Program) -> dict[str, Any]:
    return program.status()["source"]


def test_a_phones_camera_is_watched_and_the_performer_in_it_recognised(browser: "Browser", program: Program) -> None:
    page = started(browser, program)
    page.locator(SENDING).wait_for()
    for posture in ("rest", "up"):
        page.locator(f"instrument-recognised[data-said={posture}]").wait_for()
    assert source(program)["name"] == "phone"
    page.close()


def test_the_delay_is_told_on_both_ends(browser: "Browser", program: Program) -> None:
    page = started(browser, program)
    page.locator("instrument-phone-camera[data-delay]").wait_for()
    assert "ms to the instrument and back" in page.locator(".phone-figures").inner_text()
    wait_until(lambda: (source(program)["delay_ms"] or 0) > 0, "the engine to know the delay")
    page.close()


def test_a_phone_that_vanishes_is_noticed_and_its_camera_picked_up_when_it_is_back(
    browser: "Browser", program: Program
) -> None:
    page = started(browser, program)
    page.locator(SENDING).wait_for()
    before = source(program)["losses"]
    page.close()
    wait_until(lambda: source(program)["state"] == "lost", "the loss to be noticed")
    assert source(program)["losses"] == before + 1
    page = started(browser, program)
    wait_until(lambda: source(program)["state"] == "playing", "the phone to be picked up")
    page.close()


def test_the_phone_that_comes_last_is_the_camera_and_the_other_is_told(browser: "Browser", program: Program) -> None:
    first = started(browser, program)
    first.locator(SENDING).wait_for()
    second = started(browser, program)
    second.locator(SENDING).wait_for()
    first.get_by_text("Another device is the camera now").wait_for()
    first.close()
    second.close()


@pytest.mark.parametrize("process", ["engine", "console"])
def test_a_phone_goes_on_by_itself_when_a_process_was_killed(
    browser: "Browser", program: Program, process: str
) -> None:
    page = started(browser, program)
    page.locator(SENDING).wait_for()
    program.kill(process)
    wait_until(lambda: program.child(process) is not None and program.answers(), f"another {process}")
    wait_until(lambda: source(program)["state"] == "playing", "the phone to be picked up")
    page.locator(SENDING).wait_for()
    before = source(program)["frames"]
    wait_until(lambda: source(program)["frames"] > before, "the phone's pictures")
    page.close()


def test_the_page_has_itself_watched_when_something_else_was(browser: "Browser", program: Program) -> None:
    program.ask("source", "demo")
    page = started(browser, program)
    page.get_by_role("button", name="Watch this camera").click()
    page.locator(SENDING).wait_for()
    assert source(program)["name"] == "phone"
    page.close()


def test_the_page_goes_back_to_the_computers_own_camera_when_its_own_was_stopped(
    browser: "Browser", program: Program
) -> None:
    program.ask("source", "phone")
    page = started(browser, program)
    page.locator(SENDING).wait_for()
    page.get_by_role("button", name="Stop this camera").click()
    page.get_by_role("button", name="Watch the computer's own camera again").click()
    wait_until(lambda: source(program)["name"] != "phone", "another source")
    page.close()
    program.ask("source", "phone")


def test_the_page_goes_back_to_the_computers_own_camera_from_a_video(
    browser: "Browser", program: Program, tmp_path: Path
) -> None:
    film = camera_clip(tmp_path / "film.mjpeg")
    program.ask("source", str(film))
    page = open_page(browser, f"{program.url}/camera")
    page.get_by_role("button", name="Watch the computer's own camera again").click()
    wait_until(lambda: source(program)["name"] not in (str(film), "phone"), "another source")
    page.close()
    program.ask("source", "phone")


def test_a_device_without_a_camera_is_told_so(browser: "Browser", program: Program) -> None:
    other = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
    page = started(other, program)
    page.get_by_text("This device has no camera").wait_for()
    other.close()
