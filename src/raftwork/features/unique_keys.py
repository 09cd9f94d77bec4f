"""Unique keys: how many of a work exist. The table of keys, and what becomes of a new task's key.

1. A key belongs to tasks of one name in one queue. Rights end at queues: if a key were for several,
   whoever may use one of them could replace what is in another, and learn what is there. Its owner
   is a task's row and nothing else: it is held through retries, releases and losses because the row
   is there, and given up in the entry that ends the task (or, with `until="started"`, first hands
   it out).
2. `plan` decides about a whole batch and changes nothing; the tasks of a batch count for each
   other, the first one first. An id is looked up before its key: a task is no conflict for itself.
3. What became part of another task (it replaced its arguments) leaves a tombstone under its own id:
   asked for again it is acknowledged with the same answer, and does nothing a second time.
4. A follower waits, BLOCKED, behind the owner, and has the key after it. There is one at most.
5. A key that only its period keeps is dropped by a timer, and counts as free from that time on.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from raftwork.errors import QueueFull
from raftwork.features.effects import Replaced
from raftwork.features.starts import due_of, schedule, unschedule
from raftwork.features.task_batch import AT_MAX_MS
from raftwork.features.task_row import BEGUN, PENDING, SCHEDULED, TOMBSTONE, UNIQUE
from raftwork.messages import OnConflict, State, decode_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raftwork.broker.machine.state import Ledger, Running
    from raftwork.features.effects import Effect
    from raftwork.features.lifecycle import Entering
    from raftwork.features.task_batch import Row
    from raftwork.messages import Spec

#: Keys that are taken at one time, in the whole cluster.
KEYS_MAX: Final = 1_000_000
_REMEDY = (
    "a key goes with its task's outcome, at the end of its period, or by `raftwork queue free-key`"
)
#: The number of this capability's kind of timer (lifecycle.py).
PERIOD: Final = 3

_KEY = "SELECT queue, name, key, owner, id, next, until, held FROM unique_key WHERE "
_THIS: Final = "queue = ? AND name = ? AND key = ?"
_DROP = "DELETE FROM unique_key WHERE queue = ? AND name = ? AND key = ?"
_TASK = "SELECT id, flags FROM task WHERE seq = ?"
#: Any other tombstone has no body.
_MERGED = """SELECT task.id, body FROM json_each(?) CROSS JOIN task ON task.id = value
    WHERE phase = ? AND length(body) > 0"""
_TARGET = "SELECT seq, queue, phase, due, created, length(body), lane FROM task WHERE id = ?"
_TOMBSTONE = """INSERT INTO task (seq, id, crc, queue, key, phase, due, state, spec, body, flags)
    VALUES (?, ?, ?, ?, '', ?, ?, ?, x'', ?, ?)"""


class Key(NamedTuple):
    """A row of the table."""

    queue: str
    name: str
    key: str
    owner: int  # the task that has it, or had it when its period began
    id: str  # that task's
    next: int  # the task that follows; 0 is none
    until: int  # machine time up to which it stays taken, however its owner ends
    held: bool  # whether its owner holds it still, and not its period alone


class Fate(Enum):
    """What becomes of a new task."""

    ENTERS = auto()  # no key, or a free one
    FOLLOWS = auto()  # behind the owner, which has begun
    REPLACES = auto()  # its arguments are another one's from now on
    IS = auto()  # another one is there


class Planned(NamedTuple):
    """A new task of a batch, and what becomes of it; `other` is the id of the task it meets."""

    row: Row
    fate: Fate
    other: str = ""


class _Found(NamedTuple):
    """A key as one task of a batch finds it."""

    id: str
    held: bool
    begun: bool
    follower: str  # the id of the one that follows; empty if none does


# ---- deciding -----------------------------------------------------------------------------------


def plan(ledger: Ledger, spec: Spec, rows: Sequence[Row]) -> list[Planned]:
    """What becomes of each of these tasks, whose ids are new. Changes nothing."""
    met: dict[str, _Found | None] = {}
    planned: list[Planned] = []
    for row in rows:
        key = row[4].unique if row[4] is not None else ""
        if not key:
            planned.append(Planned(row, Fate.ENTERS))
            continue
        if key not in met:
            met[key] = _find(ledger, spec, key)
        fate, other, met[key] = _meet(spec, row[0], met[key])
        planned.append(Planned(row, fate, other))
    return planned


def refused(spec: Spec, planned: Sequence[Planned]) -> bool:
    """Whether the batch is not to enter, as one of its tasks meets another."""
    return spec.on_conflict is OnConflict.RAISE and any(each.other for each in planned)


def check_keys(ledger: Ledger, planned: Sequence[Planned]) -> None:
    """Raise QueueFull unless there is room for the keys and tombstones that this leaves."""
    replacing = sum(each.fate is Fate.REPLACES for each in planned)
    taking = sum(e.fate is Fate.ENTERS and bool(e.row[4] and e.row[4].unique) for e in planned)
    forgets = f"they are forgotten {ledger.settings.tombstone_ttl} ms after their end"
    for what, count, new, limit, remedy in (
        ("unique keys", ledger.keys, taking, KEYS_MAX, _REMEDY),
        (
            *("finished tasks to remember", ledger.tombstones, replacing),
            *(ledger.settings.tombstones, forgets),
        ),
    ):
        if new and count + new > limit:
            raise QueueFull(
                f"no room: this would make {count + new} {what}, {limit} are allowed; {remedy}"
            )


def growth(ledger: Ledger, planned: Sequence[Planned]) -> int:
    """How many bytes more wait in the queue once this has replaced what it replaces."""
    more = 0
    sizes: dict[str, int] = {}  # by id, the bytes that it has by then
    for (id_, _, payload, *_), fate, other in planned:
        if fate is Fate.REPLACES:
            if other not in sizes:
                _, _, _, _, _, sizes[other], _ = _target(ledger, other)
            more += len(payload) - sizes[other]
            sizes[other] = len(payload)
        elif fate is not Fate.IS:
            sizes[id_] = len(payload)
    return more


def _meet(spec: Spec, id_: str, found: _Found | None) -> tuple[Fate, str, _Found]:
    """What becomes of one task, whom it meets, and how the next one finds the key."""
    conflict = spec.on_conflict
    replaces = conflict is OnConflict.REPLACE or spec.debounce > 0
    if found is None:
        return Fate.ENTERS, "", _Found(id_, held=True, begun=False, follower="")
    if conflict is OnConflict.RAISE or not (replaces or conflict is OnConflict.RERUN):
        return Fate.IS, found.id, found
    if not found.held:  # its period alone keeps it: one more, when that is over
        return Fate.ENTERS, "", _Found(id_, held=True, begun=False, follower="")
    # The owner may be back unstarted, and whoever follows has later arguments than it.
    target = found.follower or ("" if found.begun else found.id)
    if not target:
        return Fate.FOLLOWS, "", found._replace(follower=id_)
    return (Fate.REPLACES if replaces else Fate.IS), target, found


def _find(ledger: Ledger, spec: Spec, key: str) -> _Found | None:
    """The key as it is now; None if it is free."""
    row = _key(ledger, spec, key)
    if row is None or (not row.held and row.until <= ledger.time):
        return None
    if not row.held:
        return _Found(row.id, held=False, begun=True, follower="")
    # What a worker handed back unstarted has not begun, however often it was handed out.
    ((_, flags),) = ledger.db.execute(_TASK, (row.owner,))
    begun = bool(flags & BEGUN) or row.owner in ledger.running_seqs
    follower = ""
    if row.next:
        ((follower, _),) = ledger.db.execute(_TASK, (row.next,))
    return _Found(row.id, held=True, begun=begun, follower=follower)


def merged(ledger: Ledger, ids: Sequence[str]) -> dict[str, str]:
    """Those of these ids that became part of other tasks, with the ids of those."""
    from json import dumps  # clients load this module, and do not wait for that one

    found = ledger.db.execute(_MERGED, (dumps(list(ids)), TOMBSTONE))
    return {id_: bytes(other).decode() for id_, other in found}


def _key(ledger: Ledger, spec: Spec, key: str) -> Key | None:
    return _one(ledger, _THIS, (spec.queue, spec.name, key))


def _one(ledger: Ledger, where: str, values: tuple[str | int, ...]) -> Key | None:
    for queue, name, key, owner, id_, following, until, held in list(
        ledger.db.execute(_KEY + where, values)
    ):
        return Key(queue, name, key, owner, id_, following, until, bool(held))
    return None


def before(ledger: Ledger, follower: int) -> Key | None:
    """The key that this task is to have next; None if it follows none."""
    return _one(ledger, "next = ?", (follower,))


# ---- a task comes -------------------------------------------------------------------------------


def enters(ledger: Ledger, spec: Spec, task: Entering) -> None:
    """A new task whose plan says ENTERS or FOLLOWS: the key is its, or will be."""
    key = task.extras.unique
    if not key:
        return
    (id_,) = task.ids
    task.flags |= UNIQUE
    if spec.debounce:
        task.due = max(task.due, task.created + spec.debounce)
    row = _key(ledger, spec, key)
    if row is not None and row.held:
        task.blocked = True
        _put(ledger, row._replace(next=task.seq))
        return
    begins = task.created
    if row is not None:
        ledger.drop_timer(row.until, PERIOD, row.owner)
        if row.until > ledger.time:
            task.due = max(task.due, row.until)
            begins = max(begins, row.until)
    else:
        ledger.keys += 1
    until = _ends(begins, spec.period)
    _put(ledger, Key(spec.queue, spec.name, key, task.seq, id_, 0, until, held=True))


def replace(ledger: Ledger, spec: Spec, each: Planned, created: int, effects: list[Effect]) -> None:
    """The other task has these arguments from now on; a debounced one waits anew."""
    id_, crc, payload, *_ = each.row
    seq, number, phase, due, first, size, lane = _target(ledger, each.other)
    ledger.db.execute("UPDATE task SET body = ? WHERE seq = ?", (payload, seq))
    queue = ledger.touch(ledger.numbered[number].name)
    queue.bytes += len(payload) - size
    until = min(created + spec.debounce, first + spec.max_wait)
    if spec.debounce and phase == SCHEDULED:
        due = max(due_of(ledger, seq), until)
        unschedule(ledger, [seq])
        schedule(ledger, due, seq, seq)
    elif spec.debounce and phase != PENDING:  # it follows another one
        due = max(due or 0, until)
        ledger.db.execute("UPDATE task SET due = ? WHERE seq = ?", (due, seq))
    if phase == PENDING:
        effects.append(Replaced(queue.name, seq, payload, lane))
    ledger.seq += 1
    ends = ledger.time + ledger.settings.tombstone_ttl
    ledger.db.execute(
        _TOMBSTONE,
        (
            ledger.seq,
            id_,
            crc,
            number,
            TOMBSTONE,
            ends,
            State.CANCELLED,
            each.other.encode(),
            UNIQUE,
        ),
    )
    ledger.tombstones += 1
    ledger.next_expiry = min(ledger.next_expiry, ends)


def _target(ledger: Ledger, id_: str) -> tuple[int, int, int, int | None, int, int, int]:
    rows: list[tuple[int, int, int, int | None, int, int, int]] = list(
        ledger.db.execute(_TARGET, (id_,))
    )
    return rows[0]


def _put(ledger: Ledger, key: Key) -> None:
    ledger.db.execute("INSERT OR REPLACE INTO unique_key VALUES (?, ?, ?, ?, ?, ?, ?, ?)", key)


# ---- a task begins, and ends --------------------------------------------------------------------


def begins(ledger: Ledger, run: Running, spec: Spec) -> None:
    """A task is handed out: one that needs its key until then only gives it up."""
    if spec.until_started and run.attempt == 1:
        _give_up(ledger, run.seq)


def ended(ledger: Ledger, seq: int, _flags: int) -> None:
    """A task has its outcome: it follows no other."""
    ledger.db.execute("UPDATE unique_key SET next = 0 WHERE next = ?", (seq,))


def settled(ledger: Ledger, seq: int, _state: State, _effects: list[Effect]) -> None:
    """A task has its outcome, whatever it is: its key goes, to the one that follows if one does."""
    _give_up(ledger, seq)


def _give_up(ledger: Ledger, owner: int) -> None:
    key = _one(ledger, "owner = ?", (owner,))
    if key is None or not key.held:
        return
    if key.next:
        _promote(ledger, key)
    elif key.until > ledger.time:
        _put(ledger, key._replace(held=False))
        ledger.set_timer(key.until, PERIOD, owner)
    else:
        _drop(ledger, key)


def _promote(ledger: Ledger, key: Key) -> None:
    """The follower has the key and waits for its time: if that is now, the next sweep wakes it."""
    ((id_, number, due, packed),) = ledger.db.execute(
        "SELECT id, queue, due, spec FROM task WHERE seq = ?", (key.next,)
    )
    due = max(due or 0, key.until, ledger.time)
    ledger.db.execute("UPDATE task SET phase = ?, due = NULL WHERE seq = ?", (SCHEDULED, key.next))
    schedule(ledger, due, key.next, key.next)
    queue = ledger.touch(ledger.numbered[number].name)
    queue.blocked -= 1
    queue.scheduled += 1
    period = decode_spec(packed).period
    until = _ends(max(ledger.time, key.until), period)
    _put(ledger, key._replace(owner=key.next, id=id_, next=0, until=until))


def _ends(begins: int, period: int) -> int:
    """Machine time; 0 if there is no period. One may begin where another ends, and so on."""
    return min(begins + period, AT_MAX_MS) if period else 0


def fire(ledger: Ledger, owners: Sequence[int], _effects: list[Effect]) -> None:
    """Periods are over: keys that nothing else keeps are free."""
    for owner in owners:
        key = _one(ledger, "owner = ?", (owner,))
        if key is not None and not key.held and key.until <= ledger.time:
            _drop(ledger, key)


def end_period(ledger: Ledger, queue: str, name: str, key: str) -> bool:
    """Nothing but a task keeps this key from now on; whether its period alone did."""
    row = _one(ledger, _THIS, (queue, name, key))
    if row is None:
        return False
    if row.held:
        _put(ledger, row._replace(until=0))
        return False
    ledger.drop_timer(row.until, PERIOD, row.owner)
    _drop(ledger, row)
    return row.until > ledger.time


def _drop(ledger: Ledger, key: Key) -> None:
    ledger.db.execute(_DROP, key[:3])
    ledger.keys -= 1


def answer(
    ledger: Ledger, rows: Sequence[Row], planned: Sequence[Planned]
) -> tuple[tuple[int, str], ...]:
    """Of a batch as it was sent: which of its tasks are others, by index, and the ids of those.

    `planned` are those that were new.
    """
    others: Mapping[str, str] = {each.row[0]: each.other for each in planned if each.other}
    known = [row[0] for row in rows if row[4] is not None and row[4].unique]
    others = {**merged(ledger, known), **others}
    return tuple((at, others[row[0]]) for at, row in enumerate(rows) if row[0] in others)
