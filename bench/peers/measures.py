"""What is measured, and the loops that measure it: the same for everyone.

A peer brings calls, blocking ones or coroutines, whichever its client has; the loops here repeat
them.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from bench.failover import Load
from bench.harness import percentiles, wait_until

BATCH = 1_000
#: Batches ahead of the results.
AHEAD = 3
#: Tasks of a chord, without its body.
CHORD = 1_000
THREADS = 64
COROUTINES = 256
#: Before each measurement its loop runs so long (s) for nothing.
WARM_UP_S = 0.3
#: A result or an acknowledgement may take so long (s).
TIMEOUT_S = 60
#: Enqueuers during a failover, and how long (s) at most nothing is acknowledged.
ENQUEUERS = 4
GAP_MAX_S = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the table."""

    title: str
    #: The head of its column.
    short: str
    unit: str


#: In the order in which they are measured: first what needs queues that are nearly empty.
MEASUREMENTS: dict[str, Measurement] = {
    "one-in-flight": Measurement(
        "one in flight, enqueue → result, p50", "one in flight, p50", "ms"
    ),
    "batches": Measurement(f"end to end, batches of {BATCH:,}", f"batches of {BATCH:,}", "tasks/s"),
    "chord": Measurement(
        f"a chord of {CHORD:,}: {CHORD:,} tasks, then one with their results",
        f"chord of {CHORD:,}",
        "tasks/s",
    ),
    "enqueue": Measurement("enqueue one by one, one thread", "one thread", "tasks/s"),
    "threads": Measurement(
        f"enqueue one by one, {THREADS} threads", f"{THREADS} threads", "tasks/s"
    ),
    "coroutines": Measurement(
        f"enqueue one by one, {COROUTINES} coroutines", f"{COROUTINES} coroutines", "tasks/s"
    ),
    "failover": Measurement("kill -9 of the leader → next acknowledged enqueue", "failover", "ms"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One round's value of one measurement, and what else was seen."""

    value: float
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each measurement takes, and how often a leader is killed."""

    seconds: float
    kills: int


#: Measures once.
Measure = Callable[[Effort], Sample]


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that has been started, its worker included: what it is, and what it can do."""

    versions: str
    measures: Mapping[str, Measure]


class Loop:
    """An event loop in a thread of its own, for clients that know nothing else."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """What it returns or raises; TimeoutError if it takes longer than `timeout` s.

        ConnectionError if its client cancelled it, as some do with what waits for a lost server.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise
        except CancelledError as error:
            raise ConnectionError("cancelled") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    """What a client left running goes with it."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _latency(took_s: list[float]) -> Sample:
    cuts = percentiles([each * 1e3 for each in took_s])
    return Sample(cuts["p50"], {"p99": cuts["p99"], "max": cuts["max"]})


def _rate(took_s: list[float]) -> Sample:
    """Of calls that followed one another."""
    cuts = percentiles([each * 1e3 for each in took_s])
    return Sample(len(took_s) / sum(took_s), {"p50 ms": cuts["p50"], "p99 ms": cuts["p99"]})


def _repeat(call: Callable[[], object], seconds: float) -> list[float]:
    """How long (s) each call took, one after the other."""
    began = at = time.perf_counter()
    took: list[float] = []
    while at - began < seconds or len(took) < 2:
        call()
        before, at = at, time.perf_counter()
        took.append(at - before)
    return took


async def _arepeat(call: Callable[[], Awaitable[object]], seconds: float) -> list[float]:
    began = at = time.perf_counter()
    took: list[float] = []
    while at - began < seconds or len(took) < 2:
        await call()
        before, at = at, time.perf_counter()
        took.append(at - before)
    return took


def one_in_flight(call: Callable[[], object]) -> Measure:
    """`call` enqueues one task that does nothing, and waits for its result."""

    def measure(effort: Effort) -> Sample:
        _repeat(call, WARM_UP_S)
        return _latency(_repeat(call, effort.seconds))

    return measure


def aone_in_flight(loop: Loop, call: Callable[[], Awaitable[object]]) -> Measure:
    def measure(effort: Effort) -> Sample:
        loop.run(_arepeat(call, WARM_UP_S))
        return _latency(loop.run(_arepeat(call, effort.seconds)))

    return measure


def one_by_one(call: Callable[[], object]) -> Measure:
    """`call` enqueues one task, and returns once that is acknowledged."""

    def measure(effort: Effort) -> Sample:
        _repeat(call, WARM_UP_S)
        return _rate(_repeat(call, effort.seconds))

    return measure


def aone_by_one(loop: Loop, call: Callable[[], Awaitable[object]]) -> Measure:
    def measure(effort: Effort) -> Sample:
        loop.run(_arepeat(call, WARM_UP_S))
        return _rate(loop.run(_arepeat(call, effort.seconds)))

    return measure


def threads(call: Callable[[], object]) -> Measure:
    """As `one_by_one`, from many threads at a time."""

    def together(seconds: float) -> float:
        failures: list[Exception] = []
        counts = [0] * THREADS
        until = time.perf_counter() + seconds

        def work(number: int) -> None:
            try:
                while not counts[number] or time.perf_counter() < until:
                    call()
                    counts[number] += 1
            except Exception as error:  # noqa: BLE001 (raised again below)
                failures.append(error)

        workers = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(THREADS)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]
        return sum(counts) / (time.perf_counter() - began)

    def measure(effort: Effort) -> Sample:
        together(WARM_UP_S)
        return Sample(together(effort.seconds))

    return measure


def coroutines(loop: Loop, call: Callable[[], Awaitable[object]]) -> Measure:
    """As `one_by_one`, from many coroutines at a time."""

    async def together(seconds: float) -> float:
        until = time.perf_counter() + seconds

        async def work() -> int:
            count = 0
            while not count or time.perf_counter() < until:
                await call()
                count += 1
            return count

        began = time.perf_counter()
        counts = await asyncio.gather(*(work() for _ in range(COROUTINES)))
        return sum(counts) / (time.perf_counter() - began)

    def measure(effort: Effort) -> Sample:
        loop.run(together(WARM_UP_S))
        return Sample(loop.run(together(effort.seconds)))

    return measure


def batches(enqueue: Callable[[int], T], results: Callable[[T], object]) -> Measure:
    """Tasks/s from the first enqueue to the last result, some batches ahead of the results.

    `enqueue` is given how many, and returns once all are acknowledged; `results` waits for them.
    """

    def together(seconds: float) -> float:
        pending: list[T] = []
        began, tasks = time.perf_counter(), 0
        while pending or not tasks:
            if not tasks or time.perf_counter() - began < seconds:
                pending.append(enqueue(BATCH))
                tasks += BATCH
                if len(pending) <= AHEAD:
                    continue
            results(pending.pop(0))
        return tasks / (time.perf_counter() - began)

    def measure(effort: Effort) -> Sample:
        together(0)
        return Sample(together(effort.seconds))

    return measure


def chord(call: Callable[[int], object]) -> Measure:
    """`call` is given how many tasks there are before the body, and returns with its result."""

    def measure(effort: Effort) -> Sample:
        _repeat(lambda: call(10), WARM_UP_S)
        took = _repeat(lambda: call(CHORD), effort.seconds)
        return Sample(CHORD * len(took) / sum(took), {"s, one": statistics.median(took)})

    return measure


def failover(
    calls: Sequence[Callable[[], object]],
    failures: tuple[type[Exception], ...],
    kill_leader: Callable[[], tuple[float, Callable[[], object]]],
) -> Measure:
    """How long nothing is acknowledged, while a thread for each of `calls` enqueues steadily.

    One of `failures` means that this enqueue failed, and the thread tries again. `kill_leader`
    returns when (monotonic, s) it did so, and what starts the killed server again and returns
    once all is as before.
    """

    def gap(load: Load) -> float:
        seen = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > seen + len(calls), GAP_MAX_S, "a steady load")
        moment, mend = kill_leader()
        wait_until(lambda: load.first_after(moment) is not None, GAP_MAX_S, "an acknowledgement")
        found = load.first_after(moment)
        assert found is not None
        mend()
        return found * 1e3

    def measure(effort: Effort) -> Sample:
        load = Load(calls, failures)
        gaps = [gap(load) for _ in range(effort.kills)]
        load.stop()
        return Sample(statistics.median(gaps), {"least": min(gaps), "most": max(gaps)})

    return measure
