"""`raftwork cluster`: who its members are, who leads, and what is set for all of it."""

from dataclasses import asdict
from functools import partial

import click

from raftwork.cli.cluster import Cluster, Shown, asks, shows
from raftwork.cli.output import out, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import (
    Seconds,
    brokers_option,
    json_option,
    parse_size,
    patience_option,
    print_json,
)
from raftwork.client.cluster import bounds, checked
from raftwork.client.leadership import TRANSFER_WAIT_S
from raftwork.client.overview import Overview, observe
from raftwork.features.cluster_settings import MS, SETTINGS

_COLUMNS = (
    Column("setting"),
    Column("value", 1, Overflow.WHOLE, right=True),
    Column("unit", 2, Overflow.WHOLE),
    Column("default", 3, Overflow.WHOLE, right=True),
    Column("", 4, Overflow.WRAPPED),
)


@click.group("cluster")
def command() -> None:
    """Show and change what holds for the whole cluster.

    \b
    Example:
      raftwork cluster show
      raftwork cluster transfer b
      raftwork cluster set worker_lease=10
    """


@command.command("show")
@json_option
@patience_option
@brokers_option
def show_command(as_json: bool, timeout: float, brokers: str | None) -> None:
    """Show the members of the cluster: their addresses and roles, and how far each is.

    Every broker is asked itself; one that does not answer is listed all the same. Exits 1 without a
    leader.

    \b
    Example:
      raftwork cluster show --json | jq -r .leader
    """
    seen = observe(brokers, timeout)
    if as_json:
        print_json(_members(seen))
    else:
        _print(seen)
    if seen.leader is None:
        raise click.ClickException(seen.headless())


@command.command("transfer")
@click.argument("name", required=False)
@click.option(
    "--wait",
    type=Seconds(none=True),
    default=TRANSFER_WAIT_S,
    show_default=True,
    metavar="S",
    help="Wait so long for a broker that cannot take over yet.",
)
@shows
def transfer_command(cluster: Cluster, /, name: str | None, wait: float) -> Shown:
    """Have the broker NAME lead, or any but the one that does; prints who leads then.

    The leader takes no new tasks until the other one has all that it has, mostly for milliseconds;
    they wait, and none is lost. Exits 1 if another one leads after --wait, and says why.

    \b
    Example:
      raftwork cluster transfer b
    """
    try:
        led = cluster.app.cluster.transfer(name, wait=wait)
    except TimeoutError as error:
        raise click.ClickException(str(error)) from error
    return Shown(led._asdict(), partial(out, led.leader))


@command.command("settings")
@shows
def settings_command(cluster: Cluster) -> Shown:
    """Show every setting of the cluster: its value, unit, default and meaning.

    \b
    Example:
      raftwork cluster settings --json | jq .worker_lease.value
    """
    settings = cluster.app.cluster.settings()
    rows = [
        (name, str(each.value), each.unit, str(each.default), each.help)
        for name, each in settings.items()
    ]
    document = {name: asdict(each) for name, each in settings.items()}
    return Shown(document, lambda: out_table(_COLUMNS, rows))


@command.command("set")
@click.argument("changes", nargs=-1, metavar="NAME=VALUE…")
@click.option("--reset", multiple=True, metavar="NAME", help="Set it to its default; repeatable.")
@asks
def set_command(cluster: Cluster, /, changes: tuple[str, ...], reset: tuple[str, ...]) -> None:
    """Change settings of the cluster, at once and for every later leader.

    Times are seconds; bytes may be given as 300MiB. `raftwork cluster settings` shows what there
    is. What is stored stays, but results and dead tasks over a new limit are dropped, the oldest
    first.

    \b
    Example:
      raftwork cluster set worker_lease=10 dead=50000
      raftwork cluster set result_bytes=4GiB --reset worker_lease
    """
    values: dict[str, int | float | None] = {}
    for name, value in (*map(_change, changes), *((_known(name), None) for name in reset)):
        if name in values:
            raise click.UsageError(f"{name} is given twice")
        values[name] = value
    if not values:
        raise click.UsageError("give at least one NAME=VALUE, or --reset NAME")
    cluster.app.cluster.set(**values)


_MEMBERS = (
    Column("broker"),
    Column("address", 2, Overflow.WHOLE),
    Column("role", 1),
    Column("epoch", 3, right=True),
    Column("committed", 4, right=True),
    Column("behind", 5, right=True),
    Column("raftwork", 6),
    Column("why", 7, Overflow.WRAPPED),
)


def _members(seen: Overview) -> dict[str, object]:
    most = max((row.status.committed for row in seen.brokers if row.status), default=0)
    return {
        "leader": seen.leader,
        "epoch": seen.epoch,
        "consensus": seen.consensus,
        "members": [
            {
                "name": row.name,
                "address": row.address,
                "role": row.status.role if row.status else "unreachable",
                "epoch": row.status.epoch if row.status else None,
                "committed": row.status.committed if row.status else None,
                "behind": most - row.status.committed if row.status else None,
                "release": row.status.release if row.status else None,
                "reason": row.reason or None,
            }
            for row in seen.brokers
        ],
    }


def _print(seen: Overview) -> None:
    out(
        f"leader {seen.leader}, epoch {seen.epoch}, {seen.consensus}"
        if seen.leader
        else "no leader"
    )
    out("")
    most = max((row.status.committed for row in seen.brokers if row.status), default=0)
    rows = []
    for row in seen.brokers:
        facts: tuple[object, ...] = ("unreachable", "–", "–", "–", "–")
        if status := row.status:
            behind = most - status.committed
            facts = (status.role, status.epoch, status.committed, behind, status.release)
        rows.append((row.name, row.address, *map(str, facts), row.reason))
    out_table(_MEMBERS, rows)


def _change(text: str) -> tuple[str, int | float]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} is not NAME=VALUE")
    unit = SETTINGS[_known(name)].unit
    try:
        parsed = (
            float(value) if unit == MS else parse_size(value) if unit == "bytes" else int(value)
        )
        checked(name, parsed)
    except ValueError:
        also = " (also as 300KiB, MiB, GiB)" if unit == "bytes" else ""
        text = f"{name} must be between {bounds(SETTINGS[name])}{also}, got {value!r}"
        raise click.UsageError(text) from None
    return name, parsed


def _known(name: str) -> str:
    if name not in SETTINGS:
        raise click.UsageError(f"no such setting: {name!r}; there are {', '.join(SETTINGS)}")
    return name
