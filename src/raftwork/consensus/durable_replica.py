"""Replica: nothing is promised before it is durable. Production and simulation run this class.

The rules of this file (design §6.1):

(a) Before the sync only messages that promise nothing leave: `Output.send`.
(b) A replica's own acknowledgement enters its core through `synced` alone, so even a cluster of one
    never applies what it has not synced.
(c) `committed` is applied in a transaction that also stores its position.
(d) What applying an entry has the host tell others (replies, pushes) leaves in `Host.released`, as
    soon as the entry is applied: the log of a majority holds it, and any replica that reads it
    again comes to the same.
(e) So a transaction that only applied stays open for what comes next: the next promise commits it
    on its way, or COMMIT_AFTER_MS do. Every commit is synced.
(f) What applying makes possible is proposed in the same turn (`Host.plan`).
(g) Any exception while writing or applying stops the replica: the store rolls back to its last
    commit and the error goes up. Half-applied entries never become durable.
(h) Of a long backlog a turn applies one slice (`Output.more`), so that a replica that is far behind
    answers between two of them, instead of falling silent until it has caught up. A slice is as
    many entries as SLICE_NS had room for last: what an entry takes cannot be seen from outside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from raftwork.consensus.core import (
    Consensus,
    Entry,
    Kind,
    Log,
    Message,
    Output,
    Peer,
    Position,
    Roster,
    Snapshot,
)
from raftwork.consensus.replica_events import (
    ReplicaEvent,
    SnapshotBegun,
    SnapshotInstalled,
    SnapshotMade,
    SnapshotNotMade,
    SnapshotReceived,
    SnapshotRejected,
)


class Store(Log, Protocol):
    """The durable side, as Replica drives it: one transaction at a time."""

    def begin(self) -> None:
        """Open a transaction."""
        ...

    def rewind(self, to: Position) -> None:
        """Drop every stored entry after `to`."""
        ...

    def append(self, entries: tuple[Entry, ...]) -> None:
        """Add entries behind the last one, in order."""
        ...

    def save_state(self, state: bytes) -> None:
        """Replace the core's hard state."""
        ...

    def save_applied(self, at: Position) -> None:
        """Everything up to `at` is applied by this transaction."""
        ...

    def save_roster(self, roster: Roster) -> None:
        """Replace the roster."""
        ...

    def commit(self) -> None:
        """Commit the transaction; it is durable on return."""
        ...

    def rollback(self) -> None:
        """Forget the open transaction, if there is one. Never raises."""
        ...

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        """Keep bytes of an incoming snapshot in the staging file. Needs no transaction."""
        ...

    def compact(self, upto: Position) -> Position:
        """Drop log rows up to `upto` minus the tail it keeps; returns the new base.

        Cheap when there is little to drop; called between transactions.
        """
        ...

    def start_snapshot(self) -> None:
        """Begin to write a snapshot of the applied state, off the loop."""
        ...

    def start_install(self, snapshot: Snapshot) -> None:
        """Begin to check the staged file and to build the next generation from it, off the loop."""
        ...

    def background(self) -> "Background | None":
        """A finished piece of background work, if there is one."""
        ...

    def switch(self, snapshot: Snapshot) -> Roster:
        """Make the generation built by `start_install` the live one; returns its roster.

        Its log is empty, base and last being the snapshot's position. The hard state is the one
        saved last, which may be later than `start_install`: a vote must survive the switch.
        """
        ...


#: How long (ms) applied entries may wait for a commit. It is paid with a sync, so not at once.
COMMIT_AFTER_MS = 50
#: How long (ns) a slice may take, unless it is a single entry.
SLICE_NS = 4_000_000
#: Entries of a slice, however little they take.
SLICE_ENTRIES_MAX = 1_000
#: How often (ms) the log is looked at for what it need not keep, at most.
COMPACT_MS = 10
#: Once an entry is applied and the core awaits no peer, what peers say is read with what comes
#: next, or so long after it (ms): each late acknowledgement would wake a leader for nothing. It is
#: short beside every time by which a silent replica is missed. At rest there is nothing to be late,
#: and a wait with an end would wake a leader fifty times a second.
PATIENCE_MS = 20
#: … unless an entry of so many bytes was applied within so long (ms): where that much is done, what
#: is read late costs more in turns of its own than it saves (a twentieth of the throughput).
BUSY_BYTES, BUSY_MS = 4_096, 100
#: How often (ms) to look whether a snapshot is made or installed.
LOOK_MS = 50


