"""What a task logs: its lines say which task it is, and the last ones go into its failure.

Records are caught as they are made, whatever handlers and loggers a program has set up, and only
those of code that runs for a task.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from raftwork.logs import Handler
from raftwork.worker.context import running, scope_of_this_code
from raftwork.worker.forked_copies import forks
from raftwork.worker.task_fields import TaskFilter
from raftwork.worker.task_lines import line_of

#: Of all that is kept of a task, in UTF-8; of one line.
LOG_BYTES_MAX: Final = 4 * 1024
_LINE_BYTES_MAX: Final = 1024


class LastLines:
    """The end of a log."""

    __slots__ = ("_lines", "_size")

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._size = 0

    def add(self, line: str) -> None:
        """One more; the oldest go."""
        data = line.encode("utf-8", "backslashreplace")[:_LINE_BYTES_MAX]
        self._lines.append(data)
        self._size += len(data) + 1
        while self._size > LOG_BYTES_MAX:
            self._size -= len(self._lines.popleft()) + 1

    def __str__(self) -> str:
        return "\n".join(line.decode("utf-8", "ignore") for line in list(self._lines))


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


def stamped(line: str, at: float) -> str:
    """With its time, `at` in s since 1970, before it."""
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return f"{when.removesuffix('+00:00')}Z {line}"


def _line(record: logging.LogRecord) -> str:
    head = f"{record.levelname} {record.name}:"
    try:
        return f"{head} {record.getMessage()}"
    except Exception as error:  # noqa: BLE001 - values that a program logs may raise anything
        return f"{head} <could not be formatted: {type(error).__name__}>"
