"""Where frames go: the rows of a broker's table, by the kind of the frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from raftwork.broker.workers.registry import WorkerRegistry
from raftwork.features.catalogue import FEATURES
from raftwork.messages import ToBroker

#: Takes a frame: from which routing id, what, and when.
Route = Callable[[bytes, ToBroker, int], None]

F = TypeVar("F", bound=tuple[object, ...])


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
