"""Peers: who is answered, who is believed, and where consensus messages go."""

import pytest

from raftwork.broker.cluster.peers import CLOCK_FRESH_MS, REFUSAL_MAX, Peers
from raftwork.consensus.core import Peer
from raftwork.messages import PROTOCOL, PeerHello, PeerWelcome

CLUSTER = b"c" * 16


def inc(name: str) -> bytes:
    return name.encode().ljust(16, b".")


ROSTER = [(name, inc(name)) for name in "abc"]


@pytest.fixture
def peers() -> Peers:
    return Peers(Peer("a", inc("a")), "raft", {"a": "h:1", "b": "h:2", "c": "h:3"})


def hello(name: str = "b", cluster_id: bytes = CLUSTER, wall: int = 5_000) -> PeerHello:
    return PeerHello(PROTOCOL, "raft", name, inc(name), cluster_id, wall)


def welcome(name: str = "b", wall: int = 5_000) -> PeerWelcome:
    return PeerWelcome(name, inc(name), CLUSTER, ROSTER, wall)


def test_a_hello_of_this_cluster_is_welcome(peers: Peers) -> None:
    assert peers.objection(hello(), CLUSTER) is None
    assert peers.objection(hello(cluster_id=b""), CLUSTER) is None  # blank: it will be told
    assert peers.objection(hello(), b"") is None  # we are blank: we shall be told


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (hello()._replace(version=PROTOCOL + 1), "protocol version"),
        (hello()._replace(consensus="zab"), "'zab'"),
        (hello("d"), "'d'"),
        (hello("a"), "'a'"),  # our own name
        (hello()._replace(incarnation=b"short"), "'b'"),
        (hello(cluster_id=b"d" * 16), "another cluster"),
    ],
)
def test_any_other_hello_is_refused_with_what_is_wrong(
    peers: Peers, wrong: PeerHello, text: str
) -> None:
    objection = peers.objection(wrong, CLUSTER)
    assert objection is not None
    assert text in objection


def test_the_source_of_a_link_is_who_answered_there(peers: Peers) -> None:
    assert peers.welcomed("b", welcome(), 0) == Peer("b", inc("b"))
    assert peers.links["b"].source == Peer("b", inc("b"))
    assert peers.welcomed("b", welcome("c"), 0) is None  # somebody else's address
    assert peers.links["b"].source is None


def test_a_broker_is_rejected_once_no_majority_can_be_with_it(peers: Peers) -> None:
    assert peers.refused("b", "no member")
    assert not peers.refused("b", "no member"), "said before"
    assert peers.rejection() is None, "c may still be with us"
    peers.refused("c", "nor here" + "!" * 1_000_000)
    assert len(peers.links["c"].refusal) == REFUSAL_MAX
    peers.refused("c", "nor here")
    assert peers.rejection() == "b says: no member; c says: nor here"
    peers.lost("b", 0)
    assert peers.rejection() is None, "who went away may be another when it comes back"


def test_a_member_is_not_talked_out_of_it(peers: Peers) -> None:
    peers.welcomed("c", welcome("c"), 0)
    peers.refused("b", "no member")
    peers.refused("c", "no longer")
    assert peers.rejection() is None


@pytest.mark.parametrize(
    "wrong",
    [
        welcome()._replace(incarnation=b"short"),
        welcome()._replace(cluster_id=b"short"),
        welcome()._replace(cluster_id=b"short", roster=[]),
        welcome()._replace(cluster_id=b""),
        welcome()._replace(roster=ROSTER[:2]),
        welcome()._replace(roster=[*ROSTER, ("d", inc("d"))]),
        welcome()._replace(roster=[*ROSTER[:2], ("c", b"short")]),
    ],
)
def test_a_welcome_that_cannot_be_true_is_not_believed(peers: Peers, wrong: PeerWelcome) -> None:
    assert peers.welcomed("b", wrong, 0) is None
    assert peers.links["b"].source is None


@pytest.mark.parametrize("cluster_id", [b"", CLUSTER])
def test_a_broker_that_knows_no_roster_is_believed(peers: Peers, cluster_id: bytes) -> None:
    told = welcome()._replace(cluster_id=cluster_id, roster=[])
    assert peers.welcomed("b", told, 0) == Peer("b", inc("b"))


def test_the_newest_hello_is_the_way_to_a_broker(peers: Peers) -> None:
    assert peers.said_hello(b"1", "b")
    assert peers.said_hello(b"2", "b")
    assert not peers.said_hello(b"2", "b")  # nothing new
    assert peers.links["b"].routing == b"2"
    peers.unreachable(b"1")  # the old one's end says nothing of the new one
    assert peers.links["b"].routing == b"2"
    peers.unreachable(b"2")
    assert peers.links["b"].routing is None


def test_an_address_is_the_way_to_one_broker_only(peers: Peers) -> None:
    peers.said_hello(b"1", "b")
    peers.said_hello(b"1", "c")
    assert peers.links["b"].routing is None
    assert peers.links["c"].routing == b"1"


def test_one_wrong_clock_moves_nothing(peers: Peers) -> None:
    for wrong in (0, 2**62):
        peers.welcomed("b", welcome("b", wall=wrong), 0)
        peers.welcomed("c", welcome("c", wall=5_003), 0)
        assert peers.wall_median(5_001, 0) in (5_001, 5_003)


def test_a_clock_goes_on_and_then_grows_stale(peers: Peers) -> None:
    peers.welcomed("b", welcome("b", wall=5_000), 100)
    peers.welcomed("c", welcome("c", wall=5_000), 100)
    assert peers.wall_median(0, 150) == 5_050
    assert peers.wall_median(77, 100 + CLOCK_FRESH_MS) == 77


def test_a_blank_broker_tells_no_roster(peers: Peers) -> None:
    assert peers.welcome(b"", dict(ROSTER), 1).roster == []
    assert peers.welcome(CLUSTER, dict(ROSTER), 1).roster == ROSTER
