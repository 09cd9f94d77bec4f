"""Raft: the core that implements `raftwork.consensus.core.Consensus`.

References in this package: § is "In Search of an Understandable Consensus Algorithm" (extended
version), "thesis §" is "Consensus: Bridging Theory and Practice". The phases are in files of their
own; this one puts them in order and holds all that is done about terms, in `_admit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftwork.consensus.core import (
    ORIGIN,
    Entry,
    Kind,
    Log,
    Message,
    Output,
    Peer,
    Position,
    Restored,
    Role,
    Roster,
    Snapshot,
    Status,
)
from raftwork.consensus.core import Progress as PeerProgress
from raftwork.consensus.membership import Membership, decode_roster
from raftwork.consensus.raft import election, reads, replication, transfer
from raftwork.consensus.raft import snapshot as snapshots
from raftwork.consensus.raft.config import Config
from raftwork.consensus.raft.log import RaftLog
from raftwork.consensus.raft.messages import (
    Append,
    AppendReply,
    ChunkReply,
    HardState,
    PreVote,
    PreVoteReply,
    RaftMessage,
    SnapshotChunk,
    TimeoutNow,
    Vote,
    VoteReply,
    decode,
    decode_hard_state,
    encode,
)
from raftwork.consensus.raft.state import Candidate, Follower, Leader, Node, Outbox
from raftwork.consensus.raft.transitions import Event, State
from raftwork.errors import BadMessage, NotLeader, QueueFull, StoreDamaged
from raftwork.wire import maker

if TYPE_CHECKING:
    from random import Random


class Raft:
    """One replica's Raft. `names` are all of the cluster; the quorum is a majority of them."""

    def __init__(
        self,
        me: Peer,
        names: Sequence[str],
        log: Log,
        restored: Restored,
        config: Config,
        rng: Random,
        now: int,
    ) -> None:
        """Restart from what is stored. Raises StoreDamaged if its parts contradict each other."""
        assert me.name in names, f"{me.name} is not among {names}"
        view = RaftLog(log, config.tail_bytes)
        hard = _hard_state(restored, view)
        if not view.base.seq <= restored.applied.seq <= view.last.seq:
            raise StoreDamaged(
                f"applied {restored.applied} is not in the log ({view.base}, {view.last}]"
            )
        roster = Membership(restored.roster)
        _read_rosters(roster, view, restored.applied.seq)
        self._node = Node(me, names, view, roster, hard, restored.applied.seq, config, rng, now)
        self._woken, self._watch = now, config.watch
        #: Something is due.
        self._passed = False
        #: Something happened since `output` last found nothing to do.
        self._stirred = True
        #: By when what is committed is to be applied, if it is not; and whether it waits for that.
        self._apply_at: int | None = None
        self._waits = False
        self.slice_entries = config.apply_entries
        #: When something is due next, unless anything happens before; None: to be found out.
        self._due: int | None = None

    # ---- facts in -------------------------------------------------------------------------------

    def wake(self, now: int) -> None:
        """Let time pass. After a gap of an election timeout or more a leader steps down here."""
        node = self._node
        gap, self._woken = now - self._woken, now
        node.now = now
        if gap >= node.config.election_min:
            # We were stopped: another may lead by now, and what it said may lie unread.
            node.reset_election_timer()
            self._stir()
            return
        if self._due is None:
            self._due = self._next_due()
        if now >= self._due:
            self._passed = True
            self._stir()

    def _stir(self) -> None:
        self._stirred, self._due = True, None

    def _pass_time(self) -> None:
        """What is due, once everything is read: a slow disk here must not look like silence there.

        Answers that came during a long turn are still unread when the core is woken.
        """
        self._passed = False
        node, role, now = self._node, self._node.role, self._node.now
        if isinstance(role, Leader):
            if now >= role.quorum_until:
                election.check_quorum(node, role)
            transfer.expire(node, role)
            if now >= replication.beat_at(node, role):
                role.beaten, role.announced_commit = now, node.commit
                role.commit_at_heartbeat = max(role.commit_at_heartbeat, node.commit)
                transfer.remind(role)
                node.beat(role)
                snapshots.tick(node, role)
        elif now >= role.deadline:
            election.pre_campaign(node)
        elif isinstance(role, Candidate) and now >= role.ask_at:
            election.ask(node)

    def retime(self, heartbeat: int, election_timeout: int, now: int) -> None:
        """See `Consensus.retime`."""
        node, role = self._node, self._node.role
        old, config = node.config, node.config.retimed(heartbeat, election_timeout)
        if config == old:
            return
        node.config, node.now = config, now
        self._watch = config.watch
        self._stir()
        if isinstance(role, Leader):
            role.quorum_until = now
            role.beaten = now - config.heartbeat_at_rest
            for peer in role.peers.values():  # they answered in time by the times that they had
                peer.heard = now if now - peer.heard < old.election_min else peer.heard
        elif isinstance(role, Follower):
            role.timeout = node.draw_timeout()
            role.deadline = max(role.deadline, now + role.timeout)

    def receive(self, src: Peer, body: bytes, now: int) -> bool:
        """See `Consensus.receive`."""
        node = self._node
        if src.name not in node.others:
            raise BadMessage(f"{src.name!r} is no peer of {node.me.name!r}")
        message = decode(body)
        node.now = now
        if type(message) is AppendReply and replication.on_late_ack(node, src, message):
            return False
        self._stir()
        if _admit(node, src, message):
            _dispatch(node, src, message)
        return True

    def link(self, name: str, up: bool, now: int) -> None:
        """The connection to a peer came up or was lost. A hint: it changes no promise."""
        node = self._node
        node.now = now
        self._stir()
        if up:
            node.down.discard(name)
        elif name in node.others:
            node.down.add(name)
            election.lost_link(node, name)

    def propose(self, data: bytes, now: int) -> Position:
        """Append to the log. Raises NotLeader, or QueueFull over the uncommitted bound."""
        node = self._node
        node.now = now
        role = node.role
        if type(role) is not Leader:
            raise NotLeader(node.leader)
        if role.transfer is not None:
            raise NotLeader(None)
        waiting = node.log.bytes_after(node.commit)
        if waiting and waiting + len(data) > node.config.uncommitted_bytes:
            raise QueueFull(
                f"{waiting} bytes are waiting for a majority, of {node.config.uncommitted_bytes}"
            )
        self._stir()
        return node.append(Kind.DATA, data)

    def barrier(self, token: int, now: int) -> None:
        """Ask for a linearizable read; `token` returns in `Output.reads`. Raises NotLeader."""
        node = self._node
        node.now = now
        if not isinstance(node.role, Leader):
            raise NotLeader(node.leader)
        reads.ask(node, node.role, token)
        self._stir()

    def transfer(self, now: int, to: str = "") -> None:
        """Hand leadership to that voter, or the most advanced; ends after an election timeout."""
        node = self._node
        node.now = now
        if isinstance(node.role, Leader):
            transfer.begin(node, node.role, to)
            self._stir()

    def synced(self, output: Output) -> None:
        """The output's write is durable (if it promises anything) and applied."""
        node = self._node
        if output.committed:
            node.applied = output.committed[-1].at.seq
            node.log.trim(node.applied)
        if not (output.append or output.promises):  # most that promise anything append
            return
        if output.append:
            node.log.written(output.append[-1].at)
        if output.state is not None and output.state == node.hard_state:
            election.own_vote_is_durable(node)
        if type(node.role) is Leader:
            replication.advance(node, node.role)
        # Else all that became durable is another's to count, and there is nothing to be done.
        if output.state is not None or (node.applying != node.commit and not self._may_wait()):
            self._stir()

    def compacted(self, base: Position) -> None:
        """See `Consensus.compacted`."""
        self._node.log.compact(base)

    def snapshot_made(self, snapshot: Snapshot | None) -> None:
        """See `Consensus.snapshot_made`."""
        snapshots.made(self._node, snapshot)
        self._stir()

    def installed(self, snapshot: Snapshot | None, roster: Roster, now: int) -> None:
        """See `Consensus.installed`."""
        self._node.now = now
        snapshots.installed(self._node, snapshot, roster)
        self._stir()

    # ---- outputs out ----------------------------------------------------------------------------

    def output(self) -> Output | None:
        """What to do next, or None."""
        if not self._stirred:
            return None
        self._stirred, self._due = False, None
        if self._passed:
            self._pass_time()
        node = self._node
        role = node.role
        if type(role) is Leader:
            if role.reads:
                reads.begin_round(node, role)
            if role.transfer is not None:
                transfer.proceed(node, role)
            replication.flush(node, role)
        rewind, append = node.log.take() if node.log.changed else (None, ())
        committed, roster = self._take_committed()
        activated: int | None = None
        passed: tuple[int, ...] = ()
        if type(role) is Leader:
            if node.state is not State.ACTIVE and node.applying >= role.noop:
                node.move(Event.NOOP_APPLIED)
                activated = node.term
            if role.reads:
                passed = reads.passed(node, role)
        box = node.out
        if not (append or committed or passed or rewind is not None) and box == _EMPTY:
            return None
        node.out = Outbox()
        self._stirred = more = node.applying != node.commit and not self._waits
        promises = box.promises
        if box.acks:
            promises += [_message((to, encode(reply))) for to, reply in box.acks.items()]
        state = node.hard_state if box.state else None
        first = box.deactivated, tuple(box.news), tuple(box.send), rewind, append, state
        last = more, passed, tuple(promises), box.make_snapshot, box.install
        return _output((*first, tuple(box.stage), committed, roster, activated, *last))

    @property
    def wake_at(self) -> int | None:
        """When `wake` is next needed, in milliseconds on the caller's clock."""
        if self._due is None:
            self._due = self._next_due()
        watch = self._woken + self._watch
        if watch < self._due:
            return watch
        return self._due

    def _next_due(self) -> int:
        node, role = self._node, self._node.role
        if type(role) is Leader:
            at = replication.beat_at(node, role)
            if role.quorum_until < at:  # by what was known then
                role.quorum_until = election.quorum_until(node, role)
                at = min(at, role.quorum_until)
            return at if role.transfer is None else min(at, role.transfer.deadline)
        if type(role) is Follower:
            at = role.deadline
        else:
            assert isinstance(role, Candidate)
            at = min(role.deadline, role.ask_at)
        apply_at = self._apply_at if self._waits else None
        return at if apply_at is None or apply_at > at else apply_at

    @property
    def status(self) -> Status:
        """See `Consensus.status`."""
        node, role = self._node, self._node.role
        is_voter = node.roster.is_voter
        peers: tuple[PeerProgress, ...] = ()
        if isinstance(role, Leader):
            name = Role.LEADER
            peers = tuple(
                PeerProgress(n, p.match, not is_voter(n, p.incarnation))
                for n, p in role.peers.items()
            )
        elif isinstance(role, Candidate):
            name = Role.CANDIDATE
        else:
            name = Role.FOLLOWER if node.is_voter else Role.LEARNER
        return Status(
            role=name,
            active=node.active,
            epoch=node.term,
            leader=node.leader,
            committed=node.log.position(node.commit),
            peers=peers,
        )

    @property
    def leading(self) -> tuple[int, str | None]:
        """The epoch and the leader of `status`, at less cost: for use in every turn."""
        node, role = self._node, self._node.role
        if type(role) is Follower:
            return node.term, role.leader
        return node.term, node.me.name if type(role) is Leader else None

    @property
    def awaits_peers(self) -> bool:
        """See `Consensus.awaits_peers`."""
        node, role = self._node, self._node.role
        last = node.log.last.seq
        if (
            type(role) is not Leader
            or node.commit != last
            or role.reads
            or role.transfer is not None
        ):
            return True
        for peer in role.peers.values():
            if peer.next <= last or peer.probing or peer.outgoing is not None:
                return True  # what it says next decides what it is sent
        return False

    def compactable(self) -> Position:
        """The log up to here may be dropped as far as the core is concerned."""
        node = self._node
        held = snapshots.held(node)
        index = node.applied if held is None else min(held, node.applied)
        return node.log.position(max(index, node.log.base.seq))

    def _take_committed(self) -> tuple[tuple[Entry, ...], Roster | None]:
        node = self._node
        self._waits = False
        if node.applying == node.commit:
            self._apply_at = None
            return (), None
        self._waits = self._may_wait()
        if self._waits:
            return (), None
        config = node.config
        most = min(config.apply_entries, self.slice_entries)
        upto = min(node.commit, node.applying + most)
        entries = tuple(node.log.entries(node.applying, upto, config.apply_bytes))
        node.applying = entries[-1].at.seq
        if node.applying == node.commit:
            self._apply_at = None
        rosters = [entry.data for entry in entries if entry.kind is Kind.ROSTER]
        return entries, decode_roster(rosters[-1]) if rosters else None

    def _may_wait(self) -> bool:
        """Whether what is committed need not be applied now.

        A follower acknowledges first: it applies nothing before its log is durable.
        """
        node, config = self._node, self._node.config
        if node.applying == node.commit:
            self._apply_at = None
        elif self._apply_at is None:
            self._apply_at = node.now + config.apply_within
        if self._apply_at is None or type(node.role) is Leader:
            return False
        return node.log.durable != node.log.last.seq or (
            node.now < self._apply_at - config.apply_within // 5
            and node.log.bytes_after(node.applying) < config.apply_waiting_bytes
        )


