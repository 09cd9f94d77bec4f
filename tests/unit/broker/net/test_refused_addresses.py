"""Who is refused one handshake after the other waits at the door; nobody else does."""

import socket
import sys

import pytest

from raftwork.broker.net.refused_addresses import (
    _KEYS_MAX,
    KNOWN_MAX,
    LET_IN_OF,
    REFUSED_MAX,
    SILENT_MAX,
    SLOWED_MAX,
    SLOWED_MS,
    STRANGERS_OF,
    WINDOW_MS,
    RefusedAddresses,
)
from raftwork.broker.net.syn_filter import slow


def spared(known: RefusedAddresses) -> tuple[str, ...] | None:
    return known.known


def refuse(known: RefusedAddresses, address: str, count: int) -> None:
    for _ in range(count):
        known.refused(address)


def test_an_address_is_slowed_by_more_refusals_in_a_second_than_a_mistake_makes() -> None:
    known = RefusedAddresses()
    known.tend(0)
    refuse(known, "10.0.0.1", REFUSED_MAX)
    refuse(known, "10.0.0.2", REFUSED_MAX + 1)
    assert known.tend(WINDOW_MS - 1) is None
    assert known.tend(WINDOW_MS) == {"10.0.0.2": REFUSED_MAX + 1}
    assert known.slowed == ("10.0.0.2",)


def test_it_lasts_while_what_comes_through_shows_that_it_goes_on_and_then_ends() -> None:
    known = RefusedAddresses()
    known.tend(0)
    refuse(known, "10.0.0.2", REFUSED_MAX + 1)
    known.tend(now := WINDOW_MS)
    for _ in range(30):
        refuse(known, "10.0.0.2", REFUSED_MAX // LET_IN_OF + 1)
        assert known.tend(now := now + WINDOW_MS) is None
        assert known.slowed
    assert known.tend(now + SLOWED_MS - 1) is None
    assert known.tend(now + SLOWED_MS + WINDOW_MS) == {}
    assert known.slowed == ()


def test_what_is_kept_of_addresses_is_bounded() -> None:
    known = RefusedAddresses()
    known.tend(0)
    for number in range(5_000):
        refuse(known, f"10.1.{number >> 8}.{number & 255}", REFUSED_MAX + 1)
    known.tend(WINDOW_MS)
    assert len(known.slowed) == SLOWED_MAX


def test_addresses_of_one_network_count_together() -> None:
    """Whoever has a /64 of IPv6 has a new address for each attempt, and the kernel drops by /64."""
    known = RefusedAddresses()
    known.tend(0)
    for number in range(REFUSED_MAX + 1):
        known.refused(f"2001:db8::{number:x}")
        known.refused(f"::ffff:10.0.0.{number % 2}")
    assert known.tend(WINDOW_MS) == {"2001:db8::": REFUSED_MAX + 1}
    assert known.slowed == ("2001:db8::",)


def test_where_a_key_was_let_in_nobody_is_slowed() -> None:
    """A broker, or a worker, may be behind the same address as a stranger."""
    known = RefusedAddresses()
    known.tend(0)
    known.let_in("10.0.0.1", "key")
    for address in ("10.0.0.1", "10.0.0.2"):
        refuse(known, address, REFUSED_MAX + 1)
    assert known.tend(WINDOW_MS) == {"10.0.0.2": REFUSED_MAX + 1}
    known.let_in("10.0.0.2", "key")  # with some patience
    assert known.tend(2 * WINDOW_MS) == {}
    assert known.slowed == ()


def test_where_a_revoked_key_came_from_is_slowed_as_any_stranger_is() -> None:
    """Its thief goes on to try it; who else came from there is spared, as before."""
    known = RefusedAddresses()
    known.tend(0)
    known.let_in("10.0.0.1", "leaked")
    for key in ("leaked", "good", "leaked"):
        known.let_in("10.0.0.2", key)
    known.closed(SILENT_MAX + 1)
    known.tend(now := WINDOW_MS)
    assert spared(known) == ("10.0.0.1", "10.0.0.2")
    known.revoked({"leaked"})
    for address in ("10.0.0.1", "10.0.0.2"):
        refuse(known, address, REFUSED_MAX + 1)
    assert known.tend(now + WINDOW_MS) == {"10.0.0.1": REFUSED_MAX + 1}
    assert spared(known) == ("10.0.0.2",)


def test_of_one_address_so_many_keys_are_known_and_no_more() -> None:
    known = RefusedAddresses()
    for number in range(1_000):
        known.let_in("10.0.0.1", f"key {number}")
    assert [len(keys) for keys in known._let_in.values()] == [_KEYS_MAX]
    known.revoked({f"key {number}" for number in range(1_000)})
    assert not known._let_in


def test_what_is_no_address_is_nobodys() -> None:
    """libzmq has none of a connection that is closed already, and that must end no broker."""
    known = RefusedAddresses()
    known.tend(0)
    refuse(known, "", REFUSED_MAX + 1)
    assert known.tend(WINDOW_MS) is None


def test_where_too_many_close_that_nobody_knows_strangers_are_slowed_and_nobody_else() -> None:
    known = RefusedAddresses()
    known.tend(0)
    known.let_in("10.0.0.1", "key")
    known.closed(SILENT_MAX)
    assert known.tend(now := WINDOW_MS) is None
    assert spared(known) is None
    known.closed(SILENT_MAX + 1)
    assert known.tend(now := now + WINDOW_MS) == {}
    assert spared(known) == ("10.0.0.1",)
    assert known.flood == SILENT_MAX + 1
    for _ in range(30):  # fewer come through, and it goes on
        known.closed(SILENT_MAX // STRANGERS_OF + 1)
        assert known.tend(now := now + WINDOW_MS) is None
        assert not known.flood
    known.let_in("10.0.0.2", "key")  # with some patience
    assert known.tend(now := now + WINDOW_MS) == {}
    assert spared(known) == ("10.0.0.1", "10.0.0.2")
    assert known.tend(now := now + WINDOW_MS) is None
    assert known.tend(now := now + SLOWED_MS) == {}
    assert spared(known) is None
    known.let_in("10.0.0.3", "key")
    assert known.tend(now + WINDOW_MS) is None


def test_those_let_in_last_are_known_while_strangers_are_slowed() -> None:
    known = RefusedAddresses()
    known.tend(0)
    for number in range(KNOWN_MAX + 10):
        known.let_in(f"10.0.1.{number}", "key")
    known.let_in("10.0.1.0", "key")
    known.closed(SILENT_MAX + 1)
    known.tend(WINDOW_MS)
    assert known.known is not None
    assert len(known.known) == KNOWN_MAX
    assert "10.0.1.0" in known.known
    assert "10.0.1.1" not in known.known


def _tries(at: tuple[str, int], source: str, count: int) -> int:
    """How many of so many attempts to connect are let in at once."""
    let_in = 0
    for _ in range(count):
        with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET) as each:
            each.bind((source, 0))
            each.settimeout(0.003)
            try:
                each.connect(at)
            except OSError:
                continue
            let_in += 1
    return let_in


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels let all in")
def test_the_kernel_lets_few_in_from_there_and_leaves_all_others_alone() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=500) as listening:
        at = listening.getsockname()
        with socket.create_connection(at) as before:
            assert slow(listening.fileno(), ["10.0.0.9", "127.0.0.1", "2001:db8::1"], 16)
            accepted, _ = listening.accept()
            before.sendall(b"x" * 100_000)
            with accepted:
                assert accepted.recv(10)
            assert 0 < _tries(at, "127.0.0.1", 150) < 40
            assert _tries(at, "127.0.0.2", 50) == 50
        assert slow(listening.fileno(), [], 16)
        assert _tries(at, "127.0.0.1", 50) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels let all in")
