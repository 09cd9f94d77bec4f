"""`/metrics`: what brokers count, as Prometheus reads it (docs/metrics.md).

1. A broker's loop keeps integers; this process makes text of them.
2. Series of the replicated state are on every broker alike: aggregate them with max, never sum.
   Those of one replica carry its name.
3. No series has a task's id, an error or a host in a label: their number is bounded by that of the
   queues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from raftwork.features.queue_settings import settings_of
from raftwork.messages.facts import DURATION_BOUNDS_MS, LATENCY_BOUNDS_US, Latencies

if TYPE_CHECKING:
    from prometheus_client import Metric

    from raftwork.messages import BrokerStatus, QueueStatus
    from raftwork.messages.facts import Durations, MachineFacts, TaskTotals
    from raftwork.web.watch import Seen, Watch

#: Series of more queues than this become one, `other`.
QUEUES_MAX: Final = 200
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
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
}
HISTOGRAMS: Final[Mapping[Described, Callable[[BrokerStatus], Latencies | None]]] = {
    _broker("fsync_seconds", "histogram", "Commits that reached the disk."): (
        lambda s: s.facts and s.facts.fsyncs
    ),
    _broker("turn_seconds", "histogram", "Turns of its loop, without the wait before."): (
        lambda s: s.facts and s.facts.turns
    ),
}


def _queue_tasks(_seen: Seen, queues: Sequence[QueueStatus]) -> Iterator[Sample]:
    for queue in queues:
        for state in ("queued", "scheduled", "blocked", "running"):
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
        lambda q: q.queued + q.running
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
    _cluster("dead_tasks", "gauge", "Dead tasks that can be run again."): _kept("dead"),
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
INFO: Final = Described(
    "raftwork_build_info", "info", ("broker", "version", "consensus"), "What it runs."
)
DISK: Final = _broker("disk_free_bytes", "gauge", "Room on the disk of its directory.")
UP: Final = _broker("broker_up", "gauge", "Whether it answers this process.")


def described() -> list[Described]:
    """Every metric of ours, by name."""
    found = [INFO, DISK, UP, RUN, WAIT, OLDEST]
    found += [*OF_BROKERS, *HISTOGRAMS, *OF_CLUSTER, *KEPT, *OF_TASKS]
    return sorted(found, key=lambda each: each.name)


class _Page(Collector):
    """Of one broker, or of all, as they were seen last."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Every family, also one without a sample now."""
        seen, own = self._watch.seen, self._watch.name
        shown = {n: s for n, s in seen.statuses.items() if own in ("", n)}
        told = [status for status in shown.values() if status is not None]
        yield _family(UP, [((name,), float(s is not None)) for name, s in shown.items()])
        yield _info(told)
        if own and seen.free_bytes is not None:
            yield _family(DISK, [((own,), seen.free_bytes)])
        for metric, of in OF_BROKERS.items():
            yield _family(metric, [((s.name, *labels), v) for s in told for labels, v in of(s)])
        for metric, latencies in HISTOGRAMS.items():
            yield _latencies(metric, [(s.name, found) for s in told if (found := latencies(s))])
        queues = _bounded(_queues(seen, own))
        for metric, shared in OF_CLUSTER.items():
            yield _family(metric, list(shared(seen, queues)))
        yield from _of_machine(seen, own)


def _of_machine(seen: Seen, own: str) -> Iterator[Metric]:
    """What a broker has counted of what it applied; else what the leader keeps."""
    status = seen.statuses.get(own or seen.overview.leader or "")
    machine = status.facts.machine if status is not None and status.facts is not None else None
    for metric, kept in KEPT.items():
        yield _family(metric, [] if machine is None else [((), kept(machine))])
    times = [] if machine is None else machine.queues[:QUEUES_MAX]
    yield _family(OLDEST, [((each.name,), each.oldest_ms / 1_000) for each in times])
    totals = machine.tasks if machine is not None and own else []
    for metric, samples in OF_TASKS.items():
        yield _family(metric, [sample for of in totals for sample in samples(of)])
    yield _durations(RUN, [((of.queue, of.name), of.runs) for of in totals])
    yield _durations(WAIT, [((each.name,), each.waits) for each in times if own])


def _queues(seen: Seen, own: str) -> Sequence[QueueStatus]:
    """A broker's own, as it has applied them; else the leader's."""
    status = seen.statuses.get(own)
    return status.queues if status is not None else seen.overview.queues


def _bounded(queues: Sequence[QueueStatus]) -> Sequence[QueueStatus]:
    """The first ones by name; all others together."""
    if len(queues) <= QUEUES_MAX:
        return queues
    # One that is called `other` is of these: two series of one name would be read as one of them.
    ordered = sorted(queues, key=lambda queue: (queue.name == "other", queue.name))
    kept, rest = ordered[:QUEUES_MAX], ordered[QUEUES_MAX:]
    counts = ("queued", "running", "succeeded", "failed", "lost", "bytes")
    more = ("scheduled", "blocked", "cancelled")
    sums = {name: sum(getattr(q, name) for q in rest) for name in (*counts, *more)}
    return [*kept, rest[0]._replace(name="other", settings=b"", paused_until=0, **sums)]


def _family(metric: Described, samples: Sequence[Sample]) -> Metric:
    made: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        made = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        made = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        made.add_metric(labels, value)
    return made


def _info(told: Sequence[BrokerStatus]) -> Metric:
    made = InfoMetricFamily("raftwork_build", INFO.help, labels=["broker"])
    for status in told:
        made.add_metric(
            [status.name], {"version": status.release or "0.1", "consensus": status.consensus}
        )
    return made


def _latencies(metric: Described, found: Sequence[tuple[str, Latencies]]) -> Metric:
    bounds = [us / 1_000_000 for us in LATENCY_BOUNDS_US]
    samples = [((name,), each.counts, each.sum_us / 1_000_000) for name, each in found]
    return _histogram(metric, bounds, samples)


def _durations(metric: Described, found: Sequence[tuple[Sequence[str], Durations]]) -> Metric:
    bounds = [ms / 1_000 for ms in DURATION_BOUNDS_MS]
    samples = [(labels, each.counts, each.sum_ms / 1_000) for labels, each in found]
    return _histogram(metric, bounds, samples)


def _histogram(
    metric: Described,
    bounds_s: Sequence[float],
    samples: Sequence[tuple[Sequence[str], Sequence[int], float]],
) -> Metric:
    """Labels, counts by bucket and the sum, s, of each."""
    made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    ends = [*(f"{bound:g}" for bound in bounds_s), "+Inf"]
    for labels, counts, sum_s in samples:
        added_up = accumulate(counts)
        made.add_metric(labels, list(zip(ends, added_up, strict=True)), sum_s)
    return made


class Metrics:
    """Makes the page."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Page(watch))
        if watch.name:
            # Of the broker's process, not of this one.
            ProcessCollector(pid=self._pid, registry=self._registry)

    def _pid(self) -> int:
        own = self._watch.seen.statuses.get(self._watch.name)
        return 0 if own is None or own.facts is None else own.facts.pid

    def page(self) -> bytes:
        """The text of all of them now."""
        return generate_latest(self._registry)
