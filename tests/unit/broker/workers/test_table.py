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
from tests.unit.broker.registry_harness import ME, OTHER, RegistryHarness


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    harness.sent()
    return harness


def test_a_connection_has_one_worker_however_often_it_says_hello(harness: RegistryHarness) -> None:
    """5,000 hellos of as many incarnations over one connection left 5,000 workers."""
    for number in range(50):
        harness.hello(me=f"{number}".encode().ljust(16, b"."), routing=b"flood")
    assert len(harness.registry._workers) == 2
    assert harness.report(routing=b"w")
    assert harness.report(routing=b"flood")


def test_a_worker_that_holds_tasks_outlives_its_connections_next_worker(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    harness.hello(me=OTHER)
    assert token in harness.registry._workers[ME].assignments
    harness.hello(2, Holding(token, Held.RUNNING, 5), routing=b"again")
    assert harness.report(Outcome(token, True, b"v"), session=2, routing=b"again")
    harness.commit()
    assert harness.state() is State.SUCCEEDED


def test_a_full_table_forgets_the_lost_first_and_then_refuses(
    harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORKERS_MAX", 3)
    names = [f"{number}".encode().ljust(16, b".") for number in range(4)]
    for me in names[:2]:
        harness.hello(me=me, routing=me)
    harness.registry.goodbye(names[0], 1, harness.now)
    harness.sent()
    harness.hello(me=names[2], routing=names[2])
    assert len(harness.frames(WorkerWelcome)) == 1
    assert set(harness.registry._workers) == {ME, names[1], names[2]}
    harness.hello(me=names[3], routing=names[3])
    (refused,) = harness.frames(Refused)
    assert refused.code is Code.QUEUE_FULL and "3 workers" in refused.text
    assert names[3] not in harness.registry._workers
    harness.hello(2, me=names[1], routing=b"back")  # who is known comes back at any time
    assert harness.report(session=2, routing=b"back")
