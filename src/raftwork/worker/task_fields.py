"""Says in records of a log for which task they were made."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from raftwork.instruments import log_fields
from raftwork.worker.context import task_of_this_code


def task_fields() -> Mapping[str, object]:
    """Of the task that this code runs for: its task_id, task (the name), queue, attempt, token and
    worker; with a tracer also trace_id and span_id. Empty outside a task.
    """
    task = task_of_this_code()
    if task is None:
        return {}
    return {
        "task_id": task.id,
        "task": task.name,
        "queue": task.queue,
        "attempt": task.attempt,
        "token": task.token,
        "worker": task.worker,
        **log_fields(),
    }


class TaskFilter(logging.Filter):
    """For handlers of `logging`: gives each record, as attributes, the `task_fields` it has not.

    It lets every record pass. Raftwork's own handler in a worker has one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """See Filter."""
        for name, value in task_fields().items():
            vars(record).setdefault(name, value)
        return True


def add_task(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A processor for structlog: the `task_fields` that the event has not."""
    for name, value in task_fields().items():
        event.setdefault(name, value)
    return event
