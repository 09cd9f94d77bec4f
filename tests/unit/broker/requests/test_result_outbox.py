"""Deliveries: what a slow reader is owed is ids, and it gets everything in the end."""

import pytest

from raftwork.broker.machine.commands import Assign, Finish
from raftwork.broker.outbox import TURN_BYTES
from raftwork.broker.requests import result_outbox
from raftwork.broker.requests.result_outbox import ResultOutbox
from raftwork.features.effects import Settled
from raftwork.messages import Result, State
from tests.unit.broker.queues import Queues, enqueue

ME = b"me"
KIB = 1024


class OutboxHarness:
    """An outbox of results on a machine, to connections that take `room` more frames."""

    def __init__(self) -> None:
        self.queues = Queues()
        self.room = 1_000
        self.outbox = ResultOutbox(self.queues.machine, lambda _: self.room > 0)

    def finished(self, *ids: str, size: int) -> None:
        self.queues.apply(enqueue(*ids))
        seqs = [task.seq for task in self.queues.machine.waiting("default", 0, len(ids), 1 << 30)]
        self.queues.apply(Assign(b"w", seqs))
        tokens = sorted(run.token for run in self.queues.machine.running())
        for effect in self.queues.effects(Finish([(token, b"x" * size) for token in tokens])):
            assert isinstance(effect, Settled)
            self.outbox.settled(effect)

    def take(self) -> list[Result]:
        taken: list[Result] = []
        for routing, frame in self.outbox.frames():
            assert routing == ME
            assert sum(len(r.data) for r in frame.results) <= result_outbox.RESULTS_BYTES + 64 * KIB
            self.room -= 1
            taken.extend(frame.results)
        return taken


@pytest.fixture
def harness() -> OutboxHarness:
    return OutboxHarness()


def test_a_reader_with_room_gets_outcomes_from_memory(harness: OutboxHarness) -> None:
    harness.outbox.watch(ME, "a")
    harness.finished("a", size=3)
    assert harness.take() == [Result("a", State.SUCCEEDED, b"xxx")]
    assert not harness.outbox.waiting


def test_a_reader_without_room_costs_ids_and_loses_nothing(harness: OutboxHarness) -> None:
    ids = [f"{i:03}" for i in range(100)]
    for id_ in ids:
        harness.outbox.watch(ME, id_)
    harness.room = 0
    harness.finished(*ids, size=64 * KIB)
    assert harness.take() == []
    assert list(harness.outbox._outboxes[ME].owed) == ids
    assert not harness.outbox._outboxes[ME]._ready
    taken: list[Result] = []
    while len(taken) < len(ids):
        before, harness.room = len(taken), 1
        taken.extend(harness.take())
        assert len(taken) > before
    assert sorted(r.id for r in taken) == ids
    assert {r.data for r in taken} == {b"x" * 64 * KIB}


def test_one_turn_reads_a_bounded_number_of_bytes(harness: OutboxHarness) -> None:
    ids = [f"{i:03}" for i in range(100)]
    harness.finished(*ids, size=128 * KIB)
    for id_ in ids:
        harness.outbox.tell(ME, id_)
    taken = harness.take()
    assert 0 < sum(len(r.data) for r in taken) <= TURN_BYTES + result_outbox.RESULTS_BYTES
    assert harness.outbox.waiting


def test_more_outcomes_in_a_turn_than_its_bytes_are_read_later(harness: OutboxHarness) -> None:
    ids = [f"{i:03}" for i in range(100)]
    for id_ in ids:
        harness.outbox.watch(ME, id_)
    harness.finished(*ids, size=128 * KIB)
    assert len(harness.outbox._outboxes[ME]._ready) * 128 * KIB <= TURN_BYTES
    taken: list[Result] = []
    while len(taken) < len(ids):
        before = len(taken)
        taken.extend(harness.take())
        assert len(taken) > before
    assert sorted(r.id for r in taken) == ids


def test_nothing_is_kept_for_a_session_that_is_gone(harness: OutboxHarness) -> None:
    harness.outbox.watch(ME, "a")
    harness.outbox.watch(ME, "b")
    harness.outbox.tell(ME, "b")
    harness.outbox.gone(ME)
    harness.finished("a", size=1)
    assert harness.take() == []
    assert not harness.outbox.waiting


def test_a_task_that_comes_in_while_its_unknown_waits_for_room_is_still_watched(
    harness: OutboxHarness,
) -> None:
    # Found by the simulator: neither the old verdict nor, later, the outcome was told.
    harness.outbox.watch(ME, "a")
    harness.outbox.unknown(ME, "a")
    harness.room = 0
    assert harness.take() == []
    harness.queues.apply(enqueue("a"))
    harness.room = 1_000
    assert harness.take() == []
    (run,) = harness.queues.machine.waiting("default", 0, 1, 1 << 30)
    harness.queues.apply(Assign(b"w", [run.seq]))
    (effect,) = harness.queues.effects(Finish([(1, b"x")]))
    assert isinstance(effect, Settled)
    harness.outbox.settled(effect)
    assert harness.take() == [Result("a", State.SUCCEEDED, b"x")]
