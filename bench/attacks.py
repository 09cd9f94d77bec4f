"""`python -m bench.attacks ADDRESS,… --for S [--only NAME] [--overheard FILE] [--key FILE]`:
hostile input to live brokers.

Each attack goes as fast as one thread can, up to a limit, against every broker in turn. None
sends what anybody who can connect may ask for with effect: spoilt requests that still are
well-formed ones are left out.

With --key the brokers have keys, and the attackers none that is let in: who sends frames comes by
turns without one, and with one that is unknown. --counted FILE tells how many connections there
were so far.
"""

import argparse
import random
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count, cycle
from pathlib import Path
from typing import NamedTuple

import zmq

from bench.harness import ROOT
from bench.keyed import stranger
from bench.overheard import frames_in
from raftwork.broker.machine import ClusterSettings
from raftwork.errors import BadMessage, PayloadTooLarge, ProtocolError
from raftwork.features import from_broker, to_broker
from raftwork.features.dead_letters import PurgeDead, RetryDead
from raftwork.features.drain import DrainWorker
from raftwork.features.enqueue import Enqueue
from raftwork.features.queue_settings import SetQueue
from raftwork.features.results import Ask, Watch
from raftwork.features.task_batch import read_spec, read_tasks
from raftwork.keys import Key, decoded, read_key
from raftwork.messages import (
    FRAME_BYTES_MAX,
    PROTOCOL,
    ClientHello,
    PeerHello,
    PeerMessage,
    Ping,
    Report,
    Spec,
    StatusRequest,
    ToBroker,
    WorkerHello,
    encode_spec,
)
from raftwork.wire import pack

MIB = 1024 * 1024
#: Idle connections: half of them speak ZeroMQ, half say nothing at all.
IDLE = 1_000
#: What one endless message grows to before its connection is closed: nothing else ends it.
ENDLESS_MIB = 32
#: Bytes that one thread sends a second at the most, so that it measures brokers, not loopback.
RATE = 64 * MIB


class Aim(NamedTuple):
    """What an attack has: where to, what was overheard of honest ones, and when it is over."""

    addresses: list[str]
    overheard: list[bytes]
    over: Callable[[], bool]
    rng: random.Random
    #: What anybody may know of brokers that have keys.
    known: Key | None = None
    #: The address of this machine that they come from; empty: any.
    source: str = ""
    #: Counts connections.
    counter: "count[int]" = count()

    def connect(self, address: str) -> socket.socket:
        next(self.counter)
        return _connect(address, source=self.source)

    def greeted(self, address: str) -> socket.socket:
        next(self.counter)
        return greeted(address, source=self.source)

    def steps(self) -> Iterator[str]:
        """Addresses in turn, until it is over."""
        for address in cycle(self.addresses):
            if self.over():
                return
            yield address


# ---- attacks with frames -----------------------------------------------------------------------


def random_frames(aim: Aim) -> None:
    _flood(aim, lambda: [aim.rng.randbytes(aim.rng.randrange(2_000))])


def spoilt_frames(aim: Aim) -> None:
    """Real ones, cut off and with bits flipped."""

    def spoilt() -> list[bytes]:
        while True:
            frame = bytearray(aim.rng.choice(aim.overheard)[:4_000])
            for _ in range(aim.rng.randrange(1, 5)):
                frame[aim.rng.randrange(len(frame))] ^= 1 << aim.rng.randrange(8)
            if aim.rng.random() < 0.3:
                del frame[aim.rng.randrange(1, len(frame) + 1) :]
            if not _well_formed_request(bytes(frame)):
                return [bytes(frame)]

    _flood(aim, spoilt)


def replayed_frames(aim: Aim) -> None:
    """A client's, a worker's and, as far as they do not name the cluster's secret, a peer's."""
    peers = [
        to_broker.encode(PeerHello(PROTOCOL, consensus, name, b"i" * 16, secret, 0))
        for consensus in ("raft", "zab")
        for name in "abc"
        for secret in (b"", secrets.token_bytes(16))
    ]
    peers.append(from_broker.encode(PeerMessage(b"i" * 16, bytes(100))))
    _flood(aim, lambda: [aim.rng.choice(aim.overheard if aim.rng.random() < 0.8 else peers)])


