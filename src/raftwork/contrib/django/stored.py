"""What is known of a task in the cluster, as Django has it: a TaskResult."""

from __future__ import annotations

import builtins
import re
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from raftwork.client.dead_letters import DeadReport
from raftwork.client.run_info import Report, RunInfo
from raftwork.client.status import Status
from raftwork.contrib.django.compat import (
    Task,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
)

#: The task of a worker that runs Django's.
NAME: Final = "raftwork.django"
_STATUS: Final = {
    Status.RUNNING: TaskResultStatus.RUNNING,
    Status.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
    Status.LOST: TaskResultStatus.FAILED,
    Status.CANCELLED: TaskResultStatus.FAILED,
}


class Call(NamedTuple):
    """What goes to the worker, and comes back with the value."""

    path: str
    args: list[Any]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, sent: Any) -> Call:
        """Raises TaskResultDoesNotExist for what is none."""
        match sent:
            case [str(path), list(args), dict(kwargs)]:
                return cls(path, args, kwargs)
        raise TaskResultDoesNotExist("it is not one of Django's tasks")


def found(path: str) -> Task:
    """The Task at a path. Raises TypeError for anything else that is there, as it would be run."""
    task = import_string(path)
    if not isinstance(task, Task):
        raise TypeError(f"{path} is a {type(task).__name__}, not a task")
    return task


def stored(report: Report, dead: DeadReport | None, backend: str) -> TaskResult:
    """`dead` is known of those that failed or were lost. Raises TaskResultDoesNotExist."""
    told, value = report.info, report.value
    if told.name not in (NAME, None):
        raise TaskResultDoesNotExist(f"{told.id} is the task {told.name}, not one of Django's")
    if told.status is Status.SUCCEEDED:
        if not isinstance(value, dict):
            raise TaskResultDoesNotExist(f"the result of {told.id} is no longer kept")
        call = Call.of(value["call"])
    elif dead is not None:
        call = Call.of(dead.args)
    elif report.args is not None:
        call = Call.of(report.args)
    else:  # cancelled, or forgotten but for its end
        call = Call(told.tags.get("task", ""), [], {})
    result = _result(told, call, backend)
    if isinstance(value, dict):
        object.__setattr__(result, "_return_value", value["value"])
        _set_begun(result, datetime.fromisoformat(value["began"]))
    elif result.status == TaskResultStatus.FAILED:
        result.errors.append(_error(told, report, dead))
    return result


def _result(told: RunInfo, call: Call, backend: str) -> TaskResult:
    try:
        task = found(call.path)
    except Exception as error:
        raise TaskResultDoesNotExist(f"the task of {told.id} cannot be found: {error}") from error
    begun = [start for each in told.attempts if (start := each.started) is not None]
    if not begun and told.ended is not None and told.attempts:  # too short to be noticed
        begun = [told.ended - (told.attempts[-1].run or timedelta())]
    workers = [each.worker or "unknown" for each in told.attempts]
    earlier = ["unknown"] * (told.hand_outs - len(workers))  # more than are kept
    return TaskResult(
        task=task.using(priority=told.priority, queue_name=told.queue or None, backend=backend),
        id=told.id,
        status=_STATUS.get(told.status, TaskResultStatus.READY),
        enqueued_at=_time(told.enqueued),
        started_at=_time(begun[0] if begun else None),
        last_attempted_at=_time(begun[-1] if begun else None),
        finished_at=_time(told.ended),
        args=call.args,
        kwargs=call.kwargs,
        backend=backend,
        errors=[],
        worker_ids=[*earlier, *workers],
    )


def _set_begun(result: TaskResult, began: datetime) -> None:
    object.__setattr__(result, "last_attempted_at", _time(began))
    if len(result.worker_ids) <= 1 or result.started_at is None:
        object.__setattr__(result, "started_at", _time(began))


def _time(instant: datetime | None) -> datetime | None:
    """As the project has its times."""
    if instant is None or settings.USE_TZ:
        return instant
    naive: datetime = timezone.make_naive(instant)
    return naive


def _error(told: RunInfo, report: Report, dead: DeadReport | None) -> TaskError:
    text = report.error or ""
    if told.status is Status.LOST:
        return TaskError(exception_class_path="raftwork.errors.TaskLost", traceback=text)
    if told.status is Status.CANCELLED:
        return TaskError(exception_class_path="raftwork.errors.TaskCancelled", traceback=text)
    kind = dead.type if dead is not None else ""
    return TaskError(exception_class_path=path_of(kind, text), traceback=text)


def path_of(kind: str, traceback: str) -> str:
    """Where the class of an exception is: its traceback says that in its last line."""
    named = re.findall(rf"^((?:\w+\.)+){re.escape(kind)}(?::|$)", traceback, re.MULTILINE)
    if kind and named:
        return f"{named[-1]}{kind}"
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, BaseException):
        return f"builtins.{kind}"
    return "raftwork.errors.TaskFailed"  # such as a time limit's
