"""The replicated queue machine: log entries in, replies and effects out.

Rules of this package:
1. What becomes of a task is decided here, from the entries alone: no clock, no randomness, nothing
   whose order depends on hashing, no floats. Replicas that applied the same entries have the same
   tables (`digest`) and returned the same replies.
2. A command checks everything before it changes anything. What it then refuses is a Rejected reply;
   any other exception is a defect or a bad disk, goes up, and stops the replica before it commits.
   So does an entry that cannot be read (entry_versions.py).
3. The tables hold all state. `apply` and `flush` run inside the caller's transaction; after a
   rollback the machine must be made anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

import apsw

from raftwork.broker.machine import attempts, queries, schema
from raftwork.broker.machine.commands import (
    Assign,
    Expire,
    Fail,
    Finish,
    Grew,
    HoldBack,
    Lose,
    LoseSaying,
    Postpone,
    Release,
    Tick,
    commands,
)
from raftwork.broker.machine.entry_versions import of_newer_release, read_entry
from raftwork.broker.machine.gates import Gates
from raftwork.broker.machine.lanes import Lane
from raftwork.broker.machine.queries import Standing, Waiting
from raftwork.broker.machine.queue import Queue
from raftwork.broker.machine.retention import sweep, trim
from raftwork.broker.machine.state import NEVER, Ledger, Running
from raftwork.errors import BadMessage
from raftwork.features import dead_letters, flow_nodes
from raftwork.features.catalogue import FEATURES
from raftwork.features.cluster_settings import ClusterSettings
from raftwork.features.effects import Applied, Done, Effect, GatesFreed, Rejected, Reply
from raftwork.features.feature import REFUSALS, transition
from raftwork.features.limit_settings import Quota
from raftwork.features.queue_settings import NOTHING_SET, QueueSettings
from raftwork.messages import About, Code, QueueStatus, Result, State
from raftwork.release import LEVELS, Levels
from raftwork.wire import maker


def _nothing(_ledger: Ledger, _command: Tick, _effects: list[Effect]) -> None:
    """The batch's time has done its work already."""


#: What every command does, by its type.
_APPLY = {
    each.command: each.apply
    for each in (
        transition(Assign, attempts.assign),
        transition(Finish, attempts.finish),
        transition(Fail, attempts.fail),
        transition(Grew, attempts.grew),
        transition(Expire, attempts.expire),
        transition(HoldBack, attempts.hold_back),
        transition(Postpone, attempts.postpone),
        transition(Release, attempts.release),
        transition(Lose, attempts.lose),
        transition(LoseSaying, attempts.lose_saying),
        transition(Tick, _nothing),
        *(each for feature in FEATURES for each in feature.transitions),
    )
}


_DONE = Done()
_applied = maker(Applied)


