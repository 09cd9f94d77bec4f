"""What a codec does to the contents of tasks, wherever it is: see crypto.py."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

#: What is sealed begins with it; no packed value of more than one byte does.
SEALED: Final = b"\x01"


class Bound(NamedTuple):
    """To what a sealed text belongs. Name and queue are empty where they are not known."""

    what: str
    task: str
    name: str = ""
    queue: str = ""


#: What there is of a task, as errors call it.
ARGUMENTS: Final = "arguments"
RESULT: Final = "results"
FAILURE: Final = "texts of the failure"
CHECKPOINT: Final = "checkpoints"


class Codec(Protocol):
    """Makes contents unreadable, and readable again."""

    def seal(self, data: bytes, bound: Bound) -> bytes:
        """The same bytes each time for the same contents: a request may be sent again."""
        ...

    def open(self, data: bytes, bound: Bound) -> bytes:
        """Raises CannotDecrypt."""
        ...

    def fingerprint(self, text: str) -> str:
        """For a unique key that is made of contents."""
        ...

    def retry_id(self, task: str, new: str) -> str:
        """The id under which a dead task may be tried again with what is sealed for it."""
        ...


def is_sealed(data: bytes) -> bool:
    """Whether a codec made it."""
    return len(data) > 1 and data[:1] == SEALED
