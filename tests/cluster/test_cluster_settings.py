"""The cluster's settings: set from the command line, kept by every leader, obeyed at once."""

import json

from raftwork.features.cluster_settings import DEFAULTS
from tests.cluster.harness import PATIENCE, Cluster

#: Of a worker that is stopped: longer than the lease where nothing is set.
SILENCE_S = DEFAULTS.worker_lease / 1_000 + 2


def test_a_longer_lease_outlives_the_leader_and_a_silent_worker_keeps_its_task(
    cluster: Cluster,
) -> None:
    done = cluster.cli("cluster", "set", "worker_lease=60", "dead=7")
    assert (done.code, done.out) == (0, "")
    old = cluster.leader()
    cluster.kill(old)
    cluster.wait_for_leader(other_than=old)
    told = json.loads(cluster.cli("cluster", "settings", "--json").out)
    assert told["worker_lease"]["value"] == 60
    assert (told["dead"]["value"], told["dead"]["default"]) == (7, 10_000)
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "1")
    run = cluster.app.enqueue("nap", 0.5)
    cluster.wait_for_start(run.id)
    cluster.pause("w1")
    cluster.holds_for(lambda: cluster.led().workers[0].state == "active", "it is kept", SILENCE_S)
    cluster.resume("w1")
    assert run.result(timeout=PATIENCE) == cluster.marks(run.id, "finish")[0].token
    assert [mark.attempt for mark in cluster.marks(run.id, "start")] == [1]
    assert cluster.cli("cluster", "set", "--reset", "worker_lease").code == 0
    assert cluster.app.cluster.settings()["worker_lease"].value == 3


def test_a_leader_that_hangs_is_missed_after_the_election_timeout_that_is_set(
    cluster: Cluster,
) -> None:
    assert cluster.cli("cluster", "set", "election_timeout=12").code == 0
    old, others = cluster.ranks()
    for name in others:
        cluster.wait_for_caught_up(name)
    cluster.pause(old)
    # A look takes seconds on a busy machine, and must not end when they are right to elect one.
    cluster.holds_for(lambda: cluster.see(*others).leader is None, "they wait", 3.0)
    assert cluster.wait_for_leader(other_than=old) in others
    cluster.resume(old)
