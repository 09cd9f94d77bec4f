"""Where one other broker listens, and at which address it is dialled. Sans-IO.

1. What `--cluster` says holds until that broker is found elsewhere: it says in its hellos where it
   listens, and a third broker may say where it found it.
2. What is said is only tried, and only while nobody answers where it is dialled now: it holds once
   that broker has answered there. So whoever is reached at an address of our own (through a
   tunnel, or under another name) stays there.
3. An address tried in vain is tried again in its turn, or when it is the only one.
4. A name at which somebody else answers may lead elsewhere by now: it is dialled anew.
"""

from raftwork.addresses import is_name

#: How long (ms) nobody may answer at an address before the next one is tried.
PATIENCE_MS = 3_000


class PeerAddress:
    """What is known of one other broker's address. Times are ms on a monotonic clock."""

    def __init__(self, address: str, now: int) -> None:
        #: Where it is dialled.
        self.address = address
        #: Where it was found last, or is to be by `--cluster`.
        self.known = address
        self._claimed = ""
        self._hearsay: dict[str, str] = {}
        self._tried: set[str] = set()
        self._since = now

    def says(self, address: str, now: int, *, answers: bool) -> bool:
        """It says itself that it listens there. Gives whether to dial another address now."""
        self._claimed = address
        return not answers and self._try_claimed(now)

    def hear(self, teller: str, address: str) -> None:
        """Another broker knows it there."""
        self._hearsay[teller] = address

    def lost(self, now: int) -> bool:
        """It no longer answers where it is dialled. Gives whether to dial another address now."""
        self._since = now
        return self._try_claimed(now)

    def due(self, now: int, *, strange: bool = False) -> bool:
        """It does not answer yet, or (`strange`) somebody else does. Gives whether to dial now."""
        if now - self._since < PATIENCE_MS:
            return False
        self._since = now
        candidates = list(dict.fromkeys((self.known, self._claimed, *self._hearsay.values())))
        candidates = [address for address in candidates if address]
        if self.address in candidates and len(candidates) == 1:
            return strange and is_name(self.address)
        self._tried = {address for address in self._tried if address in candidates} | {self.address}
        at = candidates.index(self.address) if self.address in candidates else -1
        self.address = candidates[(at + 1) % len(candidates)]
        return True

    def found(self) -> str:
        """It answers where it is dialled, and is known there from now on. Gives where it was."""
        self._tried.discard(self.address)
        before, self.known = self.known, self.address
        return before

    def _try_claimed(self, now: int) -> bool:
        if not self._claimed or self._claimed == self.address or self._claimed in self._tried:
            return False
        self.address, self._since = self._claimed, now
        return True
