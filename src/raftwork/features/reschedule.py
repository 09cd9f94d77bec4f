"""A task that has not begun is moved to another time.

1. Nothing that a worker has, or had, is moved: it has begun, or may have. Nor is an ordered task
   whose turn may have come: others stand behind it.
2. What waits already leaves its place, and gets another one when its new time has come.
3. `expires` and `deadline` count from the enqueue, and stay.
"""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.errors import UnknownTask
from raftwork.features.effects import Done, Effect, Withdrawn
from raftwork.features.starts import schedule, unschedule
from raftwork.features.task_batch import AT_MAX_MS, check_level
from raftwork.features.task_row import LANED, ORDERED, PENDING, SCHEDULED
from raftwork.features.waiting import places, unwait_from
from raftwork.messages import decode_spec
from raftwork.messages.bounds import Between, Id
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

_TASK = """SELECT seq, queue, phase, attempt, flags, lane, tenant, gates, spec FROM task
    WHERE id = ?"""
_MOVE = "UPDATE task SET phase = ?, due = NULL, flags = ?, lane = ? WHERE seq = ?"


@reply(90)
class Rescheduled(NamedTuple):
    """Answers Reschedule."""

    request: int
    moved: int  # 1; 0 if it has begun, or ended, or stands in the order of a key


@request(90, reply=Rescheduled)
class Reschedule(NamedTuple):
    """Hand this task out at another time, unless it has begun."""

    request: int
    id: Id
    at: Annotated[int, Between(0, AT_MAX_MS)]  # leader time, ms; in the past it is now


@command(90, since=2)
class MoveTo(NamedTuple):
    """As Reschedule."""

    id: str
    at: int


def _move(ledger: "Ledger", command: MoveTo, effects: list[Effect]) -> Done:
    row = ledger.db.execute(_TASK, (command.id,)).fetchone()
    if row is None:
        raise UnknownTask(f"no task has the id {command.id!r}, or it is no longer remembered")
    seq, number, phase, attempt, flags, lane, tenant, gates, packed = row
    waits = phase == PENDING and attempt == 0 and seq not in ledger.running_seqs
    if not (phase == SCHEDULED or (waits and not flags & ORDERED)):
        return Done(0)
    queue = ledger.touch(ledger.numbered[number].name)
    if waits:
        unwait_from(ledger, places(ledger, [seq]))
        queue.queued -= 1
        queue.scheduled += 1
        effects.append(Withdrawn(queue.name, seq))
    if not flags & LANED:
        # It will be ready later than its number says.
        priority = decode_spec(packed).priority
        lane = ledger.lanes.enter(number, priority, tenant, gates, number=seq)
        flags |= LANED
    if not waits:
        unschedule(ledger, [seq])
    ledger.db.execute(_MOVE, (SCHEDULED, flags, lane, seq))
    schedule(ledger, command.at, seq, seq)
    return Done(1)


def _check(view: "View", request: Reschedule) -> MoveTo:
    check_level(view.state, "to reschedule needs")
    return MoveTo(request.id, request.at)


def _answer(_view: "View", request: Reschedule, done: Done) -> Rescheduled:
    return Rescheduled(request.request, done.affected)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, change, transition

    return Feature(
        "tasks moved in time",
        rules=[change(Reschedule, _check, _answer)],
        transitions=[transition(MoveTo, _move)],
    )
