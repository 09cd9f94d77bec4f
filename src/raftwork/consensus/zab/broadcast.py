"""Phase 3: broadcast. Proposals down, acknowledgements up, commits in zxid order.

Each follower's link carries one stream of the leader's history, from where the sync began (l.3.1);
`Link.sent` is how far. A follower stores what comes and acknowledges it once it is durable (f.3.1);
an ACK is of everything before it, too. What a quorum has acknowledged is committed (l.3.2).

COMMIT rides on the next PROPOSE or goes along with the next ping: a message of its own for every
commit would wake each follower twice for it, and nothing waits for what a follower applies.
"""

from raftwork.consensus.core import Kind, Peer, Position
from raftwork.consensus.membership import encode_roster
from raftwork.consensus.quorum import reached
from raftwork.consensus.zab import discovery, snapshot, synchronisation
from raftwork.consensus.zab.messages import Ack, Commit, NewLeader, Ping, Propose, framed
from raftwork.consensus.zab.state import Follower, Leader, Link, Node
from raftwork.consensus.zab.transitions import State

# ---- the leader's side ---------------------------------------------------------------------------


class Ranges:
    """Encodes each range of the log once in a flush, however many followers it goes to."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._made: dict[tuple[Position, Position], tuple[bytes, Position]] = {}

    def proposals(self, after: Position, upto: Position) -> tuple[bytes, Position]:
        """A PROPOSE of what follows `after`, and its last zxid."""
        made = self._made.get((after, upto))
        if made is None:
            node = self._node
            entries = tuple(node.log.entries(after, upto, node.config.propose_bytes))
            committed = min(node.commit, after)
            made = framed.encode(Propose(entries, committed)), entries[-1].at
            self._made[after, upto] = made
        return made


def flush(node: Node, leader: Leader) -> None:
    """Send every follower what it may be sent now."""
    ranges = Ranges(node)
    for name, link in leader.links.items():
        if leader.epoch is not None:
            discovery.inform(node, leader, name, link)
        if leader.initial is not None and link.ends is not None:
            if not link.streaming:
                synchronisation.begin(node, name, link)
            if link.streaming and link.sent >= node.log.base:
                _stream(node, leader, name, link, leader.initial, ranges)
            else:
                snapshot.offer(node, name, link)
        if link.ping:
            link.ping = False
            node.frame(name, link, Ping(leader.round))


def _stream(
    node: Node, leader: Leader, name: str, link: Link, initial: Position, ranges: Ranges
) -> None:
    config = node.config
    assert leader.epoch is not None
    while len(link.inflight) < config.window_messages and link.inflight_bytes < config.window_bytes:
        if not link.new_leader and link.sent >= initial:
            link.new_leader = True
            node.frame(name, link, NewLeader(leader.epoch))
        upto = node.log.last if link.new_leader else initial
        if link.sent >= upto:
            break
        if link.up_to_date:
            link.committed = min(node.commit, link.sent)
        body, link.sent = ranges.proposals(link.sent, upto)
        size = node.forward(name, link, body)
        link.inflight.append((link.sent, size))
        link.inflight_bytes += size
    synchronisation.confirm(node, leader, name, link)
    known = min(node.commit, link.sent)
    due = link.ping or leader.transfer is not None
    if link.up_to_date and due and known > link.committed:
        link.committed = known
        node.frame(name, link, Commit(known))


def ping_at(node: Node, leader: Leader) -> int:
    """When the next pings are due: rarely while no follower has anything to learn from them.

    At rest they keep to the multiples of their interval, as other timers of a broker do: its
    process then wakes once for all of them.
    """
    config, last = node.config, node.log.last
    if not node.active or node.commit != last or leader.reads or leader.transfer is not None:
        return leader.pinged + config.ping
    for link in leader.links.values():  # one that is not level needs them, unless it is away
        level = link.match == last == link.committed
        if not level and node.now - link.heard < config.silence:
            return leader.pinged + config.ping
    return leader.pinged + config.ping_at_rest - leader.pinged % config.ping_at_rest


def on_ack(node: Node, leader: Leader, src: Peer, link: Link, message: Ack) -> None:
    """A follower acknowledges everything up to a zxid: it may be committed by that."""
    link.round = max(link.round, message.round)
    if not link.streaming:
        return
    link.current = max(link.current, message.current)
    if message.zxid > link.match:
        assert message.zxid <= link.sent, f"{src.name} acknowledges {message.zxid}, never sent"
        link.match = message.zxid
        while link.inflight and link.inflight[0][0] <= message.zxid:
            link.inflight_bytes -= link.inflight.popleft()[1]
    advance(node, leader)
    snapshot.caught_up(node, src.name, link)
    _rebind(node, leader, src.name, link)


def advance(node: Node, leader: Leader) -> None:
    """l.3.2: commit what a quorum of the epoch's followers has, once the epoch is established."""
    synchronisation.establish(node, leader)
    if not node.established:
        return
    matched = [x.match for x in node.counted(leader) if x.current == leader.epoch]
    if synchronisation.enlisted(node, leader):
        matched.append(node.log.durable)
    at = reached(matched, node.quorum)
    if at is not None and at > node.commit:
        node.commit_to(at)


def check_quorum(node: Node, leader: Leader) -> bool:
    """Whether a quorum was heard within syncLimit; before phase 1 is over, within its deadline."""
    leader.quorum_until = quorum_until(node, leader)
    return node.now < leader.quorum_until


def quorum_until(node: Node, leader: Leader) -> int:
    """Until when that holds. It only grows, as followers are only heard again."""
    if leader.initial is None:
        return leader.deadline
    heard = [link.heard for link in node.counted(leader)]
    if node.is_voter:
        heard.append(node.now)
    since = reached(heard, node.quorum)
    return node.now if since is None else since + node.config.silence


def _rebind(node: Node, leader: Leader, name: str, link: Link) -> None:
    """Propose that a learner which has caught up takes over its name (membership.py).

    Caught up with the last ping's commit: under load another voter's answer is always a little
    earlier, and the learner would never be level with the present one.
    """
    latest = node.roster.latest
    if (
        latest.get(name) != link.incarnation
        and name in latest
        and node.active
        and leader.transfer is None
        and not node.roster.open
        and link.current == leader.epoch
        and link.match >= leader.commit_at_heartbeat
    ):
        node.append(Kind.ROSTER, encode_roster({**latest, name: link.incarnation}))


# ---- the follower's side -------------------------------------------------------------------------


def on_propose(node: Node, role: Follower, message: Propose) -> bool:
    """f.3.1. What is held already is no harm: a proposal may come twice."""
    known = 0
    while known < len(message.entries) and message.entries[known].at <= node.log.last:
        if not node.log.holds(message.entries[known].at):
            return False
        known += 1
    fresh = message.entries[known:]
    if fresh:
        if not node.log.precedes(fresh[0].at):
            return False
        node.extend(fresh)
    role.state_due = True
    return node.state is not State.UP_TO_DATE or on_commit(node, message.committed)


def on_commit(node: Node, zxid: Position) -> bool:
    """f.3.2."""
    if not node.log.holds(max(zxid, node.commit)):
        return False
    node.commit_to(zxid)
    return True
