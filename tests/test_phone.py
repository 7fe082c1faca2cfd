"""A phone's pictures, as the console hands them over, and what anybody else on this computer might try."""

import socket
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from clients import PATIENCE_S, free_tcp_port, wait_until

from instrument.phone import PhoneSource
from instrument.picture_stream import CHALLENGE_BYTES, HEAD, MOST_BYTES, PROOF_BYTES, TAKEN, jpeg_size, proof

SECRET = "a secret of two processes"  # noqa: S105
OURS = bytes(range(CHALLENGE_BYTES))


@pytest.fixture
def source() -> Iterator[PhoneSource]:
    source = PhoneSource(port=free_tcp_port(), secret=SECRET)
    yield source
    source.close()


def picture(width_px: int = 64, height_px: int = 36) -> bytes:
    image = np.full((height_px, width_px, 3), 128, dtype=np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def connect(source: PhoneSource) -> socket.socket:
    def is_open() -> bool:
        nonlocal connection
        try:
            connection = socket.create_connection(("127.0.0.1", source._port), timeout=PATIENCE_S)
        except OSError:
            return False
        return True

    connection: socket.socket
    wait_until(is_open, "the source to listen")
    return connection


def receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count and (part := connection.recv(count - len(received))):
        received += part
    return received


def introduced(source: PhoneSource, secret: str = SECRET) -> socket.socket:
    connection = connect(source)
    connection.sendall(proof(secret, "console", receive(connection, CHALLENGE_BYTES)) + OURS)
    return connection


def welcomed(source: PhoneSource) -> socket.socket:
    connection = introduced(source)
    assert receive(connection, PROOF_BYTES) == proof(SECRET, "engine", OURS)
    return connection


def hand_over(connection: socket.socket, jpeg: bytes, delay_ms: int = 40) -> bytes:
    connection.sendall(HEAD.pack(len(jpeg), delay_ms) + jpeg)
    return receive(connection, 1)


def is_shut_out(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_picture_that_is_handed_over_is_answered_once_it_can_be_had(source: PhoneSource) -> None:
    with welcomed(source) as connection:
        assert hand_over(connection, picture()) == TAKEN
        frame = source.latest()
    assert frame is not None
    assert frame.image_bgr is not None
    assert frame.image_bgr.shape == (36, 64, 3)


def test_only_the_newest_picture_is_kept(source: PhoneSource) -> None:
    with welcomed(source) as connection:
        for width_px in (32, 48, 64):
            hand_over(connection, picture(width_px))
    frame = source.latest()
    assert frame is not None
    assert frame.image_bgr.shape[1] == 64
    assert source.status().dropped == 2


def test_how_old_the_pictures_are_is_told(source: PhoneSource) -> None:
    with welcomed(source) as connection:
        hand_over(connection, picture(), delay_ms=-1)
        assert source.status().delay_ms is None
        hand_over(connection, picture(), delay_ms=87)
        assert source.status().delay_ms == 87.0


def test_until_a_phone_comes_the_status_says_what_to_do(source: PhoneSource) -> None:
    assert source.status().state == "starting"
    assert "open the Camera page" in source.status().detail


def test_a_phone_that_vanishes_is_noticed_and_picked_up_when_it_is_back(source: PhoneSource) -> None:
    with welcomed(source) as connection:
        hand_over(connection, picture())
        assert source.status().state == "playing"
        wait_until(lambda: source.status().state == "lost", "the loss to be noticed")  # its connection is open still
        hand_over(connection, picture())
        assert source.status().state == "playing"
    assert source.status().losses == 1


def test_a_console_that_is_started_again_is_welcome_again(source: PhoneSource) -> None:
    with welcomed(source) as connection:
        hand_over(connection, picture())
    with welcomed(source) as connection:
        assert hand_over(connection, picture()) == TAKEN


def test_whoever_does_not_know_the_secret_is_shut_out(source: PhoneSource) -> None:
    with introduced(source, "another secret") as connection:
        assert is_shut_out(connection)


def test_whoever_says_nothing_is_shut_out_and_keeps_nobody_waiting(source: PhoneSource) -> None:
    with connect(source), welcomed(source) as connection:
        assert hand_over(connection, picture()) == TAKEN


@pytest.mark.parametrize(
    "jpeg",
    [b"", b"no picture", b"\xff\xd8\xff", picture()[:300], b"\x89PNG" + bytes(60)],
    ids=["empty", "text", "three bytes", "cut off", "another kind"],
)
def test_what_is_no_picture_ends_the_connection_and_nothing_else(source: PhoneSource, jpeg: bytes) -> None:
    with welcomed(source) as connection:
        connection.sendall(HEAD.pack(len(jpeg), 0) + jpeg)
        assert is_shut_out(connection)
    with welcomed(source) as connection:
        assert hand_over(connection, picture()) == TAKEN


def test_a_picture_of_too_many_bytes_is_not_awaited(source: PhoneSource) -> None:
    with welcomed(source) as connection:
        connection.sendall(HEAD.pack(MOST_BYTES + 1, 0))
        assert is_shut_out(connection)


def test_a_small_picture_that_says_it_is_huge_is_not_decoded(source: PhoneSource) -> None:
    jpeg = bytearray(picture())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    assert jpeg_size(bytes(jpeg)) == (65535, 65535)
    with welcomed(source) as connection:
        connection.sendall(HEAD.pack(len(jpeg), 0) + jpeg)
        assert is_shut_out(connection)


def test_the_next_source_gets_the_port_as_soon_as_the_one_before_is_closed(source: PhoneSource) -> None:
    with welcomed(source) as connection:
        hand_over(connection, picture())
    following = PhoneSource(port=source._port, secret=SECRET)
    try:
        wait_until(lambda: "cannot be listened on" in following.status().detail, "the port to be missed")
        source.close()
        with welcomed(following) as connection:
            assert hand_over(connection, picture()) == TAKEN
    finally:
        following.close()
