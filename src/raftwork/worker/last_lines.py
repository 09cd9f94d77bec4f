"""The last lines that a task logged: they go into its failure, whoever makes that."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from raftwork.messages import Failure, Outcome, decode_ending, encode_failure
from raftwork.worker.task_lines import Line

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


def with_last_lines(outcome: Outcome, lines: Sequence[Line]) -> Outcome:
    """An outcome in which the code itself had no say, with what it had logged last."""
    if not lines:
        return outcome
    began, kept = time.time() - time.monotonic(), LastLines()
    for line in lines:
        kept.add(stamped(line.data.decode("utf-8", "replace"), began + line.at / 1e3))
    ending = decode_ending(outcome.data)
    assert isinstance(ending, Failure), "it is the worker's own"
    return outcome._replace(data=encode_failure(ending._replace(log=str(kept))))


def stamped(line: str, at: float) -> str:
    """With its time, `at` in s since 1970, before it."""
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return f"{when.removesuffix('+00:00')}Z {line}"
