"""Every error of Raftwork's own, split by what the caller should do about it.

RaftworkError
├── the caller's own fault: change the call
│   ├── NotSerializable      an argument the wire cannot carry (also a TypeError)
│   ├── PayloadTooLarge      over a stated limit; both sizes are in the text
│   ├── UnknownTask          no task has this id (or its last trace was forgotten)
│   ├── UnknownWorker        no worker of this name works for the cluster
│   ├── UnknownSchedule      there is no schedule of this id
│   ├── ProtocolError        a request that contradicts itself or an earlier one
│   │   ├── Unsupported      the brokers are of an older release, or not all of the new one yet
│   │   ├── NotDeterministic a task's next attempt calls other tasks than the one before
│   │   └── ScheduleConflict there is such a schedule already, or another version of it by now
│   ├── AlreadyEnqueued      a task of the same unique key is there; `id` is its id
│   ├── PermissionDenied     the key, or that there is none, does not allow it; the text says which
│   ├── KeyRefused           a key file that cannot be used (also a ValueError)
│   ├── CannotDecrypt        contents are encrypted, and not with a key that this process has
│   ├── AccessListRefused    an access list that cannot be used (also a ValueError)
│   ├── AppClosed            a call on an App after its `close` (also a RuntimeError)
│   ├── WouldDeadlock        a task waits for what cannot end before it does
│   └── LoadError            MODULE:APP of a worker cannot be imported, or is no App
├── try again, later or elsewhere
│   ├── QueueFull            a queue, or the cluster, holds as much as it may
│   └── NotLeader            another broker leads; `leader` names it when known
├── the outcome is unknown: asking again with the same ids is safe
│   └── Unavailable          no majority within the timeout, or no answer that could be sent
├── the task ended without a value
│   ├── TaskFailed           its code raised, or ran over its time limit
│   ├── TaskLost             its worker vanished and it may not be handed out again
│   └── TaskCancelled        it was cancelled, or was not begun in time; `reason` says which
├── this attempt of a task is over: its code should end
│   └── AttemptOver          the task is another worker's by now, or has its outcome
├── a peer misbehaved: what it sent is dropped
│   ├── BadMessage           bytes that are no message
│   │   └── NewerMessage     … that this release knows of
│   └── BadSnapshot          a received snapshot is not what it was announced as
├── this worker must stop
│   ├── PoolBroken           its pool cannot run anything any more
│   └── HookFailed           a hook of its start, or of a child's, raised
└── this replica must stop
    └── StoreError           the disk failed, or the directory is not this replica's
        ├── StoreDamaged     stored data contradict a checksum or a kept promise
        └── OtherRelease     what is stored is of a release that this one cannot follow

Python's own are raised for what is no matter of Raftwork's: ValueError and TypeError for arguments
and options that mean nothing, TimeoutError for a wait that was too long, RuntimeError for a call
where none can be (`current()` outside a task; an App inside its own callbacks or at the end of the
interpreter).
"""

from typing import ClassVar, Final


class RaftworkError(Exception):
    """Root of the tree in the module's docstring."""

    #: By which number a broker refuses a request with it (`messages.Code`); 0 for those with which
    #: none is refused.
    code: ClassVar[int] = 0


class NotSerializable(RaftworkError, TypeError):
    """A value the wire cannot carry. The text names the argument; nothing was sent."""


class PayloadTooLarge(RaftworkError):
    """A payload, batch or result over its limit. The text gives both sizes in bytes."""

    code = 2


class UnknownTask(RaftworkError):
    """No task has this id: never enqueued, or forgotten after its retention."""

    code = 5


class UnknownWorker(RaftworkError):
    """No worker of this name works for the cluster."""

    code = 6


class UnknownSchedule(RaftworkError):
    """There is no schedule of this id: none was made, or it was deleted."""

    code = 12


class ProtocolError(RaftworkError):
    """A request that breaks the protocol, such as a used id with other contents."""

    code = 1


class AlreadyEnqueued(RaftworkError):
    """A task of the same unique key is there, and `on_conflict` is "raise". Nothing was stored.

    `id` is that task's, and `index` the place in the batch of the first task that met one.
    """

    def __init__(self, text: str, id: str = "", index: int = 0) -> None:  # noqa: A002
        super().__init__(text)
        self.id = id
        self.index = index

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.id, self.index), vars(self)


class PermissionDenied(RaftworkError):
    """The brokers do not allow this: no key, one they do not know, or one that is for other things.

    The text says which of these, and whom to ask. Nothing was stored.
    """

    code = 8


class KeyRefused(RaftworkError, ValueError):
    """A key file that cannot be used: not there, readable for others, or no key. Nothing was sent.

    No part of the secret is in the text.
    """


class CannotDecrypt(RaftworkError):
    """Contents that cannot be opened: no key for them here, another one, or they were changed."""


class AccessListRefused(RaftworkError, ValueError):
    """An access list that cannot be used. The text names the file and the line."""


