"""What one broker says of itself, for `raftwork status`. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from raftwork.messages import BrokerStatus, Leader
from raftwork.messages.facts import PeerProgress, SessionFacts
from raftwork.release import RELEASE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raftwork.broker.cluster.peers import Peers
    from raftwork.broker.event_ring import EventNotes
    from raftwork.broker.leader.leadership import Leadership
    from raftwork.broker.machine import Machine
    from raftwork.broker.net.sessions import Sessions
    from raftwork.broker.node_setup import Setup
    from raftwork.broker.service_counters import ServiceCounters
    from raftwork.consensus.core import Status
    from raftwork.consensus.durable_replica import Replica
    from raftwork.messages.facts import BrokerFacts


def not_leader(replica: Replica | None) -> str:
    """Why a broker that does not lead serves nobody, and which does."""
    if replica is None:
        return "not the leader: waiting for the other brokers to form a cluster"
    leader = replica.core.status.leader
    return "not the leader" + (f": {leader} is" if leader else " and knows of none")


def known_leader(
    replica: Replica | None, peers: Peers, leadership: Leadership | None, now: int
) -> Leader:
    """The leader that this broker knows of, which may be itself, for its sessions."""
    core = None if replica is None else replica.core.status
    name = "" if core is None else core.leader or ""
    time = 0 if leadership is None else leadership.time(now)
    epoch = 0 if core is None else core.epoch
    return Leader(epoch, name, peers.address(name), leadership is not None, time)


class Counts(NamedTuple):
    """Where a node counts what it does."""

    events: EventNotes
    sessions: Sessions
    dropped: Mapping[str, int]  # of consensus messages, by the broker that they were for
    service: ServiceCounters


def _facts(
    setup: Setup, counts: Counts, core: Status | None, leadership: Leadership | None
) -> BrokerFacts | None:
    facts = counts.events.counted(setup.facts(), None if core is None else core.committed)
    if facts is None:
        return None
    sessions = counts.sessions
    closed = [(str(why), count) for why, count in sessions.ended.items()]
    proposals, watches = (0, 0) if leadership is None else leadership.now_counted
    if core is not None:
        behind = [(p.name, max(0, core.committed.seq - p.matched)) for p in core.peers]
        facts = facts._replace(peers=[PeerProgress(*each) for each in behind])
    return facts._replace(
        peers_dropped=list(counts.dropped.items()),
        sessions=SessionFacts(sessions.clients, setup.outbox_bytes(), closed),
        service=counts.service.told(proposals, watches),
    )


def own_status(
    request: int,
    setup: Setup,
    peers: Peers,
    replica: Replica | None,
    applied: int,
    machine: Machine,
    leadership: Leadership | None,
    *,
    wall: int,
    counts: Counts | None = None,
) -> BrokerStatus:
    """The answer to a StatusRequest; `replica` is None while there is no cluster.

    With `counts` it says what it counts of its process, its store, its replica, and those that it
    serves.
    """
    core = replica.core.status if replica else None
    return BrokerStatus(
        request,
        setup.name,
        setup.cluster[setup.name],
        setup.consensus,
        core.role.value if core else "learner",
        leadership is not None,
        core.epoch if core else 0,
        (core.leader if core else None) or "",
        core.committed.seq if core else 0,
        applied,
        leadership.workers.statuses() if leadership else [],
        machine.queues(),
        peers.addresses,
        peers.unreached,
        *(RELEASE, setup.levels, machine.level),
        *(setup.disk.room, wall, setup.access()),
        None if counts is None else _facts(setup, counts, core, leadership),
    )
