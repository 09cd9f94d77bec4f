"""What every pool promises."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raftwork.messages import PAYLOAD_MAX
from raftwork.worker.context import current
from raftwork.worker.pool import Pool
from raftwork.worker.pool.coroutine import AsyncPool
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.thread import ThreadPool
from tests.unit.worker.pool.drive import (
    collect,
    failure,
    job,
    until,
    until_running,
    value,
    wait_for,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def fail() -> None:
    raise ValueError("nope")


def who() -> list[object]:
    now = current()
    return [now.id, now.token, now.worker]


async def add_later(x: int, y: int) -> int:
    await asyncio.sleep(0)
    return x + y


REGISTRY: dict[str, Callable[..., object]] = {
    "add": lambda x, y: x + y,
    "add_later": add_later,
    "echo": lambda x: x,
    "fail": fail,
    "wait": wait_for,
    "who": who,
}


def _async_pool(slots: int) -> Iterator[Pool]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> AsyncPool:
        return AsyncPool(REGISTRY, "w", slots)

    pool = asyncio.run_coroutine_threadsafe(make(), loop).result(10)
    yield pool
    pool.close()
    until(lambda: not pool._tasks, "the loop is empty")
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(params=["process", "thread", "async"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool of two slots."""
    match request.param:
        case "process":
            process = ProcessPool(REGISTRY, "w", 2)
            yield process
            process.close()
        case "thread":
            thread = ThreadPool(REGISTRY, "w", 2)
            yield thread
            thread.close()
        case _:
            yield from _async_pool(2)


def test_every_task_ends_once_with_its_own_value(pool: Pool) -> None:
    pool.start([job(n, "add" if n % 2 else "add_later", n, 1) for n in range(1, 301)])

    ends = collect(pool, 300)

    assert {token: value(end) for token, end in ends.items()} == {n: n + 1 for n in range(1, 301)}
    assert pool.collect() == []


def test_a_failure_is_an_end_like_any_other(pool: Pool) -> None:
    pool.start([job(1, "fail"), job(2, "add", 1, 1), job(3, "no such")])

    ends = collect(pool, 3)

    assert failure(ends[1]).type == "ValueError"
    assert value(ends[2]) == 2
    assert failure(ends[3]).type == "UnknownTask"


def test_each_task_is_told_its_own_context(pool: Pool) -> None:
    pool.start([job(n, "who") for n in range(1, 20)])

    ends = collect(pool, 19)

    assert {n: value(end) for n, end in ends.items()} == {n: [f"id{n}", n, "w"] for n in ends}


def test_the_largest_payload_and_value_pass(pool: Pool) -> None:
    data = bytes(PAYLOAD_MAX - 20)

    pool.start([job(n, "echo", data) for n in range(1, 6)])

    assert all(value(end) == data for end in collect(pool, 5).values())


def test_what_runs_is_told_with_its_start_and_what_waits_is_not(pool: Pool, tmp_path: Path) -> None:
    before = time.monotonic_ns() // 1_000_000
    pool.start([job(n, "wait", str(tmp_path / "go")) for n in (1, 2, 3, 4)])

    until_running(pool, 1, 2)

    after = time.monotonic_ns() // 1_000_000
    assert all(before <= running.since <= after for running in pool.running())
    (tmp_path / "go").touch()
    assert set(collect(pool, 4)) == {1, 2, 3, 4}
    assert pool.running() == []


def test_what_is_withdrawn_never_runs(pool: Pool, tmp_path: Path) -> None:
    pool.start([job(n, "wait", str(tmp_path / "go")) for n in range(1, 8)])
    until_running(pool, 1, 2)

    withdrawn = pool.withdraw()

    assert [task.token for task in withdrawn] == [3, 4, 5, 6, 7]
    (tmp_path / "go").touch()
    assert set(collect(pool, 2)) == {1, 2}
    assert pool.withdraw() == []


def test_short_tasks_do_not_wait_behind_a_long_one(pool: Pool, tmp_path: Path) -> None:
    pool.start([job(n, "add", n, 0) for n in range(1, 201)])  # the pool learns: they are short
    collect(pool, 200)

    pool.start([job(1000, "wait", str(tmp_path / "go"))])
    pool.start([job(n, "add", n, 0) for n in range(1001, 1051)])

    assert 1000 not in collect(pool, 50)
    (tmp_path / "go").touch()
    collect(pool, 1)


def test_waiting_tasks_that_are_stopped_never_run(pool: Pool, tmp_path: Path) -> None:
    pool.start([job(n, "wait", str(tmp_path / "go")) for n in (1, 2)])
    pool.start([job(n, "add", n, 0) for n in (3, 4, 5)])
    until_running(pool, 1, 2)

    pool.stop({4})

    (tmp_path / "go").touch()
    assert set(collect(pool, 4)) == {1, 2, 3, 5}
