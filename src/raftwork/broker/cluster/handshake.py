"""The traffic with the other brokers: hellos, the first formation, consensus messages. Sans-IO.

A hello that arrives here proves nothing: it only makes this broker ask, on the connection that it
opened to that broker's address. Only the answer there counts.

What is said to a peer, and what comes from it, fails by itself: see containment.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.addresses import dialled
from raftwork.broker.cluster.formation import Formation
from raftwork.broker.cluster.peers import Link, Peers
from raftwork.broker.events import Formed, HelloRefused, PeerDown, PeerRefuses, PeerUp, WrongPeer
from raftwork.broker.peer_events import (
    PeerElsewhere,
    PeerMistaken,
    PeerMoved,
    PeerMoveUnsaved,
    PeerOneWay,
    PeerSought,
)
from raftwork.errors import StoreError
from raftwork.features import from_broker, to_broker
from raftwork.messages import (
    Code,
    HelloFirst,
    PeerHello,
    PeerMessage,
    PeerWelcome,
    Refused,
)
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.containment import Containment
    from raftwork.broker.events import Event
    from raftwork.broker.node_setup import NodeStore, Setup
    from raftwork.consensus.core import Message, Peer, Roster
    from raftwork.messages import FromBroker

#: A broker that says hello but cannot be reached for so long (ms) is complained about.
ONE_WAY_MS = 5_000
#: A broker that a majority refuses for so long (ms) ends. Not at once: it may have been away when
#: the others moved, and what listens at their old addresses now is no judge of it.
REJECTED_MS = 3_000
#: How often brokers say hello to each other (ms), until all have a way to each other …
HELLO_MS = 500
#: … and then, to compare clocks, and in case one has lost its way without the other's knowing.
#: Of the heartbeats at rest it is every tenth.
HELLO_AT_REST_MS = 2_400

_peer_message = maker(PeerMessage)


class Handshake:
    """The other brokers of one node."""

    def __init__(
        self,
        setup: Setup,
        me: Peer,
        store: NodeStore,
        now: int,
        *,
        reply: Callable[[bytes, FromBroker], None],
        deliver: Callable[[Peer, bytes, int], None],
        joined: Callable[[int], None],
        containment: Containment,
        tell: Callable[[Event], None],
        level: Callable[[], int],
    ) -> None:
        """`deliver` takes consensus messages; `joined` is called once the roster is stored.

        `level()` is that of the cluster.
        """
        self._setup = setup
        self._me = me
        self._store = store
        self._reply = reply
        self._deliver = deliver
        self._joined = joined
        # One peer's trouble is not the others', nor this broker's: hellos are said again, and it is
        # looked for again.
        self._lost = containment.of("a frame to another broker", lambda: None)
        self._search = containment.of("the search for another broker", lambda: None)
        self._vital = containment.vital
        self._tell = tell
        self._level = level
        self._wall_base = 0
        self.peers = Peers(me, setup.consensus, setup.cluster, now, setup.levels, setup.http_key)
        self._formation = Formation(me, list(setup.cluster))
        self._greeted = now - HELLO_MS
        #: The last consensus message, and its frame.
        self._framed = b"", b""
        #: Since when (ms) a majority has disowned this directory, without a break.
        self._rejected_at: int | None = None
        #: Whether the others were told that this broker's disk is low.
        self._told_low = False
        #: Why a hello was refused last.
        self._objection = ""
        #: Consensus messages that did not leave, by the broker that they were for.
        self.dropped = dict.fromkeys(self.peers.links, 0)

    def tell_time(self, wall_base: int) -> None:
        """The wall clock is this much (ms) ahead of the clock that `now` is read from."""
        self._wall_base = wall_base

    def wall_median(self, now: int) -> int:
        """The median of the brokers' wall clocks, as far as they are known."""
        return self.peers.wall_median(self._wall_base + now, now)

    @property
    def wake_at(self) -> int:
        """When hellos are due: at multiples of their interval, as other timers of a broker are."""
        settled = bool(self._store.identity.cluster_id) and self.peers.acquainted
        pause = HELLO_AT_REST_MS if settled else HELLO_MS
        return self._greeted - self._greeted % pause + pause

    def turn(self, now: int) -> None:
        """Say hello when it is time. Raises StoreError if a majority disowns this directory."""
        if now >= self.wake_at:
            self._greeted = now
            self._leave_if_rejected(now)
            for link in self.peers.links.values():
                if link.source is None:
                    self._look_for(link, now)
                self.say_hello(link.name, now)
        if not self._store.identity.cluster_id:
            self._try_to_form(now)
        elif self._setup.disk.room.low is not self._told_low:
            self._tell_disk(now)

    def _tell_disk(self, now: int) -> None:
        """A disk may fill faster than the others ask again."""
        self._told_low = self._setup.disk.room.low
        for link in self.peers.links.values():
            if link.routing is not None:
                self._welcome(link.routing, now)

    def _leave_if_rejected(self, now: int) -> None:
        rejection = self.peers.rejection()
        if rejection is None or not self._store.identity.cluster_id:
            self._rejected_at = None
            return
        if self._rejected_at is None:
            self._rejected_at = now
        if now - self._rejected_at >= REJECTED_MS:
            mine = f". It refuses one of them, too: {self._objection}" if self._objection else ""
            raise StoreError(
                f"a majority refuses it as a member of this cluster: {rejection}{mine}"
            )

    def say_hello(self, name: str, now: int) -> None:
        """Send our hello to the named broker. It may be lost: hellos are repeated."""
        with self._lost:
            hello = self.peers.hello(self._store.identity.cluster_id, self._wall_base + now)
            self._setup.send_peer(name, to_broker.encode(hello))

    def lost(self, name: str, now: int) -> None:
        """The connection of our DEALER to the named broker was lost."""
        if self.peers.links[name].source is not None:
            self._tell(PeerDown(name, self.peers.address(name)))
        self.forget(name, now)

    def forget(self, name: str, now: int) -> None:
        """What was said on that connection no longer holds: it has to be said again."""
        if self.peers.lost(name, now):
            self._dial(name)

    def _dial(self, name: str) -> None:
        address = self.peers.links[name].where.address
        self._tell(PeerSought(name, address))
        with self._search:
            self._setup.dial(name, address)

    def _look_for(self, link: Link, now: int) -> None:
        """It does not answer: try another address, and say so if it can reach us all the same."""
        if link.where.due(now, strange=link.strange):
            self._dial(link.name)
        if not link.visits(now):
            link.one_way = None
        elif link.one_way is None:
            link.one_way = now
        elif link.one_way >= 0 and now - link.one_way >= ONE_WAY_MS:
            link.one_way = -1
            self._tell(PeerOneWay(link.name, link.where.address))

    def _ask_to_join(self, name: str, cluster_id: bytes, now: int) -> None:
        hello = self.peers.hello(cluster_id, self._wall_base + now, joining=True)
        self._setup.send_peer(name, to_broker.encode(hello))

    def _welcome(self, routing: bytes, now: int) -> None:
        wall = self._wall_base + now
        mine, roster = self._store.identity.cluster_id, self._store.roster
        self._reply(routing, self.peers.welcome(mine, roster, wall, self._setup.disk.room))

    def _try_to_form(self, now: int) -> None:
        """Form the cluster, if it falls to this broker and all others are blank, too."""
        roster = self._formation.roster(now)
        if roster is not None:
            self._join(self._setup.cluster_id, roster, now, here=True)

    def _join(self, cluster_id: bytes, roster: Roster, now: int, *, here: bool) -> None:
        with self._vital:  # it changes what this replica is
            self._store.form(cluster_id, roster)
        self._tell(Formed(tuple(sorted(roster)), here))
        self._joined(now)
        for name in self.peers.links:  # blank brokers hear of it at once
            self.say_hello(name, now)

    def hello(self, routing: bytes, hello: PeerHello, now: int) -> None:
        """Another broker, or something that claims to be one, opens its connection to us."""
        mine = self._store.identity.cluster_id
        objection = self.peers.objection(hello, mine, self._level())
        if objection is not None:
            self._objection = objection
            self._reply(routing, Refused(0, Code.PROTOCOL, objection))
            self._tell(HelloRefused(objection))
        elif hello.cluster_id == mine:
            self._welcome(routing, now)
            member = bool(mine) and not hello.joining
            if member and self.peers.says_where(hello, now):
                self._dial(hello.name)
            if member and self.peers.said_hello(routing, hello.name):
                self.say_hello(hello.name, now)  # so that it has a way to us as soon
        elif not mine and not hello.joining:
            # Only the answer at that broker's address is believed, so it is asked there.
            self._ask_to_join(hello.name, hello.cluster_id, now)
        else:
            self._blank(hello)

    def _blank(self, hello: PeerHello) -> None:
        """A blank broker's hello is not answered: our own hello finds the real one.

        If the real one has moved, an unproven hello is not enough to believe it: people are told.
        """
        link = self.peers.links[hello.name]
        if link.source is not None or link.blank_at or not dialled(hello.address):
            return
        if hello.address != link.where.address:
            link.blank_at = hello.address
            self._tell(PeerElsewhere(hello.name, hello.address, link.where.address))

    def heard(self, name: str, message: FromBroker, now: int) -> None:
        """What came in on our DEALER to the named broker. Raises BadMessage."""
        if type(message) is PeerMessage:
            source = self.peers.links[name].source
            if source is not None and source.incarnation == message.incarnation:
                self._deliver(source, message.body, now)
        elif isinstance(message, PeerWelcome):
            self._welcomed(name, message, now)
        elif isinstance(message, HelloFirst):
            self.say_hello(name, now)
        elif isinstance(message, Refused) and self.peers.refused(name, message.text):
            self._tell(PeerRefuses(name, message.text))

    def _welcomed(self, name: str, welcome: PeerWelcome, now: int) -> None:
        mine, link = self._store.identity.cluster_id, self.peers.links[name]
        if mine and welcome.cluster_id and welcome.cluster_id != mine:
            self._tell(WrongPeer(name, self.peers.address(name), "a broker of another cluster"))
            link.source, link.strange = None, True
            return
        known = link.source
        if link.where.address != link.where.known and not self._is(link, welcome):
            if link.odd != link.where.address:
                link.odd = link.where.address
                self._tell(PeerMistaken(name, link.odd))
            link.source, link.strange = None, True
            return
        peer = self.peers.welcomed(name, welcome, now)
        if peer is None:
            what = f"a broker that calls itself {welcome.name!r}"
            self._tell(WrongPeer(name, self.peers.address(name), what))
            return
        if peer != known:
            reached = 1 + sum(each.answers(now) for each in self.peers.links.values())
            self._tell(PeerUp(name, link.where.address, reached, len(self._setup.cluster)))
        link.one_way, link.blank_at, link.odd = None, "", ""
        if link.where.address != link.where.known:
            self._found(link)
        self._setup.disk.heard(name, welcome.disk, now)
        if mine and welcome.cluster_id:
            self.peers.hears_where(name, welcome.addresses)
        self._formation.heard(peer, welcome.cluster_id, now)
        if not mine and welcome.roster:
            self._join(welcome.cluster_id, dict(welcome.roster), now, here=False)

    def _is(self, link: Link, welcome: PeerWelcome) -> bool:
        """Whether the member at an address known from hearsay is the one that was meant."""
        known = (link.visitor, self._store.roster.get(link.name))
        return bool(welcome.cluster_id) and welcome.incarnation in known

    def _found(self, link: Link) -> None:
        before = link.where.found()
        self._tell(PeerMoved(link.name, before, link.where.known))
        try:
            self._store.found(link.name, link.where.known)
        except OSError as error:  # it is found again, as it was now
            self._tell(PeerMoveUnsaved(link.name, str(error)))

    def send(self, message: Message) -> None:
        """A consensus message, which may be lost."""
        to, body = message
        routing = self.peers.links[to].routing
        if routing is None:
            self.dropped[to] += 1
            return  # it is lost, as any message may be
        try:
            if self._framed[0] is not body:  # the same goes to several
                frame = from_broker.encode(_peer_message((self._me.incarnation, body)))
                self._framed = body, frame
            if self._setup.send_consensus(routing, self._framed[1]) is not True:
                self.dropped[to] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, this frame brought it about
            self._lost.stop(error)
