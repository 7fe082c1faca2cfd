"""Every word of the page is in texts.py, and nothing there is left over."""

import re
from pathlib import Path

from instrument.console import texts

CONSOLE = Path(texts.__file__).parent
USED_BY_PATTERN = ("midi_", "scale_", "vital_", "voice_", "mirror", "blind")
"""Names that are put together where they are used."""


def sources() -> str:
    files = [*CONSOLE.rglob("*.py"), *CONSOLE.glob("static/*.js")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.name != "texts.py")


def test_every_text_that_is_shown_is_there() -> None:
    used = set(re.findall(r"""\bt\(\s*"(\w+)\"""", sources())) | set(re.findall(r'TEXTS\["(\w+)"\]', sources()))
    assert used - texts.TEXTS.keys() == set()


def test_no_text_is_left_over() -> None:
    written = sources()
    unused = {name for name in texts.TEXTS if f'"{name}"' not in written and not name.startswith(USED_BY_PATTERN)}
    assert unused == set()
