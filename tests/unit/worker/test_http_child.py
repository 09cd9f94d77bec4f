"""The process that answers HTTP for a worker: it is told what there is, and costs nothing more."""

import random
import socket
import subprocess
from collections.abc import Iterator
from typing import cast

import pytest

from raftwork.net.tended_child import AGAIN_MS
from raftwork.worker.agent import Agent, Identity
from raftwork.worker.http_child import EVERY_MS, HttpChild
from raftwork.worker.own_facts import OwnFacts, worker_facts
from raftwork.worker.pool.channel import receive
from raftwork.worker.pool.recycling import Deaths
from tests.unit.worker.idle_pool import IdlePool

IDENTITY = Identity("w", b"w" * 16, "h", 7, ("default",))


class Child:
    """In place of a process: it keeps its standard input."""

    def __init__(self, command: list[str], stdin: socket.socket) -> None:
        self.command = command
        self.stdin = stdin.dup()
        self.stdout = None
        self.returncode: int | None = None
        self.killed = False

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.killed = True

    def wait(self) -> None:
        assert self.killed


class Desk:
    def __init__(self) -> None:
        self.children: list[Child] = []
        self.told: list[str] = []
        self.agent = Agent(IDENTITY, ["127.0.0.1:1"], 1, 0, random.Random(1))
        facts = OwnFacts("w", 7, Deaths())
        self.child = HttpChild("127.0.0.1:7790", facts, self.told.append, self._spawn)

    def _spawn(self, command: list[str], **how: object) -> "subprocess.Popen[bytes]":
        self.children.append(Child(command, cast("socket.socket", how["stdin"])))
        return cast("subprocess.Popen[bytes]", self.children[-1])

    def tend(self, now: int) -> None:
        self.child.tend(self.agent, IdlePool(), now)

    def close(self) -> None:
        self.child.close()
        for each in self.children:
            each.stdin.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def test_it_is_told_once_a_second_what_the_worker_is(desk: Desk) -> None:
    desk.tend(5)
    assert desk.child.due_at == 5 + EVERY_MS
    (child,) = desk.children
    assert child.command[-1] == "127.0.0.1:7790"
    facts = worker_facts.decode(receive(child.stdin, socket.MSG_DONTWAIT))
    assert (facts.name, facts.pid, facts.slots) == ("w", 7, 1)


def test_one_that_does_not_read_holds_up_nothing(desk: Desk) -> None:
    for now in range(20_000):
        desk.tend(now)
    assert len(desk.children) == 1
    assert receive(desk.children[0].stdin, socket.MSG_DONTWAIT)


def test_one_that_ended_is_told_of_and_another_one_is_started(desk: Desk) -> None:
    desk.tend(0)
    desk.children[0].returncode = 1
    desk.tend(1_000)
    assert desk.told == ["it ended with status 1"]
    desk.tend(1_000 + AGAIN_MS)
    assert len(desk.children) == 2
    assert receive(desk.children[1].stdin, socket.MSG_DONTWAIT)


def test_it_ends_with_the_worker(desk: Desk) -> None:
    desk.tend(0)
    receive(desk.children[0].stdin)
    desk.child.close()
    assert desk.children[0].killed
    assert receive(desk.children[0].stdin) == b""
