"""Addresses for local clusters."""

from pathlib import Path

import pytest

from raftwork.testing import processes
from raftwork.testing.processes import free_addresses


def test_ports_lie_outside_the_range_of_outgoing_connections() -> None:
    addresses = free_addresses(5)
    assert len(set(addresses)) == 5
    low, high = 32_768, 60_999
    told = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if told.exists():
        low, high = map(int, told.read_text().split())
    ports = [int(address.rpartition(":")[2]) for address in addresses]
    assert not any(low <= port <= high for port in ports)


def test_processes_that_run_tests_at_a_time_have_ports_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is free may be another's: of a broker that was killed, or is started in a moment."""
    seen = []
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        addresses = free_addresses(50)
        seen.append({int(each.rpartition(":")[2]) % 3 for each in addresses})
    assert [len(each) for each in seen] == [1, 1, 1] and len(set.union(*seen)) == 3
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "odd")
    assert len(free_addresses(3)) == 3


def test_no_port_is_given_twice_until_half_of_them_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "50")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw7")
    monkeypatch.setattr(processes, "_given", set())
    given = [free_addresses(1)[0] for _ in range(200)]
    assert len(set(given)) == 200
    assert all(free_addresses(2) for _ in range(300)), "there is no end of them"


def test_what_configures_other_brokers_and_workers_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A demo where RAFTWORK_CONFIG is set would have its workers serve other queues."""
    for name in ("RAFTWORK_CONFIG", "RAFTWORK_BROKER_DATA", "RAFTWORK_WORKER_QUEUES"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("RAFTWORK_BROKERS", "h:1")
    found = {name for name in processes._environment() if name.startswith("RAFTWORK_")}
    assert found & {"RAFTWORK_CONFIG", "RAFTWORK_BROKER_DATA", "RAFTWORK_WORKER_QUEUES"} == set()
    assert "RAFTWORK_BROKERS" in found
