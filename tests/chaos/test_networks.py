"""Bad networks: partitions, one-way loss, lost, late and reordered packets between brokers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from raftwork.chaos.processes import Brokers
from raftwork.testing.processes import LocalCluster
from tests.chaos.conftest import all_started, leader_of, under_load, wait_until
from tests.chaos.network import Impossible, Network

NAMES = ("a", "b", "c")
HOME = "home"  # where clients and workers are


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        made = Network(*NAMES, HOME)
    except Impossible as error:
        pytest.skip(f"no network namespaces here: {error}")
    with made:
        yield made


@pytest.fixture
def spread(network: Network, local: LocalCluster) -> Iterator[Brokers]:
    """Three brokers, each in a namespace of its own; the test is at home."""
    local.addresses.update({name: f"{network.addresses[name]}:7701" for name in NAMES})
    for name in NAMES:
        with network.inside(name):
            local.start_broker(name, "--insecure")
    with network.inside(HOME):
        yield all_started(local)
        local.close()


def others(name: str) -> list[str]:
    return [other for other in NAMES if other != name]


def test_a_leader_cut_off_from_the_other_brokers_is_replaced(
    network: Network, spread: Brokers, tmp_path: Path
) -> None:
    """Clients and workers still reach it, and get nothing from it."""
    with under_load(spread, tmp_path) as load:
        leader = leader_of(spread)
        with load.trial.struck("partition", "leader", leader):
            for other in others(leader):
                network.cut(leader, other)
            load.wait_for_more()
            wait_until(lambda: spread.see().leader not in (None, leader), "another leader")
            network.heal()
        load.trial.wait_until_whole()


def test_a_leader_cut_off_from_everybody_is_replaced(
    network: Network, spread: Brokers, tmp_path: Path
) -> None:
    with under_load(spread, tmp_path) as load:
        leader = leader_of(spread)
        with load.trial.struck("partition", "leader", leader):
            for other in (*others(leader), HOME):
                network.cut(leader, other)
            load.wait_for_more()
            network.heal()
        load.trial.wait_until_whole()


@pytest.mark.parametrize("heard", [True, False], ids=["hears-nothing", "is-not-heard"])
def test_a_leader_with_a_one_way_link_is_replaced(
    heard: bool, network: Network, spread: Brokers, tmp_path: Path
) -> None:
    with under_load(spread, tmp_path) as load:
        leader = leader_of(spread)
        with load.trial.struck("one-way", "leader", leader):
            for other in others(leader):
                network.rule(*((other, leader) if heard else (leader, other)), loss=1.0)
            load.wait_for_more()
            wait_until(lambda: spread.see().leader not in (None, leader), "another leader")
            network.heal()
        load.trial.wait_until_whole()


def test_a_majority_that_only_meets_in_one_broker_makes_progress(
    network: Network, spread: Brokers, tmp_path: Path
) -> None:
    """Two brokers that do not see each other, and a third that sees both."""
    with under_load(spread, tmp_path) as load:
        leader = leader_of(spread)
        with load.trial.struck("bridge", "leader", leader):
            network.cut(leader, others(leader)[0])
            load.wait_for_more(300)
            network.heal()
        load.trial.wait_until_whole()


def test_without_any_majority_nothing_is_acknowledged_and_nothing_lost(
    network: Network, spread: Brokers, tmp_path: Path
) -> None:
    with under_load(spread, tmp_path) as load:
        with load.trial.struck("partition", "all", "a+b+c"):
            for one, other in (("a", "b"), ("b", "c"), ("a", "c")):
                network.cut(one, other)
            load.wait_for_silence()
            network.heal()
        load.trial.wait_until_whole()


@pytest.mark.parametrize(
    ("loss", "delay", "jitter"),
    [(0.05, 0, 0), (0, 20, 0), (0, 2, 20), (0.02, 5, 10)],
    ids=["lossy", "slow", "reordering", "bad"],
)
def test_a_bad_network_slows_but_breaks_nothing(
    loss: float, delay: float, jitter: float, network: Network, spread: Brokers, tmp_path: Path
) -> None:
    with under_load(spread, tmp_path) as load:
        with load.trial.struck("bad-network", "all", "a+b+c"):
            network.rule(loss=loss, delay=delay, jitter=jitter)
            load.wait_for_more(300)
            network.heal()
        load.trial.wait_until_whole()
