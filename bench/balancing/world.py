"""A cluster in virtual time: machines that share their CPUs, one queue, one balancer.

The balancers, the weight and what a heartbeat tells are the product's own; machines, tasks and the
few milliseconds between leader and worker are made up here. Seeded, so that every strategy meets
the same tasks and the same neighbours.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import exp, inf, log2
from typing import TYPE_CHECKING, NamedTuple

from bench.balancing.dolphin import Dolphin, dolphin_weight
from raftwork.broker.placement.balancers import BALANCERS, Candidate
from raftwork.broker.workers.load import LoadEstimate, weigh
from raftwork.messages import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from raftwork.broker.placement.balancers import Balancer

#: Strategies that look at weights; under the others nobody makes any.
WEIGHTED = {"weighted", "dolphin"}
STRATEGIES: dict[str, Callable[[Random], Balancer]] = {**BALANCERS, "dolphin": Dolphin}
QUEUES = frozenset({"default"})
#: Seconds: a turn of the leader; from its plan to the start of the code; from the end to its books.
TURN, HAND_OUT, REPORT = 0.002, 0.004, 0.002
BEAT_MS, WEIGH = 1.0, 0.2
#: From a worker's death until its tasks wait again.
GRACE = 1.0
#: In use everywhere: nobody is short of it.
MEMORY = 0.3


class Task(NamedTuple):
    number: int
    arrival: float
    length: float  # seconds on a free CPU of speed 1
    key: str


@dataclass(slots=True)
class Machine:
    """A worker with a machine of its own, whose threads share its CPUs evenly."""

    name: str
    cpus: int
    speed: float
    neighbours: Sequence[tuple[float, int]] = ()  # from when on how many threads of others run
    joins: float = 0.0
    dies: float = inf

    busy: int = 0  # in the leader's books
    seen: Candidate | None = None  # as the balancer sees it, until that changes
    others: int = 0
    load_estimate: LoadEstimate = field(default_factory=LoadEstimate)
    weight: float = 1.0
    given: int = 0
    # Work done for each running task so far; each ends at a mark on this scale.
    progress: float = 0.0
    marks: list[tuple[float, Task, float]] = field(default_factory=list)
    changed: float = 0.0
    version: int = 0
    used: float = 0.0  # CPU seconds since the last heartbeat, all and our own
    own: float = 0.0
    load: float = 0.0
    beats: int = 0
    ended: int = 0
    log_times: float = 0.0

    @property
    def candidate(self) -> Candidate:
        if self.seen is None:
            capacity = self.cpus - self.busy
            self.seen = Candidate(
                capacity, self.cpus, self.busy, self.weight, self.name, self.name.encode()
            )
        return self.seen

    def take(self, tasks: int) -> None:
        self.busy += tasks
        self.seen = None

    def weigh(self, weight: float) -> None:
        self.weight = weight
        self.seen = None

    @property
    def part(self) -> float:
        """Of a CPU, what each thread gets."""
        return min(1.0, self.cpus / max(1, len(self.marks) + self.others))

    def advance(self, now: float) -> None:
        passed, part = now - self.changed, self.part
        self.progress += passed * part * self.speed
        self.own += passed * part * len(self.marks)
        self.used += passed * part * (len(self.marks) + self.others)
        self.changed = now

    @property
    def next_end(self) -> float:
        if not self.marks:
            return inf
        return self.changed + (self.marks[0][0] - self.progress) / (self.part * self.speed)

    def beat(self) -> Heartbeat:
        """One second's worth."""
        self.beats += 1
        if self.beats % 5 == 0:  # as kernels do it
            threads = (len(self.marks) + self.others) / self.cpus
            self.load += (threads - self.load) * (1 - exp(-5 * BEAT_MS / 60))
        cpu, own = self.used / self.cpus / BEAT_MS, self.own / self.cpus / BEAT_MS
        self.used = self.own = 0.0
        return Heartbeat(1, cpu, MEMORY, self.load, 0, 0, False, own, self.ended, self.log_times, 0)


