"""The calls of a session, from their submission to their end. No I/O, no clock.

1. Calls beyond the window wait in the backlog, unsent, in order. Every call in it has
   a caller that is blocked.
2. An enqueue that waits for room leaves the window when it is refused, so that it holds up no other
   call, and comes back after a pause that doubles and that no two clients share.
3. A call ends once: with the record it asked for, with a refusal, or at its deadline.
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from raftwork.client.calls import PAUSE_MAX_MS, Answered, Call
from raftwork.errors import (
    REFUSALS,
    QueueFull,
    RaftworkError,
    Unavailable,
)
from raftwork.messages import FromBroker, Refused

if TYPE_CHECKING:
    from random import Random

    from raftwork.client.alarm import Alarm
    from raftwork.client.discovery import Brokers

#: Unanswered requests on the wire; further calls wait.
WINDOW_REQUESTS = 1_024
WINDOW_BYTES = 32 * 1024 * 1024
#: No request is retried for longer: brokers remember ids for an hour at least, and a retry beyond
#: their memory could store a task twice.
RETRY_WINDOW_MS = 45 * 60 * 1000


class Requests:
    """The calls that are out: on the wire, in the backlog, or deferred until there is room."""

    def __init__(
        self, brokers: "Brokers", alarm: "Alarm", numbers: Iterator[int], rng: "Random"
    ) -> None:
        self._brokers = brokers
        self._alarm = alarm
        self._numbers = numbers
        self._rng = rng
        self._window: dict[int, Call] = {}
        self._window_bytes = 0
        self._backlog: deque[Call] = deque()
        self._deferred: list[Call] = []
        self._answered: list[Answered] = []

    def __bool__(self) -> bool:
        """Whether any call is out."""
        return bool(self._window or self._backlog or self._deferred)

    # ---- facts --------------------------------------------------------------------------------

    def submit(self, call: Call, now: int) -> None:
        """Number the call, and send it as soon as the window has room for it."""
        call.number = next(self._numbers)
        call.deadline = min(call.deadline, now + RETRY_WINDOW_MS)
        self._alarm.due(call.deadline)
        self._backlog.append(call)
        self._fill_window(now)

    def answered(self, message: FromBroker, now: int) -> None:
        """End the call that this record answers; one that answers none is dropped."""
        call = self._window.get(getattr(message, "request", 0))
        if call is not None and type(message) is call.reply:
            self._leave_window(call, now)
            self._finish(call, message)

    def refused(self, refused: Refused, now: int) -> bool:
        """End the call that was refused, or defer it; False if there is no such call."""
        call = self._window.get(refused.request)
        if call is None:
            return False
        self._leave_window(call, now)
        error = REFUSALS[refused.code](refused.text)
        if call.wait_when_full and isinstance(error, QueueFull):
            self._wait_for_room(call, error, now)
        else:
            self._finish(call, error=error)
        return True

    def follow(self, now: int) -> None:
        """Send to the leader's new endpoint whatever it has not been sent."""
        endpoint = self._brokers.endpoint
        for call in self._window.values():
            if call.endpoint != endpoint:
                self._send(call, now)

    def wake(self, now: int) -> None:
        """End what is late, send what is due."""
        self._expire(now)
        self._readmit(now)
        for call in self._window.values():
            call.send_again(self._brokers, self._alarm, now)

    def abandon(self, reason: str) -> None:
        """Fail every call that is out: the client is closing."""
        for call in self._all():
            self._finish(call, error=Unavailable(reason, call.ids))
        self._window.clear()
        self._window_bytes = 0
        self._backlog.clear()
        self._deferred.clear()

    def take(self) -> list[Answered]:
        """The calls that have ended since the last time."""
        answered, self._answered = self._answered, []
        return answered

    # ---- inside -------------------------------------------------------------------------------

    def _all(self) -> list[Call]:
        return [*self._window.values(), *self._backlog, *self._deferred]

    def _fill_window(self, now: int) -> None:
        while self._backlog and len(self._window) < WINDOW_REQUESTS:
            size = self._backlog[0].size
            if self._window and self._window_bytes + size > WINDOW_BYTES:
                return
            call = self._backlog.popleft()
            self._window[call.number] = call
            self._window_bytes += size
            self._send(call, now)

    def _send(self, call: Call, now: int) -> None:
        call.full = None
        call.send(self._brokers, self._alarm, now)

    def _leave_window(self, call: Call, now: int) -> None:
        del self._window[call.number]
        self._window_bytes -= call.size
        self._fill_window(now)

    def _finish(
        self, call: Call, message: FromBroker | None = None, error: RaftworkError | None = None
    ) -> None:
        self._answered.append(Answered(call, message, error))

    def _expire(self, now: int) -> None:
        late = [call for call in (*self._backlog, *self._deferred) if call.late(now)]
        if late:
            self._backlog = deque(call for call in self._backlog if not call.late(now))
            self._deferred = [call for call in self._deferred if not call.late(now)]
        for call in [call for call in self._window.values() if call.late(now)]:
            self._leave_window(call, now)
            late.append(call)
        for call in late:
            text = f"no answer in time from a leader with a majority ({self._brokers.report()})"
            self._finish(call, error=call.full or Unavailable(text, call.ids))
        for call in self._all():
            self._alarm.due(call.deadline)

    def _wait_for_room(self, call: Call, error: RaftworkError, now: int) -> None:
        call.full, call.endpoint = error, None
        call.again_at = now + round(call.pause * self._rng.uniform(0.5, 1.5))
        call.pause = min(call.pause * 2, PAUSE_MAX_MS)
        self._deferred.append(call)
        self._alarm.due(call.again_at)

    def _readmit(self, now: int) -> None:
        """Put calls back into the window when their pause is over."""
        ready = [call for call in self._deferred if now >= call.again_at]
        if ready:
            self._deferred = [call for call in self._deferred if now < call.again_at]
            self._backlog.extend(ready)
            self._fill_window(now)
        for call in self._deferred:
            self._alarm.due(call.again_at)
