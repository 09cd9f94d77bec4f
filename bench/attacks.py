"""`python -m bench.attacks ADDRESS,… --for S [--only NAME] [--overheard FILE]`: hostile input to
live brokers.

Each attack goes as fast as one thread can, up to a limit, against every broker in turn. None
sends what anybody who can connect may ask for with effect: spoilt requests that still are
well-formed ones are left out.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import zmq

from bench.harness import ROOT
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

    It waits while no broker takes more: who tried again and again would take a CPU from brokers
    that share the machine, and send them nothing more for it.
    """
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
        with suppress(OSError), _connect(address) as tcp:
            tcp.sendall(aim.rng.choice([*junk, aim.rng.randbytes(4_096)]))


def open_and_close(aim: Aim) -> None:
    for address in aim.steps():
        with suppress(OSError):
            greeted(address).close()


def idle_connections(aim: Aim) -> None:
    held: list[socket.socket] = []
    try:
        for number, address in enumerate(aim.steps()):
            if number >= IDLE:
                time.sleep(0.05)
                continue
            with suppress(OSError):
                held.append(_connect(address) if number % 2 else greeted(address))
    finally:
        for each in held:
            each.close()


def endless_message(aim: Aim) -> None:
    """A message of ever more parts that does not end."""
    part = b"\x03" + struct.pack(">Q", MIB) + bytes(MIB)
    for address in aim.steps():
        with suppress(OSError), greeted(address) as tcp:
            for _ in range(ENDLESS_MIB):
                tcp.sendall(part)
                time.sleep(MIB / RATE)


def _connect(address: str, timeout: float = 2.0) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout)


def greeted(address: str, name: bytes = b"", *, timeout: float = 2.0) -> socket.socket:
    """A connection on which ZeroMQ's handshake is over: frames may follow."""
    tcp = _connect(address, timeout)
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
def attacked(addresses: list[str], overheard: Path, only: str | None = None) -> Iterator[int]:
    """These brokers are under attack, by the process of this id, while it is entered."""
    flags = [*("--overheard", str(overheard)), *(("--only", only) if only else ())]
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
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    overheard = frames_in(options.overheard)
    aim = Aim(
        options.addresses.split(","),
        overheard,
        lambda: time.monotonic() > until,
        random.Random(secrets.randbits(64)),
    )
    chosen = [options.only] if options.only else list(ATTACKS)
    threads = [threading.Thread(target=ATTACKS[name], args=(aim,)) for name in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
