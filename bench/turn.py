"""What one task costs each process: turns, transactions, calls, system calls and CPU time.

    python -m bench turn [--rev REV] [--tasks 1000] [--consensus raft] [--top 40]

Two loads, one task at a time from one thread: an acknowledged enqueue that no worker serves, and a
task with its result. Each is run three times, as counting disturbs: for CPU time (the scheduler's
own count, of all threads), for calls (cProfile, built-in functions among them: of the main thread,
and of the client's own as well), and for system calls (strace, all threads; left out where it is
not installed). With --rev that commit's sources are counted instead of the working tree's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.compare import Tree, revision, working_tree
from bench.harness import Figures
from raftwork.testing.processes import free_addresses

#: What counts as a turn, a transaction and so on: the ends of functions' names in a profile.
TURN = re.compile(r"broker/server\.py:\d+ _turn$|worker/main\.py:\d+ _turn$")
TRANSACTION = re.compile(r"store/generation\.py:\d+ commit$")
STATEMENT = re.compile(r"method 'execute(many)?' of '(apsw|sqlite3)\.")
FRAME_OUT = re.compile(r"'send(_multipart)?' of '.*Socket'|socket\.py:\d+ send_multipart$")
LOADS = ("enqueue", "result")


class Count(NamedTuple):
    """Per task."""

    cpu_us: float
    calls: float
    turns: float
    transactions: float
    statements: float
    syscalls: float


def cpu_ns(pid: int) -> int:
    """CPU time of a process's threads so far."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def say(directory: Path, pid: int, word: bytes) -> dict[str, int]:
    """Start or stop the counting in one process; the calls by function."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(directory / str(pid)))
        connection.sendall(word)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    counts: dict[str, int] = json.loads(answer)
    return counts


@contextmanager
def strace(pids: Sequence[int], directory: Path) -> Iterator[dict[int, int]]:
    """Counts the system calls of these processes meanwhile, by pid."""
    found: dict[int, int] = {}
    out = {pid: directory / f"strace-{pid}" for pid in pids}
    traced = [
        subprocess.Popen(
            ["strace", "-c", "-f", "-p", str(pid), "-o", str(path)],
            stderr=subprocess.DEVNULL,
        )
        for pid, path in out.items()
    ]
    time.sleep(0.5)
    try:
        yield found
    finally:
        for each in traced:
            each.terminate()
            each.wait()
        for pid, path in out.items():
            total = re.search(r"([\d.]+)\s+\d+\s+(\d+)\s+\d*\s*total", path.read_text())
            found[pid] = int(total[2]) if total else 0


class Side:
    """A cluster and a client of one tree; `load` runs tasks through it.

    `hooks` names what each process does besides: counting calls, or tracing.
    """

    def __init__(
        self, tree: Tree, directory: Path, consensus: str, hooks: str = "counting"
    ) -> None:
        self.directory = directory
        hooked = Path(__file__).parent / hooks
        paths = os.pathsep.join(map(str, (hooked, tree.source, directory)))
        shutil.copy(Path(__file__).parent / "driver.py", directory)
        env = os.environ | {
            "PYTHONPATH": paths,
            "RAFTWORK_BROKERS": ",".join(free_addresses(3)),
            {"counting": "COUNT_IN", "tracing": "TRACE_IN"}[hooks]: str(directory),
        }
        self.client = subprocess.Popen(
            [tree.python, "-P", "-c", _CLIENT, consensus],
            cwd=directory,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        roles = json.loads(self._line())
        self.pids: dict[str, int] = roles | {"client": self.client.pid}

    def _line(self) -> str:
        assert self.client.stdout is not None
        return self.client.stdout.readline()

    def load(self, what: str, tasks: int, *, counted: bool = False) -> dict[str, int]:
        """Run it; the client's calls by function, if they are to be counted."""
        assert self.client.stdin is not None
        self.client.stdin.write(f"{what} {tasks} {'counted' if counted else 'uncounted'}\n")
        self.client.stdin.flush()
        line = self._line()
        if not line:
            raise RuntimeError("the client ended")
        counts: dict[str, int] = json.loads(line)
        return counts

    def close(self) -> None:
        self.client.communicate(timeout=30)

    # ---- counting ---------------------------------------------------------------------------

    def cpu(self, what: str, tasks: int) -> dict[str, float]:
        before = {role: cpu_ns(pid) for role, pid in self.pids.items()}
        self.load(what, tasks)
        spent = {role: cpu_ns(pid) - before[role] for role, pid in self.pids.items()}
        return {role: ns / tasks / 1e3 for role, ns in spent.items()}

    def calls(self, what: str, tasks: int) -> dict[str, dict[str, int]]:
        counted = {role: pid for role, pid in self.pids.items() if role != "client"}
        for pid in counted.values():
            say(self.directory, pid, b"start")
        client = self.load(what, tasks, counted=True)
        others = {role: say(self.directory, pid, b"stop") for role, pid in counted.items()}
        return others | {"client": client}

    def syscalls(self, what: str, tasks: int) -> dict[str, float]:
        if shutil.which("strace") is None:
            return dict.fromkeys(self.pids, float("nan"))
        with strace(list(self.pids.values()), self.directory) as found:
            self.load(what, tasks)
        return {role: found[pid] / tasks for role, pid in self.pids.items()}


