"""What is said for a worker whose process was killed: that it is gone, with all that it ran.

A connection that closed may come back, so the brokers wait for that. But the fork server of the
process pool outlives the worker, sees its end, and has killed whatever ran for it: nobody will come
back, and the tasks may run elsewhere at once. It says so with a hello of the worker's last session
and a goodbye, to all brokers, as the leader is not known here. If none hears it, as they wait they
lose nothing.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from typing import cast

import zmq

from raftwork.addresses import parse_address
from raftwork.errors import BadMessage
from raftwork.features import from_broker, to_broker
from raftwork.keys import Key, decoded
from raftwork.messages import (
    LAST_SESSION,
    PROTOCOL,
    PROTOCOL_OLDEST,
    Goodbye,
    Holding,
    WorkerHello,
    WorkerWelcome,
)
from raftwork.net.dialling import endpoint
from raftwork.net.resolving import look_up
from raftwork.worker.agent import Identity

#: For a leader to hear it, s.
_PATIENCE_S = 1.0


def send_notice(
    identity: Identity,
    brokers: Sequence[str],
    running: Sequence[Holding],
    key: Key | None = None,
) -> None:
    """Tell the leader, whichever broker that is, that this worker's process is gone.

    `running` are the tasks whose code ran as it ended, and runs no more. Returns once it was heard,
    or after a second. Never raises.
    """
    words = notice(identity, running)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    poller = zmq.Poller()
    # Which broker has which key is not known here: each is tried at each address.
    expected = [None] if key is None else key.broker_keys
    for address, public in product(brokers, expected):
        with suppress(OSError):  # a host without an address, no more files: there are others
            dealer: zmq.Socket[bytes] = context.socket(zmq.DEALER)
            if key is not None and public is not None:
                dealer.curve_publickey, dealer.curve_secretkey = decoded(key.public), key.secret
                dealer.curve_serverkey = decoded(public)
            poller.register(dealer, zmq.POLLIN)
            _speak(dealer, address, words)
    with suppress(OSError):  # libzmq's errors are such, too
        _await_welcome(poller)
    context.destroy(linger=0)


def notice(identity: Identity, running: Sequence[Holding]) -> list[bytes]:
    """The frames that say so, in order."""
    hello = WorkerHello(
        PROTOCOL,
        identity.name,
        identity.incarnation,
        LAST_SESSION,
        identity.host,
        identity.pid,
        0,
        list(identity.queues),
        list(running),
        draining=True,
        oldest=PROTOCOL_OLDEST,
    )
    return [to_broker.encode(hello), to_broker.encode(Goodbye(LAST_SESSION, lost=True))]


def _speak(dealer: "zmq.Socket[bytes]", address: str, words: Sequence[bytes]) -> None:
    host, port = parse_address(address)
    chosen = look_up(host)[0]
    dealer.ipv6 = ":" in chosen
    dealer.connect(endpoint(chosen, port))
    for frame in words:
        dealer.send(frame, zmq.NOBLOCK)


def _await_welcome(poller: zmq.Poller) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while (left := deadline - time.monotonic()) > 0:
        for dealer, _ in poller.poll(int(left * 1_000) + 1):
            frame = cast("zmq.Socket[bytes]", dealer).recv()
            with suppress(BadMessage):
                if isinstance(from_broker.decode(frame), WorkerWelcome):
                    return
