"""The protocols whose cores are simulated, and what the oracle must know to tell them apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from raftwork.consensus import raft, zab
from raftwork.consensus.core import Consensus, Peer, Role, Status
from raftwork.consensus.raft.messages import decode as decode_raft
from raftwork.consensus.zab.messages import Frame, decode_framed
from raftwork.consensus.zab.messages import decode as decode_zab
from tests.sim.store import MemoryStore

Make = Callable[[Peer, Sequence[str], MemoryStore, raft.Config, Random, int], Consensus]


@dataclass(frozen=True, slots=True)
class Protocol:
    make: Make
    #: A message for the trace.
    words: Callable[[bytes], object]
    #: Whether the log of a replica with this status must hold all that is committed.
    complete: Callable[[Status], bool]


def _raft(
    me: Peer, names: Sequence[str], store: MemoryStore, config: raft.Config, rng: Random, now: int
) -> Consensus:
    return raft.Raft(me, names, store, store.restored(), config, rng, now)


def _zab(
    me: Peer, names: Sequence[str], store: MemoryStore, config: raft.Config, rng: Random, now: int
) -> Consensus:
    return zab.Zab(me, names, store, store.restored(), _like(config), rng, now)


def _like(config: raft.Config) -> zab.Config:
    """Zab with the timings and bounds that a shape has drawn for Raft."""
    return zab.Config(
        tick=2 * config.heartbeat,
        sync_limit=config.election_max // (2 * config.heartbeat) + 1,
        connect_limit=4,
        finalize_wait=10,
        resend=20,
        resend_max=80,
        gap_patience=15,
        gap_messages=3 if config.window_messages < 64 else 256,
        window_messages=config.window_messages,
        window_bytes=config.window_bytes,
        propose_bytes=config.append_bytes,
        uncommitted_bytes=config.uncommitted_bytes,
        apply_bytes=config.apply_bytes,
        apply_entries=config.apply_entries,
        tail_bytes=config.tail_bytes,
        chunk_bytes=config.chunk_bytes,
        chunk_window=config.chunk_window,
    )


def _zab_words(body: bytes) -> object:
    message = decode_zab(body)
    if isinstance(message, Frame):
        return f"{message.session.number}#{message.seq} {decode_framed(message.body)}"
    return message


PROTOCOLS = {
    # Raft §5.4.3: from the election on. Zab: once its epoch is established; it may abdicate before.
    "raft": Protocol(_raft, decode_raft, lambda status: status.role is Role.LEADER),
    "zab": Protocol(_zab, _zab_words, lambda status: status.active),
}
