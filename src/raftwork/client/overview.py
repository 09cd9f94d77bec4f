"""A cluster seen from outside: every broker's status, side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from raftwork.addresses import same_place
from raftwork.client.addresses import broker_addresses
from raftwork.features.pause_queue import ENDLESS
from raftwork.features.queue_settings import settings_of
from raftwork.messages import BrokerStatus, QueueStatus, WorkerStatus
from raftwork.net.leader_claims import leading

if TYPE_CHECKING:
    from raftwork.keys import Key

#: Seconds that each broker has to answer.
PATIENCE_S = 1.0
#: Queues without a worker, of which each is named.
_UNSERVED_SHOWN = 10


class Row(NamedTuple):
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

    def headless(self) -> str:
        """Why there is no leader, and what to do, as far as can be seen from here."""
        answering = sum(row.status is not None for row in self.brokers)
        if not answering:
            at = ", ".join(row.address for row in self.brokers)
            return (
                f"no broker answers at {at}: are the brokers running, and are these their addresses"
                " (--brokers, RAFTWORK_BROKERS)?"
            )
        return (
            f"no leader found; {answering} of {len(self.brokers)} brokers answer,"
            " and their logs say what they wait for"
        )

    def queue_names(self) -> list[str]:
        """The queues that have, or had, tasks; have settings; or are served by a worker."""
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


def observe(
    brokers: str | None,
    patience: float = PATIENCE_S,
    *,
    follow: bool = True,
    key: "Key | None" = None,
) -> Overview:
    """Ask every broker for its own facts, all at once: all members, if one of these answers.

    Each has `patience` seconds to answer. Without `follow` only those at these addresses are
    asked, and listed. The key is that of RAFTWORK_KEY, if any, unless one is given: whoever has an
    App gives its.
    """
    from raftwork.client.cluster_status import gather

    answers = gather(broker_addresses(brokers), patience, follow=follow, key=key)
    return overview(answers.statuses, answers.failures, follow=follow)


def overview(
    answers: Mapping[str, BrokerStatus | None],
    failures: Mapping[str, str] | None = None,
    *,
    follow: bool = True,
) -> Overview:
    """Judge the brokers' answers, by address; `failures` are why some could not be asked."""
    statuses, strangers = _of_one_cluster([status for status in answers.values() if status])
    leader = leading((s.epoch, s) for s in statuses if s.active)
    best = leader or max(statuses, key=lambda s: (s.applied, s.epoch), default=None)
    if follow and best is not None:
        rows = _members(best, statuses, failures or {}) + strangers
    else:
        rows = _asked(answers, failures or {})
    return Overview(
        leader=leader.name if leader else None,
        epoch=best.epoch if best else None,
        consensus=best.consensus if best else None,
        stale=leader is None,
        brokers=rows,
        workers=leader.workers if leader else [],
        queues=[queue for queue in best.queues if _in_use(queue)] if best else [],
    )


def _of_one_cluster(statuses: Sequence[BrokerStatus]) -> tuple[list[BrokerStatus], list[Row]]:
    """Those of the cluster that most of them belong to, and rows for the others.

    Where a broker listened before it moved another cluster's may listen now, and even lead there.
    """
    clusters = Counter(_names(status) for status in statuses if status.cluster)
    ours = max(clusters, key=lambda names: clusters[names], default=frozenset())
    ones, strangers = list[BrokerStatus](), dict[tuple[str, str], Row]()
    for status in statuses:
        if not status.cluster or _names(status) == ours:
            ones.append(status)
        else:
            key = status.name, status.address
            strangers[key] = Row(*key, status, "it belongs to another cluster")
    return ones, list(strangers.values())


def _names(status: BrokerStatus) -> frozenset[str]:
    return frozenset(name for name, _ in status.cluster)


