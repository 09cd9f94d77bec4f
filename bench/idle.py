"""What a cluster at rest takes: share of a core and wakeups a second of each process.

    python -m bench idle [--seconds 60] [--consensus raft]

Three brokers, two workers with their pools, and a client that has enqueued once and waits. A wakeup
is a voluntary context switch of any thread, libzmq's among them; CPU time is the scheduler's own
count in nanoseconds, as ticks of 10 ms are too coarse here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.harness import Figures, cluster, leader, wait_until

#: Before it is measured: what starting left to do is done by then.
SETTLE_S = 5
CLIENT = """
import sys, time
from raftwork import App
app = App()
app.task(name="bench.idle", queue="nobody-serves-this")(lambda: None).enqueue()
print("ready", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process and its descendants took so far."""

    cpu_s: float
    wakeups: int

    @classmethod
    def by(cls, pid: int) -> Spent:
        cpu_ns = wakeups = 0
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            for thread in Path(f"/proc/{each.pid}/task").iterdir():
                with suppress(FileNotFoundError):  # a thread that has ended
                    cpu_ns += int((thread / "schedstat").read_text().split()[0])
                    fields = (thread / "status").read_text().split("\nvoluntary_ctxt_switches:")
                    wakeups += int(fields[1].split()[0])
        return cls(cpu_ns / 1e9, wakeups)


def measure(consensus: str, seconds: float, figures: Figures) -> None:
    with cluster(workers=2, pool="process", consensus=consensus) as made:
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            env=os.environ | {"RAFTWORK_BROKERS": made.brokers},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert client.stdout is not None
            client.stdout.readline()
            time.sleep(SETTLE_S)
            wait_until(lambda: leader(made) is not None, 10, "a leader")
            first = leader(made)
            pids = {name: child.pid for name, child in made.children.items()}
            pids["client"] = client.pid
            began, before = time.monotonic(), {n: Spent.by(pid) for n, pid in pids.items()}
            time.sleep(seconds)
            passed = time.monotonic() - began
            after = {n: Spent.by(pid) for n, pid in pids.items()}
            assert leader(made) == first, "the leader changed: this was no rest"
        finally:
            client.kill()
            client.wait()
    where = f"{consensus}, {passed:.0f} s at rest"
    total_cpu = total_wakeups = 0.0
    for name in pids:
        cpu = (after[name].cpu_s - before[name].cpu_s) / passed * 100
        wakeups = (after[name].wakeups - before[name].wakeups) / passed
        total_cpu, total_wakeups = total_cpu + cpu, total_wakeups + wakeups
        figures.add(_role(name, first), cpu, "% core", where, wakeups=wakeups)
    figures.add("all", total_cpu, "% core", where, wakeups=total_wakeups)


def _role(name: str, leads: str | None) -> str:
    if name == "client":
        return name
    if name.startswith("w"):
        return f"worker {name}"
    return f"{'leader' if name == leads else 'follower'} {name}"


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench idle")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--consensus", choices=["raft", "zab"], help="only this one")
    options = parser.parse_args(arguments)
    figures = Figures("idle")
    for consensus in [options.consensus] if options.consensus else ["raft", "zab"]:
        measure(consensus, options.seconds, figures)
    figures.save()
    return figures
