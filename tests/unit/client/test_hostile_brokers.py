"""A broker that says anything at all does not stop a client, which knows no other brokers by it
than it could connect to."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.addresses import parse_address
from raftwork.client.calls import Call
from raftwork.client.session import Session
from raftwork.features import from_broker
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.results import Answer, Ask
from raftwork.messages import (
    FromBroker,
    Leader,
    Spec,
    encode_spec,
)
from raftwork.wire import pack
from tests.fuzz.decoders import messages, spoilt

A, B = "a:1", "b:1"
LEADS = Leader(1, "a", A, True, 1)


def session() -> Session:
    """One with something of each kind under way."""
    made = Session([A, B], Random(0))
    for address in (A, B):
        made.link_up(address, 0)
    made.receive(A, from_broker.encode(LEADS), 0)
    spec = encode_spec(Spec("t", "default"))
    enqueue = Enqueue(0, 0, spec, pack([("x", b"")]))
    made.submit(Call(enqueue, Enqueued, 5_000, ids=("x",)), 0)
    made.submit(Call(Ask(0, ["x"]), Answer, 5_000, ids=("x",)), 0)
    made.watch(["x", "y"], 0)
    made.take()
    return made


def talk(frames: list[tuple[str, bytes]]) -> None:
    made, now = session(), 0
    for address, frame in frames:
        now += 100
        made.receive(address, frame, now)
        made.wake(now)
        for told in made.take().connect:
            parse_address(told)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from([A, B]), messages(from_broker)), max_size=20))
def test_no_message_stops_a_client(said: list[tuple[str, FromBroker]]) -> None:
    talk([(address, from_broker.encode(message)) for address, message in said])


_FRAMES = st.one_of(st.binary(max_size=60), spoilt(messages(from_broker).map(from_broker.encode)))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([A, B]), _FRAMES), max_size=10))
def test_no_frame_stops_a_client(frames: list[tuple[str, bytes]]) -> None:
    talk(frames)
