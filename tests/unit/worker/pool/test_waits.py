"""Tasks that wait for others: their slots are lent meanwhile, and taken again."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raftwork import wait_observer
from raftwork.errors import WouldDeadlock
from raftwork.messages import Deadlock, Hopeless
from raftwork.wait_observer import Awaited
from raftwork.worker.blocked_tasks import _Nowhere, notice_waits, run_in
from raftwork.worker.pool import Pool
from raftwork.worker.pool.coroutine import AsyncPool
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.thread import ThreadPool
from tests.unit.worker.pool.drive import collect, failure, job, until, wait_for

BROKERS = ("a:1",)


class Waited:
    """A wait for a task that ends once a file exists, or when it is told that there is no hope."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.error: Exception | None = None
        self.awaited = Awaited(BROKERS, os.path.basename(path), True, self._fail)

    def _fail(self, error: Exception) -> None:
        self.error = error

    @property
    def over(self) -> bool:
        if self.error is not None:
            raise self.error
        return os.path.exists(self.path)


def waits(path: str) -> int:
    waited = Waited(path)
    with wait_observer.observed(waited.awaited):
        until(lambda: waited.over, f"{path} exists")
    return os.getpid()


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("never")


async def awaits(path: str) -> int:
    waited = Waited(path)
    async with wait_observer.observed(waited.awaited):
        await _until(lambda: waited.over)
    return os.getpid()


async def holds(path: str) -> None:
    await _until(lambda: os.path.exists(path))


def touch(path: str) -> str:
    Path(path).touch()
    return threading.current_thread().name


TASKS = {"waits": waits, "awaits": awaits, "holds": holds, "touch": touch, "wait_for": wait_for}
MAKERS: dict[str, Callable[[int], Pool]] = {
    "thread": lambda slots: ThreadPool(TASKS, "w", slots),
    "process": lambda slots: ProcessPool(TASKS, "w", slots),
}


@pytest.fixture(autouse=True)
def noticed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wait_observer, "_around", wait_observer._around)
    notice_waits(BROKERS)
    yield
    run_in(_Nowhere())


@pytest.fixture(params=["thread", "process"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Pool]]:
    made: list[Pool] = []

    def maker(slots: int) -> Pool:
        made.append(MAKERS[request.param](slots))
        return made[-1]

    yield maker
    for pool in made:
        pool.close()


def _parked(pool: Pool) -> list[int]:
    assert pool.collect() == []
    return sorted(wait.token for wait in pool.waiting() if wait.parked)


def test_a_task_that_waits_lends_its_slot(make: Callable[[int], Pool], tmp_path: Path) -> None:
    pool, go = make(1), str(tmp_path / "go")
    for round_ in range(3):
        one, two = 10 * round_ + 1, 10 * round_ + 2
        pool.start([job(one, "waits", go), job(two, "touch", go)])
        assert collect(pool, 2).keys() == {one, two}
        assert not pool.waiting()
        assert pool.slots == 1
        os.unlink(go)


def test_as_many_are_lent_as_there_are_slots(make: Callable[[int], Pool], tmp_path: Path) -> None:
    pool, go = make(2), str(tmp_path / "go")
    pool.start([job(n, "waits", go) for n in range(1, 5)])
    until(lambda: len(pool.waiting()) == 4 or bool(pool.collect()), "all wait")
    assert len(_parked(pool)) == 2
    assert sorted(each.waits for each in pool.running()) == [False, False, True, True]
    pool.start([job(9, "touch", go)])  # it waits: both slots are held
    Path(go).touch()
    assert collect(pool, 5).keys() == {1, 2, 3, 4, 9}
    pool.start([job(n, "touch", go) for n in range(20, 40)])
    assert len(collect(pool, 20)) == 20


def test_what_queues_behind_a_task_that_waits_runs_elsewhere(
    make: Callable[[int], Pool], tmp_path: Path
) -> None:
    pool, go = make(1), str(tmp_path / "go")
    pool.start([job(n, "touch", str(tmp_path / "x")) for n in range(100, 160)])
    collect(pool, 60)  # short tasks: children get some ahead
    pool.start([job(1, "waits", go), *(job(n, "touch", str(tmp_path / "x")) for n in range(2, 9))])
    pool.start([job(9, "touch", go)])
    assert collect(pool, 9).keys() == set(range(1, 10))


