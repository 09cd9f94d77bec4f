"""A client's conversation with the brokers: facts go in, one Output comes out. No I/O, no clock.

Rules of this file:
1. ZeroMQ may drop anything, so a request is sent until it is answered, refused or past its
   deadline: at once when the place of the leader changed, else after a wait that doubles. Its
   number, its task ids and its `created` stay the same, which is what lets the cluster see that
   it is the same.
2. A watch belongs to one place. It is registered anew at every new one, and after a quiet while,
   because a pushed outcome may have been dropped.
3. Calls beyond the window wait in the backlog, unsent, in order. It holds only calls whose
   callers wait in them.
4. A patient enqueue that is refused for want of room leaves the window, so that it holds up nobody,
   and comes back after a pause that doubles and that no two clients share.

Times are ms of a clock that only grows.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from raftwork.addresses import parse_address
from raftwork.client.discovery import Brokers, Place
from raftwork.errors import (
    REFUSALS,
    BadMessage,
    QueueFull,
    RaftworkError,
    Unavailable,
)
from raftwork.messages import (
    WATCH_IDS_MAX,
    Answer,
    Ask,
    AskQueue,
    Code,
    DeadDetails,
    DeadPage,
    DeadPurged,
    DeadRetried,
    DrainWorker,
    Enqueue,
    Enqueued,
    FinishUpgrade,
    FromBroker,
    HelloFirst,
    Leader,
    ListDead,
    PurgeDead,
    QueueSet,
    QueueSettings,
    Refused,
    Result,
    Results,
    RetryDead,
    SetQueue,
    ShowDead,
    State,
    UpgradeFinished,
    Watch,
    Watched,
    WorkerDraining,
    from_broker,
    to_broker,
)

if TYPE_CHECKING:
    from random import Random

#: Unanswered requests on the wire; further calls wait.
WINDOW_REQUESTS = 1_024
WINDOW_BYTES = 32 * 1024 * 1024
#: ms before an unanswered request goes to the same place again, doubled each time.
RESEND_FIRST, RESEND_MAX = 500, 8_000
#: ms before a patient enqueue asks for room again, doubled each time; half of it more or less.
PAUSE_FIRST, PAUSE_MAX = 50, 1_000
#: ms of quiet before all watches are registered again at the same place, doubled each time.
REFRESH_FIRST, REFRESH_MAX = 5_000, 60_000
#: No request is retried for longer: brokers remember ids for an hour at least, and a retry beyond
#: their memory could store a task twice.
RETRY_WINDOW = 45 * 60 * 1000

#: Requests that change no more when they are carried out twice.
Question = (
    Ask
    | DrainWorker
    | SetQueue
    | AskQueue
    | ListDead
    | ShowDead
    | RetryDead
    | PurgeDead
    | FinishUpgrade
)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request's end. Only an Ask has results; what else is told is in `message`."""

    request: int
    results: list[Result]
    error: RaftworkError | None = None
    message: FromBroker | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """What to do now, in this order."""

    connect: list[str]
    frames: list[tuple[str, bytes]]
    answers: list[Answered]
    #: Outcomes of watched tasks: final, or UNKNOWN.
    outcomes: list[Result]


@dataclass(slots=True)
class _Request:
    record: Enqueue | Question | Watch
    size: int
    ids: tuple[str, ...] = ()
    deadline: int | None = None
    sent: Place | None = None
    again_at: int = 0
    wait: int = RESEND_FIRST
    wait_when_full: bool = False
    pause: int = PAUSE_FIRST
    full: RaftworkError | None = None  # why it waits for room

    def late(self, now: int) -> bool:
        return self.deadline is not None and now >= self.deadline


@dataclass(slots=True)
class _Watches:
    """Every id whose outcome is wanted, and the place that knows it."""

    ids: dict[str, None] = field(default_factory=dict)
    place: Place | None = None
    refresh_at: int = 0
    wait: int = REFRESH_FIRST

    def quiet_from(self, now: int) -> None:
        self.wait = REFRESH_FIRST
        self.refresh_at = now + self.wait


