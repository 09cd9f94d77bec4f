"""A request on its way: one object from its submission to its answer.

1. ZeroMQ may drop anything, so a request is sent until it is answered: at once when the endpoint of
   the leader changed, else after a wait that doubles.
2. Its number, its task ids and its `created` stay the same, which is what lets the cluster see that
   it is the same request.
3. Enqueues of one task each that wait at the same time travel together, as one request that has a
   number of its own: see Gathered.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from raftwork.client.leader_discovery import LeaderEndpoint
from raftwork.client.reply import Reply
from raftwork.client.result_registry import Slot
from raftwork.errors import RaftworkError
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.flows import SubmitFlow
from raftwork.features.unique import EnqueueUnique
from raftwork.messages.request import Request
from raftwork.wire import pack_array

if TYPE_CHECKING:
    from raftwork.client.alarm import Alarm
    from raftwork.client.leader_discovery import Brokers
    from raftwork.messages import ToBroker

#: Before an unanswered request goes to the same endpoint again; doubled each time.
RESEND_FIRST_MS, RESEND_MAX_MS = 500, 8_000
#: An enqueue of one task that is larger gains nothing by travelling with others.
GATHERED_TASK_BYTES = 16 * 1024
#: The most tasks that travel together.
GATHERED_TASKS = 1_000
#: … or the bytes, give or take a task.
GATHERED_BYTES = 256 * 1024


class Outgoing:
    """A numbered request, and when and where it was sent last."""

    __slots__ = ("again_at", "endpoint", "number", "record", "wait")

    def __init__(self, record: Request) -> None:
        self.record = record
        self.number = 0
        self.endpoint: LeaderEndpoint | None = None
        self.again_at = 0
        self.wait = RESEND_FIRST_MS

    def send(self, brokers: "Brokers", alarm: "Alarm", now: int) -> None:
        """To the leader, if there is one."""
        endpoint = brokers.endpoint
        if endpoint is None:
            return
        if not self.record.request:
            self.record = _stamped(self.record, self.number, brokers.leader_time(now))
        same = self.endpoint == endpoint
        self.wait = min(self.wait * 2, RESEND_MAX_MS) if same else RESEND_FIRST_MS
        self.endpoint, self.again_at = endpoint, now + self.wait
        alarm.due(self.again_at)
        brokers.send(endpoint.address, cast("ToBroker", self.record), now)

    def send_again(self, brokers: "Brokers", alarm: "Alarm", now: int) -> None:
        """To the leader, if its wait is over."""
        if now >= self.again_at:
            self.send(brokers, alarm, now)
        if self.endpoint is not None and self.again_at > now:
            alarm.due(self.again_at)


class Call(Outgoing):
    """A request with a caller waiting for its answer, a record of the type `reply`."""

    __slots__ = (
        "answer",
        "deadline",
        "full",
        "ids",
        "reply",
        "size",
        "slot",
        "spec",
        "wait_when_full",
    )

    def __init__(
        self,
        record: Request,
        reply: type[object],
        deadline: int,
        *,
        ids: tuple[str, ...] = (),
        wait_when_full: bool = False,
        slot: Slot | None = None,
    ) -> None:
        """`deadline` is in ms of the session's clock; `ids` are those of its tasks, if any.

        `slot` is the handle of its one task, whose outcome may be watched with the enqueue.
        With `wait_when_full` it waits for room instead of ending with QueueFull at once.
        """
        super().__init__(record)
        self.reply = reply
        self.deadline = deadline
        self.ids = ids
        self.wait_when_full = wait_when_full
        self.slot = slot
        self.answer: Reply[object] = Reply()
        #: The Spec of an enqueue of one small task, which may travel with others.
        self.spec: bytes | None = None
        #: Bytes of the window that it takes.
        self.size = 0
        if isinstance(record, Enqueue):
            self.size = len(record.tasks)
            if len(ids) == 1 and self.size <= GATHERED_TASK_BYTES:
                self.spec = record.spec
        elif isinstance(record, EnqueueUnique):
            self.size = len(record.tasks)
        elif isinstance(record, SubmitFlow):
            self.size = len(record.graph)
        else:
            self.size = sum(map(len, ids))
        #: Why it waits for room.
        self.full: RaftworkError | None = None

    @property
    def members(self) -> "tuple[Call, ...]":
        """The calls that its answer ends."""
        return (self,)

    def halves(self, numbers: Iterator[int]) -> "Sequence[Call | Gathered]":  # noqa: ARG002
        """It cannot be asked in parts."""
        return (self,)

    def parted(self) -> "Sequence[Call]":
        """See Gathered."""
        return (self,)

    def watch(self) -> None:
        """Have the outcome of an enqueue's one task come without another request."""
        if self.slot is not None:
            self.record = cast("Enqueue", self.record)._replace(watch=True)

    def late(self, now: int) -> bool:
        """Whether its deadline has passed."""
        return now >= self.deadline


