import threading

import cv2
import numpy as np
from clients import wait_until

from instrument.preview import MOST_BYTES, WIDTH_PX, Previews, jpeg


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_a_picture_is_at_most_so_wide_and_fits_into_a_datagram() -> None:
    made = jpeg(noise(1080, 1920))
    assert len(made) <= MOST_BYTES
    shown = cv2.imdecode(np.frombuffer(made, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (360, WIDTH_PX, 3)


def test_pictures_that_come_while_one_is_being_sent_are_left_out_but_for_the_newest() -> None:
    sent: list[int] = []
    began, go_on = threading.Event(), threading.Event()

    def send(subscriber: tuple[str, int], number: int, picture: bytes) -> None:
        sent.append(number)
        began.set()
        assert go_on.wait(10)

    previews = Previews(send)
    image = noise(36, 64)
    previews.offer(0, image, [("127.0.0.1", 1)])
    assert began.wait(10)
    for number in range(1, 6):
        previews.offer(number, image, [("127.0.0.1", 1)])
    go_on.set()
    wait_until(lambda: sent[-1] == 5, "the newest picture")
    previews.close()
    assert sent == [0, 5]


def test_a_picture_that_cannot_be_made_does_not_end_those_after_it() -> None:
    sent: list[int] = []
    previews = Previews(lambda subscriber, number, picture: sent.append(number))
    previews.offer(1, "no picture", [("127.0.0.1", 1)])
    wait_until(lambda: previews._newest is None, "the first to be taken")
    previews.offer(2, noise(36, 64), [("127.0.0.1", 1)])
    wait_until(lambda: sent == [2], "the picture after it")
    previews.close()
