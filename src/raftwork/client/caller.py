"""What tasks, handles, queues and dead tasks need of the App they were made by."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from raftwork.client.reply import Reply
from raftwork.client.result_registry import Slot
from raftwork.messages import Result

if TYPE_CHECKING:
    from raftwork.messages.request import Request

R = TypeVar("R")
S = TypeVar("S", bound=Slot)


class Caller(Protocol):
    """The cluster, as far as it can be asked."""

    @property
    def brokers(self) -> tuple[str, ...]:
        """The addresses it was given."""
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
    ) -> Reply[R]:
        """Have the leader carry out the request, and answer it with a `reply`.

        `ids` are those of its tasks, and told by Unavailable. With `wait_when_full` an enqueue
        waits for room instead of ending with QueueFull at once.
        """
        ...

    def track(self, ids: Sequence[str], make: Callable[[str], S]) -> list[S]:
        """A handle of each id, whose outcomes may be waited for."""
        ...

    def wait_for(self, slot: Slot) -> Reply[Result]:
        """The outcome of a handle's task, or UNKNOWN, whenever that comes."""
        ...
