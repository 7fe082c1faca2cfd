"""The page as a performer sees it, in a real Chromium, with the demo performer in front of the camera."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from browsing import FAINT_TEXTS, NAMELESS, Program, open_page, tap
from clients import wait_until

from instrument.console.pages import PAGES
from instrument.projects import new_project
from instrument.takes import TakeStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROUND = 180
"""Frames of the demo there and back."""
REST, UP = (80, 102), (54, 66)
"""In which frames of a round the performer's arms hang, or are up."""
AT_FRAME = """async ([wanted, round]) => {
    const { live } = await import("/static/live.js");
    await new Promise((resolve) => {
        const stop = live.on("frame", ({ number }) => number % round === wanted && (stop(), resolve()));
    });
}"""
SKELETON = "instrument-camera-view[data-tracked=yes]"


def test_the_stage_shows_the_performers_skeleton_and_what_is_recognised(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url)
    page.locator("instrument-camera-view[data-tracked=yes]").wait_for()
    for posture in ("rest", "up"):  # the demo performer raises their arms every few seconds
        page.locator(f"instrument-recognised[data-said={posture}]").wait_for()
    page.close()


def wait_for_frame(page: "Page", number: int) -> None:
    """Returns at that frame of the demo's next round."""
    page.evaluate(AT_FRAME, [number, ROUND])


def said(page: "Page", posture: str) -> None:
    page.locator(f"instrument-recognised[data-said={posture}]").wait_for()


def test_each_of_81_classes_has_an_accent_and_mark_of_its_own(browser: "Browser", program: Program) -> None:
    looks = open_page(browser, program.url).evaluate("""async () => {
        const { accent, mark } = await import("/static/accents.js");
        return [...Array(81).keys()].map((number) => accent(number) + mark(number));
    }""")
    assert len(set(looks)) == 81


def test_the_first_five_minutes(browser: "Browser", tmp_path: Path) -> None:
    """See the performer, hold for a first posture, a second, see and hear the answer change."""
    project = new_project(tmp_path / "first", "three-postures")
    with TakeStore.open(project.takes_file) as store:
        store.delete_all()
    with Program(project.folder, "--source", "demo") as program:
        page = open_page(browser, program.url + "/teach")
        page.locator(SKELETON).wait_for()
        page.get_by_text("Not taught yet").wait_for()

        page.get_by_role("button", name="rest").hover()
        wait_for_frame(page, REST[0])
        page.mouse.down()
        page.locator(".card.recording[data-name=rest]").wait_for()
        wait_for_frame(page, REST[1])
        page.mouse.up()
        page.get_by_text(re.compile(r"Take \d+ of rest: \d+ frames")).wait_for()

        wait_for_frame(page, UP[0])
        page.keyboard.down("3")
        wait_for_frame(page, UP[1])
        page.keyboard.up("3")
        page.get_by_text(re.compile(r"Take \d+ of up: \d+ frames")).wait_for()
        page.locator(".take").nth(1).wait_for()

        page.get_by_role("link", name="Stage").click()
        page.get_by_role("button", name="Sound on").click()
        for posture in ("up", "rest", "up"):
            said(page, posture)
        loudness = "document.querySelector('instrument-sound-button').loudness()"
        page.wait_for_function(f"{loudness} > 0.02")
        page.close()


def test_a_tap_holds_the_card_until_the_next(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url + "/teach")
    page.locator(SKELETON).wait_for()
    card = page.get_by_role("button", name="wide")
    tap(page, "2")
    page.get_by_text("press it again to stop").wait_for()
    wait_until(lambda: json.loads(str(program.ask("status")[0]))["recording"]["frames"] > 3, "frames to be recorded")
    card.click()
    page.get_by_text(re.compile(r"Take \d+ of wide")).wait_for()
    page.get_by_role("button", name="Undo").click()
    page.close()


def test_a_page_that_is_closed_while_it_records_ends_the_recording(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url + "/teach")
    page.locator(SKELETON).wait_for()
    page.keyboard.down("1")
    wait_until(lambda: json.loads(str(program.ask("status")[0]))["recording"]["frames"] > 3, "frames to be recorded")
    page.close()
    wait_until(
        lambda: json.loads(str(program.ask("status")[0]))["recording"]["state"] == "idle", "the recording to end"
    )
    program.ask("undo")


