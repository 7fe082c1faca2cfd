"""Measures this machine: the latency of every stage, and how long learning takes, in a real run.

The instrument is started as `play` starts it, supervisor, engine and trainer, on ports of its own;
figures come from the engine's own clock and from outside, by listening to what it sends.
"""

import contextlib
import json
import platform
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from instrument import assets
from instrument.client import Client, NoAnswer
from instrument.patch import Listen
from instrument.project import Project
from instrument.projects import DEFAULT_PATCH, new_project
from instrument.signals import LandmarkSequence
from instrument.source import open_source
from instrument.supervisor import Supervisor
from instrument.takes import TakeStore, WholeTake, utc_now

WARM_UP_S = 10.0
"""Long enough for every path to have run once: models loaded, the performer lost and found again."""


class BenchError(RuntimeError):
    """A measurement that could not be made; its text says why."""


def latency(source: str, seconds: float) -> dict[str, Any]:
    """Milliseconds per stage, and of MediaPipe alone on the same frames; memory; frames and datagrams.

    Raises BenchError.
    """
    with _playing(source) as (client, status, heard):
        client.ask("/instrument/latency/reset")
        before, heard_before = status(), heard()
        time.sleep(seconds)
        after = status()
        datagrams = heard() - heard_before
    frames = after["source"]["frames"] - before["source"]["frames"]
    grown_mb = after["memory_mb"] - before["memory_mb"]
    return {
        "machine": _machine(),
        "source": source,
        "seconds": seconds,
        "frames": frames,
        "frames_dropped": after["source"]["dropped"] - before["source"]["dropped"],
        "frames_per_second": frames / seconds,
        "wek_outputs_received": datagrams,
        "memory_mb": after["memory_mb"],
        "memory_growth_mb": grown_mb,
        "memory_growth_mb_per_10000_frames": grown_mb / max(frames, 1) * 10_000,
        "stage": after["latency"] | {"bare MediaPipe": _bare_mediapipe(source, min(seconds, 20.0))},
    }


def training(examples: int, runs: int) -> dict[str, Any]:
    """Seconds from the command to the first prediction of the new models, and what it costs the frames.

    Raises BenchError.
    """
    with _playing("demo", examples=examples) as (client, status, _):
        first = client.ask("/instrument/train", timeout_s=120.0)
        count = sum(one["examples"] for one in _outputs(json.loads(str(first[0]))).values())
        client.ask("/instrument/latency/reset")
        time.sleep(10.0)
        idle = status()["latency"]["total"]
        client.ask("/instrument/latency/reset")
        times_s = []
        for _ in range(runs):
            client.ask("/instrument/subscribe", "prediction")
            started_at_s = time.perf_counter()
            client.ask("/instrument/train", timeout_s=120.0)
            for address, _ in client.messages(2.0):
                if address == "/instrument/prediction":
                    break
            times_s.append(time.perf_counter() - started_at_s)
        # Enough frames for a percentile, all of them while something is being trained.
        ends_at_s = time.monotonic() + 10.0
        while time.monotonic() < ends_at_s:
            client.ask("/instrument/train", timeout_s=120.0)
        busy = status()["latency"]["total"]
    return {
        "machine": _machine(),
        "examples": count,
        "runs": runs,
        "command to first prediction, median s": float(np.median(times_s)),
        "command to first prediction, worst s": max(times_s),
        "frame to datagram": {"idle": idle, "while training": busy},
        "p99 while training / idle": busy["p99_ms"] / idle["p99_ms"],
    }


def _outputs(summary: dict[str, Any]) -> dict[str, Any]:
    outputs = summary.get("outputs", summary)
    return outputs if isinstance(outputs, dict) else {one["output"]: one for one in outputs}


