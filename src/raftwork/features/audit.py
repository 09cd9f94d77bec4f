"""The audit: what was done, by whom, and what came of it. Kept by every replica.

1. A request that only admins may make is written down when its fate is known, in the next entry of
   the log. Of one whose leader ends just then there may be no row.
2. While there are no keys none of that is written: then nobody knows who it was.
3. A dashboard knows its users, and has what each of them does written down (`NoteAction`). With
   keys the row names its key, too: only that is sure. After a failover it may be there twice.
4. Of what brokers wrote down under a key ROWS_MAX are kept, and apart from that as many of what
   dashboards say. Of more the oldest goes of whoever has the most: who clicks without end pushes
   out what they did themselves, and nobody else's. Contents of tasks are none of it.
"""

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.features.effects import Done, Effect
from raftwork.features.task_batch import check_level
from raftwork.messages.bounds import Between, Name
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature
    from raftwork.messages.registry import Frame

#: Of each kind, see above.
ROWS_MAX: Final = 10_000
#: Rows of one page.
PAGE_MAX: Final = 1_000
#: Characters that are kept of what was asked for, and of what came of it.
TEXT_MAX: Final = 500
DONE: Final = "done"
#: Below it there is no table for it.
_LEVEL: Final = 2

_INSERT = "INSERT INTO audit (time, who, what, outcome, told) VALUES (?, ?, ?, ?, ?)"
_COUNT = "SELECT count(*) FROM audit WHERE told = ?"
#: Of as many the one whose first is the oldest, so that all replicas drop the same.
_DROP = """DELETE FROM audit WHERE number = (
    SELECT min(number) FROM audit WHERE told = ? GROUP BY who
    ORDER BY count(*) DESC, min(number) LIMIT 1)"""
_PAGE = """SELECT number, time, who, what, outcome FROM audit WHERE ? = 0 OR number < ?
    ORDER BY number DESC LIMIT ?"""


# ---- records ------------------------------------------------------------------------------------


class AuditRow(NamedTuple):
    """One thing that was done. `time` is leader time, ms, at which it was written down."""

    number: int  # grows with each
    time: int
    who: str  # the key's name, or a dashboard's user
    what: str
    outcome: str  # `done`, or why not


@reply(210)
class AuditTold(NamedTuple):
    """The newest rows below a number, newest first."""

    request: int
    rows: list[AuditRow]


@request(210, reply=AuditTold)
class AskAudit(NamedTuple):
    """The newest rows numbered below `before` (0: of all), newest first (linearizable)."""

    request: int
    before: int
    limit: Annotated[int, Between(1, PAGE_MAX)]


@reply(211)
class ActionNoted(NamedTuple):
    """It is written down."""

    request: int


@request(211, reply=ActionNoted)
class NoteAction(NamedTuple):
    """Write down what a user of the sender's did, and what came of it."""

    request: int
    user: Name
    what: Annotated[str, Between(1, TEXT_MAX)]
    outcome: Annotated[str, Between(1, TEXT_MAX)]


@command(210, since=2)
class NoteAudit(NamedTuple):
    """Write down what was done, by whom, and what came of it."""

    who: str
    what: str
    outcome: str
    told: bool = False  # by a dashboard, of one of its users


# ---- on the leader ------------------------------------------------------------------------------


def noted(who: str, request: "Frame", outcome: str = DONE) -> NoteAudit:
    """What to write down of a request."""
    return NoteAudit(who, in_words(request), outcome[:TEXT_MAX])


def under_key(asked: NoteAction, key: str) -> NoteAction:
    """The same, as it was sent under this key."""
    return asked._replace(user=f"{asked.user} (key {key})")


def in_words(request: "Frame") -> str:
    """The request's name and its fields, without its number; bytes are not shown."""
    fields: tuple[str, ...] = request._fields  # type: ignore[attr-defined]
    named = zip(fields[1:], request[1:], strict=True)
    shown = [f"{name}={_shown(value)}" for name, value in named]
    return " ".join([type(request).__name__, *shown])[:TEXT_MAX]


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value.name.lower() if isinstance(value, Enum) else repr(value)


def _check(view: "View", asked: NoteAction) -> NoteAudit:
    check_level(view.state, "the audit needs")
    return NoteAudit(asked.user, asked.what, asked.outcome, told=True)


def _read(view: "View", asked: AskAudit) -> AuditTold:
    if view.machine.level < _LEVEL:
        return AuditTold(asked.request, [])
    rows = view.state.db.execute(_PAGE, (asked.before, asked.before, asked.limit))
    return AuditTold(asked.request, [AuditRow(*row) for row in rows])


# ---- on every replica ---------------------------------------------------------------------------


def _note(ledger: "Ledger", note: NoteAudit, _effects: list[Effect]) -> Done:
    """Write it down; of too many one goes."""
    texts = (text[:TEXT_MAX] for text in note[:3])
    ledger.db.execute(_INSERT, (ledger.time, *texts, note.told))
    if ledger.db.execute(_COUNT, (note.told,)).get > ROWS_MAX:
        ledger.db.execute(_DROP, (note.told,))
    return Done()


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, read, transition

    return Feature(
        "the audit",
        rules=[
            read(AskAudit, _read, work=200),
            change(NoteAction, _check, lambda _view, asked, _done: ActionNoted(asked.request)),
        ],
        transitions=[transition(NoteAudit, _note)],
        budget=Budget(requests=100),
    )
