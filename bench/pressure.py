"""What clients and workers that never read cost a broker's memory.

They speak the protocol, give signs of life, and leave what comes alone. The broker is asked by the
kernel's own count of its resident memory, at its peak: over the peak of a round of the same work
with ones who read, on the same broker before.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

import zmq

from bench.harness import Figures, Peak, client, cluster, leader
from bench.tasks import inflate, swallow
from raftwork import App, Run
from raftwork.features import to_broker
from raftwork.features.results import Watch
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    Heartbeat,
    Ping,
    ToBroker,
    WorkerHello,
)
from raftwork.testing.processes import LocalCluster

#: Bytes of a result or an argument, and how many of them.
SIZE = 512 * 1024
COUNT = 600
#: How many never read.
CROWDS = (1, 4)
#: In one enqueue. Many more in one write is a pause in which a broker may lose the lead, and who
#: does not say hello again its session.
BATCH = 8
#: Seconds for which memory is looked at after all was enqueued.
LOOK = 8.0
_LOCK = threading.Lock()


class Scene(Protocol):
    """Enter it and `crowd` of them are at it; they have all that they get."""

    def __call__(
        self, made: LocalCluster, app: App, crowd: int
    ) -> AbstractContextManager[None]: ...


class Kind(NamedTuple):
    name: str
    reading: Scene
    deaf: Scene


def main() -> Figures:
    figures = Figures("pressure")
    for kind in (
        Kind("client that never reads", _clients, _deaf_clients),
        Kind("worker that never reads", _workers, _deaf_workers),
    ):
        for crowd in CROWDS:
            _measure(figures, kind, crowd)
    figures.save()
    return figures


def _measure(figures: Figures, kind: Kind, crowd: int) -> None:
    with cluster(brokers=1, workers=1, pool="thread", concurrency=2) as made, client(made) as app:
        broker = leader(made)
        assert broker is not None
        pids = {broker: made.children[broker].pid}
        with Peak(pids) as reading, kind.reading(made, app, crowd):
            pass
        with Peak(pids) as deaf, kind.deaf(made, app, crowd):
            time.sleep(LOOK)
        before, most = reading.mb[broker], deaf.mb[broker]
        what = f"{COUNT} × {SIZE // 1024} KiB for each; one broker"
        figures.add(f"{crowd} × {kind.name}", most - before, "MB more", what, reading=before)


def _batches(crowd: int) -> list[int]:
    return [min(BATCH, COUNT - first) for first in range(0, COUNT, BATCH)] * crowd


# ---- clients -----------------------------------------------------------------------------------


@contextmanager
def _clients(made: LocalCluster, app: App, crowd: int) -> Iterator[None]:
    del made
    task = app.named(inflate.name)
    for count in _batches(crowd):
        for run in task.enqueue_many([(SIZE,)] * count):
            run.result(timeout=300)
    yield


@contextmanager
def _deaf_clients(made: LocalCluster, app: App, crowd: int) -> Iterator[None]:
    """Each watches results of its own, which come in while it does not read."""
    task = app.named(inflate.name)
    with _deaf_sockets(made, crowd) as sockets, _alive(sockets, Ping()):
        for socket in sockets:
            _say(socket, ClientHello(PROTOCOL))
            for number, count in enumerate(_batches(1), 1):
                runs = task.enqueue_many([(SIZE,)] * count)
                _say(socket, Watch(number, [run.id for run in runs]))
        runs[-1].result(timeout=300)
        yield


# ---- workers -----------------------------------------------------------------------------------


@contextmanager
def _workers(made: LocalCluster, app: App, crowd: int) -> Iterator[None]:
    del made
    for run in _swallow(app, "default", crowd):
        run.result(timeout=300)
    yield


@contextmanager
def _deaf_workers(made: LocalCluster, app: App, crowd: int) -> Iterator[None]:
    """Each has room for everything, and a pulse."""
    beat = Heartbeat(1, 0.1, 0.1, 0.1, 0, 0, False)
    with _deaf_sockets(made, crowd) as sockets, _alive(sockets, beat):
        for n, socket in enumerate(sockets):
            incarnation = f"deaf worker {n}".encode().ljust(16, b".")
            queue = f"deaf{n}"
            _say(
                socket,
                WorkerHello(PROTOCOL, queue, incarnation, 1, "h", 1, COUNT, [queue], [], False),
            )
        for n in range(crowd):
            _swallow(app, f"deaf{n}", 1)
        yield


def _swallow(app: App, queue: str, crowd: int) -> list[Run[int]]:
    task = app.named(swallow.name, queue=queue)
    return [run for count in _batches(crowd) for run in task.enqueue_many([(bytes(SIZE),)] * count)]


# ---- sockets -----------------------------------------------------------------------------------


@contextmanager
def _deaf_sockets(made: LocalCluster, crowd: int) -> Iterator[list["zmq.Socket[bytes]"]]:
    with zmq.Context() as context:
        sockets = []
        for _ in range(crowd):
            socket = context.socket(zmq.DEALER)
            socket.rcvhwm = 1  # its own libzmq reads ahead no more than this
            socket.linger = 0
            socket.connect(f"tcp://{made.brokers}")
            sockets.append(socket)
        try:
            yield sockets
        finally:
            for socket in sockets:
                socket.close()


@contextmanager
def _alive(sockets: list["zmq.Socket[bytes]"], sign: ToBroker) -> Iterator[None]:
    """A sign of life of each, twice a second."""
    over = threading.Event()

    def live() -> None:
        while not over.wait(0.5):
            for socket in sockets:
                _say(socket, sign)

    living = threading.Thread(target=live)
    living.start()
    try:
        yield
    finally:
        over.set()
        living.join()


def _say(socket: "zmq.Socket[bytes]", message: ToBroker) -> None:
    with _LOCK:  # signs of life come from a thread of their own
        socket.send(to_broker.encode(message))


if __name__ == "__main__":
    main()
