import json
from pathlib import Path

import pytest

from instrument.training_job import FORGOTTEN_S, PATIENCE_S, SILENT_S, TrainerLink

PROJECT = Path("project")
FIRST, SECOND = (7001, 111), (7002, 222)
"""Port and process id of two trainers."""


class Linked:
    """A link with a clock moved by hand, what it sent, and how its jobs ended."""

    def __init__(self) -> None:
        self.clock_s = 50.0
        self.sent: list[tuple[object, ...]] = []
        self.ended: list[tuple[str, object, str | None]] = []
        self.link = TrainerLink(lambda where, *message: self.sent.append((where[1], *message)), lambda: self.clock_s)

    def train(self, name: str = "job", *outputs: str) -> None:
        self.link.train(PROJECT, outputs, lambda summary, reason: self.ended.append((name, summary, reason)))

    def hello(self, trainer: tuple[int, int], in_hand: int | None = None) -> None:
        """That trainer says hello, and which job it has in hand: the last it was sent, if nothing else is said."""
        sent = [int(str(number)) for port, _, number, *_ in self.sent if port == trainer[0]]
        self.link.hello(*trainer, (sent[-1] if sent else 0) if in_hand is None else in_hand)

    def wait(self, seconds: float, trainer: tuple[int, int] | None = None, in_hand: int | None = None) -> None:
        """Lets time pass; that trainer says hello every half second."""
        for _ in range(round(seconds * 2)):
            self.clock_s += 0.5
            if trainer:
                self.hello(trainer, in_hand)
            self.link.attend()


@pytest.fixture
def linked() -> Linked:
    return Linked()


