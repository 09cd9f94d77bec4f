"""The consensus protocols that a simulated system can run, and what the oracle must know of each.

All else in this package treats them alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from raftwork.broker.node_setup import NodeStore
from raftwork.consensus import raft, zab
from raftwork.consensus.core import Consensus, Peer
from raftwork.consensus.raft.state import Leader as RaftLeader
from raftwork.consensus.zab.state import Leader as ZabLeader
from tests.sim.system.promises import Promises
from tests.sim.system.raft_promises import RaftPromises
from tests.sim.system.zab_promises import ZabPromises

Make = Callable[[Peer, list[str], NodeStore, raft.Config, Random, int], Consensus]


@dataclass(frozen=True, slots=True)
class Leading:
    """What cannot be seen of a leader from outside."""

    epoch: int
    #: When (on its clock) the hand-over it has begun must be given up.
    transfer_deadline: int | None
    #: The name of whom it is handed to.
    heir: str | None


_NONE = (None, None)


@dataclass(frozen=True, slots=True)
class Protocol:
    #: With the bounds that a shape has drawn.
    make: Make
    #: Of a core that leads, and must hold all that is committed.
    leading: Callable[[Consensus], Leading | None]
    promises: Callable[[], Promises]


def _raft(
    me: Peer, names: list[str], store: NodeStore, config: raft.Config, rng: Random, now: int
) -> Consensus:
    return raft.Raft(me, names, store, store.restored, config, rng, now)


def _raft_leading(core: Consensus) -> Leading | None:
    role = core._node.role if isinstance(core, raft.Raft) else None
    if not isinstance(core, raft.Raft) or not isinstance(role, RaftLeader):
        return None
    transfer = role.transfer
    return Leading(core._node.term, *((transfer.deadline, transfer.target) if transfer else _NONE))


def _zab(
    me: Peer, names: list[str], store: NodeStore, config: raft.Config, rng: Random, now: int
) -> Consensus:
    bounds = zab.Config(
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
    return zab.Zab(me, names, store, store.restored, bounds, rng, now)


def _zab_leading(core: Consensus) -> Leading | None:
    """From its establishment on: before, it may still have to abdicate."""
    role = core._node.role if isinstance(core, zab.Zab) else None
    if (
        not isinstance(core, zab.Zab)
        or not isinstance(role, ZabLeader)
        or not core._node.established
        or role.epoch is None
    ):
        return None
    transfer = role.transfer
    return Leading(role.epoch, *((transfer.deadline, transfer.target) if transfer else _NONE))


PROTOCOLS = {
    "raft": Protocol(_raft, _raft_leading, RaftPromises),
    "zab": Protocol(_zab, _zab_leading, ZabPromises),
}
