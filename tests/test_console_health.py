"""The Health page in a real Chromium, and the rows behind it, with an engine that is killed."""

import contextlib
import json
import urllib.request
from typing import TYPE_CHECKING, Any

from browsing import Program, open_page
from clients import wait_until

from instrument import health

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def get(program: Program, path: str) -> bytes:
    with urllib.request.urlopen(program.url + path) as answer:  # noqa: S310  (the console's own page)
        return answer.read()


def shown(program: Program) -> dict[str, Any]:
    found = json.loads(get(program, "/health/rows"))
    return found | {"rows": [dict(zip(found["keys"], row, strict=True)) for row in found["rows"]]}


def test_takes_are_given_to_programs_while_no_page_is_open(program: Program) -> None:
    wait_until(program.answers, "the engine to answer")
    assert json.loads(get(program, "/takes/1/strip"))
    assert json.loads(get(program, "/takes/1/frames?to_s=1"))


def test_rows_come_while_nobody_looks_and_the_page_shows_them(browser: "Browser", program: Program) -> None:
    wait_until(lambda: len(shown(program)["rows"]) >= 2, "two rows", timeout_s=40)
    newest = shown(program)["rows"][-1]
    assert newest["total_p50"] > 0
    assert newest["sent"] > 0
    assert newest["console_mb"] > 10
    page = open_page(browser, f"{program.url}/health")
    for figure in ("total", "rate", "tracked", "sent", "stage_track"):
        page.locator(f"instrument-curve[figure={figure}][data-value]:not([data-value=''])").wait_for()
    was = page.locator("instrument-curve[figure=total]").get_attribute("data-value")
    page.locator(f"instrument-curve[figure=total]:not([data-value='{was}'])").wait_for()
    page.close()


def test_a_killed_engine_is_counted_and_the_hour_before_it_is_kept(browser: "Browser", program: Program) -> None:
    page = open_page(browser, f"{program.url}/health")
    page.locator("[data-process=engine][data-restarts='0']").wait_for()
    before = shown(program)["rows"]
    program.kill("engine")
    page.locator("[data-process=engine][data-restarts='1']").wait_for()
    page.get_by_text("The engine was started again").wait_for()
    after = shown(program)
    assert after["restarts"] == {"engine": 1, "trainer": 0, "console": 0}
    assert after["rows"][: len(before)] == before
    assert program.status()["restarts"]["engine"] == 1
    page.close()


def test_a_killed_console_gets_the_hour_from_the_engine(program: Program) -> None:
    def times() -> list[float]:
        return [row["at_s"] for row in shown(program)["rows"] if row["total_p50"] is not None]

    before = len(times())
    wait_until(lambda: len(times()) > before, "a row of the engine that runs now")
    newest = times()[-1]
    killed = program.child("console")
    program.kill("console")
    wait_until(lambda: program.child("console") not in (None, killed), "another console")

    def has_hour() -> bool:
        with contextlib.suppress(OSError):
            return newest in times()
        return False

    wait_until(has_hour, "the rows from before")


def test_a_report_is_saved_as_text_and_as_json(browser: "Browser", program: Program) -> None:
    page = open_page(browser, f"{program.url}/health")
    for name, kind in (("Save as text", "txt"), ("Save as JSON", "json")):
        with page.expect_download() as coming:
            page.get_by_role("link", name=name).click()
        assert coming.value.suggested_filename.endswith(f".{kind}")
        text = coming.value.path().read_text(encoding="utf-8")
        assert "Three postures" in text
        assert "total" in text
    assert tuple(json.loads(text)["health"]["keys"]) == health.KEYS
    page.close()
