"""From which addresses connections are let in rarely for now. Sans-IO.

A handshake under a key that is not let in costs this process a millisecond of CPU before it can be
refused: that is what proves who somebody is. So who has one refused after the other is made to wait
at the door, where it costs nothing (syn_filter.py). Connections that are open stay, and nobody is
shut out: an honest program at the same address gets in with some patience. Where one was let in,
nobody is slowed: brokers and workers behind the address of a stranger's would be cut off with him.
It lasts as long as that key is let in: from where a leaked one came its thief goes on to knock.

Who closes a connection at once cannot be told: libzmq says only that one has closed. Where very
many do, all wait at the door from whose addresses no key was let in so far, though not as long.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

WINDOW_MS: Final = 1_000
#: More refusals than that in a window, and the address is slowed.
REFUSED_MAX: Final = 20
#: One of so many connections is let in then …
LET_IN_OF: Final = 16
#: More connections than that close in a window before anything is known of them, and everybody is
#: slowed who is not known: of their connections one of so many is let in.
SILENT_MAX: Final = 300
STRANGERS_OF: Final = 4
#: Until it was below that, by what came through, for so long (ms).
SLOWED_MS: Final = 10_000
#: Addresses that are counted in a window, and that are slowed at a time. More are a firewall's.
_COUNTED_MAX: Final = 1_024
SLOWED_MAX: Final = 64
#: Of the keys that were let in from one address the newest are known.
_KEYS_MAX: Final = 16
#: Addresses that keys were let in from; the oldest are forgotten.
_LET_IN_MAX: Final = 4_096
#: Of these, how many are told apart from strangers, those first that were let in last: the kernel
#: looks through all of them.
KNOWN_MAX: Final = 128


class RefusedAddresses:
    """Of one ROUTER. Times are monotonic ms."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._window_ends = 0
        self._until: dict[str, int] = {}
        #: Under which keys, the newest last; an address has at least one.
        self._let_in: dict[str, list[str]] = {}
        self._silent = 0
        self._strangers_until: int | None = None
        #: Of the last `tend`: how many closed, if strangers are slowed for that from then on.
        self.flood = 0
        self._renewed = False  # others are known than at the last `tend`

    @property
    def known(self) -> tuple[str, ...] | None:
        """None, or the addresses of those that are no strangers, as all others are slowed."""
        if self._strangers_until is None:
            return None
        return tuple(sorted(list(self._let_in)[-KNOWN_MAX:]))

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

    def closed(self, count: int) -> None:
        """So many connections closed before anything was known of them."""
        self._silent += count

    def let_in(self, address: str, public: str) -> None:
        """That key was let in from there."""
        if place := _place(address):
            self._renewed |= place not in self._let_in
            keys = [key for key in self._let_in.pop(place, ()) if key != public]
            self._let_in[place] = [*keys, public][-_KEYS_MAX:]
            self._counts.pop(place, None)
            if len(self._let_in) > _LET_IN_MAX:
                del self._let_in[next(iter(self._let_in))]

    def revoked(self, keys: Collection[str]) -> None:
        """These keys are let in no more: who came under them alone is a stranger."""
        left = {
            place: [key for key in known if key not in keys]
            for place, known in self._let_in.items()
        }
        self._renewed |= not all(left.values())
        self._let_in = {place: known for place, known in left.items() if known}

    def due(self, now: int) -> bool:
        """Whether a window is over, and `tend` has something to do."""
        return now >= self._window_ends

    def tend(self, now: int) -> dict[str, int] | None:
        """Look whether a window is over; None unless others are slowed from now on.

        Then the addresses that were not before, with the refusals that each had.
        """
        if not self.due(now):
            return None
        strangers = self._strangers(now)
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
        return begins if strangers or self._until.keys() != before else None

    def _strangers(self, now: int) -> bool:
        """Whether strangers are dealt with in another way from now on."""
        silent, self._silent = self._silent, 0
        renewed, self._renewed = self._renewed, False
        self.flood, until = 0, self._strangers_until
        if silent * (1 if until is None else STRANGERS_OF) > SILENT_MAX:
            self._strangers_until = now + SLOWED_MS
            self.flood = silent if until is None else 0
        elif until is not None and now >= until:
            self._strangers_until = None
        if until is None or self._strangers_until is None:
            return until is not self._strangers_until
        return renewed


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
