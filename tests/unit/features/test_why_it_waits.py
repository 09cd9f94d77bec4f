"""Why a task waits: each reason, when it holds and when it does not."""

from random import Random

import pytest

from raftwork.broker.machine.commands import Assign, Fail, Finish
from raftwork.features import why_it_waits
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.enqueue import Admit
from raftwork.features.flow_graph import KIND_BITS, EdgeKind, Graph, Node, encode_graph
from raftwork.features.flows import Grow
from raftwork.features.inspect_tasks import ShowTask, TaskShown
from raftwork.features.lanes import GoOn
from raftwork.features.limit_settings import ENDLESS
from raftwork.features.limit_settings import changes as limit_changes
from raftwork.features.limits import ConfigureLimit, PauseGates
from raftwork.features.pause_queue import Pause, Resume
from raftwork.features.queue_settings import Configure
from raftwork.features.queue_settings import changes as queue_changes
from raftwork.messages import (
    Extras,
    Failure,
    OnConflict,
    Spec,
    WorkerHello,
    encode_failure,
    encode_spec,
)
from raftwork.wire import pack
from tests.unit.broker.request_harness import RequestHarness


@pytest.fixture
def harness() -> RequestHarness:
    return RequestHarness()


def put(harness: RequestHarness, *ids: str, key: str = "", **options: object) -> None:
    spec = encode_spec(Spec(**{"name": "m.f", "queue": "default"} | options))  # type: ignore[arg-type]
    tasks = pack([[i, b"args", key] for i in ids])
    harness.queues.apply(Admit(harness.machine.time, spec, tasks))


def hello(harness: RequestHarness, name: str = "w1", slots: int = 1) -> bytes:
    incarnation = name.encode().ljust(16)
    said = WorkerHello(3, name, incarnation, 1, "h", 1, slots, ["default"], [], draining=False)
    harness.workers.hello(name.encode(), said, harness.now)
    return incarnation


def why(harness: RequestHarness, task: str) -> dict[str, str]:
    (answer,) = harness.told(ShowTask(1, task))
    assert isinstance(answer, TaskShown), answer
    return {reason.why: reason.text for reason in answer.waits}


def test_who_waits_for_its_time_is_told_when_that_is(harness: RequestHarness) -> None:
    put(harness, "a", delay=2_500)
    harness.view.time = harness.machine.time + 500  # nothing was applied since
    told = why(harness, "a")
    assert list(told) == ["scheduled", "no worker"]
    assert told["scheduled"].endswith(", in 1 s")


def test_who_waits_for_a_retry_is_told_when_that_is(harness: RequestHarness) -> None:
    put(harness, "a", retries=3)
    harness.queues.apply(Assign(b"w", [1]))
    failure = encode_failure(Failure("ValueError", "no", ""))
    harness.queues.apply(Fail(1, failure, harness.machine.time + 1_500))
    assert "failed 1 times" in why(harness, "a")["retry"]
    assert "in 1.5 s" in why(harness, "a")["retry"]


def test_a_time_beyond_all_dates_is_told_as_the_last_one(harness: RequestHarness) -> None:
    """A client chooses how long its retries pause; whoever looks at that must not end a leader."""
    put(harness, "a", retries=3)
    harness.queues.apply(Assign(b"w", [1]))
    harness.queues.apply(Fail(1, encode_failure(Failure("ValueError", "no", "")), 2**53))
    assert "its next attempt is due 9999-12-31 23:59:59 UTC" in why(harness, "a")["retry"]


def test_a_queue_without_a_worker(harness: RequestHarness) -> None:
    put(harness, "a")
    assert "may still say hello" in why(harness, "a")["no worker"]
    harness.view.all_heard = True
    assert why(harness, "a")["no worker"] == "no worker serves the queue default"
    hello(harness)
    assert "no worker" not in why(harness, "a")
    harness.workers.drain(harness.workers.named("w1")[0])
    assert "w1 drains" in why(harness, "a")["no worker"]


