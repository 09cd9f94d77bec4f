"""What a task logs: its lines say which task it is, and the last ones go into its failure.

Records are caught as they are made, whatever handlers and loggers a program has set up, and only
those of code that runs for a task.
"""

import logging
import time
from collections.abc import Callable

from raftwork.logs import Handler
from raftwork.worker.context import running, scope_of_this_code
from raftwork.worker.forked_copies import forks
from raftwork.worker.last_lines import LastLines, stamped
from raftwork.worker.task_fields import TaskFilter
from raftwork.worker.task_lines import line_of


def keep_last_lines() -> None:
    """Let this process, and its forks, keep the last lines of each task's log."""
    make = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_keeping(make))


def name_tasks() -> None:
    """Have Raftwork's own handler say of each record for which task it was made."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            handler.addFilter(TaskFilter())


def _keeping(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    def made(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make(*args, **kwargs)
        scope = scope_of_this_code()
        if scope is not None:
            if scope.lines is None:
                scope.lines = LastLines()
            line = _line(record)
            scope.lines.add(stamped(line, record.created))
            _leave(scope, line)
        return record

    return made


def _leave(scope: running, line: str) -> None:
    """For whoever follows the task. A forked copy of its process does not speak for it."""
    if scope.home == forks():
        task = scope.context
        notes = task._notes  # noqa: SLF001 - ours, for no user
        notes.log(task.token, line_of(line, time.monotonic_ns() // 1_000_000))


def _line(record: logging.LogRecord) -> str:
    head = f"{record.levelname} {record.name}:"
    try:
        return f"{head} {record.getMessage()}"
    except Exception as error:  # noqa: BLE001 - values that a program logs may raise anything
        return f"{head} <could not be formatted: {type(error).__name__}>"
