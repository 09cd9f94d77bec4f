"""The loops that measure every peer alike."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bench.peers import measures
from bench.peers.measures import AHEAD, BATCH, COROUTINES, THREADS, Effort, Loop

EFFORT = Effort(seconds=0.05, kills=2)


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "WARM_UP_S", 0)


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as made:
        yield made


def test_calls_one_after_the_other_have_a_median_and_a_rate(loop: Loop) -> None:
    at_least = 0.002

    async def acall() -> None:
        await asyncio.sleep(at_least)

    def call() -> None:
        time.sleep(at_least)

    for latency in (measures.one_in_flight(call), measures.aone_in_flight(loop, acall)):
        sample = latency(EFFORT)
        assert at_least * 1e3 <= sample.value <= sample.more["p99"] <= sample.more["max"]
    for rate in (measures.one_by_one(call), measures.aone_by_one(loop, acall)):
        sample = rate(EFFORT)
        assert 0 < sample.value <= 1 / at_least
        assert sample.more["p50 ms"] >= at_least * 1e3


def test_many_threads_and_coroutines_are_in_flight_together(loop: Loop) -> None:
    """None of them gets on before all are there."""
    all_threads, here = threading.Event(), set[int]()

    def call() -> None:
        here.add(threading.get_ident())
        if len(here) == THREADS:
            all_threads.set()
        assert all_threads.wait(30)

    assert measures.threads(call)(Effort(0, 1)).value > 0
    waiting, all_coroutines = 0, asyncio.Event()

    async def acall() -> None:
        nonlocal waiting
        waiting += 1
        if waiting == COROUTINES:
            all_coroutines.set()
        await asyncio.wait_for(all_coroutines.wait(), 30)

    assert measures.coroutines(loop, acall)(Effort(0, 1)).value > 0


def test_a_call_that_fails_fails_the_measurement(loop: Loop) -> None:
    async def afail() -> None:
        raise ValueError

    def fail() -> None:
        raise ValueError

    for measure in (measures.threads(fail), measures.one_by_one(fail)):
        with pytest.raises(ValueError):  # noqa: PT011 (it says nothing)
            measure(EFFORT)
    with pytest.raises(ValueError):  # noqa: PT011
        measures.coroutines(loop, afail)(EFFORT)


def test_batches_are_some_ahead_of_the_results_and_all_are_waited_for() -> None:
    out: list[int] = []
    most, done = 0, 0

    def enqueue(count: int) -> int:
        nonlocal most
        assert count == BATCH
        out.append(count)
        most = max(most, len(out))
        return count

    def results(count: int) -> None:
        nonlocal done
        done += count
        out.remove(count)
        time.sleep(0.001)

    sample = measures.batches(enqueue, results)(EFFORT)
    assert not out
    assert most == AHEAD + 1
    assert 0 < sample.value <= done / EFFORT.seconds


def test_a_gap_lasts_until_the_first_acknowledgement_and_the_killed_one_is_mended() -> None:
    down, mended = threading.Event(), []

    def enqueue() -> None:
        time.sleep(0.001)
        if down.is_set():
            raise ConnectionError

    def kill_leader() -> tuple[float, Callable[[], object]]:
        moment = time.monotonic()
        down.set()
        threading.Timer(0.1, down.clear).start()
        return moment, lambda: mended.append(moment)

    measure = measures.failover([enqueue] * 2, (ConnectionError,), kill_leader)
    sample = measure(EFFORT)
    assert 100 <= sample.more["least"] <= sample.value <= sample.more["most"]
    assert len(mended) == EFFORT.kills


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_enqueuer_that_ends_unforeseen_fails_the_measurement() -> None:
    """Else the load would be less than what is said of it."""
    few, ends = iter(range(3)), threading.Event()

    def enqueue() -> None:
        """Always well."""

    def surprise() -> None:
        if next(few, None) is None:
            ends.set()
            raise ValueError

    def kill_leader() -> tuple[float, Callable[[], object]]:
        return time.monotonic(), lambda: ends.wait(30)

    measure = measures.failover([enqueue, surprise], (OSError,), kill_leader)
    with pytest.raises(RuntimeError, match="1 of 2 enqueuing threads"):
        measure(EFFORT)


def test_a_loop_gives_up_what_takes_too_long_and_ends_what_runs(loop: Loop) -> None:
    ended = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        loop.run(endless(), 0.01)
    assert ended.wait(30)

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ConnectionError):
        loop.run(cancelled())

    ended.clear()
    with Loop() as other:

        async def leave() -> asyncio.Task[None]:
            task = asyncio.create_task(endless())
            await asyncio.sleep(0)
            return task

        other.run(leave())
    assert ended.is_set()
