"""Deliberate bugs in Zab, most of them ZooKeeper's own, to prove that the simulator finds them."""

from collections.abc import Callable, Sequence

import pytest

from raftwork.consensus.core import ORIGIN, Output, Position, Restored
from raftwork.consensus.zab import (
    Zab,
    broadcast,
    core,
    discovery,
    election,
    follower,
    reads,
    synchronisation,
)
from raftwork.consensus.zab import snapshot as snapshots
from raftwork.consensus.zab.fifo import Inbound
from raftwork.consensus.zab.log import History
from raftwork.consensus.zab.messages import (
    Ack,
    AckEpoch,
    Diff,
    Framed,
    HardState,
    Propose,
    Trunc,
    Vote,
)
from raftwork.consensus.zab.state import Follower, Leader, Link, Node
from raftwork.consensus.zab.transitions import Event, State
from tests.sim.shape import Kind

Patch = pytest.MonkeyPatch
Bug = Callable[[Patch], None]


def _committed(node: Node, message: Propose) -> bool:
    """What every `on_propose` ends with."""
    return node.state is not State.UP_TO_DATE or broadcast.on_commit(node, message.committed)


def an_ack_before_the_sync(patch: Patch) -> None:
    original = Zab.output

    def output(zab: Zab) -> Output | None:
        out = original(zab)
        if out is None:
            return None
        return out._replace(send=out.send + out.send_after_sync, send_after_sync=())

    patch.setattr(Zab, "output", output)


def a_current_epoch_before_its_history(patch: Patch) -> None:
    """ZOOKEEPER-4643."""
    on_diff, on_trunc = synchronisation.on_diff, synchronisation.on_trunc

    def early_diff(node: Node, role: Follower, message: Diff) -> bool:
        node.enter(role.epoch)
        return on_diff(node, role, message)

    def early_trunc(node: Node, role: Follower, message: Trunc) -> bool:
        node.enter(role.epoch)
        return on_trunc(node, role, message)

    patch.setattr(synchronisation, "on_diff", early_diff)
    patch.setattr(synchronisation, "on_trunc", early_trunc)


def a_proposal_kept_from_a_joiner_until_uptodate(patch: Patch) -> None:
    """Hole (a) of the pseudo-code."""
    original = synchronisation.confirm

    def confirm(node: Node, leader: Leader, name: str, link: Link) -> None:
        before = link.up_to_date
        original(node, leader, name, link)
        if link.up_to_date and not before and link.sent < node.log.last:
            link.sent = node.log.last

    def stream(
        node: Node,
        leader: Leader,
        name: str,
        link: Link,
        initial: Position,
        ranges: broadcast.Ranges,
    ) -> None:
        if link.new_leader and not link.up_to_date:
            confirm(node, leader, name, link)
        else:
            unmodified(node, leader, name, link, initial, ranges)

    unmodified = broadcast._stream
    patch.setattr(broadcast, "_stream", stream)


def a_tail_inside_the_leaders_range_not_truncated(patch: Patch) -> None:
    """ZOOKEEPER-1154."""

    def on_trunc(node: Node, role: Follower, message: object) -> bool:
        role.state_due = True
        return True

    def common(history: History, ends: Sequence[Position]) -> Position | None:
        last = ends[-1]
        if history.base <= last <= history.last:
            return history.floor(last)
        return original(history, ends)

    def on_propose(node: Node, role: Follower, message: Propose) -> bool:
        fresh = tuple(e for e in message.entries if e.at > node.log.last)
        if fresh and not node.log.precedes(fresh[0].at):
            return False
        node.extend(fresh)
        role.state_due = True
        return _committed(node, message)

    original = History.common
    patch.setattr(History, "common", common)
    patch.setattr(synchronisation, "on_trunc", on_trunc)
    patch.setattr(broadcast, "on_propose", on_propose)


def a_diff_after_a_part_of_a_snapshot(patch: Patch) -> None:
    """ZOOKEEPER-3642: what was received so far is taken for the whole."""
    original = snapshots.offer

    def offer(node: Node, name: str, link: Link) -> None:
        original(node, name, link)
        if link.outgoing is not None and not link.streaming:
            link.streaming, link.sent = True, link.outgoing.snapshot.at
            node.frame(name, link, Diff(link.sent))

    def on_diff(node: Node, role: Follower, message: Diff) -> bool:
        role.state_due = True
        return True

    def on_propose(node: Node, role: Follower, message: Propose) -> bool:
        fresh = tuple(e for e in message.entries if e.at > node.log.last)
        if fresh and (fresh[0].at.seq == 1 or node.log.precedes(fresh[0].at)):
            node.extend(fresh)
        role.state_due = True
        return _committed(node, message)

    patch.setattr(snapshots, "offer", offer)
    patch.setattr(synchronisation, "on_diff", on_diff)
    patch.setattr(broadcast, "on_propose", on_propose)


def a_gap_in_the_link_ignored(patch: Patch) -> None:
    def take(inbound: Inbound, seq: int, message: Framed, now: int) -> list[Framed]:
        inbound.expected = max(inbound.expected, seq + 1)
        return [message]

    def on_propose(node: Node, role: Follower, message: Propose) -> bool:
        fresh = tuple(e for e in message.entries if e.at > node.log.last)
        if fresh and node.log.precedes(fresh[0].at):
            node.extend(fresh)
        role.state_due = True
        return _committed(node, message)

    patch.setattr(Inbound, "take", take)
    patch.setattr(broadcast, "on_propose", on_propose)


