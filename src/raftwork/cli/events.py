"""`raftwork events`: what happened to tasks, queues, schedules, flows and the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from raftwork.cli.cluster import Cluster, asks
from raftwork.cli.output import err, out
from raftwork.cli.values import print_json
from raftwork.client.events import GAP, NOW, Event, Events, event_document
from raftwork.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable


@click.command("events")
@click.option("--after", metavar="CURSOR", help="Only what came after the event with this cursor.")
@click.option(
    "--follow",
    is_flag=True,
    help="Go on with what happens from now on; without --after nothing older is shown.",
)
@click.option(
    "--kind", "kinds", multiple=True, metavar="WORD", help="Only of this kind; may be repeated."
)
@click.option("--queue", metavar="Q", help="Only of this queue.")
@click.option("--name", metavar="GLOB", help="Only of tasks of such a name: `mail.*`, in quotes.")
@click.option("--id", "id_", metavar="ID", help="Only of this task, flow or schedule.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@asks
def command(
    cluster: Cluster,
    after: str | None,
    follow: bool,
    kinds: tuple[str, ...],
    queue: str | None,
    name: str | None,
    id_: str | None,
    as_json: bool,
) -> None:
    """Show what happened, oldest first.

    Brokers keep the newest events, each for itself. Where some are missing, a line says so: `gap`.
    With the cursor of the last event that was seen, --after goes on behind it, after a failover and
    at any broker.

    \b
    Example:
      raftwork events --follow
      raftwork events --kind failed --kind lost --name 'mail.*' --json
    """
    wanted = {"queue": queue, "name": name, "id": id_, "kinds": kinds or None}
    events = cluster.app.events(
        NOW if follow and after is None else after,
        follow=follow,
        **{key: value for key, value in wanted.items() if value is not None},  # type: ignore[arg-type]
    )
    show: Callable[[Event], None] = _print_json if as_json else _print
    while True:
        try:
            _show(events, show)
        except Unavailable as error:
            if not follow:
                raise
            err(f"{error}; still trying")
            continue
        return


def _show(events: Events, show: Callable[[Event], None]) -> None:
    for event in events:
        show(event)


def _print_json(event: Event) -> None:
    print_json(event_document(event))


def _print(event: Event) -> None:
    if event.kind == GAP:
        out("gap: events before the next one are not kept by the broker that was asked")
        return
    at = event.at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if event.at else ""
    details = [
        event.id,
        event.name,
        event.queue and f"queue={event.queue}",
        event.worker and f"worker={event.worker}",
        event.attempt and f"attempt={event.attempt}",
        event.due and f"due={event.due.isoformat(timespec='milliseconds')}",
        event.run and f"run={event.run.total_seconds():.3f}s",
        event.text,
    ]
    out(" ".join([at, event.kind, *(str(detail) for detail in details if detail)]))
