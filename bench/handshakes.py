"""`python -m bench.handshakes ADDRESS,… --key FILE --connections N [--seconds S] [--only NAME]`:
strangers at the door of brokers that have keys.

Nobody here has a key that is let in. Each attack makes so many connections, as fast as one thread
can, to every broker in turn; what they do ends a broker that has no keys, or tries to. It prints
how many connections were made.
"""

import argparse
import random
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from typing import NamedTuple

import zmq

from bench.keyed import stranger
from raftwork.keys import Key, decoded, read_key

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"
READY = b"\x04\x19\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
PING = b"\x04\x07\x04PING\x00\x00"
#: Connections that stay open, and say nothing more, of those that wait.
HELD = 500
#: Connections between two looks at the clock, by one that goes on for some time.
STEP = 300
#: A broker slows who comes too often; whoever has not made all of his connections by then gives up.
SECONDS_MAX = 40.0


class Aim(NamedTuple):
    """Where to, how often, and the brokers' public keys, as anybody may know them."""

    addresses: list[str]
    connections: int
    known: Key
    rng: random.Random
    #: The address of this machine that they come from.
    source: str
    #: No connection begins after that (monotonic s): those who are slowed would take hours.
    until: float

    def steps(self) -> Iterator[tuple[str, int]]:
        """An address and its port, so many times, or until it is over."""
        for _, address in zip(range(self.connections), cycle(self.addresses), strict=False):
            if time.monotonic() > self.until:
                return
            host, _, port = address.rpartition(":")
            yield host, int(port)


def _connect(aim: Aim, at: tuple[str, int], *, reset: bool) -> socket.socket:
    made = socket.create_connection(at, timeout=5, source_address=(aim.source, 0))
    if reset:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return made


def _greeting(mechanism: bytes, *, server: bool = False) -> bytes:
    return GREETING + mechanism.ljust(20, b"\0") + bytes([server]) + bytes(31)


def pings_and_a_reset(aim: Aim) -> int:
    """What ends a broker without keys: it answers a ping as the connection is reset."""
    return _say(aim, lambda: _greeting(b"NULL") + READY + PING * 100, reset=lambda: True)


def broken_handshakes(aim: Aim) -> int:
    """Each stage of a CURVE handshake, spoilt in another way; half of them are reset."""
    rng = aim.rng
    curve = _greeting(b"CURVE")

    def hello(version: bytes = b"\x01\x00", box: int = 80) -> bytes:
        command = b"\x05HELLO" + version + bytes(72) + rng.randbytes(32 + 8 + box)
        return _command(command)

    def initiate(cookie: int = 96) -> bytes:
        return _command(b"\x08INITIATE" + rng.randbytes(cookie + 8 + 144))

    kinds: list[Callable[[], bytes]] = [
        lambda: curve,
        lambda: curve + hello(),
        lambda: curve + hello(version=b"\x09\x09"),
        lambda: curve + hello(box=10),
        lambda: curve + hello()[: rng.randrange(200)],
        lambda: curve + initiate(),
        lambda: curve + hello() + initiate(),
        lambda: curve + hello() + hello(),
        lambda: curve + READY,
        lambda: curve + PING * 10,
        lambda: curve + b"\x00\x05hello",
        lambda: curve + b"\x06" + struct.pack(">Q", 1 << 62) + bytes(100),
        lambda: _greeting(b"CURVE", server=True) + hello(),
        lambda: _greeting(rng.choice([b"PLAIN", b"GSSAPI", b"", b"\xff" * 20])) + hello(),
        lambda: b"\xff" + bytes(8) + b"\x7f\x01\x05" + bytes(50),
        lambda: rng.randbytes(rng.randrange(1, 400)),
    ]
    return _say(aim, lambda: rng.choice(kinds)(), reset=lambda: rng.random() < 0.5)


