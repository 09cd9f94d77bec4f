"""Releases side by side: what a newer one left in the log, and what it asks for."""

import pytest

from raftwork.broker.machine import create_or_migrate
from raftwork.broker.machine.commands import Tick, commands
from raftwork.broker.store import Store, open_store
from raftwork.consensus.core import Entry, Kind, Position
from raftwork.features import to_broker
from raftwork.messages import PROTOCOL, ClientHello, Code, Leader
from raftwork.release import RELEASE
from raftwork.wire import pack
from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import PATIENCE, Cluster
from tests.cluster.raw_clients import raw_client


@pytest.fixture
def solo(make_cluster: MakeCluster) -> Cluster:
    """One broker with a task that waits."""
    cluster = make_cluster(("solo",))
    cluster.start()
    cluster.app.named("add", id="waits").enqueue(1, 2)
    return cluster


def opened(cluster: Cluster) -> Store:
    """The directory of a stopped broker."""
    assert not cluster["solo"].alive
    return open_store(
        cluster.local.data("solo"),
        name="solo",
        consensus=cluster.consensus,
        cluster=cluster.local.addresses,
        create_machine=create_or_migrate,
    )


@pytest.mark.parametrize(
    ("command", "why"),
    [([4_000, "new"], "unknown message tag 4000"), ([2, b"w" * 16, [1], "new"], "3 fields")],
    ids=["a command", "a field"],
)
def test_what_only_a_newer_release_knows_ends_a_broker_before_it_is_applied(
    solo: Cluster, command: list[object], why: str
) -> None:
    """Skipping it would make this replica another than those that carry it out."""
    assert solo["solo"].stop(PATIENCE) == 0
    store = opened(solo)
    epoch, seq = store.last
    newer = Position(epoch, seq + 1)
    plain = [commands.plain(Tick()), command, commands.plain(Tick())]
    store.begin(sync=True)
    store.append((Entry(newer, Kind.DATA, pack([0, plain])),))
    store.commit()
    store.close()
    for _ in range(2):
        solo.restart("solo")
        broker = solo["solo"]
        assert broker.wait(PATIENCE) == 1, broker.tail()
        said = broker.log.read_text()
        for part in (f"entry {newer.epoch}.{newer.seq}", "newer release", RELEASE, why):
            assert part in said
        assert "start this broker with the release that the other brokers run" in said
        assert "Traceback" not in said
        store = opened(solo)
        assert store.applied < newer <= store.last, "it waits in the log"
        store.close()


def test_requests_of_a_newer_client_are_refused_one_by_one_and_it_is_not_cut_off(
    solo: Cluster,
) -> None:
    with raw_client(solo, hello=False) as one:
        for number in range(100):
            one.say(pack([4_000, number, "new"]))
            refused = one.refusal()
            assert (refused.request, refused.code) == (number, Code.UNSUPPORTED)
        one.say(to_broker.encode(ClientHello(PROTOCOL)))
        assert one.hear(Leader)
