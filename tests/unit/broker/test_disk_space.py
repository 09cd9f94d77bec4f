"""When there is no room for new work: whose disks count, in words, and how it ends by itself."""

import pytest

from raftwork.broker.disk_space import FRESH_MS, HAND_OVER_MS, DiskSpace
from raftwork.features import from_broker
from raftwork.features.catalogue import FEATURES
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.feature import Change
from raftwork.features.flow_again import RetryFlow
from raftwork.features.flow_callbacks import AddCallback
from raftwork.features.flows import SubmitFlow
from raftwork.features.purge_queue import PurgeQueue
from raftwork.features.schedule_records import BackfillSchedule, TriggerSchedule
from raftwork.features.signals import SaySignal
from raftwork.features.unique import EnqueueUnique
from raftwork.messages import (
    BrokerStatus,
    Code,
    DiskRoom,
    PeerWelcome,
    Refused,
    StatusRequest,
)
from raftwork.wire import pack, unpack
from tests.unit.broker.nodes import MIB, World
from tests.unit.broker.queues import enqueue
from tests.unit.broker.request_harness import RequestHarness

RESERVE = 512 * MIB
ROOM, LOW = DiskRoom(600 * MIB, RESERVE), DiskRoom(300 * MIB, RESERVE)


def three(mine: int = 600 * MIB, b: DiskRoom | None = ROOM, c: DiskRoom | None = ROOM) -> DiskSpace:
    space = DiskSpace("a", ("a", "b", "c"), RESERVE)
    space.look(mine, 0)
    for name, room in (("b", b), ("c", c)):
        if room is not None:
            space.heard(name, room, 0)
    return space


def test_one_full_disk_of_three_holds_up_nothing() -> None:
    assert not three(mine=0).shortage
    assert not three(b=LOW).shortage


def test_new_work_is_refused_while_no_majority_has_room_and_the_text_says_both_numbers() -> None:
    space = three(mine=300 * MIB, b=LOW)
    assert space.shortage == (
        "no new tasks are taken for now: the disk of a has 300 MiB free, 512 MiB must be; the disk"
        " of b has 300 MiB free, 512 MiB must be. Make room there, or purge what need not run; it"
        " goes on by itself then"
    )
    space.heard("b", ROOM, 1)
    assert not space.shortage


def test_a_broker_without_a_reserve_has_room_by_its_own_word() -> None:
    """It never looks, and must not take itself for one that cannot be asked."""
    space = DiskSpace("a", ("a", "b", "c"))
    space.heard("b", LOW, 0)
    space.heard("c", ROOM, 0)
    assert not space.shortage
    space.heard("c", LOW, 1)
    assert "cannot be asked" not in space.shortage


def test_a_broker_that_is_not_heard_stores_nothing() -> None:
    assert "; c cannot be asked" in three(b=LOW, c=None).shortage
    assert not three(b=ROOM, c=None).shortage
    assert not three(b=None, c=None).shortage, "that is no matter of disks"
    space = three(b=LOW)
    space.look(600 * MIB, FRESH_MS)
    assert not space.shortage, "what b said is as old"
    space.heard("b", LOW, FRESH_MS)
    assert "; c cannot be asked" in space.shortage


def test_a_broker_that_does_not_tell_its_room_counts_as_it_did_before_that_was_told() -> None:
    """One of 0.2.0, in the middle of an upgrade: its welcome has no such field."""
    old = from_broker.encode(PeerWelcome("b", b"i" * 16, b"c" * 16, [], 0, (), "0.2.0", (1, 1)))
    assert isinstance(welcome := from_broker.decode(pack(unpack(old)[:-1])), PeerWelcome)  # type: ignore[index]
    assert not three(mine=300 * MIB, b=welcome.disk, c=welcome.disk).shortage


def test_it_ends_with_an_eighth_more_so_that_it_does_not_come_and_go() -> None:
    alone = DiskSpace("a", ("a",), RESERVE)
    for free, low in (
        (513, False),
        (511, True),
        (513, True),
        (575, True),
        (576, False),
        (513, False),
    ):
        alone.look(free * MIB, 0)
        assert bool(alone.shortage) is low, free
    alone.look(511 * MIB, 0)
    alone.look(520 * MIB, 0)
    assert "520 MiB free, 576 MiB must be" in alone.shortage


def test_without_a_reserve_no_disk_is_looked_at() -> None:
    space = DiskSpace("a", ("a",))
    space.look(0, 0)
    assert not space.shortage


def test_a_leader_whose_disk_is_low_asks_another_to_lead_now_and_then() -> None:
    space = three(mine=300 * MIB)
    assert space.hands_over(0)
    assert not space.hands_over(HAND_OVER_MS - 1)
    assert space.hands_over(HAND_OVER_MS)
    assert not three().hands_over(0)
    assert not three(mine=300 * MIB, b=LOW).hands_over(0), "it would be no better there"


def grows() -> set[type]:
    rules = (rule for feature in FEATURES for rule in feature.rules)
    return {rule.request for rule in rules if isinstance(rule, Change) and rule.grows is not None}


def test_what_enters_new_work_and_nothing_else_wants_room() -> None:
    """What finishes or purges makes room; a new request has to be put on one side."""
    assert grows() == {
        *(Enqueue, EnqueueUnique, SubmitFlow, AddCallback, RetryFlow),
        *(TriggerSchedule, BackfillSchedule),
        SaySignal,  # it makes no task, and is kept as long as its flow
    }


def test_without_room_a_new_batch_is_refused_and_one_that_stands_is_acknowledged() -> None:
    one = RequestHarness()
    one.enqueue("old")
    one.commit()
    one.sent()
    one.disk.look(999, 0)
    one.enqueue("old", request=2)
    assert one.sent() == [Enqueued(2)]
    one.enqueue("new", request=3)
    assert one.sent() == [Refused(3, Code.QUEUE_FULL, one.disk.shortage)]
    assert one.done(PurgeQueue(4, "default"))
    one.disk.look(2_000, 0)
    one.enqueue("new", request=5)
    one.commit()
    assert one.sent() == [Enqueued(5)]


@pytest.fixture
def world() -> World:
    return World("a", "b", "c")


def _enqueue(world: World, leader: str, number: int) -> object:
    world.client(to=leader)
    _, spec, tasks, _ = enqueue(f"task-{number}")
    (said,) = world.ask(b"client", Enqueue(number, 1 << 52, spec, tasks), to=leader)
    return said


def _look(world: World, name: str, free: int) -> None:
    world.disks[name].look(free, world.now)


def test_brokers_tell_each_other_and_the_next_leader_knows_too(world: World) -> None:
    leader = world.elect()
    follower, _ = (name for name in world.names if name != leader)
    for name in (leader, follower):
        _look(world, name, 300 * MIB)
    world.run(100)  # long before the next hello
    refused = _enqueue(world, leader, 1)
    assert isinstance(refused, Refused)
    assert f"the disk of {follower} has 300 MiB free" in refused.text
    _look(world, follower, 2_000 * MIB)
    world.run(100)
    assert isinstance(_enqueue(world, leader, 2), Enqueued)


def test_a_broker_tells_its_room_and_its_clock_when_it_is_asked(world: World) -> None:
    leader = world.elect()
    _look(world, leader, 300 * MIB)
    (status,) = world.ask(b"x", StatusRequest(1), to=leader)
    assert isinstance(status, BrokerStatus)
    assert status.disk == DiskRoom(300 * MIB, RESERVE)
    assert abs(status.wall - (1_000_000 + world.now)) <= 50
