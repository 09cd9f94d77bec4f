"""What is done for one session, peer or helper fails by itself; what ends a replica still does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import apsw
import pytest

from raftwork.broker import outgoing_frames
from raftwork.broker.cluster.handshake import Handshake
from raftwork.broker.containment import PAUSE_MAX_MS, PAUSE_MS
from raftwork.broker.dispatch.dispatcher import Dispatcher
from raftwork.broker.leader.leadership import Leadership
from raftwork.broker.machine import Machine
from raftwork.broker.requests.request_processor import RequestProcessor
from raftwork.broker.workers.registry import BEAT_MS, WorkerRegistry
from raftwork.broker.workers.reports import Reports
from raftwork.consensus.raft import Raft
from raftwork.errors import BadMessage, PayloadTooLarge, StoreDamaged, StoreError
from raftwork.features import from_broker, to_broker
from raftwork.features.drain import DrainWorker
from raftwork.features.enqueue import Enqueue, Enqueued, _Batch
from raftwork.features.results import Ask, Results, Watch
from raftwork.messages import (
    PROTOCOL,
    Acknowledged,
    ClientHello,
    Code,
    FromBroker,
    Heartbeat,
    Held,
    HelloFirst,
    Holding,
    Leader,
    Outcome,
    Ping,
    Push,
    Refused,
    Report,
    Result,
    Started,
    State,
    WorkerWelcome,
)
from raftwork.messages.registry import Frame
from tests.unit.broker.leases import LEASE_MS
from tests.unit.broker.nodes import MemoryStore, World
from tests.unit.broker.queues import SPEC, enqueue


class Bug(Exception):
    """Raised where nothing is expected to raise."""


@contextmanager
def bug(
    owner: type, name: str, when: Callable[..., bool] = lambda *_: True, error: Any = Bug
) -> Iterator[list[int]]:
    """While it lasts `owner.name` raises at the end of its work, if `when(*arguments)`."""
    real, struck = getattr(owner, name), list[int]()

    def broken(*arguments: Any, **named: Any) -> Any:
        done = real(*arguments, **named)
        if when(*arguments):
            struck.append(1)
            raise error
        return done

    setattr(owner, name, broken)
    try:
        yield struck
    finally:
        setattr(owner, name, real)


def request(*ids: str, number: int = 1) -> Enqueue:
    _, spec, tasks, _ = enqueue(*ids, spec=SPEC)
    return Enqueue(number, 1 << 52, spec, tasks)


def pushed(frames: list[FromBroker]) -> list[int]:
    return [task.token for m in frames if isinstance(m, Push) for task in m.tasks]


def watches(_desk: RequestProcessor, _routing: bytes, request: object, *_: object) -> bool:
    return isinstance(request, Watch)


@pytest.fixture
def one() -> World:
    world = World("a")
    world.elect()
    world.tolerated = Bug
    return world


# ---- one session --------------------------------------------------------------------------------


def test_a_request_that_fails_is_refused_and_ends_only_its_session(one: World) -> None:
    one.client()
    one.client(b"other")
    with bug(RequestProcessor, "request", watches):
        assert Refused in map(type, one.ask(b"client", Watch(1, ["x"])))
        assert one.ask(b"other", request("x")) == [Enqueued(1)]
        assert one.nodes["a"].leads
    one.run(PAUSE_MS)
    told, first = one.ask(b"client", Ping())
    assert isinstance(told, Leader)
    assert first == HelloFirst(), "even if it only waits, it must learn that nothing stands"
    assert one.contained == ["a frame that came in"]


@pytest.mark.parametrize(
    ("owner", "name", "asked"),
    [
        (_Batch, "command", request("x", number=7)),
        (_Batch, "applied", request("x", number=7)),
        (Machine, "states", Ask(7, ["x"])),
        (WorkerRegistry, "named", DrainWorker(7, "w")),
    ],
)
def test_a_request_that_fails_later_on_is_refused_and_ends_nothing_else(
    one: World, owner: type, name: str, asked: Frame
) -> None:
    """It ended the leadership, and what its client asked again ended the next one."""
    one.client()
    one.client(b"other")
    one.worker()
    with bug(owner, name) as struck:
        (refused,) = one.ask(b"client", asked)
    assert struck
    assert isinstance(refused, Refused) and (refused.request, refused.code) == (7, Code.OTHER)
    assert refused.text.startswith(f"the leader failed at the request {type(asked).__name__}: Bug")
    assert one.contained == [f"the request {type(asked).__name__} of a client"]
    assert one.ask(b"other", request("y")) == [Enqueued(1)]
    assert one.ask(b"client", request("z", number=8)) == [Enqueued(8)], "its session stands"


def test_nothing_of_a_session_that_failed_is_left(one: World) -> None:
    """What it watched is not sent to whoever comes to its routing id next."""
    one.client()
    with bug(RequestProcessor, "request", watches):
        one.ask(b"client", Watch(1, ["x"]))
    one.run(PAUSE_MS)
    one.client()
    one.client(b"other")
    one.worker()
    one.ask(b"other", request("x"))
    (token,) = pushed(one.heard(b"worker"))
    one.ask(b"worker", Report(1, [], [Outcome(token, True, b"v")], [], 0))
    assert one.heard(b"client") == []


def test_what_cannot_be_read_later_on_is_no_frame_that_cannot_be_read(one: World) -> None:
    """What it began is half done: the session ends as with any other error."""
    one.client()
    one.tolerated = BadMessage
    with bug(RequestProcessor, "request", watches, BadMessage("something within")):
        one.ask(b"client", Watch(1, ["x"]))
    assert one.contained == ["a frame that came in"]
    one.run(PAUSE_MS)
    assert one.ask(b"client", Ping())[-1] == HelloFirst()


def test_who_fails_again_and_again_is_not_read_for_longer_and_longer(one: World) -> None:
    struck_at: list[int] = []

    def strikes(*_: object) -> bool:
        struck_at.append(one.now)
        return True

    with bug(RequestProcessor, "request", strikes):
        for _ in range(2_000):
            one.say(b"client", ClientHello(PROTOCOL))
            one.say(b"client", Ask(1, ["x"]))
            one.step(50)
    waits = [later - earlier for earlier, later in pairwise(struck_at)]
    assert waits[:4] == [PAUSE_MS, 2 * PAUSE_MS, 4 * PAUSE_MS, 8 * PAUSE_MS]
    assert waits[-1] == PAUSE_MAX_MS
    one.run(PAUSE_MAX_MS)
    one.client()
    assert one.ask(b"client", request("y")) == [Enqueued(1)]


@pytest.mark.parametrize("where", ["_is_news", "_propose", "take"])
def test_a_report_that_fails_half_way_is_taken_up_again_whole(one: World, where: str) -> None:
    one.client()
    one.worker()
    one.ask(b"client", request("x"))
    one.ask(b"client", Watch(2, ["x"]))
    (token,) = pushed(one.heard(b"worker"))
    report = Report(1, [Started(token, 0)], [Outcome(token, True, b"v")], [], 0)
    with bug(Reports, where) as struck:
        one.say(b"worker", report)
        one.run(20)
    assert struck
    one.heard(b"worker")
    one.run(PAUSE_MS)
    assert one.ask(b"worker", report) == [HelloFirst()]
    welcome, *_ = one.worker(session=2, holding=[Holding(token, Held.DONE, 5)])
    assert welcome == WorkerWelcome(1, 2, [])
    answers = one.ask(b"worker", report._replace(session=2))
    assert Acknowledged(1, 2, [token]) in answers or where == "take"
    assert Results([Result("x", State.SUCCEEDED, b"v")]) in one.heard(b"client")
    one.ask(b"client", request("y", "z", number=3))
    assert len(pushed(one.heard(b"worker"))) == 2, "both of its slots are free again"


def test_a_worker_that_is_not_read_for_a_moment_keeps_its_tasks(one: World) -> None:
    one.client()
    one.worker()
    one.ask(b"client", request("x"))
    (token,) = pushed(one.heard(b"worker"))
    beat = Heartbeat(1, None, None, None, 0, 0, False)
    with bug(WorkerRegistry, "heartbeat"):
        one.ask(b"worker", beat)
    one.run(LEASE_MS - 1_000)
    assert one.ask(b"worker", beat)[-1] == HelloFirst()
    one.worker(session=2, holding=[Holding(token, Held.RUNNING, 5)])
    one.run(LEASE_MS - 1_000)
    one.ask(b"worker", Report(2, [], [Outcome(token, True, b"v")], [], 0))
    one.ask(b"client", Watch(2, ["x"]))
    assert one.nodes["a"]._machine.states(["x"]) == [State.SUCCEEDED]


def test_a_frame_that_cannot_be_sent_is_lost_and_the_others_leave(one: World) -> None:
    outgoing = one.nodes["a"]._outgoing
    send, broken = outgoing._send, [b"client"]

    def failing(routing: bytes, frame: bytes) -> None:
        if routing in broken:
            raise Bug
        send(routing, frame)

    outgoing._send = failing
    one.say(b"client", ClientHello(PROTOCOL))
    one.say(b"other", ClientHello(PROTOCOL))
    one.run(20)
    assert one.contained == ["a frame that goes out"]
    assert [type(each) for each in one.heard(b"other")] == [Leader]
    broken.clear()
    one.run(PAUSE_MS)
    assert one.ask(b"client", request("x")) == [HelloFirst()]


def test_an_answer_that_cannot_be_said_is_refused_and_its_session_stands(one: World) -> None:
    """Its asker would wait for it until its time is over; what it asked for is done."""
    one.client()

    def strikes(encoder: object, message: object) -> bool:
        return encoder is from_broker and isinstance(message, Enqueued)

    with bug(type(from_broker), "encode", strikes):
        (refused,) = one.ask(b"client", request("x"))
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (1, Code.UNAVAILABLE)
    assert "Enqueued: Bug" in refused.text
    assert one.contained == ["an answer that goes out"]
    assert one.ask(b"client", request("x")) == [Enqueued(1)]
    assert one.contained == ["an answer that goes out"]


def test_of_outcomes_that_are_pushed_one_that_cannot_be_said_costs_its_data_alone(
    one: World,
) -> None:
    """Its client would come back to a session that is closed, and watch all of them again."""
    one.client()
    good, bad, lost = (Result(id_, State.SUCCEEDED, b"data") for id_ in ("good", "bad", "lost"))

    def strikes(encoder: object, message: object) -> bool:
        return (
            encoder is from_broker
            and isinstance(message, Results)
            and any(each.id == "bad" and each.data for each in message.results)
        )

    with bug(type(from_broker), "encode", strikes):
        one.nodes["a"]._outgoing.frames.append((b"client", Results([good, bad, lost])))
        one.run(20)
    told = [each for frame in one.heard(b"client") for each in frame.results]  # type: ignore[attr-defined]
    assert told == [good, bad._replace(data=b"", forgotten=True), lost]
    assert one.contained == ["an answer that goes out"]
    assert one.ask(b"client", request("x")) == [Enqueued(1)]  # its session stands


def test_an_answer_longer_than_its_asker_reads_is_refused(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its asker's side would close the connection, and it would ask again and again."""
    one.tolerated = PayloadTooLarge
    one.client()
    monkeypatch.setattr(outgoing_frames, "FRAME_BYTES_MAX", 2)
    (refused,) = one.ask(b"client", request("x"))
    assert isinstance(refused, Refused)
    assert "PayloadTooLarge" in refused.text


