"""`/metrics`: what brokers count, as Prometheus reads it (docs/metrics.md).

1. A broker's loop keeps integers; this process makes text of them.
2. Series of the replicated state are on every broker alike: aggregate them with max, never sum.
   Those of one replica carry its name.
3. No series has a task's id, an error or a host in a label: their number is bounded by that of the
   queues.

What there is, and where each comes from, is in metric_tables.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

from raftwork.messages.facts import DURATION_BOUNDS_MS, LATENCY_BOUNDS_US, Latencies
from raftwork.web import metric_tables as tables
from raftwork.web.metric_tables import Described, Sample

if TYPE_CHECKING:
    from prometheus_client import Metric

    from raftwork.messages import BrokerStatus, QueueStatus
    from raftwork.messages.facts import Durations, MachineFacts
    from raftwork.web.watch import Seen, Watch

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Page(Collector):
    """Of one broker, or of all, as they were seen last."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Every family, also one without a sample now."""
        seen, own = self._watch.seen, self._watch.name
        shown = {n: s for n, s in seen.statuses.items() if own in ("", n)}
        told = [status for status in shown.values() if status is not None]
        yield _family(tables.UP, [((name,), float(s is not None)) for name, s in shown.items()])
        yield _info(told)
        if own and seen.free_bytes is not None:
            yield _family(tables.DISK, [((own,), seen.free_bytes)])
        for metric, of in tables.OF_BROKERS.items():
            yield _family(metric, [((s.name, *labels), v) for s in told for labels, v in of(s)])
        for metric, latencies in tables.HISTOGRAMS.items():
            yield _latencies(metric, [(s.name, found) for s in told if (found := latencies(s))])
        yield _durations(
            tables.SNAPSHOT,
            [((s.name, op), took) for s in told for op, took in tables.snapshots(s)],
        )
        queues = _bounded(_queues(seen, own))
        for metric, shared in tables.OF_CLUSTER.items():
            yield _family(metric, list(shared(seen, queues)))
        yield from _of_machine(seen, own)


def _of_machine(seen: Seen, own: str) -> Iterator[Metric]:
    """What a broker has counted of what it applied; else what the leader keeps."""
    status = seen.statuses.get(own or seen.overview.leader or "")
    machine = status.facts.machine if status is not None and status.facts is not None else None
    for metric, kept in tables.KEPT.items():
        yield _family(metric, [] if machine is None else [((), kept(machine))])
    times = [] if machine is None else machine.queues[: tables.QUEUES_MAX]
    yield _family(tables.OLDEST, [((each.name,), each.oldest_ms / 1_000) for each in times])
    totals = machine.tasks if machine is not None and own else []
    for metric, samples in tables.OF_TASKS.items():
        yield _family(metric, [sample for of in totals for sample in samples(of)])
    yield _durations(tables.RUN, [((of.queue, of.name), of.runs) for of in totals])
    yield _durations(tables.WAIT, [((each.name,), each.waits) for each in times if own])
    yield _family(tables.DEAD, [] if machine is None else _dead(machine))


def _dead(machine: MachineFacts) -> Iterator[Sample]:
    """By queue; those of queues without a series of their own together."""
    known = [each for each in machine.queues[: tables.QUEUES_MAX] if each.name != "other"]
    for each in known:
        yield (each.name,), each.dead
    if left := machine.dead - sum(each.dead for each in known):
        yield ("other",), left


def _queues(seen: Seen, own: str) -> Sequence[QueueStatus]:
    """A broker's own, as it has applied them; else the leader's."""
    status = seen.statuses.get(own)
    return status.queues if status is not None else seen.overview.queues


def _bounded(queues: Sequence[QueueStatus]) -> Sequence[QueueStatus]:
    """The first ones by name; all others together."""
    if len(queues) <= tables.QUEUES_MAX:
        return queues
    # One that is called `other` is of these: two series of one name would be read as one of them.
    ordered = sorted(queues, key=lambda queue: (queue.name == "other", queue.name))
    kept, rest = ordered[: tables.QUEUES_MAX], ordered[tables.QUEUES_MAX :]
    counts = ("queued", "running", "succeeded", "failed", "lost", "bytes")
    more = ("scheduled", "blocked", "cancelled", "delayed")
    sums = {name: sum(getattr(q, name) for q in rest) for name in (*counts, *more)}
    return [*kept, rest[0]._replace(name="other", settings=b"", paused_until=0, **sums)]


def _family(metric: Described, samples: Iterable[Sample]) -> Metric:
    made: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        made = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        made = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        made.add_metric(labels, value)
    return made


def _info(told: Sequence[BrokerStatus]) -> Metric:
    made = InfoMetricFamily("raftwork_build", tables.INFO.help, labels=["broker"])
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
