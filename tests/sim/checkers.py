"""The oracle: what must be true of the cores after every step (Raft §5, figure 3; Zab §IV).

It sees every append, every apply and every change of role, and knows nothing of how a core works.
Positions are only compared: what follows what is learnt from the logs and the history themselves.
"""

from collections import Counter
from dataclasses import dataclass, field

from raftwork.consensus.core import ORIGIN, Entry, Kind, Peer, Position
from raftwork.consensus.durable_replica import Store
from raftwork.consensus.replica_events import ReplicaEvent
from tests.sim.store import Machine, MemoryStore


class Violation(AssertionError):
    """A property does not hold."""


def require(holds: bool, text: str) -> None:
    if not holds:
        raise Violation(text)


@dataclass(slots=True)
class Checker:
    #: Every entry ever applied anywhere, in order, and how many there are up to each position.
    history: list[Entry] = field(default_factory=list)
    counted: dict[Position, int] = field(default_factory=lambda: {ORIGIN: 0})
    #: Every entry ever appended, with the one before it.
    appended: dict[Position, tuple[Entry, Position]] = field(default_factory=dict)
    machines: dict[int, Machine] = field(default_factory=dict)
    leaders: dict[int, Peer] = field(default_factory=dict)
    active: dict[int, Peer] = field(default_factory=dict)
    #: Data of acknowledged proposals, with their position, and the highest of these.
    acknowledged: dict[bytes, Position] = field(default_factory=dict)
    acknowledged_upto: Position = ORIGIN
    reached: Counter[str] = field(default_factory=Counter)

    def append(self, before: Position, entries: tuple[Entry, ...]) -> None:
        """Log matching, and Zab's integrity: one position, one entry, one predecessor."""
        for entry in entries:
            known = self.appended.setdefault(entry.at, (entry, before))
            require(known == (entry, before), f"log matching: {known} and {(entry, before)}")
            before = entry.at

    def apply(self, peer: Peer, before: Position, entry: Entry) -> None:
        """State machine safety, and Zab's total order: all replicas apply one history.

        It ascends: that is Zab's local and global primary order.
        """
        index = self.counted[before]
        if index == len(self.history):
            require(entry.at > before, f"primary order: {peer.name} applies {entry} after {before}")
            require(entry.at in self.appended, f"integrity: nobody appended {entry}")
            self.history.append(entry)
            self.counted[entry.at] = index + 1
            self.reached["rebound"] += entry.kind is Kind.ROSTER
        first = self.history[index]
        require(first == entry, f"state machine safety: {peer.name} applies {entry}, not {first}")

    def machine(self, peer: Peer, machine: Machine) -> None:
        """The Nth hash is the same everywhere."""
        known = self.machines.setdefault(machine.length, machine)
        require(known == machine, f"{peer.name} diverges at its {machine.length}th command")

    def leads(self, peer: Peer, term: int, store: Store) -> None:
        """Election safety, and leader completeness when a leader is first seen."""
        if (first := self.leaders.get(term)) is not None:
            require(first == peer, f"election safety: {first} and {peer} lead in term {term}")
            return
        # One whose last vote was long on its way may come after its successors, who have more.
        late = bool(self.leaders) and term < max(self.leaders)
        self.leaders[term] = peer
        last = self.history[-1].at if self.history else ORIGIN
        complete = late or last <= store.base or store.floor(last) == last
        require(complete, f"leader completeness: {peer.name} lacks {last}")

    def activate(self, peer: Peer, term: int, applied: Position) -> None:
        """One active leader an epoch, and Zab's primary integrity: it has applied all before."""
        first = self.active.setdefault(term, peer)
        require(first == peer, f"{first} and {peer} are active in term {term}")
        past = [entry.at for entry in self.history if entry.at.epoch < term]
        require(not past or applied >= past[-1], f"{peer.name} is active without {past[-1:]}")

    def acknowledge(self, data: bytes, at: Position) -> None:
        self.reached["acknowledged"] += 1
        self.acknowledged[data] = at
        self.acknowledged_upto = max(self.acknowledged_upto, at)

    def nothing_lost(self) -> None:
        """Every acknowledged proposal is in the one history."""
        held = {entry.data: entry.at for entry in self.history}
        for data, at in self.acknowledged.items():
            require(held.get(data) == at, f"acknowledged {data!r} at {at} is lost")


class CheckedStore(MemoryStore):
    """A store that shows the oracle what is written."""

    peer: Peer
    checker: Checker

    def append(self, entries: tuple[Entry, ...]) -> None:
        self.checker.append(self.last, entries)
        super().append(entries)

    def save_applied(self, at: Position) -> None:
        before = self.applied
        for entry in self._entries[self._index(before) : self._index(at)]:
            self.checker.apply(self.peer, before, entry)
            before = entry.at
        super().save_applied(at)


class ChainHost:
    """A state machine that is a hash over its commands, and a client's acknowledgements."""

    def __init__(self, peer: Peer, store: MemoryStore, checker: Checker) -> None:
        self._peer = peer
        self._store = store
        self._checker = checker
        self._active: int | None = None
        self._proposed: dict[Position, bytes] = {}
        self._replies: list[tuple[bytes, Position]] = []
        self._asked: dict[int, Position] = {}

    def proposed(self, at: Position, data: bytes) -> None:
        self._proposed[at] = data

    def asked(self, token: int) -> None:
        self._asked[token] = self._checker.acknowledged_upto

    def apply(self, entry: Entry) -> None:
        self._store.machine = self._store.machine.after(entry.data)
        self._checker.machine(self._peer, self._store.machine)
        data = self._proposed.pop(entry.at, None)
        if data is not None and self._active is not None:
            require(data == entry.data, f"{entry.at} was proposed as {data!r}")
            self._replies.append((data, entry.at))

    def passed(self, entry: Entry) -> None:
        pass

    def activated(self, epoch: int, now: int) -> None:
        require(self._active is None, f"{self._peer.name} activated twice")
        self._active = epoch
        self._checker.activate(self._peer, epoch, self._store.applied)

    def deactivated(self) -> None:
        require(self._active is not None, f"{self._peer.name} deactivated, but was not active")
        self._active = None
        self._proposed.clear()
        self._replies.clear()
        self._asked.clear()

    def read_ready(self, token: int) -> None:
        """A barrier covers all that had been acknowledged anywhere when it was asked for."""
        floor = self._asked.pop(token, None)
        if floor is not None:
            self._checker.reached["read"] += 1
            at = self._store.applied
            require(at >= floor, f"stale read on {self._peer.name}: at {at}, {floor} acknowledged")

    def plan(self, now: int) -> None:
        pass

    def before_commit(self) -> None:
        pass

    def released(self) -> None:
        for data, at in self._replies:
            self._checker.acknowledge(data, at)
        self._replies.clear()

    def news(self, news: ReplicaEvent) -> None:
        pass

    def switched(self) -> None:
        self._checker.reached["installed"] += 1
        self._checker.machine(self._peer, self._store.machine)
