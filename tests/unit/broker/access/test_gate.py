"""What a frame's sender is refused, by its key."""

import pytest

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.gate import Gate, objection
from raftwork.features.cancel import CancelTasks, Scope
from raftwork.features.dead_letters import ListDead, PurgeDead
from raftwork.features.drain import DrainWorker
from raftwork.features.enqueue import Enqueue
from raftwork.features.pause_queue import PauseQueue
from raftwork.features.results import Watch
from raftwork.features.upgrade import FinishUpgrade
from raftwork.keys import Role
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    Code,
    PeerHello,
    Refused,
    Spec,
    ToBroker,
    WorkerHello,
    encode_spec,
)
from raftwork.wire import pack

ADMIN = Grant("ops", frozenset({Role.ADMIN}))
MAIL = Grant("mail", frozenset({Role.ADMIN, Role.WORKER}), ("mail.*", "bulk"))


def enqueue(queue: str, tasks: int = 1) -> Enqueue:
    packed = pack([["id", b""] for _ in range(tasks)])
    return Enqueue(7, 0, encode_spec(Spec("t", queue)), packed)


def worker(*queues: str) -> WorkerHello:
    return WorkerHello(PROTOCOL, "w", b"i" * 16, 1, "h", 1, 1, list(queues), [], draining=False)


def peer(name: str) -> PeerHello:
    return PeerHello(PROTOCOL, "raft", name, b"i" * 16, b"", 0)


def test_a_refusal_says_what_the_key_has_and_what_it_takes() -> None:
    reader = Grant("ada", frozenset({Role.READER}))
    refused = Gate().refusal(reader, enqueue("q"), 10, 0, leads=True)
    assert refused == Refused(
        7,
        Code.PERMISSION_DENIED,
        "the key ada has the role reader, and Enqueue takes admin or client",
    )
    hello = Gate().refusal(MAIL, peer("a"), 10, 0, leads=False)
    assert hello is not None
    assert hello.request == 0


def test_a_brokers_key_is_that_brokers() -> None:
    b = Grant("b", frozenset({Role.PEER}))
    assert objection(b, peer("b")) is None
    assert objection(b, peer("a")) is not None


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (enqueue("other"), "'other'"),
        (worker("mail.in", "other"), "'other'"),
        (PauseQueue(1, "mail", 0), "'mail'"),
        (ListDead(1, "", 0, 10), "all of them"),
        (PurgeDead(1, [], ""), "all of them"),
        (PurgeDead(1, [], "other"), "'other'"),
        (CancelTasks(1, Scope.QUEUE, [], "other", "", 0), "'other'"),
        (CancelTasks(1, Scope.ALL, [], "", "", 0), "all of them"),
        (CancelTasks(1, Scope.NAME, [], "t", "", 0), "all of them"),
        (DrainWorker(1, "w"), "all of them"),
        (FinishUpgrade(1), "all of them"),
    ],
)
def test_a_key_for_some_queues_is_for_no_others(message: ToBroker, named: str) -> None:
    why = objection(MAIL, message)
    assert why is not None
    assert "mail.*, bulk only" in why
    assert named in why
    everywhere = Grant("ops", MAIL.roles)
    assert objection(everywhere, message) is None


@pytest.mark.parametrize(
    "message",
    [
        enqueue("mail.in"),
        enqueue("bulk"),
        worker("mail.in", "bulk"),
        PauseQueue(1, "bulk", 0),
        ListDead(1, "mail.x", 0, 10),
        CancelTasks(1, Scope.QUEUE, [], "bulk", "", 0),
        ClientHello(PROTOCOL),
        Watch(1, ["some id"]),  # looked up by the leader
    ],
)
def test_and_it_is_for_those(message: ToBroker) -> None:
    assert objection(MAIL, message) is None


def test_a_key_with_a_rate_is_told_when_to_come_again() -> None:
    limited = Grant("ada", frozenset({Role.CLIENT}), tasks_per_second=100)
    gate = Gate()
    assert gate.refusal(limited, enqueue("q", 300), 10, 5_000, leads=True) is None
    refused = gate.refusal(limited, enqueue("q", 2), 10, 5_000, leads=True)
    assert refused is not None
    assert refused.code is Code.QUEUE_FULL
    assert refused.text == (
        "the key ada may enqueue 100 tasks a second on the average, and 2 more are too many now;"
        " try again in 2.0 s"
    )
    assert gate.refusal(limited, enqueue("q", 2), 10, 5_000, leads=False) is None
    assert gate.refusal(limited, ClientHello(PROTOCOL), 10, 5_000, leads=True) is None
    assert gate.refusal(limited, enqueue("q", 2), 10, 7_000, leads=True) is None
