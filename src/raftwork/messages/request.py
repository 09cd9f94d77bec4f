"""What all requests of clients, and all answers to them, have in common."""

from typing import Any, Protocol, Self


class Record(Protocol):
    """A NamedTuple that is, or answers, a request."""

    @property
    def request(self) -> int:
        """The request's number; 0 as long as it has none."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class Request(Record, Protocol):
    """What the leader answers with a record of the same number."""

    def _replace(self, *, request: int) -> Self: ...
