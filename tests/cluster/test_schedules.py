"""A schedule ticks once, whoever leads."""

from datetime import datetime

from tests.cluster.harness import Cluster

#: Leaders that are killed.
KILLS = 4


def test_every_second_ticks_once_while_leaders_are_killed(cluster: Cluster) -> None:
    cluster.start_worker("w1", "--pool", "thread", "--concurrency", "2")
    schedules = cluster.app.schedules
    schedules.create("beat", "add", every=1, overlap="allow", catchup="all", args=(1,))
    for _ in range(KILLS):
        before = len(cluster.marks(what="start"))
        cluster.wait_until(
            lambda before=before: len(cluster.marks(what="start")) > before,  # type: ignore[misc]
            "another tick has run",
        )
        old = cluster.leader()
        cluster.kill(old)
        cluster.restart(old)
        cluster.wait_for_leader(other_than=None)
    before = len(cluster.marks(what="start"))
    cluster.wait_until(lambda: len(cluster.marks(what="start")) > before + 1, "it goes on")
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
