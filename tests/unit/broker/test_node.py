"""A broker without sockets: sessions, redirects, frames of every kind, and three of them."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.broker.cluster.handshake import HELLO_AT_REST_MS, HELLO_MS, REJECTED_MS
from raftwork.broker.node import STALL_MS
from raftwork.broker.workers.registry import BEAT_AT_REST_MS
from raftwork.consensus.core import ORIGIN, Position
from raftwork.consensus.durable_replica import PATIENCE_MS, Replica
from raftwork.consensus.raft.messages import AppendReply, PreVoteReply, Vote, encode
from raftwork.errors import StoreError
from raftwork.features import from_broker, to_broker
from raftwork.features.dead_letters import (
    ListDead,
    PurgeDead,
    RetryDead,
    ShowDead,
)
from raftwork.features.drain import DrainWorker
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.queue_settings import AskQueue, SetQueue, changes
from raftwork.features.results import (
    Answer,
    Ask,
    Results,
    Watch,
    Watched,
)
from raftwork.features.schedule_records import DeclareSchedules, SchedulesDeclared
from raftwork.messages import (
    NAME_MAX,
    PROTOCOL,
    TOKENS_MAX,
    WAITS_MAX,
    Acknowledged,
    Beat,
    BrokerStatus,
    ClientHello,
    Code,
    FromBroker,
    Goodbye,
    Heartbeat,
    Held,
    HelloFirst,
    Holding,
    Leader,
    Outcome,
    PeerHello,
    PeerMessage,
    PeerWelcome,
    Ping,
    Push,
    Refused,
    Report,
    Result,
    Started,
    State,
    StatusRequest,
    Stop,
    ToBroker,
    Wait,
    WorkerHello,
    WorkerWelcome,
)
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.nodes import STEP, MemoryStore, World
from tests.unit.broker.queues import SPEC, enqueue

INCARNATION = b"incarnation-of-w"


def request(*ids: str, number: int = 1, once: bool = False, created: int = 1 << 52) -> Enqueue:
    _, spec, tasks, _ = enqueue(*ids, spec=SPEC._replace(at_most_once=once))
    return Enqueue(number, created, spec, tasks)


def pushed(frames: list[FromBroker]) -> list[tuple[int, str]]:
    return [(t.token, t.id) for m in frames if isinstance(m, Push) for t in m.tasks]


@pytest.fixture
def one() -> World:
    world = World("a")
    world.elect()
    return world


@pytest.fixture
def three() -> World:
    return World("a", "b", "c")


# ---- one broker ---------------------------------------------------------------------------------


def test_a_task_goes_from_client_to_worker_and_back(one: World) -> None:
    one.client()
    assert one.worker()[0] == WorkerWelcome(1, 1, [])
    assert one.ask(b"client", request("x")) == [Enqueued(1)]
    ((token, id_),) = pushed(one.heard(b"worker"))
    assert id_ == "x"
    assert one.ask(b"client", Watch(2, ["x"])) == [Watched(2)]
    report = Report(1, [Started(token, 0)], [Outcome(token, True, b"v")], [], 0)
    answers = one.ask(b"worker", report)
    one.run(BEAT_AT_REST_MS)
    assert Acknowledged(1, 1, [token]) in answers + one.heard(b"worker")
    assert one.heard(b"client") == [Results([Result("x", State.SUCCEEDED, b"v")])]


def test_only_a_leader_that_waits_for_nobody_is_patient_and_not_for_long(three: World) -> None:
    leader = three.elect()
    three.run(2_000)
    three.client(to=leader)
    three.say(b"client", request("x"), leader)
    patient: dict[str, list[int]] = {name: [] for name in three.names}
    for _ in range(20):
        three.step()
        for name, node in three.nodes.items():
            assert node.wake_at
            patient[name].append(node.patient_until - three.now)
    assert patient[leader][0] <= 0  # its followers are to acknowledge first
    assert max(patient[leader]) == PATIENCE_MS
    assert min(patient[leader]) <= 0
    assert all(max(patient[name]) <= 0 for name in three.names if name != leader)


def test_a_broker_at_rest_is_due_for_no_turn_in_which_there_is_nothing_to_do(three: World) -> None:
    three.elect()
    three.run(2_000)
    for _ in range(2 * HELLO_AT_REST_MS // STEP):
        three.step()
        for node in three.nodes.values():
            assert node.wake_at > three.now


@pytest.mark.parametrize(
    "message",
    [
        request("x"),
        Watch(1, ["x"]),
        Ask(1, ["x"]),
        Report(1, [], [], [], 0),
        Heartbeat(1, 0.1, 0.1, 0.1, 0, 0, False),
        Goodbye(1),
    ],
)
def test_who_has_no_session_is_asked_to_say_hello(one: World, message: ToBroker) -> None:
    before = one.digests()
    assert one.ask(b"stranger", message) == [HelloFirst()]
    assert one.digests() == before


def test_a_client_is_no_worker_and_a_worker_no_client(one: World) -> None:
    one.client()
    one.worker()
    assert one.ask(b"client", Heartbeat(1, None, None, None, 0, 0, False)) == [HelloFirst()]
    assert HelloFirst() in one.ask(b"worker", request("x"))


def test_a_worker_may_declare_its_schedules(one: World) -> None:
    one.worker()
    declares = DeclareSchedules(7, "tasks:app", [])
    assert SchedulesDeclared(7, []) in one.ask(b"worker", declares)
    assert one.ask(b"stranger", declares) == [HelloFirst()]


def test_a_routing_id_that_becomes_a_client_gets_no_tasks(one: World) -> None:
    one.worker(b"same")
    one.client(b"same")
    one.heard(b"same")
    assert one.ask(b"same", request("x")) == [Enqueued(1)]
    one.run(2_000)
    assert pushed(one.heard(b"same")) == []


def test_a_routing_id_that_becomes_a_worker_gets_no_results(one: World) -> None:
    one.client(b"same")
    one.client()
    one.ask(b"client", request("x"))
    one.ask(b"same", Watch(1, ["x"]))
    frames = one.worker(b"same")
    ((token, _),) = pushed(frames)
    frames = one.ask(b"same", Report(1, [], [Outcome(token, True, b"")], [], 0))
    assert not any(isinstance(m, Results) for m in frames)


@pytest.mark.parametrize("hello", [ClientHello(PROTOCOL + 1), None])
def test_another_version_is_refused_with_both_versions(
    one: World, hello: ClientHello | None
) -> None:
    worker = WorkerHello(PROTOCOL + 1, "w", INCARNATION, 1, "h", 1, 1, ["q"], [], False)
    (refused,) = one.ask(b"s", hello or worker)
    assert isinstance(refused, Refused)
    assert str(PROTOCOL + 1) in refused.text
    assert str(PROTOCOL) in refused.text
    assert one.ask(b"s", request("x")) == [HelloFirst()]


def test_an_objectionable_worker_is_told_why(one: World) -> None:
    hello = WorkerHello(PROTOCOL, "w", b"short", 1, "h", 1, 1, ["q"], [], False)
    (refused,) = one.ask(b"s", hello)
    assert isinstance(refused, Refused)
    assert refused.code is Code.PROTOCOL
    assert "16" in refused.text


def test_a_ping_tells_who_leads_and_what_time_it_is(one: World) -> None:
    one.client()
    (first,) = one.ask(b"client", Ping())
    (second,) = one.ask(b"client", Ping())
    assert isinstance(first, Leader)
    assert isinstance(second, Leader)
    assert first[:4] == (1, "a", "a.example:7701", True)
    assert second.time > first.time


def test_a_ping_in_a_session_that_is_no_more_says_so(one: World) -> None:
    """A client that only waits would never learn that its watches fell."""
    told, first = one.ask(b"anybody", Ping())
    assert isinstance(told, Leader)
    assert first == HelloFirst()


def test_a_worker_whose_connection_closed_is_noticed_by_the_next_beat(one: World) -> None:
    one.client()
    one.worker()
    one.ask(b"client", request("x"))
    one.heard(b"worker")
    one.dead.add(b"worker")
    one.run(1_600)
    ((token, id_),) = pushed(one.worker(b"w2", incarnation=b"incarnation-of-v"))
    assert (token, id_) == (2, "x")


def test_the_leaders_own_pause_costs_no_worker_its_tasks(one: World) -> None:
    one.client()
    one.worker()
    one.ask(b"client", request("x"))
    one.run(2_500)
    for _ in range(2):
        one.step(STALL_MS)  # together with the silence before it, more than a lease
        assert one.nodes["a"].leads
    assert not any(isinstance(m, Stop) for m in one.heard(b"worker"))
    (status,) = one.ask(b"any", StatusRequest(1))
    assert isinstance(status, BrokerStatus)
    assert [w.state for w in status.workers] == ["active"]


def test_a_goodbye_ends_the_session(one: World) -> None:
    one.worker()
    one.ask(b"worker", Goodbye(1))
    one.heard(b"worker")
    one.run(1_000)
    assert one.heard(b"worker") == []
    assert one.ask(b"worker", Report(1, [], [], [], 0)) == [HelloFirst()]


def test_nothing_is_left_of_a_client_that_says_goodbye(one: World) -> None:
    one.client()
    one.ask(b"client", request("x", "y"))
    assert one.ask(b"client", Watch(2, ["x", "y"])) == [Watched(2)]
    one.ask(b"client", Goodbye(1))
    leadership = one.nodes["a"]._supervisor.leadership
    assert leadership is not None
    results = leadership.processor.view.results
    assert not results._watchers and not results._watched
    assert one.ask(b"client", Watch(3, ["x"])) == [HelloFirst()]


LONG = "x" * (NAME_MAX + 1)


@pytest.mark.parametrize(
    "message",
    [
        DrainWorker(7, LONG),
        AskQueue(7, LONG),
        SetQueue(7, LONG, b""),
        SetQueue(7, "q", changes(balancer=LONG)),
        ListDead(7, LONG, 1, 1),
        ShowDead(7, LONG),
        RetryDead(7, LONG, "y"),
        RetryDead(7, "y", LONG),
        PurgeDead(7, [], LONG),
        PurgeDead(7, [LONG], ""),
    ],
)
def test_no_name_reaches_the_log_or_a_refusal_that_is_too_long(
    one: World, message: ToBroker
) -> None:
    one.client()
    before = one.digests()
    (refused,) = one.ask(b"client", message)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (7, Code.PROTOCOL)
    assert len(refused.text) < 1_000
    assert one.digests() == before
    assert one.nodes["a"].leads


def test_a_worker_is_beaten_to_while_nothing_happens(one: World) -> None:
    one.worker()
    one.run(1_000)
    beats = one.heard(b"worker")
    assert 4 <= len(beats) <= 6
    assert set(beats) == {Beat(1, 1, 0)}


def test_an_idle_broker_does_not_spin(one: World) -> None:
    node, wakes = one.nodes["a"], 0
    end = one.now + 10_000
    while one.now < end:
        wait = node.wake_at - one.now
        one.step(max(1, wait))
        wakes += 1
    assert wakes < 300


# ---- G8: whatever arrives ----------------------------------------------------------------------

to_frames = [
    to_broker.encode(message)
    for message in (
        Ping(),
        ClientHello(PROTOCOL),
        request("x", "y"),
        Watch(3, ["x", "z"]),
        Ask(4, ["x", "z"]),
        StatusRequest(1),
        WorkerHello(
            PROTOCOL, "w", INCARNATION, 2, "h", 1, 2, ["q"], [Holding(1, Held.DONE, 3)], False
        ),
        Report(1, [Started(1, 2)], [Outcome(1, False, b"")], [2], 5),
        Heartbeat(1, 0.5, 1e300, None, 2, 3, False),
        Goodbye(1),
        PeerHello(PROTOCOL, "raft", "b", b"b" * 16, b"", 2**63 - 1),
    )
]
from_frames = [
    from_broker.encode(message)
    for message in (
        PeerMessage(b"b" * 16, b"\x93\x01\x02\x03"),
        PeerWelcome("b", b"b" * 16, b"c" * 16, [("a", b"a" * 16), ("b", b"b" * 16)], 2**63 - 1),
        PeerWelcome("b", b"b" * 16, b"", [], 5),
        HelloFirst(),
        Refused(0, Code.PROTOCOL, "text"),
        Leader(99, "b", "b.example:7701", True, 2**62),
    )
]


@st.composite
def mutated(draw: st.DrawFn, frames: list[bytes]) -> bytes:
    frame = bytearray(draw(st.sampled_from(frames)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(frame) - 1)))
        match draw(st.integers(0, 2)):
            case 0:
                frame[at : at + 1] = draw(st.binary(max_size=3))
            case 1:
                del frame[at:]
            case _:
                frame[at : at + 1] = bytes([draw(st.integers(0, 255))])
    return bytes(frame)


@settings(max_examples=200)
@given(
    frames=st.lists(
        st.tuples(
            st.one_of(st.binary(max_size=60), mutated(to_frames)),
            st.sampled_from([b"stranger", b"peer-x"]),
        ),
        max_size=8,
    ),
    peer_frames=st.lists(st.one_of(st.binary(max_size=60), mutated(from_frames)), max_size=8),
)
def test_no_frame_of_a_stranger_stops_a_broker_or_changes_a_task(
    frames: list[tuple[bytes, bytes]], peer_frames: list[bytes]
) -> None:
    world = World("a", "b")  # waits for b: no frame may make it more than that
    del world.nodes["b"]
    node = world.nodes["a"]
    before = world.digests()
    for frame, routing in frames:
        node.receive(routing, frame, world.now)
    for frame in peer_frames:
        node.receive_peer("b", frame, world.now)
    world.run(4 * 5)
    assert world.digests() == before


_leader = World("a")
_leader.elect()
_leader.worker()
_quiet = [f for f in to_frames if f != to_broker.encode(request("x", "y"))]


@settings(max_examples=200)
@given(st.lists(st.one_of(st.binary(max_size=60), mutated(_quiet)), max_size=8))
def test_no_garbage_stops_a_leader_or_changes_a_task(frames: list[bytes]) -> None:
    world = _leader  # one broker takes everything that ever arrives
    before = world.digests()["a"]
    for frame in frames:
        for routing in (b"worker", b"stranger"):
            world.nodes["a"].receive(routing, frame, world.now)
    world.run(4 * 5)
    assert world.nodes["a"].leads
    assert world.digests()["a"] == before


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x90", b"\x91\xff", b"\x93\x01\x02\xff"])
def test_an_unreadable_frame_is_answered_with_what_is_wrong(one: World, frame: bytes) -> None:
    one.nodes["a"].receive(b"s", frame, one.now)
    one.step()
    refused, *_ = one.heard(b"s")
    assert isinstance(refused, Refused | Leader)
    if isinstance(refused, Refused):
        assert (refused.request, refused.code) == (0, Code.PROTOCOL)
        assert refused.text


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            Report(1, [], [], [], 0, [Wait(1, 1, ids=["a"] * (WAITS_MAX + 1))]),
            "Report: one of waits: ids must have 0 to 100 items, got 101",
        ),
        (
            Report(1, [], [], [1] * (TOKENS_MAX + 1), 0),
            "Report: released must have 0 to 200000 items, got 200001",
        ),
        (
            PeerHello(1, "raft", "n" * 256, b"", b"", 0),
            "PeerHello: name must have 0 to 255 characters, got 256",
        ),
    ],
    ids=["a wide wait", "too many tokens", "a long name"],
)
def test_a_frame_that_says_more_than_there_may_be_is_refused_as_unreadable(
    one: World, frame: ToBroker, text: str
) -> None:
    assert not one.nodes["a"].receive(b"s", to_broker.encode(frame), one.now)
    one.step()
    assert one.heard(b"s")[0] == Refused(0, Code.PROTOCOL, text)


# ---- three brokers ------------------------------------------------------------------------------


def test_three_blank_brokers_form_one_cluster_of_the_lowest_names_making(three: World) -> None:
    three.elect()
    three.run(2_000)
    ids = {store.identity.cluster_id for store in three.stores.values()}
    assert ids == {b"cluster-of-a...."}
    rosters = [store.roster for store in three.stores.values()]
    assert rosters[0] == {name: store.identity.incarnation for name, store in three.stores.items()}
    assert rosters.count(rosters[0]) == 3
    assert sum(node.leads for node in three.nodes.values()) == 1


def test_a_broker_of_another_cluster_stops_and_the_others_do_not(three: World) -> None:
    other = World("a", "b", "c")
    other.elect()
    other.run(2_000)
    three.elect()
    three.run(2_000)
    three.stores["c"] = other.stores["c"]
    three.stores["c"].identity = replace(three.stores["c"].identity, cluster_id=b"other-cluster...")
    three.nodes["c"] = three.start("c")
    with pytest.raises(StoreError, match="a says: 'c' belongs to another cluster"):
        three.run(2_000 + REJECTED_MS)
    del three.nodes["c"]
    three.elect()
    three.run(2_000)


@pytest.mark.parametrize("missing", ["a", "b", "c"])
def test_nothing_is_formed_while_one_is_missing(three: World, missing: str) -> None:
    three.cut = {missing}
    three.run(8_000)
    assert not any(store.identity.cluster_id for store in three.stores.values())
    three.client(to="b")
    (_, refused) = three.ask(b"client", request("x"), to="b")
    assert isinstance(refused, Refused)
    assert refused.code is Code.NOT_LEADER
    assert "form" in refused.text


def test_an_emptied_directory_does_not_form_a_cluster_anew(three: World) -> None:
    three.elect()
    three.run(1_000)
    three.stores["a"] = MemoryStore("a", 1)
    three.nodes["a"] = three.start("a")
    three.run(3_000)
    assert three.stores["a"].identity.cluster_id == three.stores["b"].identity.cluster_id
    assert sum(node.leads for node in three.nodes.values()) == 1
    assert len({node.status(1).epoch for node in three.nodes.values()}) == 1


@pytest.mark.parametrize("cluster_id", [b"", b"some other one.."])
def test_a_stranger_that_says_hello_as_a_peer_learns_and_changes_nothing(
    three: World, cluster_id: bytes
) -> None:
    leader = three.elect()
    three.run(1_000)
    epoch = three.nodes[leader].status(1).epoch
    for _ in range(200):
        for name in three.names:
            for target in three.names:
                hello = PeerHello(PROTOCOL, "raft", name, b"s" * 16, cluster_id, 0)
                three.say(b"stranger", hello, to=target)
        three.step()
    heard = three.heard(b"stranger")
    assert not any(isinstance(m, PeerWelcome | PeerMessage) for m in heard)
    assert three.nodes[leader].leads
    assert three.nodes[leader].status(1).epoch == epoch
    assert len(set(three.digests().values())) == 1


def test_a_stranger_cannot_name_the_cluster_that_is_formed(three: World) -> None:
    for _ in range(100):
        for target in three.names:
            for name in three.names:
                for joining in (False, True):
                    hello = PeerHello(PROTOCOL, "raft", name, b"s" * 16, b"t" * 16, 0, joining)
                    three.say(b"stranger", hello, to=target)
        three.step()
    three.elect()
    three.run(1_000)
    for store in three.stores.values():
        assert store.identity.cluster_id == b"cluster-of-a...."
        assert b"s" * 16 not in store.roster.values()


def test_what_an_earlier_process_left_unread_is_not_taken_for_its_successors_word(
    three: World,
) -> None:
    leader = three.elect()
    three.run(1_000)
    other = next(name for name in three.names if name != leader)
    node = three.nodes[other]
    later = encode(Vote(99, Position(98, 10_000), True))
    before = node.status(1).epoch
    node.receive_peer(leader, from_broker.encode(PeerMessage(b"o" * 16, later)), three.now)
    assert node.status(1).epoch == before
    incarnation = three.stores[leader].identity.incarnation
    node.receive_peer(leader, from_broker.encode(PeerMessage(incarnation, later)), three.now)
    assert node.status(1).epoch == 99


def test_everybody_else_names_the_leader(three: World) -> None:
    leader = three.elect()
    three.run(500)
    (other, *_) = [name for name in three.names if name != leader]
    three.client(to=other)
    told, refused = three.ask(b"client", request("x"), to=other)
    assert isinstance(told, Leader)
    assert (told.name, told.address, told.active) == (leader, f"{leader}.example:7701", False)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (1, Code.NOT_LEADER)
    assert leader in refused.text
    hello = three.worker(to=other)
    assert [m.name for m in hello if isinstance(m, Leader)] == [leader]
    report = three.ask(b"worker", Report(1, [], [], [], 0), to=other)
    assert [m.name for m in report if isinstance(m, Leader)] == [leader]


def test_a_change_of_leader_is_told_to_every_session(three: World) -> None:
    leader = three.elect()
    for name in three.names:
        three.client(name.encode(), to=name)
    three.nodes[leader].hand_over(three.now)
    three.run(2_000)
    (now,) = [name for name in three.names if three.nodes[name].leads]
    assert now != leader
    for name in three.names:
        told = [m for m in three.heard(name.encode()) if isinstance(m, Leader)]
        assert (told[-1].name, told[-1].active) == (now, name == now)


def test_an_acknowledged_task_is_on_a_majority(three: World) -> None:
    leader = three.elect()
    three.client(to=leader)
    assert three.ask(b"client", request("x"), to=leader) == [Enqueued(1)]
    held = [s for s in three.stores.values() if any(b"payload" in e.data for e in s.log)]
    assert len(held) >= 2
    three.run(1_000)
    assert len(set(three.digests().values())) == 1


def test_without_a_majority_nothing_is_acknowledged_or_told_as_unknown(three: World) -> None:
    leader = three.elect()
    three.client(to=leader)
    three.cut = set(three.names) - {leader}
    three.say(b"client", request("x"), to=leader)
    three.say(b"client", Watch(2, ["nobody's"]), to=leader)
    three.say(b"client", Ask(3, ["nobody's"]), to=leader)
    three.run(5_000)
    heard = three.heard(b"client")
    assert not any(isinstance(m, Enqueued | Results | Answer) for m in heard)
    assert not three.nodes[leader].leads
    assert isinstance(heard[-1], Leader)
    assert not heard[-1].active


def test_a_deposed_leader_leaves_nothing_behind(three: World) -> None:
    leader = three.elect()
    three.client(to=leader)
    three.worker(to=leader)
    three.cut = {leader}
    three.say(b"client", request("x"), to=leader)
    three.run(3_000)
    assert three.nodes[leader]._supervisor.leadership is None
    three.heard(b"client")
    three.cut = set()
    three.run(3_000)
    heard = three.heard(b"client")
    assert not any(isinstance(m, Enqueued | Refused) for m in heard)
    assert len(set(three.digests().values())) == 1


def test_the_next_leader_carries_on_where_the_last_one_stood(three: World) -> None:
    first = three.elect()
    three.client(to=first)
    three.worker(to=first)
    enqueued = three.ask(b"client", request("x", "y", "z", once=True), to=first)
    assert enqueued == [Enqueued(1)]
    (one, _), (two, _) = pushed(three.heard(b"worker"))
    three.cut = {first}
    three.run(1_000)
    second = three.elect()
    assert second != first
    # The worker finished one, runs the other, and the third is still waiting.
    held = [Holding(one, Held.DONE, 0), Holding(two, Held.RUNNING, 50)]
    frames = three.worker(to=second, session=2, holding=held)
    assert [m.stop for m in frames if isinstance(m, WorkerWelcome)] == [[]]
    assert pushed(frames) == []
    report = Report(2, [], [Outcome(one, True, b"1"), Outcome(two, True, b"2")], [], 0)
    frames = three.ask(b"worker", report, to=second)
    assert {t for m in frames if isinstance(m, Acknowledged) for t in m.tokens} == {one, two}
    ((third, id_),) = pushed(frames)
    assert id_ == "z"
    assert third > max(one, two)


def test_an_enqueue_asked_again_at_the_next_leader_is_stored_once(three: World) -> None:
    first = three.elect()
    three.client(to=first)
    three.say(b"client", request("x"), to=first)
    three.step()
    three.step()
    three.cut = {first}
    three.run(1_000)
    second = three.elect()
    three.client(to=second)
    assert three.ask(b"client", request("x"), to=second) == [Enqueued(1)]
    three.cut = set()
    three.run(2_000)
    queues = [node._machine.queues()[0].queued for node in three.nodes.values()]
    assert queues == [1, 1, 1]


def test_a_worker_that_does_not_come_back_after_a_failover_is_given_up(three: World) -> None:
    first = three.elect()
    three.client(to=first)
    three.worker(to=first)
    three.ask(b"client", request("x"), to=first)
    three.cut = {first}
    three.run(1_000)
    second = three.elect()
    three.run(LEASE_MS + 400)
    ((token, id_),) = pushed(three.worker(b"w2", to=second, incarnation=b"incarnation-of-v"))
    assert (token, id_) == (2, "x")


def hellos(world: World, ms: int) -> int:
    """How often brokers say hello meanwhile."""
    count = 0
    for _ in range(0, ms, STEP):
        count += len(world._hellos)
        world.step()
    return count


def test_brokers_that_know_each_other_rarely_say_hello(three: World) -> None:
    three.run(2 * HELLO_MS)
    assert hellos(three, 4_800) <= 2 * 6, "each to two others, every 2.4 s"


def test_a_way_that_is_lost_is_found_again_as_soon_as_ever(three: World) -> None:
    """Even if only the end that needs it knows."""
    three.run(HELLO_AT_REST_MS + HELLO_MS)
    leader = next(name for name, node in three.nodes.items() if node.leads)
    for name in three.names:
        if name != leader:
            three.nodes[leader].link(name, up=False, now=three.now)
    assert three.nodes[leader].wake_at <= three.now + HELLO_MS
    three.run(HELLO_MS + 2 * STEP)
    assert all(link.source for link in three.nodes[leader]._handshake.peers.links.values())


@pytest.mark.parametrize("seed", range(6))
def test_replicas_agree_through_leader_changes_under_load(seed: int) -> None:
    world, rng = World("a", "b", "c"), Random(seed)
    acknowledged: set[str] = set()
    number = 0
    for round_ in range(8):
        world.cut = set() if round_ % 2 else {rng.choice(world.names)}
        if round_ == 0:
            world.cut = set()
        leader = world.elect()
        client = f"client-{round_}".encode()
        world.client(client, to=leader)
        world.worker(f"w{round_}".encode(), to=leader, session=round_ + 1)
        asked: dict[int, list[str]] = {}
        for _ in range(20):
            number += 1
            asked[number] = [f"{number}-{i}" for i in range(rng.randrange(1, 4))]
            world.say(client, request(*asked[number], number=number), to=leader)
            world.step()
            for token, _ in pushed(world.heard(f"w{round_}".encode())):
                report = Report(round_ + 1, [], [Outcome(token, True, b"")], [], 0)
                world.say(f"w{round_}".encode(), report, to=leader)
        world.run(rng.randrange(0, 400))
        for message in world.heard(client):
            if isinstance(message, Enqueued):
                acknowledged.update(asked[message.request])
    world.cut = set()
    world.elect()
    world.run(3_500)  # the lease of the last worker, and what follows from its end
    assert len(set(world.digests().values())) == 1
    results = world.nodes["a"]._machine.lookup(sorted(acknowledged))
    assert acknowledged
    assert all(result.state is not State.UNKNOWN for result in results)


def test_the_shell_is_told_which_frames_are_none() -> None:
    world = World()
    node = world.nodes["a"]
    assert node.receive(b"somebody", to_broker.encode(Ping()), world.now)
    assert not node.receive(b"somebody", b"\xc1", world.now)


def test_a_broker_that_waits_for_the_first_start_says_who_is_missing() -> None:
    """`status` said of the missing one that the others can reach it."""
    world = World("a", "b", "c")
    world.cut.add("c")
    world.run(3_000)
    for name in "ab":
        assert world.nodes[name].status(1).unreached == ("c",)


def test_a_late_acknowledgement_leaves_a_turn_nothing_to_do(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = three.elect()
    three.run(1_000)
    node, other = three.nodes[leader], next(name for name in "abc" if name != leader)
    assert node._replica is not None
    status, turns = node._replica.core.status, list[int]()
    late = encode(AppendReply(status.epoch, True, status.committed.seq, ORIGIN, 0))
    three.step()
    due = node.wake_at
    monkeypatch.setattr(Replica, "turn", lambda _, now: turns.append(now))

    node._deliver(three.nodes[other]._me, late, three.now)
    node.turn(three.now)
    assert turns == []
    assert node.wake_at == due

    node._deliver(three.nodes[other]._me, encode(PreVoteReply(9, False)), three.now)
    node.turn(three.now)
    assert turns == [three.now]
