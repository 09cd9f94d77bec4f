"""How often the rare branches were taken: a simulator that never gets there proves nothing.

What can be seen from outside (messages, effects, events of the world) is counted there; a few
branches leave no trace, and for those the function that takes them is wrapped.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

from raftwork.broker.hands import Worker
from raftwork.broker.queue.commands import Applied, Closed, Requeued, Settled
from raftwork.broker.workforce import Workforce
from raftwork.consensus.chunks import Outgoing
from raftwork.consensus.raft import election, snapshot, transfer
from raftwork.consensus.raft.messages import AppendReply, ChunkReply, decode
from raftwork.consensus.raft.node import Leader, Node, Progress

#: What CI's seeds must reach between them.
EXPECTED = (
    # the log
    "truncation",
    "conflict hint",
    "quorum lost",
    "snapshot installed",
    "snapshot resumed",
    "snapshot begun again",
    "rebind committed",
    "transfer",
    "transfer aborted",
    "deactivated",
    # disks
    "crash before the commit",
    "crash during the commit",
    "crash after the commit",
    "unsynced commits lost",
    "unsynced writes lost",
    "torn write",
    "checksum refusal",
    "damage noticed",
    "disk failed",
    "store refuses",
    "lost directory",
    # tasks
    "stale token refused",
    "duplicate enqueue suppressed",
    "contradiction refused",
    "retry delayed",
    "task failed",
    "task lost",
    "worker given up",
    "pushed again at a hello",
    "expired by the leader",
    "handed back unstarted",
    "drained",
    "halt",
    "killed by its task",
    "unavailable",
)

_APPEND_REPLY, _TIMEOUT_NOW = 6, 9


class Reach:
    """Counts of one world; `watching` wraps what cannot be seen otherwise."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def consensus(self, body: bytes) -> None:
        """A consensus message leaves."""
        if body[1] == _APPEND_REPLY:
            reply = decode(body)
            if isinstance(reply, AppendReply) and not reply.ok and reply.hint.seq:
                self.counts["conflict hint"] += 1
        elif body[1] == _TIMEOUT_NOW:
            self.counts["transfer"] += 1

    def effects(self, applied: Applied) -> None:
        counts, waiting = self.counts, 0
        for effect in applied.effects:
            if isinstance(effect, Settled):
                counts[f"task {effect.state.name.lower()}"] += 1
            else:
                waiting += isinstance(effect, Closed) - isinstance(effect, Requeued)
        counts["retry delayed"] += max(0, waiting)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it lasts, calls of the functions below are counted."""
        with ExitStack() as stack:
            for owner, name, note in (
                (Node, "truncate", self._always("truncation")),
                (Workforce, "_push_again", self._always("pushed again at a hello")),
                (Workforce, "_give_up", self._always("worker given up")),
                (Workforce, "_propose_end", self._reported),
                (transfer, "expire", self._transfer_expires),
                (snapshot, "on_chunk_reply", self._chunk_reply),
                (snapshot, "_send", self._chunk_sent),
                (election, "check_quorum", self._check_quorum),
            ):
                stack.enter_context(_before(owner, name, note))
            yield

    def _always(self, name: str) -> Callable[..., None]:
        def note(*_args: object) -> None:
            self.counts[name] += 1

        return note

    def _reported(self, _workforce: Workforce, worker: Worker, token: int) -> None:
        self.counts["stale token refused"] += token not in worker.hands

    def _transfer_expires(self, node: Node, leader: Leader) -> None:
        if leader.transfer is not None and node.now >= leader.transfer.deadline:
            self.counts["transfer aborted"] += 1

    def _check_quorum(self, node: Node, leader: Leader) -> None:
        recent = [p for p in leader.peers.values() if node.now - p.heard < 750]
        self.counts["quorum lost"] += not recent

    def _chunk_reply(self, peer: Progress, reply: ChunkReply) -> None:
        if peer.outgoing is not None and reply.wanted < reply.offset == peer.outgoing.acked:
            self.counts["snapshot begun again"] += 1

    def _chunk_sent(self, node: Node, name: str, outgoing: Outgoing, offset: int) -> None:
        resumed = outgoing.seen == outgoing.acked == offset and 0 < offset < outgoing.snapshot.size
        self.counts["snapshot resumed"] += resumed


@contextmanager
def _before(owner: object, name: str, note: Callable[..., None]) -> Iterator[None]:
    original: Any = getattr(owner, name)

    @wraps(original)
    def wrapper(*args: Any) -> Any:
        note(*args)
        return original(*args)

    setattr(owner, name, wrapper)
    try:
        yield
    finally:
        setattr(owner, name, original)
