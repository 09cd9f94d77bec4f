"""Draining by command: which workers are told, and when the client is answered."""

from raftwork.features.drain import DrainWorker, WorkerDraining, feature
from raftwork.messages import (
    PROTOCOL,
    Code,
    Drain,
    FromBroker,
    Heartbeat,
    Refused,
    WorkerHello,
)
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.request_harness import RequestHarness

FEATURE = feature()

ASK = DrainWorker(1, "w")


class DrainHarness(RequestHarness):
    """A leader's workers and the requests to drain them."""

    def hello(self, routing: bytes = b"w", session: int = 1, *, draining: bool = False) -> None:
        incarnation = routing.ljust(16)
        hello = WorkerHello(
            PROTOCOL, "w", incarnation, session, "h", 1, 2, ["default"], [], draining
        )
        self.workers.hello(routing, hello, self.now)

    def beat(self, routing: bytes = b"w", session: int = 1, *, draining: bool) -> None:
        beat = Heartbeat(session, None, None, None, 0, 0, draining)
        assert self.workers.heartbeat(routing, beat, self.now)

    def answers(self) -> list[FromBroker]:
        self.view.all_heard = self.now >= 10_000 + LEASE_MS
        self.processor.poll(self.now)
        return [message for _, message in self.frames()]

    def drained(self) -> list[bytes]:
        """The connections that were sent a Drain now."""
        return [routing for routing, message in self.workers.frames() if isinstance(message, Drain)]

    def state(self) -> list[str]:
        return [status.state for status in self.workers.statuses()]

    def pass_time(self, ms: int) -> None:
        for _ in range(0, ms, 100):
            self.now += 100
            self.workers.pass_time(self.now, 0)


def test_a_drained_worker_gets_nothing_new_from_the_moment_it_is_asked_for() -> None:
    harness = DrainHarness()
    harness.hello()
    assert harness.workers.available()
    harness.say(ASK, b"c")
    harness.processor.poll(harness.now)
    assert not harness.workers.available()
    assert harness.state() == ["draining"]


def test_who_asked_is_answered_once_the_worker_says_that_it_drains() -> None:
    harness = DrainHarness()
    harness.hello()
    harness.say(ASK, b"c")
    assert harness.answers() == []
    harness.beat(draining=True)
    assert harness.answers() == [WorkerDraining(1)]
    assert harness.answers() == []


def test_a_worker_is_told_until_it_says_so_itself() -> None:
    harness = DrainHarness()
    harness.hello()
    harness.say(ASK, b"c")
    harness.processor.poll(harness.now)
    assert harness.drained() == [b"w"]
    harness.pass_time(200)
    assert harness.drained() == [b"w"], "the first frame may have been lost"
    harness.hello(session=2)
    assert harness.drained() == [b"w"], "a new session knows nothing of it"
    harness.beat(session=2, draining=True)
    harness.pass_time(200)
    assert harness.drained() == []


def test_a_name_that_several_workers_have_means_all_of_them() -> None:
    harness = DrainHarness()
    harness.hello(b"w")
    harness.hello(b"v")
    harness.say(ASK, b"c")
    harness.processor.poll(harness.now)
    assert sorted(harness.drained()) == [b"v", b"w"]
    harness.beat(b"w", draining=True)
    assert harness.answers() == []
    harness.beat(b"v", draining=True)
    assert harness.answers() == [WorkerDraining(1)]


def test_a_worker_that_drains_already_is_answered_for_at_once() -> None:
    harness = DrainHarness()
    harness.hello(draining=True)
    harness.say(ASK, b"c")
    assert harness.answers() == [WorkerDraining(1)]


def test_a_new_leader_calls_no_name_unknown_before_all_had_time_to_say_hello() -> None:
    harness = DrainHarness()
    harness.say(ASK, b"c")
    harness.pass_time(LEASE_MS - 100)
    assert harness.answers() == []
    harness.hello()
    harness.beat(draining=True)
    assert harness.answers() == [WorkerDraining(1)]


def test_an_unknown_name_is_refused_and_the_known_ones_are_told() -> None:
    harness = DrainHarness()
    harness.pass_time(LEASE_MS)
    harness.hello()
    harness.say(DrainWorker(7, "x"), b"c")
    (answer,) = harness.answers()
    assert isinstance(answer, Refused)
    assert (answer.request, answer.code) == (7, Code.UNKNOWN_WORKER)
    assert "'x'" in answer.text
    assert "there are w" in answer.text


def test_a_worker_that_left_meanwhile_did_as_it_was_told() -> None:
    harness = DrainHarness()
    harness.hello()
    harness.pass_time(LEASE_MS)
    harness.say(ASK, b"c")
    assert harness.answers() == []
    assert harness.workers.goodbye(b"w", 1, harness.now)
    assert harness.answers() == [WorkerDraining(1)]
    harness.say(DrainWorker(2, "w"), b"c")
    (answer,) = harness.answers()
    assert isinstance(answer, Refused), "it is not there any more"


def test_a_worker_that_dies_before_it_says_so_was_not_drained() -> None:
    harness = DrainHarness()
    harness.hello()
    harness.say(ASK, b"c")
    assert harness.answers() == []
    harness.pass_time(2 * LEASE_MS)
    (answer,) = harness.answers()
    assert isinstance(answer, Refused)


def test_a_request_sent_again_is_answered_once_and_a_closed_session_not_at_all() -> None:
    harness = DrainHarness()
    harness.hello()
    harness.say(ASK, b"c")
    harness.say(ASK, b"c")
    harness.say(ASK, b"d")
    harness.processor.gone(b"d")
    assert harness.answers() == []
    harness.beat(draining=True)
    assert harness.answers() == [WorkerDraining(1)]


def test_open_requests_are_bounded() -> None:
    harness = DrainHarness()
    for number in range(FEATURE.budget.requests + 1):
        harness.say(DrainWorker(number, "w"), b"c")
    (answer,) = harness.answers()
    assert isinstance(answer, Refused)
    assert answer.code is Code.QUEUE_FULL
