"""Which broker leads, learned from what each says of itself. No sockets, no clock.

Rules of this file:
1. A broker leads if its own last word was `Leader(active=True)`, its link stands and it is not
   silent; of several the highest epoch wins.
2. Silence is a question unanswered for `SILENCE_MS`; it ends a claim. A stopped process keeps its
   TCP connections, so nothing else would.
3. Every hello opens a new session. The broker forgets what it received in an older one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from raftwork.messages import PROTOCOL, PROTOCOL_OLDEST, ClientHello, Leader, Ping, ToBroker
from raftwork.net.denials import Denials
from raftwork.net.leader_claims import leading, learnable

#: Between questions to the leader (to all, while there is none).
PING_INTERVAL_MS = 300
#: Without an answer, after which a leader counts as gone.
SILENCE_MS = 1_000

_NO_CONNECTION = "no connection"


class LeaderEndpoint(NamedTuple):
    """Where requests go. A request sent to an equal endpoint need not be sent again."""

    address: str
    session: int
    epoch: int


@dataclass(slots=True)
class _Broker:
    address: str
    last_status: str = _NO_CONNECTION
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
        self._given = len(self._brokers)
        self._to_connect = list(self._brokers)
        self._outbox: list[tuple[str, ToBroker]] = []
        self._ping_at = 0
        self._denials = Denials()
        self._leader: _Broker | None = None
        #: Where requests go now, if anywhere.
        self.endpoint: LeaderEndpoint | None = None

    # ---- facts --------------------------------------------------------------------------------

    def link_up(self, address: str, now: int) -> None:
        """There is a connection: a session is opened."""
        broker = self._brokers[address]
        broker.last_status = "no answer"
        self._denials.link_up(address)
        self._hello(broker, now)

    def link_down(self, address: str) -> None:
        """The connection is gone, and what was said in it counts no more."""
        broker = self._brokers[address]
        broker.last_status = _NO_CONNECTION
        self._denials.link_down(address)
        broker.claim = broker.asked_at = broker.hello_at = None
        self._elect()

    def unreachable(self, address: str, text: str) -> None:
        """No connection is possible for now, and why; an empty text says that this is over."""
        self._brokers[address].last_status = text or _NO_CONNECTION

    def hello_first(self, address: str, now: int) -> None:
        """The broker has no session for this client (any more)."""
        broker = self._brokers[address]
        # A burst of requests in a dead session is answered by a burst of these: one hello does.
        if broker.hello_at is None or now - broker.hello_at >= PING_INTERVAL_MS:
            self._hello(broker, now)

    def heard(self, address: str) -> None:
        """A frame arrived from this broker."""
        self._brokers[address].asked_at = None

    def leader_is(self, address: str, leader: Leader, now: int) -> None:
        """What the broker at `address` says of the leadership."""
        broker = self._brokers[address]
        if leader.active:
            broker.claim = leader.epoch
            broker.last_status = f"leads epoch {leader.epoch}, did not acknowledge"
            broker.clock = leader.time - now
            self._elect()
            return
        broker.claim = None
        self._elect()
        broker.last_status = (
            f"not the leader, names {leader.name}" if leader.name else "knows no leader"
        )
        self._follow_hint(leader.address)

    def not_leader(self, address: str) -> None:
        """It refused a request because it does not lead (any more)."""
        broker = self._brokers[address]
        broker.claim, broker.last_status = None, "not the leader"
        self._elect()

    def refused(self, address: str, text: str) -> None:
        """It refused this client, and why."""
        self._brokers[address].last_status = f"refused: {text}"

    def denied(self, address: str, text: str, now: int) -> None:
        """It does not let this client in, or to a client's work, and why."""
        self._brokers[address].last_status = f"refused: {text}"
        self._denials.denied(address, text, now)

    def verdict(self, now: int) -> str | None:
        """Why no broker will ever take what this client asks for, if that is so."""
        return self._denials.verdict(self._brokers, now) if self._denials else None

    def ask_soon(self) -> None:
        """Do not wait for the next round of questions."""
        self._ping_at = 0

    def wake(self, now: int) -> int:
        """Ask brokers that are silent; returns when to be woken again."""
        leader = self._leader
        if leader and leader.asked_at is not None and now - leader.asked_at >= SILENCE_MS:
            leader.claim, leader.last_status = None, f"no answer for {SILENCE_MS / 1000:g} s"
            self._elect()
            leader, self._ping_at = self._leader, now
        if now >= self._ping_at:
            for broker in [leader] if leader else self._brokers.values():
                self.send(broker.address, Ping(), now)
            self._ping_at = now + PING_INTERVAL_MS
        return self.wake_at

    # ---- values -------------------------------------------------------------------------------

    @property
    def wake_at(self) -> int:
        """When to wake it, as long as any call or outcome is waited for."""
        leader = self._leader
        if leader and leader.asked_at is not None:
            return min(self._ping_at, leader.asked_at + SILENCE_MS)
        return min(self._ping_at, self._denials.decided_at) if self._denials else self._ping_at

    def leader_time(self, now: int) -> int:
        """The leader's time, from its last word and our clock since then."""
        assert self._leader is not None, "only a leader's time is known"
        return self._leader.clock + now

    def send(self, address: str, message: ToBroker, now: int) -> None:
        """Send it with the next `take`; from now on the broker owes an answer."""
        broker = self._brokers[address]
        if broker.asked_at is None:
            broker.asked_at = now
        self._outbox.append((address, message))

    def take(self) -> tuple[list[str], list[tuple[str, ToBroker]]]:
        """Drain the addresses to connect to and the messages to send."""
        taken = self._to_connect, self._outbox
        self._to_connect, self._outbox = [], []
        return taken

    def report(self) -> str:
        """What each broker said last, for the text of an error."""
        brokers = self._brokers.values()
        text = ", ".join(f"{b.address}: {b.last_status}" for b in brokers)
        absent = all(b.last_status == _NO_CONNECTION for b in brokers)
        return (
            f"{text}; are the brokers running, and are these their addresses?" if absent else text
        )

    # ---- inside -------------------------------------------------------------------------------

    def _elect(self) -> None:
        """Choose the leader anew, after any change of a claim or a session."""
        brokers = self._brokers.values()
        leader = leading((b.claim, b) for b in brokers if b.claim is not None)
        self._leader, self.endpoint = leader, None
        if leader is not None and leader.claim is not None:
            self.endpoint = LeaderEndpoint(leader.address, leader.session, leader.claim)

    def _hello(self, broker: _Broker, now: int) -> None:
        broker.session += 1
        broker.hello_at = now
        self._elect()
        self.send(broker.address, ClientHello(PROTOCOL, PROTOCOL_OLDEST), now)

    def _follow_hint(self, address: str) -> None:
        if learnable(address, self._brokers, self._given):
            self._brokers[address] = _Broker(address)
            self._to_connect.append(address)
