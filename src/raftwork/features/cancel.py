"""Tasks are ended before their code has ended by itself.

1. What has not begun is cancelled in the entry that says so. Of what runs the code is asked to end,
   and the first of these stands: it returns (succeeded), it raises (cancelled), or the grace is
   over (cancelled, and what it still says is refused).
2. That a task was asked to end stands in its row, so every later leader knows it. From then on it
   is never handed out again: no retry, nor another attempt after its worker was lost.
3. A million tasks may be meant, and one entry must not hold up others: it looks at so many rows,
   and the leader goes on. Meant is what was there when the cancel was asked for. One that a
   failover interrupts is asked for again by its client: the next leader goes on, and counts what it
   finds then.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import ProtocolError, UnknownTask
from raftwork.features.effects import CancelAsked, Done, Effect, Reply
from raftwork.features.settle import settle_cancelled
from raftwork.features.tags import tagged_after
from raftwork.features.task_batch import check_level
from raftwork.features.task_row import CANCELLING, REASON_SHIFT
from raftwork.features.waiting import Unstarted, end_unstarted, unfinished
from raftwork.features.why_it_waits import Reason, instant
from raftwork.messages import (
    ID_MAX,
    Cancelled,
    CancelReason,
    State,
    decode_spec,
    encode_failure,
)
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import command, reply, request, to_worker

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Rows that one entry looks at; some 2 ms of a replica's time if it cancels all of them. With twice
#: as many the longest of a thousand turns was over 20 ms where three brokers share two CPUs.
_PART = 250
#: Cancels under way: a turn has the first parts of all that have come since the one before.
_CANCELS_MAX = 100
#: Ids of one request.
IDS_MAX: Final = 10_000
#: Of a grace: a day.
GRACE_MAX_MS: Final = 86_400_000
#: Of the timers that end it.
_GRACE_TIMER: Final = 5

# What one entry looks at, in the order of the numbers: of all tasks, or of those with a tag. Of a
# tombstone no more is read than its number and phase.
_ALL = """SELECT seq, phase IN (0, 1, 4, 5) FROM task WHERE seq > ? AND seq <= ?
    ORDER BY seq LIMIT ?"""
_ASK = "UPDATE task SET flags = ?, due = ? WHERE seq = ?"
_DUE = "SELECT due FROM task WHERE seq = ?"


class Scope(IntEnum):
    """Which tasks are meant."""

    IDS = 0
    NAME = 1
    QUEUE = 2
    TAG = 3
    ALL = 4
    FLOW = 5


# ---- records ------------------------------------------------------------------------------------


@reply(95)
class TasksCancelled(NamedTuple):
    """So many were ended, or asked to end."""

    request: int
    cancelled: int


@request(95, reply=TasksCancelled)
class CancelTasks(NamedTuple):
    """End these tasks: those of a scope, with its `name`: of tasks, a queue, a tag, a flow."""

    request: int
    scope: Scope
    ids: Annotated[list[Id], Between(0, IDS_MAX)]
    name: Annotated[str, Between(0, ID_MAX)]
    value: Annotated[str, Between(0, ID_MAX)]  # of the tag `name`
    grace: Annotated[int, Between(0, GRACE_MAX_MS)]  # ms for code that runs


@command(95, since=2)
class CancelSome(NamedTuple):
    """End those of a scope that are numbered above `after`, up to `upto`, looking at `limit`."""

    scope: Scope
    ids: list[str]
    name: str
    value: str
    grace: int
    after: int
    upto: int
    limit: int
    known: bool = False  # there must be a task of the one id


@to_worker(96)
class CancelRuns(NamedTuple):
    """The code of these tokens is asked to end; what has not begun is to be handed back."""

    epoch: int
    session: int
    tokens: list[int]


# ---- on the leader ------------------------------------------------------------------------------


class _Cancel:
    """A cancel on its way through the log, part by part."""

    def __init__(self, request: CancelTasks, upto: int) -> None:
        self._request, self._upto = request, upto
        self._after = self._cancelled = 0

    def command(self, _view: "View") -> CancelSome:
        asked, ids = self._request, list[str]()
        if asked.scope is Scope.IDS:
            ids = asked.ids[self._after : self._after + _PART]
        scope = (asked.scope, ids, asked.name, asked.value, asked.grace)
        return CancelSome(*scope, self._after, self._upto, _PART, len(asked.ids) == 1)

    def applied(self, _view: "View", reply: Reply) -> Reply | None:
        if not isinstance(reply, Done):
            return reply
        self._cancelled += reply.affected
        self._after = reply.rest_after
        return None if self._after else Done(self._cancelled)


def _check(view: "View", request: CancelTasks) -> _Cancel:
    """Also where nothing seems to be meant: a deposed leader does not know what waits by now."""
    check_level(view.state, "to cancel tasks needs")
    named = request.scope in {Scope.NAME, Scope.QUEUE, Scope.TAG, Scope.FLOW}
    if named != bool(request.name) or (request.scope is Scope.TAG) != bool(request.value):
        raise ProtocolError(f"a cancel by {request.scope.name.lower()} that names another scope")
    if (request.scope is Scope.IDS) != bool(request.ids):
        raise ProtocolError("a cancel is of ids, at least one of them, or of another scope")
    return _Cancel(request, view.state.seq)


def _answer(_view: "View", request: CancelTasks, done: Done) -> TasksCancelled:
    return TasksCancelled(request.request, done.affected)


# ---- on every replica ---------------------------------------------------------------------------


def _cancel(ledger: "Ledger", command: CancelSome, effects: list[Effect]) -> Done:
    from raftwork.features import flow_ends  # it asks to end, too

    if command.scope is Scope.FLOW:
        return flow_ends.cancel_part(ledger, command, effects)
    seqs, rest_after = _looked_at(ledger, command)
    if command.known and not seqs:
        raise UnknownTask(f"no task has the id {command.ids[0]!r}, or it is no longer remembered")
    tasks = _meant(ledger, command, unfinished(ledger, seqs))
    runs = [task for task in tasks if task.seq in ledger.running_seqs]
    for task in runs:
        ask_to_end(ledger, task.seq, command.grace, CancelReason.USER, effects)
    waiting = [task for task in tasks if task.seq not in ledger.running_seqs]
    data = encode_failure(Cancelled(CancelReason.USER))
    effects += end_unstarted(ledger, waiting, State.CANCELLED, data)
    more = 0
    if command.scope is Scope.IDS:
        more = flow_ends.cancel_rows(ledger, ledger.numbers(command.ids), effects)
    return Done(len(tasks) + more, rest_after)


def _looked_at(ledger: "Ledger", command: CancelSome) -> tuple[list[int], int]:
    """The numbers of tasks that may be meant, and behind which one the next part begins."""
    db, after, limit = ledger.db, command.after, command.limit
    if command.scope is Scope.IDS:
        return ledger.numbers(command.ids), after + limit if len(command.ids) == limit else 0
    if command.scope is Scope.TAG:
        tag = (command.name, command.value)
        rows = tagged_after(ledger, *tag, after, command.upto, limit)
    else:
        rows = list(db.execute(_ALL, (after, command.upto, limit)))
    rest_after = rows[-1][0] if len(rows) == limit else 0
    return [seq for seq, unfinished in rows if unfinished], rest_after


def _meant(ledger: "Ledger", command: CancelSome, tasks: list[Unstarted]) -> list[Unstarted]:
    match command.scope:
        case Scope.NAME:
            return [task for task in tasks if decode_spec(task.spec).name == command.name]
        case Scope.QUEUE:
            queue = ledger.queues.get(command.name)
            return [task for task in tasks if queue is not None and task.queue == queue.number]
        case _:
            return tasks


def ask_to_end(
    ledger: "Ledger", seq: int, grace: int, reason: CancelReason, effects: list[Effect]
) -> None:
    """The code of a task that runs is asked to end within `grace` ms, for this reason.

    Who asks again can bring its end forward, and gives no other reason for it.
    """
    token = ledger.running_seqs[seq]
    run, due = ledger.running[token], ledger.time + grace
    flags = run.flags
    if flags & CANCELLING:
        before = _grace_ends(ledger, seq)
        if due >= before:
            return
        ledger.drop_timer(before, _GRACE_TIMER, seq)
    else:
        flags |= CANCELLING | reason << REASON_SHIFT
        ledger.running[token] = run._replace(flags=flags)
        effects.append(CancelAsked(token))
    ledger.set_timer(due, _GRACE_TIMER, seq)
    ledger.db.execute(_ASK, (flags, due, seq))


def _grace_ends(ledger: "Ledger", seq: int) -> int:
    """When the grace of a task that was asked to end is over."""
    ((due,),) = ledger.db.execute(_DUE, (seq,))
    return int(due)


def _grace_over(ledger: "Ledger", seqs: Sequence[int], effects: list[Effect]) -> None:
    """Its code has not ended: the task has, and its token is void."""
    runs: list[Running] = []
    for seq in seqs:
        run = ledger.end(ledger.running_seqs[seq])
        assert run is not None, "a grace ended that belonged to no task"
        runs.append(run)
    settle_cancelled(ledger, runs, effects)


def asked_to_end(view: "View", flags: int, due: int) -> list[Reason]:
    """Of a task that runs: what of it is told beside why tasks wait; its row's flags and `due`."""
    if not flags & CANCELLING:
        return []
    return [Reason("cancelling", f"its code was asked to end, and is ended {instant(view, due)}")]


def _ended(ledger: "Ledger", seq: int, _flags: int) -> None:
    ledger.drop_timer(_grace_ends(ledger, seq), _GRACE_TIMER, seq)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, transition
    from raftwork.features.lifecycle import Lifecycle, TimerKind

    return Feature(
        "cancels",
        rules=[change(CancelTasks, _check, _answer)],
        transitions=[transition(CancelSome, _cancel)],
        budget=Budget(requests=_CANCELS_MAX),
        lifecycles=[Lifecycle(CANCELLING, ended=_ended)],
        timers=[TimerKind(_GRACE_TIMER, _grace_over)],
    )
