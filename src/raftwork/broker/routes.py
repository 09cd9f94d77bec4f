"""Where frames go: the rows of a broker's table, by the kind of the frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from raftwork.messages import ToBroker

#: Takes a frame: from which routing id, what, and when.
Route = Callable[[bytes, ToBroker, int], None]

F = TypeVar("F", bound=tuple[object, ...])


def route(frame: type[F], takes: Callable[[bytes, F, int], None]) -> tuple[type[ToBroker], Route]:
    """A row: its halves belong together."""
    return frame, cast("Route", takes)
