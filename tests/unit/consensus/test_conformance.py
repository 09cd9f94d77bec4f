"""What every protocol behind `consensus.core.Consensus` promises. No test here asks which it is."""

import random
from itertools import pairwise
from typing import Any

import pytest

from raftwork.consensus.core import ORIGIN, Position, Role
from raftwork.consensus.durable_replica import Background
from raftwork.consensus.snapshot_transfer import PAUSE_MAX_MS, PAUSE_MS
from raftwork.errors import BadMessage, NotLeader, QueueFull, StoreDamaged
from tests.sim.store import Disk, Image
from tests.unit.consensus.cluster import peer, roster
from tests.unit.consensus.network import MAKERS, Make, Network

#: In so many milliseconds a healthy majority must have a leader that serves.
ELECTION = 2_500
FAILOVER = 1_200


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


@pytest.fixture
def network(make: Make) -> Network:
    return Network(make)


def sizes(at_least: int = 1) -> list[str]:
    return [names for names in ("a", "ab", "abc", "abcd", "abcde") if len(names) >= at_least]


# ---- one leader ----------------------------------------------------------------------------------


@pytest.mark.parametrize("names", sizes())
def test_a_cluster_gets_one_active_leader_that_all_know(make: Make, names: str) -> None:
    network = Network(make, names)

    network.until(lambda: len(network.active()) == 1, ELECTION)
    network.sleep(300)

    (leader,) = network.active()
    assert {network[name].core.status.leader for name in names} == {leader}
    assert {network[name].core.status.epoch for name in names} == {
        network[leader].core.status.epoch
    }
    assert network[leader].core.status.role is Role.LEADER
    others = {network[name].core.status.role for name in names if name != leader}
    assert others <= {Role.FOLLOWER}


