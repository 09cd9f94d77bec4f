"""`raftwork tasks`: the newest tasks, those of a state, a name, a queue or a tag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import err, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import parse_tag
from raftwork.client.run_info import FilterFields
from raftwork.client.status import Status
from raftwork.client.task_documents import summary_document
from raftwork.durations import in_words

if TYPE_CHECKING:
    from raftwork.client.run_info import RunInfo

_LIMIT_MAX = 10_000
#: Seconds.
_BUDGET_S = 0.25
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

_COLUMNS = (
    Column("id"),
    Column("task", 2, Overflow.WHOLE),
    Column("queue", 5, Overflow.WHOLE),
    Column("state", 1),
    Column("attempt", 6, right=True),
    Column("worker", 4, Overflow.WHOLE),
    Column("ran", 3, right=True),
    Column("error", 7, Overflow.CLIPPED),
    Column("number", 8, right=True),
)


def _age(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """`90`, `90s`, `15m`, `1h` or `7d` in seconds."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no age such as 90s, 15m, 1h or 7d", ctx, option)
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def _tag(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    try:
        return parse_tag(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


@click.command("tasks")
@click.option(
    "--state",
    type=click.Choice([status.value for status in Status]),
    metavar="S",
    help="Only of this state.",
)
@click.option("--name", metavar="GLOB", help="Only of such a name: `mail.*`, in quotes.")
@click.option("--queue", metavar="Q", help="Only of this queue.")
@click.option("--tag", callback=_tag, metavar="K=V", help="Only with this tag.")
@click.option(
    "--since", callback=_age, metavar="AGE", help="Only enqueued since: 90s, 15m, 1h, 7d."
)
@click.option("--worker", metavar="NAME", help="Only what this worker has, or had last.")
@click.option("--error", metavar="TEXT", help="Only with this in the beginning of its error.")
@click.option(
    "--limit", type=click.IntRange(1, _LIMIT_MAX), default=50, show_default=True, metavar="N"
)
@click.option(
    "--before",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Only tasks older than the one that has this `number`.",
)
@shows
def command(
    cluster: Cluster,
    state: str | None,
    name: str | None,
    queue: str | None,
    tag: tuple[str, str] | None,
    since: float | None,
    worker: str | None,
    error: str | None,
    limit: int,
    before: int | None,
) -> Shown:
    """List tasks, the newest first.

    It looks at the newest tasks for a quarter of a second; where that did not do, it says at how
    many, and how to go on. Of a task that runs it says where and for how long; one that has ended
    is listed until it is forgotten.

    \b
    Example:
      raftwork tasks --state running
      raftwork tasks --state failed --name 'mail.*' --since 1h --json
      raftwork tasks --error Timeout
    """
    wanted = FilterFields(state=state, name=name, queue=queue, tag=tag, since=since)
    wanted |= FilterFields(worker=worker, error=error)
    found = cluster.app.runs(limit=limit, before=before, budget=_BUDGET_S, **wanted)

    def show() -> None:
        if found:
            out_table(_COLUMNS, [_row(told) for told in found])
        else:
            err("no such tasks")
        if len(found) == limit:
            err(f"older ones: --before {found[-1].number}")

    if found.before is not None and len(found) < limit:
        err(f"looked at the newest {found.scanned} tasks; to go on: --before {found.before}")
    return Shown([summary_document(told) for told in found], show)


def _row(told: RunInfo) -> tuple[str, ...]:
    last = told.attempts[-1] if told.attempts else None
    ran = in_words(last.run) if last and last.run else ""
    worker, error = (last.worker or "", last.error or "") if last else ("", "")
    counts = (str(told.hand_outs), worker, ran, error, str(told.number))
    return (told.id, told.name or "", told.queue, told.status.value, *counts)