@pytest.mark.parametrize(("owner", "name"), [(RequestProcessor, "request"), (Dispatcher, "rests")])
def test_an_os_error_is_the_disks_only_where_files_are_used(
    one: World, owner: type, name: str
) -> None:
    """A socket's or a thread's ends what it was needed for, as any other error does."""
    one.tolerated = OSError
    one.client()
    one.client(b"other")
    one.worker()  # without a free slot nothing is planned
    with bug(owner, name, error=OSError("too many open files")):
        one.say(b"other", request("w"))
        one.say(b"client", Ask(1, ["x"]))
        one.run(100)
        assert one.contained
    one.run(PAUSE_MAX_MS)
    one.client(b"other")
    assert one.ask(b"other", request("x")) == [Enqueued(1)]


def test_a_frame_at_which_the_decoder_fails_is_that_sessions_trouble(one: World) -> None:
    one.client(b"other")

    def strikes(decoder: object, frame: bytes) -> bool:
        return decoder is to_broker and frame == to_broker.encode(Ping())

    with bug(type(to_broker), "decode", strikes):
        one.say(b"client", Ping())
        one.step()
        assert [type(m) for m in one.heard(b"client")] == [Refused]
        assert one.ask(b"other", request("x")) == [Enqueued(1)]
    assert one.contained == ["a frame that came in"]


