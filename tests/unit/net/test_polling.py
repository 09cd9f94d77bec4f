"""What a poller of descriptors must not overlook."""

import os
import select
import time
from collections.abc import Iterator

import pytest
import zmq

from raftwork.net.polling import SocketPoller

LONG_MS = 5_000


class Pair:
    """A ROUTER that is polled, and a DEALER that writes to it."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.dealer = self.context.socket(zmq.DEALER)
        self.dealer.connect(f"tcp://127.0.0.1:{port}")
        self.poller = SocketPoller()
        self.poller.register(self.router)
        self.dealer.send(b"hello")
        self.wait()
        self.name, _ = self.router.recv_multipart()
        self.drain()

    def wait(self) -> None:
        assert self.poller.poll(LONG_MS) == [self.router]

    def drain(self) -> int:
        count = 0
        while True:
            try:
                self.router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self.poller.drained(self.router)
                return count
            count += 1


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.context.destroy(linger=0)


def test_a_message_wakes(pair: Pair) -> None:
    assert pair.poller.poll(0) == []
    pair.dealer.send(b"x")
    pair.wait()
    assert pair.drain() == 1
    assert pair.poller.poll(0) == []


def test_what_was_left_unread_is_ready_again(pair: Pair) -> None:
    pair.dealer.send(b"x")
    pair.dealer.send(b"y")
    pair.wait()
    pair.router.recv_multipart()
    pair.wait()
    assert pair.drain() == 1


def test_what_came_with_a_send_is_ready(pair: Pair) -> None:
    """A send hears of what came, and its descriptor is silent from then on."""
    for _ in range(200):
        pair.dealer.send(b"x")
        while not pair.dealer.poll(0):  # until the answer is there, the question was, too
            pair.router.send_multipart([pair.name, b"answer"])
            pair.poller.used(pair.router)
        pair.dealer.recv()
        assert pair.poller.poll(LONG_MS) == [pair.router]
        assert pair.drain() >= 1
        while pair.dealer.poll(0):
            pair.dealer.recv()


def test_what_is_ignored_waits_until_it_is_not(pair: Pair) -> None:
    read, write = os.pipe()
    pair.poller.register(read)
    pair.poller.ignore(pair.router, ignored=True)
    pair.dealer.send(b"x")
    assert pair.poller.poll(50) == []
    os.write(write, b"x")
    assert pair.poller.poll(LONG_MS) == [read]
    os.read(read, 1)
    pair.poller.ignore(pair.router, ignored=False)
    pair.wait()
    os.close(read)
    os.close(write)


def test_what_is_ready_before_it_is_registered_is_ready(pair: Pair) -> None:
    pair.dealer.send(b"x")
    assert pair.router.poll(LONG_MS)
    late = SocketPoller()
    late.register(pair.router)
    assert late.poll(LONG_MS) == [pair.router]


def test_what_may_be_read_late_ends_no_wait_that_is_patient(pair: Pair) -> None:
    read, write = os.pipe()
    poller = SocketPoller()
    poller.register(pair.router, late=True)
    poller.register(read)
    assert poller.poll(0) == []
    pair.dealer.send(b"x")
    assert select.select([int(pair.router.getsockopt(zmq.FD))], [], [], LONG_MS / 1_000)[0]
    os.write(write, b"x")
    assert poller.poll(LONG_MS, patience=LONG_MS) == [read]
    assert poller.late() == [pair.router]
    os.close(read)
    os.close(write)


def test_patience_has_an_end(pair: Pair) -> None:
    poller = SocketPoller()
    poller.register(pair.router, late=True)
    assert poller.poll(0) == []
    pair.dealer.send(b"x")
    assert select.select([int(pair.router.getsockopt(zmq.FD))], [], [], LONG_MS / 1_000)[0]
    began = time.monotonic()
    assert poller.poll(LONG_MS, patience=30) == [pair.router]
    assert time.monotonic() - began >= 0.03
    assert poller.poll(LONG_MS, patience=0) == [pair.router]
