"""Microseconds per task that the queue machine costs one replica, at a small and a large backlog.

    python -m bench.machine [--batch 100] [--rounds 300] [--backlogs 1000,1000000]

Each round is three log entries: a batch is enqueued, as many tasks are assigned and finished. Each
entry is one transaction on a real file, as it would be at the lowest load; `commit` is what that
transaction costs on top, which busier replicas share among many entries.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from uuid import UUID

import apsw

from raftwork.broker.machine import Machine, create_or_migrate
from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Finish,
    encode_batch,
)
from raftwork.features.enqueue import Admit, check
from raftwork.messages import Spec, encode_spec
from raftwork.release import LEVELS
from raftwork.wire import pack

SPEC = encode_spec(Spec("bench.task", "default"))
WORKER = bytes(16)
START = 1_800_000_000_000


def task_id(number: int) -> str:
    """A UUIDv7 of the millisecond in which task `number` of 10,000 a second was made."""
    scrambled = number * 0x9E3779B97F4A7C15 % 2**62
    return str(UUID(int=(START + number // 10) << 80 | 7 << 76 | 2 << 62 | scrambled))


class Bench:
    """A machine on a file, with a clock of its own for each step."""

    def __init__(self, path: Path, batch: int) -> None:
        self.db = apsw.Connection(str(path))
        self.db.execute("PRAGMA journal_mode = wal; PRAGMA synchronous = normal")
        self.db.execute("PRAGMA cache_size = -65536")
        create_or_migrate(self.db, level=LEVELS.most)
        self.machine = Machine(self.db)
        self.batch = batch
        self.made = 0
        self.spent: dict[str, list[float]] = {}

    def clock(self, step: str, work: Callable[[], object]) -> None:
        begin = perf_counter()
        work()
        self.spent.setdefault(step, []).append(perf_counter() - begin)

    def entry(self, step: str, command: Command) -> None:
        data = encode_batch(START + self.made // 10, [command])
        self.db.execute("BEGIN IMMEDIATE")
        self.clock(step, lambda: self.machine.apply(data))
        self.clock(f"{step} flush", self.machine.flush)
        self.clock(f"{step} commit", lambda: self.db.execute("COMMIT"))

    def enqueue(self, count: int) -> None:
        tasks = pack([(task_id(self.made + i), b"p" * 40) for i in range(count)])
        self.made += count
        self.clock("validate", lambda: check(self.machine.state, SPEC, tasks))
        self.entry("enqueue", Admit(START + self.made // 10, SPEC, tasks))

    def round(self) -> None:
        self.enqueue(self.batch)
        tasks = []
        self.clock(
            "read waiting",
            lambda: tasks.extend(self.machine.waiting("default", 0, self.batch, 1 << 24)),
        )
        self.entry("assign", Assign(WORKER, [task.seq for task in tasks]))
        tokens = [run.token for run in self.machine.running()]
        self.entry("finish", Finish([(token, b"result") for token in tokens]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--backlogs", default="1000,1000000")
    options = parser.parse_args()
    for backlog in map(int, options.backlogs.split(",")):
        with tempfile.TemporaryDirectory() as directory:
            report(backlog, Bench(Path(directory, "machine.db"), options.batch), options.rounds)


def report(backlog: int, bench: Bench, rounds: int) -> None:
    while bench.made < backlog:
        bench.enqueue(min(10_000, backlog - bench.made))
    bench.spent.clear()
    for _ in range(rounds):
        bench.round()
    print(f"backlog {backlog:,}, batches of {bench.batch}: µs per task, median round")
    cost = {
        step: median(seconds) * len(seconds) / rounds / bench.batch * 1e6
        for step, seconds in bench.spent.items()
    }
    for step, microseconds in cost.items():
        print(f"  {step:16}{microseconds:7.2f}")
    life = sum(cost[step] + cost[f"{step} flush"] for step in ("enqueue", "assign", "finish"))
    print(f"  {'life':16}{life:7.2f}   enqueue + assign + finish + flush")
    begin = perf_counter()
    Machine(bench.db)
    print(f"  {'restart':16}{(perf_counter() - begin) * 1e3:7.2f} ms\n")


if __name__ == "__main__":
    main()
