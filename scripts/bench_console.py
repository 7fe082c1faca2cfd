#!/usr/bin/env python3
"""Measures the page: its frame rate, what its server costs, what it adds to the engine's latency, weight and load time.

    .venv/bin/python scripts/bench_console.py [SECONDS] [--json FILE]

Needs Chromium (`apt install chromium`) and the test tools. The instrument plays the demo performer at
640x360 and 30 frames a second; latencies are the engine's own, frame to datagram, taken in turn
without a page, with one that is drawn elsewhere (a listener that asks for all a page asks for and
draws nothing) and with one in Chromium here, so that what else the machine does falls on all alike.
"""

import argparse
import contextlib
import json
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from instrument.bench import wait_until_trained
from instrument.client import Client
from instrument.projects import DEFAULT_PATCH, new_project
from instrument.supervisor import ConsoleOptions, Supervisor

SWITCHES = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
IN_PORT, CONSOLE_PORT = 16448, 16480
PATHS = ("/", "/teach")
ROUNDS = 3
COUNT_PICTURES = """async (milliseconds) => {
    const { live } = await import("/static/live.js");
    let [frames, pictures] = [0, 0];
    const ends = [live.on("frame", () => (frames += 1)), live.on("picture", () => (pictures += 1))];
    const began = performance.now();
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    const seconds = (performance.now() - began) / 1000;
    for (const end of ends) end();
    return [frames / seconds, pictures / seconds];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the page.")
    parser.add_argument("seconds", type=float, nargs="?", default=10.0, help="how long each measurement takes")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("Chromium is not installed: apt install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
        links: queue.SimpleQueue[str] = queue.SimpleQueue()
        console = ConsoleOptions(on_page=links.put, port=CONSOLE_PORT)
        options = {
            "folder": str(new_project(Path(folder) / "bench", DEFAULT_PATCH).folder),
            "source": "demo",
            "out": ["127.0.0.1", 16000],
            "in_port": IN_PORT,
        }
        supervisor = Supervisor(options, is_quiet=True, console=console)
        run = threading.Thread(target=supervisor.run)
        run.start()
        try:
            url = links.get(timeout=60)
            browser = playwright.chromium.launch(executable_path=chromium, args=[*SWITCHES])
            assert supervisor.console is not None
            assert supervisor.console.pid is not None
            with Client(port=IN_PORT) as client:
                wait_until_trained(run, lambda: json.loads(str(client.ask("/instrument/status")[0])))
                server = psutil.Process(supervisor.console.pid)
                figures = measure(browser, url.rstrip("/"), client, server, arguments.seconds)
            browser.close()
        finally:
            supervisor.stop()
            run.join()
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def measure(browser: Browser, url: str, client: Client, server: psutil.Process, seconds: float) -> dict[str, Any]:
    """Everything there is to measure, by name."""
    figures: dict[str, Any] = {"cores": psutil.cpu_count(), "seconds": seconds, "rounds": ROUNDS}
    for path in PATHS:
        figures[path] = load(browser, url + path)
    without, elsewhere, beside, rates, server_shares, chrome_shares = [], [], [], [], [], []
    time.sleep(5.0)
    for _ in range(ROUNDS):
        without.append(latency(client, seconds))
        with listening(url):
            elsewhere.append(latency(client, seconds))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.locator("instrument-camera-view[data-tracked=yes]").wait_for()
        time.sleep(2.0)
        before = (cpu_s(server), chrome_cpu_s(), time.monotonic())
        client.ask("/instrument/latency/reset")
        rates.append(page.evaluate(COUNT_PICTURES, seconds * 1000))
        beside.append(summary(client))
        elapsed_s = time.monotonic() - before[2]
        server_shares.append((cpu_s(server) - before[0]) / elapsed_s)
        chrome_shares.append((chrome_cpu_s() - before[1]) / elapsed_s)
        page.close()
    figures["page frames a second"] = median([one[0] for one in rates])
    figures["page pictures a second"] = median([one[1] for one in rates])
    figures["server, share of a core"] = median(server_shares)
    figures["Chromium, share of a core, drawn without a GPU"] = median(chrome_shares)
    figures["server memory MB"] = server.memory_info().rss / 1e6
    conditions = {
        "without a page": without,
        "with a page drawn elsewhere": elsewhere,
        "with a page drawn by Chromium here": beside,
    }
    for name, rows in conditions.items():
        figures[name] = {stage: median([row[stage] for row in rows]) for stage in rows[0]}
    return figures


@contextlib.contextmanager
def listening(url: str) -> Iterator[None]:
    """Somebody who asks for all that a page asks for, and draws nothing."""
    with connect(url.replace("http", "ws") + "/live", compression=None) as live:
        live.send(json.dumps({"want": ["landmarks", "preview"]}))

        def listen() -> None:
            with contextlib.suppress(ConnectionClosed):
                for message in live:
                    if isinstance(message, bytes):
                        live.send("+")

        thread = threading.Thread(target=listen)
        thread.start()
        time.sleep(1.0)
        yield
    thread.join()


def load(browser: Browser, url: str) -> dict[str, float]:
    """What a page weighs, and how long it takes until the first skeleton is seen."""
    page: Page = browser.new_page()
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(int(response.headers.get("content-length", 0))))
    began_s = time.monotonic()
    page.goto(url, wait_until="domcontentloaded")
    ready_s = time.monotonic() - began_s
    page.locator("instrument-camera-view[data-tracked=yes]").wait_for()
    seen_s = time.monotonic() - began_s
    page.close()
    return {"requests": len(sizes), "kB": sum(sizes) / 1e3, "ready s": ready_s, "first skeleton s": seen_s}


def latency(client: Client, seconds: float) -> dict[str, float]:
    client.ask("/instrument/latency/reset")
    time.sleep(seconds)
    return summary(client)


def summary(client: Client) -> dict[str, float]:
    found = json.loads(str(client.ask("/instrument/status")[0]))["latency"]
    return {
        f"{stage} {figure}": found[stage][figure]
        for stage in ("total", "beyond_tracking")
        for figure in ("p50_ms", "p99_ms")
    }


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def chrome_cpu_s() -> float:
    """What this program's browser has used so far."""
    children = psutil.Process().children(recursive=True)
    return sum(cpu_s(one) for one in children if "chrom" in one.name())


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
