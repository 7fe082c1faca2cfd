import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from instrument import doctor
from instrument.assets import AssetError

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """scripts/setup_venv.py, working on an empty checkout in which nothing is made yet."""
    spec = importlib.util.spec_from_file_location("setup_venv", SCRIPTS / "setup_venv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "cache").mkdir()
    for name in module.ASSETS:
        (tmp_path / "cache" / name).write_text("")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "instrument-setup.json")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "python")
    monkeypatch.setenv("INSTRUMENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return module


@pytest.fixture
def steps(setup, monkeypatch):
    """The steps taken, in order; none of them is really done but for the folder."""
    taken = []

    def make_venv():
        taken.append("venv")
        setup.VENV.mkdir(exist_ok=True)
        setup.PYTHON.write_text("")

    def fetch():
        taken.append("assets")
        return str(setup.ROOT / "cache")

    monkeypatch.setattr(setup, "_make_venv", make_venv)
    monkeypatch.setattr(setup, "_install", lambda extras: taken.append(f"install {extras}"))
    monkeypatch.setattr(setup, "_fetch_assets", fetch)
    return taken


def said_on_exit(setup, **arguments):
    with pytest.raises(SystemExit) as stop:
        setup.prepare(**arguments)
    return str(stop.value)


def test_the_first_run_makes_installs_and_fetches(setup, steps):
    setup.prepare()
    assert steps == ["venv", "install []", "assets"]


def test_the_second_run_does_nothing(setup, steps):
    setup.prepare()
    steps.clear()
    setup.prepare()
    assert steps == []


def test_the_tests_add_their_tools_to_the_venv_that_is_there(setup, steps):
    setup.prepare()
    steps.clear()
    setup.prepare(extras=["test"])
    assert steps == ["install ['test']", "assets"]


def test_playing_is_ready_once_the_tests_are(setup, steps):
    setup.prepare(extras=["test"])
    steps.clear()
    setup.prepare()
    assert steps == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_requirements_make_a_new_venv(setup, steps, name):
    setup.prepare()
    steps.clear()
    (setup.ROOT / name).write_text("changed")
    setup.prepare()
    assert steps == ["venv", "install []", "assets"]


def test_a_venv_whose_python_is_gone_is_made_again(setup, steps):
    setup.prepare()
    steps.clear()
    setup.PYTHON.unlink()
    setup.prepare()
    assert steps == ["venv", "install []", "assets"]


def test_assets_that_are_gone_are_fetched_without_a_new_install(setup, steps):
    setup.prepare()
    steps.clear()
    (setup.ROOT / "cache" / "demo.mp4").unlink()
    setup.prepare()
    assert steps == ["assets"]


def test_an_install_cut_short_starts_over(setup, steps, monkeypatch):
    def cut_short(extras):
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(setup, "_install", cut_short)
        with pytest.raises(SystemExit) as stop:
            setup.prepare()
    assert stop.value.code == 130
    steps.clear()
    setup.prepare()
    assert steps == ["venv", "install []", "assets"]


def test_a_fetch_cut_short_goes_on_without_a_new_install(setup, steps, monkeypatch):
    def no_network():
        raise setup.SetupError("no network")

    with monkeypatch.context() as once:
        once.setattr(setup, "_fetch_assets", no_network)
        assert said_on_exit(setup) == "Set-up stopped: no network"
    steps.clear()
    setup.prepare()
    assert steps == ["assets"]


def test_a_missing_system_library_is_one_line_before_anything_is_made(setup, steps, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "SYSTEM_LIBRARIES", {"libnothere.so.9": "libnothere9"})
    assert said_on_exit(setup) == (
        "Set-up stopped: missing on this Linux system: libnothere.so.9; "
        "on Debian or Ubuntu: sudo apt-get install libnothere9"
    )
    assert steps == []


def test_a_python_without_venv_names_the_package(setup, monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert said_on_exit(setup).endswith("on Debian or Ubuntu: sudo apt-get install python3-venv")
    assert not setup.VENV.exists()


def test_a_venv_somebody_else_made_is_left_alone(setup):
    setup.VENV.mkdir()
    (setup.VENV / "theirs").write_text("")
    assert "was not made by this script; move it away" in said_on_exit(setup)
    assert (setup.VENV / "theirs").exists()


def test_a_full_disk_is_one_line(setup, monkeypatch):
    def full(extras):
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(setup, "_set_up", full)
    assert said_on_exit(setup).startswith("Set-up stopped: /somewhere: No space left on device;")


def test_a_failed_install_is_one_line(setup, steps, monkeypatch):
    def fail(extras):
        raise AssetError("installing failed: the disk is full; free 2 GB and run this again")

    monkeypatch.setattr(setup, "_install", fail)
    assert said_on_exit(setup) == ("Set-up stopped: installing failed: the disk is full; free 2 GB and run this again")


def test_assets_that_cannot_be_fetched_give_the_fetchers_own_line(setup, monkeypatch, tmp_path):
    monkeypatch.setattr(setup, "PYTHON", sys.executable)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INSTRUMENT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(setup.SetupError, match="set INSTRUMENT_CACHE to a folder that can be written"):
        setup._fetch_assets()


def test_an_unfit_python_is_refused_in_one_line():
    run = run_python("import sys; sys.version_info = (3, 10, 4); sys.version = '3.10.4 (main)'; import setup_venv")
    assert run.returncode == 1
    assert run.stderr == "Python 3.11, 3.12 or 3.13 is needed; this is 3.10.4: run it with another, say python3.12\n"


def test_the_exit_code_of_what_is_started_is_passed_on():
    assert run_python(_hand_over("import sys; sys.exit(7)")).returncode == 7


def test_nothing_is_imported_from_the_folder_played_in(tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('a stranger ran code')")
    run = run_python(_hand_over("import numpy"), cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")


def test_set_up_needs_only_the_standard_library():
    run = run_python(
        f"sys.path.append({str(SCRIPTS.parent)!r}); import setup_venv, instrument.assets, instrument.doctor",
        "-I",
        "-S",
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_the_stamp_survives_being_damaged(setup, steps):
    setup.prepare()
    steps.clear()
    setup.STAMP.write_text(json.dumps(["not", "a", "stamp"]))
    setup.prepare()
    assert steps == ["venv", "install []", "assets"]


def _hand_over(code: str) -> str:
    return (
        f"import sys, setup_venv; setup_venv.PYTHON = sys.executable; sys.exit(setup_venv.hand_over(['-c', {code!r}]))"
    )


def run_python(code: str, *flags: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs that code where `import setup_venv` finds scripts/setup_venv.py."""
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); {code}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, *flags, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True
    )
