"""A worker's side of a conversation: say a fact, look at what the agent does about it."""

from random import Random
from typing import TypeVar

from raftwork.messages import (
    Beat,
    FromBroker,
    Leader,
    Outcome,
    Push,
    PushedTask,
    Report,
    Spec,
    ToBroker,
    WorkerHello,
    WorkerWelcome,
    encode_spec,
)
from raftwork.worker.agent import Agent, Identity, Turn
from raftwork.worker.pool import Running
from raftwork.worker.runner import Ended

A, B, C = "a:1", "b:1", "c:1"
T = TypeVar("T")


def task(token: int, timeout: int = 0) -> PushedTask:
    return PushedTask(token, f"id{token}", 1, encode_spec(Spec("t", "default", timeout)), b"")


class Conversation:
    """An agent, a clock in ms, and a pool that starts and ends only what the test says."""

    def __init__(self, slots: int = 2) -> None:
        self.now = 1_000
        self.slots = slots
        identity = Identity("w", b"i" * 16, "host", 7, ("default",))
        self.agent = Agent(identity, [A, B, C], slots, self.now, Random(1))
        self.sent: list[tuple[str, ToBroker]] = []
        self.started: list[int] = []
        self.stopped: set[int] = set()
        self.waiting: list[PushedTask] = []
        self.epoch = 0
        self.leader = A
        self.pushed = 0

    # ---- what the brokers say

    def hear(self, source: str, message: FromBroker) -> "Conversation":
        self.agent.receive(source, message, self.now)
        return self.turn()

    def join(self, leader: str = A, epoch: int = 1, stop: list[int] | None = None) -> None:
        """The broker leads, is said hello to, and welcomes."""
        self.epoch, self.leader, self.pushed = epoch, leader, 0
        self.hear(leader, Leader(epoch, leader[0], leader, True, 1))
        self.welcome(stop or [])

    def welcome(self, stop: list[int]) -> None:
        self.pushed = 0
        self.hear(self.leader, WorkerWelcome(self.epoch, self.session, stop))

    def push(self, *tasks: PushedTask) -> None:
        self.pushed += len(tasks)
        self.hear(self.leader, Push(self.epoch, self.session, list(tasks)))

    def beat(self, pushed: int | None = None) -> None:
        count = self.pushed if pushed is None else pushed
        self.hear(self.leader, Beat(self.epoch, self.session, count))

    # ---- what happens here

    def look(self, *running: Running) -> None:
        self.agent.look(list(running), self.slots, self.now)
        self.turn()

    def end(self, *tokens: int, elapsed: float = 100.0, data: bytes = b"v") -> None:
        """These tasks return after `elapsed` ms."""
        self.agent.ended(
            [Ended(Outcome(token, True, data), int(elapsed * 1e6)) for token in tokens], self.now
        )
        self.turn()

    def pass_time(self, ms: int, beating: bool = True) -> None:
        """Time passes in steps of what is due; the leader beats meanwhile (or is silent)."""
        until = self.now + ms
        while self.now < until:
            self.now = min(until, max(self.now + 1, self.agent.wake_at), self.now + 200)
            if beating and self.epoch:
                self.agent.receive(
                    self.leader, Beat(self.epoch, self.session, self.pushed), self.now
                )
            self.turn()

    def turn(self) -> "Conversation":
        self.perform(self.agent.turn(self.now))
        return self

    def perform(self, turn: Turn) -> None:
        self.sent += turn.send
        self.started += (task.token for task in turn.start)
        self.waiting += turn.start
        self.stopped |= turn.stop
        if turn.withdraw:
            gone, self.waiting = self.waiting, []
            self.agent.withdrawn(gone)
            self.turn()

    def begin(self, *tokens: int) -> None:
        """The pool begins these; the agent has looked."""
        self.waiting = [task for task in self.waiting if task.token not in tokens]
        self.look(*(Running(token, self.now) for token in tokens))

    def finished(self) -> bool:
        return self.agent.finished

    # ---- what was said

    @property
    def session(self) -> int:
        return self.all(WorkerHello)[-1].session

    def all(self, kind: type[T]) -> list[T]:
        return [message for _, message in self.sent if isinstance(message, kind)]

    def heard_by(self, broker: str, kind: type[T]) -> list[T]:
        return [m for to, m in self.sent if to == broker and isinstance(m, kind)]

    def reported(self) -> list[int]:
        """Tokens of all outcomes sent, in order, repetitions included."""
        return [outcome.token for report in self.all(Report) for outcome in report.outcomes]

    def released(self) -> list[int]:
        return [token for report in self.all(Report) for token in report.released]

    def forget(self) -> None:
        """Start afresh with what was said, hellos excepted."""
        self.sent = [item for item in self.sent if isinstance(item[1], WorkerHello)]
        self.started, self.stopped = [], set()
