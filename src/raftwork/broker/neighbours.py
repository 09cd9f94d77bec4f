"""The traffic with the other brokers: hellos, the first formation, consensus messages. Sans-IO.

Nobody is believed for what he says at our door: a hello only makes us ask, on the connection that
we opened to that broker's address, and what is answered there counts.

What is said to a peer, and what comes from it, fails by itself: see containment.py.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from raftwork.broker.peers import Peers
from raftwork.consensus.formation import Formation
from raftwork.errors import StoreError
from raftwork.messages import (
    Code,
    HelloFirst,
    PeerHello,
    PeerMessage,
    PeerWelcome,
    Refused,
    from_broker,
    to_broker,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.broker.containment import Containment
    from raftwork.broker.setup import NodeStore, Setup
    from raftwork.consensus.core import Message, Peer, Roster
    from raftwork.messages import FromBroker

log = logging.getLogger("raftwork.broker")

#: How often brokers say hello to each other (ms): renews sessions, compares clocks.
HELLO = 500


class Neighbours:
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
    ) -> None:
        """`deliver` takes consensus messages; `joined` is called once the roster is stored."""
        self._setup = setup
        self._me = me
        self._store = store
        self._reply = reply
        self._deliver = deliver
        self._joined = joined
        # One peer's trouble is not the others', nor this broker's: hellos are said again.
        self._lost = containment.of("a frame to another broker", lambda: None)
        self._wall_base = 0
        self.peers = Peers(me, setup.consensus, [n for n in setup.cluster if n != me.name])
        self._formation = Formation(me, list(setup.cluster))
        self.wake_at = now

    def tell_time(self, wall_base: int) -> None:
        """The wall clock is this much (ms) ahead of the clock that `now` is read from."""
        self._wall_base = wall_base

    def wall_median(self, now: int) -> int:
        """The median of the brokers' wall clocks, as far as they are known."""
        return self.peers.wall_median(self._wall_base + now, now)

    def turn(self, now: int) -> None:
        """Say hello when it is time. Raises StoreError if a majority disowns this directory."""
        if now >= self.wake_at:
            self.wake_at = now + HELLO
            rejection = self.peers.rejection()
            if rejection is not None and self._store.identity.cluster_id:
                raise StoreError(f"its directory is not of this cluster: {rejection}")
            for name in self.peers.links:
                self.say_hello(name, now)
        if not self._store.identity.cluster_id:
            self._try_to_form(now)

    def say_hello(self, name: str, now: int) -> None:
        with self._lost:
            hello = self.peers.hello(self._store.identity.cluster_id, self._wall_base + now)
            self._setup.send_peer(name, to_broker.encode(hello))

    def _ask_to_join(self, name: str, cluster_id: bytes, now: int) -> None:
        hello = self.peers.hello(cluster_id, self._wall_base + now, joining=True)
        self._setup.send_peer(name, to_broker.encode(hello))

    def _welcome(self, routing: bytes, now: int) -> None:
        wall = self._wall_base + now
        self._reply(
            routing, self.peers.welcome(self._store.identity.cluster_id, self._store.roster, wall)
        )

    def _try_to_form(self, now: int) -> None:
        """Form the cluster, if it falls to this broker and all others are blank, too."""
        roster = self._formation.roster(now)
        if roster is not None:
            log.info("forming a new cluster of %s", ", ".join(sorted(roster)))
            self._join(self._setup.cluster_id, roster, now)

    def _join(self, cluster_id: bytes, roster: Roster, now: int) -> None:
        self._store.form(cluster_id, roster)
        log.info("member of the cluster of %s from now on", ", ".join(sorted(roster)))
        self._joined(now)
        for name in self.peers.links:  # whoever is blank hears of it at once
            self.say_hello(name, now)

    def hello(self, routing: bytes, hello: PeerHello, now: int) -> None:
        """Another broker (or somebody who says so) opens its connection to us."""
        mine = self._store.identity.cluster_id
        objection = self.peers.objection(hello, mine)
        if objection is not None:
            self._reply(routing, Refused(0, Code.PROTOCOL, objection))
        elif hello.cluster_id == mine:
            self._welcome(routing, now)
            member = bool(mine) and not hello.joining
            if member and self.peers.said_hello(routing, hello.name):
                self.say_hello(hello.name, now)  # so that it has a way to us as soon
        elif not mine and not hello.joining:
            # Only who is at that broker's address may tell us more, so it is asked there.
            self._ask_to_join(hello.name, hello.cluster_id, now)
        # A member does not answer who names no cluster: our own hello finds the real one.

    def heard(self, name: str, message: FromBroker, now: int) -> None:
        """What came in on our DEALER to the named broker. Raises BadMessage."""
        if isinstance(message, PeerMessage):
            source = self.peers.links[name].source
            if source is not None and source.incarnation == message.incarnation:
                self._deliver(source, message.body, now)
        elif isinstance(message, PeerWelcome):
            self._welcomed(name, message, now)
        elif isinstance(message, HelloFirst):
            self.say_hello(name, now)
        elif isinstance(message, Refused) and self.peers.refused(name, message.text):
            log.warning("broker %s refuses this one: %.300s", name, message.text)

    def _welcomed(self, name: str, welcome: PeerWelcome, now: int) -> None:
        mine = self._store.identity.cluster_id
        if mine and welcome.cluster_id and welcome.cluster_id != mine:
            log.error("broker %s belongs to another cluster", name)
            self.peers.links[name].source = None
            return
        peer = self.peers.welcomed(name, welcome, now)
        if peer is None:
            log.error("at the address of broker %s answers %.300r", name, welcome)
            return
        self._formation.heard(peer, welcome.cluster_id, now)
        if not mine and welcome.roster:
            self._join(welcome.cluster_id, dict(welcome.roster), now)

    def send(self, message: Message) -> None:
        """A consensus message, which may be lost."""
        routing = self.peers.links[message.to].routing
        if routing is None:
            return  # it is lost, as any message may be
        with self._lost:
            frame = from_broker.encode(PeerMessage(self._me.incarnation, message.body))
            self._setup.send_consensus(routing, frame)
