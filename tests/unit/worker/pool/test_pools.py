"""What every pool promises."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raftwork.messages import PAYLOAD_MAX
from raftwork.worker.context import carry_into_threads, current
from raftwork.worker.pool import Pool
from raftwork.worker.pool.coroutine import AsyncPool, run_beside
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


def fork_by_hand(how: str) -> int:
    """A copy comes back to what called us; its status."""
    pid = os.fork()
    if pid == 0:
        return _end(how)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def fork_in_coroutine(how: str) -> int:
    await asyncio.sleep(0)
    return fork_by_hand(how)


async def fork_in_subtask(how: str) -> int:
    async def sub() -> int:
        return await fork_in_coroutine(how)

    (status,) = await asyncio.gather(sub())
    return status


def fork_in_executor(how: str) -> int:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(fork_by_hand, how).result()


def _end(how: str) -> int:
    match how:
        case "raise":
            raise ValueError("of the copy")
        case "exit":
            sys.exit(3)
        case "exit with text":
            sys.exit("text")
        case "leave":
            raise GeneratorExit
        case _:
            return -1


class Meta(type):
    def __instancecheck__(cls, other: object) -> bool:
        raise SystemExit("instance check")


class Text(str):
    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        raise SystemExit("encode")


class Nasty(BaseException, metaclass=Meta):
    """Whatever is asked of it raises what is no Exception."""

    def __getattribute__(self, name: str) -> object:
        raise SystemExit(name)

    def __str__(self) -> str:
        raise SystemExit("str")

    def __repr__(self) -> str:
        raise KeyboardInterrupt("repr")


class Worded(Exception):
    def __str__(self) -> str:
        return Text("its text")


def raise_nasty() -> None:
    raise Nasty


async def raise_nasty_later() -> None:
    await asyncio.sleep(0)
    raise Nasty


def raise_worded() -> None:
    raise Worded


REGISTRY: dict[str, Callable[..., object]] = {
    "add": lambda x, y: x + y,
    "add_later": add_later,
    "echo": lambda x: x,
    "fail": fail,
    "fork": fork_by_hand,
    "fork in a coroutine": fork_in_coroutine,
    "fork in a subtask": fork_in_subtask,
    "fork in an executor": fork_in_executor,
    "nasty": raise_nasty,
    "nasty later": raise_nasty_later,
    "wait": wait_for,
    "who": who,
    "worded": raise_worded,
}


def _async_pool(slots: int) -> Iterator[Pool]:
    loop, over = asyncio.new_event_loop(), threading.Event()
    pool = AsyncPool(REGISTRY, "w", slots, loop)
    thread = threading.Thread(target=run_beside, args=(loop, over.wait))
    thread.start()
    yield pool
    pool.close()
    until(lambda: not pool._tasks, "the loop is empty")
    over.set()
    thread.join(10)


@pytest.fixture
def _carried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, and undone afterwards."""
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    carry_into_threads()


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


@pytest.mark.parametrize(
    ("how", "status"),
    [("return", 0), ("raise", 1), ("exit", 3), ("exit with text", 1), ("leave", 1)],
)
@pytest.mark.parametrize("name", ["fork", "fork in a coroutine", "fork in an executor"])
@pytest.mark.usefixtures("_carried")
def test_a_copy_that_a_task_forks_ends_with_its_own_status(
    pool: Pool, name: str, how: str, status: int
) -> None:
    """F1: it answered in its original's name, and went on as a second one."""
    pool.start([job(1, name, how), job(2, name, how)])

    ends = collect(pool, 2)

    assert [value(end) for end in ends.values()] == [status, status]
    pool.start([job(n, "add", n, 1) for n in range(3, 60)])
    assert {n: value(end) for n, end in collect(pool, 57).items()} == {
        n: n + 1 for n in range(3, 60)
    }


def test_a_copy_that_leaves_through_the_event_loop_ends_too(pool: Pool) -> None:
    pool.start([job(1, "fork in a subtask", "exit"), job(2, "fork in a subtask", "exit")])

    assert {value(end) for end in collect(pool, 2).values()} == {3}
    pool.start([job(3, "add_later", 1, 1)])
    assert value(collect(pool, 1)[3]) == 2


@pytest.mark.parametrize("name", ["nasty", "nasty later"])
def test_an_exception_that_raises_when_it_is_looked_at_is_a_failure(pool: Pool, name: str) -> None:
    """F8: the slot was gone for ever, or the process."""
    pool.start([job(n, name) for n in (1, 2, 3)])

    ends = collect(pool, 3)

    # Of a coroutine's, asyncio has looked at it before.
    assert {failure(end).type for end in ends.values()} <= {"Nasty", "SystemExit"}
    pool.start([job(4, "add", 1, 1)])
    assert value(collect(pool, 1)[4]) == 2


def test_an_exception_whose_text_is_no_plain_str_is_a_failure(pool: Pool) -> None:
    pool.start([job(n, "worded") for n in (1, 2, 3)])

    assert {failure(end).message for end in collect(pool, 3).values()} == {"its text"}
