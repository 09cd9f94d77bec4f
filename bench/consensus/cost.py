"""What one commit costs, counted exactly: messages, bytes and fsyncs of all replicas together.

Real cores, replicas and stores in one process; messages go through a list, and time stands still
but where it says otherwise. So nothing is measured that the protocol has not asked for, and the
count is the same on every machine.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bench.consensus.table import CONTENDERS, Contender, Table
from raftwork.broker.machine import create_or_migrate
from raftwork.broker.options import timing
from raftwork.broker.server import core_maker
from raftwork.broker.store import Store, open_store
from raftwork.consensus.core import Entry, Message, Peer
from raftwork.consensus.durable_replica import Replica
from raftwork.consensus.replica_events import ReplicaEvent
from raftwork.features.cluster_settings import DEFAULTS

_DATA = bytes(100)
#: Milliseconds of idleness over which what goes on anyway is counted.
_IDLE = 10_000


class _Host:
    """Nothing lives on these replicas."""

    def apply(self, entry: Entry) -> None: ...
    def passed(self, entry: Entry) -> None: ...
    def activated(self, epoch: int, now: int) -> None: ...
    def deactivated(self) -> None: ...
    def read_ready(self, token: int) -> None: ...
    def plan(self, now: int) -> None: ...
    def before_commit(self) -> None: ...
    def released(self) -> None: ...
    def news(self, news: ReplicaEvent) -> None: ...
    def switched(self) -> None: ...


@dataclass(slots=True)
class Counts:
    messages: int = 0
    bytes: int = 0
    fsyncs: int = 0


class Replicas:
    """A formed cluster below one directory; all that it costs is in `counts`."""

    def __init__(self, who: Contender, directory: Path, opened: ExitStack) -> None:
        self.counts = Counts()
        self.now = 0
        self._on_the_way: list[tuple[Peer, Message]] = []
        names = "abcde"[: who.replicas]
        cluster = {name: f"127.0.0.1:{port}" for port, name in enumerate(names, 1)}
        stores = {}
        for name in names:
            stores[name] = open_store(
                directory / name,
                name=name,
                consensus=who.protocol,
                cluster=cluster,
                create_machine=create_or_migrate,
            )
            opened.callback(stores[name].close)
        self._peers = {name: Peer(name, store.incarnation) for name, store in stores.items()}
        self._replicas = {}
        for name, store in stores.items():
            store.form(bytes(16), dict(self._peers.values()))
            self._count_fsyncs(store)
            make = core_maker(who.protocol, timing(who.protocol, DEFAULTS.election_timeout, 0, 0))
            core = make(self._peers[name], list(names), store, Random(name), self.now)
            self._replicas[name] = Replica(core, store, _Host(), self._sender(name))

    def _count_fsyncs(self, store: Store) -> None:
        commit = store.commit

        def counted() -> None:
            self.counts.fsyncs += 1
            commit()

        store.commit = counted  # type: ignore[method-assign]

    def _sender(self, name: str) -> Callable[[Message], None]:
        def send(message: Message) -> None:
            self.counts.messages += 1
            self.counts.bytes += len(message.body)
            self._on_the_way.append((self._peers[name], message))

        return send

    def leader(self) -> Replica | None:
        active = [each for each in self._replicas.values() if each.core.status.active]
        return active[0] if active else None

    def commit(self, data: bytes) -> None:
        """One entry, from its proposal until nobody has anything left to say."""
        leader = self.leader()
        assert leader is not None
        leader.core.propose(data, self.now)
        leader.turn(self.now)
        self._deliver()

    def sleep(self, milliseconds: int) -> None:
        end = self.now + milliseconds
        while self.now < end:
            self.now += 1
            for replica in self._replicas.values():
                if (replica.wake_at or 0) <= self.now:
                    self._turn(replica)
            self._deliver()

    def _deliver(self) -> None:
        """What has arrived at a replica is read in one turn, as a broker does."""
        while self._on_the_way:
            arrived, self._on_the_way = self._on_the_way, []
            for name, replica in self._replicas.items():
                mine = [(src, m) for src, m in arrived if m.to == name]
                if mine:
                    self._turn(replica, mine)

    def _turn(self, replica: Replica, arrived: Sequence[tuple[Peer, Message]] = ()) -> None:
        replica.wake(self.now)
        for src, message in arrived:
            replica.receive(src, message.body, self.now)
        replica.turn(self.now)


def main(table: Table, quick: bool) -> None:
    commits = 100 if quick else 1_000
    for who in CONTENDERS:
        with TemporaryDirectory(prefix="raftwork-bench-") as directory, ExitStack() as opened:
            replicas = Replicas(who, Path(directory), opened)
            while replicas.leader() is None:
                replicas.sleep(10)
            replicas.sleep(1_000)
            counts = replicas.counts = Counts()
            for _ in range(commits):
                replicas.commit(_DATA)
            where = f"{commits} commits of {len(_DATA)} bytes, one at a time, counted"
            table.add("messages a commit", who, counts.messages / commits, "", where)
            table.add("their bytes a commit", who, counts.bytes / commits, "B", where)
            table.add("fsyncs a commit", who, counts.fsyncs / commits, "", where)
            replicas.sleep(1_000)
            counts = replicas.counts = Counts()
            replicas.sleep(_IDLE)
            where = f"over {_IDLE // 1_000} s without a proposal, counted"
            table.add(
                "messages a second when idle", who, counts.messages / (_IDLE / 1e3), "", where
            )
