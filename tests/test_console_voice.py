"""The page's own voice over a long time: Chromium itself counts the nodes that its sound is made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from browsing import Program, open_page
from clients import require_client, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATCH = """
name = "Voice"
[listen]
source = "osc"
inputs = 2
[[output]]
name = "amount"
kind = "continuous"
[[route]]
from = "amount"
to = "page"
osc = "/pitch"
range = [30, 100]
[[route]]
from = "amount"
to = "page"
osc = "/note"
range = [30, 100]
[[route]]
from = "amount"
to = "page"
osc = "/kick"
[[route]]
from = "amount"
to = "page"
osc = "/snare"
invert = true
"""
NOTES = 250
HELD = 4
"""Nodes of the note that `/note` goes on holding."""


class Nodes:
    """How many audio nodes the page has made, and which are still there after collecting garbage."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        self.made = 0
        self.there: set[str] = set()
        self._tools = page.context.new_cdp_session(page)
        self._tools.on("WebAudio.audioNodeCreated", self._add)
        self._tools.on("WebAudio.audioNodeWillBeDestroyed", lambda told: self.there.discard(told["nodeId"]))
        self._tools.send("WebAudio.enable")

    def heard(self) -> int:
        self._page.wait_for_timeout(100)  # Playwright hears of them only while it waits
        return self.made

    def count(self) -> int:
        self._page.wait_for_timeout(100)
        self._tools.send("HeapProfiler.collectGarbage")
        return len(self.there)

    def _add(self, told: dict[str, Any]) -> None:
        self.made += 1
        self.there.add(told["node"]["nodeId"])


def test_notes_that_have_died_away_leave_nothing_behind(browser: "Browser", tmp_path: Path) -> None:
    require_client("chromium")
    (tmp_path / "patch.toml").write_text(PATCH, encoding="utf-8")
    with Program(tmp_path) as program:
        page = open_page(browser, program.url)
        nodes = Nodes(page)
        page.get_by_role("button", name="Sound on").click()
        page.get_by_role("button", name="Sound off").wait_for()
        at_first = nodes.count()

        def has_played() -> bool:
            for _ in range(10):  # of those that come faster than the page draws, it hears the last
                program.ask("randomise")
            return nodes.heard() > 4 * NOTES

        wait_until(has_played, "the notes")
        wait_until(lambda: nodes.count() <= at_first + HELD, "them to be gone")
        page.close()
