"""Processes that die, stop, or are stopped, under load: nothing acknowledged is lost."""

import json
import signal
import threading
from pathlib import Path

import pytest

from raftwork import App, ProtocolError, Unavailable
from raftwork.client.events import Event
from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import PATIENCE, Cluster
from tests.cluster.load import BATCH, Load


def test_nothing_acknowledged_is_lost_when_the_leader_is_killed_under_load(
    cluster: Cluster,
) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    with Load(cluster) as load:
        load.wait_for_more()
        old, followers = cluster.ranks()
        # What the leader acknowledges from here on it alone could have, and it dies.
        for name in followers:
            cluster.pause(name)
        before = len(load.runs)
        cluster.holds_for(
            lambda: len(load.runs) <= before + BATCH, "only what was on its way before", 0.2
        )
        cluster.kill(old)
        for name in followers:
            cluster.resume(name)
        cluster.wait_for_leader(other_than=old)
        load.wait_for_more()
        cluster.restart(old)
        cluster.wait_for_caught_up(old)
    load.check()


def test_who_follows_events_misses_none_and_reads_none_twice_when_the_leader_is_killed(
    cluster: Cluster,
) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    told: list[Event] = []

    def follow() -> None:
        with App(brokers=cluster.brokers, timeout=PATIENCE) as app:
            for event in app.events(follow=True, kinds=["finished", "failed", "lost"]):
                told.append(event)
                if event.id == "the-last":
                    return

    reader = threading.Thread(target=follow, daemon=True)
    with Load(cluster) as load:
        load.wait_for_more()
        reader.start()
        cluster.wait_until(lambda: told, "the first events are read")
        old = cluster.leader()
        cluster.kill(old)
        cluster.wait_for_leader(other_than=old)
        load.wait_for_more()
    load.check()
    cluster.app.named("add", id="the-last").enqueue(1).result(PATIENCE)
    reader.join(PATIENCE)
    ids = [event.id for event in told]
    assert len(ids) == len(set(ids)), "some events are told twice"
    assert {run.id for run, _ in load.runs} < set(ids), "some ends are not told"
    assert ids[-1] == "the-last"
    assert [event.cursor for event in told] == sorted(event.cursor for event in told)
    assert {event.kind for event in told} == {"finished"}, "a gap is told where there is none"


def test_a_killed_follower_is_not_missed_and_catches_up(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    with Load(cluster) as load:
        load.wait_for_more()
        leader, (one, other) = cluster.ranks()
        cluster.wait_for_caught_up(other)  # one that has not joined yet would be no majority
        cluster.kill(one)
        load.wait_for_more()
        assert cluster.leader() == leader
        cluster.restart(one)
        cluster.wait_for_caught_up(one)
    load.check()


def test_every_acknowledged_task_survives_the_death_of_all_brokers(cluster: Cluster) -> None:
    with Load(cluster) as load:
        load.wait_for_more()
        cluster.kill("a", "b", "c")
        cluster.restart("a", "b", "c")
        cluster.wait_for_leader()
        load.wait_for_more()
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    load.check()


def test_a_leader_that_was_paused_until_deposed_follows_when_it_wakes(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    with Load(cluster) as load:
        load.wait_for_more()
        before = cluster.led()
        old = before.leader or ""
        cluster.pause(old)
        cluster.wait_for_leader(other_than=old)
        load.wait_for_more()
        cluster.resume(old)
        cluster.wait_until(lambda: cluster.role(old) == "follower", f"{old} follows")
        cluster.wait_for_caught_up(old)
        load.wait_for_more()
    load.check()
    seen = cluster.led()
    assert (seen.epoch or 0) > (before.epoch or 0)
    assert [row.status.active for row in seen.brokers if row.status].count(True) == 1


def test_a_leader_told_to_stop_hands_over_first(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    with Load(cluster) as load:
        load.wait_for_more()
        old = cluster.leader()
        assert (cluster.local.data(old) / "broker.pid").read_text() == f"{cluster[old].pid}\n"
        assert cluster[old].stop(timeout=5) == 0
        assert not (cluster.local.data(old) / "broker.pid").exists()
        assert "no longer the leader" in cluster[old].log.read_text(), "another led before it left"
        load.wait_for_more()
        assert cluster.leader() != old
    load.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_broker_stops_within_five_seconds_without_a_majority(
    cluster: Cluster, number: signal.Signals
) -> None:
    leader, followers = cluster.ranks()
    cluster.kill(*followers)
    cluster[leader].signal(number)
    assert cluster[leader].wait(timeout=5) == 0


def test_a_broker_may_be_told_to_stop_as_soon_as_it_listens(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(("solo",))
    pid_file = cluster.local.data("solo") / "broker.pid"
    for _ in range(4):
        broker = cluster.local.start_broker("solo")
        cluster.wait_until(lambda: "listening" in cluster["solo"].log.read_text(), "it listens")
        assert broker.stop(timeout=PATIENCE) == 0
        assert not pid_file.exists()
        broker.log.unlink()


def test_a_kill_leaves_the_pid_file(cluster: Cluster) -> None:
    pid = cluster["a"].pid
    cluster.kill("a")
    assert (cluster.local.data("a") / "broker.pid").read_text() == f"{pid}\n"


def test_one_broker_is_a_cluster_and_keeps_its_word(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(("solo",))
    cluster.start()
    run = cluster.app.named("add").enqueue(1, 2)
    cluster.kill("solo")
    cluster.start()
    cluster.start_worker("w1", "--pool", "thread")
    assert run.result(timeout=PATIENCE) == 3
    assert cluster["solo"].stop(timeout=PATIENCE) == 0


def test_enqueueing_again_after_a_failover_changes_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    task = cluster.app.named("add", id="once")
    task.enqueue(1, 2)
    old = cluster.leader()
    cluster.kill(old)
    cluster.wait_for_leader(other_than=old)
    again = task.enqueue(1, 2)
    with pytest.raises(ProtocolError, match="once"):
        task.enqueue(3, 4)
    cluster.start_worker("w1", "--pool", "thread")
    assert again.result(timeout=PATIENCE) == 3
    task.enqueue(1, 2)
    assert [q.succeeded for q in cluster.led().queues] == [1]
    assert len(cluster.marks("once", "start")) == 1


def test_without_a_majority_enqueueing_is_unavailable_and_says_who_answered_what(
    cluster: Cluster,
) -> None:
    leader, dead = cluster.ranks()
    cluster.kill(*dead)
    cluster.wait_until(lambda: cluster.see().leader is None, "the last broker stops leading")
    from raftwork import App

    with App(brokers=cluster.brokers, timeout=1.0) as app:
        with pytest.raises(Unavailable) as caught:
            app.named("add").enqueue_many([(1, 2), (3, 4)], ids=["x", "y"])
        assert caught.value.ids == ("x", "y")
        for name in cluster.names:
            assert cluster.local.addresses[name] in str(caught.value)
    status = cluster.cli("status", "--json", "--timeout", "5")
    assert status.code == 1
    assert '"leader": null' in status.out
    roles = {row["address"]: row["role"] for row in json.loads(status.out)["brokers"]}
    addresses = cluster.local.addresses
    assert {roles[addresses[name]] for name in dead} == {"unreachable"}
    assert roles[addresses[leader]] != "leader"
    cluster.restart(*dead)
    cluster.wait_for_leader()
    runs = cluster.app.named("add").enqueue_many([(1, 2), (3, 4)], ids=["x", "y"])
    cluster.start_worker("w1", "--pool", "thread")
    assert [run.result(timeout=PATIENCE) for run in runs] == [3, 7]