_EMPTY = Outbox()
# Each entry takes some of them. An Output's fields are given in their order.
_message, _output = maker(Message), maker(Output)


def _admit(node: Node, src: Peer, message: RaftMessage) -> bool:
    """All that is done about terms (§5.1). Returns whether the message still has a meaning."""
    if message.term > node.term:
        match message:
            case PreVote() | PreVoteReply(granted=True):
                return True  # about a term that may never be: it changes no replica's
            case Vote(transfer=False) if election.sticky(node):
                return False  # a leader is alive: let no rejoining stranger depose it
            case _:
                node.follow(message.term, None)
    elif message.term < node.term:
        # A replica that asks from an older term is told of ours. Silence would leave a leader of an
        # older term and a replica that outgrew it stuck with each other for ever.
        match message:
            case Append():
                replication.refuse_old(node, src, message.prev.seq)
            case SnapshotChunk():
                replication.refuse_old(node, src, 0)
            case Vote():
                node.promise(src.name, VoteReply(node.term, False))
            case PreVote():
                node.promise(src.name, PreVoteReply(node.term, False))
            case _:
                pass
        return False
    if type(message) is Append or type(message) is SnapshotChunk:
        assert type(node.role) is not Leader, f"{src.name} also leads in term {node.term}"
        node.follow(node.term, src.name)
    return True


