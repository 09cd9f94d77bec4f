"""The replicated queue machine: log entries in, replies and effects out.

Rules of this package:
1. What becomes of a task is decided here, from the entries alone: no clock, no randomness, nothing
   whose order depends on hashing, no floats. Replicas that applied the same entries have the same
   tables (`digest`) and gave the same answers.
2. A command checks everything before it changes anything. What it then refuses is a Rejected reply;
   any other exception is a defect or a bad disk, goes up, and stops the replica before it commits.
   So does an entry that cannot be read: leaders propose nothing of the kind, so it is a newer
   release's, whose replicas carry out what this one would skip.
3. The tables hold all state. `apply` and `flush` run inside the caller's transaction; after a
   rollback the machine must be made anew.
"""

from collections.abc import Iterable, Sequence

import apsw

from raftwork.broker.machine import attempts, dead_letters, queries, schema
from raftwork.broker.machine.commands import (
    Applied,
    Assign,
    ClusterSettings,
    Configure,
    Done,
    Effect,
    Enqueue,
    Expire,
    Fail,
    Finish,
    Lose,
    Purge,
    Raise,
    Rejected,
    Release,
    Reply,
    Retry,
    Tick,
    commands,
    decode_batch,
)
from raftwork.broker.machine.enqueue import Columns, check, enqueue, stored
from raftwork.broker.machine.limits import Limits
from raftwork.broker.machine.queries import Waiting
from raftwork.broker.machine.queue_settings import check_settings, configure
from raftwork.broker.machine.retention import sweep, trim
from raftwork.broker.machine.retry import retry
from raftwork.broker.machine.schema import check_level
from raftwork.broker.machine.state import NEVER, Ledger, Queue, Running
from raftwork.broker.machine.upgrade import begins_with_raise, configure_cluster, raise_level
from raftwork.errors import (
    BadMessage,
    OtherRelease,
    PayloadTooLarge,
    ProtocolError,
    QueueFull,
    UnknownTask,
)
from raftwork.messages import (
    Code,
    DeadDetails,
    DeadTask,
    QueueStatus,
    Result,
    SetQueue,
    Spec,
    State,
)
from raftwork.release import LEVELS, RELEASE, Levels

#: What carrying out a command may refuse it with.
_REFUSALS = (ProtocolError, PayloadTooLarge, QueueFull, UnknownTask)


