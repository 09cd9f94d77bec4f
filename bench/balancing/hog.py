"""A CPU hog beside one of four real workers: its share of the tasks, second by second.

    python -m bench balancing-hog

One worker and the hog are pinned to one core, everything else to the other. The same arrivals go
to a cluster under round_robin and to one under weighted.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil

from bench.harness import Figures, client, cluster, percentiles, wait_until
from bench.tasks import spin
from raftwork import App, Run
from raftwork.cli.processes import LocalCluster

RATE = 30.0  # tasks a second
WORK = 0.01  # CPU seconds of a task
QUIET, HOGGED, AFTER = 10, 25, 20  # seconds before, under and after the hog
HOGS = 4
VICTIM = "w0"
Ran = tuple[float, float, str]


class Phase(NamedTuple):
    """Seconds since the first task: [begin, end)."""

    begin: float
    end: float

    def share(self, ran: list[Ran]) -> float:
        """Of the tasks that came in it, the part that ran beside the hog."""
        here = [who for came, _, who in ran if self.begin <= came < self.end]
        return here.count(VICTIM) / max(1, len(here))

    def waits(self, ran: list[Ran]) -> list[float]:
        return [wait for came, wait, _ in ran if self.begin <= came < self.end]


@contextmanager
def hogs(core: int) -> Iterator[None]:
    """Processes that do nothing but compute, on one core."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(HOGS)]
    try:
        for child in spinning:
            psutil.Process(child.pid).cpu_affinity([core])
        yield
    finally:
        for child in spinning:
            child.kill()
            child.wait()


def pin(made: LocalCluster, hogged: int, rest: int) -> None:
    """Pool processes too; the worker then measures itself over its new mask."""
    for name, child in made.children.items():
        process = psutil.Process(child.pid)
        for one in (process, *process.children(recursive=True)):
            for thread in one.threads():
                psutil.Process(thread.id).cpu_affinity([hogged if name == VICTIM else rest])


def arrivals(app: App, begin: float, seconds: float) -> list[tuple[float, Run[list[object]]]]:
    """Enqueue at an even pace, one by one; gives when each came."""
    task = app.task(name=spin.name)(spin.function)
    made: list[tuple[float, Run[list[object]]]] = []
    number, start = 0, time.time()
    while (due := number / RATE) < seconds:
        time.sleep(max(0.0, start + due - time.time()))
        made.append((time.time() - begin, task.enqueue(WORK)))
        number += 1
    return made


def run(balancer: str) -> list[Ran]:
    """(when it came, how long it waited, who ran it) of every task."""
    hogged, rest = sorted(psutil.Process().cpu_affinity())[:2]
    with cluster(workers=4, pool="process", concurrency=1, balancer=balancer) as made:
        pin(made, hogged, rest)
        psutil.Process().cpu_affinity([rest])
        with client(made) as app:
            wait_until(
                lambda: app.named(spin.name).enqueue(0.0).result(timeout=30) is not None,
                30,
                "a task",
            )
            begin = time.time()
            runs = arrivals(app, begin, QUIET)
            with hogs(hogged):
                runs += arrivals(app, begin, HOGGED)
            runs += arrivals(app, begin, AFTER)
            ran: list[Ran] = []
            for came, handle in runs:
                started, who = handle.result(timeout=60)
                ran.append((came, float(str(started)) - begin - came, str(who)))
        psutil.Process().cpu_affinity([hogged, rest])
    return ran


def main() -> Figures:
    figures = Figures("balancing-hog")
    on, off = QUIET, QUIET + HOGGED
    where = f"4 process workers of 1, {HOGS} hog processes, {RATE:g} tasks/s of {WORK * 1000:g} ms"
    p99: dict[str, float] = {}
    for name in ("round_robin", "weighted"):
        ran = run(name)
        for what, phase in (
            ("before the hog", Phase(0, on)),
            ("from 5 s after its start", Phase(on + 5, off)),
            ("from 10 s after its end", Phase(off + 10, off + AFTER)),
        ):
            figures.add(f"share of its worker, {name}, {what}", phase.share(ran), "", where)
        waits = percentiles(Phase(on + 5, off).waits(ran))
        p99[name] = waits["p99"]
        figures.add(f"wait under the hog, {name}", waits["p50"] * 1e3, "ms p50", where, **waits)
        for second in range(off + AFTER):
            share = Phase(second, second + 1).share(ran)
            figures.figures.append(
                type(figures.figures[0])(f"{name}, second {second}", share, "", where)
            )
    figures.add("p99 wait, round_robin / weighted", p99["round_robin"] / p99["weighted"], "", where)
    figures.save()
    return figures
