"""Keys that are for some queues only, and requests that name tasks by their ids. Sans-IO.

A task of another queue is to such a key as if there were none. Its queue never changes, so that may
be answered at once; one that is enqueued only later is held back when its outcome is due
(`ResultOutbox`) or its state was read (`concealed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.access.gate import allows
from raftwork.broker.access.rights import RIGHTS
from raftwork.broker.machine.queries import queues_of
from raftwork.errors import UnknownTask
from raftwork.features.results import Answer, Ask, Results, Watch
from raftwork.messages import Result, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raftwork.broker.access.access_list import Grant
    from raftwork.broker.machine.state import Ledger
    from raftwork.messages.registry import Frame


def hidden(ledger: Ledger, ids: Sequence[str], grant: Grant) -> set[str]:
    """Those of these tasks that are in other queues."""
    return {
        task for task, queue in queues_of(ledger, ids).items() if not allows(grant.queues, queue)
    }


def unknown(task: str) -> Result:
    """What is told of it."""
    return Result(task, State.UNKNOWN, b"")


def confined(ledger: Ledger, request: Frame, grant: Grant) -> tuple[Frame, Frame | None]:
    """What is left of a request, and an answer to what is not.

    Raises UnknownTask where it names a task of another queue and nothing else can be answered.
    """
    ids = RIGHTS[type(request)].reach(request).ids
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
