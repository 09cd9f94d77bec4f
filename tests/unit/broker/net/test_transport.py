"""Reading from a socket: what has too many parts is skipped, a bounded piece at a time, and who
sends what it should not is read no more."""

import errno
import select
from collections import deque
from typing import cast

import pytest
import zmq

from raftwork.broker.events import Event
from raftwork.broker.net import transport as module
from raftwork.broker.net.disconnect_monitor import DisconnectMonitor
from raftwork.broker.net.protocol_violations import VIOLATIONS_MAX, ProtocolViolations
from raftwork.broker.net.sessions import End
from raftwork.broker.net.transport import (
    OUTBOX_BYTES,
    OUTBOXES_BYTES,
    PARTS_MAX,
    ROUTING_MAX,
    TURN_BYTES,
    TURN_SHARE,
    Inlet,
    Transport,
)
from raftwork.broker.peer_events import HostKnown, HostUnknown
from raftwork.net.dialling import Dial, Dialler, Unresolved
from raftwork.net.polling import SocketPoller
from raftwork.testing.processes import free_addresses

#: For what takes libzmq's thread a few milliseconds.
WAIT_MS = 5_000


class Part:
    """What libzmq hands over: a frame whose connection has no descriptor, as with ZMTP 1."""

    def __init__(self, data: bytes, *, more: bool) -> None:
        self.bytes, self.buffer, self.more = data, memoryview(data), more

    def __len__(self) -> int:
        return len(self.bytes)

    def get(self, option: int) -> int:
        assert option == zmq.SRCFD
        raise zmq.ZMQError(errno.EINVAL)


class Fake:
    """A socket with these messages waiting."""

    def __init__(self, *messages: list[bytes]) -> None:
        self._parts = deque(
            Part(data, more=number < len(parts))
            for parts in messages
            for number, data in enumerate(parts, 1)
        )
        self.read = 0

    @property
    def more(self) -> bool:
        return bool(self._parts)

    def recv(self, flags: int, *, copy: bool) -> Part:
        assert flags == zmq.NOBLOCK
        assert not copy
        if not self._parts:
            raise zmq.Again
        self.read += 1
        return self._parts.popleft()


class Looking(SocketPoller):
    def more(self, socket: object) -> bool:
        assert isinstance(socket, Fake)
        return socket.more


def inlet(fake: Fake) -> Inlet:
    return Inlet(cast("zmq.Socket[bytes]", fake), Looking())


def whole(one: Inlet) -> list[list[bytes]]:
    """All that waits, as far as it is no message too long."""
    came = []
    while (parts := one.receive()) is not None:
        came.append([part.bytes for part in parts])
    return [parts for parts in came if parts and len(parts) <= PARTS_MAX]


def test_messages_come_whole_and_in_order() -> None:
    assert whole(inlet(Fake([b"a", b"b"], [b"c"]))) == [[b"a", b"b"], [b"c"]]


def test_no_call_reads_more_than_a_few_parts() -> None:
    fake = Fake([b"x"] * 1_000, [b"a", b"b"])
    one = inlet(fake)
    calls = 0
    while one.receive() is not None:
        calls += 1
        assert fake.read <= (PARTS_MAX + 1) * calls
    assert fake.read == 1_002


def test_the_end_of_a_message_that_is_too_long_is_no_message() -> None:
    for length in range(PARTS_MAX + 1, 4 * PARTS_MAX):
        assert whole(inlet(Fake([b"x"] * length, [b"a", b"b"]))) == [[b"a", b"b"]], length


class NoDisconnects(DisconnectMonitor):
    """Of connections that are never seen to close."""

    def __init__(self) -> None:
        self.known = set()

    def note(self, routing: bytes, descriptor: int) -> None:
        assert descriptor == -1

    def read(self) -> bool:
        return True

    def drain(self) -> list[bytes]:
        return []


class Read(Transport):
    """Wires without sockets, on which these messages wait."""

    def __init__(self, *messages: list[bytes]) -> None:
        self._violations, self._disconnects = ProtocolViolations(), NoDisconnects()
        self._closing = {}
        self._port = 1
        self.wait(*messages)

    def wait(self, *messages: list[bytes]) -> None:
        self._inlet = inlet(Fake(*messages))

    def turn(self) -> list[tuple[bytes, bytes]]:
        return [(routing, bytes(frame)) for routing, frame, _ in self.from_anyone()]


