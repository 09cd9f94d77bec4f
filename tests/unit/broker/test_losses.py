"""A process that dies under a task, as its worker tells it and the leader proposes it."""

from random import Random

from raftwork.broker.machine.commands import Assign, Lose
from raftwork.broker.workers.registry import WorkerRegistry
from raftwork.messages import (
    PROTOCOL,
    Failure,
    Held,
    Holding,
    Loss,
    Outcome,
    Report,
    State,
    WorkerHello,
    encode_failure,
)
from tests.unit.broker.queues import Queues, enqueue

ME = b"w" * 16
FAILURE = encode_failure(Failure("ProcessDied", "m", ""))


def test_a_process_that_died_under_a_task_is_a_loss_and_no_failure() -> None:
    queues = Queues()
    queues.apply(enqueue("a"), Assign(ME, [1]))
    registry = WorkerRegistry(queues.machine, 1, 0, Random(1))
    holding = [Holding(1, Held.RUNNING, 10)]
    hello = WorkerHello(PROTOCOL, "w", ME, 1, "h", 1, 1, ["default"], holding, False)
    registry.hello(b"w", hello, 0)
    loss = Loss("who", signal=9, memory=1_000)  # its name is the leader's to say
    report = Report(1, [], [Outcome(1, False, FAILURE, loss=loss)], [], 0)
    assert registry.report(b"w", report, 10, queues.time)
    (command,) = registry.commands()
    assert command == Lose([(1, True)], loss._replace(worker="w"))
    queues.apply(command)
    assert queues.machine.states(["a"]) == [State.QUEUED]
    assert queues.machine.waiting("default", 0, 1, 1)[0].losses == 1
