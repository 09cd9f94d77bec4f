"""Whether a process is turned away by the whole cluster, or by a part of it only. Sans-IO.

One broker may have an older access list than the others, so a process gives up only if nobody is
left who might take it: everybody it can reach denies it, and nobody else has come up for a while.
"""

from collections.abc import Collection
from typing import Final

#: So long (ms) after the first denial a broker that is not connected may still come up.
UNDECIDED_MS: Final = 1_000


class Denials:
    """Of one process. Brokers go by their addresses, times are monotonic ms."""

    def __init__(self) -> None:
        self._linked: set[str] = set()
        self._denied: dict[str, str] = {}
        self._since = 0

    def __bool__(self) -> bool:
        """Whether any broker denies this process."""
        return bool(self._denied)

    def link_up(self, address: str) -> None:
        """There is a connection: what was said on an earlier one counts no more."""
        self._linked.add(address)
        self._denied.pop(address, None)

    def link_down(self, address: str) -> None:
        """There is none."""
        self._linked.discard(address)

    def denied(self, address: str, text: str, now: int) -> None:
        """That broker does not let this process in, or do what it is for; `text` says why."""
        if not self._denied:
            self._since = now
        self._denied[address] = text

    def verdict(self, known: Collection[str], now: int) -> str | None:
        """Why there is no hope, if there is none; `known` are all brokers."""
        if not self._denied or self._linked - self._denied.keys():
            return None
        if len(self._denied) < len(known) and now < self.decided_at:
            return None
        saying: dict[str, list[str]] = {}
        for address, text in self._denied.items():
            saying.setdefault(text, []).append(address)
        return "; ".join(f"{', '.join(said)}: {text}" for text, said in saying.items())

    @property
    def decided_at(self) -> int:
        """When there is a verdict at the latest, unless somebody comes up."""
        return self._since + UNDECIDED_MS
