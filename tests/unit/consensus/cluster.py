"""Replicas in one process, a message at a time: what the consensus tests play with.

`Member` is one replica over a store in memory; all that it does is recorded as `events`.
`Cluster` carries messages between members at once and in order, and moves time only when told to.
"""

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from raftwork.consensus.core import Entry, Message, Peer, Position, Roster, Snapshot
from raftwork.consensus.durable_replica import Replica
from raftwork.consensus.raft import Config, Raft
from raftwork.consensus.raft.messages import (
    HardState,
    RaftMessage,
    TimeoutNow,
    codec,
    encode_hard_state,
)
from raftwork.consensus.replica_events import ReplicaEvent
from tests.sim.store import Disk, Image, MemoryStore


class Event(NamedTuple):
    """Something a member did: to its disk, to its state machine, or to the network."""

    kind: str
    what: object = None


class Ranked(random.Random):
    """Not random at all: whoever comes first in the alphabet times out first."""

    rank = 0

    def randint(self, a: int, b: int) -> int:
        return a + (b - a) * self.rank // 10


class RecordingStore(MemoryStore):
    events: list[Event]
    fails: BaseException | None = None

    def begin(self, *, sync: bool = True) -> None:
        self.events.append(Event("begin", sync))
        super().begin(sync=sync)

    def rewind(self, to: Position) -> None:
        self.events.append(Event("rewind", to))
        super().rewind(to)

    def append(self, entries: tuple[Entry, ...]) -> None:
        self.events.extend(Event("append", entry) for entry in entries)
        super().append(entries)

    def save_state(self, state: bytes) -> None:
        self.events.append(Event("state", state))
        super().save_state(state)

    def save_applied(self, at: Position) -> None:
        self.events.append(Event("applied", at))
        super().save_applied(at)

    def save_roster(self, roster: Roster) -> None:
        self.events.append(Event("roster", roster))
        super().save_roster(roster)

    def commit(self) -> None:
        if self.fails is not None:
            raise self.fails
        super().commit()
        self.events.append(Event("commit"))

    def rollback(self) -> None:
        self.events.append(Event("rollback"))
        super().rollback()

    def start_snapshot(self) -> None:
        self.events.append(Event("snapshot", self.applied))
        super().start_snapshot()

    def start_install(self, snapshot: Snapshot) -> None:
        self.events.append(Event("install", snapshot))
        super().start_install(snapshot)

    def switch(self, snapshot: Snapshot) -> Roster:
        self.events.append(Event("switch", snapshot))
        return super().switch(snapshot)


class RecordingHost:
    def __init__(self, store: RecordingStore) -> None:
        self._store = store
        self.events = store.events
        self.planned: list[Callable[[], None]] = []
        self.apply_fails: BaseException | None = None
        #: What it was told for people: nothing that is promised.
        self.told: list[ReplicaEvent] = []

    def apply(self, entry: Entry) -> None:
        if self.apply_fails is not None:
            raise self.apply_fails
        self.events.append(Event("apply", entry))
        self._store.machine = self._store.machine.after(entry.data)

    def passed(self, entry: Entry) -> None:
        pass

    def activated(self, epoch: int, now: int) -> None:
        self.events.append(Event("activated", epoch))

    def deactivated(self) -> None:
        self.events.append(Event("deactivated"))

    def read_ready(self, token: int) -> None:
        self.events.append(Event("read", token))

    def plan(self, now: int) -> None:
        self.events.append(Event("plan"))
        while self.planned:
            self.planned.pop()()

    def before_commit(self) -> None:
        self.events.append(Event("before commit"))

    def released(self) -> None:
        self.events.append(Event("released"))

    def news(self, news: ReplicaEvent) -> None:
        self.told.append(news)

    def switched(self) -> None:
        self.events.append(Event("switched"))


def peer(name: str, generation: int = 0) -> Peer:
    """The name's first, second, ... directory."""
    return Peer(name, name.encode() * 15 + bytes([generation]))


def roster(names: Iterable[str]) -> tuple[tuple[str, bytes], ...]:
    return tuple(peer(name) for name in names)


def formed(names: Iterable[str], *, term: int = 0, entries: Iterable[Entry] = ()) -> Disk:
    """The disk of a replica of a formed cluster, with a log that is not known committed."""
    kept = tuple(entries)
    state = encode_hard_state(HardState(term, b"")) if term else None
    return Disk(Image(entries=kept, state=state, roster=roster(names)))


