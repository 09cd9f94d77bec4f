"""Which workers a task must not go to, as long as another may take it. Sans-IO.

1. A worker that has no task of a name, by its own word, gets no more of that name. A worker under
   which a task was lost does not get that task again: so no single worker can bring a task to its
   `max_losses`, and a task that did was lost under as many as serve its queue.
2. If there is no other worker, the task goes to one under which it was lost, and if none of them
   knows it, to any that serves its queue: there it fails. One that may come back soon counts.
   A worker short of memory gets nothing only while a fit one is there that is not excluded.
3. It is all derived and may be forgotten: what a worker does not know it says again. Names a worker
   does not know are bounded; what does not fit in is not remembered, and fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from raftwork.messages import decode_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raftwork.broker.machine import Waiting

#: Of one worker: names it is known not to know.
NAMES_MAX = 1_000
#: Tasks whose lost workers are remembered.
LOST_MAX = 10_000


class PlacementRule(NamedTuple):
    """Where a task may go: tasks with equal rules may go to the same workers."""

    name: str = ""  # empty if every worker may know it
    #: Under which it was lost. A task that was lost waits for no worker that is absent.
    excluded: frozenset[bytes] = frozenset()


#: Goes anywhere.
ANYWHERE = PlacementRule()


class HasOtherWorker(Protocol):
    """Whether a worker that is not excluded serves the queue."""

    def __call__(self, queue: str, excluded: frozenset[bytes], /, *, wait_for_absent: bool) -> bool:
        """With `wait_for_absent` also one that may never be there.

        Such are those that had no time yet to say hello to this leader, and those without a slot:
        that have none, or only such whose tasks wait for others.
        """
        ...


class Eligibility:
    """The facts and rules of one leadership; workers are named by their incarnations."""

    def __init__(self, has_other_worker: HasOtherWorker) -> None:
        self._has_other_worker = has_other_worker
        self._lacking: dict[str, frozenset[bytes]] = {}  # by name
        self._names: dict[bytes, list[str]] = {}  # the same by worker
        self._lost: dict[int, tuple[bytes, ...]] = {}  # by task number, in order
        self._memory_limited = self._ineligible = ANYWHERE.excluded

    def __bool__(self) -> bool:
        return bool(self._lacking or self._lost)

    # ---- facts --------------------------------------------------------------------------------

    def does_not_know(self, worker: bytes, name: str) -> bool:
        """The worker has no task of that name; whether that is news, and is remembered."""
        lacking, names = self.lacking(name), self._names.setdefault(worker, [])
        if worker in lacking or len(names) >= NAMES_MAX:
            return False
        names.append(name)
        self._lacking[name] = lacking | {worker}
        return True

    def lost(self, worker: bytes, seq: int) -> tuple[bytes, ...]:
        """The task was lost under this worker; returns those under which it was lost before."""
        before = self._lost.pop(seq, ())
        self._lost[seq] = before if worker in before else (*before, worker)
        if len(self._lost) > LOST_MAX:
            del self._lost[next(iter(self._lost))]
        return before

    def settled(self, seq: int) -> tuple[bytes, ...]:
        """The task has its outcome; returns the workers under which it was lost."""
        return self._lost.pop(seq, ())

    def left(self, worker: bytes) -> None:
        """That incarnation will never be seen again."""
        for name in self._names.pop(worker, ()):
            self._lacking[name] -= {worker}
            if not self._lacking[name]:
                del self._lacking[name]

    def spare(self, memory_limited: frozenset[bytes], ineligible: frozenset[bytes]) -> bool:
        """The first are short of memory, the second cannot stand in; whether either changed."""
        before = self._memory_limited, self._ineligible
        self._memory_limited, self._ineligible = memory_limited, ineligible
        return before != (self._memory_limited, self._ineligible)

    # ---- questions ----------------------------------------------------------------------------

    def lost_under(self, seq: int) -> tuple[bytes, ...]:
        """The workers under which the task was lost, as far as is remembered."""
        return self._lost.get(seq, ())

    def lacking(self, name: str) -> frozenset[bytes]:
        """The workers that have no task of that name."""
        return self._lacking.get(name, ANYWHERE.excluded)

    def unknown_to(self, worker: bytes, queues: Iterable[str]) -> Iterator[str]:
        """The names that this worker does not know and another one of its queues may."""
        for name in self._names.get(worker, ()):
            lacking = self._lacking[name]
            if any(self._has_other_worker(q, lacking, wait_for_absent=True) for q in queues):
                yield name

    def elsewhere(self, queue: str, name: str) -> bool:
        """Whether a worker is there that may know it."""
        return self._has_other_worker(queue, self.lacking(name), wait_for_absent=False)

    def rule(self, name: str) -> PlacementRule:
        """The rule for new tasks of that name."""
        return PlacementRule(name) if name in self._lacking else ANYWHERE

    def split(self, tasks: list[Waiting]) -> Iterable[tuple[PlacementRule, list[Waiting]]]:
        """The tasks by their rules; those that may go anywhere last, for they leave no gap."""
        if not self:
            return [(ANYWHERE, tasks)]
        groups: dict[PlacementRule, list[Waiting]] = {}
        for task in tasks:
            rule = self.rule(decode_spec(task.spec).name)
            if task.losses and (lost := self._lost.get(task.seq)):
                rule = PlacementRule(rule.name, frozenset(lost))
            groups.setdefault(rule, []).append(task)
        if ANYWHERE in groups:
            groups[ANYWHERE] = groups.pop(ANYWHERE)
        return groups.items()

    def excluded(
        self, queue: str, rule: PlacementRule, *, spares: bool = False
    ) -> frozenset[bytes]:
        """The workers that such tasks of the queue must not go to.

        With `spares` also those that are to be spared.
        """
        excluded = self._excluded(queue, rule)
        if spares and self._memory_limited:
            spared = excluded | self._memory_limited
            if self._has_other_worker(queue, spared | self._ineligible, wait_for_absent=False):
                return spared
        return excluded

    def _excluded(self, queue: str, rule: PlacementRule) -> frozenset[bytes]:
        if rule == ANYWHERE:
            return ANYWHERE.excluded
        lacking = self.lacking(rule.name)
        if rule.excluded:
            excluded = lacking | rule.excluded
            if self._has_other_worker(queue, excluded, wait_for_absent=False):
                return excluded
        if self._has_other_worker(queue, lacking, wait_for_absent=True):
            return lacking
        return ANYWHERE.excluded