@dataclass(frozen=True, slots=True)
class Background:
    """A snapshot was made (`made`) or an install prepared; `snapshot` is None if it failed."""

    made: bool
    snapshot: Snapshot | None


class Host(Protocol):
    """What lives on a replica (the broker). Called in the order the rules above demand."""

    def apply(self, entry: Entry) -> None:
        """Apply a DATA entry inside the open transaction. An exception stops the replica."""
        ...

    def passed(self, entry: Entry) -> None:
        """An entry of another kind takes its place in the log, in which it asks for nothing."""
        ...

    def activated(self, epoch: int, now: int) -> None:
        """This replica is the active leader; everything committed before is applied."""
        ...

    def deactivated(self) -> None:
        """This replica leads no longer."""
        ...

    def read_ready(self, token: int) -> None:
        """The barrier asked for with `token` has passed."""
        ...

    def plan(self, now: int) -> None:
        """Propose what applying made possible, and what is due."""
        ...

    def before_commit(self) -> None:
        """Write what is still only in memory; the transaction commits next."""
        ...

    def released(self) -> None:
        """What was applied is in the log of a majority: replies and pushes may leave."""
        ...

    def news(self, news: ReplicaEvent) -> None:
        """Something happened that people may want to know; it asks for nothing."""
        ...

    def switched(self) -> None:
        """The store now holds an installed snapshot: forget everything read from it before."""
        ...


