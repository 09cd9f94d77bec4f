"""`raftwork status`: brokers, workers and queues at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from raftwork.cli.overview import Overview, observe
from raftwork.cli.values import brokers_option, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from raftwork.messages import WorkerStatus


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@brokers_option
def command(as_json: bool, brokers: str | None) -> None:
    """Show the leader, the brokers, the workers and the queues. Exits 1 without a leader.

    \b
    Example:
      raftwork status --json | jq .leader
    """
    seen = observe(brokers)
    if as_json:
        print_json(seen.document())
    else:
        _print(seen)
    if seen.leader is None:
        raise click.ClickException("no broker says that it leads")


#: Columns of a line that goes to a file or a pipe: nothing is cut off there.
_UNBOUNDED = 10_000


def _print(seen: Overview) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    if seen.leader:
        console.print(f"leader {seen.leader}, epoch {seen.epoch}, {seen.consensus}", markup=False)
    brokers = _table("broker", "address", "role", "epoch", "committed", "applied", "")
    for row in seen.brokers:
        status = row.status
        if status:
            numbers = (status.role, status.epoch, status.committed, status.applied)
            brokers.add_row(row.name, row.address, *map(str, numbers), row.reason)
        else:
            brokers.add_row(row.name, row.address, "unreachable", "–", "–", "–", row.reason)
    load = ("running", "weight", "cpu", "others", "memory")  # of the CPU, what is not Raftwork's
    workers = _table("worker", "host", "pid", *load, "queues", "")
    for w in seen.workers:
        shares = map(_share, (w.cpu, w.others, w.memory))
        facts = (f"{w.running}/{w.slots}", f"{w.weight:.2f}", *shares)
        workers.add_row(w.name, w.host, str(w.pid), *facts, ",".join(w.queues), _state(w))
    queues = _table("queue", "queued", "running", "succeeded", "failed", "lost")
    for q in seen.queues:
        queues.add_row(q.name, *map(str, (q.queued, q.running, q.succeeded, q.failed, q.lost)))
    for table in (brokers, workers, queues):
        if table.row_count:
            console.print(table, markup=False)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _state(worker: WorkerStatus) -> str:
    """The state, and why it gets less than it could take."""
    return ", ".join(filter(None, (worker.state, worker.reason)))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
