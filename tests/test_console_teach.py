"""The Teach page in a real Chromium: takes are edited, recorded with a count-in, and seen as the model sees them."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from browsing import Program, open_page, tap
from clients import wait_until

from instrument.protocol import Value

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


def takes_of(program: Program, posture: str) -> list[int]:
    rows = json.loads(str(program.ask("takes")[0]))
    return [row["id"] for row in rows if row["targets"].get("posture") == posture]


@contextmanager
def changed(program: Program, address: str, *arguments: Value) -> Iterator[None]:
    """The takes changed by that command, and as they were afterwards."""
    edits = program.ask(address, *arguments)
    yield
    assert edits is not None
    program.ask("undo")
    wait_until(lambda: "posture" in program.status()["coaching"], "advice on the takes as they were")


def test_several_takes_are_relabelled_at_once_and_undone_at_once(page: "Page", program: Program) -> None:
    page.locator("[data-take='1']").click()
    page.locator("[data-take='3']").click(modifiers=["Shift"])
    page.locator(".takes-chosen", has_text="3 takes:").wait_for()
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
    page.locator(".takes-chosen", has_text="2 takes:").wait_for()
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


def test_a_tap_on_another_card_goes_on_with_that_one(page: "Page", program: Program) -> None:
    before = [len(takes_of(program, posture)) for posture in ("rest", "wide")]
    tap(page, "1")
    page.get_by_text("Recording rest: press it again").wait_for()
    wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of it")
    tap(page, "2")
    page.get_by_text("Recording wide: press it again").wait_for()
    wait_until(lambda: len(takes_of(program, "rest")) == before[0] + 1, "the first take")
    wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of the second")
    tap(page, "2")
    wait_until(lambda: len(takes_of(program, "wide")) == before[1] + 1, "the second take")
    for _ in before:
        program.ask("undo")


def test_a_card_held_on_one_page_is_let_go_of_when_another_page_records_and_does_not_end_that(
    page: "Page", browser: "Browser", program: Program
) -> None:
    before = [len(takes_of(program, posture)) for posture in ("rest", "wide")]
    page.keyboard.down("1")
    page.locator(".card.recording[data-name=rest]").wait_for()
    wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of it")
    other = open_page(browser, program.url + "/teach")
    tap(other, "2")
    page.get_by_text("The recording has ended").wait_for()
    page.keyboard.up("1")
    page.close()
    wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of the other")
    other.get_by_text("Recording wide: press it again").wait_for()
    tap(other, "2")
    wanted = [count + 1 for count in before]
    wait_until(lambda: [len(takes_of(program, one)) for one in ("rest", "wide")] == wanted, "a take of each")
    other.close()
    for _ in before:
        program.ask("undo")


def test_a_key_that_is_let_go_of_ends_its_take_though_its_card_has_another_key_by_now(
    page: "Page", program: Program
) -> None:
    takes = len(json.loads(str(program.ask("takes")[0])))
    page.keyboard.down("4")
    page.locator(".card.recording").wait_for()
    wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of it")
    program.ask("patch/add", "output", json.dumps({"name": "side", "classes": ["left"]}))
    page.locator(".card.recording[aria-keyshortcuts='5']").wait_for()
    page.keyboard.up("4")
    wait_until(lambda: len(json.loads(str(program.ask("takes")[0]))) == takes + 1, "the take")
    program.ask("undo")
    program.ask("patch/undo")


def test_undo_while_a_card_is_held_drops_its_take(page: "Page", program: Program) -> None:
    before = takes_of(program, "rest")
    tap(page, "1")
    wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of it")
    page.keyboard.press("Control+z")
    page.get_by_text("The recording has ended").wait_for()
    wait_until(lambda: takes_of(program, "rest") == before, "the takes as they were")
    page.locator("[data-name=rest][aria-pressed=false]").wait_for()


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
    page.wait_for_function("window.played.length > 1 && window.played.at(-1) === null")
    assert page.evaluate("window.played[0]") == 6


def test_hands_free_counts_in_aloud_and_records_as_often_as_wanted(page: "Page", program: Program) -> None:
    before = len(json.loads(str(program.ask("takes")[0])))
    page.get_by_role("button", name="Hands free").click()
    for name, value in (("Count-in", "1"), ("Take, s", "1"), ("Times", "2")):
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


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_take_ends_by_itself_when_the_performer_is_back_at_rest(page: "Page", is_begun: bool) -> None:
    """Ten frames at rest, arms up for twenty, and down again: only the arms that are up are kept. And a second time.

    Without a count-in the first body that is seen is at rest, not a hand or a body that hardly is seen before it.
    """
    found = page.evaluate(
        """async (isBegun) => {
            const { restWatch } = await import("/static/rest_watch.js");
            const pose = (up, seen = 1) => {
                const points = new Float32Array(33 * 4).fill(seen);
                const put = (index, x, y) => points.set([x, y], index * 4);
                for (const [side, x] of [[0, 0.45], [1, 0.55]]) {
                    put(11 + side, x, 0.3); put(23 + side, x, 0.5); put(25 + side, x, 0.7); put(27 + side, x, 0.9);
                    put(13 + side, x, 0.3 + 0.1 * (1 - 2 * up)); put(15 + side, x, 0.3 + 0.2 * (1 - 2 * up));
                }
                return { pose: points };
            };
            const hand = { right_hand: new Float32Array(21 * 3).map((_, index) => index / 63) };
            const watch = restWatch();
            if (isBegun) watch.begin(pose(0));
            else [{}, pose(1, 0.1), pose(1, 0.1), hand, hand].forEach((moving) => watch.isBack(moving));
            const ups = [...Array(10).fill(0), 0.5, ...Array(20).fill(1), 0.6, 0.3, ...Array(20).fill(0)];
            return [1, 2].map(() => {
                const at = ups.findIndex((up) => watch.isBack(pose(up)));
                const found = [at, watch.framesOfWayBack()];
                watch.again();
                return found;
            });
        }""",
        is_begun,
    )
    for ended, way_back in found:
        assert 33 < ended < 40
        assert ended - way_back == 30


def test_hands_free_ends_a_take_of_the_demo_performer_at_rest(page: "Page", program: Program) -> None:
    page.get_by_role("button", name="Hands free").click()
    for name, value in (("Count-in", "0"), ("Take, s", "30"), ("Times", "1")):
        page.get_by_label(name).fill(value)
        page.get_by_label(name).blur()
    page.get_by_label("Stop when I am back at rest").check()
    as_the_performer_comes_to_rest(page, press="up")
    page.get_by_text("1 new of up").wait_for()
    newest = json.loads(str(program.ask("takes")[0]))[-1]
    program.ask("takes/delete_last")
    assert newest["seconds"] < 25  # not by its length


def as_the_performer_comes_to_rest(page: "Page", *, press: str) -> None:
    """Presses the card of that class in the moment in which rest is recognised anew: from within the page, in time."""
    recognised = page.locator("instrument-recognised[data-said]")
    recognised.wait_for()
    recognised.evaluate(
        """(recognised, name) => new Promise((resolve) => {
            const card = document.querySelector(`.card[data-name=${name}]`);
            let before = "rest";
            const watch = new MutationObserver(() => {
                const said = recognised.dataset.said;
                if (said === "rest" && before !== "rest") {
                    watch.disconnect();
                    card.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
                    card.dispatchEvent(new KeyboardEvent("keyup", { key: "Enter" }));
                    resolve();
                }
                before = said;
            });
            watch.observe(recognised, { attributeFilter: ["data-said"] });
        })""",
        press,
    )


def test_the_advice_to_record_more_of_a_class_has_a_button_that_counts_in(page: "Page", program: Program) -> None:
    with changed(program, "takes/delete", *takes_of(program, "up")[1:]):
        page.locator("[data-kind=few]").get_by_role("button", name="Record up").click()
        page.locator(".count-in").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("Stopped; 0 new").wait_for()


def test_the_advice_on_an_outlier_shows_the_take_and_relabels_it(page: "Page", program: Program) -> None:
    number = takes_of(program, "up")[0]
    with changed(program, "takes/relabel", number, "posture", "rest"):
        outlier = page.locator("[data-kind=outlier]", has_text=f"take {number}")
        outlier.get_by_role("button", name=f"Look at take {number}").click()
        page.locator(f"[data-take='{number}'][aria-selected=true]:focus").wait_for()
        outlier.get_by_role("button", name="Relabel it up").click()
        wait_until(lambda: number in takes_of(program, "up"), "the take to be labelled up again")
        program.ask("undo")


def test_the_advice_on_classes_that_collide_shows_the_takes_of_both_and_no_others(
    page: "Page", program: Program
) -> None:
    swapped = takes_of(program, "wide")[:4]
    with changed(program, "takes/relabel_many", "posture", "up", *swapped):
        collision = page.locator("[data-kind=collision]", has_text="'wide' and 'up'")
        collision.get_by_role("button", name="Show both").click()
        both = len(takes_of(program, "wide") + takes_of(program, "up"))
        page.locator(".takes-bar h2", has_text=f"{both} of ").wait_for()
        assert page.locator("[data-take]").count() == both
        page.get_by_role("button", name="All takes").click()
        wait_until(lambda: page.locator("[data-take]").count() > both, "all takes to be shown")


def test_the_advice_on_badly_tracked_takes_deletes_them(page: "Page") -> None:
    """As it would come of takes in which nobody was seen: the button asks for what the sentence says."""
    asked = page.evaluate("""async () => {
        const { live } = await import("/static/live.js");
        const asked = [];
        live.ask = async (...command) => (asked.push(command), []);
        const advice = [{ kind: "tracking", text: "takes 1, 2: ...", evidence: { takes: [1, 2] } }];
        live.state.coaching = { posture: { advice } };
        const panel = document.createElement("instrument-coaching");
        document.querySelector("main").append(panel);
        [...panel.querySelectorAll("button")].find((one) => one.textContent === "Delete takes 1, 2").click();
        return asked;
    }""")
    assert asked == [["/instrument/takes/delete", 1, 2]]


def test_how_the_loss_fell_is_drawn_and_stays(page: "Page") -> None:
    page.get_by_role("button", name="Learn again").click()
    curve = page.get_by_role("img", name="loss at step").locator("polyline")

    def heights() -> list[float]:
        return [float(point.split(",")[1]) for point in (curve.get_attribute("points") or "").split()]

    wait_until(lambda: len(heights()) > 10, "the curve")
    assert heights()[0] < heights()[-1], "the loss begins at the top"
    page.get_by_role("img", name="% on takes kept apart").wait_for()


def test_what_was_taken_for_what_is_a_table_with_the_recall_of_each_class(page: "Page", program: Program) -> None:
    table = page.locator(".confusion")
    table.wait_for()
    told = program.status()["coaching"]["posture"]["by_take"]
    rows = table.locator("tbody tr")
    for row, name, counts in zip(rows.all(), told["classes"], told["confusion"], strict=True):
        assert name in row.get_by_role("rowheader").inner_text()
        cells = row.get_by_role("cell").all_inner_texts()
        right = told["recall"][name]
        assert cells == [f"{100 if right == 1 else min(99, round(100 * right))} %", *map(str, counts)]


def test_a_class_that_was_not_tested_has_no_figures(page: "Page") -> None:
    table = page.evaluate("""async () => {
        const { confusionTable } = await import("/static/confusion.js");
        const [classes, confusion] = [["circle", "zigzag"], [[2, 0], [0, 0]]];
        const recall = { circle: 1, zigzag: null };
        const found = confusionTable("move", { classes, confusion, recall, of: "takes" });
        return [...found.querySelectorAll("tbody tr")].map((row) => [...row.cells].map((cell) => cell.textContent));
    }""")
    assert [row[1:] for row in table] == [["100 %", "2", "0"], ["\u2013", "", ""]]


def test_the_score_by_take_stands_before_the_one_by_frame_with_its_warning(page: "Page") -> None:
    page.locator(".score", has_text="right in takes it had not learned from").wait_for()
    assert "flatters" in page.locator(".score-beside").inner_text()


def test_the_error_of_a_continuous_output_is_shown_in_its_own_unit(page: "Page") -> None:
    page.get_by_role("group", name="Which output is shown").get_by_role("button", name="lift").click()
    page.locator(".score", has_text="off, of 0 to 1, in takes it had not learned from").wait_for()
    worst = page.locator(".worst-takes button").first
    number = worst.inner_text().removeprefix("take ")
    worst.click()
    page.locator(f"[data-take='{number}'][aria-selected=true]").wait_for()


@pytest.fixture
def two_values(program: Program) -> Iterator[None]:
    """A second continuous output beside `lift`."""
    wait_until(program.answers, "the engine to answer")
    program.ask("patch/add", "output", json.dumps({"name": "spread", "kind": "continuous", "range": [0, 100]}))
    yield
    program.ask("patch/undo")


def test_with_movements_beside_classes_both_are_seen_while_teaching(page: "Page", program: Program) -> None:
    assert page.locator("instrument-movements").is_hidden()
    program.ask("patch/add", "output", json.dumps({"name": "swing", "kind": "trigger", "classes": ["left"]}))
    page.locator(".movement", has_text="swing").wait_for()
    assert page.locator("instrument-recognised").is_visible()
    program.ask("patch/undo")


@pytest.mark.usefixtures("two_values")
def test_an_output_that_nobody_has_taught_is_recorded_from_its_advice(page: "Page", program: Program) -> None:
    program.ask("train")
    refused = page.locator("[data-kind=refused]", has_text="spread")
    refused.get_by_role("button", name="Record 100").click()
    page.locator(".count-in").wait_for()
    assert page.get_by_label("What to teach spread").input_value() == "100"
    page.keyboard.press("Escape")
    page.get_by_text("Stopped; 0 new").wait_for()


@pytest.mark.usefixtures("two_values")
def test_two_continuous_outputs_are_set_on_a_pad_with_the_arrow_keys_and_recorded(
    page: "Page", program: Program
) -> None:
    pad = page.get_by_role("application", name="Two values at once")
    box = pad.bounding_box()
    assert box is not None
    pad.click(position={"x": box["width"] / 2, "y": box["height"] / 4})
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.get_by_text("to teach: lift 0.52, spread 65").wait_for()
    assert page.get_by_label("What to teach spread").input_value() == "65"
    before = len(json.loads(str(program.ask("takes")[0])))
    page.get_by_role("button", name="Record this point").click()  # a short press holds it
    page.get_by_text("press it again to stop").wait_for()
    wait_until(lambda: program.status()["recording"]["frames"] >= 5, "frames of the take")
    page.get_by_role("button", name="Record this point").click()
    wait_until(lambda: len(json.loads(str(program.ask("takes")[0]))) > before, "the take")
    newest = json.loads(str(program.ask("takes")[0]))[-1]
    program.ask("takes/delete_last")
    assert newest["targets"] == {"lift": pytest.approx(0.52, abs=0.01), "spread": pytest.approx(65, abs=1)}


def test_of_cards_pressed_one_after_the_other_at_once_the_last_one_is_held_until_escape(
    page: "Page", program: Program
) -> None:
    card = page.locator(".card[aria-keyshortcuts='3']")
    name = card.get_attribute("data-name")
    before = len(json.loads(str(program.ask("takes")[0])))
    tap(page, "123" * 3)
    page.locator(f".card[data-name='{name}'].recording").wait_for()
    wait_until(lambda: program.status()["recording"]["frames"] >= 5, "frames of the take")
    assert page.locator(".card.recording").count() == 1
    page.keyboard.press("Escape")

    def added() -> list[dict[str, Any]]:
        return json.loads(str(program.ask("takes")[0]))[before:]  # type: ignore[no-any-return]

    wait_until(lambda: added() and name in added()[-1]["targets"].values(), "the take")
    for _ in added():
        program.ask("takes/delete_last")


def test_a_card_made_anew_while_it_waits_for_the_take_before_it_is_seen_to_be_held(
    page: "Page", program: Program
) -> None:
    before = len(json.loads(str(program.ask("takes")[0])))
    for number in range(8):  # cards are made anew somewhere between the tap and what comes of it
        if number % 2:
            program.ask("patch/undo")
        else:
            program.ask("patch/add", "output", json.dumps({"name": "side", "classes": ["left"]}))
        tap(page, "123")
        page.locator(".card.recording[aria-keyshortcuts='3']").wait_for()
        wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of it")
        page.keyboard.press("Escape")
        wait_until(lambda: program.status()["recording"]["state"] == "idle", "its end")
    for _ in json.loads(str(program.ask("takes")[0]))[before:]:
        program.ask("takes/delete_last")


def test_something_else_is_learned_from_the_page_alone(page: "Page", program: Program) -> None:
    tap(page, "1")  # what is recorded meanwhile goes on
    page.get_by_text("Recording rest: press it again").wait_for()
    page.get_by_text("Learn something else").click()
    form = page.locator(".output-form")
    form.get_by_label("Name", exact=True).fill("posture")
    form.get_by_label("Names: left, right").fill(" ,")
    form.get_by_role("button", name="Add").click()
    assert form.locator(":invalid").count() == 1
    form.get_by_label("Names: left, right").fill("left, right")
    form.get_by_role("button", name="Add").click()
    page.locator(".card-said.bad", has_text="output 'posture' is there twice").wait_for()
    form.get_by_label("Name", exact=True).fill("side")
    form.get_by_role("button", name="Add").click()
    page.get_by_text("side is here, and goes to /side").wait_for()
    page.locator(".card.recording[data-name=rest]", has_text=re.compile(r"\d s")).wait_for()
    page.keyboard.press("Escape")
    page.get_by_text(re.compile(r"Take \d+ of rest")).wait_for()
    page.get_by_role("button", name="Record left").wait_for()
    tap(page, "4")
    page.get_by_text("Recording left: press it again").wait_for()
    wait_until(lambda: program.status()["recording"]["frames"] > 3, "frames of it")
    page.keyboard.press("Escape")
    page.locator(".card[data-name=left]", has_text="1 take").wait_for()

    page.get_by_text("Learn something else").click()
    form.get_by_label("Name", exact=True).fill("turn")
    form.get_by_label("Names: left, right").fill(" ,")
    form.get_by_label("Kind").select_option("A value")
    form.get_by_role("button", name="Add").click()
    page.get_by_role("slider", name="What to teach turn").wait_for()
    page.get_by_text("turn is here, and goes to /turn").wait_for()
    routes = json.loads(str(program.ask("routes")[0]))
    assert [(one["source"], one["osc"]) for one in routes[-2:]] == [("side", "/side"), ("turn", "/turn")]

    page.get_by_text("Learn something else").click()
    page.get_by_role("button", name="Remove side").click()
    page.get_by_text("side and its routes are gone").wait_for()
    page.locator(".card[data-name=left]").wait_for(state="detached")
    program.ask("patch/undo")
    page.locator(".card[data-name=left]", has_text="1 take").wait_for()
    for _ in range(2):
        program.ask("undo")
    for _ in range(4):
        program.ask("patch/undo")
    page.locator(".card[data-name=left]").wait_for(state="detached")


def test_random_values_are_heard_and_stand_on_the_slider(page: "Page", program: Program) -> None:
    wait_until(lambda: page.locator(".slider").count() == 1, "the slider of the only continuous output")
    page.get_by_role("button", name="Randomise").click()
    page.get_by_text("strike a pose that suits it").wait_for()
    assert not program.status()["running"]
    said = page.locator(".card-said").inner_text()
    shown = float(page.locator(".slider output").inner_text())
    assert said.startswith("lift ")
    assert float(said.split()[1].rstrip(":")) == pytest.approx(shown, abs=0.01)
    program.ask("run", 1)


@pytest.mark.parametrize("size", [(1440, 900), (1024, 768), (390, 844)])
def test_nothing_is_cut_with_hands_free_open(browser: "Browser", program: Program, size: tuple[int, int]) -> None:
    page = open_page(browser, program.url + "/teach", width_px=size[0], height_px=size[1])
    page.get_by_role("button", name="Hands free").click()
    page.locator(".score").wait_for()
    cut = page.evaluate("""() => [...document.querySelectorAll("main .panel")].filter((panel) => {
        const within = panel.getBoundingClientRect();
        return [...panel.querySelectorAll("button, input, output, td")].some((one) => {
            const box = one.getBoundingClientRect();
            const isScrolled = one.closest(".takes, .advice, .confusion-box");
            const isOut = box.bottom > within.bottom + 1 || box.right > within.right + 1;
            return one.checkVisibility() && !isScrolled && isOut;
        });
    }).map((panel) => panel.localName)""")
    page.close()
    assert cut == []
