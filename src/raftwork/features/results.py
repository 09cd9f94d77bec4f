"""What became of tasks: asked for once, or watched until it is known."""

from typing import NamedTuple

from raftwork.messages import Result
from raftwork.messages.registry import from_broker, reply, request


@reply(5)
class Watched(NamedTuple):
    """The watch stands for this session; outcomes come as Results."""

    request: int


@request(4, reply=Watched)
class Watch(NamedTuple):
    """Push the outcome of each of these to this session, now or once it is committed."""

    request: int
    ids: list[str]


@from_broker.register(6)
class Results(NamedTuple):
    """Outcomes (final states) of watched tasks, or UNKNOWN for ids nobody enqueued."""

    results: list[Result]


@reply(7)
class Answer(NamedTuple):
    """States only: outcomes come as Results, to who watches."""

    request: int
    results: list[Result]


@request(5, reply=Answer)
class Ask(NamedTuple):
    """The state of these tasks now (linearizable)."""

    request: int
    ids: list[str]
