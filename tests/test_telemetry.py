import pytest

from instrument.protocol import TOPICS
from instrument.telemetry import LEASE_S, MAX_SUBSCRIBERS, Telemetry

DESK, PHONE = ("127.0.0.1", 5001), ("192.168.1.7", 5002)


class Told:
    """A telemetry with a clock that is moved by hand, and what it sent."""

    def __init__(self) -> None:
        self.clock_s = 0.0
        self.sent: list[tuple[object, ...]] = []
        self.telemetry = Telemetry(lambda *message: self.sent.append(message), lambda: self.clock_s)


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_message_goes_to_those_who_subscribed_to_its_topic_and_nobody_else(told: Told) -> None:
    told.telemetry.subscribe(DESK, ["frame", "latency"])
    told.telemetry.subscribe(PHONE, ["latency"])
    told.telemetry.publish("frame", 7, 1)
    told.telemetry.publish("preview", 1, b"jpeg")
    assert told.sent == [(DESK, "/instrument/frame", 7, 1)]
    told.telemetry.publish("latency", "total", 1.0, 2.0)
    assert [message[0] for message in told.sent[1:]] == [DESK, PHONE]


def test_a_subscription_ends_by_itself(told: Told) -> None:
    told.telemetry.subscribe(DESK, ["frame"])
    told.clock_s = LEASE_S
    told.telemetry.publish("frame", 1, 1)
    told.clock_s = LEASE_S + 0.01
    told.telemetry.publish("frame", 2, 1)
    assert [message[2] for message in told.sent] == [1]
    assert told.telemetry.subscribers == 0


def test_asking_again_goes_on_from_then(told: Told) -> None:
    told.telemetry.subscribe(DESK, ["frame"])
    told.clock_s = LEASE_S - 1.0
    told.telemetry.subscribe(DESK, ["frame"])
    told.clock_s = 2 * LEASE_S - 2.0
    assert told.telemetry.is_wanted("frame")


def test_asking_for_other_topics_ends_those_before(told: Told) -> None:
    told.telemetry.subscribe(DESK, ["frame"])
    told.telemetry.subscribe(DESK, ["latency"])
    assert not told.telemetry.is_wanted("frame")
    assert told.telemetry.subscribers == 1


def test_a_topic_nobody_wants_is_known_to_be_unwanted(told: Told) -> None:
    assert not any(told.telemetry.is_wanted(topic) for topic in TOPICS)
    told.telemetry.subscribe(DESK, ["preview"])
    assert [topic for topic in TOPICS if told.telemetry.is_wanted(topic)] == ["preview"]
    told.clock_s = LEASE_S + 1.0
    assert not told.telemetry.is_wanted("preview")


def test_unsubscribing_ends_it_and_may_be_done_twice(told: Told) -> None:
    told.telemetry.subscribe(DESK, ["frame"])
    told.telemetry.unsubscribe(DESK)
    told.telemetry.unsubscribe(DESK)
    told.telemetry.publish("frame", 1, 1)
    assert told.sent == []


def test_a_topic_there_is_not_is_refused_with_those_there_are(told: Told) -> None:
    with pytest.raises(ValueError, match="no topic 'secrets'; there are: frame, prediction"):
        told.telemetry.subscribe(DESK, ["frame", "secrets"])
    assert told.telemetry.subscribers == 0


def test_subscribers_are_limited_and_those_whose_time_is_over_make_room(told: Told) -> None:
    for number in range(MAX_SUBSCRIBERS):
        told.telemetry.subscribe(("127.0.0.1", 6000 + number), ["frame"])
    with pytest.raises(ValueError, match=f"{MAX_SUBSCRIBERS} clients"):
        told.telemetry.subscribe(DESK, ["frame"])
    told.telemetry.subscribe(("127.0.0.1", 6000), ["latency"])  # one of them may go on
    told.clock_s = LEASE_S + 1.0
    told.telemetry.subscribe(DESK, ["frame"])
    assert told.telemetry.subscribers == 1
