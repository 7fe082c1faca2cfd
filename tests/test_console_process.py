"""The console as a process of its own: what it says, when it ends, and that the instrument plays on without it."""

import asyncio
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from browsing import Program
from clients import free_tcp_port, free_udp_port, wait_until

from instrument.console import process as console_process
from instrument.engine_process import EXIT_CANNOT_START

WITHOUT_NICEGUI = (
    "import sys; sys.modules['nicegui'] = None; from instrument.console.process import main; sys.exit(main())"
)
NUMBERS = 'name = "Numbers"\n[listen]\nsource = "osc"\n[[output]]\nname = "side"\nclasses = ["left", "right"]\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "patch.toml").write_text(NUMBERS, encoding="utf-8")
    return tmp_path


def get(url: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def console(port: int, *options: str) -> list[str]:
    return ["--engine", f"127.0.0.1:{free_udp_port()}", "--port", str(port), *options]


def test_without_nicegui_it_says_what_to_do_and_is_not_tried_again() -> None:
    command = [sys.executable, "-c", WITHOUT_NICEGUI, *console(free_tcp_port())]
    run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert run.returncode == EXIT_CANNOT_START
    assert "pip install nicegui" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.fixture
def served() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "instrument.console.process", *console(free_tcp_port())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    word, _, url = process.stdout.readline().strip().partition(" ")
    assert word == "page"
    yield process, url.rstrip("/")
    process.kill()
    process.wait(20)


def test_it_serves_its_pages_without_an_engine_and_to_nobody_elses_names(served: tuple[object, str]) -> None:
    _, url = served
    assert get(url, "/").status == 200
    assert get(url, "/", Host="evil.example").status == 403
    assert get(url, "/static/live.js", Origin="https://evil.example").status == 403
    assert get(url, "/takes/1/strip").status == 404
    assert get(url, "/static/../app.py").status == 404


def test_it_ends_with_its_supervisor(served: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = served
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_port_in_use_is_passed_over_unless_it_was_asked_for(served: tuple[object, str]) -> None:
    _, url = served
    port = int(url.rpartition(":")[2])
    command = [sys.executable, "-m", "instrument.console.process"]
    fixed = subprocess.run(
        [*command, *console(port, "--is-fixed")], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )
    assert fixed.returncode == EXIT_CANNOT_START
    assert "choose another with --console-port" in fixed.stderr
    other = subprocess.run(
        [*command, *console(port)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )
    assert other.stdout.startswith("page http://127.0.0.1:")
    assert f":{port}/" not in other.stdout


def test_the_instrument_plays_on_when_its_page_cannot_be_served(project: Path, served: tuple[object, str]) -> None:
    port = served[1].rpartition(":")[2]
    with Program(project, "--console-port", port) as program:
        wait_until(lambda: any("no page" in line for line in program.lines), "the reason")
        assert json.loads(str(program.ask("status")[0]))["patch"] == "Numbers"
        assert program.process.poll() is None


def test_headless_starts_no_console(project: Path) -> None:
    with Program(project, "--headless") as program:
        wait_until(program.answers, "the engine")
        children = [" ".join(one.cmdline()) for one in psutil.Process(program.process.pid).children()]
        assert not any("console" in one for one in children)


def test_a_killed_console_comes_back_on_the_same_port(project: Path) -> None:
    with Program(project) as program:
        url = program.url
        killed = program.child("console")
        program.kill("console")
        wait_until(lambda: program.child("console") not in (None, killed), "another console")

        def is_served() -> bool:
            try:
                return get(url, "/").status == 200
            except OSError:
                return False

        wait_until(is_served, "the page")


@pytest.mark.parametrize(("is_used", "is_closed"), [(False, True), (True, False)])
def test_a_connection_from_the_network_that_asks_for_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch, is_used: bool, is_closed: bool
) -> None:
    monkeypatch.setattr(console_process, "ASKS_WITHIN_S", 0.0)

    class Protocol(asyncio.Protocol):
        cycle = object() if is_used else None

    async def connect() -> bool:
        transport = Mock(**{"is_closing.return_value": False})
        protocol = console_process._hurried(Protocol)()
        transport.get_protocol.return_value = protocol
        protocol.connection_made(transport)
        await asyncio.sleep(0.01)
        return bool(transport.abort.called)

    assert asyncio.run(connect()) is is_closed
