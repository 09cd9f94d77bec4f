"""Tasks that wait for a time: `delay` and `at`.

1. A delay counts from the client's first attempt to enqueue, so that to try again moves nothing.
2. A task waits in the phase SCHEDULED until machine time has come to its due time, never less; then
   it is one of its queue's waiting tasks, and is handed out as those are.
3. A million may be due at once: an entry wakes so many (the cluster's setting `sweep`), and what is
   left stays due.
"""

from typing import TYPE_CHECKING

from raftwork.messages import Spec

if TYPE_CHECKING:
    from raftwork.broker.machine.state import Ledger
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Entering


def _enters(_ledger: "Ledger", spec: Spec, task: "Entering") -> None:
    if spec.delay:
        task.due = max(task.due, task.created + spec.delay)
    if task.extras.at:
        task.due = max(task.due, task.extras.at)


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature
    from raftwork.features.lifecycle import Lifecycle

    return Feature("timers", lifecycles=[Lifecycle(flag=0, enters=_enters)])