class Session:
    """One client's requests and watches, whoever leads."""

    def __init__(self, brokers: Sequence[str], rng: "Random") -> None:
        self._brokers = Brokers(brokers)
        self._rng = rng
        self._last_request = 0
        self._sent: dict[int, _Request] = {}  # in the window; watch requests too, uncounted
        self._sent_count = 0
        self._sent_bytes = 0
        self._backlog: deque[_Request] = deque()
        self._put_off: list[_Request] = []
        self._watches = _Watches()
        self._answers: list[Answered] = []
        self._outcomes: list[Result] = []
        self._place: Place | None = None
        self._wake_at: int | None = None

    # ---- facts from callers -------------------------------------------------------------------

    def enqueue(
        self,
        spec: bytes,
        tasks: bytes,
        ids: tuple[str, ...],
        deadline: int,
        now: int,
        *,
        wait_when_full: bool = False,
    ) -> int:
        """Store these tasks, all or none, by `deadline`; returns the request's number.

        A patient one waits for room where there is none.
        """
        record = Enqueue(self._number(), 0, spec, tasks)
        return self._submit(
            _Request(record, len(tasks), ids, deadline, wait_when_full=wait_when_full), now
        )

    def ask(self, ids: list[str], deadline: int, now: int) -> int:
        """What state are these tasks in? Returns the request's number."""
        return self.request(Ask(0, ids), deadline, now)

    def request(self, question: Question, deadline: int, now: int) -> int:
        """Have the leader carry it out by `deadline`; gives it a number and returns that."""
        record = question._replace(request=self._number())
        ids = tuple(record.ids) if isinstance(record, Ask) else ()
        return self._submit(_Request(record, sum(map(len, ids)), ids, deadline), now)

    def watch(self, ids: Iterable[str], now: int) -> None:
        """Deliver each of these outcomes once known; without end, whoever leads."""
        new = [i for i in ids if i not in self._watches.ids]
        self._watches.ids.update(dict.fromkeys(new))
        self._watches.quiet_from(now)
        self._register(new, now)
        self._due(now)

    def unwatch(self, ids: Iterable[str]) -> None:
        """Nobody wants these outcomes any more."""
        for task in ids:
            self._watches.ids.pop(task, None)

    # ---- facts from the network ---------------------------------------------------------------

    def link_up(self, address: str, now: int) -> None:
        self._brokers.link_up(address, now)
        self._follow(now)

    def link_down(self, address: str, now: int) -> None:
        self._brokers.link_down(address)
        self._follow(now)

    def unreachable(self, address: str, text: str) -> None:
        """There can be no connection to it for now: why; empty once that is over."""
        self._brokers.unreachable(address, text)

    def receive(self, address: str, frame: bytes, now: int) -> None:
        """A frame from the broker at `address`. One that is no message is dropped."""
        self._brokers.heard(address)
        try:
            message = from_broker.decode(frame)
        except BadMessage as error:
            self._brokers.refused(address, f"it sent {error}")
            return
        self._handle(address, message, now)

    def wake(self, now: int) -> None:
        """Whatever is due by now."""
        if self._wake_at is None or now < self._wake_at:
            return
        if not self._busy:
            self._wake_at = None
            return
        ask_at = self._brokers.wake(now)
        self._follow(now)
        self._wake_at = ask_at  # the steps below lower it to whatever else is due
        self._expire(now)
        self._readmit(now)
        self._resend(now)
        self._refresh(now)

    # ---- values -------------------------------------------------------------------------------

    @property
    def wake_at(self) -> int | None:
        """When to call `wake`, if nothing happens before."""
        return self._wake_at

    def take(self) -> Output:
        """What came of the facts since the last call."""
        connect, messages = self._brokers.take()
        frames = [(address, to_broker.encode(message)) for address, message in messages]
        output = Output(connect, frames, self._answers, self._outcomes)
        self._answers, self._outcomes = [], []
        return output

    def abandon(self, reason: str) -> None:
        """Fail every call that is still out: the client is closing."""
        for request in [*self._sent.values(), *self._backlog, *self._put_off]:
            self._finish(request, error=Unavailable(reason, request.ids))
        self._sent.clear()
        self._backlog.clear()
        self._put_off.clear()

    # ---- requests -----------------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        return bool(self._sent or self._backlog or self._put_off or self._watches.ids)

    def _number(self) -> int:
        self._last_request += 1
        return self._last_request

    def _due(self, at: int) -> None:
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at

    def _submit(self, request: _Request, now: int) -> int:
        if not self._busy:
            self._due(now)
        assert request.deadline is not None
        request.deadline = min(request.deadline, now + RETRY_WINDOW)
        self._due(request.deadline)
        self._backlog.append(request)
        self._fill_window(now)
        return request.record.request

    def _fill_window(self, now: int) -> None:
        while self._backlog and self._sent_count < WINDOW_REQUESTS:
            size = self._backlog[0].size
            if self._sent_count and self._sent_bytes + size > WINDOW_BYTES:
                return
            request = self._backlog.popleft()
            self._sent[request.record.request] = request
            self._sent_count += 1
            self._sent_bytes += size
            self._send(request, now)

    def _send(self, request: _Request, now: int) -> None:
        place = self._brokers.place
        if place is None:
            return
        record = request.record
        if isinstance(record, Enqueue) and not record.created:
            record = request.record = record._replace(created=self._brokers.leader_time(now))
        request.wait = RESEND_FIRST if request.sent != place else min(request.wait * 2, RESEND_MAX)
        request.sent, request.again_at, request.full = place, now + request.wait, None
        self._due(request.again_at)
        self._brokers.send(place.address, record, now)

    def _end(self, number: int, now: int) -> _Request | None:
        request = self._sent.pop(number, None)
        if request is not None and not isinstance(request.record, Watch):
            self._sent_count -= 1
            self._sent_bytes -= request.size
            self._fill_window(now)
        return request

    def _finish(
        self,
        request: _Request,
        results: Sequence[Result] = (),
        error: RaftworkError | None = None,
        message: FromBroker | None = None,
    ) -> None:
        if not isinstance(request.record, Watch):
            answer = Answered(request.record.request, list(results), error, message)
            self._answers.append(answer)

    def _follow(self, now: int) -> None:
        """Send to the leader's new place whatever it has not been sent."""
        lost, self._place = self._place, self._brokers.place
        place = self._place
        if place is None:
            if lost is not None and self._busy:
                self._brokers.ask_soon()
                self._due(now)
            return
        if self._watches.place != place:
            self._register_all(now)
        for request in self._sent.values():
            if request.sent != place:
                self._send(request, now)

    def _resend(self, now: int) -> None:
        for request in self._sent.values():
            if now >= request.again_at:
                self._send(request, now)
            if request.sent is not None and request.again_at > now:
                self._due(request.again_at)

    def _expire(self, now: int) -> None:
        late = [r for r in (*self._backlog, *self._put_off) if r.late(now)]
        if late:
            self._backlog = deque(r for r in self._backlog if not r.late(now))
            self._put_off = [r for r in self._put_off if not r.late(now)]
        for request in [r for r in self._sent.values() if r.late(now)]:
            self._end(request.record.request, now)
            late.append(request)
        for request in late:
            text = f"no answer in time from a leader with a majority ({self._brokers.report()})"
            self._finish(request, error=request.full or Unavailable(text, request.ids))
        for request in [*self._sent.values(), *self._backlog, *self._put_off]:
            if request.deadline is not None:
                self._due(request.deadline)

    def _wait_for_room(self, request: _Request, error: RaftworkError, now: int) -> None:
        request.full, request.sent = error, None
        request.again_at = now + round(request.pause * self._rng.uniform(0.5, 1.5))
        request.pause = min(request.pause * 2, PAUSE_MAX)
        self._put_off.append(request)
        self._due(request.again_at)

    def _readmit(self, now: int) -> None:
        """Ask again for room on behalf of those whose pause is over."""
        ready = [r for r in self._put_off if now >= r.again_at]
        if ready:
            self._put_off = [r for r in self._put_off if now < r.again_at]
            self._backlog.extend(ready)
            self._fill_window(now)
        for request in self._put_off:
            self._due(request.again_at)

    # ---- watches ------------------------------------------------------------------------------

    def _register(self, ids: Iterable[str], now: int) -> None:
        left = iter(ids)
        while chunk := list(islice(left, WATCH_IDS_MAX)):
            request = _Request(Watch(self._number(), chunk), 0)
            self._sent[request.record.request] = request
            self._send(request, now)
        self._watches.place = self._watches.place or self._brokers.place

    def _register_all(self, now: int) -> None:
        for number in [n for n, r in self._sent.items() if isinstance(r.record, Watch)]:
            del self._sent[number]
        self._watches.place = self._brokers.place
        self._register(self._watches.ids, now)

    def _refresh(self, now: int) -> None:
        watches = self._watches
        if not watches.ids:
            return
        if now >= watches.refresh_at:
            watches.wait = min(watches.wait * 2, REFRESH_MAX)
            watches.refresh_at = now + watches.wait
            self._register_all(now)
        self._due(watches.refresh_at)

    def _settle(self, results: list[Result], now: int) -> None:
        watched = self._watches.ids
        for result in results:
            if result.id in watched and (result.state.final or result.state is State.UNKNOWN):
                del watched[result.id]
                self._outcomes.append(result)
        self._watches.quiet_from(now)

    # ---- messages -----------------------------------------------------------------------------

    def _handle(self, address: str, message: FromBroker, now: int) -> None:
        match message:
            case Enqueued(number) | WorkerDraining(number):
                if request := self._end(number, now):
                    self._finish(request)
            case (
                QueueSet()
                | QueueSettings()
                | DeadPage()
                | DeadDetails()
                | DeadRetried()
                | DeadPurged()
                | UpgradeFinished()
            ):
                if request := self._end(message.request, now):
                    self._finish(request, message=message)
            case Results(results):
                self._settle(results, now)
            case Watched(number):
                self._end(number, now)
            case Answer(number, results):
                if request := self._end(number, now):
                    self._finish(request, results)
            case Leader():
                self._hear_leader(address, message, now)
            case HelloFirst():
                self._brokers.hello_first(address, now)
                self._follow(now)
            case Refused():
                self._refused(address, message, now)
            case _:
                pass  # meant for workers, peers or the status command

    def _hear_leader(self, address: str, message: Leader, now: int) -> None:
        hint = message.address
        try:
            parse_address(hint)
        except ValueError:
            hint = ""
        self._brokers.leader_is(address, message._replace(address=hint), now)
        self._follow(now)

    def _refused(self, address: str, refused: Refused, now: int) -> None:
        if refused.code == Code.NOT_LEADER:
            self._brokers.not_leader(address)
            self._follow(now)
            return
        request = self._sent.get(refused.request)
        if request is None:
            self._brokers.refused(address, refused.text)
        elif not isinstance(request.record, Watch):  # a watch has no caller to tell: it goes again
            self._end(refused.request, now)
            error = REFUSALS[refused.code](refused.text)
            if request.wait_when_full and isinstance(error, QueueFull):
                self._wait_for_room(request, error, now)
            else:
                self._finish(request, error=error)
