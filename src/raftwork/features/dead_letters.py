"""Dead tasks: those that failed for good or were lost. They are listed, shown, retried, forgotten.

1. An outcome stands for ever (G3). To retry a dead task is to enqueue another with its contents;
   the dead one remembers that one's id, so that to ask twice is to retry once.
2. A dead task's payload is kept as long as its result, and of all of them only so many and so many
   bytes: the oldest go first, and their outcomes stay.
3. What a task lost is written down while it may lose more, and kept with the dead.
"""

from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.errors import BadMessage, ProtocolError, UnknownTask, Unsupported
from raftwork.features.effects import Done, Effect
from raftwork.features.enqueue import Admit, admit
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.losses import forget_losses
from raftwork.features.tags import tags_of
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import Extras, Loss, State, decode_spec, failure_head
from raftwork.messages.bounds import Between, Id, OptionalName
from raftwork.messages.registry import command, reply, request
from raftwork.wire import pack

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Tasks in one page.
DEAD_PAGE_MAX = 200
#: Ids in one PurgeDead.
DEAD_IDS_MAX = 10_000
#: Characters of an error in a list, and bytes of a packed Failure read for them.
_ERROR_MAX = 200
_HEAD_BYTES = 2_048

#: Of a page, as a read counts it: each reads up to a page.
PAGE_WORK = 500

_KEEP = """INSERT INTO dead (seq, queue, ended, attempts, failures, losses, spec, payload)
    SELECT seq, queue, ?, ?, ?, ?, spec, body FROM task WHERE seq = ?
    RETURNING length(spec) + length(payload)"""
_DROP = "DELETE FROM dead WHERE seq = ? RETURNING length(spec) + length(payload), queue"
_TASK = """SELECT dead.number, task.id, dead.spec, task.state, ended, attempts, dead.failures,
    dead.losses, again, task.body"""
#: The same for a list: a failure may have a mebibyte, of which a line is shown.
_HEADS = _TASK.replace("task.body", f"substr(task.body, 1, {_HEAD_BYTES})")
BY_ID = " FROM task JOIN dead USING (seq) WHERE task.id = ?"
_PAGE = """ FROM dead JOIN task USING (seq)
    WHERE dead.number < ? AND (? = 0 OR dead.queue = ?) ORDER BY dead.number DESC LIMIT ?"""
_LOSSES = "SELECT worker, exit, signal, memory, time FROM loss WHERE seq = ? ORDER BY number"
#: A row of _TASK.
_Row = tuple[int, str, bytes, int, int, int, int, int, str, bytes]


# ---- records ------------------------------------------------------------------------------------


class DeadTask(NamedTuple):
    """A task that ended without a value, in short."""

    number: int  # grows with every task that dies
    id: str
    name: str
    queue: str
    state: State  # FAILED or LOST
    ended: int  # leader time, ms
    attempts: int
    failures: int
    losses: int
    error: str  # the beginning of what was said last
    again: str  # the id under which it was enqueued again; empty if it was not


@reply(60)
class DeadPage(NamedTuple):
    """Answers ListDead."""

    request: int
    tasks: list[DeadTask]


@request(60, reply=DeadPage)
class ListDead(NamedTuple):
    """The newest dead tasks below a number, newest first (linearizable)."""

    request: int
    queue: OptionalName  # empty: of all
    before: int
    limit: Annotated[int, Between(1, DEAD_PAGE_MAX)]


@reply(61)
class DeadDetails(NamedTuple):
    """Answers ShowDead."""

    request: int
    task: DeadTask
    failure: bytes  # a packed Failure
    payload: bytes
    losses: list[Loss]


@request(61, reply=DeadDetails)
class ShowDead(NamedTuple):
    """Everything that is known of one dead task (linearizable)."""

    request: int
    id: Id


@reply(62)
class DeadRetried(NamedTuple):
    """It is enqueued as `id`, perhaps since an earlier request."""

    request: int
    id: str


@request(62, reply=DeadRetried)
class RetryDead(NamedTuple):
    """Enqueue a dead task once more, as `new`: its own outcome stands."""

    request: int
    id: Id
    new: Id


