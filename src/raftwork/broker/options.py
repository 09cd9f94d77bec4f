"""What a broker process is told, checked before anything is opened or bound.

It is this process's alone: flags, the environment and a file make it (`cli/configuration.py`).
What decides the fate of tasks is none of it but replicated, the same for every broker, as are the
times of elections unless a broker has its own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from raftwork.addresses import canonical, is_unspecified, number, parse_address, same_place
from raftwork.broker.placement.balancers import BALANCERS
from raftwork.features.cluster_settings import DEFAULTS, SETTINGS
from raftwork.features.event_journal import EVENT_BYTES
from raftwork.keys import Key
from raftwork.messages import NAME_MAX

CONSENSUS = ("raft", "zab")


class Timing(NamedTuple):
    """How long a leader may be silent, and how often it speaks. Milliseconds."""

    heartbeat_interval: int
    election_timeout: int

    @property
    def patience(self) -> int:
        """How long (ms) an election may take: two, of which the first may be undecided."""
        return max(2_500, 4 * self.election_timeout)


#: Heartbeats in an election timeout, where no interval is given.
_HEARTBEATS: Final[Mapping[str, int]] = {"raft": 10, "zab": 15}
#: … and at least: two may be lost, and none of them is an election.
HEARTBEATS_MIN: Final = 3
ELECTION_TIMEOUT_MIN_MS: Final = SETTINGS["election_timeout"].least
ELECTION_TIMEOUT_MAX_MS: Final = SETTINGS["election_timeout"].most
HEARTBEAT_MIN_MS: Final = 10
#: An election, and what runs then, needs some of the disk.
DISK_RESERVE_BYTES: Final = 512 * 1024 * 1024
#: What SQLite opens, with checksums 1,024 bytes, less the names of a store's files.
DATA_PATH_BYTES_MAX: Final = 960


def timing(consensus: str, cluster: int, election_timeout: int, heartbeat_interval: int) -> Timing:
    """The times of one broker: its own, where they are not 0, else by what the cluster has set.

    A heartbeat interval that was given for a longer timeout is cut to what this one allows.
    """
    timeout = election_timeout or cluster
    beat = heartbeat_interval or max(HEARTBEAT_MIN_MS, timeout // _HEARTBEATS[consensus])
    return Timing(min(beat, timeout // HEARTBEATS_MIN), timeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """All that one broker process is told. Raises ValueError for what can never work."""

    name: str
    #: The address (host:port) of every broker, this one among them.
    cluster: dict[str, str]
    #: The replica's directory; made, with its parents, if it is not there. Kept as an absolute path
    #: without links: what is opened later must not depend on what the current directory, or a link,
    #: is by then.
    data: Path
    #: Where it listens, if not at its address in `cluster`, under which the others find it.
    listen: str = ""
    #: Where a child process of its own answers HTTP; empty: there is none.
    http: str = ""
    #: Who may see the dashboard there (web/access.py), and the key with which it asks the leader.
    http_tokens: Path | None = None
    http_key: Path | None = None
    consensus: str = "raft"
    balancer: str = "weighted"
    #: Allows addresses that other machines can reach, unencrypted.
    insecure: bool = False
    #: This broker's key, and the file that lists the keys that it lets in; both or neither.
    key: Key | None = None
    access: Path | None = None
    #: Accepts a directory that was made under another `cluster` mapping, and keeps this one.
    readdress: bool = False
    #: Page checksums in a directory that is new; an old one keeps what it was made with.
    checksums: bool = True
    #: So many bytes must be free on the disk of the directory for new work; 0: it is not looked at.
    disk_reserve: int = DISK_RESERVE_BYTES
    #: Milliseconds between two heartbeats of the leader, and of silence until another one is
    #: elected: what the cluster has set where it is 0. Brokers of a cluster should agree: one that
    #: is less patient than the leader talks looks for another one over and over.
    heartbeat_interval: int = 0
    election_timeout: int = 0
    #: So long (ms) a graceful stop waits for another broker to take over the leadership.
    hand_over_timeout: int = 2_000
    #: How many bytes of events it keeps in its directory; 0 is none.
    event_bytes: int = EVENT_BYTES
    #: A turn of the loop that took so long (ms) is told of: meanwhile nothing was answered.
    slow_turn: int = 200

    def __post_init__(self) -> None:
        if self.name not in self.cluster:
            raise ValueError(f"{self.name!r} is not in the cluster ({', '.join(self.cluster)})")
        if self.consensus not in CONSENSUS:
            raise ValueError(f"{self.consensus!r} must be one of {', '.join(CONSENSUS)}")
        if self.balancer not in BALANCERS:
            raise ValueError(f"{self.balancer!r} must be one of {', '.join(BALANCERS)}")
        exposed = [text for text in (*self.cluster.values(), self.bound) if not is_loopback(text)]
        if exposed and not self.insecure and self.key is None:
            raise ValueError(
                f"{', '.join(exposed)}: other machines could reach this, and frames are neither "
                "encrypted nor authenticated; --key and --access make them so, and --insecure "
                "allows it all the same"
            )
        self._check_key()
        self._check_http()
        object.__setattr__(self, "data", _resolved(self.data))
        self._check_times()

    def _check_key(self) -> None:
        if (self.key is None) != (self.access is None):
            raise ValueError(
                "--key and --access go together: who this broker is, and whom it lets in"
            )
        if self.key is not None and self.insecure:
            raise ValueError("--insecure is for brokers without a key; leave it out")
        if self.access is not None:
            object.__setattr__(self, "access", Path(os.path.abspath(self.access)))
        if self.key is not None and self.key.name != self.name:
            raise ValueError(
                f"the key {self.key.file} is that of {self.key.name!r}, and this is {self.name!r}"
            )

    def _check_http(self) -> None:
        for name in ("http_tokens", "http_key"):
            file = getattr(self, name)
            if file is not None and not self.http:
                raise ValueError(f"--{name.replace('_', '-')} is for what --http answers")
            if file is not None:
                object.__setattr__(self, name, Path(os.path.abspath(file)))

    def _check_times(self) -> None:
        timeout = self.election_timeout or DEFAULTS.election_timeout
        beat = self.heartbeat_interval or HEARTBEAT_MIN_MS
        if not ELECTION_TIMEOUT_MIN_MS <= timeout <= ELECTION_TIMEOUT_MAX_MS:
            raise ValueError(
                f"an election timeout must be from {ELECTION_TIMEOUT_MIN_MS / 1000:g} to "
                f"{ELECTION_TIMEOUT_MAX_MS / 1000:g} s, got {timeout / 1000:g} s"
            )
        if not HEARTBEAT_MIN_MS <= beat <= timeout // HEARTBEATS_MIN:
            raise ValueError(
                f"a heartbeat interval must be from {HEARTBEAT_MIN_MS / 1000:g} to "
                f"{timeout // HEARTBEATS_MIN / 1000:g} s with an election timeout of "
                f"{timeout / 1000:g} s, got {beat / 1000:g} s"
            )

    def timing(self, cluster: int = DEFAULTS.election_timeout) -> Timing:
        """Both times of this broker, under an election timeout (ms) of the cluster."""
        return timing(self.consensus, cluster, self.election_timeout, self.heartbeat_interval)

    @property
    def address(self) -> str:
        """Under which the others, workers and clients find this broker."""
        return self.cluster[self.name]

    @property
    def bound(self) -> str:
        """Where this broker listens."""
        return self.listen or self.address

    @property
    def reached(self) -> str:
        """Where this machine reaches it."""
        host, port = parse_address(self.bound)
        if not is_unspecified(self.bound):
            return self.bound
        return f"[::1]:{port}" if host.startswith("[") else f"127.0.0.1:{port}"


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
                f"{name}={address}: this means every address of a machine, and cannot be dialled;"
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
        long = len(str(path).encode())
    except UnicodeEncodeError:
        raise ValueError(
            f"{data}: SQLite opens only names in UTF-8, and this one is not; rename the directory,"
            " or one above it"
        ) from None
    if long > DATA_PATH_BYTES_MAX:
        raise ValueError(
            f"the whole path of {data} has {long} bytes, and SQLite opens no file in one of more"
            f" than {DATA_PATH_BYTES_MAX}: use a shorter one, such as /var/lib/raftwork/a"
        )
    return path


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach `address`.

    Names are not looked up: only those that mean loopback everywhere count.
    """
    host, _ = canonical(address)
    found = number(host)
    return found.is_loopback if found is not None else host.endswith(".localhost")