class AppClosed(RaftworkError, RuntimeError):
    """A call on an App that was closed. Nothing was sent."""


class WouldDeadlock(RaftworkError):
    """The task waits for another one's outcome that cannot come while it waits.

    What it waits for waits for it in turn: as its ancestor, for a gate that it fills, or for a slot
    where all slots have tasks that wait. The wait ends with this error instead of lasting for ever;
    the task that is waited for stays enqueued.
    """


class LoadError(RaftworkError):
    """There is no such module or App, or importing it failed. The text says which."""


class Unsupported(ProtocolError):
    """The brokers cannot do this yet: they are of an older release, or some of them are."""

    code = 7


class NotDeterministic(ProtocolError):
    """What a task calls first, second, … must be the same in every attempt of it: it was not."""


class ScheduleConflict(ProtocolError):
    """There is a schedule of this id already, or it was changed since it was read."""

    code = 13


class QueueFull(RaftworkError):
    """A queue, or the cluster, holds as much as it may. See docs/prevention.md, "Backpressure"."""

    code = 3


class NotLeader(RaftworkError):
    """This broker does not lead. `leader` is the name of the one that does, if known."""

    code = 4

    def __init__(self, leader: str | None = None) -> None:
        super().__init__(f"not the leader; the leader is {leader or 'unknown'}")
        self.leader = leader

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.leader,), vars(self)


class Unavailable(RaftworkError):
    """No leader or no majority answered in time; the request may or may not be stored.

    `ids` are the task ids of the call, in its order: enqueueing again with them is safe. So it is
    where the leader carried the request out and failed to say what came of it.
    """

    code = 14

    def __init__(self, text: str, ids: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.ids = ids


class TaskFailed(RaftworkError):
    """The task's code raised, or ran over its time limit, and no retry is left.

    `type`, `message` and `traceback` are those of its last attempt, as texts, and `log` the last
    lines that it logged; `id` is the task's.
    """

    def __init__(
        self,
        type: str,  # noqa: A002
        message: str,
        traceback: str,
        id: str = "",  # noqa: A002
        log: str = "",
    ) -> None:
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message
        self.traceback = traceback
        self.id = id
        self.log = log

    def __reduce__(self) -> tuple[object, ...]:
        # Python's own would make it of the text alone, and break the pool it is sent through.
        return type(self), (self.type, self.message, self.traceback, self.id, self.log), vars(self)


class TaskLost(RaftworkError):
    """The task's worker vanished and the task may not be handed out (again). `id` is the task's.

    `log` has the last lines that it logged, where they could still be told: its worker lives and
    lost only a process of its pool, or somebody followed the task's log.
    """

    def __init__(self, text: str, id: str = "", log: str = "") -> None:  # noqa: A002
        super().__init__(text)
        self.id = id
        self.log = log

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.id, self.log), vars(self)


class TaskCancelled(RaftworkError):
    """The task was ended before its code had ended by itself.

    `reason` is one of `user` (it was asked for), `expired` (it had not begun in time), `upstream`
    (what it waited for has no value), `superseded` (a newer call took its place) and `worker gone`
    (the only worker it was meant for is gone); `id` is the task's.
    """

    def __init__(self, text: str, reason: str = "user", id: str = "") -> None:  # noqa: A002
        super().__init__(text)
        self.reason = reason
        self.id = id

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.reason, self.id), vars(self)


class AttemptOver(RaftworkError):
    """The attempt that this code runs for does not own its task any more. What it does is void."""


class BadMessage(RaftworkError):
    """Bytes from outside that are no message of ours. The text says what is wrong."""

    code = ProtocolError.code


class BadSnapshot(RaftworkError):
    """Staged bytes are not the snapshot they were announced as. The leader sends another."""


class PoolBroken(RaftworkError):
    """The pool cannot run anything any more: the worker must stop."""


class HookFailed(RaftworkError):
    """A hook of a start raised, with the traceback as text: what was to start must not."""


class NewerMessage(BadMessage):
    """Well formed, but with a tag or a field that only a newer release knows.

    `request` is the number of the request it may be, else 0.
    """

    def __init__(self, text: str, request: int = 0) -> None:
        super().__init__(text)
        self.request = request

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.request), vars(self)


class StoreError(RaftworkError):
    """The disk failed or the directory cannot be this replica's. The replica must stop."""


class StoreDamaged(StoreError):
    """Stored data contradict a checksum or a promise kept elsewhere: never vote on them."""


#: What a broker refuses a request with, by its code.
REFUSALS: Final[dict[int, type[RaftworkError]]] = {
    kind.code: kind
    for kind in (
        ProtocolError,
        PayloadTooLarge,
        QueueFull,
        UnknownTask,
        UnknownWorker,
        UnknownSchedule,
        Unsupported,
        PermissionDenied,
        ScheduleConflict,
        Unavailable,
        RaftworkError,
    )
}


class OtherRelease(StoreError):
    """The log, the tables or the directory are of a release that this one cannot follow.

    The text names both, and the release to run.
    """
