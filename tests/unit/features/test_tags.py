"""Tags: the code of a task is told those that it was enqueued with, in every attempt."""

from raftwork.broker.machine.commands import Assign
from raftwork.features.effects import Assigned
from raftwork.features.enqueue import Enqueue
from raftwork.messages import (
    PROTOCOL,
    About,
    Extras,
    Push,
    PushedTask,
    Spec,
    WorkerHello,
    encode_spec,
)
from raftwork.wire import pack
from raftwork.worker.context import Context
from tests.unit.broker.request_harness import RequestHarness

WORKER = b"w" * 16


def hello(harness: RequestHarness, session: int) -> None:
    said = WorkerHello(PROTOCOL, "w", WORKER, session, "h", 1, 2, ["default"], [], False)
    harness.workers.hello(b"w", said, harness.now)


def pushed(harness: RequestHarness) -> PushedTask:
    (push,) = [m for _, m in harness.workers.frames() if isinstance(m, Push)]
    (task,) = push.tasks
    return task


def test_what_is_enqueued_with_tags_is_pushed_with_them_also_when_that_is_repeated() -> None:
    harness = RequestHarness()
    hello(harness, 1)
    extras = Extras(tags=[("customer", "7"), ("team", "billing")])
    spec = encode_spec(Spec("m.f", "default", retries=1))
    harness.say(Enqueue(1, 0, spec, pack([["a", b"args", "k", extras]])))
    harness.commit()
    (effect,) = harness.queues.effects(Assign(WORKER, [1]))
    assert isinstance(effect, Assigned)
    (waiting,) = [t for t in [harness.machine.running_body(1)] if t is not None]
    (worker,) = harness.workers.available()
    harness.workers.hand_out([(worker, waiting, 1, 1)])
    first = pushed(harness)
    assert first.about == About("k", extras.tags, None)
    hello(harness, 2)
    assert pushed(harness) == first
    assert Context("a", 1, 1, "w", first).tags == {"customer": "7", "team": "billing"}
