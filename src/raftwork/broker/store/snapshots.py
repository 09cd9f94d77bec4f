"""Snapshots: the machine's tables and the position they stand at, as one file.

A snapshot holds the machine's tables, indices and views, and a table `store_snapshot` with one
row: the format, the position applied last, and the roster. Never hard state, never log.

These functions run on the helper thread, with connections of their own.
"""

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

import apsw

from raftwork.broker.store.database import Opener, has_checksums, set_synchronous, use_wal
from raftwork.broker.store.files import sync_directory, sync_file
from raftwork.broker.store.identity import FORMAT
from raftwork.broker.store.meta import SCHEMA, Meta, decode_roster, read_meta
from raftwork.consensus.core import Position, Snapshot
from raftwork.errors import BadSnapshot, StoreDamaged
from raftwork.release import RELEASE

#: Makes the queue machine's tables where they are absent, and brings those of an older format up to
#: date, inside the caller's transaction. Writes nothing if there is nothing to do.
CreateMachine = Callable[[apsw.Connection], None]

_SCHEMA: Final = (
    "CREATE TABLE store_snapshot (format INTEGER, epoch INTEGER, seq INTEGER, roster BLOB)"
)
#: Triggers and views come last, so that copying sets nothing off.
_MACHINE: Final = """
SELECT type, name, sql FROM live.sqlite_schema
WHERE substr(tbl_name, 1, 6) <> 'store_' AND substr(name, 1, 7) <> 'sqlite_'
ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 3 ELSE 4 END, rowid
"""
_BLOCK: Final = 1024 * 1024
#: How many steps of SQLite's virtual machine pass between two looks at whether to stop.
_STEPS: Final = 50_000

Stopped = Callable[[], bool]


def create_tables(connection: apsw.Connection, meta: Meta, create_machine: CreateMachine) -> None:
    """The store's own tables and the machine's, inside the caller's transaction."""
    connection.execute(SCHEMA)
    create_machine(connection)
    meta.write(connection)


def write_snapshot(source: Path, target: Path, opener: Opener, stopped: Stopped) -> Snapshot:
    """Copy the machine's tables of the live database `source` into a new file, durably.

    Raises apsw.InterruptError once `stopped` says so, and what apsw and the file system raise.
    """
    connection = opener.open(target, create=True)
    try:
        connection.set_progress_handler(stopped, _STEPS)
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")  # the whole file is synced at the end
        # On its own: pages written before the first one is would get no checksums.
        connection.execute(_SCHEMA)
        connection.execute("ATTACH ? AS live", (source.as_uri() + "?mode=ro",))
        connection.execute("BEGIN")
        at = _copy(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()
    sync_file(target)
    sync_directory(target.parent)
    return Snapshot(at, target.stat().st_size, _digest(target, stopped))


def _copy(connection: apsw.Connection) -> Position:
    # The first read opens the one read transaction that all of it is copied in.
    meta = read_meta(connection, "live")
    objects = connection.execute(_MACHINE).fetchall()
    tables = [str(name) for kind, name, _ in objects if kind == "table"]
    for kind, _, sql in objects:
        if kind in ("table", "index"):
            connection.execute(str(sql))
    for name in tables:
        quoted = name.replace('"', '""')
        connection.execute(f'INSERT INTO main."{quoted}" SELECT * FROM live."{quoted}"')  # noqa: S608
    for kind, _, sql in objects:
        if kind not in ("table", "index"):
            connection.execute(str(sql))
    values = (FORMAT, *meta.applied, meta.roster)
    connection.execute("INSERT INTO store_snapshot VALUES (?, ?, ?, ?)", values)
    return meta.applied


def _digest(path: Path, stopped: Stopped) -> bytes:
    digest = blake2b(digest_size=32)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if stopped():
                raise apsw.InterruptError("interrupted")
            digest.update(block)
    return digest.digest()


def prepare_generation(
    snapshot: Snapshot,
    staged: Path,
    target: Path,
    opener: Opener,
    create_machine: CreateMachine,
    stopped: Stopped,
) -> None:
    """Verify a staged snapshot and make a generation of it, durable, under the name `target`.

    Raises BadSnapshot if the file is not that snapshot.
    """
    try:
        size = staged.stat().st_size
    except FileNotFoundError:
        raise BadSnapshot("nothing of it was staged") from None
    if size != snapshot.size or _digest(staged, stopped) != snapshot.digest:
        raise BadSnapshot("its size or digest is another")
    try:
        _rebuild(snapshot, staged, opener, create_machine, stopped)
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, StoreDamaged) as error:
        raise BadSnapshot(f"it is no snapshot: {error}") from error
    sync_file(staged)
    os.rename(staged, target)
    sync_directory(target.parent)


def _rebuild(
    snapshot: Snapshot,
    staged: Path,
    opener: Opener,
    create_machine: CreateMachine,
    stopped: Stopped,
) -> None:
    connection = opener.open(staged)
    try:
        connection.set_progress_handler(stopped, _STEPS)
        roster = _check(connection, snapshot)
        use_wal(connection)
        set_synchronous(connection, full=True)
        with connection:
            connection.execute("DROP TABLE store_snapshot")
            meta = Meta(
                checksums=has_checksums(connection),
                applied=snapshot.at,
                base=snapshot.at,
                last=snapshot.at,
                roster=roster,
            )
            create_tables(connection, meta, create_machine)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()


def _check(connection: apsw.Connection, snapshot: Snapshot) -> bytes:
    rows = connection.execute("SELECT * FROM store_snapshot").fetchall()
    if len(rows) != 1:
        raise BadSnapshot(f"it has {len(rows)} rows of metadata instead of one")
    held, epoch, seq, roster = rows[0]
    if held != FORMAT:
        raise BadSnapshot(f"it has format {held}, raftwork {RELEASE} reads {FORMAT}")
    if (epoch, seq) != snapshot.at or not isinstance(roster, bytes):
        raise BadSnapshot(f"it stands at ({epoch}, {seq}) instead of {snapshot.at}")
    decode_roster(roster)
    verdict = connection.execute("PRAGMA quick_check(1)").get
    if verdict != "ok":
        raise BadSnapshot(f"it is not sound: {verdict}")
    return roster
