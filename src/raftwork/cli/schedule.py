"""`raftwork schedule`: what is made again and again, by the calendar or at intervals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import err, out, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.cli.values import Seconds, instant, json_object, parse_argument
from raftwork.client.documents import said_at, schedule_document
from raftwork.durations import in_words
from raftwork.errors import LoadError

if TYPE_CHECKING:
    from datetime import datetime

    from raftwork.client.schedules import Schedule

_OVERLAPS = ("skip", "allow", "queue_one", "queue_all", "cancel_previous")
_CATCHUPS = ("one", "none", "all")
_COLUMNS = (
    Column("id"),
    Column("task", 3, Overflow.WHOLE),
    Column("when", 1, Overflow.WHOLE),
    Column("next", 2, Overflow.WHOLE),
    Column("last", 4, Overflow.WHOLE),
    Column("fired", 5, right=True),
    Column("overlap", 6, right=True),
    Column("late", 7, right=True),
    Column("paused", 8, right=True),
    Column("full", 9, right=True),
)

_Command = Callable[..., None]


def _fields(command: _Command) -> _Command:
    """The options that say what a schedule is."""
    for option in reversed(
        (
            click.option("--cron", metavar="EXPR", help="Such as '30 2 * * *', or @daily."),
            click.option("--every", type=Seconds(), metavar="S", help="Seconds between two ticks."),
            click.option("--tz", metavar="ZONE", help="Of --cron, such as Europe/Berlin."),
            click.option(
                "--overlap",
                type=click.Choice(_OVERLAPS),
                help="What a tick does while an earlier task waits or runs (default: skip).",
            ),
            click.option(
                "--catchup",
                type=click.Choice(_CATCHUPS),
                help="Which ticks of an outage are run after it (default: one, the latest).",
            ),
            click.option(
                "--window",
                type=Seconds(none=True),
                metavar="S",
                help="How old they may be (default: 86400).",
            ),
            click.option(
                "--jitter", type=Seconds(none=True), metavar="S", help="Each up to so much later."
            ),
            click.option("--start", metavar="ISO", callback=instant, help="None earlier."),
            click.option("--end", metavar="ISO", callback=instant, help="None later."),
            click.option(
                "--limit", type=click.IntRange(min=1), metavar="N", help="So many tasks at most."
            ),
            click.option(
                "--arg",
                "args",
                multiple=True,
                metavar="ARG",
                help="An argument, as of `raftwork enqueue`; again for further ones.",
            ),
            click.option("--kwargs", metavar="JSON", callback=_kwargs, help="A JSON object."),
        )
    ):
        command = option(command)
    return command


def _kwargs(
    ctx: click.Context, option: click.Parameter, value: str | None
) -> dict[str, object] | None:
    return None if value is None else json_object(ctx, option, value)


def _given(given: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given."""
    said = {name: value for name, value in given.items() if value not in (None, ())}
    if "args" in said:
        said["args"] = [parse_argument(text) for text in said["args"]]
    return said


@click.group("schedule")
def command() -> None:
    """Make tasks again and again, by calendar or interval.

    \b
    Example:
      raftwork schedule create nightly reports.nightly --cron '30 2 * * *'
      raftwork schedule list
    """


@command.command("list")
@shows
def list_command(cluster: Cluster) -> Shown:
    """List the schedules.

    When each ticks next, and what became of its ticks.

    \b
    Example:
      raftwork schedule list --json | jq -r '.[] | select(.paused) | .id'
    """
    schedules = cluster.app.schedules.list()

    def show() -> None:
        if schedules:
            out_table(_COLUMNS, [_row(each) for each in schedules])
        else:
            err("no schedules")

    return Shown([schedule_document(each) for each in schedules], show)


@command.command("show")
@click.argument("schedule_id", metavar="ID")
@shows
def show_command(cluster: Cluster, schedule_id: str) -> Shown:
    """Show one schedule.

    Also in which fields operators override what its code declares.

    \b
    Example:
      raftwork schedule show nightly --json
    """
    schedule = cluster.app.schedules.get(schedule_id)
    return _shown(schedule)


@command.command("next")
@click.argument("schedule_id", metavar="ID")
@click.option("--count", "many", type=click.IntRange(1, 1000), default=5, show_default=True)
@shows
def next_command(cluster: Cluster, schedule_id: str, many: int) -> Shown:
    """Print when it ticks next, without jitter.

    \b
    Example:
      raftwork schedule next nightly --count 3
    """
    ticks = [said_at(tick) for tick in cluster.app.schedules.next(schedule_id, many)]

    def show() -> None:
        for tick in ticks:
            out(str(tick))

    return Shown(ticks, show)


@command.command("create")
@click.argument("schedule_id", metavar="ID")
@click.argument("name")
@_fields
@click.option("--queue", default="default", show_default=True, metavar="Q", help="Of its tasks.")
@shows
def create_command(
    cluster: Cluster, /, schedule_id: str, name: str, queue: str, **given: object
) -> Shown:
    """Make a schedule of the task of this name.

    \b
    Example:
      raftwork schedule create poll feeds.poll --every 60 --arg '"news"'
    """
    task = cluster.app.named(name, queue=queue)
    return _shown(cluster.app.schedules.create(schedule_id, task, **_given(given)))


@command.command("update")
@click.argument("schedule_id", metavar="ID")
@_fields
@click.option("--etag", metavar="ETAG", help="Only if it was not changed since, as `show` has it.")
@shows
def update_command(
    cluster: Cluster, /, schedule_id: str, etag: str | None, **given: object
) -> Shown:
    """Change fields, whatever the code declares.

    Until `raftwork schedule reset`. Another time of ticking counts from now.

    \b
    Example:
      raftwork schedule update nightly --cron '0 4 * * *'
    """
    return _shown(cluster.app.schedules.update(schedule_id, etag=etag, **_given(given)))


