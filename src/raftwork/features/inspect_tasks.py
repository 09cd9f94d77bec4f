"""Looking at tasks: everything about one, and pages of those that pass a filter.

1. Both are read at the leader behind a barrier: what is told is true, and who holds a task that
   runs, and since when, only the leader knows.
2. A page is bounded work, however few tasks pass: a request looks at so many rows, newest first
   (search_tasks.py), and says where the next one goes on.
3. A task's name and options are in its row until it has its outcome; then its name, its worker and
   its times are (history.py), and its tags, until its result is dropped.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import ProtocolError, UnknownTask
from raftwork.features.cancel import asked_to_end
from raftwork.features.checkpoints import checkpoint_of
from raftwork.features.history import names_of, workers_of
from raftwork.features.lineage import Lineage, lineage_of
from raftwork.features.pins import worker_of
from raftwork.features.progress import Said
from raftwork.features.search_tasks import Filter, glob, parts
from raftwork.features.starts import DUE_OF_SCHEDULED
from raftwork.features.tags import tags_of
from raftwork.features.task_batch import LEVEL_OPTIONS, TAG_LENGTH_MAX
from raftwork.features.task_row import BLOCKED, DELAYED, SCHEDULED, TOMBSTONE, WITHOUT_CODE
from raftwork.features.why_it_waits import Reason, WaitingTask, reasons
from raftwork.messages import NAME_MAX, State, decode_spec, failure_head
from raftwork.messages.bounds import Between, Id, OptionalName
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature, Slices

#: Tasks in one page.
PAGE_MAX: Final = 200
#: What one request may cost: a task is 1, and about 10 us. Of rows alone that is 200,000.
WORK_MAX: Final = 4_000
#: Of a page and of one task, as a read counts it.
_PAGE_WORK, _SHOW_WORK = 500, 200
_ERROR_MAX = 200

_LATER = "flags, lane, place, created, gates, tenant, named, ran_on, ended_at, run_ms"
_WITHOUT = "0, 0, 0, 0, '', '', 0, 0, 0, 0"
# Of a packed failure the first 2,048 bytes are read: they tell its beginning.
_ROW = """SELECT seq, task.id, queue, key, phase, %s, state, attempt, failures, losses, spec,
    CASE WHEN state IN (4, 5, 6) THEN substr(body, 1, 2048) ELSE x'' END, %s FROM task"""
_BY_SEQ = " WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq DESC"
_BY_ID = " WHERE task.id = ?"
_BODY = "SELECT body FROM task WHERE seq = ?"
_ATTEMPTS = "SELECT number, worker, ended, run_ms, error FROM attempt WHERE seq = ? ORDER BY number"

#: What clients make unless they are given an id: it begins with the time of that.
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")

_UNSTARTED = {
    SCHEDULED: State.SCHEDULED,
    BLOCKED: State.BLOCKED,
    WITHOUT_CODE: State.BLOCKED,
}


# ---- records ------------------------------------------------------------------------------------


class TaskFacts(NamedTuple):
    """A task in short. Times are leader time in ms; 0, and an empty text, is what is not known."""

    number: int  # grows with every task that comes in
    id: str
    name: str
    queue: str
    state: State
    key: str
    tenant: str
    priority: int | None  # 0 to 200; None once it has ended
    enqueued: int  # the client's first attempt; an ordinary task's only if its id tells
    due: int  # when it may be handed out (again), while it waits for that
    attempts: int  # hand-outs so far
    failures: int  # so far, while it has no outcome
    losses: int
    worker: str  # that has it, or had it last
    started: int  # when its code began
    ended: int
    run_ms: int  # of the last attempt; 0 is less than could be measured
    error: str  # the beginning of what was said last


class AttemptFacts(NamedTuple):
    """An attempt that failed or was lost, after which there was another one."""

    number: int
    worker: str
    ended: int
    run_ms: int
    error: str


@reply(140)
class TaskShown(NamedTuple):
    """Answers ShowTask."""

    request: int
    task: TaskFacts
    tags: list[tuple[str, str]]
    attempts: list[AttemptFacts]
    waits: list[Reason]  # why it waits, or what ends it soon; empty if nothing does
    spec: bytes  # packed; empty once it has its outcome
    body: bytes  # packed: its arguments, then its value or failure; empty unless asked for
    forgotten: bool  # its value or failure is no longer kept
    progress: Said | None = None  # by its own word, while it runs
    checkpoint: bytes | None = None  # packed; None if there is none, or it was not asked for
    lineage: Lineage | None = None  # None: of a broker that does not tell it


@request(140, reply=TaskShown)
class ShowTask(NamedTuple):
    """Everything that is known of one task (linearizable)."""

    request: int
    id: Id
    body: bool = False


@reply(141)
class TaskPage(NamedTuple):
    """Answers ListTasks. `before` is where the next page begins; 0 if this is the last."""

    request: int
    tasks: list[TaskFacts]
    before: int
    scanned: int  # rows that were looked at
    as_of: int = 0  # leader time at which all of this was so


@request(141, reply=TaskPage)
class ListTasks(NamedTuple):
    """The newest tasks numbered below `before` that pass all that is given (linearizable)."""

    request: int
    before: int
    limit: Annotated[int, Between(1, PAGE_MAX)]
    state: State  # UNKNOWN: any
    name: OptionalName  # a glob
    queue: OptionalName
    tag: Annotated[list[Annotated[str, Between(1, TAG_LENGTH_MAX)]], Between(0, 2)]  # key, value
    since: int  # leader time of the enqueue at least; 0: any
    worker: OptionalName = ""  # that has it, or had it last
    error: Annotated[str, Between(0, NAME_MAX)] = ""  # a part of its beginning, in whatever case


class _Row(NamedTuple):
    """Of the table `task`."""

    seq: int
    id: str
    queue: int
    key: str
    phase: int
    due: int | None
    state: int
    attempt: int
    failures: int
    losses: int
    spec: bytes
    head: bytes
    flags: int
    lane: int
    place: int
    created: int
    gates: str
    tenant: str
    named: int
    ran_on: int
    ended_at: int
    run_ms: int


# ---- one task -----------------------------------------------------------------------------------


def _show(view: "View", asked: ShowTask) -> TaskShown:
    ledger = view.state
    rows = [_Row(*row) for row in ledger.db.execute(_select(ledger, _BY_ID), (asked.id,))]
    if not rows:
        raise UnknownTask(f"no task has the id {asked.id!r}, or it is no longer remembered")
    (row,) = rows
    (facts,) = _facts(view, rows, _names(ledger, rows))
    forgotten = row.phase == TOMBSTONE
    body, checkpoint = b"", None
    if asked.body and not forgotten:
        ((body,),) = ledger.db.execute(_BODY, (row.seq,))
        checkpoint = checkpoint_of(ledger, row.seq)
    runs = facts.state is State.RUNNING
    waits = _why(view, row, facts)
    progress = view.workers.inspection.progress(row.id) if runs else None
    tags, attempts = tags_of(ledger, row.seq), _attempts(ledger, row.seq)
    return TaskShown(
        *(asked.request, facts, tags, attempts, waits, row.spec, body, forgotten),
        *(progress, checkpoint, lineage_of(ledger, row.seq, row.id)),
    )


def _attempts(ledger: "Ledger", seq: int) -> list[AttemptFacts]:
    if ledger.level < LEVEL_OPTIONS:
        return []
    rows = list(ledger.db.execute(_ATTEMPTS, (seq,)))
    workers = workers_of(ledger, [row[1] for row in rows])
    return [AttemptFacts(n, workers.get(worker, ""), *rest) for n, worker, *rest in rows]


def _why(view: "View", row: _Row, facts: TaskFacts) -> list[Reason]:
    due = row.due or 0
    if facts.state.final:
        return []
    if facts.state is State.RUNNING:
        return asked_to_end(view, row.flags, due)
    who = (row.seq, row.id, facts.name, facts.queue, row.queue)
    task = WaitingTask(*who, row.phase, due, row.flags, row.lane, row.place, row.gates)
    return reasons(view, task._replace(worker=worker_of(view.state, row.seq)))


# ---- pages --------------------------------------------------------------------------------------


def _list(view: "View", asked: ListTasks) -> "Slices":
    """It looks at the newest rows, part by part, until the page is full or it has seen enough."""
    if len(asked.tag) == 1:
        raise ProtocolError("a tag is a key and a value, got the key alone")
    ledger, window = view.state, view.state.settings.enqueue_window
    wanted = Filter(asked.state, asked.name, asked.queue, asked.tag, asked.worker, asked.error)
    part_of, passes = parts(ledger, wanted), _passes(view, asked)
    found: list[TaskFacts] = []
    before, scanned, work = asked.before, 0, 0
    while before and work < WORK_MAX:
        part = part_of(before)
        before, scanned, work = part.before, scanned + part.scanned, work + part.work
        rows = _rows(ledger, part.seqs)
        if asked.since and _ends_at(ledger, part.oldest, asked.since - window):
            before = 0
        names = _names(ledger, rows)
        fit = [row for row in rows if passes(row, _name(row, names))]
        told = [facts for facts in _facts(view, fit, names) if _of_worker(asked, facts)]
        if len(found) + len(told) > asked.limit:
            told = told[: asked.limit - len(found)]
            before = told[-1].number
        found += told
        yield part.work
        if len(found) == asked.limit:
            break
    return TaskPage(asked.request, found, before, scanned, view.time)


def _passes(view: "View", asked: ListTasks) -> Callable[[_Row, str], bool]:
    """Whether a row, and the task's name, pass all that was asked for but the worker."""
    ledger = view.state
    queue = ledger.queues.get(asked.queue)
    number = 0 if not asked.queue else queue.number if queue else -1
    matches = glob(asked.name)
    tag, error = tuple(asked.tag), asked.error.casefold()

    def passes(row: _Row, name: str) -> bool:
        return (
            number in {0, row.queue}
            and asked.state in {State.UNKNOWN, _state(ledger, row)}
            and (not asked.since or _enqueued(row) >= asked.since)
            and (not tag or tag in tags_of(ledger, row.seq))
            and (not asked.name or matches(name) is not None)
            and (not error or error in _error(row).casefold())
        )

    return passes


