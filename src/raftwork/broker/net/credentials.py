"""What keys mean for the sockets of a broker: a Transport without keys has none of this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zmq

from raftwork.broker.net.authenticator import Authenticator, dial_with, listen_with, user_of
from raftwork.broker.net.protocol_violations import read_no_more, silent_connections
from raftwork.broker.net.refused_addresses import (
    LET_IN_OF,
    REFUSED_MAX,
    STRANGERS_OF,
    RefusedAddresses,
)
from raftwork.broker.net.syn_filter import slow
from raftwork.broker.peer_events import AddressSlowed, KeyNotKnown, PeerKeyMismatch, StrangersSlowed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from raftwork.broker.access.admission import Admission
    from raftwork.broker.events import Event
    from raftwork.broker.net.disconnect_monitor import DisconnectMonitor
    from raftwork.net.polling import SocketPoller

#: What a DEALER's monitor tells of handshakes that failed.
FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
#: So many in a row, and people are told: a broker that ends just then closes one, too.
_FAILURES_TOLD: Final = 3


class Credentials:
    """Of one Transport."""

    def __init__(
        self,
        admission: Admission,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: SocketPoller,
        tell: Callable[[Event], None],
    ) -> None:
        """Call it before anything in that context is bound."""
        self._admission = admission
        self._tell = tell
        self._addresses = RefusedAddresses()
        self._authenticator = Authenticator(
            context, poller, admission.knows, self._refused, self._addresses.let_in
        )
        #: Under which public key the connections of the ROUTER came.
        self._users: dict[bytes, str] = {}
        #: Under which one each peer was dialled last.
        self._dialled: dict[str, str] = {}
        #: Handshakes with each peer that failed in a row.
        self._failures: dict[str, int] = {}

    def _refused(self, public: str, address: str) -> None:
        self._addresses.refused(address)
        self._tell(KeyNotKnown(public, address))

    def tend(self, disconnects: DisconnectMonitor, port: int, now: int) -> None:
        """Have those wait at the door who were refused, or came and said nothing, over and over."""
        if disconnects.listener < 0 or not self._addresses.due(now):
            return  # or nobody is in yet
        if disconnects.unheard > REFUSED_MAX:
            # Somebody comes and goes without a word. Who has so many connections open just now that
            # were never heard is it: telling whose each of them was would cost more than they do.
            heard = {descriptor for _, descriptor in disconnects.descriptors()}
            for address in silent_connections(port, heard):
                self._addresses.refused(address)
        self._addresses.closed(disconnects.unheard)
        disconnects.unheard = 0
        found = self._addresses
        begins = found.tend(now)
        if begins is None or not slow(
            disconnects.listener, found.slowed, LET_IN_OF, found.known, STRANGERS_OF
        ):
            return
        if found.flood:
            self._tell(StrangersSlowed(found.flood))
        for address, count in begins.items():
            self._tell(AddressSlowed(address, count))

    def answer(self, ready: Collection[object]) -> None:
        """Decide on handshakes, if any wait."""
        if self._authenticator.socket in ready:
            self._authenticator.answer()

    # ---- those who connect --------------------------------------------------------------------

    def listen(self, router: zmq.Socket[bytes]) -> None:
        """Set up a ROUTER that is not bound yet."""
        listen_with(router, self._admission.key)

    def user(self, routing: bytes, frame: zmq.Frame) -> str | None:
        """Its sender's public key; None if this routing id was another key's until now.

        Then its owner is gone, which must be noticed before the newcomer is heard.
        """
        user = user_of(frame)
        if self._users.setdefault(routing, user) == user:
            return user
        del self._users[routing]
        return None

    def gone(self, routings: Iterable[bytes]) -> None:
        """These connections have closed."""
        for routing in routings:
            self._users.pop(routing, None)

    def cut(
        self, keys: Collection[str], connections: Iterable[tuple[bytes, int]], port: int
    ) -> list[str]:
        """Close those of these connections (routing id, descriptor) that came under these keys.

        Returns the brokers that were dialled under one of them, to be dialled anew.
        """
        self._addresses.revoked({key for key in keys if not self._admission.knows(key)})
        for routing, descriptor in connections:
            if self._users.get(routing) in keys:
                read_no_more(descriptor, port)
        return [name for name, public in self._dialled.items() if public in keys]

    # ---- those it connects to -----------------------------------------------------------------

    def dial(self, name: str, dealer: zmq.Socket[bytes]) -> bool:
        """Set up the next connection to that broker; False if nobody can be that one."""
        public = self._admission.peer_key(name)
        if public is not None:
            self._dialled[name] = public
            dial_with(dealer, self._admission.key, public)
        return public is not None

    def failed(self, name: str, event: int) -> bool:
        """Whether what that broker's monitor tells is a handshake that failed."""
        if not event & FAILED:
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._failures.pop(name, None)
            return False
        self._failures[name] = failures = self._failures.get(name, 0) + 1
        denied = event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
        if failures == (1 if denied else _FAILURES_TOLD):
            self._tell(PeerKeyMismatch(name, denied))
        return True