def test_what_cannot_be_told_to_people_changes_nothing() -> None:
    def telling(_name: str, _event: object) -> None:
        raise Bug

    world = World("a", "b", "c", tell=telling)
    world.tolerated = Bug
    leader = world.elect()
    world.client(to=leader)
    assert world.ask(b"client", request("x"), to=leader) == [Enqueued(1)]
    assert set(world.contained) == {"telling what happened"}


# ---- peers --------------------------------------------------------------------------------------


def test_a_peer_at_whose_frames_this_broker_fails_is_as_if_away() -> None:
    world = World("a", "b", "c")
    leader = world.elect()
    world.tolerated = Bug
    other = next(name for name in "abc" if name != leader)

    def about(neighbours: Handshake, name: str, *_: object) -> bool:
        return neighbours is world.nodes[leader]._handshake and name == other

    with bug(Handshake, "_welcomed", about) as struck:
        world.run(5_000)
        assert 2 <= len(struck) <= 8, "its welcomes come twice a second"
        assert world.nodes[leader].leads
        world.client(to=leader)
        assert world.ask(b"client", request("x"), to=leader) == [Enqueued(1)]
    world.run(PAUSE_MAX_MS)
    assert len(set(world.digests().values())) == 1


def test_a_peer_that_is_as_if_away_is_dialled_where_it_is_looked_for() -> None:
    """It said that it listens elsewhere, and may do so: nothing else looks at what is dialled."""
    world = World("a", "b", "c")
    leader = world.elect()
    world.tolerated = Bug
    other = next(name for name in "abc" if name != leader)
    link = world.nodes[leader]._handshake.peers.links[other]
    link.where.says("elsewhere.example:1", world.now, answers=True)
    with bug(Handshake, "heard", lambda _, name, *__: name == other) as struck:
        while not struck:
            world.step()
        assert world.dialled[leader, other] == link.where.address == "elsewhere.example:1"


