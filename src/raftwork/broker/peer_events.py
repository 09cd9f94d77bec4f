"""What happens between brokers, and to the process of one, as values. See events.py."""

from __future__ import annotations

from dataclasses import dataclass

# ---- this process --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokerStarted:
    """What this process is, once it listens."""

    broker: str
    release: str
    protocol: int  # the version of the wire protocol
    consensus: str
    address: str
    directory: str
    brokers: tuple[str, ...]  # of the whole cluster, with their addresses
    election_timeout: int  # ms
    heartbeat_interval: int  # ms
    pid: int

    def __str__(self) -> str:
        others = ", ".join(self.brokers)
        pace = f"{self.heartbeat_interval} and {self.election_timeout} ms"
        return (
            f"broker {self.broker} of {others}; {self.consensus}, its data in {self.directory};"
            f" heartbeats and election timeout {pace}; raftwork {self.release}, protocol"
            f" {self.protocol}, pid {self.pid}"
        )


@dataclass(frozen=True, slots=True)
class BrokerStops:
    """It was told to."""

    leads: bool

    def __str__(self) -> str:
        return f"stopping{': handing leadership over' if self.leads else ''}"


@dataclass(frozen=True, slots=True)
class DataPutAside:
    """Its directory was damaged: it begins as an empty replica."""

    why: str

    def __str__(self) -> str:
        return f"data put aside, rejoining as a learner: {self.why}"


@dataclass(frozen=True, slots=True)
class ListensOnLoopback:
    """At an address by which others are to reach it, and cannot."""

    host: str
    number: str

    def __str__(self) -> str:
        return (
            f"{self.host} is {self.number} here, at which no other machine reaches this broker;"
            " does /etc/hosts give this machine's name an address of loopback?"
        )


@dataclass(frozen=True, slots=True)
class DiskGetsFull:
    """There is less room than twice what new work needs, or than a copy of the database takes."""

    free: int  # bytes
    needed: int  # bytes; with less, this broker has no room for new work

    def __str__(self) -> str:
        return (
            f"the disk gets full: {self.free >> 20} MiB are free; with less than"
            f" {self.needed >> 20} MiB this broker has no room for new tasks"
        )


@dataclass(frozen=True, slots=True)
class DiskLow:
    """This broker has no room for new work; without a majority that has, there is none."""

    free: int  # bytes
    needed: int  # bytes

    def __str__(self) -> str:
        return (
            f"the disk is nearly full: {self.free >> 20} MiB are free, {self.needed >> 20} MiB must"
            " be for new tasks; they are refused unless a majority of the brokers has room. Make"
            " room, and it is over"
        )


@dataclass(frozen=True, slots=True)
class DiskHasRoom:
    """… again."""

    free: int  # bytes

    def __str__(self) -> str:
        return f"the disk has room again: {self.free >> 20} MiB are free"


@dataclass(frozen=True, slots=True)
class BallastDropped:
    """The disk was full: a file that is kept for that was deleted."""

    directory: str

    def __str__(self) -> str:
        return (
            f"the disk is full: deleted {self.directory}/ballast, so that this broker can start."
            " Make room"
        )


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """A client or worker did not read what it was sent."""

    bytes: int

    def __str__(self) -> str:
        return f"a connection does not read its {self.bytes} bytes: session closed"


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """It went on sending what none of ours sends, or asking without reading the answers."""

    def __str__(self) -> str:
        return "a connection sends what it should not, or does not read: closed"


@dataclass(frozen=True, slots=True)
class FrameUnsent:
    """A session is closed by it."""

    why: str

    def __str__(self) -> str:
        return f"a frame cannot be sent: {self.why}; session closed"


# ---- other brokers -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerSought:
    """It is dialled at another address than before, or once more."""

    broker: str
    address: str

    def __str__(self) -> str:
        return f"looking for broker {self.broker} at {self.address}"


@dataclass(frozen=True, slots=True)
class PeerOneWay:
    """The two cannot work together."""

    broker: str
    address: str

    def __str__(self) -> str:
        return (
            f"broker {self.broker} reaches this one, but does not answer at {self.address}: without"
            " that the two cannot work together; is it listening there, and is the way free?"
        )


@dataclass(frozen=True, slots=True)
class PeerElsewhere:
    """An empty directory's broker is not believed where it listens."""

    broker: str
    says: str
    known: str

    def __str__(self) -> str:
        return (
            f"a broker {self.broker} with an empty directory says that it listens at {self.says};"
            f" this one knows it at {self.known}: if it is to take that one's place, start the"
            " others again with --readdress and the new address in --cluster"
        )


