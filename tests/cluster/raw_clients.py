"""A client without our library, for frames that it would never send."""

from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from raftwork.features import from_broker, to_broker
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    FromBroker,
    Refused,
)
from raftwork.wire import pack
from tests.cluster.harness import PATIENCE, Cluster


class RawClient:
    """A DEALER that says what it likes."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        address: str,
        *,
        name: bytes = b"",
        connect: bool = True,
    ) -> None:
        self.socket = context.socket(zmq.DEALER)
        if name:
            self.socket.setsockopt(zmq.IDENTITY, name)
        self.socket.linger = 0
        self.socket.rcvtimeo = self.socket.sndtimeo = int(PATIENCE * 1000)
        if connect:
            self.connect(address)

    def connect(self, address: str) -> None:
        self.socket.connect(f"tcp://{address}")

    def say(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def hear(self, *kinds: type[FromBroker]) -> FromBroker:
        """The next frame of one of these kinds."""
        while True:
            message = from_broker.decode(self.socket.recv())
            if isinstance(message, kinds):
                return message

    def refusal(self) -> Refused:
        message = self.hear(Refused)
        assert isinstance(message, Refused)
        return message


@contextmanager
def raw_client(cluster: Cluster, *, hello: bool = True) -> Iterator[RawClient]:
    with zmq.Context() as context:
        one = RawClient(context, cluster.local.addresses["solo"])
        if hello:
            one.say(to_broker.encode(ClientHello(PROTOCOL)))
        try:
            yield one
        finally:
            one.socket.close()


MALFORMED = [
    b"",
    b"\xc1",
    b"not msgpack at all",
    pack([]),
    pack(["3", 1]),
    pack([3, -1, 0, b"", b""]),
    pack([3, 1, 2**64 - 1, b"", b""]),
    pack([5, 1, "not a list"]),
    pack([5, 1, [1, 2]]),
    pack({"a": 1}),
    b"\xdd\xff\xff\xff\xff",  # an array of 2³² - 1 items that never come
    b"\x91" * 5000,  # nested too deep
    b"\xc9\xff\xff\xff\xff\x01",
]
