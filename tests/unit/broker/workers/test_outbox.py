"""Tasks for a worker that reads slowly or never: tokens wait, not data, and none is forgotten."""

import pytest

from raftwork.broker.machine.commands import Lose, Release
from raftwork.broker.workers.outbox import TURN_BYTES, PushOutbox
from raftwork.broker.workers.registry import BEAT_MS, LEASE_MS
from raftwork.messages import Beat, Heartbeat, Held, Holding, Loss, Push, PushedTask, State
from tests.unit.broker.floor import ME, OTHER, Floor
from tests.unit.broker.queues import enqueue

BIG = bytes(TURN_BYTES // 4)


def task(token: int, payload: bytes = b"") -> PushedTask:
    return PushedTask(token, str(token), 1, b"spec", payload)


def tokens(frames: list[Push]) -> list[int]:
    return [each.token for frame in frames for each in frame.tasks]


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.hello(slots=100)
    floor.sent()
    return floor


# ---- one worker's ------------------------------------------------------------------------------


def test_one_turn_takes_a_bounded_part_and_keeps_the_order() -> None:
    pushes, came = PushOutbox(), []
    for token in range(20):
        pushes.add(task(token, BIG))
    while turn := pushes.take(lambda token: task(token, BIG)):
        assert sum(len(each.payload) for each in turn) <= TURN_BYTES
        came += [each.token for each in turn]
    assert came == list(range(20))


def test_what_is_held_is_read_again_and_what_is_over_is_not_sent() -> None:
    pushes, read = PushOutbox(), []
    for token in range(6):  # more than a turn's
        pushes.add(task(token, BIG))
    pushes.hold()
    assert list(pushes.owed) == list(range(6))

    def machine(token: int) -> PushedTask | None:
        read.append(token)
        return None if token == 2 else task(token)

    assert [each.token for each in pushes.take(machine)] == [0, 1, 3, 4, 5]
    assert read == list(range(6))
    assert pushes.take(machine) == []


# ---- the workforce -----------------------------------------------------------------------------


def test_a_worker_whose_connection_is_full_gets_nothing_until_it_has_taken_all(
    floor: Floor,
) -> None:
    floor.room = False
    assert floor.force.available() == []
    given = floor.give(3)
    assert floor.sent() == []
    assert floor.force.waiting
    assert list(floor.force._workers[ME].push.owed) == given
    assert not floor.force.pass_time(floor.now, 0)
    floor.room = True
    assert floor.force.available() == []  # not before it has what it was given
    sent = [message for _, message in floor.sent()]
    assert isinstance(sent[0], Push)
    assert tokens([sent[0]]) == given
    assert sent[1:] == [Beat(1, 1, 3)]
    assert floor.force.pass_time(floor.now, 0), "the dispatcher is told of its room"
    assert [worker.incarnation for worker in floor.force.available()] == [ME]
    assert not floor.force.waiting


def test_who_has_room_is_not_looked_for_twice(floor: Floor) -> None:
    """A turn that always finds something changed would plan without end."""
    floor.room = False
    floor.force.available()
    floor.room = True
    assert floor.force.pass_time(floor.now, 0)
    floor.force.available()
    assert not floor.force.pass_time(floor.now, 0)


def test_a_hello_reads_no_more_than_one_turn_sends(floor: Floor) -> None:
    floor.queues.apply(enqueue(*"abcdefgh", payload=BIG))
    given = floor.assign()
    assert tokens(floor.frames(Push)) == given[:4]
    floor.hello(2)
    assert tokens(floor.frames(Push)) == given[:4]
    assert floor.force.waiting
    assert tokens(floor.frames(Push)) == given[4:]


def test_what_was_not_sent_is_no_loss_of_a_worker_that_is_given_up(floor: Floor) -> None:
    (sent,) = floor.give()
    floor.sent()
    floor.room = False
    (unsent,) = floor.give()
    floor.sent()
    (lose,) = floor.pass_time(LEASE_MS + BEAT_MS + 50)
    assert lose == Lose([(sent, True), (unsent, False)], Loss("w"))


def test_what_a_connection_does_not_take_for_long_goes_to_others(floor: Floor) -> None:
    (sent,) = floor.give()
    floor.sent()
    floor.room = False
    unsent = floor.give(2)
    proposed = []
    for _ in range(0, LEASE_MS + 3 * BEAT_MS, BEAT_MS):
        floor.sent()
        floor.force.heartbeat(b"w", Heartbeat(1, None, None, None, 0, 0, False), floor.now)
        proposed += floor.pass_time(BEAT_MS)
    assert proposed == [Release(unsent)]
    floor.sent()
    assert not floor.force.waiting
    assert [floor.state(id_) for id_ in "012"] == [State.RUNNING, State.QUEUED, State.QUEUED]
    assert floor.force._workers[ME].busy == 1
    floor.room = True
    assert tokens(floor.frames(Push)) == []
    floor.hello(me=OTHER, routing=b"v")
    floor.assign(OTHER)
    assert len(tokens(floor.frames(Push))) == 2
    assert floor.report(started=[sent])


def test_a_slow_connection_keeps_what_it_takes_in_time(floor: Floor) -> None:
    floor.room = False
    given = floor.give(2)
    for _ in range(3):
        for _ in range(0, LEASE_MS - BEAT_MS, BEAT_MS):
            floor.sent()
            floor.force.heartbeat(b"w", Heartbeat(1, None, None, None, 0, 0, False), floor.now)
            assert floor.pass_time(BEAT_MS) == []
        floor.room = True
        floor.pass_time(BEAT_MS)
        floor.room = False
    floor.room = True
    assert tokens(floor.frames(Push)) == given


def test_a_hello_after_a_full_connection_settles_as_any_other(floor: Floor) -> None:
    (sent,) = floor.give()
    floor.sent()
    floor.room = False
    (unsent,) = floor.give()
    floor.sent()
    floor.force.unreachable(b"w", floor.now)
    floor.room = True
    floor.hello(2, Holding(sent, Held.WAITING, 0), routing=b"again")
    assert tokens(floor.frames(Push)) == [unsent]
