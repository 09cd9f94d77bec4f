"""`python -m bench hostile [--keys]`: a live cluster and its worker under each attack of
bench.attacks, and under all of them at once, while an honest client has its work done.

Told are the honest client's tasks a second during each attack against those just before it, and the
brokers' most resident memory during it over the most they had before all attacks. Attackers are on
the same machine: told is, too, how many CPUs they take, and the ratio by CPU that they leave, as if
they were elsewhere and all others had only that part of the machine. At the end the replicas must
hold the same, byte for byte, and the tasks exactly what an honest client asked for.
`HOSTILE=quick` takes a few seconds for each attack rather than ten.

With --keys the brokers have keys, and the attackers come from an address of their own (--source),
by turns without a key and with one that is not let in.
"""

import argparse
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from math import inf
from pathlib import Path

import psutil

from bench.attacks import ATTACKS, attacked
from bench.harness import (
    Figures,
    Peak,
    active_workers,
    client,
    cluster,
    leader,
    statuses,
    wait_until,
)
from bench.overheard import VARIABLE, overhear
from bench.tasks import swallow
from raftwork import App, Run
from raftwork.broker.machine import Machine, create_or_migrate
from raftwork.broker.store import open_store
from raftwork.broker.store.directory import Directory
from raftwork.consensus.core import Position
from raftwork.testing.processes import LocalCluster

#: Seconds of honest work under one attack, and before it.
SECONDS = 2.0 if os.environ.get("HOSTILE") == "quick" else 10.0
BATCH, AHEAD = 1_000, 10
CPUS = os.cpu_count() or 1
ALL = "all of them at once"


