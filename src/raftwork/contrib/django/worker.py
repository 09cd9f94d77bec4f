"""The worker of `manage.py raftwork_worker`: raftwork.contrib.django.worker:app."""

from __future__ import annotations

from datetime import UTC, datetime
from traceback import format_exception
from typing import Any

import django
from django.db import close_old_connections, connections
from django.utils import timezone

from raftwork.client.app import App
from raftwork.contrib.django.compat import (
    Task,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultStatus,
    normalize_json,
    signals,
)
from raftwork.contrib.django.stored import NAME, found
from raftwork.worker.context import current

django.setup()
connections.close_all()  # what AppConfigs have opened must not be shared with processes of a pool

app = App()


@app.task(name=NAME)
def run(path: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, object]:
    """Run the Task at this path, and nothing else that may be there."""
    task, began = found(path), datetime.now(UTC)
    result = _begun(task, args, kwargs)
    sender = type(task.get_backend())
    close_old_connections()
    try:
        signals.task_started.send(sender, task_result=result)
        try:
            given = [TaskContext(task_result=result), *args] if task.takes_context else args
            value = normalize_json(task.call(*given, **kwargs))
        except BaseException as error:
            _end(result, TaskResultStatus.FAILED)
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            text = "".join(format_exception(error))
            result.errors.append(TaskError(exception_class_path=kind, traceback=text))
            signals.task_finished.send(sender, task_result=result)
            raise
        object.__setattr__(result, "_return_value", value)
        _end(result, TaskResultStatus.SUCCESSFUL)
        signals.task_finished.send(sender, task_result=result)
    finally:
        close_old_connections()
    return {"value": value, "call": [path, args, kwargs], "began": began.isoformat()}


def _begun(task: Task, args: list[Any], kwargs: dict[str, Any]) -> TaskResult:
    this, now = current(), timezone.now()
    return TaskResult(
        task=task.using(priority=this.priority, queue_name=this.queue),
        id=this.id,
        status=TaskResultStatus.RUNNING,
        enqueued_at=None,  # a worker is not told
        started_at=now,
        last_attempted_at=now,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        errors=[],
        worker_ids=[this.worker] * this.attempt,
    )


def _end(result: TaskResult, status: TaskResultStatus) -> None:
    object.__setattr__(result, "finished_at", timezone.now())
    object.__setattr__(result, "status", status)
