"""A capability's command of the CLI, described without the library that reads command lines.

    CommandLine(
        path=("queue", "purge"),
        request=PurgeQueue,
        reply=QueuePurged,
        help="Drop the tasks that wait in a queue.",
        example="raftwork queue purge mail",
        arguments=(Argument("queue"),),
        says="{purged} tasks of {queue} dropped",
    )

What is given on the command line fills the request's fields, whose types and defaults it has. Every
command has `--json`, `--timeout` and `--brokers` besides; `--json` prints the reply's fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.messages.request import Record, Request


class Argument(NamedTuple):
    """A field of the request that is given by its place; one that is a list takes all that follow.

    The help of the command says what it is.
    """

    field: str


class Option(NamedTuple):
    """A field of the request that is given by its name, `max_age` as `--max-age`.

    A bool is a flag. One without a default must be given.
    """

    field: str
    help: str


class CommandLine(NamedTuple):
    """A command that sends one request and prints what answers it."""

    #: The words after `raftwork`. All but the last must be a group that exists.
    path: tuple[str, ...]
    #: The record's class.
    request: Callable[..., Request]
    reply: type[Record]
    #: Paragraphs with an empty line between them. Lists of commands show the first.
    help: str
    #: Lines to type, as they are typed.
    example: str
    #: What is printed, with fields of the reply and of the request in braces.
    says: str
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
