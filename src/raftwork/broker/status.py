"""What one broker says of itself, for `raftwork status`. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.messages import BrokerStatus
from raftwork.messages.facts import PeerProgress
from raftwork.release import RELEASE

if TYPE_CHECKING:
    from raftwork.broker.cluster.peers import Peers
    from raftwork.broker.leader.leadership import Leadership
    from raftwork.broker.machine import Machine
    from raftwork.broker.node_setup import Setup
    from raftwork.consensus.durable_replica import Replica
    from raftwork.messages.facts import BrokerFacts


def not_leader(replica: Replica | None) -> str:
    """Why a broker that does not lead serves nobody, and which does."""
    if replica is None:
        return "not the leader: waiting for the other brokers to form a cluster"
    leader = replica.core.status.leader
    return "not the leader" + (f": {leader} is" if leader else " and knows of none")


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
    facts: BrokerFacts | None = None,
) -> BrokerStatus:
    """The answer to a StatusRequest; `replica` is None while there is no cluster."""
    core = replica.core.status if replica else None
    if facts is not None and core is not None:
        behind = [(p.name, max(0, core.committed.seq - p.matched)) for p in core.peers]
        facts = facts._replace(peers=[PeerProgress(*each) for each in behind])
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
        facts,
    )
