"""Every word of the page is in texts.py, and nothing there is left over."""

import re
from pathlib import Path

from instrument.console import texts

CONSOLE = Path(texts.__file__).parent


def sources() -> str:
    files = [*CONSOLE.rglob("*.py"), *CONSOLE.glob("static/*.js")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.name != "texts.py")


def test_every_text_that_is_shown_is_there() -> None:
    used = set(re.findall(r"""\bt\(\s*"(\w+)\"""", sources())) | set(re.findall(r'TEXTS\["(\w+)"\]', sources()))
    assert used - texts.TEXTS.keys() == set()


def test_no_text_is_left_over() -> None:
    written = sources()
    # Some are put together where they are used: `midi_${kind}`, `${name}_about`.
    before = tuple(re.findall(r"\bt\(`(\w+)\$\{", written))
    after = tuple(re.findall(r"\bt\(`\$\{\w+\}(\w+)`", written))
    unused = {name for name in texts.TEXTS if f'"{name}"' not in written}
    assert {name for name in unused if not name.startswith(before) and not name.endswith(after)} == set()
