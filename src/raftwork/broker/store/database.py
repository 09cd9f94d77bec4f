"""How every SQLite file of a store is opened."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import apsw
import apsw.sqlite_extra

from raftwork.broker.store.options import StoreOptions
from raftwork.errors import StoreError

PAGE: Final = 4096
#: What the checksum VFS needs at the end of every page.
CHECKSUM_BYTES: Final = 8


@cache
def checksum_vfs() -> str | None:
    """Register the VFS that checks pages, once a process; its name, or None if APSW lacks it."""
    try:
        connection = apsw.Connection(":memory:")
        apsw.sqlite_extra.load(connection, "cksumvfs")
    except (apsw.sqlite_extra.NotAvailable, apsw.ExtensionLoadingError):
        return None
    # Loading makes it the process's default; other users of SQLite here did not ask for it.
    apsw.set_default_vfs("unix")
    return "cksmvfs"


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens databases of one store, all in the same way."""

    #: Whether new databases get page checksums. Those that have them are always checked.
    checksums: bool
    options: StoreOptions

    def open(self, path: Path, *, create: bool = False) -> apsw.Connection:
        """Open a connection that checkpoints and syncs only when it is told to."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        if create:
            flags |= apsw.SQLITE_OPEN_CREATE
        vfs = self.options.vfs or checksum_vfs()
        if self.checksums and vfs is None:
            raise StoreError("this build of APSW has no page checksums (cksumvfs)")
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=256)
        if create and self.checksums:
            connection.reserve_bytes("main", CHECKSUM_BYTES)
        # A checkpoint by surprise would stall a turn, or copy what a failed fsync left behind.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # Else a statement with `LIMIT ?` is parsed and planned anew each time it is run, as the
        # limit may change the plan: 3 to 10 us of each.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for pragma in (
            f"page_size={PAGE}",
            "mmap_size=0",
            f"cache_size={-(self.options.cache_bytes // 1024)}",
            "temp_store=MEMORY",
            "wal_autocheckpoint=0",
            # What a long snapshot made the log grow beyond its usual size is given back.
            f"journal_size_limit={4 * self.options.wal_bytes}",
        ):
            connection.execute("PRAGMA " + pragma)
        if create:
            # Free pages can go back to the file system (Generation.give_back). A database that was
            # made without this is as good otherwise; asked of one that exists it would be a write,
            # before anything has been verified.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        return connection


def has_checksums(connection: apsw.Connection) -> bool:
    """Whether the database has page checksums and they are verified."""
    return (
        connection.reserve_bytes("main") == CHECKSUM_BYTES
        and str(connection.execute("PRAGMA checksum_verification").get) == "1"
    )


def use_wal(connection: apsw.Connection) -> None:
    """Switch the database to the write-ahead log. Raises StoreError where that is not possible."""
    mode = connection.execute("PRAGMA journal_mode=WAL").get
    if mode != "wal":
        raise StoreError(f"SQLite uses journal mode {mode} here, not the write-ahead log")


def set_synchronous(connection: apsw.Connection, *, full: bool) -> None:
    """Whether commits reach the disk before they return.

    SQLite ignores the pragma inside a transaction, so that it took effect is checked.
    """
    level = 2 if full else 1
    connection.execute(f"PRAGMA synchronous={level}")
    in_force = connection.execute("PRAGMA synchronous").get
    if in_force != level:
        raise StoreError(f"SQLite runs with synchronous={in_force} instead of {level}")