def _dispatch(node: Node, src: Peer, message: RaftMessage) -> None:
    match message:
        case Append():
            replication.on_append(node, src, message)
        case AppendReply() | ChunkReply():
            _heard(node, src, message)
        case Vote():
            election.on_vote(node, src, message)
        case VoteReply():
            election.on_vote_reply(node, src, message)
        case PreVote():
            election.on_pre_vote(node, src, message)
        case PreVoteReply():
            election.on_pre_vote_reply(node, src, message)
        case SnapshotChunk():
            snapshots.on_chunk(node, src, message)
        case TimeoutNow():
            if isinstance(node.role, Follower) and election.promotable(node):
                election.campaign(node, transfer=True)


def _heard(node: Node, src: Peer, reply: AppendReply | ChunkReply) -> None:
    """An answer to our present leadership; those to an older one never get here."""
    leader = node.role
    if type(leader) is not Leader:
        return
    peer = replication.progress_of(node, leader, src)
    peer.heard = node.now
    if isinstance(reply, AppendReply):
        replication.on_reply(node, leader, src.name, peer, reply)
    else:
        snapshots.on_chunk_reply(peer, reply)


def _hard_state(restored: Restored, log: RaftLog) -> HardState:
    if restored.state is None:
        if log.last != ORIGIN:
            raise StoreDamaged("there is a log, but the record of term and vote is missing")
        return HardState(0, b"")
    hard = decode_hard_state(restored.state)
    if hard.term < log.last.epoch:
        raise StoreDamaged(f"the log ends at {log.last}, but the stored term is {hard.term}")
    return hard


def _read_rosters(roster: Membership, log: RaftLog, applied: int) -> None:
    """Rosters in the log after the applied one; it is read in bounded slices."""
    at = applied
    while at < log.last.seq:
        entries = log.entries(at, log.last.seq, 4 * 1024 * 1024)
        roster.appended(entries)
        at = entries[-1].at.seq
