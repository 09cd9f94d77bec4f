"""The dispatcher: which waiting task goes to which worker. Sans-IO, alive only on the leader.

1. It proposes; the log decides. A task counts as handed out only when its Assign is applied.
2. Everything here is derived from the machine's tables and may be dropped at any moment: a new
   leader starts with an empty dispatcher and reads the backlog as it needs it.
3. Tasks may overtake one that waits for an eligible worker, but only a bounded number of them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from raftwork.broker.dispatch.gate_room import GateRoom
from raftwork.broker.dispatch.in_flight import InFlight
from raftwork.broker.dispatch.pinned import PinnedBacklogs
from raftwork.broker.dispatch.queue_backlog import QueueBacklog
from raftwork.broker.machine.commands import Assign
from raftwork.broker.placement.balancers import Balancer, Candidate
from raftwork.broker.placement.eligibility import ANYWHERE
from raftwork.features.effects import Queued, QueuedInLane, Replaced, Requeued, Withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from raftwork.broker.dispatch.pinned import WorkerBacklog
    from raftwork.broker.machine import Machine, Waiting
    from raftwork.broker.placement.eligibility import Eligibility, PlacementRule
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.limit_settings import GateName

#: Assigns proposed and not yet applied; more would only make entries larger.
RESERVED_MAX = 4_000
RESERVED_BYTES = 64 * 1024 * 1024


class Reserved(NamedTuple):
    """A task whose Assign is proposed."""

    worker: Worker
    task: Waiting


class Dispatcher:
    """Matches waiting tasks with workers' capacity, by the balancer's plan."""

    def __init__(
        self,
        machine: Machine,
        balancer_of: Callable[[str], Balancer],
        eligibility: Eligibility,
    ) -> None:
        """`balancer_of(queue)` is asked at every plan, so that a change counts at once."""
        self._machine = machine
        self._balancer_of = balancer_of
        self._eligibility = eligibility
        self._reserved: dict[int, Reserved] = {}
        self._reserved_bytes = 0
        self._in_flight = InFlight()
        self._room = GateRoom(machine)
        # A queue that is not here has nothing waiting but what is reserved.
        self._backlogs = {
            queue.name: QueueBacklog(queue.name, machine, self._in_flight, self._room, more=True)
            for queue in machine.queues()
            if queue.queued
        }
        #: Those of tasks that one worker alone may have; each stands beside its queue's.
        self._pinned = PinnedBacklogs(machine, self._in_flight, self._room)
        #: Tasks that ended while they waited, by queue: the next plan forgets them.
        self._ended: dict[str, set[int]] = {}
        #: Something changed since the last plan found nothing to do.
        self.needs_plan = True
        #: The queues of the workers that had capacity then: what comes into others waits. None: it
        #: was not looked which, as nothing waited.
        self._served: frozenset[str] | None = None

    # ---- facts --------------------------------------------------------------------------------

    def queued(self, effect: Queued) -> None:
        """New tasks wait."""
        self._backlog(effect.queue).queued(effect)
        if self._served is None or effect.queue in self._served:
            self.needs_plan = True

    def queued_in_lane(self, effect: QueuedInLane) -> None:
        """Tasks wait in a lane for the first time, or so the machine has it (see `requeued`)."""
        lane = self._machine.lane(effect.lane)
        if lane is None:
            return  # they ended in the same entry
        queue, seqs = effect.queue, {seq for seq, _ in effect.tasks}
        if not seqs.isdisjoint(self._ended.get(queue, ())):
            self._forget_ended()
        backlog = self._backlog(queue)
        if lane.worker:
            backlog = self._pinned.backlog(queue, lane.worker)
        backlog.queued_in_lane(effect, lane, seqs & self._reserved.keys())
        if self._served is None or queue in self._served:
            self.needs_plan = True

    def moved(self, effect: QueuedInLane | Requeued | Withdrawn | Replaced) -> None:
        """Tasks wait (again), wait no more, or have other arguments than were read."""
        match effect:
            case QueuedInLane():
                self.queued_in_lane(effect)
            case Requeued():
                self.requeued(effect)
            case Withdrawn():
                self.ended(effect.queue, effect.seq)
            case Replaced():
                self._replaced(effect)

    def requeued(self, effect: Requeued) -> None:
        """A task waits (again).

        If an Assign of it is on its way it was moved in time meanwhile. That one is carried out, or
        refused; and of what is refused the machine says itself whether it still waits.
        """
        if effect.seq in self._reserved:
            return
        if effect.seq in self._ended.get(effect.queue, ()):
            self._forget_ended()  # it waits at another place than before
        backlog = self._backlog(effect.queue)
        lane = self._machine.lane(effect.lane) if effect.lane else None
        if lane is not None and lane.worker:
            self._pinned.backlog(effect.queue, lane.worker).requeued(effect)
        else:
            backlog.requeued(effect)
        self.needs_plan = True

    def _replaced(self, effect: Replaced) -> None:
        reserved = self._reserved.get(effect.seq)
        if reserved is not None:  # its Assign is on its way: what it pushes must be these
            task = reserved.task._replace(payload=effect.payload)
            self._reserved_bytes += len(task.payload) - len(reserved.task.payload)
            self._reserved[effect.seq] = Reserved(reserved.worker, task)
            return
        if effect.queue in self._backlogs:
            self._backlogs[effect.queue].replaced(effect)

    def ended(self, queue: str, seq: int) -> None:
        """A task that waited has its outcome, or does not wait any more."""
        self._ended.setdefault(queue, set()).add(seq)
        self.needs_plan = True

    def assigned(self, seq: int) -> Reserved:
        """The Assign of `seq` was applied."""
        reserved = self._reserved.pop(seq)
        self._reserved_bytes -= len(reserved.task.payload)
        self._room.decided(seq)
        self.needs_plan = True
        return reserved

    def not_assigned(self, seqs: list[int]) -> None:
        """The machine gave them to nobody: free what was reserved.

        Those that still wait come back by `requeued`.
        """
        for seq in seqs:
            gates = self._room.gates_of(seq)
            self.assigned(seq).worker.busy -= 1
            self.closed(seq)
            self.freed(gates)

    def closed(self, seq: int) -> None:
        """The task runs no more: its tenant has one less in flight."""
        whose = self._in_flight.ended(seq)
        if whose is not None:
            queue, tenant = whose
            if (backlog := self._backlogs.get(queue)) is not None:
                backlog.changed(tenant)
            self._pinned.changed(queue, tenant)

    def freed(self, gates: Iterable[GateName]) -> None:
        """There may be room at these gates."""
        for gate in gates:
            for waiter in self._room.waiting(gate):
                queue, worker = waiter
                backlog = self._pinned.at(waiter) if worker else self._backlogs.get(queue)
                if backlog is not None:
                    backlog.opened(gate)
                    self.needs_plan = True

    def limit_changed(self, limit: str) -> None:
        """There may be room at all gates of this limit."""
        self.freed(self._room.of_limit(limit))

    def is_empty(self, queue: str) -> bool:
        """Whether nothing waits in the queue before new tasks."""
        return queue not in self._backlogs or not self._backlogs[queue]

    def pass_time(self, time: int) -> None:
        """It is this leader time: rates let more in, and pauses end."""
        if opened := self._room.opened(time):
            self.needs_plan = True
            self.freed(opened)

    @property
    def wake_at(self) -> int | None:
        """Leader time at which `pass_time` has something to do; None if there is nothing."""
        openings = self._room.openings
        return openings[0][0] if openings else None

    def _backlog(self, queue: str) -> QueueBacklog:
        backlog = self._backlogs.get(queue)
        if backlog is None:
            backlog = QueueBacklog(queue, self._machine, self._in_flight, self._room, more=False)
            self._backlogs[queue] = backlog
        return backlog

    def begin(
        self, queue: str, name: str, count: int, workers: list[Worker]
    ) -> list[tuple[bytes, int]]:
        """Free slots for new tasks of that name, in a queue that is empty.

        Returns (incarnation, tasks) pairs. The slots are reserved until
        `WorkerRegistry.unreserve`.
        """
        if self._machine.is_paused(queue):
            return []
        settings = self._machine.settings_of(queue)
        if settings.fair or settings.concurrency or settings.rate:
            return []  # each hand-out counts for its tenant, or at the queue's gate
        excluded = self._excluded_for(queue, self._eligibility.rule(name))
        able = [
            w
            for w in workers
            if queue in w.queues and w.free_slots > 0 and w.incarnation not in excluded
        ]
        if self._pinned.by_queue:  # what waits for one worker alone has its turn first
            awaited = self._pinned.workers
            able = [w for w in able if w.name not in awaited]
        if not able:
            return []
        capacities = [w.free_slots for w in able]
        plan = self._choose(queue, able, capacities, [""] * min(count, sum(capacities)))
        shares = dict.fromkeys(plan, 1) if len(plan) == 1 else Counter(plan)
        for i, n in shares.items():
            able[i].take(n)
        return [(able[i].incarnation, n) for i, n in shares.items()]

    # ---- planning -----------------------------------------------------------------------------

    def rests(self) -> bool:
        """Whether nothing waits; then there is nothing to plan until something does."""
        if self._backlogs:
            return False
        self.needs_plan, self._served = False, None
        self._ended.clear()
        return True

    def plan(self, workers: list[Worker]) -> list[Assign]:
        """The next assignments: first free slots for all queues, then prefetched tasks.

        `workers` are those that are available.
        """
        if not self.needs_plan:
            return []
        self.needs_plan = False
        self._forget_ended()
        with_capacity = [w for w in workers if w.capacity > 0]
        given: dict[bytes, list[int]] = {}
        queues = self._waiting_queues(with_capacity)
        if not queues:
            return []
        with_free_slot = [w for w in with_capacity if w.free_slots > 0]
        self._serve_all(queues, with_free_slot, given, ahead=False)
        with_capacity = [w for w in with_capacity if w.capacity > 0]
        holders = self._may_hold(queues, with_capacity) if with_capacity else []
        self._serve_all(queues, holders, given, ahead=True)
        return [Assign(incarnation, seqs) for incarnation, seqs in given.items()]

    def _forget_ended(self) -> None:
        ended, self._ended = self._ended, {}
        for queue, seqs in ended.items():
            if queue in self._backlogs:
                self._backlogs[queue].ended(seqs)
            if queue in self._pinned.by_queue:
                self._pinned.ended(queue, seqs)

    def _waiting_queues(self, workers: list[Worker]) -> list[str]:
        """The queues with waiting tasks that one of these workers serves, in turn."""
        self._served = served = frozenset().union(*[w.queues for w in workers])
        paused = self._machine.is_paused
        queues = [queue for queue in self._backlogs if queue in served and not paused(queue)]
        for queue in [queue for queue in queues if not self._backlogs[queue]]:
            self._pinned.forget_empty(queue)
            if queue not in self._pinned.by_queue:
                self._backlogs.pop(queue).leave_gates()
                queues.remove(queue)
        return queues

    def _serve_all(
        self,
        queues: list[str],
        workers: list[Worker],
        given: dict[bytes, list[int]],
        *,
        ahead: bool,
    ) -> None:
        """Assign tasks of these queues, in order, while any worker has capacity.

        A thousand queues may wait for one free slot: it stops as soon as that is taken.
        """
        for queue in queues:
            if not workers or len(self._reserved) >= RESERVED_MAX:
                break
            before = len(self._reserved)
            if queue in self._pinned.by_queue:
                self._serve_with_pinned(queue, workers, given, ahead=ahead)
            else:
                self._serve(queue, workers, given, ahead=ahead)
            if len(self._reserved) > before:
                workers = [w for w in workers if (w.capacity if ahead else w.free_slots) > 0]

    def _serve_with_pinned(
        self, queue: str, workers: list[Worker], given: dict[bytes, list[int]], *, ahead: bool
    ) -> None:
        """As `_serve`, with what waits for single workers before it or behind it."""
        first, behind = self._backlogs[queue].priority, []
        for line, worker in self._pinned.for_workers(queue, workers):
            if line.precedes(first):
                self._fill(worker, line, given, ahead=ahead)
            else:
                behind.append((line, worker))
        before = len(self._reserved)
        self._serve(queue, workers, given, ahead=ahead)
        for line, worker in behind:
            line.passed += len(self._reserved) - before
            self._fill(worker, line, given, ahead=ahead)
        self._pinned.forget_empty(queue)

    def _fill(
        self,
        worker: Worker,
        line: WorkerBacklog,
        given: dict[bytes, list[int]],
        *,
        ahead: bool,
    ) -> None:
        """Assign to a worker what waits for it alone."""
        free = worker.capacity if ahead else worker.free_slots
        count = min(free, RESERVED_MAX - len(self._reserved))
        tasks = line.backlog.take(count, RESERVED_BYTES - self._reserved_bytes, safe=ahead)
        self.needs_plan |= line.backlog.unfinished
        if not tasks:
            return
        line.passed = 0
        worker.take(len(tasks))
        for task in tasks:
            self._reserved[task.seq] = Reserved(worker, task)
            self._reserved_bytes += len(task.payload)
            given.setdefault(worker.incarnation, []).append(task.seq)

    def _may_hold(self, queues: list[str], workers: list[Worker]) -> list[Worker]:
        """Workers that may prefetch. One that an isolated task waits for must first free a slot."""
        waited_for = {queue for queue in queues if self._backlogs[queue].needs_free_slot}
        passed = [
            (queue, self._excluded_for(queue, rule))
            for queue in queues
            for rule in self._backlogs[queue].skipped.needs_free_slot
        ]
        if self._pinned.by_queue:
            awaited = self._pinned.needing_free_slot(queues, workers)
            workers = [w for w in workers if w.name not in awaited]
        return [
            w
            for w in workers
            if w.capacity > 0
            and waited_for.isdisjoint(w.queues)
            and not any(q in w.queues and w.incarnation not in excluded for q, excluded in passed)
        ]

    def _serve(
        self, queue: str, workers: list[Worker], given: dict[bytes, list[int]], *, ahead: bool
    ) -> None:
        shunned = self._excluded_for(queue, ANYWHERE)
        able = self._able(queue, workers, shunned)
        capacities = [max(0, w.capacity if ahead else w.free_slots) for w in able]
        backlog, before = self._backlogs[queue], len(self._reserved)
        for rule in backlog.skipped.rules:
            fit = _fit(able, self._excluded_for(queue, rule))
            count = min(sum(capacities[i] for i in fit), RESERVED_MAX - len(self._reserved))
            size = RESERVED_BYTES - self._reserved_bytes
            tasks = backlog.take_skipped(rule, count, size, safe=ahead)
            self._place(queue, tasks, able, capacities, fit, given)
        usual = _fit(able, shunned)
        while True:
            # Only when those are full, the tasks that the others may have are looked for: if they
            # were taken together, some with less choice would go before the first.
            slots = sum(capacities[i] for i in usual) or sum(capacities)
            count = min(slots, RESERVED_MAX - len(self._reserved), backlog.skipped.tasks_left)
            size = min(RESERVED_BYTES - self._reserved_bytes, backlog.skipped.bytes_left)
            tasks = backlog.take(count, size, safe=ahead)
            if not tasks:
                break
            for excluded, group in self._groups(queue, tasks, able):
                fit = _fit(able, excluded)
                capacity = sum(capacities[i] for i in fit)
                self._place(queue, group[:capacity], able, capacities, fit, given)
                for rule, rest in self._eligibility.split(group[capacity:]):
                    backlog.skip(rule, rest)
        self.needs_plan |= backlog.unfinished
        if len(self._reserved) > before:
            self._backlogs[queue] = self._backlogs.pop(queue)  # last: others have the next turn

    def _groups(
        self, queue: str, tasks: list[Waiting], able: list[Worker]
    ) -> Iterable[tuple[frozenset[bytes], list[Waiting]]]:
        """The tasks by the able workers excluded for them, those with the least choice first.

        There may be many rules, but few sets of workers, and each set costs a plan.
        """
        groups: dict[frozenset[bytes], list[Waiting]] = {}
        there = frozenset(w.incarnation for w in able) if self._eligibility else ANYWHERE.excluded
        for rule, some in self._eligibility.split(tasks):
            groups.setdefault(self._excluded_for(queue, rule) & there, []).extend(some)
        if len(groups) < 2:
            return groups.items()
        order = {task.seq: at for at, task in enumerate(tasks)}
        for group in groups.values():
            group.sort(key=lambda task: order[task.seq])
        return sorted(groups.items(), key=lambda group: -len(group[0]))

    def _place(
        self,
        queue: str,
        tasks: list[Waiting],
        able: list[Worker],
        capacities: list[int],
        fit: Sequence[int],
        given: dict[bytes, list[int]],
    ) -> None:
        """Assign them to the workers of `able` at the indices `fit`, which have the capacity."""
        if not tasks:
            return
        homes = [able[i] for i in fit]
        keys = [task.key for task in tasks]
        plan = self._choose(queue, homes, [capacities[i] for i in fit], keys)
        theirs: dict[int, list[int]] = {}
        for at, count in Counter(plan).items():
            homes[at].take(count)
            capacities[fit[at]] -= count
            theirs[at] = given.setdefault(homes[at].incarnation, [])
        for task, at in zip(tasks, plan, strict=True):
            self._reserved[task.seq] = Reserved(homes[at], task)
            self._reserved_bytes += len(task.payload)
            theirs[at].append(task.seq)

    def _able(self, queue: str, workers: list[Worker], shunned: frozenset[bytes]) -> list[Worker]:
        """The workers that some task of the queue may go to; `shunned`: that few may, if any."""
        excluded = ANYWHERE.excluded if self._eligibility else shunned
        return [w for w in workers if queue in w.queues and w.incarnation not in excluded]

    def _excluded_for(self, queue: str, rule: PlacementRule) -> frozenset[bytes]:
        spares = self._balancer_of(queue).spares_overloaded
        return self._eligibility.excluded(queue, rule, spares=spares)

    def _choose(
        self, queue: str, able: list[Worker], capacities: list[int], keys: list[str]
    ) -> list[int]:
        """The worker of each task, by the balancer; there is capacity for all of them."""
        if len(able) == 1:
            return [0] * len(keys)
        candidates = [
            Candidate(capacity, w.slots, w.busy, w.load_estimate.weight, w.name, w.incarnation)
            for capacity, w in zip(capacities, able, strict=True)
        ]
        return self._balancer_of(queue).plan(candidates, keys)


def _fit(able: list[Worker], excluded: frozenset[bytes]) -> Sequence[int]:
    """The indices of those that are not excluded."""
    if not excluded:
        return range(len(able))
    return [i for i, w in enumerate(able) if w.incarnation not in excluded]
