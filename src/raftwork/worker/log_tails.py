"""Tells a leader what running tasks log, while somebody follows them. Sans-IO; times are ms.

What tasks log lies where they wrote it (`LogSource`), and is looked at ten times a second for those
that are followed, and for no other. Frames are bounded; what a connection does not take is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from raftwork.features.task_log import LEASE_MS, TellLog, ToldLine
from raftwork.messages import ToBroker
from raftwork.worker.task_lines import BEGINNING, KeptLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raftwork.features.task_log import FollowLogs
    from raftwork.worker.leader_session import LeaderSession
    from raftwork.worker.task_lines import NewLines, Read

#: Between two looks.
LOOK_MS: Final = 100
#: For longer than a leader follows without asking again: numbers would begin anew.
_KEPT_MS: Final = 2 * LEASE_MS
#: Tasks that are followed at a time, here.
_TAILS_MAX: Final = 100
#: Of the lines of one look, of all tasks together.
_BYTES_MAX: Final = 64 * 1024
_NEVER: Final = 2**62


class LogSource(Protocol):
    """Where running code left its lines."""

    def lines(self, token: int, read: Read) -> NewLines | None:
        """What came of this token since; None if its lines are not to be had here.

        It also has those of a task whose end was collected last.
        """
        ...


class _Tail:
    def __init__(self, now: int) -> None:
        self.sent = now  # the number of the line before the first: so numbers grow for ever
        self.kept = KeptLines(now)
        self.read = BEGINNING
        self.until = 0
        self.asked = False  # and not answered


class LogTails:
    """Of one worker."""

    def __init__(self, session: LeaderSession, holds: Callable[[int], bool]) -> None:
        """`holds(token)` is whether the task waits or runs here."""
        self._session, self._holds = session, holds
        self._tails: dict[int, _Tail] = {}
        #: When `turn` has something to do.
        self.look_at = _NEVER

    def follow(self, asked: list[FollowLogs], now: int) -> None:
        """What the leader asks for in the present session, drained."""
        tails = [tail for frame in asked for tail in frame.tails]
        asked.clear()
        for token, after in tails:
            if not self._holds(token):
                continue
            tail = self._tails.get(token)
            if tail is None:
                if len(self._tails) >= _TAILS_MAX:
                    continue
                tail = self._tails[token] = _Tail(now)
            tail.until, tail.asked = now + _KEPT_MS, True
            tail.sent = min(tail.sent, max(after, tail.kept.before))
            self.look_at = now

    def turn(self, source: LogSource, now: int) -> list[ToBroker]:
        """What to send to the leader now."""
        if now < self.look_at:
            return []
        self._tails = {
            token: tail
            for token, tail in self._tails.items()
            if tail.until > now and self._holds(token)
        }
        self.look_at = now + LOOK_MS if self._tails else _NEVER
        return self._tell(self._tails, source, now) if self._session.open else []

    def ended(self, tokens: Iterable[int], source: LogSource, now: int) -> list[ToBroker]:
        """The code of these is over: the rest of what it logged, before its outcome goes."""
        if not self._tails or not self._session.open:
            return []
        return self._tell([t for t in tokens if t in self._tails], source, now)

    def _tell(self, tokens: Iterable[int], source: LogSource, now: int) -> list[ToBroker]:
        room, out = _BYTES_MAX, list[ToBroker]()
        for token in list(tokens):
            tail = self._tails[token]
            found = source.lines(token, tail.read)
            if found is None:
                if tail.asked:
                    tail.asked = False
                    why = "the code of this worker's pool runs elsewhere, and its log with it"
                    out.append(TellLog(self._session.number, token, tail.sent, [], why))
                continue
            if found.lost and tail.read != BEGINNING:
                tail.kept.skip()
            tail.read = found.read
            for line in found.lines:
                tail.kept.add(line)
            last, fresh = tail.kept.since(tail.sent)
            told = [ToldLine(max(0, now - line.at), line.data, line.sealed) for line in fresh]
            size = sum(len(line.data) for line in told)
            if (not told and not tail.asked) or size > room:
                continue  # for what is left there is another look
            room -= size
            out.append(TellLog(self._session.number, token, last - len(told), told))
            tail.sent, tail.asked = last, False
            self._tails[token] = self._tails.pop(token)  # the others come first the next time
        return out
