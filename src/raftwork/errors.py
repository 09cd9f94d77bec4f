"""Every error Raftwork raises, split by what the caller should do about it.

RaftworkError
├── the caller's own fault: change the call
│   ├── NotSerializable      an argument the wire cannot carry (also a TypeError)
│   ├── PayloadTooLarge      over a stated limit; both sizes are in the text
│   ├── UnknownTask          no task has this id (or its last trace was forgotten)
│   ├── UnknownWorker        no worker of this name works for the cluster
│   └── ProtocolError        a request that contradicts itself or an earlier one
├── try again, later or elsewhere
│   ├── QueueFull            a queue, or the cluster, holds as much as it may
│   └── NotLeader            another broker leads; `leader` names it when known
├── the outcome is unknown: asking again with the same ids is safe
│   └── Unavailable          no leader or no majority within the timeout
├── the task ended without a value
│   ├── TaskFailed           its code raised, or ran over its time limit
│   └── TaskLost             its worker vanished and it may not be handed out again
├── a peer misbehaved: its frame is dropped
│   └── BadMessage           bytes that are no message
└── this replica must stop
    └── StoreError           the disk failed, or the directory is not this replica's
        └── StoreDamaged     stored data contradict a checksum or a kept promise
"""


class RaftworkError(Exception):
    """Root of the tree in the module's docstring."""


class NotSerializable(RaftworkError, TypeError):
    """A value the wire cannot carry. The text names the argument; nothing was sent."""


class PayloadTooLarge(RaftworkError):
    """A payload, batch or result over its limit. The text gives both sizes in bytes."""


class UnknownTask(RaftworkError):
    """No task has this id: never enqueued, or forgotten after its retention."""


class UnknownWorker(RaftworkError):
    """No worker of this name works for the cluster."""


class ProtocolError(RaftworkError):
    """A request that breaks the protocol, such as a used id with other contents."""


class QueueFull(RaftworkError):
    """A queue, or the cluster, holds as much as it may. See docs/prevention.md, "Backpressure"."""


class NotLeader(RaftworkError):
    """This broker does not lead. `leader` is the name of the one that does, if known."""

    def __init__(self, leader: str | None = None) -> None:
        super().__init__(f"not the leader; the leader is {leader or 'unknown'}")
        self.leader = leader

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.leader,), vars(self)


class Unavailable(RaftworkError):
    """No leader or no majority answered in time; the request may or may not be stored.

    `ids` are the task ids of the call, in its order: enqueueing again with them is safe.
    """

    def __init__(self, text: str, ids: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.ids = ids


class TaskFailed(RaftworkError):
    """The task's code raised, or ran over its time limit, and no retry is left."""

    def __init__(self, type: str, message: str, traceback: str) -> None:  # noqa: A002
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message
        self.traceback = traceback

    def __reduce__(self) -> tuple[object, ...]:
        # Python's own would make it of the text alone, and break the pool it is sent through.
        return type(self), (self.type, self.message, self.traceback), vars(self)


class TaskLost(RaftworkError):
    """The task's worker vanished and the task may not be handed out (again)."""


class BadMessage(RaftworkError):
    """Bytes from outside that are no message of ours. The text says what is wrong."""


class StoreError(RaftworkError):
    """The disk failed or the directory cannot be this replica's. The replica must stop."""


class StoreDamaged(StoreError):
    """Stored data contradict a checksum or a promise kept elsewhere: never vote on them."""
