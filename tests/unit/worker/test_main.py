"""The loop around a worker's agent."""

import errno
import socket
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

import pytest
import zmq

from raftwork.features import from_broker, to_broker
from raftwork.features.task_log import FollowLogs, Tail, TellLog
from raftwork.messages import (
    Beat,
    FromBroker,
    Heartbeat,
    Leader,
    Outcome,
    Ping,
    Push,
    PushedTask,
    Report,
    WorkerHello,
    WorkerWelcome,
)
from raftwork.net import links
from raftwork.net.links import Link
from raftwork.worker import main
from raftwork.worker.agent import Identity
from raftwork.worker.main import Worker, now_ms
from raftwork.worker.runner import Ended
from raftwork.worker.task_lines import line_of
from tests.unit.worker.idle_pool import IdlePool
from tests.unit.worker.pool.drive import job


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


# ---- turns


class Scripted(IdlePool):
    """A pool that notes how often it is asked, and what it is given."""

    slots = 2

    def __init__(self) -> None:
        self._readable, self._writable = socket.socketpair()
        self.wakers = [self._readable.fileno()]
        self.asked = 0
        self.given: list[PushedTask] = []
        self.ends: list[Ended] = []

    def start(self, tasks: Collection[PushedTask]) -> None:
        self.given += tasks

    def collect(self) -> list[Ended]:
        self.asked += 1
        out, self.ends = self.ends, []
        if out:
            self._readable.recv(64)
        return out

    def end(self, *tokens: int) -> None:
        self.ends += [Ended(Outcome(token, True, b""), 1_000) for token in tokens]
        self._writable.send(b"x")

    def close(self) -> None:
        self._readable.close()
        self._writable.close()


class Desk:
    """A worker whose turns are taken by hand, and the broker that it speaks with."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self.router.linger = 0
        address = f"127.0.0.1:{self.router.bind_to_random_port('tcp://127.0.0.1')}"
        self.pool = Scripted()
        self.worker = Worker(Identity("w", b"w" * 16, "h", 1, ("default",)), [address], self.pool)
        while not isinstance(frame := self._next(), Heartbeat):
            self._answer(frame, address)

    def _next(self) -> object:
        """Take turns until a frame has come."""
        while not self.router.poll(1):
            self.worker._turn()
        return self.read()

    def _answer(self, frame: object, address: str) -> None:
        """Each time that it is asked: a worker that was not answered soon asks again, and anew."""
        if isinstance(frame, Ping):
            self.say(Leader(1, "a", address, True, 1))
        elif isinstance(frame, WorkerHello):
            self.session = frame.session
            self.say(WorkerWelcome(1, self.session, []))

    def read(self) -> object:
        self.routing, frame = self.router.recv_multipart()
        return to_broker.decode(frame)

    def say(self, *frames: FromBroker) -> None:
        for frame in frames:
            self.router.send_multipart([self.routing, from_broker.encode(frame)])

    def push(self, *tokens: int) -> Push:
        return Push(1, self.session, [job(token, "t") for token in tokens])

    def close(self) -> None:
        self.worker._close()
        self.context.destroy(linger=0)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the loop waits for more to come together."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def test_a_turn_that_only_brings_frames_does_not_look_into_the_pool(desk: Desk) -> None:
    desk.worker._collect_at = desk.worker._agent.heartbeat_at = now_ms() + 3_600_000
    asked = desk.pool.asked
    desk.say(desk.push(7))
    while not desk.pool.given:
        desk.worker._turn()
    assert desk.pool.asked == asked
    desk.pool.end(7)
    desk.worker._turn()
    assert desk.pool.asked == asked + 1
    assert desk.router.poll(5_000), "the report leaves in the turn in which the task ended"
    report = desk.read()
    assert isinstance(report, Report)
    assert [outcome.token for outcome in report.outcomes] == [7]


def test_the_last_lines_of_a_task_that_is_followed_go_before_its_outcome(desk: Desk) -> None:
    """Or who follows it would be told that it has ended, and ask for no more."""
    desk.worker._agent.heartbeat_at = now_ms() + 3_600_000
    desk.say(desk.push(7), FollowLogs(1, desk.session, [Tail(7, 0)]))
    assert isinstance(first := desk._next(), TellLog)
    assert (first.token, first.lines) == (7, [])
    desk.pool.notes.log(7, line_of("last", now_ms()))
    desk.worker._tails.look_at = now_ms() + 3_600_000
    desk.pool.end(7)
    assert isinstance(told := desk._next(), TellLog)
    assert [line.data for line in told.lines] == [b"last"]
    assert isinstance(desk._next(), Report)


def test_a_task_alone_never_waits_for_others(desk: Desk, pauses: list[float]) -> None:
    desk.say(Beat(1, desk.session, 0), desk.push(1), Beat(1, desk.session, 1))
    while not desk.pool.given:
        desk.worker._turn()
    desk.pool.end(1)
    desk.say(Beat(1, desk.session, 1), Beat(1, desk.session, 1))
    while desk.worker._agent.unfinished():
        desk.worker._turn()
    assert pauses == []


def test_with_more_tasks_than_slots_what_ends_is_reported_together(
    desk: Desk, pauses: list[float]
) -> None:
    desk.say(desk.push(1, 2, 3, 4))
    while len(desk.pool.given) < 4:
        desk.worker._turn()
    desk.pool.end(1, 2)
    while len(desk.worker._agent.unfinished()) == 4:
        desk.worker._turn()
    assert pauses == [], "as many are left as there are slots"
    desk.say(desk.push(5, 6, 7, 8))
    while len(desk.pool.given) < 8:
        desk.worker._turn()
    desk.pool.end(3, 4)
    while len(desk.worker._agent.unfinished()) == 6:
        desk.worker._turn()
    assert len(pauses) == 1
