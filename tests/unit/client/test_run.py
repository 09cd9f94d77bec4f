"""Handles: results, failures, status."""

import _thread
import asyncio
import time
from typing import cast

import pytest

from raftwork import Status, TaskFailed, TaskLost, UnknownTask
from raftwork.client.reply import Reply
from raftwork.messages import Failure, Loss, Result, State, WorkerLostSaying, encode_failure
from raftwork.wire import pack
from tests.unit.client.cluster import app_and_cluster

FAILURE = encode_failure(Failure("ValueError", "no", "Traceback …"))


def test_a_value_is_unpacked_once_and_kept() -> None:
    app, cluster = app_and_cluster()
    cluster.states["t"] = Result("t", State.SUCCEEDED, pack([1, {"a": b"x"}]))
    run = app.run("t")
    assert run.result() == [1, {"a": b"x"}]
    assert run.result(timeout=0) is run.result()
    assert asyncio.run(run.aresult()) is run.result()


def test_waiting_for_many_results_costs_one_watch() -> None:
    app, cluster = app_and_cluster()
    runs = app.named("t").enqueue_many([(i,) for i in range(100)])
    cluster.states = {r.id: Result(r.id, State.SUCCEEDED, pack(i)) for i, r in enumerate(runs)}
    assert [run.result(1) for run in runs] == list(range(100))
    assert len(cluster.watched) == 1


def test_a_failure_is_raised_with_its_parts() -> None:
    app, cluster = app_and_cluster()
    cluster.states["t"] = Result("t", State.FAILED, FAILURE)
    for _ in range(2):
        with pytest.raises(TaskFailed) as raised:
            app.run("t").result()
        error = raised.value
        assert (error.type, error.message, error.traceback) == ("ValueError", "no", "Traceback …")


def test_a_lost_task_is_raised_as_lost() -> None:
    app, cluster = app_and_cluster()
    cluster.states["t"] = Result("t", State.LOST, FAILURE)
    with pytest.raises(TaskLost, match="no") as raised:
        app.run("t").result()
    assert (raised.value.id, raised.value.log) == ("t", "")


def test_a_lost_task_has_the_last_lines_that_are_known_of_it() -> None:
    app, cluster = app_and_cluster()
    ending = WorkerLostSaying(1, Loss("w1", signal=9), True, "at 9 of 10\nat 10 of 10")
    cluster.states["t"] = Result("t", State.LOST, encode_failure(ending))
    with pytest.raises(TaskLost, match="w1 lost the process") as raised:
        app.run("t").result()
    assert raised.value.log == "at 9 of 10\nat 10 of 10"


def test_an_unknown_id_is_an_error_and_may_become_known() -> None:
    app, cluster = app_and_cluster()
    run = app.run("t")
    cluster.states["t"] = Result("t", State.UNKNOWN, b"")
    with pytest.raises(UnknownTask, match="no task has the id t"):
        run.result()
    with pytest.raises(UnknownTask, match="no task has the id t"):
        run.status()
    cluster.states["t"] = Result("t", State.SUCCEEDED, pack(1))
    assert run.result() == 1


def test_a_forgotten_result_says_that_it_was_forgotten() -> None:
    app, cluster = app_and_cluster()
    cluster.states["t"] = Result("t", State.SUCCEEDED, b"", forgotten=True)
    run = app.run("t")
    assert run.status() is Status.SUCCEEDED
    with pytest.raises(UnknownTask, match="is no longer kept"):
        run.result()


def test_a_timeout_of_zero_asks_once() -> None:
    app, cluster = app_and_cluster()
    cluster.states["t"] = Result("t", State.RUNNING, b"")
    with pytest.raises(TimeoutError):
        app.run("t").result(timeout=0)
    with pytest.raises(UnknownTask):
        app.run("nosuch").result(timeout=0)
    cluster.slow = True  # asked for, it is pushed a moment later
    cluster.states["t"] = Result("t", State.SUCCEEDED, pack(1))
    assert app.run("t").result(timeout=0) == 1
    assert asyncio.run(app.run("t").aresult(timeout=0)) == 1


