"""Who is next, and by what: as the balancer itself would choose."""

from random import Random

import pytest

from raftwork.broker.placement.balancers import BALANCERS, SCORES, Candidate
from raftwork.broker.placement.queue_balancers import QueueBalancers
from raftwork.features import from_broker
from raftwork.features.placement import AskPlacement, PlacementTold
from raftwork.features.queue_settings import SetQueue, changes
from raftwork.messages import PROTOCOL, Heartbeat, WorkerHello
from tests.unit.broker.request_harness import RequestHarness


def harness(**slots: int) -> RequestHarness:
    """Workers of these names with so many slots each."""
    one = RequestHarness()
    one.view.placing = QueueBalancers(one.machine, "weighted", Random(1)).placing
    for name, count in slots.items():
        hello = WorkerHello(
            PROTOCOL, name, name.encode() * 8, 1, "h", 1, count, ["default"], [], False
        )
        one.workers.hello(name.encode(), hello, one.now)
    return one


def told(one: RequestHarness, queue: str = "default") -> PlacementTold:
    (sent,) = one.told(AskPlacement(1, queue))
    answer = from_broker.decode(from_broker.encode(sent))
    assert isinstance(answer, PlacementTold), answer
    return answer


def test_the_least_score_among_those_with_a_free_slot_is_next() -> None:
    one = harness(w1=2, w2=4, w3=1)
    by_name = {worker.name: worker for worker in one.workers.available()}
    by_name["w2"].take(1)
    by_name["w3"].take(1)
    found = told(one)
    assert found.balancer == "weighted"
    assert [(w.name, w.busy, w.free, w.score) for w in found.workers] == [
        *(("w1", 0, 2, 0.5), ("w2", 1, 3, 0.5), ("w3", 1, 0, 2.0)),
    ]
    by_name["w1"].take(1)
    assert (told(one).workers[0].name, told(one).next) == ("w2", True)
    for worker in by_name.values():
        worker.take(worker.free_slots)
    assert told(one).next is False


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_what_the_balancer_goes_by(name: str) -> None:
    rng = Random(3)
    for _ in range(50):
        workers = [
            Candidate(1, rng.randint(1, 9), rng.randint(0, 9), rng.uniform(0.02, 1), f"w{n}", b"")
            for n in range(5)
        ]
        (chosen,) = BALANCERS[name](rng).plan(workers, [""])
        scores = [SCORES[name](w.busy, w.slots, w.weight) for w in workers]
        assert scores[chosen] == min(scores)


def test_who_takes_none_or_has_no_free_slot_is_behind_those_with_one() -> None:
    one = harness(full=4, busy=4, leaving=4)
    by_name = {worker.name: worker for worker in one.workers.available()}
    by_name["full"].take(4)
    by_name["busy"].load_estimate.weight = 0.1  # so that its score is the worst
    one.workers.heartbeat(b"leaving", Heartbeat(1, None, None, None, 0, 0, True), one.now)
    found = told(one)
    assert [w.name for w in found.workers] == ["busy", "full", "leaving"]
    assert found.next


def test_of_a_balancer_that_goes_by_turns_nobody_is_named() -> None:
    one = harness(w1=2)
    one.done(SetQueue(1, "default", changes(balancer="round_robin")))
    found = told(one)
    assert (found.balancer, found.next, found.workers[0].score) == ("round_robin", False, None)


def test_who_takes_nothing_is_the_last_with_the_reason() -> None:
    one = harness(w1=0, w2=1)
    one.workers.heartbeat(b"w2", Heartbeat(1, None, None, None, 0, 0, True), one.now)
    found = told(one)
    assert [(w.name, w.takes) for w in found.workers] == [("w2", False), ("w1", False)]
    assert "processes do not start" in found.workers[1].reason
    assert told(one, "other").workers == []
