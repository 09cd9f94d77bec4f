"""Waits over a real machine: since when what waits is ready, and for how long it was."""

import pytest

from raftwork.broker.machine.commands import Assign, Fail
from raftwork.broker.oldest_waits import oldest_waits
from raftwork.features.enqueue import Admit
from raftwork.messages import Failure, Spec, encode_failure, encode_spec
from raftwork.wire import pack
from tests.unit.broker.queues import SPEC, Queues, enqueue

W = b"incarnation"


@pytest.fixture
def queues() -> Queues:
    made = Queues()
    made.machine.state.journal.on = True
    return made


def waited(queues: Queues, queue: str = "default") -> tuple[int, int]:
    ledger = queues.machine.state
    ledger.journal.drain()
    found = ledger.journal.waits.told().get(queue)
    return (0, 0) if found is None else (sum(found.counts), found.sum_ms)


def at(queues: Queues, time: int) -> Queues:
    queues.time = time
    return queues


def test_a_wait_is_from_ready_to_assigned_at_each_hand_out(queues: Queues) -> None:
    queues.apply(enqueue("a", "b", spec=SPEC._replace(retries=1)))
    at(queues, 1_500).apply(Assign(W, [1, 2]))
    assert waited(queues) == (2, 1_000)
    failure = encode_failure(Failure("E", "no", ""))
    at(queues, 2_000).apply(Fail(1, failure, 9_000))
    assert waited(queues) == (2, 1_000)
    at(queues, 9_000).apply()  # its backoff is over
    at(queues, 9_030).apply(Assign(W, [1]))
    assert waited(queues) == (3, 1_030)


def test_a_delay_is_no_wait_and_a_lane_is(queues: Queues) -> None:
    delayed = encode_spec(SPEC._replace(delay=5_000))
    queues.apply(Admit(1_000, delayed, pack([["a", b"p"]])))
    queues.apply(enqueue("b", spec=SPEC._replace(priority=SPEC.priority + 1)))
    assert oldest(queues) == {"default": 1_000}
    at(queues, 2_000).apply(Assign(W, [2]))
    assert waited(queues) == (1, 1_000)
    assert oldest(queues) == {}
    at(queues, 6_000).apply()
    assert oldest(queues) == {"default": 6_000}
    at(queues, 6_200).apply(Assign(W, [1]))
    assert waited(queues) == (2, 1_200)


def oldest(queues: Queues) -> dict[str, int]:
    queues.machine.state.journal.drain()
    return oldest_waits(queues.machine.state)


def test_of_each_queue_the_oldest_is_told(queues: Queues) -> None:
    queues.apply(enqueue("a"))
    at(queues, 2_000).apply(enqueue("b"), enqueue("c", spec=Spec("job", "mail")))
    assert oldest(queues) == {"default": 1_000, "mail": 2_000}
    at(queues, 3_000).apply(Assign(W, [1]))
    assert oldest(queues) == {"default": 2_000, "mail": 2_000}


def test_of_a_task_that_was_ready_later_and_is_forgotten_nothing_is_counted(queues: Queues) -> None:
    """Else its delay would be a wait: the ordinary one before it was ready long ago."""
    queues.apply(enqueue("a"))
    queues.apply(enqueue("b", spec=SPEC._replace(delay=5_000)))
    at(queues, 6_000).apply()
    queues.machine.state.journal.drain()
    queues.machine.state.journal.waits._others.clear()
    queues.apply(Assign(W, [2]))
    assert waited(queues) == (0, 0)
