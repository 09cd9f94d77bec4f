"""Priority, order and fairness: what a task waits in, and what it waits behind.

1. Tasks that are not handed out in the order of their queue's ordinary ones wait in lanes: those
   with a priority, on behalf of a tenant, with gates, for one worker alone, in the order of a key,
   or that were not ready when they were enqueued. All tasks of a lane wait for the same things, so
   its first decides.
2. A place in a lane is a number of the counter that numbers tasks, taken when the task is ready for
   the first time. Nothing takes it away: what was lost, released or failed waits where it stood.
3. A new leader looks at every lane in which something waits, so there is a bound of lanes. Only
   tenants, keys that a limit counts apart, and workers can be many: lanes without are as many as
   queues and priorities at most.
4. Which lane is served next is the dispatcher's choice, on the leader, from these tables alone. So
   it may differ from leader to leader only in what it does not promise.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from raftwork.features import key_order
from raftwork.features.effects import Done, Effect
from raftwork.features.task_batch import check_level
from raftwork.features.task_row import LANED, ORDERED, PENDING
from raftwork.features.waiting import let_in
from raftwork.features.why_it_waits import Reason
from raftwork.messages import ID_MAX, PRIORITY_USUAL, Spec, State, decode_spec
from raftwork.messages.bounds import Between, Name
from raftwork.messages.registry import command, reply, request

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.broker.requests.view import View
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering
    from raftwork.features.why_it_waits import WaitingTask

_OF = "SELECT queue, key, spec FROM task WHERE seq = ?"
_KEY_OF = "SELECT flags, queue, key FROM task WHERE seq = ?"


# ---- records ------------------------------------------------------------------------------------


@reply(110)
class KeyResumed(NamedTuple):
    """The key is not halted: its next task waits to be handed out, if there is one."""

    request: int
    resumed: int  # 1; 0 if it was not halted


@request(110, reply=KeyResumed)
class ResumeKey(NamedTuple):
    """Go on with the ordered tasks of a key that a failure halted."""

    request: int
    queue: Name
    key: Annotated[str, Between(1, ID_MAX)]


@command(110, since=2)
class GoOn(NamedTuple):
    """As ResumeKey."""

    queue: str
    key: str


# ---- on every replica ---------------------------------------------------------------------------


def _enters(ledger: "Ledger", spec: Spec, task: "Entering") -> None:
    """The last of all: it goes by what the others made of the tasks."""
    if spec.ordered:
        task.flags |= ORDERED
    elif (
        spec.priority == PRIORITY_USUAL
        and not task.worker
        and not task.extras.tenant
        and not task.gates
        and task.due <= ledger.time
        and not task.blocked
    ):
        return
    task.flags |= LANED
    queue = ledger.touch(spec.queue).number
    lane = (queue, spec.priority, task.extras.tenant, task.gates, task.worker)
    task.lane = ledger.lanes.enter(*lane, number=task.seq, tasks=len(task.ids))


def _settled(ledger: "Ledger", seq: int, state: State, effects: list[Effect]) -> None:
    """An ordered task has its outcome: it is the next one's turn, or nobody's."""
    queue, key, packed = ledger.db.execute(_OF, (seq,)).get
    if key_order.owner(ledger, queue, key) != seq:
        return
    if state in (State.FAILED, State.LOST) and decode_spec(packed).halts:
        key_order.halt(ledger, queue, key)
    else:
        next_turn(ledger, queue, key, effects)


def next_turn(ledger: "Ledger", queue: int, key: str, effects: list[Effect]) -> None:
    """It is the turn of the next task of a key, or nobody's."""
    if (following := key_order.pass_on(ledger, queue, key)) is not None:
        effects.append(let_in(ledger, queue, *following))


def _go_on(ledger: "Ledger", command: GoOn, effects: list[Effect]) -> Done:
    queue = ledger.queues.get(command.queue)
    if queue is None or key_order.owner(ledger, queue.number, command.key) != key_order.HALTED:
        return Done(0)
    ledger.halted_keys -= 1
    next_turn(ledger, queue.number, command.key, effects)
    return Done(1)


# ---- on the leader ------------------------------------------------------------------------------


def _check(view: "View", request: ResumeKey) -> GoOn:
    check_level(view.state, "keys need")
    return GoOn(request.queue, request.key)


def _answer(_view: "View", request: ResumeKey, done: Done) -> KeyResumed:
    return KeyResumed(request.request, done.affected)


def _not_its_turn(view: "View", task: "WaitingTask") -> Reason | None:
    if task.phase != PENDING or not task.flags & ORDERED:
        return None
    ((key,),) = view.state.db.execute("SELECT key FROM task WHERE seq = ?", (task.seq,))
    owner = key_order.owner(view.state, task.number, key)
    if owner == task.seq:
        return None
    if owner == key_order.HALTED:
        text = f"a task of its key {key} failed for good, and those after it halt until"
        return Reason("halted", f"{text} the key is resumed")
    ((before,),) = view.state.db.execute("SELECT id FROM task WHERE seq = ?", (owner,))
    return Reason("order", f"{before} of the same key {key} comes first, and has no outcome yet")


def _holds(ledger: "Ledger", seq: int) -> Iterator[Sequence[int]]:
    """The task of its key whose turn it is, if that is another one."""
    flags, queue, key = ledger.db.execute(_KEY_OF, (seq,)).get
    owner = key_order.owner(ledger, queue, key) if flags & ORDERED else None
    if owner is not None and owner not in (seq, key_order.HALTED):
        yield (owner,)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.command_line import Argument, CommandLine
    from raftwork.features.feature import Feature, change, transition
    from raftwork.features.lifecycle import Lifecycle

    return Feature(
        "lanes",
        rules=[change(ResumeKey, _check, _answer)],
        transitions=[transition(GoOn, _go_on)],
        command_lines=[
            CommandLine(
                path=("queue", "resume-key"),
                request=ResumeKey,
                reply=KeyResumed,
                help="Go on with the ordered tasks of a key that a failure halted.\n\n"
                "Prints 1, or 0 if it was not halted.",
                example="raftwork queue resume-key accounts ada",
                arguments=(Argument("queue"), Argument("key")),
                says="keys resumed: {resumed}",
            )
        ],
        lifecycles=[Lifecycle(LANED, _enters), Lifecycle(ORDERED, settled=_settled)],
        reasons=[_not_its_turn],
        holds=_holds,
    )
