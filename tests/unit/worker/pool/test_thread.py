"""The thread pool: code that cannot be stopped keeps its slot, and nothing more."""

import threading
from collections.abc import Iterator

import pytest

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