class Replica:
    """Glues a core, its store and its host; see the rules at the top of this file."""

    def __init__(
        self,
        core: Consensus,
        store: Store,
        host: Host,
        send: Callable[[Message], None],
        clock_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        """`clock_ns` says what applying takes. One that stands still leaves slices as they are."""
        self.core = core
        self._store = store
        self._host = host
        self._send = send
        self._clock_ns = clock_ns
        self._busy_until = self._patient_until = 0
        #: Snapshots that are being made or installed.
        self.background = 0
        self._more_at: int | None = None
        #: When the open transaction is to be committed at the latest; None: none is open.
        self._commit_at: int | None = None
        self._compact_at = 0
        self._now = 0

    @property
    def wake_at(self) -> int | None:
        """When the next turn is due (ms); None if only a message makes one due."""
        if self._more_at is not None:
            return self._more_at
        at = self.core.wake_at
        if self._commit_at is not None and (at is None or self._commit_at < at):
            at = self._commit_at
        if self.background:
            at = self._now + LOOK_MS if at is None else min(at, self._now + LOOK_MS)
        return at

    def wake(self, now: int) -> None:
        """First in every turn, before anything is read: a leader that slept too long ends here."""
        self.core.wake(now)

    def receive(self, src: Peer, body: bytes, now: int) -> None:
        """See `Consensus.receive`."""
        self.core.receive(src, body, now)

    @property
    def patience(self) -> int:
        """How long (ms) what other replicas say need not be read."""
        left = self._patient_until - self._now
        if left <= 0 or self._now < self._busy_until or self.core.awaits_peers:
            return 0
        return left

    def turn(self, now: int) -> None:
        """Carry out what the core wants, until it wants nothing more or rule (h) ends the turn."""
        self._now = now
        self._more_at = None
        try:
            self._turn()
        except BaseException:
            self._store.rollback()
            raise

    def commit(self) -> None:
        """Commit what was only applied so far, if there is any; durable on return."""
        try:
            self._commit()
        except BaseException:
            self._store.rollback()
            raise

    def _turn(self) -> None:
        core, host, now = self.core, self._host, self._now
        if self.background:
            self._finish_background()
        host.plan(now)
        while (out := core.output()) is not None:
            more = out.more
            if out.append or out.promises:  # most that promise anything append
                more = self._promise(out)
            else:
                self._write(out, promises=False)
                self._settle(out)  # others need not wait for what is planned next
                host.plan(now)
            if more:
                self._more_at = now
                break
        if self._commit_at is not None:
            if now < self._commit_at:
                return
            self._commit()
        if now >= self._compact_at:
            self._compact()

    def _commit(self) -> None:
        if self._commit_at is not None:
            self._host.before_commit()
            self._store.commit()
            self._commit_at = None

    def _promise(self, first: Output) -> bool:
        """Make a promise durable, with what else there is to be done meanwhile, and keep it.

        Returns whether more is left to be applied than this turn may.
        """
        outputs: list[Output] = []
        out: Output | None = first
        while out is not None:
            self._write(out, promises=True)
            if out.committed or out.activated is not None:
                self._host.plan(self._now)
            outputs.append(out)
            out = None if out.more else self.core.output()
        self._commit()
        for out in outputs:
            self._settle(out)
        if self._now >= self._compact_at:  # under load a lone broker's turns end in a transaction
            self._compact()
        return outputs[-1].more

    def _compact(self) -> None:
        """Drop what the log need not keep. To be called while no transaction is open."""
        self._compact_at = self._now + COMPACT_MS
        self.core.compacted(self._store.compact(self.core.compactable()))

    def _write(self, out: Output, *, promises: bool) -> None:
        store, host = self._store, self._host
        if out.deactivated:
            host.deactivated()
        for message in out.send:
            self._send(message)
        if self._commit_at is None and (out.committed or promises):
            store.begin()
            self._commit_at = self._now + COMMIT_AFTER_MS
        if promises:
            self._write_log(out)
        for chunk in out.stage:
            store.stage(chunk.snapshot, chunk.offset, chunk.data)
        if out.committed:
            self._apply(out.committed)
        if out.roster is not None:
            store.save_roster(out.roster)
        if out.activated is not None:
            host.activated(out.activated, self._now)

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        host, began = self._host, self._clock_ns()
        self._patient_until = self._now + PATIENCE_MS
        for entry in entries:
            if entry.kind is Kind.DATA:
                if len(entry.data) >= BUSY_BYTES:
                    self._busy_until = self._now + BUSY_MS
                host.apply(entry)
            else:
                host.passed(entry)
        self._store.save_applied(entries[-1].at)
        took_ns, core = self._clock_ns() - began, self.core
        if took_ns > SLICE_NS:
            core.slice_entries = max(1, len(entries) * SLICE_NS // took_ns)
        elif SLICE_ENTRIES_MAX > core.slice_entries <= len(entries):
            room = len(entries) * SLICE_NS // max(1, took_ns)
            core.slice_entries = min(2 * core.slice_entries, room)

    def _write_log(self, out: Output) -> None:
        if out.rewind is not None:
            self._store.rewind(out.rewind)
        if out.append:
            self._store.append(out.append)
        if out.state is not None:
            self._store.save_state(out.state)

    def _settle(self, out: Output) -> None:
        """What it promises is durable: keep the promise's other half."""
        for news in out.news:
            self._host.news(news)
        for message in out.send_after_sync:
            self._send(message)
        self.core.synced(out)
        for token in out.reads:
            self._host.read_ready(token)
        if out.make_snapshot:
            self._commit()  # a snapshot is read from what is committed
            self.background += 1
            self._store.start_snapshot()
            self._host.news(SnapshotBegun())
        if out.install is not None:
            self.background += 1
            self._store.start_install(out.install)
            self._host.news(SnapshotReceived(out.install.at, out.install.size))
        if out.committed or out.reads:
            self._host.released()

    def _finish_background(self) -> None:
        done = self._store.background()
        if done is None:
            return
        self.background -= 1
        snapshot = done.snapshot
        if done.made:
            self.core.snapshot_made(snapshot)
            made = SnapshotMade(snapshot.at, snapshot.size) if snapshot else SnapshotNotMade()
            self._host.news(made)
        elif snapshot is None:
            self.core.installed(None, {}, self._now)
            self._host.news(SnapshotRejected())
        else:
            self._commit()
            roster = self._store.switch(snapshot)
            self._host.switched()
            self.core.installed(snapshot, roster, self._now)
            self._host.news(SnapshotInstalled(snapshot.at))
