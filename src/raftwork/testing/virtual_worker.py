"""A worker inside this process: a real one's agent, and a pool of one slot that runs inline."""

import asyncio
import contextvars
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import count
from random import Random

from raftwork.messages import FromBroker, Leader, PushedTask, ToBroker
from raftwork.testing.virtual_cluster import WORKER_NAME, VirtualCluster
from raftwork.worker.agent import Agent, Identity, Turn
from raftwork.worker.notices import LocalNotices
from raftwork.worker.pool import Running
from raftwork.worker.runner import Ended, Registry, Runner
from raftwork.worker.task_notes import Board, Courier

_ADDRESS = "127.0.0.1:1"
_routes = count(1)


class _InlinePool:
    """One slot: a task runs when `run` is called. See `Pool`."""

    slots = 1
    wakers: Sequence[int] = ()

    def __init__(self, registry: Registry, settle: Callable[[], None], now: Callable[[], int]):
        self.notes = Board(settle)
        self.notices = LocalNotices()
        self._runner = Runner(registry, WORKER_NAME, self.notices, self.notes)
        self._now = now
        self._waiting: deque[PushedTask] = deque()
        self._running: Running | None = None
        self._ended: list[Ended] = []

    def start(self, tasks: Collection[PushedTask]) -> None:
        self._waiting.extend(tasks)

    def collect(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        self.notices.forget(ended)
        self.notes.forget([each.outcome.token for each in ended])
        return ended

    def running(self) -> list[Running]:
        return [] if self._running is None else [self._running]

    def withdraw(self) -> list[PushedTask]:
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def cancel(self, tokens: Collection[int]) -> list[PushedTask]:
        unstarted = [task for task in self._waiting if task.token in tokens]
        self._waiting = deque(task for task in self._waiting if task.token not in tokens)
        self.notices.ask(set(tokens) - {task.token for task in unstarted})
        return unstarted

    def drain(self) -> None: ...

    def stop(self, tokens: Collection[int]) -> None:
        self._waiting = deque(task for task in self._waiting if task.token not in tokens)

    def close(self) -> None:
        self._runner.close()

    def take(self) -> PushedTask | None:
        """The task that runs next."""
        if not self._waiting:
            return None
        task = self._waiting.popleft()
        self._running = Running(task.token, self._now())
        return task

    def run(self, task: PushedTask) -> None:
        """Run its code to its end."""
        ended = _apart(self._runner, task)  # whose code may bring about a `collect`
        self._ended.append(ended)
        self._running = None


def _apart(runner: Runner, task: PushedTask) -> Ended:
    """Run it here; in a thread of its own where an event loop runs, which runs no second one."""
    if not _in_a_loop():
        return runner.run_once(task)
    ended: list[Ended] = []
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: ended.append(context.run(runner.run_once, task)))
    thread.start()
    thread.join()
    return ended[0]


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class VirtualWorker:
    """One worker, from its hello to its goodbye."""

    def __init__(self, cluster: VirtualCluster, registry: Registry) -> None:
        self._cluster = cluster
        self._route = f"worker-{next(_routes)}".encode()
        self._queues = cluster.queues
        self._pool = _InlinePool(registry, cluster.settle, lambda: cluster.now)
        identity = Identity(
            *(WORKER_NAME, secrets.token_bytes(16), socket.gethostname(), os.getpid(), self._queues)
        )
        self._agent = Agent(identity, [_ADDRESS], 1, cluster.now, Random(0))
        self._courier = Courier(self._agent.session)
        # Before it is given anything: while it is at work, time does not pass for others.
        self._before = cluster.begin(self._route)
        with cluster.lock:
            cluster.join(self._route, self)
            self._agent.link_made(_ADDRESS, cluster.now)
            self.receive(Leader(1, "a", _ADDRESS, True, cluster.time))
            cluster.settle()

    def work(self, most: int) -> int:
        """Run what it is given, up to `most` tasks, until nothing more comes; then leave."""
        done = 0
        try:
            while done < most and (task := self._next()) is not None:
                self._cluster.runs(self._route, task.token)
                self._pool.run(task)
                done += 1
                self._cluster.settle()
        finally:
            self._leave()
            self._cluster.end(self._route, self._before)
        return done

    @property
    def serves_all(self) -> bool:
        """Whether it serves every queue that there is by now."""
        return self._queues == self._cluster.queues

    def _next(self) -> PushedTask | None:
        with self._cluster.lock:
            task = self._pool.take()
            if task is not None:
                self._agent.look(self._pool.running(), 1, self._cluster.now)
                self._cluster.settle()
            return task

    def _leave(self) -> None:
        with self._cluster.lock:
            self._agent.drain(self._cluster.now)
            self._cluster.settle()
            self._cluster.leave(self._route)
            self._cluster.settle()
        self._pool.close()

    def receive(self, frame: FromBroker) -> None:
        """See Connected."""
        self._agent.receive(_ADDRESS, frame, self._cluster.now)

    def turn(self) -> bool:
        """See Connected."""
        if self._agent.finished:
            return False
        now, agent, pool = self._cluster.now, self._agent, self._pool
        ended = pool.collect()
        self._courier.asked(pool.notes.asked(), now)
        self._courier.forget([each.outcome.token for each in ended])
        agent.ended(ended, now)
        if agent.verdicts:
            self._courier.answered(agent.verdicts, pool.notes)
        self._courier.said(pool.notes.said(), now)
        sent = self._perform(agent.turn(now))
        for note in self._courier.turn(now):
            self._send(note)
            sent = True
        return sent

    def _perform(self, turn: Turn) -> bool:
        for _, message in turn.send:
            self._send(message)
        pool = self._pool
        pool.start(turn.start)
        pool.stop(turn.stop)
        if turn.cancel:
            self._agent.unstarted(pool.cancel(turn.cancel))
        if turn.withdraw:
            self._agent.withdrawn(pool.withdraw())
        return bool(turn.send or turn.cancel or turn.withdraw)

    def _send(self, message: ToBroker) -> None:
        self._cluster.send(self._route, message)