class Cpus:
    """How many CPUs a process takes from now on."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._began, self._before = time.monotonic(), self._seconds()

    def used(self) -> float:
        """0 once it has ended."""
        try:
            return (self._seconds() - self._before) / (time.monotonic() - self._began)
        except psutil.NoSuchProcess:
            return 0.0

    def _seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


class Honest:
    """A client that keeps a worker busy, and knows what must come of it."""

    def __init__(self, app: App) -> None:
        self._task = app.named(swallow.name)
        self._under_way: list[list[Run[int]]] = []
        self._count = 0
        #: How many tasks it was told the outcome of, each the right one.
        self.done = 0

    def work(self, seconds: float) -> float:
        """Tasks a second."""
        until, began, before = time.monotonic() + seconds, time.monotonic(), self.done
        while time.monotonic() < until:
            self._count += 1
            self._under_way.append(self._task.enqueue_many([(bytes(self._count % 100),)] * BATCH))
            if len(self._under_way) > AHEAD:
                self._finish_batch()
        return (self.done - before) / (time.monotonic() - began)

    def finish(self) -> None:
        while self._under_way:
            self._finish_batch()

    def _finish_batch(self) -> None:
        number = self._count - len(self._under_way) + 1
        for run in self._under_way.pop(0):
            value = run.result(timeout=120)
            assert value == number % 100, f"{run.id} gave {value}, not {number % 100}"
            self.done += 1


def main(arguments: Sequence[str] = ()) -> Figures:
    parser = argparse.ArgumentParser(prog="python -m bench hostile", description=__doc__)
    parser.add_argument("--keys", action="store_true", help="brokers with keys")
    parser.add_argument(
        "--source",
        default="127.0.0.66",
        help="with --keys, the attackers' address; 127.0.0.1 is the honest client's"
        " (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    figures = Figures("hostile-keys" if options.keys else "hostile")
    connections = 0
    with (
        overheard_cluster(keys=options.keys) as (made, said),
        client(made, timeout=120.0) as app,
    ):
        honest, pids = Honest(app), {name: child.pid for name, child in made.children.items()}
        with Peak(pids) as quiet:
            honest.work(2 * SECONDS)
        source = options.source if options.keys else None
        for name in (*ATTACKS, ALL):
            connections += _measure(figures, name, made, said, honest, quiet.mb, source)
        honest.finish()
        ended = [name for name, child in made.children.items() if not child.alive]
        assert not ended, f"{ended} have ended"
        if options.keys:
            conditions = f"{connections} connections from {source}"
            figures.promise("processes that ended", len(ended), 0, 0, conditions)
        verdict(made, honest.done)
        figures.add("honest tasks, as they should be on all replicas", honest.done, "tasks", "all")
    figures.save()
    return figures


def _measure(
    figures: Figures,
    name: str,
    made: LocalCluster,
    said: Path,
    honest: Honest,
    quiet: dict[str, float],
    source: str | None,
) -> int:
    """The connections that attackers made, where they are counted: from that address, with keys."""
    before = honest.work(SECONDS)
    first = leader(made)
    pids = {name: child.pid for name, child in made.children.items()}
    addresses = list(made.addresses.values())
    counted = made.directory / f"counted-{name.replace(' ', '-')}"
    flags: list[str] = []
    if source is not None:
        flags = ["--key", os.environ["RAFTWORK_KEY"], "--source", source, "--counted", str(counted)]
    only = None if name == ALL else name
    with attacked(addresses, said, only, flags) as pid, Peak(pids) as peak:
        honest.work(1.0)  # until it is at its work
        while source is not None and not counted.exists():
            honest.work(0.1)
        attackers = Cpus(pid)
        during = honest.work(SECONDS)
        taken = attackers.used()
    connections = int(counted.read_text()) if source is not None else 0
    grown = {each: peak.mb[each] - quiet[each] for each in pids}
    followers = [grown[each] for each in made.addresses if each != first]
    left = during / before / (1 - taken / CPUS)
    figures.add(
        name,
        during / before,
        "of quiet",
        "tasks/s; MB more at the most",
        before=before,
        during=during,
        attackers=taken,
        of_left=left,
        leader=grown[first or "a"],
        follower=max(followers),
        worker=grown["w0"],
        same_leader=float(leader(made) == first),
    )
    if source is not None:
        least, conditions = 0.5 if name == ALL else 0.8, f"{connections} connections"
        figures.promise(f"{name}, by the CPUs left", left, least, inf, conditions)
    return connections


@contextmanager
def overheard_cluster(*, keys: bool = False) -> Iterator[tuple[LocalCluster, Path]]:
    """Three brokers and a worker; what it and this process say to them is in the file."""
    with cluster(workers=0, keys=keys) as made:
        said = made.directory / "overheard"
        overhear(said)
        made.start(
            "w0",
            [
                *("worker", "bench.overheard:app", "--brokers", made.brokers, "--name", "w0"),
                *("--pool", "thread", "--concurrency", "2"),
            ],
            env={VARIABLE: str(said)},
        )
        wait_until(lambda: active_workers(made) == 1, 30, "a worker")
        yield made, said


def applied_on_disk(data: Path) -> int:
    """The number of the last entry that a running broker has applied and committed."""
    directory = Directory(data)
    number = directory.current()
    assert number is not None
    where = f"{directory.database(number).as_uri()}?mode=ro"
    with closing(sqlite3.connect(where, uri=True)) as database:
        ((applied,),) = database.execute("SELECT applied_seq FROM store_meta")
    return int(applied)


def verdict(made: LocalCluster, succeeded: int) -> None:
    """Stops the cluster, whose client is done, and compares what its brokers hold.

    Raises AssertionError unless that is the same everywhere, and so many tasks that succeeded.
    """

    applied, on_disk = list[int](), list[int]()

    def alike() -> bool:
        """Whether all have applied the same, and have it on disk: what is only applied may wait."""
        applied[:] = [status.applied for status in statuses(made)]
        on_disk[:] = [applied_on_disk(made.data(name)) for name in made.addresses]
        return len(applied) == len(on_disk) and len({*applied, *on_disk}) == 1

    try:
        wait_until(alike, 60, "all brokers at the same position")
    except TimeoutError as error:
        raise TimeoutError(f"{error}: applied {applied}, on their disks {on_disk}") from None
    for child in made.children.values():  # all of them before any is waited for
        child.signal(signal.SIGKILL)
    for child in made.children.values():
        child.kill()
    digests: dict[str, tuple[Position, bytes]] = {}
    for name in made.addresses:
        store = open_store(
            made.data(name),
            name=name,
            consensus=made.consensus,
            cluster=made.addresses,
            create_machine=create_or_migrate,
        )
        try:
            machine = Machine(store.connection)
            digests[name] = store.applied, machine.digest()
            for queue in machine.queues():
                there = (queue.queued, queue.running, queue.succeeded, queue.failed, queue.lost)
                expected = (0, 0, succeeded if queue.name == "default" else 0, 0, 0)
                assert there == expected, f"{name} has {queue}, and {expected} was asked for"
        finally:
            store.close()
    # Whoever was killed a moment later may have applied one entry more.
    positions = {at for at, _ in digests.values()}
    assert len(set(digests.values())) == len(positions), f"replicas differ: {digests}"
    assert len(positions) < len(digests), f"no two replicas are at the same position: {digests}"


if __name__ == "__main__":
    main()
