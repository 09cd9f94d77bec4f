"""What happens to a broker, as values: one stream for the log, and for whatever else shows it.

The text of each is what the log says of it; `event_logging.py` says how much it weighs. What the
consensus reports is in `raftwork.consensus.replica_events`, what happens between brokers in
`peer_events`: all of it is part of the same stream.

A task that succeeds makes no event. Those of each attempt (PER_ATTEMPT) are not even made unless
something listens: see `Setup.tells_attempts`.
"""

from __future__ import annotations

from dataclasses import dataclass

from raftwork.broker.peer_events import PeerEvent
from raftwork.consensus.replica_events import ReplicaEvent

# ---- the cluster ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Restored:
    """The replica starts from what its directory holds."""

    role: str
    applied: int

    def __str__(self) -> str:
        return f"this broker starts as a {self.role}; {self.applied} entries are applied"


@dataclass(frozen=True, slots=True)
class Formed:
    """This broker belongs to the cluster for good."""

    brokers: tuple[str, ...]
    here: bool  # it was this broker that formed it

    def __str__(self) -> str:
        names = ", ".join(self.brokers)
        if self.here:
            return f"formed a new cluster of {names}"
        return f"member of the cluster of {names} from now on"


@dataclass(frozen=True, slots=True)
class PeerUp:
    """Another broker answers on the connection to it."""

    broker: str
    address: str
    reached: int  # brokers that answer, this one among them
    brokers: int  # in the cluster

    def __str__(self) -> str:
        reached = f"{self.reached} of {self.brokers} brokers reached"
        return f"connected to broker {self.broker} at {self.address}; {reached}"


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The connection to another broker closed."""

    broker: str
    address: str

    def __str__(self) -> str:
        return f"the connection to broker {self.broker} at {self.address} closed"


@dataclass(frozen=True, slots=True)
class PeerRefuses:
    """Another broker does not take this one for a member."""

    broker: str
    why: str

    def __str__(self) -> str:
        return f"broker {self.broker} refuses this one: {self.why:.300}"


@dataclass(frozen=True, slots=True)
class WrongPeer:
    """Another process answers at a broker's address."""

    broker: str
    address: str
    what: str

    def __str__(self) -> str:
        return f"at {self.address}, the address of broker {self.broker}, answers {self.what:.300}"


@dataclass(frozen=True, slots=True)
class HelloRefused:
    """It claims to be another broker, and is none of this cluster."""

    why: str

    def __str__(self) -> str:
        return f"refused a broker's hello: {self.why:.300}"


@dataclass(frozen=True, slots=True)
class BadFrame:
    """What another broker sent cannot be read; it was dropped."""

    broker: str
    why: str

    def __str__(self) -> str:
        return f"dropped a frame of broker {self.broker}: {self.why:.300}"


@dataclass(frozen=True, slots=True)
class Waits:
    """What this broker waits for before it can serve."""

    what: str

    def __str__(self) -> str:
        return self.what


# ---- the leader --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Follows:
    """The leader that this broker knows; empty if it knows none."""

    epoch: int
    leader: str

    def __str__(self) -> str:
        leader = self.leader or "not known yet"
        return f"the leader of epoch {self.epoch} is {leader}"


@dataclass(frozen=True, slots=True)
class LeadershipBegan:
    """This broker leads, and serves clients and workers."""

    epoch: int

    def __str__(self) -> str:
        return f"active leader of epoch {self.epoch}"


# ---- workers and tasks -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """It may be given tasks; reported once by each new leader."""

    worker: str
    host: str
    pid: int
    slots: int
    queues: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.host}, pid {self.pid}; {self.slots} slots"
        return f"worker {self.worker} joined ({where}, queues {', '.join(self.queues)})"


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """It was given up; what it held goes to others, or is lost with it."""

    worker: str  # empty if it was only known from a leader before
    why: str
    tasks: int
    expired: bool = True  # its lease; else it was told that it is gone

    def __str__(self) -> str:
        worker = f"worker {self.worker}" if self.worker else "a worker of the leader before"
        held = f"; unfinished tasks: {self.tasks}" if self.tasks else ""
        return f"{worker} is lost: {self.why}{held}"


@dataclass(frozen=True, slots=True)
class WorkerLeft:
    """It said goodbye."""

    worker: str

    def __str__(self) -> str:
        return f"worker {self.worker} left"


@dataclass(frozen=True, slots=True)
class WorkerRests:
    """It gets no tasks, or one at a time."""

    worker: str
    why: str

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.why}"


