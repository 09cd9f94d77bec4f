"""Where frames go: the rows of a broker's table, by the kind of the frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from raftwork.broker.workers.registry import WorkerRegistry
from raftwork.errors import BadMessage
from raftwork.features import to_broker
from raftwork.features.catalogue import FEATURES
from raftwork.messages import ToBroker
from raftwork.messages.bounds import bounded, objections
from raftwork.messages.registry import replies

#: Of what workers and brokers send. What a client asks for is measured where it is carried out, and
#: costs it no connection.
_OBJECTIONS = {
    record: objections(record)
    for record in to_broker.records.values()
    if record not in replies and bounded(record)
}

#: Takes a frame: from which routing id, what, and when.
Route = Callable[[bytes, ToBroker, int], None]

F = TypeVar("F", bound=tuple[object, ...])


def read(frame: bytes | memoryview) -> ToBroker:
    """What a frame says. Raises BadMessage, also where it says more than a leader has time for."""
    message = to_broker.decode(frame)
    objection = _OBJECTIONS.get(type(message))
    if objection is not None and (wrong := objection(message)) is not None:
        raise BadMessage(f"{type(message).__name__}: {wrong}")
    return message


def route(frame: type[F], takes: Callable[[bytes, F, int], None]) -> tuple[type[ToBroker], Route]:
    """A row: its halves belong together."""
    return frame, cast("Route", takes)


def table(
    ask: Route, worker_frame: Route, *rows: tuple[type[ToBroker], Route]
) -> dict[type[ToBroker], Route]:
    """All requests of the features go to `ask`, what workers say in their sessions to the next."""
    return {
        **dict.fromkeys((rule.request for each in FEATURES for rule in each.rules), ask),
        **dict.fromkeys(WorkerRegistry.FRAMES, worker_frame),
        **dict(rows),
    }
