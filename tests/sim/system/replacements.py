"""Of a task that was replaced and is cancelled: all that replaces it ends, or is asked to."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from raftwork.broker.machine import Machine
from raftwork.features.flow_ends import END_INPUTS
from tests.sim.system.promises import require

if TYPE_CHECKING:
    from tests.sim.system.flow_rules import Member
    from tests.sim.system.known import Known
    from tests.sim.system.queue_checker import QueueChecker


class Replacements:
    """Those that are to end, until they have."""

    def __init__(self, queue: "QueueChecker", members: "dict[str, Member]") -> None:
        self._queue, self._members = queue, members
        #: What was replaced, and cancelled.
        self._cancelled: list[Member] = []
        #: Ids of what is to have ended once nothing of it is left due.
        self._to_end: set[str] = set()

    def cancelled(self, tasks: "Iterable[Known]") -> None:
        """These are cancelled; their outcomes are yet to come."""
        for task in tasks:
            member = self._members.get(task.id)
            if member is None or task.has_code or not task.spec.queue or not member.grown:
                continue
            self._cancelled.append(member)
            self._to_end |= {id_ for id_ in self._below(member, ended=False) if self._open(id_)}
            self._queue.reached["flow: cancelled after it was replaced"] += 1

    def may_end(self, id_: str) -> bool:
        """Whether it replaces what was cancelled."""
        return any(id_ in self._below(member, ended=True) for member in self._cancelled)

    def entered(self, machine: Machine) -> None:
        """The entry is over."""
        if not self._to_end or left_due(machine, END_INPUTS):
            return
        tasks = self._queue.tasks
        go_on = [id_ for id_ in sorted(self._to_end) if self._open(id_) and not tasks[id_].asked]
        require(not go_on, "cancels", f"{go_on} go on; the task that they replace is cancelled")
        self._to_end.clear()

    def _open(self, id_: str) -> bool:
        return self._queue.tasks[id_].outcome is None

    def _below(self, member: "Member", *, ended: bool) -> Iterator[str]:
        """All that replaces it; without what waits behind, or stands before, what has ended."""
        seen, left = set[str](), [member.edges[-1][0]]
        while left:
            id_ = left.pop()
            if id_ in seen or not (ended or self._open(id_)):
                continue
            seen.add(id_)
            yield id_
            left += [src for src, _ in self._members[id_].edges]


def left_due(machine: Machine, kind: int, number: int | None = None) -> bool:
    """Whether some of this work is left for later entries: for a flow, or for any."""
    asked = "SELECT count(*) FROM timer WHERE kind = ? AND ref = coalesce(?, ref)"
    ((count,),) = machine.state.db.execute(asked, (kind, number))
    return bool(count)
