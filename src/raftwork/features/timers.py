"""Tasks that have to do with time: `delay`, `at`, `expires` and `deadline`.

1. Durations count from the client's first attempt to enqueue, so that to try again moves nothing.
   All instants are machine time: no broker's own clock is asked.
2. A task waits in the phase SCHEDULED until machine time has come to its due time, never less; then
   it is one of its queue's waiting tasks, behind what was enqueued by then.
3. `expires` bounds the first start. A task is not handed out for the first time at that instant or
   later, whatever is left to do at that moment; handed back unstarted, it may still expire.
4. `deadline` bounds the outcome, over all attempts: what runs then is stopped, and has failed.
5. A million may be due at once: an entry carries out so many (the cluster's setting `sweep` at
   most), and what is left stays due.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from raftwork.features.effects import Effect
from raftwork.features.settle import settle
from raftwork.features.task_row import BEGUN, TIMED
from raftwork.features.waiting import end_unstarted, unstarted
from raftwork.messages import (
    Cancelled,
    CancelReason,
    DeadlinePassed,
    Spec,
    State,
    decode_spec,
    encode_failure,
)

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering

#: Kinds of timers; the ref is the task's number.
EXPIRE: Final = 1
DEADLINE: Final = 2

_EXPIRED = encode_failure(Cancelled(CancelReason.EXPIRED))
_TIMES = "SELECT created, spec, flags FROM task WHERE seq = ?"


def _enters(ledger: "Ledger", spec: Spec, task: "Entering") -> None:
    if spec.delay:
        task.due = max(task.due, task.created + spec.delay)
    if task.extras.at:
        task.due = max(task.due, task.extras.at)
    for after, kind in ((spec.expires, EXPIRE), (spec.deadline, DEADLINE)):
        if after:
            task.flags |= TIMED
            for seq in task.seqs:
                ledger.set_timer(task.created + after, kind, seq)


def _times(ledger: "Ledger", seq: int) -> tuple[int, int]:
    """When a task expires and when its deadline is; 0 for never. What has begun never expires."""
    created, packed, flags = ledger.db.execute(_TIMES, (seq,)).get
    spec = decode_spec(packed)
    expires, deadline = 0 if flags & BEGUN else spec.expires, spec.deadline
    return expires and created + expires, deadline and created + deadline


def _may_start(ledger: "Ledger", seq: int) -> bool:
    """Of many that are due an entry ends only so many; the others are not handed out either."""
    expires, deadline = _times(ledger, seq)
    return not any(0 < time <= ledger.time for time in (expires, deadline))


def _attempt_ended(ledger: "Ledger", seq: int, began: bool) -> None:
    """It expires only as long as no code of it has begun."""
    expires, _ = _times(ledger, seq)
    if not expires:
        return
    if began:
        ledger.drop_timer(expires, EXPIRE, seq)
    elif expires <= ledger.time:
        ledger.set_timer(expires, EXPIRE, seq)  # it was due while a worker had it


def _ended(ledger: "Ledger", seq: int, _flags: int) -> None:
    expires, deadline = _times(ledger, seq)
    if expires:
        ledger.drop_timer(expires, EXPIRE, seq)
    if deadline:
        ledger.drop_timer(deadline, DEADLINE, seq)


def _expire(ledger: "Ledger", seqs: Sequence[int], effects: list[Effect]) -> None:
    """What a worker has may have begun: if it turns out that it had not, it expires then."""
    effects += end_unstarted(ledger, unstarted(ledger, seqs), State.CANCELLED, _EXPIRED)


def _deadline(ledger: "Ledger", seqs: Sequence[int], effects: list[Effect]) -> None:
    alike: dict[int, list[int]] = {}
    for task in unstarted(ledger, seqs):
        alike.setdefault(decode_spec(task.spec).deadline, []).append(task.seq)
    for deadline, some in alike.items():
        failure = encode_failure(DeadlinePassed(deadline))
        # Read anew: what follows another one by its unique key stands elsewhere once that ended.
        effects += end_unstarted(ledger, unstarted(ledger, some), State.FAILED, failure)
    overdue = ledger.running_seqs.keys() & set(seqs)
    if not overdue:
        return
    for run in [run for run in ledger.running.values() if run.seq in overdue]:
        ledger.end(run.token)
        failure = encode_failure(DeadlinePassed(decode_spec(run.spec).deadline))
        settle(ledger, State.FAILED, [(run, failure)], effects)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Lifecycle, TimerKind

    return Feature(
        "timers",
        lifecycles=[
            Lifecycle(TIMED, _enters, _ended, may_start=_may_start, attempt_ended=_attempt_ended)
        ],
        timers=[TimerKind(EXPIRE, _expire), TimerKind(DEADLINE, _deadline)],
    )
