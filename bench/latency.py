"""One task in flight: enqueue → result, and enqueue → acknowledgement."""

import time

from bench.harness import Figures, client, cluster, percentiles
from bench.tasks import noop


def main() -> Figures:
    figures = Figures("latency")
    for pool in ("thread", "process"):
        with cluster(pool=pool) as made, client(made) as app:
            task = app.task(name=noop.name)(noop.function)
            acked, done = [], []
            for i in range(1_100):
                began = time.perf_counter()
                run = task.enqueue()
                acknowledged = time.perf_counter()
                run.result(timeout=10)
                if i >= 100:
                    acked.append((acknowledged - began) * 1e3)
                    done.append((time.perf_counter() - began) * 1e3)
            where = f"3 replicas, 1 worker, {pool} pool, 1,000 tasks one after the other"
            figures.add(
                f"enqueue → result, {pool} pool",
                percentiles(done)["p50"],
                "ms",
                where,
                **percentiles(done),
            )
            figures.add(
                "enqueue → acknowledged",
                percentiles(acked)["p50"],
                "ms",
                where,
                **percentiles(acked),
            )
    figures.save()
    return figures


if __name__ == "__main__":
    main()
