"""Raftwork: a replicated task queue that needs no external broker.

from raftwork import App

app = App(brokers="127.0.0.1:7701,127.0.0.1:7702,127.0.0.1:7703")

@app.task
def add(x: int, y: int) -> int:
    return x + y

add.enqueue(1, 2).result(timeout=10)
"""

from typing import TYPE_CHECKING

from raftwork import interrupts  # noqa: F401 - the first: it acts as it is imported
from raftwork.attempt_ends import RateLimited, Reject, Resume, Retry
from raftwork.client import (
    App,
    BoundTask,
    Flow,
    Progress,
    Run,
    RunInfo,
    Schedule,
    Status,
    Task,
    chain,
    chord,
    group,
    mapreduce,
    replace,
)
from raftwork.conversion import Converter
from raftwork.errors import (
    AlreadyEnqueued,
    AppClosed,
    AttemptOver,
    KeyRefused,
    LoadError,
    NotDeterministic,
    NotSerializable,
    PayloadTooLarge,
    PermissionDenied,
    ProtocolError,
    QueueFull,
    RaftworkError,
    ScheduleConflict,
    TaskCancelled,
    TaskFailed,
    TaskLost,
    Unavailable,
    UnknownSchedule,
    UnknownTask,
    UnknownWorker,
    Unsupported,
    WouldDeadlock,
)
from raftwork.messages.flow_values import Failure
from raftwork.release import RELEASE

if TYPE_CHECKING:
    from raftwork.worker.context import current as current

__version__ = RELEASE

__all__ = [
    "App",
    "BoundTask",
    "Converter",
    "Failure",
    "Flow",
    "Progress",
    "Run",
    "RunInfo",
    "Schedule",
    "Status",
    "Task",
    "chain",
    "chord",
    "current",
    "group",
    "mapreduce",
    "replace",
    "Reject",
    "RateLimited",
    "Resume",
    "Retry",
    "RaftworkError",
    "AlreadyEnqueued",
    "AppClosed",
    "AttemptOver",
    "KeyRefused",
    "LoadError",
    "NotDeterministic",
    "NotSerializable",
    "PayloadTooLarge",
    "PermissionDenied",
    "ProtocolError",
    "QueueFull",
    "ScheduleConflict",
    "TaskCancelled",
    "TaskFailed",
    "TaskLost",
    "Unavailable",
    "UnknownSchedule",
    "UnknownTask",
    "UnknownWorker",
    "Unsupported",
    "WouldDeadlock",
    "__version__",
]


def __getattr__(name: str) -> object:
    """`current`, imported when it is first used: a program that only enqueues needs no worker."""
    if name != "current":
        raise AttributeError(f"module 'raftwork' has no attribute {name!r}")
    from raftwork.worker.context import current

    return current
