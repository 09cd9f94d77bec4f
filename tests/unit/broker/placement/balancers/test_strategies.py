"""What each strategy promises beyond placing all tasks."""

from collections import Counter
from random import Random

from raftwork.broker.placement.balancers import BALANCERS, Balancer, Candidate
from raftwork.broker.placement.balancers import consistent_hash as hashing
from tests.unit.broker.placement.balancers.candidates import candidate, counts, equal


def balancer(name: str, seed: int = 3) -> Balancer:
    return BALANCERS[name](Random(seed))


# ---- weighted ---------------------------------------------------------------------------------


def test_weighted_prefers_the_idle_worker() -> None:
    workers = [candidate("saturated", weight=0.02), candidate("idle")]
    assert counts(balancer("weighted"), workers, 50)[1] >= 49
    assert balancer("weighted").plan(workers, [""]) == [1]


def test_weighted_counts_what_a_worker_has_already() -> None:
    workers = [candidate("a", capacity=2, slots=8, busy=6), candidate("b", slots=8)]
    assert counts(balancer("weighted"), workers, 6) == [0, 6]


def test_weighted_gives_twice_the_slots_twice_the_tasks() -> None:
    there, here = counts(
        balancer("weighted"), [candidate("a", slots=8), candidate("b", slots=4)], 90
    )
    assert abs(there - 60) <= 1
    assert there + here == 90


# ---- least_loaded, power_of_two ---------------------------------------------------------------


def test_least_loaded_looks_at_tasks_and_slots_and_at_nothing_else() -> None:
    workers = [candidate("fast", busy=3), candidate("slow", busy=0, weight=0.02)]
    assert counts(balancer("least_loaded"), workers, 4) == [0, 4] or counts(
        balancer("least_loaded"), workers, 3
    ) == [0, 3]


def test_least_loaded_levels_unequal_workers() -> None:
    workers = [candidate("a", busy=8), candidate("b", busy=2), candidate("c", busy=0)]
    assert counts(balancer("least_loaded"), workers, 14) == [0, 6, 8]


def test_power_of_two_never_chooses_the_fullest() -> None:
    workers = [candidate("full", busy=50), candidate("a"), candidate("b")]
    assert counts(balancer("power_of_two"), workers, 60)[0] == 0


def test_power_of_two_levels_far_better_than_chance() -> None:
    workers = equal(100, capacity=10_000)
    spread = {
        name: max(counts(balancer(name), workers, 10_000)) for name in ("power_of_two", "random")
    }
    assert spread["power_of_two"] <= 105
    assert spread["random"] >= 120


# ---- round_robin, lru -------------------------------------------------------------------------


def test_round_robin_is_even_over_many_small_plans() -> None:
    turns, workers = balancer("round_robin"), equal(3)
    total = Counter[int]()
    for tasks in [1, 2, 1, 5, 1, 1, 7, 1, 2] * 7:
        total.update(turns.plan(workers, [""] * tasks))
    assert max(total.values()) - min(total.values()) <= 1


def test_round_robin_stays_even_while_some_have_no_room() -> None:
    turns, workers = balancer("round_robin"), equal(5)
    total = Counter[str]()
    for full in range(500):
        here = [w for i, w in enumerate(workers) if i != full % 5]
        total.update(here[i].name for i in turns.plan(here, [""]))
    assert max(total.values()) - min(total.values()) <= 100


def test_random_reaches_everybody() -> None:
    assert min(counts(balancer("random"), equal(4, capacity=1_000), 1_000)) > 150


def test_lru_chooses_whose_last_task_was_given_longest_ago() -> None:
    oldest, workers = balancer("lru"), equal(4)
    first = oldest.plan(workers, [""] * 4)
    assert sorted(first) == [0, 1, 2, 3]
    assert oldest.plan(workers, [""] * 4) == first
    # Who was away when its turn came is the next one.
    away = first[0]
    assert oldest.plan([w for i, w in enumerate(workers) if i != away], [""] * 3)
    assert oldest.plan(workers, [""]) == [away]


def test_lru_forgets_workers_that_left() -> None:
    oldest = balancer("lru")
    for i in range(3_000):
        oldest.plan([candidate(f"w{i}"), candidate(f"v{i}")], ["", ""])
    assert len(oldest._used) < 2_000  # type: ignore[attr-defined]


# ---- failover ---------------------------------------------------------------------------------


def test_failover_fills_the_first_by_name_then_the_next() -> None:
    workers = [candidate("b", 5), candidate("c", 5), candidate("a", 5)]
    assert counts(balancer("failover"), workers, 4) == [0, 0, 4]
    assert counts(balancer("failover"), workers, 7) == [2, 0, 5]
    assert counts(balancer("failover"), workers[:2], 4) == [4, 0]


# ---- consistent_hash --------------------------------------------------------------------------

KEYS = [f"customer {i}" for i in range(2_000)]


def placed(ring: Balancer, workers: list[Candidate]) -> dict[str, str]:
    """The name of each key's worker, the keys coming one by one."""
    return {key: workers[ring.plan(workers, [key])[0]].name for key in KEYS}


def test_equal_keys_meet_the_same_worker_under_every_leader() -> None:
    workers = equal(10)
    first = placed(balancer("consistent_hash", 1), workers)
    assert placed(balancer("consistent_hash", 2), workers[::-1]) == first
    assert min(Counter(first.values()).values()) > 100  # of 200: every worker has its share


def test_a_worker_that_leaves_moves_no_keys_but_its_own() -> None:
    ring, workers = balancer("consistent_hash"), equal(10)
    before = placed(ring, workers)
    after = placed(ring, workers[1:])
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {before[key] for key in moved} == {workers[0].name}
    assert placed(ring, workers) == before


def test_a_popular_key_stays_while_its_worker_has_slots_and_then_moves_on() -> None:
    ring, workers = balancer("consistent_hash"), equal(10, slots=4)
    plan = ring.plan(workers, ["popular"] * 4)
    assert len(set(plan)) == 1
    crowd = Counter(ring.plan(workers, ["popular"] * 200))
    assert len(crowd) >= 8
    assert max(crowd.values()) <= hashing.BOUND * 200 / 10 + 1


def test_tasks_without_a_key_go_where_there_is_least() -> None:
    workers = [candidate("a", busy=50), candidate("b")]
    assert counts(balancer("consistent_hash"), workers, 20) == [0, 20]


def test_workers_of_one_name_share_its_keys_as_load_grows() -> None:
    twins = [Candidate(100, 2, 0, 1.0, "w", bytes([i])) for i in range(2)]
    plan = balancer("consistent_hash").plan(twins, ["key"] * 20)
    assert 8 <= plan.count(0) <= 13


def test_the_ring_is_bounded_whoever_comes_and_goes() -> None:
    ring = balancer("consistent_hash")
    for start in range(0, 6_000, 1_000):
        ring.plan(equal(6_000)[start : start + 1_000], ["key"])
    assert len(ring._known) <= hashing.KNOWN_MAX  # type: ignore[attr-defined]