@dataclass(frozen=True, slots=True)
class PeerMistaken:
    """At an address that another member named."""

    broker: str
    address: str

    def __str__(self) -> str:
        return f"at {self.address} answers another than broker {self.broker}"


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """It was found at another address, which is stored."""

    broker: str
    before: str
    address: str

    def __str__(self) -> str:
        return f"{self.broker} moved from {self.before} to {self.address}"


@dataclass(frozen=True, slots=True)
class PeerMoveUnsaved:
    """After a restart it has to be found again."""

    broker: str
    why: str

    def __str__(self) -> str:
        return f"cannot store where {self.broker} is now: {self.why}"


@dataclass(frozen=True, slots=True)
class HostUnknown:
    """The name of its host means no address here."""

    broker: str
    why: str

    def __str__(self) -> str:
        return f"broker {self.broker}: {self.why}"


@dataclass(frozen=True, slots=True)
class HostKnown:
    """Its host's name means an address again."""

    broker: str

    def __str__(self) -> str:
        return f"broker {self.broker}: the host's name is known again"


# ---- keys ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyNotKnown:
    """Somebody came under a key that is not let in, or with a handshake that is none of ours."""

    key: str  # its public half; empty if it named none
    address: str

    def __str__(self) -> str:
        whose = f"the key {self.key}" if self.key else "a handshake without a key"
        return f"refused {whose} from {self.address}: it is not in the access list"


@dataclass(frozen=True, slots=True)
class AddressSlowed:
    """Handshakes from there were refused one after the other: few are let in for a while."""

    address: str
    refused: int  # handshakes in a second

    def __str__(self) -> str:
        return (
            f"{self.refused} handshakes from {self.address} were refused within a second: for now"
            " few connections from there are let in; those that are open stay"
        )


@dataclass(frozen=True, slots=True)
class StrangersSlowed:
    """Connections closed before it was known whose they were: few others are let in for a while."""

    closed: int  # connections in a second

    def __str__(self) -> str:
        return (
            f"{self.closed} connections closed within a second before it was known whose they were:"
            " for now few are let in from where no key was let in so far; those that are open stay"
        )


@dataclass(frozen=True, slots=True)
class KeyMayNot:
    """A key that is let in asked for more than it is for."""

    why: str

    def __str__(self) -> str:
        return f"refused: {self.why}"


@dataclass(frozen=True, slots=True)
class HttpEnded:
    """The process that answers HTTP has ended, or could not be started."""

    at: str
    why: str

    def __str__(self) -> str:
        return f"nothing answers HTTP at {self.at}: {self.why}; it is started again"


@dataclass(frozen=True, slots=True)
class AccessReloaded:
    """The access list was read again."""

    digest: str
    changed: int  # keys that are for something else now, or for nothing

    def __str__(self) -> str:
        return (
            f"access list read again: {self.changed} keys are for something else, or for nothing;"
            f" its digest is {self.digest}"
        )


@dataclass(frozen=True, slots=True)
class AccessNotReloaded:
    """The access list could not be read again: the one from before holds."""

    why: str

    def __str__(self) -> str:
        return f"the access list stays as it was: {self.why}"


@dataclass(frozen=True, slots=True)
class PeerKeyMismatch:
    """Another broker and this one do not know each other's keys."""

    broker: str
    denied: bool  # it refuses this broker's key; else it may not hold the one that it should

    def __str__(self) -> str:
        if self.denied:
            return f"{self.broker} does not know this broker's key: compare the access lists"
        return (
            f"at the address of {self.broker} nobody answers under its key: compare the access"
            " lists, and whether that broker has a key at all"
        )


PeerEvent = (
    BrokerStarted
    | BrokerStops
    | DataPutAside
    | ListensOnLoopback
    | DiskGetsFull
    | DiskLow
    | DiskHasRoom
    | BallastDropped
    | SessionClosed
    | ConnectionClosed
    | FrameUnsent
    | PeerSought
    | PeerOneWay
    | PeerElsewhere
    | PeerMistaken
    | PeerMoved
    | PeerMoveUnsaved
    | HostUnknown
    | HostKnown
    | KeyNotKnown
    | AddressSlowed
    | StrangersSlowed
    | KeyMayNot
    | AccessReloaded
    | HttpEnded
    | AccessNotReloaded
    | PeerKeyMismatch
)
