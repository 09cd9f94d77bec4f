"""Tasks enter: what a batch must be, and how an id enters once.

1. Everything that may be refused is checked before anything stays changed, so a refusal needs no
   savepoint. The one check that inserts first (is every id new?) takes back what it inserted, which
   are the rows with the highest numbers.
2. What is stored already is acknowledged at once, whatever else there is room for. The leader
   refuses before it proposes what would be refused where it is applied.
"""

from collections.abc import Iterator, Sequence
from itertools import count as numbers_from
from itertools import groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from raftwork.durations import ms_in_words
from raftwork.errors import (
    BadMessage,
    NewerMessage,
    ProtocolError,
    QueueFull,
    Unsupported,
)
from raftwork.features import unique_keys
from raftwork.features.effects import (
    Done,
    Effect,
    EnqueuedAndAssigned,
    Queued,
    Reply,
)
from raftwork.features.entering import enter_all
from raftwork.features.key_order import check_halted
from raftwork.features.lifecycle import Entering
from raftwork.features.limits import check_limits, named
from raftwork.features.queue_limits import check_fits, check_lanes, check_queues
from raftwork.features.results import watch
from raftwork.features.task_batch import (
    LEVEL_OPTIONS,
    NO_EXTRAS,
    Columns,
    Row,
    check_level,
    check_order,
    checksum_before,
    checksums,
    count_batch,
    is_ordinary,
    payloads_of,
    read_spec,
    read_tasks,
    rows_of,
    spec_of_level_two,
)
from raftwork.features.unique_keys import Fate, Planned
from raftwork.messages import (
    Spec,
)
from raftwork.messages.registry import command, reply, request
from raftwork.release import RELEASE
from raftwork.wire import maker

if TYPE_CHECKING:
    from raftwork.broker.machine.queue import Queue
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Deferred, Feature


_queued, _begun = maker(Queued), maker(EnqueuedAndAssigned)

_INSERT = "INSERT INTO task (seq, id, crc, queue, key, spec, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
_WAIT = "INSERT INTO waiting (queue, seq) SELECT queue, seq FROM task WHERE seq >= ?"

_key_and_extras = itemgetter(3, 4)
_BETWEEN = "SELECT 1 FROM task WHERE id BETWEEN ? AND ? LIMIT 1"
_IS_KNOWN = "SELECT 1 FROM task WHERE id = ?"


# ---- records ------------------------------------------------------------------------------------


@reply(4)
class Enqueued(NamedTuple):
    """All tasks of the request are on a majority's disks.

    `watched` is whether their outcomes will come as Results, without a Watch.
    """

    request: int
    watched: bool = False


@request(3, reply=Enqueued)
class Enqueue(NamedTuple):
    """Store these tasks, all or none. `tasks` is a packed list of Task.

    `watch` asks for their outcomes, too; whether they will come stands in the answer.
    """

    request: int
    created: int  # leader time of the first attempt
    spec: bytes  # a packed Spec
    tasks: bytes
    watch: bool = False


@command(1)
class Admit(NamedTuple):
    """Put tasks into a queue, all or none; ids already known with the same contents are skipped.

    `begin` assigns the first of the new tasks at once, so many to each worker's incarnation: a task
    that nothing waits before needs one commit less until it runs.
    """

    created: int  # leader time of the client's first attempt; older than the window is refused
    spec: bytes
    tasks: bytes  # a packed list of Task, as the client sent it, who may leave out its last fields
    begin: list[tuple[bytes, int]] = []  # noqa: RUF012 - never changed, as all of a record


_admit = maker(Admit)


# ---- whether it may enter ------------------------------------------------------------------------


def check_room(ledger: "Ledger", name: str, payloads: Sequence[bytes]) -> None:
    """Raise QueueFull unless so many new tasks may enter."""
    settings, tasks = ledger.settings, len(payloads)
    for what, count, limit in (
        ("unfinished tasks", ledger.unfinished + tasks, settings.tasks),
        ("finished tasks to remember", ledger.tombstones + 1, settings.tombstones),
    ):
        if count > limit:
            raise QueueFull(f"no room: this would make {count} {what}, {limit} are allowed")
    if name not in ledger.queues:
        check_queues(ledger, name)
        return
    queue = ledger.queues[name]
    if queue.settings.max_length or queue.settings.max_bytes:
        check_fits(queue, tasks, sum(map(len, payloads)))


