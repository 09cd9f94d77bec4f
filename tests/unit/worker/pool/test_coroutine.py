"""The async pool: coroutines are stopped by cancelling them."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable

import pytest

from raftwork.worker.pool.coroutine import AsyncPool, run_beside
from raftwork.worker.runner import in_thread
from tests.unit.worker.pool.drive import collect, failure, job, until_running, value

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


async def sleep() -> None:
    await asyncio.sleep(3600)


async def add() -> int:
    return 2


def test_a_stopped_coroutine_is_cancelled_and_frees_its_slot() -> None:
    def agent(pool: AsyncPool) -> None:
        pool.start([job(1, "sleep"), job(2, "add")])
        until_running(pool, 1)

        pool.stop({1})

        ends = collect(pool, 2)
        assert failure(ends[1]).type == "CancelledError"
        assert value(ends[2]) == 2
        assert pool.slots == 1

    async def main() -> None:
        pool = AsyncPool({"sleep": sleep, "add": add}, "w", 1)
        await in_thread(agent, pool)
        pool.close()

    asyncio.run(main())


def test_a_plain_function_that_is_stopped_holds_its_slot_until_it_ends() -> None:
    release = threading.Event()

    def agent(pool: AsyncPool) -> None:
        pool.start([job(1, "stubborn")])
        until_running(pool, 1)

        pool.stop({1})
        assert pool.slots == 0
        pool.start([job(2, "add")])
        assert pool.collect() == []

        release.set()
        assert set(collect(pool, 2)) == {1, 2}
        assert pool.slots == 1

    async def main() -> None:
        pool = AsyncPool({"stubborn": lambda: release.wait(20), "add": add}, "w", 1)
        try:
            await in_thread(agent, pool)
        finally:
            release.set()
            pool.close()

    asyncio.run(main())


async def exit_in_a_task_of_its_own() -> str:
    async def sub() -> None:
        await asyncio.sleep(0)
        sys.exit(5)

    await asyncio.gather(sub())
    return "went on"


async def exit_in_a_task_that_is_not_awaited() -> None:
    async def sub() -> None:
        raise KeyboardInterrupt("of its own")

    kept = asyncio.create_task(sub())
    await asyncio.Event().wait()
    del kept


async def exit_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 5)
    await asyncio.Event().wait()


async def stop_the_loop() -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "went on"


async def cancel_all_that_is_nobodys() -> None:
    for task in asyncio.all_tasks():
        if task.get_name() != "bystander":
            task.cancel()
    await asyncio.sleep(0)


async def fork_and_await() -> int:
    """The copy gives the loop, which is its original's, a turn."""
    await asyncio.sleep(0.01)
    pid = os.fork()
    while pid == 0:  # noqa: ASYNC110
        await asyncio.sleep(0)
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:  # noqa: ASYNC110, ASYNC222
        await asyncio.sleep(0.002)
    return os.waitstatus_to_exitcode(ended[1])


async def bystander(release: threading.Event, ran: list[int]) -> int:
    me = asyncio.current_task()
    assert me is not None
    me.set_name("bystander")
    while not release.is_set():
        await asyncio.sleep(0)
        ran.append(os.getpid())
        if os.getpid() != ran[0]:
            os._exit(77)  # somebody else's copy runs us, too
    return 1


def beside(agent: Callable[[AsyncPool, threading.Event], None]) -> None:
    """Run it beside the loop of a pool of three, in which a bystander (task 1) runs."""
    release = threading.Event()
    ran: list[int] = []

    async def wait() -> int:
        return await bystander(release, ran)

    registry = {
        "bystander": wait,
        "add": add,
        "task": exit_in_a_task_of_its_own,
        "not awaited": exit_in_a_task_that_is_not_awaited,
        "callback": exit_in_a_callback,
        "stop": stop_the_loop,
        "cancel": cancel_all_that_is_nobodys,
        "fork": fork_and_await,
    }
    loop = asyncio.new_event_loop()
    pool = AsyncPool(registry, "w", 3, loop)

    def work() -> None:
        try:
            pool.start([job(1, "bystander")])
            until_running(pool, 1)
            agent(pool, release)
        finally:
            release.set()
            pool.close()

    run_beside(loop, work)
    assert loop.is_closed()


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("task", "SystemExit"),
        ("not awaited", "KeyboardInterrupt"),
        ("callback", "SystemExit"),
        ("cancel", "CancelledError"),
    ],
)
def test_what_would_end_the_loop_ends_the_task_that_did_it(name: str, outcome: str) -> None:
    """F2: every other task was cancelled for good, and the worker ended."""

    def agent(pool: AsyncPool, release: threading.Event) -> None:
        for token in (2, 3):
            pool.start([job(token, name)])
            assert failure(collect(pool, 1)[token]).type == outcome
        pool.start([job(4, "add")])
        assert value(collect(pool, 1)[4]) == 2
        release.set()
        assert value(collect(pool, 1)[1]) == 1

    beside(agent)


def test_a_loop_that_a_task_stops_goes_on() -> None:
    def agent(pool: AsyncPool, release: threading.Event) -> None:
        pool.start([job(2, "stop"), job(3, "stop")])
        assert {value(end) for end in collect(pool, 2).values()} == {"went on"}
        release.set()
        assert value(collect(pool, 1)[1]) == 1

    beside(agent)


def test_a_copy_does_not_run_the_loop_of_its_original(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def agent(pool: AsyncPool, release: threading.Event) -> None:
        pool.start([job(2, "fork"), job(3, "fork")])
        assert [value(end) for end in collect(pool, 2).values()] == [1, 1]
        release.set()
        assert value(collect(pool, 1)[1]) == 1

    beside(agent)
    assert "event loop of its original" in capfd.readouterr().err


def test_an_exit_of_no_running_task_is_said_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.new_event_loop()
    loop.call_soon(sys.exit, 5)
    with caplog.at_level(logging.ERROR):
        run_beside(loop, lambda: None)
    assert "SystemExit: 5" in caplog.text


def test_what_the_work_beside_a_loop_raises_is_raised() -> None:
    def work() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        run_beside(asyncio.new_event_loop(), work)
