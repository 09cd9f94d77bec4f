"""What applying an entry returns: replies to its commands, and effects.

Effects are values. Every replica computes them; only an active leader acts on them, and whatever it
missed in a failover it finds again in the machine's state.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from raftwork.messages import Code, State

if TYPE_CHECKING:
    from raftwork.features.checkpoints import Verdict

# ---- replies ------------------------------------------------------------------------------------


class Done(NamedTuple):
    """The command took effect (or had taken effect before)."""

    affected: int = 0  # so many, where that is asked for
    rest_after: int = 0  # where it goes on if this was a part of it; 0 if it was all
    #: Of a batch's tasks those that are others, which were there: by index, with the others' ids.
    existing: Sequence[tuple[int, str]] = ()
    #: What became of several things, by their ids, where that is asked for.
    fates: Sequence[tuple[int, str]] = ()


class Rejected(NamedTuple):
    """The command changed nothing."""

    code: Code
    text: str


Reply = Done | Rejected

# ---- effects ------------------------------------------------------------------------------------


class Queued(NamedTuple):
    """New tasks wait in `queue`: task i of `tasks` (id, payload) has number first + i."""

    queue: str
    spec: bytes
    first: int
    tasks: list[tuple[str, bytes]]
    keys: list[str] = []  # noqa: RUF012 - one for each task; or none, if no task has one


class EnqueuedAndAssigned(NamedTuple):
    """New tasks belong to `worker` from the start, as `Enqueue.begin` said: the first attempt."""

    worker: bytes
    spec: bytes
    tasks: list[tuple[int, int, str, bytes]]  # (token, seq, id, payload)


class QueuedInLane(NamedTuple):
    """Tasks wait in a lane for the first time: behind all others there, in this order."""

    queue: str
    lane: int
    tasks: list[tuple[int, int]]  # (number, place), by their places


class Requeued(NamedTuple):
    """A task waits (again) in its queue, where it stood: among the ordinary ones, or in a lane."""

    queue: str
    seq: int
    lane: int = 0
    place: int = 0


class Replaced(NamedTuple):
    """A task that waits has other arguments: what was read of it before is out of date."""

    queue: str
    seq: int
    payload: bytes
    lane: int = 0


class Withdrawn(NamedTuple):
    """A task that waited in its queue waits there no more, and has no outcome."""

    queue: str
    seq: int


class Assigned(NamedTuple):
    """Tasks now belong to `worker`: (token, seq, attempt) each."""

    worker: bytes
    tasks: list[tuple[int, int, int]]


class NotAssigned(NamedTuple):
    """These were asked for in an Assign but do not wait (any more), or may not run yet."""

    seqs: list[int]


class GatesFreed(NamedTuple):
    """These may let in more tasks than before: (limit, tenant or key) each."""

    names: list[tuple[str, str]]


class LimitChanged(NamedTuple):
    """All gates of this limit may let in more than before."""

    limit: str


class Settled(NamedTuple):
    """A task has its outcome. `data` is the packed value or Failure."""

    token: int  # 0 if it was ended while it waited
    seq: int
    id: str
    queue: str
    state: State
    data: bytes


class AttemptEnded(NamedTuple):
    """The token is over without an outcome: the task waits again (at once or after a delay)."""

    token: int
    seq: int


class CancelAsked(NamedTuple):
    """The code under this token is asked to end."""

    token: int


class QueueResumed(NamedTuple):
    """What waits in this queue may be handed out again."""

    queue: str


class ScheduleMoved(NamedTuple):
    """A schedule is another one than before: it was made, changed, or has ticked."""

    number: int
    next: int  # as in its row


class TokenRejected(NamedTuple):
    """A report came under a token that is not current: refused, nothing changed."""

    token: int


class CheckpointDecided(NamedTuple):
    """A checkpoint of the attempt under this token is kept, or refused: `verdict` says why."""

    token: int
    number: int
    verdict: "Verdict"


Effect = (
    Queued
    | EnqueuedAndAssigned
    | QueuedInLane
    | Requeued
    | Replaced
    | Withdrawn
    | Assigned
    | NotAssigned
    | GatesFreed
    | LimitChanged
    | Settled
    | AttemptEnded
    | CancelAsked
    | QueueResumed
    | ScheduleMoved
    | TokenRejected
    | CheckpointDecided
)


class Applied(NamedTuple):
    """What applying one entry returned: a reply for each command, in order, and the effects."""

    replies: list[Reply]
    effects: list[Effect]
