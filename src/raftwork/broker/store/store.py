"""The store of one replica, as `consensus.replica.Replica` drives it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic_ns

import apsw

from raftwork.broker.latencies import LatencyCounter
from raftwork.broker.store.database import Opener
from raftwork.broker.store.directory import Directory
from raftwork.broker.store.files import DirectoryLock
from raftwork.broker.store.generation import Generation, make_switchable
from raftwork.broker.store.identity import Identity, save_identity
from raftwork.broker.store.meta import decode_roster, encode_roster
from raftwork.broker.store.snapshot_transfers import Made, Transfers
from raftwork.broker.store.snapshots import CreateMachine
from raftwork.broker.store.storage_errors import Guard, TablesGuard, as_store_error
from raftwork.broker.store.watermark import Promised
from raftwork.consensus.core import ORIGIN, Entry, Position, Restored, Roster, Snapshot
from raftwork.consensus.durable_replica import Background
from raftwork.errors import StoreDamaged, StoreError


@dataclass(frozen=True, slots=True)
class Parts:
    """What `open_store` has put together."""

    directory: Directory
    lock: DirectoryLock
    opener: Opener
    create_machine: CreateMachine
    promised: Promised
    identity: Identity
    generation: Generation
    damage: str | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """For `status`: how much the store holds."""

    log_entries: int
    log_bytes: int
    #: Of SQLite's write-ahead log, in use.
    wal_bytes: int
    #: Of the database file, free pages included.
    database_bytes: int


class Store:
    """Log, hard state and the machine's tables in one database. For one thread; see `open_store`.

    Every method raises StoreError if the disk fails and StoreDamaged if what it holds contradicts
    a checksum; from then on every use raises. Code that reads or writes through `connection`
    itself does so inside `tables_guard`, which sees to the same.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._live = parts.generation
        self._promised = parts.promised
        self.identity = parts.identity
        #: Why the previous contents were put aside when the directory was opened, if they were.
        self.damage = parts.damage
        self.guard = Guard(self._mark_damaged)
        self.tables_guard = TablesGuard(self.guard)
        self._transfers = Transfers(parts.directory, parts.opener, parts.create_machine)
        self._prepared: tuple[Snapshot, int] | None = None
        #: How long all commits took, together.
        self.commit_ns = 0
        #: How long each took that reached the disk.
        self.fsyncs = LatencyCounter()
        #: How long each checkpoint took: copying the write-ahead log into the database.
        self.checkpoints = LatencyCounter()
        self._closed = False

    def _mark_damaged(self, damage: StoreDamaged) -> None:
        with suppress(OSError):
            self._parts.directory.mark_damaged(self._live.number, str(damage))

    @property
    def connection(self) -> apsw.Connection:
        """The live database's connection: another one after `switch`."""
        return self._live.connection

    @property
    def incarnation(self) -> bytes:
        """16 random bytes made with the directory."""
        return self.identity.incarnation

    @property
    def cluster_id(self) -> bytes:
        """Empty while the replica is blank."""
        return self.identity.cluster_id

    @property
    def applied(self) -> Position:
        """The position of the newest applied entry."""
        return self._live.meta.applied

    @property
    def roster(self) -> Roster:
        """Empty while the replica is blank, or has started over and not caught up."""
        # Without a cluster id it is what a crash left of a formation that did not happen.
        return decode_roster(self._live.meta.roster) if self.cluster_id else {}

    @property
    def restored(self) -> Restored:
        """What a core that starts now starts from."""
        return Restored(self._live.meta.state, self.applied, self.roster)

    def sizes(self) -> Sizes:
        """How much is stored, in entries and bytes."""
        with self.guard:
            live = self._live
            size = live.path.stat().st_size
            return Sizes(live.meta.entries, live.meta.size, live.wal_bytes, size)

    # ---- joining a cluster ----------------------------------------------------------------------

    def form(self, cluster_id: bytes, roster: Roster) -> None:
        """Join a cluster for good, durable before it returns.

        Called again with the same cluster id it replaces the roster, which only a replica that has
        applied nothing may do. Raises StoreError for another cluster id.
        """
        held = self.identity.cluster_id
        assert cluster_id
        if held and held != cluster_id:
            raise StoreError("this replica belongs to another cluster")
        assert self._live.meta.applied == ORIGIN, "the roster is in the replicated state by now"
        # The identity is what makes the roster count, so it comes last.
        self.begin(sync=True)
        self.save_roster(roster)
        self.commit()
        if not held:
            identity = replace(self.identity, cluster_id=cluster_id)
            with self.guard:
                save_identity(self._parts.directory.path, identity)
            self.identity = identity

    def found(self, name: str, address: str) -> None:
        """Keep for the next start where another replica listens now. Raises OSError.

        Not being able to write it is no fault of this replica: it will learn it again.
        """
        moved = {n: a for n, a in self.identity.moved.items() if n != name}
        if self.identity.cluster[name] != address:
            moved[name] = address
        identity = replace(self.identity, moved=moved)
        save_identity(self._parts.directory.path, identity)
        self.identity = identity

    # ---- the log --------------------------------------------------------------------------------

    @property
    def base(self) -> Position:
        """See `Log.base`."""
        return self._live.meta.base

    @property
    def last(self) -> Position:
        """See `Log.last`."""
        return self._live.meta.last

    def epochs(self) -> Sequence[Position]:
        """See `Log.epochs`."""
        return self._live.log.epochs

    def floor(self, at: Position) -> Position:
        """See `Log.floor`."""
        with self.guard:
            return self._live.log.floor(at)

    def entries(self, after: Position, limit_bytes: int) -> list[Entry]:
        """See `Log.entries`."""
        with self.guard:
            return self._live.log.entries(after, limit_bytes)

    # ---- a turn ---------------------------------------------------------------------------------

    def begin(self, *, sync: bool = True) -> None:
        """Open a transaction. Raises StoreError, as all that follow do."""
        if self.guard.failure is not None:
            self.guard.check()
        try:
            self._live.begin(sync=sync)
        except Exception as error:
            self.guard.stop(error)
            raise

    def rewind(self, to: Position) -> None:
        """Drop every entry after `to`, which is at or above what is applied."""
        assert to >= self._live.meta.applied, f"rewind to {to}, below what is applied"
        with self.guard:
            self._live.log.rewind(to)
            self._live.touched = True

    def append(self, entries: tuple[Entry, ...]) -> None:
        """Add entries behind the last one, in order."""
        try:
            self._live.log.append(entries)
            self._live.touched = True
        except Exception as error:
            self.guard.stop(error)
            raise

    def save_state(self, state: bytes) -> None:
        """Replace the core's hard state."""
        self._live.meta.state = state
        self._live.touched = True

    def save_applied(self, at: Position) -> None:
        """Everything up to `at` is applied by this transaction."""
        self._live.meta.applied = at
        self._live.touched = True

    def save_roster(self, roster: Roster) -> None:
        """Replace the roster."""
        self._live.meta.roster = encode_roster(roster)
        self._live.touched = True

    def commit(self) -> None:
        """Commit the transaction; it is durable on return if it was begun with `sync`."""
        began = monotonic_ns()
        try:
            self._live.commit()
        except Exception as error:
            self.guard.stop(error)
            raise
        took = monotonic_ns() - began
        self.commit_ns += took
        if self._live.synced:
            self.fsyncs.add(took // 1_000)

    def rollback(self) -> None:
        """Forget the open transaction. Never raises: another error is on its way up."""
        try:
            self._live.rollback()
        except (apsw.Error, OSError, StoreError) as error:
            self.guard.fail(as_store_error(error) or StoreError(f"cannot roll back: {error}"))

    def compact(self, upto: Position) -> Position:
        """Drop a segment of the log if there is one to drop, and checkpoint if it is time.

        A turn that wrote nothing gives back what the file has to spare.
        """
        with self.guard:
            live = self._live
            segment = live.log.droppable(min(upto, live.meta.applied))
            if segment is not None:
                live.begin(sync=False)
                live.log.drop(segment)
                live.commit()
            live.give_back()
            if live.checkpoint_due:
                began = monotonic_ns()
                live.checkpoint(self._transfers.helper.interrupt)
                self.checkpoints.add((monotonic_ns() - began) // 1_000)
        return self.base

    # ---- snapshots ------------------------------------------------------------------------------

    def start_snapshot(self) -> None:
        """Begin to write a snapshot of the applied state, off the loop."""
        with self.guard:
            self._transfers.make(self._live.path)

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes | None:
        """See `Log.snapshot_chunk`."""
        with self.guard:
            return self._transfers.serving.chunk(snapshot, offset, size)

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        """Keep bytes of a snapshot; those of a new one take the place of the one before.

        Bytes outside the snapshot, or of one over the size limit, are not kept: its install fails.
        """
        with self.guard:
            self._transfers.staging.write(snapshot, offset, data)

    def start_install(self, snapshot: Snapshot) -> None:
        """Begin to build a generation from the staged file, off the loop."""
        with self.guard:
            self._transfers.prepare(snapshot)

    @property
    def wake_fd(self) -> int:
        """Readable when `background` has something."""
        return self._transfers.helper.wake_fd

    def background(self) -> Background | None:
        """A finished piece of background work. Raises StoreDamaged if it found the state to be."""
        with self.guard:
            done = self._transfers.take()
            if done is None:
                return None
            if isinstance(done, Made):
                return Background(made=True, snapshot=done.snapshot)
            return Background(made=False, snapshot=self._accept(done.snapshot, done.number))

    def _accept(self, snapshot: Snapshot, number: int | None) -> Snapshot | None:
        if number is None:
            return None
        live = self._live
        if snapshot.at <= live.meta.applied or live.log.holds(snapshot.at):
            # Stale by now. What the log holds beyond it may be acknowledged already.
            with suppress(OSError):  # what is left is removed at the next start
                self._parts.directory.remove(number)
            return None
        self._prepared = (snapshot, number)
        return snapshot

    def switch(self, snapshot: Snapshot) -> Roster:
        """Switch to the generation prepared from `snapshot`; its log is empty."""
        assert self._prepared is not None and self._prepared[0] == snapshot
        assert not self.connection.in_transaction
        _, number = self._prepared
        self._prepared = None
        directory, opener, old = self._parts.directory, self._parts.opener, self._live
        with self.guard:
            make_switchable(directory.database(number), opener, old.meta)
            directory.set_current(number)
            old.close(clean=False)
            self._live = Generation(directory.database(number), number, opener, self._promised)
            directory.remove(old.number)
        return self.roster

    # ---- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Close cleanly, once; after a failure, without touching the disk any more than needed."""
        if self._closed:
            return
        self._closed = True
        try:
            self._transfers.close()
            clean = self.guard.failure is None and not self.connection.in_transaction
            if clean:
                with self.guard:
                    self._live.close(clean=True)
            else:
                self._live.close(clean=False)
        finally:
            self.guard.fail(StoreError("it is closed"))
            self._promised.close()
            self._parts.lock.release()
