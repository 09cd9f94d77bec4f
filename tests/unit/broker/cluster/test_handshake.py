"""Brokers that move: where they are found, by whom, and what is told of those that are not."""

import pytest

from raftwork.broker.cluster.handshake import REJECTED_MS
from raftwork.broker.cluster.peer_address import PeerAddress
from raftwork.broker.events import Event, PeerUp
from raftwork.broker.peer_events import PeerElsewhere, PeerMoved, PeerOneWay, PeerSought
from raftwork.consensus.core import Message
from raftwork.errors import StoreError
from raftwork.features import from_broker
from raftwork.messages import (
    PROTOCOL,
    BrokerStatus,
    ClientHello,
    Code,
    FromBroker,
    Leader,
    PeerHello,
    PeerWelcome,
    Refused,
)
from tests.unit.broker.nodes import World

ELSEWHERE = "elsewhere.example:7701"


@pytest.fixture
def told() -> list[tuple[str, Event]]:
    """What each broker told."""
    return []


@pytest.fixture
def three(told: list[tuple[str, Event]]) -> World:
    world = World("a", "b", "c", tell=lambda name, event: told.append((name, event)))
    world.elect()
    world.run(1_000)
    return world


def stop(world: World, name: str) -> None:
    del world.nodes[name]
    for other in world.nodes:
        world.nodes[other].link(name, False, world.now)


def start(world: World, name: str) -> None:
    world.nodes[name] = world.start(name)
    for other in world.nodes:
        if other != name:
            world.nodes[name].link(other, True, world.now)


def move(world: World, name: str, address: str = ELSEWHERE) -> None:
    stop(world, name)
    world.addresses[name] = address
    start(world, name)


def status(world: World, name: str) -> BrokerStatus:
    return world.nodes[name].status(1)


def test_the_others_find_a_broker_that_moved_and_keep_where(three: World) -> None:
    for address in (ELSEWHERE, "h2.example:1", "c.example:7701"):
        move(three, "c", address)
        three.run(2_000)
        for name in "abc":
            assert dict(status(three, name).cluster)["c"] == address
            assert status(three, name).unreached == ()
        assert three.stores["a"].identity.addresses["c"] == address
    stop(three, "b")
    three.elect()


def test_a_broker_that_was_away_is_told_by_those_that_stayed(three: World) -> None:
    """b moves while a is away, then a comes back elsewhere: neither knows where the other is."""
    stop(three, "a")
    move(three, "b")
    three.run(2_000)
    three.addresses["a"] = "h2.example:1"
    old = dict(three.addresses, b="b.example:7701")
    three.addresses, now = old, three.addresses  # what a was started with
    three.nodes["a"] = three.start("a")
    three.addresses = now
    three.run(10_000)
    assert [status(three, name).unreached for name in "abc"] == [(), (), ()]


def test_only_where_it_was_found_is_kept(three: World) -> None:
    """It said that it listens there, and nobody answers, or another does."""
    cluster_id = three.stores["a"].identity.cluster_id
    b = three.stores["b"].identity.incarnation
    stop(three, "b")
    three.run(1_000)
    hello = PeerHello(PROTOCOL, "raft", "b", b, cluster_id, 0, False, ELSEWHERE)
    three.say(b"peer-b", hello)
    three.run(500)
    assert three.dialled["a", "b"] == ELSEWHERE
    roster = sorted(three.stores["a"].roster.items())
    other = PeerWelcome("b", b"x" * 16, cluster_id, roster, 0)
    three.nodes["a"].receive_peer("b", from_broker.encode(other), three.now)
    three.run(500)
    assert dict(status(three, "a").cluster)["b"] == "b.example:7701"
    assert three.stores["a"].identity.moved == {}
    start(three, "b")
    three.run(10_000)
    assert status(three, "a").unreached == ()


@pytest.mark.parametrize("address", ["", "nothing", "0.0.0.0:1", "[::]:1", "h:1" * 1_000])
def test_what_is_no_address_is_not_dialled(three: World, address: str) -> None:
    identity = three.stores["b"].identity
    stop(three, "b")
    hello = (PROTOCOL, "raft", "b", identity.incarnation, identity.cluster_id, 0, False, address)
    three.say(b"peer-b", PeerHello(*hello))
    three.run(1_000)
    assert three.dialled["a", "b"] == "b.example:7701"


def test_who_names_no_cluster_moves_nobody_and_is_told_of(
    three: World, told: list[tuple[str, Event]]
) -> None:
    stop(three, "c")
    hello = PeerHello(PROTOCOL, "raft", "c", b"x" * 16, b"", 0, False, ELSEWHERE)
    for _ in range(100):
        three.say(b"stranger", hello)
        three.run(100)
    assert three.dialled["a", "c"] == "c.example:7701"
    (event,) = [event for _, event in told if isinstance(event, PeerElsewhere)]
    assert event == PeerElsewhere("c", ELSEWHERE, "c.example:7701")
    assert "--readdress" in str(event)


def test_clients_are_told_the_address_at_which_the_leader_was_found(three: World) -> None:
    leader = next(name for name in "abc" if three.nodes[name].leads)
    move(three, leader)
    other = next(name for name in "abc" if name != leader)
    three.run(5_000)
    stop(three, other)  # so that who moved may have to lead
    three.run(10_000)
    for name in three.nodes:
        told = three.ask(b"client", ClientHello(PROTOCOL), to=name)
        news = next(m for m in told if isinstance(m, Leader))
        assert news.address == three.addresses[news.name]


