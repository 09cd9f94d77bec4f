"""The last hour, as the dashboard's process keeps it."""

from raftwork.client.overview import Overview, overview
from raftwork.messages import QueueStatus
from raftwork.web.samples import POINTS_MAX, Samples
from tests.unit.web.seen import status


def seen(succeeded: int, failed: int = 0, *, leader: bool = True) -> Overview:
    queue = QueueStatus("default", 5, 2, succeeded, failed, 0)
    told = status("a" if leader else "b")._replace(queues=[queue])
    return overview({told.address: told})


def test_a_point_is_what_ended_since_the_one_before() -> None:
    samples = Samples()
    for second in range(21):
        samples.add(100.0 + second, seen(succeeded=10 * second, failed=second))
    assert [(p.at, p.ended, p.failed) for p in samples.points] == [
        (at, 11.0, 1.0) for at in (105.0, 110.0, 115.0, 120.0)
    ]
    assert (samples.points[0].queued, samples.points[0].running) == (5, 2)
    assert samples.now() == (11.0, 1.0)


def test_without_a_leader_nothing_is_told_and_counters_that_fall_are_no_rate() -> None:
    samples = Samples()
    samples.add(100.0, seen(50))
    samples.add(106.0, seen(900, leader=False))
    assert not samples.points
    samples.add(112.0, seen(3))  # a queue was deleted with its totals
    assert samples.points[0].ended == 0


def test_an_hour_is_kept() -> None:
    samples = Samples()
    for n in range(POINTS_MAX + 100):
        samples.add(5.0 * n, seen(n))
    assert len(samples.points) == POINTS_MAX
