"""What the phases of Raft share: one replica's state, and the transitions between roles.

What belongs to a role lives in the role's object and dies with it, so no flag of an old leadership
(a transfer, an open read, a peer's progress) can outlive it. The term grows only in `follow` and
`stand`; the vote is cleared if and only if it grows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raftwork.consensus.core import Chunk, Entry, Kind, Message, Peer, Position, Snapshot
from raftwork.consensus.membership import Membership
from raftwork.consensus.quorum import majority
from raftwork.consensus.raft.config import Config
from raftwork.consensus.raft.log import RaftLog
from raftwork.consensus.raft.messages import (
    AppendReply,
    HardState,
    RaftMessage,
    encode,
    encode_hard_state,
)
from raftwork.consensus.raft.transitions import TRANSITIONS, Event, State
from raftwork.consensus.replica_events import Cause, LeadershipEnded, ReplicaEvent
from raftwork.consensus.snapshot_transfer import PAUSE_MAX_MS, PAUSE_MS, Archive, Incoming, Outgoing
from raftwork.net.backoff import Pause
from raftwork.wire import maker

if TYPE_CHECKING:
    from random import Random


_entry, _position = maker(Entry), maker(Position)


@dataclass(slots=True)
class Follower:
    """Follows `leader`, or waits for one; a learner is a follower that never campaigns."""

    leader: str | None
    #: When the leader was last heard; None also when our connection to it closed since.
    heard: int | None
    #: When to look for another leader: `timeout` after the last sign of life.
    deadline: int
    timeout: int


@dataclass(slots=True)
class Candidate:
    """Asks for votes or, before it, whether it would get them."""

    deadline: int
    #: When to ask again the peers that have not answered.
    ask_at: int
    transfer: bool = False
    granted: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Progress:
    """What the leader knows of one peer's present incarnation. `match` only grows."""

    incarnation: bytes
    #: Index of the next entry to send.
    next: int
    #: When it last answered in this term.
    heard: int
    match: int = 0
    #: Looking for where the logs agree: one empty append at a time.
    probing: bool = False
    #: The probe is out; the answer or the next heartbeat lifts this.
    paused: bool = False
    #: Say something even if there is no entry to send.
    beat: bool = True
    #: Newest read round it answered.
    round: int = 0
    #: Last index and size of each unanswered append.
    inflight: deque[tuple[int, int]] = field(default_factory=deque)
    inflight_bytes: int = 0
    outgoing: Outgoing | None = None
    #: It was sent a snapshot and has not reached the commit since: how far the log had grown then.
    behind: int | None = None


@dataclass(slots=True)
class Transfer:
    """Leadership is promised to `target`; void from `deadline` on."""

    target: str
    deadline: int
    sent: bool = False


@dataclass(slots=True)
class Read:
    """A barrier: passed once `round` is answered by a quorum and `at` is applied."""

    token: int
    round: int
    at: int


@dataclass(slots=True)
class Leader:
    """What only a leader knows."""

    peers: dict[str, Progress]
    #: Index of the no-op of this term: the leader is active once it is committed and applied.
    noop: int
    #: When the last heartbeat was sent, and what was committed then.
    beaten: int
    announced_commit: int
    #: The same, but never less than the no-op: where a learner has caught up.
    commit_at_heartbeat: int
    #: When to look next whether a majority still answers.
    quorum_until: int
    #: Newest read round begun.
    round: int = 0
    reads: deque[Read] = field(default_factory=deque)
    transfer: Transfer | None = None


@dataclass(slots=True)
class Outbox:
    """The parts of the next Output that are not derived from elsewhere."""

    deactivated: bool = False
    news: list[ReplicaEvent] = field(default_factory=list)
    send: list[Message] = field(default_factory=list)
    state: bool = False
    stage: list[Chunk] = field(default_factory=list)
    make_snapshot: bool = False
    install: Snapshot | None = None
    #: One acknowledgement a leader and output: they are cumulative.
    acks: dict[str, AppendReply] = field(default_factory=dict)
    promises: list[Message] = field(default_factory=list)


