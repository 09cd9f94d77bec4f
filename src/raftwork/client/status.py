"""Every broker's own facts, asked all at once over sockets that live as long as the question."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import zmq

from raftwork.addresses import dialled
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
#: Brokers that are asked because others named them: a hostile one could name ever new ones.
_NAMED_MAX = 32


@dataclass(slots=True)
class Answers:
    """What came, by the address that was asked, in the order of asking."""

    #: None for a broker that said nothing.
    statuses: dict[str, BrokerStatus | None] = field(default_factory=dict)
    #: Why one could not even be asked.
    failures: dict[str, str] = field(default_factory=dict)


def gather(brokers: Sequence[str], timeout: float, *, follow: bool = False) -> Answers:
    """What each broker says of itself within `timeout` seconds.

    The brokers are addresses `host:port`. With `follow` those that the answers name are asked,
    too, each within that time.
    """
    asking = _Asking()
    try:
        for address in brokers:
            asking.ask(address, timeout)
        while asking.open and (left := asking.left()) > 0:
            for status in asking.wait(left):
                for _, address in status.cluster if follow else ():
                    if len(asking.answers.statuses) < len(brokers) + _NAMED_MAX:
                        asking.ask(address, timeout)
    finally:
        asking.close()
    return asking.answers


class _Asking:
    """The sockets."""

    def __init__(self) -> None:
        self.answers = Answers()
        #: The address behind each socket on which an answer is still to come, and until when.
        self.open: dict[zmq.Socket[bytes], tuple[str, float]] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()

    def ask(self, address: str, timeout: float) -> None:
        if address in self.answers.statuses or not dialled(address):
            return
        self.answers.statuses[address] = None
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.maxmsgsize = FRAME_BYTES_MAX
        socket.ipv6 = address.startswith("[")
        socket.connect(f"tcp://{address}")
        # Queued until the connection stands: each is sent as soon as the broker can be reached.
        socket.send(_HELLO)
        socket.send(_REQUEST)
        self.open[socket] = (address, time.monotonic() + timeout)
        self._poller.register(socket, zmq.POLLIN)

    def left(self) -> float:
        """Seconds until the last of them has had its time."""
        return max(until for _, until in self.open.values()) - time.monotonic()

    def wait(self, seconds: float) -> list[BrokerStatus]:
        came = []
        for ready, _ in self._poller.poll(math.ceil(seconds * 1000)):
            if status := _read(ready):
                address, _ = self.open.pop(ready)
                self.answers.statuses[address] = status
                self._poller.unregister(ready)
                ready.close()
                came.append(status)
        return came

    def close(self) -> None:
        for socket in self.open:
            socket.close()
        self._context.term()


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
