"""Tasks for a worker that reads slowly or never: tokens wait, not data, and none is forgotten."""

import pytest

from raftwork.broker.machine.commands import Lose, Release
from raftwork.broker.outbox import TURN_BYTES
from raftwork.broker.workers.registry import BEAT_MS
from raftwork.messages import Beat, Heartbeat, Held, Holding, Loss, Push, State
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.queues import enqueue
from tests.unit.broker.registry_harness import ME, OTHER, RegistryHarness

BIG = bytes(TURN_BYTES // 4)


def tokens(frames: list[Push]) -> list[int]:
    return [each.token for frame in frames for each in frame.tasks]


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello(slots=100)
    harness.sent()
    return harness


def test_a_worker_whose_connection_is_full_gets_nothing_until_it_has_taken_all(
    harness: RegistryHarness,
) -> None:
    harness.room = False
    assert harness.registry.available() == []
    given = harness.give(3)
    assert harness.sent() == []
    assert harness.registry.waiting
    assert list(harness.registry._workers[ME].push.owed) == given
    assert not harness.registry.pass_time(harness.now, 0)
    harness.room = True
    assert harness.registry.available() == []  # not before it has what it was given
    sent = [message for _, message in harness.sent()]
    assert isinstance(sent[0], Push)
    assert tokens([sent[0]]) == given
    assert sent[1:] == [Beat(1, 1, 3)]
    assert harness.registry.pass_time(harness.now, 0), "the dispatcher is told of its room"
    assert [worker.incarnation for worker in harness.registry.available()] == [ME]
    assert not harness.registry.waiting


def test_who_has_room_is_not_looked_for_twice(harness: RegistryHarness) -> None:
    """A turn that always finds something changed would plan without end."""
    harness.room = False
    harness.registry.available()
    harness.room = True
    assert harness.registry.pass_time(harness.now, 0)
    harness.registry.available()
    assert not harness.registry.pass_time(harness.now, 0)


def test_a_hello_reads_no_more_than_one_turn_sends(harness: RegistryHarness) -> None:
    harness.queues.apply(enqueue(*"abcdefgh", payload=BIG))
    given = harness.assign()
    assert tokens(harness.frames(Push)) == given[:4]
    harness.hello(2)
    assert tokens(harness.frames(Push)) == given[:4]
    assert harness.registry.waiting
    assert tokens(harness.frames(Push)) == given[4:]


def test_what_was_not_sent_is_no_loss_of_a_worker_that_is_given_up(
    harness: RegistryHarness,
) -> None:
    (sent,) = harness.give()
    harness.sent()
    harness.room = False
    (unsent,) = harness.give()
    harness.sent()
    (lose,) = harness.pass_time(LEASE_MS + BEAT_MS + 50)
    assert lose == Lose([(sent, True), (unsent, False)], Loss("w"))


def test_what_a_connection_does_not_take_for_long_goes_to_others(harness: RegistryHarness) -> None:
    (sent,) = harness.give()
    harness.sent()
    harness.room = False
    unsent = harness.give(2)
    proposed = []
    for _ in range(0, LEASE_MS + 3 * BEAT_MS, BEAT_MS):
        harness.sent()
        harness.registry.heartbeat(b"w", Heartbeat(1, None, None, None, 0, 0, False), harness.now)
        proposed += harness.pass_time(BEAT_MS)
    assert proposed == [Release(unsent)]
    harness.sent()
    assert not harness.registry.waiting
    assert [harness.state(id_) for id_ in "012"] == [State.RUNNING, State.QUEUED, State.QUEUED]
    assert harness.registry._workers[ME].busy == 1
    harness.room = True
    assert tokens(harness.frames(Push)) == []
    harness.hello(me=OTHER, routing=b"v")
    harness.assign(OTHER)
    assert len(tokens(harness.frames(Push))) == 2
    assert harness.report(started=[sent])


def test_a_slow_connection_keeps_what_it_takes_in_time(harness: RegistryHarness) -> None:
    harness.room = False
    given = harness.give(2)
    for _ in range(3):
        for _ in range(0, LEASE_MS - BEAT_MS, BEAT_MS):
            harness.sent()
            harness.registry.heartbeat(
                b"w", Heartbeat(1, None, None, None, 0, 0, False), harness.now
            )
            assert harness.pass_time(BEAT_MS) == []
        harness.room = True
        harness.pass_time(BEAT_MS)
        harness.room = False
    harness.room = True
    assert tokens(harness.frames(Push)) == given


def test_a_hello_after_a_full_connection_settles_as_any_other(harness: RegistryHarness) -> None:
    (sent,) = harness.give()
    harness.sent()
    harness.room = False
    (unsent,) = harness.give()
    harness.sent()
    harness.registry.unreachable(b"w", harness.now)
    harness.room = True
    harness.hello(2, Holding(sent, Held.WAITING, 0), routing=b"again")
    assert tokens(harness.frames(Push)) == [unsent]
