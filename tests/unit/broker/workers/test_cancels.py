"""A worker is told which of its tasks are to end: behind their push, and anew in every session."""

import pytest

from raftwork.broker.machine.commands import Release
from raftwork.features.cancel import CancelRuns, CancelSome, Scope
from raftwork.features.effects import CancelAsked
from raftwork.messages import Held, Holding, Outcome, Push, State, Stop
from tests.unit.broker.registry_harness import FAILURE, RegistryHarness


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    return harness


def cancel(harness: RegistryHarness, *ids: str, grace: int = 10_000) -> None:
    command = CancelSome(Scope.IDS, list(ids), "", "", grace, 0, 1 << 40, 1_000)
    for effect in harness.queues.effects(command):
        if isinstance(effect, CancelAsked):
            harness.registry.cancel(effect.token)


def told(harness: RegistryHarness) -> list[list[int]]:
    return [frame.tokens for frame in harness.frames(CancelRuns)]


def test_it_is_told_behind_the_push(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    cancel(harness, "0")
    kinds = [type(m) for _, m in harness.sent()]
    assert kinds[-2:] == [Push, CancelRuns]
    cancel(harness, "0")
    assert told(harness) == []  # once
    assert token


def test_a_connection_that_takes_nothing_is_told_once_it_has_the_task(
    harness: RegistryHarness,
) -> None:
    harness.sent()
    (token,) = harness.give()
    harness.room = False
    cancel(harness, "0")
    assert harness.sent() == []
    harness.room = True
    kinds = [(type(m), m) for _, m in harness.sent()]
    assert [kind for kind, _ in kinds][:2] == [Push, CancelRuns]
    assert kinds[1][1] == CancelRuns(1, 1, [token])


def test_it_is_told_again_in_a_new_session_and_by_a_new_leader(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    cancel(harness, "0")
    assert told(harness) == [[token]]
    harness.hello(2, Holding(token, Held.RUNNING, 5))
    assert told(harness) == [[token]]
    harness.new_leader()
    harness.hello(3, Holding(token, Held.WAITING, 0))
    assert told(harness) == [[token]]
    harness.hello(4, Holding(token, Held.DONE, 0))
    assert told(harness) == []


def test_what_never_arrived_is_not_sent_again_but_ends(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    cancel(harness, "0")
    harness.new_leader()
    harness.hello(2)
    assert harness.frames(Push) == []
    assert harness.commit() == [Release([token])]
    assert harness.state() is State.CANCELLED


def test_what_is_handed_back_or_fails_ends_and_frees_its_slot(harness: RegistryHarness) -> None:
    first, second = harness.give(2)
    cancel(harness, "0", "1")
    harness.report(Outcome(first, False, FAILURE), released=[second])
    harness.commit()
    assert [harness.state(each) for each in "01"] == [State.CANCELLED] * 2
    (worker,) = harness.registry.available()
    assert worker.free_slots == 2


def test_at_the_end_of_the_grace_it_is_stopped(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    cancel(harness, "0", grace=50)
    harness.sent()
    harness.queues.time += 50
    harness.commit()
    assert [frame.tokens for frame in harness.frames(Stop)] == [[token]]
    assert harness.state() is State.CANCELLED
