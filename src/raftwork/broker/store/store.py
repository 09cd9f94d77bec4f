"""The store of one replica, as `consensus.replica.Replica` drives it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import apsw

from raftwork.broker.store.database import (
    CreateMachine,
    Guard,
    Opener,
    as_store_error,
    decode_roster,
    encode_roster,
)
from raftwork.broker.store.directory import Directory
from raftwork.broker.store.files import DirectoryLock
from raftwork.broker.store.generation import Generation
from raftwork.broker.store.identity import Identity, save_identity
from raftwork.broker.store.promised import Promised
from raftwork.consensus.core import ORIGIN, Entry, Position, Restored, Roster, Snapshot
from raftwork.consensus.replica import Background
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


class Store:
    """Log, hard state and the machine's tables in one database. For one thread; see `open_store`.

    Every method raises StoreError if the disk fails and StoreDamaged if what it holds contradicts
    a checksum; from then on every use raises. Code that reads or writes through `connection`
    itself does so inside `guard`, which sees to the same.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._live = parts.generation
        self._promised = parts.promised
        self.identity = parts.identity
        #: Why the previous contents were put aside when the directory was opened, if they were.
        self.damage = parts.damage
        self.guard = Guard(self._mark_damaged)
        meta = self._live.meta
        formed = decode_roster(meta.roster) if self.identity.cluster_id else {}
        #: What the store held when it was opened.
        self.restored = Restored(meta.state, meta.applied, formed)

    def _mark_damaged(self, damage: StoreDamaged) -> None:
        with suppress(OSError):
            self._parts.directory.mark_damaged(self._live.number, str(damage))

    @property
    def connection(self) -> apsw.Connection:
        """The live database's connection: another one after `switch`."""
        return self._live.connection

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

    # ---- the log --------------------------------------------------------------------------------

    @property
    def base(self) -> Position:
        return self._live.meta.base

    @property
    def last(self) -> Position:
        return self._live.meta.last

    @property
    def applied(self) -> Position:
        return self._live.meta.applied

    @property
    def roster(self) -> Roster:
        return decode_roster(self._live.meta.roster) if self.identity.cluster_id else {}

    def epochs(self) -> Sequence[Position]:
        return self._live.log.epochs

    def entries(self, after: Position, limit_bytes: int) -> list[Entry]:
        with self.guard:
            return self._live.log.entries(after, limit_bytes)

    # ---- a turn ---------------------------------------------------------------------------------

    def begin(self, *, sync: bool) -> None:
        with self.guard:
            self._live.begin(sync=sync)

    def rewind(self, to: Position) -> None:
        assert to >= self._live.meta.applied, f"rewind to {to}, below what is applied"
        with self.guard:
            self._live.log.rewind(to)
            self._live.touch()

    def append(self, entries: tuple[Entry, ...]) -> None:
        with self.guard:
            self._live.log.append(entries)

    def save_state(self, state: bytes) -> None:
        self._live.meta.state = state
        self._live.touch()

    def save_applied(self, at: Position) -> None:
        self._live.meta.applied = at
        self._live.touch()

    def save_roster(self, roster: Roster) -> None:
        self._live.meta.roster = encode_roster(roster)
        self._live.touch()

    def commit(self) -> None:
        with self.guard:
            self._live.commit()

    def rollback(self) -> None:
        """Forget the open transaction. Never raises: another error is on its way up."""
        try:
            self._live.rollback()
        except (apsw.Error, OSError, StoreError) as error:
            self.guard.fail(as_store_error(error) or StoreError(f"cannot roll back: {error}"))

    def compact(self, upto: Position) -> Position:
        """Drop a segment of the log if there is one to drop, and checkpoint if it is time."""
        with self.guard:
            live = self._live
            segment = live.log.droppable(min(upto, live.meta.applied))
            if segment is not None:
                live.begin(sync=False)
                live.log.drop(segment)
                live.commit()
            live.checkpoint(self._interrupt_reader)
        return self.base

    def _interrupt_reader(self) -> None:
        return

    # ---- snapshots ------------------------------------------------------------------------------

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        raise NotImplementedError

    def start_snapshot(self) -> None:
        raise NotImplementedError

    def start_install(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    def background(self) -> Background | None:
        return None

    def switch(self, snapshot: Snapshot) -> Roster:
        raise NotImplementedError

    # ---- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Close cleanly; after a failure, without touching the disk any more than needed."""
        clean = self.guard.failure is None
        try:
            if clean:
                with self.guard:
                    self._live.close(clean=True)
            else:
                self._live.close(clean=False)
        finally:
            self.guard.fail(StoreError("it is closed"))
            self._promised.close()
            self._parts.lock.release()
