"""A queue's waiting tasks as the dispatcher takes them: by priority, tenant and place. Sans-IO.

1. A queue with ordinary tasks alone is a `Backlog` and nothing more.
2. The highest priority in which something waits comes first; in it, the tenant whose turn it is if
   the queue is fair; then the least place.
3. Of `patience` tasks one is that which has waited longest, whatever its priority: so none waits
   for ever behind higher ones.
4. A lane one of whose gates is shut is not looked at again before there may be room
   (lane_turns.py).
5. Everything here is derived from the machine's tables, so a new leader has the same order. Only
   the turns of tenants and of patience begin anew with it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from raftwork.broker.dispatch.backlog import Backlog
from raftwork.broker.dispatch.lane_backlog import LaneBacklog
from raftwork.broker.dispatch.lane_levels import Fairness
from raftwork.broker.dispatch.lane_turns import LaneTurns
from raftwork.broker.machine.lanes import Lane
from raftwork.broker.workers.worker import needs_free_slot
from raftwork.features.effects import Requeued
from raftwork.features.limit_settings import gates_named
from raftwork.features.queue_settings import NOTHING_SET
from raftwork.messages import PRIORITY_USUAL

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from raftwork.broker.dispatch.gate_room import GateRoom
    from raftwork.broker.dispatch.in_flight import InFlight
    from raftwork.broker.machine import Machine, Waiting
    from raftwork.broker.placement.eligibility import PlacementRule
    from raftwork.features.effects import Queued, QueuedInLane, Replaced
    from raftwork.features.limit_settings import GateName

#: Of so many tasks one is that which waits longest, unless the queue has another setting.
PATIENCE = 16
#: Ended tasks that are remembered before memory is searched for them.
ENDED_MAX = 10_000
#: Lanes that are found to be shut while tasks are taken, 5 us each: the others are for later.
MOVES_MAX = 1_000
#: The number of the lane of ordinary tasks.
ORDINARY = 0
#: What stands for that lane.
USUAL = Lane(0, PRIORITY_USUAL, "", "")


class QueueBacklog:
    """All lanes of a queue; with what `Backlog` says of its tasks."""

    def __init__(
        self,
        queue: str,
        machine: Machine,
        in_flight: InFlight,
        room: GateRoom,
        *,
        more: bool,
        worker: str = "",
    ) -> None:
        """`more`: the tables may have waiting tasks.

        `worker` is the name of the only one that may have them; empty: of those that any may have.
        """
        self._queue = queue
        self._waiter = (queue, worker)
        self._machine = machine
        self._in_flight = in_flight
        self._room = room
        self._ordinary = Backlog(queue, machine, more=more)
        self.skipped = self._ordinary.skipped
        self._lanes: dict[int, LaneBacklog] = {}
        self._ended: set[int] = set()
        self._turn = 0
        self._moves_left = MOVES_MAX
        self._settings = NOTHING_SET
        self._own_gates: tuple[GateName, ...] = ()
        self._turns = LaneTurns(self._lanes, room, self._waiter, self._place_of)
        self._read_settings()
        if more:
            for number, lane, first in machine.lanes(queue):
                if lane.worker == worker:
                    self.add(number, lane, first)

    def __bool__(self) -> bool:
        return bool(self._lanes) or bool(self._ordinary)

    # ---- what comes and goes --------------------------------------------------------------------

    def queued(self, effect: Queued) -> None:
        """New ordinary tasks came in."""
        self._ordinary.queued(effect)

    def requeued(self, effect: Requeued) -> None:
        """A task waits (again)."""
        if effect.seq in self._ended:  # it was moved in time
            self._forget_ended()
        number, place = effect.lane, effect.place
        if number == ORDINARY:
            self._ordinary.requeued(effect.seq)
            return
        backlog = self._lanes.get(number)
        if backlog is None:
            lane = self._machine.lane(number)
            if lane is None:
                return  # it ended in the same entry
            backlog = self.add(number, lane, None)
        backlog.came(place)
        self._list(number, backlog.lane, place)

    def queued_in_lane(self, effect: QueuedInLane, lane: Lane, but: Collection[int]) -> None:
        """Tasks wait in this lane for the first time; `but` these are on their way to workers."""
        number, tasks = effect.lane, effect.tasks
        if not self._ended.isdisjoint([seq for seq, _ in tasks]):  # some were moved in time
            self._forget_ended()
        first = tasks[0][1]
        backlog = self._lanes.get(number)
        if backlog is None:
            backlog = self.add(number, lane, first)
        else:
            backlog.queued([place for _, place in tasks])
            self._list(number, lane, first)
        if but:
            backlog.pass_over([place for seq, place in tasks if seq in but])

    def replaced(self, effect: Replaced) -> None:
        """A task has other arguments than were read."""
        self._ordinary.replaced(effect)  # and of all lanes what was skipped
        if (backlog := self._lanes.get(effect.lane)) is not None:
            backlog.replaced(effect)

    def ended(self, seqs: Collection[int]) -> None:
        """These tasks wait no more."""
        self._ordinary.ended(seqs)
        for seq in seqs if self._in_flight.keeps_back else ():
            self._count(self._in_flight.goes_on(seq, handed_out=False))
        if not self._lanes:
            return
        self._ended.update(seqs)
        if len(self._ended) > ENDED_MAX:
            self._forget_ended()

    def forget_gone(self) -> None:
        """Drop the lanes whose last task has its outcome."""
        for number in [n for n in self._lanes if self._machine.lane(n) is None]:
            self._turns.gone(number, self._lanes.pop(number).gates)

    def _forget_ended(self) -> None:
        for backlog in self._lanes.values():
            backlog.forget_ended()
        self._ended.clear()

    def changed(self, tenant: str) -> None:
        """A task of this tenant of a fair queue is in flight no more."""
        self._turns.changed(tenant)

    def _count(self, tenant: str | None) -> None:
        if tenant is not None:
            self.changed(tenant)

    def opened(self, gate: GateName) -> None:
        """There may be room at this gate."""
        self._turns.opened(gate)

    def leave_gates(self) -> None:
        """Nothing stands at any gate."""
        self._turns.leave_gates()

    # ---- taking ---------------------------------------------------------------------------------

    def take(self, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """As `Backlog.take`, of all lanes in the order of the queue, as far as gates let them."""
        self._read_settings()
        self._moves_left = MOVES_MAX
        if self._is_plain:
            return self._ordinary.take(count, size, safe=safe)
        taken: list[Waiting] = []
        while len(taken) < count and size > 0:
            patient = self._is_patient
            lane = self._next()
            if lane is None:
                break
            task, gates = self._head(lane), self._gates(lane)
            assert task is not None, "a lane without tasks was chosen"
            if safe and self._is_careful(task, gates):
                break
            self._pop(lane, task, gates)
            size -= len(task.payload)
            taken.append(task)
            if not (patient or self._settings.fair):
                goes_on = self._through_gates if gates else partial(self._following, lane)
                more = goes_on(count - len(taken), size, safe=safe)
                size -= sum([len(task.payload) for task in more])
                taken += more
        return taken

    def _through_gates(self, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """Take what comes next of lanes with gates, while that hangs on places and gates alone.

        As with `_following`: all the rest need not be asked for each task.
        """
        taken: list[Waiting] = []
        turns, lanes, room = self._turns, self._lanes, self._room
        if turns.open.several or self._own_gates or self._ordinary.head() is not None:
            return taken
        while len(taken) < count and size > 0 and self._moves_left > 0:
            if turns.stirred:
                turns.let_lanes_go()
            lane = turns.open.first()
            backlog = None if lane is None else lanes.get(lane)
            if lane is None or backlog is None or not backlog.gates:
                break
            if turns.stands(lane, backlog):
                self._moves_left -= 1
                continue
            task = backlog.head()
            if task is None or (safe and self._is_careful(task, backlog.gates)):
                break
            backlog.pop()
            room.pass_through(task.seq, backlog.gates)
            size -= len(task.payload)
            taken.append(task)
            turns.served(lane)
            turns.stands(lane, backlog)  # as in `_pop`
        self._turn += len(taken)
        return taken

    def _is_careful(self, task: Waiting, gates: Sequence[GateName]) -> bool:
        """Whether a task may go to a free slot alone."""
        return needs_free_slot(task) or any(map(self._room.is_paced, gates))

    def _following(self, lane: int, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """Take what comes next in a lane without gates, up to where another one may have its turn.

        To ask for each task whose turn it is would cost more than all else that a leader does for
        it.
        """
        until = self._turns.open.next_place(self._kind(lane).priority)
        if self._turns.open.several and (patience := self._patience):
            count = min(count, -(self._turn + 1) % patience)
        backlog = self._ordinary if lane == ORDINARY else self._lanes[lane]
        taken = backlog.take(count, size, safe=safe, until=until)
        self._turn += len(taken)
        return taken

    @property
    def needs_free_slot(self) -> bool:
        """Whether the next task waits for a free slot."""
        if self._is_plain:
            return self._ordinary.needs_free_slot
        lane = self._next()
        task = None if lane is None else self._head(lane)
        return task is not None and needs_free_slot(task)

    @property
    def priority(self) -> int | None:
        """That of the next task; None if there is none that may go now."""
        self._read_settings()
        if self._is_plain:
            return PRIORITY_USUAL if self._ordinary.head() is not None else None
        lane = self._next()
        return None if lane is None else self._kind(lane).priority

    def skip(self, rule: PlacementRule, tasks: Sequence[Waiting]) -> None:
        """These were taken, and no worker may have them now: others go through their gates."""
        self.skipped.add(rule, list(tasks))
        for task in tasks:
            self._stir(self._room.decided(task.seq))
            self._count(self._in_flight.kept_back(task.seq))

    def take_skipped(
        self, rule: PlacementRule, count: int, size: int, *, safe: bool
    ) -> list[Waiting]:
        """As `Skipped.take`; those whose gates are shut by now go back to where they stood."""
        passed: list[Waiting] = []
        for task in self.skipped.take(rule, count, size, safe=safe):
            lane = self._machine.lane(task.lane) if task.lane else None
            gates = (*(gates_named(lane.gates) if lane else ()), *self._own_gates)
            goes = not any(map(self._room.shut_until, gates))
            self._count(self._in_flight.goes_on(task.seq, handed_out=goes))
            if not goes:
                self.requeued(Requeued(self._queue, task.seq, task.lane, task.place))
                continue
            if gates:
                self._room.pass_through(task.seq, gates)
            passed.append(task)
        return passed

    @property
    def _is_plain(self) -> bool:
        return not self._lanes and not self._settings.fair and not self._own_gates

    def _next(self) -> int | None:
        """The lane whose turn it is."""
        for gate in self._own_gates:
            if until := self._room.shut_until(gate):
                self._room.wake(gate, until)
                return None
        if (head := self._ordinary.head()) is not None:
            self._list(ORDINARY, USUAL, head.seq)
        while self._moves_left > 0:
            if self._turns.stirred:
                self._turns.let_lanes_go()
            lane = self._turns.open.first(patient=self._is_patient)
            if lane is None:
                if self._turns.stirred:
                    continue  # what was let go was empty
                return None
            if not self._stands(lane):
                return lane
            self._moves_left -= 1
        return None

    @property
    def unfinished(self) -> bool:
        """Whether it stopped looking for tasks before it had looked at all that may go."""
        return self._moves_left <= 0

    @property
    def _is_patient(self) -> bool:
        if not self._turns.open.several:
            return False
        patience = self._patience
        return patience > 0 and self._turn % patience == patience - 1

    @property
    def _patience(self) -> int:
        patience = self._settings.patience
        return PATIENCE if patience is None else patience

    def _head(self, lane: int) -> Waiting | None:
        if lane == ORDINARY:
            return self._ordinary.head()
        backlog = self._lanes.get(lane)
        if backlog is None:
            return None
        head = backlog.head()
        if head is None:
            del self._lanes[lane]
            self._turns.gone(lane, backlog.gates)
        return head

    def _pop(self, lane: int, task: Waiting, gates: tuple[GateName, ...]) -> None:
        backlog = self._ordinary if lane == ORDINARY else self._lanes[lane]
        backlog.pop()
        self._turn += 1
        if gates:
            self._room.pass_through(task.seq, gates)
        if self._settings.fair:
            kind = self._kind(lane)
            self._in_flight.began(self._queue, kind.tenant, task.seq)
            self._turns.open.took(kind)
            self.changed(kind.tenant)
        self._turns.served(lane)
        self._stands(lane)  # nearly always, where its gate is one of a key

    # ---- gates ----------------------------------------------------------------------------------

    def _gates(self, lane: int) -> tuple[GateName, ...]:
        """What a task of this lane passes through."""
        if lane == ORDINARY:
            return self._own_gates
        gates = self._lanes[lane].gates
        return gates + self._own_gates if self._own_gates else gates

    def _stands(self, lane: int) -> bool:
        """Whether a gate of its own lets nothing in now: the lane stands there from now on."""
        backlog = self._lanes.get(lane)
        return backlog is not None and self._turns.stands(lane, backlog)

    def _stir(self, gates: Sequence[GateName]) -> None:
        for gate in gates:
            self.opened(gate)

    # ---- what there is to take from -------------------------------------------------------------

    def _place_of(self, gate: GateName | None, lane: int) -> int | None:
        """Where the first task of a lane stands; None if it stands at another gate."""
        backlog = self._lanes.get(lane)
        if backlog is None:
            task = self._ordinary.head() if lane == ORDINARY and gate is None else None
            return None if task is None else task.seq
        if backlog.stands_at != gate:
            return None
        task = backlog.head() or self._head(lane)
        return None if task is None else task.place

    def _kind(self, lane: int) -> Lane:
        return USUAL if lane == ORDINARY else self._lanes[lane].lane

    def add(self, number: int, lane: Lane, first: int | None) -> LaneBacklog:
        """A lane of its tasks, none of which waits before the place `first`; see LaneBacklog."""
        backlog = LaneBacklog(number, lane, self._machine, self._ended, first=first)
        self._lanes[number] = backlog
        if first is not None:
            self._list(number, lane, first)
        return backlog

    def _list(self, number: int, lane: Lane, place: int) -> None:
        """A task of this lane waits at this place, or none before it."""
        self._turns.waits_at(number, lane, place)

    def _read_settings(self) -> None:
        """What was set for the queue counts at once, also for what waits already."""
        settings = self._machine.settings_of(self._queue)
        if settings is self._settings:
            return
        before, self._settings = self._settings, settings
        quota, _ = self._machine.queue_use(self._queue)
        self._own_gates = () if quota is None else (("", self._queue),)
        if (before.fair, before.weights) == (settings.fair, settings.weights):
            return
        fairness: Fairness | None = None
        if settings.fair:
            in_flight = self._in_flight.of(self._queue, self._machine)
            fairness = Fairness(in_flight, settings.weights or {})
        self._turns.begin_anew(fairness)
        for number, backlog in self._lanes.items():
            self._list(number, backlog.lane, backlog.bound)
