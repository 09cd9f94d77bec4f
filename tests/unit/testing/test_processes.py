"""Addresses for local clusters."""

from pathlib import Path

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
