"""Raft's timings and bounds. Every queue the core keeps has its limit here."""

from dataclasses import dataclass, replace
from typing import Self

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Times in milliseconds, sizes in bytes. Raises ValueError for values that cannot work."""

    heartbeat: int = 75
    #: … once all is replicated and every peer knows it. Two may be lost without an election.
    heartbeat_at_rest: int = 240
    #: Election timeouts are drawn from election_min … election_max. The smaller one is also how
    #: long a leader lasts without a majority, a voter stays loyal, and a transfer may take.
    election_min: int = 750
    election_max: int = 1500
    #: A lost connection to the leader starts a pre-vote after 0 … hint_delay.
    hint_delay: int = 20
    #: Appends a peer may have unanswered.
    window_messages: int = 64
    window_bytes: int = 4 * MIB
    #: One append message; a single larger entry still goes, alone.
    append_bytes: int = 1 * MIB
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
    #: Written and applied entries kept in memory for peers that lag a little.
    tail_bytes: int = 16 * MIB
    chunk_bytes: int = 256 * KIB
    #: Snapshot chunks a peer may have unanswered.
    chunk_window: int = 16
    #: How long a silent peer that is catching up by snapshot keeps the log from being compacted …
    transfer_patience: int = 10_000
    #: … and how much the log may grow for one that answers, before it needs another snapshot.
    transfer_bytes: int = 1024 * MIB

    @classmethod
    def paced(cls, heartbeat: int, election_timeout: int) -> Self:
        """With these two times (ms) and what follows from them. Raises ValueError."""
        return cls().retimed(heartbeat, election_timeout)

    def retimed(self, heartbeat: int, election_timeout: int) -> Self:
        """As `paced`, with the bounds of this one."""
        at_rest = min(max(heartbeat, election_timeout * 32 // 100), election_timeout // 3)
        return replace(
            self,
            heartbeat=heartbeat,
            heartbeat_at_rest=at_rest,
            election_min=election_timeout,
            election_max=2 * election_timeout,
        )

    def __post_init__(self) -> None:
        if not 0 < 2 * self.heartbeat <= self.election_min < self.election_max:
            raise ValueError(
                f"need 0 < 2·heartbeat ≤ election_min < election_max, got "
                f"{self.heartbeat}, {self.election_min}, {self.election_max}"
            )
        if not self.heartbeat <= self.heartbeat_at_rest <= self.election_min // 3:
            raise ValueError(
                f"need heartbeat ≤ heartbeat_at_rest ≤ election_min / 3, got "
                f"{self.heartbeat}, {self.heartbeat_at_rest}, {self.election_min}"
            )
        for name in self.__slots__:
            value, may_be_zero = getattr(self, name), name in ("hint_delay", "apply_within")
            if value < 0 or not (value or may_be_zero):
                least = "not be negative" if may_be_zero else "be positive"
                raise ValueError(f"{name} must {least}, got {value}")

    @property
    def watch(self) -> int:
        """The longest a core sleeps, so that only a real stall looks like one to `wake`."""
        return self.election_min // 2