def _of_worker(asked: ListTasks, facts: TaskFacts) -> bool:
    return asked.worker in {"", facts.worker}


def _ends_at(ledger: "Ledger", seq: int, time: int) -> bool:
    """Whether this task and all before it were enqueued before that time.

    Numbers are in the order in which tasks came in, which is at most the enqueue window after their
    clients' first attempts.
    """
    enqueued = [_enqueued(row) for row in _rows(ledger, [seq])]
    return bool(enqueued) and 0 < enqueued[0] < time


# ---- rows ---------------------------------------------------------------------------------------


def _select(ledger: "Ledger", which: str) -> str:
    two = ledger.level >= LEVEL_OPTIONS
    return _ROW % ((DUE_OF_SCHEDULED, _LATER) if two else ("due", _WITHOUT)) + which


def _rows(ledger: "Ledger", seqs: Sequence[int]) -> list[_Row]:
    found = ledger.db.execute(_select(ledger, _BY_SEQ), (str(list(seqs)),))
    return [_Row(*row) for row in found]


def _facts(view: "View", rows: Sequence[_Row], names: "Mapping[int, str]") -> list[TaskFacts]:
    ledger = view.state
    wanted = ledger.running_seqs.keys() & {row.seq for row in rows}
    runs = view.machine.running() if wanted else ()
    running = {run.seq: run for run in runs if run.seq in wanted}
    workers = workers_of(ledger, [row.ran_on for row in rows])
    return [
        _one(view, row, _name(row, names), running.get(row.seq), workers.get(row.ran_on, ""))
        for row in rows
    ]