@contextlib.contextmanager
def _playing(source: str, *, examples: int = 0) -> Iterator[tuple[Client, Any, Any]]:
    """A playing instrument: a client, a function for its status, one that counts /wek/outputs received."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        project = new_project(Path(folder) / "bench", DEFAULT_PATCH)
        if examples:
            _multiply_takes(project, examples)
        receiver.bind(("127.0.0.1", 0))
        count = [0]
        threading.Thread(target=_count, args=(receiver, count), daemon=True).start()
        port = _free_port()
        options = {
            "folder": str(project.folder),
            "source": source,
            "out": receiver.getsockname(),
            "in_port": port,
        }
        supervisor = Supervisor(options, is_quiet=True)
        run = threading.Thread(target=supervisor.run)
        run.start()
        try:
            with Client(port=port) as client:

                def status() -> dict[str, Any]:
                    return json.loads(str(client.ask("/instrument/status")[0]))

                wait_until_trained(run, status)
                time.sleep(WARM_UP_S)
                yield client, status, lambda: count[0]
        finally:
            supervisor.stop()
            run.join()


def wait_until_trained(run: threading.Thread, status: Any) -> None:
    """Returns when every output plays.

    Raises BenchError when that takes too long, or `run` has ended.
    """
    for _ in range(120):
        if not run.is_alive():
            raise BenchError("the instrument ended; what it said is above")
        with contextlib.suppress(NoAnswer, ConnectionError):
            if all(one["running"] for one in status()["outputs"]):
                return
        time.sleep(0.25)
    raise BenchError("the instrument was not playing after 30 s")


def _count(receiver: socket.socket, count: list[int]) -> None:
    with contextlib.suppress(OSError):
        while datagram := receiver.recv(65536):
            count[0] += datagram.startswith(b"/wek/outputs")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _multiply_takes(project: Project, examples: int) -> None:
    """Has the project's takes be that many frames in all: each is repeated, a little shaken."""
    rng = np.random.default_rng(0)
    with TakeStore.open(project.takes_file) as store:
        wholes = [store.whole(take.id) for take in store.takes()]
        have = sum(len(one.landmarks) for one in wholes)
        repeats = max(round(examples / have), 1)
        if repeats > 1:
            store.delete_all()
            store.add([_longer(one, repeats, rng) for one in wholes], "bench")


def _longer(whole: WholeTake, repeats: int, rng: np.random.Generator) -> WholeTake:
    landmarks = whole.landmarks
    assert landmarks.pose is not None
    pose = np.concatenate([landmarks.pose] * repeats)
    pose[:, :, :2] += rng.normal(0, 0.002, pose[:, :, :2].shape)
    count = len(pose)
    longer = LandmarkSequence(
        times_s=np.arange(count) / 30.0, aspect=np.full(count, landmarks.aspect[0], dtype=np.float32), pose=pose
    )
    return WholeTake(created_at=utc_now(), source="bench", targets=whole.targets, landmarks=longer)


def _bare_mediapipe(source: str, seconds: float) -> dict[str, float]:
    """Milliseconds of MediaPipe's pose landmarker alone, fed with the same source at the same pace."""
    import cv2
    from mediapipe.tasks.python.vision.core.image import Image, ImageFormat

    from instrument.engine_process import silence_native_logs
    from instrument.tracker import pose_landmarker

    silence_native_logs()
    arrived = threading.Event()
    frames = open_source(source, width_px=Listen().width_px, on_frame=arrived.set)
    landmarker = pose_landmarker(assets.path("pose.task"))
    times_ms = []
    ends_at_s = time.perf_counter() + seconds
    while time.perf_counter() < ends_at_s and arrived.wait(2.0):
        arrived.clear()
        frame = frames.latest()
        if frame is None or frame.image_bgr is None:
            continue
        rgb = cv2.cvtColor(frame.image_bgr, cv2.COLOR_BGR2RGB)
        started_at_s = time.perf_counter()
        landmarker.detect_for_video(Image(image_format=ImageFormat.SRGB, data=rgb), int(started_at_s * 1000))
        times_ms.append((time.perf_counter() - started_at_s) * 1000)
    frames.close()
    landmarker.close()
    measured = np.array(times_ms[1:])
    return {
        "p50_ms": float(np.percentile(measured, 50)),
        "p99_ms": float(np.percentile(measured, 99)),
        "max_ms": float(measured.max()),
        "jitter_ms": float(measured.std()),
    }


def _machine() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}"
    )