def test_a_job_goes_to_the_trainer_that_is_there_once(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train("job", "posture", "lift")
    linked.wait(5.0, FIRST)
    assert linked.sent == [(7001, "/train", 1, "project", "posture,lift")]
    assert linked.link.status()["training"]


def test_the_summary_of_a_job_is_its_end(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.link.done(1, json.dumps({"seconds": 0.2}))
    assert linked.ended == [("job", {"seconds": 0.2}, None)]
    assert not linked.link.status()["training"]


def test_why_a_job_failed_is_its_end(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.link.failed(1, "no takes")
    assert linked.ended == [("job", None, "no takes")]


def test_an_answer_that_is_no_json_ends_the_job_too(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.link.done(1, "{")
    [(_, summary, reason)] = linked.ended
    assert summary is None
    assert "not JSON" in str(reason)


def test_without_a_trainer_a_job_waits_for_one(linked: Linked) -> None:
    linked.train()
    linked.wait(PATIENCE_S - 1.0)
    assert linked.sent == []
    linked.hello(FIRST)
    assert [message[1] for message in linked.sent] == ["/train"]


def test_without_a_trainer_for_long_a_job_ends_with_what_to_do(linked: Linked) -> None:
    linked.train()
    linked.wait(PATIENCE_S + 1.0)
    [(_, summary, reason)] = linked.ended
    assert summary is None
    assert "no trainer is running" in str(reason)


def test_a_trainer_that_died_over_a_job_gets_it_again_when_it_is_back(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.wait(SILENT_S + 1.0)
    assert not linked.link.is_alive
    linked.hello(SECOND)
    linked.wait(2.0, SECOND)
    assert [(port, word, job) for port, word, job, *_ in linked.sent] == [(7001, "/train", 1), (7002, "/train", 1)]
    linked.link.done(1, "{}")
    assert linked.ended == [("job", {}, None)]


def test_a_trainer_back_before_it_was_missed_gets_the_job_again(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.wait(1.0)
    linked.hello(SECOND)
    assert [message[0] for message in linked.sent] == [7001, 7002]


def test_a_trainer_that_died_for_good_ends_the_job(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.wait(PATIENCE_S + 1.0)
    assert [name for name, *_ in linked.ended] == ["job"]


def test_cancelling_tells_the_trainer_and_ends_the_job(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    assert linked.link.cancel()
    assert linked.sent[-1] == (7001, "/cancel", 1)
    assert linked.ended == [("job", None, "cancelled")]
    assert not linked.link.cancel()


def test_what_is_found_out_after_cancelling_is_of_no_interest(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.link.done(1, "{}")
    assert linked.link.coached(1)
    linked.link.cancel("another project was opened")
    assert not linked.link.coached(1)


def test_a_study_waits_for_a_trainer_and_is_asked_for_once(linked: Linked) -> None:
    linked.link.study(PROJECT)
    assert linked.sent == []
    linked.wait(5.0, FIRST)
    assert linked.sent == [(7001, "/study", 1, "project")]
    assert linked.link.status()["studying"]
    assert linked.link.coached(1)
    assert not linked.link.status()["studying"]


def test_a_study_whose_takes_have_changed_is_of_no_interest(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.link.study(PROJECT)
    linked.link.outdate()
    assert not linked.link.status()["studying"]
    assert not linked.link.coached(1)


def test_a_job_in_hand_goes_on_when_takes_change(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.link.outdate()
    assert linked.link.status()["training"]


def test_a_new_job_takes_the_place_of_the_one_in_hand(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train("old")
    linked.train("new")
    assert linked.ended == [("old", None, "another training was asked for")]
    assert [message[1:3] for message in linked.sent] == [("/train", 1), ("/cancel", 1), ("/train", 2)]


def test_late_answers_of_old_jobs_are_ignored(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train("old")
    linked.train("new")
    linked.link.failed(1, "cancelled")
    linked.link.done(1, "{}")
    assert not linked.link.advance(1, "posture", 1, 10, 0.5, 0.5)
    assert [name for name, *_ in linked.ended] == ["old"]
    assert linked.link.advance(2, "posture", 1, 10, 0.5, 0.5)
    linked.link.done(2, "{}")
    assert [name for name, *_ in linked.ended] == ["old", "new"]


def test_progress_is_that_of_the_job_in_hand_and_goes_with_it(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.link.advance(1, "posture", 40, 200, 0.5, 0.9)
    assert linked.link.status()["progress"] == ("posture", 40, 200, 0.5, 0.9)
    linked.link.done(1, "{}")
    assert linked.link.status()["progress"] is None


@pytest.mark.parametrize("port", [0, -1, 70_000])
def test_a_trainer_on_a_port_that_cannot_be_is_not_believed(linked: Linked, port: int) -> None:
    linked.link.hello(port, 111, 0)
    assert not linked.link.is_alive


def test_a_job_the_trainer_knows_nothing_of_is_sent_again(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.wait(FORGOTTEN_S + 1.0, FIRST, in_hand=0)
    assert [message[1:3] for message in linked.sent] == [("/train", 1), ("/train", 1)]
    linked.link.done(1, "{}")
    assert linked.ended == [("job", {}, None)]


def test_a_study_whose_end_was_lost_is_asked_for_once_more_and_then_given_up(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.train()
    linked.link.done(1, "{}")
    linked.wait(5.0, FIRST)
    assert len(linked.sent) == 1
    assert linked.link.is_studying
    linked.wait(FORGOTTEN_S + 1.0, FIRST, in_hand=0)
    assert linked.sent[1:] == [(7001, "/study", 1, "project")]
    linked.wait(2 * FORGOTTEN_S + 1.0, FIRST, in_hand=0)
    assert len(linked.sent) == 2
    assert not linked.link.is_studying


def test_a_trainer_that_died_over_a_study_is_asked_again_when_it_is_back(linked: Linked) -> None:
    linked.hello(FIRST)
    linked.link.study(PROJECT)
    linked.wait(1.0, FIRST)
    linked.wait(FORGOTTEN_S + 1.0, SECOND, in_hand=0)
    assert linked.sent == [(7001, "/study", 1, "project"), (7002, "/study", 1, "project")]
    assert linked.link.coached(1)
