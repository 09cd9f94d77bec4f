"""Frames between clients and brokers about dead tasks: those that failed for good or were lost."""

from typing import NamedTuple

from raftwork.messages.shared import Loss, State

#: Tasks in one page.
DEAD_PAGE_MAX = 200
#: Ids in one PurgeDead.
DEAD_IDS_MAX = 10_000


class DeadTask(NamedTuple):
    """A task that ended without a value, in short."""

    number: int  # grows with every task that dies
    id: str
    name: str
    queue: str
    state: State  # FAILED or LOST
    ended: int  # leader time, ms
    attempts: int
    failures: int
    losses: int
    error: str  # the beginning of what was said last
    again: str  # the id under which it was enqueued again; empty if it was not


class ListDead(NamedTuple):
    """The newest dead tasks below a number, newest first (linearizable)."""

    request: int
    queue: str  # empty: of all
    before: int
    limit: int


class DeadPage(NamedTuple):
    request: int
    tasks: list[DeadTask]


class ShowDead(NamedTuple):
    """Everything that is known of one dead task (linearizable)."""

    request: int
    id: str


class DeadDetails(NamedTuple):
    request: int
    task: DeadTask
    failure: bytes  # a packed Failure
    payload: bytes
    losses: list[Loss]


class RetryDead(NamedTuple):
    """Enqueue a dead task once more, as `new`: its own outcome stands."""

    request: int
    id: str
    new: str


class DeadRetried(NamedTuple):
    """It is enqueued as `id`, perhaps since an earlier request."""

    request: int
    id: str


class PurgeDead(NamedTuple):
    """Forget what it takes to show and retry these; without ids, all of the queue's or all."""

    request: int
    ids: list[str]
    queue: str


class DeadPurged(NamedTuple):
    request: int
    purged: int  # so many that were dead
