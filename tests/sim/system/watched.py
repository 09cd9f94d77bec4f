"""A store as a broker sees it, with a disk's faults in front of it and an observer beside it.

The same wrapper stands around the store in memory and around the real one, so that what is checked
of a store, and when its process may die, does not depend on which of them is behind it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Protocol

import apsw

from raftwork.broker.node_setup import NodeStore
from raftwork.consensus.core import Entry, Position, Restored, Roster, Snapshot
from raftwork.consensus.durable_replica import Background
from raftwork.errors import StoreError
from tests.sim.system.disk import Crash, Disk, Facts


class Inner(NodeStore, Protocol):
    """A store, as its disk gives it."""

    damage: str | None

    @property
    def tables_guard(self) -> AbstractContextManager[None]: ...


class Observer(Protocol):
    """Whoever wants to know what a store is told."""

    def appended(self, before: Position, entries: tuple[Entry, ...]) -> None: ...
    def durable(self, entries: list[Position]) -> None: ...
    def applied(self, at: Position) -> None: ...
    def synced(self, facts: Facts) -> None: ...
    def committed(self) -> None: ...
    def background(self, what: str, done: Callable[[], None]) -> None: ...
    def switched(self, snapshot: Snapshot) -> None: ...
    def took(self, length: int) -> None: ...


class WatchedStore:
    """Implements `raftwork.broker.node.NodeStore` by handing everything on."""

    def __init__(self, inner: Inner, disk: Disk, observer: Observer) -> None:
        self._inner = inner
        self.identity = inner.identity
        self._disk = disk
        self._observer = observer
        self._unsynced: list[Position] = []
        self._ready = 0
        #: Whether the hard state or the roster may be others than those in the disk's facts.
        self._changed = True
        self._note_facts()
        # Opening made durable whatever was there, also what a dying process never promised.
        observer.durable([entry.at for entry in inner.entries(inner.base, 1 << 40)])

    def _note_facts(self) -> None:
        inner, disk = self._inner, self._disk
        state, roster = disk.facts.state, disk.facts.roster
        if self._changed:
            restored = inner.restored
            state, roster = restored.state, tuple(sorted(restored.roster.items()))
            self._changed = False
        disk.facts = Facts(state, inner.last, inner.applied, roster)
        self._observer.synced(disk.facts)

    # ---- handed on as it is ---------------------------------------------------------------------

    @property
    def connection(self) -> apsw.Connection:
        return self._inner.connection

    @property
    def restored(self) -> Restored:
        return self._inner.restored

    @property
    def applied(self) -> Position:
        return self._inner.applied

    @property
    def roster(self) -> Roster:
        return self._inner.roster

    @property
    def base(self) -> Position:
        return self._inner.base

    @property
    def last(self) -> Position:
        return self._inner.last

    def epochs(self) -> Sequence[Position]:
        return self._inner.epochs()

    def floor(self, at: Position) -> Position:
        return self._inner.floor(at)

    def entries(self, after: Position, limit_bytes: int) -> list[Entry]:
        return self._inner.entries(after, limit_bytes)

    def snapshot_chunk(self, snapshot: Snapshot, offset: int, size: int) -> bytes | None:
        return self._inner.snapshot_chunk(snapshot, offset, size)

    def rewind(self, to: Position) -> None:
        self._inner.rewind(to)
        self._unsynced = [at for at in self._unsynced if at <= to]

    def save_state(self, state: bytes) -> None:
        self._inner.save_state(state)
        self._changed = True

    def save_roster(self, roster: Roster) -> None:
        self._inner.save_roster(roster)
        self._changed = True
        self._disk.notes.note("rebind committed")

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        self._inner.stage(snapshot, offset, data)

    def compact(self, upto: Position) -> Position:
        return self._inner.compact(upto)

    # ---- watched --------------------------------------------------------------------------------

    def form(self, cluster_id: bytes, roster: Roster) -> None:
        self._inner.form(cluster_id, roster)
        self.identity = self._inner.identity
        self._changed = True
        self._note_facts()

    def found(self, name: str, address: str) -> None:
        self._inner.found(name, address)
        self.identity = self._inner.identity

    def begin(self) -> None:
        self._inner.begin()

    def append(self, entries: tuple[Entry, ...]) -> None:
        self._observer.appended(self._inner.last, entries)
        self._inner.append(entries)
        self._unsynced.extend(entry.at for entry in entries)

    def save_applied(self, at: Position) -> None:
        self._inner.save_applied(at)
        self._observer.applied(at)

    def commit(self) -> None:
        faults = self._disk.faults
        crash = faults.crash
        if crash is not None and crash != "after":
            faults.crash = None
            if crash == "during":
                self._disk.commit_unsynced(self._inner)
            raise Crash(f"{crash} the commit")
        self._inner.commit()
        self._observer.took(self._disk.sync_time())
        self._note_facts()
        self._observer.durable(self._unsynced)
        self._unsynced = []
        if crash == "after":
            faults.crash = None
            raise Crash("after the commit")
        self._observer.committed()

    def rollback(self) -> None:
        with suppress(StoreError):
            self._inner.rollback()

    # ---- background work takes its time ---------------------------------------------------------

    def start_snapshot(self) -> None:
        self._inner.start_snapshot()
        self._observer.background("snapshot", self._finished)

    def start_install(self, snapshot: Snapshot) -> None:
        self._inner.start_install(snapshot)
        self._observer.background("install", self._finished)

    def _finished(self) -> None:
        self._ready += 1

    def background(self) -> Background | None:
        if not self._ready:
            return None
        self._ready -= 1
        return self._inner.background()

    def switch(self, snapshot: Snapshot) -> Roster:
        faults = self._disk.faults
        crash, faults.crash_in_switch = faults.crash_in_switch, None
        if crash in ("before", "during"):
            if crash == "during":
                self._disk.switch_unsynced(self._inner, snapshot)
            raise Crash(f"{crash} the switch")
        roster = self._inner.switch(snapshot)
        self._unsynced, self._changed = [], True
        self._note_facts()
        if crash == "after":
            raise Crash("after the switch")
        self._observer.switched(snapshot)
        return roster
