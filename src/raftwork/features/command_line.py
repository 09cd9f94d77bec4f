"""A capability's plain command, said without the library that reads command lines.

    COMMAND_LINE = CommandLine(
        path="queue purge",
        summary="Drop the tasks that wait in a queue.",
        example="raftwork queue purge mail",
        arguments=(Argument("name"),),
        request=lambda name: PurgeQueue(0, name),
        reply=QueuePurged,
        line=lambda reply: str(reply.purged),
    )

The command has `--json`, `--timeout` and `--brokers` besides; `--json` prints the reply's fields.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from raftwork.messages.request import Request

#: A record that answers a request. Its first field is the request's number.
R = TypeVar("R", bound=tuple[object, ...])
#: What is read from the command line.
Kind = type[str] | type[int] | type[float] | type[bool]


@dataclass(frozen=True, slots=True)
class Argument:
    """One that is given by its place."""

    name: str
    kind: Kind = str
    #: Takes all that are left, as a tuple; at least one.
    many: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One that is given by its name, `max_age` as `--max-age`; of the kind bool it is a flag."""

    name: str
    help: str
    kind: Kind = str
    default: str | float | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine(Generic[R]):
    """A command that sends one request and prints what answers it."""

    #: The words after `raftwork`. All but the last must be a group that exists.
    path: str
    #: One sentence, which lists of commands show.
    summary: str
    #: Lines to type, as they are typed.
    example: str
    #: The rest of the help: paragraphs with an empty line between them.
    details: str = ""
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    #: Makes the request, numbered 0, of what was given, by name. A ValueError is wrong usage.
    request: Callable[..., Request]
    reply: type[R]
    #: What is printed for the reply.
    line: Callable[[R], str]
