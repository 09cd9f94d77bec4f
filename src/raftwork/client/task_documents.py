"""Tasks as `--json` prints them."""

from datetime import UTC, datetime

from raftwork.client.run_info import Attempt, Progress, RunInfo
from raftwork.client.status import Status


def task_document(told: RunInfo) -> dict[str, object]:
    """Everything that is known of a task but for its contents."""
    return summary_document(told) | {
        "tags": dict(told.tags),
        "attempts": [_attempt(attempt) for attempt in told.attempts],
        "progress": progress_document(told.progress),
        "waits": [reason._asdict() for reason in told.waits],
        "lineage": told.lineage._asdict(),
    }


def summary_document(told: RunInfo) -> dict[str, object]:
    """A line of a list."""
    last = told.attempts[-1] if told.attempts else None
    ran = last.run.total_seconds() if last and last.run is not None else None
    return {
        "number": told.number,
        "id": told.id,
        "name": told.name,
        "queue": told.queue,
        "status": told.status.value,
        "key": told.key,
        "tenant": told.tenant,
        "priority": told.priority,
        "enqueued": _iso(told.enqueued),
        "due": _iso(told.due),
        "ended": _iso(told.ended),
        "attempt": told.hand_outs,
        "failures": told.failures,
        "losses": told.losses,
        "worker": last.worker if last else None,
        "run": ran,
        "age": ran if told.status is Status.RUNNING else None,
        "error": last.error if last else None,
    }


def instant(at: datetime) -> str:
    """For people."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "worker": attempt.worker,
        "started": _iso(attempt.started),
        "run": None if attempt.run is None else attempt.run.total_seconds(),
        "error": attempt.error,
    }


def progress_document(said: Progress | None) -> dict[str, object] | None:
    """What a task said last of how far it is."""
    if said is None:
        return None
    return {"fraction": said.fraction, "text": said.text, "at": _iso(said.at)}


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
