#!/usr/bin/env python3
"""Writes docs/protocol.md from the table of commands.

.venv/bin/python scripts/make_docs.py
"""

from pathlib import Path

from instrument.protocol import reference

PROTOCOL = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"


def main() -> None:
    PROTOCOL.parent.mkdir(exist_ok=True)
    PROTOCOL.write_text(reference(), encoding="utf-8", newline="\n")
    print(PROTOCOL)


if __name__ == "__main__":
    main()