def test_a_broker_that_cannot_be_dialled_is_looked_for_again() -> None:
    world = World("a", "b", "c")
    leader = world.elect()
    world.tolerated = OSError
    other = next(name for name in "abc" if name != leader)
    node, tries = world.nodes[leader], list[str]()

    def failing(name: str, address: str) -> None:
        tries.append(address)
        raise OSError("too many open files")

    object.__setattr__(node._setup, "dial", failing)
    node._handshake.peers.links[other].where.says("elsewhere.example:1", world.now, answers=True)
    world.cut.add(other)
    node.link(other, False, world.now)
    world.run(10_000)
    assert len(tries) > 1
    assert set(world.contained) == {"the search for another broker"}


def test_a_consensus_message_that_cannot_be_sent_is_lost() -> None:
    world = World("a", "b", "c")
    leader = world.elect()
    world.tolerated = Bug
    other = next(name for name in "abc" if name != leader)
    with bug(Handshake, "say_hello"), pytest.raises(Bug):
        world.nodes[leader]._handshake.say_hello(other, 0)  # what is outside a boundary is raised
    setup = world.nodes[leader]._setup
    send = setup.send_consensus
    broken = [b"peer-" + next(name for name in "abc" if name != leader).encode()]

    def failing(routing: bytes, frame: bytes) -> bool | None:
        if routing in broken:
            raise Bug
        return send(routing, frame)

    object.__setattr__(setup, "send_consensus", failing)
    world.client(to=leader)
    assert world.ask(b"client", request("x"), to=leader) == [Enqueued(1)]
    assert set(world.contained) == {"a frame to another broker"}
    assert world.nodes[leader].leads
    broken.clear()
    world.run(3_000)
    assert len(set(world.digests().values())) == 1


# ---- the leader's own state ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Dispatcher, "rests"),
        (Leadership, "applied"),
        (WorkerRegistry, "pass_time"),
        (WorkerRegistry, "frames"),
        (Leadership, "_propose"),
    ],
)
def test_a_leadership_that_fails_is_made_anew_and_every_task_has_its_outcome(
    one: World, owner: type, name: str
) -> None:
    one.client()
    one.worker()
    with bug(owner, name) as struck:
        one.say(b"client", request("x"))
        one.run(max(PAUSE_MS, BEAT_MS))
    assert struck
    assert HelloFirst() in one.heard(b"client")
    one.run(PAUSE_MAX_MS)
    assert one.nodes["a"].leads
    one.client()
    assert one.ask(b"client", request("x", number=2)) == [Enqueued(2)]
    # What the failed leadership pushed, the worker of this session knows nothing of.
    *_, token = pushed(one.worker(session=2) + one.ask(b"client", Watch(3, ["x"])))
    one.ask(b"worker", Report(2, [], [Outcome(token, True, b"v")], [], 0))
    assert one.nodes["a"]._machine.states(["x"]) == [State.SUCCEEDED]


