"""`raftwork audit`: what was done, by whom, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.client.audit import entries
from raftwork.features.audit import ROWS_MAX

_COLUMNS: Final = (
    Column("at", 1, Overflow.WHOLE),
    Column("who", 2),
    Column("what", 4, Overflow.WRAPPED),
    Column("outcome", 3, Overflow.WRAPPED),
)


@click.command("audit")
@click.option(
    "--limit",
    type=click.IntRange(1, 2 * ROWS_MAX),
    default=100,
    show_default=True,
    metavar="N",
    help="So many of the newest.",
)
@shows
def command(cluster: Cluster, limit: int) -> Shown:
    """Show what was done, and by whom, newest first.

    That is what only admins may do, and what users of dashboards did; each broker keeps 10,000 rows
    of either, and of more the oldest goes of whoever has the most. Without keys nobody knows who an
    admin was, and there is only what dashboards tell of their users. What was refused for want of a
    right is in the brokers' logs.

    \b
    Example:
      raftwork audit --limit 20
    """
    found = list(entries(cluster.app, limit))
    document = [asdict(each) | {"at": each.at.isoformat(timespec="milliseconds")} for each in found]
    rows = [
        (each.at.isoformat(timespec="seconds"), each.who, each.what, each.outcome) for each in found
    ]
    return Shown(document, lambda: out_table(_COLUMNS, rows))
