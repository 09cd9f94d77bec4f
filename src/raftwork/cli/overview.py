"""What a cluster looks like from outside: every broker's own facts, put side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

from raftwork.client.addresses import broker_addresses
from raftwork.messages import BrokerStatus, QueueStatus, WorkerStatus

#: Seconds each broker has to answer.
PATIENCE = 1.0
#: Queues that nobody serves, of which each is named.
_UNSERVED_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One broker; `status` is None if it did not answer."""

    name: str
    address: str
    status: BrokerStatus | None
    #: What is wrong between it and the others, or on the way to it; empty if nothing is known.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """The leader is an activated broker, that of the highest epoch if two claim it.

    Without one the queues are those of the most advanced reachable replica, and `stale`.
    """

    leader: str | None
    epoch: int | None
    consensus: str | None
    stale: bool
    brokers: list[Row]
    workers: list[WorkerStatus]
    queues: list[QueueStatus]

    def serves(self, queue: str) -> bool:
        """Whether a worker takes tasks of the queue. Without a leader no worker is known."""
        return any(w.state == "active" and queue in w.queues for w in self.workers)

    def queue_names(self) -> list[str]:
        """Of those that have, or had, tasks, or have settings, or a worker that serves them."""
        served = (name for w in self.workers if w.state != "lost" for name in w.queues)
        return sorted({*served, *(q.name for q in self.queues)})

    def document(self) -> dict[str, object]:
        """The overview as `raftwork status --json` prints it."""
        return {
            "leader": self.leader,
            "epoch": self.epoch,
            "consensus": self.consensus,
            "stale": self.stale,
            "brokers": [_broker(row) for row in self.brokers],
            "workers": [_worker(worker) for worker in self.workers],
            "queues": {queue.name: queue_document(queue) for queue in self.queues},
        }


def observe(brokers: str | None, patience: float = PATIENCE) -> Overview:
    """Ask every broker for its own facts, all at once; each has `patience` seconds to answer."""
    from raftwork.client.status import gather

    return overview(gather(broker_addresses(brokers), patience))


def overview(answers: Mapping[str, BrokerStatus | None]) -> Overview:
    """Judge the brokers' answers, by address."""
    statuses = [status for status in answers.values() if status]
    names = {address: name for status in statuses for name, address in status.cluster}
    names |= {address: status.name for address, status in answers.items() if status}
    rows = [Row(names.get(address, address), address, s) for address, s in answers.items()]
    leader = max((s for s in statuses if s.active), key=lambda s: s.epoch, default=None)
    best = leader or max(statuses, key=lambda s: (s.applied, s.epoch), default=None)
    return Overview(
        leader=leader.name if leader else None,
        epoch=best.epoch if best else None,
        consensus=best.consensus if best else None,
        stale=leader is None,
        brokers=rows,
        workers=leader.workers if leader else [],
        queues=[queue for queue in best.queues if _in_use(queue)] if best else [],
    )


def _broker(row: Row) -> dict[str, object]:
    status = row.status
    return {
        "name": row.name,
        "address": row.address,
        "role": status.role if status else "unreachable",
        "epoch": status.epoch if status else None,
        "committed": status.committed if status else None,
        "applied": status.applied if status else None,
    }


def _worker(worker: WorkerStatus) -> dict[str, object]:
    document: dict[str, object] = worker._asdict()
    document["terms"] = worker.terms._asdict()
    return document


def queue_document(queue: QueueStatus) -> dict[str, object]:
    """A queue as `raftwork status --json` prints it."""
    document: dict[str, object] = queue._asdict()
    del document["name"]
    return document


def unserved(seen: Overview) -> list[str]:
    """What to say of queues in which tasks wait for a worker that is not there."""
    if seen.leader is None:
        return []
    waiting = [q for q in seen.queues if q.queued and not seen.serves(q.name)]
    said = [f"no worker serves the queue {q.name} (queued: {q.queued})" for q in waiting]
    more = len(waiting) - _UNSERVED_SHOWN
    if more > 0:
        said[_UNSERVED_SHOWN:] = [f"no worker serves {more} more queues in which tasks wait"]
    return said


def _in_use(queue: QueueStatus) -> bool:
    """Not if all that ever was is a setting, which is cleared again."""
    return any(queue[1:])
