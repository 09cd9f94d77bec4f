"""What tasks, handles, queues and dead tasks need of their App."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from raftwork.client.reply import Reply
from raftwork.client.result_registry import Slot
from raftwork.messages import Result

if TYPE_CHECKING:
    from raftwork.messages.request import Request
    from raftwork.sealing import Codec

R = TypeVar("R")
S = TypeVar("S", bound=Slot)


class Caller(Protocol):
    """Requests to the cluster."""

    @property
    def brokers(self) -> Sequence[str]:
        """The brokers' addresses."""
        ...

    @property
    def codec(self) -> "Codec | None":
        """What seals and opens the contents of tasks; None: they are sent as they are."""
        ...

    @property
    def patience(self) -> float:
        """Seconds that a call may take."""
        ...

    def call(
        self,
        request: "Request",
        reply: type[R],
        *,
        ids: tuple[str, ...] = (),
        wait_when_full: bool = False,
        slot: Slot | None = None,
    ) -> Reply[R]:
        """Send the leader a request; the answer is a record of the type `reply`.

        `ids` are the ids of its tasks, which Unavailable carries. With `wait_when_full` an enqueue
        waits for room instead of ending with QueueFull at once. `slot` is the handle of its one
        task: its `watched_by` says at the end whether its outcome is watched already.
        """
        ...

    def track(self, ids: Sequence[str], make: Callable[[str], S]) -> list[S]:
        """A handle for each id, made by `make`; its outcome can be waited for."""
        ...

    def wait_for(self, slot: Slot) -> Reply[Result]:
        """A reply that will receive the outcome of a handle's task, or UNKNOWN."""
        ...
