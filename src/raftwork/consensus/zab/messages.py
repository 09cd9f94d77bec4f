"""What Zab cores say to each other, and the durable record of both epochs.

What a follower says is bound to the session it opened with its FOLLOWERINFO and may be lost,
doubled or overtaken: each word contains the ones before it, and a PING makes it repeat the last.
What a leader says travels in numbered frames (link.py), because all of Zab rests on FIFO links.
Notifications belong to no session. Tags never change their meaning.
"""

from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position
from raftwork.consensus.membership import decode_roster
from raftwork.errors import BadMessage
from raftwork.wire import Codec


class Mode(IntEnum):
    """ZooKeeper's server states."""

    LOOKING = 0
    FOLLOWING = 1
    LEADING = 2


class Vote(NamedTuple):
    """Who should lead. Votes compare by (currentEpoch, zxid, id): the greatest is to win."""

    epoch: int
    zxid: Position
    name: str
    incarnation: bytes


class Session(NamedTuple):
    """A follower's link to its leader: `boot` is drawn at its start, `number` only grows."""

    boot: int
    number: int


# ---- phase 0: fast leader election ---------------------------------------------------------------


class Notification(NamedTuple):
    """My state, and my vote in this round; once settled, the vote I settled on."""

    round: int
    mode: Mode
    vote: Vote
    #: What the sender knows to be committed.
    committed: Position = ORIGIN
    #: Whom the sender has heard of late; None: it is of a version that does not say so.
    hears: tuple[str, ...] | None = None
    #: How often the sender was elected in vain since it last was in an established epoch.
    failures: int = 0


# ---- from a follower -----------------------------------------------------------------------------


class FollowerInfo(NamedTuple):
    """FOLLOWERINFO (paper: CEPOCH): opens the session."""

    session: Session
    accepted: int


class AckEpoch(NamedTuple):
    """ACKEPOCH (paper: ACK-E): I accept no proposal of an epoch before this one any more."""

    session: Session
    epoch: int
    #: Whether this epoch was accepted from this leader: only then it counts for its quorum.
    accepted: bool
    #: currentEpoch.
    current: int
    #: What is committed, then the last zxid of every epoch after it: the last one is lastZxid.
    ends: tuple[Position, ...]


class Ack(NamedTuple):
    """ACK, of NEWLEADER and of proposals: my currentEpoch, and all I have durably up to here."""

    session: Session
    current: int
    zxid: Position
    #: The newest PING's round.
    round: int


class SnapReply(NamedTuple):
    """Answers Snap."""

    session: Session
    at: Position
    #: The chunk this answers, and the first byte that is still missing.
    offset: int
    wanted: int


# ---- from a leader -------------------------------------------------------------------------------


class Snap(NamedTuple):
    """SNAP, one piece. No data at the end of the file only asks how far it is. Not in a frame."""

    session: Session
    at: Position
    size: int
    digest: bytes
    offset: int
    data: bytes


class Frame(NamedTuple):
    """The `seq`th message of a session, counted from 1."""

    session: Session
    seq: int
    body: bytes


class LeaderInfo(NamedTuple):
    """LEADERINFO (paper: NEWEPOCH)."""

    epoch: int


class Diff(NamedTuple):
    """Your history is the beginning of mine: proposals follow from here."""

    after: Position


class Trunc(NamedTuple):
    """Forget what you have after this; proposals follow from here."""

    to: Position


class Propose(NamedTuple):
    """Proposals, of the sync or of the broadcast: the history behind what you have.

    COMMIT rides on it: what is committed of what was sent before. Of the sync it means nothing yet.
    """

    entries: tuple[Entry, ...]
    committed: Position


class NewLeader(NamedTuple):
    """NEWLEADER: you have my whole initial history; accept it as that of this epoch."""

    epoch: int


class UpToDate(NamedTuple):
    """UPTODATE (paper: COMMIT-LD), with the leader's latest commit, as far as it was sent."""

    committed: Position


class Commit(NamedTuple):
    """COMMIT, of everything up to this zxid, where no PROPOSE came along to bear it."""

    zxid: Position


class Ping(NamedTuple):
    """The leader is there; the follower's next Ack repeats its `round`."""

    round: int


class Resign(NamedTuple):
    """I lead no more, and vote for this one."""

    vote: Vote


FromFollower = FollowerInfo | AckEpoch | Ack | SnapReply
ZabMessage = Notification | FromFollower | Snap | Frame
Framed = LeaderInfo | Diff | Trunc | Propose | NewLeader | UpToDate | Commit | Ping | Resign


class HardState(NamedTuple):
    """Both epochs, saved as one record.

    `source` is the incarnation of the leader the accepted epoch came from: a leader offers an epoch
    once in its life, so this tells a repeated ACKEPOCH from one for a rival with the same number.
    """

    accepted: int
    source: bytes
    current: int


codec: Codec[ZabMessage] = Codec(
    {1: Notification, 2: FollowerInfo, 3: AckEpoch, 4: Ack, 5: Snap, 6: SnapReply, 7: Frame}
)
framed: Codec[Framed] = Codec(
    {
        1: LeaderInfo,
        2: Diff,
        3: Trunc,
        4: Propose,
        5: NewLeader,
        6: UpToDate,
        7: Commit,
        8: Ping,
        9: Resign,
    }
)
_hard_state: Codec[HardState] = Codec({1: HardState})

encode = codec.encode
encode_hard_state, decode_hard_state = _hard_state.encode, _hard_state.decode


def decode(body: bytes) -> ZabMessage:
    """A message whose parts fit together. Raises BadMessage."""
    message = codec.decode(body)
    if isinstance(message, Snap) and message.offset + len(message.data) > message.size:
        raise BadMessage("Snap: data beyond the snapshot's size")
    if isinstance(message, AckEpoch) and not _ascending(message.ends):
        raise BadMessage("AckEpoch: the ends of epochs must ascend")
    return message


def decode_framed(body: bytes) -> Framed:
    """What is in a frame. Raises BadMessage."""
    message = framed.decode(body)
    if isinstance(message, Propose):
        _check_proposals(message.entries)
    return message


def _ascending(ends: tuple[Position, ...]) -> bool:
    return bool(ends) and all(a < b for a, b in pairwise(ends))


def follows(at: Position, before: Position) -> bool:
    """Whether zxid `at` can come right after `before`: its epoch's next, or a later one's first."""
    if at.epoch == before.epoch:
        return at.seq == before.seq + 1
    return at.epoch > before.epoch and at.seq == 1


def _check_proposals(entries: tuple[Entry, ...]) -> None:
    if not entries:
        raise BadMessage("Propose: no proposals")
    for before, entry in pairwise(entries):
        if not follows(entry.at, before.at):
            raise BadMessage(f"Propose: {entry.at} cannot follow {before.at}")
    for entry in entries:
        if entry.kind is Kind.ROSTER:
            decode_roster(entry.data)