def new_rows(ledger: "Ledger", spec: bytes, rows: Sequence[Row]) -> list[Row]:
    """The rows of a batch with this packed Spec whose ids are not known yet, each id once.

    Raises ProtocolError if an id is known, or given twice, with other contents.
    """
    ids = [row[0] for row in rows]
    distinct = len(set(ids)) == len(ids)
    # Ids that were made together stand together, and mostly nothing stands between them: one look.
    if distinct and ids and ledger.db.execute(_BETWEEN, (min(ids), max(ids))).fetchone() is None:
        return list(rows)
    known = ledger.checksums(ids)
    if not known and distinct:
        return list(rows)
    new = []
    for row in rows:
        task, crc = row[:2]
        if task not in known:
            known[task] = crc
            new.append(row)
        elif known[task] != crc and known[task] != checksum_before(spec, row):
            raise ProtocolError(f"task id {task!r} is already used, with other contents")
    return new


# ---- on the leader ------------------------------------------------------------------------------


def check(ledger: "Ledger", spec: bytes, tasks: bytes) -> tuple[Spec, Columns]:
    """Refuse before it is proposed what would be refused when it is applied.

    What would stop every replica there must not get into the log at all: a newer client's surplus
    fields. Dropping them would carry out something else than was asked for.

    Raises ProtocolError (Unsupported is one), PayloadTooLarge or QueueFull.
    """
    try:
        read = read_spec(spec, ledger.settings)
        columns = read_tasks(tasks, ledger.settings)
        check_order(read, columns)
    except NewerMessage as error:
        raise Unsupported(
            f"the client asks for more than this broker of raftwork {RELEASE} can do ({error}):"
            " upgrade the brokers first"
        ) from None
    except BadMessage as error:
        raise ProtocolError(f"the batch is malformed: {error}") from None
    if ledger.level < LEVEL_OPTIONS and (columns.extras or spec_of_level_two(read)):
        check_level(ledger, "a task with such options needs")
    try:
        check_halted(ledger, read)
        check_room(ledger, read.queue, columns.payloads)
    except QueueFull:
        # Asking again for what is stored already must not fail because the queue filled up since.
        if new := new_rows(ledger, spec, rows_of(spec, columns, ledger.level)):
            planned = unique_keys.plan(ledger, read, new)
            if not unique_keys.refused(read, planned):
                check_planned(ledger, read, planned)
    return read, columns


def stored(ledger: "Ledger", spec: bytes, tasks: Columns) -> bool:
    """Whether a valid batch has tasks, and none that is new.

    Raises ProtocolError if its first id is known and one of its ids is, with other contents.
    """
    # Asked of every batch, and nearly all are new: one look tells.
    if not tasks.ids or ledger.db.execute(_IS_KNOWN, (tasks.ids[0],)).get is None:
        return False
    return not new_rows(ledger, spec, rows_of(spec, tasks, ledger.level))


class _Batch:
    """A batch on its way into the log: which workers begin is known when its entry is made."""

    def __init__(self, request: "Batched", spec: Spec, tasks: Columns, *, limited: bool) -> None:
        self._request = request
        self._queue, self._name = spec.queue, spec.name
        self._tasks = len(tasks.ids)
        #: Whether where they go is decided once they are in their queue.
        self._placed = bool(tasks.keys or tasks.extras) or limited or not is_ordinary(spec)
        self._begin: list[tuple[bytes, int]] = []

    def command(self, view: "View") -> Admit:
        """New tasks, handed out at once as far as none of their queue is before them."""
        begin = view.intake.begin(self._queue, self._name, self._tasks, placed=self._placed)
        self._begin = begin
        request = self._request
        return _admit((request.created, request.spec, request.tasks, begin))

    def applied(self, view: "View", reply: Reply) -> Reply:
        """They are in, or refused."""
        view.intake.entered(self._queue, self._tasks, self._begin)
        return reply


class Batched(Protocol):
    """A request with a batch of new tasks."""

    @property
    def created(self) -> int:
        """Leader time of its first attempt."""
        ...

    @property
    def spec(self) -> bytes:
        """A packed Spec."""
        ...

    @property
    def tasks(self) -> bytes:
        """A packed list of Task."""
        ...


def accept(view: "View", request: Batched) -> tuple["Deferred | Done", Spec, Columns]:
    """What to propose for a batch, or Done if it is stored already; and the batch.

    Raises as `check`.
    """
    ledger = view.state
    spec, tasks = check(ledger, request.spec, request.tasks)
    if stored(ledger, request.spec, tasks):
        return Done(), spec, tasks
    limited = bool(named(ledger, spec))
    return _Batch(request, spec, tasks, limited=limited), spec, tasks


