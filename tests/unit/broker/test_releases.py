"""Brokers, clients and workers of other releases: what they say, and what they leave in the log."""

import re
from typing import NamedTuple

import pytest

from raftwork.broker.machine.commands import Tick, commands, decode_batch
from raftwork.broker.version_negotiation import version_objection
from raftwork.consensus.core import Kind
from raftwork.errors import OtherRelease, StoreError
from raftwork.features import from_broker, to_broker
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.results import Answer, Ask
from raftwork.features.upgrade import FinishUpgrade, Raise, UpgradeFinished
from raftwork.messages import (
    PRIORITY_MAX,
    PROTOCOL,
    PROTOCOL_OLDEST,
    ClientHello,
    Code,
    FromBroker,
    Leader,
    Refused,
    Spec,
    encode_spec,
)
from raftwork.release import LEVELS, RELEASE, Levels
from raftwork.wire import pack, unpack
from tests.unit.broker.nodes import STEP, MemoryStore, World
from tests.unit.broker.queues import SPEC, enqueue

#: A command that no release has yet, between two of this one's.
NEWER = pack([0, [commands.plain(Tick()), [4_000, "?"], commands.plain(Tick())]])


def request(*ids: str, spec: bytes | None = None, number: int = 1) -> Enqueue:
    _, packed, tasks, _ = enqueue(*ids, spec=SPEC)
    return Enqueue(number, 1 << 52, spec or packed, tasks)


# ---- entries ------------------------------------------------------------------------------------


def test_an_entry_of_a_newer_release_stops_every_replica_before_it_commits(consensus: str) -> None:
    world = World("a", "b", "c", consensus=consensus)
    leader = world.elect()
    world.client(to=leader)
    assert Enqueued(1) in world.ask(b"client", request("x"), leader)
    world.run(1_000)  # the others have applied it, too
    store, before = world.stores[leader], world.digests()
    applied = store.applied
    replica = world.nodes[leader]._replica
    assert replica is not None
    at = replica.core.propose(NEWER, world.now)
    with pytest.raises(OtherRelease) as caught:
        world.run(1_000)
    text = str(caught.value)
    for part in (f"entry {at.epoch}.{at.seq}", "newer release", RELEASE, "4000", "start this"):
        assert part in text
    assert (store.applied, store.last) == (applied, at), "the entry waits in the log"
    world.nodes[leader] = world.start(leader)  # from what was committed
    assert world.digests()[leader] == before[leader]
    for name in set(world.names) - {leader}:
        assert world.stores[name].applied <= applied


def test_a_broker_that_starts_with_an_entry_of_a_newer_release_says_so_again() -> None:
    world = World("a")
    world.elect()
    replica = world.nodes["a"]._replica
    assert replica is not None
    replica.core.propose(NEWER, world.now)
    for _ in range(3):
        with pytest.raises(OtherRelease, match="start this broker with the release"):
            world.run(20_000)
        world.nodes["a"] = world.start("a")


# ---- clients ------------------------------------------------------------------------------------


def test_a_newer_client_is_refused_and_stops_nobody() -> None:
    """Its spec has a field that this release does not know: in the log it would end all brokers."""
    world = World("a")
    world.elect()
    world.client()
    spec = pack([1, *SPEC, "a field more"])
    (refused,) = world.ask(b"client", request("x", spec=spec))
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNSUPPORTED
    assert "upgrade the brokers" in refused.text
    (answer,) = world.ask(b"client", Ask(2, ["x"]))
    assert isinstance(answer, Answer)
    assert answer.results[0].state == 0


def test_a_newer_worker_stops_nobody() -> None:
    """Whatever more it says, in the records within, too, goes into the log as is known here."""
    world = World("a")
    world.elect()
    world.client()
    spec = encode_spec(Spec("job", "default", retries=9))
    world.ask(b"client", request("x", "y", spec=spec))
    hello = [10, PROTOCOL + 7, "w", b"incarnation-of-w", 1, "h", 1, 2, ["default"], [], False]
    world.nodes["a"].receive(b"worker", pack([*hello, PROTOCOL, "new"]), world.now)
    world.run(500)
    machine = world.nodes["a"]._machine
    tokens = [run.token for run in machine.running()]
    assert len(tokens) == 2
    failure = pack([1, "E", "m", "t", "new"])
    loss = ["w", None, 9, 4_096, 0, "new"]
    outcomes: list[list[object]] = [
        [tokens[0], False, failure, False, None, False, "new"],
        [tokens[1], False, b"", False, loss, False, "new"],
    ]
    report = [11, 1, [[tokens[0], 5, "new"]], outcomes, [], 0, [], "new"]
    world.nodes["a"].receive(b"worker", pack(report), world.now)
    world.run(500)
    assert world.nodes["a"].leads
    assert not set(tokens) & {run.token for run in machine.running()}


