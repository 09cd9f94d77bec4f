"""What the replicated machine is told (commands) and what it tells back (replies and effects).

A log entry's data is a packed `Batch`: the leader's time and the commands that arrived while the
last fsync ran. Commands decide nothing by themselves: time, jitter and the choice of a worker were
fixed by the leader before it proposed them, so that every replica applies the same. For the same
reason entries are read strictly: what this release does not know is none of an entry's to be
skipped, it stops the replica (machine.py).

Effects are values. Every replica computes them; only an active leader acts on them, and whatever it
missed in a failover it finds again in the machine's state.
"""

from typing import NamedTuple

from raftwork.errors import BadMessage, NewerMessage
from raftwork.messages import Code, Loss, State
from raftwork.wire import Codec, pack, unpack

#: Leader time stays below this, so that no sum of it and a duration leaves 63 bits.
TIME_MAX = 2**53

# ---- commands ---------------------------------------------------------------------------------


class Enqueue(NamedTuple):
    """Put tasks into a queue, all or none; ids already known with the same contents are skipped.

    `begin` hands the first of the new tasks out in the same breath, so many to each worker's
    incarnation: a task that nothing waits before needs one commit less until it runs.
    """

    created: int  # leader time of the client's first attempt; older than the window is refused
    spec: bytes
    tasks: bytes  # a packed list of [id, payload] or [id, payload, key], as the client sent it
    begin: list[tuple[bytes, int]] = []  # noqa: RUF012 - never changed, as all of a record


class Assign(NamedTuple):
    """Hand waiting tasks to a worker's incarnation; each gets the next token."""

    worker: bytes
    seqs: list[int]


class Finish(NamedTuple):
    """Tokens whose code returned, with the packed values."""

    outcomes: list[tuple[int, bytes]]


class Fail(NamedTuple):
    """The token's code raised or ran over its time limit (found by the worker)."""

    token: int
    failure: bytes
    retry_at: int  # leader time of the next attempt, if one is left
    final: bool = False  # none is left, whatever the task's options say


class Expire(NamedTuple):
    """The token's time limit passed and the worker did not say so: counts as a failure."""

    token: int
    retry_at: int


class Release(NamedTuple):
    """Tokens handed back by a worker that never started them: back to their old place."""

    tokens: list[int]


class Lose(NamedTuple):
    """Tokens whose worker vanished. A started one counts as a loss, another as released."""

    tokens: list[tuple[int, bool]]  # (token, started or unknown)
    by: Loss = Loss()


class Retry(NamedTuple):
    """Enqueue a dead task once more under the id `new`, unless it was before."""

    created: int
    id: str
    new: str


class Purge(NamedTuple):
    """Forget what it takes to retry these dead tasks; without ids, all of a queue's, or all."""

    ids: list[str]
    queue: str


class Configure(NamedTuple):
    """Change a queue's settings: None leaves one as it is, an empty name or 0 clears it."""

    queue: str
    balancer: str | None
    max_length: int | None
    max_bytes: int | None


class Tick(NamedTuple):
    """Nothing but the batch's time: due retries wake, old results are evicted."""


class Raise(NamedTuple):
    """Take the cluster to this level, for good; see upgrade.py."""

    level: int
    release: str  # that of the leader, which runs the level


class ClusterSettings(NamedTuple):
    """Change some of the cluster's limits; see limits.py."""

    values: list[tuple[str, int]]


Command = (
    Enqueue
    | Assign
    | Finish
    | Fail
    | Expire
    | Release
    | Lose
    | Tick
    | Retry
    | Purge
    | Configure
    | Raise
    | ClusterSettings
)

commands: Codec[Command] = Codec(
    {
        1: Enqueue,
        2: Assign,
        3: Finish,
        4: Fail,
        5: Expire,
        6: Release,
        7: Lose,
        8: Tick,
        50: Configure,
        60: Retry,
        61: Purge,
        70: Raise,
        71: ClusterSettings,
    },
    strict=True,
    since={ClusterSettings: 1},
)


def encode_batch(time: int, batch: list[Command]) -> bytes:
    """A log entry's data."""
    return pack((time, [commands.plain(command) for command in batch]))


def decode_batch(data: bytes) -> tuple[int, list[object]]:
    """The time and the commands of a log entry, which `commands.from_plain` reads one by one.

    Raises BadMessage if the entry as a whole is malformed, NewerMessage if it has surplus parts.
    """
    batch = unpack(data)
    if type(batch) is not list or len(batch) < 2:
        raise BadMessage("an entry is an array of a time and commands")
    if len(batch) > 2:
        raise NewerMessage(f"{len(batch)} parts instead of 2")
    time, plain = batch
    if type(time) is not int or not 0 <= time <= TIME_MAX or type(plain) is not list:
        raise BadMessage("an entry is an array of a time and commands")
    return time, plain


# ---- replies ----------------------------------------------------------------------------------


class Done(NamedTuple):
    """The command took effect (or had taken effect before)."""

    found: int = 0  # dead tasks of a Purge


class Rejected(NamedTuple):
    """The command changed nothing."""

    code: Code
    text: str


Reply = Done | Rejected


# ---- effects ----------------------------------------------------------------------------------


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


class Requeued(NamedTuple):
    """A task waits again in its queue, under its old number."""

    queue: str
    seq: int


class Assigned(NamedTuple):
    """Tasks now belong to `worker`: (token, seq, attempt) each."""

    worker: bytes
    tasks: list[tuple[int, int, int]]


class NotAssigned(NamedTuple):
    """These were asked for in an Assign but do not wait (any more)."""

    seqs: list[int]


class Settled(NamedTuple):
    """A task has its outcome. `data` is the packed value or Failure."""

    token: int
    seq: int
    id: str
    queue: str
    state: State
    data: bytes


class AttemptEnded(NamedTuple):
    """The token is over without an outcome: the task waits again (at once or after a delay)."""

    token: int
    seq: int


class TokenRejected(NamedTuple):
    """A report came under a token that is not current: refused, nothing changed."""

    token: int


Effect = (
    Queued
    | EnqueuedAndAssigned
    | Requeued
    | Assigned
    | NotAssigned
    | Settled
    | AttemptEnded
    | TokenRejected
)


class Applied(NamedTuple):
    """What applying one entry gave: a reply for each command, in order, and the effects."""

    replies: list[Reply]
    effects: list[Effect]
