"""`/metrics` of a worker, as Prometheus reads it (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from raftwork.web.metric_tables import Described
from raftwork.worker.own_facts import RUN_BOUNDS_MS

if TYPE_CHECKING:
    from prometheus_client import Metric

    from raftwork.web.worker_health import WorkerHealth
    from raftwork.worker.own_facts import RunTimes, WorkerFacts


def _described(name: str, kind: str, text: str, *labels: str) -> Described:
    return Described(f"raftwork_worker_{name}", kind, ("worker", *labels), text)


GAUGES: Final[Mapping[Described, Callable[[WorkerFacts], float]]] = {
    _described("slots", "gauge", "Tasks that it can run at once."): lambda f: f.slots,
    _described("busy", "gauge", "Slots in use."): lambda f: f.busy,
    _described("held", "gauge", "Tasks that run or wait in it."): lambda f: f.held,
    _described("connected", "gauge", "Whether a leader has taken it on."): lambda f: bool(f.leader),
    _described("outcome_bytes", "gauge", "Outcomes that no leader has acknowledged."): (
        lambda f: f.outcome_bytes
    ),
}
COUNTERS: Final[Mapping[Described, Callable[[WorkerFacts], Sequence[tuple[str, int]]]]] = {
    _described("processes_lost_total", "counter", "Processes that died.", "signal"): (
        lambda f: f.lost
    ),
    _described("recycled_total", "counter", "Processes replaced on purpose.", "reason"): (
        lambda f: f.recycled
    ),
}
RUNS: Final = _described("run_seconds", "histogram", "Runs that returned.", "task")
_BOUNDS: Final = [*(f"{ms / 1_000:g}" for ms in RUN_BOUNDS_MS), "+Inf"]


def described() -> list[Described]:
    """Every metric of a worker, by name."""
    return sorted([*GAUGES, *COUNTERS, RUNS], key=lambda each: each.name)


class _Page(Collector):
    """Of what the worker said last."""

    def __init__(self, health: WorkerHealth) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Every family, once it has said anything."""
        facts = self._health.facts
        if facts is None:
            return
        for metric, value in GAUGES.items():
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            gauge.add_metric([facts.name], value(facts))
            yield gauge
        for metric, counts in COUNTERS.items():
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for label, count in counts(facts):
                counter.add_metric([facts.name, label], count)
            yield counter
        yield _runs(facts.name, facts.runs)


def _runs(worker: str, runs: Sequence[RunTimes]) -> Metric:
    made = HistogramMetricFamily(RUNS.name, RUNS.help, labels=RUNS.labels)
    for task, counts, sum_ns in runs:
        total, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip(_BOUNDS, counts, strict=True):
            total += count
            buckets.append((bound, total))
        made.add_metric([worker, task], buckets, sum_ns / 1e9)
    return made


class WorkerMetrics:
    """Makes the page."""

    def __init__(self, health: WorkerHealth) -> None:
        self._health = health
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Page(health))
        # Of the worker's process, not of this one, nor of those that run tasks.
        ProcessCollector(pid=self._pid, registry=self._registry)

    def _pid(self) -> int:
        return 0 if self._health.facts is None else self._health.facts.pid

    def page(self) -> bytes:
        """The text of all of them now."""
        return generate_latest(self._registry)
