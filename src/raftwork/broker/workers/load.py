"""How good a place for a task a worker is, by its heartbeats. Sans-IO. See docs/balancing.md.

1. Only what others do to a worker's CPUs counts against it: its own tasks are counted by the
   balancer, exactly and at once, where a heartbeat would tell of them late and as load.
2. Numbers from outside are brought into their bounds first.
3. A worker crowded by others has the least weight: it is the last resort, which costs less than
   tasks that wait beside an idle slot. One short of memory gets nothing at all, since one task more
   may kill them all; but only while some other one serves the same queue. A weight is never zero:
   a cluster that is loaded as a whole still works.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import exp, isfinite, isnan
from typing import TYPE_CHECKING

from raftwork.messages import Terms

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from raftwork.broker.placement.eligibility import Eligibility
    from raftwork.broker.workers.worker import Worker
    from raftwork.messages import Heartbeat

#: The least weight.
FLOOR = 0.02
#: How far a new sample moves the smoothed one: load is believed sooner than relief.
RISE, FALL = 0.7, 0.5
#: The share of its CPUs used by others at which a worker is crowded, and of memory at which it is
#: overloaded; and below which it is so no longer. In between nothing changes: it must not flap.
CPU_OVER, CPU_UNDER = 0.90, 0.70
MEMORY_OVER, MEMORY_UNDER = 0.95, 0.90
#: A new sample that far below the smoothed one is relief: a neighbour went.
RELIEF = 0.3
#: Every five seconds a kernel brings its mean run queue over a minute nearer to the present one, by
#: this part of the way. So a step tells what is there now.
LOAD_STEP = 1 - exp(-5 / 60)
#: Memory in use from which a worker is worth less, down to nothing at MEMORY_OVER.
MEMORY_FREE = 0.70
#: Age of a heartbeat, ms, from which it counts less, down to nothing at STALE.
FRESH_MS, STALE_MS = 1_500, 3_000
#: A pace is the mean over about so many tasks, however long they take to come by.
PACE_TASKS = 32
#: The variance of log2 of run times that is assumed until there are some: that of a Poisson process
#: would be 3.4. And how far each new sample moves it.
SPREAD, SPREAD_STEP = 4.0, 1 / 16


def share(value: float) -> float:
    """A share as a worker reported it, brought into 0 … 1; what is no number counts as full."""
    return min(1.0, max(0.0, value)) if not isnan(value) else 1.0


@dataclass(slots=True)
class SpeedEstimate:
    """How long the tasks of a worker take: the mean of log2 of their run times in ns.

    Of logarithms, because one long task among short ones must not pass for a slow worker.
    """

    tasks: float = 0.0
    mean: float = 0.0
    spread: float = SPREAD  # their variance from task to task
    _ended: int = 0
    _sum: float = 0.0

    def update(self, ended: int, total: float) -> None:
        """A worker's count of tasks ended and the sum of their logarithms, since it started."""
        new, more = ended - self._ended, total - self._sum
        if new > 0 and isfinite(total) and 0 <= more / new <= 64:
            kept = max(0.0, min(self.tasks, PACE_TASKS - new))
            if self.tasks:  # two means are apart by 1 / new + 1 / tasks of the variance
                apart = (more / new - self.mean) ** 2 / (1 / new + 1 / self.tasks)
                self.spread += SPREAD_STEP * (apart - self.spread)
            self.mean = (self.mean * kept + more) / (kept + new)
            self.tasks = min(kept + new, PACE_TASKS)
            self._ended, self._sum = ended, total

    def forget(self) -> None:
        """What was measured says nothing about now."""
        self.tasks = 0.0


