"""Makes `.venv` ready to run the instrument; shared by play.py and test.py.

Standard library only, and readable by Python 3.8 as far as the line that refuses it. When everything is in
place, all it does is compare a stamp, so that starting costs next to nothing.
"""

from __future__ import annotations

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    version = sys.version.split()[0]
    sys.exit(f"Python 3.11, 3.12 or 3.13 is needed; this is {version}: run it with another, say python3.12")

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "instrument-setup.json"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
ASSETS = ("pose.task", "hand.task", "demo.mp4")


class SetupError(RuntimeError):
    """A set-up that cannot go on; its text is one line that says why and what to do."""


def prepare(extras: Sequence[str] = ()) -> None:
    """Makes the venv, installs the instrument with those extras, fetches the models: whatever is not yet done.

    Ends the program with one line and exit code 1 when that cannot be, 130 when it was interrupted.
    """
    if _is_ready(extras):
        return
    sys.path.insert(0, str(ROOT))  # instrument.assets and instrument.doctor need nothing installed
    from instrument.assets import AssetError

    try:
        _set_up(extras)
    except (SetupError, AssetError) as error:
        sys.exit(f"Set-up stopped: {error}")
    except OSError as error:
        place = error.filename or VENV
        sys.exit(f"Set-up stopped: {place}: {error.strerror or error}; put that right and run this again")
    except KeyboardInterrupt:
        print("\nSet-up interrupted; run this again to go on.", file=sys.stderr)
        sys.exit(130)


def hand_over(arguments: Sequence[str]) -> int:
    """Becomes the venv's Python with those arguments; on Windows, which cannot, gives its exit code."""
    os.environ["PYTHONSAFEPATH"] = "1"  # the folder played in may be a stranger's: import nothing from it
    command = [str(PYTHON), *arguments]
    if os.name != "nt":
        os.execv(PYTHON, command)
    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the child got it too, and ends once it has released its notes
            continue


def _is_ready(extras: Sequence[str]) -> bool:
    stamp = _read_stamp()
    return (
        stamp.get("fingerprint") == _fingerprint()
        and set(extras) <= set(stamp["extras"])
        and "assets" in stamp
        and stamp["cache"] == os.environ.get("INSTRUMENT_CACHE")
        and all(Path(stamp["assets"], name).exists() for name in ASSETS)
        and PYTHON.exists()
    )


def _read_stamp() -> dict[str, Any]:
    """What the last set-up finished with; empty while one is under way or after one was cut short."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(stamp: Mapping[str, Any]) -> None:
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")


def _fingerprint() -> str:
    """A hash of everything that decides what is in the venv."""
    parts = [str(ROOT), str(sys.version_info[:2])]
    parts += [(ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _set_up(extras: Sequence[str]) -> None:
    from instrument.doctor import how_to_install, missing_libraries

    if missing := missing_libraries():
        raise SetupError(how_to_install(missing))
    stamp = _read_stamp()
    if stamp.get("fingerprint") != _fingerprint() or not PYTHON.exists():
        stamp = {}
        _make_venv()
    wanted = sorted({*stamp.get("extras", ()), *extras})
    if wanted != stamp.get("extras"):
        _write_stamp({})
        _install(wanted)
    stamp = {"fingerprint": _fingerprint(), "extras": wanted}
    _write_stamp(stamp)
    _write_stamp(stamp | {"assets": _fetch_assets(), "cache": os.environ.get("INSTRUMENT_CACHE")})


def _make_venv() -> None:
    """A fresh `.venv`, in place of one this script made before."""
    from instrument.assets import why_pip_failed

    try:
        import ensurepip  # noqa: F401 - Debian packages it apart, and venv fails without it
        import venv
    except ImportError as error:
        advice = "on Debian or Ubuntu: sudo apt-get install python3-venv"
        raise SetupError(f"this Python cannot make virtual environments; {advice}") from error
    if VENV.exists():
        if not STAMP.exists():
            raise SetupError(f"{VENV} was not made by this script; move it away and run this again")
        shutil.rmtree(VENV)
    print(f"Making {VENV}", flush=True)
    VENV.mkdir()
    _write_stamp({})
    try:
        venv.create(VENV, with_pip=True, symlinks=os.name != "nt")
    except subprocess.CalledProcessError as error:
        said = (error.output or b"").decode(errors="replace")
        raise SetupError(f"pip could not be put into {VENV}: {why_pip_failed(said)}") from error


def _install(extras: Sequence[str]) -> None:
    from instrument.assets import run_pip

    print("Installing the instrument; the first time this takes a few minutes", flush=True)
    # Through the environment the constraints also hold for what builds the package.
    constraints = {"PIP_CONSTRAINT": "constraints.txt", "PIP_BUILD_CONSTRAINT": "constraints.txt"}
    target = f".[{','.join(extras)}]" if extras else "."
    run_pip(PYTHON, ["install", "--editable", target], cwd=ROOT, settings=constraints, doing="installing")


def _fetch_assets() -> str:
    """The folder with the models and the demo performer, fetched with the venv's Python."""
    fetch = [str(PYTHON), "-P", "-m", "instrument.assets"]
    run = subprocess.run(fetch, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    if run.returncode != 0:
        said = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        raise SetupError(said[0])
    where = [str(PYTHON), "-P", "-c", "from instrument import assets; print(assets.cache_folder())"]
    return subprocess.run(where, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout.strip()
