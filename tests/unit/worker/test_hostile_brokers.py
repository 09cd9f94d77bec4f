"""A broker that says anything at all neither stops a worker nor makes it grow."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.addresses import parse_address
from raftwork.features import from_broker
from raftwork.messages import (
    PAYLOAD_MAX,
    FromBroker,
    Leader,
    Push,
    Report,
    WorkerWelcome,
)
from raftwork.worker.agent import Agent, Identity
from raftwork.worker.leader_session import LeaderSession
from raftwork.worker.pool import Running
from raftwork.worker.prefetch import WINDOW_MAX
from tests.fuzz.decoders import messages
from tests.unit.worker.conversation import task

A, B = "a:1", "b:1"
SLOTS = 2


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from([A, B]), messages(from_broker), st.integers(0, 5_000)),
        max_size=20,
    )
)
def test_no_message_stops_a_worker(said: list[tuple[str, FromBroker, int]]) -> None:
    now = 1_000
    identity = Identity("w", b"i" * 16, "host", 7, ("default",))
    agent = Agent(identity, [A, B], SLOTS, now, Random(1))
    # One of them is its leader, so that what follows is not void.
    agent.receive(A, Leader(0, "a", A, True, 1), now)
    agent.turn(now)
    agent.receive(A, WorkerWelcome(0, 1, []), now)
    for source, message, wait in said:
        now += wait
        agent.receive(source, message, now)
        started = agent.turn(now).start
        agent.look([Running(each.token, now) for each in started], SLOTS, now)
        agent.turn(now)
    assert agent.wake_at >= 0


def test_pushes_without_end_are_handed_back() -> None:
    now, identity = 1_000, Identity("w", b"i" * 16, "host", 7, ("default",))
    agent = Agent(identity, [A], SLOTS, now, Random(1))
    agent.receive(A, Leader(1, "a", A, True, 1), now)
    agent.turn(now)
    agent.receive(A, WorkerWelcome(1, 1, []), now)
    begun = 0
    for first in range(0, 20_000, 1_000):
        tasks = [task(token) for token in range(first, first + 1_000)]
        agent.receive(A, Push(1, 1, tasks), now)
        begun += len(agent.turn(now).start)
    assert begun <= SLOTS + 2 * WINDOW_MAX


def test_a_task_larger_than_any_leader_stores_is_handed_back() -> None:
    now, identity = 1_000, Identity("w", b"i" * 16, "host", 7, ("default",))
    agent = Agent(identity, [A], SLOTS, now, Random(1))
    agent.receive(A, Leader(1, "a", A, True, 1), now)
    agent.turn(now)
    agent.receive(A, WorkerWelcome(1, 1, []), now)
    largest = task(1)._replace(payload=bytes(PAYLOAD_MAX))
    larger = task(2)._replace(payload=bytes(PAYLOAD_MAX + 1))
    agent.receive(A, Push(1, 1, [largest, larger]), now)
    turn = agent.turn(now)
    assert turn.start == [largest]
    assert [m.released for _, m in turn.send if isinstance(m, Report)] == [[2]]


@settings(max_examples=200)
@given(st.lists(st.text(max_size=12), max_size=60))
def test_only_what_is_an_address_is_learnt(addresses: list[str]) -> None:
    """ZeroMQ refuses to connect to anything else, and that would end the worker."""
    session = LeaderSession([A], 0, Random(1))
    for epoch, address in enumerate(addresses, 1):
        session.announced(A, Leader(epoch, "b", address, False, 0), 0)
        session.announced(A, Leader(epoch, "b", f"host{epoch}:1", False, 0), 0)
    assert len(session.brokers) <= 1 + 32  # beside the one that it was given
    for address in session.brokers:
        parse_address(address)
