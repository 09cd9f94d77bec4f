"""What a broker is started with, checked before anything is opened or bound."""

import os
from dataclasses import dataclass
from pathlib import Path

from raftwork.addresses import canonical, is_unspecified, number, parse_address, same_place
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.messages import NAME_MAX

CONSENSUS = ("raft", "zab")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """One replica's place in its cluster. Raises ValueError for what can never work."""

    name: str
    #: The address (host:port) of every broker, this one among them.
    cluster: dict[str, str]
    #: The replica's directory; made, with its parents, if it is not there. Kept as an absolute path
    #: without links: what is opened later must not depend on what the current directory, or a link,
    #: is by then.
    data: Path
    consensus: str = "raft"
    balancer: str = "weighted"
    #: Allows addresses that other machines can reach, unencrypted.
    insecure: bool = False
    #: Accepts a directory that was made under another `cluster` mapping, and keeps this one.
    readdress: bool = False
    #: Page checksums in a directory that is new; an old one keeps what it was made with.
    checksums: bool = True

    def __post_init__(self) -> None:
        if self.name not in self.cluster:
            raise ValueError(f"{self.name!r} is not in the cluster ({', '.join(self.cluster)})")
        if self.consensus not in CONSENSUS:
            raise ValueError(f"{self.consensus!r} is none of {', '.join(CONSENSUS)}")
        if self.balancer not in BALANCERS:
            raise ValueError(f"{self.balancer!r} is none of {', '.join(BALANCERS)}")
        exposed = [text for text in self.cluster.values() if not is_loopback(text)]
        if exposed and not self.insecure:
            raise ValueError(
                f"{', '.join(exposed)}: other machines could reach this, and frames are neither "
                "encrypted nor authenticated; --insecure allows it all the same"
            )
        object.__setattr__(self, "data", _resolved(self.data))

    @property
    def address(self) -> str:
        """Where this broker listens."""
        return self.cluster[self.name]


def parse_cluster(text: str) -> dict[str, str]:
    """The brokers' addresses by name from `a=host:port,b=host:port`, in the order given.

    Raises ValueError naming the part that is wrong.
    """
    cluster: dict[str, str] = {}
    for part in text.split(","):
        name, equals, address = part.strip().partition("=")
        if not equals or not name:
            raise ValueError(f"{part.strip()!r} is not NAME=HOST:PORT")
        if len(name.encode()) > NAME_MAX or not name.isprintable() or " " in name:
            raise ValueError(f"{name!r} is no name: printable, no spaces, {NAME_MAX} bytes at most")
        if name in cluster:
            raise ValueError(f"two brokers are called {name!r}")
        _, port = parse_address(address)
        if is_unspecified(address):
            raise ValueError(
                f"{name}={address}: this means every address of a machine, and nobody can dial it;"
                f" give the name or the number under which the other brokers, the workers and the"
                f" clients reach that machine, as in {name}=broker-{name}.example:{port}"
            )
        twin = next((n for n, a in cluster.items() if same_place(a, address)), None)
        if twin is not None:
            raise ValueError(
                f"two brokers have the address {address}: {twin}={cluster[twin]} is the same place"
            )
        cluster[name] = address
    return cluster


def _resolved(data: Path) -> Path:
    try:
        path = Path(os.path.realpath(data))
    except OSError as error:  # the current directory was removed
        raise ValueError(
            f"{data} cannot be found from here ({error}); give its whole path"
        ) from None
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{data}: SQLite opens only names in UTF-8, and this one is not; rename the directory,"
            " or one above it"
        ) from None
    return path


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach `address`.

    Names are not looked up: only those that mean loopback everywhere count.
    """
    host, _ = canonical(address)
    found = number(host)
    return found.is_loopback if found is not None else host.endswith(".localhost")
