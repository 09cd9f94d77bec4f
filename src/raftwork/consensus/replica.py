"""Replica: nothing is promised before it is durable. Production and simulation run this class.

The rules of this file (design §6.1):

(a) Before the sync only messages that promise nothing leave: `Output.send`.
(b) A replica's own acknowledgement enters its core through `synced` alone, so even a cluster of one
    never applies what it has not synced.
(c) `committed` is applied in the same transaction as that turn's appends, with its position.
(d) What the host has to tell others (replies, pushes) leaves in `Host.released`, after COMMIT.
(e) A transaction is synced if and only if it carries entries or hard state. An output that needs
    the sync never joins a transaction begun without one.
(f) What applying makes possible is proposed in the same transaction (`Host.plan`).
(g) Any exception while writing or applying stops the replica before COMMIT: the store rolls back
    and the error goes up. Half-applied entries never become durable.
(h) Of a long backlog a turn applies one slice (`Output.more`), so that a replica that is far behind
    answers between two of them, instead of falling silent until it has caught up.
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
from raftwork.consensus.news import (
    News,
    SnapshotBegun,
    SnapshotInstalled,
    SnapshotMade,
    SnapshotNotMade,
    SnapshotReceived,
    SnapshotRejected,
)


class Store(Log, Protocol):
    """The durable side, as Replica drives it: one transaction a turn."""

    def begin(self, *, sync: bool) -> None:
        """Open the transaction; `sync` says whether its commit must reach the disk."""
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
        """Commit the transaction; durable on return if it was begun with `sync`."""
        ...

    def rollback(self) -> None:
        """Forget the open transaction. Never raises."""
        ...

    def stage(self, snapshot: Snapshot, offset: int, data: bytes) -> None:
        """Keep bytes of an incoming snapshot in the staging file. Needs no transaction."""
        ...

    def compact(self, upto: Position) -> Position:
        """Drop log rows up to `upto` minus the tail it keeps; gives the new base.

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
        """Make the generation built by `start_install` the live one; gives its roster.

        Its log is empty, base and last being the snapshot's position. The hard state is the one
        saved last, which may be later than `start_install`: a vote must survive the switch.
        """
        ...


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
        """Propose what applying made possible. Called inside the transaction, and before it."""
        ...

    def before_commit(self) -> None:
        """Write what is still only in memory; the transaction commits next."""
        ...

    def released(self) -> None:
        """The transaction is committed: replies and pushes may leave."""
        ...

    def news(self, news: News) -> None:
        """Something happened that people may want to know; it asks for nothing."""
        ...

    def switched(self) -> None:
        """The store now holds an installed snapshot: forget everything read from it before."""
        ...


class Replica:
    """Glues a core, its store and its host; see the rules at the top of this file."""

    def __init__(
        self, core: Consensus, store: Store, host: Host, send: Callable[[Message], None]
    ) -> None:
        self.core = core
        self._store = store
        self._host = host
        self._send = send
        self._carry: Output | None = None
        self._background = 0
        self._more_at: int | None = None

    @property
    def wake_at(self) -> int | None:
        """When the next turn is due (ms); None if only a message makes one due."""
        return self.core.wake_at if self._more_at is None else self._more_at

    @property
    def busy(self) -> bool:
        """A snapshot is being made or installed: call `turn` soon, to notice that it is done."""
        return self._background > 0

    def wake(self, now: int) -> None:
        """First in every turn, before anything is read: a leader that slept too long ends here."""
        self.core.wake(now)

    def receive(self, src: Peer, body: bytes, now: int) -> None:
        """See `Consensus.receive`."""
        self.core.receive(src, body, now)

    def turn(self, now: int) -> None:
        """Carry out what the core wants, until it wants nothing more or rule (h) ends the turn."""
        self._finish_background(now)
        self._host.plan(now)
        self._more_at = None
        while self._more_at is None and (first := self._next()) is not None:
            outputs = self._transact(first, now)
            self._settle(outputs)
            if outputs[-1].more:
                self._more_at = now
        base = self._store.compact(self.core.compactable())
        self.core.compacted(base)

    def _next(self) -> Output | None:
        out, self._carry = self._carry, None
        return out or self.core.output()

    def _transact(self, first: Output, now: int) -> list[Output]:
        """One transaction: as many outputs as may share it."""
        outputs: list[Output] = []
        store = self._store
        store.begin(sync=first.promises)
        try:
            out: Output | None = first
            while out is not None:
                if out.promises and not first.promises:
                    self._carry = out  # rule (e)
                    break
                self._write(out, now)
                outputs.append(out)
                self._host.plan(now)
                out = None if out.more else self.core.output()
            self._host.before_commit()
            store.commit()
        except BaseException:
            store.rollback()
            raise
        return outputs

    def _write(self, out: Output, now: int) -> None:
        store, host = self._store, self._host
        if out.deactivated:
            host.deactivated()
        for message in out.send:
            self._send(message)
        if out.rewind is not None:
            store.rewind(out.rewind)
        if out.append:
            store.append(out.append)
        if out.state is not None:
            store.save_state(out.state)
        for chunk in out.stage:
            store.stage(chunk.snapshot, chunk.offset, chunk.data)
        for entry in out.committed:
            if entry.kind is Kind.DATA:
                host.apply(entry)
        if out.committed:
            store.save_applied(out.committed[-1].at)
        if out.roster is not None:
            store.save_roster(out.roster)
        if out.activated is not None:
            host.activated(out.activated, now)

    def _settle(self, outputs: list[Output]) -> None:
        """The transaction is durable as far as it must be: keep the promises' other half."""
        for out in outputs:
            for news in out.news:
                self._host.news(news)
            for message in out.send_after_sync:
                self._send(message)
            self.core.synced(out)
            for token in out.reads:
                self._host.read_ready(token)
            if out.make_snapshot:
                self._background += 1
                self._store.start_snapshot()
                self._host.news(SnapshotBegun())
            if out.install is not None:
                self._background += 1
                self._store.start_install(out.install)
                self._host.news(SnapshotReceived(out.install.at, out.install.size))
        self._host.released()

    def _finish_background(self, now: int) -> None:
        done = self._store.background() if self._background else None
        if done is None:
            return
        self._background -= 1
        snapshot = done.snapshot
        if done.made:
            self.core.snapshot_made(snapshot)
            made = SnapshotMade(snapshot.at, snapshot.size) if snapshot else SnapshotNotMade()
            self._host.news(made)
        elif snapshot is None:
            self.core.installed(None, {}, now)
            self._host.news(SnapshotRejected())
        else:
            roster = self._store.switch(snapshot)
            self._host.switched()
            self.core.installed(snapshot, roster, now)
            self._host.news(SnapshotInstalled(snapshot.at))
