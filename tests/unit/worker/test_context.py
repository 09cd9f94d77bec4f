"""`current()` follows the code of a task, and ends with it."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from raftwork.worker import context
from raftwork.worker.context import Context, carry_into_threads, current, running

ONE = Context("one", 1, 1, "w")
TWO = Context("two", 2, 1, "w")


@pytest.fixture(autouse=True)
def carried() -> Iterator[None]:
    carry_into_threads()
    yield
    threading.Thread.start = context._start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = context._submit  # type: ignore[method-assign]


def in_thread(thread: threading.Thread) -> None:
    thread.start()
    thread.join(10)


def test_a_thread_started_by_a_task_sees_it() -> None:
    seen: list[Context] = []

    with running(lambda: ONE):
        in_thread(threading.Thread(target=lambda: seen.append(current())))

    assert seen == [ONE]


def test_the_context_is_made_once_and_only_where_it_is_asked_for() -> None:
    made: list[Context] = []

    def make() -> Context:
        made.append(Context("one", 1, 1, "w"))
        return made[-1]

    with running(make):
        assert not made
        assert current() is current() is made[0]


def test_whoever_was_first_to_ask_at_the_same_moment_speaks_for_the_task() -> None:
    """Two threads may each be given a context of their own."""
    with running(lambda: Context("one", 1, 1, "w")) as scope:
        first = current()
        scope._context = None
        second = current()
        assert first is not second
        for each in (first, second):
            each.progress(0.5)
        with pytest.raises(RuntimeError, match="not its own"):
            TWO.progress(0.5)


def test_a_thread_of_a_thread_and_a_subclass_see_it_too() -> None:
    seen: list[Context] = []

    class Outer(threading.Thread):
        def run(self) -> None:
            in_thread(threading.Thread(target=lambda: seen.append(current())))

    with running(lambda: ONE):
        in_thread(Outer())

    assert seen == [ONE]


def test_work_given_to_an_executor_belongs_to_who_gave_it() -> None:
    with ThreadPoolExecutor(1) as executor:
        with running(lambda: ONE):
            assert executor.submit(current).result(10) == ONE  # this one starts the thread
        with running(lambda: TWO):
            assert executor.submit(current).result(10) == TWO
        with pytest.raises(RuntimeError, match="outside"):
            executor.submit(current).result(10)


def test_coroutines_and_their_threads_see_it() -> None:
    async def main() -> list[Context]:
        loop = asyncio.get_running_loop()
        return [
            await asyncio.create_task(ask()),
            await asyncio.to_thread(current),
            await loop.run_in_executor(None, current),
        ]

    async def ask() -> Context:
        return current()

    with running(lambda: ONE):
        assert asyncio.run(main()) == [ONE] * 3


def test_what_outlives_its_task_is_told_so() -> None:
    ended, errors = threading.Event(), list[RuntimeError]()

    def linger() -> None:
        ended.wait(10)
        try:
            current()
        except RuntimeError as error:
            errors.append(error)

    with running(lambda: ONE):
        thread = threading.Thread(target=linger)
        thread.start()
    with running(lambda: TWO):
        ended.set()
        thread.join(10)

    assert "one had ended" in str(errors[0])


def test_outside_a_task_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="outside"):
        current()
