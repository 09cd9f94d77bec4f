"""Which frames of brokers a worker heeds, and which of these are of one session."""

from collections.abc import Callable
from typing import TypeVar, cast

from raftwork.messages import FromBroker, WorkerWelcome
from raftwork.messages.registry import worker_frames

#: Takes a frame: from which broker, what, and when.
Handler = Callable[[str, FromBroker, int], None]
#: What takes a kind of frame, and whether such frames are of one session, and begin with its head.
Handling = tuple[Handler, bool]
F = TypeVar("F", bound=tuple[object, ...])


def handles(
    frame: type[F], handler: Callable[[str, F, int], None]
) -> tuple[type[FromBroker], Handling]:
    """A row of the table of handlers: its halves belong together."""
    of_session = frame in worker_frames and frame is not WorkerWelcome
    return frame, (cast("Handler", handler), of_session)
