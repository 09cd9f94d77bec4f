"""Progress: a leader knows what running tasks said last, and nothing of any other."""

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.features.effects import Assigned
from raftwork.features.progress import AskProgress, ProgressTold, TellProgress, Told
from raftwork.messages import PROTOCOL, Code, Refused, WorkerHello
from tests.unit.broker.request_harness import RequestHarness


@pytest.fixture
def harness() -> RequestHarness:
    """Task `a` runs under token 1, `b` waits."""
    harness = RequestHarness()
    harness.enqueue("a", "b")
    harness.commit()
    harness.sent()
    hello = WorkerHello(PROTOCOL, "w", b"w" * 16, 1, "h", 1, 2, ["default"], [], False)
    harness.workers.hello(b"w", hello, harness.now)
    (effect,) = harness.queues.effects(Assign(b"w" * 16, [1]))
    assert isinstance(effect, Assigned)
    worker = harness.workers.available()[0]
    (task,) = [t for t in [harness.machine.running_body(1)] if t is not None]
    harness.workers.hand_out([(worker, task, 1, 1)])
    return harness


def tell(harness: RequestHarness, *told: Told, session: int = 1) -> bool:
    frame = TellProgress(session, list(told))
    return harness.workers.receive(b"w", frame, harness.now, 5_000)


def asked(harness: RequestHarness, task: str) -> object:
    harness.say(AskProgress(3, task))
    harness.barrier()
    (answer,) = harness.sent()
    return answer


def test_what_a_running_task_said_last_is_told_with_its_time(harness: RequestHarness) -> None:
    assert tell(harness, Told(1, 0.25, "soon", 400))
    assert tell(harness, Told(1, 0.5, "half", 300))
    assert asked(harness, "a") == ProgressTold(3, 0.5, "half", 4_700)


def test_of_what_does_not_run_or_says_nothing_there_is_none(harness: RequestHarness) -> None:
    assert asked(harness, "a") == asked(harness, "b") == ProgressTold(3, 0.0, "", 0)


def test_an_unknown_task_is_refused_by_name(harness: RequestHarness) -> None:
    answer = asked(harness, "nobody")
    assert isinstance(answer, Refused)
    assert answer.code is Code.UNKNOWN_TASK


def test_it_goes_with_the_attempt(harness: RequestHarness) -> None:
    tell(harness, Told(1, 0.5, "half", 0))
    harness.workers.closed(1)
    assert asked(harness, "a") == ProgressTold(3, 0.0, "", 0)


@pytest.mark.parametrize(
    "told", [Told(2, 0.5, "", 0), Told(1, 1.5, "", 0), Told(1, float("nan"), "", 0)]
)
def test_what_is_anothers_or_means_nothing_is_dropped(harness: RequestHarness, told: Told) -> None:
    assert tell(harness, told, Told(1, 0.5, "x" * 513, 0))
    assert asked(harness, "a") == ProgressTold(3, 0.0, "", 0)


def test_an_older_session_says_nothing(harness: RequestHarness) -> None:
    assert not tell(harness, Told(1, 0.5, "half", 0), session=0)