def test_a_take_deleted_on_one_page_is_gone_from_the_other_and_comes_back_with_undo(
    browser: "Browser", program: Program
) -> None:
    one, other = (open_page(browser, program.url + "/teach") for _ in range(2))
    other.locator("[data-take='2']").wait_for()
    one.locator("[data-take='2']").click()
    one.locator("instrument-takes-strip").get_by_role("button", name="Delete").click()
    other.locator("[data-take='2']").wait_for(state="detached")
    other.get_by_role("button", name="Undo").click()
    one.locator("[data-take='2']").wait_for()
    one.close()
    other.close()


def test_silence_stops_what_is_sent_and_play_on_begins_again(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url)
    page.get_by_role("button", name="Silence").click()
    page.get_by_text("Not playing").wait_for()
    assert not json.loads(str(program.ask("status")[0]))["running"]
    page.get_by_role("button", name="Play on").click()
    page.get_by_text("Playing").wait_for()
    page.close()


def test_blind_mode_shows_the_skeleton_and_asks_the_engine_for_no_picture(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url)
    page.locator(SKELETON).wait_for()
    page.keyboard.press("b")
    page.locator("button[aria-pressed=true]", has_text="Blind").wait_for()
    wants = """async () => {
        const { live } = await import("/static/live.js");
        let pictures = 0;
        live.on("picture", () => (pictures += 1));
        const frames = (count) => new Promise((resolve) => {
            const stop = live.on("frame", () => --count || (stop(), resolve()));
        });
        await frames(5);
        pictures = 0;
        await frames(15);
        return pictures;
    }"""
    assert page.evaluate(wants) == 0
    page.close()


def test_a_killed_engine_is_said_and_the_page_goes_on_when_it_is_back(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url)
    page.locator(SKELETON).wait_for()
    supervisor = psutil.Process(program.process.pid)
    supervisor.suspend()  # or there would be another engine before anybody could read that one is gone
    try:
        program.kill("engine")
        page.get_by_text("The engine is away").wait_for()
    finally:
        supervisor.resume()
    page.get_by_text("Playing").wait_for()
    said(page, "up")
    page.close()


def test_a_killed_console_changes_nothing_for_the_engine_and_the_page_comes_back(
    browser: "Browser", program: Program
) -> None:
    page = open_page(browser, program.url)
    page.locator(SKELETON).wait_for()
    before = json.loads(str(program.ask("status")[0]))
    program.kill("console")
    page.get_by_text("lost the console").wait_for()
    page.get_by_text("Playing").wait_for()
    said(page, "up")
    after = json.loads(str(program.ask("status")[0]))
    assert after["pid"] == before["pid"]
    assert after["running"]
    page.close()


def test_a_page_of_another_site_gets_no_live_socket(browser: "Browser", program: Program) -> None:
    page = browser.new_page()
    page.goto("data:text/html,<title>elsewhere</title>")
    opened = """(url) => new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve(true);
        socket.onclose = () => resolve(false);
    })"""
    assert page.evaluate(opened, program.url.replace("http", "ws") + "/live") is False
    page.close()


@pytest.mark.parametrize("path", ["/", "/teach"])
def test_every_word_on_the_page_is_readable_and_every_control_has_a_name(
    browser: "Browser", program: Program, path: str
) -> None:
    page = open_page(browser, program.url + path)
    page.locator(SKELETON).wait_for()
    said(page, "rest")
    assert page.evaluate(FAINT_TEXTS) == []
    assert page.evaluate(NAMELESS) == []
    page.close()


@pytest.mark.parametrize("path", ["/", "/teach"])
@pytest.mark.parametrize("size", [(1440, 900), (1024, 768), (390, 844)])
def test_nothing_sticks_out_of_the_window(
    browser: "Browser", program: Program, path: str, size: tuple[int, int]
) -> None:
    page = open_page(browser, program.url + path, width_px=size[0], height_px=size[1])
    page.locator(SKELETON).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.close()


def test_silence_stays_in_the_window_with_the_sound_on(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url, width_px=900, height_px=700)
    page.get_by_role("button", name="Sound on").click()
    page.get_by_role("button", name="Sound off").wait_for()
    silence = page.get_by_role("button", name="Silence").bounding_box()
    assert silence is not None
    assert silence["x"] + silence["width"] <= 900
    page.close()


def test_the_stage_is_played_with_the_keyboard_alone(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url)
    page.locator(SKELETON).wait_for()
    names = []
    wanted = [*(one.title for one in PAGES), "Sound on", "Silence", "Mirror", "Blind", "Full screen"]
    for _ in range(1 + len(wanted)):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert names[1:] == wanted
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
