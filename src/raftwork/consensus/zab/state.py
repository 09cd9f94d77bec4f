"""What the phases of Zab share: one replica's state, and the transitions between roles.

What belongs to a role lives in the role's object and dies with it, so nothing of an old leadership
(an open read, a follower's progress) can outlive it. `hard.accepted` is the paper's f.p and only
grows; `hard.current` is f.a and is set in the same record, and so in the same transaction, as the
history it stands for: history first, then the epoch, then the ACK.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from raftwork.consensus.core import ORIGIN, Chunk, Entry, Kind, Message, Peer, Position, Snapshot
from raftwork.consensus.membership import Membership
from raftwork.consensus.quorum import majority
from raftwork.consensus.replica_events import Cause, Election, LeadershipEnded, ReplicaEvent
from raftwork.consensus.snapshot_transfer import PAUSE_MAX_MS, PAUSE_MS, Archive, Incoming, Outgoing
from raftwork.consensus.zab.config import Config
from raftwork.consensus.zab.fifo import Inbound
from raftwork.consensus.zab.log import History
from raftwork.consensus.zab.messages import (
    Frame,
    Framed,
    HardState,
    Session,
    Vote,
    ZabMessage,
    encode,
    encode_hard_state,
    framed,
)
from raftwork.consensus.zab.transitions import TRANSITIONS, Event, State
from raftwork.net.backoff import Pause

if TYPE_CHECKING:
    from random import Random

#: The vote of a replica that may not lead and knows of none that might.
NO_VOTE = Vote(0, ORIGIN, "", b"")


@dataclass(slots=True)
class Contact:
    """Another that is heard here: since when, when last, and whether it hears us."""

    since: int
    at: int
    mutual: bool


class Ballot(NamedTuple):
    """What one other votes in this round."""

    vote: Vote
    #: Whether that is for itself, and then how often it was elected in vain.
    stands: bool
    failures: int


@dataclass(slots=True)
class Looking:
    """Phase 0: electing."""

    #: The vote we would cast if no other stood, and our vote in this round.
    own: Vote
    vote: Vote
    #: Since when we look.
    since: int
    resend_at: int
    interval: int
    #: The votes of this round by name.
    received: dict[str, Ballot] = field(default_factory=dict)
    #: When a quorum's vote becomes final.
    finalize_at: int | None = None


@dataclass(slots=True)
class Follower:
    """Phases 1 to 3, at a leader that was elected or says that it leads."""

    leader: Peer
    inbound: Inbound
    #: The vote that was settled on, for replicas that still look.
    vote: Vote
    #: When the leader is given up.
    deadline: int
    #: When FOLLOWERINFO is repeated, unless it is answered.
    resend_at: int
    interval: int
    #: The epoch of LEADERINFO.
    epoch: int = 0
    #: Newest PING, and whether our state is to be sent (again).
    round: int = 0
    state_due: bool = False


@dataclass(slots=True)
class Link:
    """What the leader knows of one follower in its present session."""

    incarnation: bytes
    session: Session
    accepted: int
    heard: int
    #: Frames sent.
    seq: int = 0
    #: LEADERINFO is sent.
    informed: bool = False
    #: From ACKEPOCH: whether its history is a better one than ours, whether it counts, and how its
    #: history ends.
    better: bool = False
    acked: bool = False
    ends: tuple[Position, ...] | None = None
    #: The sync has begun; proposals up to `sent` are on their way.
    streaming: bool = False
    sent: Position = ORIGIN
    #: NEWLEADER and UPTODATE are sent.
    new_leader: bool = False
    up_to_date: bool = False
    #: The last COMMIT.
    committed: Position = ORIGIN
    #: From its ACKs: currentEpoch, durable history, newest ping round.
    current: int = -1
    match: Position = ORIGIN
    round: int = 0
    #: A PING is due.
    ping: bool = True
    #: Last zxid and size of each unanswered PROPOSE.
    inflight: deque[tuple[Position, int]] = field(default_factory=deque)
    inflight_bytes: int = 0
    outgoing: Outgoing | None = None
    catching: Catching | None = None


@dataclass(slots=True)
class Catching:
    """A follower that was sent a snapshot and has not reached the commit since."""

    #: How far the log had grown when the snapshot was begun.
    grown: int
    #: What it needs next comes after this.
    at: Position


@dataclass(slots=True)
class Transfer:
    """Leadership is promised to `target`; void from `deadline` on."""

    target: str
    deadline: int


@dataclass(slots=True)
class Read:
    """A barrier: passed once `round` is answered by a quorum and `at` is applied."""

    token: int
    round: int
    at: Position


@dataclass(slots=True)
class Leader:
    """What only an elected replica knows."""

    vote: Vote
    #: By when the quorum of phase 1 must be there.
    deadline: int
    #: When the last pings were sent.
    pinged: int
    links: dict[str, Link] = field(default_factory=dict)
    #: e', once a quorum said FOLLOWERINFO.
    epoch: int | None = None
    #: The end of the initial history, once a quorum said ACKEPOCH.
    initial: Position | None = None
    #: When to look next whether a quorum is still heard.
    quorum_until: int = 0
    #: What was committed at the last ping.
    commit_at_heartbeat: Position = ORIGIN
    #: Newest ping round begun for a read.
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
    promises: list[Message] = field(default_factory=list)


class Node:
    """One replica's state, shared by the phases. Times in milliseconds."""

    __slots__ = (
        "applied",
        "applying",
        "archive",
        "boot",
        "commit",
        "config",
        "contacts",
        "down",
        "failures",
        "hard",
        "incoming",
        "log",
        "me",
        "names",
        "now",
        "others",
        "out",
        "patience",
        "quorum",
        "refusal",
        "role",
        "roster",
        "round",
        "saved",
        "sessions",
        "state",
    )

    def __init__(
        self,
        me: Peer,
        names: Sequence[str],
        log: History,
        roster: Membership,
        hard: HardState,
        applied: Position,
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
        #: As it is now, and as it is on the disk.
        self.hard = self.saved = hard
        self.config = config
        self.boot = rng.getrandbits(62)
        self.sessions = 0
        self.now = now
        #: Known committed ≥ given out to be applied ≥ applied.
        self.commit = self.applying = self.applied = applied
        self.incoming: Incoming | None = None
        self.archive = Archive()
        #: While it lasts no snapshot is received: one could not be installed.
        self.refusal = Pause(PAUSE_MS, PAUSE_MAX_MS)
        #: Names whose connection to us is down.
        self.down: set[str] = set()
        self.out = Outbox()
        #: The others by name, as far as they were heard of.
        self.contacts: dict[str, Contact] = {}
        #: How long the next phase 1 may take.
        self.patience = config.connect
        #: How often we were elected in vain since we last were in an established epoch.
        self.failures = 0
        #: FLE's logical clock.
        self.round = 1
        self.state = State.LOOKING
        self.role: Looking | Follower | Leader = self._looking(None)

    # ---- what others may know -------------------------------------------------------------------

    @property
    def leader(self) -> str | None:
        """The name of the replica it follows, or its own if it was elected."""
        if isinstance(self.role, Leader):
            return self.me.name
        return self.role.leader.name if isinstance(self.role, Follower) else None

    @property
    def is_voter(self) -> bool:
        """Whether this replica itself is a voter; see membership.py."""
        return self.roster.is_voter(*self.me)

    @property
    def established(self) -> bool:
        """A quorum has acknowledged our NEWLEADER: the initial history is committed."""
        return self.state in (State.ESTABLISHED, State.ACTIVE)

    @property
    def active(self) -> bool:
        """Whether it leads and its initial history is applied."""
        return self.state is State.ACTIVE

    @property
    def installing(self) -> bool:
        """Whether a whole snapshot waits to be switched to."""
        return self.incoming is not None and self.incoming.installing

    @property
    def hard_state(self) -> bytes:
        """Both epochs, encoded."""
        return encode_hard_state(self.hard)

    def counted(self, leader: Leader) -> list[Link]:
        """The followers that count."""
        return [x for n, x in leader.links.items() if self.roster.is_voter(n, x.incarnation)]

    # ---- what leaves ----------------------------------------------------------------------------

    def send(self, to: str, message: ZabMessage) -> None:
        """It promises nothing and may leave before the sync."""
        self.out.send.append(Message(to, encode(message)))

    def promise(self, to: str, message: ZabMessage) -> None:
        """It leaves once everything it relies on is durable."""
        self.out.promises.append(Message(to, encode(message)))

    def frame(self, to: str, link: Link, message: Framed) -> int:
        """Send the next frame of this link; returns its size."""
        return self.forward(to, link, framed.encode(message))

    def forward(self, to: str, link: Link, body: bytes) -> int:
        """As `frame`, for what is encoded already."""
        link.seq += 1
        self.send(to, Frame(link.session, link.seq, body))
        return len(body)

    # ---- roles ----------------------------------------------------------------------------------

    def move(self, event: Event) -> None:
        """Go where the table leads from this state; an event without a place in it is a bug."""
        after = TRANSITIONS[self.state].get(event)
        assert after is not None, f"{event}, although {self.me.name} is {self.state}"
        self.state = after
        if after in (State.UP_TO_DATE, State.ESTABLISHED):
            self.patience, self.failures = self.config.connect, 0

    def look(self, prefer: Vote | None = None, why: Cause | None = None) -> None:
        """Leave what we followed or led, and hold an election in a new round.

        `why` is for people; by default the leader, or a quorum, was silent for too long.
        """
        why = why or (Cause.NO_MAJORITY if isinstance(self.role, Leader) else Cause.SILENCE)
        if self.active:
            self.out.deactivated = True
            self.out.news.append(LeadershipEnded(self.hard.accepted, why))
        self.out.news.append(Election(why))
        self.move(Event.LEFT if isinstance(self.role, Leader) else Event.LOST)
        self.round += 1
        self.role = self._looking(prefer)

    def reconsider(self) -> None:
        """Vote anew: during an election this replica became a voter, or ceased to be one."""
        assert isinstance(self.role, Looking)
        self.round += 1
        self.role = self._looking(None)

    def follow(self, leader: Peer, vote: Vote) -> None:
        """Open a session with this leader (phase 1)."""
        self.move(Event.FOUND)
        until = self.now + self.patience
        inbound, interval = Inbound(self.new_session()), self.config.resend
        self.role = Follower(leader, inbound, vote, until, self.now + interval, interval)
        self.role.state_due = True

    def lead(self, vote: Vote) -> None:
        """Begin phase 1 as the elected replica."""
        self.move(Event.WON)
        now = self.now
        self.role = Leader(vote, deadline=now + self.patience, pinged=now)

    def new_session(self) -> Session:
        """A number that no session of this process has had."""
        self.sessions += 1
        return Session(self.boot, self.sessions)

    def own_vote(self) -> Vote:
        """For ourselves, unless we may not lead."""
        if not self.is_voter or self.installing:
            return NO_VOTE
        return Vote(self.hard.current, self.log.last, *self.me)

    def _looking(self, prefer: Vote | None) -> Looking:
        own = prefer or self.own_vote()
        now = self.now
        return Looking(own, own, since=now, resend_at=now, interval=self.config.resend)

    # ---- epochs and the log ---------------------------------------------------------------------

    def accept(self, epoch: int, source: Peer) -> None:
        """f.p := e' (phase 1): nothing of an earlier epoch is accepted any more."""
        assert epoch > self.hard.accepted, f"epoch {epoch} after {self.hard.accepted}"
        self.hard = self.hard._replace(accepted=epoch, source=source.incarnation)
        self.out.state = True

    def enter(self, epoch: int) -> None:
        """f.a := e' (phase 2): the log holds all of the epoch's initial history."""
        assert self.hard.current <= epoch == self.hard.accepted, f"{epoch} entered in {self.hard}"
        if epoch > self.hard.current:
            self.hard = self.hard._replace(current=epoch)
            self.out.state = True

    def append(self, kind: Kind, data: bytes) -> Position:
        """The leader's own proposal."""
        last, epoch = self.log.last, self.hard.current
        at = Position(epoch, last.seq + 1 if last.epoch == epoch else 1)
        self.extend([Entry(at, kind, data)])
        return at

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add entries to the log, and follow the rosters among them."""
        self.log.append(entries)
        self.roster.appended(entries)

    def truncate(self, to: Position) -> None:
        """Drop every entry after zxid `to`, which is at or above the commit."""
        assert to >= self.commit, f"rewind to {to}, but {self.commit} is committed"
        self.log.truncate(to)
        self.roster.truncated(to)

    def commit_to(self, at: Position) -> None:
        """Everything up to `at` is committed; a zxid below the commit changes nothing."""
        if at <= self.commit:
            return
        assert self.log.holds(at), f"commit {at}, which is not in the log"
        self.commit = at
        if self.roster.commit(at) and isinstance(self.role, Leader):
            # Until they know, the others cannot count the rebound replica: tell them at once.
            self.ping(self.role)

    def ping(self, leader: Leader) -> None:
        """Make a ping to every follower due now."""
        for link in leader.links.values():
            link.ping = True
