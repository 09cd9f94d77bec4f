"""What a codec does to the contents of tasks, wherever it is: see crypto.py."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

#: What is sealed is packed as an extension of this type: so brokers can put it into lists.
SEALED_TYPE: Final = 4
#: Bytes of a mark.
MARK_BYTES: Final = 16
#: A deeper line of tasks that replaced each other is remembered by its ends alone.
MARKS_MAX: Final = 255
#: Of an id that was tried again and again, the last ones.
_TRIES_MARKED: Final = 8
#: Headers of an extension, by its first byte: how many bytes its length has.
_HEADERS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}


class Bound(NamedTuple):
    """To what a sealed text belongs. Name and queue are empty where they are not known."""

    what: str
    task: str
    name: str = ""
    queue: str = ""
    #: The marks of flows, and of tasks that others replaced, for which it counts besides. To open:
    #: those of which it must have one, unless it is the task's own; None: it may be anybody's.
    marks: Sequence[bytes] | None = ()


#: What there is of a task, as errors call it. Those of a schedule are for each task of its ticks.
ARGUMENTS: Final = "arguments"
#: Of a call that may replace the arguments of a task that is there: that one has another id.
REPLACING: Final = "arguments that replace others"
SCHEDULED: Final = "arguments of a schedule"
RESULT: Final = "results"
FAILURE: Final = "texts of the failure"
CHECKPOINT: Final = "checkpoints"
LOG: Final = "lines of the log"


class Codec(Protocol):
    """Makes contents unreadable, and readable again."""

    def seal(self, data: bytes, bound: Bound) -> bytes:
        """The same bytes each time for the same contents: a request may be sent again."""
        ...

    def open(self, data: bytes, bound: Bound) -> bytes:
        """Raises CannotDecrypt."""
        ...

    def marks(self, data: bytes) -> Sequence[bytes] | None:
        """Of what was opened; None if it was not sealed."""
        ...

    def fingerprint(self, text: str) -> str:
        """For a unique key that is made of contents."""
        ...

    def retry_id(self, task: str, new: str) -> str:
        """The id under which a dead task may be tried again with what is sealed for it."""
        ...


def is_sealed(data: bytes) -> bool:
    """Whether a codec made it."""
    return sealed_body(data) is not None


def sealed_body(data: bytes) -> bytes | None:
    """What a codec made, without the header that makes it a packed value; None if none made it."""
    size = _HEADERS.get(data[0]) if data else None
    if size is None or data[1 + size : 2 + size] != bytes([SEALED_TYPE]):
        return None
    body = data[2 + size :]
    return body if len(body) == int.from_bytes(data[1 : 1 + size]) else None


def marks_of(task: str) -> list[bytes]:
    """By which what belongs to a flow, or replaces a task, says so: its id, and what it retries.

    A flow or a dead task that is tried again has the old id with `~` and more.
    """
    parts = task.split("~")
    ids = ["~".join(parts[:count]) for count in range(len(parts), 0, -1)][:_TRIES_MARKED]
    return [blake2b(each.encode(), digest_size=MARK_BYTES).digest() for each in ids]


def joined_marks(outer: Sequence[bytes], inner: Sequence[bytes]) -> list[bytes]:
    """Both; of very many those at the ends."""
    both = list(dict.fromkeys([*outer, *inner]))
    half = MARKS_MAX // 2
    return both if len(both) <= MARKS_MAX else [*both[:half], *both[-half:]]
