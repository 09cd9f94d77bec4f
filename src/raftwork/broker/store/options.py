"""What may be tuned about a store. The defaults are meant to be right."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Sizes in bytes unless they say otherwise."""

    #: Compaction keeps this many of the newest applied entries for slow followers …
    tail_entries: int = 10_000
    #: … or this many bytes of them, whichever is reached first.
    tail_bytes: int = 16 * MIB
    #: What one step of compaction drops: whichever of the two is reached first.
    segment_entries: int = 1_000
    segment_bytes: int = MIB
    #: A write-ahead log this long is copied into the database at the end of the turn, which takes
    #: some 3 ms for each MiB; meanwhile no request is answered.
    wal_bytes: int = 3 * MIB
    #: One that a reader kept growing this far: the reader is interrupted.
    wal_bytes_max: int = 512 * MIB
    #: Of the newest log entries, this much is verified at open; the rest whenever it is read.
    verify_bytes: int = 4 * MIB
    #: Incoming snapshots larger than this are refused.
    snapshot_bytes_max: int = 64 * 1024 * MIB
    #: SQLite's page cache, in bytes.
    cache_bytes: int = 16 * MIB
    #: Free pages of this many bytes are kept for what comes next; once there are twice as many, all
    #: others go back to the file system, so many bytes in a turn that has nothing else to write.
    spare_bytes: int = 4 * MIB
    give_back_bytes: int = MIB // 2
    #: The name of a registered SQLite VFS to use instead of the usual one.
    vfs: str | None = None
