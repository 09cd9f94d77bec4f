"""A follower that was down: how long from its start until it has all the leader has."""

import threading
import time
from itertools import count

from bench.consensus.table import CONTENDERS, Contender, Table
from bench.harness import client, cluster, leader, statuses, wait_until
from bench.tasks import noop
from raftwork import App
from raftwork.testing.processes import LocalCluster

#: Entries missed; the most by clusters of three only, because making them takes a minute or more.
_MISSED = (1_000, 100_000)
_THREADS = 16


def main(table: Table, quick: bool) -> None:
    for who in CONTENDERS:
        sizes = _MISSED[:1] if quick or who.replicas > 3 else _MISSED
        with (
            cluster(brokers=who.replicas, workers=0, consensus=who.protocol) as made,
            client(made) as app,
        ):
            for size in sizes:
                _measure(table, who, made, app, size)


def _measure(table: Table, who: Contender, made: LocalCluster, app: App, size: int) -> None:
    leading = leader(made)
    name = next(name for name in made.addresses if name != leading)
    made.children[name].kill()
    missed = _commit(made, app, size)
    began = time.monotonic()
    made.start_broker(name)
    wait_until(lambda: _level(made, name), 120, f"{name} with all entries")
    table.add(
        f"start of a follower that missed {size:,} entries → it has them", who,
        time.monotonic() - began, "s", f"{missed:,} entries; the start of the process included",
    )  # fmt: skip


def _applied(made: LocalCluster) -> int:
    """Of the leader; its epoch stays the same, so only the number of entries changes it."""
    return next((status.applied for status in statuses(made) if status.active), 0)


def _commit(made: LocalCluster, app: App, entries: int) -> int:
    """Enqueue until the log has grown by so many; gives by how many it did."""
    task = app.task(name=noop.name, queue="unserved")(noop.function)
    enough = threading.Event()

    def enqueue() -> None:
        while not enough.is_set():
            task.enqueue()

    first = _applied(made)
    threads = [threading.Thread(target=enqueue) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    try:
        for _ in count():
            if _applied(made) - first >= entries:
                break
            time.sleep(0.2)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    return _applied(made) - first


def _level(made: LocalCluster, name: str) -> bool:
    found = {status.name: status for status in statuses(made)}
    back = found.get(name)
    return (
        back is not None
        and back.role == "follower"
        and back.applied == max(status.applied for status in found.values())
    )
