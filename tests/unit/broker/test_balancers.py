"""Balancers: every task is placed where there is room, and to whom it should go."""

from collections.abc import Sequence
from math import inf, nan
from random import Random
from typing import overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.balancers import BALANCERS, Candidate, share, weight


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
        room=st.integers(0, 40),
        slots=st.integers(1, 16),
        busy=st.integers(0, 40),
        weight=st.floats(0.02, 1.0),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("name", list(BALANCERS))
@given(workers=candidates, tasks=st.integers(0, 300), seed=st.integers())
def test_all_tasks_are_placed_as_far_as_there_is_room_and_never_beyond(
    name: str, workers: list[Candidate], tasks: int, seed: int
) -> None:
    balancer = BALANCERS[name](Random(seed))
    for _ in range(3):  # strategies keep state from plan to plan
        counts = balancer.plan(workers, tasks)
        assert sum(counts) == min(tasks, sum(w.room for w in workers))
        assert all(0 <= n <= w.room for n, w in zip(counts, workers, strict=True))


@pytest.mark.parametrize("name", list(BALANCERS))
def test_one_worker_with_much_room_among_many_full_ones_is_filled_at_once(name: str) -> None:
    workers = Counting([Candidate(1, 4, 0, 1.0)] * 2_000 + [Candidate(50_000, 4, 0, 1.0)])
    assert sum(BALANCERS[name](Random(1)).plan(workers, 20_000)) == 20_000
    assert workers.looked < 10 * 20_000  # not tasks times workers


@pytest.mark.parametrize("name", list(BALANCERS))
def test_a_cluster_of_loaded_workers_still_gets_every_task(name: str) -> None:
    loaded = Candidate(10, 4, 4, weight(1.0, 1.0))
    assert sum(BALANCERS[name](Random(7)).plan([loaded] * 3, 30)) == 30


def test_weighted_prefers_the_idle_worker() -> None:
    idle = Candidate(100, 4, 0, weight(0.0, 0.2))
    saturated = Candidate(100, 4, 0, weight(1.0, 0.2))
    balancer = BALANCERS["weighted"](Random(3))
    counts = balancer.plan([saturated, idle], 50)
    assert counts[1] >= 45
    assert balancer.plan([saturated, idle], 1) == [0, 1]


def test_weighted_counts_what_was_sent_since_the_last_heartbeat() -> None:
    balancer = BALANCERS["weighted"](Random(3))
    plan = balancer.plan([Candidate(8, 8, 6, 1.0), Candidate(8, 8, 0, 1.0)], 6)
    assert plan == [0, 6]


def test_weighted_gives_twice_the_slots_twice_the_tasks() -> None:
    counts = BALANCERS["weighted"](Random(3)).plan(
        [Candidate(100, 8, 0, 1.0), Candidate(100, 4, 0, 1.0)], 90
    )
    assert abs(counts[0] - 60) <= 1


def test_weighted_spreads_single_tasks_over_equal_workers() -> None:
    balancer = BALANCERS["weighted"](Random(5))
    firsts = [balancer.plan([Candidate(1, 1, 0, 1.0)] * 4, 1).index(1) for _ in range(400)]
    assert all(firsts.count(i) > 50 for i in range(4))


def test_round_robin_is_even_over_many_small_plans() -> None:
    balancer = BALANCERS["round_robin"](Random(5))
    totals = [0, 0, 0]
    for tasks in [1, 2, 1, 5, 1, 1, 7, 1, 2] * 7:
        plan = balancer.plan([Candidate(100, 1, 0, 1.0)] * 3, tasks)
        totals = [a + b for a, b in zip(totals, plan, strict=True)]
    assert max(totals) - min(totals) <= 1


def test_random_reaches_everybody() -> None:
    counts = BALANCERS["random"](Random(5)).plan([Candidate(1_000, 1, 0, 1.0)] * 4, 1_000)
    assert min(counts) > 150


@given(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True)
)
def test_a_weight_is_sane_whatever_a_worker_tells(cpu: float, memory: float) -> None:
    assert 0.02 <= weight(share(cpu), share(memory)) <= 1.0


@pytest.mark.parametrize(
    ("told", "taken"), [(0.3, 0.3), (-1.0, 0.0), (7.0, 1.0), (inf, 1.0), (-inf, 0.0), (nan, 1.0)]
)
def test_a_share_is_between_none_and_all(told: float, taken: float) -> None:
    assert share(told) == taken
