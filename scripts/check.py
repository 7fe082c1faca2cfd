#!/usr/bin/env python3
"""Lint, format and types, all of them even if one fails; run by test.py in the project's venv."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent
MOVED = ("models", "kernels", "patches")
"""Top-level folders that are imported as instrument.NAME, which mypy cannot know."""


def main() -> int:
    """Runs the three; the exit code is 1 if any complained."""
    is_clean = [
        _runs("ruff", "check", "."),
        _runs("ruff", "format", "--check", "."),
        _types_agree(),
    ]
    return 0 if all(is_clean) else 1


def _runs(program: str, *arguments: str) -> bool:
    print(f"$ {program} {' '.join(arguments)}", flush=True)
    return subprocess.run([str(SCRIPTS / program), *arguments], cwd=ROOT).returncode == 0


def _types_agree() -> bool:
    """Runs mypy on a copy laid out as it is imported, and names the real files in what it says."""
    print("$ mypy", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "instrument", tree / "instrument", ignore=skip)
        shutil.copytree(ROOT / "scripts", tree / "scripts", ignore=skip)
        for name in MOVED:
            shutil.copytree(ROOT / name, tree / "instrument" / name, ignore=skip)
        settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
        command = [str(SCRIPTS / "mypy"), *settings, "instrument", "scripts"]
        run = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, encoding="utf-8")
    said = run.stdout
    for name in MOVED:
        said = said.replace(f"{Path('instrument', name)}{os.sep}", f"{name}{os.sep}")
    print(said, end="", flush=True)
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
