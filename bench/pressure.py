"""What a client and a worker that never read cost a broker's memory.

Both speak the protocol and then leave their sockets alone. The broker is asked by the kernel's own
count of its resident memory; `before` is after a round of the same work with ones who read.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq

from bench.harness import Figures, client, cluster, leader, rss_mb
from bench.tasks import inflate, swallow
from raftwork import App
from raftwork.cli.processes import LocalCluster
from raftwork.messages import (
    PROTOCOL,
    WATCH_IDS_MAX,
    ClientHello,
    Heartbeat,
    ToBroker,
    Watch,
    WorkerHello,
    to_broker,
)

#: Bytes of a result or an argument, and how many of them.
SIZE = 512 * 1024
COUNT = 1_500
#: How many never read.
CROWDS = (1, 4)
#: Seconds for which memory is looked at after all was enqueued.
LOOK = 8.0


def main() -> Figures:
    figures = Figures("pressure")
    for crowd in CROWDS:
        _measure(figures, f"{crowd} × client that never reads", crowd, _deaf_clients)
    for crowd in CROWDS:
        _measure(figures, f"{crowd} × worker that never reads", crowd, _deaf_workers)
    figures.save()
    return figures


Scene = Callable[[LocalCluster, App, int], Iterator[None]]


def _measure(figures: Figures, name: str, crowd: int, scene: Scene) -> None:
    """Resident memory before, at the most, and at the end."""
    with cluster(brokers=1, workers=1, pool="thread", concurrency=2) as made, client(made) as app:
        broker = leader(made)
        assert broker is not None
        pid = made.children[broker].pid
        task = app.named(inflate.name)
        for run in task.enqueue_many([(SIZE,)] * 50):
            run.result(timeout=60)
        before, most = rss_mb(pid), 0.0
        with contextmanager(scene)(made, app, crowd):
            until = time.monotonic() + LOOK
            while time.monotonic() < until:
                most = max(most, rss_mb(pid))
                time.sleep(0.05)
        what = f"{COUNT} × {SIZE // 1024} KiB for each; one broker"
        figures.add(name, most - before, "MB more", what, before=before, most=most)


def _deaf_clients(made: LocalCluster, app: App, crowd: int) -> Iterator[None]:
    """Each watches results of its own, which come in while it does not read."""
    task = app.named(inflate.name)
    with zmq.Context() as context:
        sockets = []
        for _ in range(crowd):
            socket = _deaf_socket(context, made)
            _say(socket, ClientHello(PROTOCOL))
            for first in range(0, COUNT, 30):  # an enqueue's answer is small, its results are not
                runs = task.enqueue_many([(SIZE,)] * min(30, COUNT - first))
                ids = [run.id for run in runs]
                assert len(ids) <= WATCH_IDS_MAX
                _say(socket, Watch(first + 1, ids))
            sockets.append(socket)
        runs[-1].result(timeout=300)
        yield
        for socket in sockets:
            socket.close(linger=0)


def _deaf_workers(made: LocalCluster, app: App, crowd: int) -> Iterator[None]:
    """Each has room for everything, and a pulse."""
    over = threading.Event()
    with zmq.Context() as context:
        sockets = [_deaf_socket(context, made) for _ in range(crowd)]
        for n, socket in enumerate(sockets):
            incarnation = f"deaf worker {n}".encode().ljust(16, b".")
            _say(
                socket,
                WorkerHello(
                    PROTOCOL, f"deaf{n}", incarnation, 1, "h", 1, COUNT, [f"deaf{n}"], [], False
                ),
            )
        beating = threading.Thread(target=_beat, args=(sockets, over))
        beating.start()
        for n in range(crowd):
            task = app.named(swallow.name, queue=f"deaf{n}")
            for first in range(0, COUNT, 30):
                task.enqueue_many([(bytes(SIZE),)] * min(30, COUNT - first))
        yield
        over.set()
        beating.join()
        for socket in sockets:
            socket.close(linger=0)


def _beat(sockets: list["zmq.Socket[bytes]"], over: threading.Event) -> None:
    while not over.wait(0.5):
        for socket in sockets:
            _say(socket, Heartbeat(1, 0.1, 0.1, 0.1, 0, 0, False))


def _deaf_socket(
    context: "zmq.Context[zmq.Socket[bytes]]", made: LocalCluster
) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.DEALER)
    socket.rcvhwm = 1  # its own libzmq reads ahead no more than this
    socket.connect(f"tcp://{made.brokers}")
    return socket


def _say(socket: "zmq.Socket[bytes]", message: ToBroker) -> None:
    socket.send(to_broker.encode(message))


if __name__ == "__main__":
    main()
