"""Every balancer: all tasks are placed, and only where there is room."""

from collections.abc import Sequence
from random import Random
from typing import overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.placement.balancers import BALANCERS, Candidate
from tests.unit.broker.placement.balancers.candidates import candidate, counts, equal


class Counting(Sequence[Candidate]):
    """Candidates that count how often one is looked at."""

    def __init__(self, workers: list[Candidate]) -> None:
        self._workers = workers
        self.looked = 0

    def __len__(self) -> int:
        return len(self._workers)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> list[Candidate]: ...
    def __getitem__(self, index: int | slice) -> Candidate | list[Candidate]:
        self.looked += 1
        return self._workers[index]


candidates = st.lists(
    st.builds(
        Candidate,
        capacity=st.integers(0, 40),
        slots=st.integers(1, 16),
        busy=st.integers(0, 40),
        weight=st.floats(0.02, 1.0),
        name=st.sampled_from("abc"),
        incarnation=st.binary(min_size=16, max_size=16),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda worker: worker.incarnation,
)


@pytest.mark.parametrize("name", list(BALANCERS))
@given(
    workers=candidates,
    keys=st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=300),
    seed=st.integers(),
)
def test_all_tasks_are_placed_and_nobody_gets_more_than_its_room(
    name: str, workers: list[Candidate], keys: list[str], seed: int
) -> None:
    balancer = BALANCERS[name](Random(seed))
    keys = keys[: sum(w.capacity for w in workers)]
    for _ in range(3):  # strategies keep state from plan to plan
        plan = balancer.plan(workers, keys)
        assert len(plan) == len(keys)
        assert all(plan.count(i) <= w.capacity for i, w in enumerate(workers))
        assert set(plan) <= set(range(len(workers)))
        workers.reverse()


@pytest.mark.parametrize("name", list(BALANCERS))
def test_one_worker_with_much_room_among_many_full_ones_is_filled_at_once(name: str) -> None:
    workers = Counting([*equal(2_000, capacity=1), candidate("big", capacity=50_000)])
    balancer = BALANCERS[name](Random(1))
    for keys in ([""] * 20_000, [f"key {i}" for i in range(20_000)]):
        assert len(balancer.plan(workers, keys)) == 20_000
    assert workers.looked < 20 * 20_000  # not tasks times workers


@pytest.mark.parametrize("name", list(BALANCERS))
def test_a_cluster_of_loaded_workers_still_gets_every_task(name: str) -> None:
    loaded = [candidate(n, capacity=10, busy=4, weight=0.02) for n in "abc"]
    assert counts(BALANCERS[name](Random(7)), loaded, 30) == [10, 10, 10]


@pytest.mark.parametrize("name", [n for n in BALANCERS if n not in ("failover", "consistent_hash")])
def test_single_tasks_reach_every_one_of_equal_workers(name: str) -> None:
    balancer = BALANCERS[name](Random(5))
    workers = equal(4)
    firsts = [balancer.plan(workers, [""])[0] for _ in range(400)]
    assert all(firsts.count(i) > 50 for i in range(4))
