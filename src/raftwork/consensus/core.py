"""A consensus core from outside: facts go in, ordered Outputs come out. No sockets, files or clock.

The contract with the code that embeds a core (`durable_replica.py`):

1. Call `wake(now)` first in every turn, then feed what arrived (`receive`, `link`), then `propose`.
2. Drain `output()` until it returns None, or one that has `more`: what follows is for the next
   turn, at once. Carry out each Output in the order of its fields. `rewind`, `append`, `state`,
   `roster`, `stage` and the applying of `committed` go into one atomic write.
3. When, and only when, that write is as durable as it needs to be, release `send_after_sync` and
   call `synced(output)`. Outputs are settled in the order they were drained.
4. Message bodies and `state` are opaque. A `Position` may only be compared.

Times are integer milliseconds on the caller's monotonic clock; randomness is handed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from raftwork.consensus.replica_events import ReplicaEvent


class Position(NamedTuple):
    """Where an entry sits: (term, index) in Raft, the zxid in Zab. Outsiders may only compare."""

    epoch: int
    seq: int


#: Before the first entry.
ORIGIN = Position(0, 0)


class Kind(IntEnum):
    """What an entry carries. Only DATA reaches the state machine."""

    NOOP = 0
    DATA = 1
    ROSTER = 2


class Entry(NamedTuple):
    """One entry of the log."""

    at: Position
    kind: Kind
    data: bytes


class Peer(NamedTuple):
    """A replica's name and the incarnation of its directory (16 random bytes made with it)."""

    name: str
    incarnation: bytes


#: The incarnation that may vote under each name (design: identity).
Roster = Mapping[str, bytes]


class Message(NamedTuple):
    """Bytes for the named peer, opaque outside the core."""

    to: str
    body: bytes


class Snapshot(NamedTuple):
    """A finished snapshot file: the state after `at`, its size in bytes and its BLAKE2b digest."""

    at: Position
    size: int
    digest: bytes


class Chunk(NamedTuple):
    """Bytes of an incoming snapshot, to be kept at `offset` of the staged file."""

    snapshot: Snapshot
    offset: int
    data: bytes


class Role(StrEnum):
    """What a replica is, for people and for `status`."""

    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEARNER = "learner"


class Output(NamedTuple):
    """What the core wants done. The fields are in the order in which they must happen."""

    #: The core led and no longer does: stop acting as leader before anything else.
    deactivated: bool = False
    #: What happened, for people.
    news: "tuple[ReplicaEvent, ...]" = ()
    #: Promise nothing, so they leave before the sync.
    send: tuple[Message, ...] = ()
    #: Forget every stored entry after this one. Never below what is applied.
    rewind: Position | None = None
    append: tuple[Entry, ...] = ()
    #: Term and vote, or Zab's epochs; replaces the one stored before.
    state: bytes | None = None
    #: Bytes of an incoming snapshot for the staging file (need no sync).
    stage: tuple[Chunk, ...] = ()
    #: Apply these, in order. DATA goes to the machine; a ROSTER entry's effect is in `roster`.
    committed: tuple[Entry, ...] = ()
    #: The roster in force after `committed`, when that changed it: store it with the position.
    roster: Roster | None = None
    #: This replica is the active leader of this epoch from here on (`committed` is applied).
    activated: int | None = None
    #: More is committed than `committed` asks to apply: others have a turn before the next slice.
    more: bool = False
    #: Barriers passed: whatever was committed when they were asked for is applied now.
    reads: tuple[int, ...] = ()
    #: Votes and acks: promises we must survive keeping, so they leave after the sync.
    send_after_sync: tuple[Message, ...] = ()
    #: A follower needs more than the log still holds: make a snapshot, then `snapshot_made`.
    make_snapshot: bool = False
    #: Every byte of this snapshot is staged: check it, switch to it, then call `installed`.
    install: Snapshot | None = None

    @property
    def promises(self) -> bool:
        """Whether the write must be fsynced before `send_after_sync` and `synced`."""
        return (
            bool(self.append)
            or self.state is not None
            or self.rewind is not None
            or self.roster is not None  # a crash must not make us forget which replicas count
        )


