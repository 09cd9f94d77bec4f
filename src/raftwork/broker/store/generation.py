"""One generation: an open database, its metadata and its log, and the turns that change them.

Rules of this file:

1. One transaction a turn. The metadata row is written last in it, with its turn one higher.
2. `synchronous` is FULL if and only if the turn's commit must reach the disk, NORMAL otherwise,
   set before BEGIN and checked. A FULL commit makes every earlier one durable too.
3. A synced turn is promised (`watermark.py`) after its commit returned, never before.
4. The database file never holds more than what is promised: a checkpoint follows a synced commit.
   Otherwise damage in the write-ahead log could leave a mixture of two states that looks sound.
5. Whatever is read at open is made durable before anyone acts on it: a crash may have come between
   a vote's write and its sync, and the vote will not be written again.
"""

from collections.abc import Callable
from pathlib import Path

import apsw

from raftwork.broker.store.database import (
    PAGE,
    Opener,
    has_checksums,
    set_synchronous,
    use_wal,
)
from raftwork.broker.store.files import sync_directory
from raftwork.broker.store.log import StoredLog
from raftwork.broker.store.meta import Meta, read_meta
from raftwork.broker.store.options import StoreOptions
from raftwork.broker.store.snapshots import CreateMachine, create_tables
from raftwork.broker.store.watermark import Promised
from raftwork.errors import StoreDamaged

_BUSY_AT_OPEN_MS = 5_000
#: As PRAGMA auto_vacuum tells it.
_INCREMENTAL = 2


def create_generation(path: Path, opener: Opener, create_machine: CreateMachine) -> None:
    """A new database with an empty log and empty machine tables, durable and closed."""
    connection = opener.open(path, create=True)
    try:
        use_wal(connection)
        set_synchronous(connection, full=True)
        with connection:
            create_tables(connection, Meta(checksums=opener.checksums), create_machine)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        connection.close()
    sync_directory(path.parent)


def make_switchable(path: Path, opener: Opener, old: Meta) -> None:
    """Carry hard state and turn over to a prepared generation, durably, so that it may go live."""
    connection = opener.open(path)
    try:
        set_synchronous(connection, full=True)
        with connection:
            meta = read_meta(connection)
            meta.state = old.state
            meta.turn = old.turn + 1
            meta.write(connection)
    finally:
        connection.close()


