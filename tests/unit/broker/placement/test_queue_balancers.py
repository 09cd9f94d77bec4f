"""A queue's own balancer, else the cluster's."""

from random import Random

import pytest

from raftwork.broker.placement.balancers import BALANCERS, Candidate
from raftwork.broker.placement.balancers.round_robin import RoundRobin
from raftwork.broker.placement.queue_balancers import QueueBalancers
from raftwork.features.queue_settings import Configure, changes
from tests.unit.broker.queues import Queues

DEFAULT = "round_robin"
CLUSTERS = RoundRobin


def strategies_of(queues: Queues) -> QueueBalancers:
    return QueueBalancers(queues.machine, DEFAULT, Random(1))


def test_a_queue_without_a_balancer_of_its_own_has_the_clusters() -> None:
    queues = Queues()
    strategies = strategies_of(queues)
    before = strategies.of("q")
    assert isinstance(before, CLUSTERS)
    queues.apply(Configure("q", changes(max_length=5)))
    assert strategies.of("q") is before


@pytest.mark.parametrize("name", BALANCERS)
def test_no_queue_shares_what_the_clusters_balancer_remembers(name: str) -> None:
    strategies = QueueBalancers(Queues().machine, name, Random(1))
    assert strategies.of("q") is strategies.of("q")
    assert strategies.of("q") is not strategies.of("other")


def test_a_key_keeps_its_worker_beside_a_queue_of_many_workers() -> None:
    strategies = QueueBalancers(Queues().machine, "consistent_hash", Random(1))

    def candidates(queue: str, count: int) -> list[Candidate]:
        names = [f"{queue}{i}" for i in range(count)]
        return [Candidate(5_000, 100, 0, 1.0, n, n.encode().ljust(16, b".")) for n in names]

    few, many = candidates("few", 2), candidates("many", 60)
    keys = [f"key{i}" for i in range(2_000)]
    before = strategies.of("few").plan(few, keys)
    strategies.of("many").plan(many, keys)
    assert strategies.of("few").plan(few, keys) == before


@pytest.mark.parametrize("name", BALANCERS)
def test_a_change_counts_at_once_and_for_that_queue_alone(name: str) -> None:
    queues = Queues()
    strategies = strategies_of(queues)
    before = strategies.of("q")
    queues.apply(Configure("q", changes(balancer=name)))
    own = strategies.of("q")
    assert own is not before or name == DEFAULT
    assert type(own) is type(BALANCERS[name](Random(1)))
    assert strategies.of("q") is own  # it remembers whose turn it is
    assert isinstance(strategies.of("other"), CLUSTERS)
    queues.apply(Configure("q", changes(balancer=None)))
    assert isinstance(strategies.of("q"), CLUSTERS)


def test_a_next_leader_finds_what_was_set() -> None:
    queues = Queues()
    queues.apply(Configure("q", changes(balancer="lru")))
    assert type(strategies_of(queues).of("q")) is type(BALANCERS["lru"](Random(1)))


def test_a_balancer_of_another_version_is_replaced_by_the_clusters() -> None:
    queues = Queues()
    queues.apply(Configure("q", changes(balancer="from the future")))
    assert isinstance(strategies_of(queues).of("q"), CLUSTERS)
