"""Attempts that ended lately, read out of the events: when each began, and where it ran."""

import apsw
import pytest

from raftwork.broker.event_ring import NO_EVENTS, EventRing
from raftwork.consensus.core import ORIGIN, Position
from raftwork.features import ended_attempts, from_broker
from raftwork.features.ended_attempts import EndedAttempts, EndedTold, ListEnded
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.history import NameWorker
from raftwork.messages import Refused
from tests.unit.broker.request_harness import RequestHarness

WORKER, OTHER = b"incarnation of 1", b"incarnation of 2"


class Kept:
    """A leader with events, and what it applied."""

    connection: apsw.Connection

    def __init__(self) -> None:
        self.harness = RequestHarness()
        self.harness.queues.apply(NameWorker(WORKER, "w1"), NameWorker(OTHER, "w2"))
        self.connection, self.applied = apsw.Connection(":memory:"), ORIGIN
        self.ring = self.harness.view.events = EventRing(self)
        self.seq = 0

    def note(self, at: int, *happened: Happened) -> None:
        self.seq += 1
        self.ring.note(Position(1, self.seq), at, happened)

    def ask(self, known: int = 0, since: int = 0, limit: int = 100, **more: str) -> EndedTold:
        self.harness.say(ListEnded(1, 1 if known else 0, known, since, limit, **more))
        self.harness.barrier()
        for _ in range(99):
            for answer in self.harness.sent():
                answer = from_broker.decode(from_broker.encode(answer))
                assert isinstance(answer, EndedTold), answer
                return answer
        raise AssertionError("it never ended")


def of(kind: EventKind, *ids: str, ms: list[int] | None = None, worker: bytes = WORKER) -> Happened:
    return Happened(kind, ids, "default", "m.f", worker, 1, runs_ms=ms or [])


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_an_attempt_is_told_from_its_beginning_to_its_end(kept: Kept) -> None:
    kept.note(1_000, of(EventKind.ENQUEUED, "a", "b", worker=b""))
    kept.note(2_000, of(EventKind.FINISHED, "a", "b", ms=[500, 0]))
    kept.note(3_000, of(EventKind.RETRIED, "c", ms=[700]), of(EventKind.FAILED, "d", ms=[9]))
    told = kept.ask()
    here = "default", "m.f", "w1"
    assert told.attempts == [
        EndedAttempts(3_000, EventKind.FAILED, *here, ["d"], [2_991]),
        EndedAttempts(3_000, EventKind.FAILED, *here, ["c"], [2_300]),
        EndedAttempts(2_000, EventKind.FINISHED, *here, ["a", "b"], [1_500, 2_000]),
    ]
    assert (told.epoch, told.seq, told.more) == (1, 3, False)


def test_who_claims_to_have_run_since_before_time_began_spoils_no_answer(kept: Kept) -> None:
    kept.note(1_000, of(EventKind.FINISHED, "a", ms=[2**40]))
    assert kept.ask().attempts[0].began == [0]


def test_who_asks_again_is_told_what_is_new(kept: Kept) -> None:
    kept.note(2_000, of(EventKind.FINISHED, "a", ms=[500]))
    kept.note(3_000, of(EventKind.FINISHED, "b", ms=[500]))
    assert [each.ids for each in kept.ask(known=1).attempts] == [["b"]]
    assert kept.ask(known=2).attempts == []
    assert [each.ids for each in kept.ask(since=2_500).attempts] == [["b"]]


def test_what_was_lost_began_when_it_was_handed_out_as_far_as_that_is_kept(kept: Kept) -> None:
    kept.note(900, of(EventKind.ASSIGNED, "old"))
    kept.note(1_000, of(EventKind.ASSIGNED, "a", "b"))
    kept.note(2_000, of(EventKind.RETRIED, "a"), of(EventKind.LOST, "b", "c", "old"))
    lost, again = kept.ask(known=2, since=950).attempts
    assert (lost.kind, lost.ids, lost.began) == (
        EventKind.LOST,
        ["b", "c", "old"],
        [1_000, 2_000, 2_000],
    )
    assert (again.kind, again.began) == (EventKind.LOST, [1_000])


def test_what_never_ran_is_no_attempt(kept: Kept) -> None:
    kept.note(1_000, of(EventKind.CANCELLED, "a", worker=b""), of(EventKind.RELEASED, "b"))
    assert kept.ask().attempts == []


def test_an_answer_is_bounded_and_says_so(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(1, 6):
        kept.note(at * 1_000, of(EventKind.FINISHED, f"{at}a", f"{at}b", ms=[1, 1]))
    told = kept.ask(limit=3)
    assert [each.ids for each in told.attempts] == [["5a", "5b"], ["4a"]]
    assert told.more
    monkeypatch.setattr(ended_attempts, "_ENTRIES_MAX", 2)
    monkeypatch.setattr("raftwork.broker.event_ring._LOOK_ROWS", 2)
    told = kept.ask()
    assert [each.ids[0] for each in told.attempts] == ["5a", "4a"]
    assert told.more


def test_it_is_of_one_queue_or_worker_if_that_is_asked_for(kept: Kept) -> None:
    kept.note(1_000, of(EventKind.FINISHED, "a"), of(EventKind.FINISHED, "b", worker=OTHER))
    assert [each.ids for each in kept.ask(worker="w2").attempts] == [["b"]]
    assert kept.ask(queue="other").attempts == []


def test_a_broker_without_events_says_so(kept: Kept) -> None:
    kept.harness.view.events = NO_EVENTS
    (answer,) = kept.harness.told(ListEnded(1, 0, 0, 0, 10))
    assert isinstance(answer, Refused)
    assert "keeps no events" in answer.text
