"""The contract of concurrent.futures, over a cluster in this process."""

import asyncio
import functools
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent import futures
from datetime import date, timedelta
from typing import Any

import pytest

from raftwork import NotSerializable, PayloadTooLarge, Run, Status, Unavailable, current
from raftwork.executor import Executor, RemoteTraceback, RunFuture
from raftwork.testing.virtual_app import VirtualApp, installed

HERE = [threading.main_thread]
begun: list[object] = []


def add(x: int, y: int = 0) -> int:
    return x + y


def told(*args: object, **kwargs: object) -> list[object]:
    return [list(args), kwargs]


def same(value: object) -> object:
    return value


def fails(kind: str) -> None:
    errors: dict[str, BaseException] = {
        "zero": ZeroDivisionError("division by zero"),
        "key": KeyError("a"),
        "os": FileNotFoundError(2, "No such file", "x"),
        "own": Own(1, date(2027, 1, 1)),
        "exit": SystemExit(3),
    }
    raise errors[kind]


class Own(Exception):
    def __init__(self, code: int, day: date) -> None:
        super().__init__(code, day)
        self.code = code


class Thing:
    def __init__(self, value: int) -> None:
        self.value = value

    def double(self) -> int:
        return 2 * self.value


def begin(what: object) -> None:
    begun.append(what)


@pytest.fixture
def app() -> Iterator[VirtualApp]:
    begun.clear()
    with installed() as made:
        yield made


@pytest.fixture
def executor(app: VirtualApp) -> Iterator[Executor]:
    with Executor(app, max_workers=3) as made:
        yield made


def test_functions_are_called_with_any_keywords(executor: Executor) -> None:
    assert executor.submit(add, 2, y=3).result() == 5
    assert executor.submit(pow, 2, 5).result() == 32
    named = executor.submit(told, 1, self=2, fn=3).result()
    assert named == [[1], {"self": 2, "fn": 3}]
    assert executor.submit(functools.partial(add, 1), 2).result() == 3
    assert list(executor.map(add, [1, 2], [3, 4])) == [4, 6]


def test_what_goes_by_reference_obeys_the_wire_and_what_is_pickled_does_not(
    executor: Executor, app: VirtualApp
) -> None:
    assert executor.submit(same, (1, [2])).result() == [1, [2]]
    day = date(2027, 1, 1)
    assert executor.submit(same, day).result() == day  # no plain value: pickled
    assert executor.submit(lambda x: x + 1, 2).result() == 3
    assert executor.submit(Thing(4).double).result() == 8
    with Executor(app, pickle=True) as always:
        assert always.submit(same, (1, {2})).result() == (1, {2})
    with Executor(app, pickle=False) as never:
        with pytest.raises(NotSerializable, match="pickle=False forbids"):
            never.submit(same, day)
        with pytest.raises(NotSerializable, match="cannot be found by its name"):
            never.submit(lambda: 1)
        assert never.submit(same, 1).result() == 1


def test_the_original_exception_comes_back(executor: Executor, app: VirtualApp) -> None:
    with pytest.raises(ZeroDivisionError, match="division by zero") as zero:
        executor.submit(fails, "zero").result()
    assert type(zero.value.__cause__) is RemoteTraceback
    assert "in fails" in str(zero.value.__cause__)
    with pytest.raises(KeyError) as key:
        executor.submit(fails, "key").result()
    assert key.value.args == ("a",)
    with pytest.raises(FileNotFoundError) as missing:
        executor.submit(fails, "os").result()
    assert missing.value.errno == 2
    assert isinstance(executor.submit(fails, "exit").exception(), SystemExit)
    by_words = executor.submit(fails, "own").exception()
    assert (type(by_words).__name__, getattr(by_words, "type", "")) == ("TaskFailed", "Own")
    with Executor(app, pickle=True) as always:
        own = always.submit(fails, "own").exception()
    assert isinstance(own, Own) and own.code == 1


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_no_executor(app: VirtualApp, workers: int) -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        Executor(app, workers)
    assert Executor(app, 7)._max_workers == 7


def test_after_shutdown_nothing_is_taken_and_no_thread_is_left(app: VirtualApp) -> None:
    executor = Executor(app)
    waits = [executor.submit(add, n) for n in range(5)]
    executor.shutdown()
    assert [each.result(0) for each in waits] == [0, 1, 2, 3, 4]
    # Its own alone: those of other tests' executors end when they like.
    assert executor._thread is not None and not executor._thread.is_alive()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(add, 1)
    executor.shutdown()
    Executor(app).shutdown()