@reply(63)
class DeadPurged(NamedTuple):
    """Answers PurgeDead."""

    request: int
    purged: int  # so many that were dead


@request(63, reply=DeadPurged)
class PurgeDead(NamedTuple):
    """Forget what it takes to show and retry these; without ids, all of the queue's or all."""

    request: int
    ids: Annotated[list[Id], Between(0, DEAD_IDS_MAX)]
    queue: OptionalName


@command(60)
class Retry(NamedTuple):
    """Enqueue a dead task once more under the id `new`, unless it was before."""

    created: int
    id: str
    new: str


@command(61)
class Purge(NamedTuple):
    """Forget what it takes to retry these dead tasks; without ids, all of a queue's, or all."""

    ids: list[str]
    queue: str


# ---- the dead -----------------------------------------------------------------------------------


def keep(ledger: "Ledger", runs: "Iterable[Running]") -> None:
    """These are about to end without a value: their contents are still in their rows."""
    for run in runs:
        counts = (run.attempt, run.failures, run.losses)
        ((size,),) = list(ledger.db.execute(_KEEP, (ledger.time, *counts, run.seq)))
        ledger.dead += 1
        ledger.dead_bytes += size
        ledger.dead_in[ledger.queues[run.queue].number] += 1


def drop(ledger: "Ledger", seqs: Iterable[int]) -> int:
    """Those of these tasks that are dead cannot be retried any more; returns how many."""
    if not ledger.dead:
        return 0
    dropped = []
    for seq in seqs:
        for size, queue in list(ledger.db.execute(_DROP, (seq,))):
            dropped.append(seq)
            ledger.dead_bytes -= size
            ledger.dead_in[queue] -= 1
    ledger.dead -= len(dropped)
    forget_losses(ledger, dropped)
    return len(dropped)


def trim(ledger: "Ledger") -> None:
    """Keep the dead within their limits: the oldest go first."""
    settings = ledger.settings
    while ledger.dead > settings.dead or ledger.dead_bytes > settings.dead_bytes:
        many = max(1, ledger.dead - settings.dead)
        rows = list(ledger.db.execute("SELECT seq FROM dead ORDER BY number LIMIT ?", (many,)))
        assert rows, "dead tasks are counted that are not there"
        drop(ledger, [seq for (seq,) in rows])


# ---- on every replica ---------------------------------------------------------------------------


def purge(ledger: "Ledger", command: Purge, _effects: list[Effect]) -> Done:
    """Forget the contents of dead tasks; Done says of how many."""
    db = ledger.db
    if command.ids:
        found = [list(db.execute("SELECT seq" + BY_ID, (id_,))) for id_ in command.ids]
        return Done(drop(ledger, [seq for rows in found for (seq,) in rows]))
    number = _number(ledger, command.queue)
    rows = list(db.execute("SELECT seq FROM dead WHERE ? = 0 OR queue = ?", (number, number)))
    return Done(drop(ledger, [seq for (seq,) in rows]))


def _tenant(ledger: "Ledger", seq: int) -> str:
    """On whose behalf the task ran; empty for nobody's."""
    if ledger.level < LEVEL_OPTIONS:
        return ""
    tenant: str = ledger.db.execute("SELECT tenant FROM task WHERE seq = ?", (seq,)).get
    return tenant


def retry(ledger: "Ledger", command: Retry, effects: list[Effect]) -> None:
    """Enqueue a dead task's contents under a new id.

    Raises UnknownTask, Unsupported, and what `admit` refuses with.
    """
    wanted = "SELECT dead.number, again, key, dead.spec, payload, seq"
    rows = list(ledger.db.execute(wanted + BY_ID, (command.id,)))
    if not rows:
        raise UnknownTask(f"no dead task has the id {command.id!r}")
    ((number, again, key, spec, payload, seq),) = rows
    if again:
        return
    check_no_node(ledger, command.id, seq)
    task = [command.new, payload, key] if key else [command.new, payload]
    tags, tenant = tags_of(ledger, seq), _tenant(ledger, seq)
    if tags or tenant:
        task = [command.new, payload, key, Extras(tenant=tenant, tags=tags)]
    try:
        admit(ledger, Admit(command.created, spec, pack([task])), effects)
    except BadMessage:
        # 0.1.0 stored a client's spec as it came. No leader lets such a one into the log, and here
        # it must not stop every replica.
        raise Unsupported(
            f"the spec of {command.id!r} has more than brokers know; enqueue the task anew"
        ) from None
    ledger.db.execute("UPDATE dead SET again = ? WHERE number = ?", (command.new, number))
    made = decode_spec(spec)
    ledger.journal.note(
        Happened(EventKind.REDRIVEN, [command.id], made.queue, made.name, text=command.new)
    )