def test_waiting_too_long_is_the_builtin_timeout_and_leaves_nothing_behind() -> None:
    app, _ = app_and_cluster()
    run = app.run("t")
    with pytest.raises(TimeoutError, match=r"task t within 0\.001 s"):
        run.result(timeout=0.001)
    with pytest.raises(TimeoutError, match=r"task t within 0\.001 s"):
        asyncio.run(run.aresult(timeout=0.001))
    assert not run.waiters


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    app, _ = app_and_cluster()
    run = app.run("t")

    async def main() -> None:
        wait = asyncio.create_task(run.aresult())
        await asyncio.sleep(0)
        assert run.waiters
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait

    asyncio.run(main())
    assert not run.waiters


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.QUEUED, "queued"),
        (State.RUNNING, "running"),
        (State.SUCCEEDED, "succeeded"),
        (State.FAILED, "failed"),
        (State.LOST, "lost"),
    ],
)
def test_status_is_a_str_enum(state: State, status: str) -> None:
    app, cluster = app_and_cluster(timeout=3)
    cluster.states["t"] = Result("t", state, b"")
    assert app.run("t").status() == status
    assert asyncio.run(app.run("t").astatus()) is Status(status)
    assert cluster.timeouts == [3_000, 3_000]


def test_status_asks_nobody_once_the_outcome_is_known() -> None:
    app, cluster = app_and_cluster()
    cluster.states["t"] = Result("t", State.FAILED, FAILURE)
    run = app.run("t")
    with pytest.raises(TaskFailed):
        run.result()
    assert run.status() is Status.FAILED
    assert cluster.timeouts == []


def test_handles_are_equal_by_id() -> None:
    app, other = app_and_cluster()[0], app_and_cluster()[0]
    assert app.run("t") == other.run("t") != app.run("u")
    assert {app.run("t"), other.run("t")} == {app.run("t")}
    assert app.run("t") != "t"
    assert repr(app.run("t")) == "<Run t>"


@pytest.mark.parametrize(
    ("timeout", "error", "text"),
    [
        (-1, ValueError, "got -1$"),
        (float("nan"), ValueError, "got nan$"),
        (float("inf"), ValueError, "got inf .None waits for ever.$"),
        ("5", TypeError, "got str"),
        (True, TypeError, "got bool"),
    ],
)
def test_a_timeout_that_cannot_be_meant_is_refused_finished_or_not(
    timeout: float, error: type[Exception], text: str
) -> None:
    app, cluster = app_and_cluster()
    cluster.states["done"] = Result("done", State.SUCCEEDED, pack(1))
    done = app.run("done")
    assert done.result() == 1
    for run in (app.run("t"), done):
        with pytest.raises(error, match=text):
            run.result(timeout=timeout)
        with pytest.raises(error, match=text):
            asyncio.run(run.aresult(timeout=timeout))


def test_what_ends_a_wait_names_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = app_and_cluster()
    run = app.run("t")

    def interrupted(reply: Reply[Result], timeout: float | None) -> Result:
        raise KeyboardInterrupt

    monkeypatch.setattr(Reply, "result", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        run.result()
    assert any("task t" in note for note in raised.value.__notes__)


def test_no_wait_sleeps_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not look up from, no Ctrl-C may be lost in."""
    app, cluster = app_and_cluster()
    cluster.states["t"] = Result("t", State.SUCCEEDED, pack(1))
    asked: list[float] = []

    class Overlooking:
        """A lock that nobody releases in time, twice."""

        def acquire(self, timeout: float = -1) -> bool:
            asked.append(timeout)
            if len(asked) > 2:
                reply.tell(Result("t", State.SUCCEEDED, pack(1)))
            return len(asked) > 2

        def release(self) -> None:
            pass

    reply: Reply[Result] = Reply()
    reply._lock = cast("_thread.LockType", Overlooking())
    monkeypatch.setattr(cluster, "wait_for", lambda _: reply)
    run = app.run("t")
    run._wait(None)
    assert len(asked) == 3
    assert all(0 < timeout <= 1 for timeout in asked)


def test_turns_of_waiting_add_up_to_the_timeout_and_no_more() -> None:
    app, _ = app_and_cluster()
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 1\.2 s"):
        app.run("t").result(timeout=1.2)
    assert 1.2 <= time.monotonic() - began < 30
