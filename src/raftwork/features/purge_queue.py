"""All tasks that wait in a queue are dropped.

1. What is dropped ends for good, as failed, with the type "Purged": clients that wait for its
   result are told. It is not kept with the dead.
2. Tasks that run stay, as do those that wait for their time, a retry or another task, and what is
   enqueued after the purge has returned.
3. A queue may hold a million tasks, and one entry must not hold up others: it drops so many, and
   the leader goes on. A purge that a failover interrupts is asked for again by its client: the next
   leader drops what waits then, and counts only that.
"""

from typing import TYPE_CHECKING, NamedTuple

from raftwork.features.effects import Done, Effect, Reply
from raftwork.features.waiting import end_unstarted, first_waiting
from raftwork.messages import Failure, State, encode_failure
from raftwork.messages.bounds import Name
from raftwork.messages.failures import ending
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature

#: Tasks dropped by one entry: some 10 ms of a replica's time.
_PART = 1_000
#: Purges under way: a turn has the first parts of all that have come since the one before.
_PURGES_MAX = 20


@reply(80)
class QueuePurged(NamedTuple):
    """The tasks have their outcome."""

    request: int
    purged: int  # so many waited


@request(80, reply=QueuePurged)
class PurgeQueue(NamedTuple):
    """Drop the tasks that wait in this queue; returns how many. Those that run stay."""

    request: int
    queue: Name


@command(80, since=1)
class DropWaiting(NamedTuple):
    """Drop the first tasks that wait, up to the number `upto`, and `limit` of them at most."""

    queue: str
    upto: int
    limit: int


@ending(6)
class QueueWasPurged(NamedTuple):
    """It waited in this queue, and was dropped."""

    queue: str

    def in_words(self) -> Failure:
        """See `Ending.in_words`."""
        return Failure("Purged", f"the queue {self.queue} was purged while it waited there", "")


class _Purge:
    """A purge on its way through the log, part by part."""

    def __init__(self, queue: str, upto: int) -> None:
        self._part = DropWaiting(queue, upto, _PART)
        self._purged = 0

    def command(self, _view: "View") -> DropWaiting:
        return self._part

    def applied(self, _view: "View", reply: Reply) -> Reply | None:
        if not isinstance(reply, Done):
            return reply
        self._purged += reply.affected
        return Done(self._purged) if reply.affected < self._part.limit else None


def _check(view: "View", request: PurgeQueue) -> _Purge:
    """Also of what seems to be empty: a leader that is deposed does not know what waits by now."""
    return _Purge(request.queue, view.state.seq)


def _answer(_view: "View", request: PurgeQueue, done: Done) -> QueuePurged:
    return QueuePurged(request.request, done.affected)


def _drop(state: "Ledger", command: DropWaiting, effects: list[Effect]) -> Done:
    tasks = first_waiting(state, command.queue, command.upto, command.limit)
    data = encode_failure(QueueWasPurged(command.queue))
    # They are told so, but did not fail: that halts no key.
    effects += end_unstarted(state, tasks, State.FAILED, data, fate=State.CANCELLED)
    return Done(len(tasks))


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.command_line import Argument, CommandLine
    from raftwork.features.feature import Budget, Feature, change, transition

    return Feature(
        "purges",
        rules=[change(PurgeQueue, _check, _answer)],
        transitions=[transition(DropWaiting, _drop)],
        budget=Budget(requests=_PURGES_MAX),
        command_lines=[
            CommandLine(
                path=("queue", "purge"),
                request=PurgeQueue,
                reply=QueuePurged,
                help="Drop the tasks that wait in a queue.\n\nTheir results are failures of type "
                "Purged. Tasks that run stay, as do those that wait for their time, a retry or "
                "another task.",
                example="raftwork queue purge mail",
                arguments=(Argument("queue"),),
                says="tasks dropped from {queue}: {purged}",
            )
        ],
    )