# ---- on the leader ------------------------------------------------------------------------------


def check_no_node(ledger: "Ledger", id_: str, seq: int) -> None:
    """Raise ProtocolError for a task of a flow: by itself it would not get what it waited for."""
    if ledger.level < LEVEL_OPTIONS:
        return
    of = (
        "SELECT flow.id FROM task JOIN task AS flow ON flow.seq = abs(task.flow) WHERE task.seq = ?"
    )
    for (flow,) in list(ledger.db.execute(of, (seq,))):
        raise ProtocolError(
            f"{id_} is a task of the flow {flow}: `raftwork flow retry` runs that again"
        )


def _retry(view: "View", request: RetryDead) -> Retry:
    return Retry(view.time, request.id, request.new)


def _retried(view: "View", request: RetryDead, _done: Done) -> DeadRetried:
    return DeadRetried(request.request, retried_as(view.state, request.id))


def _purge(_view: "View", request: PurgeDead) -> Purge:
    return Purge(request.ids, request.queue)


def _purged(_view: "View", request: PurgeDead, done: Done) -> DeadPurged:
    return DeadPurged(request.request, done.affected)


def _list(view: "View", request: ListDead) -> DeadPage:
    number, queue, before, limit = request
    return DeadPage(number, page(view.state, queue, before, limit))


def _show(view: "View", request: ShowDead) -> DeadDetails:
    known = details(view.state, request.request, request.id)
    if known is None:
        raise UnknownTask(f"no dead task has the id {request.id!r}")
    return known


def page(ledger: "Ledger", queue: str, before: int, limit: int) -> list[DeadTask]:
    """Dead tasks numbered below `before`, newest first; an empty name is all queues."""
    number = _number(ledger, queue)
    with closing(ledger.db.execute(_HEADS + _PAGE, (before, number, number, limit))) as rows:
        return [_dead_task(row) for row in rows]


def details(ledger: "Ledger", request: int, id_: str) -> DeadDetails | None:
    """Everything about one dead task; None if there is none of this id."""
    rows = list(ledger.db.execute(_TASK + ", dead.payload, seq" + BY_ID, (id_,)))
    if not rows:
        return None
    ((*row, payload, seq),) = rows
    task = _dead_task((*row,))
    losses = [Loss(*loss) for loss in ledger.db.execute(_LOSSES, (seq,))]
    return DeadDetails(request, task, row[-1], payload, losses)


def retried_as(ledger: "Ledger", id_: str) -> str:
    """The id under which a dead task was enqueued again; empty if it was not."""
    rows: list[tuple[str]] = list(ledger.db.execute("SELECT again" + BY_ID, (id_,)))
    return rows[0][0] if rows else ""


def _number(ledger: "Ledger", queue: str) -> int:
    """A queue's number; 0 stands for all queues, and -1 for one that was never used."""
    if not queue:
        return 0
    known = ledger.queues.get(queue)
    return known.number if known else -1


def _dead_task(row: _Row) -> DeadTask:
    number, id_, packed, state, ended, attempts, failures, losses, again, body = row
    spec, error = decode_spec(packed), failure_head(body, _ERROR_MAX)
    counts = (attempts, failures, losses)
    return DeadTask(number, id_, spec.name, spec.queue, State(state), ended, *counts, error, again)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, read, transition

    return Feature(
        "dead tasks",
        rules=[
            read(ListDead, _list, work=PAGE_WORK),
            read(ShowDead, _show, work=PAGE_WORK),
            change(RetryDead, _retry, _retried),
            change(PurgeDead, _purge, _purged),
        ],
        transitions=[transition(Retry, retry), transition(Purge, purge)],
        budget=Budget(bytes=4 * 1024 * 1024),
    )
