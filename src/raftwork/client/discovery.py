"""Who leads, learned from what each broker says of itself. No sockets, no clock.

Rules of this file:
1. A broker leads if its own last word was `Leader(active=True)`, its link stands and it is not
   silent; of several the highest epoch wins. A deposed leader that claims for ever is harmless: it
   commits nothing, and the true one outbids it.
2. Silence is a question unanswered for `SILENCE`; it ends a claim. A stopped process keeps its
   TCP connections, so nothing else would.
3. Every hello opens a new session. What the broker was told in an older one is forgotten there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from raftwork.messages import PROTOCOL, PROTOCOL_OLDEST, ClientHello, Leader, Ping, ToBroker

#: ms between questions to the leader (to all, while there is none).
PING_INTERVAL = 300
#: ms without an answer after which a leader counts as gone.
SILENCE = 1_000
#: Further brokers a hint may add to those the program named.
HINTED_MAX = 32


_NO_CONNECTION = "no connection"


class Place(NamedTuple):
    """Where requests go: what was sent to an equal place need not be sent again."""

    address: str
    session: int
    epoch: int


@dataclass(slots=True)
class _Broker:
    address: str
    said: str = _NO_CONNECTION
    session: int = 0
    hello_at: int | None = None
    #: The epoch in which it says it is the activated leader.
    claim: int | None = None
    #: Leader time minus our own, as of its last claim.
    clock: int = 0
    #: Since when a question is unanswered.
    asked_at: int | None = None


class Brokers:
    """All known brokers, the sessions with them, and the leader among them."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._brokers = {address: _Broker(address) for address in addresses}
        self._links_max = len(self._brokers) + HINTED_MAX
        self._to_connect = list(self._brokers)
        self._outbox: list[tuple[str, ToBroker]] = []
        self._ping_at = 0

    # ---- facts --------------------------------------------------------------------------------

    def link_up(self, address: str, now: int) -> None:
        broker = self._brokers[address]
        broker.said = "no answer"
        self._hello(broker, now)

    def link_down(self, address: str) -> None:
        broker = self._brokers[address]
        broker.said = _NO_CONNECTION
        broker.claim = broker.asked_at = broker.hello_at = None

    def unreachable(self, address: str, text: str) -> None:
        """There can be no connection for now: why; or why not is over, with an empty text."""
        self._brokers[address].said = text or _NO_CONNECTION

    def hello_first(self, address: str, now: int) -> None:
        broker = self._brokers[address]
        # A burst of requests in a dead session is answered by a burst of these: one hello does.
        if broker.hello_at is None or now - broker.hello_at >= PING_INTERVAL:
            self._hello(broker, now)

    def heard(self, address: str) -> None:
        self._brokers[address].asked_at = None

    def leader_is(self, address: str, leader: Leader, now: int) -> None:
        """What the broker at `address` says about who leads."""
        broker = self._brokers[address]
        if leader.active:
            broker.claim = leader.epoch
            broker.said = f"leads epoch {leader.epoch}, did not acknowledge"
            broker.clock = leader.time - now
            return
        broker.claim = None
        broker.said = f"not the leader, names {leader.name}" if leader.name else "knows no leader"
        self._follow_hint(leader.address)

    def not_leader(self, address: str) -> None:
        """It refused a request because it does not lead (any more)."""
        broker = self._brokers[address]
        broker.claim, broker.said = None, "not the leader"

    def refused(self, address: str, text: str) -> None:
        self._brokers[address].said = f"refused: {text}"

    def ask_soon(self) -> None:
        """Do not wait for the next round of questions."""
        self._ping_at = 0

    def wake(self, now: int) -> int:
        """Ask who is silent; returns when to be woken again. Only while something is wanted."""
        leader = self._leader()
        if leader and leader.asked_at is not None and now - leader.asked_at >= SILENCE:
            leader.claim, leader.said = None, f"no answer for {SILENCE / 1000:g} s"
            leader, self._ping_at = self._leader(), now
        if now >= self._ping_at:
            for broker in [leader] if leader else self._brokers.values():
                self.send(broker.address, Ping(), now)
            self._ping_at = now + PING_INTERVAL
        if leader and leader.asked_at is not None:
            return min(self._ping_at, leader.asked_at + SILENCE)
        return self._ping_at

    # ---- values -------------------------------------------------------------------------------

    @property
    def place(self) -> Place | None:
        """Where requests go now, if anywhere."""
        leader = self._leader()
        if leader is None or leader.claim is None:
            return None
        return Place(leader.address, leader.session, leader.claim)

    def leader_time(self, now: int) -> int:
        """The leader's time, from its last word and our clock since then."""
        leader = self._leader()
        assert leader is not None, "only a leader's time is known"
        return leader.clock + now

    def send(self, address: str, message: ToBroker, now: int) -> None:
        broker = self._brokers[address]
        if broker.asked_at is None:
            broker.asked_at = now
        self._outbox.append((address, message))

    def take(self) -> tuple[list[str], list[tuple[str, ToBroker]]]:
        """The addresses to connect to and the messages to send since the last call."""
        taken = self._to_connect, self._outbox
        self._to_connect, self._outbox = [], []
        return taken

    def report(self) -> str:
        """Which broker said what, for the text of an error."""
        brokers = self._brokers.values()
        text = ", ".join(f"{b.address}: {b.said}" for b in brokers)
        absent = all(b.said == _NO_CONNECTION for b in brokers)
        return (
            f"{text}; are the brokers running, and are these their addresses?" if absent else text
        )

    # ---- inside -------------------------------------------------------------------------------

    def _leader(self) -> _Broker | None:
        best = None
        for broker in self._brokers.values():
            if broker.claim is not None and (best is None or broker.claim > (best.claim or 0)):
                best = broker
        return best

    def _hello(self, broker: _Broker, now: int) -> None:
        broker.session += 1
        broker.hello_at = now
        self.send(broker.address, ClientHello(PROTOCOL, PROTOCOL_OLDEST), now)

    def _follow_hint(self, address: str) -> None:
        if address and address not in self._brokers and len(self._brokers) < self._links_max:
            self._brokers[address] = _Broker(address)
            self._to_connect.append(address)