class Member:
    """One replica. Messages it wants to send gather in `sent`."""

    def __init__(
        self,
        me: Peer,
        names: Iterable[str],
        disk: Disk,
        *,
        now: int = 0,
        config: Config | None = None,
        padding: int = 0,
    ) -> None:
        self.me = me
        self.disk = disk
        self.now = now
        self.names = tuple(names)
        self.sent: list[Message] = []
        self.store = RecordingStore(disk, padding=padding)
        self.store.events = []
        self.host = RecordingHost(self.store)
        rng = Ranked()
        rng.rank = self.names.index(me.name)
        self.core = Raft(
            me,
            self.names,
            self.store,
            self.store.restored(),
            config or Config(apply_within=0),
            rng,
            now,
        )
        self.replica = Replica(self.core, self.store, self.host, self._send)

    @property
    def events(self) -> list[Event]:
        return self.store.events

    @property
    def log(self) -> list[tuple[int, bytes]]:
        """Terms and data of the stored entries."""
        return [(entry.at.epoch, entry.data) for entry in self.store.image().entries]

    def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.events.append(Event("send", message))

    def turn(self, now: int | None = None) -> "Member":
        self.now = self.now if now is None else now
        self.replica.wake(self.now)
        self.replica.turn(self.now)
        return self

    def sleep(self, length: int) -> "Member":
        """Let time pass with nothing to read, waking as asked."""
        end = self.now + length
        while (at := self.replica.wake_at) is not None and at <= end:
            self.turn(max(at, self.now))
        return self.turn(end)

    def hear(self, src: Peer | str, *messages: RaftMessage) -> list[tuple[str, RaftMessage]]:
        """Receive these, then turn until what they commit is applied; gives what is sent."""
        self.sent.clear()
        for message in messages:
            src = peer(src) if isinstance(src, str) else src
            self.replica.receive(src, codec.encode(message), self.now)
        self.work()
        return self.said()

    def work(self) -> None:
        """Turn, and again while something that is committed is not applied."""
        self.replica.turn(self.now)
        while self.store.applied < self.core.status.committed and self._due:
            self.replica.turn(self.now)

    @property
    def _due(self) -> bool:
        return self.replica.wake_at is not None and self.replica.wake_at <= self.now

    def said(self) -> list[tuple[str, RaftMessage]]:
        """What has been sent since the last time this was asked."""
        said = [(message.to, codec.decode(message.body)) for message in self.sent]
        self.sent.clear()
        return said


class Cluster:
    """Members and the messages between them."""

    def __init__(
        self,
        names: str = "abc",
        *,
        config: Config | None = None,
        padding: int = 0,
        disks: dict[str, Disk] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.now = 0
        self.cuts: set[tuple[str, str]] = set()
        self.members: dict[str, Member] = {}
        self.config = config
        self.padding = padding
        self.watch: Callable[[str, Peer | None, RaftMessage | None], None] = lambda *_: None
        self.lost: Callable[[Peer, str, RaftMessage], bool] = lambda *_: False
        for name in self.names:
            disk = (disks or {}).get(name) or formed(self.names)
            self.start(peer(name), disk)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def start(self, me: Peer, disk: Disk) -> None:
        self.members[me.name] = Member(
            me, self.names, disk, now=self.now, config=self.config, padding=self.padding
        )

    def crash(self, name: str) -> Disk:
        """Lose the process and everything that was not synced."""
        disk = self.members.pop(name).disk
        disk.committed = disk.synced
        return disk

    def cut(self, *names: str) -> None:
        """These no longer reach the others, nor the others them."""
        for name in names:
            for other in self.names:
                if other not in names:
                    self.cuts |= {(name, other), (other, name)}

    def heal(self) -> None:
        self.cuts.clear()

    def deliver(self) -> None:
        """Carry messages until nobody has anything left to say at this moment."""
        queue: list[tuple[Peer, Message]] = []
        while True:
            for member in self.members.values():
                queue.extend((member.me, message) for message in member.sent)
                member.sent.clear()
            if not queue:
                return
            src, message = queue.pop(0)
            self._carry(src, message)

    def _carry(self, src: Peer, message: Message) -> None:
        known = codec.decode(message.body)
        target = self.members.get(message.to)
        if (
            target is None
            or (src.name, message.to) in self.cuts
            or self.lost(src, message.to, known)
        ):
            return
        target.now = self.now
        self.watch(message.to, src, known)
        target.replica.wake(self.now)
        target.replica.receive(src, message.body, self.now)
        target.work()
        self.watch(message.to, None, None)

    def turn(self, name: str) -> None:
        """Let one member do what it was asked to, and the others answer."""
        self.members[name].turn(self.now)
        self.watch(name, None, None)
        self.deliver()

    def sleep(self, length: int) -> None:
        """Let time pass, from one wake-up to the next."""
        end = self.now + length
        self.deliver()
        while True:
            due = [(m.replica.wake_at or end, name) for name, m in self.members.items()]
            at, name = min(due, default=(end + 1, ""))
            if at > end:
                break
            self.now = max(self.now, at)
            self.turn(name)
        self.now = end
        for name in list(self.members):
            self.turn(name)

    def elect(self, name: str) -> Member:
        """Make this one the active leader: it hears that it should take over."""
        member = self.members[name]
        other = next(other for other in self.names if other != name)
        term = member.core.status.epoch
        member.replica.receive(peer(other), codec.encode(TimeoutNow(term)), self.now)
        self.turn(name)
        assert member.core.status.active, member.core.status
        return member

    def propose(self, name: str, data: bytes) -> Position:
        member = self.members[name]
        at = member.core.propose(data, self.now)
        self.turn(name)
        return at
