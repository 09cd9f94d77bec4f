"""Every metric of `/metrics`: its name, what it is, and where it comes from; see metrics.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raftwork.features.queue_settings import settings_of
from raftwork.messages.facts import SnapshotTimes

if TYPE_CHECKING:
    from raftwork.messages import BrokerStatus, QueueStatus
    from raftwork.messages.facts import Durations, Latencies, MachineFacts, TaskTotals
    from raftwork.web.watch import Seen

#: Series of more queues than this become one, `other`.
QUEUES_MAX: Final = 200
#: As in SnapshotTimes.
SNAPSHOT_OPS: Final = SnapshotTimes._fields
_ROLES: Final = ("leader", "follower", "candidate", "learner")

#: Labels, and what they count.
Sample = tuple[Sequence[str], float]


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: its name as it is written on the page, what it is, and where it comes from."""

    name: str
    kind: str  # gauge, counter, histogram, info
    labels: tuple[str, ...]
    help: str


def _broker(name: str, kind: str, text: str, *labels: str) -> Described:
    return Described(f"raftwork_{name}", kind, ("broker", *labels), text)


def _cluster(name: str, kind: str, text: str, *labels: str) -> Described:
    return Described(f"raftwork_{name}", kind, labels, text)


Own = Callable[["BrokerStatus"], Iterator[Sample]]
Shared = Callable[["Seen", "Sequence[QueueStatus]"], Iterator[Sample]]


def _one(value: Callable[[BrokerStatus], float | None]) -> Own:
    def samples(status: BrokerStatus) -> Iterator[Sample]:
        found = value(status)
        if found is not None:
            yield (), found

    return samples


def _fact(name: str, scale: float = 1.0) -> Own:
    return _one(lambda s: None if s.facts is None else getattr(s.facts, name) * scale)


def _roles(status: BrokerStatus) -> Iterator[Sample]:
    yield from (((role,), float(status.role == role)) for role in _ROLES)


def _elections(status: BrokerStatus) -> Iterator[Sample]:
    if status.facts is not None:
        yield ("won",), status.facts.elections_won
        yield ("lost",), status.facts.elections_lost
        yield ("timeout",), status.facts.elections_undecided


def _refusals(status: BrokerStatus) -> Iterator[Sample]:
    if status.facts is not None:
        yield ("full",), status.facts.refused_full
        yield ("else",), status.facts.refused_else


def _peers_dropped(status: BrokerStatus) -> Iterator[Sample]:
    if status.facts is not None:
        yield from (((peer,), count) for peer, count in status.facts.peers_dropped)


def _session(name: str) -> Own:
    """Of the connections of clients and workers."""
    return _one(lambda s: s.facts and s.facts.sessions and getattr(s.facts.sessions, name))


def _sessions_closed(status: BrokerStatus) -> Iterator[Sample]:
    if status.facts is not None and status.facts.sessions is not None:
        yield from (((why,), count) for why, count in status.facts.sessions.closed)


def _service(name: str) -> Own:
    """Of what a broker does as a leader."""
    return _one(lambda s: s.facts and s.facts.service and getattr(s.facts.service, name))


def _requests(status: BrokerStatus) -> Iterator[Sample]:
    if status.facts is not None and status.facts.service is not None:
        yield from (((kind,), count) for kind, count in status.facts.service.requests)


def _enqueues_refused(status: BrokerStatus) -> Iterator[Sample]:
    if status.facts is not None and status.facts.service is not None:
        yield from (((queue, why), n) for queue, why, n in status.facts.service.refused)


def _lags(status: BrokerStatus) -> Iterator[Sample]:
    if status.facts is not None and status.active:
        yield from (((peer.name,), peer.behind) for peer in status.facts.peers)


def _links(status: BrokerStatus) -> Iterator[Sample]:
    for name, _ in status.cluster:
        if name != status.name:
            yield (name,), float(name not in status.unreached)