@dataclass(frozen=True, slots=True)
class WorkerRecovered:
    """It rested, and is given tasks as usual again."""

    worker: str

    def __str__(self) -> str:
        return f"worker {self.worker} is given tasks as usual again"


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The task's code raised, or ran over its time limit, and the worker said so."""

    task: str
    queue: str
    worker: str
    attempt: int  # counted from 1
    why: str

    def __str__(self) -> str:
        where = f"attempt {self.attempt}, on {self.worker}"
        return f"task {self.task} of queue {self.queue}, {where}, failed: {self.why}"


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The process that ran it died; its worker lives and reports it."""

    task: str
    queue: str
    worker: str
    attempt: int

    def __str__(self) -> str:
        where = f"attempt {self.attempt}, on {self.worker}"
        return f"task {self.task} of queue {self.queue}, {where}, was lost with its process"


@dataclass(frozen=True, slots=True)
class TaskRetried:
    """It failed, and has attempts left."""

    task: str
    queue: str
    pause: int  # ms until it may be handed out again

    def __str__(self) -> str:
        return f"task {self.task} of queue {self.queue} is tried again in {self.pause} ms"


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """No attempt is left, or none may help: that is its outcome."""

    task: str
    queue: str
    why: str

    def __str__(self) -> str:
        return f"task {self.task} of queue {self.queue} failed: {self.why}"


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    """It was ended before its code had ended by itself: that is its outcome."""

    task: str
    queue: str
    why: str

    def __str__(self) -> str:
        return f"task {self.task} of queue {self.queue} was cancelled: {self.why}"


@dataclass(frozen=True, slots=True)
class TaskOverdue:
    """It ran far over its time limit, and its worker, which lives, did not say so: it is ended."""

    task: str
    queue: str
    worker: str
    limit: int  # ms

    def __str__(self) -> str:
        return (
            f"task {self.task} of queue {self.queue} ran over its limit of {self.limit} ms, and"
            f" worker {self.worker} says nothing of it: it counts as failed"
        )


@dataclass(frozen=True, slots=True)
class TasksTakenBack:
    """They were not sent, as the worker does not read: others get them."""

    worker: str
    tasks: int

    def __str__(self) -> str:
        return f"worker {self.worker} does not read what it is sent; tasks taken back: {self.tasks}"


@dataclass(frozen=True, slots=True)
class TaskLost:
    """It is given up for good: `raftwork dead` lists it."""

    task: str
    queue: str
    why: str

    def __str__(self) -> str:
        return f"task {self.task} of queue {self.queue} is lost: {self.why}"


@dataclass(frozen=True, slots=True)
class QueueFullRefusal:
    """An enqueue, or another request, found no room; the client was told."""

    why: str

    def __str__(self) -> str:
        return f"an enqueue was refused: {self.why}"


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A client asked for what cannot be done; it was told why."""

    why: str

    def __str__(self) -> str:
        return f"a request was refused: {self.why}"


@dataclass(frozen=True, slots=True)
class ChoreFailed:
    """The leader could not do what it does by itself; it tries again."""

    why: str

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class WorkerRefused:
    """A worker cannot work here; it was told why."""

    worker: str
    why: str

    def __str__(self) -> str:
        return f"worker {self.worker} was refused: {self.why}"


@dataclass(frozen=True, slots=True)
class BalancerUnknown:
    """It was set under a leader of another release."""

    queue: str
    balancer: str

    def __str__(self) -> str:
        return f"queue {self.queue}: no balancer {self.balancer!r} here, so the cluster's"


@dataclass(frozen=True, slots=True)
class LevelRaised:
    """The leader has seen the cluster's level raised (release.py)."""

    level: int

    def __str__(self) -> str:
        return f"the cluster is at level {self.level} from now on"


@dataclass(frozen=True, slots=True)
class ClusterSettingsChanged:
    """The leader has seen the cluster's settings changed (features/cluster_settings.py)."""

    changes: tuple[str, ...]  # name, value before and value now of each

    def __str__(self) -> str:
        return f"the cluster's settings have changed: {', '.join(self.changes)}"


# ---- this process ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SlowTurn:
    """For so long (ms) this broker read nothing; `disk` of it was spent in commits."""

    ms: int
    disk: int

    def __str__(self) -> str:
        return (
            f"a turn took {self.ms} ms, {self.disk} ms of it in writing to the disk; "
            "meanwhile no request was answered"
        )


Event = (
    Restored
    | Formed
    | PeerUp
    | PeerDown
    | PeerRefuses
    | WrongPeer
    | HelloRefused
    | BadFrame
    | Waits
    | Follows
    | LeadershipBegan
    | WorkerJoined
    | WorkerLost
    | WorkerLeft
    | WorkerRests
    | WorkerRecovered
    | AttemptFailed
    | AttemptLost
    | TaskRetried
    | TaskFailed
    | TaskCancelled
    | TaskOverdue
    | TasksTakenBack
    | TaskLost
    | QueueFullRefusal
    | RequestRefused
    | ChoreFailed
    | WorkerRefused
    | BalancerUnknown
    | LevelRaised
    | ClusterSettingsChanged
    | SlowTurn
    | PeerEvent
    | ReplicaEvent
)

#: One for each attempt or task without a value: they are made only for a log at DEBUG.
PER_ATTEMPT = (AttemptFailed, AttemptLost, TaskRetried, TaskFailed, TaskCancelled)


def unheard(_event: Event) -> None:
    """Drops the event: the usual `tell` where nothing listens."""
