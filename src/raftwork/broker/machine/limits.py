"""How much the machine may hold, and for how long.

Limits decide what is applied, so they are replicated state: rows of the table `setting`, made with
the cluster's tables and changed by a committed command (ClusterSettings). The defaults below are
those of level 0, which no release may change: replicas of several releases make the same rows.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from typing import Final

import apsw

from raftwork.errors import NewerMessage, OtherRelease, ProtocolError

_MOST: Final = 2**53


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one cluster. Times are milliseconds, lengths are characters."""

    tasks: int = 2_000_000  # not finished
    queues: int = 1_000
    results: int = 1_000_000
    result_bytes: int = 1 << 30
    #: On disk, about 100 bytes each: an hour of 13,000 tasks a second.
    tombstones: int = 50_000_000
    #: An enqueue first tried longer ago than this is refused: its id may have been forgotten.
    window: int = 3_600_000
    #: A finished task's id is known at least this long after its result was dropped.
    tombstone_ttl: int = 3_600_000
    #: Caps what a Spec asks for.
    result_ttl: int = 30 * 86_400_000
    #: Caps what a Spec asks for.
    max_losses: int = 100
    #: Tasks that ended without a value and can be retried, and bytes of their payloads.
    dead: int = 10_000
    dead_bytes: int = 64 << 20
    #: Of one batch, and of each task in it.
    batch_tasks: int = 10_000
    batch_bytes: int = 16 << 20
    payload_bytes: int = 1 << 20
    #: Two names of any characters, and room for what later levels add. Every task stores its spec.
    spec_bytes: int = 4_096
    id_length: int = 255
    name_length: int = 255
    #: Of each kind of work that time alone does, in one entry: a few milliseconds at most.
    sweep: int = 500


_DEFAULTS: Final = Limits()
NAMES: Final = tuple(field.name for field in fields(Limits))
#: What frames and their readers have room for cannot be raised, and what is swept, not to nothing.
_AT_MOST: Final = {
    name: getattr(_DEFAULTS, name)
    for name in (
        *("batch_tasks", "batch_bytes", "payload_bytes"),
        *("spec_bytes", "id_length", "name_length"),
    )
}


def write(db: apsw.Connection, limits: Limits) -> None:
    """Make these the replicated limits."""
    rows = zip(NAMES, astuple(limits), strict=True)
    db.executemany("INSERT OR REPLACE INTO setting VALUES (?, ?)", rows)


def read(db: apsw.Connection) -> Limits:
    """The replicated limits. Raises OtherRelease if they are not those that this release has."""
    found: dict[str, int] = dict(db.execute("SELECT name, value FROM setting"))
    if found.keys() != set(NAMES):
        odd = ", ".join(sorted(found.keys() ^ set(NAMES)))
        raise OtherRelease(f"the cluster's settings are of another release (this differs: {odd})")
    return Limits(**found)


def changed(limits: Limits, values: Iterable[tuple[str, int]]) -> Limits:
    """The limits with some of them replaced.

    Raises ProtocolError for what cannot be meant, and NewerMessage for a name that this release
    does not know: in the log it stops the replica, and no leader proposes it.
    """
    new = dict(values)
    for name, value in new.items():
        if name not in NAMES:
            raise NewerMessage(f"unknown setting {name!r:.80}")
        most = _AT_MOST.get(name, _MOST)
        if not 1 <= value <= most:
            raise ProtocolError(f"{name} must be between 1 and {most}, got {value}")
    made = replace(limits, **new)
    if made.tombstone_ttl < made.window:
        raise ProtocolError(
            f"tombstone_ttl, {made.tombstone_ttl} ms, must not be less than window, {made.window}"
            " ms: an id would be forgotten while its enqueue may still come again"
        )
    return made
