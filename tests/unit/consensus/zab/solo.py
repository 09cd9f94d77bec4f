"""One Zab core on its own: a test plays everybody else, word by word."""

import random
from collections.abc import Iterable
from typing import TypeVar

from raftwork.consensus.core import ORIGIN, Entry, Kind, Message, Peer, Position
from raftwork.consensus.durable_replica import Replica
from raftwork.consensus.zab import Config, Zab
from raftwork.consensus.zab.messages import (
    Ack,
    AckEpoch,
    FollowerInfo,
    Frame,
    Framed,
    HardState,
    LeaderInfo,
    Mode,
    Notification,
    Session,
    Vote,
    ZabMessage,
    codec,
    decode_framed,
    encode_hard_state,
    framed,
)
from tests.sim.store import Disk, Image
from tests.unit.consensus.cluster import Event, RecordingHost, RecordingStore, peer, roster

T = TypeVar("T")


def data(epoch: int, *counters: int) -> tuple[Entry, ...]:
    return tuple(Entry(Position(epoch, c), Kind.DATA, b"%d.%d" % (epoch, c)) for c in counters)


def disk(
    *entries: Entry,
    accepted: int = 0,
    current: int = 0,
    applied: Position = ORIGIN,
    names: Iterable[str] = "abc",
) -> Disk:
    state = encode_hard_state(HardState(accepted, peer("c").incarnation, current))
    kept = state if accepted else None
    return Disk(Image(entries=entries, state=kept, applied=applied, roster=roster(names)))


class Solo:
    """A replica by the name of `me`; what it says gathers in `said`."""

    def __init__(self, me: str, kept: Disk | None = None, names: str = "abc") -> None:
        self.me = peer(me)
        self.names = names
        self.disk = kept or disk(names=names)
        self.now = 0
        self.start()

    def start(self) -> None:
        self.store = RecordingStore(self.disk)
        self.store.events = []
        self.host = RecordingHost(self.store)
        self.sent: list[tuple[str, ZabMessage | Framed]] = []
        self.core = Zab(
            self.me,
            self.names,
            self.store,
            self.store.restored(),
            Config(),
            random.Random(1),
            self.now,
        )
        self.replica = Replica(self.core, self.store, self.host, self._send)
        #: Frames of the leader that a test plays.
        self.told = 0
        self.session = Session(0, 0)

    def crash(self) -> None:
        """Only what was synced is there afterwards."""
        self.disk.committed = self.disk.synced
        self.start()

    def _send(self, message: Message) -> None:
        decoded: ZabMessage | Framed = codec.decode(message.body)
        if isinstance(decoded, Frame):
            decoded = decode_framed(decoded.body)
        self.sent.append((message.to, decoded))
        self.store.events.append(Event("send", decoded))

    # ---- what it hears --------------------------------------------------------------------------

    def turn(self, later: int = 0) -> list[tuple[str, ZabMessage | Framed]]:
        """Let time pass and one turn happen; gives what was said."""
        self.now += later
        self.replica.wake(self.now)
        self.replica.turn(self.now)
        said, self.sent = self.sent, []
        return said

    def hear(self, src: str | Peer, *messages: ZabMessage) -> list[tuple[str, ZabMessage | Framed]]:
        """Receive these in one turn; gives what is said in answer."""
        source = peer(src) if isinstance(src, str) else src
        for message in messages:
            self.replica.receive(source, codec.encode(message), self.now)
        return self.turn()

    def lead_by(self, leader: str, *messages: Framed) -> list[tuple[str, ZabMessage | Framed]]:
        """The next frames of the leader's link to us."""
        frames = []
        for message in messages:
            self.told += 1
            frames.append(Frame(self.session, self.told, framed.encode(message)))
        return self.hear(leader, *frames)

    # ---- ways to a state ------------------------------------------------------------------------

    def follow(self, leader: str, epoch: int) -> AckEpoch:
        """Follow a leader and accept its epoch; gives our ACKEPOCH."""
        self.turn()
        vote = Vote(epoch - 1, Position(epoch - 1, 99), *peer(leader))
        said = self.hear(leader, Notification(1, Mode.LEADING, vote))
        self.session, self.told = of(said, FollowerInfo).session, 0
        return of(self.lead_by(leader, LeaderInfo(epoch)), AckEpoch)

    def lead(self, *names: str) -> int:
        """Win, and hear FOLLOWERINFO of these; gives the epoch."""
        self.turn()
        vote = Vote(self.state.current, self.store.last, *self.me)
        for name in self.names.replace(self.me.name, ""):
            self.hear(name, Notification(self.core._node.round, Mode.LOOKING, vote))
        for name in names:
            self.hear(name, FollowerInfo(link(name), self.state.accepted))
        return self.state.accepted

    @property
    def state(self) -> HardState:
        return self.core._node.hard

    def kinds(self) -> list[str]:
        return [event.kind for event in self.store.events]


def link(name: str, number: int = 1) -> Session:
    """The session that a played follower opens."""
    return Session(ord(name), number)


def agrees(
    solo: Solo, name: str, *ends: Position, current: int = 0, number: int = 1
) -> list[tuple[str, ZabMessage | Framed]]:
    """The named follower accepts our epoch, and its history ends so."""
    ack = AckEpoch(link(name, number), solo.state.accepted, True, current, ends or (ORIGIN,))
    return solo.hear(name, ack)


def acks(
    solo: Solo, name: str, zxid: Position, *, current: int | None = None, round_: int = 0
) -> list[tuple[str, ZabMessage | Framed]]:
    epoch = solo.state.current if current is None else current
    return solo.hear(name, Ack(link(name), epoch, zxid, round_))


def of(said: Iterable[tuple[str, object]], kind: type[T]) -> T:
    """The one message of this kind."""
    (found,) = [message for _, message in said if isinstance(message, kind)]
    return found


def to(said: Iterable[tuple[str, ZabMessage | Framed]], name: str) -> list[ZabMessage | Framed]:
    return [message for target, message in said if target == name]
