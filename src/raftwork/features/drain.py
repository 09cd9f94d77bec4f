"""Workers that are to leave.

1. The answer goes out once the workers say themselves that they drain: they say it to every later
   leader too, so what was answered outlives this one.
2. A name is unknown only when every worker has had the time to say hello to this leader.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from raftwork.errors import UnknownWorker
from raftwork.messages.bounds import Name
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.feature import Feature

#: Names given in answer to one that no worker has.
_NAMES_MAX = 20


@reply(40)
class WorkerDraining(NamedTuple):
    """The workers of that name know it themselves, so that it outlives this leader."""

    request: int


@request(40, reply=WorkerDraining)
class DrainWorker(NamedTuple):
    """Let every worker of this name take nothing new, finish what it runs, and end."""

    request: int
    name: Name


def _drain(view: "View", request: DrainWorker) -> Generator[None, None, WorkerDraining]:
    """Notify the workers, and look in every turn whether the answer is known. See rules 1 and 2."""
    notified: list[Worker] = []
    while True:
        for worker in view.workers.named(request.name):
            if worker not in notified:
                notified.append(worker)
                view.workers.drain(worker)
        if any(worker.lost is None and not worker.draining for worker in notified):
            pass  # notified, and not heard from since
        elif any(worker.draining or worker.left for worker in notified):
            return WorkerDraining(request.request)
        elif notified or view.all_heard:
            raise UnknownWorker(_unknown(view, request.name))
        yield


def _unknown(view: "View", name: str) -> str:
    names = sorted({status.name for status in view.workers.statuses()} - {name})
    more = ", …" if len(names) > _NAMES_MAX else ""
    return f"no worker named {name!r}; there are {', '.join(names[:_NAMES_MAX]) or 'none'}{more}"


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Feature, wait

    return Feature("draining workers", rules=[wait(DrainWorker, _drain)])
