"""Code is asked to end, in every kind of pool."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raftwork.worker.context import carry_into_threads, current
from raftwork.worker.pool import Pool
from raftwork.worker.pool.coroutine import AsyncPool, run_beside
from raftwork.worker.pool.process import ProcessPool
from raftwork.worker.pool.thread import ThreadPool
from tests.unit.worker.pool.drive import collect, failure, job, until, until_running, value

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def ask() -> str:
    while not current().cancelled:
        time.sleep(0.001)
    return "told"


def check() -> None:
    while True:
        current().check()
        time.sleep(0.001)


def ask_in_thread() -> str:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(ask).result()


def clean(path: str) -> None:
    Path(path).write_text("cleaned")


async def sleep(path: str) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        clean(path)


async def survive() -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "all the same"
    return "unasked"


def stopping() -> bool:
    until(lambda: current().stopping, "the worker stops")
    return current().cancelled


def free(path: str) -> bool:
    until(lambda: os.path.exists(path), f"{path} exists")
    return current().cancelled


REGISTRY: dict[str, Callable[..., object]] = {
    each.__name__: each for each in (ask, check, ask_in_thread, sleep, survive, stopping, free)
}


@pytest.fixture(params=["process", "thread", "async"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Two slots."""
    carry_into_threads()
    made: Pool
    if request.param == "process":
        made = ProcessPool(REGISTRY, "w", 2)
    elif request.param == "thread":
        made = ThreadPool(REGISTRY, "w", 2)
    else:
        import threading

        loop, over = asyncio.new_event_loop(), threading.Event()
        made = AsyncPool(REGISTRY, "w", 2, loop)
        thread = threading.Thread(target=run_beside, args=(loop, over.wait), daemon=True)
        thread.start()
        yield made
        made.close()
        over.set()
        thread.join(5)
        return
    yield made
    made.close()


@pytest.mark.parametrize("name", ["ask", "ask_in_thread"])
def test_a_function_finds_that_it_is_asked_to_end(pool: Pool, name: str) -> None:
    pool.start([job(1, name)])
    until_running(pool, 1)
    assert pool.cancel({1}) == []
    assert value(collect(pool, 1)[1]) == "told"


def test_a_check_raises(pool: Pool) -> None:
    pool.start([job(1, "check")])
    until_running(pool, 1)
    assert pool.cancel([1]) == []
    assert failure(collect(pool, 1)[1]).type == "TaskCancelled"


def test_a_coroutine_is_cancelled_and_may_clean_up(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "cleaned"
    pool.start([job(1, "sleep", str(path))])
    until_running(pool, 1)
    pool.cancel([1])
    assert failure(collect(pool, 1)[1]).type == "CancelledError"
    assert path.exists()


def test_a_coroutine_may_return_all_the_same(pool: Pool) -> None:
    pool.start([job(1, "survive")])
    until_running(pool, 1)
    pool.cancel([1])
    assert value(collect(pool, 1)[1]) == "all the same"


def test_only_what_is_named_is_asked_and_what_has_not_begun_comes_back(
    pool: Pool, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    tasks = [job(1, "ask"), job(2, "free", str(go)), job(3, "ask"), job(4, "free", str(go))]
    pool.start(tasks)
    until_running(pool, 1, 2)
    assert [task.token for task in pool.cancel([1, 3])] == [3]
    assert value(collect(pool, 1)[1]) == "told"
    go.write_text("")
    ends = collect(pool, 2)
    assert {token: value(end) for token, end in ends.items()} == {2: False, 4: False}


def test_the_slot_of_what_was_asked_is_free_again(pool: Pool, tmp_path: Path) -> None:
    for token in (1, 2, 3):
        pool.start([job(token, "check")])
        until_running(pool, token)
        pool.cancel([token])
        collect(pool, 1)
    assert pool.slots == 2


def test_code_finds_that_its_worker_stops(pool: Pool) -> None:
    pool.start([job(1, "stopping")])
    until_running(pool, 1)
    pool.drain()
    assert value(collect(pool, 1)[1]) is False
