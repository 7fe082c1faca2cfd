"""The sounding sides of the ready-made patches, in the programs they are for."""

import socket
import time
from pathlib import Path

import numpy as np
from clients import free_udp_port, pure_data, wait_until

from instrument.osc import encode
from instrument.projects import patches_folder

RECORD = """#X obj 400 20 loadbang;
#X msg 400 50 open {file} \\, start;
#X msg 500 50 \\; pd dsp 1;
#X connect {n0} 0 {n1} 0;
#X connect {n0} 0 {n2} 0;
#X connect {n1} 0 {sink} 0;
"""
"""Added to a patch whose dac~ has become a writesf~: records from the start."""
HEADER_BYTES = 44
RATE_HZ = 44100


def recording(patch: str, file: Path, *, listen_port: int) -> str:
    """The patch, listening elsewhere and playing into a file."""
    lines = patch.splitlines()
    objects = [line for line in lines if line.startswith("#X ") and not line.startswith("#X connect")]
    sink = next(index for index, line in enumerate(objects) if line.endswith(" dac~;"))
    numbers = {f"n{k}": len(objects) + k for k in range(3)}
    patch = patch.replace(" dac~;", " writesf~ 2;").replace("-b 12000", f"-b {listen_port}")
    return patch + RECORD.format(file=file, sink=sink, **numbers)


def pitch_hz(samples: np.ndarray) -> float:
    """The lowest strong partial."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.flatnonzero(spectrum > 0.5 * spectrum.max())[0] * RATE_HZ / len(samples))


def test_three_postures_sounds_a_note_for_each_posture_in_pure_data(tmp_path: Path) -> None:
    text = (patches_folder() / "three-postures" / "three-postures.pd").read_text()
    listen_port = free_udp_port()
    file = tmp_path / "sound.wav"
    (tmp_path / "patch.pd").write_text(recording(text, file, listen_port=listen_port))
    with pure_data(tmp_path / "patch.pd") as pd, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def say(address: str, *arguments: float | str) -> None:
            sender.sendto(encode(address, arguments), ("127.0.0.1", listen_port))

        def is_listening() -> bool:
            say("/posture", "rest", 0.9)
            return any(line.startswith("posture: rest") for line in pd.lines)

        wait_until(is_listening, "Pure Data to listen")
        say("/lift", 0.5)
        for name in ("wide", "up"):
            say("/posture", name, 0.9)
            pd.wait_for(f"posture: {name}")
            time.sleep(0.7)  # of sound
        say("/posture", "rest", 0.9)
        time.sleep(1.0)
        assert not [line for line in pd.lines if "couldn't" in line or "error" in line]
    # Pd writes the length into the header only when it closes the file.
    sound = file.read_bytes()[HEADER_BYTES:]
    samples = np.frombuffer(sound[: len(sound) // 4 * 4], "<i2").reshape(-1, 2)[:, 0] / 32768
    step = RATE_HZ // 4
    parts = [samples[start : start + step] for start in range(0, len(samples) - step, step)]
    heard = [round(pitch_hz(part)) for part in parts if np.sqrt((part**2).mean()) > 0.01]
    assert any(abs(pitch - 262) < 8 for pitch in heard), heard
    assert any(abs(pitch - 392) < 8 for pitch in heard), heard
    assert np.sqrt((parts[-1] ** 2).mean()) < 0.01