@dataclass(slots=True)
class LoadEstimate:
    """One worker's load and weight. Times are ms on the leader's monotonic clock."""

    host: str = ""
    queues: frozenset[str] = frozenset()
    cpu: float | None = None  # as last reported, as are these
    memory: float | None = None
    load: float | None = None  # the mean over the last minute
    queue: float = 0.0  # what the newest step of it says is there now
    own: float = 0.0
    place: int = 0  # workers of one host and place share their CPUs
    others: float | None = None  # smoothed: the share of its CPUs used by what is no worker's
    pace: SpeedEstimate = field(default_factory=SpeedEstimate)
    updated_at: int | None = None
    news: bool = False  # reported and not yet smoothed
    crowded: bool = False  # by others, on its CPUs
    overloaded: bool = False  # short of memory
    terms: Terms = field(default_factory=Terms)
    weight: float = 1.0

    def update(self, beat: Heartbeat, now: int) -> None:
        """Take a heartbeat's numbers; `weigh` compares them with those of other workers."""
        self.updated_at, self.news = now, True
        self.cpu = None if beat.cpu is None else share(beat.cpu)
        self.memory = None if beat.memory is None else share(beat.memory)
        self.overloaded = (self.memory or 0.0) >= (MEMORY_UNDER if self.overloaded else MEMORY_OVER)
        self._loaded(beat.load if beat.load is not None and isfinite(beat.load) else None)
        self.own = 0.0 if beat.own is None else min(share(beat.own), self.cpu or 0.0)
        self.place = beat.place
        self.pace.update(beat.ended, beat.log_times)

    def _loaded(self, load: float | None) -> None:
        old, self.load = self.load, load
        if load is not None and load != old:
            self.queue = load if old is None else old + (load - old) / LOAD_STEP

    def smooth(self, others: float) -> None:
        """Follow the newest sample of what others use, smoothed."""
        old = others if self.others is None else self.others
        self.others = old + (RISE if others > old else FALL) * (others - old)
        self.crowded = self.others >= (CPU_UNDER if self.crowded else CPU_OVER)
        if old - others > RELIEF:
            self.pace.forget()

    def weigh(self, speed: float, now: int) -> None:
        """Bring its terms together; `speed` is against the fastest of its kind."""
        others, memory = self.others or 0.0, self.memory or 0.0
        age = 0 if self.updated_at is None else now - self.updated_at
        # Threads that want a CPU or wait for a disk, beyond one for each CPU and its own, that were
        # there for long and still are. The mean alone would tell of a neighbour for a minute after
        # it went; the present alone, of every flicker.
        waiting = max(1.0, min(self.load or 0.0, self.queue) - self.own)
        self.terms = terms = Terms(
            cpu=1.0 - others,
            memory=share((MEMORY_OVER - memory) / (MEMORY_OVER - MEMORY_FREE)),
            speed=speed,
            fresh=share((STALE_MS - age) / (STALE_MS - FRESH_MS)),
            queue=1.0 / waiting,
        )
        # CPU, run queue and speed are three views of one shortage: multiplied, a single neighbour
        # would count three times. The scarcest decides.
        left = min(terms.cpu, terms.memory, terms.speed, terms.queue)
        self.weight = FLOOR if self.crowded else max(FLOOR, left * terms.fresh)

    @property
    def reason(self) -> str:
        """Why it gets less than an idle worker would, for people; empty if it hardly does."""
        term, value = min(zip(Terms._fields, self.terms, strict=True), key=lambda pair: pair[1])
        said = {
            "cpu": f"others use {self.others or 0.0:.0%} of its CPUs",
            "memory": f"{self.memory or 0.0:.0%} of its memory is in use",
            "speed": f"its tasks take {1 / max(value, 0.001):.1f} times as long as elsewhere",
            "fresh": "its last heartbeat is old",
            "queue": f"{self.load or 0.0:.1f} threads want each of its machine's CPUs",
        }
        if self.overloaded or self.crowded:
            return f"overloaded: {said['memory' if self.overloaded else 'cpu']}"
        return said[term] if value < 0.75 else ""


def find_weights(
    available: Sequence[Worker], known: Mapping[bytes, Worker], eligibility: Eligibility, now: int
) -> bool:
    """Find the weights, and the workers short of memory; whether the latter have changed."""
    weigh([worker.load_estimate for worker in available], now)
    memory_limited = frozenset(w.incarnation for w in available if w.load_estimate.overloaded)
    fit = {w.incarnation for w in available if not w.breaker.is_open}
    ineligible = frozenset(known.keys() - fit) if memory_limited else memory_limited
    return eligibility.spare(memory_limited, ineligible)


def weigh(gauges: Collection[LoadEstimate], now: int) -> None:
    """Find every worker's weight from what all of them told.

    Workers that share CPUs see each other's tasks as load. They are ours all the same, and must not
    take each other out: what they cost each other shows in their speed.
    """
    ours: defaultdict[tuple[str, int], float] = defaultdict(float)
    groups: defaultdict[frozenset[str], list[LoadEstimate]] = defaultdict(list)
    for load_estimate in gauges:
        ours[load_estimate.host, load_estimate.place] += load_estimate.own
        groups[load_estimate.queues].append(load_estimate)
    for load_estimate in gauges:
        if load_estimate.news and load_estimate.cpu is not None:
            load_estimate.smooth(
                max(0.0, load_estimate.cpu - ours[load_estimate.host, load_estimate.place])
            )
        load_estimate.news = False
    for group in groups.values():
        _compare(group, now)


def _compare(group: list[LoadEstimate], now: int) -> None:
    """Weigh workers of the same queues, whose speeds can be compared."""
    paces = _likely([load_estimate.pace for load_estimate in group])
    fastest = min(paces)
    for load_estimate, pace in zip(group, paces, strict=True):
        load_estimate.weigh(2 ** (fastest - pace), now)


def _likely(paces: list[SpeedEstimate]) -> list[float]:
    """Each pace, drawn to the mean of all by as much of it as may be chance.

    Among many workers alike the luckiest would else make all others look slow. Chance is what tasks
    differ by; what the workers differ by beyond it is real (DerSimonian and Laird 1986).
    """
    tasks = sum(p.tasks for p in paces)
    if not tasks:
        return [0.0] * len(paces)
    mean = sum(p.tasks * p.mean for p in paces) / tasks
    within = sum(p.tasks * p.spread for p in paces) / tasks
    apart = sum(p.tasks * (p.mean - mean) ** 2 for p in paces)
    chance = within * (sum(p.tasks > 0 for p in paces) - 1)
    others = tasks - sum(p.tasks**2 for p in paces) / tasks
    if apart <= chance or others <= 0:
        return [mean] * len(paces)
    between = (apart - chance) / others
    return [mean + (p.mean - mean) * p.tasks / (p.tasks + within / between) for p in paces]
