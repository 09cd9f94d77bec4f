"""A CPU hog beside one of four real workers: its share of the tasks, second by second.

    python -m bench balancing-hog

One worker and the hog are pinned to one core, everything else to the other. The same arrivals go
to a cluster under round_robin and to one under weighted, by turns; figures are medians of rounds.
What others take of the machine's CPUs meanwhile stands beside them: they are worth little if that
is more than a few per cent, since the leader rightly spares workers that others crowd.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from statistics import median
from typing import NamedTuple

import psutil

from bench.harness import Figure, Figures, Strangers, client, cluster, percentiles, wait_until
from bench.tasks import spin
from raftwork import App, Run
from raftwork.testing.processes import LocalCluster

ROUNDS = 3
RATE = 30.0  # tasks a second
WORK = 0.01  # CPU seconds of a task
QUIET, HOGGED, AFTER = 10, 25, 20  # seconds before, under and after the hog
HOGS = 4
VICTIM = "w0"
NAMES = ("round_robin", "weighted")
#: Of its share without the hog, what a worker must have to count as back.
BACK = 0.75
#: Others' share of the CPUs from which the figures are not worth much.
NOISE = 0.05
WHERE = f"4 process workers of 1, {HOGS} hog processes, {RATE:g} tasks/s of {WORK * 1000:g} ms"


class Ran(NamedTuple):
    """One task; times are seconds since it came, which was `came` seconds after the first one."""

    came: float
    began: float
    ended: float
    who: str


class Phase(NamedTuple):
    """Seconds since the first task: [begin, end)."""

    begin: float
    end: float

    def share(self, ran: list[Ran]) -> float:
        """Of the tasks that came in it, the part that ran beside the hog."""
        here = [one.who for one in self.of(ran)]
        return here.count(VICTIM) / max(1, len(here))

    def began(self, ran: list[Ran]) -> float:
        """p99 of the seconds until tasks began."""
        return percentiles([one.began for one in self.of(ran)])["p99"]

    def ended(self, ran: list[Ran]) -> float:
        """p99 of the seconds until tasks were done."""
        return percentiles([one.ended for one in self.of(ran)])["p99"]

    def of(self, ran: list[Ran]) -> list[Ran]:
        """Those that came in it."""
        return [one for one in ran if self.begin <= one.came < self.end]


ON, OFF, END = QUIET, QUIET + HOGGED, QUIET + HOGGED + AFTER
BEFORE, UNDER, BACK_AGAIN = Phase(0, ON), Phase(ON + 5, OFF), Phase(OFF + 10, END)
#: What a person may call waiting.
WAITS = {"wait until begun": UNDER.began, "wait until done": UNDER.ended}


@contextmanager
def hogs(core: int) -> Iterator[None]:
    """Processes that do nothing but compute, on one core from their first moment."""
    # They end with this process, whatever ends it.
    code = (
        f"import os\nos.sched_setaffinity(0, [{core}])\nwhile os.getppid() == {os.getpid()}: pass"
    )
    spinning = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(HOGS)]
    try:
        yield
    finally:
        for child in spinning:
            child.kill()
        for child in spinning:
            child.wait()


@contextmanager
def pinned(made: LocalCluster, hogged: int, rest: int) -> Iterator[None]:
    """Workers, pools, brokers and this process; a worker then measures itself over its new mask."""
    before = os.sched_getaffinity(0)
    for name, child in made.children.items():
        core = hogged if name == VICTIM else rest
        process = psutil.Process(child.pid)
        for one in (process, *process.children(recursive=True)):
            # What a thread starts later has its mask.
            for thread in one.threads():
                os.sched_setaffinity(thread.id, [core])
    os.sched_setaffinity(0, [rest])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


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


def run(balancer: str) -> tuple[list[Ran], float]:
    """What became of every task; and what others took of the CPUs."""
    hogged, rest = sorted(os.sched_getaffinity(0))[:2]
    with (
        cluster(workers=4, pool="process", concurrency=1, balancer=balancer) as made,
        pinned(made, hogged, rest),
        client(made) as app,
    ):
        wait_until(
            lambda: app.named(spin.name).enqueue(0.0).result(timeout=30) is not None, 30, "a task"
        )
        strangers = Strangers()
        begin = time.time()
        runs = arrivals(app, begin, ON)
        with hogs(hogged):
            runs += arrivals(app, begin, HOGGED)
        runs += arrivals(app, begin, AFTER)
        others = strangers.share()
        ran: list[Ran] = []
        for came, handle in runs:
            began, ended, who = handle.result(timeout=60)
            at = begin + came
            ran.append(Ran(came, float(str(began)) - at, float(str(ended)) - at, str(who)))
    return ran, others


def main() -> Figures:
    figures = Figures("balancing-hog")
    ran: dict[str, list[list[Ran]]] = {name: [] for name in NAMES}
    noise = []
    for turn in range(ROUNDS):
        for name in NAMES[:: 1 if turn % 2 else -1]:
            result, others = run(name)
            ran[name].append(result)
            noise.append(others)
            shares = "  ".join(f"{p.share(result):.3f}" for p in (BEFORE, UNDER, BACK_AGAIN))
            print(
                f"{name:12} share before, under, after: {shares}  "
                f"p99 under, until begun: {UNDER.began(result) * 1e3:.1f} ms, "
                f"until done: {UNDER.ended(result) * 1e3:.1f} ms  others: {others:.0%}",
                flush=True,
            )
    report(figures, ran)
    figures.add("others' share of the CPUs", max(noise), "", f"worst of {len(noise)} runs")
    if max(noise) > NOISE:
        print("NOT A QUIET MACHINE: the figures above are not worth much.")
    figures.save()
    return figures


def report(figures: Figures, ran: dict[str, list[list[Ran]]]) -> None:
    where = f"{WHERE}, median of {len(ran['weighted'])} rounds"

    def over(name: str, measure: Callable[[list[Ran]], float]) -> float:
        return median(map(measure, ran[name]))

    phases = {
        "before the hog": BEFORE,
        "from 5 s after its start": UNDER,
        "from 10 s after its end": BACK_AGAIN,
    }
    for name in NAMES:
        for what, phase in phases.items():
            figures.add(f"share of its worker, {name}, {what}", over(name, phase.share), "", where)
        for what, measure in WAITS.items():
            figures.add(f"{what} under the hog, {name}", over(name, measure) * 1e3, "ms p99", where)
        for second in range(END):
            share = over(name, Phase(second, second + 1).share)
            figures.figures.append(Figure(f"{name}, second {second}", share, "", where))
    pairs = list(zip(ran["weighted"], ran["round_robin"], strict=True))
    figures.promise(
        "share under the hog, weighted / round_robin",
        median(UNDER.share(w) / UNDER.share(r) for w, r in pairs),
        0.0,
        round(1 / 3, 3),
        where,
    )
    figures.promise(
        "share after / before the hog, weighted",
        over("weighted", lambda r: BACK_AGAIN.share(r) / BEFORE.share(r)),
        BACK,
        inf,
        where,
    )
    for what, measure in WAITS.items():
        figures.promise(
            f"p99 {what} under the hog, round_robin / weighted",
            median(measure(r) / measure(w) for w, r in pairs),
            2.0,
            inf,
            where,
        )
