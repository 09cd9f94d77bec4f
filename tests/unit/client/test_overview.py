"""The brokers' answers side by side: who leads, and what is known without a leader."""

from raftwork.client.overview import overview, unserved
from raftwork.features.queue_settings import changes
from raftwork.messages import QueueStatus
from tests.unit.client.statuses import CLUSTER, WORKER, status_of


def test_of_two_that_claim_to_lead_the_higher_epoch_leads() -> None:
    seen = overview(
        {
            "h:1": status_of("a", active=True, epoch=3, applied=9),
            "h:2": status_of("b", active=True, epoch=4, applied=8),
        }
    )
    assert (seen.leader, seen.epoch, seen.stale) == ("b", 4, False)
    assert [worker.name for worker in seen.workers] == ["of b"]
    assert [queue.queued for queue in seen.queues] == [8]


def test_without_a_leader_the_most_advanced_replica_tells_the_queues() -> None:
    seen = overview(
        {
            "h:1": status_of("a", active=False, epoch=3, applied=7),
            "h:2": None,
            "h:3": status_of("c", active=False, epoch=3, applied=9),
        }
    )
    assert (seen.leader, seen.stale, seen.workers) == (None, True, [])
    assert seen.document()["queues"] == {
        "q": {
            "queued": 9,
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
            "balancer": None,
            "max_length": None,
            "max_bytes": None,
            "fair": None,
            "weights": None,
            "patience": None,
            "concurrency": None,
            "rate": None,
            "burst": None,
        }
    }


def row(
    name: str, address: str, role: str, number: int | None, reason: str | None = None
) -> dict[str, object]:
    facts = {"name": name, "address": address, "role": role}
    numbers = dict.fromkeys(("epoch", "committed", "applied"), number)
    return {**facts, **numbers, "reason": reason}


def test_all_members_are_listed_whoever_was_asked() -> None:
    """X6: one address asked was one broker listed."""
    seen = overview({"h:1": status_of("a", active=True, epoch=1, applied=1), "h:3": None})
    assert seen.document()["brokers"] == [
        row("a", "h:1", "leader", 1),
        row("b", "h:2", "unreachable", None, "no answer from here, but a can reach it"),
        row("c", "h:3", "unreachable", None, "no answer from here, but a can reach it"),
    ]


def test_only_those_that_were_asked_are_listed_when_that_is_wanted() -> None:
    a = status_of("a", active=True, epoch=1, applied=1)
    seen = overview({"h:1": a, "h:3": None}, follow=False)
    assert seen.document()["brokers"] == [
        row("a", "h:1", "leader", 1),
        row("c", "h:3", "unreachable", None),
    ]


def test_nobody_is_listed_twice() -> None:
    """Asked at two addresses, or at one where it no longer is."""
    a = status_of("a", active=True, epoch=1, applied=1)
    c = status_of("c", active=False, epoch=1, applied=1)
    seen = overview({"localhost:1": a, "h:1": a, "old:3": None, "h:3": c})
    assert [(r.name, r.address) for r in seen.brokers] == list(CLUSTER)


def test_those_of_another_cluster_are_not_hidden() -> None:
    a = status_of("a", active=True, epoch=2, applied=1)
    stranger = status_of("a", active=True, epoch=1, applied=1)._replace(address="elsewhere:1")
    seen = overview({"elsewhere:1": stranger, "h:1": a})
    assert [(r.name, r.address) for r in seen.brokers] == [*CLUSTER, ("a", "elsewhere:1")]
    assert seen.leader == "a"


