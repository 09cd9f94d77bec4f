"""Whose turn it is of a queue's lanes: those that may have one, and those that stand at gates.

A lane one of whose gates is shut stands at that gate, in the order of the queue, and is not looked
at again before there may be room. The gate lets one lane at a time back among the others; when that
was served, or stands at another gate, it is the next one's turn. So what a shut gate costs does not
grow with what waits at it. Sans-IO.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from raftwork.broker.dispatch.lane_levels import Fairness, LaneLevels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raftwork.broker.dispatch.gate_room import GateRoom, Waiter
    from raftwork.broker.dispatch.lane_backlog import LaneBacklog
    from raftwork.broker.machine.lanes import Lane
    from raftwork.features.limit_settings import GateName


class LaneTurns:
    """The order of a queue's lanes."""

    def __init__(
        self,
        lanes: Mapping[int, LaneBacklog],
        room: GateRoom,
        waiter: Waiter,
        place_of: Callable[[GateName | None, int], int | None],
    ) -> None:
        """`place_of(gate, lane)` is where the first task of a lane stands.

        None if nothing waits there, or it stands at another gate.
        """
        self._lanes = lanes
        self._room = room
        self._waiter = waiter
        self._place_of = place_of
        self._fairness: Fairness | None = None
        #: Those that may have their turn.
        self.open = self._levels()
        #: Lanes at a shut gate, the gate that each stands at, and the lane that each let go.
        #: At most gates, those of a key, one lane stands alone.
        self._alone_at: dict[GateName, int] = {}
        self._at: dict[GateName, LaneLevels] = {}
        self._shared: dict[GateName, LaneLevels] = {}  # of _at, those with several tenants
        self._let_go: dict[GateName, int] = {}
        self._gone_from: dict[int, GateName] = {}
        #: Gates that may have room for the next lane that stands there.
        self.stirred: dict[GateName, None] = {}

    def begin_anew(self, fairness: Fairness | None) -> None:
        """No lane has a turn, before each is listed again; then by what is fair."""
        self._fairness = fairness
        self.open = self._levels()
        self.leave_gates()

    def leave_gates(self) -> None:
        """Nothing stands at any gate."""
        for gate in (*self._at, *self._alone_at):
            self._room.waits_no_more(gate, self._waiter)
        self._at, self._alone_at, self._shared = {}, {}, {}
        self._let_go, self._gone_from, self.stirred = {}, {}, {}
        for backlog in self._lanes.values():
            backlog.stands_at = None

    def waits_at(self, number: int, lane: Lane, place: int) -> None:
        """A task of this lane waits at this place, or none before it."""
        backlog = self._lanes.get(number)
        gate = None if backlog is None else backlog.stands_at
        levels = self.open if gate is None else self._at.get(gate)
        if levels is not None:  # else it stands there alone
            levels.add(number, lane, place)

    def changed(self, tenant: str) -> None:
        """A task of this tenant of a fair queue is in flight no more."""
        self.open.changed(tenant)
        for levels in self._shared.values():
            levels.changed(tenant)

    def gone(self, lane: int, gates: Sequence[GateName]) -> None:
        """There is no such lane any more."""
        self.served(lane)
        for gate in gates:
            if self._alone_at.get(gate) == lane:  # keys come and go: nobody else would forget it
                del self._alone_at[gate]
                self._room.waits_no_more(gate, self._waiter)

    def served(self, lane: int) -> None:
        """It was this lane's turn: of the gate that had let it go another may come."""
        if not self._gone_from:
            return
        gate = self._gone_from.pop(lane, None)
        if gate is not None:
            del self._let_go[gate]
            self.opened(gate)

    # ---- at gates -------------------------------------------------------------------------------

    def stands(self, lane: int, backlog: LaneBacklog) -> bool:
        """Whether a gate of its own lets nothing in now: the lane stands there from now on."""
        for gate in backlog.gates:
            if until := self._room.shut_until(gate):
                self._stand(lane, backlog, gate, until)
                return True
        return False

    def _stand(self, lane: int, backlog: LaneBacklog, gate: GateName, until: int) -> None:
        """The lane is not looked at before that gate has room."""
        backlog.stands_at = gate
        self.open.remove(lane, backlog.lane)
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
        self.served(lane)

    def _stand_in(self, levels: LaneLevels, lane: int) -> None:
        if (backlog := self._lanes.get(lane)) is not None:
            levels.add(lane, backlog.lane, backlog.bound)

    def opened(self, gate: GateName) -> None:
        """There may be room at this gate."""
        if (lane := self._alone_at.get(gate)) is not None:
            self._let_alone_go(gate, lane)
        elif gate in self._at:
            self.stirred[gate] = None

    def let_lanes_go(self) -> None:
        """Of each gate that has room the first lane that stands there takes its turn."""
        while self.stirred:
            stirred, self.stirred = self.stirred, {}
            for gate in stirred:
                self._let_one_go(gate)

    def _let_one_go(self, gate: GateName) -> None:
        levels = self._at.get(gate)
        if gate in self._let_go or levels is None:
            return
        lane = levels.first()
        backlog = None if lane is None else self._lanes.get(lane)
        if lane is None or backlog is None or backlog.stands_at != gate:
            del self._at[gate]
            self._shared.pop(gate, None)
            self._room.waits_no_more(gate, self._waiter)
        elif until := self._room.shut_until(gate):
            self._room.wake(gate, until)
        else:
            backlog.stands_at = None
            self._let_go[gate], self._gone_from[lane] = lane, gate
            self.open.add(lane, backlog.lane, backlog.bound)

    def _let_alone_go(self, gate: GateName, lane: int) -> None:
        """The only lane at a gate: it comes back if that is shut still, as nobody is to pass."""
        backlog = self._lanes[lane]
        if backlog.stands_at == gate:
            backlog.stands_at = None
            self.open.add(lane, backlog.lane, backlog.bound)

    def _levels(self, gate: GateName | None = None) -> LaneLevels:
        """For the lanes that stand at this gate, or at none."""
        return LaneLevels(partial(self._place_of, gate), self._fairness)
