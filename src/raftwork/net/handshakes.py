"""What failed handshakes with one broker say of keys, and whose key to try next. Sans-IO.

1. A broker whose key is not the expected one closes the connection without a word; so does one
   that wants a key of a process that has none. How soon it happens, and how often, tells that from
   a broker that ends just then.
2. A key file names the keys of all brokers, but not where they are: each is tried at an address
   until one fits.
3. A broker that does not know this process's key says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from raftwork.keys import Key

#: Handshakes that were closed in a row, until it is said what that means.
FAILURES_TOLD: Final = 3
#: A broker that closes a handshake for its key does so in less (ms); one that has no time for it,
#: and lets it time out, in more.
SUDDEN_MS: Final = 1_000


class Failure(Enum):
    """How a handshake failed."""

    CLOSED = auto()  # without a word
    DENIED = auto()  # the broker does not know the key
    OTHER_MECHANISM = auto()  # one side has keys, and the other has none


class Handshakes:
    """With the broker at one address. Times are monotonic ms."""

    def __init__(self, key: Key | None, first: int = 0) -> None:
        """`first` is which of the brokers' keys to begin with.

        That of the same place in the list is a good guess.
        """
        self._key = key
        self._brokers: Sequence[str] = () if key is None else key.broker_keys
        self._turn = first
        self._failures = 0
        self._connected_at: int | None = None

    @property
    def expected(self) -> str | None:
        """The public key that the broker is to have at the next attempt; None: any, or none."""
        return self._brokers[self._turn % len(self._brokers)] if self._brokers else None

    def connected(self, now: int) -> None:
        """There is a connection, and its handshake begins."""
        self._connected_at = now

    def succeeded(self) -> None:
        """The handshake is done."""
        self._failures = 0

    def failed(self, failure: Failure, now: int) -> bool:
        """It failed. Returns whether to try the next key at once."""
        if failure is not Failure.CLOSED:
            return False
        if self._connected_at is None or now - self._connected_at > SUDDEN_MS:
            return False
        self._failures += 1
        self._turn += 1
        return self._failures < len(self._brokers)

    def denial(self, failure: Failure) -> str:
        """What it means for this process, and what to do; empty while that is not known."""
        if failure is Failure.DENIED and self._key is not None:
            return (
                f"the key {self._key.name} ({self._key.file}, public half {self._key.public}) is"
                " not let in; raftwork keys allow puts it into the brokers' access list"
            )
        if failure is Failure.OTHER_MECHANISM and self._key is not None:
            return (
                f"it has no key and asks for none, but this process has one ({self._key.file});"
                " leave that out, or give the broker --key and --access"
            )
        if failure is Failure.CLOSED and self._failures < max(FAILURES_TOLD, len(self._brokers)):
            return ""
        if self._key is None:
            return (
                "a key is wanted, and this process has none: --key FILE, App(key=…) or"
                " RAFTWORK_KEY name one"
            )
        return (
            f"it is none of the brokers whose keys are in {self._key.file}, or has no key at all;"
            " compare the address, and that file's [brokers] with the brokers' access list"
        )
