"""Schedules, limits and dead tasks as JSON: what `--json` prints and the API answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from raftwork.client.dead_letters import DeadReport, DeadTask
    from raftwork.client.limits import Limit
    from raftwork.client.schedules import Schedule


def said_at(at: datetime | None) -> str | None:
    """As ISO 8601 in UTC."""
    if at is None:
        return None
    text = at.isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def schedule_document(schedule: Schedule) -> dict[str, object]:
    """A schedule in JSON."""
    return {
        "id": schedule.id,
        "task": schedule.task,
        "queue": schedule.queue,
        "cron": schedule.cron,
        "every": schedule.every,
        "tz": schedule.tz,
        "next": said_at(schedule.next),
        "last": said_at(schedule.last),
        "paused": schedule.paused,
        "overlap": schedule.overlap,
        "catchup": schedule.catchup,
        "window": schedule.window,
        "jitter": schedule.jitter,
        "start": said_at(schedule.start),
        "end": said_at(schedule.end),
        "limit": schedule.limit,
        "args": list(schedule.args),
        "kwargs": dict(schedule.kwargs),
        "declared_by": schedule.declared_by,
        "overridden": list(schedule.overridden),
        "etag": schedule.etag,
        "counts": schedule.counts._asdict(),
    }


def limit_document(limit: Limit) -> dict[str, object]:
    """A limit, and how far it is used."""
    until = limit.paused_until
    made: dict[str, object] = asdict(limit)
    return made | {"paused_until": None if until is None else until.isoformat()}


def dead_document(task: DeadTask) -> dict[str, object]:
    """A dead task in short."""
    return {
        "number": task.number,
        "id": task.id,
        "name": task.name,
        "queue": task.queue,
        "status": task.status.value,
        "ended": task.ended.isoformat(),
        "attempts": task.attempts,
        "failures": task.failures,
        "losses": task.losses,
        "error": task.error,
        "retried_as": task.retried_as,
    }


def dead_report_document(report: DeadReport) -> dict[str, object]:
    """Everything that is known of a dead task."""
    return dead_document(report.task) | {
        "type": report.type,
        "message": report.message,
        "traceback": report.traceback,
        "log": report.log,
        "args": report.args,
        "kwargs": report.kwargs,
        "lost": [loss._asdict() | {"time": loss.time.isoformat()} for loss in report.losses],
    }