def a_hole_in_the_committed_log_passed_on(patch: Patch) -> None:
    """ZOOKEEPER-4925: a commit that came with the sync is not in what others are served from."""
    original = History.common

    def common(history: History, ends: Sequence[Position]) -> Position | None:
        found = original(history, ends)
        if found is not None and len(history._firsts) > 1 and found < history._firsts[-1]:
            return history.floor(Position(history._firsts[-1].epoch, 0))
        return found

    def on_diff(node: Node, role: Follower, message: Diff) -> bool:
        role.state_due = True
        return True

    def on_propose(node: Node, role: Follower, message: Propose) -> bool:
        fresh = tuple(e for e in message.entries if e.at > node.log.last)
        if fresh and (fresh[0].at.seq == 1 or node.log.precedes(fresh[0].at)):
            node.extend(fresh)
        role.state_due = True
        return _committed(node, message)

    patch.setattr(History, "common", common)
    patch.setattr(synchronisation, "on_diff", on_diff)
    patch.setattr(broadcast, "on_propose", on_propose)


def a_leader_that_serves_before_its_newleader_quorum(patch: Patch) -> None:
    def establish(node: Node, leader: Leader) -> None:
        if leader.initial is not None and not node.established:
            node.move(Event.ACKNOWLEDGED)
            node.commit_to(leader.initial)

    patch.setattr(synchronisation, "establish", establish)


def an_accepted_epoch_that_is_not_persisted(patch: Patch) -> None:
    """A restart knows only the epochs that its history shows."""
    original = core._hard_state

    def hard_state(restored: Restored, log: History) -> HardState:
        hard = original(restored, log)
        return hard._replace(accepted=max(hard.current, log.last.epoch))

    patch.setattr(core, "_hard_state", hard_state)


def a_vote_order_without_the_epoch(patch: Patch) -> None:
    """Neither the election nor the abdication looks at currentEpoch: the longer log wins."""

    def own_vote(node: Node) -> Vote:
        vote = original(node)
        return vote._replace(epoch=0)

    def on_ack_epoch(node: Node, leader: Leader, src: object, link: Link, message: object) -> None:
        unmodified(node, leader, src, link, message._replace(current=0))  # type: ignore[attr-defined, arg-type]

    original, unmodified = Node.own_vote, discovery.on_ack_epoch
    patch.setattr(Node, "own_vote", own_vote)
    patch.setattr(discovery, "on_ack_epoch", on_ack_epoch)


def a_leader_that_does_not_abdicate(patch: Patch) -> None:
    """The election is believed, and goes by the id alone."""

    def own_vote(node: Node) -> Vote:
        vote = original(node)
        return vote._replace(epoch=0, zxid=ORIGIN)

    def on_ack_epoch(node: Node, leader: Leader, src: object, link: Link, message: object) -> None:
        worst = (ORIGIN, message.ends[-1])[:1] if len(message.ends) < 1 else message.ends  # type: ignore[attr-defined]
        if leader.initial is None and message.epoch == leader.epoch and link.ends is None:  # type: ignore[attr-defined]
            link.ends, link.acked = worst, message.accepted  # type: ignore[attr-defined]
            discovery.conclude(node, leader)
        else:
            unmodified(node, leader, src, link, message)  # type: ignore[arg-type]

    original, unmodified = Node.own_vote, discovery.on_ack_epoch
    patch.setattr(Node, "own_vote", own_vote)
    patch.setattr(discovery, "on_ack_epoch", on_ack_epoch)


def an_epoch_accepted_from_a_rival_counted(patch: Patch) -> None:
    """Two leaders offer the same epoch: an ACKEPOCH repeated for the other must not count."""
    original = follower.current_state

    def current_state(node: Node, role: Follower) -> object:
        word = original(node, role)
        return word._replace(accepted=True) if isinstance(word, AckEpoch) else word

    patch.setattr(follower, "current_state", current_state)


def a_read_without_a_round(patch: Patch) -> None:
    patch.setattr(reads, "_answered", lambda node, leader: leader.round)


def an_ack_of_an_epoch_not_current_counted(patch: Patch) -> None:
    """A follower in the middle of its sync counts for NEWLEADER and for commits."""
    original = broadcast.on_ack

    def on_ack(node: Node, leader: Leader, src: object, link: Link, message: Ack) -> None:
        assert leader.epoch is not None
        original(node, leader, src, link, message._replace(current=leader.epoch))  # type: ignore[arg-type]

    patch.setattr(broadcast, "on_ack", on_ack)


def one_that_few_hear_stands_on(patch: Patch) -> None:
    """The greatest of all is waited for, however few it can reach."""
    patch.setattr(election, "_heard_by_quorum", lambda node: True)


#: Each with the kind of world that finds it soonest.
BUGS: list[tuple[Bug, Kind]] = [
    (a_current_epoch_before_its_history, Kind.PLOT),
    (a_proposal_kept_from_a_joiner_until_uptodate, Kind.PLAIN),
    (a_tail_inside_the_leaders_range_not_truncated, Kind.PLOT),
    (a_diff_after_a_part_of_a_snapshot, Kind.PLAIN),
    (a_gap_in_the_link_ignored, Kind.PLAIN),
    (a_hole_in_the_committed_log_passed_on, Kind.PLAIN),
    (a_leader_that_serves_before_its_newleader_quorum, Kind.PLOT),
    (a_vote_order_without_the_epoch, Kind.STORM),
    (a_leader_that_does_not_abdicate, Kind.STORM),
    (a_read_without_a_round, Kind.PLAIN),
    (an_ack_of_an_epoch_not_current_counted, Kind.PLOT),
    (one_that_few_hear_stands_on, Kind.PLAIN),
]

# The others (an ACK before the sync, an accepted epoch not persisted, one of a rival counted) need
# a crash at one moment and a rival at another: here it takes hundreds of storms, or a script. The
# system simulator, whose oracle compares every promise with the disk as it leaves, finds them
# within 1, 19 and 52 seeds (`make mutants`).
