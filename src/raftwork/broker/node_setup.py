"""What a node is made of: its store, and everything it is given from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from raftwork.broker.containment import log_contained
from raftwork.broker.disk_space import DiskSpace
from raftwork.consensus.durable_replica import Store
from raftwork.features.event_journal import EVENT_BYTES
from raftwork.release import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    import apsw

    from raftwork.broker.events import Event
    from raftwork.broker.options import Timing
    from raftwork.broker.store import Identity
    from raftwork.consensus.core import Consensus, Peer, Position, Restored, Roster
    from raftwork.messages.facts import BrokerFacts
    from raftwork.release import Levels


class NodeStore(Store, Protocol):
    """A replica's store, with what the broker itself needs of it."""

    identity: Identity

    @property
    def connection(self) -> apsw.Connection:
        """The live database, in which the machine has its tables."""
        ...

    @property
    def restored(self) -> Restored:
        """What a core that starts now starts from."""
        ...

    @property
    def applied(self) -> Position:
        """The position of the newest applied entry."""
        ...

    @property
    def roster(self) -> Roster:
        """The incarnation that may vote under each name; empty while the replica is blank."""
        ...

    def form(self, cluster_id: bytes, roster: Roster) -> None:
        """Join a cluster for good, durable on return. Raises StoreError if it is in another one."""
        ...

    def found(self, name: str, address: str) -> None:
        """Keep for the next start where that broker listens now. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a node is made of, besides its store."""

    name: str
    #: Where each broker is to be found, as far as was known at the start.
    cluster: Mapping[str, str]
    consensus: str
    balancer: str
    #: This broker's times, under the election timeout (ms) that the cluster has set.
    timing: Callable[[int], Timing]
    rng: Random
    make_core: Callable[[Peer, NodeStore, int], Consensus]
    #: Sends a frame to a routing id of our ROUTER; whether it could not be is told later.
    send: Callable[[bytes, bytes], None]
    #: The same for a consensus message, which is dropped rather than kept; True if it left.
    send_consensus: Callable[[bytes, bytes], bool | None]
    #: Whether a connection has taken all it was sent so far.
    writable: Callable[[bytes], bool] = lambda _routing: True
    #: Sends a frame on our DEALER to the named broker.
    send_peer: Callable[[str, bytes], None]
    #: Connects our DEALER to the named broker to another address.
    dial: Callable[[str, str], None] = lambda _name, _address: None
    #: A monotonic clock in ns, on which nothing that is promised depends.
    clock_ns: Callable[[], int] = lambda: 0
    #: Records what happens, for people, with the epoch that this broker is in.
    tell: Callable[[int, Event], None] = lambda _epoch, _event: None
    #: What this broker counts of itself, for whoever asks.
    facts: Callable[[], BrokerFacts | None] = lambda: None
    #: Bytes that connections have not taken yet.
    outbox_bytes: Callable[[], int] = lambda: 0
    #: Whether anything listens to what becomes of each attempt (`events.PER_ATTEMPT`).
    tells_attempts: bool = False
    #: The levels of a cluster that it runs; others in tests alone.
    levels: Levels = LEVELS
    #: How many bytes of events it keeps; 0 is none.
    event_bytes: int = EVENT_BYTES
    #: The room on its disk, and on the others'.
    disk: DiskSpace = field(default_factory=DiskSpace)
    #: The digest of the list of keys that it lets in now; empty without keys.
    access: Callable[[], str] = str
    #: The public key of the process that answers HTTP beside this broker; empty without keys.
    http_key: str = ""
    #: Takes the same of another broker.
    tell_http: Callable[[str, str], None] = lambda _broker, _public: None
    #: 16 random bytes: the cluster's id, if this broker is the one that forms it.
    cluster_id: bytes
    #: Called with what failed and its error, whenever one was contained (containment.py).
    contained: Callable[[str, Exception], None] = log_contained
