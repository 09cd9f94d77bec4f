"""`raftwork queue`: the queues, and what is set for each."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from raftwork.broker.placement.balancers import BALANCERS
from raftwork.cli.cluster import Cluster, Shown, asks, shows
from raftwork.cli.output import err, out, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import (
    brokers_option,
    instant,
    json_option,
    parse_size,
    patience_option,
    print_json,
)
from raftwork.client.overview import Overview, observe, queue_document, unserved
from raftwork.escapes import visible
from raftwork.features.queue_settings import SETTINGS, Setting, objection
from raftwork.messages import QueueStatus

#: What clears a setting.
_NONE = "none"
#: Queues that an error names.
_NAMED = 10

#: Of settings that are names: those there are.
_NAMES = {"balancer": tuple(BALANCERS)}


def _limit(ctx: click.Context, option: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == _NONE:
        return value
    try:
        return parse_size(value)
    except ValueError:
        text = f"{value!r} is neither a positive number (also as 300KiB, MiB, GiB) nor {_NONE}"
        raise click.BadParameter(text, ctx, option) from None


def _whole(ctx: click.Context, option: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == _NONE:
        return value
    if not value.isascii() or not value.isdigit():
        raise click.BadParameter(f"{value!r} is neither a number nor {_NONE}", ctx, option)
    return int(value)


def _checked(
    name: str,
) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
        if value is not None and value != _NONE and (wrong := objection(name, value)):
            raise click.BadParameter(wrong, ctx, option)
        return value

    return check


def _whether(_ctx: click.Context, _option: click.Parameter, value: str | None) -> bool | str | None:
    return value if value is None or value == _NONE else value == "yes"


def _numbers(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> dict[str, int] | str | None:
    if value is None or value == _NONE:
        return value
    numbers: dict[str, int] = {}
    for part in value.split(","):
        name, _, number = part.rpartition("=")
        if not name or not number.isascii() or not number.isdigit():
            text = f"{value!r:.80} is neither {_NONE} nor like acme=3,beta=2"
            raise click.BadParameter(text, ctx, option)
        numbers[name] = int(number)
    return numbers


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(name: str, setting: Setting) -> Callable[[Callable[..., None]], Callable[..., None]]:
    text = f"{setting.help}; {_NONE}: {setting.unset}."
    if setting.kind is int and setting.least:
        metavar = "N"
        if setting.unit == "bytes":
            metavar, text = "SIZE", text.replace(";", ", or as 300MiB;", 1)
        return click.option(_flag(name), metavar=metavar, callback=_limit, help=text)
    if setting.kind is dict:
        return click.option(_flag(name), metavar="NAME=N,…", callback=_numbers, help=text)
    if setting.kind is bool:
        choice = click.Choice(["yes", "no", _NONE])
        return click.option(_flag(name), type=choice, callback=_whether, help=text)
    if name not in _NAMES and setting.kind is str:
        return click.option(_flag(name), metavar="N/UNIT", callback=_checked(name), help=text)
    if setting.least == 0:
        return click.option(_flag(name), metavar="N", callback=_whole, help=text)
    known = _NAMES[name]
    text = text.replace(";", f": {', '.join(known)};", 1)
    return click.option(_flag(name), type=click.Choice([*known, _NONE]), metavar="NAME", help=text)


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, setting in reversed(list(SETTINGS.items())):
        command = _option(name, setting)(command)
    return command


@click.group("queue")
def command() -> None:
    """Show queues, bound them, choose a balancer for each.

    \b
    Example:
      raftwork queue set bulk --max-length 100000
      raftwork queue list
    """


@command.command("set")
@click.argument("name")
@_setting_options
@click.option("--reset", is_flag=True, help="Clear every setting that is not given anew.")
@asks
def set_command(cluster: Cluster, /, name: str, reset: bool, **given: object) -> None:
    """Change what is set for a queue: now, and for later leaders.

    A full queue refuses new tasks with QueueFull. What waits already stays. A queue that never had
    a task is listed for as long as something is set for it.

    \b
    Example:
      raftwork queue set bulk --max-length 100000 --balancer least_loaded
      raftwork queue set bulk --max-bytes none
      raftwork queue set bluk --reset
    """
    changes: dict[str, Any] = dict.fromkeys(SETTINGS) if reset else {}
    changes |= {
        setting: None if value == _NONE else value
        for setting, value in given.items()
        if value is not None
    }
    if not changes:
        flags = ", ".join(map(_flag, SETTINGS))
        raise click.UsageError(f"give at least one of {flags}, --reset")
    cluster.app.queue(name).set(**changes)
    if any(value is not None for value in changes.values()):
        seen = observe(cluster.brokers)
        if seen.leader is not None and not (seen.serves(name) or _has_tasks(seen, name)):
            err(f"no worker serves the queue {name}, and it has no tasks; it is set nevertheless")


@command.command("pause")
@click.argument("name")
@click.option("--until", metavar="ISO", callback=instant, help="Go on at this time by itself.")
@asks
def pause_command(cluster: Cluster, /, name: str, until: datetime | None) -> None:
    """Hand out none of a queue's tasks.

    Until `raftwork queue resume`, or a time. Tasks that run go on, as do the few that a worker
    holds ahead; new ones are taken in.

    \b
    Example:
      raftwork queue pause mail
      raftwork queue pause mail --until 2027-01-01T06:00:00+01:00
    """
    cluster.app.queue(name).pause(until)
    out(f"{name} is paused" if until is None else f"{name} is paused until {until.isoformat()}")


@command.command("show")
@click.argument("name")
@shows
def show_command(cluster: Cluster, name: str) -> Shown:
    """Show what is set for a queue. Exits 1 if there is no such queue.

    A queue is there once it had a task, while something is set for it or while a worker serves it.

    \b
    Example:
      raftwork queue show bulk --json
    """
    settings = asdict(cluster.app.queue(name).settings())
    if not any(settings.values()):
        _check_known(name, observe(cluster.brokers))

    def show() -> None:
        for setting, value in settings.items():
            out(f"{setting} {_NONE if value is None else value}")

    return Shown(settings, show)


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
    return any(
        q.name == name and (q.queued or q.running or q.scheduled or q.blocked) for q in seen.queues
    )


def _shown_facts() -> Iterator[tuple[str, bool]]:
    """Of a queue: each fact that a setting bounds beside its bound, then the other settings.

    The name of each, and whether it is a number.
    """
    for name, setting in SETTINGS.items():
        if setting.bounds:
            yield setting.bounds, True
            yield name, True
    yield from ((name, True) for name in ("running", "scheduled", "blocked", "cancelled"))
    yield from ((name, each.kind is int) for name, each in SETTINGS.items() if not each.bounds)


def _print(seen: Overview) -> None:
    facts = list(_shown_facts())
    columns = [Column("queue")]
    for rank, (name, number) in enumerate(facts, 1):
        overflow = Overflow.LEFT_OUT if number else Overflow.WHOLE
        columns.append(Column(name.replace("_", " "), rank, overflow, right=number))
    out_table(columns, [(q.name, *(_cell(q, name) for name, _ in facts)) for q in seen.queues])


def _cell(queue: QueueStatus, fact: str) -> str:
    return _or_none(queue_document(queue)[fact])


def _or_none(value: object) -> str:
    return "–" if value is None else str(value)