def huge_counts(aim: Aim) -> None:
    ids = [str(n) for n in range(50_000)]
    spec = encode_spec(Spec("bench.noop", "default"))
    frames = [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        to_broker.encode(Watch(1, ids)),
        to_broker.encode(Ask(2, ids)),
        to_broker.encode(Enqueue(3, 0, spec, pack([[id_, b""] for id_ in ids]))),
        to_broker.encode(Report(1, [], [], list(range(100_000)), 2**62)),
    ]
    _flood(aim, lambda: [aim.rng.choice(frames)])


def deep_nesting(aim: Aim) -> None:
    frames = [b"\x91" * 100_000, b"\x81\x01" * 100_000, pack([3, 1, 0, b"\x91" * 5_000, b""])]
    _flood(aim, lambda: [aim.rng.choice(frames)])


def many_parts(aim: Aim) -> None:
    _flood(aim, lambda: [b"x"] * 10_000)


def frames_at_the_limit(aim: Aim) -> None:
    frame = bytes(FRAME_BYTES_MAX)
    _flood(aim, lambda: [frame])


def never_reads(aim: Aim) -> None:
    """It asks and asks, and says hello again if it was cut off."""
    questions: list[ToBroker] = [
        ClientHello(PROTOCOL),
        Ping(),
        StatusRequest(1),
        Ask(2, [str(n) for n in range(1_000)]),
    ]
    frames = [to_broker.encode(question) for question in questions]
    _flood(aim, lambda: [aim.rng.choice(frames)], reads=False)


def _flood(aim: Aim, make: Callable[[], list[bytes]], *, reads: bool = True) -> None:
    """Messages to every broker, as a client that said hello; what is answered is thrown away.

    Of brokers that have keys it gets no further than their door. It waits while no broker takes
    more: who tried again and again would take a CPU from brokers that share the machine, and send
    them nothing more for it.
    """
    if aim.known is not None:
        _knock(aim, aim.known, make)
        return
    with zmq.Context() as context:
        sockets = [_dealer(context, address, reads=reads) for address in aim.addresses]
        poller = zmq.Poller()
        for each in sockets:
            poller.register(each, zmq.POLLOUT | (zmq.POLLIN if reads else 0))
        try:
            began, sent = time.monotonic(), 0
            while not aim.over():
                for each, ready in poller.poll(50):
                    if ready & zmq.POLLOUT:
                        message = make()
                        with suppress(zmq.Again):
                            each.send_multipart(message, zmq.NOBLOCK)
                            sent += sum(map(len, message))
                    while ready & zmq.POLLIN and each.poll(0):
                        each.recv_multipart()
                if (ahead := sent / RATE - (time.monotonic() - began)) > 0:
                    time.sleep(ahead)
        finally:
            for each in sockets:
                each.close()


def _knock(aim: Aim, known: Key, make: Callable[[], list[bytes]]) -> None:
    """The same, by who has no key, and by who has one that is not let in, each time anew."""
    mine = stranger(known)
    servers = [public for publics in known.brokers.values() for public in publics]
    with zmq.Context() as context:
        for number, address in enumerate(aim.steps()):
            next(aim.counter)
            dealer = context.socket(zmq.DEALER)
            dealer.linger, dealer.immediate = 0, 1
            if number % 2:
                dealer.curve_publickey, dealer.curve_secretkey = decoded(mine.public), mine.secret
                dealer.curve_serverkey = decoded(servers[number % len(servers)])
            ended = dealer.get_monitor_socket(
                zmq.EVENT_HANDSHAKE_SUCCEEDED
                | zmq.EVENT_HANDSHAKE_FAILED_AUTH
                | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
                | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
                | zmq.EVENT_DISCONNECTED
            )
            dealer.connect(f"tcp://{aim.source}:0;{address}" if aim.source else f"tcp://{address}")
            ended.poll(50)
            with suppress(zmq.Again):  # nobody takes it, unless the door is open
                dealer.send_multipart(make(), zmq.NOBLOCK, copy=False)
            dealer.disable_monitor()
            dealer.close()


def _dealer(
    context: "zmq.Context[zmq.Socket[bytes]]", address: str, *, reads: bool
) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.DEALER)
    socket.linger, socket.sndhwm = 0, 100
    socket.reconnect_ivl = 1  # whoever is cut off comes again at once
    if not reads:
        socket.rcvhwm = 1
    socket.connect(f"tcp://{address}")
    socket.send(to_broker.encode(ClientHello(PROTOCOL)))
    return socket


