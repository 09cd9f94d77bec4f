"""`raftwork cluster`: what is set for all of it."""

from dataclasses import asdict

import click

from raftwork.cli.cluster import Cluster, Shown, asks, shows
from raftwork.cli.output import out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import parse_size
from raftwork.client.cluster import bounds, checked
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
      raftwork cluster settings
      raftwork cluster set worker_lease=10
    """


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
