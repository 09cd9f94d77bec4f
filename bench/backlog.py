"""Memory, speed and restart against the number of waiting tasks."""

import signal
import statistics
import time

from bench.harness import (
    Figures,
    add_workers,
    client,
    cluster,
    leader,
    rss_mb,
    statuses,
    wait_until,
)
from bench.tasks import noop
from bench.throughput import end_to_end
from raftwork import App
from raftwork.testing.processes import LocalCluster

SIZES = (1_000, 10_000, 100_000, 1_000_000)


def fill(app: App, queue: str, count: int) -> None:
    task = app.named(noop.name, queue=queue)
    for _ in range(count // 10_000):
        task.enqueue_many([()] * 10_000)
    if count % 10_000:
        task.enqueue_many([()] * (count % 10_000))


def restart(made: LocalCluster, name: str) -> float:
    """Seconds from the start of a killed broker's new process until it is a voter again."""
    child = made.children[name]
    child.signal(signal.SIGKILL)
    child.wait(timeout=20)
    began = time.monotonic()
    made.start_broker(name)
    roles = ("leader", "follower")
    wait_until(lambda: any(s.role in roles for s in statuses(made, [name])), 60, "a vote")
    return time.monotonic() - began


def drain(made: LocalCluster, seconds: float) -> float:
    """Tasks/s finished of what waits, by the leader's own count."""

    def done() -> int:
        return max(sum(queue.succeeded for queue in status.queues) for status in statuses(made))

    first, began = done(), time.monotonic()
    time.sleep(seconds)
    return (done() - first) / (time.monotonic() - began)


def main(sizes: tuple[int, ...] = SIZES) -> Figures:
    figures = Figures("backlog")
    with cluster(workers=0) as made, client(made) as app:
        add_workers(made, 1, "thread", 2)
        end_to_end(app, noop.name, (), 5_000, 10)
        waiting, rates = 0, {}
        for size in sizes:
            # Half waits in a queue nobody serves; the other half stands before the measured
            # tasks in time only, so what is measured is the cost of a large table.
            fill(app, "unserved", size - waiting)
            waiting = size
            samples = [end_to_end(app, noop.name, (), 20_000, 10) for _ in range(3)]
            rates[size] = statistics.median(samples)
            name = leader(made)
            assert name is not None
            figures.add(
                f"end to end with {size:,} waiting",
                rates[size],
                "tasks/s",
                "median of 3 × 20,000 no-op, thread pool",
                broker_rss_mb=rss_mb(made.children[name].pid),
            )
        figures.add(
            "share kept at the largest backlog", rates[sizes[-1]] / rates[sizes[0]] * 100, "%", ""
        )
        followers = [n for n in made.addresses if n != leader(made)]
        took = [restart(made, name) for name in followers]
        figures.add(
            f"restart until it votes, {sizes[-1]:,} waiting",
            statistics.median(took),
            "s",
            "kill -9 of a follower; process start included",
        )
        figures.add(
            "RSS of a restarted broker",
            rss_mb(made.children[followers[0]].pid),
            "MB",
            f"{sizes[-1]:,} waiting",
        )
    with cluster(workers=0) as made, client(made) as app:
        fill(app, "default", sizes[-1])
        add_workers(made, 1, "thread", 2)
        figures.add(
            f"drain of {sizes[-1]:,} waiting",
            drain(made, 10),
            "tasks/s",
            "no-op, thread pool, nothing enqueued meanwhile, over 10 s",
        )
    figures.save()
    return figures


if __name__ == "__main__":
    main()