class Machine:
    """One replica's queues over one database connection, whose tables exist.

    `levels` are those that this release runs. Raises OtherRelease if the tables are another
    version's, or the cluster is at another level.
    """

    version = schema.VERSION

    def __init__(self, db: apsw.Connection, levels: Levels = LEVELS) -> None:
        self._db = db
        self._ledger = Ledger(db, levels)

    # ---- applying -------------------------------------------------------------------------------

    def apply(self, data: bytes, at: tuple[int, int] = (0, 0)) -> Applied:
        """Carry out one log entry's commands, in order, inside the open transaction.

        Raises OtherRelease if the entry, or any of its commands, cannot be read; `at` is its epoch
        and number, for the text.
        """
        try:
            return self._apply(data)
        except BadMessage as error:
            raise OtherRelease(
                f"entry {at[0]}.{at[1]} was written by a newer release of raftwork than {RELEASE}"
                f" ({error}): start this broker with the release that the other brokers run"
            ) from error

    def _apply(self, data: bytes) -> Applied:
        time, batch = decode_batch(data)
        ledger = self._ledger
        if ledger.level < ledger.levels.least and not begins_with_raise(batch):
            check_level(ledger.level, ledger.release, ledger.levels)
        ledger.time = max(ledger.time, time)
        effects: list[Effect] = []
        sweep(ledger, effects)
        replies = [self._carry_out(command, effects) for command in batch]
        trim(ledger)
        dead_letters.trim(ledger)
        return Applied(replies, effects)

    def _carry_out(self, plain: object, effects: list[Effect]) -> Reply:
        try:
            command = commands.from_plain(plain, self._ledger.level)
            match command:
                case Enqueue():
                    enqueue(self._ledger, command, effects)
                case Configure():
                    configure(self._ledger, command)
                case Retry():
                    retry(self._ledger, command, effects)
                case Purge():
                    return Done(dead_letters.purge(self._ledger, command))
                case Tick():
                    pass  # the batch's time has done its work already
                case Raise():
                    raise_level(self._ledger, command)
                case ClusterSettings():
                    configure_cluster(self._ledger, command)
                case _:
                    self._attempt(command, effects)
        except _REFUSALS as refusal:
            return Rejected(Code(refusal.code), str(refusal))
        return Done()

    def _attempt(
        self, command: Assign | Finish | Fail | Expire | Release | Lose, effects: list[Effect]
    ) -> None:
        match command:
            case Assign():
                attempts.assign(self._ledger, command, effects)
            case Finish():
                attempts.finish(self._ledger, command, effects)
            case Fail():
                attempts.fail(self._ledger, command, effects)
            case Expire():
                attempts.expire(self._ledger, command, effects)
            case Release():
                attempts.release(self._ledger, command, effects)
            case Lose():
                attempts.lose(self._ledger, command, effects)

    def flush(self) -> None:
        """Write the counters and the running set; call it once before COMMIT."""
        self._ledger.flush()

    # ---- before proposing -----------------------------------------------------------------------

    def validate(self, spec: bytes, tasks: bytes) -> tuple[Spec, Columns]:
        """Check a client's batch as `apply` will.

        Raises ProtocolError, PayloadTooLarge or QueueFull.
        """
        return check(self._ledger, spec, tasks)

    def stored(self, spec: bytes, tasks: Columns) -> bool:
        """Whether all of a batch that `validate` let pass is in already.

        Raises ProtocolError if its first id is and any of its ids is, with other contents: what
        else contradicts is refused when it is applied.
        """
        return stored(self._ledger, spec, tasks)

    def validate_settings(self, change: SetQueue) -> None:
        """Check a change of a queue's settings as `apply` will.

        Raises ProtocolError or QueueFull.
        """
        check_settings(self._ledger, change)

    # ---- asking ---------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        """The cluster's; 0 until its first leader has set one."""
        return self._ledger.level

    @property
    def levels(self) -> Levels:
        """Those that this release runs."""
        return self._ledger.levels

    @property
    def limits(self) -> Limits:
        """The cluster's."""
        return self._ledger.limits

    @property
    def time(self) -> int:
        """Machine time in ms: it only grows."""
        return self._ledger.time

    @property
    def due(self) -> int | None:
        """The earliest machine time at which a Tick would do something."""
        due = min(self._ledger.next_retry, self._ledger.next_expiry)
        return None if due == NEVER else due

    def lookup(self, ids: Sequence[str]) -> list[Result]:
        """The state of each id, with data if it is final; UNKNOWN for ids nobody enqueued."""
        return queries.lookup(self._ledger, ids)

    def states(self, ids: Sequence[str]) -> list[State]:
        """The state of each id; UNKNOWN for ids nobody enqueued."""
        return queries.states(self._ledger, ids)

    def outcomes(self, ids: Sequence[str], limit_bytes: int) -> list[Result]:
        """Results for the first of `ids`, up to about `limit_bytes` of data, at least one."""
        return queries.outcomes(self._ledger, ids, limit_bytes)

    def waiting(self, queue: str, after: int, limit: int, limit_bytes: int) -> list[Waiting]:
        """Waiting tasks of a queue in order, numbered above `after`.

        At most `limit`, ending with the one whose payload brings the sum to `limit_bytes`.
        """
        return queries.waiting(self._ledger, queue, after, limit, limit_bytes)

    def waiting_by(self, seqs: Sequence[int]) -> list[Waiting]:
        """Those among `seqs` that wait now, in order of their numbers."""
        return queries.waiting_by(self._ledger, seqs)

    def running(self) -> Iterable[Running]:
        """Every running task, in the order of tokens. Not to be used across an `apply`."""
        return self._ledger.running.values()

    def running_body(self, token: int) -> Waiting | None:
        """What to push again to a worker that never got it; None if the token is not current."""
        return queries.running_body(self._ledger, token)

    def current(self, token: int) -> Running | None:
        """The task under this token, if the token is current."""
        return self._ledger.running.get(token)

    def queues(self) -> list[QueueStatus]:
        """Every queue's counters, by name."""
        return [queries.queue_status(queue) for _, queue in sorted(self._ledger.queues.items())]

    def queue(self, name: str) -> QueueStatus:
        """A queue's counters and settings; all zero and none for one that nobody used yet."""
        return queries.queue_status(self._ledger.queues.get(name) or Queue(0, name))

    def balancer(self, name: str) -> str | None:
        """The balancer that was set for a queue, if one was."""
        queue = self._ledger.queues.get(name)
        return queue.balancer or None if queue else None

    def dead_page(self, queue: str, before: int, limit: int) -> list[DeadTask]:
        """Dead tasks numbered below `before`, newest first; an empty name is all queues."""
        return dead_letters.page(self._ledger, queue, before, limit)

    def dead_details(self, request: int, id_: str) -> DeadDetails | None:
        """Everything about one dead task, in answer to `request`; None if it is none."""
        return dead_letters.details(self._ledger, request, id_)

    def retried_as(self, id_: str) -> str:
        """The id under which a dead task was enqueued again; empty if it was not."""
        return dead_letters.retried_as(self._ledger, id_)

    def digest(self) -> bytes:
        """A hash over the whole state; equal on replicas that applied the same. Slow."""
        self.flush()
        return schema.digest(self._db)
