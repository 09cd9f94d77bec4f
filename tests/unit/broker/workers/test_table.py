"""The table of workers is bounded, whatever says hello."""

import pytest

from raftwork.broker.workers import table as module
from raftwork.messages import (
    Code,
    Held,
    Holding,
    Outcome,
    Refused,
    State,
    WorkerWelcome,
)
from tests.unit.broker.floor import ME, OTHER, Floor


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.hello()
    floor.sent()
    return floor


def test_a_connection_has_one_worker_however_often_it_says_hello(floor: Floor) -> None:
    """5,000 hellos of as many incarnations over one connection left 5,000 workers."""
    for number in range(50):
        floor.hello(me=f"{number}".encode().ljust(16, b"."), routing=b"flood")
    assert len(floor.force._workers) == 2
    assert floor.report(routing=b"w")
    assert floor.report(routing=b"flood")


def test_a_worker_that_holds_tasks_outlives_its_connections_next_worker(floor: Floor) -> None:
    (token,) = floor.give()
    floor.hello(me=OTHER)
    assert token in floor.force._workers[ME].assignments
    floor.hello(2, Holding(token, Held.RUNNING, 5), routing=b"again")
    assert floor.report(Outcome(token, True, b"v"), session=2, routing=b"again")
    floor.commit()
    assert floor.state() is State.SUCCEEDED


def test_a_full_table_forgets_the_lost_first_and_then_refuses(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORKERS_MAX", 3)
    names = [f"{number}".encode().ljust(16, b".") for number in range(4)]
    for me in names[:2]:
        floor.hello(me=me, routing=me)
    floor.force.goodbye(names[0], 1, floor.now)
    floor.sent()
    floor.hello(me=names[2], routing=names[2])
    assert len(floor.frames(WorkerWelcome)) == 1
    assert set(floor.force._workers) == {ME, names[1], names[2]}
    floor.hello(me=names[3], routing=names[3])
    (refused,) = floor.frames(Refused)
    assert refused.code is Code.QUEUE_FULL and "3 workers" in refused.text
    assert names[3] not in floor.force._workers
    floor.hello(2, me=names[1], routing=b"back")  # who is known comes back at any time
    assert floor.report(session=2, routing=b"back")
