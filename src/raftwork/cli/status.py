"""`raftwork status`: brokers, workers and queues at a glance."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import click

from raftwork.cli.output import err, new_screen, out, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import Seconds, brokers_option, patience_option, print_json
from raftwork.client.overview import Overview, observe, unraised, unserved
from raftwork.messages import QueueStatus

#: Seconds between two looks with `--watch`, and at least.
WATCH_S: Final = 2.0
_WATCH_MIN_S: Final = 0.1


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; with --watch one a line.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=WATCH_S,
    type=Seconds(least=_WATCH_MIN_S),
    metavar="[S]",
    help=f"Show it again every S ({WATCH_S:g}) seconds, until Ctrl-C.",
)
@patience_option
@brokers_option
def command(as_json: bool, watch: float | None, timeout: float, brokers: str | None) -> None:
    """Show the leader, the brokers, the workers and the queues.

    Exits 1 without a leader. Columns for which a terminal has no room are left out, names and
    reasons go below their line; what goes to a file or a pipe has all columns.

    \b
    Example:
      raftwork status --json | jq .leader
      raftwork status --watch
    """
    if watch is not None:
        _watch(brokers, timeout, watch, as_json=as_json)
        return
    seen = observe(brokers, timeout)
    _show(seen, as_json=as_json)
    if seen.leader is None:
        raise click.ClickException(seen.headless())


def _watch(brokers: str | None, timeout: float, every: float, *, as_json: bool) -> None:
    """Until it is interrupted: on a terminal in the same place, else one after the other."""
    first = True
    with suppress(KeyboardInterrupt):
        while True:
            began = time.monotonic()
            seen = observe(brokers, timeout)
            if not as_json:
                if not new_screen() and not first:
                    out("")
                out(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}, every {every:g} s; Ctrl-C ends it")
            _show(seen, as_json=as_json)
            if seen.leader is None:
                err(seen.headless())
            first = False
            time.sleep(max(0.0, began + every - time.monotonic()))


def _show(seen: Overview, *, as_json: bool) -> None:
    if as_json:
        print_json(seen.document())
    else:
        _print(seen)
    for text in (*unserved(seen), *unraised(seen)):
        err(text)


_BROKERS = (
    Column("broker"),
    Column("address", 3, Overflow.WHOLE),
    Column("role", 1),
    Column("epoch", 2, right=True),
    Column("committed", 5, right=True),
    Column("applied", 4, right=True),
    Column("why", 6, Overflow.WRAPPED),  # others do not reach it, or it was not asked
)
_WORKERS = (
    Column("worker"),
    Column("host", 8),
    Column("pid", 6, right=True),
    Column("running", 2, right=True),
    Column("weight", 7, right=True),
    Column("cpu", 4, right=True),
    Column("others", 9, right=True),  # of the CPU, what is not Raftwork's
    Column("memory", 5, right=True),
    Column("queues", 3, Overflow.WRAPPED),
    Column("state", 1),
    Column("why", 10, Overflow.WRAPPED),  # it gets less than it could take
)
_QUEUES = (
    Column("queue"),
    Column("queued", 1, right=True),
    Column("running", 2, right=True),
    Column("succeeded", 5, right=True),
    Column("failed", 3, right=True),
    Column("lost", 4, right=True),
    Column("scheduled", 6, right=True),
    Column("blocked", 8, right=True),
    Column("cancelled", 7, right=True),
)


def _print(seen: Overview) -> None:
    if seen.leader:
        out(f"leader {seen.leader}, epoch {seen.epoch}, {seen.consensus}")
    elif any(row.status for row in seen.brokers):
        out("no leader; what the queues hold is what the most advanced broker knows")
    else:
        out("no leader, and no broker answers")
    queues = [_queue(q) for q in seen.queues]
    for columns, rows in (
        (_BROKERS, _brokers(seen)),
        (_WORKERS, _workers(seen)),
        (_QUEUES, queues),
    ):
        if rows:
            out("")
            out_table(columns, rows)


def _brokers(seen: Overview) -> list[tuple[str, ...]]:
    rows = []
    for row in seen.brokers:
        status = row.status
        facts: tuple[object, ...] = ("unreachable", "–", "–", "–")
        if status:
            facts = (status.role, status.epoch, status.committed, status.applied)
        rows.append((row.name, row.address, *map(str, facts), row.reason))
    return rows


def _workers(seen: Overview) -> list[tuple[str, ...]]:
    rows = []
    for w in seen.workers:
        load = (
            f"{w.running}/{w.slots}",
            f"{w.weight:.2f}",
            *map(_share, (w.cpu, w.others, w.memory)),
        )
        rows.append((w.name, w.host, str(w.pid), *load, ", ".join(w.queues), w.state, w.reason))
    return rows


def _queue(q: QueueStatus) -> tuple[str, ...]:
    ends = (q.succeeded, q.failed, q.lost)
    counts = (q.queued, q.running, *ends, q.scheduled, q.blocked, q.cancelled)
    return (q.name, *map(str, counts))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
