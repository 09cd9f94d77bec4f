"""A name server that does not answer delays nothing else: in brokers, in workers, in clients.

libzmq would look names up in its one I/O thread, where no other connection moves meanwhile. Here
one name is looked up for ever, and traffic on another connection has to go on; once it is known,
its connection is made.
"""

import threading
import time
from collections.abc import Iterator
from random import Random

import pytest
import zmq

from raftwork.broker.net.transport import Transport
from raftwork.client.cluster_status import gather
from raftwork.client.transport import Connection
from raftwork.features import from_broker, to_broker
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.messages import (
    BrokerStatus,
    ClientHello,
    Leader,
    Ping,
    Spec,
    StatusRequest,
    encode_spec,
)
from raftwork.testing.processes import free_addresses
from raftwork.wire import pack
from raftwork.worker.agent import Identity
from raftwork.worker.main import Worker
from tests.unit.worker.idle_pool import IdlePool

PATIENCE = 30.0


class Names:
    """In place of the name server: knows a name once it is released."""

    def __init__(self) -> None:
        self.asked, self.known = threading.Event(), threading.Event()

    def __call__(self, host: str) -> tuple[str, ...]:
        assert host == "slow.example"
        self.asked.set()
        assert self.known.wait(2 * PATIENCE)
        return ("127.0.0.1",)


class Stub:
    """A ROUTER in place of a broker: `turn` answers what came, and gives it."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> None:
        self.address = address
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(f"tcp://{address}")

    def turn(self) -> list[object]:
        came: list[object] = []
        while self._socket.poll(20):
            routing, frame = self._socket.recv_multipart()
            message = to_broker.decode(frame)
            came.append(message)
            answer: Leader | Enqueued | BrokerStatus | None = None
            match message:
                case ClientHello() | Ping():
                    answer = Leader(1, "a", self.address, True, 1_000)
                case Enqueue():
                    answer = Enqueued(message.request)
                case StatusRequest():
                    facts = ("a", self.address, "raft", "leader", True, 1, "a", 0, 0)
                    answer = BrokerStatus(message.request, *facts, [], [])
                case _:
                    pass
            if answer is not None:
                self._socket.send_multipart([routing, from_broker.encode(answer)])
        return came

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def stubs() -> Iterator[tuple[Stub, Stub]]:
    """The one whose name is slow, and the other."""
    with zmq.Context() as context:
        slow, other = (Stub(context, address) for address in free_addresses(2))
        yield slow, other
        slow.close()
        other.close()


def named(stub: Stub) -> str:
    return stub.address.replace("127.0.0.1", "slow.example")


def until(turn: "object", stub: Stub, kind: type, times: int = 1) -> None:
    """Turn until the stub has heard so many of them."""
    deadline, heard = time.monotonic() + PATIENCE, 0
    while heard < times:
        assert time.monotonic() < deadline, f"the stub heard {heard} of {times}"
        if callable(turn):
            turn()
        heard += sum(isinstance(message, kind) for message in stub.turn())


def now() -> int:
    return time.monotonic_ns() // 1_000_000


def test_a_broker(stubs: tuple[Stub, Stub]) -> None:
    slow, other = stubs
    names = Names()
    (mine,) = free_addresses(1)
    transport = Transport(mine, {"b": named(slow), "c": other.address}, now(), names)
    up: set[str] = set()

    def turn() -> None:
        transport.poll(10, anyone=True)
        transport.tend(now())
        up.update(name for name, made in transport.link_changes(now()) if made)
        for name in up:
            transport.send_peer(name, to_broker.encode(Ping()))

    try:
        until(turn, other, Ping, times=20)
        assert names.asked.is_set()
        assert up == {"c"}
        names.known.set()
        until(turn, slow, Ping)
        assert up == {"b", "c"}
    finally:
        names.known.set()
        transport.close(0)


def test_a_worker(stubs: tuple[Stub, Stub]) -> None:
    slow, other = stubs
    names = Names()
    identity = Identity("w", b"w" * 16, "h", 1, ("default",))
    worker = Worker(identity, [named(slow), other.address], IdlePool(), look_up=names)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(None, other, Ping)
        until(None, other, object, times=3)  # its hellos
        assert names.asked.is_set()
        names.known.set()
        until(None, slow, Ping)
    finally:
        names.known.set()
        worker.interrupt()
        worker.interrupt()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_client(stubs: tuple[Stub, Stub]) -> None:
    slow, other = stubs
    names = Names()
    connection = Connection([named(slow), other.address], names, look_up=names)
    spec, rng = encode_spec(Spec("t", "default")), Random(0)
    try:
        for _ in range(5):
            task = str(rng.random())
            tasks = pack([(task, pack([[], {}]))])
            request = Enqueue(0, 0, spec, tasks)
            call = connection.call(request, Enqueued, int(PATIENCE * 1_000), ids=(task,))
            until(None, other, Enqueue)
            assert isinstance(call.result(PATIENCE), Enqueued)
        assert names.asked.is_set()
        names.known.set()
        until(None, slow, ClientHello)
    finally:
        names.known.set()
        connection.close()


def test_status(stubs: tuple[Stub, Stub]) -> None:
    slow, other = stubs
    names, answers = Names(), []
    asked = [named(slow), other.address]
    thread = threading.Thread(target=lambda: answers.append(gather(asked, 2.0, look_up=names)))
    thread.start()
    until(None, other, StatusRequest)
    thread.join(PATIENCE)
    names.known.set()
    (seen,) = answers
    assert [status is not None for status in seen.statuses.values()] == [False, True]
