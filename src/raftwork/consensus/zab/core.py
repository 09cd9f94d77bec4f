"""Zab: the core that implements `raftwork.consensus.core.Consensus`.

References in this package: l.p.s and f.p.s are the leader's and the follower's step s of phase p in
"Zab: High-performance broadcast for primary-backup systems"; names of messages and the election are
ZooKeeper's. The phases are in files of their own; this one puts them in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftwork.consensus.core import (
    ORIGIN,
    Entry,
    Kind,
    Log,
    Output,
    Peer,
    Position,
    Progress,
    Restored,
    Role,
    Roster,
    Snapshot,
    Status,
)
from raftwork.consensus.membership import Membership, decode_roster
from raftwork.consensus.replica_events import Cause
from raftwork.consensus.zab import broadcast, discovery, election, follower, reads, transfer
from raftwork.consensus.zab import snapshot as snapshots
from raftwork.consensus.zab.config import Config
from raftwork.consensus.zab.log import History
from raftwork.consensus.zab.messages import (
    Ack,
    AckEpoch,
    FollowerInfo,
    Frame,
    HardState,
    Notification,
    Snap,
    SnapReply,
    decode,
    decode_framed,
    decode_hard_state,
)
from raftwork.consensus.zab.state import Follower, Leader, Looking, Node, Outbox
from raftwork.consensus.zab.transitions import Event
from raftwork.errors import BadMessage, NotLeader, QueueFull, StoreDamaged

if TYPE_CHECKING:
    from random import Random


class Zab:
    """One replica's Zab. `names` are all of the cluster; the quorum is a majority of them."""

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
        history = History(log, config.tail_bytes)
        hard = _hard_state(restored, history)
        applied = restored.applied
        if not (history.base <= applied and history.holds(applied)):
            raise StoreDamaged(f"applied {applied} is not in ({history.base}, {history.last}]")
        roster = Membership(restored.roster)
        _read_rosters(roster, history, applied)
        self._node = Node(me, names, history, roster, hard, applied, config, rng, now)
        self._woken, self._watch = now, config.watch
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
        """Let time pass. After a gap of syncLimit or more a leader steps down here."""
        node = self._node
        gap, self._woken = now - self._woken, now
        node.now = now
        role = node.role
        stalled = gap >= node.config.silence
        if not stalled and now < self._due_at and not self._must_look(role, now):
            return
        self._stir()
        if isinstance(role, Looking):
            election.tick(node, role)
        elif isinstance(role, Follower):
            if stalled:  # what the leader said meanwhile may lie unread
                role.deadline = now + node.config.silence
            follower.tick(node, role)
        elif stalled or (now >= role.quorum_until and not broadcast.check_quorum(node, role)):
            # Stopped for so long, another may lead by now; and one without a quorum is of no use.
            election.overdue(node, Cause.STOPPED if stalled else None)
        else:
            transfer.expire(node, role)
            if now >= broadcast.ping_at(node, role):
                role.pinged = now
                role.commit_at_heartbeat = node.commit
                node.ping(role)
                snapshots.tick(node, role)

    @staticmethod
    def _must_look(role: Looking | Follower | Leader, now: int) -> bool:
        """Whether time alone may have changed something before what is due."""
        if isinstance(role, Leader):
            return now >= role.quorum_until
        return isinstance(role, Looking)

    def _stir(self) -> None:
        self._stirred, self._due = True, None

    def retime(self, heartbeat: int, election_timeout: int, now: int) -> None:
        """See `Consensus.retime`."""
        node, role = self._node, self._node.role
        old, config = node.config, node.config.retimed(heartbeat, election_timeout)
        if config == old:
            return
        node.config, node.now = config, now
        self._watch = config.watch
        self._stir()
        node.patience = min(max(node.patience, config.connect), config.connect_max)
        if isinstance(role, Leader):
            role.pinged, role.quorum_until = now - config.ping_at_rest, now
            for link in role.links.values():  # they answered in time by the times that they had
                link.heard = now if now - link.heard < old.silence else link.heard
        elif isinstance(role, Follower):
            role.deadline = max(role.deadline, now + config.silence)

    def receive(self, src: Peer, body: bytes, now: int) -> bool:
        """See `Consensus.receive`."""
        node = self._node
        if src.name not in node.others:
            raise BadMessage(f"{src.name!r} is no peer of {node.me.name!r}")
        message = decode(body)
        self._stir()
        if isinstance(message, Frame):
            content = decode_framed(message.body)
            node.now = now
            follower.on_frame(node, src, message, content)
            return True
        node.now = now
        match message:
            case Notification():
                election.on_notification(node, src, message)
            case FollowerInfo():
                discovery.on_follower_info(node, src, message)
            case AckEpoch() | Ack() | SnapReply():
                _heard(node, src, message)
            case Snap():
                follower.on_chunk(node, src, message)
        return True

    def link(self, name: str, up: bool, now: int) -> None:
        """The connection to a peer came up or was lost. A hint: it changes no promise."""
        node = self._node
        node.now = now
        if name not in node.others:
            return
        self._stir()
        if up:
            node.down.discard(name)
        else:
            node.down.add(name)
        election.link_changed(node, name, up)

    def propose(self, data: bytes, now: int) -> Position:
        """Append to the log. Raises NotLeader, or QueueFull over the uncommitted bound."""
        node = self._node
        node.now = now
        role = node.role
        if not isinstance(role, Leader):
            raise NotLeader(node.leader)
        if not node.established or role.transfer is not None:
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
        role = node.role
        if not isinstance(role, Leader):
            raise NotLeader(node.leader)
        if not node.established:
            raise NotLeader(None)
        reads.ask(node, role, token)
        self._stir()

    def transfer(self, now: int, to: str = "") -> None:
        """Resign in favour of that voter, or the most advanced; gives up after syncLimit."""
        node = self._node
        node.now = now
        if isinstance(node.role, Leader):
            transfer.begin(node, node.role, to)
            self._stir()

    def synced(self, output: Output) -> None:
        """The output's write is durable (if it promises anything) and applied."""
        node = self._node
        if output.committed:
            node.applied = output.committed[-1].at
            node.log.trim(node.applied)
        if not output.promises:
            return
        self._stir()
        if output.append:
            node.log.written(output.append[-1].at)
        if output.state is not None:
            node.saved = decode_hard_state(output.state)
        if isinstance(node.role, Leader):
            discovery.conclude(node, node.role)
            broadcast.advance(node, node.role)

    def compacted(self, base: Position) -> None:
        """See `Consensus.compacted`."""
        self._node.log.compact(base)

    def snapshot_made(self, snapshot: Snapshot | None) -> None:
        """See `Consensus.snapshot_made`."""
        snapshots.made(self._node, snapshot)
        self._stir()

    def installed(self, snapshot: Snapshot | None, roster: Roster, now: int) -> None:
        """See `Consensus.installed`."""
        node = self._node
        node.now = now
        snapshots.installed(node, snapshot, roster)
        self._stir()
        if isinstance(node.role, Follower):
            follower.resync(node, node.role)

    # ---- outputs out ----------------------------------------------------------------------------

    def output(self) -> Output | None:
        """What to do next, or None."""
        if not self._stirred:
            return None
        self._stirred, self._due = False, None
        node = self._node
        if isinstance(node.role, Leader):
            if node.role.epoch is None:
                discovery.pick_epoch(node, node.role)
            reads.begin_round(node, node.role)
            broadcast.flush(node, node.role)
            transfer.proceed(node, node.role)
        rewind, append = node.log.take()
        follower.send_state(node)
        committed, roster = self._take_committed()
        activated: int | None = None
        passed: tuple[int, ...] = ()
        role = node.role
        if isinstance(role, Leader) and node.established:
            assert role.initial is not None
            if not node.active and node.applying >= role.initial:
                node.move(Event.APPLIED)
                activated = role.epoch
            passed = reads.passed(node, role)
        box = node.out
        news = append or committed or passed or rewind is not None or activated is not None
        if not news and box == _EMPTY:
            return None
        node.out = Outbox()
        # Another look: what was sent may let something else begin.
        self._stirred, more = True, node.applying != node.commit and not self._waits
        return Output(
            deactivated=box.deactivated,
            news=tuple(box.news),
            send=tuple(box.send),
            rewind=rewind,
            append=append,
            state=node.hard_state if box.state else None,
            stage=tuple(box.stage),
            committed=committed,
            more=more,
            roster=roster,
            activated=activated,
            reads=passed,
            send_after_sync=tuple(box.promises),
            make_snapshot=box.make_snapshot,
            install=box.install,
        )

    @property
    def wake_at(self) -> int | None:
        """When `wake` is next needed, in milliseconds on the caller's clock."""
        return min(self._due_at, self._woken + self._watch)

    @property
    def _due_at(self) -> int:
        if self._due is None:
            self._due = self._next_due()
        return self._due

    def _next_due(self) -> int:
        node, role = self._node, self._node.role
        times = [self._apply_at] if self._waits and self._apply_at is not None else []
        if isinstance(role, Leader):
            ping_at = broadcast.ping_at(node, role)
            if role.quorum_until < ping_at:  # by what was known then
                role.quorum_until = broadcast.quorum_until(node, role)
            times += (ping_at, role.quorum_until)
            if role.transfer is not None:
                times.append(role.transfer.deadline)
        elif isinstance(role, Follower):
            times.append(role.deadline)
            if not role.inbound.opened:
                times.append(role.resend_at)
            if (at := follower.broken_at(node, role)) is not None:
                times.append(at)
        else:
            times.append(role.resend_at)
            if node.now < role.since + node.config.hearing:
                times.append(role.since + node.config.hearing)
            if role.finalize_at is not None:
                times.append(role.finalize_at)
        return min(times)

    @property
    def status(self) -> Status:
        """See `Consensus.status`."""
        node, role = self._node, self._node.role
        is_voter = node.roster.is_voter
        peers: tuple[Progress, ...] = ()
        if isinstance(role, Leader):
            name = Role.LEADER
            peers = tuple(
                Progress(n, link.match.seq, not is_voter(n, link.incarnation))
                for n, link in role.links.items()
            )
        elif not node.is_voter:
            name = Role.LEARNER
        else:
            name = Role.CANDIDATE if isinstance(role, Looking) else Role.FOLLOWER
        return Status(
            role=name,
            active=node.active,
            epoch=node.hard.accepted,
            leader=node.leader,
            committed=node.commit,
            peers=peers,
        )

    @property
    def leading(self) -> tuple[int, str | None]:
        """The epoch and the leader of `status`, at less cost: for use in every turn."""
        return self._node.hard.accepted, self._node.leader

    @property
    def awaits_peers(self) -> bool:
        """See `Consensus.awaits_peers`."""
        node, role = self._node, self._node.role
        last = node.log.last
        if (
            type(role) is not Leader
            or not node.active
            or node.commit != last
            or role.reads
            or role.transfer is not None
        ):
            return True
        # What such a one says next decides what it is sent.
        return any(link.sent < last or link.current != role.epoch for link in role.links.values())

    def compactable(self) -> Position:
        """The log up to here may be dropped as far as the core is concerned."""
        node = self._node
        held = snapshots.held(node)
        return max(node.log.base, node.applied if held is None else min(held, node.applied))

    def _take_committed(self) -> tuple[tuple[Entry, ...], Roster | None]:
        node = self._node
        self._waits = self._may_wait()
        if node.applying == node.commit or self._waits:
            return (), None
        config = node.config
        found = node.log.entries(node.applying, node.commit, config.apply_bytes)
        entries = tuple(found[: min(config.apply_entries, self.slice_entries)])
        node.applying = entries[-1].at
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
        if self._apply_at is None or isinstance(node.role, Leader):
            return False
        return node.log.durable != node.log.last or (
            node.now < self._apply_at - config.apply_within // 5
            and node.log.bytes_after(node.applying) < config.apply_waiting_bytes
        )