#: Of one replica, by what it says of itself.
OF_BROKERS: Final[Mapping[Described, Own]] = {
    _broker("broker_role", "gauge", "1 for the role it has, 0 for others.", "role"): _roles,
    _broker("broker_active", "gauge", "Whether it leads and serves."): _one(lambda s: s.active),
    _broker("broker_has_leader", "gauge", "Whether it knows a leader."): _one(
        lambda s: bool(s.leader)
    ),
    _broker("broker_epoch", "gauge", "The epoch (Raft: term) that it is in."): _one(
        lambda s: s.epoch
    ),
    _broker("leader_changes_total", "counter", "Leaders that it has come to know."): _fact(
        "leader_changes"
    ),
    _broker("elections_total", "counter", "Elections it took part in, by outcome.", "outcome"): (
        _elections
    ),
    _broker("leaderless_seconds_total", "counter", "Seconds without a leader it knows."): _fact(
        "leaderless_ms", 0.001
    ),
    _broker(
        *("requests_refused_total", "counter", "Of clients, as a leader, by reason.", "reason")
    ): _refusals,
    _broker("workers_lost_total", "counter", "Workers that it gave up as a leader."): _fact(
        "workers_lost"
    ),
    _broker("loop_stalls_total", "counter", "Turns of its loop of 300 ms and more."): _fact(
        "stalls"
    ),
    _broker("uptime_seconds", "gauge", "Since its start."): _fact("uptime_ms", 0.001),
    _broker("entries_applied_total", "counter", "Entries of the log that it applied."): _one(
        lambda s: s.facts and s.facts.machine and s.facts.machine.applied
    ),
    _broker("apply_backlog_entries", "gauge", "Committed, and not applied yet."): _one(
        lambda s: max(0, s.committed - s.applied)
    ),
    _broker("log_entries", "gauge", "Entries that its log holds."): _fact("log_entries"),
    _broker("log_bytes", "gauge", "Bytes of these."): _fact("log_bytes"),
    _broker("wal_bytes", "gauge", "Of SQLite's write-ahead log."): _fact("wal_bytes"),
    _broker("database_bytes", "gauge", "Of its database file."): _fact("database_bytes"),
    _broker("peer_lag_entries", "gauge", "By how much another is behind this leader.", "peer"): (
        _lags
    ),
    _broker("peer_connected", "gauge", "Whether it reaches that broker.", "peer"): _links,
    _broker("peer_dropped_total", "counter", "Messages to another that did not leave.", "peer"): (
        _peers_dropped
    ),
    _broker("entries_committed_total", "counter", "Entries it knows to be committed."): _fact(
        "committed"
    ),
    _broker("damaged", "gauge", "Whether its data were damaged at its start."): _fact("damaged"),
    _broker("clients", "gauge", "Sessions of clients with it."): _session("clients"),
    _broker("outbox_bytes", "gauge", "That its connections have not taken yet."): _session(
        "outbox_bytes"
    ),
    _broker("sessions_closed_total", "counter", "Sessions that ended, by reason.", "reason"): (
        _sessions_closed
    ),
    _broker("proposals_pending", "gauge", "Entries of this leader that are not applied yet."): (
        _service("proposals")
    ),
    _broker("watches", "gauge", "Tasks whose outcomes clients of this leader wait for."): _service(
        "watches"
    ),
    _broker("requests_total", "counter", "Of clients, that it took as a leader.", "kind"): (
        _requests
    ),
    _broker(
        *("enqueues_refused_total", "counter", "Of clients, as a leader, by reason."),
        *("queue", "reason"),
    ): _enqueues_refused,
    _broker("leases_expired_total", "counter", "Workers that were not heard in time."): _fact(
        "leases_expired"
    ),
    _broker("stale_reports_total", "counter", "Reports on attempts that were over."): _service(
        "stale_reports"
    ),
}
HISTOGRAMS: Final[Mapping[Described, Callable[[BrokerStatus], Latencies | None]]] = {
    _broker("fsync_seconds", "histogram", "Commits that reached the disk."): (
        lambda s: s.facts and s.facts.fsyncs
    ),
    _broker("turn_seconds", "histogram", "Turns of its loop, without the wait before."): (
        lambda s: s.facts and s.facts.turns
    ),
    _broker("checkpoint_seconds", "histogram", "Checkpoints of its write-ahead log."): (
        lambda s: s.facts and s.facts.checkpoints
    ),
    _broker("commit_seconds", "histogram", "From when it proposed an entry until it applied it."): (
        lambda s: s.facts and s.facts.service and s.facts.service.commits
    ),
    _broker("reads_seconds", "histogram", "Reads of this leader, until their barriers passed."): (
        lambda s: s.facts and s.facts.service and s.facts.service.reads
    ),
}
SNAPSHOT: Final = _broker("snapshot_seconds", "histogram", "Snapshots, by what was done.", "op")


def snapshots(status: BrokerStatus) -> Iterator[tuple[str, Durations]]:
    """How long they took, by operation."""
    if status.facts is not None:
        yield from zip(SNAPSHOT_OPS, status.facts.snapshots, strict=True)


def _queue_tasks(_seen: Seen, queues: Sequence[QueueStatus]) -> Iterator[Sample]:
    for queue in queues:
        for state in ("ready", "delayed", "scheduled", "blocked", "running"):
            yield (queue.name, state), getattr(queue, state)


def _by_queue(value: Callable[[QueueStatus], float]) -> Shared:
    return lambda _seen, queues: iter([((q.name,), value(q)) for q in queues])


def _limits(_seen: Seen, queues: Sequence[QueueStatus]) -> Iterator[Sample]:
    for queue in queues:
        longest = settings_of(queue.settings).max_length
        if longest is not None:
            yield (queue.name,), longest


