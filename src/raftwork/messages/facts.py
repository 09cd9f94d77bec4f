"""What a broker counts of itself, for metrics and the dashboard. Since the start of its process."""

from typing import Final, NamedTuple

#: The upper bounds of a Latencies' buckets, us: 0.25 ms doubled each time, to 8 s.
LATENCY_BOUNDS_US: Final = tuple(250 << n for n in range(16))


class Latencies(NamedTuple):
    """How often something took how long."""

    #: By bucket of LATENCY_BOUNDS_US, not added up; the last one is of what took longer.
    counts: list[int]
    sum_us: int


NO_LATENCIES: Final = Latencies([0] * (len(LATENCY_BOUNDS_US) + 1), 0)

#: The upper bounds of the buckets of Durations, ms: 10 ms to 10,000 s.
DURATION_BOUNDS_MS: Final = tuple(int(10**n * step) for n in range(1, 8) for step in (1, 3))[:-1]


class Durations(NamedTuple):
    """How often something of a task took how long."""

    #: By bucket of DURATION_BOUNDS_MS, not added up; the last one is of what took longer.
    counts: list[int]
    sum_ms: int


NO_DURATIONS: Final = Durations([0] * (len(DURATION_BOUNDS_MS) + 1), 0)


class TaskTotals(NamedTuple):
    """What became of the tasks of one name in one queue. A task ends once, an attempt may fail."""

    queue: str
    name: str
    enqueued: int
    succeeded: int
    failed: int
    lost: int
    cancelled: int
    errors: int  # attempts that failed by an error, by their time limit, with their worker
    timeouts: int
    losses: int
    retried: int  # attempts that others followed
    runs: Durations  # of code that returned; below 10 ms it is not measured


class QueueTimes(NamedTuple):
    """Of one queue: for how long tasks that were ready waited for a worker."""

    name: str
    waits: Durations
    oldest_ms: int  # that waits now, since the start of this process at most; 0 if none does
    dead: int = 0  # tasks of it that can be retried by hand


class MachineFacts(NamedTuple):
    """What a replica counts of what it applies. Since the start of its process, as all counters."""

    applied: int  # entries
    tasks: list[TaskTotals]
    queues: list[QueueTimes]
    #: Of now: outcomes that are kept, bytes of these, ids that are remembered, dead tasks.
    results: int
    result_bytes: int
    tombstones: int
    dead: int


class RoleChange(NamedTuple):
    """A broker led, followed another leader, or looked for one, from `at` on."""

    at: int  # ms since 1970, by its own clock
    epoch: int
    role: str  # leads, follows, seeks
    leader: str  # empty if it knew none
    why: str  # of an election, and of the end of a leadership


class PeerProgress(NamedTuple):
    """How far another broker is, as the leader knows it."""

    name: str
    behind: int  # entries


class SnapshotTimes(NamedTuple):
    """How long it took to write one, to send one to another broker, and to go over to one."""

    make: Durations = NO_DURATIONS
    send: Durations = NO_DURATIONS
    install: Durations = NO_DURATIONS


class SessionFacts(NamedTuple):
    """Of the connections of clients and workers."""

    clients: int  # sessions of now
    outbox_bytes: int  # that connections have not taken yet
    closed: list[tuple[str, int]]  # sessions, by why they ended


class ServiceFacts(NamedTuple):
    """What a broker counts while it serves as a leader; what is of now is 0 while it does not."""

    commits: Latencies  # of its entries: from when they were proposed until they were applied
    reads: Latencies  # until their barriers had passed
    proposals: int  # entries that are not applied yet
    watches: int  # tasks whose outcomes clients wait for
    requests: list[tuple[str, int]]  # of clients, by what they are
    refused: list[tuple[str, str, int]]  # enqueues, by queue and reason
    stale_reports: int  # of attempts that were over, or another worker's


class BrokerFacts(NamedTuple):
    """Counters only grow. Sizes are of now."""

    at: int  # ms since 1970, by its own clock
    pid: int
    uptime_ms: int
    leader_changes: int
    elections_won: int
    elections_lost: int  # another broker leads
    elections_undecided: int
    leaderless_ms: int  # it knew of no leader that serves
    fsyncs: Latencies
    turns: Latencies  # of its loop
    stalls: int  # turns that began so late that leases were put off
    log_entries: int
    log_bytes: int
    wal_bytes: int
    database_bytes: int
    #: Oldest first, the newest ones only.
    role_changes: list[RoleChange]
    #: Empty unless it leads.
    peers: list[PeerProgress] = []  # noqa: RUF012 - never changed, as all of a record
    #: What its replica counts.
    machine: MachineFacts | None = None
    #: Requests of clients that it refused as a leader: for want of room, and else; workers that it
    #: gave up.
    refused_full: int = 0
    refused_else: int = 0
    workers_lost: int = 0
    leases_expired: int = 0  # of these, those that were not heard in time
    committed: int = 0  # entries, as `machine.applied`
    checkpoints: Latencies = NO_LATENCIES
    snapshots: SnapshotTimes = SnapshotTimes()
    #: Its data were found damaged at its start, and put aside.
    damaged: bool = False
    #: Consensus messages that did not leave, by the broker that they were for.
    peers_dropped: list[tuple[str, int]] = []  # noqa: RUF012 - as above
    sessions: SessionFacts | None = None
    service: ServiceFacts | None = None