_CLIENT = """
import json, subprocess, sys
from pathlib import Path
try:
    import client_calls
except ImportError:  # an older commit's client begins its thread otherwise
    client_calls = None
import driver

with driver.cluster(Path.cwd(), sys.argv[1]) as (_, *children):
    asked = [sys.executable, "-m", "raftwork", "status", "--json"]
    leads = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)["leader"]
    roles = {}
    for name, child in zip("abc", children):
        other = "follower 2" if "follower" in roles else "follower"
        roles["leader" if name == leads else other] = child.pid
    print(json.dumps(roles | {"worker": children[3].pid}), flush=True)
    for line in sys.stdin:
        what, tasks, how = line.split()

        def load(count):
            for _ in range(count):
                if what == "enqueue":
                    driver.kept.enqueue()
                else:
                    driver.noop.enqueue().result(timeout=60)

        counts = {}
        if how == "counted" and client_calls is not None:
            counts = client_calls.counted(driver.app, load, int(tasks))
        else:
            load(int(tasks))
        print(json.dumps(counts), flush=True)
"""


def count(side: Side, what: str, tasks: int, top: int) -> dict[str, Count]:
    """Each role's cost of one task under a load."""
    side.load(what, 200)
    cpu = side.cpu(what, tasks)
    profiles = side.calls(what, tasks)
    syscalls = side.syscalls(what, max(tasks // 4, 50))
    counted: dict[str, Count] = {}
    for role, cpu_us in cpu.items():
        calls = profiles.get(role, {})
        if top and role in ("leader", "follower", "worker", "client"):
            print(f"\n{role}, {what}: calls a task")
            for name, number in sorted(calls.items(), key=lambda item: -item[1])[:top]:
                print(f"  {number / tasks:8.2f} {name}")
        counted[role] = Count(
            cpu_us,
            sum(calls.values()) / tasks,
            _matching(calls, TURN) / tasks,
            _matching(calls, TRANSACTION) / tasks,
            _matching(calls, STATEMENT) / tasks,
            syscalls[role],
        )
    return counted


def _matching(calls: dict[str, int], names: re.Pattern[str]) -> int:
    return sum(number for name, number in calls.items() if names.search(name))


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench turn")
    parser.add_argument("--rev", help="count this commit instead of the working tree")
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--consensus", choices=["raft", "zab"], default="raft")
    parser.add_argument("--top", type=int, default=0, help="also the functions called most")
    parser.add_argument("--only", choices=LOADS, help="only this load")
    options = parser.parse_args(arguments)
    figures = Figures("turn")
    with tempfile.TemporaryDirectory(prefix="raftwork-bench-") as name:
        directory = Path(name)
        tree = revision(options.rev, directory) if options.rev else working_tree(directory)
        side = Side(tree, directory, options.consensus)
        try:
            for what in [options.only] if options.only else LOADS:
                counted = count(side, what, options.tasks, options.top)
                where = f"{options.consensus}, {options.tasks} one after the other"
                for role, cost in counted.items():
                    more = cost._asdict()
                    figures.add(f"{what}: {role}", more.pop("cpu_us"), "µs CPU", where, **more)
                total = sum(cost.cpu_us for cost in counted.values())
                figures.add(f"{what}: all", total, "µs CPU", where)
        finally:
            side.close()
    figures.save()
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
