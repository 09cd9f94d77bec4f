"""How often the rare branches were taken: a simulator that never gets there proves nothing.

What can be seen from outside (messages, effects, events of the world) is counted there; a few
branches leave no trace, and for those the function that takes them is wrapped.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raftwork.broker.workers.circuit_breaker import CircuitBreaker
from raftwork.broker.workers.registry import WorkerRegistry
from raftwork.broker.workers.reports import Reports
from raftwork.broker.workers.worker import Worker
from raftwork.client import backpressure, requests
from raftwork.client.calls import Call, Gathered
from raftwork.errors import QueueFull
from raftwork.features.effects import (
    Applied,
    AttemptEnded,
    Requeued,
    Settled,
)
from raftwork.worker.told_waits import ToldWaits
from tests.sim.system import raft_reach, zab_reach
from tests.sim.system.hooks import ConsensusReach, Hook, hooked

#: Work of either protocol, which the seeds of each must reach.
_CONSENSUS = (
    "truncation",
    "quorum lost",
    "snapshot installed",
    "snapshot resumed",
    "rebind committed",
    "transfer",
    "deactivated",
    "apart",
)
#: What CI's seeds must reach between them. No protocol has a part in it: what one history in fifty
#: reaches would often be missed by Zab's, which are few.
COMMON = (
    # disks
    "crash before the commit",
    "crash during the commit",
    "crash after the commit",
    "unsynced commits lost",
    "unsynced writes lost",
    "torn write",
    "checksum refusal",
    "damage noticed",
    "disk failed",
    "store refuses",
    "lost directory",
    # tasks
    "stale token refused",
    "duplicate enqueue suppressed",
    "repeated batch acknowledged at once",
    "batch known in part",
    "contradiction refused",
    "retry delayed",
    "task failed",
    "task lost",
    "quarantined",
    "worker given up",
    "pushed again at a hello",
    "expired by the leader",
    "handed back unstarted",
    "drained",
    "halt",
    "killed by its task",
    "unavailable",
    "came after the pause that was asked for",
    "rejected for good",
    "resumed",
    "checkpoint found",
    "checkpoint kept",
    # queues' limits and settings
    "enqueue refused for a queue's length",
    "enqueue refused for a queue's bytes",
    "enqueue refused early by the leader",
    "repeated batch acknowledged by a full queue",
    "came back into a full queue",
    "limit set below what waits",
    "refused for good",
    "client waits for room",
    "waiting client let in",
    "waited for room in vain",
    "settings read",
    "two lead",
    "settings found by a new leader",
    "settings found in a snapshot",
    "balancer refused",
    "level raised by an upgrade",
    "away when all others are upgraded",
    # events
    "events: read to the end",
    "events: read across a failover",
    "events: gap told",
    # purges
    "purged",
    "purged after an attempt",
    "purge went on in another entry",
    "purge of nothing",
    # cancels and pauses
    "cancel of a running task",
    "cancel of a waiting task",
    "cancel between attempts",
    "cancel of an unknown task",
    "cancel went on in another entry",
    "cancelled while it ran",
    "returned after a cancel",
    "grace shortened",
    "told again to end",
    "queue paused",
    "queue resumed",
    # priority and order
    "a higher priority overtook",
    "patience came to an end",
    "kept its place in a lane",
    "key halted",
    "key resumed",
    "the next of a key went on",
    # unique keys
    "unique: entered",
    "unique: existing",
    "unique: raised",
    "unique: replaced",
    "unique: back unstarted",
    "unique: follows",
    "unique: asked again",
    "unique: in its period",
    "unique: freed",
    "unique: kept by its task when it was to be freed",
    "unique: waits for a period",
    # flows
    "flow: submitted",
    "flow: submitted again",
    "flow: succeeded",
    "flow: failed",
    "flow: cancelled for what it waited for",
    "flow: a failure as a value",
    "flow: children entered",
    "flow: replaced",
    "flow: went on in another entry",
    "flow: cancelled as a whole",
    "flow: retried, and shares a result",
    "flow: retried before all was let go",
    "flow: ended with its siblings",
    "flow: asked to end with its siblings",
    "flow: cancelled after it was replaced",
    "flow: cancelled with what it replaces",
    "flow: asked to end with what it replaces",
    "broadcast: entered",
    "broadcast: came to its worker again",
    "broadcast: worker gone",
    "broadcast: to nobody",
    # time
    "scheduled",
    "due across a failover",
    "expired",
    "expired after it was handed back",
    "deadline passed while it ran",
    "deadline passed while it waited",
    "a scheduled task was moved",
    "a waiting task was moved",
    # schedules
    "ticked",
    "tick across a failover",
    "waited for those of another policy",
    "the last one of a limit",
    "ticks of an outage",
    "a tick that came too late for an edit",
    "a tick met an earlier one",
    "superseded",
    "triggered",
    "made up for a pause",
    "schedule created",
    "schedule changed",
    "schedule differs",
    "schedule updated",
    "schedule deleted",
    # looking at tasks
    "looked at: waits",
    "looked at: runs",
    "looked at: ended",
    "looked at: attempts",
    "looked at: tagged",
    "listed by a tag",
    # limits
    "limit set",
    "limit set below what runs",
    "limit paused",
    "let in by all its gates",
    "let in after a gate was full",
    "handed out at a rate",
    "a rate was given back",
    "a gate was left by a loss",
    "a limit was shut by code",
    "what code had shut was opened",
    "a rate was raised over what was owed",
    # the cluster's settings
    "cluster set",
    "cluster settings read",
    "too short a lease refused",
    "silent under a longer lease",
    # bad workers
    "an unknown task went elsewhere",
    "a task that nobody knew",
    "process died",
    "a task on trial",
    "a worker that rested is well",
    # tasks that wait for others
    "a task parked",
    "more parked than slots",
    "a knot untied",
    "no slot left to wait for",
    "no slot left to wait for in peace",
    "no place at a limit left to wait for",
    "waited for one that shut its limit",
    "the end of a wait told in vain",
    "parked told to a new session",
    # killed workers
    "spoken for by its fork server",
    "ended unheard",
    # work done for others fails
    "contained: a client",
    "contained: a worker",
    "contained: a peer",
    "contained: all at once",
    "contained: a helper",
    # a client that was stopped
    "answered after a pause",
    "unread by a stopped client",
)

#: What CI's seeds of a protocol must reach.
OF_PROTOCOL = {
    "raft": (*raft_reach.EXPECTED, *_CONSENSUS),
    "zab": (*zab_reach.EXPECTED, *_CONSENSUS),
}
_REACH: dict[str, Callable[[Counter[str]], ConsensusReach]] = {
    "raft": raft_reach.RaftReach,
    "zab": zab_reach.ZabReach,
}


class Reach:
    """Counts of one world; `watching` wraps what cannot be seen otherwise."""

    def __init__(self, consensus: str) -> None:
        self.counts: Counter[str] = Counter()
        self._waited: set[Call] = set()  # for room
        self._protocol = _REACH[consensus](self.counts)

    def consensus(self, body: bytes) -> None:
        """A consensus message leaves."""
        self._protocol.leaves(body)

    def effects(self, applied: Applied) -> None:
        counts, waiting = self.counts, 0
        for effect in applied.effects:
            if isinstance(effect, Settled):
                counts[f"task {effect.state.name.lower()}"] += 1
            else:
                waiting += isinstance(effect, AttemptEnded) - isinstance(effect, Requeued)
        counts["retry delayed"] += max(0, waiting)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it lasts, calls of the functions below are counted."""
        own = (
            Hook(Reports, "_push_again", self._always("pushed again at a hello")),
            Hook(WorkerRegistry, "_give_up", self._always("worker given up")),
            Hook(Reports, "_is_news", self._reported),
            Hook(ToldWaits, "renew", self._renewed),
            Hook(CircuitBreaker, "took", self._ill("a task on trial")),
            Hook(CircuitBreaker, "succeeded", self._ill("a worker that rested is well")),
            Hook(backpressure.Backpressure, "refused", self._waits_for_room),
            Hook(requests.Requests, "take", self._ended),
        )
        with hooked((*own, *self._protocol.hooks())):
            yield

    def _always(self, name: str) -> Callable[..., None]:
        def note(*_args: object) -> None:
            self.counts[name] += 1

        return note

    def _ill(self, name: str) -> Callable[..., None]:
        def note(breaker: CircuitBreaker, *_args: object) -> None:
            self.counts[name] += breaker.is_open

        return note

    def _renewed(self, waits: ToldWaits) -> None:
        self.counts["parked told to a new session"] += bool(waits.parked)

    def _waits_for_room(
        self, _: backpressure.Backpressure, sent: Call | Gathered, *_rest: object
    ) -> None:
        self.counts["client waits for room"] += 1
        self._waited.update(sent.members)

    def _ended(self, asked: requests.Requests) -> None:
        for call, _, error in asked._answered:
            if call in self._waited:
                self.counts["waiting client let in"] += error is None
                self.counts["waited for room in vain"] += isinstance(error, QueueFull)

    def _reported(self, _reports: Reports, worker: Worker, token: int) -> None:
        self.counts["stale token refused"] += token not in worker.assignments