@pytest.mark.parametrize(
    "answer",
    [
        PeerWelcome("z", b"z" * 16, b"", [], 0),
        PeerWelcome("c", b"z" * 16, b"another cluster.", [], 0),
        Refused(0, Code.PROTOCOL, "'a' is no other broker of this cluster"),
    ],
    ids=["another name", "another cluster", "refused"],
)
def test_a_name_that_leads_to_somebody_else_is_dialled_anew(
    three: World, answer: FromBroker
) -> None:
    """Its number is another's now. The connection is fine, so nothing looked the name up again."""
    dialled: list[str] = []
    node = three.nodes["a"]
    object.__setattr__(node._setup, "dial", lambda name, _address: dialled.append(name))
    stop(three, "c")
    three.run(10_000)
    assert dialled == [], "libzmq and the dialler see to what is down"
    node.link("c", True, three.now)
    for _ in range(20):
        node.receive_peer("c", from_broker.encode(answer), three.now)
        three.run(500)
    assert dialled == ["c"] * len(dialled)
    assert 2 <= len(dialled) <= 4


def test_one_that_was_away_when_the_others_moved_is_found_by_them(three: World) -> None:
    """At their old addresses another cluster refuses it: it ended, before they could reach it."""
    stop(three, "a")
    move(three, "b", ELSEWHERE)
    move(three, "c", "third.example:1")
    three.run(1_000)
    start(three, "a")
    node = three.nodes["a"]
    node._handshake.peers.links["b"].where = PeerAddress("b.example:7701", three.now)
    node._handshake.peers.links["c"].where = PeerAddress("c.example:7701", three.now)
    three.dialled |= {("a", "b"): "b.example:7701", ("a", "c"): "c.example:7701"}
    refused = from_broker.encode(Refused(0, Code.PROTOCOL, "no other broker of this cluster"))
    for name in "bc":
        node.receive_peer(name, refused, three.now)
    three.run(5_000)
    assert status(three, "a").unreached == ()
    assert dict(status(three, "a").cluster)["b"] == ELSEWHERE


def test_one_that_a_majority_refuses_ends_after_a_while(three: World) -> None:
    stop(three, "a")
    three.cut.add("a")
    start(three, "a")
    node = three.nodes["a"]
    refused = from_broker.encode(Refused(0, Code.PROTOCOL, "no other broker of this cluster"))
    for name in "bc":
        node.receive_peer(name, refused, three.now)
    three.run(REJECTED_MS - 500)
    with pytest.raises(
        StoreError, match="refuses it as a member of this cluster: b says: no other"
    ):
        three.run(1_500)


def test_a_broker_that_was_stopped_is_not_said_to_reach_anybody(
    three: World, told: list[tuple[str, Event]]
) -> None:
    """Its last connection to this broker is only found closed when something is sent there."""
    stop(three, "c")
    three.run(30_000)
    assert not [event for _, event in told if isinstance(event, PeerOneWay)]


def test_a_broker_that_reaches_us_but_is_not_reached_is_told_of_once(
    three: World, told: list[tuple[str, Event]]
) -> None:
    stop(three, "c")
    three.addresses["c"] = "unreachable.example:1"  # whatever is dialled, nobody answers
    three.nodes["c"] = three.start("c")
    three.addresses["c"] = "nobody.example:1"
    three.run(30_000)
    events = [(name, event) for name, event in told if isinstance(event, PeerOneWay)]
    assert sorted(name for name, _ in events) == ["a", "b"], "once each"
    assert {event.broker for _, event in events} == {"c"}
    assert events[0][1].address in ("unreachable.example:1", "c.example:7701")
    assert status(three, "a").unreached == ("c",)


def test_which_brokers_are_reached_is_told_as_they_are(
    three: World, told: list[tuple[str, Event]]
) -> None:
    ups = [event for name, event in told if name == "a" and isinstance(event, PeerUp)]
    assert {(event.broker, event.reached, event.brokers) for event in ups} in (
        {("b", 2, 3), ("c", 3, 3)},
        {("c", 2, 3), ("b", 3, 3)},
    )


def test_a_broker_that_moved_is_told_of_with_both_addresses(
    three: World, told: list[tuple[str, Event]]
) -> None:
    move(three, "b")
    three.run(5_000)
    moved = [event for name, event in told if name == "a" and isinstance(event, PeerMoved)]
    assert moved == [PeerMoved("b", "b.example:7701", ELSEWHERE)]
    assert ("a", PeerSought("b", ELSEWHERE)) in told


def test_messages_that_do_not_leave_are_counted_by_whom_they_were_for(three: World) -> None:
    handshake = three.nodes["a"]._handshake
    before = dict(handshake.dropped)
    three.room = lambda _routing: True
    setup = three.nodes["a"]._setup
    object.__setattr__(setup, "send_consensus", lambda routing, _frame: routing != b"peer-b")
    for to in "bc":
        handshake.send(Message(to, b"x"))
    handshake.peers.links["c"].routing = None
    handshake.send(Message("c", b"x"))
    assert {to: handshake.dropped[to] - before[to] for to in "bc"} == {"b": 1, "c": 1}