def test_a_name_that_nobody_knows(harness: RequestHarness) -> None:
    put(harness, "a")
    w1 = hello(harness)
    assert "unknown name" not in why(harness, "a")
    harness.workers.eligibility.does_not_know(w1, "m.f")
    assert "no worker of its queue knows m.f" in why(harness, "a")["unknown name"]
    hello(harness, "w2")
    assert why(harness, "a")["unknown name"] == "w1 does not know m.f"


def test_workers_that_are_shunned_or_rest(harness: RequestHarness) -> None:
    put(harness, "a")
    w1 = hello(harness)
    harness.workers.eligibility.lost(w1, 1)
    assert "it was lost under w1" in why(harness, "a")["shunned"]
    (worker,) = harness.workers.named("w1")
    for _ in range(3):
        worker.breaker.failed(harness.now, Random(1), unknown=False)
    assert why(harness, "a")["resting"].startswith("w1 rests for ")
    assert "busy" not in why(harness, "a")


def test_slots_that_are_all_taken_and_by_what(harness: RequestHarness) -> None:
    put(harness, "a", "b", name="m.long")
    put(harness, "c")
    hello(harness, slots=2)
    (worker,) = harness.workers.named("w1")
    assert "busy" not in why(harness, "c")
    worker.take(2)
    harness.queues.apply(Assign(worker.incarnation, [1, 2]))
    for token, task in enumerate(harness.machine.waiting_by([1, 2]), 1):
        harness.workers.hand_out([(worker, task, token, 1)])
    assert "all 2 slots" in why(harness, "c")["busy"]


