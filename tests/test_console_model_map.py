"""The picture of what the model sees, on the page Teach in a real browser."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browsing import NAMELESS, Program, open_page
from clients import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURE = "instrument-model-map canvas"
MARKED = """([column, row]) => {
    const canvas = document.querySelector("instrument-model-map canvas");
    const [x, y] = [column * canvas.width, row * canvas.height].map(Math.floor);
    return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
}"""
REGIONS = """async () => {
    const { live } = await import("/static/live.js");
    const [text, , , regions] = await live.ask("/instrument/model/map", "posture");
    return [JSON.parse(text).classes.length, [...new Set(regions.filter((_, at) => at % 2 === 0))]];
}"""
PLACE = """async (take) => {
    const { live } = await import("/static/live.js");
    const [text, , examples] = await live.ask("/instrument/model/map", "posture");
    const view = new DataView(examples.buffer);
    const { takes } = JSON.parse(text);
    for (let at = 0; at < examples.length; at += 8) {
        if (takes[view.getUint16(at + 4, true)] !== take) continue;
        return [view.getUint16(at, true) / 65535, view.getUint16(at + 2, true) / 65535];
    }
}"""


@pytest.fixture
def page(browser: "Browser", program: Program) -> Iterator["Page"]:
    page = open_page(browser, f"{program.url}/teach")
    page.locator("instrument-model-map[data-at]:not([data-at=''])").wait_for()
    yield page
    page.close()


def test_the_live_point_moves_with_the_performer(page: "Page") -> None:
    page.evaluate("""() => {
        window.places = new Set();
        const map = document.querySelector("instrument-model-map");
        new MutationObserver(() => window.places.add(map.dataset.at)).observe(map, { attributeFilter: ["data-at"] });
    }""")
    page.wait_for_function("window.places.size > 20")
    across = [float(place.split()[0]) for place in page.evaluate("[...window.places]") if place]
    assert max(across) - min(across) > 0.02


def test_every_class_has_a_region(page: "Page") -> None:
    classes, said = page.evaluate(REGIONS)
    assert classes == 3
    assert set(said) >= {0, 1, 2}


def test_the_picture_is_drawn_in_the_colours_of_the_classes(page: "Page") -> None:
    """Take 1 shows rest, which is yellow; the point of the performer may pass over it."""
    x, y = page.evaluate(PLACE, 1)
    page.wait_for_function(f"(([red, , blue, shown]) => shown > 0 && red > blue)(({MARKED})([{x}, {1 - y}]))")


def test_the_picture_is_told_in_words(page: "Page") -> None:
    page.locator(f"{PICTURE}[aria-label^='posture: 3 classes, 118 examples. Nearest now']").wait_for()
    assert not page.evaluate(NAMELESS)


def test_a_point_that_is_clicked_names_its_take_and_selects_it_in_the_strip(page: "Page") -> None:
    x, y = page.evaluate(PLACE, 3)
    box = page.locator(PICTURE).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"])
    picked = page.locator(".take[aria-selected=true]")
    picked.wait_for()
    number = picked.get_attribute("data-take")
    page.locator(".map-foot", has_text=f"take {number}").wait_for()


def test_a_take_selected_in_the_strip_is_picked_in_the_picture(page: "Page") -> None:
    page.locator("[data-take='6']").click()
    page.locator(".map-foot", has_text="take 6").wait_for()


def test_the_arrow_keys_go_through_the_takes_and_delete_deletes_with_undo(page: "Page", program: Program) -> None:
    before = len(json.loads(str(program.ask("takes")[0])))
    page.locator(PICTURE).focus()
    page.keyboard.press("ArrowRight")
    page.locator(f"{PICTURE}[aria-valuetext^='take 1 ']").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator(f"{PICTURE}[aria-valuetext^='take 2 ']").wait_for()
    page.keyboard.press("Delete")
    wait_until(lambda: len(json.loads(str(program.ask("takes")[0]))) == before - 1, "the take to be gone")
    page.locator(f"{PICTURE}[aria-label*='examples']:not([aria-label*='118 examples'])").wait_for()
    program.ask("undo")
    page.locator(f"{PICTURE}[aria-label*='118 examples']").wait_for()


def test_another_output_can_be_looked_at(page: "Page") -> None:
    page.get_by_label("Output that is shown").select_option("lift")
    page.locator(f"{PICTURE}[aria-label^='lift: 118 examples']").wait_for()


def test_a_name_stands_where_its_region_has_most_room(page: "Page") -> None:
    found = page.evaluate("""async () => {
        const { roomiest } = await import("/static/contours.js");
        const cells = Int16Array.from({ length: 40 * 20 }, (_, at) => (at % 40 < 10 ? -1 : at % 40 < 20 ? 0 : 1));
        return roomiest(cells, 40, 20, [{ x: 0.9, y: 0.5 }]);
    }""")
    assert [one["index"] for one in found] == [1, 0]
    assert 0.5 < found[0]["x"] < 0.85
    assert 0.3 < found[1]["x"] < 0.45
    assert all(0.2 < one["y"] < 0.8 for one in found)


def test_movements_have_a_sentence_instead_of_a_picture(page: "Page") -> None:
    page.evaluate("""async () => {
        const { live } = await import("/static/live.js");
        const output = { name: "swing", kind: "trigger", range: [0, 1], allowed: ["hit"], classes: [], model: null };
        live.state.status = { ...live.state.status, outputs: [output] };
        document.body.append(document.createElement("instrument-model-map"));
    }""")
    page.locator(".map-none", has_text="Movements have no such picture").first.wait_for()
