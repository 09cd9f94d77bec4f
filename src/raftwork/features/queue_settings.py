"""What is set for a queue at run time."""

from typing import NamedTuple

from raftwork.messages.registry import command, reply, request


@reply(50)
class QueueSet(NamedTuple):
    """The settings stand, whoever leads."""

    request: int


@request(50, reply=QueueSet)
class SetQueue(NamedTuple):
    """Change a queue's settings: None leaves one as it is, an empty name or 0 clears it."""

    request: int
    queue: str
    balancer: str | None = None
    max_length: int | None = None  # tasks that wait
    max_bytes: int | None = None  # of their payloads


@reply(51)
class QueueSettings(NamedTuple):
    """What is set; None where nothing is."""

    request: int
    balancer: str | None
    max_length: int | None
    max_bytes: int | None


@request(51, reply=QueueSettings)
class AskQueue(NamedTuple):
    """What is set for this queue now (linearizable)?"""

    request: int
    queue: str


@command(50)
class Configure(NamedTuple):
    """Change a queue's settings: None leaves one as it is, an empty name or 0 clears it."""

    queue: str
    balancer: str | None
    max_length: int | None
    max_bytes: int | None
