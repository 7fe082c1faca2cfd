"""The console's page in a real Chromium, served by a real `instrument play`."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2
import psutil
from clients import PATIENCE_S, free_tcp_port, free_udp_port, require_client, wait_until

from instrument.client import Client, NoAnswer
from instrument.projects import new_project
from instrument.protocol import Value

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""So that it runs without a screen and asks nobody on the network."""
FAINT_TEXTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
        const linear = (one) => (one /= 255) <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
        const [x, y, z] = [r, g, b].map(linear);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
        for (; element; element = element.parentElement) {
            const colour = rgba(getComputedStyle(element).backgroundColor);
            if (colour[3] > 128) return colour;
        }
        return [255, 255, 255, 255];
    };
    const faint = [];
    for (const element of document.querySelectorAll("main *, header *")) {
        const texts = [...element.childNodes].filter((one) => one.nodeType === 3);
        const text = texts.map((one) => one.textContent.trim()).join("");
        if (!text || !element.checkVisibility() || element.disabled) continue;
        const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) faint.push([text, contrast.toFixed(2)]);
    }
    return faint;
}"""
"""Texts whose contrast is below WCAG 2.2 AA for small print."""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, a, [role=img]")]
    .filter((one) => one.checkVisibility())
    .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length || one.title))
    .map((one) => one.outerHTML)"""
"""Controls without a name for who does not see them."""

WHO = {"engine": "instrument.engine_process", "console": "instrument.console.process"}


def is_gone(process: psutil.Process) -> bool:
    """Whether that process has ended."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Program:
    """`instrument play` with its page, as a user starts it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_udp_port()
        command = [sys.executable, "-m", "instrument", "play", str(folder), "--no-browser"]
        command += ["--in-port", str(self.port), "--out", f"127.0.0.1:{free_udp_port()}"]
        self.process = subprocess.Popen(
            [*command, "--console-port", str(free_tcp_port()), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def url(self) -> str:
        """Where the page is, without the last slash; waits until it is there."""
        wait_until(lambda: self._said_url() or self.process.poll() is not None, "the link to the page")
        assert self._said_url(), "\n".join(self.lines)
        return self._said_url()

    def child(self, name: str) -> psutil.Process | None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if WHO[name] in child.cmdline():
                    return child
        return None

    def kill(self, name: str) -> None:
        """Kills that process, and returns when it is gone."""
        child = self.child(name)
        assert child is not None
        child.kill()
        wait_until(lambda: is_gone(child), f"the {name} to die")

    def ask(self, address: str, *arguments: Value) -> list[Value]:
        with Client(port=self.port) as client:
            return client.ask(f"/instrument/{address}", *arguments, timeout_s=PATIENCE_S)

    def status(self) -> dict[str, Any]:
        return json.loads(str(self.ask("status")[0]))

    def answers(self) -> bool:
        """Whether the engine answers yet."""
        try:
            with Client(port=self.port) as client:  # what an engine that dies has taken in is never answered
                return bool(client.ask("/instrument/ping", timeout_s=1.0))
        except (NoAnswer, ConnectionError):
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def _said_url(self) -> str:
        found = (re.search(r"page +(http://\S+?)/?$", line) for line in list(self.lines))
        return next((match[1] for match in found if match), "")

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self.lines.extend(line.decode(errors="replace").rstrip() for line in iter(stream.readline, b""))


def tap(page: "Page", keys: str) -> None:
    """Presses these keys one after the other for no time at all; from here each may be down for longer than a tap."""
    page.evaluate(
        """(keys) => {
            for (const key of keys)
                for (const kind of ["keydown", "keyup"])
                    document.body.dispatchEvent(new KeyboardEvent(kind, { key, bubbles: true }));
        }""",
        keys,
    )


@contextlib.contextmanager
def ready_made(folder: Path, source: str) -> Iterator[Program]:
    """The ready-made project, made in that folder and played from that source; its engine answers."""
    require_client("chromium")
    with Program(new_project(folder, "three-postures").folder, "--source", source) as program:
        wait_until(program.answers, "the engine")
        yield program


@contextlib.contextmanager
def chromium(*switches: str) -> Iterator["Browser"]:
    """Chromium without a screen, from the system."""
    require_client("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*SWITCHES, *switches])
        try:
            yield browser
        finally:
            browser.close()


def camera_clip(file: Path, *, width_px: int = 640, height_px: int = 360) -> Path:
    """Writes the demo performer there and back as what a fake camera shows, and gives the file."""
    from instrument import assets, replay

    clip = replay.Clip(assets.path("demo.mp4"), count=replay.DEMO_FRAMES, width_px=1280)
    pictures = [
        cv2.imencode(".jpg", cv2.resize(clip[index], (width_px, height_px), interpolation=cv2.INTER_AREA))[1].tobytes()
        for index in range(replay.DEMO_FRAMES)
    ]
    file.write_bytes(b"".join([*pictures, *pictures[-2:0:-1]]))
    return file


def fake_camera(clip: Path) -> tuple[str, ...]:
    """The switches that give Chromium a camera which shows that clip, and the permission to use it."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    )


def open_page(browser: "Browser", url: str, *, width_px: int = 1440, height_px: int = 900) -> "Page":
    """A page of its own profile, which fails the test that closes it if a script failed in it."""
    page = browser.new_page(viewport={"width": width_px, "height": height_px})
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(url)
    return page
