"""Queues with limits and balancers of their own: full ones push back, and every leader keeps it."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from raftwork import App, ProtocolError, QueueFull, Unavailable
from raftwork.client.queues import QueueSettings
from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import Cluster


def test_a_full_queue_refuses_and_who_waits_goes_on_once_there_is_room(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(("a",))
    cluster.start()
    queue = cluster.app.queue("default")
    queue.set(max_length=2)
    add = cluster.app.named("add")
    runs = add.enqueue_many([(1, 1), (2, 1)])
    with pytest.raises(QueueFull, match=r"'default' is full: 2 tasks wait, 2 may, and 1 more"):
        add.enqueue(3, 1)
    add.enqueue_many([(1, 1), (2, 1)], ids=[run.id for run in runs])  # these are in already
    wait_when_full = cluster.app.named("add", when_full="wait")
    with App(cluster.brokers, timeout=0.3) as hasty:

        def refused() -> bool:
            try:
                hasty.named("add", when_full="wait").enqueue(4, 1)
            except Unavailable:
                return False  # its time was over before it was answered at all
            except QueueFull:
                return True
            raise AssertionError("there was no room")

        cluster.wait_until(refused, "it hears why it waited in vain")
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(wait_when_full.enqueue, n, 1) for n in range(5)]
        cluster.holds_for(lambda: not any(w.done() for w in waiting), "there is no room", 0.3)
        cluster.start_worker("w1", "--pool", "thread")
        runs += [w.result(timeout=30) for w in waiting]
    assert sorted(run.result(timeout=20) for run in runs) == [1, 2, 2, 3, 3, 4, 5]


def test_what_is_set_for_a_queue_outlives_the_leader(cluster: Cluster) -> None:
    done = cluster.cli("queue", "set", "bulk", "--max-length", "1", "--max-bytes", "2KiB")
    assert (done.code, done.out) == (0, "")
    assert "no worker serves the queue bulk, and it has no tasks" in done.err
    cluster.app.queue("bulk").set(balancer="lru")
    cluster.app.named("add", queue="bulk").enqueue(1, 1)
    old = cluster.leader()
    cluster.kill(old)
    cluster.wait_for_leader(other_than=old)
    assert cluster.app.queue("bulk").settings() == QueueSettings(
        balancer="lru", max_length=1, max_bytes=2048
    )
    with pytest.raises(QueueFull, match="'bulk'"):
        cluster.app.named("add", queue="bulk").enqueue(2, 1)
    listed = json.loads(cluster.cli("queue", "list", "--json").out)
    assert listed["bulk"] | {"bytes": 0} == {
        "queued": 1,
        "running": 0,
        "succeeded": 0,
        "failed": 0,
        "lost": 0,
        "bytes": 0,
        "scheduled": 0,
        "delayed": 0,
        "blocked": 0,
        "cancelled": 0,
        "paused": False,
        "paused_until": None,
        "balancer": "lru",
        "max_length": 1,
        "max_bytes": 2048,
        "fair": None,
        "weights": None,
        "patience": None,
        "concurrency": None,
        "rate": None,
        "burst": None,
    }
    assert cluster.cli("queue", "set", "bulk", "--max-length", "none").code == 0
    shown = cluster.cli("queue", "show", "bulk").out
    assert shown.startswith("balancer lru\nmax_length none\nmax_bytes 2048\n")
    cluster.app.named("add", queue="bulk").enqueue(2, 1)
    with pytest.raises(ProtocolError, match="no balancer 'best'"):
        cluster.app.queue("bulk").set(balancer="best")
    assert cluster.cli("queue", "set", "bulk").code == 2
    assert cluster.cli("queue", "set", "bulk", "--max-length", "0").code == 2
