"""SQLite as this store uses it: connections, what their errors mean, and the store's own tables.

Every table whose name does not begin with `store_` belongs to the queue machine.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final
from zlib import crc32

import apsw
import apsw.sqlite_extra

from raftwork.broker.store.options import StoreOptions
from raftwork.consensus.core import ORIGIN, Position, Roster
from raftwork.errors import StoreDamaged, StoreError
from raftwork.wire import pack

PAGE: Final = 4096
#: What the checksum VFS needs at the end of every page.
CHECKSUM_BYTES: Final = 8

CreateMachine = Callable[[apsw.Connection], None]

SCHEMA: Final = """
CREATE TABLE store_meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    turn INTEGER NOT NULL,
    checksums INTEGER NOT NULL,
    applied_epoch INTEGER NOT NULL,
    applied_seq INTEGER NOT NULL,
    base_epoch INTEGER NOT NULL,
    base_seq INTEGER NOT NULL,
    last_epoch INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    state BLOB,
    roster TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE store_log (
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    data BLOB NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (epoch, seq)
) WITHOUT ROWID;
"""

_READ_META: Final = "SELECT * FROM store_meta"
_WRITE_META: Final = (
    "INSERT OR REPLACE INTO store_meta VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@cache
def checksum_vfs() -> str:
    """Register the VFS that checks pages, once a process; gives its name."""
    try:
        connection = apsw.Connection(":memory:")
        apsw.sqlite_extra.load(connection, "cksumvfs")
    except (apsw.sqlite_extra.NotAvailable, apsw.ExtensionLoadingError) as error:
        raise StoreError(f"this build of APSW has no page checksums: {error}") from error
    # Loading makes it everybody's default; other users of SQLite here did not ask for it.
    apsw.set_default_vfs("unix")
    return "cksmvfs"


@dataclass(frozen=True, slots=True)
class Opener:
    """How every database file of a store is opened."""

    checksums: bool
    options: StoreOptions

    def open(self, path: Path, *, create: bool = False) -> apsw.Connection:
        """A connection that neither checkpoints nor syncs other than it is told to."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        if create:
            flags |= apsw.SQLITE_OPEN_CREATE
        vfs = self.options.vfs or (checksum_vfs() if self.checksums else None)
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=256)
        if create and self.checksums:
            connection.reserve_bytes("main", CHECKSUM_BYTES)
        # A checkpoint by surprise would stall a turn, or copy what a failed fsync left behind.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        for pragma in (
            f"page_size={PAGE}",
            "auto_vacuum=NONE",
            "mmap_size=0",
            f"cache_size={-(self.options.cache_bytes // 1024)}",
            "temp_store=MEMORY",
            "wal_autocheckpoint=0",
        ):
            connection.execute("PRAGMA " + pragma)
        return connection


class Guard:
    """Around everything that touches the disk: its errors become StoreError or StoreDamaged.

    After the first one the store refuses further use: after a failed fsync nobody knows what the
    disk holds, and trying again can succeed without having written anything.
    """

    def __init__(self, on_damage: Callable[[StoreDamaged], None]) -> None:
        self.failure: StoreError | None = None
        self._on_damage = on_damage

    def __enter__(self) -> None:
        if self.failure is not None:
            raise type(self.failure)(f"the store is out of use: {self.failure}") from self.failure

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or (meaning := as_store_error(error)) is None:
            return
        self.fail(meaning)
        if meaning is not error:
            raise meaning from error

    def fail(self, failure: StoreError) -> None:
        """Refuse further use, for this reason unless there was an earlier one."""
        if self.failure is None:
            self.failure = failure
            if isinstance(failure, StoreDamaged):
                self._on_damage(failure)


_DISK_ERRORS: Final = (
    apsw.IOError,
    apsw.FullError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ProtocolError,
    OSError,
)


def as_store_error(error: BaseException) -> StoreError | None:
    """What an error of SQLite or the file system means; None if it is not about the disk."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)) or (
        isinstance(error, apsw.IOError)
        and error.extendedresult in (apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_CORRUPTFS)
    ):
        return StoreDamaged(f"the database contradicts its checksums or structure: {error}")
    if isinstance(error, _DISK_ERRORS):
        return StoreError(f"the disk failed: {type(error).__name__}: {error}")
    return None


@dataclass(slots=True)
class Meta:
    """The one row that says where everything else stands; written once a transaction."""

    #: Incremented by every transaction that writes.
    turn: int = 0
    checksums: bool = True
    applied: Position = ORIGIN
    #: The log's borders, its number of rows and the bytes of their data.
    base: Position = ORIGIN
    last: Position = ORIGIN
    entries: int = 0
    size: int = 0
    #: The core's hard state.
    state: bytes | None = None
    #: The roster as JSON: name to incarnation in hexadecimal.
    roster: str = "{}"

    def write(self, connection: apsw.Connection) -> None:
        values = (
            self.turn,
            int(self.checksums),
            *self.applied,
            *self.base,
            *self.last,
            self.entries,
            self.size,
            self.state,
            self.roster,
        )
        connection.execute(_WRITE_META, (*values, crc32(pack(values))))


def read_meta(connection: apsw.Connection) -> Meta:
    """Raises StoreDamaged unless there is exactly one row that matches its CRC."""
    rows = connection.execute(_READ_META).fetchall()
    if len(rows) != 1:
        raise StoreDamaged(f"the database has {len(rows)} rows of metadata instead of one")
    _, *values, crc = rows[0]
    if crc != crc32(pack(values)):
        raise StoreDamaged("the database's metadata contradict their checksum")
    turn, checksums, ae, as_, be, bs, le, ls, entries, size, state, roster = values
    return Meta(
        turn=turn,
        checksums=bool(checksums),
        applied=Position(ae, as_),
        base=Position(be, bs),
        last=Position(le, ls),
        entries=entries,
        size=size,
        state=state,
        roster=roster,
    )


def encode_roster(roster: Roster) -> str:
    return json.dumps({name: roster[name].hex() for name in sorted(roster)})


def decode_roster(text: str) -> dict[str, bytes]:
    fields: Mapping[str, str] = json.loads(text)
    return {name: bytes.fromhex(incarnation) for name, incarnation in fields.items()}


def set_synchronous(connection: apsw.Connection, *, full: bool) -> None:
    """Whether commits reach the disk before they return.

    SQLite ignores the pragma inside a transaction, so that it took effect is checked.
    """
    level = 2 if full else 1
    connection.execute(f"PRAGMA synchronous={level}")
    in_force = connection.execute("PRAGMA synchronous").get
    if in_force != level:
        raise StoreError(f"SQLite runs with synchronous={in_force} instead of {level}")
