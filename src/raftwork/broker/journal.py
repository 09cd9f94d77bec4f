"""Events as lines of the log: how much each weighs, and which are folded by their kind."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from raftwork import logs
from raftwork.broker.events import (
    BadFrame,
    Follows,
    HelloRefused,
    PeerDown,
    PeerRefuses,
    QueueFullRefusal,
    SlowTurn,
    TaskLost,
    Waits,
    WorkerLost,
    WorkerRests,
    WrongPeer,
)
from raftwork.consensus.news import Cause, Election, SnapshotNotMade, SnapshotRejected

if TYPE_CHECKING:
    from raftwork.broker.events import Event

log = logging.getLogger("raftwork.broker")

#: All others are INFO.
_LEVELS: Final[Mapping[type, int]] = {
    WrongPeer: logging.ERROR,
    **dict.fromkeys(
        (
            BadFrame,
            HelloRefused,
            PeerDown,
            PeerRefuses,
            QueueFullRefusal,
            SlowTurn,
            SnapshotNotMade,
            SnapshotRejected,
            TaskLost,
            Waits,
            WorkerLost,
            WorkerRests,
        ),
        logging.WARNING,
    ),
}
#: Strangers or circumstances make a new text each time; the first of a minute is enough.
_ALIKE: Final = (BadFrame, HelloRefused, QueueFullRefusal, SlowTurn)

#: Characters of a line or of a value in it, and values in a list of them.
_TEXT_MAX: Final = 2_000
_LISTED_MAX: Final = 100


def write(epoch: int, event: Event) -> None:
    """Log it. `epoch` is the broker's, for this line and those that follow."""
    logs.in_epoch(epoch)
    level = _level(event)
    if not log.isEnabledFor(level):
        return
    fields = {name: _cut(value) for name, value in asdict(event).items()}
    extra: dict[str, object] = {"fields": {"event": _name(type(event)), **fields}}
    if isinstance(event, _ALIKE):
        extra |= logs.alike(type(event).__name__)
    elif isinstance(event, Waits):
        extra |= logs.UNFOLDED
    log.log(level, "%s", _cut(str(event)), extra=extra)


def _cut(value: object) -> object:
    """Texts that another machine had a part in may be as long as a frame."""
    if isinstance(value, tuple):
        return tuple(map(_cut, value[:_LISTED_MAX]))
    long = isinstance(value, str) and len(value) > _TEXT_MAX
    return f"{value:.{_TEXT_MAX}}…" if long else value


def _level(event: Event) -> int:
    if isinstance(event, Election) and event.why is Cause.UNDECIDED:
        return logging.DEBUG  # once a second for as long as there is no majority
    if isinstance(event, Follows) and not event.leader:
        return logging.DEBUG
    return _LEVELS.get(type(event), logging.INFO)


def _name(kind: type) -> str:
    """WorkerLost as `worker_lost`."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()
