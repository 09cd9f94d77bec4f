"""The active leadership of a broker, and what becomes of it when its own work fails. Sans-IO.

1. A Leadership is made at `begin` from the machine's tables and dropped whole at `end`.
2. Planning, and following what was applied, is work for all sessions at once. If it fails
   (containment.py), the Leadership is dropped whole, too, and made anew after a growing pause;
   whatever had a session says hello again. Meanwhile the broker leads on without serving.
3. It is not made anew before all that the old one proposed is applied: it would get effects of
   commands that it knows nothing of.
4. Clients and workers get to see one that serves, no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVarTuple

from raftwork.broker.containment import PAUSE_MAX_MS, PAUSE_MS
from raftwork.consensus.core import ORIGIN
from raftwork.net.backoff import Pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.containment import Containment, Vital
    from raftwork.broker.leader.leadership import Leadership
    from raftwork.consensus.core import Consensus, Position
    from raftwork.messages import FromBroker

Ts = TypeVarTuple("Ts")


class VitalLog:
    """The core, as a Leadership uses it: what the core raises is not the Leadership's failure."""

    def __init__(self, core: Consensus, vital: Vital) -> None:
        self._core = core
        self._vital = vital

    def propose(self, data: bytes, now: int) -> Position:
        """See `Log.propose`."""
        try:
            return self._core.propose(data, now)
        except BaseException as error:
            self._vital.mark(error)
            raise

    def barrier(self, token: int, now: int) -> None:
        """See `Log.barrier`."""
        with self._vital:
            self._core.barrier(token, now)

    def transfer(self, now: int, to: str) -> None:
        """See `Log.transfer`."""
        with self._vital:
            self._core.transfer(now, to)


class LeadershipSupervisor:
    """From `begin` to `end` this broker is the active leader of an epoch."""

    def __init__(
        self,
        containment: Containment,
        make: Callable[[int, int, int], Leadership],
        dropped: Callable[[], None],
    ) -> None:
        """`make(epoch, now, barrier)` makes one; `dropped()` is called when it failed."""
        self._containment = containment
        self._make = make
        self._dropped = dropped
        self._made: Leadership | None = None
        #: The one that serves, if there is one.
        self.leadership: Leadership | None = None
        self._epoch: int | None = None
        self._now = 0
        self._pause = Pause(PAUSE_MS, PAUSE_MAX_MS)
        #: Of one that failed: up to where the log must be applied, and its last barrier.
        self._behind = ORIGIN
        self._barrier = 0
        self._boundary = containment.of("the leader's own work", self._failed)

    def begin(self, epoch: int, now: int) -> None:
        """This broker is the active leader of `epoch` from now on."""
        self._epoch, self._behind, self._barrier = epoch, ORIGIN, 0
        self._try(now)

    def end(self) -> None:
        """This broker leads no longer: drop the Leadership."""
        self._epoch = self._made = self.leadership = None

    def does(self, work: Callable[[Leadership, *Ts], object], *args: *Ts) -> None:
        """Have the Leadership do it, if there is one."""
        made = self._made
        if made is not None:
            try:
                work(made, *args)
            except Exception as error:  # noqa: BLE001 - it is what a boundary is for
                self._boundary.stop(error)
            if made is self._made and made.serves:  # from now on
                self.leadership = made

    def plan(self, now: int) -> None:
        """Have the Leadership plan, if there may be anything to plan."""
        made = self._made
        if made is not None and (made.stirred or now >= made.plan_at):
            self.does(type(made).plan, now)

    def drain(self, out: list[tuple[bytes, FromBroker]]) -> None:
        """Have the Leadership add what may leave now to `out`, if there may be anything."""
        made = self._made
        if made is not None and (made.leaves or made.waiting):
            self.does(type(made).drain, out)

    def turn(self, now: int, applied: Position) -> None:
        """Make the Leadership anew, if that is due."""
        self._now = now
        if self._made is None and self._epoch is not None and applied >= self._behind:
            if not self._pause.lasts(now):
                self._try(now)
        elif self._made is not None and now >= self._pause.until + PAUSE_MAX_MS:
            self._pause.succeeded()

    @property
    def wake_at(self) -> int | None:
        """When `turn` has something to do, if only time is missing."""
        if self._made is not None or self._epoch is None:
            return None
        # Behind the pause it waits for the log, which wakes nobody for this.
        return self._pause.until if self._now < self._pause.until else self._now + PAUSE_MS

    def _try(self, now: int) -> None:
        self._now = now
        with self._boundary:
            assert self._epoch is not None
            self._made = made = self._make(self._epoch, now, self._barrier)
            self.leadership = made if made.serves else None

    def _failed(self) -> None:
        failed, self._made, self.leadership = self._made, None, None
        if failed is not None:
            self._behind = failed.proposed or ORIGIN
            self._barrier = failed.barrier
        self._pause.failed(self._now)
        self._dropped()