class Machine:
    """One replica's queues over one database connection, whose tables exist.

    `levels` are those that this release runs. Raises OtherRelease if the tables are another
    version's, or the cluster is at another level.
    """

    version = schema.VERSION

    def __init__(self, db: apsw.Connection, levels: Levels = LEVELS) -> None:
        self._db = db
        lifecycles = [each for feature in FEATURES for each in feature.lifecycles]
        timers = [each for feature in FEATURES for each in feature.timers]
        self._ledger = Ledger(db, levels, lifecycles, timers)

    # ---- applying -------------------------------------------------------------------------------

    def apply(self, data: bytes, at: tuple[int, int] = (0, 0)) -> Applied:
        """Carry out one log entry's commands, in order, inside the open transaction.

        Raises OtherRelease if the entry, or any of its commands, cannot be read; `at` is its epoch
        and number, for the text.
        """
        ledger, effects = self._ledger, list[Effect]()
        try:
            time, batch = read_entry(ledger, data)
            if time > ledger.time:
                ledger.time = time
            sweep(ledger, effects, len(data))
            replies = list(map(self._carry_out, batch, repeat(effects)))
            self._go_on(effects)
        except BadMessage as error:
            raise of_newer_release(at, error) from error
        return _applied((replies, effects))

    def _go_on(self, effects: list[Effect]) -> None:
        """What follows from all of an entry's commands together."""
        ledger = self._ledger
        links, gates = ledger.links, ledger.gates
        if links.ended or links.unfired or links.ready:
            flow_nodes.go_on(ledger, effects)
        trim(ledger)
        dead_letters.trim(ledger)
        if ledger.run_times:
            ledger.run_times.clear()
        if gates.freed:
            effects.append(GatesFreed(gates.take_freed()))

    def _carry_out(self, plain: object, effects: list[Effect]) -> Reply:
        try:
            command = commands.from_plain(plain, self._ledger.level)
            done = _APPLY[type(command)](self._ledger, command, effects)
        except REFUSALS as refusal:
            return Rejected(Code(refusal.code), str(refusal))
        return done or _DONE

    def flush(self) -> None:
        """Write the counters and the running set; call it once before COMMIT."""
        self._ledger.flush()

    # ---- asking ---------------------------------------------------------------------------------

    @property
    def state(self) -> Ledger:
        """What it knows by heart, and its tables: for features, to read."""
        return self._ledger

    @property
    def level(self) -> int:
        """The cluster's; 0 until its first leader has set one."""
        return self._ledger.level

    @property
    def blank(self) -> bool:
        """Whether nothing was ever applied."""
        return self._ledger.blank

    @property
    def levels(self) -> Levels:
        """Those that this release runs."""
        return self._ledger.levels

    @property
    def settings(self) -> ClusterSettings:
        """The cluster's: another object once they are changed."""
        return self._ledger.settings

    @property
    def time(self) -> int:
        """Machine time in ms: it only grows."""
        return self._ledger.time

    @property
    def due(self) -> int | None:
        """The earliest machine time at which a Tick would do something."""
        ledger = self._ledger
        due = min(ledger.next_retry, ledger.next_start, ledger.next_expiry, ledger.next_timer)
        return None if due == NEVER else due

    def lookup(self, ids: Sequence[str]) -> list[Result]:
        """The state of each id, with data if it is final; UNKNOWN if it was never enqueued."""
        return queries.lookup(self._ledger, ids)

    def states(self, ids: Sequence[str]) -> list[State]:
        """The state of each id; UNKNOWN if it was never enqueued."""
        return queries.states(self._ledger, ids)

    def standings(self, ids: Sequence[str]) -> list[Standing]:
        """Where the tasks of these ids stand, as far as they are known, in any order."""
        return queries.standings(self._ledger, ids)

    def standing(self, seq: int) -> Standing | None:
        """Where the task of this number stands; None if it is not known."""
        return queries.standing(self._ledger, seq)

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

    def settings_of(self, name: str) -> QueueSettings:
        """What is set for a queue: another object once that changes."""
        queue = self._ledger.queues.get(name)
        return queue.settings if queue else NOTHING_SET

    def lanes(self, queue: str) -> list[tuple[int, Lane, int]]:
        """The lanes of a queue in which tasks wait, each with its first place."""
        return queries.lanes(self._ledger, queue)

    def lane(self, number: int) -> Lane | None:
        """What the tasks of a lane have in common; None if it is gone."""
        return self._ledger.lanes.read(number)

    @property
    def gates(self) -> Gates:
        """The limits and how far each is used. To read."""
        return self._ledger.gates

    def queue_use(self, name: str) -> tuple[Quota | None, int]:
        """How many of a queue's tasks may run, and how many do."""
        queue = self._ledger.queues.get(name)
        return (queue.quota, queue.running) if queue else (None, 0)

    def in_lane(self, lane: int, after: int, limit: int, limit_bytes: int) -> list[Waiting]:
        """As `waiting`, of a lane: at places above `after`."""
        return queries.in_lane(self._ledger, lane, after, limit, limit_bytes)

    def at_places(self, lane: int, places: Sequence[int]) -> list[Waiting]:
        """The tasks that wait now at these places of a lane, in order."""
        return queries.at_places(self._ledger, lane, places)

    def tenants_running(self, queue: str) -> list[tuple[int, str]]:
        """The tasks of a queue that run, each with its tenant."""
        return queries.tenants_running(self._ledger, queue)

    def running(self) -> Iterable[Running]:
        """Every running task, in the order of tokens. Not to be used across an `apply`."""
        return self._ledger.running.values()

    def running_body(self, token: int) -> Waiting | None:
        """What to push again to a worker that never got it; None if the token is not current."""
        return queries.running_body(self._ledger, token)

    def about(self, tasks: Sequence[Waiting]) -> Mapping[int, About]:
        """What their code may know of tasks besides: see `queries.about`."""
        return queries.about(self._ledger, tasks)

    def current(self, token: int) -> Running | None:
        """The task under this token, if the token is current."""
        return self._ledger.running.get(token)

    def queues(self) -> list[QueueStatus]:
        """Every queue's counters, by name."""
        return [queries.queue_status(queue) for _, queue in sorted(self._ledger.queues.items())]

    def queue(self, name: str) -> QueueStatus:
        """A queue's counters and settings; all zero and none for one that was never used."""
        return queries.queue_status(self._ledger.queues.get(name) or Queue(0, name))

    def is_paused(self, name: str) -> bool:
        """Whether nothing of a queue is handed out."""
        queue = self._ledger.queues.get(name)
        return queue is not None and queue.paused_until > 0

    def balancer(self, name: str) -> str | None:
        """The balancer that was set for a queue, if one was."""
        queue = self._ledger.queues.get(name)
        return queue.settings.balancer if queue else None

    def digest(self) -> bytes:
        """A hash over the whole state; equal on replicas that applied the same. Slow."""
        self.flush()
        return schema.digest(self._db, self._ledger.level)