class Gathered(Outgoing):
    """Enqueues of one task each and of one Spec, as one Enqueue.

    The brokers store all of its tasks or none. So its acknowledgement is that of each, but its
    refusal is none: it may be due to any of them. Refused together, they ask again one by one, or
    in halves if all of them wait for room, with numbers of their own: a late answer to this one
    then ends none of them.
    """

    __slots__ = ("members", "size", "spec")
    reply = Enqueued

    def __init__(self, calls: Sequence[Call]) -> None:
        self.members = list(calls)
        records = cast("list[Enqueue]", [call.record for call in calls])
        # Each is an array of one, so all but its first byte is the task.
        tasks = pack_array([record.tasks[1:] for record in records])
        watch = any(record.watch for record in records)
        super().__init__(records[0]._replace(tasks=tasks, watch=watch))
        self.size = len(tasks)
        self.spec = calls[0].spec

    @property
    def wait_when_full(self) -> bool:
        """Whether all of its callers wait for room."""
        return all(call.wait_when_full for call in self.members)

    def halves(self, numbers: Iterator[int]) -> "Sequence[Call | Gathered]":
        """Its calls as two requests, in their order: first tried when this was."""
        calls = self.parted()
        middle = (len(calls) + 1) // 2
        return [_together(part, numbers) for part in (calls[:middle], calls[middle:]) if part]

    def parted(self) -> list[Call]:
        """Its calls, to be sent one by one: first tried when this was."""
        for call in self.members:
            made = cast("Enqueue", self.record).created
            call.record = cast("Enqueue", call.record)._replace(request=call.number, created=made)
        return self.members


def _together(calls: Sequence[Call], numbers: Iterator[int]) -> Call | Gathered:
    """As one request. Calls that were asked before have the same `created`, which it keeps."""
    if len(calls) == 1:
        return calls[0]
    made = Gathered(calls)
    made.number = next(numbers)
    if made.record.request:
        made.record = cast("Enqueue", made.record)._replace(request=made.number)
    return made


def gather(calls: deque[Call], numbers: Iterator[int]) -> Call | Gathered:
    """Takes the first of these, all of one Spec, as far as one request may carry them."""
    taken = [calls.popleft()]
    size = taken[0].size
    while calls and len(taken) < GATHERED_TASKS and size < GATHERED_BYTES:
        taken.append(calls.popleft())
        size += taken[-1].size
    return _together(taken, numbers)


class Answered(NamedTuple):
    """The end of a call: the record that answered it, or the error."""

    call: Call
    message: object | None
    error: RaftworkError | None


def _stamped(record: Request, number: int, leader_time: int) -> Request:
    """The record with its number; an enqueue also gets the leader time of its first attempt."""
    if isinstance(record, Enqueue | EnqueueUnique | SubmitFlow):
        return record._replace(request=number, created=leader_time)
    return record._replace(request=number)
