"""What tasks printed: it goes into the log, and of each task the last lines are kept."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Final

from raftwork.errors import BadMessage
from raftwork.logs import UNFOLDED
from raftwork.messages import Failure, RetryAsked, decode_ending, decode_spec, encode_failure
from raftwork.worker.last_lines import LOG_BYTES_MAX, stamped
from raftwork.worker.pool.output_pipes import OutputPipes
from raftwork.worker.task_lines import KeptLines, line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from raftwork.messages import Outcome, PushedTask
    from raftwork.worker.task_lines import Line

log = logging.getLogger("raftwork.worker.output")

#: What begins a record among the last lines of a task.
_STAMP: Final = re.compile(r"(?m)^(?=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z )")


class OutputCapture:
    """Of the children of one pool. Make it before forking. Raises OSError without enough files."""

    def __init__(self, worker: str, slots: int) -> None:
        self._worker = worker
        self.pipes = OutputPipes(slots)
        self._kept: dict[int, KeptLines] = {}  # by token
        self._over: list[int] = []

    def read(self, slot: int, handed: Mapping[int, PushedTask]) -> None:
        """Take the next part of what the child of this slot, which has these tasks, printed."""
        self._came(self.pipes.read(slot), handed)

    def ended(self, slot: int, handed: Mapping[int, PushedTask], outcome: Outcome) -> Outcome:
        """The outcome of a task of that child: with what it printed among its last lines."""
        self._came(self.pipes.rest(slot), handed)
        kept = self._kept.get(outcome.token)
        if kept is None:
            return outcome
        self._over.append(outcome.token)
        if outcome.returned:
            return outcome
        ending = decode_ending(outcome.data)
        if not isinstance(ending, Failure | RetryAsked):
            return outcome
        began = time.time() - time.monotonic()
        printed = [
            stamped(line.data.decode("utf-8", "replace"), began + line.at / 1e3)
            for line in self.records(outcome.token)
        ]
        both = ending._replace(log=merged(ending.log, printed))
        return outcome._replace(data=encode_failure(both))

    def _came(self, printed: Iterable[tuple[int, str]], handed: Mapping[int, PushedTask]) -> None:
        now = time.monotonic_ns() // 1_000_000
        for token, text in printed:
            task = handed.get(token)
            log.info("%s", text, extra={**UNFOLDED, **self._fields(task)})
            if task is not None:
                self._kept.setdefault(token, KeptLines()).add(line_of(text, now))

    def _fields(self, task: PushedTask | None) -> Mapping[str, object]:
        """As of what the task logs (task_fields.py)."""
        if task is None:
            return {}  # it printed on after its task
        try:
            spec = decode_spec(task.spec)
        except BadMessage:
            return {"task_id": task.id}
        return {
            "task_id": task.id,
            "task": spec.name,
            "queue": spec.queue,
            "attempt": task.attempt,
            "token": task.token,
            "worker": self._worker,
        }

    def records(self, token: int) -> list[Line]:
        """What a task printed that is kept, as what it logged."""
        kept = self._kept.get(token)
        head = f"INFO {log.name}: ".encode()
        lines = () if kept is None else kept.since(0)[1]
        return [line._replace(data=head + line.data) for line in lines]

    def lines(self, token: int, after: int) -> tuple[int, Sequence[Line]]:
        """See KeptLines; also of a task that has just ended."""
        kept = self._kept.get(token)
        return (after, ()) if kept is None else kept.since(after)

    def forget(self) -> None:
        """Nobody asks any more for what had ended by now."""
        if self._over:
            for token in self._over:
                self._kept.pop(token, None)
            self._over.clear()


def merged(logged: str, printed: Sequence[str]) -> str:
    """The last lines that were logged and those that were printed, in the order of their times."""
    records = [part.rstrip("\n") for part in _STAMP.split(logged) if part]
    both = sorted([*records, *printed], key=lambda record: record[:24])
    size = 0
    for at in range(len(both) - 1, -1, -1):
        size += len(both[at].encode("utf-8", "backslashreplace")) + 1
        if size > LOG_BYTES_MAX:
            return "\n".join(both[at + 1 :])
    return "\n".join(both)