def test_a_leader_of_another_cluster_is_not_this_ones() -> None:
    """It listens where a broker of ours did before that moved, in an epoch that is greater."""
    stranger = status_of("a", active=True, epoch=900, applied=900)
    stranger = stranger._replace(name="z", address="h:4", cluster=(("z", "h:4"),))
    seen = overview(
        {
            "h:4": stranger,
            "h:1": status_of("a", active=True, epoch=3, applied=9),
            "h:2": None,
            "h:3": status_of("c", active=False, epoch=3, applied=9)._replace(unreached=("b",)),
        }
    )
    assert (seen.leader, seen.epoch) == ("a", 3)
    assert [worker.name for worker in seen.workers] == ["of a"]
    assert seen.document()["brokers"] == [
        row("a", "h:1", "leader", 3) | {"committed": 9, "applied": 9},
        row("b", "h:2", "unreachable", None, "no answer from here, but a can reach it"),
        row("c", "h:3", "follower", 3) | {"committed": 9, "applied": 9},
        row("z", "h:4", "leader", 900, "it belongs to another cluster"),
    ]


def test_a_broker_that_others_cannot_reach_is_shown_as_such() -> None:
    """X2: `status` showed a broker level with the leader that nobody could reach."""
    a = status_of("a", active=True, epoch=1, applied=1)._replace(unreached=("c",))
    b = status_of("b", active=False, epoch=1, applied=1)._replace(unreached=("c",))
    c = status_of("c", active=False, epoch=1, applied=1)
    seen = overview({"h:1": a, "h:2": b, "h:3": c})
    assert [r.reason for r in seen.brokers] == ["", "", "a, b cannot reach it"]
    down = overview({"h:1": a, "h:2": b, "h:3": None}).brokers[2]
    assert (down.status, down.reason) == (None, ""), "it simply is down"
    stranger = status_of("c", active=False, epoch=0, applied=0)._replace(
        name="cc", cluster=(*CLUSTER[:2], ("cc", "h:3"))
    )
    seen = overview({"h:1": a, "h:2": b, "h:3": stranger})
    assert (seen.brokers[2].name, seen.brokers[2].reason) == ("c", ""), "it does not know c"


def test_why_a_broker_could_not_be_asked_is_told() -> None:
    assert overview({"h:1": None}, {"h:1": "no such host"}).brokers[0].reason == "no such host"


def test_nobody_there_is_an_overview_too() -> None:
    seen = overview({"h:1": None})
    assert (seen.leader, seen.epoch, seen.consensus, seen.queues) == (None, None, None, [])
    assert "no broker answers at h:1" in seen.headless()
    some = overview(
        {"h:1": status_of("a", active=False, epoch=0, applied=0), "h:2": None, "h:3": None}
    )
    assert "no leader found; 1 of 3 brokers answer" in some.headless()


def test_queues_in_which_tasks_wait_for_nobody_are_told() -> None:
    """X12: nothing said that nobody serves a queue."""
    status = status_of("a", active=True, epoch=1, applied=0)
    full = QueueStatus("full", 2, 0, 0, 0, 0)
    queues = [full, full._replace(name="q"), QueueStatus("idle", 0, 0, 9, 0, 0)]
    told = unserved(overview({"h:1": status._replace(queues=queues)}))
    assert told == ["no worker serves the queue full (queued: 2)"]
    gone = WORKER._replace(state="draining")
    told = unserved(overview({"h:1": status._replace(queues=queues, workers=[gone])}))
    assert [line.split()[-3] for line in told] == ["full", "q"]
    follower = status._replace(queues=queues, active=False, workers=[])
    assert not unserved(overview({"h:1": follower})), "who leads no one knows no worker"
    many = [full._replace(name=f"q{n}") for n in range(100)]
    told = unserved(overview({"h:1": status._replace(queues=many)}))
    assert len(told) == 11
    assert told[-1] == "no worker serves 90 more queues in which tasks wait"


def test_a_queue_that_was_only_set_leaves_once_nothing_is_set() -> None:
    status = status_of("a", active=True, epoch=1, applied=0)
    nothing = QueueStatus("typo", 0, 0, 0, 0, 0)
    queues = [
        nothing,
        nothing._replace(name="set", settings=changes(max_length=1)),
        nothing._replace(failed=1),
    ]
    seen = overview({"h:1": status._replace(queues=queues)})
    assert [(queue.name, queue.failed) for queue in seen.queues] == [("set", 0), ("typo", 1)]
    assert seen.queue_names() == ["q", "set", "typo"]
