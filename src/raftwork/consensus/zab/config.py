"""Zab's timings and bounds. Every queue the core keeps has its limit here."""

from dataclasses import dataclass, replace
from typing import Self

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Times in milliseconds, sizes in bytes. Raises ValueError for values that cannot work."""

    #: ZooKeeper's unit of time; a leader pings twice a tick, unless all is at rest.
    tick: int = 100
    #: Ticks of silence after which a follower gives its leader up, or a leader its quorum. A
    #: hand-over of leadership may take as long.
    sync_limit: int = 8
    #: Ticks until an elected leader must be through phase 1, or its follower have an answer. Two
    #: syncs are in it, so it doubles up to the one from the other whenever it was too short.
    connect_limit: int = 4
    connect_limit_max: int = 16
    #: How long a quorum's vote waits for a better one.
    finalize_wait: int = 30
    #: How long we stand, and assume that a peer hears us, before its messages say so.
    hearing: int = 100
    #: Until a notification or FOLLOWERINFO is repeated; doubles from the one to the other.
    resend: int = 50
    resend_max: int = 400
    #: How long a message that is missing from a link may be merely late.
    gap_patience: int = 20
    #: Messages that may be held back behind a missing one.
    gap_messages: int = 256
    #: Proposals a follower may have unanswered.
    window_messages: int = 64
    window_bytes: int = 4 * MIB
    #: One PROPOSE message; a single larger entry still goes, alone.
    propose_bytes: int = 1 * MIB
    #: Proposals beyond this many uncommitted bytes are refused.
    uncommitted_bytes: int = 64 * MIB
    #: What one Output may ask to apply.
    apply_bytes: int = 1 * MIB
    apply_entries: int = 1_000
    #: A follower lets what is committed wait so long, unless it becomes more than this: nothing
    #: waits for what a follower applies, and several entries at once cost less than one by one.
    #: An entry that comes in the last fifth of that time has it done, which spares a turn for it.
    apply_within: int = 20
    apply_waiting_bytes: int = 64 * KIB
    #: Written and applied entries kept in memory for followers that lag a little.
    tail_bytes: int = 16 * MIB
    chunk_bytes: int = 256 * KIB
    #: Snapshot chunks a follower may have unanswered.
    chunk_window: int = 16
    #: How long a silent follower that catches up by snapshot keeps the log from being compacted …
    transfer_patience: int = 10_000
    #: … and how much the log may grow for one that answers, before it needs another snapshot.
    transfer_bytes: int = 1024 * MIB

    @classmethod
    def paced(cls, heartbeat: int, election_timeout: int) -> Self:
        """With these two times (ms) and what follows from them. Raises ValueError.

        A leader pings twice a tick, and its silence is a number of ticks: at least the timeout.
        """
        return cls().retimed(heartbeat, election_timeout)

    def retimed(self, heartbeat: int, election_timeout: int) -> Self:
        """As `paced`, with the bounds of this one."""
        usual, tick = type(self)(), 2 * heartbeat

        def grown(default: int) -> int:
            """In proportion to the tick: slow links need it. Never less: hosts stall all alike."""
            return max(default, default * tick // usual.tick)

        return replace(
            self,
            tick=tick,
            sync_limit=-(-election_timeout // max(1, tick)),
            finalize_wait=grown(usual.finalize_wait),
            hearing=grown(usual.hearing),
            resend=grown(usual.resend),
            resend_max=grown(usual.resend_max),
            gap_patience=grown(usual.gap_patience),
        )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value, may_be_zero = getattr(self, name), name == "apply_within"
            if value < 0 or not (value or may_be_zero):
                least = "not be negative" if may_be_zero else "be positive"
                raise ValueError(f"{name} must {least}, got {value}")
        if self.tick < 2 or self.sync_limit < 2:
            raise ValueError(
                f"need tick ≥ 2 and sync_limit ≥ 2, got {self.tick}, {self.sync_limit}"
            )
        for least in ("resend", "connect_limit"):
            low, high = getattr(self, least), getattr(self, f"{least}_max")
            if low > high:
                raise ValueError(f"need {least} ≤ {least}_max, got {low}, {high}")

    @property
    def ping(self) -> int:
        """Between two pings (ms) while there is work."""
        return self.tick // 2

    @property
    def ping_at_rest(self) -> int:
        """Once all is replicated and every follower knows it: two may be lost before a silence."""
        return max(self.ping, self.silence * 3 // 10)

    @property
    def silence(self) -> int:
        """syncLimit in milliseconds."""
        return self.tick * self.sync_limit

    @property
    def connect(self) -> int:
        """How long phase 1 may take at first (ms)."""
        return self.tick * self.connect_limit

    @property
    def connect_max(self) -> int:
        """How long phase 1 may take after failures (ms)."""
        return self.tick * self.connect_limit_max

    @property
    def watch(self) -> int:
        """The longest a core sleeps, so that only a real stall looks like one to `wake`."""
        return self.silence // 2