class Log(Protocol):
    """The stored log as a core may read it, including what the open transaction has written."""

    @property
    def base(self) -> Position:
        """The position just before the oldest kept entry (everything up to it is compacted)."""
        ...

    @property
    def last(self) -> Position:
        """The newest entry's position, or `base` if none is kept."""
        ...

    def epochs(self) -> Sequence[Position]:
        """The first kept position of every epoch in the log, ascending."""
        ...

    def floor(self, at: Position) -> Position:
        """The newest kept position not after `at`, or `base` if none is."""
        ...

    def entries(self, after: Position, limit_bytes: int) -> list[Entry]:
        """Entries following `after`, at least one if there is any, else up to `limit_bytes`."""
        ...

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes | None:
        """Bytes of the snapshot file made last; None if it cannot be read any more."""
        ...


class Restored(NamedTuple):
    """What the store held when the replica started."""

    state: bytes | None
    applied: Position
    roster: Roster


class Progress(NamedTuple):
    """How far one peer is, as the leader knows it (for `status`)."""

    name: str
    matched: int
    learner: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A replica's own view of the cluster."""

    role: Role
    #: True between `activated` and `deactivated`.
    active: bool
    epoch: int
    leader: str | None
    committed: Position
    peers: tuple[Progress, ...] = ()


class Consensus(Protocol):
    """Raft's and Zab's cores, as Replica drives them."""

    #: Of what is committed one Output asks to apply so many entries at most, or fewer where the
    #: core's own bounds say so. The replica sets it by what the entries before took.
    slice_entries: int

    @property
    def wake_at(self) -> int | None:
        """When `wake` is next needed, in milliseconds on the caller's clock."""
        ...

    @property
    def status(self) -> Status:
        """For people and for what is told to clients; costs a look at every peer."""
        ...

    @property
    def leading(self) -> tuple[int, str | None]:
        """The epoch and the leader of `status`, at less cost: for use in every turn."""
        ...

    @property
    def awaits_peers(self) -> bool:
        """Whether anything waits for what other replicas say next.

        Nothing does of a leader whose whole log is committed: the acknowledgements that are still
        to come may be read a little later. Costs a look at every peer.
        """
        ...

    def wake(self, now: int) -> None:
        """Let time pass. After a gap of an election timeout or more a leader steps down here."""
        ...

    def receive(self, src: Peer, body: bytes, now: int) -> bool:
        """A message from a peer whose name and incarnation the session vouches for.

        False if it leaves nothing to be done: no `output`, and `wake_at` is what it was. Raises
        BadMessage for bytes that are none; state is unchanged then.
        """
        ...

    def link(self, name: str, up: bool, now: int) -> None:
        """The connection to a peer came up or was lost. A hint: it changes no promise."""
        ...

    def propose(self, data: bytes, now: int) -> Position:
        """Append to the log. Raises NotLeader, or QueueFull over the uncommitted bound."""
        ...

    def barrier(self, token: int, now: int) -> None:
        """Ask for a linearizable read; `token` (ever larger) returns in `Output.reads`.

        Raises NotLeader. Barriers still open at `deactivated` will not be answered.
        """
        ...

    def retime(self, heartbeat: int, election_timeout: int, now: int) -> None:
        """Go by these times (ms) from now on. Raises ValueError for those that cannot work.

        Replicas may differ: no promise rests on time. What a leader's silence may last is not cut
        short by it, and a leader is heard at once: it may speak more seldom from now on than those
        expect that have yet to be told.
        """
        ...

    def transfer(self, now: int, to: str = "") -> None:
        """Hand leadership to the named voter, or the most advanced; see `status` for what came.

        Gives up after an election timeout, and at once where there is no such voter or its link is
        down. Nothing is begun while another transfer is under way.
        """
        ...

    def output(self) -> Output | None:
        """What to do next, or None."""
        ...

    def synced(self, output: Output) -> None:
        """The output's write is durable (if it promises anything) and applied."""
        ...

    def compactable(self) -> Position:
        """The log up to here may be dropped as far as the core is concerned."""
        ...

    def compacted(self, base: Position) -> None:
        """The store dropped the log up to `base`."""
        ...

    def snapshot_made(self, snapshot: Snapshot | None) -> None:
        """The snapshot asked for by `make_snapshot` is ready; None if it could not be made."""
        ...

    def installed(self, snapshot: Snapshot | None, roster: Roster, now: int) -> None:
        """The switch to `snapshot` happened; None if the staged bytes were no such snapshot."""
        ...
