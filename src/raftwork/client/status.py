"""Every broker's own facts, asked all at once over sockets that live as long as the question."""

import math
import time
from collections.abc import Sequence

import zmq

from raftwork.errors import BadMessage
from raftwork.messages import (
    FRAME_BYTES_MAX,
    PROTOCOL,
    BrokerStatus,
    ClientHello,
    HelloFirst,
    StatusRequest,
    from_broker,
    to_broker,
)

_HELLO = to_broker.encode(ClientHello(PROTOCOL))
_REQUEST = to_broker.encode(StatusRequest(1))


def gather(brokers: Sequence[str], timeout: float) -> dict[str, BrokerStatus | None]:
    """What each broker says of itself within `timeout` seconds; None for one that says nothing.

    The brokers are addresses `host:port`; the answers come in their order.
    """
    answers: dict[str, BrokerStatus | None] = dict.fromkeys(brokers)
    deadline = time.monotonic() + timeout
    with zmq.Context() as context:
        poller = zmq.Poller()
        asked = {}
        for address in answers:
            socket = _ask(context, address)
            asked[socket] = address
            poller.register(socket, zmq.POLLIN)
        while asked and (left := deadline - time.monotonic()) > 0:
            for ready, _ in poller.poll(math.ceil(left * 1000)):
                if status := _read(ready):
                    answers[asked.pop(ready)] = status
                    poller.unregister(ready)
                    ready.close()
        for socket in asked:
            socket.close()
    return answers


def _ask(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.maxmsgsize = FRAME_BYTES_MAX
    socket.ipv6 = address.startswith("[")
    socket.connect(f"tcp://{address}")
    # Queued until the connection stands: each is sent as soon as the broker can be reached.
    socket.send(_HELLO)
    socket.send(_REQUEST)
    return socket


def _read(socket: "zmq.Socket[bytes]") -> BrokerStatus | None:
    """The status, if it is that; the greeting's answers come first."""
    frames = socket.recv_multipart()
    if len(frames) != 1:
        return None
    try:
        message = from_broker.decode(frames[0])
    except BadMessage:
        return None
    if isinstance(message, HelloFirst):  # the broker came back between the two
        socket.send(_HELLO)
        socket.send(_REQUEST)
    return message if isinstance(message, BrokerStatus) else None
