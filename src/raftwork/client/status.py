"""A task's state, as programs and the command line say it."""

import enum


class Status(enum.StrEnum):
    """A task's state. One that waits for a retry is queued; one over its time limit, failed.

    One that waits for its time is scheduled, one that waits for other tasks is blocked.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