def test_a_turn_ends_when_one_connection_had_its_share() -> None:
    loud, quiet = [[b"loud", b"x"]] * 1_000, [[b"quiet", b"y"]] * (TURN_SHARE // 2)
    alike = [message for pair in zip(loud, quiet, strict=False) for message in pair]
    came = Read(*alike, *loud).turn()
    assert came.count((b"loud", b"x")) == TURN_SHARE
    assert came.count((b"quiet", b"y")) == len(quiet)


def test_a_turn_ends_after_so_many_bytes() -> None:
    half = bytes(TURN_BYTES // 2)
    assert len(Read(*[[b"a", half]] * 5).turn()) == 2


def test_who_has_sent_enough_that_is_no_frame_is_read_no_more() -> None:
    transport = Read(*[[b"bad", b"x"], [b"good", b"y"]] * (VIOLATIONS_MAX + 2))
    came = []
    for routing, frame, _ in transport.from_anyone():
        came.append((routing, bytes(frame)))
        if routing == b"bad":
            transport.count_violation(routing)
    assert came.count((b"bad", b"x")) == VIOLATIONS_MAX
    assert came.count((b"good", b"y")) == VIOLATIONS_MAX + 2
    transport.wait([b"bad", b"x"], [b"good", b"y"])
    assert transport.turn() == [(b"good", b"y")]
    assert transport.why_closed(b"bad") is End.PROTOCOL


def test_messages_of_too_many_parts_are_offences_too() -> None:
    transport = Read(
        *[[b"bad", b"x", b"y", b"z", b"z", b"z", b"z"]] * VIOLATIONS_MAX, [b"bad", b"fine"]
    )
    assert transport.turn() == []


def test_a_turn_of_what_is_skipped_is_bounded_too() -> None:
    transport = Read()
    transport._violations.count_violation(b"bad", VIOLATIONS_MAX)
    transport.wait(*[[b"bad", b"x"]] * (TURN_SHARE + 5))
    assert transport.turn() == []
    assert transport._inlet.receive() is not None


def test_a_name_of_megabytes_is_not_even_looked_at() -> None:
    long, longest = b"x" * (ROUTING_MAX + 1), b"y" * ROUTING_MAX
    assert Read([long, b"a"], [longest, b"b"], [long, b"c"]).turn() == [(longest, b"b")]


# ---- outboxes


class Write(Transport):
    """Wires without sockets, whose connections take nothing until they are said to."""

    def __init__(self) -> None:
        self._outboxes, self._waiting, self._lost = {}, 0, []
        self._closing = {}
        self._violations = ProtocolViolations()
        self.takes: dict[bytes, bool | None] = {}

    def send_or_drop(self, routing: bytes, frame: bytes) -> bool | None:
        return self.takes.get(routing, False)


MIB = bytes(1024 * 1024)


def test_who_does_not_read_is_given_up_at_its_limit() -> None:
    transport = Write()
    for _ in range(OUTBOX_BYTES // len(MIB)):
        transport.send(b"deaf", MIB)
    assert transport.tidy() == []
    transport.send(b"deaf", b"x")
    assert transport.tidy() == [b"deaf"]
    assert transport.why_closed(b"deaf") is End.SLOW
    assert transport.why_closed(b"deaf") is End.DISCONNECTED, "it is told once"
    assert transport.outbox_bytes == 0
    assert transport.writable(b"deaf")
    assert transport._violations.suspect(b"deaf")


def test_why_connections_are_closed_is_kept_of_some_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSING_MAX", 2)
    transport = Write()
    for routing in (b"1", b"2", b"3"):
        for _ in range(OUTBOX_BYTES // len(MIB) + 1):
            transport.send(routing, MIB)
    assert [transport.why_closed(each) for each in (b"1", b"2", b"3")] == [
        *(End.DISCONNECTED, End.SLOW, End.SLOW)
    ]


def test_a_consensus_message_that_does_not_leave_is_said_to_be_dropped() -> None:
    transport = Write()
    transport.takes = {b"a": True, b"b": False, b"c": None}
    assert [transport.send_or_drop(each, b"x") for each in (b"a", b"b", b"c")] == [
        *(True, False, None)
    ]
    assert not transport.congested


def test_of_many_who_do_not_read_the_one_with_most_is_given_up() -> None:
    transport = Write()
    transport.send(b"worst", MIB * 20)
    for number in range(OUTBOXES_BYTES // len(MIB) - 20):
        transport.send(b"%d" % (number % 100), MIB)
    assert transport.tidy() == []
    transport.send(b"0", b"x")
    assert transport.tidy() == [b"worst"]
    for _ in range(20):
        transport.send(b"another", MIB)
    assert transport.tidy() == [b"another"], "what was given up no longer counts"


def test_what_was_sent_after_all_or_lost_no_longer_counts() -> None:
    transport = Write()
    for _ in range(100):
        transport.takes = {}
        for routing in (b"a", b"b", b"c"):
            transport.send(routing, MIB * 8)
        transport.takes = {b"a": True, b"b": None}
        transport.tidy()
        assert transport.writable(b"a")
        assert transport.writable(b"b")
        assert not transport.writable(b"c")
        transport.takes = {b"c": True}
        transport.tidy()
        assert not transport.congested
    assert transport.tidy() == []
    assert transport._waiting == 0


def test_a_frame_that_the_socket_refuses_is_the_end_of_that_connection_alone() -> None:
    """Whatever libzmq says of it: others are sent what waits for them."""

    class Refusing:
        def __init__(self) -> None:
            self.sent: list[bytes] = []
            self.full = True

        def send(self, part: bytes, flags: int) -> None:
            if flags & zmq.SNDMORE:
                if self.full:
                    raise zmq.Again
                if part == b"odd":
                    raise zmq.ZMQError(errno.EINVAL)
                self.sent.append(part)

    router = Refusing()
    transport = object.__new__(Transport)
    transport._send = router.send  # type: ignore[assignment]
    transport._poller = SocketPoller()
    transport._router = cast("zmq.Socket[bytes]", router)
    transport._outboxes, transport._lost, transport._waiting = {}, [], 0
    transport.send(b"odd", b"x")
    transport.send(b"even", b"x")
    router.full = False
    assert transport.tidy() == [b"odd"]
    assert router.sent == [b"even"]


def test_whose_hosts_name_is_not_known_and_is_known_again_is_told() -> None:
    class Told:
        def due(self, now: int) -> list[Dial]:
            return []

        def unresolved(self) -> list[Unresolved]:
            return [Unresolved("b", "cannot resolve"), Unresolved("b", "")]

    class NoneClose:
        def tend(self, now: int) -> bool:
            return False

    transport = object.__new__(Transport)
    transport._disconnects = cast("DisconnectMonitor", NoneClose())
    transport._dialler = cast("Dialler", Told())
    told: list[Event] = []
    transport.tell = told.append
    transport.tend(0)
    assert told == [HostUnknown("b", "cannot resolve"), HostKnown("b")]


def test_with_patience_frames_of_other_brokers_wait_for_others() -> None:
    (address,) = free_addresses(1)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    other, client = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    port = other.bind_to_random_port("tcp://127.0.0.1")
    transport = Transport(address, {"b": f"127.0.0.1:{port}"}, 0)
    try:
        while list(transport.link_changes(0)) != [("b", True)]:
            transport.poll(WAIT_MS, anyone=True)
        transport.send_peer("b", b"hello")
        routing, _ = other.recv_multipart()
        transport.poll(0, anyone=True)
        other.send_multipart([routing, b"late"])
        assert select.select([int(transport._dealers["b"].getsockopt(zmq.FD))], [], [], 5)[0]
        client.connect(f"tcp://{address}")
        client.send(b"prompt")
        ready: list[object] = []
        while transport.anyone not in ready:  # it may be told first of what it listens at
            ready = transport.poll(WAIT_MS, anyone=True, patience=WAIT_MS)
            assert transport._dealers["b"] not in ready
        late = transport.from_peers(transport.late())
        assert [(name, bytes(frame)) for name, frame in late] == [("b", b"late")]
    finally:
        transport.close(0)
        context.destroy(linger=0)
