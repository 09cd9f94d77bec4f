"""Replicas of either protocol in one process, known by what they do alone.

Messages are opaque here: they are carried at once and in order, unless a test loses or holds them.
Time moves only when told to.
"""

import random
from collections.abc import Callable, Sequence

from raftwork.consensus import raft, zab
from raftwork.consensus.core import Consensus, Message, Peer, Position
from raftwork.consensus.durable_replica import Replica
from tests.sim.store import Disk, Image, MemoryStore
from tests.unit.consensus.cluster import Event, RecordingHost, RecordingStore, formed, peer

Make = Callable[[Peer, Sequence[str], MemoryStore, random.Random, int], Consensus]


def make_raft(
    me: Peer, names: Sequence[str], store: MemoryStore, rng: random.Random, now: int
) -> Consensus:
    config = raft.Config(chunk_bytes=100, uncommitted_bytes=4_000)
    return raft.Raft(me, names, store, store.restored(), config, rng, now)


def make_zab(
    me: Peer, names: Sequence[str], store: MemoryStore, rng: random.Random, now: int
) -> Consensus:
    config = zab.Config(chunk_bytes=100, uncommitted_bytes=4_000)
    return zab.Zab(me, names, store, store.restored(), config, rng, now)


MAKERS: dict[str, Make] = {"raft": make_raft, "zab": make_zab}


class Place:
    """One replica, running or not."""

    def __init__(self, me: Peer, disk: Disk) -> None:
        self.peer = me
        self.disk = disk
        self.replica: Replica | None = None
        self.store: RecordingStore
        self.host: RecordingHost
        self.outbox: list[Message] = []

    @property
    def running(self) -> Replica:
        assert self.replica is not None, f"{self.peer.name} is down"
        return self.replica

    @property
    def core(self) -> Consensus:
        return self.running.core

    @property
    def events(self) -> list[Event]:
        return self.store.events

    def did(self, kind: str) -> list[object]:
        return [event.what for event in self.events if event.kind == kind]

    @property
    def data(self) -> list[bytes]:
        """What its state machine was given since the replica was started."""
        return [event.what.data for event in self.events if event.kind == "apply"]  # type: ignore[attr-defined]


class Network:
    def __init__(self, make: Make, names: str = "abc", *, blank: str = "") -> None:
        self.make = make
        self.names = tuple(names)
        self.now = 0
        self.cuts: set[tuple[str, str]] = set()
        #: Whether a message (source, target, body) is lost.
        self.lost: Callable[[str, str, bytes], bool] = lambda *_: False
        #: Told of every message that arrives (source, target, body), and of every turn's end.
        self.heard: Callable[[str, str, bytes], None] = lambda *_: None
        self.turned: Callable[[], None] = lambda: None
        self.tail = 1_000_000
        self._starts = 0
        self.places: dict[str, Place] = {}
        for name in names:
            disk = Disk(Image()) if name in blank else formed(self.names)
            self.places[name] = Place(peer(name), disk)
        for name in names:
            self.start(name)

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

    # ---- processes ------------------------------------------------------------------------------

    def start(self, name: str) -> Place:
        place = self.places[name]
        assert place.replica is None
        place.store = RecordingStore(place.disk, tail=self.tail, padding=300)
        place.store.events = []
        place.host = RecordingHost(place.store)
        self._starts += 1
        rng = random.Random(f"{name} {self._starts}")
        core = self.make(place.peer, self.names, place.store, rng, self.now)

        def send(message: Message) -> None:
            place.outbox.append(message)
            place.events.append(Event("send", message))

        place.replica = Replica(core, place.store, place.host, send)
        return place

    def crash(self, name: str, *, hint: bool = True) -> None:
        """Lose the process and all that was not synced; the others see their links close."""
        place = self.places[name]
        place.replica = None
        place.outbox.clear()
        place.disk.committed = place.disk.synced
        for other in self.up() if hint else ():
            self[other].core.link(name, False, self.now)

    def wipe(self, name: str) -> None:
        """The directory is lost: the name's next one is blank."""
        place = self.places[name]
        assert place.replica is None
        place.peer = peer(name, place.peer.incarnation[-1] + 1)
        place.disk = Disk(Image())

    def up(self) -> list[str]:
        return [name for name, place in self.places.items() if place.replica is not None]

    # ---- links ----------------------------------------------------------------------------------

    def cut(self, *names: str) -> None:
        """These no longer reach the others, nor the others them."""
        for name in names:
            for other in self.names:
                if other not in names:
                    self.cuts |= {(name, other), (other, name)}

    def heal(self) -> None:
        self.cuts.clear()

    # ---- time -----------------------------------------------------------------------------------

    def turn(self, name: str) -> None:
        running = self[name].running
        running.wake(self.now)
        running.turn(self.now)
        self.turned()
        self.deliver()

    def deliver(self) -> None:
        """Carry messages until nobody has anything left to say at this moment."""
        while True:
            loaded = [place for place in self.places.values() if place.outbox]
            if not loaded:
                return
            for place in loaded:
                messages, place.outbox = place.outbox, []
                for message in messages:
                    self._carry(place.peer, message)

    def _carry(self, src: Peer, message: Message) -> None:
        target = self.places[message.to]
        broken = (src.name, message.to) in self.cuts
        if target.replica is None or broken or self.lost(src.name, message.to, message.body):
            return
        self.heard(src.name, message.to, message.body)
        target.replica.wake(self.now)
        target.replica.receive(src, message.body, self.now)
        target.replica.turn(self.now)
        self.turned()

    def sleep(self, length: int) -> None:
        """Let time pass, from one wake-up to the next."""
        end = self.now + length
        self.deliver()
        while True:
            wakes = [(self[name].running.wake_at, name) for name in self.up()]
            at, name = min(
                ((at, name) for at, name in wakes if at is not None), default=(end + 1, "")
            )
            if at > end:
                break
            self.now = max(self.now, at)
            self.turn(name)
        self.now = end
        for name in self.up():
            self.turn(name)

    def until(self, holds: Callable[[], bool], limit: int = 5_000) -> int:
        """Let time pass until something holds; gives how long that took."""
        start = self.now
        while not holds():
            assert self.now - start < limit, "it never came"
            self.sleep(5)
        return self.now - start

    # ---- leaders --------------------------------------------------------------------------------

    def active(self) -> list[str]:
        return [name for name in self.up() if self[name].core.status.active]

    def leader(self) -> str:
        """The one active leader, awaited."""
        self.until(lambda: len(self.active()) == 1)
        return self.active()[0]

    def followers(self) -> list[str]:
        return [name for name in self.up() if name not in self.active()]

    def propose(self, name: str, data: bytes) -> Position:
        at = self[name].core.propose(data, self.now)
        self.turn(name)
        return at

    def agreed(self) -> bool:
        """Whether all that run have applied the same."""
        return len({self[name].store.machine for name in self.up()}) == 1