@pytest.mark.parametrize("work", ["plan", "drain", "applied"])
def test_a_leadership_that_failed_is_made_anew_as_soon_as_its_pause_is_over(
    one: World, work: str
) -> None:
    node = one.nodes["a"]
    one.client()
    with bug(Leadership, work) as struck:
        one.say(b"client", request("x"))
        while not struck:
            one.step()
    failed = one.now
    assert node._supervisor.leadership is None
    for _ in range(20):
        one.step(max(0, node.wake_at - one.now))
        if node.leads:
            break
    assert one.now <= failed + PAUSE_MS + 10


def test_a_leadership_that_fails_again_and_again_is_made_after_growing_pauses(one: World) -> None:
    made: list[int] = []

    def strikes(*_: object) -> bool:
        made.append(one.now)
        return True

    with bug(Leadership, "__init__", strikes):
        with bug(Leadership, "plan"):
            one.run(100)
        one.run(40_000)
        assert not one.nodes["a"].leads
        assert one.ask(b"client", Ping())
    waits = [later - earlier for earlier, later in pairwise(made)]
    assert waits == sorted(waits)
    assert 5 <= len(waits) <= 12
    one.run(PAUSE_MAX_MS)
    assert one.nodes["a"].leads


def test_a_leadership_that_was_made_anew_asks_for_later_barriers(one: World) -> None:
    one.client()
    one.ask(b"client", Ask(1, ["x"]))
    before = one.nodes["a"]._supervisor.leadership
    assert before is not None
    with bug(Leadership, "plan"):
        one.say(b"client", Ask(2, ["x"]))
        one.step()
    one.run(PAUSE_MS)
    after = one.nodes["a"]._supervisor.leadership
    assert after is not None
    assert after is not before
    assert after.barrier >= before.barrier > after.epoch << 32


# ---- what ends a replica ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [StoreError("x"), StoreDamaged("x"), apsw.IOError("x"), apsw.CorruptError("x")],
)
@pytest.mark.parametrize(
    ("owner", "name"),
    [(RequestProcessor, "request"), (Dispatcher, "rests"), (_Batch, "command")],
)
def test_the_disk_of_this_replica_is_never_somebody_elses_work(
    one: World, owner: type, name: str, error: Exception
) -> None:
    one.client()
    one.worker()  # without a free slot nothing is planned
    one.tolerated = Exception

    def work() -> None:
        one.say(b"client", Ask(1, ["x"]))
        one.say(b"client", request("x", number=2))
        one.run(100)

    with bug(owner, name, error=error), pytest.raises(type(error)):
        work()
    assert one.contained == []


@pytest.mark.parametrize(
    ("owner", "name"), [(Machine, "apply"), (Raft, "propose"), (Raft, "barrier"), (Raft, "output")]
)
def test_consensus_and_the_machine_end_the_replica(one: World, owner: type, name: str) -> None:
    one.client()
    one.say(b"client", Ask(1, ["x"]))
    one.say(b"client", request("x", number=2))
    with bug(owner, name), pytest.raises(Bug):
        one.run(100)
    assert one.contained == []


def test_joining_a_cluster_by_halves_ends_the_replica() -> None:
    """Whatever it was that failed: only a restart finds out what the directory is now."""
    world = World("a", "b", "c")
    world.tolerated = Bug
    joins = lambda store, *_: store.identity.name == "b"  # noqa: E731
    with bug(MemoryStore, "form", joins), pytest.raises(Bug):
        world.elect()
    assert world.contained == []


def test_what_consensus_raises_at_a_peers_message_ends_the_replica() -> None:
    world = World("a", "b", "c")
    world.elect()
    world.tolerated = Bug
    with bug(Raft, "receive"), pytest.raises(Bug):
        world.run(100)
    assert world.contained == []
