"""A queue's waiting tasks as the dispatcher takes them: by priority, tenant and place. Sans-IO.

1. A queue with ordinary tasks alone is a `Backlog` and nothing more.
2. The highest priority in which something waits comes first; in it, the tenant whose turn it is if
   the queue is fair; then the least place.
3. Of `patience` tasks one is that which has waited longest, whatever its priority: so none waits
   for ever behind higher ones.
4. A lane one of whose gates is shut stands at that gate, in the same order, and is not looked at
   again before there may be room. The gate lets one lane at a time back among the others; when that
   was served, or stands at another gate, it is the next one's turn. So what a shut gate costs does
   not grow with what waits at it.
5. Everything here is derived from the machine's tables, so a new leader has the same order. Only
   the turns of tenants and of patience begin anew with it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from raftwork.broker.dispatch.backlog import Backlog
from raftwork.broker.dispatch.lane_backlog import LaneBacklog
from raftwork.broker.dispatch.lane_levels import Fairness, LaneLevels
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
        self._fairness: Fairness | None = None
        self._open = self._levels()
        #: Lanes at a shut gate, the gate that each stands at, and the lane that each let go.
        #: At most gates, those of a key, one lane stands alone.
        self._alone_at: dict[GateName, int] = {}
        self._at: dict[GateName, LaneLevels] = {}
        self._shared: dict[GateName, LaneLevels] = {}  # of _at, those with several tenants
        self._let_go: dict[GateName, int] = {}
        self._gone_from: dict[int, GateName] = {}
        #: Gates that may have room for the next lane that stands there.
        self._stirred: dict[GateName, None] = {}
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
        if not self._lanes:
            return
        self._ended.update(seqs)
        if len(self._ended) > ENDED_MAX:
            self._forget_ended()

    def forget_gone(self) -> None:
        """Drop the lanes whose last task has its outcome."""
        for number in [n for n in self._lanes if self._machine.lane(n) is None]:
            del self._lanes[number]
            self._served(number)

    def _forget_ended(self) -> None:
        for backlog in self._lanes.values():
            backlog.forget_ended()
        self._ended.clear()

    def changed(self, tenant: str) -> None:
        """A task of this tenant of a fair queue is in flight no more."""
        self._open.changed(tenant)
        for levels in self._shared.values():
            levels.changed(tenant)

    def opened(self, gate: GateName) -> None:
        """There may be room at this gate."""
        if gate in self._at or gate in self._alone_at:
            self._stirred[gate] = None

    def leave_gates(self) -> None:
        """Nothing stands at any gate."""
        for gate in (*self._at, *self._alone_at):
            self._room.waits_no_more(gate, self._waiter)
        self._at, self._alone_at, self._shared = {}, {}, {}
        self._let_go, self._gone_from, self._stirred = {}, {}, {}
        for backlog in self._lanes.values():
            backlog.stands_at = None

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
            if safe and (needs_free_slot(task) or any(map(self._room.is_paced, gates))):
                break
            self._pop(lane, task, gates)
            size -= len(task.payload)
            taken.append(task)
            if not (gates or patient or self._settings.fair):
                more = self._following(lane, count - len(taken), size, safe=safe)
                size -= sum([len(task.payload) for task in more])
                taken += more
        return taken

    def _following(self, lane: int, count: int, size: int, *, safe: bool) -> list[Waiting]:
        """Take what comes next in a lane without gates, up to where another one may have its turn.

        To ask for each task whose turn it is would cost more than all else that a leader does for
        it.
        """
        backlog = self._ordinary if lane == ORDINARY else self._lanes[lane]
        until = self._open.next_place(self._kind(lane).priority)
        if self._open.several and (patience := self._patience):
            count = min(count, -(self._turn + 1) % patience)
        taken: list[Waiting] = []
        while len(taken) < count and size > 0:
            task = backlog.head()
            if task is None or (task.place or task.seq) > until or (safe and needs_free_slot(task)):
                break
            backlog.pop()
            size -= len(task.payload)
            taken.append(task)
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

    def take_skipped(
        self, rule: PlacementRule, count: int, size: int, *, safe: bool
    ) -> list[Waiting]:
        """As `Skipped.take`; those whose gates are shut by now go back to where they stood."""
        passed: list[Waiting] = []
        for task in self.skipped.take(rule, count, size, safe=safe):
            lane = self._machine.lane(task.lane) if task.lane else None
            gates = (*(gates_named(lane.gates) if lane else ()), *self._own_gates)
            if any(map(self._room.shut_until, gates)):
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
            if self._stirred:
                self._let_lanes_go()
            lane = self._open.first(patient=self._is_patient)
            if lane is None:
                if self._stirred:
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
        if not self._open.several:
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
            self._served(lane)
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
            self._open.took(kind)
            self.changed(kind.tenant)
        if self._gone_from:
            self._served(lane)
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
        if backlog is not None:
            for gate in backlog.gates:
                if until := self._room.shut_until(gate):
                    self._stand(lane, backlog, gate, until)
                    return True
        return False

    def _stand(self, lane: int, backlog: LaneBacklog, gate: GateName, until: int) -> None:
        """The lane is not looked at before that gate has room."""
        backlog.stands_at = gate
        self._open.remove(lane, backlog.lane)
        levels = self._at.get(gate)
        if levels is not None:
            levels.add(lane, backlog.lane, backlog.bound)
        elif (other := self._alone_at.get(gate, lane)) == lane:
            self._alone_at[gate] = lane
        else:
            del self._alone_at[gate]
            levels = self._at[gate] = self._levels(gate)
            for each in (other, lane):
                self._stand_in(levels, each)
        if self._fairness is not None and levels is not None and levels.mixed:
            self._shared[gate] = levels
        self._room.wait(gate, self._waiter, until)
        if self._gone_from:
            self._served(lane)

    def _stand_in(self, levels: LaneLevels, lane: int) -> None:
        if (backlog := self._lanes.get(lane)) is not None:
            levels.add(lane, backlog.lane, backlog.bound)

    def _served(self, lane: int) -> None:
        """It was this lane's turn: of the gate that had let it go another may come."""
        gate = self._gone_from.pop(lane, None)
        if gate is not None:
            del self._let_go[gate]
            self.opened(gate)

    def _stir(self, gates: Sequence[GateName]) -> None:
        for gate in gates:
            self.opened(gate)

    def _let_lanes_go(self) -> None:
        """Of each gate that has room the first lane that stands there takes its turn."""
        while self._stirred:
            stirred, self._stirred = self._stirred, {}
            for gate in stirred:
                self._let_one_go(gate)

    def _let_one_go(self, gate: GateName) -> None:
        if gate in self._let_go:
            return
        levels = self._at.get(gate)
        lane = self._alone_at.get(gate) if levels is None else levels.first()
        backlog = None if lane is None else self._lanes.get(lane)
        if lane is None or backlog is None or backlog.stands_at != gate:
            self._at.pop(gate, None)
            self._alone_at.pop(gate, None)
            self._shared.pop(gate, None)
            self._room.waits_no_more(gate, self._waiter)
        elif levels is not None and (until := self._room.shut_until(gate)):
            self._room.wake(gate, until)
        else:
            # One that is alone comes back if the gate is shut still: there is nobody to let pass.
            backlog.stands_at = None
            if levels is not None:
                self._let_go[gate], self._gone_from[lane] = lane, gate
            self._open.add(lane, backlog.lane, backlog.bound)

    # ---- what there is to take from -------------------------------------------------------------

    def _levels(self, gate: GateName | None = None) -> LaneLevels:
        """For the lanes that stand at this gate, or at none."""
        return LaneLevels(partial(self._place_of, gate), self._fairness)

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
        backlog = self._lanes.get(number)
        gate = None if backlog is None else backlog.stands_at
        levels = self._open if gate is None else self._at.get(gate)
        if levels is not None:  # else it stands there alone
            levels.add(number, lane, place)

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
        self._fairness = None
        if settings.fair:
            in_flight = self._in_flight.of(self._queue, self._machine)
            self._fairness = Fairness(in_flight, settings.weights or {})
        self._open = self._levels()
        self.leave_gates()
        for number, backlog in self._lanes.items():
            self._list(number, backlog.lane, backlog.bound)
