"""What a broker counts of itself, for metrics and the dashboard. Since the start of its process."""

from typing import Final, NamedTuple

#: The upper bounds of a Latencies' buckets, us: 0.25 ms doubled each time, to 8 s.
LATENCY_BOUNDS_US: Final = tuple(250 << n for n in range(16))


class Latencies(NamedTuple):
    """How often something took how long."""

    #: By bucket of LATENCY_BOUNDS_US, not added up; the last one is of what took longer.
    counts: list[int]
    sum_us: int


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