def _asked(answers: Mapping[str, BrokerStatus | None], failures: Mapping[str, str]) -> list[Row]:
    """What is at each address that was asked."""
    told = [status.cluster for status in answers.values() if status]
    names = {address: name for cluster in told for name, address in cluster}
    names |= {address: status.name for address, status in answers.items() if status}
    return [
        Row(names.get(address, address), address, status, failures.get(address, ""))
        for address, status in answers.items()
    ]


def _members(
    best: BrokerStatus, statuses: Sequence[BrokerStatus], failures: Mapping[str, str]
) -> list[Row]:
    """Each member once, in the order of `--cluster`, then all others that answered."""
    # One that was reached at two addresses says the same of itself at both.
    said = {(status.name, status.address): status for status in statuses}
    rows = []
    for name, address in best.cluster or ((best.name, best.address),):
        own = [key for key in said if key[0] == name]
        key = next((key for key in own if same_place(key[1], address)), own[0] if own else None)
        status = said.pop(key) if key else None
        at = status.address if status else address
        rows.append(Row(name, at, status, _reason(name, status, statuses, failures.get(at, ""))))
    return rows + [Row(name, address, status) for (name, address), status in said.items()]


def _reason(
    name: str, status: BrokerStatus | None, statuses: Sequence[BrokerStatus], failure: str
) -> str:
    """What keeps others from this member. One that is down simply is."""
    # A broker that was started with another `--cluster` may not know it.
    others = [other for other in statuses if other.name != name and name in dict(other.cluster)]
    without = [other.name for other in others if name in other.unreached]
    if status is not None:
        return f"{', '.join(sorted(without))} cannot reach it" if without else ""
    reaching = [other.name for other in others if other.name not in without]
    if failure or not reaching:
        return failure
    return f"no answer from here, but {', '.join(sorted(reaching))} can reach it"


def _broker(row: Row) -> dict[str, object]:
    status = row.status
    return {
        "name": row.name,
        "address": row.address,
        "role": status.role if status else "unreachable",
        "epoch": status.epoch if status else None,
        "committed": status.committed if status else None,
        "applied": status.applied if status else None,
        "reason": row.reason or None,
    }


def _worker(worker: WorkerStatus) -> dict[str, object]:
    document: dict[str, object] = worker._asdict()
    document["terms"] = worker.terms._asdict()
    return document


def queue_document(queue: QueueStatus) -> dict[str, object]:
    """A queue as `raftwork status --json` prints it."""
    document: dict[str, object] = queue._asdict()
    del document["name"], document["settings"]
    until = queue.paused_until
    document["paused"] = until > 0
    document["paused_until"] = instant_of(until) if 0 < until < ENDLESS else None
    return document | asdict(settings_of(queue.settings))


def instant_of(time: int) -> str:
    """Leader time (ms) as ISO 8601, in UTC."""
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")


def unserved(seen: Overview) -> list[str]:
    """Warnings about queues with waiting tasks that no worker serves."""
    if seen.leader is None:
        return []
    waiting = [q for q in seen.queues if q.queued and not seen.serves(q.name)]
    said = [f"no worker serves the queue {q.name} (queued: {q.queued})" for q in waiting]
    more = len(waiting) - _UNSERVED_SHOWN
    if more > 0:
        said[_UNSERVED_SHOWN:] = [f"no worker serves {more} more queues in which tasks wait"]
    return said


def unraised(seen: Overview) -> list[str]:
    """A hint if every broker runs a higher level than the cluster's."""
    statuses = [row.status for row in seen.brokers if row.status]
    if seen.leader is None or len(statuses) < len(seen.brokers):
        return []
    level, most = max(s.level for s in statuses), min(s.levels[1] for s in statuses)
    if level >= most:
        return []
    return [f"every broker runs level {most}, the cluster is at {level}: raftwork upgrade finish"]


def _in_use(queue: QueueStatus) -> bool:
    """Whether it is more than a setting that was cleared again."""
    return any(queue[1:])
