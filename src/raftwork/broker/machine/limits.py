"""How much the machine may hold, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one machine. They decide what is applied, so every replica has the same.

    Times are milliseconds.
    """

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