def test_what_was_not_sent_is_cancelled_for_nothing(app: VirtualApp) -> None:
    executor = Executor(app, max_workers=1)
    held, going = threading.Event(), threading.Event()

    def hold() -> None:
        going.set()
        held.wait(10)

    HERE[0] = hold  # type: ignore[assignment]
    first = executor.submit(call_here)
    submitted = [executor.submit(begin, n) for n in range(20)]
    going.wait(10)
    assert submitted[5].cancel() and submitted[5].cancelled()
    executor.shutdown(wait=False, cancel_futures=True)
    held.set()
    executor.shutdown()
    futures.wait([first, *submitted], timeout=5)
    assert first.exception(0) is None
    assert all(each.cancelled() for each in submitted)
    assert begun == []


def test_none_is_sent_between_the_shutdown_and_its_cancellation(
    app: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be cancelled in the cluster then, and a shutdown without a wait would wait."""
    executor = Executor(app, max_workers=1)
    held, locked = threading.Event(), list[bool]()
    HERE[0] = lambda: held.wait(10)  # type: ignore[assignment,return-value]
    executor.submit(call_here)
    waits = executor.submit(add, 1)
    cancel = RunFuture.cancel

    def look(future: RunFuture[Any]) -> bool:
        locked.append(executor._lock._is_owned())  # type: ignore[attr-defined]
        return cancel(future)

    monkeypatch.setattr(RunFuture, "cancel", look)
    executor.shutdown(wait=False, cancel_futures=True)
    held.set()
    executor.shutdown()
    assert locked == [True] and waits.cancelled()


def test_what_was_submitted_first_is_on_its_way_at_once(app: VirtualApp) -> None:
    """Fifty calls and a shutdown came before the thread had begun: none of them ran."""
    executor = Executor(app, max_workers=2)
    submitted = [executor.submit(same, n) for n in range(50)]
    executor.shutdown(cancel_futures=True)
    done = [each for each in submitted if not each.cancelled()]
    assert len(done) >= 2 and all(each.result(0) is not None for each in done)


def test_what_waits_in_the_queue_is_cancelled_there(app: VirtualApp) -> None:
    future: RunFuture[None] = RunFuture(threading.RLock())
    future._withheld, future._handle = False, app.enqueue("any")
    future._sent.set()
    assert future.cancel() and future.cancelled()
    assert app.run(str(future.run_id)).status() == "cancelled"
    assert app.run_until_idle() == 0


def test_a_task_that_was_cancelled_is_a_cancelled_future_and_nobody_is_asked(
    app: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread asked the cluster, and where nothing answered the future's value was None."""

    async def cancelled(calls: Any) -> list[Run[Any]]:
        runs = app.enqueue_all(calls)
        assert app.cancel(ids=[run.id for run in runs]) == 1
        return runs

    asked: list[str] = []

    def unavailable(run: Run[Any], *_: object) -> Status:
        asked.append(run.id)
        raise Unavailable("no leader")

    monkeypatch.setattr(app, "aenqueue_all", cancelled)
    monkeypatch.setattr(Run, "status", unavailable)
    with Executor(app) as executor:
        future = executor.submit(add, 1)
        with pytest.raises(futures.CancelledError):
            future.result(10)
        assert futures.wait([future], 10).done and future.cancelled()
    assert asked == []


def test_a_callback_in_the_executors_own_thread_cancels_another_call(
    app: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    aresult, sent = Run.aresult, list[Run[Any]]()

    async def enqueued(calls: Any) -> list[Run[Any]]:
        """The second one waits in the cluster."""
        runs = app.enqueue_all(calls)
        sent.extend(runs)
        if len(sent) == 2:
            assert sent[1].reschedule(at=app.now + timedelta(hours=1))
        return runs

    async def awaited(run: Run[Any]) -> Any:
        # Virtual time does not pass for it.
        while run.status() not in (Status.SUCCEEDED, Status.CANCELLED):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return await aresult(run)

    cancelled: list[object] = []

    def cancel(_: object) -> None:
        cancelled.extend((threading.current_thread(), second.cancel(), second.cancelled()))

    monkeypatch.setattr(app, "aenqueue_all", enqueued)
    monkeypatch.setattr(Run, "aresult", awaited)
    with Executor(app, max_workers=2) as executor:
        first, second = executor.submit(add, 1), executor.submit(add, 2)
        first.add_done_callback(cancel)
        assert second._sent.wait(10)
        app.run_until_idle()
        assert first.result(10) == 1
        assert second in futures.wait([second], 10).done
        assert cancelled == [executor._thread, True, True]


def test_a_callback_does_not_wait_for_what_its_own_thread_has_to_send(app: VirtualApp) -> None:
    gate, cancelled = threading.Event(), list[object]()

    def cancel(_: object) -> None:
        cancelled.extend((threading.current_thread(), second.cancel()))

    HERE[0] = lambda: gate.wait(10)  # type: ignore[assignment,return-value]
    with Executor(app, max_workers=2) as executor:
        first, second = executor.submit(call_here), executor.submit(add, 2)
        first.add_done_callback(cancel)
        gate.set()
        assert second.result(5) == 2
        assert cancelled == [executor._thread, False]


def test_what_has_begun_is_not_cancelled(app: VirtualApp) -> None:
    executor = Executor(app, max_workers=1)
    found: list[bool] = []

    def look() -> None:
        found.extend((future.running(), future.cancel(), current().cancelled))

    ready = threading.Event()

    def wait_and_look() -> None:
        ready.wait(5)
        look()

    HERE[0] = wait_and_look  # type: ignore[assignment]
    future = executor.submit(call_here)
    ready.set()
    future.result(10)
    executor.shutdown()
    assert found == [True, False, False]
    assert future.done() and not future.cancel()


def call_here() -> None:
    HERE[0]()


def test_an_initializer_runs_once_in_each_process(app: VirtualApp) -> None:
    with Executor(app, initializer=begin, initargs=("x",)) as executor:
        assert list(executor.map(same, range(3))) == [0, 1, 2]
    assert begun, "each virtual worker is a process of its own here"
    assert set(begun) == {"x"}


def test_a_failing_initializer_breaks_the_executor(
    app: VirtualApp, caplog: pytest.LogCaptureFixture
) -> None:
    executor = Executor(app, max_workers=1, initializer=fails, initargs=("zero",))
    submitted = [executor.submit(add, n) for n in range(3)]
    for each in submitted:
        assert isinstance(each.exception(10), futures.BrokenExecutor)
    with pytest.raises(futures.BrokenExecutor):
        executor.submit(add, 1)
    executor.shutdown()
    assert executor._broken
    (record,) = [each for each in caplog.records if each.name == "concurrent.futures"]
    assert record.levelname == "CRITICAL" and "ZeroDivisionError" in record.getMessage()


def test_errors_of_the_cluster_are_of_that_future_alone(
    executor: Executor, app: VirtualApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(_calls: object) -> list[Any]:
        raise Unavailable("no leader")

    with monkeypatch.context() as patched:
        patched.setattr(app, "aenqueue_all", unavailable)
        assert isinstance(executor.submit(add, 1).exception(5), Unavailable)
    assert executor.submit(add, 1).result() == 1
    with pytest.raises(PayloadTooLarge):
        executor.submit(same, b"x" * 1_100_000)


def test_nobody_keeps_arguments_or_results(executor: Executor) -> None:
    thing = Thing(1)
    seen = weakref.ref(thing)
    future = executor.submit(same, thing)
    del thing
    result = weakref.ref(future.result())
    del future
    gc.collect()
    assert seen() is None and result() is None


def test_a_call_has_the_id_of_its_task(executor: Executor, app: VirtualApp) -> None:
    future = executor.submit(add, 1)
    future.result()
    assert future.run_id is not None
    assert app.run(future.run_id).status() == "succeeded"


def test_asyncio_takes_it(app: VirtualApp) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(made, add, 1, 2)

    with Executor(app) as made:
        assert asyncio.run(main()) == 3


def test_a_program_that_ends_waits_for_what_it_submitted(tmp_path: Any) -> None:
    program = tmp_path / "prog.py"
    program.write_text("""if True:
        import raftwork.testing.virtual_app as v
        from raftwork.executor import Executor
        context = v.installed(); app = context.__enter__()
        def late(x):
            print("ran", x)
        if __name__ == "__main__":
            executor = Executor(app)
            executor.submit(late, 1)
        """)
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, env=env, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "ran 1\n"), done.stderr
