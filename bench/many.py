"""One client's acknowledged enqueues a second: many callers, each one by one, beside batches.

    python -m bench many [--seconds 5] [--rounds 3] [--consensus raft]

What a web server does: 64 threads, or 256 coroutines of one event loop, each of which enqueues one
task and waits for its acknowledgement before the next. Beside it, in the same cluster and in turns,
batches of 1,000 by `enqueue_many` from one thread, each acknowledged before the next. The figures
are medians of the rounds; what counts is the ratio, as it hangs least on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Sequence

from bench.harness import Figures, client, cluster
from bench.tasks import noop
from raftwork import App
from raftwork.client.task import BoundTask

BATCH = 1_000
_QUEUE = "many"
THREADS = (1, 16, 64)
COROUTINES = (1, 256)

#: Enqueues for so many seconds; gives how many tasks were acknowledged.
Load = Callable[["BoundTask[[], None]", float], int]


def batches(task: BoundTask[[], None], seconds: float) -> int:
    until, done = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        done += len(task.enqueue_many([()] * BATCH))
    return done


def threads(count: int) -> Load:
    def load(task: BoundTask[[], None], seconds: float) -> int:
        done = [0] * count
        until = time.perf_counter() + seconds

        def calls(at: int) -> None:
            while time.perf_counter() < until:
                task.enqueue()
                done[at] += 1

        running = [threading.Thread(target=calls, args=(at,)) for at in range(count)]
        for each in running:
            each.start()
        for each in running:
            each.join()
        return sum(done)

    return load


def coroutines(count: int) -> Load:
    async def calls(task: BoundTask[[], None], until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            await task.aenqueue()
            done += 1
        return done

    async def together(task: BoundTask[[], None], seconds: float) -> int:
        until = time.perf_counter() + seconds
        return sum(await asyncio.gather(*(calls(task, until) for _ in range(count))))

    return lambda task, seconds: asyncio.run(together(task, seconds))


def measure(app: App, loads: dict[str, Load], seconds: float, rounds: int) -> dict[str, float]:
    """Tasks/s of each, the median of the rounds; every round runs them all."""
    task = app.task(name="bench.many", queue=_QUEUE)(noop.function)
    rates: dict[str, list[float]] = {name: [] for name in loads}
    for name in [*loads, *list(loads) * rounds]:
        began = time.perf_counter()
        done = loads[name](task, seconds)
        rates[name].append(done / (time.perf_counter() - began))
        app.queue(_QUEUE).purge()  # so many rounds would come to as many tasks as there may be
    return {name: statistics.median(found[1:]) for name, found in rates.items()}


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench many")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--consensus", choices=["raft", "zab"], default="raft")
    options = parser.parse_args(arguments)
    loads: dict[str, Load] = {f"batches of {BATCH}, one thread": batches}
    loads |= {f"one by one, {count} threads": threads(count) for count in THREADS}
    loads |= {f"one by one, {count} coroutines": coroutines(count) for count in COROUTINES}
    figures = Figures("many")
    with cluster(workers=0, consensus=options.consensus) as made, client(made) as app:
        rates = measure(app, loads, options.seconds, options.rounds)
    whole = next(iter(rates.values()))
    for name, rate in rates.items():
        where = f"3 replicas, one client, {options.consensus}"
        figures.add(f"enqueue, {name}", rate, "tasks/s", where, of_batches=rate / whole)
    figures.save()
    return figures