class World:
    """Runs tasks over machines under one strategy; `run` gives how it went."""

    def __init__(
        self, machines: list[Machine], tasks: list[Task], strategy: str, rng: Random
    ) -> None:
        self.machines = machines
        self.strategy = strategy
        self._balancer = STRATEGIES[strategy](rng)
        self._alive: dict[str, Machine] = {}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._queue: deque[Task] = deque()
        self._planned = False
        self._left = len(tasks)
        self.lengths = [task.length for task in tasks]
        self.waits: list[float] = []  # from arrival to the start of the code
        self.made = 0.0
        for task in tasks:
            self._at(task.arrival, partial(self._arrive, task))
        for machine in machines:
            first = machine.joins + rng.random() * BEAT_MS
            self._at(machine.joins, partial(self._join, machine))
            if strategy in WEIGHTED:
                self._at(first, partial(self._beat, machine))
            if machine.dies < inf:
                self._at(machine.dies, partial(self._die, machine))
            for when, threads in machine.neighbours:
                self._at(when, partial(self._handshake, machine, threads))
        if strategy == "weighted":
            self._at(WEIGH, self._weigh)

    def run(self) -> World:
        while self._left:
            now, _, act = heappop(self._events)
            act(now)
            self.made = now
        return self

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        heappush(self._events, (when, next(self._order), act))

    # ---- the leader -----------------------------------------------------------------------------

    def _arrive(self, task: Task, now: float) -> None:
        self._queue.append(task)
        self._stir(now)

    def _stir(self, now: float) -> None:
        if self._queue and not self._planned:
            self._planned = True
            self._at(now + TURN, self._plan)

    def _plan(self, now: float) -> None:
        self._planned = False
        able = [m for m in self._alive.values() if m.busy < m.cpus]
        candidates = [m.seen or m.candidate for m in able]
        tasks = min(len(self._queue), sum(c.capacity for c in candidates))
        batch = [self._queue.popleft() for _ in range(tasks)]
        if not batch:
            return
        plan = self._balancer.plan(candidates, [task.key for task in batch])
        for task, i in zip(batch, plan, strict=True):
            machine = able[i]
            machine.take(1)
            machine.given += 1
            self._at(now + HAND_OUT, partial(self._start, machine, task))

    def _beat(self, machine: Machine, now: float) -> None:
        if machine.dies <= now:
            return
        machine.advance(now)
        beat = machine.beat()
        if self.strategy == "weighted":
            machine.load_estimate.update(beat, int(now * 1000))
        else:
            threads = len(machine.marks) / machine.cpus
            machine.weigh(dolphin_weight(beat.cpu or 0.0, MEMORY, threads))
        self._at(now + BEAT_MS, partial(self._beat, machine))

    def _weigh(self, now: float) -> None:
        weigh([m.load_estimate for m in self._alive.values()], int(now * 1000))
        for machine in self._alive.values():
            machine.weigh(machine.load_estimate.weight)
        self._at(now + WEIGH, self._weigh)

    # ---- the machines ---------------------------------------------------------------------------

    def _join(self, machine: Machine, now: float) -> None:
        self._alive[machine.name] = machine
        machine.changed = now
        machine.load_estimate = LoadEstimate(host=machine.name, queues=QUEUES)
        self._stir(now)

    def _die(self, machine: Machine, now: float) -> None:
        del self._alive[machine.name]
        machine.version += 1
        for _, task, _ in machine.marks:
            self._back(task, now)
        machine.marks = []

    def _back(self, task: Task, now: float) -> None:
        self._at(now + GRACE, partial(self._again, task))

    def _again(self, task: Task, now: float) -> None:
        self._queue.appendleft(task)
        self._stir(now)

    def _handshake(self, machine: Machine, threads: int, now: float) -> None:
        machine.advance(now)
        machine.others = threads
        self._expect(machine)

    def _start(self, machine: Machine, task: Task, now: float) -> None:
        if machine.name not in self._alive:
            self._back(task, now)
            return
        self.waits.append(now - task.arrival)
        machine.advance(now)
        heappush(machine.marks, (machine.progress + task.length, task, now))
        self._expect(machine)

    def _expect(self, machine: Machine) -> None:
        """The next end as things are now; whatever was expected before is void."""
        machine.version += 1
        if machine.marks:
            version = machine.version
            self._at(machine.next_end, partial(self._end, machine, version))

    def _end(self, machine: Machine, version: int, now: float) -> None:
        if version != machine.version:
            return
        machine.advance(now)
        _, _, began = heappop(machine.marks)
        machine.ended += 1
        machine.log_times += log2(max(1.0, (now - began) * 1e9))
        self._left -= 1
        self._expect(machine)
        self._at(now + REPORT, partial(self._report, machine))

    def _report(self, machine: Machine, now: float) -> None:
        machine.take(-1)
        self._stir(now)