def test_activated_and_deactivated_alternate_and_epochs_grow(network: Network) -> None:
    epochs = []
    for _ in range(3):
        leader = network.leader()
        epochs.append(network[leader].core.status.epoch)
        network.crash(leader)
        network.until(lambda: len(network.active()) == 1, ELECTION)
        network.start(leader)
        network.sleep(500)

    assert epochs == sorted(set(epochs))
    for place in network.places.values():
        turns = [e.kind for e in place.events if e.kind in ("activated", "deactivated")]
        assert turns == ["activated", "deactivated"] * (len(turns) // 2) + turns[len(turns) & ~1 :]
        assert turns[:1] in ([], ["activated"])


def test_a_minority_has_no_leader_for_long(network: Network) -> None:
    leader = network.leader()

    network.cut(leader)
    network.until(lambda: leader not in network.active(), ELECTION)

    assert "deactivated" in [event.kind for event in network[leader].events]
    with pytest.raises(NotLeader):
        network[leader].core.propose(b"x", network.now)


def test_a_leader_that_was_stopped_ends_before_it_reads_anything(network: Network) -> None:
    leader = network.leader()
    network.now += 5_000

    network[leader].running.wake(network.now)

    assert not network[leader].core.status.active


def test_a_rejoining_stranger_deposes_nobody(network: Network) -> None:
    leader = network.leader()
    epoch = network[leader].core.status.epoch
    other = network.followers()[0]
    network.cut(other)
    network.sleep(6_000)

    network.heal()
    network.sleep(2_000)

    assert network.active() == [leader]
    assert network[leader].core.status.epoch == epoch
    assert network[other].core.status.leader == leader


@pytest.mark.parametrize("hint", [True, False], ids=["closed link", "silence"])
def test_a_dead_leader_is_replaced_soon(network: Network, hint: bool) -> None:
    network.crash(network.leader(), hint=hint)

    took = network.until(lambda: bool(network.active()), ELECTION)

    assert took <= (100 if hint else 2 * FAILOVER)


def test_a_lost_link_to_a_living_leader_harms_nobody(network: Network) -> None:
    leader, other = network.leader(), network.followers()[0]

    network[other].core.link(leader, False, network.now)
    network.sleep(100)
    network[other].core.link(leader, True, network.now)
    network.sleep(1_000)

    assert network.active() == [leader]
    assert network[other].core.status.leader == leader


# ---- the log -------------------------------------------------------------------------------------


def test_what_is_proposed_is_applied_everywhere_in_order(network: Network) -> None:
    leader = network.leader()

    places = [network.propose(leader, b"%d" % i) for i in range(20)]
    network.sleep(300)

    assert places == sorted(places)
    assert all(place.data == [b"%d" % i for i in range(20)] for place in network.places.values())


def test_a_follower_refuses_and_names_the_leader(network: Network) -> None:
    leader, other = network.leader(), network.followers()[0]
    network.sleep(300)

    with pytest.raises(NotLeader) as refused:
        network[other].core.propose(b"x", network.now)
    with pytest.raises(NotLeader):
        network[other].core.barrier(1, network.now)

    assert refused.value.leader == leader


def test_nothing_is_applied_without_a_majority(network: Network) -> None:
    leader = network.leader()
    network.cut(leader)

    network.propose(leader, b"alone")
    network.sleep(100)

    assert all(place.data == [] for place in network.places.values())


def test_uncommitted_bytes_are_bounded(network: Network) -> None:
    leader = network.leader()
    network.cut(leader)

    def propose_for_ever() -> None:
        for _ in range(20):
            network.propose(leader, bytes(500))

    with pytest.raises(QueueFull):
        propose_for_ever()


def test_an_applied_proposal_survives_its_leader(network: Network) -> None:
    for i in range(6):
        leader = network.leader()
        network.propose(leader, b"%d" % i)
        assert network[leader].data[-1:] == [b"%d" % i]
        network.crash(leader)
        network.leader()
        network.start(leader)
        network.sleep(400)

    network.sleep(500)
    assert network.agreed()
    assert network["a"].store.machine.length == 6


def test_all_lose_power_and_nothing_applied_is_lost(network: Network) -> None:
    leader = network.leader()
    network.propose(leader, b"kept")

    for name in "abc":
        network.crash(name, hint=False)
    for name in "abc":
        network.start(name)
    network.leader()
    network.sleep(300)

    assert {network[name].store.machine.length for name in "abc"} == {1}


def test_what_a_cut_off_leader_could_not_commit_gives_way(network: Network) -> None:
    old = network.leader()
    network.propose(old, b"both")
    network.sleep(200)
    network.cut(old)
    network.propose(old, b"never")
    for name in network.names:
        if name != old:
            network[name].core.link(old, False, network.now)
    network.until(lambda: any(name != old for name in network.active()))
    new = next(name for name in network.active() if name != old)
    network.propose(new, b"instead")
    network.heal()
    network.sleep(3_000)

    assert network.agreed()
    assert network[old].data == [b"both", b"instead"]
    assert len(network[old].did("rewind")) == 1


def test_acks_leave_after_the_sync_of_what_they_acknowledge(network: Network) -> None:
    leader = network.leader()
    network.propose(leader, b"x")
    follower = network[network.followers()[0]]
    events = [event.kind for event in follower.events]

    appended = max(i for i, kind in enumerate(events) if kind == "append")
    answers = [i for i, kind in enumerate(events) if kind == "send" and i > appended]

    assert events.index("commit", appended) < answers[0]


def test_messages_may_be_lost_at_any_time(network: Network) -> None:
    rng = random.Random(7)
    network.lost = lambda *_: rng.random() < 0.1
    for i in range(40):
        for name in network.active()[:1]:
            network.propose(name, b"%d" % i)
        network.sleep(50)

    network.lost = lambda *_: False
    network.leader()
    network.sleep(3_000)

    assert network.agreed()
    assert network["a"].store.machine.length > 10


# ---- reads ---------------------------------------------------------------------------------------


def test_a_barrier_passes_and_covers_what_was_applied(network: Network) -> None:
    leader = network.leader()
    network.propose(leader, b"x")

    network[leader].core.barrier(1, network.now)
    network[leader].core.barrier(2, network.now)
    network.turn(leader)

    assert network[leader].did("read") == [1, 2]


def test_a_barrier_does_not_pass_without_a_majority(network: Network) -> None:
    leader = network.leader()
    network.cut(leader)

    network[leader].core.barrier(1, network.now)
    network.sleep(3_000)
    network.heal()
    network.sleep(3_000)

    assert network[leader].did("read") == []


# ---- handing over --------------------------------------------------------------------------------


@pytest.mark.parametrize("names", sizes(at_least=2))
def test_leadership_can_be_handed_over_at_once(make: Make, names: str) -> None:
    network = Network(make, names)
    old = network.leader()
    network.propose(old, b"x")

    network[old].core.transfer(network.now)
    network.turn(old)
    took = network.until(lambda: bool(network.active()))

    assert network.active() != [old]
    assert took <= 50
    network.sleep(500)
    assert len(network.active()) == 1
    assert network.agreed()


@pytest.mark.parametrize("to", ["b", "c"])
def test_leadership_can_be_handed_to_the_one_that_is_named(make: Make, to: str) -> None:
    network = Network(make, "abc")
    old = network.leader()
    if old == to:
        to = "a"
    network.propose(old, b"x")

    network[old].core.transfer(network.now, to)
    network.turn(old)
    took = network.until(lambda: bool(network.active()))

    assert network.active() == [to]
    assert took <= 50


def test_leadership_is_given_to_nobody_else_than_the_one_that_is_named(make: Make) -> None:
    network = Network(make, "abc")
    old = network.leader()

    network[old].core.transfer(network.now, "d")
    network.turn(old)

    network.propose(old, b"x")  # no transfer is under way
    assert network.active() == [old]


def test_a_hand_over_that_leads_nowhere_ends(network: Network) -> None:
    leader = network.leader()
    network.lost = lambda src, to, body: len(body) > 500
    network.propose(leader, bytes(1_000))
    network[leader].core.transfer(network.now)
    network.turn(leader)

    with pytest.raises(NotLeader):
        network[leader].core.propose(b"during", network.now)
    network.sleep(1_000)
    network.lost = lambda *_: False
    network.sleep(1_500)

    network.propose(network.leader(), b"after")
    network.sleep(500)
    assert network.agreed()


def test_a_lone_leader_has_nobody_to_hand_over_to(make: Make) -> None:
    network = Network(make, "a")
    network.leader()

    network["a"].core.transfer(network.now)
    network.turn("a")

    network.propose("a", b"x")
    assert network["a"].data == [b"x"]


# ---- snapshots and compaction --------------------------------------------------------------------


def compacting(make: Make) -> Network:
    network = Network(make)
    for place in network.places.values():
        place.store._tail = 0
    return network


def test_a_follower_behind_the_log_gets_a_snapshot_and_then_the_rest(make: Make) -> None:
    network = compacting(make)
    leader, away = network.leader(), network.followers()[0]
    network.crash(away)
    for i in range(10):
        network.propose(leader, b"%d" % i)
    network.sleep(300)
    assert network[leader].store.base > ORIGIN

    network.start(away)
    network.sleep(2_000)
    network.propose(network.leader(), b"more")
    network.sleep(300)

    assert network[away].did("switch")
    assert network[away].data[-1:] == [b"more"]
    assert network.agreed()


def test_a_snapshot_arrives_though_chunks_are_lost(make: Make) -> None:
    network = compacting(make)
    leader, away = network.leader(), network.followers()[0]
    network.crash(away)
    for i in range(10):
        network.propose(leader, b"%d" % i)
    network.sleep(300)
    rng = random.Random(3)
    network.lost = lambda *_: rng.random() < 0.2

    network.start(away)
    network.sleep(6_000)
    network.lost = lambda *_: False
    network.sleep(2_000)

    assert network[away].did("switch")
    assert network.agreed()


class Trouble:
    """A store that cannot make, read or install snapshots, and counts how often it was asked."""

    def __init__(self, network: Network, name: str, what: str) -> None:
        self.asked: list[int] = []
        self.lasts = True
        store: Any = network[name].store
        real = getattr(store, f"start_{what}", store.snapshot_chunk)

        def fails(*arguments: object) -> object:
            self.asked.append(network.now)
            if not self.lasts:
                return real(*arguments)
            if what != "chunk":
                made = what == "snapshot"
                store._pending.append((1, Background(made=made, snapshot=None)))
            return None

        setattr(store, "snapshot_chunk" if what == "chunk" else f"start_{what}", fails)


@pytest.mark.parametrize("what", ["snapshot", "chunk", "install"])
def test_a_snapshot_that_fails_ends_nobody_and_is_tried_again_after_growing_pauses(
    make: Make, what: str
) -> None:
    network = compacting(make)
    leader, away = network.leader(), network.followers()[0]
    network.crash(away)
    for i in range(10):
        network.propose(leader, b"%d" % i)
    network.sleep(300)
    network.start(away)
    trouble = Trouble(network, away if what == "install" else leader, what)

    network.sleep(30_000)

    assert network.active() == [leader]
    waits = [later - earlier for earlier, later in pairwise(trouble.asked)]
    assert 2 <= len(waits) <= 6
    assert min(waits) >= PAUSE_MS
    assert waits[0] < 2 * PAUSE_MS < 4 * PAUSE_MS < waits[-1] < PAUSE_MAX_MS + 2_000

    trouble.lasts = False
    network.sleep(PAUSE_MAX_MS + 3_000)
    assert network[away].did("switch")
    network.propose(leader, b"more")
    network.sleep(300)
    assert network[away].data[-1:] == [b"more"]
    assert network.agreed()


def test_nothing_is_compacted_beyond_what_is_applied(network: Network) -> None:
    leader = network.leader()
    network.cut(leader)
    applied = network[leader].store.applied
    network.propose(leader, b"x")

    assert network[leader].core.compactable() <= applied


# ---- identity ------------------------------------------------------------------------------------


def test_a_wiped_replica_comes_back_as_a_learner_and_is_rebound(network: Network) -> None:
    leader, lost = network.leader(), network.followers()[0]
    network.propose(leader, b"x")
    network.crash(lost)
    network.wipe(lost)

    network.start(lost)
    assert network[lost].core.status.role is Role.LEARNER
    network.sleep(1_000)

    roster = {name: place.peer.incarnation for name, place in network.places.items()}
    assert {tuple(sorted(p.store.restored().roster.items())) for p in network.places.values()} == {
        tuple(sorted(roster.items()))
    }
    assert network[lost].core.status.role is Role.FOLLOWER
    assert network.agreed()


def test_a_rebound_replica_makes_a_majority(network: Network) -> None:
    leader = network.leader()
    lost, third = network.followers()
    network.propose(leader, b"x")
    network.crash(lost)
    network.wipe(lost)
    network.start(lost)
    network.sleep(1_500)
    network.crash(third)

    network.propose(network.leader(), b"y")
    network.sleep(500)

    assert network.agreed()
    assert network[lost].data[-1:] == [b"y"]


def test_a_blank_replica_counts_for_nothing(network: Network) -> None:
    """A cut-off leader and a blank replica must not commit what a majority might not know."""
    leader = network.leader()
    lost, third = network.followers()
    network.crash(lost)
    network.crash(third)
    network.wipe(lost)
    network.start(lost)

    network.sleep(4_000)

    assert network.active() == []
    assert network[lost].data == network[leader].data == []


# ---- what is stored and what is said -------------------------------------------------------------


def test_a_log_without_its_epoch_is_damage(network: Network) -> None:
    leader = network.leader()
    network.propose(leader, b"x")
    image = network[leader].disk.synced

    disk = Disk(image._replace(state=None))
    with pytest.raises(StoreDamaged):
        _restart(network, leader, disk)
    blank = Disk(Image(state=image.state, applied=Position(9, 9), roster=roster("abc")))
    with pytest.raises(StoreDamaged):
        _restart(network, leader, blank)


def _restart(network: Network, name: str, disk: Disk) -> None:
    network.crash(name)
    network[name].disk = disk
    network.start(name)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xc1", b"\x90", b"\x91\x07", b"\x92\x01\x01"])
def test_bytes_that_are_no_message_change_nothing(network: Network, body: bytes) -> None:
    leader, other = network.leader(), network.followers()[0]
    before = network[leader].core.status

    with pytest.raises(BadMessage):
        network[leader].core.receive(peer(other), body, network.now)
    with pytest.raises(BadMessage):
        network[leader].core.receive(peer("x"), body, network.now)

    assert network[leader].core.status == before
    assert network[leader].core.output() is None


def test_a_core_says_when_it_must_be_woken(network: Network) -> None:
    network.leader()

    for place in network.places.values():
        assert place.core.wake_at is not None
        assert network.now <= place.core.wake_at <= network.now + 1_000


# ---- at rest -------------------------------------------------------------------------------------


def rest(network: Network) -> str:
    """Until nobody has anything to learn; the leader."""
    leader = network.leader()
    network.sleep(1_000)
    return leader


def test_at_rest_a_leader_is_quiet(network: Network) -> None:
    leader, said = rest(network), 0

    def lost(source: str, _target: str, _body: bytes) -> bool:
        nonlocal said
        said += source == leader
        return False

    network.lost = lost
    network.sleep(2_400)
    assert 2 * 9 <= said <= 2 * 10


@pytest.mark.parametrize("start", range(0, 240, 20))
def test_two_heartbeats_lost_at_rest_are_no_reason_for_an_election(
    network: Network, start: int
) -> None:
    leader = rest(network)
    epoch = network[leader].core.status.epoch
    network.sleep(start)
    left = dict.fromkeys(network.followers(), 2)

    def lost(source: str, target: str, _body: bytes) -> bool:
        if source != leader or not left[target]:
            return False
        left[target] -= 1
        return True

    network.lost = lost
    network.sleep(3_000)
    assert not any(left.values())
    assert network.active() == [leader]
    assert network[leader].core.status.epoch == epoch


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_what_ends_a_rest_is_known_to_all_soon(network: Network, start: int) -> None:
    leader = rest(network)
    network.sleep(start)
    network.propose(leader, b"work")
    network.until(lambda: all(b"work" in place.data for place in network.places.values()), 100)


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_a_follower_that_missed_what_ended_a_rest_is_told_soon(
    network: Network, start: int
) -> None:
    """Also if the next heartbeats did not reach it either."""
    leader, other = rest(network), network.followers()[0]
    network.sleep(start)
    network.lost = lambda _source, target, _body: target == other
    network.propose(leader, b"missed")
    network.sleep(100)
    assert b"missed" in network[leader].data
    network.lost = lambda *_: False
    network.until(lambda: b"missed" in network[other].data, 110)


def test_a_dead_follower_costs_no_rest(network: Network) -> None:
    leader, other = network.leader(), network.followers()[0]
    network.propose(leader, b"one")
    network.crash(other)
    network.propose(leader, b"two")
    network.sleep(1_000)
    woken: set[int] = set()
    network.turned = lambda: woken.add(network.now)
    network.sleep(2_400)
    assert len(woken) <= 12


# ---- who is waited for ---------------------------------------------------------------------------


def test_a_leader_waits_for_others_only_while_something_hangs_on_them(network: Network) -> None:
    leader = network.leader()
    core = network[leader].core

    def waits() -> bool:
        return core.awaits_peers

    network.sleep(1_000)
    assert not waits()
    assert all(network[name].core.awaits_peers for name in network.followers())

    network.lost = lambda *_: True
    network.propose(leader, b"x")
    assert waits()

    network.lost = lambda *_: False
    network.until(lambda: not waits())
    network.until(network.agreed)
    assert not waits()

    core.barrier(7, network.now)
    assert waits()


def test_a_leader_waits_for_a_replica_that_catches_up(make: Make) -> None:
    """What it is sent next hangs on what it says."""
    network = compacting(make)
    leader, away = network.leader(), network.followers()[0]
    network.crash(away)
    for number in range(10):
        network.propose(leader, b"%d" % number)
    network.sleep(300)
    assert not network[leader].core.awaits_peers
    network.start(away)

    awaited: list[bool] = []
    network.turned = lambda: awaited.append(network[leader].core.awaits_peers)
    network.until(network.agreed)
    assert True in awaited

    network.turned = lambda: None
    network.until(lambda: not network[leader].core.awaits_peers)
