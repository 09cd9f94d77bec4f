"""A schedule ticks once, whoever leads."""

from datetime import datetime

from tests.cluster.harness import Cluster

#: Leaders that are killed.
KILLS = 3


def test_every_second_ticks_once_while_leaders_are_killed(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    schedules = cluster.app.schedules
    schedules.create("beat", "add", every=1, overlap="allow", catchup="all", args=(1,))
    for _ in range(KILLS):
        _wait_for_more(cluster)
        old = cluster.leader()
        cluster.kill(old)
        cluster.restart(old)
        cluster.wait_for_leader()
    _wait_for_more(cluster)
    leader, (other, _) = cluster.ranks()
    cluster.kill(leader, other)
    # Ticks pass that nobody leads at; they are late, and run.
    cluster.holds_for(lambda: cluster.see().leader is None, "two of three are gone", 2.2)
    cluster.restart(leader, other)
    cluster.wait_for_leader()
    _wait_for_more(cluster)
    schedules.pause("beat")
    schedule = schedules.get("beat")
    fired = schedule.counts.fired
    cluster.wait_until(
        lambda: len({mark.task for mark in cluster.marks(what="start")}) >= fired, "all have run"
    )
    ids = sorted({mark.task for mark in cluster.marks(what="start")})
    assert len(ids) == fired >= KILLS
    instants = [datetime.fromisoformat(id_.removeprefix("beat@")) for id_ in ids]
    seconds = (instants[-1] - instants[0]).total_seconds()
    assert seconds == fired - 1, f"{fired} ticks in {seconds + 1} seconds: {ids}"
    counts = schedule.counts
    assert (counts.overlap, counts.late, counts.full) == (0, 0, 0)
    assert {str(cluster.app.run(id_).status()) for id_ in ids} == {"succeeded"}


def _wait_for_more(cluster: Cluster) -> None:
    """Until two more ticks have run."""
    before = len(cluster.marks(what="start"))
    cluster.wait_until(
        lambda: len(cluster.marks(what="start")) > before + 1, "two more ticks have run"
    )
