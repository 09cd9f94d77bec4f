"""Candidates to choose from, and what a plan comes to."""

from collections.abc import Sequence

from raftwork.broker.placement.balancers import Balancer, Candidate


def candidate(
    name: str, capacity: int = 100, slots: int = 4, busy: int = 0, weight: float = 1.0
) -> Candidate:
    return Candidate(capacity, slots, busy, weight, name, name.encode())


def equal(count: int, capacity: int = 100, slots: int = 4) -> list[Candidate]:
    return [candidate(f"w{i:04}", capacity, slots) for i in range(count)]


def counts(balancer: Balancer, workers: Sequence[Candidate], tasks: int) -> list[int]:
    """How many of `tasks` each worker gets."""
    plan = balancer.plan(workers, [""] * tasks)
    assert len(plan) == tasks
    return [plan.count(i) for i in range(len(workers))]
