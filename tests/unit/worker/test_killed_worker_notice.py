"""What is left of a killed worker tells the leader, whichever of the brokers that is."""

import threading
import time
from collections.abc import Iterator

import pytest
import zmq

from raftwork.features import from_broker, to_broker
from raftwork.messages import (
    LAST_SESSION,
    FromBroker,
    Goodbye,
    Held,
    HelloFirst,
    Holding,
    Leader,
    WorkerHello,
    WorkerWelcome,
)
from raftwork.testing.processes import free_addresses
from raftwork.worker import killed_worker_notice
from raftwork.worker.agent import Identity
from raftwork.worker.killed_worker_notice import send_notice

ME = Identity("w", b"i" * 16, "host", 7, ("default", "mail"))
RUNNING = [Holding(5, Held.RUNNING, 30)]
PATIENCE_MS = 10_000


class Broker:
    """Hears one worker, and answers."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        self._router: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self._router.linger = 0
        port = self._router.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"127.0.0.1:{port}"

    def hear(self) -> object:
        assert self._router.poll(PATIENCE_MS), "it says nothing"
        self._routing, frame = self._router.recv_multipart()
        return to_broker.decode(frame)

    def say(self, frame: FromBroker) -> None:
        self._router.send_multipart([self._routing, from_broker.encode(frame)])


@pytest.fixture
def brokers() -> Iterator[list[Broker]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield [Broker(context) for _ in range(2)]
    context.destroy(linger=0)


def said(*addresses: str) -> threading.Thread:
    thread = threading.Thread(target=send_notice, args=(ME, addresses, RUNNING))
    thread.start()
    return thread


def test_every_broker_is_told_and_the_leader_hears_it(
    brokers: list[Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killed_worker_notice, "_PATIENCE_S", 3_600)
    thread = said(*(broker.address for broker in brokers))
    for broker in brokers:
        hello = broker.hear()
        assert isinstance(hello, WorkerHello)
        assert (hello.incarnation, hello.name, hello.host, hello.pid) == (ME[1], "w", "host", 7)
        assert (hello.session, hello.slots, hello.draining) == (LAST_SESSION, 0, True)
        assert hello.holding == RUNNING
        assert broker.hear() == Goodbye(LAST_SESSION, lost=True)
    follower, leader = brokers
    follower.say(Leader(3, "b", leader.address, False, 0))
    follower.say(HelloFirst())
    leader.say(WorkerWelcome(3, LAST_SESSION, []))
    thread.join(PATIENCE_MS / 1_000)
    assert not thread.is_alive(), "it waits although it was heard"


def test_it_ends_although_nobody_hears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killed_worker_notice, "_PATIENCE_S", 0.05)
    began = time.monotonic()
    send_notice(ME, [*free_addresses(2), "no.such.host.invalid:1"], RUNNING)
    assert time.monotonic() - began < PATIENCE_MS / 1_000
