"""Log replication (§5.3, §5.4.2): appends down, acknowledgements up, the commit index from both.

A leader starts every peer optimistically at its own log's end and pipelines from there. A peer
that misses something says so with a hint; then single empty appends find where the logs agree. An
empty append is also the heartbeat, so a lost message is found out by the next one. What a peer
needs and the log no longer has goes as a snapshot (snapshot.py).
"""

from raftwork.consensus.core import ORIGIN, Kind, Message, Peer, Position
from raftwork.consensus.membership import encode_roster
from raftwork.consensus.quorum import reached
from raftwork.consensus.raft import snapshot
from raftwork.consensus.raft.messages import Append, AppendReply, encode
from raftwork.consensus.raft.state import Leader, Node, Progress
from raftwork.wire import maker

# Of these each entry takes one or more.
_message, _append, _append_reply = maker(Message), maker(Append), maker(AppendReply)

# ---- the leader's side -------------------------------------------------------------------------


class Appends(dict[tuple[int, int], tuple[bytes, int, int]]):
    """Encodes each range of the log once in a flush, however many peers it goes to.

    By the indices (after, upto): an append of what follows `after`, its last index, and what it
    counts in the window.
    """

    def __init__(self, node: Node, leader: Leader) -> None:
        self._node = node
        self._round = leader.round

    def __missing__(self, range_: tuple[int, int]) -> tuple[bytes, int, int]:
        after, upto = range_
        node = self._node
        prev = node.log.position(after) if after else ORIGIN
        entries = (
            tuple(node.log.entries(after, upto, node.config.append_bytes)) if upto > after else ()
        )
        last = entries[-1].at.seq if entries else after
        body = encode(_append((node.term, prev, node.commit, self._round, entries)))
        made = self[range_] = (body, last, len(body))
        return made


def flush(node: Node, leader: Leader) -> None:
    """Send every peer what it may be sent now."""
    appends: Appends | None = None
    level = node.log.last.seq + 1
    for name, peer in leader.peers.items():
        if peer.next == level and not peer.beat and not peer.probing:
            continue  # nothing to say
        if appends is None:
            appends = Appends(node, leader)
        if peer.next - 1 < node.log.base.seq:
            snapshot.offer(node, name, peer)
            known = 0
        elif peer.probing:
            peer.beat = not peer.paused
            peer.paused = True
            known = peer.next - 1
        else:
            _pipeline(node, name, peer, appends)
            known = peer.next - 1
        if peer.beat:
            peer.beat = False
            node.out.send.append(_message((name, appends[known, known][0])))


def _pipeline(node: Node, name: str, peer: Progress, appends: Appends) -> None:
    config, last = node.config, node.log.last.seq
    while (
        peer.next <= last
        and len(peer.inflight) < config.window_messages
        and peer.inflight_bytes < config.window_bytes
    ):
        body, upto, size = appends[peer.next - 1, last]
        node.out.send.append(_message((name, body)))
        peer.inflight.append((upto, size))
        peer.inflight_bytes += size
        peer.next = upto + 1
        peer.beat = False


def beat_at(node: Node, leader: Leader) -> int:
    """When the next heartbeat is due: rarely while no peer has anything to learn from it.

    At rest they keep to the multiples of their interval, as other timers of a broker do: its
    process then wakes once for all of them.
    """
    config, last = node.config, node.log.last.seq
    if leader.announced_commit != last or leader.reads or leader.transfer is not None:
        return leader.beaten + config.heartbeat
    for peer in leader.peers.values():  # one that is not level needs them, unless it is away
        if peer.match != last and node.now - peer.heard < config.election_min:
            return leader.beaten + config.heartbeat
    return leader.beaten + config.heartbeat_at_rest - leader.beaten % config.heartbeat_at_rest


def on_late_ack(node: Node, src: Peer, reply: AppendReply) -> bool:
    """Take an answer that was not waited for any more; False if it may be more than that.

    Of every entry's acknowledgements all but the first half come late: what they confirm is
    committed, and they leave nothing to be done.
    """
    leader = node.role
    if (
        type(leader) is not Leader
        or reply.term != node.term
        or not reply.ok
        or leader.reads
        or leader.transfer is not None
        or reply.at > node.commit
    ):
        return False
    peer = leader.peers[src.name]
    if (
        peer.incarnation != src.incarnation
        or peer.probing
        or peer.outgoing is not None
        or peer.behind is not None
        or peer.next <= node.log.last.seq
        or not node.roster.is_voter(src.name, src.incarnation)
        or reply.at < peer.match
        or reply.round < peer.round
    ):
        return False
    peer.heard, peer.round = node.now, reply.round
    _matched(peer, reply.at)
    return True


def _matched(peer: Progress, at: int) -> None:
    """Its log is ours up to there."""
    peer.match = at
    if peer.next <= at:
        peer.next = at + 1
    while peer.inflight and peer.inflight[0][0] <= at:
        peer.inflight_bytes -= peer.inflight.popleft()[1]