def _well_formed_request(frame: bytes) -> bool:
    """Whether these bytes ask for a change that anybody may ask for."""
    try:
        message = to_broker.decode(frame)
    except BadMessage:
        return False
    if isinstance(message, Enqueue):
        try:
            read_spec(message.spec, ClusterSettings())
            read_tasks(message.tasks, ClusterSettings())
        except (ProtocolError, PayloadTooLarge):
            return False
        return True
    return isinstance(message, SetQueue | DrainWorker | RetryDead | PurgeDead | WorkerHello)


# ---- attacks on the wire -----------------------------------------------------------------------


def not_zeromq(aim: Aim) -> None:
    junk = [b"GET / HTTP/1.0\r\n\r\n", bytes(64), b"\xff" * 64]
    for address in aim.steps():
        with suppress(OSError), aim.connect(address) as tcp:
            tcp.sendall(aim.rng.choice([*junk, aim.rng.randbytes(4_096)]))


def open_and_close(aim: Aim) -> None:
    for address in aim.steps():
        with suppress(OSError):
            aim.greeted(address).close()


def idle_connections(aim: Aim) -> None:
    held: list[socket.socket] = []
    try:
        for number, address in enumerate(aim.steps()):
            if number >= IDLE:
                time.sleep(0.05)
                continue
            with suppress(OSError):
                held.append((aim.connect if number % 2 else aim.greeted)(address))
    finally:
        for each in held:
            each.close()


def endless_message(aim: Aim) -> None:
    """A message of ever more parts that does not end."""
    part = b"\x03" + struct.pack(">Q", MIB) + bytes(MIB)
    for address in aim.steps():
        with suppress(OSError), aim.greeted(address) as tcp:
            for _ in range(ENDLESS_MIB):
                tcp.sendall(part)
                time.sleep(MIB / RATE)


def _connect(address: str, timeout: float = 2.0, source: str = "") -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout, (source, 0) if source else None)


def greeted(
    address: str, name: bytes = b"", *, timeout: float = 2.0, source: str = ""
) -> socket.socket:
    """A connection on which ZeroMQ's handshake is over: frames may follow."""
    tcp = _connect(address, timeout, source)
    try:
        tcp.sendall(b"\xff" + bytes(8) + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + bytes(32))
        left = 64
        while left and (got := tcp.recv(left)):
            left -= len(got)
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
        if name:
            ready += b"\x08Identity" + struct.pack(">I", len(name)) + name
        tcp.sendall(b"\x04" + bytes([len(ready)]) + ready)
    except OSError:
        tcp.close()
        raise
    return tcp


Attack = Callable[[Aim], None]
ATTACKS: dict[str, Attack] = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        random_frames,
        spoilt_frames,
        replayed_frames,
        huge_counts,
        deep_nesting,
        many_parts,
        endless_message,
        frames_at_the_limit,
        never_reads,
        idle_connections,
        open_and_close,
        not_zeromq,
    )
}


@contextmanager
def attacked(
    addresses: list[str], overheard: Path, only: str | None = None, flags: Sequence[str] = ()
) -> Iterator[int]:
    """These brokers are under attack, by the process of this id, while it is entered."""
    flags = ["--overheard", str(overheard), *(("--only", only) if only else ()), *flags]
    command = [sys.executable, "-m", "bench.attacks", ",".join(addresses), *flags]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process.pid
            assert process.poll() is None, "the attacker has ended by itself"
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("addresses")
    parser.add_argument("--for", dest="seconds", type=float, default=3600.0)
    parser.add_argument("--only", choices=ATTACKS)
    parser.add_argument("--overheard", type=Path, required=True)
    parser.add_argument("--key", help="of anybody who knows the brokers'")
    parser.add_argument("--source", default="", help="the address they come from")
    parser.add_argument("--counted", type=Path)
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    overheard = frames_in(options.overheard)
    aim = Aim(
        options.addresses.split(","),
        overheard,
        lambda: time.monotonic() > until,
        random.Random(secrets.randbits(64)),
        read_key(options.key) if options.key else None,
        options.source,
        count(),
    )
    chosen = [options.only] if options.only else list(ATTACKS)
    threads = [threading.Thread(target=ATTACKS[name], args=(aim,)) for name in chosen]
    for thread in threads:
        thread.start()
    while options.counted and any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        unfinished = options.counted.with_suffix(".new")
        unfinished.write_text(repr(aim.counter)[len("count(") : -1])
        unfinished.replace(options.counted)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
