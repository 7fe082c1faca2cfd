import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from clients import PATIENCE_S, free_udp_port

from instrument import osc
from instrument.client import Client, CommandFailed, NoAnswer

Messages = list[tuple[str, tuple[osc.Argument, ...]]]
Answerer = Callable[[Messages], list[bytes]]


@pytest.fixture
def answering() -> Iterator[Callable[[Answerer], Client]]:
    """Gives a client towards somebody who answers as told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
        somebody.bind(("127.0.0.1", 0))
        clients: list[Client] = []
        threads: list[threading.Thread] = []

        def start(answers: Answerer) -> Client:
            def serve() -> None:
                while True:
                    datagram, sender = somebody.recvfrom(65536)
                    if not datagram:
                        return
                    for answer in answers(osc.decode(datagram)):
                        somebody.sendto(answer, sender)

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            clients.append(Client(port=somebody.getsockname()[1]))
            return clients[-1]

        yield start
        for client in clients:
            client.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", somebody.getsockname())
        for thread in threads:
            thread.join(PATIENCE_S)


def done(address: str, *values: osc.Argument) -> bytes:
    return osc.encode("/done", (address, *values))


def test_asking_gives_what_the_answer_carries(answering: Callable[[Answerer], Client]) -> None:
    client = answering(lambda asked: [done(asked[0][0], *asked[0][1], 7)])
    assert client.ask("/instrument/takes/delete", 1, 2, timeout_s=PATIENCE_S) == [1, 2, 7]


def test_a_refusal_raises_its_reason(answering: Callable[[Answerer], Client]) -> None:
    client = answering(lambda asked: [osc.encode("/fail", (asked[0][0], "nothing is being recorded"))])
    with pytest.raises(CommandFailed, match=r"^nothing is being recorded$"):
        client.ask("/instrument/record/stop", timeout_s=PATIENCE_S)


def test_a_refusal_without_a_reason_is_a_refusal(answering: Callable[[Answerer], Client]) -> None:
    client = answering(lambda asked: [osc.encode("/fail", (asked[0][0],))])
    with pytest.raises(CommandFailed, match="no reason given"):
        client.ask("/instrument/undo", timeout_s=PATIENCE_S)


def test_answers_to_others_telemetry_and_rubbish_are_passed_over(answering: Callable[[Answerer], Client]) -> None:
    before = [
        b"rubbish",
        b"",
        done("/instrument/undo", "x"),
        osc.encode("/done", ()),
        osc.encode("/instrument/frame", (1, 1)),
    ]
    client = answering(lambda asked: [*before, done("/instrument/ping", "1.0")])
    assert client.ask("/instrument/ping", timeout_s=PATIENCE_S) == ["1.0"]


def test_nobody_there_is_known_at_once_and_says_what_to_look_for() -> None:
    port = free_udp_port()
    with Client(port=port) as client, pytest.raises(NoAnswer, match=rf"127\.0\.0\.1:{port}; .*instrument play"):
        client.ask("/instrument/ping", timeout_s=600.0)


def test_somebody_who_does_not_answer_is_waited_for_so_long(answering: Callable[[Answerer], Client]) -> None:
    client = answering(lambda asked: [])
    with pytest.raises(NoAnswer, match=r"within 0\.05 s"):
        client.ask("/instrument/ping", timeout_s=0.05)


def test_sending_goes_on_after_nobody_was_there() -> None:
    port = free_udp_port()
    with Client(port=port) as client:
        for _ in range(3):
            client.send("/instrument/ping")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(("127.0.0.1", port))
            late.settimeout(PATIENCE_S)
            client.send("/instrument/undo")
            assert osc.decode(late.recv(1000)) == [("/instrument/undo", ())]


def test_everything_that_comes_in_a_while_is_given_in_order(answering: Callable[[Answerer], Client]) -> None:
    client = answering(lambda asked: [osc.encode("/instrument/frame", (number, 1)) for number in range(3)])
    client.send("/instrument/subscribe", "frame")
    messages = client.messages(PATIENCE_S)
    assert [next(messages)[1][0] for _ in range(3)] == [0, 1, 2]
