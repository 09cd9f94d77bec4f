"""Queues are paused and resumed, and an empty one is deleted.

1. Of a paused queue nothing is handed out: a task that a leader had chosen just before waits again.
   What was handed out goes on, and enqueues are taken in.
2. A pause that ends at a time has a timer. As all that stands in the log it holds under any leader.
3. A queue is deleted with its settings, counters and halted keys; its number is never given to
   another one, as its finished tasks keep it until they are forgotten.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from raftwork.errors import ProtocolError
from raftwork.features import key_order
from raftwork.features.effects import Effect, QueueResumed
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.queue_limits import check_queues
from raftwork.features.task_batch import AT_MAX_MS, check_level
from raftwork.features.why_it_waits import Reason, instant
from raftwork.messages.bounds import Between, Name
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.queue import Queue
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature
    from raftwork.features.why_it_waits import WaitingTask

#: Until when a queue is paused that is only resumed by somebody: later than any leader time.
ENDLESS: Final = 2**53
#: Of the timers that end pauses.
_PAUSE_TIMER: Final = 7


@reply(105)
class QueuePaused(NamedTuple):
    """Nothing of it is handed out from now on."""

    request: int


@request(105, reply=QueuePaused)
class PauseQueue(NamedTuple):
    """Hand out nothing of this queue. Tasks that run go on, and new ones are taken in."""

    request: int
    queue: Name
    until: Annotated[int, Between(0, AT_MAX_MS)] = 0  # leader time; 0: until it is resumed


@reply(106)
class QueueGoesOn(NamedTuple):
    """Its tasks are handed out."""

    request: int


@request(106, reply=QueueGoesOn)
class ResumeQueue(NamedTuple):
    """Hand out a paused queue's tasks again."""

    request: int
    queue: Name


@reply(107)
class QueueDeleted(NamedTuple):
    """It is gone, with its settings and counters."""

    request: int


@request(107, reply=QueueDeleted)
class DeleteQueue(NamedTuple):
    """Forget an empty queue. Its next task, or setting, makes it anew."""

    request: int
    queue: Name


@command(105, since=2)
class Pause(NamedTuple):
    """Hand out nothing of a queue until then, leader time; 0: until it is resumed."""

    queue: str
    until: int


@command(106, since=2)
class Resume(NamedTuple):
    """Hand out its tasks again."""

    queue: str


@command(107, since=2)
class Delete(NamedTuple):
    """Forget an empty queue."""

    queue: str


# ---- on the leader ------------------------------------------------------------------------------


def _check_level(view: "View") -> None:
    check_level(view.state, "to pause or delete queues needs")


def _check_pause(view: "View", request: PauseQueue) -> Pause:
    _check_level(view)
    check_queues(view.state, request.queue)
    return Pause(request.queue, request.until)


def _check_resume(view: "View", request: ResumeQueue) -> Resume:
    _check_level(view)
    return Resume(request.queue)


def _check_delete(view: "View", request: DeleteQueue) -> Delete:
    _check_level(view)
    return Delete(request.queue)


# ---- on every replica ---------------------------------------------------------------------------


def _pause(ledger: "Ledger", command: Pause, effects: list[Effect]) -> None:
    check_queues(ledger, command.queue)
    queue = ledger.touch(command.queue)
    if 0 < command.until <= ledger.time:
        _end_pause(ledger, queue, effects)
        return
    _end_pause(ledger, queue, [])  # another one takes its place: nothing goes on
    queue.paused_until = command.until or ENDLESS
    ledger.journal.note(Happened(EventKind.PAUSED, queue=queue.name, due=command.until))
    if command.until:
        ledger.set_timer(command.until, _PAUSE_TIMER, queue.number)


def _resume(ledger: "Ledger", command: Resume, effects: list[Effect]) -> None:
    queue = ledger.queues.get(command.queue)
    if queue is not None:
        _end_pause(ledger, queue, effects)


def _end_pause(ledger: "Ledger", queue: "Queue", effects: list[Effect]) -> None:
    if not queue.paused_until:
        return
    if queue.paused_until < ENDLESS:
        ledger.drop_timer(queue.paused_until, _PAUSE_TIMER, queue.number)
    ledger.touch(queue.name).paused_until = 0
    effects.append(QueueResumed(queue.name))
    ledger.journal.note(Happened(EventKind.RESUMED, queue=queue.name))


def _pauses_over(ledger: "Ledger", numbers: Sequence[int], effects: list[Effect]) -> None:
    for number in numbers:
        _end_pause(ledger, ledger.numbered[number], effects)


def _delete(ledger: "Ledger", command: Delete, effects: list[Effect]) -> None:
    queue = ledger.queues.get(command.queue)
    if queue is None:
        return
    if queue.unstarted or queue.running:
        raise ProtocolError(
            f"queue {queue.name!r} is not empty: {queue.unstarted} tasks wait and {queue.running}"
            " run; it can be deleted once there are none (`raftwork cancel --queue` ends them)"
        )
    ((dead,),) = ledger.db.execute("SELECT count(*) FROM dead WHERE queue = ?", (queue.number,))
    if dead:
        raise ProtocolError(
            f"queue {queue.name!r} has {dead} dead tasks: retry or purge them first"
            " (`raftwork dead`)"
        )
    _end_pause(ledger, queue, effects)
    key_order.forget(ledger, queue.number)
    ledger.drop_queue(queue)
    ledger.journal.note(Happened(EventKind.QUEUE_DELETED, queue=queue.name))


def _paused(view: "View", task: "WaitingTask") -> Reason | None:
    queue = view.state.queues.get(task.queue)
    if queue is None or not queue.paused_until:
        return None
    endless = queue.paused_until == ENDLESS
    until = "it is resumed" if endless else instant(view, queue.paused_until)
    return Reason("paused", f"its queue {task.queue} is paused until {until}")


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.command_line import Argument, CommandLine
    from raftwork.features.feature import Feature, change, transition
    from raftwork.features.lifecycle import TimerKind

    name = (Argument("queue"),)
    return Feature(
        "pauses of queues",
        rules=[
            change(PauseQueue, _check_pause, lambda _view, asked, _done: QueuePaused(asked[0])),
            change(ResumeQueue, _check_resume, lambda _view, asked, _done: QueueGoesOn(asked[0])),
            change(DeleteQueue, _check_delete, lambda _view, asked, _done: QueueDeleted(asked[0])),
        ],
        transitions=[
            transition(Pause, _pause),
            transition(Resume, _resume),
            transition(Delete, _delete),
        ],
        timers=[TimerKind(_PAUSE_TIMER, _pauses_over)],
        reasons=[_paused],
        command_lines=[
            CommandLine(
                path=("queue", "resume"),
                request=ResumeQueue,
                reply=QueueGoesOn,
                help="Hand out a paused queue's tasks again.",
                example="raftwork queue resume mail",
                arguments=name,
                says="{queue} goes on",
            ),
            CommandLine(
                path=("queue", "delete"),
                request=DeleteQueue,
                reply=QueueDeleted,
                help="Forget an empty queue, its settings and its counters.\n\nRefused while it has"
                " tasks without an outcome, or dead ones. Its next task makes it anew.",
                example="raftwork queue delete mail",
                arguments=name,
                says="{queue} is deleted",
            ),
        ],
    )