def _one(view: "View", row: _Row, name: str, run: "Running | None", ran_on: str) -> TaskFacts:
    ledger, state = view.state, _state(view.state, row)
    started = max(0, row.ended_at - row.run_ms) if row.ended_at and row.run_ms else 0
    run_ms, attempts, worker = row.run_ms, row.attempt, ran_on
    if run is not None:
        attempts = run.attempt
        worker, age = view.workers.inspection.held(run.token)
        started, run_ms = (0, 0) if age is None else (max(0, view.time - age), age)
    waits = row.phase in {DELAYED, SCHEDULED}
    return TaskFacts(
        number=row.seq,
        id=row.id,
        name=name,
        queue=ledger.queue_name(row.queue),
        state=state,
        key=row.key,
        tenant=row.tenant,
        priority=decode_spec(row.spec).priority if row.spec else None,
        enqueued=_enqueued(row),
        due=(row.due or 0) if waits else 0,
        attempts=attempts,
        failures=row.failures,
        losses=row.losses,
        worker=worker,
        started=started,
        ended=row.ended_at,
        run_ms=run_ms,
        error=_error(row),
    )


def _names(ledger: "Ledger", rows: Sequence[_Row]) -> "Mapping[int, str]":
    return names_of(ledger, [row.named for row in rows])


def _name(row: _Row, names: "Mapping[int, str]") -> str:
    return decode_spec(row.spec).name if row.spec else names.get(row.named, "")


def _error(row: _Row) -> str:
    if row.phase == TOMBSTONE:  # its failure is forgotten: of one that has a body that is an id
        return f"task {row.head.decode()} has its arguments" if row.head else ""
    return failure_head(row.head, _ERROR_MAX) if row.head else ""


def _state(ledger: "Ledger", row: _Row) -> State:
    if row.state:
        return State(row.state)
    if row.seq in ledger.running_seqs:
        return State.RUNNING
    return _UNSTARTED.get(row.phase, State.QUEUED)


def _enqueued(row: _Row) -> int:
    """Leader time; what an id tells is by its client's clock. 0 if nothing does."""
    if row.created or not _UUID7.fullmatch(row.id):
        return row.created
    return int(row.id[:8] + row.id[9:13], 16)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, read, read_by_slices

    return Feature(
        "looking at tasks",
        rules=[read(ShowTask, _show, work=_SHOW_WORK), read_by_slices(ListTasks, _list)],
        budget=Budget(requests=100, bytes=4 * 1024 * 1024),
    )
