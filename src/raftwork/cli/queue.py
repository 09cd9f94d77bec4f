"""`raftwork queue`: the queues, and what is set for each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from raftwork.broker.balancers import BALANCERS
from raftwork.cli.overview import observe, queue_document
from raftwork.cli.result import connect
from raftwork.cli.values import brokers_option, parse_size, print_json, timeout_option, usage

if TYPE_CHECKING:
    from raftwork.client.queue import SettingFields
    from raftwork.messages import QueueStatus

#: What clears a setting.
_NONE = "none"
#: Columns of a line that goes to a file or a pipe: nothing is cut off there.
_UNBOUNDED = 10_000

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


def _limit(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and value != _NONE:
        try:
            parse_size(value)
        except ValueError:
            text = f"{value!r} is neither a positive number (also as 300KiB, MiB, GiB) nor {_NONE}"
            raise click.BadParameter(text, ctx, option) from None
    return value


@click.group("queue")
def command() -> None:
    """Show the queues, bound them, and choose a balancer for each.

    \b
    Example:
      raftwork queue set bulk --max-length 100000
      raftwork queue list
    """


@command.command("set")
@click.argument("name")
@click.option(
    "--balancer",
    type=click.Choice([*BALANCERS, _NONE]),
    help="Of this queue's tasks; none: that of the cluster.",
)
@click.option(
    "--max-length", metavar="N", callback=_limit, help="Tasks that may wait; none: no limit."
)
@click.option(
    "--max-bytes",
    metavar="SIZE",
    callback=_limit,
    help="Bytes of arguments that may wait, or as 300MiB; none: no limit.",
)
@timeout_option
@brokers_option
def set_command(
    name: str,
    balancer: str | None,
    max_length: str | None,
    max_bytes: str | None,
    timeout: float | None,
    brokers: str | None,
) -> None:
    """Change what is set for a queue, at once and for every later leader.

    A full queue refuses new tasks with QueueFull. What waits already stays.

    \b
    Example:
      raftwork queue set bulk --max-length 100000 --max-bytes 1GiB --balancer least_loaded
      raftwork queue set bulk --max-bytes none
    """
    changes: SettingFields = {}
    if balancer is not None:
        changes["balancer"] = None if balancer == _NONE else balancer
    if max_length is not None:
        changes["max_length"] = None if max_length == _NONE else parse_size(max_length)
    if max_bytes is not None:
        changes["max_bytes"] = None if max_bytes == _NONE else parse_size(max_bytes)
    if not changes:
        raise click.UsageError("give at least one of --balancer, --max-length, --max-bytes")
    with usage():
        app = connect(brokers, timeout)
    with app, usage():
        app.queue(name).set(**changes)


@command.command("show")
@click.argument("name")
@json_option
@timeout_option
@brokers_option
def show_command(name: str, as_json: bool, timeout: float | None, brokers: str | None) -> None:
    """Show what is set for a queue.

    \b
    Example:
      raftwork queue show bulk --json
    """
    with usage():
        app = connect(brokers, timeout)
    with app, usage():
        settings = asdict(app.queue(name).settings())
    if as_json:
        print_json(settings)
        return
    for setting, value in settings.items():
        click.echo(f"{setting} {_NONE if value is None else value}")


@command.command("list")
@json_option
@brokers_option
def list_command(as_json: bool, brokers: str | None) -> None:
    """List the queues: what waits in them, and what is set. Exits 1 without a leader.

    \b
    Example:
      raftwork queue list --json | jq .bulk.queued
    """
    seen = observe(brokers)
    if as_json:
        print_json({queue.name: queue_document(queue) for queue in seen.queues})
    elif seen.queues:
        _print(seen.queues)
    if seen.leader is None:
        raise click.ClickException("no broker says that it leads")


def _print(queues: list[QueueStatus]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    table = Table("queue", "queued", "max length", "bytes", "max bytes", "balancer")
    for q in queues:
        limits = (str(q.queued), _or_none(q.max_length), str(q.bytes), _or_none(q.max_bytes))
        table.add_row(q.name, *limits, _or_none(q.balancer))
    console.print(table, markup=False)


def _or_none(value: object) -> str:
    return "–" if value is None else str(value)