def test_the_kernel_lets_few_strangers_in_and_leaves_those_who_are_known_alone() -> None:
    known = [f"10.0.0.{n}" for n in range(KNOWN_MAX // 2)]
    known += [f"2001:db8:{n:x}::" for n in range(KNOWN_MAX // 2 - 1)]
    with socket.create_server(("127.0.0.1", 0), backlog=500) as listening:
        at, fd = listening.getsockname(), listening.fileno()
        assert slow(fd, ["127.0.0.3"], 16, [*known, "127.0.0.1", "127.0.0.3"], 4)
        assert _tries(at, "127.0.0.1", 50) == 50
        assert 10 < _tries(at, "127.0.0.2", 150) < 75
        assert 0 < _tries(at, "127.0.0.3", 150) < 30
        assert slow(fd, [], 16, [], 4)
        assert 10 < _tries(at, "127.0.0.1", 150) < 75
        assert slow(fd, [], 16)
        assert _tries(at, "127.0.0.2", 50) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels let all in")
def test_so_it_is_with_ipv6() -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=500)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listening:
        at = listening.getsockname()[:2]
        assert slow(listening.fileno(), ["127.0.0.1", "2001:db8::1"], 16)
        assert _tries(at, "::1", 50) == 50
        assert slow(listening.fileno(), ["127.0.0.1", "2001:db8::1", "::1"], 16)
        assert 0 < _tries(at, "::1", 150) < 40
        assert slow(listening.fileno(), [], 16, ["127.0.0.1", "2001:db8::1"], 4)
        assert 10 < _tries(at, "::1", 150) < 75
        assert slow(listening.fileno(), [], 16, ["2001:db8::1", "::1"], 4)
        assert _tries(at, "::1", 50) == 50


def test_where_it_cannot_be_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        assert slow(other.fileno(), ["127.0.0.1"], 16) in (True, False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not slow(-1, ["127.0.0.1"], 16)
