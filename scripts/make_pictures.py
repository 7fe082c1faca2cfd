#!/usr/bin/env python3
"""Makes the docs' pictures of the page, from the real page in Chromium, the demo performer playing.

    .venv/bin/python scripts/make_pictures.py

Needs Chromium (`apt install chromium`) and the test tools.
"""

import queue
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from instrument.projects import DEFAULT_PATCH, new_project
from instrument.supervisor import ConsoleOptions, Supervisor

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SWITCHES = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
WINDOW = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
OUT_PORT = 17000
FILLED_S = 11.0
"""Until the meters' curves reach across."""


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("Chromium is not installed: apt install chromium")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        sync_playwright() as playwright,
    ):
        listener.bind(("127.0.0.1", OUT_PORT))  # else the pictures say that nobody listens
        links: queue.SimpleQueue[str] = queue.SimpleQueue()
        project = new_project(Path(folder) / "piece", DEFAULT_PATCH)
        options = {"folder": str(project.folder), "source": "demo", "out": ["127.0.0.1", OUT_PORT], "in_port": 17448}
        supervisor = Supervisor(options, is_quiet=True, console=ConsoleOptions(on_page=links.put, port=17480))
        run = threading.Thread(target=supervisor.run)
        run.start()
        try:
            url = links.get(timeout=60)
            browser = playwright.chromium.launch(executable_path=chromium, args=[*SWITCHES])
            page = browser.new_page(viewport=WINDOW)  # type: ignore[arg-type]
            page.goto(url)
            page.locator("instrument-recognised[data-said]:not([data-said=''])").wait_for()
            time.sleep(FILLED_S)
            shoot(page, "stage", "up")
            page.goto(f"{url}teach")
            page.locator(".take").first.wait_for()
            page.keyboard.down("2")
            shoot(page, "teach", "wide")
            page.keyboard.up("2")
            page.goto(f"{url}map")
            page.locator("tbody tr", has_text="Controller 74").click()
            for scene in ("soft", "loud"):
                page.get_by_label("Name of a new scene").fill(scene)
                page.get_by_label("Name of a new scene").press("Enter")
                page.locator(f"[data-scene={scene}][aria-pressed=true]").wait_for()
            time.sleep(3.0)
            shoot(page, "map")
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            page.goto(url)
            time.sleep(3.0)
            shoot(page, "stage-phone", "up")
            browser.close()
        finally:
            supervisor.stop()
            run.join()


def shoot(page: Page, name: str, posture: str = "") -> None:
    """Takes the picture, at a moment in which that posture is recognised, if one is named."""
    if posture:
        page.locator(f"instrument-recognised[data-said={posture}]").wait_for()
    file = FOLDER / f"{name}.jpg"
    page.screenshot(path=file, type="jpeg", quality=82)
    print(file)


if __name__ == "__main__":
    main()
