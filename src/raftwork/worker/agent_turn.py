"""What the agent of a worker is told, and what it has done by its shell. Values, no I/O."""

from dataclasses import dataclass, field
from typing import NamedTuple

from raftwork.messages import Hopeless, Outcome, PushedTask, ToBroker


class Identity(NamedTuple):
    """A worker process, as its hello describes it."""

    name: str
    incarnation: bytes
    host: str
    pid: int
    queues: tuple[str, ...]


class Load(NamedTuple):
    """A sample of how busy the machine (or the container) is. Shares are 0 … 1."""

    cpu: float | None = None
    memory: float | None = None
    load: float | None = None
    own: float | None = None  # of `cpu`: this worker and its tasks
    place: int = 0  # which CPUs: see Heartbeat


@dataclass(slots=True)
class Turn:
    """What to do now: `send`; then all else, on the pool and in this order."""

    send: list[tuple[str, ToBroker]] = field(default_factory=list)
    start: list[PushedTask] = field(default_factory=list)
    stop: set[int] = field(default_factory=set)
    #: Call the pool's `end_waits` with these.
    hopeless: list[Hopeless] = field(default_factory=list)
    #: Call the pool's `cancel` with these and tell the agent through `unstarted`; then take another
    #: turn.
    cancel: set[int] = field(default_factory=set)
    #: Call the pool's `withdraw` and tell the agent through `withdrawn`; the same then.
    withdraw: bool = False
    #: For the log: what has ended since the last turn; successes only with `tell_all`.
    ends: list[tuple[PushedTask, Outcome]] = field(default_factory=list)
