"""What this machine has of what the instrument needs, and what to do about the rest.

Nothing here hangs: whatever opens a device runs in a short-lived process with a time limit. The module imports
only the standard library until asked, because set-up looks for system libraries before anything is installed.
"""

import ctypes
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at. A `warning` leaves the instrument playable, a `problem` does not."""

    name: str
    state: State
    found: str
    advice: str = ""
    """What to do about it; empty when there is nothing to do."""


SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",  # OpenCV
    "libglib-2.0.so.0": "libglib2.0-0",  # OpenCV
    "libgthread-2.0.so.0": "libglib2.0-0",  # OpenCV
    "libxcb.so.1": "libxcb1",  # OpenCV
    "libEGL.so.1": "libegl1",  # MediaPipe
    "libGLESv2.so.2": "libgles2",  # MediaPipe
    "libasound.so.2": "libasound2",  # python-rtmidi
    "libstdc++.so.6": "libstdc++6",  # all three
    "libz.so.1": "zlib1g",  # OpenCV
}
"""Libraries that the Linux wheels load but do not carry, and the Debian package that has each.

Source: the NEEDED entries of cv2.abi3.so, libmediapipe.so, _rtmidi.so and the libraries they carry, less glibc.
"""

MIN_PYTHON, MAX_PYTHON = (3, 11), (3, 13)
INPUT_PORT, OUTPUT_PORT = 6448, 12000


def missing_libraries() -> list[tuple[str, str]]:
    """The system libraries that cannot be loaded, each with the Debian package that has it; Linux only."""
    if sys.platform != "linux":
        return []
    return [(library, _package_here(package)) for library, package in SYSTEM_LIBRARIES.items() if not _loads(library)]


def how_to_install(missing: Sequence[tuple[str, str]]) -> str:
    """One line that names the missing libraries and the command that installs them."""
    libraries = ", ".join(library for library, _ in missing)
    packages = " ".join(dict.fromkeys(package for _, package in missing))
    return f"missing on this Linux system: {libraries}; on Debian or Ubuntu: sudo apt-get install {packages}"


def checks() -> list[Check]:
    """Everything looked at, in the order a reader would ask; takes a few seconds."""
    return [
        check_python(),
        check_libraries(),
        check_assets(),
        check_cameras(),
        check_midi(),
        check_input_port(),
        check_output_port(),
        check_gpu(),
        check_memory(),
        check_disk(),
    ]


def check_python() -> Check:
    """Python's version and the platform."""
    found = f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    if MIN_PYTHON <= sys.version_info[:2] <= MAX_PYTHON:
        return Check(name="Python", state="ok", found=found)
    return Check(name="Python", state="problem", found=found, advice="install Python 3.11, 3.12 or 3.13")


def check_libraries() -> Check:
    """The system libraries that tracking, cameras and MIDI load."""
    if missing := missing_libraries():
        found = ", ".join(f"no {library}" for library, _ in missing)
        return Check(name="System libraries", state="problem", found=found, advice=how_to_install(missing))
    return Check(name="System libraries", state="ok", found="all there")


def check_assets() -> Check:
    """The models and the demo performer in the cache folder."""
    from instrument import assets

    if missing := assets.missing():
        found = f"{', '.join(missing)} not in {assets.cache_folder()}"
        advice = f"run `{sys.executable} -m instrument.assets` with a network"
        return Check(name="Models and demo", state="problem", found=found, advice=advice)
    return Check(name="Models and demo", state="ok", found=str(assets.cache_folder()))


def check_cameras() -> Check:
    """The cameras that give a picture."""
    indices = [0, 1, 2, 3]
    if sys.platform == "linux":
        devices = list(Path("/dev").glob("video[0-9]*"))
        if not devices:
            return _no_camera("no /dev/video*")
        if not any(os.access(device, os.R_OK | os.W_OK) for device in devices):
            found = f"{devices[0]} is there, but may not be opened"
            return _no_camera(found, "add yourself to its group: `sudo usermod -aG video $USER`, then log in again")
        indices = sorted(int(device.name.removeprefix("video")) for device in devices)[:4]
    try:
        cameras = _probe(_CAMERA_PROBE, indices, timeout_s=20)
    except _ProbeError as error:
        return _no_camera(f"looking for one failed: {error}")
    if not cameras:
        return _no_camera(
            "none gives a picture", "close what else uses the camera; on macOS allow the terminal to use it"
        )
    found = "; ".join(f"camera:{index} {width}x{height}" for index, width, height in cameras)
    return Check(name="Camera", state="ok", found=found)


def check_midi() -> Check:
    """The MIDI systems and the ports other programs offer on them."""
    name = "MIDI"
    if importlib.util.find_spec("rtmidi") is None:
        advice = f"`{sys.executable} -m pip install python-rtmidi`; on Python 3.13 it needs a C++ compiler"
        if sys.platform == "linux":
            advice += " and libasound2-dev"
        return Check(name=name, state="warning", found="python-rtmidi is not installed", advice=advice)
    try:
        systems = _probe(_MIDI_PROBE, None, timeout_s=10)
    except _ProbeError as error:
        return Check(name=name, state="warning", found=f"looking failed: {error}", advice="OSC is not affected")
    if not systems:
        advice = "connect or load one (Linux: `sudo modprobe snd-seq`, or start JACK); OSC is not affected"
        return Check(name=name, state="warning", found="no MIDI system is running", advice=advice)
    found = "; ".join(
        f"{system}: {', '.join(outputs) or 'no ports yet'}"
        + (f", pedals and keys: {', '.join(inputs)}" if inputs else "")
        for system, outputs, inputs in systems
    )
    return Check(name=name, state="ok", found=found)


