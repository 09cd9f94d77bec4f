"""Tasks that one worker alone may have: those of a broadcast (broadcasts.py).

1. A task is pinned to a worker's name, not to its process: a worker that is started again under its
   name is the one that was meant. Where two workers have one name either may have it.
2. It waits in a lane of that worker (lanes.py), so it holds up no other task. Whatever becomes of
   its attempts, no other worker gets it.
3. Once no worker of that name has taken tasks of its queue for as long as a lease lasts, the task
   is cancelled unless it runs. Only a leader knows workers, so that is a command; where another one
   leads, the time begins anew, and ends no sooner than all workers could say hello to it.
"""

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.features.effects import Done, Effect
from raftwork.features.task_row import PINNED
from raftwork.features.waiting import end_unstarted, unstarted
from raftwork.messages import Cancelled, CancelReason, Spec, State, encode_failure
from raftwork.messages.registry import Command, command

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering

#: Tasks that one entry cancels.
_PART: Final = 500
#: How often a leader looks for workers that are gone, while any task is pinned, ms.
LOOK_MS: Final = 250
#: Longer without a look, and the leader itself was away: whoever is absent has its time again.
_AWAY_MS: Final = 1_000
#: Workers that one look finds to be gone; the others follow.
_GONE_MAX: Final = 100

_GONE = encode_failure(Cancelled(CancelReason.WORKER_GONE))
_PIN = "INSERT INTO pin VALUES (?, ?, ?)"
_UNPIN = "DELETE FROM pin WHERE seq = ?"
_PINNED = """SELECT pin.seq FROM pin CROSS JOIN task ON task.seq = pin.seq
    WHERE pin.worker = ? AND pin.queue = ? AND phase IN (0, 1, 4, 5) ORDER BY pin.seq"""
_WORKER = "SELECT worker FROM pin WHERE seq = ?"
# The index is searched for each pair of worker and queue, however many tasks they have.
_NEXT = """SELECT worker, queue FROM pin WHERE (worker, queue) > (?, ?)
    ORDER BY worker, queue LIMIT 1"""


@command(187, since=2)
class WorkerGone(NamedTuple):
    """No worker of this name takes tasks of this queue any more."""

    worker: str
    queue: str


# ---- on every replica ---------------------------------------------------------------------------


def _enters(ledger: "Ledger", spec: Spec, task: "Entering") -> None:
    if task.worker:
        task.flags |= PINNED
        queue = ledger.touch(spec.queue).number
        ledger.db.executemany(_PIN, [(seq, queue, task.worker) for seq in task.seqs])
        ledger.links.pins += len(task.ids)


def _settled(ledger: "Ledger", seq: int, _state: State, _effects: list[Effect]) -> None:
    """It has its outcome. A flow that is to be retried has noted its worker (flow_nodes.py)."""
    ledger.db.execute(_UNPIN, (seq,))
    ledger.links.pins -= 1


def _gone(ledger: "Ledger", command: WorkerGone, effects: list[Effect]) -> Done:
    tasks = unstarted(ledger, _idle(ledger, command, _PART))
    effects += end_unstarted(ledger, tasks, State.CANCELLED, _GONE)
    return Done(len(tasks))


def _idle(ledger: "Ledger", gone: WorkerGone, limit: int) -> Sequence[int]:
    """The first of the tasks that are pinned there and do not run."""
    queue = ledger.queues.get(gone.queue)
    if queue is None:
        return []
    with closing(ledger.db.execute(_PINNED, (gone.worker, queue.number))) as rows:
        seqs = (seq for (seq,) in rows if seq not in ledger.running_seqs)
        return list(islice(seqs, limit))


def worker_of(ledger: "Ledger", seq: int) -> str:
    """The name of the only worker that may have this unfinished task; empty if any may."""
    row = ledger.db.execute(_WORKER, (seq,)).fetchone() if ledger.links.pins else None
    return "" if row is None else row[0]


# ---- on the leader ------------------------------------------------------------------------------


class PinWatch:
    """The workers of one leadership that tasks are pinned to and that are not there. See Chore."""

    def __init__(self, view: "View") -> None:
        self._view = view
        #: Since when each is absent, by name and queue (leader time).
        self._absent: dict[tuple[str, str], int] = {}
        self._looked_at = 0

    @property
    def wake_at(self) -> int | None:
        """See Chore."""
        return self._looked_at + LOOK_MS if self._view.state.links.pins else None

    def commands(self) -> Sequence[Command]:
        """See Chore."""
        view = self._view
        since = view.time - self._looked_at
        if not view.state.links.pins or since < LOOK_MS:
            return ()
        self._looked_at = view.time
        before = self._absent if since < _AWAY_MS else {}
        self._absent = {who: before.get(who, view.time) for who in self._missing()}
        if not view.all_heard:
            return ()
        lease = view.state.settings.worker_lease
        gone = (WorkerGone(*who) for who, at in self._absent.items() if view.time - at >= lease)
        return list(islice((each for each in gone if _idle(view.state, each, 1)), _GONE_MAX))

    def _missing(self) -> list[tuple[str, str]]:
        view, takers = self._view, dict[str, set[str]]()
        missing: list[tuple[str, str]] = []
        at = ("", 0)
        while (found := view.state.db.execute(_NEXT, at).fetchone()) is not None:
            at = found
            worker, queue = at[0], view.state.numbered[at[1]].name
            if queue not in takers:
                takers[queue] = set(view.workers.inspection.takers(queue))
            if worker not in takers[queue]:
                missing.append((worker, queue))
        return missing

    def follow(self, effect: Effect) -> None:
        """See Chore."""

    def troubles(self) -> Sequence[str]:
        """See Chore."""
        return ()


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, transition
    from raftwork.features.lifecycle import Lifecycle

    return Feature(
        "tasks for one worker",
        transitions=[transition(WorkerGone, _gone)],
        chore=PinWatch,
        lifecycles=[Lifecycle(PINNED, _enters, settled=_settled)],
    )
