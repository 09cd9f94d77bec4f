"""The async pool: coroutines are stopped by cancelling them."""

import asyncio
import threading

from raftwork.worker.pool.coroutine import AsyncPool
from raftwork.worker.runner import in_thread
from tests.unit.worker.pool.drive import collect, failure, job, until_running, value


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
