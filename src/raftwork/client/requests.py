"""The calls of a session, from their submission to their end. No I/O, no clock.

1. Calls beyond the window wait in the backlog, unsent, in order. Every call in it has
   a caller that is blocked.
2. An enqueue that waits for room leaves the window when it is refused, so that it holds up no other
   call, and comes back after a pause: `backpressure`.
3. A call ends once: with the record it asked for, with a refusal, or at its deadline.
4. Enqueues of one task each share requests. Those that come in one turn of the client travel
   together. While ALONE_MAX of them are out, more wait until enough of those are answered, and then
   travel together. So few callers never wait for each other, and many cost the brokers little more
   than one batch does: half of them are under way, the other half gathers.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from raftwork.client.backpressure import Backpressure
from raftwork.client.calls import Answered, Call, Gathered, gather
from raftwork.errors import (
    REFUSALS,
    PermissionDenied,
    QueueFull,
    RaftworkError,
    Unavailable,
)
from raftwork.messages import FromBroker, Refused

if TYPE_CHECKING:
    from random import Random

    from raftwork.client.alarm import Alarm
    from raftwork.client.leader_discovery import Brokers

#: Unanswered requests on the wire; further calls wait.
WINDOW_REQUESTS = 1_024
WINDOW_BYTES = 32 * 1024 * 1024
#: Enqueues of one task on the wire, from which on more wait for each other.
ALONE_MAX = 8
#: No request is retried for longer: brokers remember ids for an hour at least, and a retry beyond
#: their memory could store a task twice.
RETRY_WINDOW_MS = 45 * 60 * 1000


class Requests:
    """The calls that are out: on the wire, in the backlog, or waiting until there is room."""

    def __init__(
        self, brokers: "Brokers", alarm: "Alarm", numbers: Iterator[int], rng: "Random"
    ) -> None:
        self._brokers = brokers
        self._alarm = alarm
        self._numbers = numbers
        self._backpressure = Backpressure(alarm, numbers, rng)
        self._window: dict[int, Call | Gathered] = {}
        self._window_bytes = 0
        self._backlog: deque[Call] = deque()
        #: Enqueues of one task that wait to travel together, by their Spec.
        self._gathering: dict[bytes, deque[Call]] = {}
        #: How many are out: by the number of their request, and together.
        self._gathered: dict[int, int] = {}
        self._out = 0
        self._answered: list[Answered] = []

    def __bool__(self) -> bool:
        """Whether any call is out."""
        return bool(self._window or self._backlog or self._backpressure or self._gathering)

    @property
    def gathers(self) -> bool:
        """Whether more enqueues of one task would only wait here until others are answered."""
        return self._out >= ALONE_MAX

    # ---- facts --------------------------------------------------------------------------------

    def submit(self, calls: Iterable[Call], now: int) -> None:
        """Number the calls, and send them as soon as the window has room."""
        earliest = latest = now + RETRY_WINDOW_MS
        for call in calls:
            call.number = next(self._numbers)
            if call.deadline < earliest:
                earliest = call.deadline
            elif call.deadline > latest:
                call.deadline = latest
            if (spec := call.spec) is None:
                self._backlog.append(call)
            elif not (self._backpressure and self._backpressure.holds(call)):
                self._gathering.setdefault(spec, deque()).append(call)
        self._alarm.due(earliest)
        self._fill_window(now)

    def answered(self, message: FromBroker, now: int) -> Sequence[Call]:
        """End the calls that this record answers, if there are any; returns them."""
        sent = self._window.get(getattr(message, "request", 0))
        if sent is None or type(message) is not sent.reply:
            return ()
        self._leave_window(sent, now)
        self._answered += [Answered(call, message, None) for call in sent.members]
        return sent.members

    def refused(self, refused: Refused, now: int) -> bool:
        """End the call that was refused, or defer it; False if there is no such call."""
        sent = self._window.get(refused.request)
        if sent is None:
            return False
        error = REFUSALS[refused.code](refused.text)
        if isinstance(error, QueueFull) and sent.wait_when_full:
            self._backpressure.refused(sent, error, now)
        elif isinstance(sent, Gathered):
            self._backlog.extend(sent.parted())
        else:
            if isinstance(error, Unavailable):
                error.ids = sent.ids
            self._finish(sent, error=error)
        self._leave_window(sent, now)
        return True

    def follow(self, now: int) -> None:
        """Send to the leader's new endpoint whatever it has not been sent."""
        endpoint = self._brokers.endpoint
        for sent in self._window.values():
            if sent.endpoint != endpoint:
                self._send(sent, now)

    def wake(self, now: int) -> None:
        """End what is late, send what is due."""
        self._expire(now)
        if self._backpressure:
            self._backpressure.wake(now)
            self._fill_window(now)
        for sent in self._window.values():
            sent.send_again(self._brokers, self._alarm, now)

    def abandon(self, reason: str) -> None:
        """Fail every call that is out: the client is closing."""
        for call in self._all():
            self._finish(call, error=Unavailable(reason, call.ids))
        self._clear()

    def deny(self, reason: str) -> None:
        """End every call that is out: no broker will take any of them."""
        for call in self._all():
            self._finish(call, error=PermissionDenied(reason))
        self._clear()

    def take(self) -> list[Answered]:
        """The calls that have ended since the last time."""
        answered, self._answered = self._answered, []
        return answered

    # ---- inside -------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._window.clear()
        self._window_bytes = 0
        self._backlog.clear()
        self._backpressure.clear()
        self._gathering.clear()
        self._gathered.clear()
        self._out = 0

    def _all(self) -> list[Call]:
        sent = [call for each in self._window.values() for call in each.members]
        gathering = [call for calls in self._gathering.values() for call in calls]
        return [*sent, *self._backlog, *self._backpressure.calls(), *gathering]

    def _fill_window(self, now: int) -> None:
        while (size := self._backpressure.next_size()) is not None and self._room(size):
            self._send_first(self._backpressure.ask(), now)
        while self._backlog and self._room(self._backlog[0].size):
            self._send_first(self._backlog.popleft(), now)
        while self._gathering and self._out < ALONE_MAX and self._room(0):
            sent = self._gather()
            self._gathered[sent.number] = len(sent.members)
            self._out += len(sent.members)
            self._send_first(sent, now)

    def _room(self, size: int) -> bool:
        """Whether the window has room for one more of this size."""
        if not self._window:
            return True
        fits = self._window_bytes + size <= WINDOW_BYTES
        return fits and len(self._window) < WINDOW_REQUESTS

    def _gather(self) -> Call | Gathered:
        """What waits with the same Spec, as far as one request may carry it."""
        spec, calls = next(iter(self._gathering.items()))
        # Another Spec is next, also if some of this one are left.
        del self._gathering[spec]
        sent = gather(calls, self._numbers)
        if calls:
            self._gathering[spec] = calls
        return sent

    def _send_first(self, sent: Call | Gathered, now: int) -> None:
        self._window[sent.number] = sent
        self._window_bytes += sent.size
        self._send(sent, now)

    def _send(self, sent: Call | Gathered, now: int) -> None:
        for call in sent.members:
            call.full = None
        sent.send(self._brokers, self._alarm, now)

    def _leave_window(self, sent: Call | Gathered, now: int) -> None:
        del self._window[sent.number]
        self._window_bytes -= sent.size
        self._out -= self._gathered.pop(sent.number, 0)
        self._backpressure.ended(sent)
        self._fill_window(now)

    def _finish(
        self, call: Call, message: FromBroker | None = None, error: RaftworkError | None = None
    ) -> None:
        self._answered.append(Answered(call, message, error))

    def _expire(self, now: int) -> None:
        late = [call for call in self._all() if call.late(now)]
        if late:
            self._drop(set(late), now)
        for call in late:
            text = f"no answer in time from a leader with a majority ({self._brokers.report()})"
            self._finish(call, error=call.full or Unavailable(text, call.ids))
        for call in self._all():
            self._alarm.due(call.deadline)

    def _drop(self, late: set[Call], now: int) -> None:
        """These have ended, wherever they are."""
        self._backlog = deque(call for call in self._backlog if call not in late)
        self._backpressure.drop(late)
        for spec, calls in list(self._gathering.items()):
            self._gathering[spec] = deque(call for call in calls if call not in late)
            if not self._gathering[spec]:
                del self._gathering[spec]
        for sent in list(self._window.values()):
            if isinstance(sent, Gathered):  # what of it was sent may be stored all the same
                sent.members = [call for call in sent.members if call not in late]
            if not sent.members or sent in late:
                self._leave_window(sent, now)
