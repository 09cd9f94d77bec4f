"""The newest lines of running tasks that somebody follows, as their workers tell them. Sans-IO.

A leader asks the worker again while there are readers, and forgets what nobody reads. Nothing of it
outlives the leader: the next one asks anew, and the worker tells again what it still has.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from raftwork.errors import QueueFull
from raftwork.features.task_log import (
    LEASE_MS,
    LINES_BYTES_MAX,
    LINES_MAX,
    SEALED_BYTES_MAX,
    WHY_MAX,
    FollowLogs,
    LoggedLine,
    Tail,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.broker.machine import Machine
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.task_log import TellLog
    from raftwork.messages import FromBroker

#: Attempts that are followed at a time.
LOGS_MAX: Final = 100
#: Before a worker is asked again: one that has not answered yet, and one that has.
_ASK_MS: Final = 500
_RENEW_MS: Final = 2_000
#: Of what stands in a loss: bytes of its lines, and what the time before each takes.
LAST_BYTES_MAX: Final = 4 * 1024
_STAMP_BYTES: Final = 26


def _stamp(at: int) -> str:
    """A leader time, as a worker writes the time of a line."""
    when = datetime.fromtimestamp(at / 1e3, UTC).isoformat(timespec="milliseconds")
    return f"{when.removesuffix('+00:00')}Z"


class LiveLog:
    """Of one attempt. Its lines have the numbers that the worker gives them, which only grow."""

    def __init__(self, token: int, attempt: int, worker: str, last: int) -> None:
        self.token, self.attempt, self.worker = token, attempt, worker
        #: The number of the last line.
        self.last = last
        #: Whether the worker has answered; and why it tells no lines.
        self.heard = False
        self.why = ""
        #: For readers that are still there.
        self.until = 0
        self.ask_at = 0
        self.session = -1  # of the worker, that was asked
        self._lines: deque[LoggedLine] = deque()
        self._bytes = 0

    def since(self, after: int) -> tuple[list[LoggedLine], bool]:
        """The lines behind number `after`, and whether some of these are not kept (any more)."""
        before = self.last - len(self._lines)
        return list(islice(self._lines, max(0, after - before), None)), 0 < after < before

    def last_lines(self) -> str:
        """The end of what it logged, as a failure has it; without what is sealed.

        A sealed line is bound to its place, and cannot be opened as a part of a failure.
        """
        kept, size = list[str](), 0
        for at, data, sealed in reversed(self._lines):
            size += len(data) + _STAMP_BYTES
            if size > LAST_BYTES_MAX:
                break
            if not sealed:
                kept.append(f"{_stamp(at)} {data.decode(errors='replace')}")
        return "\n".join(reversed(kept))

    def take(self, told: TellLog, time: int) -> None:
        """What the worker says; what it said before, or is no line, is dropped."""
        self.heard, self.why = True, told.why[:WHY_MAX]
        if told.after > self.last:  # some are missing between, or these are the first
            self._lines.clear()
            self._bytes, self.last = 0, told.after
        known = self.last - told.after
        for age, data, sealed in told.lines[known : known + LINES_MAX]:
            self._add(LoggedLine(max(1, time - age), data[:SEALED_BYTES_MAX], sealed))

    def _add(self, line: LoggedLine) -> None:
        self.last += 1
        self._lines.append(line)
        self._bytes += len(line.data)
        while len(self._lines) > LINES_MAX or self._bytes > LINES_BYTES_MAX:
            self._bytes -= len(self._lines.popleft().data)


class LiveLogs:
    """Of one leadership."""

    def __init__(self, machine: Machine, epoch: int, holder: Mapping[int, Worker]) -> None:
        """`holder` is who has the task under each token."""
        self._machine, self._epoch, self._holder = machine, epoch, holder
        self._logs: dict[int, LiveLog] = {}
        self._frames: list[tuple[bytes, FromBroker]] = []

    def find(self, token: int) -> LiveLog | None:
        """Of an attempt that was followed: it may be over."""
        return self._logs.get(token)

    def follow(self, token: int, after: int, time: int) -> LiveLog | None:
        """Of the attempt that runs under this token, which somebody reads at leader time `time`.

        `after` is the number of the last line that the reader has. None if no worker has the task.
        Raises QueueFull.
        """
        worker, running = self._holder.get(token), self._machine.current(token)
        if worker is None or running is None:
            return self._logs.get(token)
        log = self._logs.get(token)
        if log is None:
            self._forget(time)
            if len(self._logs) >= LOGS_MAX:
                raise QueueFull(
                    f"{len(self._logs)} logs are followed here, as many as may be: look again when"
                    " others do not"
                )
            log = self._logs[token] = LiveLog(token, running.attempt, worker.name, after)
        log.until = time + LEASE_MS
        if worker.routing is not None and (worker.session != log.session or time >= log.ask_at):
            log.session = worker.session
            log.ask_at = time + (_RENEW_MS if log.heard else _ASK_MS)
            asked = FollowLogs(self._epoch, worker.session, [Tail(token, log.last)])
            self._frames.append((worker.routing, asked))
        return log

    def last_lines(self, token: int) -> str:
        """What an attempt whose worker is gone had logged, if somebody followed it."""
        log = self._logs.get(token)
        return "" if log is None else log.last_lines()

    def take(self, worker: Worker, told: TellLog, time: int) -> None:
        """What a worker tells; of what nobody follows, or it has not, nothing is taken."""
        log = self._logs.get(told.token)
        if log is not None and told.token in worker.assignments:
            log.take(told, time)

    def _forget(self, time: int) -> None:
        self._logs = {token: log for token, log in self._logs.items() if log.until > time}

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        """What to send, drained."""
        out, self._frames = self._frames, []
        return out
