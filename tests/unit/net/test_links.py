"""Connections to brokers over real sockets: made, lost, and opened when there is room."""

import errno
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import zmq

from raftwork.net import links as module
from raftwork.net.links import LinkOptions, Links

OPTIONS = LinkOptions(frame_bytes=1_000)
FULL = OSError(errno.EMFILE, "Too many open files")


def now() -> int:
    return time.monotonic_ns() // 1_000_000


class Broker(NamedTuple):
    socket: "zmq.Socket[bytes]"
    address: str


@pytest.fixture
def broker() -> Iterator[Broker]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        yield Broker(socket, f"127.0.0.1:{port}")


@pytest.fixture
def links() -> Iterator[Links]:
    made = Links(lambda host: (host,), OPTIONS)
    yield made
    made.close()


def turn(links: Links) -> list[tuple[str, bool | bytes]]:
    """What came within a moment: changes of connections, and frames."""
    seen: list[tuple[str, bool | bytes]] = []
    for ready in links.poll(20):
        seen += links.changes(ready, now())
        seen += links.frames(ready)
    links.tend(now())
    return seen


def until(links: Links, enough: Callable[[list[tuple[str, bool | bytes]]], bool]) -> None:
    seen: list[tuple[str, bool | bytes]] = []
    deadline = time.monotonic() + 10
    while not enough(seen):
        assert time.monotonic() < deadline, seen
        seen += turn(links)


def test_a_connection_is_made_and_carries_frames_both_ways(links: Links, broker: Broker) -> None:
    assert not links.send(broker.address, b"early"), "there is none"
    links.connect(broker.address, now())
    until(links, lambda seen: (broker.address, True) in seen)
    assert links.send(broker.address, b"hello")
    assert broker.socket.poll(10_000)
    routing, frame = broker.socket.recv_multipart()
    assert frame == b"hello"
    broker.socket.send_multipart([routing, b"two", b"parts"])  # no frame of ours
    broker.socket.send_multipart([routing, b"welcome"])
    until(links, lambda seen: seen == [(broker.address, b"welcome")])


def test_a_share_of_what_came_is_bounded_in_bytes_and_the_rest_comes_with_the_next(
    broker: Broker,
) -> None:
    links = Links(lambda host: (host,), LinkOptions(frame_bytes=1_000_000))
    try:
        links.connect(broker.address, now())
        until(links, lambda seen: (broker.address, True) in seen)
        links.send(broker.address, b"hello")
        routing, _ = broker.socket.recv_multipart()
        sent = [bytes([n]) * 400_000 for n in range(10)]
        for frame in sent:
            broker.socket.send_multipart([routing, frame])
        shares: list[list[bytes]] = []
        deadline = time.monotonic() + 10
        while sum(map(len, shares)) < len(sent):
            assert time.monotonic() < deadline
            ready = links.poll(1_000)
            shares += [[frame for _, frame in links.frames(each)] for each in ready]
        assert [frame for share in shares for frame in share] == sent
        assert max(sum(map(len, share)) for share in shares) < 2_000_000
        assert links.poll(0) == []
    finally:
        links.close()


def test_nothing_is_to_be_tended_while_all_is_well(links: Links, broker: Broker) -> None:
    told = [links.restless]
    links.connect(broker.address, now())
    told.append(links.restless)
    until(links, lambda seen: (broker.address, True) in seen)
    told.append(links.restless)
    broker.socket.unbind(f"tcp://{broker.address}")
    broker.socket.close()
    until(links, lambda seen: (broker.address, False) in seen)
    told.append(links.restless)
    assert told == [False, True, False, True]


def test_a_connection_that_is_lost_is_told_and_takes_nothing(links: Links, broker: Broker) -> None:
    links.connect(broker.address, now())
    until(links, lambda seen: (broker.address, True) in seen)
    broker.socket.unbind(f"tcp://{broker.address}")
    broker.socket.close()
    until(links, lambda seen: (broker.address, False) in seen)
    # libzmq's thread tells of it before it closes the pipe: what is sent in between is lost like
    # what was on its way.
    until(links, lambda _seen: not links.send(broker.address, b"too late"))


def test_what_cannot_be_opened_is_told_once_and_opened_when_there_is_room(
    links: Links, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN_MS", 1)
    room = [False]

    def needs_room(_files: int) -> None:
        if not room[0]:
            raise FULL

    monkeypatch.setattr(module, "_room", needs_room)
    links.connect(broker.address, now())
    links.connect(broker.address, now())
    ((address, why),) = links.unopened()
    assert address == broker.address
    assert why == "cannot open a connection: Too many open files"
    room[0] = True
    until(links, lambda seen: (broker.address, True) in seen)
    assert links.unopened()[-1] == (broker.address, "")


def test_without_room_for_its_own_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_files: int) -> None:
        raise FULL

    monkeypatch.setattr(module, "_room", full)
    with pytest.raises(OSError, match="Too many open files"):
        Links(lambda host: (host,), OPTIONS)
