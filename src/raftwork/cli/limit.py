"""`raftwork limit`: the limits, and how far each is used."""

from datetime import datetime
from typing import Any

import click

from raftwork.cli.cluster import Cluster, Shown, asks, shows
from raftwork.cli.output import err, out, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import instant
from raftwork.client.documents import limit_document
from raftwork.client.limits import Limit
from raftwork.escapes import visible
from raftwork.features.limit_settings import objection

#: What clears a setting.
_NONE = "none"
_COLUMNS = (
    Column("limit"),
    Column("concurrency", 1, Overflow.WHOLE, right=True),
    Column("running", 2, Overflow.WHOLE, right=True),
    Column("rate", 3, Overflow.WHOLE, right=True),
    Column("burst", 5, Overflow.WHOLE, right=True),
    Column("per", 4, Overflow.WHOLE),
    Column("in use", 6, Overflow.WHOLE, right=True),
    Column("paused", 7, Overflow.WHOLE),
)


def _setting(ctx: click.Context, option: click.Parameter, value: str | None) -> object:
    if value is None or value == _NONE:
        return value
    name = str(option.name)
    given: object = value
    if name != "rate":
        if not value.isascii() or not value.isdigit():
            raise click.BadParameter(f"{value!r} is neither a number nor {_NONE}", ctx, option)
        given = int(value)
    if wrong := objection(name, given):
        raise click.BadParameter(wrong, ctx, option)
    return given


@click.group("limit")
def command() -> None:
    """Bound how many tasks run at once, or in a time.

    Tasks name the limits that they count for, as in @app.task(limits=["stripe"]). The limit
    task:NAME holds for tasks of that name, which need not name it.

    \b
    Example:
      raftwork limit set stripe --concurrency 10 --rate 100/m
      raftwork limit list
    """


@command.command("set")
@click.argument("name")
@click.option(
    "--concurrency", metavar="N", callback=_setting, help=f"Tasks at once; {_NONE}: any number."
)
@click.option(
    *("--rate", "rate"),
    metavar="N/UNIT",
    callback=_setting,
    help=f"Tasks in a time, as 100/m, 5/s or 1/10s; {_NONE}: any number.",
)
@click.option(
    *("--burst", "burst"),
    metavar="N",
    callback=_setting,
    help=f"Of the rate's tasks, so many may come at once; {_NONE}: 1.",
)
@click.option(
    "--per",
    type=click.Choice(["tenant", "key"]),
    help="Count each tenant, or key, by itself. Cannot be changed later.",
)
@asks
def set_command(cluster: Cluster, /, name: str, **given: Any) -> None:
    """Make a limit, or change it, at once and for every later leader.

    What is not given stays. Tasks that run go on: a lower concurrency holds once enough of them
    have ended.

    \b
    Example:
      raftwork limit set stripe --concurrency 10 --rate 100/m --burst 5
      raftwork limit set per_tenant --concurrency 2 --per tenant
      raftwork limit set stripe --rate none
    """
    changes = {name: None if v == _NONE else v for name, v in given.items() if v is not None}
    if not changes:
        raise click.UsageError("give at least one of --concurrency, --rate, --burst, --per")
    cluster.app.limits.set(name, **changes)


@command.command("list")
@shows
def list_command(cluster: Cluster) -> Shown:
    """List the limits: what they allow, and how far they are used.

    \b
    Example:
      raftwork limit list --json | jq .stripe.running
    """
    limits = cluster.app.limits.list()

    def show() -> None:
        if limits:
            out_table(_COLUMNS, [tuple(_cells(limit)) for limit in limits])
        else:
            err("no limit is set")

    return Shown({limit.name: limit_document(limit) for limit in limits}, show)


@command.command("show")
@click.argument("name")
@shows
def show_command(cluster: Cluster, name: str) -> Shown:
    """Show a limit. Exits 1 if there is none of this name.

    \b
    Example:
      raftwork limit show stripe --json
    """
    document = limit_document(cluster.app.limits.get(name))

    def show() -> None:
        for fact, value in document.items():
            out(f"{fact} {_NONE if value is None else _word(value)}")

    return Shown(document, show)


@command.command("pause")
@click.argument("name")
@click.option("--until", metavar="ISO", callback=instant, help="Go on at this time by itself.")
@asks
def pause_command(cluster: Cluster, /, name: str, until: datetime | None) -> None:
    """Hand out none of a limit's tasks, until `raftwork limit resume` or a time.

    Tasks that run go on, as do the few that a worker holds ahead.

    \b
    Example:
      raftwork limit pause stripe
      raftwork limit pause stripe --until 2027-01-01T06:00:00+01:00
    """
    cluster.app.limits.pause(name, until)
    out(f"{name} is paused" if until is None else f"{name} is paused until {until.isoformat()}")


@command.command("resume")
@click.argument("name")
@asks
def resume_command(cluster: Cluster, /, name: str) -> None:
    """End a limit's pause.

    \b
    Example:
      raftwork limit resume stripe
    """
    cluster.app.limits.resume(name)
    out(f"{name} goes on")


@command.command("delete")
@click.argument("name")
@asks
def delete_command(cluster: Cluster, /, name: str) -> None:
    """Forget a limit: tasks that name it go on without it, new ones are refused.

    Exits 1 if there is none of this name.

    \b
    Example:
      raftwork limit delete stripe
    """
    if not cluster.app.limits.delete(name):
        raise click.ClickException(visible(f"no limit {name}"))
    out(f"{name} is deleted")


def _cells(limit: Limit) -> list[str]:
    until = "" if limit.paused_until is None else f" until {limit.paused_until.isoformat()}"
    values = (
        *(limit.name, limit.concurrency, limit.running, limit.rate, limit.burst, limit.per),
        *(limit.in_use, f"yes{until}" if limit.paused else None),
    )
    return ["–" if value is None else str(value) for value in values]


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
