"""A live worker under a broker that says anything: it goes on, stays small, and works for an honest
one afterwards."""

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import zmq

from raftwork.errors import BadMessage
from raftwork.features import from_broker, to_broker
from raftwork.features.results import Results
from raftwork.messages import (
    FRAME_BYTES_MAX,
    PAYLOAD_MAX,
    Acknowledged,
    Beat,
    Code,
    Drain,
    FromBroker,
    HelloFirst,
    Leader,
    PeerMessage,
    Ping,
    Push,
    PushedTask,
    Refused,
    Report,
    Result,
    Spec,
    State,
    Stop,
    WorkerHello,
    WorkerWelcome,
    encode_spec,
)
from raftwork.testing.processes import Child
from raftwork.wire import pack
from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import PATIENCE, Cluster
from tests.cluster.raw_clients import MALFORMED

MIB = 1024 * 1024
ADD = encode_spec(Spec("add", "default"))
UNTIL = encode_spec(Spec("until", "default"))
#: The lowest there is: the honest leader that comes later has a higher one.
EPOCH = 0


class Impostor:
    """A ROUTER at a broker's address. A worker takes it for the leader; then it misbehaves."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.sndtimeo = int(PATIENCE * 1000)
        self._socket.sndhwm = 4  # what waits is to wait at the worker
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.bind(f"tcp://{address}")
        self._routing = b""
        self.released: set[int] = set()
        self.session = 0

    def close(self) -> None:
        """Give the address back: a socket does so some time after its own end."""
        self._socket.close()
        self._context.term()

    def welcome(self) -> WorkerHello:
        """Until the worker has said hello; what it said."""
        while True:
            assert self._socket.poll(int(PATIENCE * 1000)), "the worker does not say hello"
            hello = self._answer()
            if hello is not None:
                return hello

    def say(self, *messages: FromBroker | bytes) -> None:
        """Frames, or bytes that are none; what the worker says meanwhile is answered."""
        for each in messages:
            frame = each if isinstance(each, bytes) else from_broker.encode(each)
            # It is gone for a moment after a frame over the limit.
            with suppress(zmq.ZMQError):
                self._socket.send_multipart([self._routing, frame])
            while self._socket.poll(0):
                self._answer()

    def say_parts(self, count: int) -> None:
        with suppress(zmq.ZMQError):
            self._socket.send_multipart([self._routing, *[b""] * count])

    def cut(self) -> None:
        """Say what no connection survives, and hear out what was on its way."""
        with self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED) as closed:
            self.say(bytes(FRAME_BYTES_MAX + 1))
            assert closed.poll(int(PATIENCE * 1000)), "a frame over the limit is taken"
            self._socket.disable_monitor()
        while self._socket.poll(0):
            self._answer()

    def wait_for_release(self, token: int) -> None:
        """Until the worker has handed this one back."""
        while token not in self.released:
            assert self._socket.poll(int(PATIENCE * 1000)), f"{token} is not handed back"
            self._answer()

    def _answer(self) -> WorkerHello | None:
        self._routing, frame = self._socket.recv_multipart()
        message = to_broker.decode(frame)
        if isinstance(message, Ping):
            self._send(Leader(EPOCH, "solo", self._address, True, 1))
        elif isinstance(message, WorkerHello):
            self.session = message.session
            self._send(WorkerWelcome(EPOCH, message.session, []))
            return message
        if isinstance(message, Report):
            self.released.update(message.released)
        return None

    def _send(self, message: FromBroker) -> None:
        with suppress(zmq.ZMQError):
            self._socket.send_multipart([self._routing, from_broker.encode(message)])


@pytest.fixture
def solo(make_cluster: MakeCluster) -> Cluster:
    """One broker that does not run yet."""
    return make_cluster(("solo",))


@pytest.fixture
def impostor(solo: Cluster) -> Iterator[Impostor]:
    """At the address of the broker."""
    made = Impostor(solo.local.addresses["solo"])
    try:
        yield made
    finally:
        made.close()


def start_worker(solo: Cluster) -> Child:
    return solo.local.start_worker(
        "w1", "tests.cluster.tasks:app", "--pool", "thread", "--concurrency", "2"
    )


def pushed(*tokens: int, spec: bytes = ADD, payload: bytes = b"") -> list[PushedTask]:
    return [PushedTask(token, f"t{token}", 1, spec, payload) for token in tokens]


def peak(worker: Child) -> int:
    """The most bytes it ever had resident."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def real(session: int) -> list[FromBroker]:
    """What a leader says every day; of tasks that this worker does not have."""
    return [
        Push(EPOCH, session, pushed(1, 2, 3, payload=pack([[1, 2], {}]))),
        Push(EPOCH, session, pushed(4, spec=b"no spec")),
        Stop(EPOCH, session, [1, 2]),
        Acknowledged(EPOCH, session, [1, 2, 3, 4]),
        Beat(EPOCH, session, 3),
        Beat(EPOCH, session + 1, 3),
        HelloFirst(),
        Leader(EPOCH, "solo", "127.0.0.1:1", False, 0),
        Refused(0, Code.PROTOCOL, "no"),
    ]


