"""The page Rehearse in a real Chromium: a run-through is recorded, looked through, and learned from."""

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from browsing import FAINT_TEXTS, NAMELESS, Program, open_page
from clients import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def takes_of(program: Program) -> list[dict[str, Any]]:
    return json.loads(str(program.ask("takes")[0]))


def models(page: "Page") -> str:
    return str(page.locator("instrument-run-bands").get_attribute("data-models"))


def trained(program: Program) -> bool:
    return all(one["running"] for one in program.status()["outputs"])


def record(page: "Page", program: Program) -> None:
    """Records a run-through of some seconds, and waits until it is chosen and what was said along it is there."""
    wait_until(lambda: trained(program), "the models to play")
    before = page.locator(".run").count()
    page.get_by_role("button", name="Record a run-through").click()
    wait_until(lambda: program.status()["recording"]["frames"] > 90, "frames to be recorded")
    page.get_by_role("button", name="Stop").click()
    page.locator(".run").nth(before).wait_for()
    page.wait_for_function("document.querySelector('instrument-run-bands').dataset.models.trim() !== ''")


def test_a_span_of_a_run_through_becomes_a_take_and_the_bands_are_drawn_anew(
    browser: "Browser", program: Program
) -> None:
    page = open_page(browser, program.url + "/rehearse")
    page.get_by_text("Record or choose a run-through").wait_for()
    record(page, program)
    before = models(page)
    takes = {take["id"] for take in takes_of(program)}

    line = page.get_by_role("slider", name=re.compile("Playhead"))
    line.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.locator('.bands-line[aria-valuenow="0.5"]').wait_for()
    assert re.search("posture [●▲■] (rest|wide|up)|posture nothing", str(line.get_attribute("aria-valuetext")))
    page.keyboard.press("Shift+ArrowRight")
    assert page.get_by_role("button", name="Make the span a take of wide").is_enabled()
    page.keyboard.down("Shift")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.up("Shift")
    page.get_by_role("button", name="Make the span a take of wide").click()
    page.get_by_text(re.compile(r"Take \d+ of wide, \d+ frames")).wait_for()
    (made,) = [take for take in takes_of(program) if take["id"] not in takes]
    assert made["targets"] == {"posture": "wide"}
    page.wait_for_function("(was) => document.querySelector('instrument-run-bands').dataset.models !== was", arg=before)
    assert set(before.split()) & set(models(page).split())  # the one before is beside it now

    page.get_by_role("button", name="Why?").click()
    page.get_by_text(re.compile(r"posture is most like . \w+, because of")).wait_for()
    page.close()


def test_the_performer_sees_the_camera_while_recording(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url + "/rehearse")
    camera = page.locator("instrument-run-view instrument-camera-view[data-tracked=yes]")
    page.get_by_role("button", name="Record a run-through").click()
    camera.wait_for()
    wait_until(lambda: program.status()["recording"]["frames"] > 10, "frames to be recorded")
    page.get_by_role("button", name="Stop").click()
    camera.wait_for(state="detached")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    page.close()


def test_a_run_through_is_played_and_dragged_along(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url + "/rehearse")
    record(page, program)
    at = "document.querySelector('.bands-line').getAttribute('aria-valuenow')"
    play = page.get_by_role("button", name="Play", exact=True)

    def has_played() -> bool:
        if play.is_visible():  # still, or again: what was just recorded has come meanwhile
            page.keyboard.press("Space")
        return float(page.evaluate(at)) > 0.3

    wait_until(has_played, "it to play")
    page.keyboard.press("Space")
    play.wait_for()
    box = page.locator(".bands-line").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60, steps=4)
    page.mouse.up()
    page.get_by_text(re.compile(r"0:0\d\.\d\d to 0:0\d\.\d\d")).wait_for()
    page.close()


def test_a_run_through_becomes_a_rehearsal_with_its_rate_and_is_deleted(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url + "/rehearse")
    record(page, program)
    page.get_by_role("button", name="Nothing was meant in it").click()
    page.get_by_text("a minute where nothing was meant").wait_for()
    page.get_by_text(re.compile("posture: familiar enough from .* to .*")).wait_for()
    before = page.locator(".run").count()
    page.get_by_role("button", name=re.compile("Delete run-through")).first.click()
    page.wait_for_function(f"document.querySelectorAll('.run').length === {before - 1}")
    page.close()


def test_every_word_is_readable_and_every_control_has_a_name(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url + "/rehearse")
    record(page, program)
    page.locator(".bands-line").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("w")
    page.locator(".why li").first.wait_for()
    assert page.evaluate(FAINT_TEXTS) == []
    assert page.evaluate(NAMELESS) == []
    page.close()


def test_a_pin_is_taken_back_with_a_key(browser: "Browser", program: Program) -> None:
    page = open_page(browser, program.url + "/rehearse")
    record(page, program)
    takes = takes_of(program)
    page.locator(".bands-line").focus()
    page.keyboard.press("PageUp")
    page.keyboard.down("Shift")
    page.keyboard.press("End")
    page.keyboard.up("Shift")
    page.get_by_role("button", name="Make the span a take of up").click()
    page.get_by_text(re.compile(r"Take \d+ of up")).wait_for()
    page.keyboard.press("Control+z")
    page.get_by_text(re.compile("take .* s of take")).wait_for()
    assert takes_of(program) == takes
    page.close()


@pytest.mark.parametrize("size", [(1440, 900), (1024, 768), (390, 844)])
def test_nothing_sticks_out_of_the_window(browser: "Browser", program: Program, size: tuple[int, int]) -> None:
    page = open_page(browser, program.url + "/rehearse", width_px=size[0], height_px=size[1])
    page.locator(".runs li").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.close()