def check_input_port() -> Check:
    """Whether commands can come in on port 6448."""
    name = f"UDP port {INPUT_PORT}"
    owner = _port_owner(INPUT_PORT)
    if owner is None:
        return Check(name=name, state="ok", found="free, for what comes in")
    return Check(name=name, state="warning", found=f"used by {owner}", advice="stop it, or play with --in-port NUMBER")


def check_output_port() -> Check:
    """Whether anything on this computer listens on port 12000."""
    name = f"UDP port {OUTPUT_PORT}"
    owner = _port_owner(OUTPUT_PORT)
    if owner is not None:
        return Check(name=name, state="ok", found=f"{owner} listens to what goes out")
    advice = "start the program that makes the sound, or play with --out HOST:PORT"
    return Check(name=name, state="ok", found="nothing here listens to what goes out yet", advice=advice)


def check_gpu() -> Check:
    """The graphics card, which nothing needs."""
    name = "GPU"
    if shutil.which("nvidia-smi") is None:
        return Check(name=name, state="ok", found="no NVIDIA card; none is needed")
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name=name, state="warning", found=f"nvidia-smi does not answer: {error}", advice="not needed")
    if run.returncode != 0:
        found = f"nvidia-smi says: {(run.stdout + run.stderr).strip().splitlines()[:1]}"
        return Check(name=name, state="warning", found=found, advice="check its driver; the instrument needs no card")
    found = "; ".join(run.stdout.strip().splitlines())
    if importlib.util.find_spec("torch") is None:
        return Check(name=name, state="ok", found=f"{found}; not used", advice='to use it: pip install -e ".[gpu]"')
    return Check(name=name, state="ok", found=f"{found}; torch is installed")


def check_memory() -> Check:
    """Free memory; the engine and the trainer take about 600 MB together."""
    import psutil

    free_mb = psutil.virtual_memory().available / 1e6
    if free_mb < 1000:
        advice = "close other programs; the instrument takes about 600 MB"
        return Check(name="Memory", state="warning", found=f"{free_mb:.0f} MB free", advice=advice)
    return Check(name="Memory", state="ok", found=f"{free_mb / 1000:.1f} GB free")


def check_disk() -> Check:
    """Free space where the instrument is started, which is where projects usually are."""
    free_mb = shutil.disk_usage(Path.cwd()).free / 1e6
    if free_mb < 500:
        advice = "free some: a take is about 1 MB a minute, and takes must never be lost"
        return Check(name="Disk", state="warning", found=f"{free_mb:.0f} MB free in {Path.cwd()}", advice=advice)
    return Check(name="Disk", state="ok", found=f"{free_mb / 1000:.1f} GB free in {Path.cwd()}")


def _no_camera(found: str, advice: str = "connect one, or play the demo or a file with --source") -> Check:
    return Check(name="Camera", state="warning", found=found, advice=advice)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _package_here(package: str) -> str:
    """The package's name on this release: those with 64-bit times in them were renamed in 2024."""
    if package not in ("libasound2", "libglib2.0-0"):
        return package
    try:
        system = platform.freedesktop_os_release()
        release = float(system.get("VERSION_ID", "0"))
    except (OSError, ValueError):
        return package
    renamed_in = {"debian": 13.0, "ubuntu": 24.04}.get(system.get("ID", ""))
    return f"{package}t64" if renamed_in is not None and release >= renamed_in else package


def _port_owner(port: int) -> str | None:
    """The program that has that UDP port, as well as can be told; None when it is free."""
    import psutil

    if _can_bind(port):
        return None
    try:
        for connection in psutil.net_connections(kind="udp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:  # macOS tells only root
        pass
    return "another program"


def _can_bind(port: int) -> bool:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


class _ProbeError(RuntimeError):
    """A probe that crashed or ran out of time."""


def _probe(code: str, argument: Any, *, timeout_s: float) -> Any:
    """What that code prints as JSON on its last line, run in a process of its own.

    Raises _ProbeError when it crashes or takes longer than `timeout_s`.
    """
    command = [sys.executable, "-P", "-c", code, json.dumps(argument)]
    environment = os.environ | {"OPENCV_LOG_LEVEL": "OFF", "JACK_NO_START_SERVER": "1"}
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment)
    except subprocess.TimeoutExpired as error:
        raise _ProbeError(f"no answer in {timeout_s:g} s") from error
    try:
        return json.loads(run.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        raise _ProbeError(last[0]) from error


_CAMERA_PROBE = """
import json, sys, cv2
found = []
for index in json.loads(sys.argv[1]):
    camera = cv2.VideoCapture(index)
    has_picture, picture = camera.read() if camera.isOpened() else (False, None)
    if has_picture:
        found.append((index, picture.shape[1], picture.shape[0]))
    camera.release()
print(json.dumps(found))
"""

_MIDI_PROBE = """
import json, rtmidi
found = []
for api in rtmidi.get_compiled_api():
    try:
        ports = rtmidi.MidiOut(api).get_ports(), rtmidi.MidiIn(api).get_ports()
        found.append((rtmidi.get_api_display_name(api), *ports))
    except (SystemError, rtmidi.RtMidiError):
        pass
print(json.dumps(found))
"""