@command.command("reset")
@click.argument("schedule_id", metavar="ID")
@shows
def reset_command(cluster: Cluster, schedule_id: str) -> Shown:
    """Take back what operators changed.

    It is as its code declares it.

    \b
    Example:
      raftwork schedule reset nightly
    """
    return _shown(cluster.app.schedules.reset(schedule_id))


@command.command("apply")
@click.argument("target", metavar="MODULE:APP")
@click.option("--prune", is_flag=True, help="Delete what MODULE:APP declared before, and no more.")
@shows
def apply_command(cluster: Cluster, target: str, prune: bool) -> Shown:
    """Make the schedules of the cluster like the code.

    A step of a deployment: workers that start only create what is missing. What operators changed
    stays. --prune deletes what the same MODULE:APP has declared before, and nothing else.

    \b
    Example:
      raftwork schedule apply reports:app --prune
    """
    from raftwork.client.declarations import Declarations
    from raftwork.worker import load

    try:
        app = load(target)
    except LoadError as error:
        raise click.ClickException(str(error)) from error
    declared = getattr(app, "declarations", Declarations())
    fates = cluster.app.schedules.apply(declared, target, prune=prune)

    def show() -> None:
        for id_, fate in fates.items():
            out(f"{id_} {fate}")
        if not fates:
            err(f"{target} declares no schedules")

    return Shown(fates, show)


@command.command("pause")
@click.argument("schedule_id", metavar="ID")
@shows
def pause_command(cluster: Cluster, schedule_id: str) -> Shown:
    """Count its ticks, and make no tasks. What runs goes on.

    \b
    Example:
      raftwork schedule pause nightly
    """
    cluster.app.schedules.pause(schedule_id)
    return _said(cluster, schedule_id, "is paused")


@command.command("resume")
@click.argument("schedule_id", metavar="ID")
@click.option("--catchup", is_flag=True, help="Make up for the ticks of the pause, as `catchup`.")
@shows
def resume_command(cluster: Cluster, schedule_id: str, catchup: bool) -> Shown:
    """Have its ticks make tasks again.

    \b
    Example:
      raftwork schedule resume nightly
    """
    cluster.app.schedules.resume(schedule_id, catchup=catchup)
    return _said(cluster, schedule_id, "goes on")


@command.command("trigger")
@click.argument("schedule_id", metavar="ID")
@click.option("--overlap", type=click.Choice(_OVERLAPS), help="Instead of what the schedule says.")
@shows
def trigger_command(cluster: Cluster, schedule_id: str, overlap: Any) -> Shown:
    """Make a task now, and print its id.

    Exits 1 if an earlier one waits or runs and the schedule, or --overlap, says to skip then.

    \b
    Example:
      raftwork schedule trigger nightly --overlap allow
    """
    run = cluster.app.schedules.trigger(schedule_id, overlap=overlap)
    if run is None:
        raise click.ClickException(
            f"no task was made: an earlier one of {schedule_id} waits or runs, or there is no room"
            " (--overlap allow makes one all the same)"
        )
    return Shown({"id": run.id}, partial(out, run.id))


@command.command("backfill")
@click.argument("schedule_id", metavar="ID")
@click.argument("a", metavar="FROM", callback=instant)
@click.argument("b", metavar="TO", callback=instant)
@click.option(
    "--overlap", type=click.Choice(_OVERLAPS), default="allow", show_default=True, help="As ever."
)
@shows
def backfill_command(
    cluster: Cluster, schedule_id: str, a: datetime, b: datetime, overlap: Any
) -> Shown:
    """Make the tasks of earlier ticks that were not made.

    Of those from FROM to TO, both included. Prints how many were made.

    \b
    Example:
      raftwork schedule backfill nightly 2027-01-01T00:00:00Z 2027-01-31T23:59:59Z
    """
    made = cluster.app.schedules.backfill(schedule_id, a, b, overlap=overlap)
    return Shown({"made": made}, partial(out, str(made)))


@command.command("delete")
@click.argument("schedule_id", metavar="ID")
@shows
def delete_command(cluster: Cluster, schedule_id: str) -> Shown:
    """Forget a schedule. The tasks that it made stay.

    A worker that starts makes it anew if its code declares it: pause it instead, or take it out of
    the code.

    \b
    Example:
      raftwork schedule delete nightly
    """
    cluster.app.schedules.delete(schedule_id)
    return Shown({"deleted": schedule_id}, partial(out, f"{schedule_id} is deleted"))


def _said(cluster: Cluster, schedule_id: str, text: str) -> Shown:
    """What became of it: a word, or all of it as JSON."""
    document = schedule_document(cluster.app.schedules.get(schedule_id))
    return Shown(document, partial(out, f"{schedule_id} {text}"))


def _shown(schedule: Schedule) -> Shown:
    told = schedule_document(schedule)

    def show() -> None:
        for name, value in told.items():
            if name == "counts":
                for why, many in schedule.counts._asdict().items():
                    out(f"{why} {many}")
            elif isinstance(value, list):
                out(f"{name} {', '.join(map(str, value)) or 'none'}")
            else:
                out(f"{name} {'none' if value is None else value}")

    return Shown(told, show)


def _row(schedule: Schedule) -> tuple[str, ...]:
    when = schedule.cron or f"every {in_words(schedule.every or 0)}"
    if schedule.cron and schedule.tz != "UTC":
        when = f"{when} {schedule.tz}"
    following = "paused" if schedule.paused else said_at(schedule.next) or "–"
    return (
        *(schedule.id, schedule.task, when, following, said_at(schedule.last) or "–"),
        *map(str, schedule.counts),
    )
