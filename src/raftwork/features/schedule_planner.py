"""When schedules tick: computed by the leader, ahead of time and a bounded part in each turn.

1. Of each schedule it knows the next tick and the one after it, so a tick that is due asks no
   calendar: ten thousand at midnight are as many rows, in entries of so many.
2. Nothing of it is kept: a new leader computes all from the table, with its own tz database. What
   is due first comes first.
3. After an outage many ticks may have passed. They are counted a part in each turn, and one command
   says what becomes of all of them (`CatchUp`). A tick has passed once it was due, its jitter
   included: one that is to come is run at its time. A tick that is late by less than the grace, as
   after a failover, is none of an outage.
4. While the disks have no room for new work none ticks: what is late by then is as after an outage.
5. A schedule that cannot be computed here, as its zone is unknown on this machine, is left alone,
   and looked at again later.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.effects import ScheduleMoved
from raftwork.features.schedule_plan import CatchUp
from raftwork.features.schedule_ticks import Fire, Tick
from raftwork.features.task_batch import LEVEL_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.requests.view import View
    from raftwork.features.effects import Effect
    from raftwork.features.schedule_plan import Plan
    from raftwork.features.schedule_rows import Row
    from raftwork.messages.registry import Command

#: A tick that is late by no more is run, whatever `catchup` says: a failover takes less.
GRACE_MS = 10_000
#: Looks at schedules in one turn, some 0.1 ms each: the first one at a cron expression parses it.
_LOOKS: Final = 20
#: A look that reads so many bytes of arguments costs as much as one more, …
_LOOK_BYTES: Final = 32 * 1024
#: … and so does one that goes through so many ms of the calendar: some expressions match once in
#: 28 years.
_LOOK_MS: Final = 10 * 366 * 86_400_000
#: A tick that may be no nearer than that waits for its look while others have their turns, ms.
_SOON_MS: Final = 500
#: Ticks of an outage counted in one turn: 0.6 ms of each minute's, 4 ms of each month's.
_STEPS: Final = 100
#: To begin with one costs as much as so many of them.
_BEGINNING: Final = 10
#: Ticks in one entry: some 1 ms of a replica's time. A follower applies what came in 20 ms at once,
#: and is deaf meanwhile: so many in so long a pause, and ten thousand take 2.5 s.
_TICKS: Final = 32
#: … and bytes of their arguments, give or take a task.
_BYTES: Final = 512 * 1024
#: Between two such entries, ms: others have their turns.
_PAUSE_MS: Final = 8
#: Before one that could not be computed is looked at again.
_AGAIN_MS: Final = 60_000
#: Before it is asked again whether the disks have room.
_HELD_MS: Final = 1_000


class _Next(NamedTuple):
    """What a schedule does next."""

    version: int
    decided: int
    tick: int
    following: int  # 0 if there is none
    due: int
    #: Later than that, and it is one of an outage.
    until: int
    size: int  # bytes of what its task needs, about


class _Passed:
    """A schedule of which ticks have passed in an outage, while they are counted."""

    def __init__(self, row: Row, next_: _Next) -> None:
        self.number, self.id, self.plan = row.number, row.id, row.plan
        self._next = next_
        self._tick = next_.tick
        self._following = self.plan.rule(row.anchor).after(next_.tick)
        self._latest = self._latest_due = 0
        self._count = 0

    def count(self, steps: int, now: int) -> tuple[int, Tick | None]:
        """Go on with at most so many of them; how many, and what becomes of them if that is all.

        Raises ValueError or ArithmeticError where they cannot be computed any more.
        """
        oldest = now - self.plan.window
        until = oldest - 1 if self.plan.catchup is CatchUp.ALL else now
        for step in range(1, steps + 1):
            following = next(self._following, 0)
            due = _due(self.id, self.plan, self._tick, following) if self._tick else 0
            if not self._tick or due > until:
                return step, self._verdict(self._tick, now, oldest)
            self._latest, self._latest_due = self._tick, due
            self._tick, self._count = following, self._count + 1
        return steps, None

    def _verdict(self, following: int, now: int, oldest: int) -> Tick:
        head = self.number, self._next.version, self._next.decided
        if self._count == 0:  # none is too old by now: it is run as if it were in time
            return Tick(*head, self._next.tick, self._next.following)
        late = now - self._latest_due
        match self.plan.catchup:
            case CatchUp.ONE:
                run = self._latest_due >= oldest or late <= GRACE_MS
            case CatchUp.NONE:
                run = late <= GRACE_MS
            case CatchUp.ALL:
                run = False
        return Tick(*head, self._latest, following, self._count - 1, run)


class SchedulePlanner:
    """The schedules of one leadership. Sans-IO; the time is the view's."""

    def __init__(self, view: View) -> None:
        self._view = view
        there = view.state.level >= LEVEL_OPTIONS
        #: To be looked at, the most urgent first: (tick, number).
        self._todo = view.state.schedules.due() if there else []
        heapify(self._todo)
        #: What is looked at later: (due, number), of those in `_next` and of those left alone.
        self._later: list[tuple[int, int]] = []
        self._next: dict[int, _Next] = {}
        self._passed = deque[_Passed]()
        #: No further entry before, and no further look at what does not tick soon.
        self._fires_at = self._looks_at = 0
        #: Until then the disks had no room.
        self._held_until = 0
        self._troubles: list[str] = []

    @property
    def wake_at(self) -> int | None:
        """See Chore."""
        if self._held_until > self._view.time:
            return self._held_until
        if self._passed:
            return self._view.time
        look = self._next_look
        if not self._later:
            return look
        due = max(self._later[0][0], self._fires_at)
        return due if look is None else min(look, due)

    def follow(self, effect: Effect) -> None:
        """See Chore."""
        if isinstance(effect, ScheduleMoved):
            self._next.pop(effect.number, None)
            heappush(self._todo, (effect.next, effect.number))

    def commands(self) -> Sequence[Command]:
        """See Chore."""
        time = self._view.time
        if self._view.disk.shortage:
            self._held_until = time + _HELD_MS
            return ()
        if (look := self._next_look) is not None and look <= time:
            left = _LOOKS
            while self._todo and left > 0:
                left -= self._look(heappop(self._todo)[1])
            self._looks_at = time + _PAUSE_MS
        if not self._passed and time < self._fires_at:
            return ()
        ticks = self._count_passed(time)
        if time >= self._fires_at:
            ticks += self._due(time, _TICKS - len(ticks))
        if not ticks:
            return ()
        self._fires_at = time + _PAUSE_MS
        return (Fire(ticks),)

    def troubles(self) -> Sequence[str]:
        """See Chore."""
        out, self._troubles = self._troubles, []
        return out

    # ---- what is next ---------------------------------------------------------------------------

    @property
    def _next_look(self) -> int | None:
        """When to look at schedules again; None if there are none to be looked at.

        After ten thousand have ticked together, all are to be looked at, and all have time.
        """
        if not self._todo:
            return None
        time = self._view.time
        return time if self._todo[0][0] <= time + _SOON_MS else max(time, self._looks_at)

    def _look(self, number: int) -> int:
        """Compute what a schedule does next; what that cost."""
        if number in self._next:
            return 1
        row = self._view.state.schedules.read(number)
        if row is None:
            return 1
        plan, cost = row.plan, 1 + row.size // _LOOK_BYTES
        if row.exhausted(plan):
            return cost
        try:
            tick, following = plan.rule(row.anchor).two_after(row.decided)
        except (ValueError, ArithmeticError) as error:
            self._leave_alone(number, row.id, error)
            return cost
        if tick:
            due = _due(row.id, plan, tick, following)
            until = due + max(GRACE_MS, plan.window if plan.catchup is CatchUp.ALL else 0)
            head = row.version, row.decided
            self._next[number] = _Next(*head, tick, following, due, until, row.size)
            heappush(self._later, (due, number))
        return cost + max(0, (following or tick) - row.decided) // _LOOK_MS

    def _leave_alone(self, number: int, id_: str, error: Exception) -> None:
        """It cannot be computed here: it is looked at again later."""
        self._troubles.append(f"schedule {id_} does not tick: {error}")
        heappush(self._later, (self._view.time + _AGAIN_MS, number))

    def _due(self, time: int, most: int) -> list[Tick]:
        """The ticks of those whose time has come, so many at most."""
        ticks: list[Tick] = []
        size = 0
        while self._later and self._later[0][0] <= time and len(ticks) < most and size < _BYTES:
            due, number = heappop(self._later)
            next_ = self._next.get(number)
            if next_ is None:  # it was left alone, or has changed since
                heappush(self._todo, (due, number))
            elif next_.due != due:
                continue  # of an earlier look
            elif time <= next_.until:
                del self._next[number]
                size += next_.size
                ticks.append(
                    Tick(number, next_.version, next_.decided, next_.tick, next_.following)
                )
            else:
                self._begin_to_count(number, next_)
        return ticks

    # ---- after an outage ------------------------------------------------------------------------

    def _begin_to_count(self, number: int, next_: _Next) -> None:
        del self._next[number]
        row = self._view.state.schedules.read(number)
        if row is not None and (row.version, row.decided) == (next_.version, next_.decided):
            self._passed.append(_Passed(row, next_))

    def _count_passed(self, time: int) -> list[Tick]:
        ticks: list[Tick] = []
        steps = _STEPS
        while self._passed and steps > 0 and len(ticks) < _TICKS:
            passed = self._passed[0]
            try:
                used, tick = passed.count(steps, time)
            except (ValueError, ArithmeticError) as error:
                self._passed.popleft()
                self._leave_alone(passed.number, passed.id, error)
                continue
            steps -= used + _BEGINNING
            if tick is not None:
                self._passed.popleft()
                ticks.append(tick)
        return ticks


def _due(id_: str, plan: Plan, tick: int, following: int) -> int:
    if not plan.jitter:
        return tick
    from raftwork.recurrence import jittered

    return jittered(id_, tick, following, plan.jitter)
