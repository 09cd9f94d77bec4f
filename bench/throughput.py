"""Tasks a second: end to end and enqueue only, no-op and 1 KiB, in batches and one by one."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.harness import Figures, client, cluster
from bench.tasks import noop, swallow
from raftwork import App, BoundTask, Run

BATCH = 1_000


def end_to_end(app: App, name: str, args: tuple[bytes, ...], tasks: int, window: int) -> float:
    """Tasks/s from the first enqueue to the last result, `window` batches ahead of the results."""
    task = app.task(name=name)(noop.function if name == noop.name else swallow.function)
    return each_batch(lambda: task, args, tasks, window)


def each_batch(
    task: Callable[[], BoundTask[Any, Any]], args: tuple[bytes, ...], tasks: int, window: int
) -> float:
    """As `end_to_end`, with a task for each batch."""
    pending: list[list[Run[object]]] = []
    began = time.perf_counter()
    for _ in range(tasks // BATCH):
        pending.append(task().enqueue_many([args] * BATCH))
        if len(pending) > window:
            for run in pending.pop(0):
                run.result(timeout=60)
    for batch in pending:
        for run in batch:
            run.result(timeout=60)
    return tasks / (time.perf_counter() - began)


def enqueue_batches(app: App, queue: str, payload: bytes, tasks: int, threads: int) -> float:
    """Acknowledged tasks/s into a queue nobody serves."""
    task = app.task(name=f"{swallow.name}.{queue}", queue=queue)(swallow.function)
    calls = [(payload,)] * BATCH
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for done in [pool.submit(task.enqueue_many, calls) for _ in range(tasks // BATCH)]:
            done.result()
        return tasks / (time.perf_counter() - began)


def enqueue_singly(app: App, tasks: int, threads: int) -> float:
    task = app.task(name="bench.single", queue="single")(noop.function)
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for done in [pool.submit(task.enqueue) for _ in range(tasks)]:
            done.result()
        return tasks / (time.perf_counter() - began)


def main() -> Figures:
    figures = Figures("throughput")
    for pool in ("thread", "process"):
        with cluster(pool=pool) as made, client(made) as app:
            where = f"3 replicas, 1 worker, {pool} pool of 2, batches of {BATCH}, 10 ahead"
            end_to_end(app, noop.name, (), 5_000, 10)
            rate = end_to_end(app, noop.name, (), 40_000, 10)
            figures.add(f"end to end, no-op, {pool} pool", rate, "tasks/s", where)
            rate = end_to_end(app, swallow.name, (b"x" * 1024,), 20_000, 10)
            figures.add(f"end to end, 1 KiB, {pool} pool", rate, "tasks/s", where)
    with cluster(workers=0) as made, client(made) as app:
        for size in (0, 1024):
            for threads in (1, 4):
                rate = enqueue_batches(app, f"bulk{size}", b"x" * size, 50_000, threads)
                where = f"3 replicas, batches of {BATCH}, {threads} threads of one client"
                figures.add(f"enqueue only, {size} B, batches", rate, "tasks/s", where)
        for threads in (1, 16):
            rate = enqueue_singly(app, 1_000 * threads, threads)
            where = f"3 replicas, {threads} threads of one client"
            figures.add("enqueue only, no-op, one by one", rate, "tasks/s", where)
    figures.save()
    return figures


if __name__ == "__main__":
    main()