def test_an_unknown_request_is_answered_and_its_sender_is_no_offender() -> None:
    world = World("a")
    world.elect()
    node = world.nodes["a"]
    assert node.receive(b"client", pack([4_000, 17, "new"]), world.now), "none of its offences"
    world.step()
    (refused,) = world.heard(b"client")
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (17, Code.UNSUPPORTED)
    assert RELEASE in refused.text and "upgrade the brokers" in refused.text
    assert not node.receive(b"client", pack(["?"]), world.now), "but this is no message of anybody"


def test_a_newer_brokers_reason_is_read_as_some_reason() -> None:
    refused = from_broker.decode(pack([2, 5, 4_000, "because"]))
    assert refused == Refused(5, Code.OTHER, "because")


# ---- hellos -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("newest", "oldest", "said"),
    [
        (PROTOCOL, 0, None),
        (PROTOCOL, PROTOCOL_OLDEST, None),
        (PROTOCOL + 5, PROTOCOL, None),
        (PROTOCOL_OLDEST, 1, None),
        (
            2,
            0,
            f"protocol version 2, this broker of raftwork {RELEASE} speaks {PROTOCOL}: start the",
        ),
        (PROTOCOL + 2, PROTOCOL + 1, "versions 4 to 5, .* start this broker with a newer release"),
    ],
)
def test_a_hello_is_taken_if_there_is_a_version_that_both_speak(
    newest: int, oldest: int, said: str | None
) -> None:
    objection = version_objection(newest, oldest)
    assert (objection is None) == (said is None)
    if said is not None and objection is not None:
        assert re.search(said.replace("versions", "version"), objection)
    world = World("a")
    world.elect()
    answer = world.ask(b"client", ClientHello(newest, oldest))[0]
    assert isinstance(answer, Leader if said is None else Refused)


class OldHello(NamedTuple):
    """A PeerHello as 0.1.0 says it."""

    version: int
    consensus: str
    name: str
    incarnation: bytes
    cluster_id: bytes
    wall: int
    joining: bool = False
    address: str = ""


def test_a_broker_of_0_1_0_and_one_of_this_release_refuse_each_other() -> None:
    world = World("a", "b", "c")
    world.nodes = {"a": world.nodes["a"]}  # the others are of 0.1.0
    world.run(1_000)
    old = pack([20, *OldHello(2, "raft", "c", b"c" * 16, b"", 0)])
    world.nodes["a"].receive(b"old", old, world.now)
    world.step()
    (refused,) = world.heard(b"old")
    assert isinstance(refused, Refused)
    for part in ("protocol version 2", RELEASE, "start the sender with a newer release"):
        assert part in refused.text
    # As 0.1.0 answers: this one ends, and says what each says of the other.
    a = world.nodes["a"]
    a._store.form(b"c" * 16, {name: name.encode().ljust(16) for name in "abc"})
    refusal = from_broker.encode(Refused(0, Code.PROTOCOL, "protocol version 3, this speaks 2"))

    def hears(ms: int) -> None:
        for _ in range(0, ms, 200):
            a.wake(world.now, world.now)
            a.receive_peer("b", refusal, world.now)
            a.receive_peer("c", refusal, world.now)
            a.receive(b"old", old, world.now)
            a.turn(world.now)
            world.now += 200

    said = r"b says: protocol version 3, this speaks 2; .*It refuses one.*version 2, this broker of"
    with pytest.raises(StoreError, match=said):
        hears(10_000)
    # What 0.1.0 makes of this one's hello: its first field is the version, whatever follows.
    hello = world.nodes["a"]._handshake.peers.hello(b"", 0)
    plain = unpack(to_broker.encode(hello))
    assert isinstance(plain, list) and plain[1] == PROTOCOL != 2


