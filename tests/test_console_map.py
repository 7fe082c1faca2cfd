"""The Map page in a real Chromium: what is edited there is sent and kept, and what an editor writes is seen there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import FAINT_TEXTS, NAMELESS, Program, open_page
from clients import require_client, wait_until
from playing import Heard

from instrument.projects import new_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PATCH = """# a piece of mine
name = "Mapped"
[listen]
source = "demo"
[[output]]
name = "posture"
classes = ["rest", "wide", "up"]
[[output]]
name = "lift"
kind = "continuous"
[destination.synth]
midi = "virtual"
[[route]]
from = "lift"            # the arms
osc = "/lift"
[[route]]
from = "posture.up"
to = "synth"
midi = "note"
"""


class Piece:
    """A project that is played, its patch, and what it sends."""

    def __init__(self, program: Program, file: Path, heard: Heard) -> None:
        self.program = program
        self.file = file
        self.heard = heard

    def begin(self) -> None:
        """The patch as it was."""
        self.file.write_text(PATCH, encoding="utf-8")
        self.program.ask("project/reload")
        self.program.ask("scene/leave")
        for number in (1, 2):
            self.program.ask("route/mute", number, 0)

    def says(self, line: str) -> None:
        """Returns once the patch has that line."""
        wait_until(lambda: line in self.file.read_text(encoding="utf-8"), f"{line} in the patch")

    def sends(self, address: str, is_wanted: Callable[[float], bool]) -> None:
        """Returns once such a value was sent there."""
        before = len(self.heard.messages(address))
        wait_until(
            lambda: any(is_wanted(float(one[-1])) for one in self.heard.messages(address)[before:]), f"it at {address}"
        )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Piece]:
    require_client("chromium")
    project = new_project(tmp_path_factory.mktemp("projects") / "piece", "three-postures")
    project.patch_file.write_text(PATCH, encoding="utf-8")
    heard = Heard()
    with Program(project.folder, "--out", f"127.0.0.1:{heard.address[1]}") as program:
        yield Piece(program, project.patch_file, heard)
    heard.close()


@pytest.fixture
def piece(played: Piece) -> Piece:
    _ = played.program.url  # it plays
    played.begin()
    return played


def open_map(browser: "Browser", piece: Piece, *, width_px: int = 1440, height_px: int = 900) -> "Page":
    page = open_page(browser, piece.program.url + "/map", width_px=width_px, height_px=height_px)
    page.locator("tbody tr").nth(1).wait_for()
    return page


def field(page: "Page", name: str) -> "Locator":
    return page.locator(".route-editor").get_by_label(name, exact=True)


def test_an_edited_range_is_written_with_comments_kept_and_is_sent(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    field(page, "Lowest").fill("100")
    field(page, "Highest").fill("200")
    field(page, "Highest").press("Enter")
    piece.says("range = [100, 200]")
    assert 'from = "lift"            # the arms' in piece.file.read_text(encoding="utf-8")
    piece.sends("/lift", lambda value: 100 <= value <= 200)
    page.get_by_text("100 to 200").wait_for()
    page.close()


def test_an_editor_s_change_of_the_file_shows_in_the_page_and_a_mistake_is_said(
    browser: "Browser", piece: Piece
) -> None:
    page = open_map(browser, piece)
    piece.file.write_text(PATCH.replace("/lift", "/height"), encoding="utf-8")
    page.locator(".route-goal b", has_text="/height").wait_for()
    piece.sends("/height", lambda _: True)
    piece.file.write_text(PATCH.replace('osc = "/lift"', 'osc = "lift"'), encoding="utf-8")
    page.get_by_role("alert").filter(has_text="line 15: route.1.osc: address 'lift'").wait_for()
    piece.sends("/height", lambda _: True)
    piece.file.write_text(PATCH, encoding="utf-8")
    page.get_by_role("alert").filter(has_text="route.1.osc").wait_for(state="hidden")
    page.close()


def test_two_pages_both_see_the_last_edit(browser: "Browser", piece: Piece) -> None:
    pages = [open_map(browser, piece), open_map(browser, piece)]
    for page, value in zip(pages, ("2", "3"), strict=True):
        field(page, "Curve").fill(value)
        field(page, "Curve").press("Enter")
        for other in pages:
            other.wait_for_function(
                "(value) => document.querySelector('.route-editor [name=curve]').value === value", arg=value
            )
    for page in pages:
        page.close()


def test_a_curve_is_dragged_and_each_drag_is_one_step_of_undo(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    page.wait_for_function("document.querySelector('.route-editor [name=curve]').value === '1'")
    box = page.locator("canvas.route-shape").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(x, y + step * box["height"] / 20)
    page.mouse.up()
    piece.says("curve = ")
    wait_until(
        lambda: json.loads(str(piece.program.ask("routes")[0]))[0]["curve"] > 1.7, "a curve that is slow at first"
    )
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: piece.file.read_text(encoding="utf-8") == PATCH, "the patch as it was")
    page.close()


def test_an_edit_that_is_refused_says_why_and_shows_what_plays(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    field(page, "Address").fill("no slash")
    field(page, "Address").press("Enter")
    page.get_by_role("alert").filter(has_text="an OSC address such as /synth/cutoff").wait_for()
    assert field(page, "Address").input_value() == "/lift"
    assert piece.file.read_text(encoding="utf-8") == PATCH
    page.close()


def test_a_route_is_added_made_a_note_and_removed(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    page.get_by_role("button", name="Add a route").click()
    page.locator("tbody tr").nth(2).wait_for()
    field(page, "From").select_option("posture.wide")
    piece.says('from = "posture.wide"')
    field(page, "Sends").select_option("Note")
    page.locator(".route-goal b", has_text="Note 60").nth(1).wait_for()
    piece.says('midi = "note"\nto = "synth"')
    page.get_by_role("button", name="Remove", exact=True).click()
    wait_until(lambda: "posture.wide" not in piece.file.read_text(encoding="utf-8"), "the route to be gone")
    page.locator("tbody tr").nth(2).wait_for(state="detached")
    page.close()


def test_a_scene_is_saved_and_recalled_by_its_key_on_any_page(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    page.get_by_label("Name of a new scene").fill("soft")
    page.get_by_label("Name of a new scene").press("Enter")
    page.locator("[data-scene=soft][aria-pressed=true]").wait_for()
    piece.program.ask("patch/set", "route.1.range", "[100, 200]")
    piece.program.ask("route/mute", 2, 1)
    piece.program.ask("scene/save", "loud")
    page.locator("[data-scene=loud][aria-pressed=true]").wait_for()
    again = page.get_by_role("button", name="Save again")
    assert again.count() == 0
    piece.program.ask("patch/set", "route.1.range", "[100, 250]")
    again.click()
    again.wait_for(state="detached")
    for is_on, state in ((0, "visible"), (1, "detached")):
        piece.program.ask("output/enable", "lift", is_on)
        again.wait_for(state=state)
    piece.says('{route = "/lift", muted = false, range = [100, 250]')
    page.locator("body").press("1")
    page.locator("[data-scene=soft][aria-pressed=true]").wait_for()
    piece.sends("/lift", lambda value: value <= 1)
    page.get_by_role("button", name="Mute: Note 60", pressed=False).wait_for()
    page.close()
    page = open_page(browser, piece.program.url)
    page.locator("instrument-scene-name", has_text="soft").wait_for()
    page.locator("body").press("2")
    page.locator("instrument-scene-name", has_text="loud").wait_for()
    piece.sends("/lift", lambda value: value >= 100)
    page.close()


def test_a_control_is_moved_alone_for_a_synthesiser_to_learn_it(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    page.get_by_role("button", name="Move it for MIDI learn").click()
    page.get_by_role("button", name="Moving it: press to stop").wait_for()
    before = len(piece.heard.messages("/wek/outputs"))
    piece.sends("/lift", lambda value: value > 0.97)
    assert len(piece.heard.messages("/wek/outputs")) - before <= 1  # one may have been under way
    page.get_by_role("button", name="Moving it: press to stop").click()
    page.get_by_role("button", name="Move it for MIDI learn").wait_for()
    page.close()


def test_a_route_is_picked_and_edited_with_the_keyboard_alone(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    page.locator("body").click(position={"x": 2, "y": 70})

    def tab_to(wanted: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if wanted in page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
        pytest.fail(f"no way to {wanted}")

    tab_to("posture.up")
    page.keyboard.press("Enter")
    tab_to("Mute: Note 60")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Mute: Note 60", pressed=True).wait_for()
    tab_to("Shape of the route")
    page.keyboard.press("ArrowRight")
    piece.says("threshold = 0.52")
    page.close()


def test_a_destination_is_added_and_sent_elsewhere(browser: "Browser", piece: Piece) -> None:
    page = open_page(browser, f"{piece.program.url}/map")
    page.get_by_text("Another destination").click()
    page.get_by_label("Name", exact=True).fill("lamp")
    page.get_by_label("Where").fill("127.0.0.1:9001")
    page.get_by_role("button", name="Add", exact=True).click()
    piece.says('osc = "127.0.0.1:9001"')
    page.get_by_role("button", name="lamp").click()
    assert page.get_by_label("Where").input_value() == "127.0.0.1:9001"
    page.get_by_label("Where").fill("127.0.0.1:9002")
    page.get_by_role("button", name="Change").click()
    piece.says('osc = "127.0.0.1:9002"')
    page.locator(".sent-groups section", has_text="lamp").get_by_text("127.0.0.1:9002").wait_for()
    page.close()


def test_what_leaves_is_shown_with_its_destination(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    sent = page.locator("instrument-sent")
    sent.locator("div", has=page.get_by_text("/lift")).locator(".sent-rate", has_text="/s").first.wait_for()
    sent.get_by_text("/wek/outputs").wait_for()
    page.close()


def test_every_word_on_the_map_is_readable_and_every_control_has_a_name(browser: "Browser", piece: Piece) -> None:
    piece.program.ask("scene/save", "soft")
    page = open_map(browser, piece)
    page.get_by_role("button", name="Edit", exact=True).click()
    assert page.evaluate(FAINT_TEXTS) == []
    assert page.evaluate(NAMELESS) == []
    page.close()


@pytest.mark.parametrize("size", [(1440, 900), (1024, 768), (390, 844)])
def test_nothing_of_the_map_sticks_out_of_the_window(browser: "Browser", piece: Piece, size: tuple[int, int]) -> None:
    page = open_map(browser, piece, width_px=size[0], height_px=size[1])
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.close()


FOOT = "SoftStep:SoftStep MIDI 1 20:0"
PRESS, RELEASE = (0x90, 36, 100), (0x80, 36, 0)


def test_a_pedal_is_added_learned_by_pressing_it_and_seen_when_it_fires(browser: "Browser", piece: Piece) -> None:
    page = open_map(browser, piece)
    page.get_by_label("Does", exact=True).fill("record posture up")
    page.get_by_role("button", name="Add, and learn it").click()
    pedal = page.locator(".pedal")
    pedal.get_by_text("Press it now").wait_for()
    piece.program.ask("midi/in", FOOT, *PRESS)
    pedal.get_by_text("note 36 ch 1").wait_for()
    piece.says('port = "SoftStep:SoftStep MIDI 1"')
    piece.program.ask("midi/in", FOOT, *RELEASE)

    page.get_by_label("Does", exact=True).last.fill("scene recall verse")
    page.get_by_label("Does", exact=True).last.press("Enter")
    piece.says('press = "scene recall verse"')
    stage = open_page(browser, piece.program.url)
    stage.locator("instrument-camera-view[data-tracked=yes]").wait_for()
    piece.program.ask("midi/in", FOOT, *PRESS)
    for one in (page, stage):
        one.get_by_role("status").get_by_text("The pedal could not: no scene 'verse'").wait_for()
    page.get_by_role("alert").get_by_text("no scene 'verse'").wait_for()
    piece.program.ask("midi/in", FOOT, *RELEASE)
    piece.program.ask("patch/set", "pedal.1.press", "run toggle")
    pedal.get_by_text("run toggle").wait_for()
    piece.program.ask("midi/in", FOOT, *PRESS)
    page.locator(".pedal.is-down").wait_for()
    piece.program.ask("patch/add", "pedal", json.dumps({"press": "undo"}))  # which has the pedals shown anew
    page.locator(".pedal").nth(1).wait_for()
    page.locator(".pedal.is-down").wait_for()
    piece.program.ask("patch/remove", "pedal.2")
    stage.get_by_role("status").get_by_text("run toggle").wait_for()
    stage.close()
    piece.program.ask("midi/in", FOOT, 0x90, 99, 100)
    page.get_by_text("Heard note 99 ch 1 SoftStep").wait_for()
    piece.program.ask("run", 1)

    page.get_by_role("group", name="Pedals").get_by_role("button", name="Remove").click()
    page.get_by_text("None yet. Say what it is to do").wait_for()
    assert "[[pedal]]" not in piece.file.read_text(encoding="utf-8")
    page.close()
