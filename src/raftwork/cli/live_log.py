"""`raftwork logs`: what a running task logs, as it comes."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import click

from raftwork.cli.cluster import Cluster, asks
from raftwork.cli.output import err, out, out_lines
from raftwork.cli.values import json_option, print_json
from raftwork.client.live_log import LiveEvent
from raftwork.errors import Unavailable

if TYPE_CHECKING:
    from datetime import datetime

_FIELDS = tuple(field.name for field in fields(LiveEvent))


@click.command("logs")
@click.argument("task_id", metavar="ID")
@click.option("--follow", is_flag=True, help="Go on until the task ends.")
@json_option
@asks
def command(cluster: Cluster, task_id: str, follow: bool, as_json: bool) -> None:
    """Show what a running task logs.

    The newest lines come first. What the task prints is among them if its worker runs with
    --capture-output. Of a task that has failed, the last lines that were kept are shown.

    \b
    Example:
      raftwork logs 0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f --follow
      raftwork logs nightly-7 --json | jq -r 'select(.kind == "log").text'
    """
    run = cluster.app.run(task_id)
    tail, show, shown = run.tail(follow=follow), _print_json if as_json else _print, 0
    while True:
        try:
            for event in tail:
                show(event)
                shown += event.kind == "log"
        except Unavailable as error:
            if not follow:
                raise
            err(f"{error}; still trying")
            continue
        break
    if not shown and not as_json:
        _print_kept(run.report().log, run.status().value)


def _print_kept(log: str | None, status: str) -> None:
    if log:
        out_lines(log.rstrip())
    else:
        err(f"no line of it is to be had; the task is {status}")


def _print_json(event: LiveEvent) -> None:
    document = {name: getattr(event, name) for name in _FIELDS}
    print_json(document | {"at": event.at and event.at.isoformat(timespec="milliseconds")})


def _print(event: LiveEvent) -> None:
    at = _time(event.at)
    match event.kind:
        case "log":
            out(f"{at} {event.text}")
        case "started":
            out(f"{at} attempt {event.attempt} on {event.worker or 'a worker'}")
        case "progress":
            out(f"{at} progress {event.fraction or 0:.0%} {event.text}".rstrip())
        case _:
            out(f"{event.kind}: {event.text}")


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3] if at else "-" * 23
