"""What all requests of clients have in common."""

from typing import Protocol, Self


class Request(Protocol):
    """A NamedTuple that the leader answers with a record of the same number."""

    @property
    def request(self) -> int:
        """Its number; 0 as long as it has none."""
        ...

    def _replace(self, *, request: int) -> Self: ...