def on_reply(node: Node, leader: Leader, name: str, peer: Progress, reply: AppendReply) -> None:
    """A follower's answer: what it holds, or where its log departs from ours."""
    if peer.round < reply.round:
        peer.round = reply.round
    if not reply.ok:
        _refused(node, peer, reply)
        return
    if reply.at > peer.match:
        assert reply.at <= node.log.last.seq, f"{name} holds {reply.at}, beyond the leader's log"
        _matched(peer, reply.at)
        advance(node, leader)
        if peer.outgoing is not None or peer.behind is not None:
            snapshot.settled(node, name, peer)
    if peer.probing and reply.at >= peer.next - 1:
        peer.probing = peer.paused = False
    _rebind(node, leader, name, peer)


def _refused(node: Node, peer: Progress, reply: AppendReply) -> None:
    """Step back to where the logs may agree (§5.3, with a hint of index and term both ways)."""
    if reply.at <= peer.match or (peer.probing and reply.at != peer.next - 1):
        return  # answers something sent before we learnt better
    agree = node.log.find_conflict_by_term(min(reply.hint.seq, reply.at - 1), reply.hint.epoch)
    peer.next = max(peer.match, agree.seq) + 1
    peer.probing, peer.paused = True, False
    peer.inflight.clear()
    peer.inflight_bytes = 0


def advance(node: Node, leader: Leader) -> None:
    """§5.4.2: only an entry of our own term is committed by counting; those before it follow.

    Those of our own term are the ones from our no-op on.
    """
    ahead = 1 if node.log.durable > node.commit else 0
    for peer in leader.peers.values():
        if peer.match > node.commit:
            ahead += 1
    if ahead < node.quorum:
        return
    matched = [
        p.match for name, p in leader.peers.items() if node.roster.is_voter(name, p.incarnation)
    ]
    if node.roster.is_voter(*node.me):
        matched.append(node.log.durable)
    index = reached(matched, node.quorum)
    if index is not None and index > node.commit and index >= leader.noop:
        node.commit_to(index)


def progress_of(node: Node, leader: Leader, src: Peer) -> Progress:
    """What we know of the sender. A new incarnation under its name starts from nothing."""
    peer = leader.peers[src.name]
    if peer.incarnation != src.incarnation:
        peer = Progress(src.incarnation, node.log.last.seq + 1, node.now, probing=True)
        leader.peers[src.name] = peer
    return peer


def _rebind(node: Node, leader: Leader, name: str, peer: Progress) -> None:
    """Propose that a learner which has caught up takes over its name (membership.py).

    Caught up with the last heartbeat's commit: under load another voter's answer is always a
    little earlier, and the learner would never be level with the present one.
    """
    latest = node.roster.latest
    if (
        latest.get(name) != peer.incarnation
        and name in latest
        and node.active
        and leader.transfer is None
        and not node.roster.open
        and not peer.probing
        and peer.match >= leader.commit_at_heartbeat
    ):
        node.append(Kind.ROSTER, encode_roster({**latest, name: peer.incarnation}))


# ---- the follower's side -----------------------------------------------------------------------


def on_append(node: Node, src: Peer, message: Append) -> None:
    """Follow the leader's log (§5.3) and answer once that is durable."""
    if node.incoming is not None and node.installing:
        # The log is about to be replaced; the leader is alive all the same.
        at, ok, hint = node.commit, True, ORIGIN
    else:
        at, ok, hint = _accept(node, message)
    node.acknowledge(src.name, _append_reply((node.term, ok, at, hint, message.round)))


def refuse_old(node: Node, src: Peer, at: int) -> None:
    """A deposed leader, or one whose term we outgrew, hears of our term and can move on."""
    node.promise(src.name, AppendReply(node.term, False, at, ORIGIN, 0))


def _accept(node: Node, message: Append) -> tuple[int, bool, Position]:
    """Take what the message brings: (index matched, True, -) or (index missing, False, hint)."""
    log, prev, entries = node.log, message.prev, message.entries
    if prev.seq < node.commit:
        # What is committed here is in every leader's log (§5.4): begin behind it.
        entries = entries[node.commit - prev.seq :]
        prev = log.position(node.commit)
    if prev != log.last and not log.holds(prev):
        # Nothing after the agreed entry can have the missing one's term or a later one.
        hint = log.find_conflict_by_term(prev.seq, prev.epoch)
        return message.prev.seq, False, max(hint, log.position(node.commit))
    known = 0
    # Only a real conflict truncates: an old or reordered append must not take away what a later
    # one brought, for it may have been acknowledged.
    if prev.seq < log.last.seq:
        while known < len(entries) and log.holds(entries[known].at):
            known += 1
    fresh = entries[known:]
    if fresh:
        if fresh[0].at.seq <= log.last.seq:
            node.truncate(fresh[0].at.seq - 1)
        node.extend(fresh)
    matched = prev.seq + len(entries)
    node.commit_to(min(message.commit, matched))
    return matched, True, ORIGIN