_EMPTY = Outbox()


def _heard(node: Node, src: Peer, message: AckEpoch | Ack | SnapReply) -> None:
    """A follower's word in its present session with us; those of older ones end here."""
    leader = node.role
    link = leader.links.get(src.name) if isinstance(leader, Leader) else None
    if (
        link is None
        or not isinstance(leader, Leader)
        or (link.incarnation, link.session) != (src.incarnation, message.session)
    ):
        return
    link.heard = node.now
    match message:
        case AckEpoch():
            discovery.on_ack_epoch(node, leader, src, link, message)
        case Ack():
            broadcast.on_ack(node, leader, src, link, message)
        case SnapReply():
            snapshots.on_reply(link, message)


def _hard_state(restored: Restored, log: History) -> HardState:
    if restored.state is None:
        if log.last != ORIGIN:
            raise StoreDamaged("there is a log, but the record of the epochs is missing")
        return HardState(0, b"", 0)
    hard = decode_hard_state(restored.state)
    if hard.accepted < max(hard.current, log.last.epoch):
        raise StoreDamaged(f"the log ends at {log.last}, but the stored epochs are {hard}")
    return hard


def _read_rosters(roster: Membership, log: History, applied: Position) -> None:
    """Rosters in the log after the applied one; it is read in bounded slices."""
    at = applied
    while at < log.last:
        entries = log.entries(at, log.last, 4 * 1024 * 1024)
        roster.appended(entries)
        at = entries[-1].at
