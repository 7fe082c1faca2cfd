#!/usr/bin/env python3
"""`python3 scripts/test.py ARGS` checks lint, format and types, then runs the tests: pytest gets the ARGS.

The exit code is not 0 if any of it failed. pytest comes last, so its closing line ends the output.
"""

import subprocess
import sys

from setup_venv import PYTHON, ROOT, prepare


def main() -> int:
    prepare(extras=["test"])
    checks = subprocess.run([PYTHON, ROOT / "scripts" / "check.py"], cwd=ROOT)
    tests = subprocess.run([PYTHON, "-m", "pytest", *sys.argv[1:]], cwd=ROOT)
    return tests.returncode or checks.returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
