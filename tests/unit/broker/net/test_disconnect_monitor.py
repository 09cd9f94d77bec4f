"""Connections of a broker's ROUTER that close are reported at once, and no others are."""

import socket
import time
from collections.abc import Iterator

import pytest
import zmq

from raftwork.broker.net.disconnect_monitor import PACE_MS
from raftwork.broker.net.transport import Transport
from raftwork.testing.processes import free_addresses

#: For what takes libzmq's thread a few milliseconds.
PATIENCE_MS = 5_000


class Broker:
    """A transport that notes what comes and who closes, turn by turn."""

    def __init__(self) -> None:
        (self.address,) = free_addresses(1)
        self.transport = Transport(self.address, {}, 0)
        self.heard: list[bytes] = []
        self.routing: dict[bytes, bytes] = {}
        self.closed: list[bytes] = []
        self.turns = 0

    def turn(self, *, reads: bool = True) -> None:
        ready = self.transport.poll(PATIENCE_MS, anyone=reads)
        self.turns += 1
        assert ready, "nothing came"
        assert self.turns < 1_000, "it turns and turns"
        if reads:
            self.read()
        self.closed += self.transport.tidy()

    def read(self) -> None:
        for routing, frame, _ in self.transport.from_anyone():
            self.heard.append(bytes(frame))
            self.routing[bytes(frame)] = routing

    def until_heard(self, frame: bytes) -> bytes:
        while frame not in self.heard:
            self.turn()
        return self.routing[frame]


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.transport.close(0)


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


def connection(
    context: "zmq.Context[zmq.Socket[bytes]]", broker: Broker, says: bytes
) -> "zmq.Socket[bytes]":
    dealer: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    dealer.connect(f"tcp://{broker.address}")
    dealer.send(says)
    return dealer


def test_a_connection_that_closes_is_reported_though_nothing_is_sent_to_it(
    broker: Broker, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    stays, goes = connection(context, broker, b"stays"), connection(context, broker, b"goes")
    broker.until_heard(b"stays")
    routing = broker.until_heard(b"goes")
    goes.close(linger=0)
    while not broker.closed:
        broker.turn()
    assert broker.closed == [routing]
    stays.send(b"is there")
    broker.until_heard(b"is there")
    assert broker.closed == [routing]
    stays.close(linger=0)


def test_what_a_connection_brought_is_read_before_it_is_reported(
    broker: Broker, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    dealer = connection(context, broker, b"first")
    routing = broker.until_heard(b"first")
    dealer.send(b"last")
    dealer.close(linger=PATIENCE_MS)
    broker.turn(reads=False)  # as a broker does that rests from strangers
    assert broker.closed == []
    while not broker.closed:
        broker.turn()
    assert broker.heard[-1] == b"last"
    assert broker.closed == [routing]


def test_the_next_connection_with_the_same_descriptor_is_not_taken_for_the_closed_one(
    broker: Broker, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    first = connection(context, broker, b"0")
    routing = {broker.until_heard(b"0")}
    first.close(linger=0)
    for number in range(1, 20):  # the closing is told, and not yet read, when the next one comes
        dealer = connection(context, broker, b"%d" % number)
        while b"%d" % number not in broker.heard:
            assert broker.transport.poll(PATIENCE_MS, anyone=True)
            broker.read()
        broker.closed += broker.transport.tidy()
        assert broker.routing[b"%d" % number] not in broker.closed
        routing.add(broker.routing[b"%d" % number])
        dealer.close(linger=0)
    while len(broker.closed) < len(routing):
        broker.turn()
    assert set(broker.closed) == routing
    assert len(broker.closed) == len(routing)


def test_nothing_is_kept_of_connections_that_closed(
    broker: Broker, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    for number in range(5):
        dealer = connection(context, broker, b"%d" % number)
        broker.until_heard(b"%d" % number)
        dealer.close(linger=0)
    while len(broker.closed) < 5:
        broker.turn()
    assert not broker.transport._disconnects.known
    assert not broker.transport._disconnects._by_descriptor


def test_strangers_who_come_and_go_wake_nobody_and_who_leaves_then_is_reported_all_the_same(
    broker: Broker, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    goes = connection(context, broker, b"goes")
    routing = broker.until_heard(b"goes")
    host, _, port = broker.address.rpartition(":")
    transport = broker.transport
    deadline = time.monotonic() + PATIENCE_MS / 1_000

    def come_and_go(count: int) -> None:
        for _ in range(count):
            socket.create_connection((host, int(port)), 5).close()

    def look(now: int) -> None:
        assert time.monotonic() < deadline
        transport.tend(now)
        broker.closed += transport.tidy()

    def paced() -> bool:
        return transport._disconnects.paced

    now = PACE_MS
    while not paced():
        come_and_go(50)
        transport.poll(PACE_MS, anyone=True)
        look(now := now + PACE_MS)
    seen = transport._disconnects.unheard
    come_and_go(100)
    for _ in range(20):
        assert transport.poll(1, anyone=True) == []
    goes.close(linger=0)
    while transport._disconnects.unheard < seen + 100 or not broker.closed:
        assert transport._disconnects.monitor not in transport.poll(PACE_MS, anyone=True)
        look(now)
        now += PACE_MS // 2
    assert broker.closed == [routing]
    while paced():
        look(now := now + PACE_MS)
    other = connection(context, broker, b"other")
    broker.until_heard(b"other")
    other.close(linger=0)
    while len(broker.closed) < 2:
        broker.turn()
