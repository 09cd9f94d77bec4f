"""Deliberate bugs in Zab, most of them ZooKeeper's own.

A second line of defence often keeps the first one's loss from doing harm: a follower whose link
lets a gap pass still takes no proposal that does not follow its log. Such a bug is made of several
changes, as ZooKeeper, which has no second line there, had it.
"""

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.surgery import Edit

_ZAB = "raftwork.consensus.zab"

#: A follower stores what comes, whether it follows its log or not.
_UNCHECKED_PROPOSALS = Edit(
    f"{_ZAB}.broadcast:on_propose",
    "if not node.log.precedes(fresh[0].at):\n",
    "if False:\n",
)
_UNCHECKED_DIFF = Edit(
    f"{_ZAB}.synchronisation:on_diff",
    "node.log.last != message.after",
    "False",
)


def _mutant(name: str, *edits: Edit, seeds: int = 10, fast: bool = False) -> Mutant:
    return Mutant(f"Zab: {name}", edits, seeds, fast=fast, consensus="zab")


_ELECTION = (
    _mutant(
        "vote order without the epochs",
        Edit(
            f"{_ZAB}.state:Node.own_vote",
            "Vote(self.hard.current, self.log.last, ",
            "Vote(0, Position(0, self.log.last.seq), ",
        ),
        Edit(
            f"{_ZAB}.discovery:on_ack_epoch",
            "(message.current, message.ends[-1]), (node.hard.current, node.log.last)",
            "(message.ends[-1].seq, 0), (node.log.last.seq, 0)",
        ),
        seeds=40,
    ),
    _mutant(
        "votes handed on, and who is heard by few stands",
        Edit(
            f"{_ZAB}.election:_count",
            "stands = (vote.name, vote.incarnation) == src",
            "stands = vote != NO_VOTE",
        ),
        Edit(f"{_ZAB}.election:_choose", "(fresh or _heard_by_quorum(node))", "True"),
        seeds=60,
    ),
    _mutant(
        "leader with a worse history does not abdicate",
        Edit(f"{_ZAB}.state:Node.own_vote", "self.log.last", "ORIGIN"),
        Edit(f"{_ZAB}.discovery:on_ack_epoch", "theirs > mine", "False"),
        seeds=100,
    ),
    _mutant(
        "acceptedEpoch not persisted",
        Edit(
            f"{_ZAB}.core:_hard_state",
            "return hard\n",
            "return hard._replace(accepted=max(hard.current, log.last.epoch))\n",
        ),
        seeds=100,
    ),
    _mutant(
        "epoch offered before it is durable",
        Edit(
            f"{_ZAB}.discovery:inform",
            "if not link.informed and leader.epoch == node.saved.accepted:\n",
            "if not link.informed and leader.epoch:\n",
        ),
        Edit(f"{_ZAB}.discovery:inform", "LeaderInfo(node.saved.", "LeaderInfo(node.hard."),
    ),
    _mutant(
        "epoch accepted from a rival counted",
        Edit(
            f"{_ZAB}.follower:current_state",
            "hard.accepted == role.epoch and hard.source == role.leader.incarnation",
            "True",
        ),
        seeds=300,
    ),
)

