"""What a strategy is given and what it gives back. Sans-IO: dice come in as a Random."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Candidate(NamedTuple):
    """A worker that can take `room` more tasks."""

    capacity: int
    slots: int
    busy: int  # tasks it has, those on their way to it among them
    weight: float  # 1.0 is the best place there is; see `raftwork.broker.workers.load`
    name: str  # may repeat
    incarnation: bytes  # unique


class Balancer(Protocol):
    """A strategy. It keeps what it must remember by incarnation: candidates come and go."""

    @property
    def spares_overloaded(self) -> bool:
        """Whether a worker short of memory gets nothing while another one may take it."""
        ...

    def plan(self, workers: Sequence[Candidate], keys: Sequence[str]) -> list[int]:
        """The worker of each task, as an index into `workers`.

        `keys` has one per task, in the order of the queue; empty for a task without. No worker
        gets more than its room. The caller sees to it that together they have room for all.
        """
        ...
