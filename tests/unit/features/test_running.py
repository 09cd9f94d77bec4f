"""What runs, the longest first: of a leader that knows it from its workers alone."""

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.features import from_broker
from raftwork.features.effects import Assigned
from raftwork.features.progress import Said, TellProgress, Told
from raftwork.features.running import ListRunning, RunningTold
from raftwork.messages import PROTOCOL, Report, Started, WorkerHello
from tests.unit.broker.request_harness import RequestHarness


@pytest.fixture
def harness() -> RequestHarness:
    """`a` and `b` run on w1, `c` on w2; `d` is at w1 and has not begun, `e` waits."""
    harness = RequestHarness()
    harness.enqueue("a", "b", "c", "d", "e")
    harness.commit()
    harness.sent()
    for name, seqs, ages in (("w1", [1, 2, 4], [50, 90]), ("w2", [3], [70])):
        route, incarnation = name.encode(), name.encode() * 8
        hello = WorkerHello(PROTOCOL, name, incarnation, 1, "h", 1, 3, ["default"], [], False)
        harness.workers.hello(route, hello, harness.now)
        (effect,) = harness.queues.effects(Assign(incarnation, seqs))
        assert isinstance(effect, Assigned)
        (worker,) = harness.workers.named(name)
        bodies = [harness.machine.running_body(token) for token, *_ in effect.tasks]
        tasks = [task for task in bodies if task is not None]
        hands = zip(tasks, effect.tasks, strict=True)
        harness.workers.hand_out([(worker, task, token, 1) for task, (token, *_) in hands])
        started = [
            Started(token, age) for (token, *_), age in zip(effect.tasks, ages, strict=False)
        ]
        harness.workers.report(route, Report(1, started, [], [], 0), harness.now, 5_000)
    harness.now += 1_000
    harness.workers.pass_time(harness.now, 6_000)
    return harness


def asked(harness: RequestHarness, limit: int = 10, **more: str) -> RunningTold:
    (sent,) = harness.told(ListRunning(1, limit, **more))
    answer = from_broker.decode(from_broker.encode(sent))
    assert isinstance(answer, RunningTold), answer
    return answer


def test_what_runs_is_told_the_longest_first_with_its_worker_and_progress(
    harness: RequestHarness,
) -> None:
    harness.workers.receive(b"w1", TellProgress(1, [Told(1, 0.5, "half", 0)]), harness.now, 6_000)
    told = asked(harness)
    assert [(t.id, t.worker, t.run_ms) for t in told.tasks] == [
        *(("b", "w1", 1_090), ("c", "w2", 1_070), ("a", "w1", 1_050)),
    ]
    assert (told.running, told.held) == (3, 1)
    assert (told.tasks[2].name, told.tasks[2].queue, told.tasks[2].attempt) == ("job", "default", 1)
    assert [t.progress for t in told.tasks] == [None, None, Said(0.5, "half", 6_000)]


def test_a_page_is_bounded_and_says_how_many_there_are(harness: RequestHarness) -> None:
    told = asked(harness, 1)
    assert ([t.id for t in told.tasks], told.running) == (["b"], 3)


def test_it_is_of_one_worker_or_one_queue_if_that_is_asked_for(harness: RequestHarness) -> None:
    assert [t.id for t in asked(harness, worker="w2").tasks] == ["c"]
    assert asked(harness, worker="w1").held == 1
    assert asked(harness, queue="other") == RunningTold(1, [], 0, 0, harness.view.time)


def test_what_is_asked_to_end_says_so_and_what_ended_is_none(harness: RequestHarness) -> None:
    harness.workers.cancel(2)
    harness.workers.closed(1)
    assert [(t.id, t.cancelling) for t in asked(harness).tasks] == [("b", True), ("c", False)]
