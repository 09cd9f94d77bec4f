"""`python -m bench limited [--rounds N]`: a key that may enqueue 100 tasks a second, beside others.

Three brokers with keys, a worker and an honest client; and a client whose key is limited: one that
waits while it is refused (`when_full="wait"`), and one that asks again as fast as it is refused.
Told are the honest tasks a second with it against those just before, by the CPUs that it leaves,
and how many tasks of it were taken, against its rate.

Who waits has several threads: beside an honest client that keeps the brokers as busy as they can
be, an enqueue takes some 20 ms, so one after the other makes fewer than the rate, limited or not.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Literal

from bench.harness import ROOT, Figures, client, cluster
from bench.hostile import BATCH, CPUS, Cpus, Honest
from bench.tasks import noop
from raftwork import App, QueueFull
from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.edit_access import allowed, write_access
from raftwork.keys import Role, new_key, read_key, write_key
from raftwork.testing.processes import LocalCluster

RATE = 100
STEP_S = 4.0
#: Threads of the client that waits, each with one enqueue at a time.
CALLERS = 32


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench limited", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="before and during (default 5)")
    options = parser.parse_args(arguments)
    figures = Figures("limited")
    with cluster(keys=True) as made, client(made, timeout=120.0) as app:
        key = _limited_key(made)
        honest = Honest(app)
        honest.work(STEP_S)
        for how, least in (("waits", 0.95), ("asks again at once", 0.0)):
            _measure(figures, made, honest, [str(key), how], options.rounds, least)
        honest.finish()
    figures.save()
    return figures


def _measure(
    figures: Figures,
    made: LocalCluster,
    honest: Honest,
    client: Sequence[str],
    rounds: int,
    least: float,
) -> None:
    ratios, taken, seconds = [], 0, 0.0
    waits = client[-1] == "waits"
    for _ in range(rounds):
        before = honest.work(STEP_S)
        command = [sys.executable, "-m", "bench.limited", made.brokers, *client]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as limited:
            assert limited.stdout is not None
            limited.stdout.readline()  # it is at its work
            cpus = Cpus(limited.pid)
            during = honest.work(STEP_S)
            used = cpus.used()
            out, _ = limited.communicate()
        count, took = out.split()
        taken, seconds = taken + int(count), seconds + float(took)
        ratios.append(during / before / max(0.1, 1 - used / CPUS))
    how = client[-1]
    conditions = f"{rounds} rounds, {min(ratios):.2f} to {max(ratios):.2f}, batches of {BATCH}"
    name = f"honest tasks beside one that {how}, by the CPUs left"
    figures.promise(name, statistics.median(ratios), least, inf, conditions)
    share, conditions = taken / (RATE * seconds), f"{taken} in {seconds:.1f} s"
    # A second's worth may come at once; and a request is let in whole while nothing is owed, which
    # is made up for later (broker/access/rates.py). Here it may carry a task of each other caller.
    over = RATE + (CALLERS - 1 if waits else 0)
    most = 1 + rounds * over / (RATE * seconds)
    figures.promise(f"taken of one that {how}, of its rate", share, 0, most, conditions)
    if waits:
        figures.promise(f"taken of one that {how}, of its rate", share, 0.95, inf, conditions)


def _limited_key(made: LocalCluster) -> Path:
    access = made.directory / "access.toml"
    known = read_key(os.environ["RAFTWORK_KEY"])
    key = new_key("limited", [Role.CLIENT], brokers=known.brokers)
    path = made.directory / "limited.key"
    write_key(key, str(path))
    text = allowed(access.read_text(), str(access), Grant(key.name, key.roles), key.public)
    marker = '[keys."limited"]\n' if '[keys."limited"]' in text else "[keys.limited]\n"
    text = text.replace(marker, f"{marker}tasks_per_second = {RATE}\n")
    assert "tasks_per_second" in text, text
    write_access(str(access), text)
    for name in made.addresses:
        os.kill(made.children[name].pid, 1)  # SIGHUP
    return path


def enqueue(brokers: str, key: str, how: str) -> None:
    """Enqueue until standard input ends; print how many were taken, and in how many seconds."""
    waits = how == "waits"
    when_full: Literal["wait", "raise"] = "wait" if waits else "raise"
    ends, counts = threading.Event(), list[int]()

    def call() -> None:
        count = 0
        while not ends.is_set():
            try:
                task.enqueue()
            except QueueFull:
                continue
            count += 1
        counts.append(count)

    with App(brokers, timeout=30.0, key=key) as app:
        task = app.named(noop.name, when_full=when_full)
        task.enqueue()
        callers = [threading.Thread(target=call) for _ in range(CALLERS if waits else 1)]
        began = time.monotonic()
        for each in callers:
            each.start()
        print("works", flush=True)
        sys.stdin.read()
        ends.set()
        for each in callers:
            each.join()
        print(sum(counts), time.monotonic() - began, flush=True)


if __name__ == "__main__":
    enqueue(*sys.argv[1:])
