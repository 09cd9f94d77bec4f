"""A cluster as the web process sees it, without one."""

from dataclasses import replace

from raftwork.client.cluster_status import Answers
from raftwork.messages import BrokerStatus, QueueStatus, WorkerStatus
from raftwork.messages.facts import (
    BrokerFacts,
    Durations,
    Latencies,
    MachineFacts,
    PeerProgress,
    QueueTimes,
    RoleChange,
    ServiceFacts,
    SessionFacts,
    SnapshotTimes,
    TaskTotals,
)
from raftwork.web.watch import Watch

ADDRESSES = (("a", "127.0.0.1:1"), ("b", "127.0.0.1:2"), ("c", "127.0.0.1:3"))
QUEUES = [
    QueueStatus("default", 4, 2, 10, 3, 1, bytes=400, cancelled=2, delayed=1),
    QueueStatus('odd "<b>\\name\n', 1, 0, 0, 0, 0),
]
WORKERS = [WorkerStatus("w1", "host", 7, 4, 2, 0.8, 0.1, 0.2, ["default"], "active")]
MACHINE = MachineFacts(
    98,
    [
        TaskTotals(
            "default", "mail.send", 20, 10, 3, 1, 2, 4, 1, 2, 3, Durations([9, 1] + [0] * 12, 25)
        ),
        TaskTotals("default", "other", 5, 5, 0, 0, 0, 0, 0, 0, 0, Durations([0] * 13 + [5], 10**9)),
    ],
    [QueueTimes("default", Durations([7, 0, 1] + [0] * 11, 90), 61_500, dead=1)],
    *(12, 3_400, 5, 2),
)


def facts(*, leads: bool = False) -> BrokerFacts:
    fsyncs = Latencies([0] * 4 + [90, 9, 1] + [0] * 10, 500_000)
    changes = [
        RoleChange(1_000, 2, "seeks", "", "no leader is known"),
        RoleChange(2_000, 3, "leads" if leads else "follows", "a", ""),
    ]
    peers = [PeerProgress("b", 7), PeerProgress("c", 0)] if leads else []
    counters = (2, 1, 0, 3, 1_500)
    sizes = (100, 2_000, 3_000, 4_000)
    turns = Latencies([1] + [0] * 16, 100)
    service = ServiceFacts(
        Latencies([3, 1] + [0] * 15, 1_200),
        Latencies([2] + [0] * 16, 300),
        proposals=4,
        watches=5,
        requests=[("enqueue", 70), ("watch", 6)],
        refused=[("default", "full", 8)],
        stale_reports=9,
    )
    return BrokerFacts(
        *(9_000, 1, 8_000, *counters, fsyncs, turns, 1, *sizes, changes, peers, MACHINE),
        leases_expired=2,
        committed=100,
        checkpoints=Latencies([0] * 7 + [1] + [0] * 9, 30_000),
        snapshots=SnapshotTimes(make=Durations([0, 0, 1] + [0] * 11, 80)),
        damaged=leads,
        peers_dropped=[("b", 3), ("c", 0)],
        sessions=SessionFacts(11, 12, [("slow", 1), ("left", 13)]),
        service=service,
    )


def status(name: str) -> BrokerStatus:
    leads = name == "a"
    own = (name, dict(ADDRESSES)[name], "raft", "leader" if leads else "follower", leads, 3, "a")
    told = (QUEUES, ADDRESSES, (), "0.3.0", (0, 2), 2)
    workers = WORKERS if leads else []
    return BrokerStatus(1, *own, 100, 98, workers, *told, facts=facts(leads=leads))


def watch(name: str = "", without: str = "", **changed: BrokerStatus) -> Watch:
    """That has looked once; the broker `without` does not answer."""
    found = {n: changed.get(n, status(n)) for n, _ in ADDRESSES}
    statuses = {dict(ADDRESSES)[n]: None if n == without else s for n, s in found.items()}
    made = Watch(list(statuses), name, ask=lambda *_, **__: Answers(statuses))
    made.look()
    return made


def aged(made: Watch, seconds: float) -> Watch:
    made.seen = replace(made.seen, at=made.seen.at - seconds)
    return made