def nonsense(session: int) -> list[FromBroker]:
    """Well-formed, and not for a worker, or about what there is not."""
    many = list(range(2**60, 2**60 + 100_000))
    return [
        Acknowledged(EPOCH, session, many),
        Stop(EPOCH, session, many),
        Push(EPOCH, session, pushed(*range(1_000, 20_000), spec=b"")),
        Beat(EPOCH, session, 2**62),
        Results([Result("x", State.SUCCEEDED, b"")] * 1_000),
        PeerMessage(b"b" * 16, b"vote for me"),
        WorkerWelcome(EPOCH, 2**62, many),
        *(Leader(EPOCH + 1, "b", f"127.0.0.1:{port}", False, 0) for port in range(1, 200)),
        Leader(EPOCH + 1, "b", "no address", False, 0),
    ]


def spoilt(rng: random.Random, session: int) -> bytes:
    """One of the real ones, cut or with bits flipped.

    What it still says must not be what any leader may say with effect: that it leads a later epoch,
    or that the worker is to drain.
    """
    while True:
        frame = bytearray(from_broker.encode(rng.choice(real(session))))
        for _ in range(rng.randrange(1, 4)):
            frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
        del frame[rng.randrange(1, len(frame) + 1) :]
        try:
            message = from_broker.decode(bytes(frame))
        except BadMessage:
            return bytes(frame)
        if not isinstance(message, Leader | WorkerWelcome | Drain):
            return bytes(frame)


def test_a_worker_outlives_a_broker_that_says_anything_and_works_for_an_honest_one(
    solo: Cluster, impostor: Impostor
) -> None:
    worker = start_worker(solo)
    impostor.welcome()
    before = peak(worker)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(3):
        session = impostor.session
        impostor.say(*MALFORMED, *nonsense(session))
        impostor.say(*(os.urandom(rng.randrange(200)) for _ in range(500)))
        impostor.say(*(spoilt(rng, session) for _ in range(3_000)))
        impostor.say(*[each for each in real(session) for _ in range(50)])  # replayed
        impostor.say_parts(20_000)
        impostor.say(*[bytes(FRAME_BYTES_MAX)] * 10)
        assert worker.alive, worker.tail()
    impostor.cut()
    impostor.welcome()
    assert peak(worker) - before < 400 * MIB
    impostor.close()
    solo.start()
    assert solo.app.enqueue("add", 1, 2).result(timeout=PATIENCE) == 3
    assert worker.alive
    log = worker.log.read_text()
    assert "Traceback" not in log
    assert len(log) < 100_000, "it must not fill the disk with complaints"


def test_a_worker_takes_no_more_and_nothing_larger_than_a_leader_would_push(
    solo: Cluster, impostor: Impostor
) -> None:
    worker = start_worker(solo)
    impostor.welcome()
    before = peak(worker)
    for token in range(1, 60):
        huge = pushed(token, spec=UNTIL, payload=pack([["x" * 16 * PAYLOAD_MAX], {}]))
        impostor.say(Push(EPOCH, impostor.session, huge))
    impostor.say(Push(EPOCH, impostor.session, pushed(*range(100, 100_000), spec=UNTIL)))
    impostor.wait_for_release(99_999)
    assert impostor.released >= set(range(1, 60)), "what is too large does not even run"
    assert peak(worker) - before < 400 * MIB
    impostor.close()
    solo.start()
    assert solo.app.enqueue("add", 1, 2).result(timeout=PATIENCE) == 3


def test_a_program_that_had_a_brokers_port_for_a_while_cuts_nobody_off_from_it(
    cluster: Cluster,
) -> None:
    cluster.start_worker("w1", "--pool", "thread")
    assert cluster.app.enqueue("add", 1, 2).result(timeout=PATIENCE) == 3
    leader, (broker, third) = cluster.ranks()
    cluster.kill(broker)
    with database(cluster.local.addresses[broker]) as served:
        # The other brokers, the worker, this client: libzmq asks each once, and never again.
        cluster.wait_until(lambda: served() >= 4, "everybody has asked it")
    cluster.restart(broker)
    cluster.wait_for_caught_up(broker)
    cluster.kill(third)
    assert cluster.app.enqueue("add", 2, 2).result(timeout=PATIENCE) == 4
    cluster.restart(third)
    cluster.wait_for_caught_up(third)
    cluster.kill(leader)
    cluster.kill(third)
    cluster.restart(third)  # it cannot lead before the broker in question hears of it, and votes
    assert cluster.app.enqueue("add", 3, 2).result(timeout=PATIENCE) == 5


@contextmanager
def database(address: str) -> Iterator[Callable[[], int]]:
    """It greets whoever comes, as MySQL does: no ZeroMQ at all. Gives how many came so far."""
    host, port = address.split(":")
    asked = 0
    with socket.create_server((host, int(port))) as listener:

        def serve() -> None:
            nonlocal asked
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.sendall(b"\x4a\0\0\0\x0a8.0.33\0" + bytes(67))
                        asked += 1

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield lambda: asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()
