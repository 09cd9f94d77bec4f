"""What a broker counts of itself (messages/facts.py), by what it tells of itself. Sans-IO.

Elections are rare and a turn is one addition, so the counting costs the loop nothing that can be
measured. Whoever wants to know asks with a StatusRequest; a child process makes text of it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.broker.events import (
    Follows,
    LeadershipBegan,
    QueueFullRefusal,
    RequestRefused,
    WorkerLost,
)
from raftwork.broker.latencies import LatencyCounter
from raftwork.broker.snapshot_clock import SnapshotClock
from raftwork.consensus.replica_events import Cause, Election, LeadershipEnded
from raftwork.messages.facts import BrokerFacts, Latencies, RoleChange

if TYPE_CHECKING:
    from raftwork.broker.events import Event

#: Role changes that are kept.
CHANGES_MAX: Final = 50
#: A turn that begins so late, ms, is a stall: workers' leases are put off by it (node.py).
STALL_US: Final = 300_000
#: Events that are counted, and nothing else.
_COUNTED: Final[tuple[type[Event], ...]] = (QueueFullRefusal, RequestRefused, WorkerLost)


class Stored(NamedTuple):
    """What its store counts of itself."""

    fsyncs: Latencies
    checkpoints: Latencies
    log_entries: int
    log_bytes: int
    wal_bytes: int
    database_bytes: int
    damaged: bool = False


class OwnFacts:
    """Of one broker since its start. Times are monotonic ms, but for `wall`: ms since 1970."""

    def __init__(self, name: str, pid: int, now: int) -> None:
        self._name, self._pid, self._began = name, pid, now
        #: Turns of the loop; the wait before one is no part of it.
        self.turns = LatencyCounter()
        #: Those of STALL_US or more.
        self.stalls = 0
        self._changes: deque[RoleChange] = deque(maxlen=CHANGES_MAX)
        self._leader_changes = self._won = self._lost = self._undecided = 0
        self._seeks = False
        #: Since when it knows of no leader that serves; None while it knows one.
        self._alone_since: int | None = now
        self._alone_ms = 0
        self._last_leader = ""
        self._seen: dict[type[Event], int] = dict.fromkeys(_COUNTED, 0)
        self._leases_expired = 0
        self._snapshots = SnapshotClock()

    def told(self, epoch: int, event: Event, now: int, wall: int) -> None:
        """The broker told of this."""
        if type(event) in self._seen:
            self._seen[type(event)] += 1
        match event:
            case Election():
                if self._seeks and event.why is Cause.UNDECIDED:
                    self._undecided += 1
                if not self._seeks:
                    self._change(RoleChange(wall, epoch, "seeks", "", str(event.why)), now)
                self._seeks = True
            case LeadershipBegan():
                self._won += self._seeks
                self._leads(RoleChange(wall, event.epoch, "leads", self._name, ""), now)
            case LeadershipEnded():
                self._change(RoleChange(wall, event.epoch, "seeks", "", str(event.why)), now)
            case Follows() if event.leader:
                self._lost += self._seeks
                self._leads(RoleChange(wall, event.epoch, "follows", event.leader, ""), now)
            case Follows():
                self._change(RoleChange(wall, event.epoch, "seeks", "", ""), now)
            case WorkerLost():
                self._leases_expired += event.expired
            case _:
                self._snapshots.told(event, now)

    def _leads(self, change: RoleChange, now: int) -> None:
        self._seeks = False
        self._leader_changes += change.leader != self._last_leader
        self._last_leader = change.leader
        self._change(change, now)

    def _change(self, change: RoleChange, now: int) -> None:
        last = self._changes[-1] if self._changes else None
        if last is None or last[1:4] != change[1:4]:
            self._changes.append(change)
        if change.leader and self._alone_since is not None:
            self._alone_ms += now - self._alone_since
            self._alone_since = None
        elif not change.leader and self._alone_since is None:
            self._alone_since = now

    def facts(self, now: int, wall: int, stored: Stored) -> BrokerFacts:
        """All of it."""
        alone = 0 if self._alone_since is None else now - self._alone_since
        return BrokerFacts(
            *(wall, self._pid, now - self._began),
            *(self._leader_changes, self._won, self._lost, self._undecided),
            self._alone_ms + alone,
            stored.fsyncs,
            self.turns.told(),
            self.stalls,
            *(stored.log_entries, stored.log_bytes, stored.wal_bytes, stored.database_bytes),
            list(self._changes),
            refused_full=self._seen[QueueFullRefusal],
            refused_else=self._seen[RequestRefused],
            workers_lost=self._seen[WorkerLost],
            leases_expired=self._leases_expired,
            checkpoints=stored.checkpoints,
            snapshots=self._snapshots.times(),
            damaged=stored.damaged,
        )
