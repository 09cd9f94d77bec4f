"""The loop around a worker's agent."""

import errno
import threading
from typing import Any

import pytest
import zmq

from raftwork.features import to_broker
from raftwork.messages import Ping
from raftwork.net import links
from raftwork.net.links import Link
from raftwork.worker import main
from raftwork.worker.agent import Identity
from raftwork.worker.main import Worker
from tests.unit.worker.idle_pool import IdlePool


def test_counts_of_folded_lines_are_written_although_nothing_else_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They came with the next line, which may be hours later."""
    passed: list[int] = []
    monkeypatch.setattr(main, "pass_time", lambda: passed.append(1), raising=False)
    worker = Worker(Identity("w", b"w" * 16, "h", 1, ("default",)), ["127.0.0.1:1"], IdlePool())
    worker.interrupt()
    worker.run()
    assert passed


def test_a_worker_that_cannot_open_a_connection_says_so_and_opens_it_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its tasks may have all files open. It ended where that was so at its start."""
    failures = iter([OSError(errno.EMFILE, "Too many open files")])

    def crowded(*arguments: Any) -> Link:
        for error in failures:
            raise error
        return Link(*arguments)

    monkeypatch.setattr(links, "_AGAIN_MS", 20)
    monkeypatch.setattr(links, "Link", crowded)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as broker:
        broker.linger = 0
        address = f"127.0.0.1:{broker.bind_to_random_port('tcp://127.0.0.1')}"
        worker = Worker(Identity("w", b"w" * 16, "h", 1, ("default",)), [address], IdlePool())
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            assert broker.poll(10_000), "it says nothing"
            assert to_broker.decode(broker.recv_multipart()[1]) == Ping()
        finally:
            worker.interrupt()
            worker.interrupt()
            thread.join(10)
    assert f"broker {address}: cannot open a connection: Too many open files" in caplog.text
