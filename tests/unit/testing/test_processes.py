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
