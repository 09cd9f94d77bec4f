"""What Raft cores say to each other, and the durable record of term and vote.

Every message carries a term. A reply is bound to what it answers by that term (one leadership or
candidacy a term) and by the incarnation of its sender, which the session vouches for. Tags never
change their meaning.
"""

from typing import NamedTuple

from raftwork.consensus.core import ORIGIN, Entry, Kind, Position
from raftwork.consensus.membership import decode_roster
from raftwork.errors import BadMessage
from raftwork.wire import Codec


class PreVote(NamedTuple):
    """Would you vote for me in `term`, the one after mine? (thesis §9.6)"""

    term: int
    last: Position
    #: What the sender knows to be committed.
    committed: Position = ORIGIN


class PreVoteReply(NamedTuple):
    """A grant bears the request's term, a refusal the voter's own, so that either can be heard."""

    term: int
    granted: bool


class Vote(NamedTuple):
    """RequestVote (§5.2, §5.4.1). `transfer`: the leader itself asked for this election."""

    term: int
    last: Position
    transfer: bool


class VoteReply(NamedTuple):
    """Answers Vote."""

    term: int
    granted: bool


class Append(NamedTuple):
    """AppendEntries (§5.3). Without entries it is heartbeat, probe or the news of a commit."""

    term: int
    prev: Position
    commit: int
    #: The leader's newest read round; the reply echoes it (thesis §6.4).
    round: int
    entries: tuple[Entry, ...]


class AppendReply(NamedTuple):
    """Answers Append."""

    term: int
    ok: bool
    #: ok: the log is durable and the leader's up to here. Otherwise the `prev` that was missing.
    at: int
    #: Not ok: the newest entry that could still agree.
    hint: Position
    round: int


class SnapshotChunk(NamedTuple):
    """InstallSnapshot (§7), one piece. No data at the end of the file only asks how far it is."""

    term: int
    at: Position
    size: int
    digest: bytes
    offset: int
    data: bytes


class ChunkReply(NamedTuple):
    """Answers SnapshotChunk."""

    term: int
    at: Position
    #: The chunk this answers, and the first byte that is still missing.
    offset: int
    wanted: int


class TimeoutNow(NamedTuple):
    """Hold an election at once: you have my whole log and I am going (thesis §3.10)."""

    term: int


class HardState(NamedTuple):
    """Term and vote, saved as one record so that neither can outlive the other.

    The vote is the incarnation voted for, empty for none: a name may change hands.
    """

    term: int
    vote: bytes


Request = PreVote | Vote | Append | SnapshotChunk | TimeoutNow
Reply = PreVoteReply | VoteReply | AppendReply | ChunkReply
RaftMessage = Request | Reply

codec: Codec[RaftMessage] = Codec(
    {
        1: PreVote,
        2: PreVoteReply,
        3: Vote,
        4: VoteReply,
        5: Append,
        6: AppendReply,
        7: SnapshotChunk,
        8: ChunkReply,
        9: TimeoutNow,
    }
)
_hard_state: Codec[HardState] = Codec({1: HardState})

encode = codec.encode
encode_hard_state, decode_hard_state = _hard_state.encode, _hard_state.decode


def decode(body: bytes) -> RaftMessage:
    """A message whose parts fit together. Raises BadMessage."""
    message = codec.decode(body)
    if type(message) is Append:
        _check_append(message)
    elif type(message) is SnapshotChunk:
        if message.offset + len(message.data) > message.size:
            raise BadMessage("SnapshotChunk: data beyond the snapshot's size")
        if message.at.epoch > message.term:
            raise BadMessage("SnapshotChunk: a snapshot from a later term than its sender's")
    return message


def _check_append(message: Append) -> None:
    at = message.prev
    for entry in message.entries:
        if entry.at.seq != at.seq + 1 or not at.epoch <= entry.at.epoch <= message.term:
            raise BadMessage(f"Append: {entry.at} cannot follow {at} in term {message.term}")
        at = entry.at
        if entry.kind is Kind.ROSTER:
            decode_roster(entry.data)
