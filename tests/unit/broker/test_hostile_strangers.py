"""Whatever a stranger says to a leader, in whatever order and at whatever limit, it leads on."""

from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork import messages as wire
from raftwork.broker.requests import request_processor, result_outbox
from raftwork.features import dead_letters, drain, enqueue, results, to_broker
from raftwork.features.catalogue import FEATURES
from raftwork.features.feature import Budget
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    ToBroker,
    encode_spec,
)
from raftwork.wire import pack
from tests.fuzz.decoders import messages
from tests.unit.broker.nodes import World
from tests.unit.broker.queues import SPEC

_IDS = st.lists(st.sampled_from("abcd"), max_size=4)
_NUMBERS = st.integers(0, 3)


@st.composite
def _enqueues(draw: st.DrawFn) -> enqueue.Enqueue:
    """Of few ids and contents, so that they repeat, overlap and contradict each other."""
    spec = SPEC._replace(
        queue=draw(st.sampled_from(["default", "other"])),
        at_most_once=draw(st.booleans()),
        retries=draw(_NUMBERS),
    )
    contents = st.sampled_from([b"1", b"2", b"x" * 2_000])
    tasks = [[id_, draw(contents), *draw(st.sampled_from([[], ["key"]]))] for id_ in draw(_IDS)]
    created = draw(st.sampled_from([0, 1 << 52]))
    return enqueue.Enqueue(draw(_NUMBERS), created, encode_spec(spec), pack(tasks))


@st.composite
def _workers(draw: st.DrawFn) -> ToBroker:
    """A worker's, of few sessions and tokens."""
    session, token = draw(_NUMBERS), draw(_NUMBERS)
    hello = wire.WorkerHello(
        PROTOCOL, "w", draw(st.sampled_from([b"i" * 16, b"j" * 16])), session, "h", 1, 2,
        ["default"], [], draw(st.booleans()),
    )  # fmt: skip
    outcome = wire.Outcome(token, draw(st.booleans()), b"v")
    report = wire.Report(session, [wire.Started(token, 0)], [outcome], draw(_TOKENS), 0)
    beat = wire.Heartbeat(session, 0.1, 0.1, 0.1, draw(_NUMBERS), 0, False)
    choices: list[ToBroker] = [hello, hello, report, beat, wire.Goodbye(session)]
    return draw(st.sampled_from(choices))


_TOKENS = st.lists(_NUMBERS, max_size=3)
_QUESTIONS = st.one_of(
    st.builds(results.Watch, _NUMBERS, _IDS),
    st.builds(results.Ask, _NUMBERS, _IDS),
    st.builds(dead_letters.RetryDead, _NUMBERS, _IDS),
    st.builds(dead_letters.PurgeDead, _NUMBERS, _IDS),
    st.builds(drain.DrainWorker, _NUMBERS, st.just("w")),
    st.just(ClientHello(PROTOCOL)),
)
_CLIENTS = st.sampled_from([b"c", b"d"])
#: Mostly each says what is its own to say: who says a worker's hello is a client no more.
_SAID = st.one_of(
    st.tuples(_CLIENTS, _enqueues()),
    st.tuples(_CLIENTS, _enqueues()),
    st.tuples(_CLIENTS, _QUESTIONS),
    st.tuples(st.just(b"w"), _workers()),
    st.tuples(st.sampled_from([b"c", b"d", b"w"]), messages(to_broker)),
)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """ClusterSettings that a handful of messages reaches."""
    few = Budget(requests=3)
    monkeypatch.setattr(
        request_processor, "FEATURES", [each._replace(budget=few) for each in FEATURES]
    )
    monkeypatch.setattr(result_outbox, "WATCHES_PER_SESSION", 5)


@pytest.mark.usefixtures("tight")
@settings(max_examples=200)
@given(
    said=st.lists(st.tuples(_SAID, st.integers(0, 2)), min_size=12, max_size=40),
    rooms=st.lists(st.booleans(), min_size=1, max_size=9),
)
def test_no_message_stops_a_leader(
    said: list[tuple[tuple[bytes, ToBroker], int]], rooms: list[bool]
) -> None:
    world = World("a")
    world.elect()
    room = cycle(rooms)
    world.room = lambda _routing: next(room)
    for routing in (b"c", b"d"):
        world.say(routing, ClientHello(PROTOCOL))
    for (routing, message), turns in said:
        world.say(routing, message)
        for _ in range(turns):
            world.step()
    world.run(100)
    assert world.nodes["a"].leads
    world.client(b"honest")
    answers = world.ask(b"honest", results.Ask(9, ["nobody's"]))
    assert [type(each) for each in answers] in ([results.Answer], [wire.Refused])
