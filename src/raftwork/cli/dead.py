"""`raftwork dead`: tasks that failed after all retries or were lost."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import click

from raftwork.cli.cluster import Cluster, Shown, asks, shows
from raftwork.cli.output import count, err, out, out_lines, out_table
from raftwork.cli.tables import Column, Overflow
from raftwork.client.documents import dead_document, dead_report_document

if TYPE_CHECKING:
    from raftwork.client.dead_letters import DeadReport, DeadTask, Loss

queue_option = click.option("--queue", metavar="Q", help="Only of this queue (default: of all).")

_COLUMNS = (
    Column("id"),
    Column("task", 3, Overflow.WHOLE),
    Column("queue", 7, Overflow.WHOLE),
    Column("state", 1),
    Column("ended", 2),
    Column("failures", 4, right=True),
    Column("losses", 5, right=True),
    Column("error", 9, Overflow.CLIPPED),
    Column("retried as", 8, Overflow.WHOLE),
    Column("number", 6, right=True),
)


@click.group("dead")
def command() -> None:
    """Show, retry or forget tasks that failed or were lost.

    One that has retries left is not among them.

    \b
    Example:
      raftwork dead list --queue mail
      raftwork dead retry 0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f
    """


@command.command("list")
@queue_option
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, metavar="N")
@click.option(
    "--before",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Only tasks older than the one that has this `number`.",
)
@shows
def list_command(cluster: Cluster, queue: str | None, limit: int, before: int | None) -> Shown:
    """List dead tasks, the newest first.

    A terminal shows of each what fits on two lines or so, of an error its beginning; a file or a
    pipe gets everything.

    \b
    Example:
      raftwork dead list --limit 20 --json | jq -r .[].id
    """
    tasks = cluster.app.dead(queue).list(limit, before=before)

    def show() -> None:
        if tasks:
            _print_table(tasks)
        else:
            of = "" if queue is None else f" of the queue {queue}"
            err(f"no dead tasks{of}" if before is None else f"no dead tasks{of} before {before}")
        if len(tasks) == limit:
            err(f"older ones: --before {tasks[-1].number}")

    return Shown([dead_document(task) for task in tasks], show)


@command.command("show")
@click.argument("task_id", metavar="ID")
@shows
def show_command(cluster: Cluster, task_id: str) -> Shown:
    """Show one dead task: arguments, error, workers it took down.

    \b
    Example:
      raftwork dead show 0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f
    """
    report = cluster.app.dead().show(task_id)
    return Shown(dead_report_document(report), partial(_print, report))


@command.command("retry")
@click.argument("task_ids", metavar="ID…", nargs=-1, required=True)
@asks
def retry_command(cluster: Cluster, task_ids: tuple[str, ...]) -> None:
    """Enqueue dead tasks once more, each under a new id.

    Prints the new ids in order. A task's own outcome stands for ever. To retry it again prints the
    same id.

    \b
    Example:
      raftwork dead retry $(raftwork dead list --queue mail --json | jq -r .[].id)
    """
    for run in cluster.app.dead().retry(*task_ids):
        out(run.id)


@command.command("purge")
@click.argument("task_ids", metavar="[ID…]", nargs=-1)
@queue_option
@click.option("--all", "everything", is_flag=True, help="Of all queues.")
@asks
def purge_command(
    cluster: Cluster, task_ids: tuple[str, ...], queue: str | None, everything: bool
) -> None:
    """Forget dead tasks: these, or all of a queue, or all.

    Prints how many there were. Their outcomes stay.

    \b
    Example:
      raftwork dead purge --queue mail
    """
    if bool(task_ids) + bool(queue) + everything != 1:
        raise click.UsageError("give either ids, or --queue, or --all")
    out(str(cluster.app.dead(queue).purge(*task_ids)))


def _print_table(tasks: list[DeadTask]) -> None:
    rows = []
    for task in tasks:
        facts = (task.id, task.name, task.queue, task.status.value)
        counts = (f"{task.ended:%Y-%m-%d %H:%M:%S}", str(task.failures), str(task.losses))
        rows.append((*facts, *counts, task.error, task.retried_as or "", str(task.number)))
    out_table(_COLUMNS, rows)


def _print(report: DeadReport) -> None:
    task = report.task
    out(f"{task.id}  {task.name}  in queue {task.queue}")
    counts = ", ".join(
        (
            count(task.attempts, "attempt"),
            count(task.failures, "failure"),
            count(task.losses, "loss", "losses"),
        )
    )
    out(f"{task.status.value} at {task.ended:%Y-%m-%d %H:%M:%S} UTC after {counts}")
    if task.retried_as:
        out(f"retried as {task.retried_as}")
    arguments = [repr(value) for value in report.args]
    arguments += [f"{name}={value!r}" for name, value in report.kwargs.items()]
    out(f"called with ({', '.join(arguments)})")
    for loss in report.losses:
        out(f"lost at {loss.time:%Y-%m-%d %H:%M:%S} UTC: {_how(loss)}")
    out_lines(report.traceback.rstrip() or f"{report.type}: {report.message}")
    if report.log:
        out("its last lines in the log:")
        out_lines(report.log.rstrip())


def _how(loss: Loss) -> str:
    worker = loss.worker or "an unknown worker"
    if loss.signal is not None:
        how = f"a process of {worker}, killed by signal {loss.signal}{_signal_name(loss.signal)}"
    elif loss.exit is not None:
        how = f"a process of {worker}, which exited with status {loss.exit}"
    else:
        return f"{worker}, which vanished"
    return how if loss.memory is None else f"{how}, at most {loss.memory / 2**20:.0f} MiB resident"


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""
