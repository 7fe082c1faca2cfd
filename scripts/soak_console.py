#!/usr/bin/env python3
"""Leaves pages open and says how much memory they take, the browser's and the server's, as time goes by.

    .venv/bin/python scripts/soak_console.py [MINUTES] [--pages / /health] [--json FILE]

Needs Chromium (`apt install chromium`) and the test tools. The instrument plays the demo performer; each page is open
in a window of its own all the time. The JavaScript heap is measured after collecting garbage; growth is that of a
straight line through the samples from the second minute on.
"""

import argparse
import json
import queue
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench_console import SWITCHES
from playwright.sync_api import CDPSession, sync_playwright

from instrument.projects import DEFAULT_PATCH, new_project
from instrument.supervisor import ConsoleOptions, Supervisor

IN_PORT, CONSOLE_PORT = 16548, 16580
WARM_UP_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Leave pages open and watch their memory.")
    parser.add_argument("minutes", type=float, nargs="?", default=10.0)
    parser.add_argument("--pages", nargs="+", default=["/", "/health"], metavar="PATH")
    parser.add_argument("--every", type=float, default=15.0, metavar="SECONDS", help="between two samples")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.minutes * 60 < WARM_UP_S + 4 * arguments.every:
        sys.exit(f"{arguments.minutes:g} minutes are too few: the first two are left out; try 5")
    chromium = shutil.which("chromium") or sys.exit("Chromium is not installed: apt install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
        links: queue.SimpleQueue[str] = queue.SimpleQueue()
        options = {
            "folder": str(new_project(Path(folder) / "soak", DEFAULT_PATCH).folder),
            "source": "demo",
            "out": ["127.0.0.1", 16100],
            "in_port": IN_PORT,
        }
        supervisor = Supervisor(options, is_quiet=True, console=ConsoleOptions(on_page=links.put, port=CONSOLE_PORT))
        run = threading.Thread(target=supervisor.run)
        run.start()
        try:
            url = links.get(timeout=60).rstrip("/")
            browser = playwright.chromium.launch(executable_path=chromium, args=[*SWITCHES])
            heaps: dict[str, CDPSession] = {}
            for path in arguments.pages:
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.goto(url + path)
                heaps[path] = page.context.new_cdp_session(page)
            samples = watch(supervisor, heaps, arguments.minutes * 60, arguments.every)
            browser.close()
        finally:
            supervisor.stop()
            run.join()
    figures = {"minutes": arguments.minutes, "samples": len(samples), **growth(samples)}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures | {"all": samples}, indent=2), encoding="utf-8")


def watch(
    supervisor: Supervisor, heaps: dict[str, CDPSession], seconds: float, every_s: float
) -> list[dict[str, float]]:
    """A sample of everything, again and again: MB, and the number of DOM nodes of each page."""
    assert supervisor.console is not None
    processes = {"console": supervisor.console, "engine": supervisor.engine}
    began_s = time.monotonic()
    samples = []
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        sample: dict[str, float] = {"s": elapsed_s}
        for name, child in processes.items():
            assert child.pid is not None
            sample[f"{name} MB"] = psutil.Process(child.pid).memory_info().rss / 1e6
        for path, heap in heaps.items():
            heap.send("HeapProfiler.collectGarbage")
            sample[f"{path} heap MB"] = heap.send("Runtime.getHeapUsage")["usedSize"] / 1e6
            sample[f"{path} nodes"] = heap.send("Memory.getDOMCounters")["nodes"]
        samples.append(sample)
        time.sleep(max(began_s + len(samples) * every_s - time.monotonic(), 0.0))
    return samples


def growth(samples: list[dict[str, float]]) -> dict[str, Any]:
    """First and last of each figure, and how much it grows an hour."""
    warm = [one for one in samples if one["s"] >= WARM_UP_S]
    hours = np.array([one["s"] for one in warm]) / 3600
    return {
        name: {
            "first": round(warm[0][name], 2),
            "last": round(warm[-1][name], 2),
            "an hour": round(float(np.polyfit(hours, [one[name] for one in warm], 1)[0]), 2),
        }
        for name in samples[0]
        if name != "s"
    }


if __name__ == "__main__":
    main()
