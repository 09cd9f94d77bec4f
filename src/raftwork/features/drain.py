"""Workers that are to leave."""

from typing import NamedTuple

from raftwork.messages.registry import reply, request


@reply(40)
class WorkerDraining(NamedTuple):
    """The workers of that name know it themselves, so that it outlives this leader."""

    request: int


@request(40, reply=WorkerDraining)
class DrainWorker(NamedTuple):
    """Let every worker of this name take nothing new, finish what it runs, and end."""

    request: int
    name: str
