"""The thread pool: code that cannot be stopped keeps its slot, and nothing more."""

import threading
from collections import deque
from collections.abc import Iterator

import pytest

from raftwork.messages import PushedTask
from raftwork.worker.pool.thread import ThreadPool
from tests.unit.worker.pool.drive import collect, job, until, until_running, value


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets the stubborn task end; set in any case."""
    release = threading.Event()
    yield release
    release.set()


def test_a_stopped_thread_holds_its_slot_until_it_ends(release: threading.Event) -> None:
    pool = ThreadPool({"stubborn": lambda: release.wait(20), "add": lambda: 2}, "w", 2)
    pool.start([job(1, "stubborn")])
    until_running(pool, 1)

    pool.stop({1})
    assert pool.slots == 1
    pool.start([job(2, "add")])
    assert value(collect(pool, 1)[2]) == 2

    release.set()
    collect(pool, 1)
    assert pool.slots == 2
    pool.close()


def test_a_closed_pool_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    pool = ThreadPool({}, "w", 3)
    made = set(threading.enumerate()) - before
    assert len(made) == 3

    pool.close()

    until(lambda: not any(thread.is_alive() for thread in made), "the threads have ended")


def test_one_task_after_the_other_wakes_one_thread_and_no_other() -> None:
    pool = ThreadPool({"who": lambda: threading.current_thread().name}, "w", 4)
    takes = Counted(pool)
    names = set()
    for token in range(50):
        until(lambda: len(pool._idle) == 4, "all wait")
        pool.start([job(token, "who")])
        names.add(value(collect(pool, 1)[token]))
    until(lambda: len(pool._idle) == 4, "all wait")
    assert len(names) == 1
    assert takes.taken == 50
    pool.close()


def test_a_task_that_comes_while_the_last_thread_goes_to_sleep_is_run() -> None:
    """Between its look and its sleep nobody is there to be woken."""

    class Late(deque[threading.Lock]):
        def append(self, idle: threading.Lock) -> None:
            if late:
                pool.start([late.pop()])
            super().append(idle)

    late: list[PushedTask] = []
    pool = ThreadPool({"add": lambda: 2}, "w", 1)
    until(lambda: len(pool._idle) == 1, "it waits")
    pool._idle = Late(pool._idle)
    late.append(job(2, "add"))
    pool.start([job(1, "add")])
    assert set(collect(pool, 2)) == {1, 2}
    pool.close()


class Counted(deque[PushedTask]):
    """A pool's backlog that counts how often a thread looks into it and takes something."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__()
        self.taken = 0
        until(lambda: len(pool._idle) == pool.slots, "all wait")
        pool._backlog = self

    def popleft(self) -> PushedTask:
        self.taken += 1
        return super().popleft()
