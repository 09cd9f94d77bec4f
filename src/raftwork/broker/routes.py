"""The table of routes: where a broker takes each kind of frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from raftwork.messages import ToBroker

    #: Takes a frame: from which routing id, what, and when.
    Route = Callable[[bytes, ToBroker, int], None]

F = TypeVar("F", bound=tuple[object, ...])


def route(frame: type[F], takes: Callable[[bytes, F, int], None]) -> tuple[type[ToBroker], Route]:
    """A row of the table: its halves belong together."""
    return frame, cast("Route", takes)
