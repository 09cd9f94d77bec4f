"""Draining by command: who is told, and when who asked is answered."""

from random import Random

from raftwork.broker.requests import drain as module
from raftwork.broker.requests.drain import Drains
from raftwork.broker.workers.registry import LEASE, WorkerRegistry
from raftwork.features.drain import DrainWorker, WorkerDraining
from raftwork.messages import (
    PROTOCOL,
    Code,
    Drain,
    FromBroker,
    Heartbeat,
    Refused,
    WorkerHello,
)
from tests.unit.broker.queues import Queues

ASK = DrainWorker(1, "w")


class Office:
    """A leader's workers and the requests to drain them."""

    def __init__(self) -> None:
        self.now = 10_000
        self.force = WorkerRegistry(Queues().machine, 1, self.now, Random(1))
        self.drains = Drains(self.force, self.now + LEASE)

    def hello(self, routing: bytes = b"w", session: int = 1, *, draining: bool = False) -> None:
        incarnation = routing.ljust(16)
        hello = WorkerHello(
            PROTOCOL, "w", incarnation, session, "h", 1, 2, ["default"], [], draining
        )
        self.force.hello(routing, hello, self.now)

    def beat(self, routing: bytes = b"w", session: int = 1, *, draining: bool) -> None:
        beat = Heartbeat(session, None, None, None, 0, 0, draining)
        assert self.force.heartbeat(routing, beat, self.now)

    def answers(self) -> list[FromBroker]:
        self.drains.settle(self.now)
        return [message for _, message in self.drains.frames()]

    def told(self) -> list[bytes]:
        """Who was sent a Drain now."""
        return [routing for routing, message in self.force.frames() if isinstance(message, Drain)]

    def state(self) -> list[str]:
        return [status.state for status in self.force.statuses()]

    def pass_time(self, ms: int) -> None:
        for _ in range(0, ms, 100):
            self.now += 100
            self.force.pass_time(self.now, 0)


def test_a_drained_worker_gets_nothing_new_from_the_moment_it_is_asked_for() -> None:
    office = Office()
    office.hello()
    assert office.force.available()
    office.drains.ask(b"c", ASK)
    office.drains.settle(office.now)
    assert not office.force.available()
    assert office.state() == ["draining"]


def test_who_asked_is_answered_once_the_worker_says_that_it_drains() -> None:
    office = Office()
    office.hello()
    office.drains.ask(b"c", ASK)
    assert office.answers() == []
    office.beat(draining=True)
    assert office.answers() == [WorkerDraining(1)]
    assert office.answers() == []


def test_a_worker_is_told_until_it_says_so_itself() -> None:
    office = Office()
    office.hello()
    office.drains.ask(b"c", ASK)
    office.drains.settle(office.now)
    assert office.told() == [b"w"]
    office.pass_time(200)
    assert office.told() == [b"w"], "the first frame may have been lost"
    office.hello(session=2)
    assert office.told() == [b"w"], "a new session knows nothing of it"
    office.beat(session=2, draining=True)
    office.pass_time(200)
    assert office.told() == []


def test_a_name_that_several_workers_have_means_all_of_them() -> None:
    office = Office()
    office.hello(b"w")
    office.hello(b"v")
    office.drains.ask(b"c", ASK)
    office.drains.settle(office.now)
    assert sorted(office.told()) == [b"v", b"w"]
    office.beat(b"w", draining=True)
    assert office.answers() == []
    office.beat(b"v", draining=True)
    assert office.answers() == [WorkerDraining(1)]


def test_a_worker_that_drains_already_is_answered_for_at_once() -> None:
    office = Office()
    office.hello(draining=True)
    office.drains.ask(b"c", ASK)
    assert office.answers() == [WorkerDraining(1)]


def test_a_new_leader_calls_no_name_unknown_before_all_had_time_to_say_hello() -> None:
    office = Office()
    office.drains.ask(b"c", ASK)
    office.pass_time(LEASE - 100)
    assert office.answers() == []
    office.hello()
    office.beat(draining=True)
    assert office.answers() == [WorkerDraining(1)]


def test_an_unknown_name_is_refused_and_the_known_ones_are_told() -> None:
    office = Office()
    office.pass_time(LEASE)
    office.hello()
    office.drains.ask(b"c", DrainWorker(7, "x"))
    (answer,) = office.answers()
    assert isinstance(answer, Refused)
    assert (answer.request, answer.code) == (7, Code.UNKNOWN_WORKER)
    assert "'x'" in answer.text
    assert "there are w" in answer.text


def test_a_worker_that_left_meanwhile_did_as_it_was_told() -> None:
    office = Office()
    office.hello()
    office.pass_time(LEASE)
    office.drains.ask(b"c", ASK)
    assert office.answers() == []
    assert office.force.goodbye(b"w", 1, office.now)
    assert office.answers() == [WorkerDraining(1)]
    office.drains.ask(b"c", DrainWorker(2, "w"))
    (answer,) = office.answers()
    assert isinstance(answer, Refused), "it is not there any more"


def test_a_worker_that_dies_before_it_says_so_was_not_drained() -> None:
    office = Office()
    office.hello()
    office.drains.ask(b"c", ASK)
    assert office.answers() == []
    office.pass_time(2 * LEASE)
    (answer,) = office.answers()
    assert isinstance(answer, Refused)


def test_a_request_sent_again_is_answered_once_and_a_closed_session_not_at_all() -> None:
    office = Office()
    office.hello()
    office.drains.ask(b"c", ASK)
    office.drains.ask(b"c", ASK)
    office.drains.ask(b"d", ASK)
    office.drains.gone(b"d")
    assert office.answers() == []
    office.beat(draining=True)
    assert office.answers() == [WorkerDraining(1)]


def test_open_requests_are_bounded() -> None:
    office = Office()
    for number in range(module.OPEN_MAX + 1):
        office.drains.ask(b"c", DrainWorker(number, "w"))
    (answer,) = office.answers()
    assert isinstance(answer, Refused)
    assert answer.code is Code.QUEUE_FULL