def _check(view: "View", request: Enqueue) -> "Deferred | Done":
    return accept(view, request)[0]


def _answer(_view: "View", request: Enqueue, _done: Done) -> Enqueued:
    return Enqueued(request.request)


def _watch(view: "View", routing: bytes, request: Enqueue, answer: Enqueued) -> Enqueued:
    if not request.watch:
        return answer
    try:
        watch(view, routing, read_tasks(request.tasks, view.state.settings).ids)
    except QueueFull:
        return answer  # stored all the same: the client asks for the outcomes by themselves
    return answer._replace(watched=True)


# ---- on every replica ---------------------------------------------------------------------------


def admit(ledger: "Ledger", command: Admit, effects: list[Effect]) -> Done | None:
    """Put the batch's new tasks into its queue. Raises what refuses the whole batch.

    And BadMessage, which stops the replica: `check` let no such batch into the log.
    """
    spec = read_spec(command.spec, ledger.settings)
    columns = read_tasks(command.tasks, ledger.settings)
    check_order(spec, columns)
    age = ledger.time - command.created
    window = ledger.settings.enqueue_window
    if age > window:
        raise ProtocolError(
            f"first tried {ms_in_words(age)} ago; after {ms_in_words(window)} an id may be"
            " forgotten, so it is too late to try again: look whether it is there before you"
            " enqueue it anew"
        )
    if ledger.level < LEVEL_OPTIONS and (columns.extras or spec_of_level_two(spec)):
        # A release of level 1 stops at such an entry, so no leader proposes it before level 2.
        raise NewerMessage(f"options of level {LEVEL_OPTIONS} at level {ledger.level}")
    if columns.extras or not is_ordinary(spec) or named(ledger, spec):
        return admit_others(
            ledger, command, spec, rows_of(command.spec, columns, ledger.level), effects
        )
    if not _insert_all(ledger, spec, command.spec, columns):
        rows = new_rows(ledger, command.spec, rows_of(command.spec, columns, ledger.level))
        if not rows:
            return None
        check_room(ledger, spec.queue, payloads_of(rows))
        ids, _, payloads, keys, _ = zip(*rows, strict=True)
        columns = Columns(ids, payloads, keys if columns.keys else ())
        inserted = _insert(ledger, spec, command.spec, columns)
        assert inserted, "ids found to be new were not"
    first, tasks = ledger.seq + 1, list(zip(columns.ids, columns.payloads, strict=True))
    count = len(tasks)
    queue = ledger.enter(spec.queue, count, sum(map(len, columns.payloads)))
    ledger.journal.entered_ready(spec.queue, spec.name, list(columns.ids), first, ledger.time)
    ledger.seq += count
    goes_on = command.begin and not queue.paused_until and queue.quota is None
    begun = _begin(ledger, command, queue, first, tasks, effects) if goes_on else 0
    if begun < count:
        ledger.db.execute(_WAIT, (first + begun,))
        theirs = list(columns.keys[begun:])
        effects.append(_queued((spec.queue, command.spec, first + begun, tasks[begun:], theirs)))
    return None


def admit_others(
    ledger: "Ledger", command: Admit, spec: Spec, rows: list[Row], effects: list[Effect]
) -> Done:
    """Put new tasks in that are not ordinary ones: capabilities have a say in each."""
    # No attempt was made later than now, whatever a client says: sums of it stay within bounds.
    command = command._replace(created=min(command.created, ledger.time))
    new = new_rows(ledger, command.spec, rows)
    if any(row[4] is not None and row[4].unique for row in rows):
        return _admit_keyed(ledger, command, spec, rows, new, effects)
    if new:
        check_limits(ledger, spec)
        _check_entering(ledger, spec, new)
        _enter(ledger, command, spec, new, effects)
    return Done()


def _admit_keyed(
    ledger: "Ledger",
    command: Admit,
    spec: Spec,
    rows: list[Row],
    new: list[Row],
    effects: list[Effect],
) -> Done:
    """As `admit_others`, of a batch with unique keys; some of its rows are new."""
    planned = unique_keys.plan(ledger, spec, new)
    existing = unique_keys.answer(ledger, rows, planned)
    if unique_keys.refused(spec, planned):
        return Done(existing=existing)
    if _entering(planned):
        check_limits(ledger, spec)
    check_planned(ledger, spec, planned)
    for fate, some in groupby(planned, key=lambda each: each.fate):
        match fate:
            case Fate.ENTERS | Fate.FOLLOWS:
                _enter(ledger, command, spec, [each.row for each in some], effects)
            case Fate.REPLACES:
                for each in some:
                    unique_keys.replace(ledger, spec, each, command.created, effects)
            case Fate.IS:
                pass
    return Done(existing=existing)


