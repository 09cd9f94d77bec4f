"""A Session played by hand: what the brokers say goes in, what they would hear comes out."""

from random import Random
from typing import TypeVar, cast

from raftwork.client.calls import Answered, Call
from raftwork.client.session import Session
from raftwork.features import from_broker, to_broker
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.results import Watch
from raftwork.messages import (
    ClientHello,
    FromBroker,
    Leader,
    Ping,
    Result,
    ToBroker,
)
from raftwork.messages.request import Request
from raftwork.wire import pack, unpack

A, B, C = "127.0.0.1:7701", "127.0.0.1:7702", "127.0.0.1:7703"

M = TypeVar("M")


class Play:
    """A Session, its time, and everything that came out of it so far."""

    def __init__(self, *brokers: str) -> None:
        self.session = Session(brokers or (A, B, C), Random(3))
        self.now = 1_000
        self.connected: list[str] = []
        self.heard: list[tuple[str, ToBroker]] = []
        self.answers: list[Answered] = []
        self.outcomes: list[Result] = []
        self.collect()

    def up(self, *addresses: str) -> None:
        for address in addresses:
            self.session.link_up(address, self.now)
        self.collect()

    def down(self, address: str) -> None:
        self.session.link_down(address, self.now)
        self.collect()

    def say(self, address: str, *messages: FromBroker) -> None:
        for message in messages:
            self.session.receive(address, from_broker.encode(message), self.now)
        self.collect()

    def lead(self, address: str, epoch: int = 1, time: int = 50_000) -> None:
        self.say(address, Leader(epoch, "x", address, active=True, time=time))

    def formed(self) -> None:
        """All links stand, A leads, and what was said so far is forgotten."""
        self.up(A, B, C)
        self.lead(A)
        self.heard.clear()

    def enqueue(
        self, *ids: str, timeout: int = 10_000, size: int = 0, wait_when_full: bool = False
    ) -> int:
        tasks = pack([(id_, b"x" * size) for id_ in ids])
        request = Enqueue(0, 0, b"spec", tasks)
        return self.call(request, Enqueued, timeout, ids=ids, wait_when_full=wait_when_full)

    def enqueue_together(
        self, *ids: str, spec: bytes = b"spec", timeout: int = 10_000
    ) -> list[int]:
        """Calls of one task each, all submitted in one turn; their numbers."""
        made = [
            Call(Enqueue(0, 0, spec, pack([(id_, b"")])), Enqueued, self.now + timeout, ids=(id_,))
            for id_ in ids
        ]
        self.session.submit_all(made, self.now)
        self.collect()
        return [call.number for call in made]

    def call(
        self,
        request: Request,
        reply: type[object],
        timeout: int = 10_000,
        ids: tuple[str, ...] = (),
        *,
        wait_when_full: bool = False,
    ) -> int:
        made = Call(request, reply, self.now + timeout, ids=ids, wait_when_full=wait_when_full)
        number = self.session.submit(made, self.now)
        self.collect()
        return number

    def watch(self, *ids: str) -> None:
        self.session.watch(ids, self.now)
        self.collect()

    def run(self, ms: int, answering: tuple[str, FromBroker] | None = None) -> None:
        """Let time pass, waking the session whenever it asks to be woken.

        `answering` is a broker and what it says to each Ping.
        """
        end = self.now + ms
        while (at := self.session.wake_at) is not None and at <= end:
            self.now = max(self.now, at)
            before = len(self.heard)
            self.session.wake(self.now)
            self.collect()
            if answering and (answering[0], Ping()) in self.heard[before:]:
                self.say(*answering)
            after = self.session.wake_at
            assert after is None or after > self.now, "a session that is never satisfied"
        self.now = end

    def collect(self) -> None:
        output = self.session.take()
        self.connected += output.connect
        self.heard += [(address, to_broker.decode(frame)) for address, frame in output.frames]
        self.answers += output.answers
        self.outcomes += output.outcomes

    def told(self, kind: type[M], address: str | None = None) -> list[M]:
        """The messages of a kind that went out (to one broker)."""
        return [m for to, m in self.heard if isinstance(m, kind) and address in (None, to)]

    @property
    def enqueues(self) -> list[Enqueue]:
        return self.told(Enqueue)

    @property
    def shared(self) -> list[list[str]]:
        """The ids of the tasks of each Enqueue that went out."""
        rows = [cast("list[tuple[str, bytes]]", unpack(sent.tasks)) for sent in self.enqueues]
        return [[row[0] for row in tasks] for tasks in rows]

    @property
    def watches(self) -> list[list[str]]:
        return [watch.ids for watch in self.told(Watch)]

    @property
    def hellos(self) -> list[str]:
        return [to for to, m in self.heard if isinstance(m, ClientHello)]
