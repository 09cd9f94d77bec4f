"""Events as lines of the log: how much each weighs, and which are folded by their kind."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from raftwork import logs
from raftwork.broker.events import (
    PER_ATTEMPT,
    BadFrame,
    BalancerUnknown,
    ChoreFailed,
    Follows,
    HelloRefused,
    PeerDown,
    PeerRefuses,
    QueueFullRefusal,
    RequestRefused,
    SlowTurn,
    TaskLost,
    TaskOverdue,
    TasksTakenBack,
    Waits,
    WorkerLost,
    WorkerRefused,
    WorkerRests,
    WrongPeer,
)
from raftwork.broker.peer_events import (
    AccessNotReloaded,
    AddressSlowed,
    BallastDropped,
    ConnectionClosed,
    DataPutAside,
    DiskGetsFull,
    DiskLow,
    FrameUnsent,
    HostUnknown,
    HttpEnded,
    KeyMayNot,
    KeyNotKnown,
    ListensOnLoopback,
    PeerElsewhere,
    PeerKeyMismatch,
    PeerMistaken,
    PeerMoveUnsaved,
    PeerOneWay,
    SessionClosed,
    StrangersSlowed,
)
from raftwork.consensus.replica_events import Cause, Election, SnapshotNotMade, SnapshotRejected

if TYPE_CHECKING:
    from raftwork.broker.events import Event

log = logging.getLogger("raftwork.broker")

#: All others are INFO.
LEVELS: Final[Mapping[type, int]] = {
    **dict.fromkeys((*PER_ATTEMPT, ConnectionClosed), logging.DEBUG),
    **dict.fromkeys(
        (
            *(AccessNotReloaded, BallastDropped, DataPutAside, DiskLow, HostUnknown),
            *(PeerKeyMismatch, WrongPeer),
        ),
        logging.ERROR,
    ),
    **dict.fromkeys(
        (
            *(
                AddressSlowed,
                BadFrame,
                DiskGetsFull,
                FrameUnsent,
                HelloRefused,
                HttpEnded,
                ListensOnLoopback,
            ),
            *(SessionClosed, SlowTurn, StrangersSlowed),
            *(PeerDown, PeerElsewhere, PeerMistaken, PeerMoveUnsaved, PeerOneWay, PeerRefuses),
            *(BalancerUnknown, KeyMayNot, KeyNotKnown, QueueFullRefusal, WorkerRefused),
            *(SnapshotNotMade, SnapshotRejected, Waits),
            *(TaskLost, TaskOverdue, TasksTakenBack, WorkerLost, WorkerRests),
        ),
        logging.WARNING,
    ),
}
#: Strangers or circumstances make a new text each time; the first of a minute is enough.
_ALIKE: Final = (
    *(BadFrame, FrameUnsent, HelloRefused, SessionClosed, SlowTurn),
    *(ChoreFailed, QueueFullRefusal, RequestRefused, WorkerRefused, KeyMayNot, KeyNotKnown),
)


def tells_attempts() -> bool:
    """Whether the log shows what becomes of each attempt."""
    return log.isEnabledFor(logging.DEBUG)


def write(epoch: int | None, event: Event) -> None:
    """Log it. `epoch` is the broker's, for this line and those that follow; None if as before."""
    if epoch is not None:
        logs.in_epoch(epoch)
    level = _level(event)
    extra: Mapping[str, str] | None = None
    if isinstance(event, _ALIKE):
        extra = logs.alike(type(event).__name__)
    elif isinstance(event, Waits):
        extra = logs.UNFOLDED
    logs.write_event(log, level, event, extra)


def _level(event: Event) -> int:
    if isinstance(event, Election) and event.why is Cause.UNDECIDED:
        return logging.DEBUG  # once a second for as long as there is no majority
    if isinstance(event, Follows) and not event.leader:
        return logging.DEBUG
    return LEVELS.get(type(event), logging.INFO)
