"""Overload in a workforce: who is given nothing, for how long, and what status says of it."""

import pytest

from raftwork.broker.placement.eligibility import ANYWHERE
from raftwork.broker.workers.registry import BEAT_MS, LEASE_MS
from raftwork.messages import Heartbeat
from tests.unit.broker.floor import ME, OTHER, Floor


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.hello()
    return floor


def beat(floor: Floor, routing: bytes, memory: float) -> None:
    told = Heartbeat(1, 0.5, memory, 0.0, 0, 0, False, 0.5, 0, 0.0, 0)
    assert floor.force.heartbeat(routing, told, floor.now)
    floor.pass_time(BEAT_MS)


def serving(floor: Floor) -> dict[bytes, bool]:
    excluded = floor.force.eligibility.excluded("default", ANYWHERE, spares=True)
    return {w.incarnation: w.incarnation not in excluded for w in floor.force.available()}


def test_an_overloaded_worker_gets_nothing_while_another_serves_its_queues(floor: Floor) -> None:
    floor.hello()
    floor.hello(me=OTHER, routing=b"v")
    beat(floor, b"w", 1.0)
    assert serving(floor) == {ME: False, OTHER: True}
    (status, _) = floor.force.statuses()
    assert status.reason == "overloaded: 100% of its memory is in use"
    assert (status.state, status.cpu, status.others, status.terms.memory) == (
        "active",
        0.5,
        0.0,
        0.0,
    )
    beat(floor, b"v", 1.0)
    assert serving(floor) == {ME: True, OTHER: True}  # nobody else is left


def test_a_worker_that_may_serve_again_stirs_the_dispatcher(floor: Floor) -> None:
    floor.hello()
    floor.hello(me=OTHER, routing=b"v")
    beat(floor, b"w", 1.0)
    told = Heartbeat(1, 0.0, 0.1, 0.0, 0, 0, False)
    assert floor.force.heartbeat(b"w", told, floor.now)
    assert not floor.force.pass_time(floor.now, floor.queues.time)
    floor.now += BEAT_MS
    assert floor.force.pass_time(floor.now, floor.queues.time)
    assert serving(floor) == {ME: True, OTHER: True}


def test_a_lost_or_draining_worker_gives_no_reason_of_its_load(floor: Floor) -> None:
    floor.hello()
    beat(floor, b"w", 1.0)
    floor.pass_time(LEASE_MS + BEAT_MS)
    (status,) = floor.force.statuses()
    assert (status.state, status.reason) == ("lost", "")
