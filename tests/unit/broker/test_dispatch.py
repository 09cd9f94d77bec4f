"""The dispatcher: every waiting task is proposed to one worker, once."""

from random import Random
from typing import cast

import apsw

from raftwork.broker.balancers import RoundRobin
from raftwork.broker.dispatch import Dispatcher
from raftwork.broker.queue import Machine, create_tables
from raftwork.broker.queue.commands import Assign, Enqueue, Queued, encode_batch
from raftwork.broker.workforce import Worker
from raftwork.messages import Spec, encode_spec
from raftwork.wire import pack

SPEC = encode_spec(Spec("t", "q"))


def machine() -> Machine:
    db = apsw.Connection(":memory:")
    create_tables(db)
    return Machine(db)


def enqueue(queue: Machine, *ids: str) -> Queued:
    tasks = pack([[id_, b""] for id_ in ids])
    applied = queue.apply(encode_batch(0, [Enqueue(0, SPEC, tasks)]))
    (effect,) = applied.effects
    return cast("Queued", effect)


def numbers(assigns: list[Assign]) -> list[int]:
    return [seq for assign in assigns for seq in assign.seqs]


def test_a_task_whose_assign_is_not_applied_yet_is_not_handed_out_again() -> None:
    queue = machine()
    dispatcher = Dispatcher(queue, RoundRobin(Random(1)))
    worker = Worker(b"w", 0, slots=10, queues=frozenset("q"))
    dispatcher.queued(enqueue(queue, "first"))
    first = numbers(dispatcher.plan([worker]))
    dispatcher.stirred = True
    assert dispatcher.plan([worker]) == []
    dispatcher.queued(enqueue(queue, "second"))
    second = numbers(dispatcher.plan([worker]))
    assert len(first) == len(second) == 1
    assert first != second
