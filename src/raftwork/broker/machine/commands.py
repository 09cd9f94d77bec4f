"""The commands of the replicated machine.

A log entry's data is a packed `Batch`: the leader's time and the commands that arrived while the
last fsync ran. Commands decide nothing by themselves: time, jitter and the choice of a worker were
fixed by the leader before it proposed them, so that every replica applies the same. For the same
reason entries are read strictly: what this release does not know is none of an entry's to be
skipped, it stops the replica (machine.py).

Here are those that workers and time bring about; what a client asks for is a feature's
(raftwork/features).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from raftwork.errors import BadMessage, NewerMessage
from raftwork.features import commands
from raftwork.messages import Loss
from raftwork.messages.registry import Command, command
from raftwork.wire import pack, pack_array, unpack

__all__ = [
    "TIME_MAX",
    "Assign",
    "Command",
    "Expire",
    "Fail",
    "Finish",
    "Grew",
    "HoldBack",
    "Lose",
    "LoseSaying",
    "Postpone",
    "Release",
    "Tick",
    "commands",
    "decode_batch",
    "encode_batch",
    "encode_command",
    "join_batch",
]

#: Leader time stays below this, so that no sum of it and a duration leaves 63 bits.
TIME_MAX = 2**53


@command(2)
class Assign(NamedTuple):
    """Hand waiting tasks to a worker's incarnation; each gets the next token."""

    worker: bytes
    seqs: list[int]


@command(3)
class Finish(NamedTuple):
    """Tokens whose code returned, with the packed values."""

    outcomes: list[tuple[int, bytes]]


@command(4)
class Fail(NamedTuple):
    """The token's code raised or ran over its time limit (found by the worker)."""

    token: int
    failure: bytes
    retry_at: int  # leader time of the next attempt, if one is left
    final: bool = False  # none is left, whatever the task's options say


@command(5)
class Expire(NamedTuple):
    """The token's time limit passed and the worker did not say so: counts as a failure."""

    token: int
    retry_at: int


@command(6)
class Release(NamedTuple):
    """Tokens handed back by a worker that never started them: back to their old place."""

    tokens: list[int]


@command(7)
class Lose(NamedTuple):
    """Tokens whose worker vanished. A started one counts as a loss, another as released."""

    tokens: list[tuple[int, bool]]  # (token, started or unknown)
    by: Loss = Loss()


@command(8)
class Tick(NamedTuple):
    """Nothing but the batch's time: due retries wake, old results are evicted."""


@command(142, since=2)
class LoseSaying(NamedTuple):
    """One token whose process, or worker, died under it, with the last lines that it logged."""

    token: int
    by: Loss
    log: str


@command(124, since=2)
class HoldBack(NamedTuple):
    """The token's code asked for a pause of its gates, or of that of one limit.

    No failure is counted, and the task waits there again.
    """

    token: int
    until: int  # leader time
    limit: str  # empty: of all its gates
    failure: bytes  # for a task that may be handed out only once


@command(130, since=2)
class Postpone(NamedTuple):
    """The token's code asked to go on in another attempt at that time: no failure is counted."""

    token: int
    at: int  # leader time; in the past it waits again at once


@command(181, since=2)
class Grew(NamedTuple):
    """The token's code returned and made tasks: they enter with its outcome, or it has failed."""

    token: int
    value: bytes  # packed; of no meaning if it is replaced
    spawned: bytes  # a packed Graph, or nothing
    replaced: bytes  # a packed Graph whose outcome is its own, or nothing
    retry_at: int  # as in Fail


#: The head of an entry's data, an array of two.
_ENTRY = pack_array([b"", b""])


def encode_batch(time: int, batch: Iterable[Command]) -> bytes:
    """A log entry's data."""
    return join_batch(time, [encode_command(command) for command in batch])


#: One command, as `join_batch` takes it.
encode_command = commands.encode


def join_batch(time: int, encoded: Sequence[bytes]) -> bytes:
    """A log entry's data, of commands that are encoded already."""
    return _ENTRY + pack(time) + pack_array(encoded)


def decode_batch(data: bytes) -> tuple[int, list[object]]:
    """The time and the commands of a log entry, which `commands.from_plain` reads one by one.

    Raises BadMessage if the entry as a whole is malformed, NewerMessage if it has surplus parts.
    """
    match unpack(data):
        case [int() as time, list() as plain] if type(time) is int and 0 <= time <= TIME_MAX:
            return time, plain
        case [_, _, _, *_] as parts:
            raise NewerMessage(f"{len(parts)} parts instead of 2")
        case _:
            raise BadMessage("an entry is an array of a time and commands")
