"""The Teach page in a real Chromium: takes are edited, recorded with a count-in, and seen as the model sees them."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browsing import Program, open_page
from clients import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def page(browser: "Browser", program: Program) -> Iterator["Page"]:
    page = open_page(browser, program.url + "/teach")
    page.locator("[data-take='1']").wait_for()
    yield page
    page.close()


def take(program: Program, number: int) -> dict[str, Any] | None:
    rows = json.loads(str(program.ask("takes")[0]))
    return next((row for row in rows if row["id"] == number), None)


def test_several_takes_are_relabelled_at_once_and_undone_at_once(page: "Page", program: Program) -> None:
    page.locator("[data-take='1']").click()
    page.locator("[data-take='3']").click(modifiers=["Shift"])
    page.get_by_text("3 takes:").wait_for()
    before = [take(program, number)["targets"]["posture"] for number in (1, 2, 3)]  # type: ignore[index]
    page.get_by_label("What these takes teach").select_option(label="■ up")
    page.get_by_role("button", name="Relabel").click()
    for number in (1, 2, 3):
        page.locator(f"[data-take='{number}']", has_text="■ up").wait_for()
    page.keyboard.press("Control+z")
    for number, posture in zip((1, 2, 3), before, strict=True):
        page.locator(f"[data-take='{number}']", has_text=posture).wait_for()


def test_takes_are_selected_and_deleted_with_the_keyboard_alone(page: "Page", program: Program) -> None:
    page.locator("[data-take='5']").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")  # the newest stands first
    page.get_by_text("2 takes:").wait_for()
    page.keyboard.press("Delete")
    for number in (4, 5):
        page.locator(f"[data-take='{number}']").wait_for(state="detached")
    page.keyboard.press("Control+z")
    for number in (4, 5):
        page.locator(f"[data-take='{number}']").wait_for()
    page.keyboard.press("Control+y")
    page.locator("[data-take='4']").wait_for(state="detached")
    page.get_by_role("button", name="Undo").click()
    page.locator("[data-take='4']").wait_for()


def test_dragging_an_end_of_the_strip_trims_the_take(page: "Page", program: Program) -> None:
    page.locator("[data-take='6']").click()
    handle = page.get_by_role("slider", name="Last frame that counts")
    page.locator(".trim-last[aria-valuenow]").wait_for()
    last = int(handle.get_attribute("aria-valuenow") or "")
    box = page.locator(".take-editor").bounding_box()
    assert box is not None
    handle.hover()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
    page.mouse.up()
    page.locator("[data-take='6']", has_text="trimmed").wait_for()
    trimmed = take(program, 6)
    assert trimmed is not None
    assert trimmed["trim"][0] == 0
    assert 0 < trimmed["trim"][1] < last
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: (take(program, 6) or {})["trim"] is None, "the take to be whole again")


def test_an_end_of_the_strip_moves_with_the_arrow_keys(page: "Page", program: Program) -> None:
    page.locator("[data-take='6']").click()
    page.locator(".trim-first[aria-valuenow='0']").wait_for()
    page.get_by_role("slider", name="First frame that counts").focus()
    page.keyboard.press("ArrowRight")
    wait_until(lambda: ((take(program, 6) or {})["trim"] or [0])[0] == 1, "the first frame to be left out")
    page.get_by_role("button", name="Undo").click()


def test_a_take_is_played_back_in_the_cameras_place(page: "Page", program: Program) -> None:
    page.evaluate("""() => {
        window.played = [];
        window.addEventListener("instrument-playback", ({ detail }) => window.played.push(detail?.take ?? null));
    }""")
    page.locator("[data-take='6']").click()
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("window.played.length > 2 && window.played.at(-1) === null")
    assert page.evaluate("window.played[0]") == 6


def test_hands_free_counts_in_aloud_and_records_as_often_as_wanted(page: "Page", program: Program) -> None:
    before = len(json.loads(str(program.ask("takes")[0])))
    page.get_by_role("button", name="Hands free").click()
    for name, value in (("Count-in", "1"), ("Take, s", "0.5"), ("Times", "2")):
        page.get_by_label(name).fill(value)
        page.get_by_label(name).blur()
    page.get_by_role("button", name="wide").click()
    page.locator(".count-in", has_text="1").wait_for()
    page.wait_for_function("import('/static/count_in.js').then(({ beepLoudness }) => beepLoudness() > 0.05)")
    page.get_by_text("2 new of wide").wait_for()
    assert len(json.loads(str(program.ask("takes")[0]))) == before + 2
    for _ in range(2):
        program.ask("takes/delete_last")


def test_stop_ends_the_count_in_and_keeps_nothing(page: "Page", program: Program) -> None:
    before = len(json.loads(str(program.ask("takes")[0])))
    page.get_by_role("button", name="Hands free").click()
    page.get_by_role("button", name="up").click()
    page.locator(".count-in").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Stopped; 0 new").wait_for()
    assert len(json.loads(str(program.ask("takes")[0]))) == before


def test_a_take_ends_by_itself_when_the_performer_is_back_at_rest(page: "Page") -> None:
    """Ten frames at rest, arms up for twenty, and down again: only the arms that are up are kept."""
    found = page.evaluate("""async () => {
        const { restWatch } = await import("/static/rest_watch.js");
        const pose = (up) => {
            const points = new Float32Array(33 * 4).fill(1);
            const put = (index, x, y) => points.set([x, y], index * 4);
            for (const [side, x] of [[0, 0.45], [1, 0.55]]) {
                put(11 + side, x, 0.3); put(23 + side, x, 0.5); put(25 + side, x, 0.7); put(27 + side, x, 0.9);
                put(13 + side, x, 0.3 + 0.1 * (1 - 2 * up)); put(15 + side, x, 0.3 + 0.2 * (1 - 2 * up));
            }
            return { pose: points };
        };
        const watch = restWatch();
        watch.begin(pose(0));
        const ups = [...Array(10).fill(0), 0.5, ...Array(20).fill(1), 0.6, 0.3, ...Array(20).fill(0)];
        const at = ups.findIndex((up) => watch.isBack(pose(up)));
        return [at, watch.framesOfWayBack()];
    }""")
    ended, way_back = found
    assert 33 < ended < 40
    assert ended - way_back == 30


def test_hands_free_ends_a_take_of_the_demo_performer_at_rest(page: "Page", program: Program) -> None:
    page.get_by_role("button", name="Hands free").click()
    for name, value in (("Count-in", "0.5"), ("Take, s", "30"), ("Times", "1")):
        page.get_by_label(name).fill(value)
        page.get_by_label(name).blur()
    page.get_by_label("Stop when I am back at rest").check()
    page.locator("instrument-recognised[data-said=rest]").wait_for()
    page.get_by_role("button", name="up").click()
    page.get_by_text("1 new of up").wait_for()
    newest = json.loads(str(program.ask("takes")[0]))[-1]
    assert newest["seconds"] < 12
    program.ask("takes/delete_last")
