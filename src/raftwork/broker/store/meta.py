"""The store's own tables, and the one row that says where everything else stands.

Every table whose name does not begin with `store_` belongs to the queue machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast
from zlib import crc32

import apsw

from raftwork.consensus.core import ORIGIN, Position, Roster
from raftwork.errors import StoreDamaged
from raftwork.wire import pack

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
    size INTEGER NOT NULL,
    state BLOB,
    roster BLOB NOT NULL,
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

_WRITE: Final = (
    "INSERT OR REPLACE INTO store_meta VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_Row = tuple[int, int, int, int, int, int, int, int, int, int, bytes | None, bytes, int]


@dataclass(slots=True)
class Meta:
    """Changed in memory during a turn; written once, last, in its transaction."""

    #: Incremented by every transaction that writes.
    turn: int = 0
    #: Whether the database was made with page checksums.
    checksums: bool = True
    applied: Position = ORIGIN
    #: The log's borders, its number of rows and the bytes of their data.
    base: Position = ORIGIN
    last: Position = ORIGIN
    entries: int = 0
    size: int = 0
    #: The core's hard state.
    state: bytes | None = None
    #: The roster, encoded.
    roster: bytes = b"{}"

    def write(self, connection: apsw.Connection) -> None:
        """Store the row with its CRC, inside the open transaction."""
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
        connection.execute(_WRITE, (*values, crc32(pack(values))))


def read_meta(connection: apsw.Connection, schema: str = "main") -> Meta:
    """Raises StoreDamaged unless there is exactly one row and it matches its CRC."""
    try:
        rows = connection.execute(f"SELECT * FROM {schema}.store_meta").fetchall()  # noqa: S608
    except (apsw.SQLError, UnicodeDecodeError) as error:
        raise StoreDamaged(f"the database's metadata cannot be read: {error}") from None
    if len(rows) != 1:
        raise StoreDamaged(f"the database has {len(rows)} rows of metadata instead of one")
    values = rows[0][1:]
    if values[-1] != crc32(pack(values[:-1])):
        raise StoreDamaged("the database's metadata contradict their checksum")
    row = cast("_Row", values)
    turn, checksums, ae, as_, be, bs, le, ls, entries, size, state, roster, _ = row
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


def encode_roster(roster: Roster) -> bytes:
    """Incarnations in hexadecimal by name, as JSON."""
    return json.dumps({name: roster[name].hex() for name in sorted(roster)}).encode()


def decode_roster(data: bytes) -> dict[str, bytes]:
    """Raises StoreDamaged."""
    try:
        fields: Mapping[str, str] = json.loads(data)
        return {name: bytes.fromhex(incarnation) for name, incarnation in fields.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged(f"the roster cannot be read: {error}") from None
