"""The other brokers: their identity, whether they belong to this cluster, and how to reach them.

Sans-IO. Each broker opens a DEALER to every other and says PeerHello on it; the other answers
PeerWelcome and from then on sends its consensus messages down that same connection. So a consensus
message always comes from an address this broker chose to connect to, and its source is the broker
that the welcome on that link named, whatever the message says (design §6.4).

Any process may say hello, so a hello proves only what it names: the cluster's id, which a member
tells only in its own hellos, on connections it opened to the addresses of `--cluster`, or to those
at which another member claims to listen now (peer_address.py). A hello without it gets no
information from a member and changes no route.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from raftwork.addresses import dialled
from raftwork.broker.cluster.peer_address import PeerAddress
from raftwork.broker.version_negotiation import Member, level_objection, version_objection
from raftwork.consensus.core import Peer
from raftwork.consensus.quorum import majority
from raftwork.messages import PROTOCOL, PROTOCOL_OLDEST, DiskRoom, PeerHello, PeerWelcome
from raftwork.release import LEVELS, RELEASE, Levels

#: A clock reading older than this (ms) no longer counts for the median.
CLOCK_FRESH_MS = 10_000
#: A broker that has not answered for so long (ms) is out of reach, whatever its connection says.
REACHABLE_WITHIN_MS = 3_000
#: Characters that are kept of a refusal, which may be as long as a frame.
REFUSAL_MAX = 300


@dataclass(slots=True)
class Link:
    """One other broker."""

    name: str
    where: PeerAddress
    #: Our ROUTER's routing id of its DEALER, once it said hello: the way to it.
    routing: bytes | None = None
    #: The broker that answered on our DEALER: the source of what comes in there.
    source: Peer | None = None
    #: The incarnation that last said hello as a member.
    visitor: bytes = b""
    #: When (ms) it last said hello as a member.
    visited_at: int | None = None
    #: Since when (ms) it says hello here but does not answer where it is dialled; −1 once told.
    one_way: int | None = None
    #: Where a blank broker of that name says it listens, and where another answered: once told.
    blank_at: str = ""
    odd: str = ""
    #: Another process answers on the present connection, or the broker refuses us.
    strange: bool = False
    #: Why it does not take us for a member of its cluster; empty if it does, or has not said.
    refusal: str = ""
    #: Its wall clock minus our monotonic clock, ms, and when it was read.
    clock: int = 0
    clock_at: int | None = None
    #: What it says that it runs.
    runs: Member | None = None

    def answers(self, now: int) -> bool:
        """Whether it is there, and takes this broker for a member."""
        if self.source is None or self.clock_at is None or self.refusal:
            return False
        return now - self.clock_at < REACHABLE_WITHIN_MS

    def visits(self, now: int) -> bool:
        """Whether it reaches this broker. A way to it that was not used yet may be long closed."""
        return self.visited_at is not None and now - self.visited_at < REACHABLE_WITHIN_MS


class Peers:
    """The links to all other brokers of the cluster."""

    def __init__(
        self,
        me: Peer,
        consensus: str,
        cluster: Mapping[str, str],
        now: int = 0,
        levels: Levels = LEVELS,
        http_key: str = "",
    ) -> None:
        """`cluster` is where each broker is to be found, this one (by the others) among them."""
        self._me = me
        self._levels, self._http_key = levels, http_key
        self._consensus = consensus
        self._address = cluster[me.name]
        self._order = list(cluster)
        self.links = {
            name: Link(name, PeerAddress(address, now))
            for name, address in cluster.items()
            if name != me.name
        }
        self._by_routing: dict[bytes, Link] = {}
        #: Whether any broker has taken us for a member since we started.
        self._taken = False

    def hello(self, cluster_id: bytes, wall: int, *, joining: bool = False) -> PeerHello:
        """This broker's hello; `wall` is its wall clock in ms since the epoch."""
        me = self._me
        return PeerHello(
            *(PROTOCOL, self._consensus, me.name, me.incarnation),
            *(cluster_id, wall, joining, self._address),
            *(PROTOCOL_OLDEST, RELEASE, self._levels, self._http_key),
        )

    def welcome(
        self,
        cluster_id: bytes,
        roster: Mapping[str, bytes],
        wall: int,
        disk: DiskRoom = DiskRoom(),  # noqa: B008 - a value
    ) -> PeerWelcome:
        """The answer to a hello; without a cluster id it says that this broker is blank."""
        me = self._me
        runs = (RELEASE, self._levels, disk)
        if not cluster_id:
            return PeerWelcome(me.name, me.incarnation, b"", [], wall, (), *runs)
        found = tuple((name, link.where.known) for name, link in self.links.items())
        known = sorted(roster.items())
        return PeerWelcome(me.name, me.incarnation, cluster_id, known, wall, found, *runs)

    def address(self, name: str) -> str:
        """Where that broker was found last; empty if there is none of that name."""
        link = self.links.get(name)
        if link is not None:
            return link.where.known
        return self._address if name == self._me.name else ""

    @property
    def addresses(self) -> tuple[tuple[str, str], ...]:
        """(name, address) of each broker, this one among them."""
        return tuple((name, self.address(name)) for name in self._order)

    @property
    def unreached(self) -> tuple[str, ...]:
        """The others that do not answer where this broker dials them."""
        return tuple(name for name, link in self.links.items() if link.source is None)

    def members(self, now: int) -> dict[str, Member | None]:
        """What each of the others says of its release; None for one that does not answer."""
        return {name: link.runs if link.answers(now) else None for name, link in self.links.items()}

    def objection(self, hello: PeerHello, cluster_id: bytes, level: int = 0) -> str | None:
        """Why this hello is not answered with a welcome, or None. `level` is the cluster's."""
        wrong = version_objection(hello.version, hello.oldest)
        if wrong is not None:
            return wrong
        if hello.consensus != self._consensus:
            return f"consensus {hello.consensus!r}, this cluster runs {self._consensus!r}"
        if hello.incarnation == self._me.incarnation:
            return f"the address at which you look for another broker is your own, {hello.name!r}"
        if hello.name not in self.links or len(hello.incarnation) != 16:
            return f"{hello.name!r} is not another broker of this cluster: compare --cluster"
        if hello.cluster_id and cluster_id and hello.cluster_id != cluster_id:
            return f"{hello.name!r} belongs to another cluster"
        return level_objection(hello.name, hello.release, Levels(*hello.levels), level)

    def said_hello(self, routing: bytes, name: str) -> bool:
        """A member's hello: this is the way to that broker from now on. False if it was before.

        Its clock is not believed; the welcome's is.
        """
        link = self.links[name]
        if link.routing == routing:
            return False
        self.unreachable(routing)  # the broker that had this route before
        if link.routing is not None:
            self._by_routing.pop(link.routing, None)
        link.routing = routing
        self._by_routing[routing] = link
        return True

    def says_where(self, hello: PeerHello, now: int) -> bool:
        """A member says where it listens. Returns whether to dial another address of it now."""
        link = self.links[hello.name]
        link.visitor, link.visited_at = hello.incarnation, now
        if not dialled(hello.address):
            return False
        return link.where.says(hello.address, now, answers=link.source is not None)

    def hears_where(self, teller: str, addresses: tuple[tuple[str, str], ...]) -> None:
        """A member, on the connection that we opened to it, says where it found the others."""
        for name, address in addresses:
            link = self.links.get(name)
            if link is not None and name != teller and dialled(address):
                link.where.hear(teller, address)

    def welcomed(self, name: str, welcome: PeerWelcome, now: int) -> Peer | None:
        """The process at the address of `name` identified itself. None if it is another broker."""
        link = self.links[name]
        if welcome.name != name or len(welcome.incarnation) != 16 or not self._sound(welcome):
            link.source, link.strange = None, True
            return None
        link.source, link.refusal, link.strange = Peer(name, welcome.incarnation), "", False
        self._taken = True
        link.runs = Member(welcome.release[:REFUSAL_MAX], Levels(*welcome.levels))
        link.clock, link.clock_at = welcome.wall - now, now
        return link.source

    def refused(self, name: str, text: str) -> bool:
        """The broker at the address of `name` does not take us for a member. False if known."""
        link = self.links[name]
        known, link.refusal, link.strange = link.refusal, text[:REFUSAL_MAX], True
        return known != link.refusal

    def lost(self, name: str, now: int) -> bool:
        """The connection of our DEALER to that broker is gone, and what was said on it.

        Returns whether to dial another address of it now.
        """
        link = self.links[name]
        link.source, link.refusal, link.strange = None, "", False
        return link.where.lost(now)

    def rejection(self) -> str | None:
        """The refusals, once they rule out a majority for us and no broker has ever accepted us.

        A broker that was accepted once is never talked out of it: this only notices a start in
        the wrong place.
        """
        refusals = {name: link.refusal for name, link in self.links.items() if link.refusal}
        size = len(self.links) + 1
        if self._taken or size - len(refusals) >= majority(size):
            return None
        return "; ".join(f"{name} says: {text}" for name, text in refusals.items())

    def _sound(self, welcome: PeerWelcome) -> bool:
        """Whether what it says of the cluster can be: nothing else may ever be stored."""
        if not welcome.cluster_id:
            return not welcome.roster
        roster = dict(welcome.roster)
        # A replica that starts over after damage knows its cluster, but no roster yet.
        return (
            len(welcome.cluster_id) == 16
            and roster.keys() in (set(), {self._me.name, *self.links})
            and all(len(incarnation) == 16 for incarnation in roster.values())
        )

    def unreachable(self, routing: bytes) -> None:
        """The connection under this routing id is closed: it leads to no broker now."""
        link = self._by_routing.pop(routing, None)
        if link is not None:
            link.routing = None

    @property
    def acquainted(self) -> bool:
        """Whether there is a way to every other broker, and one from it."""
        for link in self.links.values():
            if link.routing is None or link.source is None:
                return False
        return True

    def wall_median(self, wall: int, now: int) -> int:
        """The median of all clocks known here: one broker's wrong clock moves nothing (ms)."""
        fresh = (
            link.clock + now
            for link in self.links.values()
            if link.clock_at is not None and now - link.clock_at < CLOCK_FRESH_MS
        )
        clocks = [wall, *fresh]
        return sorted(clocks)[(len(clocks) - 1) // 2]