def test_a_wait_without_hope_is_told(make: Callable[[int], Pool], tmp_path: Path) -> None:
    pool, never = make(1), str(tmp_path / "never")
    pool.start([job(1, "waits", never)])
    until(lambda: _parked(pool) == [1], "it is parked")
    (wait,) = pool.waiting()
    assert wait.ids == ["never"]
    pool.end_waits([Hopeless(1, wait.turn + 7, Deadlock.CYCLE)])
    pool.end_waits([Hopeless(1, wait.turn, Deadlock.CYCLE)])
    assert failure(collect(pool, 1)[1]).type == WouldDeadlock.__name__
    assert not pool.waiting()


def test_a_process_that_dies_while_its_task_waits_gives_its_slot_back(tmp_path: Path) -> None:
    pool, never = ProcessPool(TASKS, "w", 1), str(tmp_path / "never")
    pool.start([job(1, "waits", never)])
    until(lambda: _parked(pool) == [1], "it is parked")
    pool.stop({1})
    assert collect(pool, 1)[1].outcome.loss is not None
    assert pool.slots == 1
    pool.start([job(2, "waits", str(tmp_path / "go")), job(3, "touch", str(tmp_path / "go"))])
    assert collect(pool, 2).keys() == {2, 3}
    pool.close()


def test_a_parked_thread_that_is_stopped_holds_no_slot_until_it_goes_on(tmp_path: Path) -> None:
    pool, go = ThreadPool(TASKS, "w", 1), str(tmp_path / "go")
    pool.start([job(1, "waits", go)])
    until(lambda: _parked(pool) == [1], "it is parked")
    pool.stop({1})
    assert pool.slots == 1
    pool.start([job(2, "touch", go)])
    assert collect(pool, 2).keys() == {1, 2}
    assert pool.slots == 1
    pool.close()


def test_coroutines_park_and_take_the_next_slot_before_new_tasks(tmp_path: Path) -> None:
    async def main() -> None:
        pool = AsyncPool(TASKS, "w", 1)
        one, two, go = (str(tmp_path / name) for name in ("one", "two", "go"))
        pool.start([job(1, "awaits", go), job(2, "awaits", go), job(3, "holds", one)])
        await _until(lambda: {each.token for each in pool.running()} == {1, 2, 3})
        assert sorted(wait.parked for wait in pool.waiting()) == [True, True]
        pool.start([job(4, "holds", two)])
        touch(go)
        await _until(lambda: len(pool._returning) == 2)
        assert pool.collect() == [], "the slot is held"
        touch(one)
        ends: list[int] = []

        def ended() -> bool:
            ends.extend(end.outcome.token for end in pool.collect())
            return len(ends) == 3

        await _until(ended)
        assert ends == [3, 1, 2], "both go on before the new one"
        touch(two)
        await _until(lambda: bool(pool.collect()))
        pool.close()

    asyncio.run(main())


def test_a_slot_whose_task_waits_keeps_nothing_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftwork.worker.pool.coroutine.PARKED_MAX", 1)

    async def main() -> None:
        pool = AsyncPool(TASKS, "w", 1)
        go, later = str(tmp_path / "go"), str(tmp_path / "later")
        pool.start([job(1, "awaits", go), job(2, "awaits", later)])
        await _until(lambda: [wait.parked for wait in pool.waiting()] == [True, False])
        touch(go)
        await _until(lambda: [end.outcome.token for end in pool.collect()] == [1])
        touch(later)
        await _until(lambda: [end.outcome.token for end in pool.collect()] == [2])
        pool.close()

    asyncio.run(main())


def test_a_parked_coroutine_that_is_stopped_is_over_and_holds_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        pool = AsyncPool(TASKS, "w", 1)
        never, one = str(tmp_path / "never"), str(tmp_path / "one")
        pool.start([job(1, "awaits", never)])
        await _until(lambda: any(wait.parked for wait in pool.waiting()))
        pool.start([job(2, "holds", one)])
        await _until(lambda: len(pool.running()) == 2)
        pool.stop({1})
        assert pool.slots == 1
        await _until(lambda: [end.outcome.token for end in pool.collect()] == [1])
        assert not pool.waiting()
        touch(one)
        await _until(lambda: [end.outcome.token for end in pool.collect()] == [2])
        assert not pool._parked
        pool.close()

    asyncio.run(main())
