"""A queue's waiting tasks as the dispatcher takes them: by priority, tenant and place. Sans-IO.

1. A queue with ordinary tasks alone is a `Backlog` and nothing more.
2. The highest priority in which something waits comes first; in it, the tenant whose turn it is if
   the queue is fair; then the least place.
3. Of `patience` tasks one is that which has waited longest, whatever its priority: so none waits
   for ever behind higher ones.
4. Everything here is derived from the machine's tables, so a new leader has the same order. Only
   the turns of tenants and of patience begin anew with it.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from operator import neg
from typing import TYPE_CHECKING

from raftwork.broker.dispatch.backlog import Backlog
from raftwork.broker.dispatch.lane_backlog import LaneBacklog
from raftwork.broker.dispatch.lane_order import ByPlace, ByTenant
from raftwork.broker.machine.lanes import Lane
from raftwork.broker.workers.worker import needs_free_slot
from raftwork.features.queue_settings import NOTHING_SET
from raftwork.messages import PRIORITY_USUAL

if TYPE_CHECKING:
    from collections.abc import Collection

    from raftwork.broker.machine import Machine, Waiting
    from raftwork.features.effects import Queued, Requeued

#: Of so many tasks one is that which waits longest, unless the queue has another setting.
PATIENCE = 16
#: Ended tasks that are remembered before memory is searched for them.
ENDED_MAX = 10_000
#: The number of the lane of ordinary tasks.
ORDINARY = 0
#: What stands for that lane.
USUAL = Lane(0, PRIORITY_USUAL, "", "")


class InFlight:
    """How many tasks of each tenant of a fair queue are handed out and have not ended."""

    def __init__(self) -> None:
        self._whose: dict[int, tuple[str, str]] = {}  # queue and tenant, by task
        self._counts: dict[str, Counter[str]] = {}

    def of(self, queue: str, machine: Machine) -> Counter[str]:
        """By tenant. Kept up to date; the first time read from what runs."""
        counts = self._counts.get(queue)
        if counts is None:
            counts = self._counts[queue] = Counter()
            for seq, tenant in machine.tenants_running(queue):
                self.began(queue, tenant, seq)
        return counts

    def began(self, queue: str, tenant: str, seq: int) -> None:
        """A task was handed out."""
        if seq not in self._whose:
            self._whose[seq] = (queue, tenant)
            self._counts[queue][tenant] += 1

    def ended(self, seq: int) -> tuple[str, str] | None:
        """It is in flight no more; returns whose it was, if that is known."""
        whose = self._whose.pop(seq, None) if self._whose else None
        if whose is not None:
            queue, tenant = whose
            counts = self._counts[queue]
            counts[tenant] -= 1
            if not counts[tenant]:
                del counts[tenant]
        return whose


class _Level:
    """The lanes of one priority in which something waits."""

    def __init__(self, backlog: QueueBacklog) -> None:
        self.oldest = ByPlace(backlog.first_place)
        self.tenants: ByTenant | None = None

    def add(self, lane: int, place: int, tenant: str) -> None:
        self.oldest.add(lane, place)
        if self.tenants is not None:
            self.tenants.add(lane, place, tenant)

    def first(self) -> tuple[int, int] | None:
        return self.oldest.first() if self.tenants is None else self.tenants.first()


class QueueBacklog:
    """All lanes of a queue; with what `Backlog` says of its tasks."""

    def __init__(self, queue: str, machine: Machine, in_flight: InFlight, *, more: bool) -> None:
        """`more`: the tables may have waiting tasks."""
        self._queue = queue
        self._machine = machine
        self._in_flight = in_flight
        self._ordinary = Backlog(queue, machine, more=more)
        self.skipped = self._ordinary.skipped
        self._lanes: dict[int, LaneBacklog] = {}
        self._shut: set[int] = set()
        self._levels: dict[int, _Level] = {}
        self._priorities: list[int] = []  # of _levels, the highest first
        self._ended: set[int] = set()
        self._turn = 0
        self._settings = NOTHING_SET
        self._read_settings()
        if more:
            for number, lane, first in machine.lanes(queue):
                self._open(number, lane, first)

    def __bool__(self) -> bool:
        return bool(self._ordinary or self._lanes)

    # ---- what comes and goes --------------------------------------------------------------------

    def queued(self, effect: Queued) -> None:
        """New ordinary tasks came in."""
        self._ordinary.queued(effect)

    def requeued(self, effect: Requeued) -> None:
        """A task waits (again)."""
        number, place = effect.lane, effect.place
        if number == ORDINARY:
            self._ordinary.requeued(effect.seq)
            return
        backlog = self._lanes.get(number)
        if backlog is None:
            lane = self._machine.lane(number)
            if lane is None:
                return  # it ended in the same entry
            backlog = self._open(number, lane, None)
        backlog.came(place)
        self._list(number, backlog.lane, place)

    def ended(self, seqs: Collection[int]) -> None:
        """These tasks wait no more."""
        self._ordinary.ended(seqs)
        if not self._lanes:
            return
        self._ended.update(seqs)
        if len(self._ended) > ENDED_MAX:
            for backlog in self._lanes.values():
                backlog.forget_ended()
            self._ended.clear()

    def changed(self, tenant: str) -> None:
        """A task of this tenant of a fair queue is in flight no more."""
        for level in self._levels.values():
            if level.tenants is not None:
                level.tenants.changed(tenant)

    def shut(self, lane: int) -> None:
        """Nothing of this lane is taken until it is opened: a gate of it is shut."""
        self._shut.add(lane)

    def opened(self, lane: int) -> None:
        """Its tasks may be taken again."""
        self._shut.discard(lane)
        if (backlog := self._lanes.get(lane)) is not None:
            self._list(lane, backlog.lane, backlog.bound)

    # ---- taking ---------------------------------------------------------------------------------

    def take(self, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """As `Backlog.take`, of all lanes in the order of the queue."""
        self._read_settings()
        if self._is_plain:
            return self._ordinary.take(count, size, safe=safe)
        taken: list[Waiting] = []
        while len(taken) < count and size > 0 and (lane := self._next()) is not None:
            task = self._head(lane)
            assert task is not None, "a lane without tasks was chosen"
            if safe and needs_free_slot(task):
                break
            self._pop(lane, task)
            size -= len(task.payload)
            taken.append(task)
        return taken

    @property
    def needs_free_slot(self) -> bool:
        """Whether the next task waits for a free slot."""
        if self._is_plain:
            return self._ordinary.needs_free_slot
        lane = self._next()
        task = None if lane is None else self._head(lane)
        return task is not None and needs_free_slot(task)

    def first_place(self, lane: int) -> int | None:
        """Where the first task of a lane stands; None if none may be taken."""
        task = None if lane in self._shut else self._head(lane)
        if task is None:
            return None
        return task.place if lane else task.seq

    @property
    def _is_plain(self) -> bool:
        return not self._lanes and not self._settings.fair

    def _next(self) -> int | None:
        """The lane whose turn it is."""
        if (head := self._ordinary.head()) is not None:
            self._list(ORDINARY, USUAL, head.seq)
        patience = self._settings.patience
        if patience is None:
            patience = PATIENCE
        several = len(self._priorities) > 1
        patient = several and patience and self._turn % patience == patience - 1
        found: list[tuple[int, int]] = []
        for priority in tuple(self._priorities):
            level = self._levels[priority]
            first = level.oldest.first() if patient else level.first()
            if first is None:
                del self._levels[priority]
                self._priorities.remove(priority)
                continue
            found.append(first)
            if not patient:
                break
        return min(found)[1] if found else None

    def _head(self, lane: int) -> Waiting | None:
        if lane == ORDINARY:
            return self._ordinary.head()
        backlog = self._lanes.get(lane)
        if backlog is None:
            return None
        head = backlog.head()
        if head is None:
            del self._lanes[lane]
        return head

    def _pop(self, lane: int, task: Waiting) -> None:
        backlog = self._ordinary if lane == ORDINARY else self._lanes[lane]
        backlog.pop()
        self._turn += 1
        if self._settings.fair:
            kind = self._kind(lane)
            self._in_flight.began(self._queue, kind.tenant, task.seq)
            tenants = self._levels[kind.priority].tenants
            assert tenants is not None, "a fair queue without tenants"
            tenants.took(kind.tenant)
            self.changed(kind.tenant)

    # ---- what there is to take from -------------------------------------------------------------

    def _kind(self, lane: int) -> Lane:
        return USUAL if lane == ORDINARY else self._lanes[lane].lane

    def _open(self, number: int, lane: Lane, first: int | None) -> LaneBacklog:
        backlog = LaneBacklog(number, lane, self._machine, self._ended, first=first)
        self._lanes[number] = backlog
        if first is not None:
            self._list(number, lane, first)
        return backlog

    def _list(self, number: int, lane: Lane, place: int) -> None:
        """A task of this lane waits at this place, or none before it."""
        level = self._levels.get(lane.priority)
        if level is None:
            level = self._levels[lane.priority] = self._level()
            insort(self._priorities, lane.priority, key=neg)
        level.add(number, place, lane.tenant)

    def _level(self) -> _Level:
        level = _Level(self)
        if self._settings.fair:
            in_flight = self._in_flight.of(self._queue, self._machine)
            level.tenants = ByTenant(self.first_place, in_flight, self._settings.weights or {})
        return level

    def _read_settings(self) -> None:
        """What was set for the queue counts at once, also for what waits already."""
        settings = self._machine.settings_of(self._queue)
        if settings is self._settings:
            return
        before, self._settings = self._settings, settings
        if (before.fair, before.weights) != (settings.fair, settings.weights):
            self._levels, self._priorities = {}, []
            for number, backlog in self._lanes.items():
                self._list(number, backlog.lane, backlog.bound)
