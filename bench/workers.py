"""Throughput against the number of workers, all on this machine."""

from bench.harness import Figures, add_workers, client, cluster
from bench.tasks import noop
from bench.throughput import end_to_end

COUNTS = (1, 2, 5, 10, 20, 50)


def main() -> Figures:
    figures = Figures("workers")
    with cluster(workers=0) as made, client(made) as app:
        running = 0
        for count in COUNTS:
            add_workers(made, count - running, "thread", 2)
            running = count
            end_to_end(app, noop.name, (), 2_000, 10)
            rate = end_to_end(app, noop.name, (), 20_000, 10)
            figures.add(f"end to end, {count} workers", rate, "tasks/s", "no-op, thread pools of 2")
    figures.save()
    return figures


if __name__ == "__main__":
    main()
