"""What several test modules share: real programs, real footage, and a calm hypothesis."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from instrument.kernels.threads import use_one_thread

if "numpy" not in sys.modules:  # a plugin may have imported it
    use_one_thread()

import pytest
from browsing import Program, chromium, ready_made
from hypothesis import settings

from instrument import assets

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("instrument", deadline=None)  # how long an example takes says more about the machine
settings.load_profile("instrument")


@pytest.fixture
def client_program() -> Callable[[str], str]:
    """Gives the path of a real client, `client_program("pd")`; without it the test skips, or fails where
    INSTRUMENT_REQUIRE_CLIENTS=1 says that it must be there."""

    def find(name: str) -> str:
        if found := shutil.which(name):
            return found
        if os.environ.get("INSTRUMENT_REQUIRE_CLIENTS") == "1":
            pytest.fail(f"'{name}' is not installed, and INSTRUMENT_REQUIRE_CLIENTS=1")
        pytest.skip(f"'{name}' is not installed")

    return find


@pytest.fixture
def demo_video() -> Path:
    """The demo performer; scripts/test.py has fetched it."""
    return assets.path("demo.mp4")


@pytest.fixture
def shared_recordings() -> Path:
    """The folder of real recordings beside the checkout; the test skips where it is not."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A real Chromium, of each module its own: in between, other tests may have their own asyncio."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The ready-made project with the demo performer, played for the tests of one module."""
    with ready_made(tmp_path_factory.mktemp("projects") / "piece", "demo") as program:
        yield program
