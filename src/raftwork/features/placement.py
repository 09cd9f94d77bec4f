"""Who gets a queue's next task, and why: what its balancer goes by, worker by worker.

It is computed when somebody asks, from what the balancer itself would see. One that goes by turns,
by keys or by dice has no such number, and then nobody is named.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from raftwork.messages.bounds import Name
from raftwork.messages.registry import reply, request

if TYPE_CHECKING:
    from raftwork.broker.requests.view import View
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.feature import Feature

#: Workers in one answer.
WORKERS_MAX = 1_000

#: Of tasks that a worker has, its slots and its weight: the least is next.
Score = Callable[[int, int, float], float]


class Placing(NamedTuple):
    """The balancer of a queue: its name, and what it goes by if that is a number."""

    balancer: str = ""
    score: Score | None = None


class PlacedWorker(NamedTuple):
    """A worker of the queue as its balancer sees it."""

    name: str
    host: str
    pid: int
    busy: int  # tasks that it has, those on their way to it among them
    slots: int
    free: int  # tasks that it may be given to begin at once
    weight: float
    score: float | None  # the least is next; None: the balancer goes by none, or there is no slot
    takes: bool  # it may be given tasks at all
    reason: str  # why not, or not all, for people


@reply(245)
class PlacementTold(NamedTuple):
    """Answers AskPlacement."""

    request: int
    balancer: str
    workers: list[PlacedWorker]
    next: bool  # the first of them gets the next task; False: that is not known


@request(245, reply=PlacementTold)
class AskPlacement(NamedTuple):
    """How the workers of this queue stand with its balancer, the best first."""

    request: int
    queue: Name


def _tell(view: "View", asked: AskPlacement) -> PlacementTold:
    placing = view.placing(asked.queue)
    serving = view.workers.inspection.serving(asked.queue)[:WORKERS_MAX]
    workers = [_placed(view, worker, placing.score) for worker in serving]
    workers.sort(key=lambda w: (not w.takes, not w.free, w.score is None, w.score or 0, w.name))
    first = workers[0] if workers else None
    known = first is not None and first.takes and first.free > 0 and first.score is not None
    return PlacementTold(asked.request, placing.balancer, workers, known)


def _placed(view: "View", worker: "Worker", score: Score | None) -> PlacedWorker:
    weight, busy, slots = worker.load_estimate.weight, worker.busy, worker.slots
    takes = worker.available
    return PlacedWorker(
        *(worker.name, worker.host, worker.pid, busy, slots, max(0, worker.free_slots), weight),
        score(busy, slots, weight) if score is not None and slots else None,
        takes,
        view.workers.inspection.why_not(worker),
    )


def feature() -> "Feature":
    """See the package."""
    from raftwork.features.feature import Budget, Feature, read

    return Feature(
        "placement",
        rules=[read(AskPlacement, _tell, work=200)],
        budget=Budget(requests=100, bytes=1024 * 1024),
    )
