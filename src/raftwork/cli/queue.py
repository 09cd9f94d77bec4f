"""`raftwork queue`: the queues, and what is set for each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from raftwork.broker.placement.balancers import BALANCERS
from raftwork.cli.output import err, out, out_table
from raftwork.cli.result import connect
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import (
    brokers_option,
    parse_size,
    patience_option,
    print_json,
    timeout_option,
    usage,
)
from raftwork.cli.waiting import explained
from raftwork.client.overview import Overview, observe, queue_document, unserved
from raftwork.escapes import visible

if TYPE_CHECKING:
    from raftwork.client.queues import SettingFields

#: What clears a setting.
_NONE = "none"
#: Queues that an error names.
_NAMED = 10

_COLUMNS = (
    Column("queue"),
    Column("queued", 1, right=True),
    Column("max length", 2, right=True),
    Column("bytes", 4, right=True),
    Column("max bytes", 3, right=True),
    Column("balancer", 5, Overflow.WHOLE),
)

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
    metavar="NAME",
    help=f"How its tasks are given to workers: {', '.join(BALANCERS)}; none: as the cluster's are.",
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
@click.option("--reset", is_flag=True, help="Clear every setting that is not given anew.")
@timeout_option
@brokers_option
def set_command(
    name: str,
    balancer: str | None,
    max_length: str | None,
    max_bytes: str | None,
    reset: bool,
    timeout: float | None,
    brokers: str | None,
) -> None:
    """Change what is set for a queue, at once and for every later leader.

    A full queue refuses new tasks with QueueFull. What waits already stays. A queue that never had
    a task is listed for as long as something is set for it.

    \b
    Example:
      raftwork queue set bulk --max-length 100000 --balancer least_loaded
      raftwork queue set bulk --max-bytes none
      raftwork queue set bluk --reset
    """
    changes: SettingFields = {}
    if reset:
        changes = {"balancer": None, "max_length": None, "max_bytes": None}
    if balancer is not None:
        changes["balancer"] = None if balancer == _NONE else balancer
    if max_length is not None:
        changes["max_length"] = None if max_length == _NONE else parse_size(max_length)
    if max_bytes is not None:
        changes["max_bytes"] = None if max_bytes == _NONE else parse_size(max_bytes)
    if not changes:
        raise click.UsageError(
            "give at least one of --balancer, --max-length, --max-bytes, --reset"
        )
    with usage():
        app = connect(brokers, timeout)
    with app, explained(brokers), usage():
        app.queue(name).set(**changes)
    if any(value is not None for value in changes.values()):
        seen = observe(brokers)
        if seen.leader is not None and not (seen.serves(name) or _has_tasks(seen, name)):
            err(f"no worker serves the queue {name}, and it has no tasks; it is set nevertheless")


@command.command("show")
@click.argument("name")
@json_option
@timeout_option
@brokers_option
def show_command(name: str, as_json: bool, timeout: float | None, brokers: str | None) -> None:
    """Show what is set for a queue. Exits 1 if there is no such queue.

    A queue is there once it had a task, while something is set for it or while a worker serves it.

    \b
    Example:
      raftwork queue show bulk --json
    """
    with usage():
        app = connect(brokers, timeout)
    with app, explained(brokers), usage():
        settings = asdict(app.queue(name).settings())
    if not any(settings.values()):
        _check_known(name, observe(brokers))
    if as_json:
        print_json(settings)
        return
    for setting, value in settings.items():
        out(f"{setting} {_NONE if value is None else value}")


@command.command("list")
@json_option
@patience_option
@brokers_option
def list_command(as_json: bool, timeout: float, brokers: str | None) -> None:
    """List the queues: what waits in them, and what is set for them.

    Exits 1 without a leader.

    \b
    Example:
      raftwork queue list --json | jq .bulk.queued
    """
    seen = observe(brokers, timeout)
    if as_json:
        print_json({queue.name: queue_document(queue) for queue in seen.queues})
    elif seen.queues:
        _print(seen)
    elif seen.leader is not None:
        err("no queue has had a task or has a setting")
    for text in unserved(seen):
        err(text)
    if seen.leader is None:
        raise click.ClickException(seen.headless())


def _check_known(name: str, seen: Overview) -> None:
    known = seen.queue_names()
    if seen.leader is None or name in known:
        return
    text = f"no queue {name}: it never had a task, has no settings, and no worker serves it"
    if known:
        more = ", …" if len(known) > _NAMED else ""
        text += f"; there are {', '.join(known[:_NAMED])}{more}"
    raise click.ClickException(visible(text))


def _has_tasks(seen: Overview, name: str) -> bool:
    return any(q.name == name and (q.queued or q.running) for q in seen.queues)


def _print(seen: Overview) -> None:
    rows = []
    for q in seen.queues:
        limits = (str(q.queued), _or_none(q.max_length), str(q.bytes), _or_none(q.max_bytes))
        rows.append((q.name, *limits, _or_none(q.balancer)))
    out_table(_COLUMNS, rows)


def _or_none(value: object) -> str:
    return "–" if value is None else str(value)
