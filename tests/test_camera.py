"""Real pictures over a real network camera, which is frozen, killed and brought back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from clients import free_tcp_port, wait_until

from instrument.camera import LiveSource, fit_width

SERVER = Path(__file__).with_name("mjpeg_server.py")


@contextmanager
def network_camera(port: int) -> Iterator[subprocess.Popen[bytes]]:
    server = subprocess.Popen([sys.executable, str(SERVER), str(port)])
    try:
        yield server
    finally:
        if hasattr(signal, "SIGCONT"):
            server.send_signal(signal.SIGCONT)
        server.kill()
        server.wait()


@pytest.fixture
def port() -> int:
    return free_tcp_port()


@pytest.fixture
def source(port: int) -> Iterator[LiveSource]:
    source = LiveSource(f"http://127.0.0.1:{port}/")
    yield source
    source.close()


def is_playing(source: LiveSource) -> bool:
    return source.status().state == "playing"


def is_lost(source: LiveSource) -> bool:
    return source.status().state == "lost"


def test_a_picture_wider_than_asked_is_scaled_down_and_a_smaller_one_left() -> None:
    image = np.zeros((90, 160, 3), dtype=np.uint8)
    assert fit_width(image, 80).shape == (45, 80, 3)
    assert fit_width(image, 640) is image


def test_a_network_camera_gives_pictures(port: int, source: LiveSource) -> None:
    with network_camera(port):
        wait_until(lambda: is_playing(source), "the first picture")
        wait_until(lambda: (frame := source.latest()) and frame.number > 3, "more pictures")


def test_a_camera_that_is_not_there_is_waited_for(port: int, source: LiveSource) -> None:
    wait_until(lambda: is_lost(source), "the camera to be missed")
    assert "cannot be opened" in source.status().detail
    with network_camera(port):
        wait_until(lambda: is_playing(source), "the camera to be picked up")


def test_a_killed_camera_is_noticed_and_picked_up_when_it_is_back(port: int, source: LiveSource) -> None:
    with network_camera(port) as server:
        wait_until(lambda: is_playing(source), "the first picture")
        server.kill()
        wait_until(lambda: is_lost(source), "the loss to be noticed")
    assert source.status().losses == 1
    with network_camera(port):
        wait_until(lambda: is_playing(source), "the camera to be picked up")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot freeze a process")
def test_a_frozen_camera_is_noticed_and_picked_up_when_it_thaws(port: int, source: LiveSource) -> None:
    with network_camera(port) as server:
        wait_until(lambda: is_playing(source), "the first picture")
        os.kill(server.pid, signal.SIGSTOP)
        frozen_at_s = time.monotonic()
        wait_until(lambda: is_lost(source), "the freeze to be noticed")
        noticed_s = time.monotonic() - frozen_at_s
        os.kill(server.pid, signal.SIGCONT)
        wait_until(lambda: is_playing(source), "the camera to be picked up")
    print(f"freeze noticed after {noticed_s:.2f} s")
