"""How often the rare branches were taken: a simulator that never gets there proves nothing."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from raftwork.broker.queue.commands import Applied, Closed, NotAssigned, Requeued, Settled, Stale
from raftwork.broker.workforce import Workforce
from raftwork.consensus.raft import replication, snapshot, transfer
from raftwork.consensus.raft.messages import AppendReply, SnapshotChunk, TimeoutNow, decode
from raftwork.consensus.raft.node import Node
from raftwork.messages import State

_COUNTS: list[Counter[str]] = []

#: What CI's seeds must reach between them; `counts` gives it names.
EXPECTED = (
    "truncation",
    "conflict hint",
    "snapshot installed",
    "snapshot resumed",
    "rebind committed",
    "transfer",
    "transfer aborted",
    "unsynced commits lost",
    "checksum refusal",
    "stale token refused",
    "assign of a task that does not wait",
    "duplicate enqueue suppressed",
    "contradiction refused",
    "lease expired",
    "tokens resent at hello",
    "task lost",
    "task failed",
    "retry delayed",
    "deactivated",
    "disk failed",
    "store refuses",
    "time limit expired by the leader",
    "drained",
    "unavailable",
)

_EFFECTS = {Stale: "stale token refused", NotAssigned: "assign of a task that does not wait"}


class Reach:
    """Counts of one world."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        _COUNTS[:] = [self.counts]

    def consensus(self, body: bytes) -> None:
        if body[1] == 6:
            reply = decode(body)
            if isinstance(reply, AppendReply) and not reply.ok and reply.hint.seq:
                self.counts["conflict hint"] += 1
        elif body[1] in (7, 9):
            message = decode(body)
            self.counts["transfer"] += isinstance(message, TimeoutNow)
            self.counts["snapshot chunk"] += isinstance(message, SnapshotChunk)

    def effects(self, applied: Applied) -> None:
        for effect in applied.effects:
            name = _EFFECTS.get(type(effect))
            if name is not None:
                self.counts[name] += 1
            elif isinstance(effect, Settled) and effect.state is not State.SUCCEEDED:
                self.counts[f"task {effect.state.name.lower()}"] += 1
        closed = sum(isinstance(effect, Closed) for effect in applied.effects)
        self.counts["retry delayed"] += max(
            0, closed - sum(isinstance(effect, Requeued) for effect in applied.effects)
        )


def count(name: str, times: int = 1) -> None:
    if _COUNTS and times:
        _COUNTS[0][name] += times


@contextmanager
def counting(owner: object, name: str, note: Callable[..., None]) -> Iterator[None]:
    """Call `note` with the arguments of every call of `owner.name`, before it."""
    original: Any = getattr(owner, name)

    @wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        note(*args, **kwargs)
        return original(*args, **kwargs)

    setattr(owner, name, wrapper)
    try:
        yield
    finally:
        setattr(owner, name, original)
