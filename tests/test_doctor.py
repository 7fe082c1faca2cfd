import os
import platform
import re
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from instrument import doctor


def test_a_library_that_cannot_be_loaded_comes_with_its_package(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "SYSTEM_LIBRARIES", {"libnothere.so.9": "libnothere9"})
    assert doctor.missing_libraries() == [("libnothere.so.9", "libnothere9")]


def test_no_library_is_missed_outside_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(doctor, "SYSTEM_LIBRARIES", {"libnothere.so.9": "libnothere9"})
    assert doctor.missing_libraries() == []


def test_a_package_with_two_missing_libraries_is_named_once():
    missing = [("libglib-2.0.so.0", "libglib2.0-0"), ("libgthread-2.0.so.0", "libglib2.0-0"), ("libGL.so.1", "libgl1")]
    assert doctor.how_to_install(missing) == (
        "missing on this Linux system: libglib-2.0.so.0, libgthread-2.0.so.0, libGL.so.1; "
        "on Debian or Ubuntu: sudo apt-get install libglib2.0-0 libgl1"
    )


@pytest.mark.parametrize(
    ("system", "package"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "libasound2"),
        ({"ID": "debian", "VERSION_ID": "13"}, "libasound2t64"),
        ({"ID": "ubuntu", "VERSION_ID": "22.04"}, "libasound2"),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, "libasound2t64"),
        ({"ID": "arch"}, "libasound2"),
    ],
)
def test_packages_have_the_name_of_this_release(monkeypatch, system, package):
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: system)
    assert doctor._package_here("libasound2") == package


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux wheels leave libraries to the system")
def test_every_library_the_wheels_leave_to_the_system_is_known(client_program):
    readelf = client_program("readelf")
    site = Path(cv2.__file__).parents[1]
    carried = {file.name: file for file in site.glob("*/lib*.so*")}
    waiting = [*site.glob("cv2/cv2*.so"), site / "mediapipe/tasks/c/libmediapipe.so", *site.glob("rtmidi/_rtmidi*.so")]
    assert len(waiting) == 3
    seen, left = set(), set()
    while waiting:
        listing = subprocess.run([readelf, "-d", waiting.pop()], capture_output=True, text=True, check=True).stdout
        needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", listing)) - seen
        seen |= needed
        waiting += [carried[name] for name in needed & carried.keys()]
        left |= needed - carried.keys()
    of_libc = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libgcc_s.so.1"}
    assert {name for name in left - of_libc if not name.startswith("ld-linux")} == set(doctor.SYSTEM_LIBRARIES)


def test_ci_installs_every_library():
    script = (Path(__file__).resolve().parents[1] / ".ci" / "run").read_text(encoding="utf-8")
    always_there = {"libstdc++6", "zlib1g"}
    assert [name for name in set(doctor.SYSTEM_LIBRARIES.values()) - always_there if name not in script.split()] == []


def test_a_taken_port_names_the_program_that_has_it():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        owner = doctor._port_owner(taken.getsockname()[1])
    assert owner in (f"{_own_name()} (process {os.getpid()})", "another program")


def test_a_free_port_has_no_owner():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as once:
        once.bind(("", 0))
        port = once.getsockname()[1]
    assert doctor._port_owner(port) is None


def test_a_taken_input_port_says_how_to_choose_another(monkeypatch):
    monkeypatch.setattr(doctor, "_port_owner", lambda port: "wekinator (process 7)")
    check = doctor.check_input_port()
    assert (check.state, check.found) == ("warning", "used by wekinator (process 7)")
    assert "--in-port" in check.advice


def test_a_probe_that_hangs_is_ended_and_told():
    with pytest.raises(doctor._ProbeError, match=r"no answer in 0\.2 s"):
        doctor._probe("import time; time.sleep(60)", None, timeout_s=0.2)


def test_a_probe_that_crashes_tells_its_last_line():
    with pytest.raises(doctor._ProbeError, match="ZeroDivisionError: division by zero"):
        doctor._probe("1 / 0", None, timeout_s=10)


def test_a_driver_that_prints_around_the_answer_does_no_harm():
    code = "import json, sys; print('driver 1.0'); print(sys.argv[1])"
    assert doctor._probe(code, [[0, 640, 480]], timeout_s=10) == [[0, 640, 480]]


def test_without_a_midi_system_osc_is_said_to_go_on(monkeypatch):
    monkeypatch.setattr(doctor, "_probe", lambda *_, **__: [])
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name)
    check = doctor.check_midi()
    assert (check.state, check.found) == ("warning", "no MIDI system is running")
    assert "OSC is not affected" in check.advice


def test_midi_ports_are_listed_by_system(monkeypatch):
    monkeypatch.setattr(doctor, "_probe", lambda *_, **__: [["ALSA", ["Synth:0"], ["Foot:0"]], ["JACK", [], []]])
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name)
    assert doctor.check_midi().found == "ALSA: Synth:0, pedals and keys: Foot:0; JACK: no ports yet"


def test_a_missing_python_rtmidi_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    check = doctor.check_midi()
    assert (check.state, check.found) == ("warning", "python-rtmidi is not installed")


def test_cameras_are_listed_as_sources(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(doctor, "_probe", lambda *_, **__: [[0, 1280, 720], [2, 640, 480]])
    assert doctor.check_cameras().found == "camera:0 1280x720; camera:2 640x480"


def test_no_camera_leaves_the_instrument_playable(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(doctor, "_probe", lambda *_, **__: [])
    assert doctor.check_cameras().state == "warning"


def test_a_camera_driver_that_hangs_is_a_warning(monkeypatch):
    def hang(*_, timeout_s):
        raise doctor._ProbeError(f"no answer in {timeout_s:g} s")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(doctor, "_probe", hang)
    assert doctor.check_cameras().found == "looking for one failed: no answer in 20 s"


def test_missing_models_are_a_problem_with_the_command_that_fetches_them(tmp_path, monkeypatch):
    monkeypatch.setenv("INSTRUMENT_CACHE", str(tmp_path))
    check = doctor.check_assets()
    assert check.state == "problem"
    assert "-m instrument.assets" in check.advice


def test_every_warning_and_problem_on_this_machine_comes_with_advice():
    checks = doctor.checks()
    assert len({check.name for check in checks}) == len(checks)
    assert [check for check in checks if check.state != "ok" and not check.advice] == []


def _own_name():
    import psutil

    return psutil.Process().name()
