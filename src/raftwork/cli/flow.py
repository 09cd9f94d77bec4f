"""`raftwork flow`: look at flows, cancel them, retry them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import count, out, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import Seconds
from raftwork.client.cancelling import GRACE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.client.flow import NodeInfo
    from raftwork.client.status import Status

_COLUMNS = (
    Column("id"),
    Column("task", 1, Overflow.WHOLE),
    Column("state", 2),
    Column("needs", 3, Overflow.CLIPPED),
)


@click.group("flow")
def command() -> None:
    """Look at flows, cancel them, run again what failed.

    \b
    Example:
      raftwork flow show order-7
    """


@command.command("show")
@click.argument("flow_id", metavar="ID")
@shows
def show(cluster: Cluster, flow_id: str) -> Shown:
    """Show a flow's tasks, and what each of them waits for, or waited.

    Exits 1 for an id that is not known (any more).

    \b
    Example:
      raftwork flow show order-7
      raftwork flow show order-7 --json | jq -r '.nodes[].id'
    """
    flow = cluster.app.flow(flow_id)
    nodes = flow.nodes()
    status = flow.status()
    return Shown(_document(flow_id, status, nodes), lambda: _print(flow_id, status, nodes))


@command.command("cancel")
@click.argument("flow_id", metavar="ID")
@click.option(
    "--grace",
    type=Seconds(none=True),
    default=GRACE_S,
    show_default=True,
    metavar="S",
    help="Seconds that code which runs has to end.",
)
@shows
def cancel(cluster: Cluster, flow_id: str, grace: float) -> Shown:
    """End all tasks of a flow, and print how many were ended or asked to end.

    \b
    Example:
      raftwork flow cancel order-7
    """
    cancelled = cluster.app.flow(flow_id).cancel(grace)
    return Shown({"cancelled": cancelled}, lambda: out(str(cancelled)))


@command.command("retry")
@click.argument("flow_id", metavar="ID")
@shows
def retry(cluster: Cluster, flow_id: str) -> Shown:
    """Run what has no value in a flow once more, and print the id of the flow that does so.

    It shares what has succeeded. The flow must have ended; asked twice it is retried once.

    \b
    Example:
      raftwork flow retry order-7
    """
    again = cluster.app.flow(flow_id).retry()
    return Shown({"id": again.id}, lambda: out(again.id))


def _document(flow_id: str, status: Status, nodes: Sequence[NodeInfo]) -> dict[str, object]:
    return {
        "id": flow_id,
        "status": status.value,
        "nodes": [
            {
                "id": node.id,
                "name": node.name,
                "status": node.status.value,
                "needs": list(node.needs),
            }
            for node in nodes
        ],
    }


def _print(flow_id: str, status: Status, nodes: Sequence[NodeInfo]) -> None:
    out(f"{flow_id}  {status.value}, {count(len(nodes), 'node')}")
    if nodes:
        out_table(_COLUMNS, [_row(node) for node in nodes])


def _row(node: NodeInfo) -> tuple[str, ...]:
    return node.id, node.name or "(join)", node.status.value, ", ".join(node.needs)