def connections_that_wait(aim: Aim) -> int:
    """Half a greeting, and then nothing: a broker ends them after its time for handshakes."""
    held: list[socket.socket] = []
    count = 0
    for at in aim.steps():
        with suppress(OSError):
            made = _connect(aim, at, reset=False)
            count += 1
            made.sendall(GREETING[: aim.rng.randrange(1, 12)])
            held.append(made)
        if len(held) > HELD:
            held.pop(0).close()
    for each in held:
        each.close()
    return count


def unknown_keys(aim: Aim) -> int:
    """Whole handshakes by keys that are not let in, made anew now and then."""
    servers = [public for publics in aim.known.brokers.values() for public in publics]
    return _whole(aim, lambda number: _curve(stranger(aim.known), servers, number))


def no_keys(aim: Aim) -> int:
    """ZeroMQ's own sockets, without a key."""
    return _whole(aim, lambda _: lambda _socket: None)


def _curve(mine: Key, servers: list[str], number: int) -> Callable[["zmq.Socket[bytes]"], None]:
    def arm(dealer: "zmq.Socket[bytes]") -> None:
        dealer.curve_publickey, dealer.curve_secretkey = decoded(mine.public), mine.secret
        dealer.curve_serverkey = decoded(servers[number % len(servers)])

    return arm


def _whole(aim: Aim, key: Callable[[int], Callable[["zmq.Socket[bytes]"], None]]) -> int:
    """Sockets of libzmq's, each closed once its handshake has failed, or after 50 ms."""
    count = 0
    with zmq.Context() as context:
        arm = key(0)
        for number, (host, port) in enumerate(aim.steps()):
            if number % 50 == 0:
                arm = key(number)
            dealer = context.socket(zmq.DEALER)
            dealer.linger = 0
            arm(dealer)
            failed = dealer.get_monitor_socket(
                zmq.EVENT_HANDSHAKE_FAILED_AUTH
                | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
                | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
                | zmq.EVENT_DISCONNECTED
            )
            dealer.connect(f"tcp://{aim.source}:0;{host}:{port}")
            with suppress(zmq.Again):
                dealer.send(b"\x91\x01", zmq.NOBLOCK)
            failed.poll(50)
            dealer.disable_monitor()
            dealer.close()
            count += 1
    return count


def _command(body: bytes) -> bytes:
    return (
        b"\x04" + bytes([len(body)]) + body
        if len(body) < 256
        else b"\x06" + struct.pack(">Q", len(body)) + body
    )


def _say(aim: Aim, make: Callable[[], bytes], *, reset: Callable[[], bool]) -> int:
    count = 0
    for at in aim.steps():
        with suppress(OSError), _connect(aim, at, reset=reset()) as made:
            count += 1
            made.sendall(make())
            if count % 4 == 0:
                made.settimeout(0.02)
                made.recv(4_096)
    return count


ATTACKS: dict[str, Callable[[Aim], int]] = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        pings_and_a_reset,
        broken_handshakes,
        connections_that_wait,
        no_keys,
        unknown_keys,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("addresses")
    parser.add_argument("--key", required=True, help="of anybody who knows the brokers'")
    parser.add_argument("--connections", type=int, required=True, help="of each attack")
    parser.add_argument("--source", default="127.0.0.1", help="the address they come from")
    parser.add_argument("--seconds", type=float, default=0.0, help="go on for so long, at least")
    parser.add_argument("--only", choices=ATTACKS)
    options = parser.parse_args()
    known = read_key(options.key)
    addresses = options.addresses.split(",")
    counts: list[int] = []

    def run(attack: Callable[[Aim], int]) -> None:
        rng = random.Random(secrets.randbits(64))
        began = time.monotonic()
        until = began + max(options.seconds, SECONDS_MAX)
        aim = Aim(addresses, options.connections, known, rng, options.source, until)
        counts.append(attack(aim))
        while time.monotonic() < began + options.seconds:
            counts.append(attack(aim._replace(connections=STEP)))

    chosen = [options.only] if options.only else list(ATTACKS)
    threads = [threading.Thread(target=run, args=(ATTACKS[name],)) for name in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts), flush=True)


if __name__ == "__main__":
    main()