def _workers(seen: Seen, _queues: Sequence[QueueStatus]) -> Iterator[Sample]:
    states = [worker.state for worker in seen.overview.workers]
    for state in ("active", "draining", "lost"):
        yield (state,), states.count(state)


def _slots(value: str) -> Shared:
    def samples(seen: Seen, queues: Sequence[QueueStatus]) -> Iterator[Sample]:
        active = [worker for worker in seen.overview.workers if worker.state == "active"]
        kept = {queue.name for queue in queues[:QUEUES_MAX]}
        for number, name in enumerate(queue.name for queue in queues):
            others = number >= QUEUES_MAX  # these are several queues: see _bounded
            serving = [w for w in active if (set(w.queues) - kept if others else name in w.queues)]
            yield (name,), sum(getattr(w, value) for w in serving)

    return samples


#: Of the cluster: the same on every broker, but for those marked `leader`.
OF_CLUSTER: Final[Mapping[Described, Shared]] = {
    _cluster("queue_tasks", "gauge", "Tasks without an outcome.", "queue", "state"): _queue_tasks,
    _cluster("slots_wanted", "gauge", "What waits to run now, or runs.", "queue"): _by_queue(
        lambda q: q.ready + q.running
    ),
    _cluster("queue_bytes", "gauge", "Of the payloads that wait.", "queue"): _by_queue(
        lambda q: q.bytes
    ),
    _cluster("queue_limit_tasks", "gauge", "Its max_length, if it has one.", "queue"): _limits,
    _cluster("queue_paused", "gauge", "Whether it is paused.", "queue"): _by_queue(
        lambda q: q.paused_until > 0
    ),
    _cluster("workers", "gauge", "Workers that the leader knows.", "state"): _workers,
    _cluster("slots", "gauge", "Slots of the workers of a queue.", "queue"): _slots("slots"),
    _cluster("slots_busy", "gauge", "Of these, in use.", "queue"): _slots("running"),
}


def _kept(name: str) -> Callable[[MachineFacts], float]:
    return lambda machine: getattr(machine, name)


#: What a replica keeps; the same on every broker.
KEPT: Final[Mapping[Described, Callable[[MachineFacts], float]]] = {
    _cluster("results", "gauge", "Outcomes that are kept."): _kept("results"),
    _cluster("result_bytes", "gauge", "Bytes of these."): _kept("result_bytes"),
    _cluster("tombstones", "gauge", "Ids that are known of tasks whose results went."): _kept(
        "tombstones"
    ),
}


def _totals(**labels: str) -> Callable[[TaskTotals], Iterator[Sample]]:
    """Fields, by the label that each has, if there are several."""

    def samples(of: TaskTotals) -> Iterator[Sample]:
        for field, label in labels.items():
            yield ((of.queue, of.name, label) if label else (of.queue, of.name)), getattr(of, field)

    return samples


#: Of tasks, as a replica has counted them since its process began: their rates are the same on
#: every broker. A dashboard has none, as its leader may be another one the next time.
OF_TASKS: Final[Mapping[Described, Callable[[TaskTotals], Iterator[Sample]]]] = {
    _cluster("tasks_enqueued_total", "counter", "Tasks that came in.", "queue", "task"): _totals(
        enqueued=""
    ),
    _cluster("tasks_finished_total", "counter", "Outcomes.", "queue", "task", "outcome"): _totals(
        succeeded="succeeded", failed="failed", lost="lost", cancelled="cancelled"
    ),
    _cluster(
        *("attempts_failed_total", "counter", "Attempts that came to nothing, by reason."),
        *("queue", "task", "reason"),
    ): _totals(errors="error", timeouts="timeout", losses="loss"),
    _cluster(
        *("tasks_retried_total", "counter", "Attempts that others follow."), *("queue", "task")
    ): _totals(retried=""),
}
RUN: Final = _cluster(
    "task_run_seconds", "histogram", "Of code that returned a value.", "queue", "task"
)
WAIT: Final = _cluster(
    "task_wait_seconds", "histogram", "From when a task was ready until it was assigned.", "queue"
)
OLDEST: Final = _cluster(
    "queue_oldest_seconds", "gauge", "Since when the oldest task waits that is ready.", "queue"
)
DEAD: Final = _cluster("dead_tasks", "gauge", "Dead tasks that can be run again.", "queue")
INFO: Final = Described(
    "raftwork_build_info", "info", ("broker", "version", "consensus"), "What it runs."
)
DISK: Final = _broker("disk_free_bytes", "gauge", "Room on the disk of its directory.")
UP: Final = _broker("broker_up", "gauge", "Whether it answers this process.")


def described() -> list[Described]:
    """Every metric of ours, by name."""
    found = [INFO, DISK, UP, RUN, WAIT, OLDEST, DEAD, SNAPSHOT]
    found += [*OF_BROKERS, *HISTOGRAMS, *OF_CLUSTER, *KEPT, *OF_TASKS]
    return sorted(found, key=lambda each: each.name)
