"""Where the time of one task goes: what each process does meanwhile, and when.

    python -m bench path [--tasks 500] [--consensus raft] [--share 0.6]

Tasks with their results, one after the other, from one thread. Every process notes when it wakes
and waits, reads and writes which frame, commits, and runs the code; all share one clock. Printed is
the median moment of each event after the call of `enqueue`, of those that at least this share of
all tasks has. To note an event takes about a microsecond, and there are two hundred a task: so all
of it is a little slower than it is.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.compare import working_tree
from bench.harness import Figures
from bench.turn import Side

BEGIN, END = "enqueue is called", "result returns"


class Event(NamedTuple):
    """Something that happened in a process: when (ns), where, and what."""

    at: int
    role: str
    what: str


class Step(NamedTuple):
    """The same event of many tasks: how long after the begin (µs), and in what share of them."""

    median_us: float
    role: str
    what: str
    share: float


def tasks(events: Sequence[Event]) -> list[list[Event]]:
    """The events from each task's begin to its end, in order."""
    found: list[list[Event]] = []
    current: list[Event] | None = None
    for event in sorted(events):
        if event.what == BEGIN:
            current = []
        if current is not None:
            current.append(event)
        if event.what == END and current is not None:
            found.append(current)
            current = None
    return found


def steps(events: Sequence[Event], share: float) -> list[Step]:
    """What most tasks have in common, in the order of its median moment."""
    every = tasks(events)
    moments: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
    for task in every:
        seen: Counter[tuple[str, str]] = Counter()
        for event in task:
            seen[event.role, event.what] += 1
            key = event.role, event.what, seen[event.role, event.what]
            moments[key].append(event.at - task[0].at)
    return sorted(
        Step(statistics.median(at) / 1e3, role, what, len(at) / len(every))
        for (role, what, _), at in moments.items()
        if len(at) >= share * len(every)
    )


def noted(directory: Path, pids: dict[str, int], word: bytes) -> list[Event]:
    """Start or stop the noting in all processes; what happened."""
    events: list[Event] = []
    for role, pid in pids.items():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(directory / str(pid)))
            connection.sendall(word)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        events += (Event(at, role, what) for at, what in json.loads(answer))
    return events


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench path")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--consensus", choices=["raft", "zab"], default="raft")
    parser.add_argument("--share", type=float, default=0.6, help="of tasks that have an event")
    options = parser.parse_args(arguments)
    figures = Figures("path")
    with tempfile.TemporaryDirectory(prefix="raftwork-bench-") as name:
        directory = Path(name)
        side = Side(working_tree(directory), directory, options.consensus, "tracing")
        try:
            side.load("result", 200)
            noted(directory, side.pids, b"start")
            side.load("result", options.tasks)
            events = noted(directory, side.pids, b"stop")
        finally:
            side.close()
    where = f"{options.consensus}, {options.tasks} one after the other"
    before = 0.0
    for step in steps(events, options.share):
        passed, before = step.median_us - before, step.median_us
        what = f"{step.role} {step.what}"
        figures.add(what, step.median_us, "µs", where, passed=passed, share=step.share)
    figures.save()
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