def test_the_place_is_counted_up_to_a_bound(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(harness, *"abcd")
    assert why(harness, "a")["place"] == "it is the first in the queue default"
    assert why(harness, "b")["place"] == "1 task is before it in the queue default"
    assert why(harness, "d")["place"] == "3 tasks are before it in the queue default"
    monkeypatch.setattr(why_it_waits, "COUNTED_MAX", 2)
    assert why(harness, "d")["place"].startswith("at least 2 tasks are before it")


def test_who_waits_for_the_turn_of_its_key_is_told_behind_whom(harness: RequestHarness) -> None:
    put(harness, "a", "b", key="k", ordered=True, halts=True)
    assert why(harness, "a")["place"] == "it is the first in its lane of the queue default"
    told = why(harness, "b")
    assert told["order"] == "a of the same key k comes first, and has no outcome yet"
    assert "place" not in told
    harness.queues.apply(Assign(b"w", [1]))
    assert "order" in why(harness, "b")
    harness.queues.apply(Fail(1, encode_failure(Failure("ValueError", "no", "")), 0))
    told = why(harness, "b")
    assert "key k failed for good" in told["halted"]
    assert "place" not in told
    harness.queues.apply(GoOn("default", "k"))
    assert "place" in why(harness, "b")
    assert not {"order", "halted"} & {*why(harness, "b")}


def test_what_runs_waits_for_nothing(harness: RequestHarness) -> None:
    put(harness, "a")
    harness.queues.apply(Assign(b"w", [1]))
    assert why(harness, "a") == {}


def test_a_paused_queue_is_told_and_until_when(harness: RequestHarness) -> None:
    put(harness, "a")
    harness.queues.apply(Pause("default", 0))
    assert why(harness, "a")["paused"] == "its queue default is paused until it is resumed"
    harness.queues.apply(Pause("default", harness.machine.time + 1_500))
    assert why(harness, "a")["paused"].endswith(", in 1.5 s")
    harness.queues.apply(Resume("default"))
    assert "paused" not in why(harness, "a")


def test_who_follows_the_owner_of_its_unique_key_is_told_whom(harness: RequestHarness) -> None:
    spec = encode_spec(Spec("m.f", "default", on_conflict=OnConflict.RERUN))
    for task in "ab":
        rows = pack([[task, b"args", "", Extras(unique="k")]])
        harness.queues.apply(Admit(harness.machine.time, spec, rows))
        if task == "a":
            assert "unique" not in why(harness, "a")
            harness.queues.apply(Assign(b"w", [1]))
    told = why(harness, "b")
    assert told["unique"] == "a has the unique key k of m.f, and goes first"
    assert "blocked" not in told
    harness.queues.apply(Finish([(1, b"v")]))
    assert "unique" not in why(harness, "b")


def test_of_what_runs_it_is_told_that_it_is_asked_to_end(harness: RequestHarness) -> None:
    put(harness, "a")
    harness.queues.apply(Assign(b"w", [1]))
    harness.queues.apply(CancelSome(Scope.IDS, ["a"], "", "", 1_500, 0, 1, 10))
    assert list(why(harness, "a")) == ["cancelling"]
    assert why(harness, "a")["cancelling"].endswith(", in 1.5 s")


def test_who_waits_at_a_limit_is_told_which_and_what_opens_it(harness: RequestHarness) -> None:
    harness.queues.apply(ConfigureLimit("stripe", limit_changes(concurrency=1, per="key")))
    harness.queues.apply(ConfigureLimit("slow", limit_changes(rate="1/h")))
    put(harness, "a", "b", key="k", limits=("stripe",))
    assert "limit" not in why(harness, "a")
    harness.queues.apply(Assign(b"w", [1]))
    assert why(harness, "b")["limit"] == "limit stripe of k is full: 1 of 1 running"
    assert why(harness, "b")["place"] == "it is the first in its lane of the queue default"

    put(harness, "c", "d", limits=("slow",))
    harness.queues.apply(Assign(b"w", [3]))
    assert why(harness, "d")["limit"].startswith("limit slow is shut for a time: it opens ")
    assert why(harness, "d")["limit"].endswith(", in 1 h")
    harness.queues.apply(PauseGates("slow", ENDLESS))
    assert why(harness, "d")["limit"] == "limit slow is paused until somebody resumes it"
    harness.queues.apply(PauseGates("slow", harness.machine.time + 7_200_000))
    assert why(harness, "d")["limit"].startswith("limit slow is paused until ")
    assert why(harness, "d")["limit"].endswith(", in 2 h")


def test_a_queue_that_allows_no_more_is_told_as_a_limit(harness: RequestHarness) -> None:
    put(harness, "a", "b")
    harness.queues.apply(Assign(b"w", [1]))
    harness.queues.apply(Configure("default", queue_changes(concurrency=1)))
    assert why(harness, "b")["limit"] == "queue default is full: 1 of 1 running"
    harness.queues.apply(Configure("default", queue_changes(concurrency=2)))
    assert "limit" not in why(harness, "b")


# ---- flows --------------------------------------------------------------------------------------


def node(*sources: int, signal: str = "") -> Node:
    inputs = [source << KIND_BITS | EdgeKind.CARRIES.value for source in sources]
    return Node(0 if signal else 1, pack(None), inputs, signal=signal)


def test_who_waits_for_other_tasks_is_told_which(harness: RequestHarness) -> None:
    spec = encode_spec(Spec("m.f", "default"))
    whole = Node(0, pack(None), [5 << KIND_BITS])
    nodes = [*[node()] * 4, node(0), node(0, 1, 2, 3), whole]
    harness.queues.apply(
        Grow(harness.machine.time, "f", 1, False, encode_graph(Graph([spec], nodes)))
    )
    assert why(harness, "f/5")["blocked"] == "it waits for another task: f/1 (queued)"
    four = "f/1 (queued), f/2 (queued), f/3 (queued), …"
    assert why(harness, "f/6")["blocked"] == f"it waits for 4 other tasks: {four}"
    assert why(harness, "f") == {"blocked": f"it waits for 6 other tasks: {four}"}


def test_who_waits_for_a_signal_is_told_which(harness: RequestHarness) -> None:
    spec = encode_spec(Spec("m.f", "default"))
    nodes = [node(), node(0, signal="approved"), Node(0, pack(None), [1 << KIND_BITS])]
    harness.queues.apply(
        Grow(harness.machine.time, "f", 1, False, encode_graph(Graph([spec], nodes)))
    )
    assert why(harness, "f/2") == {"signal": "it waits for the signal approved"}
