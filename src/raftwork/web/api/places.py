"""One worker, and one queue: how it stands with those that it shares work with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.client.documents import limit_document
from raftwork.client.limits import limit_of
from raftwork.errors import UnknownWorker
from raftwork.features.limits import AskLimits, LimitsTold
from raftwork.features.placement import AskPlacement, PlacementTold
from raftwork.messages import QueueStatus
from raftwork.web.api.looking import queue_row, stamp, worker_row
from raftwork.web.api.search import BUDGET_S
from raftwork.web.api.sight import UnknownQueue

if TYPE_CHECKING:
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: Of a worker: each is a question to the leader.
_QUEUES_SHOWN: Final = 8


def worker(sight: Sight, asked: Asked) -> object:
    """The workers of a name (several may have it), and who is next in each of their queues."""
    name = asked.text("name")
    found = [w for w in sight.seen.overview.workers if w.name == name]
    if not found:
        raise UnknownWorker(f"no worker is named {name!r}, or the leader has forgotten it")
    queues = sorted({queue for each in found for queue in each.queues})
    return {
        "as_of": stamp(sight.seen.at),
        "workers": [worker_row(each) for each in found],
        "queues": [_placement(sight, queue) for queue in queues[:_QUEUES_SHOWN]],
        "more_queues": max(0, len(queues) - _QUEUES_SHOWN),
    }


def queue(sight: Sight, asked: Asked) -> object:
    """A queue: its counters, rates, settings, and its workers as its balancer sees them."""
    name = asked.text("name")
    known = {each.name: each for each in sight.seen.overview.queues}
    placement = _placement(sight, name)
    # What the brokers said last may be a second old, and a queue newer than that.
    if (
        name not in sight.seen.overview.queue_names()
        and not placement["workers"]
        and not sight.app.runs(queue=name, limit=1, budget=BUDGET_S)
    ):
        raise UnknownQueue(f"no queue is named {name!r}, or it was deleted")
    with sight.watch.lock:
        rates = sight.watch.queue_rates.of(name)
    return {
        "as_of": stamp(sight.seen.at),
        "stale": sight.seen.overview.stale,
        "queue": queue_row(sight, known.get(name) or QueueStatus(name, 0, 0, 0, 0, 0)),
        "rates": rates._asdict(),
        "placement": placement,
        "limits": _limits(sight, name),
    }


def _limits(sight: Sight, queue: str) -> list[dict[str, object]]:
    """Those that its unfinished tasks count for, with how many of it run by them."""
    told = sight.app.call(AskLimits(0, queue=queue), LimitsTold).result()
    return [limit_document(limit_of(each)) | {"here": each.here} for each in told.limits]


def _placement(sight: Sight, queue: str) -> dict[str, object]:
    told = sight.app.call(AskPlacement(0, queue), PlacementTold).result()
    return {
        "queue": queue,
        "balancer": told.balancer or None,
        "next": told.workers[0].name if told.next else None,
        "workers": [each._asdict() for each in told.workers],
    }
