"""Enqueues that were refused for want of room and wait for it. No I/O, no clock.

1. What has the same Spec is for the same queue, so it waits in one line, in the order in which it
   was refused or came. Only the first of a line asks; who comes later stands behind it unsent, also
   if it is smaller. So many callers that wait cost the brokers little more than one.
2. It asks again after a pause that doubles each time it is refused, and that no two clients share.
   Once it is taken the next one asks at once.
3. What was refused together asks again in halves: the brokers store all of a request or none, so
   where a place becomes free now and then a large one would wait for ever. Behind a half that is
   taken stands one as large, and behind that one twice as large: so they find out how much room
   there is.
4. A batch, or a large task, is a line of its own.
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from raftwork.client.calls import Call, Gathered, gather
from raftwork.errors import RaftworkError

if TYPE_CHECKING:
    from random import Random

    from raftwork.client.alarm import Alarm

#: Before what waits for room asks again, doubled each time; half of it more or less.
PAUSE_FIRST_MS, PAUSE_MAX_MS = 50, 1_000

_Sent = Call | Gathered
_Key = bytes | int


class _Line:
    """Those of one Spec."""

    __slots__ = ("again_at", "asks", "fresh", "full", "pause", "ready", "refused")

    def __init__(self, full: RaftworkError) -> None:
        #: What its first was told last.
        self.full = full
        self.pause = PAUSE_FIRST_MS
        self.again_at = 0
        #: Its first may ask now, and is to find room on the wire.
        self.ready = False
        #: Who has asked again and has no answer yet.
        self.asks: _Sent | None = None
        #: Behind that one: who has asked before, and who has not.
        self.refused: deque[_Sent] = deque()
        self.fresh: deque[Call] = deque()

    def members(self) -> Iterator[Call]:
        """The calls that wait here, but for those that ask."""
        for sent in self.refused:
            yield from sent.members
        yield from self.fresh

    def drop(self, late: set[Call]) -> None:
        """These have ended; what goes again is without them, as their callers hear of no room."""
        for call in late.intersection(self.fresh):
            call.full = self.full
        self.fresh = deque(call for call in self.fresh if call not in late)
        kept: deque[_Sent] = deque()
        for sent in self.refused:
            if late.isdisjoint(sent.members):
                kept.append(sent)
            else:
                kept.extend(call for call in sent.parted() if call not in late)
        self.refused = kept


class Backpressure:
    """The lines of one client."""

    def __init__(self, alarm: "Alarm", numbers: Iterator[int], rng: "Random") -> None:
        self._alarm = alarm
        self._numbers = numbers
        self._rng = rng
        self._lines: dict[_Key, _Line] = {}
        #: Whose first may ask now.
        self._ready: deque[_Line] = deque()

    def __bool__(self) -> bool:
        """Whether anything waits or asks again."""
        return bool(self._lines)

    def calls(self) -> list[Call]:
        """All that wait, but for those that ask again."""
        return [call for line in self._lines.values() for call in line.members()]

    def holds(self, call: Call) -> bool:
        """Whether a call that has just come stands behind others that wait."""
        if call.spec is None or not call.wait_when_full:
            return False
        if (line := self._lines.get(call.spec)) is None:
            return False
        line.fresh.append(call)
        return True

    def refused(self, sent: _Sent, error: RaftworkError, now: int) -> None:
        """There was no room for this one, all of whose callers wait for it."""
        sent.endpoint = None
        for call in sent.members:
            call.full = error
        line = self._lines.get(_key(sent))
        if line is not None and line.asks is not sent:
            line.refused.append(sent)  # it was under way when the line began
            return
        if line is None:
            line = self._lines[_key(sent)] = _Line(error)
        line.full, line.asks = error, None
        line.refused.extendleft(reversed(sent.halves(self._numbers)))
        line.again_at = now + round(line.pause * self._rng.uniform(0.5, 1.5))
        line.pause = min(line.pause * 2, PAUSE_MAX_MS)
        self._alarm.due(line.again_at)

    def ended(self, sent: _Sent) -> None:
        """This one was taken, or ended otherwise: the next one may ask."""
        line = self._lines.get(_key(sent)) if self._lines else None
        if line is None or line.asks is not sent:
            return
        line.asks, line.pause = None, PAUSE_FIRST_MS
        if line.refused or line.fresh:
            self._make_ready(line)
        else:
            del self._lines[_key(sent)]

    def wake(self, now: int) -> None:
        """Let those ask whose pause is over."""
        for line in self._lines.values():
            if line.asks is not None or line.ready:
                continue
            if now >= line.again_at:
                self._make_ready(line)
            else:
                self._alarm.due(line.again_at)

    def next_size(self) -> int | None:
        """The bytes of the one that may ask now; None if there is none."""
        if not self._ready:
            return None
        line = self._ready[0]
        return line.refused[0].size if line.refused else line.fresh[0].size

    def ask(self) -> _Sent:
        """That one: it is sent now."""
        line = self._ready.popleft()
        line.ready = False
        if line.refused:
            line.asks = line.refused.popleft()
        else:
            line.asks = gather(line.fresh, self._numbers)
        return line.asks

    def drop(self, late: set[Call]) -> None:
        """These have ended, wherever they are."""
        for key, line in list(self._lines.items()):
            line.drop(late)
            if line.asks is None and not (line.refused or line.fresh):
                del self._lines[key]
                if line.ready:
                    self._ready.remove(line)

    def clear(self) -> None:
        """All of them have ended."""
        self._lines.clear()
        self._ready.clear()

    def _make_ready(self, line: _Line) -> None:
        line.ready = True
        self._ready.append(line)


def _key(sent: _Sent) -> _Key:
    return sent.number if sent.spec is None else sent.spec
