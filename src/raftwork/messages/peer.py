"""Frames between brokers."""

from typing import Annotated, Final, NamedTuple

from raftwork.messages.bounds import Between, OptionalName
from raftwork.messages.registry import from_broker, to_broker

#: Characters of an address: of a name of DNS, and what stands around it.
ADDRESS_MAX: Final = 512


class DiskRoom(NamedTuple):
    """Bytes on the disk of a broker's directory. Of one that does not say, both are 0."""

    free: int = 0
    needed: int = 0  # that must be free for new work

    @property
    def low(self) -> bool:
        """Whether it has no room for new work."""
        return self.free < self.needed


@to_broker.register(20)
class PeerHello(NamedTuple):
    """Opens a peer's session. A blank replica has an empty `cluster_id`.

    The id of a cluster is only ever told to an address of `--cluster`. So a blank replica that was
    told one says it back (`joining`): it is where it should be, and may be told the roster.
    A sender that names the cluster's id is worth a try at `address`, where it listens: that is how
    the others find a broker that moved.
    """

    version: int
    consensus: OptionalName
    name: OptionalName
    incarnation: bytes
    cluster_id: bytes
    wall: int  # ms since the epoch: machine time starts from a majority's median
    joining: bool = False
    address: Annotated[str, Between(0, ADDRESS_MAX)] = ""
    oldest: int = 0  # version it speaks besides; 0: no other
    release: OptionalName = ""
    levels: tuple[int, int] = (0, 0)  # of a cluster, that it runs (release.py)
    http_key: OptionalName = ""  # the public key of the process that answers HTTP beside it


@from_broker.register(20)
class PeerWelcome(NamedTuple):
    """Answers a PeerHello: the broker at the other end. The roster is empty while blank.

    A member answers only hellos that name its cluster.
    """

    name: str
    incarnation: bytes
    cluster_id: bytes
    roster: list[tuple[str, bytes]]
    wall: int
    #: (name, address) of the others, where it found them last.
    addresses: tuple[tuple[str, str], ...] = ()
    release: str = ""
    levels: tuple[int, int] = (0, 0)  # of a cluster, that it runs (release.py)
    disk: DiskRoom = DiskRoom()


@from_broker.register(21)
class PeerMessage(NamedTuple):
    """A consensus message, from the broker to the peer that said PeerHello on this connection.

    Consensus flows from a ROUTER to the DEALER that its receiver opened: so its source is the
    address the receiver chose to connect to, and it is read before the frames of clients and
    workers. What an earlier connection left unread may come after the next one's welcome:
    `incarnation` is the sender's, and a message of another than answered there last is dropped.
    """

    incarnation: bytes
    body: bytes
