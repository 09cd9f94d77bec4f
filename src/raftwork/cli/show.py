"""`raftwork show`: everything about one task, and why it waits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from raftwork.cli.cluster import Cluster, Shown, shows
from raftwork.cli.output import count, out, out_lines
from raftwork.client.task_documents import instant, task_document
from raftwork.durations import in_words

if TYPE_CHECKING:
    from raftwork.client.run_info import Attempt, Report
    from raftwork.features.lineage import Lineage


#: What a flow, and a join, are called.
WITHOUT_CODE = frozenset({"flow", "join"})


@click.command("show")
@click.argument("task_id", metavar="ID")
@shows
def command(cluster: Cluster, task_id: str) -> Shown:
    """Show everything about one task, and why it waits.

    Exits 1 for an id that is not known (any more).

    \b
    Example:
      raftwork show 0199c1a2-7f2b-7c3e-8d4f-5a6b7c8d9e0f
      raftwork show nightly-7 --json | jq -r .waits[].text
    """
    report = cluster.app.run(task_id).report()
    return Shown(_document(report), partial(_print, report))


def _document(report: Report) -> dict[str, object]:
    return task_document(report.info) | {
        "args": report.args,
        "kwargs": report.kwargs,
        "result": report.value,
        "error": report.error,
        "log": report.log,
        "checkpoint": report.checkpoint,
    }


def _print(report: Report) -> None:
    told = report.info
    queue = f"in queue {told.queue}" if told.queue else "in a queue that was deleted"
    if not told.queue and told.name in WITHOUT_CODE:
        queue = "without code"
    out(f"{told.id}  {told.name or '(name not kept)'}  {queue}")
    counts = [count(told.hand_outs, "hand-out")]
    if told.failures:
        counts.append(count(told.failures, "failure"))
    if told.losses:
        counts.append(count(told.losses, "loss", "losses"))
    out(f"{told.status.value}, {', '.join(counts)}")
    for reason in told.waits:
        out(f"waits: {reason.text}")
    if told.enqueued:
        out(f"enqueued {instant(told.enqueued)}")
    if told.ended:
        out(f"ended {instant(told.ended)}")
    for what, value in (("priority", told.priority), ("key", told.key), ("tenant", told.tenant)):
        if value:
            out(f"{what} {value}")
    for key, value in told.tags.items():
        out(f"tag {key}={value}")
    _print_kin(told.lineage)
    for attempt in told.attempts:
        out(f"attempt {_said(attempt)}")
    if told.progress:
        out(f"progress {told.progress.fraction:.0%} {told.progress.text}".rstrip())
    _print_contents(report)


def _print_kin(kin: Lineage) -> None:
    children = ", ".join(kin.children) + (", …" if kin.more else "")
    for what, ids in (
        *(("in the flow", kin.flow), ("made by", kin.parent), ("made", children)),
        ("runs again", kin.retry_of),
    ):
        if ids:
            out(f"{what} {ids}")


def _print_contents(report: Report) -> None:
    if report.args is not None:
        arguments = [repr(value) for value in report.args]
        arguments += [f"{name}={value!r}" for name, value in (report.kwargs or {}).items()]
        out(f"called with ({', '.join(arguments)})")
    if report.value is not None:
        out(f"result {report.value!r}")
    if report.checkpoint is not None:
        out(f"checkpoint {report.checkpoint!r}")
    if report.error:
        out_lines(report.error.rstrip())
    if report.log:
        out("its last lines in the log:")
        out_lines(report.log.rstrip())


def _said(attempt: Attempt) -> str:
    parts = [f"on {attempt.worker or 'a worker whose name is not kept'}"]
    if attempt.started:
        parts.append(f"since {instant(attempt.started)}")
    if attempt.run is not None:
        parts.append(f"for {in_words(attempt.run)}")
    return ", ".join(parts) + (f": {attempt.error}" if attempt.error else "")