def check_planned(ledger: "Ledger", spec: Spec, planned: Sequence[Planned]) -> None:
    """Raise QueueFull unless there is room for what is to enter."""
    unique_keys.check_keys(ledger, planned)
    if entering := _entering(planned):
        _check_entering(ledger, spec, entering)
    more, queue = unique_keys.growth(ledger, planned), ledger.queues.get(spec.queue)
    if more and queue is not None:
        check_fits(queue, 0, sum(map(len, payloads_of(entering))) + more)


def _check_entering(ledger: "Ledger", spec: Spec, rows: Sequence[Row]) -> None:
    check_halted(ledger, spec)
    check_lanes(ledger, spec, [(row[3], row[4].tenant if row[4] else "") for row in rows])
    check_room(ledger, spec.queue, payloads_of(rows))


def _entering(planned: Sequence[Planned]) -> list[Row]:
    return [each.row for each in planned if each.fate in (Fate.ENTERS, Fate.FOLLOWS)]


def _enter(
    ledger: "Ledger", command: Admit, spec: Spec, rows: Sequence[Row], effects: list[Effect]
) -> None:
    entering: list[tuple[Spec, bytes, Entering]] = []
    for some in _alike(rows):
        ids, crcs, payloads, keys, extras = zip(*some, strict=True)
        beside = extras[0] or NO_EXTRAS
        tasks = Entering(ledger.seq + 1, ids, crcs, payloads, keys[0], beside, command.created)
        ledger.seq += len(ids)
        entering.append((spec, command.spec, tasks))
    enter_all(ledger, entering, effects)


def _alike(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Those that follow each other and have the same key and extras."""
    for _, some in groupby(rows, key=_key_and_extras):
        alike = list(some)
        extras = alike[0][4]
        if extras is not None and extras.unique:
            yield from ([row] for row in alike)
        else:
            yield alike


def _begin(
    ledger: "Ledger",
    command: Admit,
    queue: "Queue",
    first: int,
    tasks: list[tuple[str, bytes]],
    effects: list[Effect],
) -> int:
    """Assign the first of these new tasks to the workers named for them; returns how many."""
    begun = 0
    for worker, count in command.begin:
        part = tasks[begun : begun + count]
        if not part:
            break
        runs = ledger.assign_new(worker, queue, command.spec, first + begun, part)
        effects.append(_begun((worker, command.spec, runs)))
        begun += len(part)
    return begun


def _insert_all(ledger: "Ledger", spec: Spec, packed: bytes, tasks: Columns) -> bool:
    """The usual case, without a look-up per task: room for all, and every id is new."""
    try:
        check_room(ledger, spec.queue, tasks.payloads)
    except QueueFull:
        return False  # unless some are known already; the slow path finds out
    return bool(tasks.ids) and _insert(ledger, spec, packed, tasks)


def _insert(ledger: "Ledger", spec: Spec, packed: bytes, tasks: Columns) -> bool:
    """Insert all tasks or, if an id is known, none."""
    first = ledger.seq + 1
    known = spec.queue in ledger.queues
    number = ledger.queues[spec.queue].number if known else ledger.last_queue + 1
    ids, crcs, keys = tasks.ids, checksums(packed, tasks, ledger.level), tasks.keys or repeat("")
    rest = repeat(number), keys, repeat(packed), tasks.payloads
    new = zip(numbers_from(first), ids, crcs, *rest)
    if ledger.insert(_INSERT, new):
        return True
    ledger.db.execute("DELETE FROM task WHERE seq >= ?", (first,))
    return False


def _grows(_view: "View", request: Enqueue) -> int:
    return count_batch(request.tasks)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, transition

    return Feature(
        "new tasks",
        rules=[change(Enqueue, _check, _answer, _watch, grows=_grows)],
        transitions=[transition(Admit, admit)],
        #: Of batches taken in and not yet applied; beyond, clients are told to come later.
        budget=Budget(requests=1_000_000, bytes=128 * 1024 * 1024),
    )
