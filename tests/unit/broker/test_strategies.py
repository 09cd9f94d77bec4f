"""A queue's own balancer, else the cluster's."""

from random import Random

import pytest

from raftwork.broker.balancers import BALANCERS
from raftwork.broker.queue.commands import Configure
from raftwork.broker.strategies import Strategies
from tests.unit.broker.queues import Queues

CLUSTERS = BALANCERS["weighted"](Random(1))


def strategies_of(queues: Queues) -> Strategies:
    return Strategies(queues.machine, CLUSTERS, Random(1))


def test_a_queue_without_a_balancer_of_its_own_has_the_clusters() -> None:
    queues = Queues()
    strategies = strategies_of(queues)
    assert strategies.of("q") is CLUSTERS
    queues.apply(Configure("q", None, 5, None))
    assert strategies.of("q") is CLUSTERS


@pytest.mark.parametrize("name", BALANCERS)
def test_a_change_counts_at_once_and_for_that_queue_alone(name: str) -> None:
    queues = Queues()
    strategies = strategies_of(queues)
    before = strategies.of("q")
    queues.apply(Configure("q", name, None, None))
    own = strategies.of("q")
    assert own is not before
    assert type(own) is type(BALANCERS[name](Random(1)))
    assert strategies.of("q") is own  # it remembers whose turn it is
    assert strategies.of("other") is CLUSTERS
    queues.apply(Configure("q", "", None, None))
    assert strategies.of("q") is CLUSTERS


def test_a_next_leader_finds_what_was_set() -> None:
    queues = Queues()
    queues.apply(Configure("q", "lru", None, None))
    assert type(strategies_of(queues).of("q")) is type(BALANCERS["lru"](Random(1)))


def test_a_balancer_of_another_version_is_replaced_by_the_clusters() -> None:
    queues = Queues()
    queues.apply(Configure("q", "from the future", None, None))
    assert strategies_of(queues).of("q") is CLUSTERS