class Node:
    """One replica's state, shared by the phases. Times in milliseconds, indexes from 1."""

    __slots__ = (
        "applied",
        "applying",
        "archive",
        "commit",
        "config",
        "down",
        "incoming",
        "log",
        "me",
        "names",
        "now",
        "others",
        "out",
        "quorum",
        "refusal",
        "rng",
        "role",
        "roster",
        "state",
        "term",
        "vote",
    )

    def __init__(
        self,
        me: Peer,
        names: Sequence[str],
        log: RaftLog,
        roster: Membership,
        hard: HardState,
        applied: int,
        config: Config,
        rng: Random,
        now: int,
    ) -> None:
        self.me = me
        self.names = tuple(names)
        self.others = tuple(name for name in names if name != me.name)
        self.quorum = majority(len(names))
        self.log = log
        self.roster = roster
        self.term, self.vote = hard
        self.config = config
        self.rng = rng
        self.now = now
        #: Indexes: known committed ≥ given out to be applied ≥ applied.
        self.commit = self.applying = self.applied = applied
        self.incoming: Incoming | None = None
        self.archive = Archive()
        #: While it lasts no snapshot is received: one could not be installed.
        self.refusal = Pause(PAUSE_MS, PAUSE_MAX_MS)
        #: Names whose connection to us is down.
        self.down: set[str] = set()
        self.out = Outbox()
        self.state = State.FOLLOWER
        self.role: Follower | Candidate | Leader = self._resting(None)

    # ---- what others may know -----------------------------------------------------------------

    @property
    def leader(self) -> str | None:
        """The name of the leader of this term, if one is known."""
        role = self.role
        if type(role) is Follower:
            return role.leader
        return self.me.name if type(role) is Leader else None

    @property
    def is_voter(self) -> bool:
        """Whether this replica itself is a voter; see membership.py."""
        return self.roster.is_voter(*self.me)

    @property
    def active(self) -> bool:
        """Whether it leads and its no-op is applied."""
        return self.state is State.ACTIVE

    @property
    def installing(self) -> bool:
        """Whether a whole snapshot waits to be switched to."""
        return self.incoming is not None and self.incoming.installing

    @property
    def hard_state(self) -> bytes:
        """Term and vote, encoded."""
        return encode_hard_state(HardState(self.term, self.vote))

    # ---- what leaves --------------------------------------------------------------------------

    def send(self, to: str, message: RaftMessage) -> None:
        """It promises nothing and may leave before the sync."""
        self.out.send.append(Message(to, encode(message)))

    def promise(self, to: str, message: RaftMessage) -> None:
        """It leaves once everything it relies on is durable."""
        self.out.promises.append(Message(to, encode(message)))

    def acknowledge(self, to: str, reply: AppendReply) -> None:
        """As `promise`; of several good answers only the last is sent, as it covers the others."""
        acks = self.out.acks
        before = acks.get(to)
        if before is not None and not (before.ok and reply.ok and before.term == reply.term):
            self.promise(to, before)
        elif before is not None:
            at, rnd = max(before.at, reply.at), max(before.round, reply.round)
            reply = reply._replace(at=at, round=rnd)
        acks[to] = reply

    # ---- roles --------------------------------------------------------------------------------

    def move(self, event: Event) -> None:
        """Go where the table leads from this state; an event without a place in it is a bug."""
        after = TRANSITIONS[self.state].get(event)
        assert after is not None, f"{event}, although {self.me.name} is {self.state}"
        self.state = after

    def follow(self, term: int, leader: str | None, why: Cause = Cause.OUTRUN) -> None:
        """Become or stay a follower in `term`, which is ours or a later one.

        `why` says for people why a leadership ends by it.
        """
        role, led = self.role, self.term
        heard = term > self.term or leader is not None
        if term > self.term:
            self.term, self.vote = term, b""
            self.out.state = True
            # What they acknowledge to the old leader the new one may have cut before it is on disk.
            self.out.acks.clear()
        elif type(role) is Follower and leader is not None and role.leader == leader:
            role.heard = self.now
            role.deadline = self.now + role.timeout
            return
        assert term == self.term, f"term {term} after {self.term}"
        if self.active:
            handed_over = isinstance(role, Leader) and role.transfer is not None
            self.out.deactivated = True
            self.out.news.append(LeadershipEnded(led, Cause.HANDED_OVER if handed_over else why))
        self.move(Event.FOLLOWS if heard else Event.GIVES_UP)
        self.role = self._resting(leader)
        if leader is None and isinstance(role, Follower):
            # Another's higher term is no sign of a leader: a candidate that cannot win must not
            # be able to keep those that could from campaigning.
            self.role.deadline, self.role.timeout = role.deadline, role.timeout

    def reset_election_timer(self) -> None:
        """Wait a fresh random time before looking for a leader."""
        role = self.role
        if isinstance(role, Follower):
            role.timeout = self.draw_timeout()
            role.deadline = self.now + role.timeout
        else:
            self.follow(self.term, None, Cause.STOPPED)

    def become_pre_candidate(self) -> None:
        """Ask first whether an election could be won."""
        self.move(Event.TIMED_OUT)
        self._candidate()

    def become_candidate(self) -> None:
        """A new term, with the first vote for ourselves (it counts once it is durable)."""
        sounded = self.state is State.PRE_CANDIDATE
        self.move(Event.WOULD_WIN if sounded else Event.TOLD)
        self.term += 1
        self.vote = self.me.incarnation
        self.out.state = True
        self._candidate()

    def _candidate(self) -> None:
        ask_at = self.now + self.config.heartbeat
        self.role = Candidate(self.now + self.draw_timeout(), ask_at)

    def lead(self) -> None:
        """Win: append the no-op whose commit makes everything before it committed (§8)."""
        self.move(Event.WON)
        start, latest = self.log.last.seq + 1, self.roster.latest
        peers = {name: Progress(latest.get(name, b""), start, self.now) for name in self.others}
        self.role = Leader(
            peers,
            noop=start,
            beaten=self.now,
            announced_commit=self.commit,
            commit_at_heartbeat=start,
            quorum_until=self.now + self.config.election_min,
        )
        self.append(Kind.NOOP, b"")

    def append(self, kind: Kind, data: bytes) -> Position:
        """The leader's own append."""
        entry = _entry((_position((self.term, self.log.last.seq + 1)), kind, data))
        self.extend([entry])
        return entry.at

    # ---- the log ------------------------------------------------------------------------------

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add entries to the log, and follow the rosters among them."""
        self.log.append(entries)
        self.roster.appended(entries)

    def truncate(self, to: int) -> None:
        """Drop every entry after index `to`, which is at or above the commit."""
        assert to >= self.commit, f"rewind to {to}, but {self.commit} is committed"
        self.log.truncate(to)
        self.roster.truncated(self.log.last)

    def commit_to(self, index: int) -> None:
        """Everything up to `index` is committed; an index below the commit changes nothing."""
        if index <= self.commit:
            return
        assert index <= self.log.last.seq, f"commit {index} beyond the log's end {self.log.last}"
        self.commit = index
        if not self.roster.open:
            return
        if self.roster.commit(self.log.position(index)) and isinstance(self.role, Leader):
            # Until they know, the others cannot count the rebound replica: tell them at once.
            self.beat(self.role)

    def beat(self, leader: Leader) -> None:
        """Make a heartbeat to every peer due now."""
        for peer in leader.peers.values():
            peer.beat = True
            peer.paused = False

    def draw_timeout(self) -> int:
        """For how long (ms) the next silence of a leader is endured."""
        return self.rng.randint(self.config.election_min, self.config.election_max)

    def _resting(self, leader: str | None) -> Follower:
        timeout = self.draw_timeout()
        heard = None if leader is None else self.now
        return Follower(leader, heard, self.now + timeout, timeout)
