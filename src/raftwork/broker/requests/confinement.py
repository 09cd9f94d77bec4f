"""Keys that are for some queues only, and requests that name tasks by their ids. Sans-IO.

A task of another queue is to such a key as if there were none, and so is a flow with such a task.
A task's queue never changes, so that may be answered at once; one that is enqueued only later is
held back when its outcome is due (`ResultOutbox`) or its state was read (`concealed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.access.gate import allows
from raftwork.broker.access.rights import RIGHTS
from raftwork.broker.machine.queries import queues_of
from raftwork.errors import UnknownSchedule, UnknownTask
from raftwork.features.results import Answer, Ask, Results, Watch
from raftwork.features.task_batch import LEVEL_OPTIONS
from raftwork.messages import Result, State, decode_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.access.access_list import Grant
    from raftwork.broker.machine.state import Ledger
    from raftwork.messages.registry import Frame


def hidden(ledger: Ledger, ids: Sequence[str], grant: Grant) -> set[str]:
    """Those of these tasks that are in other queues, and flows that have a task in one."""
    return {
        task
        for task, queues in queues_of(ledger, ids).items()
        if not all(allows(grant.queues, queue) for queue in queues)
    }


def _check_schedules(ledger: Ledger, ids: Sequence[str], grant: Grant) -> None:
    """Raise UnknownSchedule if one of these makes tasks for other queues."""
    if ledger.level < LEVEL_OPTIONS:
        return
    for id_ in ids:
        row = ledger.schedules.find(id_)
        if row is not None and not allows(grant.queues, decode_spec(row.plan.spec).queue):
            raise UnknownSchedule(
                f"there is no schedule {id_!r} among those of the queues {', '.join(grant.queues)},"
                f" which the key {grant.name} is for"
            )


def unknown(task: str) -> Result:
    """What is told of it."""
    return Result(task, State.UNKNOWN, b"")


def confined(ledger: Ledger, request: Frame, grant: Grant) -> tuple[Frame, Frame | None]:
    """What is left of a request, and an answer to what is not.

    Raises UnknownTask or UnknownSchedule where it names one of another queue and nothing else can
    be answered.
    """
    reach = RIGHTS[type(request)].reach(request)
    _check_schedules(ledger, reach.schedules, grant)
    ids = reach.ids
    out = hidden(ledger, ids, grant) if ids else set[str]()
    if not out:
        return request, None
    if isinstance(request, Watch):
        left = [task for task in request.ids if task not in out]
        told = [unknown(task) for task in request.ids if task in out]
        return request._replace(ids=left), Results(told)
    if isinstance(request, Ask):
        return request, None  # its answer is concealed
    raise UnknownTask(f"no task has the id {min(out)!r}, or it is no longer remembered")


def concealed(ledger: Ledger, answer: Frame, grant: Grant) -> Frame:
    """An answer to such a key, without what it may not know."""
    if not isinstance(answer, Answer):
        return answer
    out = hidden(ledger, [result.id for result in answer.results], grant)
    results = [unknown(each.id) if each.id in out else each for each in answer.results]
    return answer._replace(results=results)
