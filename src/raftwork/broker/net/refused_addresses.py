"""From which addresses connections are let in rarely for now. Sans-IO.

A handshake under a key that is not let in costs this process a millisecond of CPU before it can be
refused: that is what proves who somebody is. So who has one refused after the other is made to wait
at the door, where it costs nothing (syn_filter.py). Connections that are open stay, and nobody is
shut out: an honest program at the same address gets in with some patience. Where one was let in,
nobody is slowed: brokers and workers behind the address of a stranger's would be cut off with him.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

WINDOW_MS: Final = 1_000
#: More refusals than that in a window, and the address is slowed.
REFUSED_MAX: Final = 20
#: One of so many connections is let in then …
LET_IN_OF: Final = 16
#: … until it was below that, by what came through, for so long (ms).
SLOWED_MS: Final = 10_000
#: Addresses that are counted in a window, and that are slowed at a time. More are a firewall's.
_COUNTED_MAX: Final = 1_024
SLOWED_MAX: Final = 64
#: Addresses that keys were let in from; the oldest are forgotten.
_LET_IN_MAX: Final = 4_096


class RefusedAddresses:
    """Of one ROUTER. Times are monotonic ms."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._window_ends = 0
        self._until: dict[str, int] = {}
        self._let_in: dict[str, None] = {}

    @property
    def slowed(self) -> tuple[str, ...]:
        """The addresses, in order; of IPv6 the first of each /64 network."""
        return tuple(sorted(self._until))

    def refused(self, address: str) -> None:
        """A handshake from there was refused, or it is one of many that say nothing."""
        place = _place(address)
        if place in self._let_in:
            return
        if place and (place in self._counts or len(self._counts) < _COUNTED_MAX):
            self._counts[place] = self._counts.get(place, 0) + 1

    def let_in(self, address: str) -> None:
        """A key was let in from there."""
        if place := _place(address):
            self._let_in.pop(place, None)
            self._let_in[place] = None
            self._counts.pop(place, None)
            if len(self._let_in) > _LET_IN_MAX:
                del self._let_in[next(iter(self._let_in))]

    def due(self, now: int) -> bool:
        """Whether a window is over, and `tend` has something to do."""
        return now >= self._window_ends

    def tend(self, now: int) -> dict[str, int] | None:
        """Look whether a window is over; None unless other addresses are slowed from now on.

        Then those that were not before, with the refusals that each had.
        """
        if not self.due(now):
            return None
        self._window_ends = now + WINDOW_MS
        before = set(self._until)
        self._until = {
            each: until
            for each, until in self._until.items()
            if until > now and each not in self._let_in
        }
        begins = {}
        for address, count in self._counts.items():
            slowed = address in self._until
            if count * (LET_IN_OF if slowed else 1) > REFUSED_MAX and (
                slowed or len(self._until) < SLOWED_MAX
            ):
                self._until[address] = now + SLOWED_MS
                if address not in before:
                    begins[address] = count
        self._counts = {}
        return begins if self._until.keys() != before else None


def _place(text: str) -> str:
    """What the kernel is told of that address; empty for what is none.

    Of IPv6 it is the /64 network, as in the filter: who has one has an address for each attempt.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""  # libzmq has none of a connection that was closed at once
    if isinstance(address, IPv4Address):
        return str(address)
    network = IPv6Network((address, 64), strict=False)
    return str(address.ipv4_mapped or network.network_address)