class Generation:
    """The live database of a store."""

    def __init__(self, path: Path, number: int, opener: Opener, promised: Promised) -> None:
        """Open and verify. Raises StoreDamaged if what was promised is not all there."""
        if not path.exists():
            raise StoreDamaged(f"{path.name} is missing")
        self.path = path
        self.number = number
        self._options: StoreOptions = opener.options
        self._promised = promised
        self.connection = opener.open(path)
        try:
            self._verify()
            self._make_durable()
        except BaseException:
            self.connection.close()
            raise
        #: `meta` was changed: it has to be written even if no table was.
        self.touched = False
        # Of `give_back`: the last turn it has seen; whether it is done until the next one, and in
        # the midst of it; and whether this database was made so that it can.
        self._seen = -1
        self._tidy = self._giving = False
        self._gives = self.connection.execute("PRAGMA auto_vacuum").get == _INCREMENTAL
        self._wal_pages = 0
        self._checkpoint_at = self._options.wal_bytes // PAGE
        self.connection.set_wal_hook(self._written)

    def _verify(self) -> None:
        use_wal(self.connection)
        self.connection.execute("BEGIN")
        self._load()
        if self.meta.turn < self._promised.turn:
            raise StoreDamaged(
                f"the database ends at turn {self.meta.turn}, but turn {self._promised.turn} was"
                " promised: what lies between is lost"
            )
        # A flipped bit in this one byte of the header would turn all page checksums off.
        if self.meta.checksums and not has_checksums(self.connection):
            raise StoreDamaged(f"{self.path.name} has lost its page checksums")
        self.log.verify_tail()
        self.connection.execute("COMMIT")

    def _make_durable(self) -> None:
        set_synchronous(self.connection, full=True)
        self.connection.set_busy_timeout(_BUSY_AT_OPEN_MS)
        self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self.connection.set_busy_timeout(0)
        self._promised.raise_to(self.meta.turn)
        #: Whether a commit reaches the disk before it returns.
        self.synced = True

    def _load(self) -> None:
        self.meta = read_meta(self.connection)
        self.log = StoredLog(self.connection, self.meta, self._options)

    def bring_up_to_date(self, create_machine: CreateMachine) -> None:
        """Convert the machine's tables, if an older release made them: all of it, or nothing."""
        self.begin(sync=True)
        create_machine(self.connection)
        self.commit()

    def begin(self, *, sync: bool) -> None:
        """Open a transaction; with `sync` its commit reaches the disk before it returns."""
        if sync != self.synced:
            set_synchronous(self.connection, full=sync)
            self.synced = sync
        self.connection.execute("BEGIN")

    def commit(self) -> None:
        """Commit. If something was written, `meta` goes with it, under the number of a new turn."""
        connection, meta = self.connection, self.meta
        wrote = self.touched or connection.txn_state("main") == apsw.SQLITE_TXN_WRITE
        if wrote:
            meta.turn += 1
            meta.write(connection)
        connection.execute("COMMIT")
        self.touched = False
        if wrote and self.synced:
            self._promised.raise_to(meta.turn)

    def rollback(self) -> None:
        """Forget the open transaction, if there is one."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.touched = False
        self._load()

    @property
    def wal_bytes(self) -> int:
        """How long the write-ahead log is."""
        return self._wal_pages * PAGE

    def _written(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._wal_pages:  # it began again from its start
            self._checkpoint_at = self._options.wal_bytes // PAGE
        self._wal_pages = pages
        return apsw.SQLITE_OK

    @property
    def checkpoint_due(self) -> bool:
        """Whether `checkpoint` has anything to do."""
        return self._wal_pages >= self._checkpoint_at

    def checkpoint(self, interrupt_reader: Callable[[], None]) -> None:
        """Copy the write-ahead log into the database, if it is due. Never waits for a reader.

        Only a reader (a snapshot being made) keeps the log from starting again at its beginning;
        one that has let it grow to its bound is interrupted.
        """
        if not self.checkpoint_due:
            return
        self._promise_all()
        if self.wal_bytes < self._options.wal_bytes_max:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._checkpoint_at = self._wal_pages + self._options.wal_bytes // PAGE
        else:
            interrupt_reader()
            self._truncate()

    def give_back(self) -> None:
        """Shorten the file by some free pages, if there are many and nothing else is to be done.

        To be called after every turn: one that wrote something is followed by no step, so that a
        loaded broker never waits for it.
        """
        if self.meta.turn != self._seen:
            self._seen, self._tidy = self.meta.turn, not self._gives
            return
        if self._tidy:
            return
        spare = self._spare_pages()
        if spare > 0:
            self.begin(sync=False)
            step = min(spare, self._options.give_back_bytes // PAGE)
            self.connection.execute(f"PRAGMA incremental_vacuum({step})").fetchall()
            self.commit()
            self._seen, self._giving = self.meta.turn, True
            return
        self._tidy = True
        if self._giving:
            self._giving = False
            self._checkpoint_at = 0  # it is a checkpoint that shortens the file

    def _spare_pages(self) -> int:
        free, kept = self.connection.execute("PRAGMA freelist_count").get, self._options.spare_bytes
        assert isinstance(free, int)
        many = self._giving or free * PAGE > 2 * kept
        return free - kept // PAGE if many else 0

    def _promise_all(self) -> None:
        if self._promised.turn < self.meta.turn:
            self.begin(sync=True)
            self.touched = True
            self.commit()

    def _truncate(self) -> None:
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return  # the reader is not gone yet: again after the next turn
        self._wal_pages = 0
        self._checkpoint_at = self._options.wal_bytes // PAGE

    def close(self, *, clean: bool) -> None:
        """Close the database. `clean`: copy the write-ahead log into it first."""
        if clean:
            self._promise_all()
            self._truncate()
        self.connection.close()
