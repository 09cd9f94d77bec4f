"""Marks: what people want to see beside the charts and elections, such as a deployment.

1. A mark is in the log: every broker has it, with the time at which it was put there.
2. It has an id of its client's making, so that a request that is made again makes no second one.
3. The newest ROWS_MAX are kept.
"""

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.features.effects import Done, Effect
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.task_batch import LEVEL_OPTIONS, check_level
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Characters of one.
TEXT_MAX: Final = 200
ROWS_MAX: Final = 1_000

_INSERT = """INSERT INTO mark (id, time, text) VALUES (?, ?, ?)
    ON CONFLICT (id) DO NOTHING RETURNING number"""
_DROP = "DELETE FROM mark WHERE number <= ?"
_PAGE = "SELECT number, time, text FROM mark WHERE time >= ? ORDER BY number DESC LIMIT ?"


# ---- records ------------------------------------------------------------------------------------


class MarkRow(NamedTuple):
    """One mark. `time` is leader time, ms, at which it was put into the log."""

    number: int  # grows with each
    time: int
    text: str


@reply(250)
class MarkSet(NamedTuple):
    """It is there, perhaps since an earlier request."""

    request: int


@request(250, reply=MarkSet)
class SetMark(NamedTuple):
    """Put a mark at this time."""

    request: int
    id: Id
    text: Annotated[str, Between(1, TEXT_MAX)]


@reply(251)
class MarksTold(NamedTuple):
    """The newest, newest first."""

    request: int
    marks: list[MarkRow]


@request(251, reply=MarksTold)
class AskMarks(NamedTuple):
    """The newest marks from a leader time on, newest first (linearizable)."""

    request: int
    since: int
    limit: Annotated[int, Between(1, ROWS_MAX)]


@command(250, since=LEVEL_OPTIONS)
class Mark(NamedTuple):
    """Keep this, unless there is one of the id."""

    id: str
    text: str


# ---- on the leader ------------------------------------------------------------------------------


def _check(view: "View", asked: SetMark) -> Mark:
    check_level(view.state, "marks need")
    return Mark(asked.id, asked.text)


def _read(view: "View", asked: AskMarks) -> MarksTold:
    if view.machine.level < LEVEL_OPTIONS:
        return MarksTold(asked.request, [])
    rows = view.state.db.execute(_PAGE, (asked.since, asked.limit))
    return MarksTold(asked.request, [MarkRow(*row) for row in rows])


# ---- on every replica ---------------------------------------------------------------------------


def _mark(ledger: "Ledger", mark: Mark, _effects: list[Effect]) -> Done:
    """Keep it; the oldest goes."""
    number = ledger.db.execute(_INSERT, (mark.id, ledger.time, mark.text)).get
    if number is not None:
        ledger.db.execute(_DROP, (number - ROWS_MAX,))
        ledger.journal.note(Happened(EventKind.MARKED, text=mark.text))
    return Done()


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, change, read, transition

    return Feature(
        "marks",
        rules=[
            change(SetMark, _check, lambda _view, asked, _done: MarkSet(asked.request)),
            read(AskMarks, _read, work=200),
        ],
        transitions=[transition(Mark, _mark)],
        budget=Budget(requests=100),
    )
