"""The page as a performer sees it, in a real Chromium, with the demo performer in front of the camera."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browsing import Program, chromium, open_page
from clients import require_client

from instrument.projects import new_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    require_client("chromium")
    project = new_project(tmp_path_factory.mktemp("projects") / "piece", "three-postures")
    with Program(project.folder, "--source", "demo") as program:
        yield program


def test_the_stage_shows_the_performers_skeleton_and_what_is_recognised(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url)
    page.locator("instrument-camera-view[data-tracked=yes]").wait_for()
    for posture in ("rest", "up"):  # the demo performer raises their arms every few seconds
        page.locator(f"instrument-recognised[data-said={posture}]").wait_for()
    page.close()


def test_a_page_asks_for_nothing_outside_this_computer(browser: "Browser", program: Program) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(program.url)
    page.locator("instrument-camera-view[data-tracked=yes]").wait_for()
    page.close()
    assert [
        url
        for url in asked
        if not re.match(rf"(http|ws)://127\.0\.0\.1:{program.url.rpartition(':')[2]}/|data:|blob:", url)
    ] == []
