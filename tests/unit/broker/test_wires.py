"""Reading from a socket: what has too many parts is skipped, a bounded piece at a time."""

from collections import deque
from typing import cast

import zmq

from raftwork.broker.wires import PARTS_MAX, TURN_BYTES, TURN_SHARE, Inlet, Wires


class Fake:
    """A socket with these messages waiting."""

    def __init__(self, *messages: list[bytes]) -> None:
        self._messages = deque(deque(parts) for parts in messages)
        self._more = False
        self.read = 0

    def recv(self, flags: int = 0) -> bytes:
        if not self._messages:
            raise zmq.Again
        self.read += 1
        part = self._messages[0].popleft()
        self._more = bool(self._messages[0])
        if not self._more:
            self._messages.popleft()
        return part

    def getsockopt(self, option: int) -> int:
        assert option == zmq.RCVMORE
        return int(self._more)


def inlet(fake: Fake) -> Inlet:
    return Inlet(cast("zmq.Socket[bytes]", fake))


def test_messages_come_whole_and_in_order() -> None:
    one = inlet(Fake([b"a", b"b"], [b"c"]))
    assert [one.receive(), one.receive(), one.receive()] == [[b"a", b"b"], [b"c"], None]


def test_no_call_reads_more_than_a_few_parts() -> None:
    fake = Fake([b"x"] * 1_000, [b"a", b"b"])
    one = inlet(fake)
    came = []
    while (parts := one.receive()) is not None:
        came.append(parts)
        assert fake.read <= (PARTS_MAX + 1) * len(came)
    assert [parts for parts in came if parts] == [[b"a", b"b"]]


def test_the_end_of_a_message_that_is_too_long_is_no_message() -> None:
    for length in range(PARTS_MAX + 2, 4 * PARTS_MAX):
        one = inlet(Fake([b"x"] * length, [b"a", b"b"]))
        came = [parts for _ in range(length) if (parts := one.receive())]
        assert came == [[b"a", b"b"]], length


def turn(*messages: list[bytes]) -> list[tuple[bytes, bytes]]:
    wires = object.__new__(Wires)  # without its sockets
    wires._inlet = inlet(Fake(*messages))
    return list(wires.from_anyone())


def test_a_turn_ends_when_one_connection_had_its_share() -> None:
    loud, quiet = [[b"loud", b"x"]] * 1_000, [[b"quiet", b"y"]] * (TURN_SHARE // 2)
    alike = [message for pair in zip(loud, quiet, strict=False) for message in pair]
    came = turn(*alike, *loud)
    assert came.count((b"loud", b"x")) == TURN_SHARE
    assert came.count((b"quiet", b"y")) == len(quiet)


def test_a_turn_ends_after_so_many_bytes() -> None:
    half = bytes(TURN_BYTES // 2)
    assert len(turn(*[[b"a", half]] * 5)) == 2
