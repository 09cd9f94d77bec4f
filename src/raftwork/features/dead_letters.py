"""Dead tasks: those that failed for good or were lost."""

from typing import NamedTuple

from raftwork.messages import Loss, State
from raftwork.messages.registry import command, reply, request

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


@reply(60)
class DeadPage(NamedTuple):
    request: int
    tasks: list[DeadTask]


@request(60, reply=DeadPage)
class ListDead(NamedTuple):
    """The newest dead tasks below a number, newest first (linearizable)."""

    request: int
    queue: str  # empty: of all
    before: int
    limit: int


@reply(61)
class DeadDetails(NamedTuple):
    request: int
    task: DeadTask
    failure: bytes  # a packed Failure
    payload: bytes
    losses: list[Loss]


@request(61, reply=DeadDetails)
class ShowDead(NamedTuple):
    """Everything that is known of one dead task (linearizable)."""

    request: int
    id: str


@reply(62)
class DeadRetried(NamedTuple):
    """It is enqueued as `id`, perhaps since an earlier request."""

    request: int
    id: str


@request(62, reply=DeadRetried)
class RetryDead(NamedTuple):
    """Enqueue a dead task once more, as `new`: its own outcome stands."""

    request: int
    id: str
    new: str


@reply(63)
class DeadPurged(NamedTuple):
    request: int
    purged: int  # so many that were dead


@request(63, reply=DeadPurged)
class PurgeDead(NamedTuple):
    """Forget what it takes to show and retry these; without ids, all of the queue's or all."""

    request: int
    ids: list[str]
    queue: str


@command(60)
class Retry(NamedTuple):
    """Enqueue a dead task once more under the id `new`, unless it was before."""

    created: int
    id: str
    new: str


@command(61)
class Purge(NamedTuple):
    """Forget what it takes to retry these dead tasks; without ids, all of a queue's, or all."""

    ids: list[str]
    queue: str