# ---- the level ----------------------------------------------------------------------------------


def levels(world: World) -> set[int]:
    return {node._machine.level for node in world.nodes.values()}


def test_a_new_clusters_first_entry_is_its_level(consensus: str) -> None:
    world = World("a", "b", "c", consensus=consensus)
    leader = world.elect()
    world.run(1_000)
    assert levels(world) == {LEVELS.most}
    assert len(set(world.digests().values())) == 1
    data = next(entry for entry in world.stores[leader].log if entry.kind is Kind.DATA)
    assert decode_batch(data.data)[1][0] == list(commands.plain(Raise(LEVELS.most, RELEASE)))


def first_answer(world: World, limit: int = 20_000) -> FromBroker:
    """A client asks every broker in every turn for what needs level 2: what a leader answers."""
    spec = encode_spec(SPEC._replace(priority=PRIORITY_MAX))
    for _ in range(0, limit, STEP):
        for name in world.names:
            world.say(b"client", ClientHello(PROTOCOL), name)
            world.say(b"client", request("x", spec=spec), name)
        world.step()
        for message in world.heard(b"client"):
            if isinstance(message, Enqueued):
                return message
            if isinstance(message, Refused) and message.code is not Code.NOT_LEADER:
                return message
    raise AssertionError("nobody answers")


@pytest.mark.parametrize("names", ["a", "abc"])
def test_a_new_cluster_takes_what_needs_its_level_from_the_first_moment(
    names: str, consensus: str
) -> None:
    world = World(*names, consensus=consensus)
    assert first_answer(world) == Enqueued(1)
    assert levels(world) >= {LEVELS.most}


def test_a_new_cluster_with_an_old_broker_serves_at_the_level_that_both_run(
    consensus: str,
) -> None:
    world = World("a", "b", "c", consensus=consensus, levels={"b": Levels(0, 1)})
    refused = first_answer(world)
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNSUPPORTED
    assert "at level 2, this one is at level 1" in refused.text


def test_a_new_cluster_of_the_next_release_never_is_at_a_level_that_it_does_not_run() -> None:
    world = World("a", "b", "c", levels=dict.fromkeys("abc", Levels(1, 2)))
    leader = world.elect()
    world.client(to=leader)
    world.ask(b"client", request("x"), leader)
    world.run(1_000)
    assert levels(world) == {2}
    assert len(set(world.digests().values())) == 1


def test_every_broker_of_a_new_release_and_a_word_raise_the_level(consensus: str) -> None:
    """Two of three are upgraded: refused. All three: raised, and the old release is out."""
    top = LEVELS.most
    new = Levels(1, top + 1)
    world = World("a", "b", "c", consensus=consensus)
    world.elect()
    world.run(1_000)
    assert levels(world) == {top}

    def restart(*names: str) -> str:
        for name in names:
            world.levels[name] = new
            world.nodes[name] = world.start(name)
            world.run(3_000)
        leader = world.elect()
        world.run(6_000)
        world.client(to=leader)
        return leader

    leader = restart("a", "b")
    answers = world.ask(b"client", FinishUpgrade(1), leader)
    if world.levels.get(leader) == new:
        (refused,) = answers
        assert isinstance(refused, Refused)
        assert "broker c is of raftwork" in refused.text
    else:  # c leads, and knows of no higher level
        assert answers == [UpgradeFinished(1, top, top)]
    leader = restart("c")
    assert world.ask(b"client", FinishUpgrade(2), leader) == [UpgradeFinished(2, top + 1, top)]
    world.run(1_000)
    assert levels(world) == {top + 1}
    assert len(set(world.digests().values())) == 1
    # Back to the old release: it does not start on the directory of the new level.
    del world.levels["b"]
    with pytest.raises(
        OtherRelease, match=f"level {top + 1}, raised by raftwork {RELEASE}; .* or later"
    ):
        world.start("b")
    # Nor does it get in with an empty one.
    world.levels["b"] = LEVELS
    world.stores["b"] = MemoryStore("b", 1)
    world.nodes["b"] = world.start("b")
    world.run(3_000)
    assert world.nodes["b"]._machine.level == 0
    link = world.nodes["b"]._handshake.peers.links[leader if leader != "b" else "a"]
    assert f"this cluster is at level {top + 1}" in link.refusal
