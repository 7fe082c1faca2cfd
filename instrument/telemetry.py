"""What the instrument tells whoever asks: predictions, landmarks, latencies and so on, over OSC.

A subscription lasts ten seconds unless renewed, so a client that is gone costs nothing. Datagrams
are sent and forgotten: a slow client misses some, nobody waits, nothing queues.
"""

from collections.abc import Callable, Sequence

from instrument import clock
from instrument.protocol import TOPICS, Value
from instrument.server import Address

LEASE_S = 10
MAX_SUBSCRIBERS = 64

Send = Callable[..., None]


class Telemetry:
    """Who has subscribed to which topic. One thread only: the engine's."""

    def __init__(self, send: Send, now_s: clock.Clock = clock.now_s) -> None:
        self._send = send
        self._now_s = now_s
        self._leases: dict[Address, tuple[frozenset[str], float]] = {}
        self.changes = 0
        """How often `changes` was published: who has missed one sees it in `status`."""

    def subscribe(self, subscriber: Address, topics: Sequence[str]) -> None:
        """Sends those topics, and no others, to that address for LEASE_S seconds from now.

        Raises ValueError for a topic there is not, or too many subscribers.
        """
        for topic in topics:
            if topic not in TOPICS:
                raise ValueError(f"no topic '{topic}'; there are: {', '.join(TOPICS)}")
        self._expire()
        if subscriber not in self._leases and len(self._leases) >= MAX_SUBSCRIBERS:
            raise ValueError(f"{MAX_SUBSCRIBERS} clients are subscribed already")
        self._leases[subscriber] = (frozenset(topics), self._now_s() + LEASE_S)

    def unsubscribe(self, subscriber: Address) -> None:
        self._leases.pop(subscriber, None)

    def is_wanted(self, topic: str) -> bool:
        """Whether anybody would get it, so that nobody makes what nobody reads."""
        return bool(self.subscribers_of(topic))

    def subscribers_of(self, topic: str) -> list[Address]:
        """Who is subscribed to that topic now."""
        self._expire()
        return [subscriber for subscriber, (topics, _) in self._leases.items() if topic in topics]

    def publish(self, topic: str, *values: Value) -> None:
        """Sends one message to everybody subscribed to the topic."""
        self.changes += topic == "changes"
        for subscriber in self.subscribers_of(topic):
            self._send(subscriber, TOPICS[topic][0], *values)

    @property
    def subscribers(self) -> int:
        self._expire()
        return len(self._leases)

    def _expire(self) -> None:
        now_s = self._now_s()
        for subscriber, (_, ends_s) in list(self._leases.items()):
            if ends_s < now_s:
                del self._leases[subscriber]