_SYNCHRONISATION = (
    _mutant(
        "currentEpoch before its history",  # ZOOKEEPER-4643
        Edit(
            f"{_ZAB}.synchronisation:on_diff",
            "role.state_due = ",
            "node.enter(role.epoch)\n    role.state_due = ",
        ),
        Edit(
            f"{_ZAB}.synchronisation:on_trunc",
            "role.state_due = ",
            "node.enter(role.epoch)\n    role.state_due = ",
        ),
        seeds=200,
    ),
    _mutant(
        "TRUNC skipped for an uncommitted tail inside the leader's range",  # ZOOKEEPER-1154
        Edit(
            f"{_ZAB}.log:History.common",
            "for end in reversed(ends):\n",
            "if self.base <= ends[-1] <= self._last:\n"
            "        return self.floor(ends[-1])\n"
            "    for end in reversed(ends):\n",
        ),
        Edit(
            f"{_ZAB}.synchronisation:on_trunc",
            "not node.log.holds(message.to)",
            "False",
        ),
        Edit(f"{_ZAB}.synchronisation:on_trunc", "node.truncate(message.to)", "pass"),
        Edit(
            f"{_ZAB}.broadcast:on_propose",
            "if not node.log.holds(message.entries[known].at):\n",
            "if False:\n",
        ),
        seeds=40,
    ),
    _mutant(
        "DIFF after a part of a snapshot",  # ZOOKEEPER-3642
        Edit(
            f"{_ZAB}.snapshot:offer",
            "if not _send(node, name, link, snapshot, offset):\n",
            "from raftwork.consensus.zab.messages import Diff\n"
            "        sent = _send(node, name, link, snapshot, offset)\n"
            "        link.streaming, link.sent = True, snapshot.at\n"
            "        node.frame(name, link, Diff(snapshot.at))\n"
            "        if not sent:\n",
        ),
        _UNCHECKED_DIFF,
        _UNCHECKED_PROPOSALS,
        seeds=40,
    ),
    _mutant(
        "hole in the committed log passed on",  # ZOOKEEPER-4925
        Edit(
            f"{_ZAB}.log:History.common",
            "return mine\n",
            "return max(mine, self.floor(Position(self._last.epoch, 0)))\n",
        ),
        Edit(f"{_ZAB}.synchronisation:begin", "if common == last", "if common >= last"),
        _UNCHECKED_DIFF,
        seeds=40,
    ),
    _mutant(
        "served before a quorum acknowledged NEWLEADER",
        Edit(f"{_ZAB}.synchronisation:establish", "if acked >= node.quorum:", "if acked:"),
        fast=True,
    ),
    _mutant(
        "proposal kept from a joiner between NEWLEADER and UPTODATE",
        Edit(
            f"{_ZAB}.broadcast:_stream",
            "upto = node.log.last if link.new_leader else initial",
            "upto = node.log.last if link.up_to_date else initial",
        ),
        Edit(
            f"{_ZAB}.broadcast:_stream",
            "    synchronisation.confirm(node, leader, name, link)\n",
            "    joined = not link.up_to_date\n"
            "    synchronisation.confirm(node, leader, name, link)\n"
            "    if link.up_to_date and joined:\n"
            "        link.sent = node.log.last\n",
        ),
        _UNCHECKED_PROPOSALS,
        seeds=40,
    ),
)

_BROADCAST = (
    _mutant(
        "ACK before the sync",  # ZOOKEEPER-3911, 4646
        Edit(f"{_ZAB}.follower:send_state", "node.promise(", "node.send("),
        fast=True,
    ),
    _mutant(
        "ACK counted from a follower that is not in the epoch",
        Edit(f"{_ZAB}.broadcast:advance", " if x.current == leader.epoch", ""),
        Edit(f"{_ZAB}.synchronisation:establish", "link.current == epoch", "link.current >= 0"),
        seeds=40,
    ),
    _mutant(
        "gap in the link ignored",
        Edit(
            f"{_ZAB}.fifo:Inbound.take",
            "    self.early[seq] = message\n",
            "    self.expected = seq + 1\n    return [message]\n",
        ),
        _UNCHECKED_PROPOSALS,
        seeds=40,
    ),
    _mutant(
        "reads without a round",
        Edit(
            f"{_ZAB}.reads:passed",
            "answered = _answered(node, leader)",
            "answered = leader.round + 1",
        ),
        seeds=300,
    ),
    _mutant(
        "a follower never applies",
        Edit(
            f"{_ZAB}.core:Zab._may_wait",
            "return node.log.durable != node.log.last or (",
            "return True or (",
        ),
    ),
    _mutant(
        "leader without a quorum stays",
        Edit(
            f"{_ZAB}.broadcast:check_quorum",
            "return node.now < leader.quorum_until",
            "return True",
        ),
        seeds=40,
    ),
    _mutant(
        "transfer never given up",
        Edit(f"{_ZAB}.transfer:expire", "leader.transfer = None", "pass"),
        seeds=300,
    ),
)

ZAB = (*_ELECTION, *_SYNCHRONISATION, *_BROADCAST)
