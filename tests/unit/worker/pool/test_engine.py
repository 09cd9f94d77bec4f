"""Tasks on engines that are somebody else's."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import pytest

from raftwork.errors import LoadError, PoolBroken
from raftwork.messages import Loss
from raftwork.worker.pool import engine as engines
from raftwork.worker.pool.engine import EnginePool, maker
from tests.unit.worker.pool import engine_tasks as tasks
from tests.unit.worker.pool.drive import collect, failure, job, value

TARGET = f"{tasks.__name__}:app"


@contextmanager
def pool(
    make: Callable[[], Executor], slots: int = 2, target: str = TARGET
) -> Iterator[EnginePool]:
    made = EnginePool(make, target, ["127.0.0.1:7"], "w", slots)
    with (  # threads of this process are threads of a worker's for a while
        mock.patch.object(threading.Thread, "start", threading.Thread.start),
        mock.patch.object(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit),
    ):
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("make", [tasks.threads, tasks.processes])
def test_tasks_run_as_in_any_pool(make: Callable[[], Executor]) -> None:
    with pool(make) as engine:
        engine.start([job(1, "add", 1, 2), job(2, "typed", {"x": 1}), job(3, "acall", 7)])
        assert len(engine.running()) == 2, "the third waits here"
        engine.start([job(4, "fails"), job(5, "nothing")])
        ends = collect(engine, 5)
        assert [value(ends[token]) for token in (1, 2)] == [3, {"x": 2}]
        assert value(ends[3]) == [7, "id3", "w", "127.0.0.1:7"]
        assert (failure(ends[4]).type, failure(ends[4]).message) == ("ValueError", "bad")
        assert "engine_tasks.py" in failure(ends[4]).traceback
        assert failure(ends[5]).type == "UnknownTask" and ends[5].outcome.unknown
        assert engine.running() == [] and engine.slots == 2


def test_threads_that_begin_at_once_load_the_app_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    both = threading.Barrier(2)

    def load(target: str) -> object:
        begun.append(target)
        with suppress(threading.BrokenBarrierError):  # nobody else may be here
            both.wait(0.2)
        return tasks.app

    monkeypatch.setattr(engines, "load", load)
    with pool(tasks.threads, target="once:app") as engine:
        engine.start([job(1, "add", 1, 2), job(2, "add", 2, 2)])
        ends = collect(engine, 2)
    assert [value(ends[token]) for token in (1, 2)] == [3, 4]
    assert begun == ["once:app"]


class Held(Executor):
    """Runs nothing: the test says what becomes of a future."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self.closed = self.broken = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.broken:
            raise BrokenExecutor("broken")
        self.futures.append(Future())
        return self.futures[-1]

    def shutdown(self, wait: bool = True) -> None:  # type: ignore[override]
        self.closed = True


def test_an_engine_that_breaks_has_lost_its_tasks_and_is_made_anew() -> None:
    made: list[Held] = []

    def make() -> Executor:
        made.append(Held())
        return made[-1]

    with pool(make, 1) as engine:
        engine.start([job(1, "add"), job(2, "add"), job(3, "add")])
        made[0].broken = True
        made[0].futures[0].set_exception(BrokenExecutor("a process died"))
        ends = collect(engine, 1)
        assert ends[1].outcome.loss == Loss()
        assert "BrokenExecutor: a process died" in failure(ends[1]).message
        assert len(made) == 2 and [each.token for each in engine.running()] == [2]
        assert ends[1].elapsed > 0


def test_what_was_submitted_has_begun_and_the_rest_can_be_taken_back() -> None:
    held = Held()
    with pool(lambda: held, 1) as engine:
        engine.start([job(1, "add"), job(2, "add"), job(3, "add"), job(4, "add")])
        assert [each.token for each in engine.running()] == [1]
        assert [task.token for task in engine.cancel({1, 3})] == [3]
        assert [task.token for task in engine.withdraw()] == [2, 4]
        assert engine.withdraw() == [] and len(held.futures) == 1
    assert held.closed, "also where shutdown takes no cancel_futures"


def test_a_cancellation_that_nobody_asked_for_is_a_loss() -> None:
    held = Held()
    with pool(lambda: held) as engine:
        engine.start([job(1, "add"), job(2, "add")])
        held.futures[0].cancel()
        held.futures[1].set_exception(MemoryError("worker gone"))
        ends = collect(engine, 2)
        assert all(ends[token].outcome.loss == Loss() for token in (1, 2))
        assert "it was cancelled" in failure(ends[1]).message
        assert "MemoryError: worker gone" in failure(ends[2]).message


def test_what_cannot_be_stopped_holds_its_slot_until_it_ends() -> None:
    held = Held()
    with pool(lambda: held, 2) as engine:
        engine.start([job(1, "add"), job(2, "add"), job(3, "add")])
        held.futures[0].set_running_or_notify_cancel()
        engine.stop({1, 2, 3})
        assert engine.slots == 1
        assert list(collect(engine, 1)) == [2]
        held.futures[0].set_exception(ValueError())
        assert list(collect(engine, 1)) == [1]
        assert engine.slots == 2 and len(held.futures) == 2


def test_without_an_engine_the_worker_ends() -> None:
    with pytest.raises(PoolBroken, match="cannot be made: OSError: no engine here"):
        EnginePool(tasks.broken, TARGET, [], "w", 1)
    over = tasks.threads()
    over.shutdown()
    with pool(lambda: over) as engine, pytest.raises(PoolBroken, match="takes no task"):
        engine.start([job(1, "add", 1, 2)])


def test_an_app_that_cannot_be_imported_there_fails_the_attempt() -> None:
    with pool(tasks.threads, target="no_such_module:app") as engine:
        engine.start([job(1, "add", 1, 2)])
        told = failure(collect(engine, 1)[1])
        assert told.type == "LoadError" and "no_such_module" in told.message


def test_makers_are_found_by_their_names() -> None:
    assert maker(f"{tasks.__name__}:threads") is tasks.threads
    for target, why in (
        ("no_such_module:make", "cannot import 'no_such_module'"),
        (f"{tasks.__name__}:nothing", "names no function"),
        (f"{tasks.__name__}:not_callable", "names no function"),
        (tasks.__name__, "names no function"),
    ):
        with pytest.raises(LoadError, match=why):
            maker(target)
